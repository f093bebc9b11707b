//! What a crate says of itself: description, licence and repository, out of the manifest inside its `.crate`.
//!
//! The files were checked against upstream's digests, but whoever published them may have put anything inside. So
//! the unpacking is bounded, nothing is written, and whatever is odd is passed over: this is for people to read, and
//! nothing depends on it.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use flate2::read::GzDecoder;
use serde::Deserialize;

use crate::crate_id::CrateId;

/// Unpacked bytes that are looked through for the manifest; packagers put it near the front.
const MAX_UNPACKED: u64 = 64 * 1024 * 1024;
/// Bytes of the manifest.
const MAX_MANIFEST: u64 = 1024 * 1024;
/// Entries that are looked through.
const MAX_ENTRIES: usize = 50_000;
/// Characters of each text.
const MAX_TEXT: usize = 300;
/// Two, because the work is inflating, and more files at once would only wait for the disk.
const THREADS: usize = 2;

/// What a crate says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// `package.description`.
    pub description: Option<String>,
    /// `package.license`, else `file: NAME` of `package.license-file`.
    pub license: Option<String>,
    /// `package.repository`.
    pub repository: Option<String>,
}

/// What each of these crates says of itself, in their order. `None` where a file cannot be read or says nothing.
pub fn about_all(crates: &[(CrateId, PathBuf)]) -> Vec<Option<About>> {
    let next = AtomicUsize::new(0);
    let found = Mutex::new(vec![None; crates.len()]);
    std::thread::scope(|scope| {
        for _ in 0..THREADS.min(crates.len()) {
            scope.spawn(|| {
                while let Some((place, (id, path))) = take(&next, crates) {
                    let about = about(id, path);
                    let mut found = found.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    found[place] = about;
                }
            });
        }
    });
    found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn take<'t, T>(next: &AtomicUsize, items: &'t [T]) -> Option<(usize, &'t T)> {
    let place = next.fetch_add(1, Ordering::Relaxed);
    items.get(place).map(|item| (place, item))
}

/// What the crate in the file at `path` says of itself.
pub fn about(id: &CrateId, path: &Path) -> Option<About> {
    let file = File::open(path).ok()?;
    let text = manifest_text(file, id)?;
    let package = toml::from_str::<CargoToml>(&text).ok()?.package;
    let license = package.license.text().or_else(|| Some(format!("file: {}", package.license_file.text()?)));
    Some(About { description: package.description.text(), license, repository: package.repository.text() })
}

fn manifest_text(file: impl Read, id: &CrateId) -> Option<String> {
    let wanted = format!("{}-{}/Cargo.toml", id.name, id.version);
    let mut archive = tar::Archive::new(GzDecoder::new(file).take(MAX_UNPACKED));
    for entry in archive.entries().ok()?.take(MAX_ENTRIES) {
        let entry = entry.ok()?;
        // Links are no regular files, and no other spelling of the path is looked for.
        if !entry.header().entry_type().is_file() || *entry.path_bytes() != *wanted.as_bytes() {
            continue;
        }
        if entry.size() > MAX_MANIFEST {
            return None;
        }
        let mut text = String::new();
        entry.take(MAX_MANIFEST).read_to_string(&mut text).ok()?;
        return Some(text);
    }
    None
}

#[derive(Deserialize)]
struct CargoToml {
    package: Package,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Package {
    #[serde(default)]
    description: Loose,
    #[serde(default)]
    license: Loose,
    #[serde(default)]
    license_file: Loose,
    #[serde(default)]
    repository: Loose,
}

/// A text where there is one; anything else counts as absent.
#[derive(Default, Deserialize)]
#[serde(untagged)]
enum Loose {
    Text(String),
    Other(serde::de::IgnoredAny),
    #[default]
    Absent,
}

impl Loose {
    /// The text in one line, without control characters, shortened.
    fn text(&self) -> Option<String> {
        let Loose::Text(text) = self else { return None };
        let clean: String =
            text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).filter(|c| !c.is_control()).collect();
        let line = clean.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
        let mut short: String = line.chars().take(MAX_TEXT).collect();
        if short.len() < line.len() {
            short.pop();
            short.push('…');
        }
        (!short.is_empty()).then_some(short)
    }
}
