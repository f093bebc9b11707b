//! A mirror's crates as a folder that cargo builds from without any server: copied out, never changed.
//!
//! | file | what it knows |
//! |---|---|
//! | `output_dir` | the folder: built beside its place, and placed when it is whole |
//! | `local_registry` | `.crate` files and index, for cargo's `local-registry` |
//! | `vendor` | crates unpacked, for cargo's `directory` |
//! | [`unpack`] | one hostile `.crate`, unpacked as cargo would, or refused |
//!
//! The mirror is locked against changes meanwhile. Every file is hashed on its way out, so that rot stops the export by
//! name and never travels on. The folder has its name only when everything in it is whole and durable; until then it is
//! `.frostmirror-export-…` beside it, and goes when the export fails, is interrupted, or, after a kill, with the next
//! export to the same place.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::import::Problems;
use super::inventory::{Inventory, InventoryEntry};
use super::layout::Layout;
use super::lock::ReadGuard;
use super::transaction;
use crate::crate_id::{CrateId, CrateName};
use crate::digest::{BUFFER_SIZE, Sha256};
use crate::durable::checkpoint;
use crate::event::{Event, Phase, Sink};

mod local_registry;
mod output_dir;
pub mod unpack;
mod vendor;

/// Every checkpoint of an export, in the order in which one of at least one crate passes them.
pub const CHECKPOINTS: &[&str] =
    &["export:begun", "export:read", "export:half", "export:filled", "export:synced", "export:placed"];

/// What was exported.
#[derive(Debug)]
pub struct ExportReport {
    /// The folder, as the system spells it.
    pub folder: PathBuf,
    /// Crates in it, one a version.
    pub crates: u64,
    /// Bytes of their files: as `.crate`, or unpacked.
    pub bytes: u64,
    /// Lines of the index whose crate a platform filter left out.
    pub index_only: u64,
    /// Files that are hard links to those of the mirror.
    pub hard_linked: u64,
    /// Why files are copies where a hard link was tried: what the system said of the first.
    pub link_failure: Option<String>,
    /// Crates that could not be unpacked and are not in the folder, by name.
    pub skipped: Vec<SkippedCrate>,
    /// Crates with files whose paths differ only in case, by name.
    pub case_conflicts: Vec<CaseConflict>,
}

/// A crate that an export lacks, since it cannot be unpacked as upstream published it.
#[derive(Debug)]
pub struct SkippedCrate {
    /// The crate.
    pub id: CrateId,
    /// What is wrong with it.
    pub reason: unpack::Rejection,
}

/// A crate with files whose paths differ only in case.
#[derive(Debug)]
pub struct CaseConflict {
    /// The crate.
    pub id: CrateId,
    /// The paths of these files.
    pub paths: Vec<String>,
}

/// An export that failed. Nothing is left of it, and the mirror is as it was.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder that was asked for cannot be made there.
    #[error("`{}` {}", folder.display(), why.description())]
    Target {
        /// The folder.
        folder: PathBuf,
        /// What is in the way.
        why: Obstacle,
    },
    /// Index, records and files of the mirror do not agree.
    #[error("the mirror is damaged")]
    Damaged {
        /// Everything that is wrong.
        #[source]
        problems: Problems,
    },
    /// Something in the mirror is not what is on record of it.
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
        /// What the system says.
        source: io::Error,
    },
    /// Whoever listens to the progress wants no more of it.
    #[error("interrupted")]
    Stopped,
}

/// What stands in the way of a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// It is there, and something is in it.
    NotEmpty,
    /// A file is there.
    NotAFolder,
    /// It is in the mirror.
    InMirror,
    /// It has no name of its own, as the root of a file system.
    NoName,
    /// Another file system begins there, so that nothing can be renamed to it.
    MountPoint,
}

impl Obstacle {
    fn description(self) -> &'static str {
        match self {
            Obstacle::NotEmpty => "is not empty",
            Obstacle::NotAFolder => "is not a folder",
            Obstacle::InMirror => "is in the mirror itself",
            Obstacle::NoName => "is no folder that can be made",
            Obstacle::MountPoint => "is where another file system begins",
        }
    }
}

impl ReadGuard {
    /// Makes `folder`, which must be absent or empty, a `local-registry` of cargo's: `NAME-VERSION.crate` files, hard
    /// links to the mirror's where the file systems allow it, and copies of the index files.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn export_local_registry(&self, folder: &Path, sink: &dyn Sink) -> Result<ExportReport, Error> {
        local_registry::export(&self.layout, folder, sink)
    }

    /// Makes `folder`, which must be absent or empty, a `directory` source of cargo's: every crate unpacked below
    /// `NAME-VERSION/`, with its `.cargo-checksum.json`. Crates that cannot be unpacked are left out and named.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn export_vendor(&self, folder: &Path, sink: &dyn Sink) -> Result<ExportReport, Error> {
        vendor::export(&self.layout, folder, sink)
    }
}

/// What the index lists, each file of it handed on; a mirror in which something does not agree is refused.
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

/// The bytes of a crate are not those on record.
fn corrupt_crate(entry: &InventoryEntry, actual: Sha256) -> Error {
    let path = entry.id.crate_path().to_string();
    Error::Corrupt { path, fault: format!("has SHA-256 {actual}, and the one on record is {}", entry.cksum) }
}

/// A crate's file is not there, or is no file.
fn missing_crate(entry: &InventoryEntry) -> Error {
    Error::Corrupt { path: entry.id.crate_path().to_string(), fault: "is missing; the index names it".to_owned() }
}

fn write_failed(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Write { path, source }
}

fn check_stopped(sink: &dyn Sink) -> Result<(), Error> {
    if sink.is_cancelled() { Err(Error::Stopped) } else { Ok(()) }
}

/// Does `work`, which gives bytes, for every crate on several threads, each with a buffer of its own. After a failure
/// nothing new is begun; the first crate in order that failed is told.
fn for_each_crate(
    crates: &[&InventoryEntry],
    sink: &dyn Sink,
    work: impl Fn(&InventoryEntry, &mut [u8]) -> Result<u64, Error> + Sync,
) -> Result<u64, Error> {
    sink.event(Event::Begin { phase: Phase::Exporting, items: crates.len() as u64, bytes: 0 });
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let run = || {
        let mut buffer = vec![0; BUFFER_SIZE];
        let mut sum = 0;
        while !failed.load(Ordering::Relaxed) {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(held) = crates.get(at) else { break };
            if at == crates.len() / 2 {
                checkpoint("export:half");
            }
            match check_stopped(sink).and_then(|()| work(held, &mut buffer)) {
                Ok(bytes) => {
                    sum += bytes;
                    sink.event(Event::Advance { phase: Phase::Exporting, items: 1, bytes });
                }
                Err(error) => {
                    failed.store(true, Ordering::Relaxed);
                    return Err((at, error));
                }
            }
        }
        Ok(sum)
    };
    let threads = std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 16).min(crates.len());
    let results: Vec<Result<u64, (usize, Error)>> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        running
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    sink.event(Event::End { phase: Phase::Exporting });
    let mut sum = 0;
    let mut first: Option<(usize, Error)> = None;
    for result in results {
        match result {
            Ok(bytes) => sum += bytes,
            Err((at, error)) => {
                if first.as_ref().is_none_or(|(other, _)| at < *other) {
                    first = Some((at, error));
                }
            }
        }
    }
    first.map_or(Ok(sum), |(_, error)| Err(error))
}
