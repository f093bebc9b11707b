//! The writer: packs files with known digests into one bundle, and checks every byte against its digest.
//!
//! All sizes and digests are known before the first byte is written: they are part of the plan, and blocks are compressed
//! into an unnamed file first. So the manifest comes first and nothing is patched. The bundle is written under a temporary
//! name in its folder, and renamed only after the caller has verified it.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use tempfile::NamedTempFile;

use super::format::{
    Block, BundleKind, CarriedHistory, CrateRecord, DistFileRecord, Encoding, Entry, FormatVersion, Lineage,
    MAX_BLOCK_SIZE, Manifest, Parent, RefreshedCrate, StoredBytes, max_plain_size,
};
use super::header::Header;
use super::{brotli_stream, file_name, manifest, validate};
use crate::digest::{BUFFER_SIZE, Hasher, HashingWriter, Sha256};
use crate::durable;
use crate::event::{self, Event, Phase, Sink};
use crate::mirror_file::{FileKind, FileSource, MirrorFile};
use crate::safe_path::SafePath;
use crate::units::format_time;

/// The contents of a bundle. `crates` and `lineage` refer to each other by index, so both must be sorted by name and
/// version.
#[derive(Clone, Debug)]
pub struct PackPlan {
    /// The bundle's creation time, also used in its name; truncated to seconds.
    pub created: Timestamp,
    /// Whether it is full, a delta or a snapshot.
    pub kind: BundleKind,
    /// Whether it repairs a mirror.
    pub repair: bool,
    /// The base bundle of a delta.
    pub parent: Option<Parent>,
    /// The bundle's history.
    pub lineage: Lineage,
    /// The histories in a snapshot, by ID.
    pub carried_histories: Vec<CarriedHistory>,
    /// The target triples.
    pub targets: Vec<String>,
    /// The included toolchains.
    pub toolchains: Vec<String>,
    /// The time when the index was read; truncated to seconds.
    pub index_read: Timestamp,
    /// Every resolved crate, sorted by name and version.
    pub crates: Vec<CrateRecord>,
    /// Every needed dist file, sorted by path.
    pub dist_files: Vec<DistFileRecord>,
    /// Crates of earlier bundles whose index lines are among the files, sorted by name and version.
    pub refreshed_crates: Vec<RefreshedCrate>,
    /// The files, in any order.
    pub files: Vec<(MirrorFile, FileSource)>,
}

/// The reason why no bundle was written. No partial file is left.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bundle cannot be written.
    #[error("could not write a bundle into `{}`", folder.display())]
    Write {
        /// Its folder.
        folder: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A file to pack cannot be read.
    #[error("could not read `{}` for `{path}`", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Its entry's path.
        path: SafePath,
        /// The system's error.
        source: io::Error,
    },
    /// A file changed after its digest was computed.
    #[error("`{}`, the source of `{path}`, has changed: its SHA-256 is {actual}, expected {expected}", file.display())]
    FileChanged {
        /// The file; empty for text in memory.
        file: PathBuf,
        /// Its entry's path.
        path: SafePath,
        /// The recorded digest.
        expected: Sha256,
        /// The digest of the bytes now.
        actual: Sha256,
    },
    /// The plan violates a rule that every reader checks.
    #[error("the planned bundle breaks a rule of the format")]
    InvalidPlan(#[source] validate::InvalidManifest),
    /// The event sink cancelled the work.
    #[error("interrupted")]
    Cancelled,
}

/// A complete, durable bundle without its final name. Dropping it removes it.
#[derive(Debug)]
pub struct UnpublishedBundle {
    /// Its id.
    pub id: String,
    /// Bytes of the file.
    pub size: u64,
    /// Digest of the file.
    pub sha256: Sha256,
    /// Its manifest.
    pub manifest: Manifest,
    created: Timestamp,
    folder: PathBuf,
    file: NamedTempFile,
}

impl UnpublishedBundle {
    /// The temporary path.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Renames the bundle to its final name in its folder, and returns the path. It never replaces an existing file: it uses
    /// the first number of the minute that is free and not `taken`.
    pub fn publish(self, is_taken: &dyn Fn(&str) -> bool) -> Result<PathBuf, Error> {
        let UnpublishedBundle { manifest, created, folder, mut file, .. } = self;
        let failed = |source| Error::Write { folder: folder.clone(), source };
        loop {
            let name = file_name::unique_file_name(manifest.kind, created, &|name| {
                is_taken(name) || folder.join(name).symlink_metadata().is_ok()
            });
            let path = folder.join(name);
            match file.persist_noclobber(&path) {
                Ok(_) => {
                    durable::sync_folder(&folder).map_err(failed)?;
                    return Ok(path);
                }
                Err(lost) if lost.error.kind() == io::ErrorKind::AlreadyExists => file = lost.file,
                Err(lost) => return Err(failed(lost.error)),
            }
        }
    }
}

/// Packs a plan into an unpublished bundle in `folder`, which must exist. Removes leftovers of killed writers first.
pub fn write(plan: PackPlan, folder: &Path, sink: &dyn Sink) -> Result<UnpublishedBundle, Error> {
    let failed = |source| Error::Write { folder: folder.to_owned(), source };
    remove_leftovers(folder).map_err(failed)?;
    let created = plan.created;
    let (mut manifest, files) = split_plan(plan);
    let mut order: Vec<&(MirrorFile, FileSource)> = files.iter().collect();
    order.sort_unstable_by(|(a, _), (b, _)| (a.kind, &a.path).cmp(&(b.kind, &b.path)));
    // rustup's own files have two paths each, and a channel's manifest has four.
    let mut shipped = HashSet::new();
    order.retain(|(artifact, _)| {
        !matches!(artifact.kind, FileKind::Dist | FileKind::Rustup) || shipped.insert(artifact.sha256)
    });

    let mut groups = tempfile::tempfile_in(folder).map_err(failed)?;
    for run in &group_files(&order) {
        check_cancelled(sink)?;
        manifest.blocks.extend(encode_blocks(run, &mut groups, folder)?);
    }
    let stored = manifest::encode(&mut manifest).map_err(failed)?;
    validate::validate(&manifest).map_err(Error::InvalidPlan)?;

    let bytes = manifest.blocks.iter().filter_map(Block::stored_size).sum();
    sink.event(Event::Begin { phase: Phase::Packing, items: order.len() as u64, bytes });
    let file = create_part_file(folder).map_err(failed)?;
    let mut out = HashingWriter::new(BufWriter::with_capacity(BUFFER_SIZE, file.as_file()));
    let header = Header {
        format: FormatVersion::CURRENT,
        tool: env!("CARGO_PKG_VERSION").to_owned(),
        stored_size: stored.bytes.len() as u64,
        plain_size: stored.plain_size,
        sha256: Sha256::of(&stored.bytes),
    };
    out.write_all(&header.to_bytes()).and_then(|()| out.write_all(&stored.bytes)).map_err(failed)?;
    groups.rewind().map_err(failed)?;
    let mut next = order.iter();
    for block in &manifest.blocks {
        check_cancelled(sink)?;
        // Blocks keep the order of the files; the groups were written in the same order.
        let files: Vec<_> = next.by_ref().take(block.entries.len()).collect();
        let bytes = match block.stored {
            Some(stored) => io::copy(&mut (&groups).take(stored.size), &mut out).map_err(failed)?,
            None => files.iter().try_fold(0, |sum, file| Ok(sum + copy_checked(file, &mut out, folder)?))?,
        };
        for (file, _) in &files {
            sink.detail("Packed", format!("{} ({})", file.path, event::format_size(file.size)));
        }
        sink.event(Event::Advance { phase: Phase::Packing, items: files.len() as u64, bytes });
    }
    out.flush().map_err(failed)?;
    let (sha256, size, _) = out.finish();
    file.as_file().sync_all().and_then(|()| durable::make_public(file.path())).map_err(failed)?;
    sink.event(Event::End { phase: Phase::Packing });
    Ok(UnpublishedBundle { id: manifest.id.clone(), size, sha256, manifest, created, folder: folder.to_owned(), file })
}

fn check_cancelled(sink: &dyn Sink) -> Result<(), Error> {
    if sink.is_cancelled() { Err(Error::Cancelled) } else { Ok(()) }
}

/// Groups files into blocks: each incompressible file alone, and neighbouring compressible files up to the group size.
fn group_files<'p>(order: &[&'p (MirrorFile, FileSource)]) -> Vec<Vec<&'p (MirrorFile, FileSource)>> {
    let mut runs: Vec<Vec<&(MirrorFile, FileSource)>> = Vec::new();
    // Space left in the last run; `None` if it is closed.
    let mut space: Option<u64> = None;
    for file in order {
        let (file_info, _) = file;
        if !is_compressible(file_info) {
            runs.push(vec![file]);
            space = None;
        } else if let (Some(left), Some(run)) =
            (space.and_then(|left| left.checked_sub(file_info.size)), runs.last_mut())
        {
            run.push(file);
            space = Some(left);
        } else {
            runs.push(vec![file]);
            space = Some(MAX_BLOCK_SIZE - file_info.size);
        }
    }
    runs
}

fn is_compressible(file: &MirrorFile) -> bool {
    file.kind.is_compressible(&file.path) && file.size <= MAX_BLOCK_SIZE
}

/// The blocks of a run; compressed data is appended to `groups`.
///
/// Usually this is one block. If text exceeds the reader's maximum ratio (a hundred versions of one long line), its entries
/// are stored uncompressed.
fn encode_blocks(run: &[&(MirrorFile, FileSource)], groups: &mut File, folder: &Path) -> Result<Vec<Block>, Error> {
    let entries = run.iter().map(|(file_info, _)| Entry {
        path: file_info.path.clone(),
        size: file_info.size,
        sha256: file_info.sha256,
        kind: file_info.kind,
    });
    let stored = |entry| Block { encoding: Encoding::Stored, stored: None, entries: vec![entry] };
    if !is_compressible(&run[0].0) {
        return Ok(entries.map(stored).collect());
    }
    let failed = |source| Error::Write { folder: folder.to_owned(), source };
    let mut broken = None;
    let bytes = brotli_stream::encode(|writer| {
        for file in run {
            if let Err(error) = copy_checked(file, &mut &mut *writer, folder) {
                broken = Some(error);
                break;
            }
        }
        Ok(())
    })
    .map_err(failed)?;
    if let Some(error) = broken {
        return Err(error);
    }
    let size = bytes.len() as u64;
    if run.iter().map(|(artifact, _)| artifact.size).sum::<u64>() > max_plain_size(size) {
        return Ok(entries.map(stored).collect());
    }
    groups.write_all(&bytes).map_err(failed)?;
    let stored = Some(StoredBytes { size, sha256: Sha256::of(&bytes) });
    Ok(vec![Block { encoding: Encoding::Brotli, stored, entries: entries.collect() }])
}

/// The manifest without its blocks, and the files.
fn split_plan(plan: PackPlan) -> (Manifest, Vec<(MirrorFile, FileSource)>) {
    let manifest = Manifest {
        id: String::new(),
        format: FormatVersion::CURRENT,
        tool: concat!("cargo-frostmirror ", env!("CARGO_PKG_VERSION")).to_owned(),
        created: format_time(plan.created),
        kind: plan.kind,
        repair: plan.repair,
        parent: plan.parent,
        targets: plan.targets,
        toolchains: plan.toolchains,
        index_read: format_time(plan.index_read),
        crates: plan.crates,
        dist_files: plan.dist_files,
        refreshed_crates: plan.refreshed_crates,
        lineage: plan.lineage,
        carried_histories: plan.carried_histories,
        blocks: Vec::new(),
    };
    (manifest, plan.files)
}

/// Copies a file and compares its digest with the recorded one.
fn copy_checked(file: &(MirrorFile, FileSource), out: &mut impl Write, folder: &Path) -> Result<u64, Error> {
    let (file_info, bytes) = file;
    let failed = |source| Error::Write { folder: folder.to_owned(), source };
    let mut hasher = Hasher::new();
    let mut length = 0u64;
    let from = match bytes {
        FileSource::Memory(bytes) => {
            hasher.update(bytes);
            length = bytes.len() as u64;
            // A longer text would break the framing of all following entries, so it is refused first.
            if length == file_info.size {
                out.write_all(bytes).map_err(failed)?;
            }
            PathBuf::new()
        }
        FileSource::File(from) => {
            let unreadable = |source| Error::Read { file: from.clone(), path: file_info.path.clone(), source };
            // One extra byte detects a file that is too long.
            let mut reader = File::open(from).map_err(unreadable)?.take(file_info.size.saturating_add(1));
            let mut buffer = vec![0; BUFFER_SIZE];
            loop {
                let n = match reader.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(n) => n,
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                    Err(e) => return Err(unreadable(e)),
                };
                hasher.update(&buffer[..n]);
                out.write_all(&buffer[..n]).map_err(failed)?;
                length += n as u64;
            }
            from.clone()
        }
    };
    let actual = hasher.finish();
    if length != file_info.size || actual != file_info.sha256 {
        return Err(Error::FileChanged {
            file: from,
            path: file_info.path.clone(),
            expected: file_info.sha256,
            actual,
        });
    }
    Ok(length)
}

const PART_PREFIX: &str = ".frostmirror-";
const PART_SUFFIX: &str = ".part";

/// A temporary file in the bundle's folder, locked while its writer lives.
fn create_part_file(folder: &Path) -> io::Result<NamedTempFile> {
    loop {
        let file = tempfile::Builder::new().prefix(PART_PREFIX).suffix(PART_SUFFIX).tempfile_in(folder)?;
        // Without lock support, leftovers stay; otherwise a living writer's file could be removed.
        let _without_locks = file.as_file().try_lock().is_err();
        // Another writer may have removed it as a leftover before the lock was taken.
        if file.path().exists() {
            return Ok(file);
        }
    }
}

/// Removes temporary files of dead writers, whose locks the system has released.
fn remove_leftovers(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_part = name.to_str().is_some_and(|name| name.starts_with(PART_PREFIX) && name.ends_with(PART_SUFFIX));
        if is_part && entry.file_type()?.is_file() && is_abandoned(&entry.path()) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn is_abandoned(path: &Path) -> bool {
    File::options().read(true).write(true).open(path).is_ok_and(|file| file.try_lock().is_ok())
}
