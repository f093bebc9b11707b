//! depends.toml: the user's dependency list, parsed strictly. Every problem is reported with its line and column.
//!
//! ```toml
//! [dependencies]
//! anyhow = "1"                                     # one requirement
//! tokio = { version = "1", features = ["net"] }    # with features, as in Cargo.toml
//! serde = ["=1.0.100", { version = "1" }]          # alternatives: each of them is mirrored
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
//! A group's key is all digits, which is not a valid crate name, so no other key is taken for a group. The values are
//! later written into a manifest for cargo: names, requirements and features are checked with cargo's own rules, and
//! must still be written as TOML values, never pasted into text.
//!
//! A crate may occur twice in a group only as Cargo.toml allows it: under two keys with `package = "…"` and with
//! different requirements. Keys that differ only in case or in `-` and `_` are the same crate on crates.io, so the
//! second one is an error.

use std::path::Path;

use crate::bounded_read::SizeLimit;
use crate::crate_id::Version;
use crate::toolchain::ToolchainName;

pub mod json_edit;
mod model;
mod error;
mod left_out;
mod parse;
mod locked;
mod platforms;
mod requirement;
mod diagnostics;
mod locate;

pub use error::{Error, OtherKind};
pub use left_out::{comment_on_left_out, without_left_out};
pub use locate::{Location, RequirementPart};
pub use model::{DependsFile, Entry, Group, Requirement};
pub use platforms::Platforms;
pub use requirement::check_feature_name;

/// The limit for a file; a real one has a few thousand bytes.
const LIMIT: SizeLimit = SizeLimit { max: 1 << 20, kind: "a depends.toml" };

impl DependsFile {
    /// The oldest release that `[platforms]` pins. The bundle must have crates that it can build.
    pub fn oldest_pinned_rust(&self) -> Option<Version> {
        let toolchains = self.platforms.iter().flat_map(|platforms| &platforms.toolchain);
        toolchains.filter_map(ToolchainName::min_version).min()
    }

    /// Reads the file at `path`.
    pub fn read(path: &Path) -> Result<DependsFile, Error> {
        DependsFile::parse(&read_text(path)?, path)
    }

    /// Parses `text`; `path` is used in errors.
    pub fn parse(text: &str, path: &Path) -> Result<DependsFile, Error> {
        LIMIT.check(text, path)?;
        parse::parse(text, path)
    }
}

/// The text of the file at `path`, which need not be valid.
pub fn read_text(path: &Path) -> Result<String, Error> {
    Ok(LIMIT.read_text(path)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounded_read;
    use crate::crate_id::CrateName;
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
            "`dependencies.foo` is a git dependency, which is not supported here; write a version of crates.io, or remove the entry\n \
             --> depends.toml:2:9\n  |\n2 | foo = { git = \"https://example.org\", branch = \"main\" }\n  |         ^^^"
        );
    }

    #[test]
    fn a_file_that_is_too_large_is_refused() {
        let error = parsed(&"#".repeat(1 + (1 << 20))).expect_err("too large");
        assert!(matches!(error, Error::Read(bounded_read::Error::TooLarge { .. })));
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
        let Err(Error::Invalid { list, .. }) = parsed(&text) else { panic!("valid") };
        assert_eq!((list.problems.len(), list.omitted), (20, 59_980));
        assert_eq!(list.problems[0].to_string(), "2:6: versions must be quoted: `a0 = \"0\"`");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
            let _outcome = parsed(&text);
        }

        #[test]
        fn any_mix_of_words_is_read_or_refused(
            terms in proptest::collection::vec(
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
            let text: String = terms.concat();
            match parsed(&text) {
                // An accepted file has a request, and is safe to write into a manifest.
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
                Err(Error::Invalid { list, .. }) => prop_assert!(!list.problems.is_empty()),
                Err(other) => prop_assert!(false, "{other}"),
            }
        }
    }
}
