//! Exports a mirror's crates as a folder from which cargo builds without a server. The files are copies or hard links;
//! the mirror does not change.
//!
//! | file | purpose |
//! |---|---|
//! | `crates` | reads the mirror's crates for either format |
//! | `output_dir` | the folder: built under a temporary name and renamed when complete |
//! | `local_registry` | `.crate` files and index, for cargo's `local-registry` |
//! | `vendor` | unpacked crates, for cargo's `directory` |
//! | `vendor/unpack.rs` | unpacks one hostile `.crate` as cargo would, or rejects it |
//!
//! The export locks the mirror against changes. It hashes every file that it exports, so a corrupt file stops the
//! export with an error that names it. The folder gets its final name only when all its content is complete and
//! durable. Until then its name is `.frostmirror-export-…`. The export removes it on failure or interruption. After a
//! kill, the next export to the same path removes it.

use std::path::Path;

use super::guard::ReadGuard;
use crate::event::Sink;

mod crates;
mod error;
mod local_registry;
mod output_dir;
mod report;
mod vendor;

pub use error::{Error, Obstacle};
pub(super) use output_dir::CreatedParents;
pub use report::{CaseConflict, ExportReport, SkippedCrate};

/// All checkpoints of an export of at least one crate, in order.
pub const CHECKPOINTS: &[&str] =
    &["export:begun", "export:read", "export:half", "export:filled", "export:synced", "export:placed"];

impl ReadGuard {
    /// Exports cargo's `local-registry` to `folder`, which must be absent or empty. It contains `NAME-VERSION.crate`
    /// files and copies of the index files. The crate files are hard links to the mirror's, if the file systems allow
    /// that.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn export_local_registry(&self, folder: &Path, sink: &dyn Sink) -> Result<ExportReport, Error> {
        local_registry::export(&self.layout, folder, sink)
    }

    /// Exports a `directory` source for cargo to `folder`, which must be absent or empty. Every crate is unpacked below
    /// `NAME-VERSION/`, with its `.cargo-checksum.json`. Crates that cannot be unpacked are skipped and reported.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn export_vendor(&self, folder: &Path, sink: &dyn Sink) -> Result<ExportReport, Error> {
        vendor::export(&self.layout, folder, sink)
    }
}
