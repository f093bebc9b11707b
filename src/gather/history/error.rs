//! Why a history cannot be used.

use std::io;
use std::path::{Path, PathBuf};

use super::FORMAT;
use crate::crate_id::CrateId;
use crate::digest::Sha256;
use crate::gather::input_id::InputId;

/// Why the history cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder or the file cannot be read or written.
    #[error("could not use the history `{}`", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is damaged.
    #[error("the history `{}` is damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The file is of another version of the tool.
    #[error("the history `{}` has the format {found}; this version of cargo-frostmirror reads the format {FORMAT}", path.display())]
    UnsupportedFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// Whether it is a later one.
        newer: bool,
    },
    /// Two inputs mean different bytes by one name and version.
    #[error(transparent)]
    Conflict(Box<DigestConflict>),
    /// An input to forget that the history does not know.
    #[error("the history `{}` has no input `{name}`; its inputs are: {}", path.display(), list_names(names))]
    UnknownInput {
        /// The file.
        path: PathBuf,
        /// The input.
        name: String,
        /// What it knows.
        names: Vec<String>,
    },
    /// An input that is to be fetched and to be forgotten.
    #[error("`{0}` is to be fetched and to be forgotten")]
    FetchedAndForgotten(InputId),
    /// Several inputs that the user may mean.
    #[error("the history `{}` has more than one input `{name}`: {}", path.display(), list_names(names))]
    AmbiguousInput {
        /// The file.
        path: PathBuf,
        /// What the user said.
        name: String,
        /// What may be meant.
        names: Vec<String>,
    },
    /// Two files whose label is the same.
    #[error("`{}` and `{}` have the same label, `{}`", new.display(), old.display(), id.label)]
    SameLabel {
        /// What they would both be.
        id: InputId,
        /// The file of today.
        new: PathBuf,
        /// The other file, which is there.
        old: PathBuf,
        /// Whether both are to be fetched at once.
        together: bool,
    },
    /// A label that another input has already.
    #[error("the history `{}` has an input `{id}` already", path.display())]
    LabelTaken {
        /// The file.
        path: PathBuf,
        /// That input.
        id: InputId,
    },
    /// A bundle to build on that the history does not know, or knows several of.
    #[error("the history `{}` knows {} bundle `{}`{}; it knows {}", path.display(), if *is_ambiguous { "more than one" } else { "no" }, name.escape_debug(), if is_bundle_file_name(name) && !is_ambiguous { ", and no such file is here" } else { "" }, list_names(names))]
    UnknownBundle {
        /// The file.
        path: PathBuf,
        /// The bundle.
        name: String,
        /// Whether several files have that name.
        is_ambiguous: bool,
        /// The newest bundles that it knows, each with its id.
        names: Vec<String>,
    },
}

/// One name and version with two digests.
#[derive(Debug, thiserror::Error)]
#[error("{id} has the checksum {new} now, and had {old} when `{input}` was fetched")]
pub struct DigestConflict {
    /// The crate.
    pub id: CrateId,
    /// The input of the history that knows the other.
    pub input: String,
    /// That input's checksum.
    pub old: Sha256,
    /// The checksum of today.
    pub new: Sha256,
}

/// Whether a bundle is named as a file is, rather than by its id.
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
