//! Which crates the mirror holds: their names, kept in memory, and of those that are asked for what their files say.
//!
//! Names come from the paths of index files alone. The list is made anew when the mirror's head has changed, which every
//! import and every collection replaces, and when it is old.

use std::collections::HashMap;
use std::fs::{self, ReadDir};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Serialize;

use super::asked::Page;
use super::imports::Stamp;
use super::origins::{Origins, View};
use super::search::{self, Fit, Found, Words, folded};
use crate::crate_id::{CrateName, Version};
use crate::digest::Sha256;
use crate::failure::Failure;
use crate::index_line::IndexLine;
use crate::mirror::layout::Layout;
use crate::mirror::lines;

/// How long a list of names is used whose mirror has a head, which tells of changes.
const KEPT: Duration = Duration::from_secs(300);
/// The same without one, as in a tree that was copied by hand.
const KEPT_WITHOUT_HEAD: Duration = Duration::from_secs(2);
/// Names that are listed; crates.io has a fifth of it.
const MOST_NAMES: usize = 1_000_000;
/// Bytes of an index file that is read; the greatest of crates.io has a tenth of it.
const MOST_TEXT: u64 = 64 * 1024 * 1024;
/// Versions of one crate in a list of crates.
pub(super) const MOST_VERSIONS: usize = 50;

/// A crate with its newest versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct Held {
    /// Its name.
    pub(super) name: String,
    /// What it is, as the newest bundle says that knows it; on one line and shortened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<String>,
    /// How many versions the index lists.
    pub(super) versions_total: u64,
    /// The newest first, no more than fifty.
    pub(super) versions: Vec<HeldVersion>,
}

/// A crate with a part of its versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct One {
    /// Its name.
    pub(super) name: String,
    /// What it is, as the newest bundle says that knows it; on one line and shortened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<String>,
    /// How many versions the index lists.
    pub(super) versions_total: u64,
    /// Bytes of the files of all versions that are held.
    pub(super) bytes: u64,
    /// The number of this part, from 1.
    pub(super) page: u64,
    /// Versions in each part.
    pub(super) per_page: u64,
    /// Whether every record of an import was read by now; where not, `bundle` may be absent although one did bring it.
    pub(super) bundles_known: bool,
    /// The versions of this part, the newest first.
    pub(super) versions: Vec<HeldVersion>,
}

/// A version that the index lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct HeldVersion {
    /// The version.
    pub(super) version: String,
    /// Bytes of its file; absent where that is not held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bytes: Option<u64>,
    /// The digest that its file must have.
    pub(super) sha256: String,
    /// Whether it is yanked.
    pub(super) yanked: bool,
    /// Whether a platform filter left its file out, so that it can be resolved and not be built.
    pub(super) index_only: bool,
    /// The file of the first bundle on record that brought it; absent where none did, or where that is not known yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bundle: Option<String>,
}

/// A part of the list of crates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct Listed {
    /// Crates that were found.
    pub(super) total: u64,
    /// The number of this part, from 1.
    pub(super) page: u64,
    /// Crates in each part.
    pub(super) per_page: u64,
    /// Whether every record of an import was read by now; where not, `bundle` may be absent although one did bring it.
    pub(super) bundles_known: bool,
    /// The crates of this part, by name.
    pub(super) crates: Vec<Held>,
}

/// The names, and what is known of where crates came from.
#[derive(Default)]
pub(super) struct Holdings {
    names: Mutex<Option<Names>>,
    origins: Origins,
}

struct Names {
    head: Option<Stamp>,
    listed: Instant,
    names: Arc<[Box<str>]>,
}

impl Holdings {
    /// A part of those crates whose name has `word` in it, those first that are called so. Hyphens and underscores are one,
    /// and so are capital and small letters.
    ///
    /// # Errors
    /// The file system's.
    pub(super) fn search(&self, layout: &Layout, word: &str, page: Page) -> Result<Listed, Failure> {
        let names = self.names(layout)?;
        let word = folded(word.trim());
        let mut found: Vec<&str> =
            names.iter().map(|name| &**name).filter(|name| word.is_empty() || folded(name).contains(&word)).collect();
        if let Some(at) = found.iter().position(|name| folded(name) == word) {
            found[..=at].rotate_right(1);
        }
        let origins = self.origins.view(layout);
        let descriptions = origins.descriptions();
        let newest = Page { number: 1, size: MOST_VERSIONS };
        let mut crates = Vec::new();
        for name in page.of(&found) {
            // One that went since it was listed is left out.
            let Ok(name) = name.parse::<CrateName>() else { continue };
            let lines = sorted_lines_of(layout, &name)?;
            let Some(first) = lines.first() else { continue };
            crates.push(Held {
                name: first.id.name.to_string(),
                description: descriptions.of(name.as_str()).map(str::to_owned),
                versions_total: lines.len() as u64,
                versions: versions(layout, &name, newest.of(&lines), &origins)?,
            });
        }
        let (total, number, size) = (found.len() as u64, page.number as u64, page.size as u64);
        Ok(Listed { total, page: number, per_page: size, bundles_known: origins.complete, crates })
    }

    /// The crates whose names or descriptions have these words, the best first: how many, and a part of them.
    ///
    /// # Errors
    /// The file system's.
    pub(super) fn found(&self, layout: &Layout, words: &Words, page: Page) -> Result<(u64, Vec<Found>), Failure> {
        let names = self.names(layout)?;
        let descriptions = self.origins.view(layout).descriptions();
        let fit = |name: &'_ str| words.fit(name, descriptions.of(name));
        let mut fitting: Vec<(Fit, &str)> = names.iter().filter_map(|name| Some((fit(name)?, &**name))).collect();
        fitting.sort_unstable();
        let mut found = Vec::new();
        for (fit, name) in page.of(&fitting) {
            let Ok(name) = name.parse::<CrateName>() else { continue };
            let lines = lines_of(layout, &name)?;
            // One that went since it was listed is left out.
            let Some(best) = search::best(layout, &lines) else { continue };
            let spelled = best.id.name.to_string();
            let version = best.id.version.to_string();
            found.push(Found {
                id: spelled.clone(),
                description: descriptions.of(name.as_str()).map(str::to_owned),
                max_stable_version: best.id.version.pre.is_empty().then(|| version.clone()),
                max_version: version,
                exact_match: *fit == Fit::Named,
                name: spelled,
            });
        }
        Ok((fitting.len() as u64, found))
    }

    /// One crate with a part of its versions; `None` where the index does not list it.
    ///
    /// # Errors
    /// The file system's.
    pub(super) fn one(&self, layout: &Layout, name: &CrateName, page: Page) -> Result<Option<One>, Failure> {
        let lines = sorted_lines_of(layout, name)?;
        let Some(first) = lines.first() else { return Ok(None) };
        let origins = self.origins.view(layout);
        let small = name.as_str().to_ascii_lowercase();
        Ok(Some(One {
            name: first.id.name.to_string(),
            description: origins.descriptions().of(&small).map(str::to_owned),
            versions_total: lines.len() as u64,
            bytes: lines.iter().filter_map(|line| size_of(layout, line)).fold(0, u64::saturating_add),
            page: page.number as u64,
            per_page: page.size as u64,
            bundles_known: origins.complete,
            versions: versions(layout, name, page.of(&lines), &origins)?,
        }))
    }

    /// The names of all crates, small letters only, sorted.
    fn names(&self, layout: &Layout) -> Result<Arc<[Box<str>]>, Failure> {
        let path = layout.head();
        let head =
            Stamp::of(&path).map_err(|error| Failure::io(format!("could not read `{}`", path.display()), error))?;
        let kept_for = if head.is_some() { KEPT } else { KEPT_WITHOUT_HEAD };
        // One list is made at a time; who comes meanwhile waits for it, instead of making another.
        let mut kept = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(names) = kept.as_ref().filter(|names| names.head == head && names.listed.elapsed() < kept_for) {
            return Ok(Arc::clone(&names.names));
        }
        let listed = Instant::now();
        let mut names = Vec::new();
        list(&layout.index(), &layout.index(), 3, &mut names)
            .map_err(|error| Failure::io(format!("could not list `{}`", layout.index().display()), error))?;
        names.sort_unstable();
        let names: Arc<[Box<str>]> = names.into();
        *kept = Some(Names { head, listed, names: Arc::clone(&names) });
        Ok(names)
    }
}

/// Adds the names of all index files in `folder` and in the folders down to `depth` below it; links are not followed.
fn list(root: &Path, folder: &Path, depth: u32, names: &mut Vec<Box<str>>) -> io::Result<()> {
    let entries: ReadDir = match fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound || e.kind() == io::ErrorKind::NotADirectory => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let (kind, path) = (entry.file_type()?, entry.path());
        if kind.is_dir() && depth > 0 {
            list(root, &path, depth - 1, names)?;
        } else if kind.is_file() && names.len() < MOST_NAMES {
            let name = entry.file_name().to_str().and_then(|name| name.parse::<CrateName>().ok());
            let place = path.strip_prefix(root).ok();
            names.extend(
                name.filter(|name| place == Some(Path::new(&name.index_path()))).map(|name| name.as_str().into()),
            );
        }
    }
    Ok(())
}

/// What the index, the records and the files say of these versions of one crate.
fn versions(
    layout: &Layout,
    name: &CrateName,
    lines: &[IndexLine],
    origins: &View<'_>,
) -> Result<Vec<HeldVersion>, Failure> {
    let records = text_of(&layout.line_records(name))?.unwrap_or_default();
    let records: HashMap<(Version, Sha256), bool> =
        lines::parse(&records).into_iter().map(|record| ((record.version, record.line), record.index_only)).collect();
    let version = |line: &IndexLine| {
        let version = line.id.version.to_string();
        let bytes = size_of(layout, line);
        let recorded = records.get(&(line.id.version.clone(), Sha256::of(line.raw.as_bytes())));
        HeldVersion {
            bytes,
            sha256: line.cksum.to_string(),
            yanked: line.yanked,
            index_only: bytes.is_none() && recorded == Some(&true),
            bundle: origins.of(line.id.name.as_str(), &version).map(|file| file.to_string()),
            version,
        }
    };
    Ok(lines.iter().map(version).collect())
}

/// Bytes of a version's file; `None` where that is not held.
fn size_of(layout: &Layout, line: &IndexLine) -> Option<u64> {
    let about = fs::symlink_metadata(layout.crate_file(&line.id)).ok().filter(fs::Metadata::is_file);
    about.as_ref().map(fs::Metadata::len)
}

/// What the index lists of one crate, the newest version first.
fn sorted_lines_of(layout: &Layout, name: &CrateName) -> Result<Vec<IndexLine>, Failure> {
    let mut lines = lines_of(layout, name)?;
    lines.sort_by(|a, b| b.id.version.cmp(&a.id.version));
    Ok(lines)
}

/// What the index lists of one crate.
fn lines_of(layout: &Layout, name: &CrateName) -> Result<Vec<IndexLine>, Failure> {
    let Some(text) = text_of(&layout.index_file(name))? else { return Ok(Vec::new()) };
    let place = name.index_path();
    // What stands in another crate's file is of no crate.
    Ok(IndexLine::parse_file(&text).filter(|line| line.id.name.index_path() == place).collect())
}

/// The text of a file that is no link; `None` where there is none, or none that could be an index file.
fn text_of(path: &Path) -> Result<Option<String>, Failure> {
    let failed = |error| Failure::io(format!("could not read `{}`", path.display()), error);
    match fs::symlink_metadata(path) {
        Ok(about) if about.is_file() && about.len() <= MOST_TEXT => {}
        Ok(_) => return Ok(None),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(None),
        Err(e) => return Err(failed(e)),
    }
    match fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(failed(e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, version: &str, yanked: bool) -> String {
        let cksum = Sha256::of(version.as_bytes());
        format!(
            r#"{{"name":"{name}","vers":"{version}","deps":[],"cksum":"{cksum}","features":{{}},"yanked":{yanked}}}"#
        )
    }

    #[test]
    fn what_is_held_is_found_by_any_part_of_its_name() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let layout = Layout::new(folder.path());
        let put = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("folder");
            fs::write(path, text).expect("write");
        };
        let holdings = Holdings::default();
        let page = Page { number: 1, size: 10 };
        let found = |word: &str| {
            *holdings.names.lock().expect("sound") = None;
            let listed = holdings.search(&layout, word, page).expect("read");
            listed.crates.iter().map(|one| one.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(found(""), Vec::<String>::new());
        put("index/fo/o_/Foo_Bar".to_lowercase().as_str(), &format!("{}\n", line("Foo_Bar", "1.0.0", false)));
        put("index/3/b/bar", &format!("{}\n{}\n", line("bar", "1.2.0", true), line("bar", "1.10.0", false)));
        put("index/config.json", "{}");
        put("index/3/b/misplaced", &line("misplaced", "1.0.0", false));
        put("index/2/b2", "no line\n");
        put("crates/bar-1.10.0.crate", "12345");
        assert_eq!(found(""), ["bar", "Foo_Bar"]);
        assert_eq!(found("foo-b"), ["Foo_Bar"]);
        assert_eq!(found("BAR"), ["bar", "Foo_Bar"]);
        assert_eq!(found("../"), Vec::<String>::new());
        let one = |name: &str, page| holdings.one(&layout, &name.parse().expect("name"), page).expect("read");
        let bar = one("bar", page).expect("held");
        let told: Vec<_> = bar.versions.iter().map(|one| (one.version.as_str(), one.bytes, one.yanked)).collect();
        assert_eq!(told, [("1.10.0", Some(5), false), ("1.2.0", None, true)]);
        let second = one("bar", Page { number: 2, size: 1 }).expect("held");
        assert_eq!((second.versions.len(), second.versions[0].version.as_str()), (1, "1.2.0"));
        assert_eq!((second.versions_total, second.bytes), (2, 5), "said of all, whatever the part");
        assert_eq!(one("bar", Page { number: 3, size: 1 }).expect("held").versions, []);
        assert_eq!(one("config", page), None);
    }
}
