//! Finds the bundles that an administrator rejects, because the sender did not write them.

use std::collections::BTreeSet;

use super::error::Error;
use super::lineage_terms::{REJECT, Term, resolve_lineage};
use super::needed_files::Lineages;
use super::plan::RejectedBundle;
use crate::bundle::format::BundleKind;
use crate::id_prefix::matches_id;
use crate::mirror::layout::Layout;
use crate::mirror::ledger::{self, ImportedBundle, Reader};
use crate::mirror::lineages::LineageTip;
use crate::mirror::retired::{self, Retirement, Scope};

/// Stands for the lineage of a bundle that is a snapshot. No lineage id begins like this.
const SNAPSHOT: &str = "snapshot";

/// Bundles to reject.
#[derive(Default)]
pub(super) struct Rejection {
    /// The bundles.
    pub(super) bundles: Vec<RejectedBundle>,
    /// Each of their records. A bundle that was imported again has several.
    pub(super) records: Vec<LineageTip>,
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
            let id = resolve_lineage(lineages, live_id, term, |_| gone().next().is_some())?;
            let Some(bundle) = term.bundle else {
                return Err(Error::NoBundleGiven { word: term.lineage.to_owned() });
            };
            let ids: BTreeSet<String> = match id {
                Some(id) => [id].into(),
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
            0 if rejected.is_empty() => Err(Error::NoBundle { lineage: id, bundle: bundle.to_owned() }),
            0 | 1 => self.add(layout, &id, others),
            _ => {
                let matching = ids.into_iter().map(str::to_owned).collect();
                Err(Error::AmbiguousBundle { lineage: id, bundle: bundle.to_owned(), matching })
            }
        }
    }

    /// Adds the records of one bundle.
    fn add(&mut self, layout: &Layout, lineage: &str, records: Vec<ImportedBundle>) -> Result<(), Error> {
        let mut reader = Reader::new(layout);
        for ImportedBundle { sequence, id: bundle, file, record, .. } in records {
            if self.records.iter().any(|known| known.record == record) {
                continue;
            }
            let Some(found) = reader.read(&record)? else { return Err(Error::LostRecord { record }) };
            self.records.push(LineageTip::from_manifest(&found.manifest, record));
            if self.bundles.iter().all(|known| known.bundle != bundle) {
                let lineage = lineage.to_owned();
                self.bundles.push(RejectedBundle { lineage, sequence, bundle, file, snapshot: false });
            }
        }
        Ok(())
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
            let bundle = RejectedBundle { lineage, sequence, bundle: id, file: record.file, snapshot: true };
            found.push((LineageTip::from_manifest(manifest, name.clone()), bundle));
        }
        let ids: BTreeSet<&str> = found.iter().map(|(_, bundle)| bundle.bundle.as_str()).collect();
        if ids.len() > 1 {
            let matching = ids.into_iter().map(str::to_owned).collect();
            return Err(Error::AmbiguousBundle { lineage: SNAPSHOT.to_owned(), bundle: snapshot.to_owned(), matching });
        }
        if !is_known {
            return Err(Error::NoBundle { lineage: SNAPSHOT.to_owned(), bundle: snapshot.to_owned() });
        }
        // The snapshot's own record is the last, and has its file.
        self.bundles.extend(found.last().map(|(_, bundle)| bundle.clone()));
        let new = found.into_iter().map(|(tip, _)| tip);
        let known: BTreeSet<String> = self.records.iter().map(|tip| tip.record.clone()).collect();
        self.records.extend(new.filter(|tip| !known.contains(&tip.record)));
        Ok(())
    }

    /// The notes of this rejection, if the record of number `newest` is the newest one.
    pub(super) fn notes(&self, newest: u64) -> impl Iterator<Item = Retirement> {
        self.records.iter().filter_map(move |tip| {
            let scope = Scope::Only(ledger::record_number(&tip.record)?);
            Some(Retirement { last_record: newest, lineage: tip.id.clone(), scope })
        })
    }
}
