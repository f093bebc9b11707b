//! Exports a mirror's crates as a folder from which cargo builds without a server. The files are copies or hard links;
//! the mirror does not change.
//!
//! | file | purpose |
//! |---|---|
//! | `output_dir` | the folder: built under a temporary name and renamed when complete |
//! | `local_registry` | `.crate` files and index, for cargo's `local-registry` |
//! | `vendor` | unpacked crates, for cargo's `directory` |
//! | `vendor/unpack.rs` | unpacks one hostile `.crate` as cargo would, or rejects it |
//!
//! The export locks the mirror against changes. It hashes every file that it exports, so a corrupt file stops the
//! export with an error that names it. The folder gets its final name only when all its content is complete and
//! durable. Until then its name is `.frostmirror-export-…`. The export removes it on failure or interruption. After a
//! kill, the next export to the same path removes it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::guard::ReadGuard;
use super::import::Problems;
use super::inventory::{Inventory, InventoryEntry};
use super::layout::Layout;
use super::transaction;
use crate::crate_id::{CrateId, CrateName};
use crate::digest::Sha256;
use crate::durable::checkpoint;
use crate::event::{Event, Phase, Sink};
use crate::parallel;

mod local_registry;
mod output_dir;
mod vendor;

pub(super) use output_dir::CreatedParents;

/// All checkpoints of an export of at least one crate, in order.
pub const CHECKPOINTS: &[&str] =
    &["export:begun", "export:read", "export:half", "export:filled", "export:synced", "export:placed"];

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
    pub reason: vendor::unpack::Rejection,
}

/// A crate with files whose paths differ only in case.
#[derive(Debug)]
pub struct CaseConflict {
    /// The crate.
    pub id: CrateId,
    /// The paths of these files.
    pub paths: Vec<String>,
}

/// The export failed. It leaves no files, and the mirror is unchanged.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The requested folder cannot be created.
    #[error("`{}` {}", folder.display(), why.description())]
    Target {
        /// The folder.
        folder: PathBuf,
        /// The obstacle.
        why: Obstacle,
    },
    /// Index, records and files of the mirror contradict each other.
    #[error("the mirror is damaged")]
    Damaged {
        /// All problems.
        #[source]
        problems: Problems,
    },
    /// A file of the mirror differs from its record.
    #[error("`{path}` {fault}")]
    Corrupt {
        /// The file, relative to the mirror.
        path: String,
        /// What is wrong with it.
        fault: String,
    },
    /// The mirror cannot be read.
    #[error(transparent)]
    Store(#[from] transaction::Error),
    /// The folder cannot be written.
    #[error("could not write `{}`", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The sink requested a stop.
    #[error("interrupted")]
    Stopped,
}

/// Why the requested folder cannot be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The folder exists and is not empty.
    NotEmpty,
    /// The path is a file.
    NotAFolder,
    /// The path is inside the mirror.
    InMirror,
    /// The path has no file name, such as the root of a file system.
    NoName,
    /// The path is a mount point, so nothing can be renamed to it.
    MountPoint,
}

impl Obstacle {
    fn description(self) -> &'static str {
        match self {
            Obstacle::NotEmpty => "is not empty",
            Obstacle::NotAFolder => "is not a folder",
            Obstacle::InMirror => "is inside the mirror",
            Obstacle::NoName => "is not a path where a folder can be created",
            Obstacle::MountPoint => "is a mount point",
        }
    }
}

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

/// Reads the inventory and passes each index file to `each`. Rejects a mirror with contradictions.
fn read_inventory(
    layout: &Layout,
    sink: &dyn Sink,
    each: &mut dyn FnMut(&CrateName, &str) -> Result<(), Error>,
) -> Result<Inventory, Error> {
    let inventory = Inventory::read(layout, &mut |name, _, text| {
        check_stopped(sink)?;
        each(name, text)
    })?;
    match inventory.problems.as_slice() {
        [] => Ok(inventory),
        problems => Err(Error::Damaged { problems: Problems::summarize(problems) }),
    }
}

/// The error for a crate whose bytes differ from the recorded digest.
fn corrupt_crate(entry: &InventoryEntry, actual: Sha256) -> Error {
    let path = entry.id.crate_path().to_string();
    Error::Corrupt { path, fault: format!("has SHA-256 {actual}, but {} is recorded", entry.cksum) }
}

/// The error for a crate file that is missing or not a regular file.
fn missing_crate(entry: &InventoryEntry) -> Error {
    Error::Corrupt { path: entry.id.crate_path().to_string(), fault: "is missing, but the index names it".to_owned() }
}

fn write_failed(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Write { path, source }
}

fn check_stopped(sink: &dyn Sink) -> Result<(), Error> {
    if sink.is_cancelled() { Err(Error::Stopped) } else { Ok(()) }
}

/// Runs `work` for every crate on several threads, each with its own buffer, and sums the bytes. After a failure it
/// starts no new crate, and returns the error of the first failed crate in order.
fn for_each_crate(
    crates: &[&InventoryEntry],
    sink: &dyn Sink,
    work: impl Fn(&InventoryEntry, &mut [u8]) -> Result<u64, Error> + Sync,
) -> Result<u64, Error> {
    sink.event(Event::Begin { phase: Phase::Exporting, items: crates.len() as u64, bytes: 0 });
    let (started, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let run = |stored: &&InventoryEntry, buffer: &mut [u8]| {
        if failed.load(Ordering::Relaxed) {
            return Ok(0);
        }
        if started.fetch_add(1, Ordering::Relaxed) == crates.len() / 2 {
            checkpoint("export:half");
        }
        let done = check_stopped(sink).and_then(|()| work(stored, buffer));
        match &done {
            Ok(bytes) => {
                sink.detail("Exported", stored.id.to_string());
                sink.event(Event::Advance { phase: Phase::Exporting, items: 1, bytes: *bytes });
            }
            Err(_) => failed.store(true, Ordering::Relaxed),
        }
        done
    };
    let results = parallel::map(crates, parallel::thread_count(), run);
    sink.event(Event::End { phase: Phase::Exporting });
    results.into_iter().sum()
}
