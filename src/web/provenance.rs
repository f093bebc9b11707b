//! Which bundle brought a crate, the first one on record that shipped its file; and what a crate is, as the newest bundle says
//! that knows it.
//!
//! All records together may have gigabytes. They are read once, in the background, each as it comes; whoever asks waits a
//! moment and is told what is known by then. A digest of name and version stands for a crate, so that a million of them
//! take less than a book.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use super::background_loader::BackgroundLoader;
use super::imports::LedgerRecord;
use crate::bundle::format::CrateState;
use crate::bundle::sanitize::sanitize_line;
use crate::crate_id::Version;
use crate::mirror::layout::Layout;
use crate::mirror::ledger;
use crate::mirror::live::{self, Tailer};

/// What stands for a bundle's file where live mode brought a crate.
pub(super) const LIVE_MODE_BUNDLE: &str = "(live mode)";
/// Crates whose bundle is remembered; of later ones it is not known.
const MAX_CRATES: usize = 4_000_000;
/// Bytes of all descriptions that are remembered; those of all crates of crates.io have half of it.
const MAX_DESCRIPTION_BYTES: usize = 48 * 1024 * 1024;
/// What a description takes beside its text and its name.
const ENTRY_OVERHEAD: usize = 64;

/// What is known by now.
#[derive(Clone, Default)]
pub(super) struct Provenance(BackgroundLoader<ProvenanceData>);

#[derive(Default)]
struct ProvenanceData {
    /// The secret that keeps the makers of bundles from choosing names that are taken for each other.
    hash_seed: RandomState,
    /// Records that were read.
    read_records: HashSet<String>,
    /// What was read of live mode's.
    live_tailer: Tailer,
    /// The files of the bundles, in the order in which they were read.
    bundle_files: Vec<Arc<str>>,
    /// The bundle of each crate.
    bundles: HashMap<u64, u32>,
    /// What each crate is.
    descriptions: Arc<Descriptions>,
}

/// What crates are, by their names in small letters.
#[derive(Clone, Default)]
pub(super) struct Descriptions {
    texts: HashMap<Box<str>, Box<str>>,
    bytes: usize,
}

/// Which bundle brought which crate, as far as is known.
pub(super) struct ProvenanceView<'o> {
    provenance: &'o Provenance,
    /// Whether every record was read.
    pub(super) is_complete: bool,
}

impl Provenance {
    /// What is known after a moment; whatever is not read by then is read in the background.
    pub(super) fn view(&self, layout: &Layout) -> ProvenanceView<'_> {
        let names = ledger::record_names(layout).unwrap_or_default();
        let (checked_layout, layout) = (layout.clone(), layout.clone());
        let read = move |background: &BackgroundLoader<ProvenanceData>| read_ledger(background, &layout);
        let is_complete = |known: &ProvenanceData| {
            names.iter().all(|name| known.read_records.contains(name))
                && !known.live_tailer.has_changed(&checked_layout)
        };
        let (_, complete) = self.0.load_or_timeout("origins", is_complete, read);
        ProvenanceView { provenance: self, is_complete: complete }
    }
}

/// Reads what was not read yet, the oldest first.
fn read_ledger(background: &BackgroundLoader<ProvenanceData>, layout: &Layout) {
    for name in ledger::record_names(layout).unwrap_or_default() {
        if background.data().read_records.contains(&name) {
            continue;
        }
        let text = fs::read(layout.ledger().join(&name)).unwrap_or_default();
        let record = LedgerRecord::parse(&text);
        background.update(|known| {
            if let Some(record) = &record {
                known.add_descriptions(record);
                known.add_record(record);
            }
            // One that cannot be read is not tried again: the audit speaks of it.
            known.read_records.insert(name);
        });
    }
    // Whoever asks meanwhile is not kept waiting.
    let mut live = std::mem::take(&mut background.data().live_tailer);
    let new_records = live.read_new(layout).unwrap_or_default();
    background.update(|known| {
        known.add_live_records(&new_records);
        known.live_tailer = live;
    });
}

impl ProvenanceData {
    fn add_record(&mut self, record: &LedgerRecord<'_>) {
        let Ok(bundle) = u32::try_from(self.bundle_files.len()) else { return };
        self.bundle_files.push(record.file().into());
        for one in record.manifest.crates.iter().filter(|one| one.state == CrateState::Shipped) {
            if self.bundles.len() >= MAX_CRATES {
                return;
            }
            let key = self.crate_key(one.name, one.version);
            self.bundles.entry(key).or_insert(bundle);
        }
    }

    /// Adds what live mode placed since.
    fn add_live_records(&mut self, records: &[live::LiveRecord]) {
        let known = self.bundle_files.iter().position(|file| **file == *LIVE_MODE_BUNDLE);
        let Ok(bundle) = u32::try_from(known.unwrap_or(self.bundle_files.len())) else { return };
        if known.is_none() && !records.is_empty() {
            self.bundle_files.push(LIVE_MODE_BUNDLE.into());
        }
        let mut texts = Vec::new();
        for live::LiveRecord { item: what, description, .. } in records {
            let live::ItemId::Crate(id) = what else { continue };
            if self.bundles.len() < MAX_CRATES {
                let key = self.crate_key(id.name.as_str(), &id.version.to_string());
                self.bundles.entry(key).or_insert(bundle);
            }
            texts.extend(description.as_deref().map(|text| (id.name.as_str(), id.version.clone(), text)));
        }
        self.insert_newest(texts.into_iter());
    }

    /// What this record says stands for what the ones before it said; of several versions, the highest speaks.
    fn add_descriptions(&mut self, record: &LedgerRecord<'_>) {
        let texts = record.manifest.crates.iter().filter_map(|one| {
            let text = one.description.as_deref()?;
            Some((one.name, one.version.parse::<Version>().ok()?, text))
        });
        self.insert_newest(texts);
    }

    fn insert_newest<'t>(&mut self, texts: impl Iterator<Item = (&'t str, Version, &'t str)>) {
        let mut newest: HashMap<String, (Version, &str)> = HashMap::new();
        for (name, version, text) in texts.filter(|(_, _, text)| !text.trim().is_empty()) {
            let name = name.to_ascii_lowercase();
            if newest.get(&name).is_none_or(|(known, _)| *known < version) {
                newest.insert(name, (version, text));
            }
        }
        if newest.is_empty() {
            return;
        }
        // Who is reading them meanwhile keeps what was known before.
        let known = Arc::make_mut(&mut self.descriptions);
        for (name, (_, text)) in newest {
            known.insert(name, text);
        }
    }

    fn crate_key(&self, name: &str, version: &str) -> u64 {
        self.hash_seed.hash_one((name, version))
    }
}

impl Descriptions {
    /// What a crate is; its name in small letters.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.texts.get(name).map(|text| &**text)
    }

    fn insert(&mut self, name: String, text: &str) {
        // Whoever made a bundle chose its texts: one line each, and nothing in it that acts on a terminal.
        let text = sanitize_line(text.split_whitespace().collect::<Vec<_>>().join(" ").as_str());
        let weight = |text: &str| text.len() + name.len() + ENTRY_OVERHEAD;
        let before = self.texts.get(name.as_str()).map_or(0, |known| weight(known));
        let bytes = self.bytes - before + weight(&text);
        if bytes <= MAX_DESCRIPTION_BYTES {
            self.bytes = bytes;
            self.texts.insert(name.into(), text.into());
        }
    }
}

impl ProvenanceView<'_> {
    /// What crates are.
    pub(super) fn descriptions(&self) -> Arc<Descriptions> {
        Arc::clone(&self.provenance.0.data().descriptions)
    }

    /// The file of the bundle that brought a crate.
    pub(super) fn bundle_of(&self, name: &str, version: &str) -> Option<Arc<str>> {
        let known = self.provenance.0.data();
        let bundle = known.bundles.get(&known.crate_key(name, version))?;
        known.bundle_files.get(*bundle as usize).cloned()
    }
}
