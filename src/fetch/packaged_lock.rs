//! The Cargo.lock inside a `.crate`, which `cargo install --locked` uses, and whether the crate has binaries.
//!
//! The file is hostile: it is scanned, never unpacked. Only the raw headers of its entries are read, from a bounded
//! stream, and the two files that are read have a bounded size.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;

use crate::crate_id::CrateId;

/// Maximum uncompressed bytes of a `.crate` that are scanned; cargo itself unpacks no more.
const MAX_UNPACKED: u64 = 512 * 1024 * 1024;
/// Maximum size of a Cargo.lock in bytes.
const MAX_LOCK: u64 = 16 * 1024 * 1024;
/// Maximum size of a Cargo.toml in bytes; the largest published one has about 200 kB.
const MAX_MANIFEST: u64 = 4 * 1024 * 1024;

/// Why the lock in a `.crate` could not be read.
#[derive(Debug, thiserror::Error)]
#[error("could not read the manifest and the lock in `{}`", path.display())]
pub struct Error {
    /// The `.crate`.
    pub path: PathBuf,
    /// The cause.
    pub source: io::Error,
}

/// The parts of a `.crate` that decide how it is installed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct PackagedCrate {
    /// The text of its Cargo.lock; `None` if it has none.
    pub lock: Option<String>,
    /// Whether it has a binary that `cargo install` builds.
    pub has_binaries: bool,
}

/// Reads the `.crate` of `id` at `path`.
///
/// # Errors
/// The file cannot be read, or is not a `.crate`.
pub fn read(path: &Path, id: &CrateId) -> Result<PackagedCrate, Error> {
    scan_archive(path, id).map_err(|source| Error { path: path.to_owned(), source })
}

fn scan_archive(path: &Path, id: &CrateId) -> io::Result<PackagedCrate> {
    let top = format!("{}-{}/", id.name, id.version);
    let plain = GzDecoder::new(io::BufReader::new(File::open(path)?)).take(MAX_UNPACKED);
    let mut archive = tar::Archive::new(plain);
    let (mut lock, mut manifest, mut sources) = (None, None, false);
    // Raw entries: long names and other extensions are not read, so they cannot use memory.
    for entry in archive.entries()?.raw(true) {
        let mut entry = entry?;
        let name = entry.path_bytes().into_owned();
        let Some(name) = name.strip_prefix(top.as_bytes()).filter(|_| entry.header().entry_type().is_file()) else {
            continue;
        };
        match name {
            b"Cargo.lock" if lock.is_none() => lock = Some(read_text(&mut entry, MAX_LOCK, "Cargo.lock")?),
            b"Cargo.toml" if manifest.is_none() => {
                manifest = Some(BinaryTargets::parse(&read_text(&mut entry, MAX_MANIFEST, "Cargo.toml")?));
            }
            // Cargo packs the manifest before the sources.
            name => {
                sources |= manifest.as_ref().is_none_or(BinaryTargets::is_unfinished) && {
                    let unlisted = |name: &str| manifest.as_ref().is_none_or(|targets| !targets.lists(name));
                    discovered_binary(name).is_some_and(unlisted)
                }
            }
        }
        // Cargo writes every target into the packaged manifest, so most files need no scan.
        if lock.is_some() && manifest.as_ref().is_some_and(|targets| !targets.is_unfinished()) {
            break;
        }
    }
    let targets = manifest.unwrap_or_else(|| BinaryTargets::parse(""));
    Ok(PackagedCrate { lock, has_binaries: targets.installs_listed || targets.discovers_binaries && sources })
}

fn read_text(entry: &mut impl Read, most: u64, name: &str) -> io::Result<String> {
    let mut text = String::new();
    entry.take(most + 1).read_to_string(&mut text)?;
    if text.len() as u64 > most {
        return Err(io::Error::other(format!("its {name} is larger than {} MiB", most >> 20)));
    }
    Ok(text)
}

/// The binaries of a manifest (cargo: src/cargo/util/toml/targets.rs).
struct BinaryTargets {
    package: String,
    /// The names of the listed binaries.
    listed: BTreeSet<String>,
    /// `cargo install` builds a listed binary: it needs no feature outside the default ones. For others, cargo warns that
    /// none is available, and installs nothing (tested with cargo 1.95).
    installs_listed: bool,
    /// Files in the default locations of binaries count as binaries.
    discovers_binaries: bool,
}

impl BinaryTargets {
    /// An unreadable manifest has no binaries: cargo rejects such a package.
    fn parse(manifest: &str) -> BinaryTargets {
        let manifest: toml::Table = manifest.parse().unwrap_or_default();
        let bins = manifest.get("bin").and_then(toml::Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let package = |key: &str| manifest.get("package").and_then(|package| package.get(key));
        let default_features = default_features(&manifest);
        let is_installed = |bin: &toml::Value| {
            let required = bin.get("required-features").and_then(toml::Value::as_array);
            // Whether `DEPENDENCY/FEATURE` is enabled depends on the dependency; a lock too much does no harm.
            let is_enabled = |feature: &str| feature.contains('/') || default_features.contains(feature);
            required.is_none_or(|required| required.iter().filter_map(toml::Value::as_str).all(is_enabled))
        };
        BinaryTargets {
            package: package("name").and_then(toml::Value::as_str).unwrap_or_default().to_owned(),
            listed: bins.iter().filter_map(|bin| Some(bin.get("name")?.as_str()?.to_owned())).collect(),
            installs_listed: bins.iter().any(is_installed),
            discovers_binaries: package("autobins").and_then(toml::Value::as_bool) != Some(false),
        }
    }

    /// Whether files decide if there is a binary to install.
    fn is_unfinished(&self) -> bool {
        !self.installs_listed && self.discovers_binaries
    }

    /// Whether the manifest lists the binary that cargo would discover under this name; an empty one is the package's.
    fn lists(&self, name: &str) -> bool {
        self.listed.contains(if name.is_empty() { self.package.as_str() } else { name })
    }
}

/// The features of the package that `default` enables.
fn default_features(manifest: &toml::Table) -> BTreeSet<&str> {
    let features = manifest.get("features").and_then(toml::Value::as_table);
    let (mut enabled, mut next) = (BTreeSet::new(), vec!["default"]);
    while let Some(feature) = next.pop() {
        // `dep/feature` also enables the feature `dep` of an optional dependency; `dep:name` and `dep?/feature` do not.
        let feature = feature.split_once('/').map_or(feature, |(dependency, _)| dependency);
        if feature.starts_with("dep:") || feature.ends_with('?') || !enabled.insert(feature) {
            continue;
        }
        let more = features.and_then(|features| features.get(feature)?.as_array());
        next.extend(more.into_iter().flatten().filter_map(toml::Value::as_str));
    }
    enabled
}

/// The name of the binary whose main file cargo discovers at this path: src/bin/NAME.rs or src/bin/NAME/main.rs; empty
/// for src/main.rs, whose binary has the package's name.
fn discovered_binary(path: &[u8]) -> Option<&str> {
    if path == b"src/main.rs" {
        return Some("");
    }
    let name = path.strip_prefix(b"src/bin/")?;
    let name = name.strip_suffix(b"/main.rs").or_else(|| name.strip_suffix(b".rs"))?;
    str::from_utf8(name).ok().filter(|name| !name.is_empty() && !name.contains('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};

    fn packed(folder: &Path, entries: &[(&str, tar::EntryType, &[u8])]) -> PathBuf {
        let path = folder.join("tool-1.0.0.crate");
        let file = File::create(&path).expect("create");
        let mut builder = tar::Builder::new(GzEncoder::new(file, Compression::fast()));
        for (name, kind, bytes) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            if *kind == tar::EntryType::Symlink {
                header.set_link_name("/etc/passwd").expect("short");
            }
            builder.append_data(&mut header, name, *bytes).expect("append");
        }
        builder.into_inner().and_then(GzEncoder::finish).expect("finish");
        path
    }

    #[test]
    fn only_a_regular_lock_file_of_the_crate_is_read() {
        use tar::EntryType::{Regular, Symlink};
        let folder = tempfile::tempdir().expect("temporary folder");
        let id = CrateId::parse("tool", "1.0.0").expect("valid");
        let long = format!("tool-1.0.0/{}", "n".repeat(150));
        let path = packed(
            folder.path(),
            &[
                (&long, Regular, b"x"),
                ("Cargo.lock", Regular, b"not this"),
                ("tool-1.0.0/Cargo.lock", Symlink, b""),
                ("tool-1.0.0/tests/Cargo.lock", Regular, b"nor this"),
                ("tool-1.0.0/Cargo.lock", Regular, b"version = 4\n"),
            ],
        );
        let packaged = read(&path, &id).expect("read");
        assert_eq!(packaged, PackagedCrate { lock: Some("version = 4\n".to_owned()), has_binaries: false });
        let other = CrateId::parse("tool", "1.0.1").expect("valid");
        assert_eq!(read(&path, &other).expect("read"), PackagedCrate::default());
    }

    #[test]
    fn binaries_are_found_as_cargo_finds_them() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let id = CrateId::parse("tool", "1.0.0").expect("valid");
        let package = "[package]\nname = \"tool\"\n";
        for (manifest, files, binaries) in [
            ("", &["src/lib.rs", "src/binary.rs", "src/bin/deep/er/main.rs", "examples/main.rs"][..], false),
            ("", &["src/main.rs"], true),
            ("", &["src/bin/one.rs"], true),
            ("", &["src/bin/one/main.rs"], true),
            ("", &["src/bin/one/other.txt", "src/bin/.rs"], false),
            ("autobins = false\n", &["src/main.rs"], false),
            ("autobins = false\n[[bin]]\nname = \"tool\"\npath = \"cli.rs\"\n", &[], true),
            ("bin = []\n", &["src/lib.rs"], false),
            // A binary for tests needs a feature that is off; its file is not another binary.
            (
                "[[bin]]\nname = \"t\"\nrequired-features = [\"test\"]\n[features]\ntest = []\n",
                &["src/bin/t.rs"],
                false,
            ),
            ("[[bin]]\nname = \"tool\"\nrequired-features = [\"test\"]\n", &["src/main.rs"], false),
            ("[[bin]]\nname = \"t\"\nrequired-features = [\"test\"]\n", &["src/bin/t.rs", "src/main.rs"], true),
            ("[[bin]]\nname = \"t\"\nrequired-features = [\"test\"]\n[[bin]]\nname = \"u\"\n", &[], true),
            (
                "[[bin]]\nname = \"t\"\nrequired-features = [\"c\"]\n[features]\ndefault = [\"a\"]\na = [\"c\", \"dep:d\"]\n",
                &[],
                true,
            ),
            (
                "[[bin]]\nname = \"t\"\nrequired-features = [\"d\"]\n[features]\ndefault = [\"dep:d\", \"d?/x\"]\n",
                &[],
                false,
            ),
            (
                "[[bin]]\nname = \"t\"\nrequired-features = [\"d\", \"d/x\"]\n[features]\ndefault = [\"d/x\"]\n",
                &[],
                true,
            ),
        ] {
            let manifest = format!("{package}{manifest}");
            // In cargo's order: the lock comes before the manifest, and the sources come after both.
            let names = ["Cargo.lock", "Cargo.toml"].iter().chain(files).map(|name| format!("tool-1.0.0/{name}"));
            let names: Vec<String> = names.collect();
            let entries: Vec<_> = names
                .iter()
                .map(|name| {
                    let text = if name.ends_with("Cargo.toml") { manifest.as_bytes() } else { b"version = 4\n" };
                    (name.as_str(), tar::EntryType::Regular, text)
                })
                .collect();
            let path = packed(folder.path(), &entries);
            let packaged = read(&path, &id).expect("read");
            assert_eq!(packaged.has_binaries, binaries, "{manifest} {files:?}");
            assert!(packaged.lock.is_some());
        }
    }

    #[test]
    fn invalid_archives_and_huge_locks_are_errors() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let id = CrateId::parse("tool", "1.0.0").expect("valid");
        let path = folder.path().join("broken.crate");
        std::fs::write(&path, b"\x1f\x8bnonsense").expect("write");
        assert!(read(&path, &id).is_err());
        let huge = b"#".repeat(usize::try_from(MAX_LOCK + 1).expect("small"));
        let path = packed(folder.path(), &[("tool-1.0.0/Cargo.lock", tar::EntryType::Regular, &huge)]);
        let error = read(&path, &id).expect_err("too large");
        assert!(error.source.to_string().contains("16 MiB"));
    }
}
