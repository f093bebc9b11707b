//! The writer: packs files with known digests into one bundle, and checks every byte against its digest.
//!
//! All sizes and digests are known before the first byte is written: they are part of the plan, and blocks are compressed
//! into an unnamed file first. So the manifest comes first and nothing is patched. The bundle is written under a temporary
//! name in its folder, and renamed only after the caller has verified it.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Seek, Write};
use std::iter::Peekable;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use tempfile::NamedTempFile;

use super::format::{
    Block, BundleKind, CarriedHistory, CrateRecord, DistFileRecord, Encoding, Entry, FormatVersion, Lineage,
    MAX_BLOCK_SIZE, Manifest, Parent, RefreshedCrate, StoredBytes, max_plain_size,
};
use super::header::Header;
use super::invalid_manifest::InvalidManifest;
use super::manifest::EncodedManifest;
use super::{brotli_stream, file_name, manifest, validate};
use crate::digest::{BUFFER_SIZE, Hasher, HashingWriter, Sha256};
use crate::durable;
use crate::event::{self, Event, Phase, Sink};
use crate::mirror_file::{FileKind, FileSource, MirrorFile};
use crate::safe_path::SafePath;
use crate::sharded_set;
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
    InvalidPlan(#[source] InvalidManifest),
    /// A set cannot be read or compared.
    #[error("could not compare the sets of the bundle")]
    Set(#[from] sharded_set::Error),
    /// The list of planned files cannot be read, or it changed during the work.
    #[error("could not read the list of the files to pack")]
    Files(#[source] io::Error),
    /// The event sink cancelled the work.
    #[error("interrupted")]
    Cancelled,
}

/// A complete, durable bundle without its final name, whose manifest is an `M`. Dropping it removes it.
#[derive(Debug)]
pub struct UnpublishedBundle<M = Manifest> {
    /// Its id.
    pub id: String,
    /// Bytes of the file.
    pub size: u64,
    /// Digest of the file.
    pub sha256: Sha256,
    /// Its manifest.
    pub manifest: M,
    kind: BundleKind,
    created: Timestamp,
    folder: PathBuf,
    file: NamedTempFile,
}

impl<M> UnpublishedBundle<M> {
    /// The temporary path.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Renames the bundle to its final name in its folder, and returns the path. It never replaces an existing file: it uses
    /// the first number of the minute that is free and not `taken`.
    pub fn publish(self, is_taken: &dyn Fn(&str) -> bool) -> Result<PathBuf, Error> {
        let UnpublishedBundle { kind, created, folder, mut file, .. } = self;
        let failed = |source| Error::Write { folder: folder.clone(), source };
        loop {
            let name = file_name::unique_file_name(kind, created, &|name| {
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
    let mut order: Vec<&PlannedFile> = files.iter().collect();
    order.sort_unstable_by(|(a, _), (b, _)| (a.kind, &a.path).cmp(&(b.kind, &b.path)));
    let mut repeated = RepeatedFiles::default();
    order.retain(|(file, _)| !repeated.contains(file));

    let mut groups = tempfile::tempfile_in(folder).map_err(failed)?;
    for run in Runs::new(order.iter().copied(), usize::MAX) {
        check_cancelled(sink)?;
        manifest.blocks.extend(encode_blocks(&run, &mut groups, folder)?);
    }
    manifest.assign_id();
    let stored = manifest::encode(&manifest).map_err(failed)?;
    validate::validate(&manifest).map_err(Error::InvalidPlan)?;

    let bytes = manifest.blocks.iter().filter_map(Block::stored_size).sum();
    sink.event(Event::Begin { phase: Phase::Packing, items: order.len() as u64, bytes });
    let mut output = BundleOutput::create(folder, FormatVersion::CURRENT, &stored)?;
    groups.rewind().map_err(failed)?;
    let mut next = order.into_iter();
    for block in &manifest.blocks {
        check_cancelled(sink)?;
        // Blocks keep the order of the files; the groups were written in the same order.
        let files: Vec<_> = next.by_ref().take(block.entries.len()).collect();
        output.write_block(block, &files, &mut groups, sink)?;
    }
    sink.event(Event::End { phase: Phase::Packing });
    let (id, kind) = (manifest.id.clone(), manifest.kind);
    output.finish(id, kind, created, manifest)
}

/// A file to pack, and the source of its bytes.
pub(super) type PlannedFile = (MirrorFile, FileSource);

/// A bundle that is being written. Dropping it removes it.
pub(super) struct BundleOutput<'f> {
    folder: &'f Path,
    file: NamedTempFile,
    out: HashingWriter<BufWriter<File>>,
}

impl<'f> BundleOutput<'f> {
    /// Begins a bundle in `folder` with its header and manifest.
    pub(super) fn create(
        folder: &'f Path,
        format: FormatVersion,
        manifest: &EncodedManifest,
    ) -> Result<BundleOutput<'f>, Error> {
        let failed = |source| Error::Write { folder: folder.to_owned(), source };
        let file = create_part_file(folder).map_err(failed)?;
        let handle = file.as_file().try_clone().map_err(failed)?;
        let mut out = HashingWriter::new(BufWriter::with_capacity(BUFFER_SIZE, handle));
        let header = Header {
            format,
            tool: env!("CARGO_PKG_VERSION").to_owned(),
            stored_size: manifest.bytes.len() as u64,
            plain_size: manifest.plain_size,
            sha256: Sha256::of(&manifest.bytes),
        };
        out.write_all(&header.to_bytes()).and_then(|()| out.write_all(&manifest.bytes)).map_err(failed)?;
        Ok(BundleOutput { folder, file, out })
    }

    /// Appends the next `size` bytes of `spool`.
    pub(super) fn copy(&mut self, spool: &mut File, size: u64) -> Result<u64, Error> {
        let copied = io::copy(&mut spool.take(size), &mut self.out);
        copied.map_err(|source| Error::Write { folder: self.folder.to_owned(), source })
    }

    /// Appends a block of these files. A compressed block is the next one in `groups`.
    pub(super) fn write_block(
        &mut self,
        block: &Block,
        files: &[&PlannedFile],
        groups: &mut File,
        sink: &dyn Sink,
    ) -> Result<(), Error> {
        let bytes = match block.stored {
            Some(stored) => self.copy(groups, stored.size)?,
            None => {
                let (folder, out) = (self.folder, &mut self.out);
                files.iter().try_fold(0, |sum, file| Ok::<u64, Error>(sum + copy_checked(file, out, folder)?))?
            }
        };
        for (file, _) in files {
            sink.detail("Packed", format!("{} ({})", file.path, event::format_size(file.size)));
        }
        sink.event(Event::Advance { phase: Phase::Packing, items: files.len() as u64, bytes });
        Ok(())
    }

    /// Makes the bundle durable.
    pub(super) fn finish<M>(
        self,
        id: String,
        kind: BundleKind,
        created: Timestamp,
        manifest: M,
    ) -> Result<UnpublishedBundle<M>, Error> {
        let BundleOutput { folder, file, mut out } = self;
        let failed = |source| Error::Write { folder: folder.to_owned(), source };
        out.flush().map_err(failed)?;
        let (sha256, size, _) = out.finish();
        file.as_file().sync_all().and_then(|()| durable::make_public(file.path())).map_err(failed)?;
        Ok(UnpublishedBundle { id, size, sha256, manifest, kind, created, folder: folder.to_owned(), file })
    }
}

/// Finds files whose bytes a bundle has already: rustup's own files have two paths each, and a channel's manifest four.
#[derive(Default)]
pub(super) struct RepeatedFiles {
    seen: HashSet<Sha256>,
}

impl RepeatedFiles {
    /// Whether the bytes of `file` need no entry of their own.
    pub(super) fn contains(&mut self, file: &MirrorFile) -> bool {
        matches!(file.kind, FileKind::Dist | FileKind::Rustup) && !self.seen.insert(file.sha256)
    }
}

pub(super) fn check_cancelled(sink: &dyn Sink) -> Result<(), Error> {
    if sink.is_cancelled() { Err(Error::Cancelled) } else { Ok(()) }
}

/// Something with a file to pack.
pub(super) trait Planned {
    /// The file.
    fn planned(&self) -> &PlannedFile;
}

impl Planned for &PlannedFile {
    fn planned(&self) -> &PlannedFile {
        self
    }
}

/// Groups files into blocks: each incompressible file alone, and neighbouring compressible files up to the group size.
pub(super) struct Runs<I: Iterator> {
    files: Peekable<I>,
    max_files: usize,
}

impl<I: Iterator<Item: Planned>> Runs<I> {
    /// Groups `files` into runs of at most `max_files`.
    pub(super) fn new(files: I, max_files: usize) -> Runs<I> {
        Runs { files: files.peekable(), max_files }
    }
}

impl<I: Iterator<Item: Planned>> Iterator for Runs<I> {
    type Item = Vec<I::Item>;

    fn next(&mut self) -> Option<Vec<I::Item>> {
        let first = self.files.next()?;
        let (file, _) = first.planned();
        let mut space = if is_compressible(file) { MAX_BLOCK_SIZE - file.size } else { return Some(vec![first]) };
        let mut run = vec![first];
        while run.len() < self.max_files {
            let fits = |file: &MirrorFile| is_compressible(file) && file.size <= space;
            let Some(next) = self.files.next_if(|next| fits(&next.planned().0)) else { break };
            space -= next.planned().0.size;
            run.push(next);
        }
        Some(run)
    }
}

fn is_compressible(file: &MirrorFile) -> bool {
    file.kind.is_compressible(&file.path) && file.size <= MAX_BLOCK_SIZE
}

/// The blocks of a run; compressed data is appended to `groups`.
///
/// Usually this is one block. If text exceeds the reader's maximum ratio (a hundred versions of one long line), its entries
/// are stored uncompressed.
pub(super) fn encode_blocks(run: &[&PlannedFile], groups: &mut File, folder: &Path) -> Result<Vec<Block>, Error> {
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
fn copy_checked(file: &PlannedFile, out: &mut impl Write, folder: &Path) -> Result<u64, Error> {
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
pub(super) fn remove_leftovers(folder: &Path) -> io::Result<()> {
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
