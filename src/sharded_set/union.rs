//! Iterates over the rows of several sets at once, with one shard of each in memory.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use super::error::Error;
use super::key::SortKey;
use super::row::Row;
use super::shard::PlacedRow;
use super::store::SetRef;
use super::walk::Walk;

/// The rows of several sets in order. Rows with one key come together. It ends after the first error.
///
/// The sets may have different numbers of shards.
pub struct Union<'s> {
    walks: Vec<Walk<'s>>,
    heads: BinaryHeap<Reverse<Head>>,
    /// The set whose next row is not among the heads yet. At the start: none of them is.
    pending: Vec<usize>,
}

/// A key with the rows that have it. Their names and contents may differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnionRow {
    /// Their position.
    pub sort_key: SortKey,
    /// Each row with the position of its set among the sets, ascending.
    pub rows: Vec<(usize, Row)>,
}

/// The next row of a set.
struct Head {
    row: PlacedRow,
    set: usize,
}

impl Head {
    fn order(&self) -> (&SortKey, usize) {
        (&self.row.sort_key, self.set)
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Head) -> bool {
        self.order() == other.order()
    }
}

impl Eq for Head {}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Head) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Head {
    fn cmp(&self, other: &Head) -> Ordering {
        self.order().cmp(&other.order())
    }
}

impl<'s> Union<'s> {
    /// All rows of `sets`.
    pub fn new(sets: impl IntoIterator<Item = SetRef<'s>>) -> Union<'s> {
        let walks: Vec<Walk<'s>> = sets.into_iter().map(Walk::new).collect();
        let pending = (0..walks.len()).collect();
        Union { walks, heads: BinaryHeap::new(), pending }
    }

    fn read_next(&mut self) -> Result<Option<UnionRow>, Error> {
        for set in std::mem::take(&mut self.pending) {
            if let Some(row) = self.walks.get_mut(set).and_then(Iterator::next).transpose()? {
                self.heads.push(Reverse(Head { row, set }));
            }
        }
        let Some(Reverse(Head { row: PlacedRow { sort_key, row }, set })) = self.heads.pop() else { return Ok(None) };
        let mut rows = vec![(set, row)];
        while self.heads.peek().is_some_and(|Reverse(head)| head.row.sort_key == sort_key) {
            rows.extend(self.heads.pop().map(|Reverse(head)| (head.set, head.row.row)));
        }
        self.pending = rows.iter().map(|(set, _)| *set).collect();
        Ok(Some(UnionRow { sort_key, rows }))
    }
}

impl Iterator for Union<'_> {
    type Item = Result<UnionRow, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.read_next();
        if next.is_err() {
            self.heads.clear();
            self.pending.clear();
        }
        next.transpose()
    }
}
