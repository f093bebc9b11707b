//! Finds the bundles that an administrator rejects, because the sender did not write them.
//!
//! An acceptance rejects too: all bundles of the lineage that do not lead to the accepted one. A bundle leads to it if a chain
//! of ids connects the two: each bundle states its predecessor and its base, and the accepted one is genuine. If bundles between the
//! two are missing, nothing shows which of the earlier ones are genuine. The administrator can confirm these with the acceptance.
//!
//! The record of a false bundle may be lost. A note of a rebuild states its id then.

use std::collections::{BTreeSet, HashSet};

use super::error::Error;
use super::lineage_terms::{REJECT, Term, resolve_lineage};
use super::needed_files::{LineageState, Lineages};
use super::rejected_bundle::{RejectedBundle, RejectedRecord};
use crate::bundle::format::{BundleKind, ID_DIGITS};
use crate::bundle::sequence::is_time;
use crate::id_prefix::matches_id;
use crate::mirror::layout::Layout;
use crate::mirror::ledger::lost_records::{self, REBUILT_END};
use crate::mirror::ledger::{self, ImportedBundle, Reader};
use crate::mirror::lineages::{LineageTip, REBUILT_LINEAGE};
use crate::mirror::retired::{self, Retirement, Scope};

/// Stands for the lineage of a bundle that is a snapshot. No lineage id begins like this.
const SNAPSHOT: &str = "snapshot";

/// Bundles to reject.
#[derive(Default)]
pub(super) struct Rejection {
    /// The bundles.
    pub(super) bundles: Vec<RejectedBundle>,
    /// Each of their records. A bundle that was imported again has several.
    pub(super) records: Vec<RejectedRecord>,
}

impl Rejection {
    /// Finds the bundles that `terms` name, each a `LINEAGE@BUNDLE`. A bundle that was rejected before may be named again,
    /// because a killed run may have rejected it. A bundle of a forgotten lineage may be false too.
    pub(super) fn resolve(
        layout: &Layout,
        lineages: &Lineages,
        live_id: Option<&str>,
        terms: &[String],
    ) -> Result<Rejection, Error> {
        let mut rejection = Rejection::default();
        for term in terms {
            let term = Term::parse(REJECT, term);
            if let (SNAPSHOT, Some(bundle)) = (term.lineage, term.bundle) {
                rejection.add_snapshot(layout, lineages, bundle)?;
                continue;
            }
            let gone = || lineages.retirements.iter().filter(|note| matches_id(term.lineage, &note.lineage));
            // All records of its lineage may be lost.
            let lost = match term.bundle {
                Some(bundle) if is_whole_id(term.lineage) => lost_records_of(layout, bundle)?,
                _ => BTreeSet::new(),
            };
            let id = resolve_lineage(lineages, live_id, term, |_| gone().next().is_some() || !lost.is_empty())?;
            let Some(bundle) = term.bundle else {
                return Err(Error::NoBundleGiven { word: term.lineage.to_owned() });
            };
            let ids: BTreeSet<String> = match id {
                Some(id) => [id].into(),
                None if gone().next().is_none() => [term.lineage.to_owned()].into(),
                None => gone().map(|note| note.lineage.clone()).collect(),
            };
            if ids.len() > 1 {
                return Err(Error::Ambiguous { word: term.lineage.to_owned(), known: ids.into_iter().collect() });
            }
            for id in ids {
                rejection.add_matching(layout, lineages, id, bundle)?;
            }
        }
        Ok(rejection)
    }

    /// Adds the bundle of the lineage `id` whose id starts with `bundle`.
    fn add_matching(&mut self, layout: &Layout, lineages: &Lineages, id: String, bundle: &str) -> Result<(), Error> {
        let all = ledger::read_bundles_of_lineage(layout, &id)?;
        let matching = all.into_iter().filter(|one| matches_id(bundle, &one.id));
        let is_rejected = |one: &ImportedBundle| {
            ledger::record_number(&one.record)
                .is_some_and(|number| retired::is_rejected(&lineages.retirements, number, &id))
        };
        let (rejected, others): (Vec<_>, Vec<_>) = matching.partition(is_rejected);
        let ids: BTreeSet<&str> = others.iter().map(|one| one.id.as_str()).collect();
        match ids.len() {
            0 if rejected.is_empty() => self.add_lost(layout, id, bundle),
            0 | 1 => self.add(layout, &id, others, None),
            _ => {
                let matching = ids.into_iter().map(str::to_owned).collect();
                Err(Error::AmbiguousBundle { lineage: id, bundle: bundle.to_owned(), matching })
            }
        }
    }

    /// Adds these records of `lineage`. `accepted` is the record to which they do not lead.
    fn add(
        &mut self,
        layout: &Layout,
        lineage: &str,
        records: Vec<ImportedBundle>,
        accepted: Option<u64>,
    ) -> Result<(), Error> {
        let mut reader = Reader::new(layout);
        for one in records {
            if self.has(&one.record) {
                continue;
            }
            let Some(found) = reader.read(&one.record)? else { return Err(Error::LostRecord { record: one.record }) };
            let tip = LineageTip::from_manifest(&found.manifest, one.record.clone());
            self.push(RejectedRecord { tip, accepted }, rejected_bundle(lineage, &one, accepted.is_some()));
        }
        Ok(())
    }

    fn has(&self, record: &str) -> bool {
        self.records.iter().any(|known| known.tip.record == record)
    }

    fn push(&mut self, record: RejectedRecord, bundle: RejectedBundle) {
        self.records.push(record);
        if self.bundles.iter().all(|known| known.bundle != bundle.bundle) {
            self.bundles.push(bundle);
        }
    }

    /// Adds the lost records of the bundle whose id starts with `bundle`. No note states its lineage, which is `lineage` as given.
    fn add_lost(&mut self, layout: &Layout, lineage: String, bundle: &str) -> Result<(), Error> {
        let lost = lost_records_of(layout, bundle)?;
        let ids: BTreeSet<&str> = lost.iter().filter_map(|record| ledger::bundle_of_record(record)).collect();
        if ids.len() > 1 {
            let matching = ids.into_iter().map(str::to_owned).collect();
            return Err(Error::AmbiguousBundle { lineage, bundle: bundle.to_owned(), matching });
        }
        let Some(id) = ids.into_iter().next().map(str::to_owned) else {
            return Err(Error::NoBundle { lineage, bundle: bundle.to_owned() });
        };
        for record in lost {
            let tip = LineageTip { record, ..LineageTip::new(&lineage, 0, None, &id, "") };
            let bundle = RejectedBundle {
                lineage: lineage.clone(),
                sequence: 0,
                bundle: id.clone(),
                file: String::new(),
                snapshot: false,
                unconnected: false,
            };
            self.push(RejectedRecord { tip, accepted: None }, bundle);
        }
        Ok(())
    }

    /// Adds the records of the lineage of `state` that do not lead to its newest bundle, which is accepted, nor to one of the
    /// bundles `confirmed`.
    pub(super) fn add_unconnected(
        &mut self,
        layout: &Layout,
        notes: &[Retirement],
        last_record: u64,
        state: &LineageState,
        confirmed: &BTreeSet<String>,
    ) -> Result<(), Error> {
        let newest = &state.newest;
        let Some(accepted) = ledger::record_number(&newest.record) else { return Ok(()) };
        let mut unconnected = find_unconnected(layout, notes, state, confirmed)?;
        let mut notes = notes.to_vec();
        // The rejection of an earlier accepted bundle ends what its acceptance rejected.
        loop {
            let is_rejected = |one: &ImportedBundle| {
                let number = ledger::record_number(&one.record).unwrap_or(0);
                retired::is_rejected(&notes, number, &newest.id)
            };
            let (rejected, new): (Vec<_>, Vec<_>) = unconnected.into_iter().partition(is_rejected);
            if new.is_empty() {
                return Ok(());
            }
            unconnected = rejected;
            let numbers = new.iter().filter_map(|one| ledger::record_number(&one.record));
            notes.extend(numbers.map(|rejected| Retirement {
                last_record,
                lineage: newest.id.clone(),
                scope: Scope::Unconnected { rejected, accepted },
            }));
            self.add(layout, &newest.id, new, Some(accepted))?;
        }
    }

    /// Adds the records of the snapshot whose id starts with `snapshot`, and those of the histories that it brought.
    fn add_snapshot(&mut self, layout: &Layout, lineages: &Lineages, snapshot: &str) -> Result<(), Error> {
        let mut reader = Reader::new(layout);
        let mut found: Vec<(LineageTip, RejectedBundle)> = Vec::new();
        let mut is_known = false;
        for name in &lineages.record_names {
            let Some(record) = reader.read(name)? else { continue };
            let manifest = &record.manifest;
            let is_own = manifest.kind == BundleKind::Snapshot && record.snapshot_id.is_none();
            let Some(id) = record.snapshot_id.or_else(|| is_own.then(|| manifest.id.clone())) else { continue };
            if !matches_id(snapshot, &id) {
                continue;
            }
            is_known = true;
            let number = ledger::record_number(name).unwrap_or(0);
            if retired::is_rejected(&lineages.retirements, number, &manifest.lineage.id) {
                continue;
            }
            let (lineage, sequence) = (manifest.lineage.id.clone(), manifest.lineage.sequence);
            let file = record.file;
            let bundle = RejectedBundle { lineage, sequence, bundle: id, file, snapshot: true, unconnected: false };
            found.push((LineageTip::from_manifest(manifest, name.clone()), bundle));
        }
        let ids: BTreeSet<&str> = found.iter().map(|(_, bundle)| bundle.bundle.as_str()).collect();
        if ids.len() > 1 {
            let matching = ids.into_iter().map(str::to_owned).collect();
            return Err(Error::AmbiguousBundle { lineage: SNAPSHOT.to_owned(), bundle: snapshot.to_owned(), matching });
        }
        // A collection may have removed all its records.
        is_known |= lineages
            .retirements
            .iter()
            .any(|note| matches!(note.scope, Scope::Dropped { .. }) && matches_id(snapshot, &note.lineage));
        if !is_known {
            return Err(Error::NoBundle { lineage: SNAPSHOT.to_owned(), bundle: snapshot.to_owned() });
        }
        // The snapshot's own record is the last, and has its file.
        self.bundles.extend(found.last().map(|(_, bundle)| bundle.clone()));
        let new = found.into_iter().map(|(tip, _)| tip);
        let known: BTreeSet<String> = self.records.iter().map(|known| known.tip.record.clone()).collect();
        let new = new.filter(|tip| !known.contains(&tip.record));
        self.records.extend(new.map(|tip| RejectedRecord { tip, accepted: None }));
        Ok(())
    }

    /// The notes of this rejection, if the record of number `newest` is the newest one.
    pub(super) fn notes(&self, newest: u64) -> impl Iterator<Item = Retirement> {
        self.records.iter().filter_map(move |RejectedRecord { tip, accepted }| {
            let rejected = ledger::record_number(&tip.record)?;
            let scope = accepted.map_or(Scope::Only(rejected), |accepted| Scope::Unconnected { rejected, accepted });
            Some(Retirement { last_record: newest, lineage: tip.id.clone(), scope })
        })
    }
}

fn rejected_bundle(lineage: &str, one: &ImportedBundle, unconnected: bool) -> RejectedBundle {
    RejectedBundle {
        lineage: lineage.to_owned(),
        sequence: one.sequence,
        bundle: one.id.clone(),
        file: one.file.clone(),
        snapshot: false,
        unconnected,
    }
}

/// The bundles of a doubtful lineage that an acceptance of its newest one rejects.
pub(super) fn bundles_to_reject(
    layout: &Layout,
    notes: &[Retirement],
    state: &LineageState,
) -> Result<Vec<RejectedBundle>, Error> {
    let mut bundles: Vec<RejectedBundle> = Vec::new();
    for one in find_unconnected(layout, notes, state, &BTreeSet::new())? {
        let number = ledger::record_number(&one.record).unwrap_or(0);
        let is_known = bundles.iter().any(|known| known.bundle == one.id);
        if !is_known && !retired::is_rejected(notes, number, &state.newest.id) {
            bundles.push(rejected_bundle(&state.newest.id, &one, true));
        }
    }
    Ok(bundles)
}

/// The records of the lineage of `state` that lead neither to its newest bundle nor to one of the bundles `confirmed`. Those of
/// bundles that an administrator named as false, or forgot with the lineage, are not among them. If the lineage does not
/// count its bundles, no chain connects any, and only the other candidates are among them.
fn find_unconnected(
    layout: &Layout,
    notes: &[Retirement],
    state: &LineageState,
    confirmed: &BTreeSet<String>,
) -> Result<Vec<ImportedBundle>, Error> {
    let newest = &state.newest;
    if newest.id == REBUILT_LINEAGE {
        return Ok(Vec::new());
    }
    let mut all = ledger::read_bundles_of_lineage(layout, &newest.id)?;
    let chain = find_chain(&all, confirmed.iter().chain([&newest.bundle]).cloned());
    let forgotten = retired::last_retirement(notes, &newest.id);
    let is_candidate = |one: &ImportedBundle| state.contenders.iter().any(|tip| tip.record == one.record);
    all.retain(|one| {
        let number = ledger::record_number(&one.record).unwrap_or(0);
        number > forgotten
            && !chain.contains(&one.id)
            && !retired::is_named_as_false(notes, number)
            && (!is_time(newest.sequence) || is_candidate(one))
    });
    Ok(all)
}

/// The ids of the bundles that lead to one of `ends`. Each states its predecessor and its base. If records of one bundle
/// contradict each other, a snapshot stated something false, and the bundle's own record counts.
fn find_chain(all: &[ImportedBundle], ends: impl Iterator<Item = String>) -> HashSet<String> {
    let mut chain = HashSet::new();
    let mut next: Vec<String> = ends.collect();
    while let Some(id) = next.pop() {
        if !chain.insert(id.clone()) {
            continue;
        }
        let records = || all.iter().filter(|one| one.id == id);
        let own = records().rfind(|one| !one.is_of_snapshot).or_else(|| records().next_back());
        next.extend(own.into_iter().flat_map(|own| own.previous.iter().chain(&own.base).cloned()));
    }
    chain
}

/// Whether this is the whole id of a lineage.
fn is_whole_id(lineage: &str) -> bool {
    lineage.len() == ID_DIGITS && lineage.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
}

/// The lost records of bundles whose ids start with `bundle`.
fn lost_records_of(layout: &Layout, bundle: &str) -> Result<BTreeSet<String>, Error> {
    let mut lost = lost_records::read_names(layout)?;
    lost.retain(|record| {
        let id = ledger::bundle_of_record(record).filter(|_| ledger::has_valid_id(record));
        id.is_some_and(|id| !id.ends_with(REBUILT_END) && matches_id(bundle, id))
    });
    Ok(lost)
}
