//! One file of the upstream index: every version of one crate, and its form in the cache.
//!
//! On disk a file has one line of JSON before its text: upstream's validators for it, and its digest. They are in one
//! file so that they cannot get out of step. A file with a wrong digest counts as absent.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use crate::crate_id::{CrateName, Version};
use crate::digest::Sha256;
use crate::durable;
use crate::index_line::IndexLine;

/// An index file as this run sees it.
#[derive(Debug, Default)]
pub struct IndexFile {
    text: String,
    versions: OnceLock<Vec<VersionEntry>>,
}

/// The head of a line: the fields for choosing a version.
#[derive(Clone, Debug)]
pub struct VersionEntry {
    /// The version.
    pub version: Version,
    /// Whether it is yanked.
    pub yanked: bool,
    start: usize,
    end: usize,
}

impl IndexFile {
    /// Creates a file from this text. Invalid UTF-8 only affects its own line, as in cargo.
    pub fn new(bytes: &[u8]) -> IndexFile {
        IndexFile { text: String::from_utf8_lossy(bytes).into_owned(), versions: OnceLock::new() }
    }

    /// Only the lines that cargo can read and whose crate has the path of `name`. Nothing else is served to clients,
    /// whatever upstream sent.
    pub fn valid_lines_only(self, name: &CrateName) -> IndexFile {
        let path = name.index_path();
        let is_valid_line = |line: &str| IndexLine::parse(line).is_ok_and(|line| line.id.name.index_path() == path);
        let mut text = String::with_capacity(self.text.len());
        for line in self.text.lines().map(str::trim_end).filter(|line| is_valid_line(line)) {
            text.push_str(line);
            text.push('\n');
        }
        IndexFile { text, versions: OnceLock::new() }
    }

    /// The whole text, as upstream wrote it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it may be an index file: it is empty, or a line begins like a JSON object. Unreadable lines are allowed,
    /// because later formats are skipped.
    pub fn looks_like_index(&self) -> bool {
        self.text.trim().is_empty() || self.text.lines().any(|line| line.trim_start().starts_with('{'))
    }

    /// The lines that have a version, in the file's order.
    pub fn versions(&self) -> &[VersionEntry] {
        #[derive(Deserialize)]
        struct Parsed {
            vers: Version,
            #[serde(default)]
            yanked: Option<bool>,
        }
        self.versions.get_or_init(|| {
            let mut start = 0;
            let mut heads = Vec::new();
            for line in self.text.split_inclusive('\n') {
                let end = start + line.trim_end().len();
                if let Ok(parsed) = serde_json::from_str::<Parsed>(line) {
                    heads.push(VersionEntry {
                        version: parsed.vers,
                        yanked: parsed.yanked.unwrap_or(false),
                        start,
                        end,
                    });
                }
                start += line.len();
            }
            heads
        })
    }

    /// The line of a head of this same file.
    pub fn line_text(&self, head: &VersionEntry) -> &str {
        self.text.get(head.start..head.end).unwrap_or_default()
    }

    /// The line of one version, if cargo can read it and its name is exactly `name`.
    pub fn find_line(&self, name: &CrateName, version: &Version) -> Option<IndexLine> {
        self.versions()
            .iter()
            .filter(|head| head.version == *version)
            .filter_map(|head| IndexLine::parse(self.line_text(head)).ok())
            .find(|line| line.id.name == *name)
    }

    /// Up to five versions around `version`, highest first, for a hint.
    pub fn nearest_versions(&self, version: &Version) -> Vec<Version> {
        let mut all: Vec<&Version> = self.versions().iter().map(|head| &head.version).collect();
        all.sort();
        let insertion_point = all.partition_point(|other| *other < version);
        let first = insertion_point.saturating_sub(3).min(all.len().saturating_sub(5));
        all.into_iter().skip(first).take(5).rev().cloned().collect()
    }
}

impl PartialEq for IndexFile {
    fn eq(&self, other: &IndexFile) -> bool {
        self.text == other.text
    }
}

/// The folder of the server at `url` in `base`. An address may contain a password; its digest reveals none.
pub fn cache_folder(base: &Path, url: &str) -> PathBuf {
    base.join(&Sha256::of(url.as_bytes()).to_string()[..16])
}

/// The cached form of one index file.
#[derive(Debug, PartialEq)]
pub struct CachedIndexFile {
    /// Upstream's entity tag.
    pub etag: Option<String>,
    /// Upstream's modification date.
    pub last_modified: Option<String>,
    /// `None`: upstream has no such file.
    pub file: Option<Arc<IndexFile>>,
}

#[derive(Serialize, Deserialize)]
struct CacheHeader {
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_modified: Option<String>,
    #[serde(default)]
    absent: bool,
    sha256: Sha256,
}

impl CachedIndexFile {
    /// The cached file at `path`; `None` if it is absent, unreadable or corrupted.
    pub fn read(path: &Path) -> Option<CachedIndexFile> {
        let bytes = std::fs::read(path).ok()?;
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        let (first, text) = bytes.split_at(end + 1);
        let preamble: CacheHeader = serde_json::from_slice(first).ok()?;
        (Sha256::of(text) == preamble.sha256).then(|| CachedIndexFile {
            etag: preamble.etag,
            last_modified: preamble.last_modified,
            file: (!preamble.absent).then(|| Arc::new(IndexFile::new(text))),
        })
    }

    /// Stores it at `path`, through `staging` on the same file system. It is not synced: the digest reveals an
    /// incomplete file.
    ///
    /// # Errors
    /// A file system error.
    pub fn write(&self, path: &Path, staging: &Path) -> io::Result<()> {
        let text = self.file.as_ref().map_or("", |file| file.text());
        let preamble = CacheHeader {
            etag: self.etag.clone(),
            last_modified: self.last_modified.clone(),
            absent: self.file.is_none(),
            sha256: Sha256::of(text.as_bytes()),
        };
        let folder = path.parent().unwrap_or(Path::new("."));
        durable::make_folder(folder)?;
        let mut file = tempfile::Builder::new().prefix(".part-").tempfile_in(staging)?;
        serde_json::to_writer(&mut file, &preamble)?;
        file.write_all(b"\n")?;
        file.write_all(text.as_bytes())?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(version: &str, yanked: bool) -> String {
        let cksum = Sha256::of(version.as_bytes());
        format!(r#"{{"name":"a","vers":"{version}","deps":[],"cksum":"{cksum}","features":{{}},"yanked":{yanked}}}"#)
    }

    #[test]
    fn valid_lines_are_found_among_invalid_ones() {
        let text = format!("\n{}\r\n{{\"vers\": 3}}\n\u{fffd}\n{}", line("1.0.0", true), line("2.0.0+b", false));
        let mut bytes = text.into_bytes();
        bytes.extend(b"\n\xff\xfe\n");
        let file = IndexFile::new(&bytes);
        let heads: Vec<_> = file.versions().iter().map(|head| (head.version.to_string(), head.yanked)).collect();
        assert_eq!(heads, [("1.0.0".to_owned(), true), ("2.0.0+b".to_owned(), false)]);
        let found = |version: &str, name: &str| {
            let name = name.parse().expect("valid");
            file.find_line(&name, &version.parse().expect("valid"))
        };
        assert_eq!(found("1.0.0", "a").expect("there").raw, line("1.0.0", true));
        assert_eq!(found("2.0.0", "a"), None);
        assert_eq!(found("1.0.0", "A"), None);
    }

    #[test]
    fn nearest_versions_surround_the_requested_one() {
        let text: String = (0..10).map(|minor| line(&format!("1.{minor}.0"), false) + "\n").collect();
        let file = IndexFile::new(text.as_bytes());
        let near = |version: &str| -> Vec<String> {
            let version = version.parse().expect("valid");
            file.nearest_versions(&version).iter().map(Version::to_string).collect()
        };
        assert_eq!(near("1.4.5"), ["1.6.0", "1.5.0", "1.4.0", "1.3.0", "1.2.0"]);
        assert_eq!(near("9.0.0")[0], "1.9.0");
        assert_eq!(near("0.1.0").last().map(String::as_str), Some("1.0.0"));
        assert_eq!(IndexFile::default().nearest_versions(&Version::new(1, 0, 0)), []);
    }

    #[test]
    fn a_cached_file_is_read_back_and_a_corrupt_one_is_not() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("se/rd/serde");
        let kept = CachedIndexFile {
            etag: Some("W/\"x\"".to_owned()),
            last_modified: None,
            file: Some(Arc::new(IndexFile::new(line("1.0.0", false).as_bytes()))),
        };
        kept.write(&path, folder.path()).expect("write");
        assert_eq!(CachedIndexFile::read(&path), Some(kept));
        let mut bytes = std::fs::read(&path).expect("read");
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        std::fs::write(&path, &bytes).expect("write");
        assert_eq!(CachedIndexFile::read(&path), None);

        let absent = CachedIndexFile { etag: None, last_modified: None, file: None };
        absent.write(&path, folder.path()).expect("write");
        assert_eq!(CachedIndexFile::read(&path), Some(absent));
    }
}
