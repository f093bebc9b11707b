//! Finds the first recorded bundle that contained a crate, and the crate's description from the newest bundle that has one.
//!
//! All records together may have gigabytes. They are read once, in the background, one by one. A caller waits briefly and
//! gets the data that is loaded by then. A digest of name and version identifies a crate, so that a million of them need
//! little memory.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use serde::Deserialize;

use super::background_loader::BackgroundLoader;
use crate::bundle::format::CrateState;
use crate::bundle::sanitize::sanitize_line;
use crate::crate_id::Version;
use crate::mirror::layout::Layout;
use crate::mirror::ledger::{self, RecordFile};
use crate::mirror::live::{self, Tailer};
use crate::units::pluralize;

/// The displayed source of a crate that live mode fetched.
pub(super) const LIVE_MODE_BUNDLE: &str = "(live mode)";
/// Maximum number of crates with a known bundle.
const MAX_CRATES: usize = 4_000_000;
/// Maximum total size of descriptions in bytes; those of crates.io have half of it.
const MAX_DESCRIPTION_BYTES: usize = 48 * 1024 * 1024;
/// Overhead of a description besides its text and name, in bytes.
const ENTRY_OVERHEAD: usize = 64;

/// The loaded data.
#[derive(Clone, Default)]
pub(super) struct Provenance(BackgroundLoader<ProvenanceData>);

#[derive(Default)]
struct ProvenanceData {
    /// The secret key of the digest: it keeps senders of bundles from creating collisions.
    hash_seed: RandomState,
    /// The records that are read.
    read_records: HashSet<String>,
    /// Those of them that could not be read, or that are damaged.
    unreadable_records: BTreeSet<String>,
    /// Whether live mode's records could not be read.
    is_live_unreadable: bool,
    /// The read position in live mode's records.
    live_tailer: Tailer,
    /// The bundles' file names, in reading order.
    bundle_files: Vec<Arc<str>>,
    /// The bundle of each crate.
    bundles: HashMap<u64, u32>,
    /// The description of each crate.
    descriptions: Arc<Descriptions>,
}

/// The fields of a recorded manifest that are read, without copies.
#[derive(Deserialize)]
struct RecordedManifest<'r> {
    #[serde(borrow)]
    crates: Vec<RecordedCrate<'r>>,
}

#[derive(Deserialize)]
struct RecordedCrate<'r> {
    name: &'r str,
    version: &'r str,
    state: CrateState,
    #[serde(default)]
    description: Option<Cow<'r, str>>,
}

/// The descriptions by lower-case crate name.
#[derive(Clone, Default)]
pub(super) struct Descriptions {
    texts: HashMap<Box<str>, Box<str>>,
    bytes: usize,
}

/// The known sources of crates.
pub(super) struct ProvenanceView<'o> {
    provenance: &'o Provenance,
    /// Whether all records are read.
    pub(super) is_complete: bool,
    /// Which records could not be read, as a sentence without a full stop.
    pub(super) problem: Option<String>,
}

impl Provenance {
    /// Returns the data after a short wait; the rest loads in the background.
    pub(super) fn view(&self, layout: &Layout) -> ProvenanceView<'_> {
        let listed = ledger::record_names(layout).ok();
        let names = listed.as_deref().unwrap_or_default();
        let (checked_layout, layout) = (layout.clone(), layout.clone());
        let read = move |background: &BackgroundLoader<ProvenanceData>| read_ledger(background, &layout);
        let is_complete = |known: &ProvenanceData| {
            names.iter().all(|name| known.read_records.contains(name))
                && !known.live_tailer.has_changed(&checked_layout)
        };
        let (known, complete) = self.0.load_or_timeout("origins", is_complete, read);
        let problem = match listed {
            Some(_) => known.problem(),
            None => Some("the list of the import records could not be read".to_owned()),
        };
        drop(known);
        ProvenanceView { provenance: self, is_complete: complete && listed.is_some(), problem }
    }
}

/// Reads the remaining records, oldest first.
fn read_ledger(background: &BackgroundLoader<ProvenanceData>, layout: &Layout) {
    for name in ledger::record_names(layout).unwrap_or_default() {
        // A record that could not be read is read again with the next new one.
        let is_read =
            |known: &ProvenanceData| known.read_records.contains(&name) && !known.unreadable_records.contains(&name);
        if is_read(&background.data()) {
            continue;
        }
        let text = read_manifest(layout, &name);
        let record = text.as_ref().and_then(|(file, text)| Some((file, serde_json::from_slice(text).ok()?)));
        background.update(|known| {
            match &record {
                Some((file, manifest)) => {
                    known.add_descriptions(manifest);
                    known.add_manifest(file, manifest);
                    known.unreadable_records.remove(&name);
                }
                None => drop(known.unreadable_records.insert(name.clone())),
            }
            known.read_records.insert(name);
        });
    }
    // Publishes after each record, so that concurrent callers need not wait.
    let mut live = std::mem::take(&mut background.data().live_tailer);
    let new_records = live.read_new(layout);
    background.update(|known| {
        known.is_live_unreadable = new_records.is_err();
        known.add_live_records(&new_records.unwrap_or_default());
        known.live_tailer = live;
    });
}

/// The name of the bundle's file and the bundle's manifest in a record; `None` if it cannot be read. The record of a
/// snapshot has the crates of its histories.
fn read_manifest(layout: &Layout, name: &str) -> Option<(String, Vec<u8>)> {
    let mut record = RecordFile::open(layout, name).ok()??;
    let text = record.read_manifest().ok()??;
    let text = if record.header.is_of_snapshot() { br#"{"crates":[]}"#.to_vec() } else { text };
    Some((record.header.file, text))
}

impl ProvenanceData {
    /// Which records could not be read.
    fn problem(&self) -> Option<String> {
        let live = self.is_live_unreadable.then(|| "live mode's records".to_owned());
        let records = match self.unreadable_records.len() {
            0 => None,
            count => Some(pluralize(count, "import record")),
        };
        let all: Vec<String> = records.into_iter().chain(live).collect();
        (!all.is_empty()).then(|| format!("{} could not be read", all.join(" and ")))
    }

    fn add_manifest(&mut self, file: &str, manifest: &RecordedManifest<'_>) {
        let Ok(bundle) = u32::try_from(self.bundle_files.len()) else { return };
        self.bundle_files.push(file.into());
        for one in manifest.crates.iter().filter(|one| one.state == CrateState::Shipped) {
            if self.bundles.len() >= MAX_CRATES {
                return;
            }
            let key = self.crate_key(one.name, one.version);
            self.bundles.entry(key).or_insert(bundle);
        }
    }

    /// Adds crates that live mode stored since.
    fn add_live_records(&mut self, records: &[live::LiveRecord]) {
        let known = self.bundle_files.iter().position(|file| **file == *LIVE_MODE_BUNDLE);
        let Ok(bundle) = u32::try_from(known.unwrap_or(self.bundle_files.len())) else { return };
        if known.is_none() && !records.is_empty() {
            self.bundle_files.push(LIVE_MODE_BUNDLE.into());
        }
        let mut texts = Vec::new();
        for live::LiveRecord { item: what, description, .. } in records.iter().filter(|record| !record.retired) {
            let live::ItemId::Crate(id) = what else { continue };
            if self.bundles.len() < MAX_CRATES {
                let key = self.crate_key(id.name.as_str(), &id.version.to_string());
                self.bundles.entry(key).or_insert(bundle);
            }
            texts.extend(description.as_deref().map(|text| (id.name.as_str(), id.version.clone(), text)));
        }
        self.insert_newest(texts.into_iter());
    }

    /// A later record overrides earlier ones; within a record, the highest version's description is used.
    fn add_descriptions(&mut self, manifest: &RecordedManifest<'_>) {
        let texts = manifest.crates.iter().filter_map(|one| {
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
        // Concurrent readers keep the previous snapshot.
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
    /// The description of a crate, by its lower-case name.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.texts.get(name).map(|text| &**text)
    }

    fn insert(&mut self, name: String, text: &str) {
        // The sender of a bundle chose the texts: they become one line each, without control characters.
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
    /// The descriptions.
    pub(super) fn descriptions(&self) -> Arc<Descriptions> {
        Arc::clone(&self.provenance.0.data().descriptions)
    }

    /// The file name of the bundle that contained the crate.
    pub(super) fn bundle_of(&self, name: &str, version: &str) -> Option<Arc<str>> {
        let known = self.provenance.0.data();
        let bundle = known.bundles.get(&known.crate_key(name, version))?;
        known.bundle_files.get(*bundle as usize).cloned()
    }
}
