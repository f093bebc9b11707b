//! Scans the files on disk: index files with the versions of their lines, the records of these lines, and crates. The
//! scan uses names, sizes and the versions in index lines; it does not read the bytes of crates.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Error;
use super::lineages::KeepSet;
use crate::crate_id::CrateName;
use crate::mirror::disk;
use crate::mirror::layout::Layout;
use crate::mirror::transaction::failed;

/// Maximum folder depth of an index path.
pub(super) const MAX_INDEX_DEPTH: usize = 3;

/// One tree of index paths: index/ or lines/.
pub(super) struct DirScan {
    root: PathBuf,
    /// Files in it, as paths below the root with `/`.
    pub(super) files: Vec<String>,
    /// Entries that are neither a file nor a folder, and folders that are too deep.
    pub(super) unexpected: Vec<String>,
    /// How many remaining entries each folder has.
    folders: BTreeMap<String, usize>,
}

impl DirScan {
    /// Lists the tree below `root`, which may be absent, down to the depth `limit`.
    pub(super) fn list(root: PathBuf, limit: usize) -> Result<DirScan, Error> {
        let mut tree = DirScan { root, files: Vec::new(), unexpected: Vec::new(), folders: BTreeMap::new() };
        if tree.root.is_dir() {
            tree.folders.insert(String::new(), 0);
        }
        for disk::Entry { path, kind, is_listed } in disk::list(&tree.root, limit)? {
            let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            *tree.folders.entry(folder.to_owned()).or_default() += 1;
            if is_listed {
                tree.folders.entry(path).or_default();
            } else if kind.is_file() {
                tree.files.push(path);
            } else {
                tree.unexpected.push(path);
            }
        }
        Ok(tree)
    }

    /// Marks a file as removed.
    pub(super) fn mark_removed(&mut self, path: &str) {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        if let Some(count) = self.folders.get_mut(folder) {
            *count -= 1;
        }
    }

    /// The folders below the root that become empty, nested ones first.
    pub(super) fn empty_folders(mut self) -> Vec<PathBuf> {
        self.folders.remove("");
        self.empty_folders_and_root()
    }

    /// The same, including the root.
    pub(super) fn empty_folders_and_root(mut self) -> Vec<PathBuf> {
        let mut empty = Vec::new();
        // In reverse order, nested folders come first.
        let places: Vec<String> = self.folders.keys().rev().cloned().collect();
        for place in places {
            if self.folders.get(&place) == Some(&0) {
                if place.is_empty() {
                    empty.push(self.root.clone());
                } else {
                    self.mark_removed(&place);
                    empty.push(self.root.join(place));
                }
            }
        }
        empty
    }
}

/// One index file with lines to decide about, or its records, or both.
pub(super) struct IndexEntry {
    /// The path relative to index/ and to lines/.
    pub(super) path: String,
    /// Versions of lines that no lineage needs.
    pub(super) unreferenced: Vec<String>,
    /// Whether the index file has other lines.
    pub(super) has_others: bool,
    /// Recorded versions, if there are records.
    pub(super) recorded: Vec<String>,
    /// Recorded versions that have no line and that no lineage needs.
    pub(super) orphans: Vec<String>,
    /// Number of unreadable lines of the index file.
    pub(super) unreadable: usize,
}

#[derive(Deserialize)]
struct VersionOnly<'a> {
    #[serde(borrow)]
    vers: Cow<'a, str>,
}

/// The version of an index line; `None` if it cannot be read.
pub(super) fn version_of(line: &[u8]) -> Option<Cow<'_, str>> {
    serde_json::from_slice(line).ok().map(|line: VersionOnly| line.vers)
}

/// The nonempty lines of a file.
pub(super) fn nonempty_lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty())
}

/// The version of a line in lines/.
pub(super) fn version_of_meta(line: &[u8]) -> Option<&str> {
    std::str::from_utf8(line.split(|byte| *byte == b' ').next()?).ok()
}

impl IndexEntry {
    /// Reads the index file at `path` and its records, either of which may be absent.
    pub(super) fn read(layout: &Layout, path: &str, current: &mut KeepSet) -> Result<IndexEntry, Error> {
        let text = read_or_empty(&layout.index().join(path))?;
        let records = read_or_empty(&layout.index_meta().join(path))?;
        let mut page = IndexEntry {
            path: path.to_owned(),
            unreferenced: Vec::new(),
            has_others: false,
            recorded: Vec::new(),
            orphans: Vec::new(),
            unreadable: 0,
        };
        let mut there: HashSet<Cow<str>> = HashSet::new();
        for line in nonempty_lines(&text) {
            let Some(version) = version_of(line) else {
                page.unreadable += 1;
                page.has_others = true;
                continue;
            };
            if current.has_line(path, &version) {
                page.has_others = true;
            } else {
                page.unreferenced.push(version.clone().into_owned());
            }
            there.insert(version);
        }
        for version in nonempty_lines(&records).filter_map(version_of_meta) {
            page.recorded.push(version.to_owned());
            if !there.contains(version) && !current.has_line(path, version) {
                page.orphans.push(version.to_owned());
            }
        }
        Ok(page)
    }

    /// Whether there is nothing to decide.
    pub(super) fn needs_no_change(&self) -> bool {
        self.unreferenced.is_empty() && self.orphans.is_empty() && self.unreadable == 0
    }
}

/// Whether the path can be an index file of a crate.
pub(super) fn is_index_path(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.parse::<CrateName>().is_ok_and(|name| name.index_path() == path)
}

/// A `.crate` file.
pub(super) struct CrateFile {
    pub(super) name: String,
    pub(super) size: u64,
}

/// Every `.crate` file by name, and the names of other entries in the folder.
pub(super) fn list_crate_files(layout: &Layout) -> Result<(Vec<CrateFile>, Vec<String>), Error> {
    let (mut files, mut others) = (Vec::new(), Vec::new());
    for (name, kind) in disk::read_folder(&layout.crates())? {
        let path = layout.crates().join(&name);
        if kind.is_file() && name.ends_with(".crate") {
            let size = fs::symlink_metadata(&path).map_err(failed("read", &path))?.len();
            files.push(CrateFile { name, size });
        } else if name != "index" {
            others.push(name);
        }
    }
    files.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok((files, others))
}

/// The bytes of a file; empty if it does not exist.
pub(super) fn read_or_empty(path: &Path) -> Result<Vec<u8>, Error> {
    Ok(disk::read_if_present(path)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_that_become_empty_are_removed_with_their_parents() {
        let folder = tempfile::tempdir().expect("temporary folder");
        for place in ["3/a", "se/rd", "se/ve", "em/pt"] {
            fs::create_dir_all(folder.path().join(place)).expect("folder");
        }
        for place in ["config.json", "3/a/abc", "se/rd/serde", "se/ve/seven"] {
            fs::write(folder.path().join(place), "x").expect("write");
        }
        let mut tree = DirScan::list(folder.path().to_owned(), MAX_INDEX_DEPTH).expect("listed");
        assert_eq!(tree.files.len(), 4);
        tree.mark_removed("3/a/abc");
        tree.mark_removed("se/rd/serde");
        let empty: Vec<PathBuf> = tree.empty_folders();
        // The root stays, because it has another file.
        let expected = ["se/rd", "em/pt", "em", "3/a", "3"].map(|place| folder.path().join(place));
        assert_eq!(empty, expected);
    }

    #[test]
    fn only_paths_of_crate_names_are_index_paths() {
        assert!(is_index_path("se/rd/serde") && is_index_path("1/a") && is_index_path("3/a/abc"));
        assert!(!is_index_path("config.json") && !is_index_path("se/rd/Serde") && !is_index_path("xx/xx/serde"));
        assert!(!is_index_path("se/rd/.part-x"));
    }

    #[test]
    fn versions_are_read_and_damaged_lines_skipped() {
        let text = b"{\"name\":\"a\",\"vers\":\"1.0.0+b\",\"deps\":[{}]}\n\n{\"name\"\r\n";
        let versions: Vec<_> = nonempty_lines(text).map(version_of).collect();
        assert_eq!(versions, [Some("1.0.0+b".into()), None]);
        assert_eq!(version_of_meta(b"1.0.0 x y"), Some("1.0.0"));
    }
}
