//! The writer: files with known digests into one bundle, every byte checked against its digest on the way.
//!
//! Everything is known before the first byte is written: sizes and digests come with the plan, and what is encoded
//! is encoded first, into a nameless file. So the manifest comes first and nothing is patched. The bundle is written
//! beside its place under a name of its own, and gets its final one only when the caller has verified it.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use tempfile::NamedTempFile;

use super::format::{
    ArtifactRecord, Block, BundleKind, Carried, CrateRecord, Encoding, Entry, FormatVersion, Lineage, MAX_GROUP,
    Manifest, Parent, Refreshed, StoredBytes, plain_limit,
};
use super::header::Header;
use super::{encoded, manifest, name, rules};
use crate::artifact::{Artifact, Bytes, Kind};
use crate::digest::{BUFFER, Hasher, HashingWriter, Sha256};
use crate::durable;
use crate::event::{Event, Phase, Sink};
use crate::safe_path::SafePath;

/// What to pack. `crates` and `lineage` refer to each other by position, so that both come sorted by name and version.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The time that the bundle states and is named by; whole seconds count.
    pub created: Timestamp,
    /// Whether it stands alone.
    pub kind: BundleKind,
    /// Whether it mends what a mirror has lost.
    pub repair: bool,
    /// The bundle that a delta builds on.
    pub parent: Option<Parent>,
    /// The history that it belongs to.
    pub lineage: Lineage,
    /// The histories that a snapshot brings along, by id.
    pub carried: Vec<Carried>,
    /// The target triples it is made for.
    pub targets: Vec<String>,
    /// The toolchains in it.
    pub toolchains: Vec<String>,
    /// When the index was read; whole seconds count.
    pub index_read: Timestamp,
    /// Every crate that is resolved, sorted by name and version.
    pub crates: Vec<CrateRecord>,
    /// Every rustup artifact that is needed, sorted by path.
    pub artifacts: Vec<ArtifactRecord>,
    /// Crates of earlier bundles whose index lines are among the files, sorted by name and version.
    pub refreshed: Vec<Refreshed>,
    /// The files, in any order.
    pub files: Vec<(Artifact, Bytes)>,
}

/// Why a bundle was not written. Nothing is left behind.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bundle cannot be written.
    #[error("could not write a bundle into `{}`", folder.display())]
    Write {
        /// Its folder.
        folder: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file that is to be packed cannot be read.
    #[error("could not read `{}` for `{path}`", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// The entry that it is to become.
        path: SafePath,
        /// What the system says.
        source: io::Error,
    },
    /// A file is not what it was when its digest was taken.
    #[error("`{}` is not the file that was planned for `{path}`: SHA-256 {actual} in place of {expected}", file.display())]
    Changed {
        /// The file; empty for text in memory.
        file: PathBuf,
        /// The entry that it is to become.
        path: SafePath,
        /// The digest that was recorded.
        expected: Sha256,
        /// The digest of what was read.
        actual: Sha256,
    },
    /// The plan would make a bundle that no reader takes.
    #[error("the plan does not make a bundle")]
    Plan(#[source] rules::Broken),
    /// Whoever listens to the progress wants no more of it.
    #[error("interrupted")]
    Stopped,
}

/// A bundle that is written and durable, but has no name yet. Dropping it removes it.
#[derive(Debug)]
pub struct Written {
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

impl Written {
    /// Where the bundle is until it is published.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Gives the bundle its name in the folder that it was written into, and gives its path. A file that is there
    /// is never replaced: the next free number of the minute is taken, of the names that are not `taken` elsewhere.
    pub fn publish(self, taken: &dyn Fn(&str) -> bool) -> Result<PathBuf, Error> {
        let Written { manifest, created, folder, mut file, .. } = self;
        let failed = |source| Error::Write { folder: folder.clone(), source };
        loop {
            let name = name::file_name(manifest.kind, created, &|name| {
                taken(name) || folder.join(name).symlink_metadata().is_ok()
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

/// Packs a plan into a nameless bundle in `folder`, which must be there. Leftovers of writers that were killed are
/// removed first.
pub fn write(plan: Plan, folder: &Path, sink: &dyn Sink) -> Result<Written, Error> {
    let failed = |source| Error::Write { folder: folder.to_owned(), source };
    remove_leftovers(folder).map_err(failed)?;
    let created = plan.created;
    let (mut manifest, files) = manifest_of(plan);
    let mut order: Vec<&(Artifact, Bytes)> = files.iter().collect();
    order.sort_unstable_by(|(a, _), (b, _)| (a.kind, &a.path).cmp(&(b.kind, &b.path)));
    // rustup's own files stand at two paths each, and a channel's manifest at four.
    let mut travelling = HashSet::new();
    order.retain(|(artifact, _)| {
        !matches!(artifact.kind, Kind::Dist | Kind::Rustup) || travelling.insert(artifact.sha256)
    });

    let mut groups = tempfile::tempfile_in(folder).map_err(failed)?;
    for run in &runs(&order) {
        go_on(sink)?;
        manifest.blocks.extend(blocks(run, &mut groups, folder)?);
    }
    let stored = manifest::encode(&mut manifest).map_err(failed)?;
    rules::check(&manifest).map_err(Error::Plan)?;

    let bytes = manifest.blocks.iter().filter_map(Block::stored_size).sum();
    sink.event(Event::Begin { phase: Phase::Packing, items: order.len() as u64, bytes });
    let file = part_file(folder).map_err(failed)?;
    let mut out = HashingWriter::new(BufWriter::with_capacity(BUFFER, file.as_file()));
    let header = Header {
        format: FormatVersion::CURRENT,
        tool: env!("CARGO_PKG_VERSION").to_owned(),
        stored: stored.bytes.len() as u64,
        plain: stored.plain,
        sha256: Sha256::of(&stored.bytes),
    };
    out.write_all(&header.to_bytes()).and_then(|()| out.write_all(&stored.bytes)).map_err(failed)?;
    groups.rewind().map_err(failed)?;
    let mut next = order.iter();
    for block in &manifest.blocks {
        go_on(sink)?;
        // Blocks have the files in their order; the groups were written in theirs.
        let files: Vec<_> = next.by_ref().take(block.entries.len()).collect();
        let bytes = match block.stored {
            Some(stored) => io::copy(&mut (&groups).take(stored.size), &mut out).map_err(failed)?,
            None => files.iter().try_fold(0, |sum, file| Ok(sum + copy_checked(file, &mut out, folder)?))?,
        };
        sink.event(Event::Advance { phase: Phase::Packing, items: files.len() as u64, bytes });
    }
    out.flush().map_err(failed)?;
    let (sha256, size, _) = out.finish();
    file.as_file().sync_all().and_then(|()| durable::make_public(file.path())).map_err(failed)?;
    sink.event(Event::End { phase: Phase::Packing });
    Ok(Written { id: manifest.id.clone(), size, sha256, manifest, created, folder: folder.to_owned(), file })
}

fn go_on(sink: &dyn Sink) -> Result<(), Error> {
    if sink.stopped() { Err(Error::Stopped) } else { Ok(()) }
}

/// Files that share a block: each alone that is stored as it is, and as many neighbours as a group holds of what
/// shrinks.
fn runs<'p>(order: &[&'p (Artifact, Bytes)]) -> Vec<Vec<&'p (Artifact, Bytes)>> {
    let mut runs: Vec<Vec<&(Artifact, Bytes)>> = Vec::new();
    // Room in the last run; `None` where it takes no more.
    let mut room: Option<u64> = None;
    for file in order {
        let (artifact, _) = file;
        if !shrinks(artifact) {
            runs.push(vec![file]);
            room = None;
        } else if let (Some(left), Some(run)) = (room.and_then(|left| left.checked_sub(artifact.size)), runs.last_mut())
        {
            run.push(file);
            room = Some(left);
        } else {
            runs.push(vec![file]);
            room = Some(MAX_GROUP - artifact.size);
        }
    }
    runs
}

fn shrinks(artifact: &Artifact) -> bool {
    artifact.kind.compresses(&artifact.path) && artifact.size <= MAX_GROUP
}

/// The blocks that a run becomes; what is encoded is appended to `groups`.
///
/// That is one, but for text that shrinks more than a reader believes (a hundred versions of one long line): its
/// entries are stored as they are.
fn blocks(run: &[&(Artifact, Bytes)], groups: &mut File, folder: &Path) -> Result<Vec<Block>, Error> {
    let entries = run.iter().map(|(artifact, _)| Entry {
        path: artifact.path.clone(),
        size: artifact.size,
        sha256: artifact.sha256,
        kind: artifact.kind,
    });
    let stored = |entry| Block { encoding: Encoding::Stored, stored: None, entries: vec![entry] };
    if !shrinks(&run[0].0) {
        return Ok(entries.map(stored).collect());
    }
    let failed = |source| Error::Write { folder: folder.to_owned(), source };
    let mut broken = None;
    let bytes = encoded::encode(|writer| {
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
    if run.iter().map(|(artifact, _)| artifact.size).sum::<u64>() > plain_limit(size) {
        return Ok(entries.map(stored).collect());
    }
    groups.write_all(&bytes).map_err(failed)?;
    let stored = Some(StoredBytes { size, sha256: Sha256::of(&bytes) });
    Ok(vec![Block { encoding: Encoding::Brotli, stored, entries: entries.collect() }])
}

/// The manifest but for its blocks, and the files.
fn manifest_of(plan: Plan) -> (Manifest, Vec<(Artifact, Bytes)>) {
    let manifest = Manifest {
        id: String::new(),
        format: FormatVersion::CURRENT,
        tool: concat!("cargo-frostmirror ", env!("CARGO_PKG_VERSION")).to_owned(),
        created: whole_seconds(plan.created),
        kind: plan.kind,
        repair: plan.repair,
        parent: plan.parent,
        targets: plan.targets,
        toolchains: plan.toolchains,
        index_read: whole_seconds(plan.index_read),
        crates: plan.crates,
        artifacts: plan.artifacts,
        refreshed: plan.refreshed,
        lineage: plan.lineage,
        carried: plan.carried,
        blocks: Vec::new(),
    };
    (manifest, plan.files)
}

/// A time as manifests state it: RFC 3339, UTC, whole seconds.
pub fn whole_seconds(time: Timestamp) -> String {
    // A second that a timestamp was made from makes one again.
    Timestamp::from_second(time.as_second()).unwrap_or(time).to_string()
}

/// Copies a file's bytes and compares their digest with the one that was recorded for them.
fn copy_checked(file: &(Artifact, Bytes), out: &mut impl Write, folder: &Path) -> Result<u64, Error> {
    let (artifact, bytes) = file;
    let failed = |source| Error::Write { folder: folder.to_owned(), source };
    let mut hasher = Hasher::new();
    let mut length = 0u64;
    let from = match bytes {
        Bytes::Memory(bytes) => {
            hasher.update(bytes);
            length = bytes.len() as u64;
            // A longer text would break the framing of all that follows, so that it is not even written.
            if length == artifact.size {
                out.write_all(bytes).map_err(failed)?;
            }
            PathBuf::new()
        }
        Bytes::File(from) => {
            let unreadable = |source| Error::Read { file: from.clone(), path: artifact.path.clone(), source };
            // One byte more than there should be, to notice that there is more.
            let mut reader = File::open(from).map_err(unreadable)?.take(artifact.size.saturating_add(1));
            let mut buffer = vec![0; BUFFER];
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
    if length != artifact.size || actual != artifact.sha256 {
        return Err(Error::Changed { file: from, path: artifact.path.clone(), expected: artifact.sha256, actual });
    }
    Ok(length)
}

const PART_PREFIX: &str = ".frostmirror-";
const PART_SUFFIX: &str = ".part";

/// A file beside the bundle's place, locked for as long as its writer lives.
fn part_file(folder: &Path) -> io::Result<NamedTempFile> {
    loop {
        let file = tempfile::Builder::new().prefix(PART_PREFIX).suffix(PART_SUFFIX).tempfile_in(folder)?;
        // A file system without locks keeps its leftovers; that is better than to remove a living writer's file.
        let _without_locks = file.as_file().try_lock().is_err();
        // Another writer may have taken it for a leftover in the moment before the lock.
        if file.path().exists() {
            return Ok(file);
        }
    }
}

/// Removes part files whose writers are dead: the system took their locks away.
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
