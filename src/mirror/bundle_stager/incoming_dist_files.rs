//! Dist files that a bundle or live mode brings.

use jiff::Timestamp;

use crate::bundle::format::{DistFileRecord, Manifest};

/// The dist files of a bundle, or those that live mode fetched together.
#[derive(Clone, Copy)]
pub(in crate::mirror) struct IncomingDistFiles<'a> {
    /// Their records, sorted by path.
    pub(in crate::mirror) records: &'a [DistFileRecord],
    /// When the files were read whose records state no time.
    pub(in crate::mirror) default_read_at: Timestamp,
    /// When the bundle was written, or the files were fetched.
    pub(in crate::mirror) created: Timestamp,
    /// See [`Manifest::is_legacy`].
    pub(in crate::mirror) is_legacy: bool,
}

impl<'a> IncomingDistFiles<'a> {
    /// Those of the bundle with this manifest, whose times were validated when it was opened.
    pub(in crate::mirror) fn of_bundle(manifest: &'a Manifest) -> IncomingDistFiles<'a> {
        IncomingDistFiles {
            records: &manifest.dist_files,
            default_read_at: parse_time(&manifest.index_read),
            created: parse_time(&manifest.created),
            is_legacy: manifest.is_legacy(),
        }
    }

    /// When the bytes of the file with this record were read from upstream.
    pub(super) fn read_time(&self, record: &DistFileRecord) -> Timestamp {
        record.read_at.as_deref().map_or(self.default_read_at, parse_time)
    }
}

fn parse_time(text: &str) -> Timestamp {
    text.parse().unwrap_or(Timestamp::MIN)
}
