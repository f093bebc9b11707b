//! Which bundles a delta needs and the mirror never imported, as far as the ledger shows.
//!
//! A delta relies on every bundle of its history since the last full one. The bundles are numbered without gaps, so the
//! numbers that no record has are the missing bundles.

use std::collections::BTreeMap;
use std::fmt;

use crate::bundle::format::{BundleKind, CrateState, DistFileState, Manifest};
use crate::bundle::sanitize::sanitize_line;
use crate::mirror::layout::Layout;
use crate::mirror::ledger::{self, ImportedBundle};
use crate::mirror::lineages::FIRST_TIMESTAMP_SEQUENCE;
use crate::mirror::transaction::Error;

/// Maximum number of ranges that a message names.
const MAX_RANGES: usize = 8;

/// The bundles that a delta needs and the mirror lacks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MissingBundles {
    /// Ranges of numbers, inclusive, ascending.
    pub ranges: Vec<(u64, u64)>,
    /// The file name of the delta's base, with the start of its id if the delta has the same name.
    pub base: Option<String>,
    /// Whether the base is imported. Then a bundle before it is missing.
    pub is_base_imported: bool,
    /// The last imported bundle before the first missing one: its number, id and file. A new delta on it brings
    /// everything that is missing.
    pub last_before: Option<(u64, String, String)>,
}

impl MissingBundles {
    /// Compares the ledger with what the delta with this manifest relies on. `missing` is one of the missing files: a
    /// crate's name and version, or the path of a dist file.
    pub(in crate::mirror) fn find(
        layout: &Layout,
        manifest: &Manifest,
        file: &str,
        missing: &str,
    ) -> Result<MissingBundles, Error> {
        let imported: BTreeMap<u64, ImportedBundle> = ledger::read_imported_bundles(layout, &manifest.lineage.id)?
            .into_iter()
            .map(|bundle| (bundle.sequence, bundle))
            .collect();
        let parent = manifest.parent.as_ref();
        let base = parent.map(|parent| {
            let name = sanitize_line(&parent.file);
            // Another folder's bundle of the same minute has the same name.
            match parent.file == file {
                true => format!("{name} ({})", sanitize_line(parent.id.get(..8).unwrap_or(&parent.id))),
                false => name,
            }
        });
        let imported_base = parent.and_then(|parent| imported.values().find(|bundle| bundle.id == parent.id));
        let mut found = MissingBundles { base, is_base_imported: imported_base.is_some(), ..MissingBundles::default() };
        let end = imported_base.map_or(manifest.lineage.sequence, |base| base.sequence);
        if end >= FIRST_TIMESTAMP_SEQUENCE {
            // These numbers are times, so they have gaps that mean nothing.
            return Ok(found);
        }
        let Some((&first, oldest)) = imported.iter().next() else {
            found.add_range(1, end.saturating_sub(1));
            return Ok(found);
        };
        let mut last = first;
        for &number in imported.keys().filter(|number| **number < end).chain([&end]) {
            found.add_range(last.saturating_add(1), number.saturating_sub(1));
            last = number.max(last);
        }
        match found.ranges.first() {
            Some(&(start, _)) => {
                let before = imported.range(..start).next_back();
                found.last_before = before.map(|(number, one)| (*number, one.id.clone(), one.file.clone()));
            }
            // The oldest one is a delta itself, or a full bundle of other inputs.
            None if oldest.kind == BundleKind::Delta || !is_shipped(layout, &imported, missing)? => {
                found.add_range(1, first.saturating_sub(1));
            }
            None => {}
        }
        Ok(found)
    }

    fn add_range(&mut self, first: u64, last: u64) {
        if first <= last {
            self.ranges.push((first, last));
        }
    }

    /// The missing bundles, such as `bundles number 3 to 4 and 6`; `None` if their numbers are unknown.
    fn names(&self) -> Option<String> {
        let shown: Vec<String> = self
            .ranges
            .iter()
            .take(MAX_RANGES)
            .map(|(first, last)| if first == last { first.to_string() } else { format!("{first} to {last}") })
            .collect();
        let is_one = matches!(self.ranges.as_slice(), [(first, last)] if first == last);
        let (last, others) = shown.split_last()?;
        let noun = if is_one { "bundle" } else { "bundles" };
        let more = if self.ranges.len() > MAX_RANGES { " and more" } else { "" };
        Some(match others {
            [] => format!("{noun} number {last}"),
            others => format!("{noun} number {} and {last}{more}", others.join(", ")),
        })
    }

    /// What to do about the missing files.
    pub fn hint(&self) -> String {
        let fetch = match &self.last_before {
            Some((number, id, file)) => format!(
                "repeat the fetch on the connected side with `cargo frostmirror fetch --base {}`, the id of number {number} (`{}`), \
                 the last bundle before the missing ones",
                sanitize_line(id),
                sanitize_line(file)
            ),
            None => "ship everything again with `cargo frostmirror fetch --base none` on the connected side".to_owned(),
        };
        let names = match (self.names(), &self.base) {
            (Some(names), Some(base)) if !self.is_base_imported => {
                let is_one = matches!(self.ranges.as_slice(), [(first, last)] if first == last);
                if is_one {
                    format!("`{base}` ({names} of the history)")
                } else {
                    format!("`{base}` and the other {names}")
                }
            }
            (Some(names), _) => format!("{names} of the history"),
            (None, Some(base)) if !self.is_base_imported => format!("`{base}`"),
            (None, Some(_)) => {
                return "list the lost files with `cargo frostmirror verify --mirror DIR --repair-list FILE`, and fetch them \
                        with `cargo frostmirror fetch --from-list FILE` on the connected side"
                    .to_owned();
            }
            (None, None) => "the earlier bundles of its history".to_owned(),
        };
        let is_one = matches!(self.ranges.as_slice(), [(first, last)] if first == last);
        let pronoun = if is_one { "it is" } else { "they are" };
        format!("import {names} first; if {pronoun} lost, {fetch}")
    }
}

/// Whether one of these bundles contained the file.
fn is_shipped(layout: &Layout, imported: &BTreeMap<u64, ImportedBundle>, file: &str) -> Result<bool, Error> {
    let mut reader = ledger::Reader::new(layout);
    for bundle in imported.values() {
        let Some(record) = reader.read(&bundle.record)? else { continue };
        let mut crates = record.manifest.crates.iter().filter(|one| one.state == CrateState::Shipped);
        let mut dist_files = record.manifest.dist_files_in(DistFileState::Shipped);
        if crates.any(|one| one.id().to_string() == file) || dist_files.any(|one| one.path.as_str() == file) {
            return Ok(true);
        }
    }
    Ok(false)
}

impl fmt::Display for MissingBundles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_one = matches!(self.ranges.as_slice(), [(first, last)] if first == last);
        let verb = if is_one { "is" } else { "are" };
        match (self.names(), &self.base) {
            (Some(names), Some(base)) if self.is_base_imported => {
                write!(f, "{names} of its history {verb} not imported, although its base `{base}` is")
            }
            (Some(names), Some(base)) if is_one => {
                write!(f, "its base `{base}` is not imported ({names} of its history)")
            }
            (Some(names), Some(base)) => {
                write!(f, "{names} of its history {verb} not imported, among them its base `{base}`")
            }
            (Some(names), None) => write!(f, "{names} of its history {verb} not imported"),
            (None, Some(base)) if self.is_base_imported => {
                write!(
                    f,
                    "all bundles that it builds on are imported, such as its base `{base}`, so the mirror lost these files"
                )
            }
            (None, Some(base)) => write!(f, "its base `{base}` is not imported"),
            (None, None) => write!(f, "earlier bundles of its history are not imported"),
        }
    }
}
