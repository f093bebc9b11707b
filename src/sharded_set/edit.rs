//! Applies changes to a set: received ones, with every check, and own ones.

use super::changes::{Change, PlacedChange};
use super::digest_list::{DigestList, ShardDigests};
use super::error::Error;
use super::key::Placer;
use super::limits::{MAX_ROWS, shard_bits};
use super::merge::rewrite;
use super::store::{SetRef, ShardStore};
use super::summary::SetSummary;
use super::walk::Cursor;

/// The set before and after the changes of a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetChange {
    /// The set to which the changes apply.
    pub before: SetSummary,
    /// The result.
    pub after: SetSummary,
}

/// Applies received changes to the set `before`, whose shards are in `source`. The shards of the result that `source` may
/// lack are written to `store`. `changes` is a [`ChangeReader`](super::ChangeReader) for the set after them.
///
/// Memory: a shard of each set, a section, and the lists of shards.
///
/// # Errors
/// Everything in [`Error`]; then `store` may have shards that no list names.
pub fn apply(
    before: &DigestList,
    source: &dyn ShardStore,
    change: &SetChange,
    changes: impl Iterator<Item = Result<PlacedChange, Error>>,
    store: &dyn ShardStore,
) -> Result<DigestList, Error> {
    if before.summary() != change.before {
        return Err(Error::OtherSet { expected: change.before, found: before.summary() });
    }
    if change.after.rows > MAX_ROWS {
        return Err(Error::TooManyRows(change.after.rows));
    }
    let bits = shard_bits(change.after.rows);
    let mut changes = Cursor::new(changes);
    let shards = rewrite(SetRef::new(before, source), bits, &mut changes, store)?;
    let (stated, found) = (change.after.rows, shards.rows);
    let result = DigestList::new(shards).filter(|result| result.rows() == stated);
    let result = result.ok_or(Error::ResultRows { stated, found })?;
    match result.summary() == change.after {
        true => Ok(result),
        false => Err(Error::SetResult { expected: change.after, actual: result.summary() }),
    }
}

/// Applies own changes, in any order, at most one a key. A row may be replaced by itself.
///
/// # Errors
/// A shard of `before` is missing or damaged, a removed row does not exist, the result breaks a rule or a limit.
pub fn edit(
    before: SetRef<'_>,
    changes: impl IntoIterator<Item = Change>,
    store: &dyn ShardStore,
) -> Result<DigestList, Error> {
    let mut placer = Placer::default();
    let place = |change: Change| PlacedChange { sort_key: placer.sort_key(change.key_text()), change, expected: None };
    let mut changes: Vec<PlacedChange> = changes.into_iter().map(place).collect();
    changes.sort_by(|one, other| one.sort_key.cmp(&other.sort_key));
    let removed = changes.iter().filter(|change| matches!(change.change, Change::Remove(_))).count() as u64;
    let most = (before.shards().rows + changes.len() as u64 - removed).saturating_sub(removed);
    let bits = shard_bits(most);
    let shards = rewrite(before, bits, &mut Cursor::new(changes.into_iter().map(Ok)), store)?;
    fit(shards, store)
}

/// Moves the rows into as many shards as their number needs. The shards are in `store`.
pub(super) fn fit(shards: ShardDigests, store: &dyn ShardStore) -> Result<DigestList, Error> {
    let rows = shards.rows;
    if rows > MAX_ROWS {
        return Err(Error::TooManyRows(rows));
    }
    let bits = shard_bits(rows);
    let shards = match shards.bits == bits {
        true => shards,
        false => {
            let mut none = Cursor::new(std::iter::empty());
            rewrite(SetRef::of_shards(&shards, store), bits, &mut none, store)?
        }
    };
    DigestList::new(shards).ok_or(Error::TooManyRows(rows))
}
