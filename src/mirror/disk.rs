//! Reads files and folders of a mirror, which may be missing.

use std::fs::{self, FileType};
use std::path::Path;

use super::layout::Layout;
use super::transaction::{Error, failed};
use crate::crate_id::CrateName;
use crate::durable;

/// An entry below a folder.
pub(super) struct Entry {
    /// Its path below the folder, with `/`.
    pub(super) path: String,
    /// Its type; links are not followed.
    pub(super) kind: FileType,
    /// Whether its own entries are listed too.
    pub(super) is_listed: bool,
}

/// The bytes of a file; `None` if it does not exist.
pub(super) fn read_if_present(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    durable::if_exists(fs::read(path)).map_err(failed("read", path))
}

/// The text of an internal file, `None` if it does not exist. Bytes that are not UTF-8 become invalid lines.
pub(super) fn read_text(path: &Path) -> Result<Option<String>, Error> {
    Ok(read_if_present(path)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// Names and types of the entries of `folder`; none if it does not exist. Names that are not UTF-8 are changed to be
/// valid, and then match no file of a mirror.
pub(super) fn read_folder(folder: &Path) -> Result<Vec<(String, FileType)>, Error> {
    let listed = durable::if_exists(fs::read_dir(folder)).map_err(failed("list", folder))?;
    listed
        .into_iter()
        .flatten()
        .map(|entry| {
            let entry = entry.map_err(failed("list", folder))?;
            let kind = entry.file_type().map_err(failed("list", folder))?;
            Ok((entry.file_name().to_string_lossy().into_owned(), kind))
        })
        .collect()
}

/// The names of the entries of `folder` that are UTF-8.
pub(super) fn read_names(folder: &Path) -> Result<impl Iterator<Item = String> + use<>, Error> {
    let names = read_folder(folder)?.into_iter().map(|(name, _)| name);
    Ok(names.filter(|name| !name.contains(char::REPLACEMENT_CHARACTER)))
}

/// Everything below `root` and its subfolders down to `depth`. A folder comes before its entries.
pub(super) fn list(root: &Path, depth: usize) -> Result<Vec<Entry>, Error> {
    let mut found = Vec::new();
    list_below(root, "", depth, &mut found)?;
    Ok(found)
}

fn list_below(folder: &Path, above: &str, depth: usize, found: &mut Vec<Entry>) -> Result<(), Error> {
    for (name, kind) in read_folder(folder)? {
        let path = if above.is_empty() { name.clone() } else { format!("{above}/{name}") };
        let is_listed = kind.is_dir() && depth > 0;
        found.push(Entry { path: path.clone(), kind, is_listed });
        if is_listed {
            list_below(&folder.join(&name), &path, depth - 1, found)?;
        }
    }
    Ok(())
}

/// The names of the files in crates/.
pub(super) fn crate_files(layout: &Layout) -> Result<impl Iterator<Item = String> + use<>, Error> {
    let files = read_folder(&layout.crates())?.into_iter();
    Ok(files.filter(|(name, kind)| kind.is_file() && name.ends_with(".crate")).map(|(name, _)| name))
}

/// Whether the path below index/ can be an index file of a crate.
pub(super) fn is_index_path(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.parse::<CrateName>().is_ok_and(|name| name.index_path() == path)
}

/// The paths below index/ of all index files, sorted. They are at least one folder deep; `config.json` is not.
pub(super) fn index_files(layout: &Layout) -> Result<Vec<String>, Error> {
    let files = list(&layout.index(), 3)?.into_iter().filter(|entry| entry.kind.is_file() && entry.path.contains('/'));
    let mut paths: Vec<String> = files.map(|entry| entry.path).collect();
    paths.sort_unstable();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_crate_names_are_index_paths() {
        assert!(is_index_path("se/rd/serde") && is_index_path("1/a") && is_index_path("3/a/abc"));
        assert!(!is_index_path("config.json") && !is_index_path("se/rd/Serde") && !is_index_path("xx/xx/serde"));
        assert!(!is_index_path("se/rd/.part-x"));
    }
}
