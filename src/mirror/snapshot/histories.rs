//! What the ledger says of the histories that feed the mirror, and of the crates and rustup artifacts that they brought;
//! and what live mode brought, which goes along as a history too.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jiff::Timestamp;

use super::Error;
use crate::bundle::format::{
    ArtifactRecord, ArtifactState, BundleKind, CrateRecord, CrateState, Input, Manifest, short_id,
};
use crate::bundle::pack::whole_seconds;
use crate::crate_id::CrateId;
use crate::digest::Sha256;
use crate::mirror::artifacts::Artifacts;
use crate::mirror::gc::{self, Feeds};
use crate::mirror::layout::Layout;
use crate::mirror::ledger;
use crate::mirror::live::{self, What};
use crate::mirror::store;
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
        let mut reader = ledger::Reader::of(layout);
        for name in &feeds.names {
            // It was read a moment ago, under the same lock.
            let Some(record) = reader.read(name)? else {
                continue;
            };
            let manifest = record.manifest;
            // A snapshot has the targets of the histories that it brought along.
            if wanted.contains(name.as_str()) || manifest.kind == BundleKind::Snapshot {
                told.targets.extend(manifest.targets.iter().cloned());
            }
            if wanted.contains(name.as_str()) {
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

impl Told {
    /// Adds what live mode brought, as a history of its own: `held` are the mirror's rustup artifacts.
    pub(super) fn add_live(&mut self, layout: &Layout, held: &Artifacts, now: Timestamp) -> Result<(), store::Error> {
        // What was let go is told of, and is no history's.
        for record in live::forgotten(layout)? {
            self.tell(&record);
        }
        let records = live::records(layout)?;
        let (Some(id), Some(read)) = (live::id(layout)?, records.iter().map(|record| record.read).max()) else {
            return Ok(());
        };
        let (mut crates, mut artifacts) = (BTreeSet::new(), BTreeSet::new());
        for record in &records {
            match &record.what {
                What::Crate(id) => drop(crates.insert(id.clone())),
                What::Artifact(path) if held.0.contains_key(path) => drop(artifacts.insert(path.clone())),
                // A signature goes when its channel moves on without one.
                What::Artifact(_) => {}
            }
            self.tell(record);
        }
        // A mirror that took in a snapshot of itself has an older state of this history, and keeps it.
        for feed in self.feeds.extract_if(.., |feed| feed.id == id) {
            crates.extend(feed.crates);
            artifacts.extend(feed.artifacts);
        }
        if crates.is_empty() && artifacts.is_empty() {
            return Ok(());
        }
        let digest = |id: &CrateId| self.crates.get(id).map(|record| record.sha256.to_string()).unwrap_or_default();
        let mut text = format!("{id}\n");
        crates.iter().for_each(|id| text.push_str(&format!("{id} {}\n", digest(id))));
        for path in &artifacts {
            let digest = held.0.get(path).map(|held| held.sha256.to_string()).unwrap_or_default();
            text.push_str(&format!("{path} {digest}\n"));
        }
        let input = Input {
            name: "live mirror".to_owned(),
            roots: Vec::new(),
            crates: Vec::new(),
            artifacts: Vec::new(),
            left_out: Vec::new(),
        };
        self.feeds.push(Feed {
            id,
            // Later states follow, whatever became of the mirror's records meanwhile.
            sequence: u64::try_from(now.as_second()).unwrap_or(1).max(1),
            bundle: short_id(&Sha256::of(text.as_bytes())),
            file: "(live mirror)".to_owned(),
            created: whole_seconds(now),
            index_read: whole_seconds(read),
            inputs: vec![(input, crates.clone(), artifacts.clone())],
            crates,
            artifacts,
        });
        self.feeds.sort_by(|a, b| (&a.id, &a.bundle).cmp(&(&b.id, &b.bundle)));
        Ok(())
    }

    fn tell(&mut self, record: &live::Record) {
        let (sha256, size) = (record.sha256, record.size);
        match &record.what {
            What::Crate(id) => {
                let CrateId { name, version } = id.clone();
                let about = self.crates.entry(id.clone()).or_insert_with(|| CrateRecord {
                    name,
                    version,
                    sha256,
                    size,
                    state: CrateState::Shipped,
                    yanked: false,
                    read: None,
                    description: None,
                    license: None,
                    repository: None,
                });
                about.size = about.size.max(size);
                about.description = record.description.clone().or(about.description.take());
                about.license = record.license.clone().or(about.license.take());
                about.repository = record.repository.clone().or(about.repository.take());
            }
            What::Artifact(path) => {
                let record =
                    ArtifactRecord { path: path.clone(), sha256, size, state: ArtifactState::Shipped, read: None };
                self.artifacts.insert(path.clone(), record);
            }
        }
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
