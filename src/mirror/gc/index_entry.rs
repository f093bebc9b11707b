//! Index files with the versions of their lines, and the records of these lines. Nothing else of a line is parsed.

use std::borrow::Cow;
use std::collections::HashSet;
use std::path::Path;

use serde::Deserialize;

use super::error::Error;
use super::needed_files::KeepSet;
use crate::mirror::disk;
use crate::mirror::index_meta;
use crate::mirror::layout::Layout;

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

/// A line in lines/ without the time at which its index line was read, with its line end. `None` if its version is none of
/// `versions`.
pub(super) fn revoke(line: &[u8], versions: &HashSet<String>) -> Option<String> {
    let version = version_of_meta(line).filter(|version| versions.contains(*version))?;
    let text = std::str::from_utf8(line).ok().filter(|_| !version.is_empty())?;
    index_meta::revoke(text)
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

/// The bytes of a file; empty if it does not exist.
pub(super) fn read_or_empty(path: &Path) -> Result<Vec<u8>, Error> {
    Ok(disk::read_if_present(path)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_damaged_lines_skipped() {
        let text = b"{\"name\":\"a\",\"vers\":\"1.0.0+b\",\"deps\":[{}]}\n\n{\"name\"\r\n";
        let versions: Vec<_> = nonempty_lines(text).map(version_of).collect();
        assert_eq!(versions, [Some("1.0.0+b".into()), None]);
        assert_eq!(version_of_meta(b"1.0.0 x y"), Some("1.0.0"));
    }
}
