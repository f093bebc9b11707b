//! Iterates over the rows of a set, with one shard in memory.

use super::error::Error;
use super::shard::PlacedRow;
use super::store::SetRef;

/// The rows of a set in order. It ends after the first error.
///
/// At its end it compares the number of rows with the list of shards, so a complete walk checks the whole set.
pub struct Walk<'s> {
    set: SetRef<'s>,
    next_shard: usize,
    end: usize,
    rows: std::vec::IntoIter<PlacedRow>,
    /// The number of rows so far; `None` for a part of a set, and at the end.
    found: Option<u64>,
}

impl<'s> Walk<'s> {
    /// All rows of `set`.
    pub fn new(set: SetRef<'s>) -> Walk<'s> {
        Walk { set, next_shard: 0, end: set.shard_count(), rows: Vec::new().into_iter(), found: Some(0) }
    }

    /// The rows of one shard.
    pub(super) fn of_shard(set: SetRef<'s>, shard: usize) -> Walk<'s> {
        Walk { set, next_shard: shard, end: shard + 1, rows: Vec::new().into_iter(), found: None }
    }

    fn read_next(&mut self) -> Result<Option<PlacedRow>, Error> {
        loop {
            if let Some(row) = self.rows.next() {
                self.found = self.found.map(|found| found + 1);
                return Ok(Some(row));
            }
            if self.next_shard >= self.end {
                let stated = self.set.shards().rows;
                return match self.found.take() {
                    Some(found) if found != stated => Err(Error::RowCount { stated, found }),
                    _ => Ok(None),
                };
            }
            self.rows = self.set.read_shard(self.next_shard)?.into_iter();
            self.next_shard += 1;
        }
    }
}

impl Iterator for Walk<'_> {
    type Item = Result<PlacedRow, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.read_next();
        if next.is_err() {
            self.next_shard = self.end;
            self.found = None;
        }
        next.transpose()
    }
}

/// An iterator of results with a view of its next item.
pub(super) struct Cursor<I, T> {
    items: I,
    next: Option<T>,
}

impl<T, I: Iterator<Item = Result<T, Error>>> Cursor<I, T> {
    pub(super) fn new(items: I) -> Cursor<I, T> {
        Cursor { items, next: None }
    }

    /// The next item, which stays.
    pub(super) fn peek(&mut self) -> Result<Option<&T>, Error> {
        if self.next.is_none() {
            self.next = self.items.next().transpose()?;
        }
        Ok(self.next.as_ref())
    }

    /// The next item.
    pub(super) fn take(&mut self) -> Result<Option<T>, Error> {
        match self.next.take() {
            Some(next) => Ok(Some(next)),
            None => self.items.next().transpose(),
        }
    }
}
