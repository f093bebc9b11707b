//! Writes the changes from one set to another.

use std::io;

use super::changes::SectionWriter;
use super::error::Error;
use super::limits::MAX_SECTION_SIZE;
use super::shard::PlacedRow;
use super::store::SetRef;
use super::walk::{Cursor, Walk};

/// Counts of changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiffTotals {
    /// Rows with a new key.
    pub added: u64,
    /// Rows with the key of another row.
    pub replaced: u64,
    /// Rows of which only the inputs differ.
    pub reassigned: u64,
    /// Keys without a row.
    pub removed: u64,
    /// Shards of the result with changes.
    pub shards: u64,
}

/// Passes the changes from one set to another to `sink` as text, section by section.
///
/// Only shards with different digests are read. If the number of shards differs, both sets are read completely. Memory: a
/// shard of each set, and a section.
///
/// # Errors
/// A shard is missing or damaged, or `sink` failed.
pub fn diff<'s>(
    before: SetRef<'_>,
    after: SetRef<'_>,
    sink: &'s mut (dyn FnMut(String) -> io::Result<()> + 's),
) -> Result<DiffTotals, Error> {
    diff_in_sections(before, after, MAX_SECTION_SIZE, sink)
}

pub(super) fn diff_in_sections<'s>(
    old: SetRef<'_>,
    new: SetRef<'_>,
    max_section: usize,
    sink: &'s mut (dyn FnMut(String) -> io::Result<()> + 's),
) -> Result<DiffTotals, Error> {
    let mut comparison = Comparison {
        writer: SectionWriter::new(max_section, sink),
        after: new,
        totals: DiffTotals::default(),
        shard: None,
    };
    if old.shards().bits == new.shards().bits {
        let pairs = old.shards().digests.iter().zip(&new.shards().digests);
        for shard in pairs.enumerate().filter(|(_, (one, other))| one != other).map(|(shard, _)| shard) {
            comparison.compare(Walk::of_shard(old, shard), Walk::of_shard(new, shard))?;
        }
    } else {
        comparison.compare(Walk::new(old), Walk::new(new))?;
    }
    comparison.writer.finish()?;
    Ok(comparison.totals)
}

struct Comparison<'s, 'd> {
    writer: SectionWriter<'s>,
    after: SetRef<'d>,
    totals: DiffTotals,
    /// The last shard with a change.
    shard: Option<usize>,
}

impl Comparison<'_, '_> {
    fn compare(&mut self, old: Walk<'_>, new: Walk<'_>) -> Result<(), Error> {
        let (mut old, mut new) = (Cursor::new(old), Cursor::new(new));
        loop {
            let order = match (old.peek()?, new.peek()?) {
                (None, None) => return Ok(()),
                (Some(before), Some(after)) => before.sort_key.cmp(&after.sort_key),
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
            };
            let before = if order.is_le() { old.take()? } else { None };
            let after = if order.is_ge() { new.take()? } else { None };
            self.write(before.as_ref(), after.as_ref())?;
        }
    }

    /// Writes the change of one key.
    fn write(&mut self, before: Option<&PlacedRow>, after: Option<&PlacedRow>) -> Result<(), Error> {
        let Some(row) = after.or(before).filter(|_| before != after) else { return Ok(()) };
        let shards = self.after.shards();
        let shard = row.sort_key.shard(shards.bits);
        let digest = shards.digests.get(shard).ok_or(Error::LargeShard { shard })?;
        if self.shard != Some(shard) {
            self.shard = Some(shard);
            self.totals.shards += 1;
        }
        match (before, after) {
            (Some(_), None) => {
                self.totals.removed += 1;
                self.writer.remove(shard, digest, row)
            }
            (Some(before), Some(_)) if before.row.differs_in_inputs_only(&row.row) => {
                self.totals.reassigned += 1;
                self.writer.set_inputs(shard, digest, row)
            }
            (Some(_), Some(_)) => {
                self.totals.replaced += 1;
                self.writer.put(shard, digest, row)
            }
            (None, _) => {
                self.totals.added += 1;
                self.writer.put(shard, digest, row)
            }
        }
    }
}
