//! The reasons why a bundle cannot be read.

use std::io;
use std::path::PathBuf;

use super::format::FormatVersion;
use super::invalid_manifest::InvalidManifest;
use super::legacy::LegacyError;
use super::set_bundle::TextFault;
use crate::sharded_set;

/// The reason why a bundle cannot be read, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be opened or read.
    #[error("could not read `{name}`")]
    Io {
        /// The bundle's file.
        name: String,
        /// The system's error.
        source: io::Error,
    },
    /// The path is a folder, not a bundle.
    #[error("`{name}` is a folder, not a bundle")]
    IsFolder {
        /// The folder.
        name: String,
    },
    /// The file is not a bundle.
    #[error("`{name}` is not a bundle")]
    NotABundle {
        /// The file.
        name: String,
    },
    /// The header is damaged.
    #[error("the header of `{name}` is damaged: {fault}")]
    CorruptHeader {
        /// The bundle's file.
        name: String,
        /// The problem.
        fault: String,
    },
    /// A newer tool wrote it.
    #[error("`{name}` was written by cargo-frostmirror {tool} in format {format}; this tool reads formats up to {newest}", newest = FormatVersion::CURRENT)]
    NewerFormat {
        /// The bundle's file.
        name: String,
        /// The tool's version.
        tool: String,
        /// The bundle's format version.
        format: FormatVersion,
    },
    /// A newer tool wrote it, with an unknown encoding.
    #[error("`{name}` was written by cargo-frostmirror {tool}; {encoding}")]
    NewerEncoding {
        /// The bundle's file.
        name: String,
        /// The tool's version.
        tool: String,
        /// The entry and its encoding.
        encoding: InvalidManifest,
    },
    /// A newer tool wrote it, with rows or entries of an unknown kind or encoding.
    #[error("`{name}` was written by cargo-frostmirror {tool}; {content}")]
    NewerContent {
        /// The bundle's file.
        name: String,
        /// The tool's version.
        tool: String,
        /// What this version does not know, and where it is.
        content: String,
    },
    /// A section of changes is damaged.
    #[error("section {section} of the changes of `{name}` {fault}")]
    CorruptSection {
        /// The bundle's file.
        name: String,
        /// The section, from 1.
        section: usize,
        /// The damage.
        fault: TextFault,
    },
    /// The changes of the set violate the format, are for another set, or a set cannot be read.
    #[error("could not apply the changes of `{name}`")]
    Set {
        /// The bundle's file.
        name: String,
        /// The problem.
        source: Box<sharded_set::Error>,
    },
    /// The manifest's digest does not match.
    #[error("the manifest of `{name}` is damaged: {fault}")]
    CorruptManifest {
        /// The bundle's file.
        name: String,
        /// The problem.
        fault: &'static str,
    },
    /// The manifest violates the format.
    #[error("the manifest of `{name}` is malformed")]
    MalformedManifest {
        /// The bundle's file.
        name: String,
        /// The position and the problem.
        source: serde_json::Error,
    },
    /// The manifest violates a rule of the format.
    #[error("the manifest of `{name}` breaks a rule of the format")]
    InvalidManifest {
        /// The bundle's file.
        name: String,
        /// The rule and the object.
        source: InvalidManifest,
    },
    /// A bundle of frostmirror 1.x is invalid.
    #[error("the frostmirror 1.x bundle `{name}` is invalid")]
    Legacy {
        /// The bundle's file.
        name: String,
        /// The problem.
        source: LegacyError,
    },
    /// The disk lacks space for the decompressed legacy bundle.
    #[error("could not decompress the frostmirror 1.x bundle `{name}` in `{}`", folder.display())]
    Spool {
        /// The bundle's file.
        name: String,
        /// The folder for the decompressed file.
        folder: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The visitor failed.
    #[error("could not process the contents of `{name}`")]
    Visitor {
        /// The bundle's file.
        name: String,
        /// The visitor's own error.
        source: io::Error,
    },
}
