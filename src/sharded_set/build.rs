//! Builds a set from its rows.

use super::digest_list::{DigestList, ShardDigests};
use super::edit::fit;
use super::error::Error;
use super::key::{Key, Placer, SortKey};
use super::limits::shard_bits;
use super::row::Row;
use super::shard::{PlacedRow, ShardRows};
use super::store::ShardStore;

/// Builds a set from rows in order, with one shard in memory.
pub struct Builder<'s> {
    store: &'s dyn ShardStore,
    placer: Placer,
    shards: ShardDigests,
    current: ShardRows,
}

impl<'s> Builder<'s> {
    /// Builds a set of about `expected` rows. If there are many more or fewer, the end moves all rows to other shards.
    pub fn new(expected: u64, store: &'s dyn ShardStore) -> Builder<'s> {
        let bits = shard_bits(expected);
        let shards = ShardDigests { bits, rows: 0, digests: Vec::new() };
        Builder { store, placer: Placer::default(), shards, current: ShardRows::new(0, bits) }
    }

    /// The position of a key. A caller can sort names by the position of any of their versions, and add name after name.
    pub fn sort_key(&mut self, key: &Key) -> SortKey {
        self.placer.sort_key(key.text())
    }

    /// Adds the next row.
    ///
    /// # Errors
    /// It is not in order or breaks another rule or limit, or the store failed.
    pub fn push(&mut self, row: Row) -> Result<(), Error> {
        let sort_key = self.placer.sort_key(row.key_text());
        while self.shards.digests.len() < sort_key.shard(self.shards.bits) {
            self.finish_shard()?;
        }
        self.current.push(PlacedRow { sort_key, row })
    }

    fn finish_shard(&mut self) -> Result<(), Error> {
        let shard = self.shards.digests.len();
        let current = std::mem::replace(&mut self.current, ShardRows::new(shard + 1, self.shards.bits));
        let (text, sha256, rows) = current.finish()?;
        if !text.is_empty() {
            self.store.write(&sha256, text.as_bytes()).map_err(|source| Error::Store { shard, source })?;
        }
        self.shards.rows += rows;
        self.shards.digests.push(sha256);
        Ok(())
    }

    /// The list of the set.
    ///
    /// # Errors
    /// As [`Builder::push`].
    pub fn finish(mut self) -> Result<DigestList, Error> {
        while self.shards.digests.len() < 1 << self.shards.bits {
            self.finish_shard()?;
        }
        fit(self.shards, self.store)
    }
}

/// Builds a set from rows in any order, which are in memory.
///
/// # Errors
/// As [`Builder::push`].
pub fn build(rows: impl IntoIterator<Item = Row>, store: &dyn ShardStore) -> Result<DigestList, Error> {
    let mut placer = Placer::default();
    let mut rows: Vec<PlacedRow> =
        rows.into_iter().map(|row| PlacedRow { sort_key: placer.sort_key(row.key_text()), row }).collect();
    rows.sort_by(|one, other| one.sort_key.cmp(&other.sort_key));
    let mut builder = Builder::new(rows.len() as u64, store);
    for row in rows {
        builder.push(row.row)?;
    }
    builder.finish()
}
