//! Which bundles a delta needs and the mirror never imported, as far as the ledger shows.
//!
//! A delta relies on every bundle of its history since the last full one. The bundles are numbered without gaps, so the
//! numbers that no record has are the missing bundles. A collection may also have removed the files, because a bundle on record
//! that counts as newer does not name them. That bundle may be false.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use crate::bundle::format::{BundleKind, CrateState, DistFileState, Manifest};
use crate::bundle::sanitize::sanitize_line;
use crate::bundle::sequence::{describe_bundle_number, is_time};
use crate::mirror::layout::Layout;
use crate::mirror::ledger::{self, ImportedBundle};
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
    /// The bundles on record that contained missing files: their numbers, ids and files, ascending. The mirror lost
    /// these files.
    pub lost_from: Vec<(u64, String, String)>,
    /// Whether these bundles contained all missing files.
    pub all_lost: bool,
    /// The bundle on record that counts as the newest of the history although it does not follow the imported one.
    pub rival: Option<Rival>,
}

/// A bundle on record with the number of the imported bundle or a higher one, that does not follow it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rival {
    /// Its history.
    pub lineage: String,
    /// Its number.
    pub sequence: u64,
    /// Its id.
    pub id: String,
    /// The name of its file.
    pub file: String,
    /// Whether it has the number of the imported bundle, so that one of the two is false.
    pub has_same_number: bool,
}

impl Rival {
    /// Finds the newest one among the bundles on record of the history.
    fn find(recorded: &[ImportedBundle], manifest: &Manifest) -> Option<Rival> {
        let mut followers: HashSet<&str> = [manifest.id.as_str()].into();
        // A bundle states its predecessor, so the followers are found in the order of numbers.
        let mut by_number: Vec<&ImportedBundle> = recorded.iter().collect();
        by_number.sort_by_key(|bundle| bundle.sequence);
        let mut rival = None;
        for bundle in by_number {
            if followers.contains(bundle.id.as_str())
                || bundle.previous.as_deref().is_some_and(|previous| followers.contains(previous))
            {
                followers.insert(&bundle.id);
            } else if bundle.sequence >= manifest.lineage.sequence {
                rival = Some(bundle);
            }
        }
        rival.map(|bundle| Rival {
            lineage: bundle.lineage.clone(),
            sequence: bundle.sequence,
            id: bundle.id.clone(),
            file: bundle.file.clone(),
            has_same_number: bundle.sequence == manifest.lineage.sequence,
        })
    }

    /// What to do about the files that a collection removed because of it. `restore` names the bundles that have them.
    fn hint(&self, restore: &str) -> String {
        let (file, number) = (sanitize_line(&self.file), describe_bundle_number(self.sequence));
        let found = match self.has_same_number {
            true => format!("`{file}` has the same number, so one of the two bundles is false"),
            false => format!("`{file}` is {number} of this history, and does not follow this bundle"),
        };
        format!(
            "a collection may have removed the files because of another bundle: {found}. Ask the sender for the ids of the \
             bundles. If `{file}` is false, reject it with `cargo frostmirror gc --mirror DIR --reject {}@{}`, {restore}, and \
             import this bundle again. If `{file}` is right, do not import this bundle",
            sanitize_line(&self.lineage),
            sanitize_line(&self.id)
        )
    }
}

impl MissingBundles {
    /// Compares the ledger with what the delta with this manifest relies on. `missing` are the missing files: names and
    /// versions of crates, and paths of dist files.
    pub(in crate::mirror) fn find(
        layout: &Layout,
        manifest: &Manifest,
        file: &str,
        missing: &[String],
    ) -> Result<MissingBundles, Error> {
        let counting = ledger::read_imported_bundles(layout, &manifest.lineage.id)?;
        let rival = Rival::find(&counting, manifest);
        // If the rival was accepted, the bundles before it count again after its rejection.
        let recorded = match &rival {
            Some(Rival { id, .. }) => ledger::read_bundles_without(layout, &manifest.lineage.id, id)?,
            None => counting,
        };
        let imported: BTreeMap<u64, ImportedBundle> =
            recorded.into_iter().map(|bundle| (bundle.sequence, bundle)).collect();
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
        let is_base_imported = imported_base.is_some();
        let mut found = MissingBundles { base, is_base_imported, rival, ..MissingBundles::default() };
        found.find_lost(layout, &imported, missing)?;
        let end = imported_base.map_or(manifest.lineage.sequence, |base| base.sequence);
        if is_time(end) {
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
            None if oldest.kind == BundleKind::Delta || !found.all_lost => {
                found.add_range(1, first.saturating_sub(1));
            }
            None => {}
        }
        Ok(found)
    }

    /// Finds the bundles on record that contained the missing files. Of several bundles with one file, the last counts.
    fn find_lost(
        &mut self,
        layout: &Layout,
        imported: &BTreeMap<u64, ImportedBundle>,
        missing: &[String],
    ) -> Result<(), Error> {
        let mut unexplained: HashSet<&str> = missing.iter().map(String::as_str).collect();
        let mut reader = ledger::Reader::new(layout);
        for (number, bundle) in imported.iter().rev() {
            if unexplained.is_empty() {
                break;
            }
            let Some(record) = reader.read(&bundle.record)? else { continue };
            let before = unexplained.len();
            let crates = record.manifest.crates.iter().filter(|one| one.state == CrateState::Shipped);
            let dist_files = record.manifest.dist_files_in(DistFileState::Shipped);
            let shipped = crates.map(|one| one.id().to_string()).chain(dist_files.map(|one| one.path.to_string()));
            shipped.for_each(|file| {
                unexplained.remove(file.as_str());
            });
            if unexplained.len() < before {
                self.lost_from.push((*number, bundle.id.clone(), bundle.file.clone()));
            }
        }
        self.lost_from.reverse();
        self.all_lost = unexplained.is_empty();
        Ok(())
    }

    /// The bundles that contained lost files, such as `bundle number 2 (`b.pkg`, id 0a1b…)`.
    fn names_of_lost(&self) -> String {
        let name = |(number, id, file): &(u64, String, String)| {
            format!("{} (`{}`, id {})", describe_bundle_number(*number), sanitize_line(file), sanitize_line(id))
        };
        let named: Vec<String> = self.lost_from.iter().take(MAX_RANGES).map(name).collect();
        let more = if self.lost_from.len() > MAX_RANGES { " and more" } else { "" };
        format!("{}{more}", named.join(", "))
    }

    fn add_range(&mut self, first: u64, last: u64) {
        if first <= last {
            self.ranges.push((first, last));
        }
    }

    /// The missing bundles, such as `bundle number 2` or `bundles 1, 2 and 4 to 6`; `None` if their numbers are unknown.
    fn names(&self) -> Option<String> {
        let shown: Vec<String> = self
            .ranges
            .iter()
            .take(MAX_RANGES)
            .flat_map(|(first, last)| match last - first {
                0 => vec![first.to_string()],
                1 => vec![first.to_string(), last.to_string()],
                _ => vec![format!("{first} to {last}")],
            })
            .collect();
        let is_one = matches!(self.ranges.as_slice(), [(first, last)] if first == last);
        let (last, others) = shown.split_last()?;
        let noun = if is_one { "bundle number" } else { "bundles" };
        let more = if self.ranges.len() > MAX_RANGES { " and more" } else { "" };
        Some(match others {
            [] => format!("{noun} {last}"),
            others => format!("{noun} {} and {last}{more}", others.join(", ")),
        })
    }

    /// What to do about the missing files.
    pub fn hint(&self) -> String {
        let lost = format!(
            "import {} again; if you no longer have {}, list the lost files with `cargo frostmirror verify --mirror DIR \
             --repair-list FILE`, and fetch them with `cargo frostmirror fetch --from-list FILE` on the connected side",
            self.names_of_lost(),
            if self.lost_from.len() == 1 { "it" } else { "them" }
        );
        match (self.lost_from.is_empty(), self.all_lost) {
            (true, _) => self.hint_about_bundles(),
            (false, true) if let Some(rival) = &self.rival => {
                rival.hint(&format!("import {} again", self.names_of_lost()))
            }
            (false, true) => lost,
            (false, false) => format!("{}. The mirror lost the other files: {lost}", self.hint_about_bundles()),
        }
    }

    /// What to do about the files of bundles that are not on record.
    fn hint_about_bundles(&self) -> String {
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

impl fmt::Display for MissingBundles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_one = matches!(self.ranges.as_slice(), [(first, last)] if first == last);
        let verb = if is_one { "is" } else { "are" };
        if self.all_lost {
            return write!(f, "the mirror lost these files of {}", self.names_of_lost());
        }
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
