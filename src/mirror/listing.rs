//! Lists the files of a mirror by name, without reading them.

use std::collections::{BTreeMap, HashSet};
use std::fs::FileType;
use std::path::PathBuf;

use super::disk::{self, Entry, is_index_path};
use super::layout::Layout;
use super::transaction::Error;

/// Every folder of a mirror that clients read, and the records of index lines.
pub(super) struct Listing {
    /// The entries of crates/ without `index`, by name. Most need no parsing in a collection.
    pub(super) crates: Vec<(String, FileType)>,
    /// index/ without `config.json`.
    pub(super) index: Tree,
    /// .frostmirror/lines/.
    pub(super) index_meta: Tree,
    /// dist/ and rustup/.
    pub(super) dist_files: Vec<Tree>,
}

/// A folder with everything below it.
pub(super) struct Tree {
    root: PathBuf,
    /// Its path in the mirror.
    name: &'static str,
    /// Files that may exist there, as paths below the folder with `/`.
    pub(super) files: Vec<String>,
    /// Folders, in the same form.
    folders: Vec<String>,
    /// Other entries.
    pub(super) unexpected: Vec<Unexpected>,
}

/// An entry that does not belong in its folder.
pub(super) struct Unexpected {
    /// Its path in the mirror.
    pub(super) path: String,
    /// Whether a file could have this name; this is none.
    pub(super) is_file_name: bool,
}

impl Listing {
    /// Lists all folders. A tree of small folders takes as long to list as all crates, so they are listed in parallel.
    pub(super) fn read(layout: &Layout) -> Result<Listing, Error> {
        let (crates, trees) = std::thread::scope(|scope| {
            let trees = [("index", layout.index()), (".frostmirror/lines", layout.index_meta())]
                .map(|(name, root)| scope.spawn(move || Tree::of_index(name, root)));
            let crates = disk::read_folder(&layout.crates());
            (crates, trees.map(|tree| tree.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))))
        });
        let (mut crates, [index, index_meta]) = (crates?, trees);
        crates.retain(|(name, _)| name != "index");
        Ok(Listing { crates, index: index?, index_meta: index_meta?, dist_files: Tree::of_dist_files(layout)? })
    }
}

impl Tree {
    /// Lists a folder of index paths, which have two or three components: `1/a`, `se/rd/serde`.
    fn of_index(name: &'static str, root: PathBuf) -> Result<Tree, Error> {
        let is_config = |path: &str| name == "index" && path == "config.json";
        let mut tree = Tree { root, name, files: Vec::new(), folders: Vec::new(), unexpected: Vec::new() };
        for entry in disk::list(&tree.root, 2)?.into_iter().filter(|one| !(is_config(&one.path) && one.kind.is_file()))
        {
            let is_file_name = !entry.is_listed && is_index_path(&entry.path);
            tree.add(entry, is_file_name);
        }
        Ok(tree)
    }

    /// Lists dist/ and rustup/. The target of a link does not belong to the mirror.
    pub(super) fn of_dist_files(layout: &Layout) -> Result<Vec<Tree>, Error> {
        let list = |name: &'static str| {
            let root = layout.root().join(name);
            let mut tree = Tree { root, name, files: Vec::new(), folders: Vec::new(), unexpected: Vec::new() };
            if tree.root.is_symlink() {
                tree.unexpected.push(Unexpected { path: name.to_owned(), is_file_name: false });
            } else {
                disk::list(&tree.root, usize::MAX)?.into_iter().for_each(|entry| tree.add(entry, true));
            }
            Ok(tree)
        };
        ["dist", "rustup"].into_iter().map(list).collect()
    }

    fn add(&mut self, Entry { path, kind, is_listed }: Entry, is_file_name: bool) {
        if is_listed {
            self.folders.push(path);
        } else if is_file_name && kind.is_file() {
            self.files.push(path);
        } else {
            self.unexpected.push(Unexpected { path: format!("{}/{path}", self.name), is_file_name });
        }
    }

    /// The paths of its files in the mirror.
    pub(super) fn paths(&self) -> impl Iterator<Item = String> {
        self.files.iter().map(|path| format!("{}/{path}", self.name))
    }

    /// The folders below the root that are empty without the removed files, nested ones first. `is_removed` gets paths
    /// below the root.
    pub(super) fn empty_folders(&self, is_removed: impl Fn(&str) -> bool) -> Vec<PathBuf> {
        let mut counts: BTreeMap<&str, usize> = self.folders.iter().map(|path| (path.as_str(), 0)).collect();
        let files = self.files.iter().filter(|path| !is_removed(path)).chain(&self.folders).map(String::as_str);
        let unexpected = self.unexpected.iter().filter_map(|one| one.path.strip_prefix(self.name)?.strip_prefix('/'));
        for path in files.chain(unexpected) {
            if let Some(count) = counts.get_mut(parent(path)) {
                *count += 1;
            }
        }
        let mut empty = Vec::new();
        // In reverse order, nested folders come first.
        for path in counts.keys().rev().copied().collect::<Vec<_>>() {
            if counts.get(path) == Some(&0) {
                if let Some(count) = counts.get_mut(parent(path)) {
                    *count -= 1;
                }
                empty.push(self.root.join(path));
            }
        }
        empty
    }

    /// The same including the root, if nothing remains in it. `removed` are paths of files in the mirror.
    pub(super) fn empty_folders_and_root(&self, removed: &HashSet<&str>) -> Vec<PathBuf> {
        let is_removed = |path: &str| removed.contains(format!("{}/{path}", self.name).as_str());
        let mut empty = self.empty_folders(is_removed);
        let remains = self.files.iter().any(|path| !is_removed(path)) || !self.unexpected.is_empty();
        if !remains && empty.len() == self.folders.len() && self.root.is_dir() {
            empty.push(self.root.clone());
        }
        empty
    }
}

/// The path of the folder in which `path` is.
fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn folders_that_become_empty_are_removed_with_their_parents() {
        let folder = tempfile::tempdir().expect("temporary folder");
        for place in ["3/a", "se/rd", "se/ve", "em/pt", "lo/st/folder"] {
            fs::create_dir_all(folder.path().join(place)).expect("folder");
        }
        for place in ["config.json", "3/a/abc", "se/rd/serde", "se/ve/seven"] {
            fs::write(folder.path().join(place), "x").expect("write");
        }
        let tree = Tree::of_index("index", folder.path().to_owned()).expect("listed");
        assert_eq!((tree.files.len(), tree.unexpected.len()), (3, 1));
        let empty = tree.empty_folders(|path| ["3/a/abc", "se/rd/serde"].contains(&path));
        let expected = ["se/rd", "em/pt", "em", "3/a", "3"].map(|place| folder.path().join(place));
        assert_eq!(empty, expected);
        let all = tree.empty_folders_and_root(&["index/3/a/abc", "index/se/rd/serde", "index/se/ve/seven"].into());
        assert!(!all.contains(&folder.path().to_owned()), "an unexpected entry stays");
    }
}
