//! The sets of lineages in the ledger: each shard is stored once, however many records have it. Imports do not write sets yet.
//!
//! ```text
//! ledger/NNNNNNNN-ID.json     a record; it states `set`: the root of its lineage's set after the bundle, and the rows
//! ledger/lists/ROOT           the list of shards of the set ROOT, whose SHA-256 is ROOT
//! ledger/shards/XX/SHA256     the text of a shard, by its SHA-256; XX are the first two digits
//! ```
//!
//! [`sharded_set`](crate::sharded_set) has the rules of rows, shards and lists.
//!
//! # Records
//!
//! A record states the root and the number of rows and no row. It must be a sealed record of the chain, so its digest
//! covers the root, and the root covers every byte of the set. Sets that differ in ten rows share all but ten shards. An import
//! writes the list and the shards that the store lacks, in the transaction of the record and before it. If a stored
//! file is damaged, an import that has its content replaces it.
//!
//! An import reads the shards that the bundle changes, and no others. Each is checked against its digest before its rows
//! are used. An audit checks every shard.
//!
//! # What is derivable
//!
//! The number of references to a shard is not stored. A shard is referenced if a kept list names it, and a list if a
//! kept record states it. So a kill or a lost file never makes a count wrong. The sets themselves are not derivable from the
//! mirror's files: rows state inputs, which nothing else has. A full bundle of the lineage brings them again.
//!
//! # Collection
//!
//! A collection keeps the sets of the records that its caller names. These must be all records that can become the newest
//! of their lineage, including doubtful ones. It never removes a set if one of them cannot be read, because the shards
//! of an unreadable list are unknown. Files whose names are no digests stay. Removals are part of a transaction.
//!
//! # Limits
//!
//! Readers have a shard of each set in memory, and the lists: 32 bytes per shard, at most 2 MiB per set. A writer has 40
//! bytes per new shard. The limits of shards and lists apply before they are read.
//!
//! # Threats
//!
//! | fault | message |
//! |---|---|
//! | a flipped bit in a shard, or the content of another shard | `shard N of the set is damaged`, with both digests |
//! | a missing shard | `shard N of the set is missing`, with its digest |
//! | a flipped bit in a list, or another set's list | `the list of shards is damaged`, with both digests |
//! | a missing list | `its list of shards ROOT is missing` |
//! | a record with another number of rows than the list | `the record states` and both numbers |
//! | a flipped bit in a record | the chain of records names it; it is not evaluated |
//! | a file much larger than a shard | the limit; no more is read |
//! | a symbolic link or a folder in place of a shard | an error of the system, or another digest |
//! | a sender who chooses names that share a shard | the limit of a shard; nothing is changed |
//!
//! Every message also names the record.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::disk;
use super::layout::Layout;
use super::transaction::{Error, StagedFile, Staging, Transaction};
use crate::digest::Sha256;
use crate::sharded_set::{
    self, DiffTotals, DigestList, MAX_SHARD_SIZE, SetRef, SetSummary, ShardStore, Union, UnionRow, Walk, diff,
};

#[cfg(test)]
mod tests;

/// Why a record's set cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum SetError {
    /// The store lacks the list.
    #[error("could not read the set of the record `{record}`: its list of shards {root} is missing")]
    MissingList {
        /// The record.
        record: String,
        /// The root.
        root: Sha256,
    },
    /// The list has another number of rows.
    #[error(
        "the record `{record}` states {stated} as the number of rows of its set, but the list of shards states {listed}"
    )]
    OtherRows {
        /// The record.
        record: String,
        /// The number in the record.
        stated: u64,
        /// The number in the list.
        listed: u64,
    },
    /// The list or a shard is missing, damaged or invalid.
    #[error("could not read the set of the record `{record}`")]
    Set {
        /// The record.
        record: String,
        /// The problem.
        source: sharded_set::Error,
    },
}

/// The stored shards and lists of a mirror.
#[derive(Clone, Debug)]
pub(super) struct SetStore {
    ledger: PathBuf,
}

/// The set of a record.
#[derive(Clone, Debug)]
pub(super) struct RecordedSet {
    /// The name of the record.
    pub(super) record: String,
    /// The list of its set.
    pub(super) list: DigestList,
}

/// The sets of several records.
type RecordedSets = [RecordedSet];

impl SetStore {
    /// The store of this mirror.
    pub(super) fn new(layout: &Layout) -> SetStore {
        SetStore { ledger: layout.ledger() }
    }

    fn list_path(&self, root: &Sha256) -> PathBuf {
        self.ledger.join("lists").join(root.to_string())
    }

    fn shard_path(&self, sha256: &Sha256) -> PathBuf {
        let name = sha256.to_string();
        self.ledger.join("shards").join(name.get(..2).unwrap_or_default()).join(&name)
    }

    /// The set that a record states. Its list is checked, its shards are not.
    pub(super) fn read(&self, record: &str, set: SetSummary) -> Result<RecordedSet, SetError> {
        let record = record.to_owned();
        let SetSummary { root, rows: stated } = set;
        let list = match File::open(self.list_path(&root)) {
            Ok(file) => DigestList::read(file, root),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(SetError::MissingList { record, root });
            }
            Err(source) => Err(sharded_set::Error::ReadList { root, source }),
        };
        match list {
            Ok(list) if list.rows() == stated => Ok(RecordedSet { record, list }),
            Ok(list) => Err(SetError::OtherRows { record, stated, listed: list.rows() }),
            Err(source) => Err(SetError::Set { record, source }),
        }
    }

    /// All problems of a set, by one complete walk. Each shard has at most one.
    pub(super) fn check(&self, set: &RecordedSet) -> Vec<SetError> {
        let as_set = SetRef::new(&set.list, self);
        let problems = (0..as_set.shard_count()).filter_map(|shard| as_set.read_shard(shard).err());
        let mut problems: Vec<sharded_set::Error> = problems.collect();
        if problems.is_empty() {
            // Only the number of rows can be wrong.
            problems.extend(Walk::new(as_set).find_map(Result::err));
        }
        let named = |source| SetError::Set { record: set.record.clone(), source };
        problems.into_iter().map(named).collect()
    }

    /// The rows of several sets in order, with one shard of each in memory.
    pub(super) fn union<'s>(&'s self, sets: &'s RecordedSets) -> impl Iterator<Item = Result<UnionRow, SetError>> + 's {
        let union = Union::new(sets.iter().map(|set| SetRef::new(&set.list, self)));
        union.map(move |row| row.map_err(|error| self.name_record(sets, error)))
    }

    /// Passes the changes from one set to another to `sink` as text. Only different shards are read, unless the number of
    /// shards differs.
    pub(super) fn diff<'s>(
        &self,
        sets: &[RecordedSet; 2],
        sink: &'s mut (dyn FnMut(String) -> io::Result<()> + 's),
    ) -> Result<DiffTotals, SetError> {
        let [before, after] = sets.each_ref().map(|set| SetRef::new(&set.list, self));
        diff(before, after, sink).map_err(|error| self.name_record(sets, error))
    }

    /// Finds the set that cannot be read.
    fn name_record(&self, sets: &[RecordedSet], source: sharded_set::Error) -> SetError {
        let fails = |set: &&RecordedSet| Walk::new(SetRef::new(&set.list, self)).any(|row| row.is_err());
        let set = sets.iter().find(fails).or(sets.last());
        SetError::Set { record: set.map(|set| set.record.clone()).unwrap_or_default(), source }
    }

    /// The stored lists and shards that no set of `kept` needs, sorted.
    pub(super) fn unreferenced(&self, kept: &[RecordedSet]) -> Result<Vec<PathBuf>, Error> {
        let lists: HashSet<Sha256> = kept.iter().map(|set| set.list.summary().root).collect();
        let shards: HashSet<Sha256> = kept.iter().flat_map(|set| set.list.digests().iter().copied()).collect();
        let mut files = Vec::new();
        let mut add = |folder: &Path, needed: &HashSet<Sha256>| -> Result<(), Error> {
            for name in disk::read_names(folder)? {
                let is_digest = |digest: &Sha256| digest.to_string() == name;
                if name.parse().ok().filter(is_digest).is_some_and(|digest| !needed.contains(&digest)) {
                    files.push(folder.join(name));
                }
            }
            Ok(())
        };
        add(&self.ledger.join("lists"), &lists)?;
        let folder = self.ledger.join("shards");
        for name in disk::read_names(&folder)?.filter(|name| name.len() == 2) {
            add(&folder.join(name), &shards)?;
        }
        files.sort_unstable();
        Ok(files)
    }

    /// Deletes unreferenced files, and their folders if they become empty.
    pub(super) fn delete(&self, files: &[PathBuf], tx: &mut Transaction<'_>) -> Result<(), Error> {
        let folders: BTreeSet<&Path> = files.iter().filter_map(|file| file.parent()).collect();
        files.iter().try_for_each(|file| tx.delete(file))?;
        folders.into_iter().for_each(|folder| tx.remove_folder(folder));
        Ok(())
    }

    /// Whether the store has this shard undamaged.
    fn has_shard(&self, sha256: &Sha256) -> io::Result<bool> {
        let Some(reader) = self.open(sha256)? else { return Ok(false) };
        let mut text = Vec::new();
        // A disk error is damage, and the new file replaces it.
        let read = reader.take(MAX_SHARD_SIZE as u64 + 1).read_to_end(&mut text);
        Ok(read.is_ok() && Sha256::of(&text) == *sha256)
    }
}

impl ShardStore for SetStore {
    fn open(&self, sha256: &Sha256) -> io::Result<Option<Box<dyn Read + '_>>> {
        open_file(&self.shard_path(sha256))
    }

    /// Shards are only written by a transaction.
    fn write(&self, _: &Sha256, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

fn open_file(path: &Path) -> io::Result<Option<Box<dyn Read + 'static>>> {
    match File::open(path) {
        Ok(file) => Ok(Some(Box::new(file))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Stages the shards that the store lacks.
pub(super) struct SetWriter<'s> {
    store: SetStore,
    staging: RefCell<&'s mut Staging>,
    shards: RefCell<BTreeMap<Sha256, StagedFile>>,
    bytes: Cell<u64>,
}

/// The staged files of a set.
#[derive(Debug)]
pub(super) struct StagedSet {
    files: Vec<(PathBuf, StagedFile)>,
    /// Their size in bytes.
    pub(super) bytes: u64,
}

impl<'s> SetWriter<'s> {
    /// A writer for a transaction with this staging folder.
    pub(super) fn new(layout: &Layout, staging: &'s mut Staging) -> SetWriter<'s> {
        let (shards, bytes) = (RefCell::default(), Cell::new(0));
        SetWriter { store: SetStore::new(layout), staging: RefCell::new(staging), shards, bytes }
    }

    /// The files of the set `list`. Other shards stay in the staging folder, which is emptied.
    pub(super) fn finish(self, list: &DigestList) -> Result<StagedSet, Error> {
        let SetWriter { store, staging, shards, bytes } = self;
        let mut shards = shards.into_inner();
        let named = list.digests().iter().filter_map(|digest| Some((store.shard_path(digest), shards.remove(digest)?)));
        let mut files: Vec<(PathBuf, StagedFile)> = named.collect();
        let (root, text) = (list.summary().root, list.text());
        files.push((store.list_path(&root), staging.into_inner().write(text.as_bytes())?));
        Ok(StagedSet { files, bytes: bytes.get() + text.len() as u64 })
    }
}

impl ShardStore for SetWriter<'_> {
    fn open(&self, sha256: &Sha256) -> io::Result<Option<Box<dyn Read + '_>>> {
        match self.shards.borrow().get(sha256) {
            Some(staged) => open_file(&self.staging.borrow().path(*staged)),
            None => self.store.open(sha256),
        }
    }

    fn write(&self, sha256: &Sha256, text: &[u8]) -> io::Result<()> {
        if self.shards.borrow().contains_key(sha256) || self.store.has_shard(sha256)? {
            return Ok(());
        }
        let staged = self.staging.borrow_mut().write(text);
        let staged = staged.map_err(|error| io::Error::new(error.source.kind(), error))?;
        self.bytes.set(self.bytes.get() + text.len() as u64);
        self.shards.borrow_mut().insert(*sha256, staged);
        Ok(())
    }
}

impl StagedSet {
    /// Adds the files to the transaction.
    pub(super) fn put(self, tx: &mut Transaction<'_>) -> Result<(), Error> {
        self.files.into_iter().try_for_each(|(path, staged)| tx.put(&path, staged))
    }
}
