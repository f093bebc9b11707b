//! Why an import fails.

use std::path::PathBuf;

use super::conflict_sources::ConflictSources;
use super::missing_base::MissingBundles;
use crate::bundle::open;
use crate::mirror::history_statements::Contradiction;
use crate::mirror::ledger::CarryingSnapshot;
use crate::mirror::summary::SummaryLoss;
use crate::mirror::transaction;
use crate::units::pluralize;

/// The import was refused or failed; the mirror is unchanged.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The import was stopped; the mirror is unchanged.
    #[error("stopped; the mirror is unchanged")]
    Stopped,
    /// The bundle cannot be read.
    #[error(transparent)]
    Open(#[from] open::Error),
    /// The bundle is damaged or contradicts itself.
    #[error("the bundle `{file}` is invalid; the mirror is unchanged")]
    Invalid {
        /// The bundle's file.
        file: String,
        /// All problems.
        #[source]
        problems: Problems,
    },
    /// The bundle contradicts the content of the mirror.
    #[error("the bundle `{file}` contradicts the mirror; the mirror is unchanged")]
    Conflicts {
        /// The bundle's file.
        file: String,
        /// The contradictions, and where both sides came from.
        #[source]
        conflicts: Problems,
        /// The bundles that brought the stored side.
        sources: Box<ConflictSources>,
    },
    /// The snapshot states something about a bundle that an import record contradicts.
    #[error(
        "the snapshot `{file}` contradicts {}: it states {}; the mirror is unchanged",
        contradiction.source(),
        contradiction.difference
    )]
    FalseStatement {
        /// The snapshot's file.
        file: String,
        /// The contradiction.
        contradiction: Box<Contradiction>,
    },
    /// The bundle relies on crates or dist files that are not stored.
    #[error("the bundle `{file}` needs {} that the mirror lacks, first {first}: {bundles}", pluralize(*missing, "file"))]
    MissingBase {
        /// The bundle's file.
        file: String,
        /// The bundles that contain the missing files.
        bundles: Box<MissingBundles>,
        /// Number of missing files.
        missing: usize,
        /// The first missing files.
        first: String,
    },
    /// The bundle repairs files, but the mirror no longer needs any of them in that state.
    #[error("the bundle `{file}` repairs nothing in this mirror: the mirror no longer needs the files in it")]
    NothingRepaired {
        /// The bundle's file.
        file: String,
        /// The content of the bundle.
        #[source]
        left: Problems,
    },
    /// A time in the manifest is invalid.
    #[error("the bundle `{file}` states `{text}` as the time when its index was read, which is not an RFC 3339 time")]
    InvalidTime {
        /// The bundle's file.
        file: String,
        /// The text in the manifest.
        text: String,
    },
    /// The disk has too little free space.
    #[error("the bundle `{file}` needs {}, but the disk of `{}` has only {free} free", pluralize(*needed, "byte"), root.display())]
    NoSpace {
        /// The bundle's file.
        file: String,
        /// The mirror.
        root: PathBuf,
        /// In bytes.
        needed: u64,
        /// In bytes.
        free: u64,
    },
    /// With this bundle, the mirror would exceed the limits of a snapshot.
    #[error("with the bundle `{file}`, the mirror `{}` would have {what}, so no snapshot of it could be exported", root.display())]
    TooManyHistories {
        /// The bundle's file.
        file: String,
        /// The mirror.
        root: PathBuf,
        /// The exceeded limit.
        what: &'static str,
        /// The snapshot that brought most of the histories, if one brought several.
        snapshot: Option<CarryingSnapshot>,
        /// Whether some are bundles that may be the newest of their history.
        has_doubtful: bool,
    },
    /// `manifest.json` is lost beside files of earlier imports.
    #[error(transparent)]
    SummaryLost(#[from] SummaryLoss),
    /// A file system operation failed.
    #[error(transparent)]
    Store(#[from] transaction::Error),
}

/// Several problems as one cause: the first ones, one per line.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct Problems(pub Vec<String>);

/// Maximum number of problems that an error lists; it counts the others.
const MAX_NAMED: usize = 20;

impl Problems {
    pub(in crate::mirror) fn summarize<T: ToString>(all: &[T]) -> Problems {
        let mut lines: Vec<String> = all.iter().take(MAX_NAMED).map(ToString::to_string).collect();
        if all.len() > MAX_NAMED {
            lines.push(format!("and {} more", all.len() - MAX_NAMED));
        }
        Problems(lines)
    }
}
