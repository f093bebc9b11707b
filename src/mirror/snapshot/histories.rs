//! What the ledger says of the histories that feed the mirror, and of the crates and rustup artifacts that they brought.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::Error;
use crate::bundle::format::{ArtifactRecord, CrateRecord, Input, Manifest};
use crate::crate_id::CrateId;
use crate::mirror::gc::{self, Feeds};
use crate::mirror::layout::Layout;
use crate::mirror::ledger;
use crate::safe_path::SafePath;

/// What the ledger says.
pub(super) struct Told {
    /// Every crate that a record names, as the last one that does, with what any says of it.
    pub(super) crates: HashMap<CrateId, CrateRecord>,
    /// Every rustup artifact that a record names, as the last one that does.
    pub(super) artifacts: BTreeMap<SafePath, ArtifactRecord>,
    pub(super) feeds: Vec<Feed>,
    pub(super) targets: BTreeSet<String>,
}

/// A bundle that is its history's newest, or may be: where numbers and times disagree there are several.
pub(super) struct Feed {
    pub(super) id: String,
    pub(super) sequence: u64,
    pub(super) bundle: String,
    pub(super) file: String,
    pub(super) created: String,
    pub(super) index_read: String,
    pub(super) inputs: Vec<(Input, BTreeSet<CrateId>, BTreeSet<SafePath>)>,
    pub(super) crates: BTreeSet<CrateId>,
    pub(super) artifacts: BTreeSet<SafePath>,
}

impl Told {
    pub(super) fn read(layout: &Layout) -> Result<Told, Error> {
        let feeds = Feeds::read(layout)?;
        let mut told =
            Told { crates: HashMap::new(), artifacts: BTreeMap::new(), feeds: Vec::new(), targets: BTreeSet::new() };
        let wanted: HashSet<&str> = feeds.lineages.values().flat_map(gc::Feed::records).collect();
        for name in &feeds.names {
            // It was read a moment ago, under the same lock.
            let Some(record) = ledger::read(layout, name)? else {
                continue;
            };
            let manifest = record.manifest;
            if wanted.contains(name.as_str()) {
                told.targets.extend(manifest.targets.iter().cloned());
                told.feeds.push(Feed::of(record.file, &manifest));
            }
            for record in manifest.crates {
                let about = told.crates.entry(record.id()).or_insert_with(|| record.clone());
                let CrateRecord { description, license, repository, .. } = record;
                about.size = about.size.max(record.size);
                about.description = description.or(about.description.take());
                about.license = license.or(about.license.take());
                about.repository = repository.or(about.repository.take());
            }
            told.artifacts.extend(manifest.artifacts.into_iter().map(|record| (record.path.clone(), record)));
        }
        told.feeds.sort_by(|a, b| (&a.id, &a.bundle).cmp(&(&b.id, &b.bundle)));
        Ok(told)
    }
}

impl Feed {
    fn of(file: String, manifest: &Manifest) -> Feed {
        let ids: Vec<CrateId> = manifest.crates.iter().map(CrateRecord::id).collect();
        let of = |input: &Input| input.crates.iter().filter_map(|at| ids.get(*at as usize)).cloned().collect();
        let paths: Vec<SafePath> = manifest.artifacts.iter().map(|one| one.path.clone()).collect();
        let files = |input: &Input| input.artifacts.iter().filter_map(|at| paths.get(*at as usize)).cloned().collect();
        Feed {
            id: manifest.lineage.id.clone(),
            sequence: manifest.lineage.sequence,
            bundle: manifest.id.clone(),
            file,
            created: manifest.created.clone(),
            index_read: manifest.index_read.clone(),
            inputs: manifest.lineage.inputs.iter().map(|input| (input.clone(), of(input), files(input))).collect(),
            crates: ids.into_iter().collect(),
            artifacts: paths.into_iter().collect(),
        }
    }
}
