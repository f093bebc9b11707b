//! The order of a transaction's operations, by the path of the file.

use crate::mirror::dist_files::MutableName;
use crate::safe_path::SafePath;

/// The position of an operation in a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// A note in the ledger that retires a lineage or accepts a bundle.
    Note,
    /// An index file loses lines.
    LessIndex,
    /// The records of these lines.
    LessMeta,
    /// A name that rustup requests first, or a signature, is removed.
    LessChannels,
    /// A crate or component is removed.
    LessFiles,
    /// An empty folder is removed.
    Folder,
    /// A crate or component.
    File,
    /// The records of index lines.
    Meta,
    /// An index file.
    Index,
    /// A channel manifest with its digest and signature, or rustup's release file.
    Channel,
    /// A list of `.frostmirror`, or `index/config.json`.
    List,
    /// The record of an import, or live mode's records.
    Record,
    /// `manifest.json`.
    Summary,
}

impl Rank {
    /// The position of a new or replaced file.
    pub(super) fn of_addition(path: &SafePath) -> Rank {
        let text = path.as_str();
        match path.components().next() {
            Some("crates") => Rank::File,
            // rustup's programs belong to the release file, which names them.
            Some("dist" | "rustup") if is_channel(path) && !text.starts_with("rustup/dist/") => Rank::Channel,
            Some("dist" | "rustup") => Rank::File,
            Some("index") if text.matches('/').count() > 1 => Rank::Index,
            Some("manifest.json") => Rank::Summary,
            _ if text.starts_with(".frostmirror/lines/") => Rank::Meta,
            // The record of a set is committed after it.
            _ if text.starts_with(".frostmirror/ledger/lists/") || text.starts_with(".frostmirror/ledger/shards/") => {
                Rank::File
            }
            _ if text.starts_with(".frostmirror/ledger/") && text.ends_with(".json") => Rank::Record,
            _ if text.starts_with(".frostmirror/ledger/") => Rank::Note,
            _ if text == ".frostmirror/live/records" => Rank::Record,
            _ => Rank::List,
        }
    }

    /// The position of a file that is removed or loses content.
    pub(super) fn of_removal(path: &SafePath) -> Rank {
        match Rank::of_addition(path) {
            Rank::File if is_channel(path) => Rank::LessChannels,
            Rank::File => Rank::LessFiles,
            Rank::Channel => Rank::LessChannels,
            Rank::Meta => Rank::LessMeta,
            Rank::Index => Rank::LessIndex,
            other => other,
        }
    }
}

/// Whether rustup requests the file under a name that moves on to other content.
fn is_channel(path: &SafePath) -> bool {
    matches!(path.components().next(), Some("dist" | "rustup")) && MutableName::from_path(path).is_some()
}
