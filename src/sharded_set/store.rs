//! Where shards are stored, and a set in such a store.

use std::io::{self, Read};

use super::digest_list::{DigestList, ShardDigests};
use super::error::Error;
use super::limits::MAX_SHARD_SIZE;
use super::shard::{PlacedRow, ShardRows};
use crate::digest::Sha256;

/// Stores the texts of shards by their digest. Several sets share a store.
pub trait ShardStore {
    /// The text with this digest; `None` if it is not stored. The caller checks the text.
    ///
    /// # Errors
    /// The store cannot be read.
    fn open(&self, sha256: &Sha256) -> io::Result<Option<Box<dyn Read + '_>>>;

    /// Stores a text under its digest. It may be stored already.
    ///
    /// # Errors
    /// The store cannot be written.
    fn write(&self, sha256: &Sha256, text: &[u8]) -> io::Result<()>;
}

/// Two stores as one. New texts are written to the first.
#[derive(Clone, Copy)]
pub struct LayeredStore<'s> {
    /// The store that is read first.
    pub first: &'s dyn ShardStore,
    /// The store that has the rest.
    pub second: &'s dyn ShardStore,
}

impl ShardStore for LayeredStore<'_> {
    fn open(&self, sha256: &Sha256) -> io::Result<Option<Box<dyn Read + '_>>> {
        match self.first.open(sha256)? {
            Some(text) => Ok(Some(text)),
            None => self.second.open(sha256),
        }
    }

    fn write(&self, sha256: &Sha256, text: &[u8]) -> io::Result<()> {
        self.first.write(sha256, text)
    }
}

/// A set in a store.
#[derive(Clone, Copy)]
pub struct SetRef<'s> {
    shards: &'s ShardDigests,
    store: &'s dyn ShardStore,
}

impl<'s> SetRef<'s> {
    /// The set with this list, whose shards are in `store`.
    pub fn new(list: &'s DigestList, store: &'s dyn ShardStore) -> SetRef<'s> {
        SetRef { shards: list.shards(), store }
    }

    pub(super) fn of_shards(shards: &'s ShardDigests, store: &'s dyn ShardStore) -> SetRef<'s> {
        SetRef { shards, store }
    }

    pub(super) fn shards(self) -> &'s ShardDigests {
        self.shards
    }

    pub(super) fn bits(self) -> u32 {
        self.shards.bits
    }

    /// The number of shards.
    pub fn shard_count(self) -> usize {
        self.shards.digests.len()
    }

    /// The rows of a shard, after every check.
    ///
    /// # Errors
    /// The shard cannot be read, is damaged or invalid. A shard of a greater number than the last is [`Error::LargeShard`].
    pub fn read_shard(self, shard: usize) -> Result<Vec<PlacedRow>, Error> {
        let expected = *self.shards.digests.get(shard).ok_or(Error::LargeShard { shard })?;
        if expected == Sha256::of(b"") {
            return Ok(Vec::new());
        }
        let failed = |source| Error::Store { shard, source };
        let reader = self.store.open(&expected).map_err(failed)?;
        let reader = reader.ok_or(Error::MissingShard { shard, sha256: expected })?;
        let mut text = Vec::new();
        reader.take(MAX_SHARD_SIZE as u64 + 1).read_to_end(&mut text).map_err(failed)?;
        if text.len() > MAX_SHARD_SIZE {
            return Err(Error::LargeShard { shard });
        }
        let actual = Sha256::of(&text);
        if actual != expected {
            return Err(Error::DamagedShard { shard, expected, actual });
        }
        ShardRows::parse(&text, shard, self.shards.bits)
    }
}
