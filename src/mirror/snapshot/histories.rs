//! What the ledger says of the histories that feed the mirror, and of the crates and rustup artifacts that they brought.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Error;
use crate::bundle::format::{ArtifactRecord, CrateRecord, Input};
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

/// A history, as its newest bundle has it.
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
        let mut needs: HashMap<String, (Vec<CrateId>, Vec<SafePath>)> = HashMap::new();
        let wanted: BTreeSet<&str> = feeds.lineages.values().flat_map(gc::Feed::records).collect();
        for name in &feeds.names {
            // It was read a moment ago, under the same lock.
            let Some(record) = ledger::read(layout, name)? else {
                continue;
            };
            let manifest = record.manifest;
            let ids: Vec<CrateId> = manifest.crates.iter().map(CrateRecord::id).collect();
            let paths: Vec<SafePath> = manifest.artifacts.iter().map(|record| record.path.clone()).collect();
            if let Some(feed) = feeds.lineages.values().find(|feed| feed.head.record == *name) {
                let of = |input: &Input| input.crates.iter().filter_map(|at| ids.get(*at as usize)).cloned().collect();
                let files =
                    |input: &Input| input.artifacts.iter().filter_map(|at| paths.get(*at as usize)).cloned().collect();
                told.feeds.push(Feed {
                    id: feed.head.id.clone(),
                    sequence: feed.head.sequence,
                    bundle: feed.head.bundle.clone(),
                    file: feed.file.clone(),
                    created: feed.head.created.clone(),
                    index_read: manifest.index_read,
                    inputs: manifest
                        .lineage
                        .inputs
                        .iter()
                        .map(|input| (input.clone(), of(input), files(input)))
                        .collect(),
                    crates: BTreeSet::new(),
                    artifacts: BTreeSet::new(),
                });
                told.targets.extend(manifest.targets);
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
            if wanted.contains(name.as_str()) {
                needs.insert(name.clone(), (ids, paths));
            }
        }
        for feed in &mut told.feeds {
            let records = feeds.lineages.get(&feed.id).into_iter().flat_map(gc::Feed::records);
            for (ids, paths) in records.filter_map(|name| needs.get(name)) {
                feed.crates.extend(ids.iter().cloned());
                feed.artifacts.extend(paths.iter().cloned());
            }
        }
        told.feeds.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(told)
    }
}
