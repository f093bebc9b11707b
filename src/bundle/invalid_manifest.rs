//! The violated rules of a manifest or a table.

use crate::safe_path::SafePath;

/// A violated rule of the format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidManifest {
    /// The manifest as a whole.
    #[error("the manifest {0}")]
    Manifest(&'static str),
    /// One entry, by its path.
    #[error("`{path}` {rule}")]
    Entry {
        /// The entry.
        path: SafePath,
        /// The problem.
        rule: &'static str,
    },
    /// One crate of the table.
    #[error("{name} {rule}")]
    Crate {
        /// Name and version.
        name: String,
        /// The problem.
        rule: &'static str,
    },
    /// One input of the lineage.
    #[error("the input `{}` {rule}", name.escape_debug())]
    Input {
        /// The input's name.
        name: String,
        /// The problem.
        rule: &'static str,
    },
    /// A block's encoding is unknown to this version.
    #[error("`{path}` has the encoding `{}`, which this version cannot decode", encoding.escape_debug())]
    UnknownEncoding {
        /// The block's first entry.
        path: String,
        /// The name of the encoding.
        encoding: String,
    },
}
