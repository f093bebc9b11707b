//! A section of the stream.

use crate::safe_path::SafePath;

/// A section's position in the spooled file.
#[derive(Clone)]
pub(super) struct Section {
    pub(super) path: SafePath,
    pub(super) offset: u64,
    pub(super) length: u64,
}
