//! The result of an export.

use std::path::PathBuf;

use super::vendor::unpack::Rejection;
use crate::crate_id::CrateId;

/// The result of an export.
#[derive(Debug)]
pub struct ExportReport {
    /// The folder, as the system spells it.
    pub folder: PathBuf,
    /// Number of exported crates, counted per version.
    pub crates: u64,
    /// Total bytes of their files: as `.crate`, or unpacked.
    pub bytes: u64,
    /// Index lines whose crate a platform filter excluded.
    pub index_only: u64,
    /// Files that are hard links to those of the mirror.
    pub hard_linked: u64,
    /// The system's error for the first failed hard link, if files were copied instead.
    pub link_failure: Option<String>,
    /// Crates that could not be unpacked and are not in the folder, by name.
    pub skipped: Vec<SkippedCrate>,
    /// Crates with files whose paths differ only in case, by name.
    pub case_conflicts: Vec<CaseConflict>,
}

/// A crate that is missing from an export because it cannot be unpacked.
#[derive(Debug)]
pub struct SkippedCrate {
    /// The crate.
    pub id: CrateId,
    /// Why it was rejected.
    pub reason: Rejection,
}

/// A crate with files whose paths differ only in case.
#[derive(Debug)]
pub struct CaseConflict {
    /// The crate.
    pub id: CrateId,
    /// The paths of these files.
    pub paths: Vec<String>,
}
