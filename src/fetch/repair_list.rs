//! The repair list: the files that a mirror lost, one JSON object per line.
//!
//! ```text
//! {"kind":"crate","name":"serde","version":"1.0.200","sha256":"ddc6f9cc…"}
//! {"kind":"artifact","path":"dist/2026-04-16/cargo-1.95.0-x86_64-unknown-linux-gnu.tar.xz","sha256":"9a1b2c3d…"}
//! ```
//!
//! Blank lines and unknown keys are ignored. An unknown kind is an error, because the bundle would lack that file.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::bounded_read::{self, SizeLimit};
use crate::crate_id::{CrateId, InvalidCrateId};
use crate::digest::Sha256;
use crate::inputs::lockfile::Lockfile;
use crate::mirror_file::FileKind;
use crate::safe_path::SafePath;

/// The limit for a repair list. A line has about 150 bytes.
const LIMIT: SizeLimit = SizeLimit { max: 256 << 20, kind: "a repair list" };

/// Why a repair list is invalid.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read, is too large or is not text.
    #[error(transparent)]
    Read(#[from] bounded_read::Error),
    /// A line is invalid.
    #[error("`{}`, line {line}: not a line of a repair list", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line number, from 1.
        line: usize,
        /// The cause.
        source: serde_json::Error,
    },
    /// This version cannot fetch such a file.
    #[error("`{}`, line {line}: this version cannot fetch files of the kind `{}`", path.display(), kind.escape_debug())]
    UnknownKind {
        /// The file.
        path: PathBuf,
        /// The line number, from 1.
        line: usize,
        /// The kind.
        kind: String,
    },
    /// The name or the version of a crate is invalid.
    #[error("`{}`, line {line}: not a crate", path.display())]
    InvalidCrate {
        /// The file.
        path: PathBuf,
        /// The line number, from 1.
        line: usize,
        /// The cause.
        source: InvalidCrateId,
    },
    /// One file has two digests.
    #[error("`{}`, line {line}: {id} is in the list with another digest", path.display())]
    ConflictingDigests {
        /// The file.
        path: PathBuf,
        /// The line number, from 1.
        line: usize,
        /// The crate or the path.
        id: String,
    },
    /// The path is not a path of a dist file.
    #[error("`{}`, line {line}: `{dist_path}` is not a path of a dist file", path.display())]
    NotADistPath {
        /// The file.
        path: PathBuf,
        /// The line number, from 1.
        line: usize,
        /// The path.
        dist_path: SafePath,
    },
}

/// The content of a repair list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepairList {
    /// These exact packages, in the form of a lockfile.
    pub crates: Lockfile,
    /// These exact dist files, with their digests.
    pub dist_files: BTreeMap<SafePath, Sha256>,
}

/// A file of a repair list that upstream does not provide in that form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unavailable {
    /// Its path.
    pub path: SafePath,
    /// The state of that path upstream.
    pub reason: Reason,
}

/// The state of a path upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The path does not exist.
    NotFound,
    /// A newer file, as is usual at this path.
    Superseded,
    /// Different bytes at an immutable path.
    Altered,
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.path;
        match self.reason {
            Reason::NotFound => write!(f, "`{path}` does not exist"),
            Reason::Superseded => write!(f, "`{path}` has a newer file"),
            Reason::Altered => write!(f, "`{path}` has different bytes than before"),
        }
    }
}

/// Reads a repair list.
pub fn read(path: &Path) -> Result<RepairList, Error> {
    parse(&LIMIT.read_text(path)?, path)
}

fn parse(text: &str, path: &Path) -> Result<RepairList, Error> {
    #[derive(Deserialize)]
    struct KindOnly {
        kind: String,
    }
    #[derive(Deserialize)]
    struct ListedCrate {
        name: String,
        version: String,
        sha256: Sha256,
    }
    #[derive(Deserialize)]
    struct ListedDistFile {
        path: SafePath,
        sha256: Sha256,
    }
    let path = path.to_owned();
    let (mut packages, mut artifacts) = (BTreeMap::new(), BTreeMap::new());
    for (line, text) in (1..).zip(text.lines()).filter(|(_, text)| !text.trim().is_empty()) {
        let broken = |source| Error::Syntax { path: path.clone(), line, source };
        let head: KindOnly = serde_json::from_str(text).map_err(broken)?;
        if head.kind == "artifact" {
            let listed: ListedDistFile = serde_json::from_str(text).map_err(broken)?;
            if !matches!(FileKind::from_path(&listed.path), Some(FileKind::Dist | FileKind::Rustup)) {
                return Err(Error::NotADistPath { path, line, dist_path: listed.path });
            }
            if *artifacts.entry(listed.path.clone()).or_insert(listed.sha256) != listed.sha256 {
                return Err(Error::ConflictingDigests { path, line, id: listed.path.to_string() });
            }
            continue;
        }
        if head.kind != "crate" {
            return Err(Error::UnknownKind { path, line, kind: head.kind.chars().take(80).collect() });
        }
        let listed: ListedCrate = serde_json::from_str(text).map_err(broken)?;
        let id = CrateId::parse(&listed.name, &listed.version).map_err(|source| Error::InvalidCrate {
            path: path.clone(),
            line,
            source,
        })?;
        if *packages.entry(id.clone()).or_insert(listed.sha256) != listed.sha256 {
            return Err(Error::ConflictingDigests { path, line, id: id.to_string() });
        }
    }
    Ok(RepairList { crates: Lockfile::of_packages(packages, path), dist_files: artifacts })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(kind: &str, name: &str, digit: char) -> String {
        let sha256 = digit.to_string().repeat(64);
        format!(r#"{{"kind":"{kind}","name":"{name}","version":"1.0.0","sha256":"{sha256}","why":"rotten"}}"#)
    }

    #[test]
    fn crates_and_dist_files_are_read() {
        let text = format!("{}\r\n\n{}\n{}", line("crate", "b", '0'), line("crate", "a", '1'), line("crate", "b", '0'));
        let list = parse(&text, Path::new("list")).expect("valid");
        let names: Vec<String> = list.crates.packages.keys().map(ToString::to_string).collect();
        assert_eq!(names, ["a 1.0.0", "b 1.0.0"]);
        assert!(parse("\n", Path::new("list")).expect("empty").crates.packages.is_empty());
        let artifact = |path: &str| format!(r#"{{"kind":"artifact","path":"{path}","sha256":"{}"}}"#, "0".repeat(64));
        let list = parse(&artifact("dist/channel-rust-stable.toml"), Path::new("list")).expect("valid");
        assert_eq!(list.dist_files.len(), 1);
        for path in ["../x", "crates/a-1.0.0.crate", "/dist/x", "dist"] {
            assert!(parse(&artifact(path), Path::new("list")).is_err(), "{path}");
        }
    }

    #[test]
    fn errors_name_the_line() {
        let good = line("crate", "a", '0');
        for (bad, says) in [
            (line("toolchain", "a", '0'), "line 2: this version cannot fetch files of the kind `toolchain`"),
            (line("crate", "../a", '0'), "line 2: not a crate"),
            (line("crate", "b", 'x'), "line 2: not a line"),
            (line("crate", "a", '1'), "line 2: a 1.0.0 is in the list with another digest"),
            ("a 1.0.0".to_owned(), "line 2: not a line"),
        ] {
            let error = parse(&format!("{good}\n{bad}\n{good}"), Path::new("list")).expect_err(says);
            assert!(error.to_string().contains(says), "{error}");
        }
    }
}
