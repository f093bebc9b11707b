//! Finds where the stored crates came from: the bundles on record that had them, and live mode.
//!
//! The record of a rebuild is no source. It is derived from the files, so it proves nothing about them.

use std::collections::{BTreeSet, HashMap};

use super::layout::Layout;
use super::ledger::{self, Reader};
use super::lineages::{LineageTip, REBUILT_LINEAGE, describe_bundle};
use super::live::LiveLineage;
use super::retired;
use super::transaction::Error;
use crate::bundle::format::{BundleKind, CrateState};
use crate::crate_id::CrateId;
use crate::digest::Sha256;

/// The sources of some crates.
#[derive(Debug, Default)]
pub(super) struct CrateSources {
    /// The bundles on record that had at least one of the crates, in the order of import.
    bundles: Vec<BundleSource>,
    /// The stated checksums of each crate, each with the positions of its bundles. Usually there is one checksum.
    by_crate: HashMap<CrateId, Vec<(Sha256, Vec<u32>)>>,
    /// The crates that live mode stored from upstream.
    live: HashMap<CrateId, Sha256>,
}

/// A bundle on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BundleSource {
    /// Its lineage.
    pub(super) lineage: String,
    /// Its id.
    pub(super) bundle: String,
    /// The bundle for users.
    pub(super) description: String,
    /// Whether it is a snapshot. The records of its histories state its content too.
    pub(super) is_snapshot: bool,
}

impl CrateSources {
    /// Finds the sources of the crates for which `is_wanted` returns true. Reads all records once.
    ///
    /// # Errors
    /// A file system operation failed.
    pub(super) fn read(layout: &Layout, is_wanted: impl Fn(&CrateId) -> bool) -> Result<CrateSources, Error> {
        let mut sources = CrateSources::default();
        let notes = retired::read_retirements(layout)?;
        let mut reader = Reader::new(layout);
        for name in ledger::record_names(layout)? {
            let Some(record) = reader.read(&name)? else { continue };
            let (manifest, number) = (&record.manifest, ledger::record_number(&name).unwrap_or(0));
            let lineage = manifest.lineage.id.as_str();
            if lineage == REBUILT_LINEAGE || retired::is_retired(&notes, number, lineage) {
                continue;
            }
            // The import did not compare the crates of other inputs.
            let own = manifest.crates.iter().filter(|one| one.state != CrateState::Kept);
            for (id, sha256) in own.map(|one| (one.id(), one.sha256)).filter(|(id, _)| is_wanted(id)) {
                let bundle = sources.position_of_bundle(&manifest.id, || BundleSource {
                    lineage: lineage.to_owned(),
                    bundle: manifest.id.clone(),
                    description: describe_bundle(&LineageTip::from_manifest(manifest, name.clone()), &record.file),
                    is_snapshot: manifest.kind == BundleKind::Snapshot,
                });
                sources.add(id, sha256, bundle);
            }
        }
        for record in LiveLineage::read(layout)?.current() {
            if let Some(id) = record.item.crate_id().filter(|id| is_wanted(id)) {
                sources.live.insert(id.clone(), record.sha256);
            }
        }
        Ok(sources)
    }

    /// Whether a bundle on record had the crate, and no other bundle and not live mode.
    pub(super) fn is_only_source(&self, bundle: &str, id: &CrateId) -> bool {
        let mut positions = self.by_crate.get(id).into_iter().flatten().flat_map(|(_, bundles)| bundles).peekable();
        positions.peek().is_some()
            && !self.live.contains_key(id)
            && positions.filter_map(|at| self.bundle_at(*at)).all(|source| source.bundle == bundle)
    }

    /// The bundles on record that had one of these crates with the checksum, in the order of import.
    pub(super) fn bundles_of<'c>(
        &self,
        crates: impl IntoIterator<Item = (&'c CrateId, Sha256)>,
    ) -> impl Iterator<Item = &BundleSource> {
        let mut positions: BTreeSet<u32> = BTreeSet::new();
        for (id, sha256) in crates {
            let stated = self.by_crate.get(id).into_iter().flatten().filter(|(stated, _)| *stated == sha256);
            positions.extend(stated.flat_map(|(_, bundles)| bundles));
        }
        positions.into_iter().filter_map(|at| self.bundle_at(at))
    }

    /// Whether live mode stored one of these crates with the checksum.
    pub(super) fn is_live<'c>(&self, crates: impl IntoIterator<Item = (&'c CrateId, Sha256)>) -> bool {
        crates.into_iter().any(|(id, sha256)| self.live.get(id) == Some(&sha256))
    }

    fn bundle_at(&self, position: u32) -> Option<&BundleSource> {
        self.bundles.get(usize::try_from(position).ok()?)
    }

    /// A bundle that was imported several times has several records.
    fn position_of_bundle(&mut self, id: &str, make: impl FnOnce() -> BundleSource) -> u32 {
        // The crates of a record come one after the other.
        let known = self.bundles.iter().rposition(|source| source.bundle == id);
        let position = known.unwrap_or_else(|| {
            self.bundles.push(make());
            self.bundles.len().saturating_sub(1)
        });
        u32::try_from(position).unwrap_or(u32::MAX)
    }

    fn add(&mut self, id: CrateId, sha256: Sha256, bundle: u32) {
        let stated = self.by_crate.entry(id).or_default();
        match stated.iter_mut().find(|(known, _)| *known == sha256) {
            Some((_, bundles)) if bundles.last() == Some(&bundle) => {}
            Some((_, bundles)) => bundles.push(bundle),
            None => stated.push((sha256, vec![bundle])),
        }
    }
}
