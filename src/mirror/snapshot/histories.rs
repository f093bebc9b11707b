//! Reads from the ledger the histories that feed the mirror, with their crates and dist files. Adds live mode's files
//! as one more history.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jiff::Timestamp;

use super::error::Error;
use crate::bundle::format::{
    BundleKind, CrateRecord, CrateState, DistFileRecord, DistFileState, Input, Manifest, short_id,
};
use crate::bundle::sequence::timestamp_sequence;
use crate::crate_id::CrateId;
use crate::digest::Sha256;
use crate::mirror::dist_files::DistFiles;
use crate::mirror::gc::{self, Lineages};
use crate::mirror::inventory::InventoryEntry;
use crate::mirror::item::{ItemId, items_of};
use crate::mirror::layout::Layout;
use crate::mirror::ledger;
use crate::mirror::live::{LIVE_INPUT, LiveLineage, LiveRecord};
use crate::safe_path::SafePath;
use crate::units::format_time;

/// The content of the ledger.
pub(super) struct LedgerContents {
    /// Every crate that a record names, as the last such record states it, with the descriptions of any record.
    pub(super) crates: HashMap<CrateId, CrateRecord>,
    /// Every dist file that a record names, as the last such record states it.
    pub(super) dist_files: BTreeMap<SafePath, DistFileRecord>,
    pub(super) histories: Vec<History>,
    /// The records of these histories, except live mode's.
    pub(super) needed_records: Vec<String>,
    pub(super) targets: BTreeSet<String>,
}

/// A bundle that is or may be its history's newest. If numbers and times disagree, there are several.
pub(super) struct History {
    pub(super) id: String,
    pub(super) sequence: u64,
    /// The id of the bundle before it, if its history counts its bundles.
    pub(super) previous: Option<String>,
    pub(super) bundle: String,
    pub(super) file: String,
    pub(super) created: String,
    pub(super) index_read: String,
    pub(super) inputs: Vec<(Input, BTreeSet<ItemId>)>,
    pub(super) items: BTreeSet<ItemId>,
}

impl LedgerContents {
    /// Reads the ledger and live mode's lineage, whose files are not a history yet.
    pub(super) fn read(layout: &Layout) -> Result<(LedgerContents, LiveLineage), Error> {
        let lineages = Lineages::read(layout)?;
        let mut contents = LedgerContents {
            crates: HashMap::new(),
            dist_files: BTreeMap::new(),
            histories: Vec::new(),
            needed_records: lineages.by_id.values().flat_map(gc::LineageState::records).map(str::to_owned).collect(),
            targets: BTreeSet::new(),
        };
        let wanted: HashSet<&str> = lineages.by_id.values().flat_map(gc::LineageState::records).collect();
        let mut reader = ledger::Reader::new(layout);
        for name in &lineages.record_names {
            // The record was read before under the same lock.
            let Some(record) = reader.read(name)? else {
                continue;
            };
            let manifest = record.manifest;
            // A snapshot has the targets of the histories that it includes.
            if wanted.contains(name.as_str()) || manifest.kind == BundleKind::Snapshot {
                contents.targets.extend(manifest.targets.iter().cloned());
            }
            if wanted.contains(name.as_str()) {
                contents.histories.push(History::from_manifest(record.file, &manifest));
            }
            manifest.crates.into_iter().for_each(|record| contents.add_crate(record));
            contents.dist_files.extend(manifest.dist_files.into_iter().map(|record| (record.path.clone(), record)));
        }
        // Retired items are described, but belong to no history.
        lineages.live.records.iter().for_each(|record| contents.add_live_record(record));
        contents.sort_histories();
        Ok((contents, lineages.live))
    }

    fn sort_histories(&mut self) {
        self.histories.sort_by(|a, b| (&a.id, &a.bundle).cmp(&(&b.id, &b.bundle)));
    }

    /// The items of all histories.
    pub(super) fn items(&self) -> impl Iterator<Item = &ItemId> {
        self.histories.iter().flat_map(|history| &history.items)
    }

    /// The digest of an item that a record names.
    pub(super) fn digest(&self, item: &ItemId) -> Option<Sha256> {
        match item {
            ItemId::Crate(id) => self.crates.get(id).map(|record| record.sha256),
            ItemId::DistFile(path) => self.dist_files.get(path).map(|record| record.sha256),
        }
    }

    /// A later description of a crate counts.
    fn add_crate(&mut self, record: CrateRecord) {
        let about = self.crates.entry(record.id()).or_insert_with(|| record.clone());
        let CrateRecord { description, license, repository, .. } = record;
        about.size = about.size.max(record.size);
        about.description = description.or(about.description.take());
        about.license = license.or(about.license.take());
        about.repository = repository.or(about.repository.take());
    }

    /// Adds the history of live mode's current files and of the crates `unstored`, of which it has only the index lines.
    /// `recorded` are the mirror's dist files.
    pub(super) fn add_live_history(
        &mut self,
        live: LiveLineage,
        unstored: &[InventoryEntry],
        recorded: &DistFiles,
        now: Timestamp,
    ) {
        let read = live.current().map(|record| record.read_at).chain(unstored.iter().map(|one| one.read_at)).max();
        let (Some(id), Some(read)) = (live.id.clone(), read) else { return };
        for one in unstored {
            self.add_crate(CrateRecord::new(one.id.clone(), one.cksum, 0, CrateState::IndexOnly));
        }
        // A signature is removed when its channel moves on without one.
        let is_stored = |item: &&ItemId| item.dist_file_path().is_none_or(|path| recorded.0.contains_key(path));
        let mut items: BTreeSet<ItemId> =
            live.current().map(|record| &record.item).filter(is_stored).cloned().collect();
        items.extend(unstored.iter().map(|one| ItemId::Crate(one.id.clone())));
        // A mirror that imported a snapshot of itself has an older state of this history, which this one replaces.
        for feed in self.histories.extract_if(.., |feed| feed.id == id) {
            items.extend(feed.items);
        }
        if items.is_empty() {
            return;
        }
        let digest = |item: &ItemId| match item.dist_file_path() {
            Some(path) => recorded.0.get(path).map(|stored| stored.sha256),
            None => self.digest(item),
        };
        // The sequence increases over time, even if the mirror's records were changed.
        let sequence = timestamp_sequence(now.as_second());
        // With the sequence, a state that returns to an earlier one is not mistaken for that bundle.
        let text = format!("{id}\n{sequence}\n{}", digest_lines(&items, digest));
        let input = Input::new(LIVE_INPUT, Vec::new(), Vec::new());
        self.histories.push(History {
            id,
            sequence,
            previous: None,
            bundle: short_id(&Sha256::of(text.as_bytes())),
            file: "(live mirror)".to_owned(),
            created: format_time(now),
            index_read: format_time(read),
            inputs: vec![(input, items.clone())],
            items,
        });
        self.sort_histories();
    }

    fn add_live_record(&mut self, record: &LiveRecord) {
        let (sha256, size) = (record.sha256, record.size);
        match &record.item {
            ItemId::Crate(id) => self.add_crate(CrateRecord {
                description: record.description.clone(),
                license: record.license.clone(),
                repository: record.repository.clone(),
                ..CrateRecord::new(id.clone(), sha256, size, CrateState::Shipped)
            }),
            ItemId::DistFile(path) => {
                let (state, path) = (DistFileState::Shipped, path.clone());
                self.dist_files.insert(path.clone(), DistFileRecord { path, sha256, size, state, read_at: None });
            }
        }
    }
}

impl History {
    fn from_manifest(file: String, manifest: &Manifest) -> History {
        let items: Vec<ItemId> = items_of(manifest).collect();
        let (crates, dist_files) = items.split_at(manifest.crates.len());
        let of = |input: &Input| {
            let crates = input.crates.iter().filter_map(|at| crates.get(*at as usize));
            crates.chain(input.dist_files.iter().filter_map(|at| dist_files.get(*at as usize))).cloned().collect()
        };
        let inputs = manifest.lineage.inputs.iter().map(|input| (input.clone(), of(input))).collect();
        History {
            id: manifest.lineage.id.clone(),
            sequence: manifest.lineage.sequence,
            previous: manifest.lineage.previous.clone(),
            bundle: manifest.id.clone(),
            file,
            created: manifest.created.clone(),
            index_read: manifest.index_read.clone(),
            inputs,
            items: items.into_iter().collect(),
        }
    }
}

/// One line for each item with its digest, if known. A digest of this text identifies the content of a history.
pub(super) fn digest_lines(items: &BTreeSet<ItemId>, digest: impl Fn(&ItemId) -> Option<Sha256>) -> String {
    let text = |item: &ItemId| digest(item).map(|sha256| sha256.to_string()).unwrap_or_default();
    items.iter().map(|item| format!("{item} {}\n", text(item))).collect()
}
