//! Errors of a history.

use std::io;
use std::path::{Path, PathBuf};

use super::records::FORMAT;
use crate::crate_id::CrateId;
use crate::digest::Sha256;
use crate::inputs::input_id::InputId;

/// Why the history is unusable.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder or the file cannot be read or written.
    #[error("could not use the history `{}`", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system error.
        source: io::Error,
    },
    /// The file is damaged.
    #[error("the history `{}` is damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: serde_json::Error,
    },
    /// The file has another format version.
    #[error("the history `{}` has format {found}; this version of cargo-frostmirror reads format {FORMAT}", path.display())]
    UnsupportedFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// Whether the format is newer.
        newer: bool,
    },
    /// Two inputs have different bytes for one name and version.
    #[error(transparent)]
    Conflict(Box<DigestConflict>),
    /// The history lacks the input to retire.
    #[error("the history `{}` has no input `{name}`; its inputs are: {}", path.display(), list_names(names))]
    UnknownInput {
        /// The file.
        path: PathBuf,
        /// The name of the input.
        name: String,
        /// The known inputs.
        names: Vec<String>,
    },
    /// An input is both fetched and retired.
    #[error("`{0}` cannot be fetched and forgotten in one run")]
    FetchedAndForgotten(InputId),
    /// Several inputs match the name.
    #[error("the history `{}` has more than one input `{name}`: {}", path.display(), list_names(names))]
    AmbiguousInput {
        /// The file.
        path: PathBuf,
        /// The user's name.
        name: String,
        /// The matching inputs.
        names: Vec<String>,
    },
    /// Two files have the same label.
    #[error("`{}` and `{}` have the same label, `{}`", new.display(), old.display(), id.label)]
    SameLabel {
        /// The common identity.
        id: InputId,
        /// The file of this run.
        new: PathBuf,
        /// The other file, which exists.
        old: PathBuf,
        /// Whether both files are inputs of this run.
        together: bool,
    },
    /// Another input already has this label.
    #[error("the history `{}` already has an input `{id}`", path.display())]
    LabelTaken {
        /// The file.
        path: PathBuf,
        /// The other input.
        id: InputId,
    },
    /// The history lacks the base, or has several matching bundles.
    #[error("the history `{}` has {} bundle `{}`{}; its newest bundles are: {}", path.display(), if *is_ambiguous { "more than one" } else { "no" }, name.escape_debug(), if is_bundle_file_name(name) && !is_ambiguous { ", and no such file exists" } else { "" }, list_names(names))]
    UnknownBundle {
        /// The file.
        path: PathBuf,
        /// The name of the bundle.
        name: String,
        /// Whether several bundles match the name.
        is_ambiguous: bool,
        /// The newest known bundles, each with its ID.
        names: Vec<String>,
    },
}

/// One name and version with two digests.
#[derive(Debug, thiserror::Error)]
#[error("{id} now has the checksum {new}, but it had {old} when `{input}` was fetched")]
pub struct DigestConflict {
    /// The crate.
    pub id: CrateId,
    /// The input of the history with the other checksum.
    pub input: String,
    /// The checksum of that input.
    pub old: Sha256,
    /// The checksum in this run.
    pub new: Sha256,
}

/// Whether the name has the form of a bundle's file name instead of an ID.
fn is_bundle_file_name(name: &str) -> bool {
    name.contains(std::path::is_separator) || Path::new(name).extension().is_some_and(|end| end == "pkg")
}

fn list_names(names: &[String]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}
