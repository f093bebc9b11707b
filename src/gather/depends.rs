//! depends.toml: what a user asks for, read strictly; every problem is told with its line and column.
//!
//! ```toml
//! [dependencies]
//! anyhow = "1"                                     # one requirement
//! tokio = { version = "1", features = ["net"] }    # with features, as in Cargo.toml
//! serde = ["=1.0.100", { version = "1" }]          # alternatives: each of them is wanted
//!
//! [dependencies.2]                                 # a group: resolved together, apart from the first
//! axum = "0.6"
//!
//! [locked]                                         # exact versions, resolved no further
//! syn = ["1.0.109", "2.0.90"]
//!
//! [platforms]
//! targets = ["x86_64-unknown-linux-gnu"]
//! toolchain = "stable"
//! ```
//!
//! A group's key is all digits, which no crate's name can be, so nothing else is ever taken for a group. What is read
//! here is later written into a manifest for cargo: names, requirements and features are checked with cargo's own
//! rules, and must still be written as TOML values, never pasted into text.
//!
//! A crate may stand in a group twice only as Cargo.toml allows it: under two keys with `package = "…"`, and then with
//! different requirements. Keys that differ only in case or in `-` and `_` name the same crate on crates.io, so the
//! second one is an error.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::crate_id::{CrateId, CrateName, Version};
use crate::diagnostics::list_problems;
use crate::gather::input_id::Label;
use crate::line_column::LineColumn;
use crate::toolchain::ToolchainName;

pub mod json_edit;
mod parse;
mod locked;
mod platforms;
mod requirement;
mod diagnostics;

pub use platforms::{Platforms, locate_in_platforms};
pub use requirement::check_feature_name;

/// Bytes in the largest file that is read; a real one has a few thousand.
pub const MAX_SIZE: u64 = 1 << 20;

/// What a depends.toml asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DependsFile {
    /// The file.
    pub path: PathBuf,
    /// What it is called in a history.
    pub label: Label,
    /// The groups that have entries, in the file's order.
    pub groups: Vec<Group>,
    /// `[locked]`: exact versions, sorted, each once.
    pub locked: Vec<CrateId>,
    /// `[platforms]`, where it is there.
    pub platforms: Option<Platforms>,
}

/// Entries that are resolved together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The digits of `[dependencies.2]`; `None` for `[dependencies]` itself.
    pub number: Option<String>,
    /// Never empty; in the file's order.
    pub entries: Vec<Entry>,
}

/// One key of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key as written: the name that Cargo.toml would have.
    pub key: String,
    /// The crate: `package`, else the key.
    pub package: CrateName,
    /// Never empty: one for each element of an array, else one.
    pub alternatives: Vec<Requirement>,
}

/// What is asked of one crate.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Requirement {
    /// A version requirement that semver accepts, as written.
    pub version: String,
    /// Features, as written; each is a valid name of a feature, without `/` and `dep:`.
    pub features: Vec<String>,
    /// Whether the default features are wanted.
    pub default_features: bool,
}

/// Why a depends.toml cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("could not read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is far too large to be one.
    #[error("`{}` is larger than 1 MiB, which no depends.toml is", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// What the file says is wrong.
    #[error("{}", list_problems(path, problems, *omitted))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The problems, in the file's order; at most 20.
        problems: Vec<Problem>,
        /// How many more there are.
        omitted: usize,
    },
}

/// One thing that is wrong with a depends.toml.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{position}: {what}; expected {expected}")]
pub struct Problem {
    /// Where it begins.
    pub position: LineColumn,
    /// What is wrong, with the key.
    pub what: String,
    /// What belongs there.
    pub expected: String,
}

impl DependsFile {
    /// The oldest release that `[platforms]` pins: what is carried must be such that it can build it.
    pub fn oldest_pinned_rust(&self) -> Option<Version> {
        let toolchains = self.platforms.iter().flat_map(|platforms| &platforms.toolchain);
        toolchains.filter_map(ToolchainName::min_version).min()
    }

    /// Reads the file at `path`.
    pub fn read(path: &Path) -> Result<DependsFile, Error> {
        DependsFile::parse(&read_text(path)?, path)
    }

    /// Reads `text`; `path` is what errors name.
    pub fn parse(text: &str, path: &Path) -> Result<DependsFile, Error> {
        if text.len() as u64 > MAX_SIZE {
            return Err(Error::TooLarge { path: path.to_owned() });
        }
        parse::parse(text, path)
    }
}

/// The text of the file at `path`, which is UTF-8 and not too large.
pub fn read_text(path: &Path) -> Result<String, Error> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(MAX_SIZE + 1).read_to_end(&mut bytes)).map_err(failed)?;
    if bytes.len() as u64 > MAX_SIZE {
        return Err(Error::TooLarge { path: path.to_owned() });
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = String::from_utf8_lossy(&error.as_bytes()[..error.utf8_error().valid_up_to()]);
        let problem = Problem {
            position: LineColumn::from_offset(&good, good.len()),
            what: "a byte that is not UTF-8".to_owned(),
            expected: "text in UTF-8".to_owned(),
        };
        Error::Invalid { path: path.to_owned(), problems: vec![problem], omitted: 0 }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(text: &str) -> Result<DependsFile, Error> {
        DependsFile::parse(text, Path::new("depends.toml"))
    }

    #[test]
    fn a_git_dependency_is_refused() {
        let error =
            parsed("[dependencies]\nfoo = { git = \"https://example.org\", branch = \"main\" }\n").expect_err("git");
        assert_eq!(
            error.to_string(),
            "depends.toml:2:9: `dependencies.foo` has the key `git`, which cannot be mirrored yet; expected a crate of crates.io"
        );
    }

    #[test]
    fn a_file_that_is_too_large_is_refused() {
        let error = parsed(&"#".repeat(1 + (1 << 20))).expect_err("too large");
        assert!(matches!(error, Error::TooLarge { .. }));
    }

    #[test]
    fn long_arrays_are_parsed_quickly() {
        let list = |each: fn(u32) -> String| (0..40_000).map(|n| each(n) + ",").collect::<String>();
        let text = format!(
            "[dependencies]\na = [{}]\n[locked]\nb = [{}]\n",
            list(|n| format!("'{n}'")),
            list(|n| format!("'{n}.0.0'"))
        );
        let depends = parsed(&text).expect("valid");
        assert_eq!((depends.groups[0].entries[0].alternatives.len(), depends.locked.len()), (40_000, 40_000));
    }

    #[test]
    fn many_problems_are_counted_and_reported_quickly() {
        let text = format!("[dependencies]\n{}", (0..60_000).map(|i| format!("a{i} = {i}\n")).collect::<String>());
        let Err(Error::Invalid { problems, omitted: more, .. }) = parsed(&text) else { panic!("valid") };
        assert_eq!((problems.len(), more), (20, 59_980));
        assert_eq!(problems[0].position, LineColumn { line: 2, column: 6 });
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
            let _outcome = parsed(&text);
        }

        #[test]
        fn any_mix_of_words_is_read_or_refused(
            words in proptest::collection::vec(
                prop_oneof![
                    Just("[dependencies]\n"), Just("[dependencies.2]\n"), Just("[locked]\n"), Just("[platforms]\n"),
                    Just("a = "), Just("a-b = "), Just("a_b = "), Just("2 = "), Just("\"é\" = "), Just("targets = "), Just("toolchain = "),
                    Just("\"1\"\n"), Just("\"=1.0.0\"\n"), Just("[\"1\", \"2.0.0\"]\n"), Just("{ version = \"1\" }\n"),
                    Just("{ git = \"x\" }\n"), Just("[]\n"), Just("{}\n"), Just("1\n"), Just("\"\n"), Just("[[1]]\n"), Just("\r\n"),
                    Just("profile = \"default\"\n"), Just("{ version = \"1\", package = \"c\" }\n"),
                ],
                0..12,
            )
        ) {
            let text: String = words.concat();
            match parsed(&text) {
                // What is accepted asks for something, and is safe to write into a manifest.
                Ok(depends) => {
                    prop_assert!(!depends.groups.is_empty() || !depends.locked.is_empty() || depends.platforms.is_some());
                    for entry in depends.groups.iter().flat_map(|group| &group.entries) {
                        prop_assert!(!entry.alternatives.is_empty());
                        prop_assert!(entry.key.parse::<CrateName>().is_ok());
                        for requirement in &entry.alternatives {
                            prop_assert!(requirement.version.parse::<semver::VersionReq>().is_ok());
                        }
                    }
                }
                Err(Error::Invalid { problems, .. }) => prop_assert!(!problems.is_empty()),
                Err(other) => prop_assert!(false, "{other}"),
            }
        }
    }
}
