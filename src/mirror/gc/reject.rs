//! Finds the bundles that an administrator rejects, because the sender did not write them.

use std::collections::BTreeSet;

use super::error::Error;
use super::lineage_terms::{REJECT, Term, resolve_lineage};
use super::needed_files::Lineages;
use super::plan::RejectedBundle;
use crate::id_prefix::matches_id;
use crate::mirror::layout::Layout;
use crate::mirror::ledger::{self, ImportedBundle, Reader};
use crate::mirror::lineages::LineageTip;
use crate::mirror::retired::{self, Retirement, Scope};

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
    /// because a killed run may have rejected it.
    pub(super) fn resolve(
        layout: &Layout,
        lineages: &Lineages,
        live_id: Option<&str>,
        terms: &[String],
    ) -> Result<Rejection, Error> {
        let mut rejection = Rejection::default();
        let notes = &lineages.retirements;
        let was_rejected = |word: &str| {
            notes.iter().any(|note| matches!(note.scope, Scope::Only(_)) && matches_id(word, &note.lineage))
        };
        for term in terms {
            let term = Term::parse(REJECT, term);
            let id = resolve_lineage(lineages, live_id, term, was_rejected)?;
            let Some(bundle) = term.bundle else {
                return Err(Error::NoBundleGiven { word: term.lineage.to_owned() });
            };
            if let Some(id) = id {
                let all = ledger::read_bundles_of_lineage(layout, &id)?;
                let matching = all.into_iter().filter(|one| matches_id(bundle, &one.id));
                let number = |one: &ImportedBundle| ledger::record_number(&one.record).unwrap_or(0);
                let (rejected, others): (Vec<_>, Vec<_>) =
                    matching.partition(|one| retired::is_rejected(notes, number(one), &id));
                let counting = others.into_iter().filter(|one| !retired::is_retired(notes, number(one), &id));
                let counting: Vec<ImportedBundle> = counting.collect();
                let ids: BTreeSet<&str> = counting.iter().map(|one| one.id.as_str()).collect();
                match ids.len() {
                    0 if rejected.is_empty() => {
                        return Err(Error::NoBundle { lineage: id, bundle: bundle.to_owned() });
                    }
                    0 | 1 => rejection.add(layout, &id, counting)?,
                    _ => {
                        let matching = ids.into_iter().map(str::to_owned).collect();
                        return Err(Error::AmbiguousBundle { lineage: id, bundle: bundle.to_owned(), matching });
                    }
                }
            }
        }
        Ok(rejection)
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
                self.bundles.push(RejectedBundle { lineage: lineage.to_owned(), sequence, bundle, file });
            }
        }
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
