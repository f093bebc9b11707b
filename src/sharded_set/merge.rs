//! Merges changes into the rows of a set, one shard of the result at a time.

use super::changes::{Change, PlacedChange};
use super::digest_list::ShardDigests;
use super::error::Error;
use super::fault::{ChangeFault, RowFault};
use super::shard::{PlacedRow, ShardRows};
use super::store::{SetRef, ShardStore};
use super::walk::{Cursor, Walk};
use crate::digest::Sha256;

/// What a merge read and wrote.
struct Merged {
    rows_before: u64,
    rows_after: u64,
    sha256: Sha256,
}

/// Applies changes to a set; the result has shards with numbers of `bits` bits. Its shards are written to `store`, also if
/// an error follows. If the number of shards stays, only shards with changes are read and written.
pub(super) fn rewrite<I>(
    before: SetRef<'_>,
    bits: u32,
    changes: &mut Cursor<I, PlacedChange>,
    store: &dyn ShardStore,
) -> Result<ShardDigests, Error>
where
    I: Iterator<Item = Result<PlacedChange, Error>>,
{
    let (mut digests, mut rows) = match before.shards().bits == bits {
        true => (before.shards().digests.clone(), before.shards().rows),
        false => (Vec::new(), 0),
    };
    if before.shards().bits == bits {
        let mut last = None;
        while let Some(shard) = changes.peek()?.map(|change| change.sort_key.shard(bits)) {
            if last.is_some_and(|last| last >= shard) {
                return Err(out_of_order(changes.take()?));
            }
            let mut existing = Cursor::new(Walk::of_shard(before, shard));
            let merged = merge_shard(&mut existing, changes, shard, bits, store)?;
            let others = rows.checked_sub(merged.rows_before);
            let others = others.ok_or(Error::RowCount { stated: rows, found: merged.rows_before })?;
            rows = others + merged.rows_after;
            if let Some(digest) = digests.get_mut(shard) {
                *digest = merged.sha256;
            }
            last = Some(shard);
        }
    } else {
        let mut existing = Cursor::new(Walk::new(before));
        for shard in 0..1usize << bits {
            let merged = merge_shard(&mut existing, changes, shard, bits, store)?;
            rows += merged.rows_after;
            digests.push(merged.sha256);
        }
        if changes.peek()?.is_some() {
            return Err(out_of_order(changes.take()?));
        }
    }
    Ok(ShardDigests { bits, rows, digests })
}

/// A reader refuses such changes, so these are the caller's own.
fn out_of_order(change: Option<PlacedChange>) -> Error {
    let key = change.map(|change| change.change.key().to_string()).unwrap_or_default();
    Error::InvalidChange { section: 0, line: 0, fault: ChangeFault::Row(RowFault::OutOfOrder(key)) }
}

/// Writes one shard: the rows and changes up to its end.
fn merge_shard<R, C>(
    existing: &mut Cursor<R, PlacedRow>,
    changes: &mut Cursor<C, PlacedChange>,
    shard: usize,
    bits: u32,
    store: &dyn ShardStore,
) -> Result<Merged, Error>
where
    R: Iterator<Item = Result<PlacedRow, Error>>,
    C: Iterator<Item = Result<PlacedChange, Error>>,
{
    let mut result = ShardRows::new(shard, bits);
    let mut rows_before = 0;
    let mut expected = None;
    loop {
        let row = existing.peek()?.filter(|row| row.sort_key.shard(bits) <= shard);
        let change = changes.peek()?.filter(|change| change.sort_key.shard(bits) == shard);
        let order = match (row, change) {
            (None, None) => break,
            (Some(row), Some(change)) => row.sort_key.cmp(&change.sort_key),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
        };
        let row = if order.is_le() { existing.take()? } else { None };
        let change = if order.is_ge() { changes.take()? } else { None };
        rows_before += u64::from(row.is_some());
        if let Some(change) = &change {
            expected = change.expected;
        }
        let kept = match (row, change) {
            (row, None) => row,
            (row, Some(change)) => apply_change(row, change, shard)?,
        };
        if let Some(row) = kept {
            result.push(row)?;
        }
    }
    let (text, sha256, rows_after) = result.finish()?;
    if let Some(expected) = expected.filter(|expected| *expected != sha256) {
        return Err(Error::ShardResult { shard, expected, actual: sha256 });
    }
    if !text.is_empty() {
        store.write(&sha256, text.as_bytes()).map_err(|source| Error::Store { shard, source })?;
    }
    Ok(Merged { rows_before, rows_after, sha256 })
}

/// The row with a change's key after the change; `row` is the one before it.
fn apply_change(row: Option<PlacedRow>, change: PlacedChange, shard: usize) -> Result<Option<PlacedRow>, Error> {
    let PlacedChange { sort_key, change, expected } = change;
    match change {
        Change::Put(new) => {
            // Own changes may be in another form.
            if let Some(row) = row.filter(|_| expected.is_some()) {
                if row.row == new {
                    return Err(Error::UselessChange { shard, key: new.key().to_string() });
                }
                if row.row.differs_in_inputs_only(&new) {
                    return Err(Error::RepeatedRow { shard, key: new.key().to_string() });
                }
            }
            Ok(Some(PlacedRow { sort_key, row: new }))
        }
        Change::SetInputs(key, inputs) => match row {
            Some(row) if row.row.key() == key => {
                if row.row.inputs() == &inputs && expected.is_some() {
                    return Err(Error::UselessChange { shard, key: key.to_string() });
                }
                Ok(Some(PlacedRow { sort_key, row: row.row.with_inputs(inputs) }))
            }
            _ => Err(Error::AbsentRow { shard, key: key.to_string() }),
        },
        Change::Remove(key) => match row {
            Some(row) if row.row.key() == key => Ok(None),
            _ => Err(Error::AbsentRow { shard, key: key.to_string() }),
        },
    }
}
