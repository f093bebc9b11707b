//! Why a collection is refused or fails.

use std::path::PathBuf;

use crate::id_prefix::MIN_ID_PREFIX;
use crate::mirror::layout;
use crate::mirror::ledger::ChainFaultKind;
use crate::mirror::lineages::{LineageTip, REBUILT_LINEAGE};
use crate::mirror::lock;
use crate::mirror::summary::SummaryLoss;
use crate::mirror::transaction;
use crate::units::pluralize;

/// A collection was refused or failed. The index is consistent with everything that was removed; the next run completes
/// the work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no mirror.
    #[error(transparent)]
    Lock(#[from] lock::Error),
    /// The mirror has another layout version.
    #[error(transparent)]
    Layout(#[from] layout::Error),
    /// A record cannot be read, so it is unknown which files it needs.
    #[error("the record `{}` cannot be read, so it is unknown which files are needed", path.display())]
    Record {
        /// The record.
        path: PathBuf,
        /// The parse error.
        source: serde_json::Error,
    },
    /// A record is missing, was altered, or is damaged, so it is unknown which files it needs.
    #[error("the record `{}` {fault}, so it is unknown which files are needed", path.display())]
    Untrusted {
        /// The record.
        path: PathBuf,
        /// What is wrong with it.
        fault: ChainFaultKind,
    },
    /// A record is missing, so it is unknown which files it needs.
    #[error(
        "manifest.json names the record `{record}`, but the ledger does not contain it, so it is unknown which files are needed"
    )]
    LostRecord {
        /// Its name.
        record: String,
    },
    /// The ledger lacks records that `manifest.json` counts.
    #[error(
        "the ledger lacks {} that manifest.json counts, so it is unknown which files are needed",
        pluralize(*count, "record")
    )]
    LostRecords {
        /// The number of missing records.
        count: u64,
    },
    /// `manifest.json` is lost, and it would name the newest record.
    #[error(transparent)]
    SummaryLost(#[from] SummaryLoss),
    /// The lineage `rebuilt` still keeps files whose records are lost.
    #[error("lineage `{REBUILT_LINEAGE}` is not forgotten, so nothing is removed: {reason}")]
    RebuiltNeeded {
        /// Why these files may be needed.
        reason: String,
        /// The id of the lineage's newest record, which confirms the removal.
        bundle: String,
    },
    /// Files are kept for lost records, and no rebuild has recorded them as the lineage `rebuilt` yet.
    #[error(
        "the mirror has no lineage `{REBUILT_LINEAGE}` yet, and keeps files because records of imports are lost or may be lost"
    )]
    NotRebuilt,
    /// No lineage matches.
    #[error("no lineage of the mirror has an id that starts with `{word}`{}", known_ones(known))]
    NoLineage {
        /// The option.
        option: &'static str,
        /// The value of the option.
        value: String,
        /// The lineage in that value.
        word: String,
        /// The existing lineages.
        known: Vec<String>,
    },
    /// `live` is given, and live mode never added a file to this mirror.
    #[error("live mode of this mirror added no files{}", imported_ones(imported))]
    NoLiveFiles {
        /// The value of the option.
        value: String,
        /// The live lineages of other mirrors that came with snapshots.
        imported: Vec<LineageTip>,
    },
    /// `live` is given in a form that has no meaning.
    #[error("`{option} {value}` has no meaning: `live` stands for the files of live mode, which have no bundles")]
    LiveHasNoBundle {
        /// The option.
        option: &'static str,
        /// The value of the option.
        value: String,
    },
    /// The id of this mirror's own live lineage is given.
    #[error("`{word}` is the lineage of this mirror's live mode, which has no bundles")]
    OwnLiveLineage {
        /// The option.
        option: &'static str,
        /// The value of the option.
        value: String,
        /// The lineage in that value.
        word: String,
    },
    /// Several lineages match.
    #[error("several lineages of the mirror have an id that starts with `{word}`{}", known_ones(known))]
    Ambiguous {
        /// The given text.
        word: String,
        /// The matching lineages.
        known: Vec<String>,
    },
    /// The given prefix is too short to be safe.
    #[error(
        "`{word}` is too short: the id of a lineage needs at least {MIN_ID_PREFIX} digits{}",
        matching_ones(matching)
    )]
    TooShort {
        /// The given text.
        word: String,
        /// The matching lineages.
        matching: Vec<String>,
    },
    /// Another bundle is the newest of the lineage.
    #[error("the newest bundle of lineage `{lineage}` is `{newest}`, not `{bundle}`")]
    NotNewest {
        /// The lineage.
        lineage: String,
        /// The bundle to accept.
        bundle: String,
        /// The newest bundle.
        newest: String,
    },
    /// A rejected bundle is not given as a lineage and a bundle.
    #[error("`{word}` names no bundle: a rejected bundle is given as LINEAGE@BUNDLE")]
    NoBundleGiven {
        /// The given text.
        word: String,
    },
    /// No bundle of the lineage matches.
    #[error("no bundle on record in lineage `{lineage}` has an id that starts with `{bundle}`")]
    NoBundle {
        /// The lineage.
        lineage: String,
        /// The given text.
        bundle: String,
    },
    /// Several bundles of the lineage match.
    #[error("several bundles of lineage `{lineage}` have an id that starts with `{bundle}`: {}", matching.join(", "))]
    AmbiguousBundle {
        /// The lineage.
        lineage: String,
        /// The given text.
        bundle: String,
        /// The ids of the matching bundles.
        matching: Vec<String>,
    },
    /// A file system operation failed.
    #[error(transparent)]
    Store(#[from] transaction::Error),
}

fn matching_ones(matching: &[String]) -> String {
    match matching {
        [] => "; it matches no lineage".to_owned(),
        matching => format!("; it matches {}", matching.join(", ")),
    }
}

fn imported_ones(imported: &[LineageTip]) -> String {
    match imported {
        [] => String::new(),
        [one] => format!("; lineage {} came with a snapshot of another mirror", one.id_and_inputs()),
        several => {
            let ids: Vec<String> = several.iter().map(LineageTip::id_and_inputs).collect();
            format!("; lineages {} came with snapshots of other mirrors", ids.join(", "))
        }
    }
}

fn known_ones(known: &[String]) -> String {
    match known {
        [] => String::new(),
        known => format!(": {}", known.join(", ")),
    }
}
