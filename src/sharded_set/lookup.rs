//! Looks rows up in the order of a set, with one shard in memory.

use super::error::Error;
use super::key::Key;
use super::row::Row;
use super::shard::PlacedRow;
use super::store::SetRef;

/// Looks rows up. In the order of the set, each shard is read once.
pub struct Lookup<'s> {
    set: SetRef<'s>,
    /// The last shard and its rows.
    loaded: Option<(usize, Vec<PlacedRow>)>,
}

impl<'s> Lookup<'s> {
    /// A lookup in `set`.
    pub fn new(set: SetRef<'s>) -> Lookup<'s> {
        Lookup { set, loaded: None }
    }

    /// The row with this key.
    ///
    /// # Errors
    /// As [`SetRef::read_shard`].
    pub fn find(&mut self, key: &Key) -> Result<Option<&Row>, Error> {
        let sort_key = key.sort_key();
        let shard = sort_key.shard(self.set.bits());
        if self.loaded.as_ref().is_none_or(|(loaded, _)| *loaded != shard) {
            self.loaded = None;
            self.loaded = Some((shard, self.set.read_shard(shard)?));
        }
        let rows = self.loaded.as_ref().map(|(_, rows)| rows.as_slice()).unwrap_or_default();
        let found = rows.binary_search_by(|row| row.sort_key.cmp(&sort_key)).ok();
        Ok(found.and_then(|position| rows.get(position)).map(|row| &row.row).filter(|row| row.key() == *key))
    }
}
