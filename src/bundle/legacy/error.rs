//! The reasons why a bundle of frostmirror 1.x is invalid.

use std::io;

use crate::bundle::invalid_manifest::InvalidManifest;
use crate::crate_id::InvalidCrateId;
use crate::digest::InvalidDigest;
use crate::safe_path::UnsafePath;

/// The reason why a bundle of frostmirror 1.x is invalid.
#[derive(Debug, thiserror::Error)]
pub enum LegacyError {
    /// The stream or its table violates the format.
    #[error("{0}")]
    Framing(&'static str),
    /// A section violates the format.
    #[error("`{path}` {rule}")]
    Section {
        /// The section's path.
        path: String,
        /// The problem.
        rule: &'static str,
    },
    /// A path is unsafe.
    #[error(transparent)]
    Path(#[from] UnsafePath),
    /// Its manifest is not JSON of the expected form.
    #[error("its manifest.json is malformed")]
    Manifest(#[from] serde_json::Error),
    /// Its manifest has an invalid crate name or version.
    #[error(transparent)]
    Crate(#[from] InvalidCrateId),
    /// Its manifest has an invalid digest.
    #[error(transparent)]
    Digest(#[from] InvalidDigest),
    /// Its creation time is invalid.
    #[error("its `created` is not an RFC 3339 time: `{}`", .0.escape_debug())]
    InvalidTime(String),
    /// The converted manifest violates a rule of the format.
    #[error(transparent)]
    InvalidManifest(#[from] InvalidManifest),
}

/// An error that stops the conversion.
pub(super) enum ConvertError {
    Invalid(LegacyError),
    NotABundle,
    Read(io::Error),
    Spool(io::Error),
}

impl<E: Into<LegacyError>> From<E> for ConvertError {
    fn from(refused: E) -> ConvertError {
        ConvertError::Invalid(refused.into())
    }
}

pub(super) fn section_error(path: &str, rule: &'static str) -> LegacyError {
    LegacyError::Section { path: path.to_owned(), rule }
}
