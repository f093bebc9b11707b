//! The lineages that feed the mirror and the files that they need. The only source is the ledger's records, which never
//! change.
//!
//! manifest.json states the same, but it can be outdated or lost, so no removal relies on it. An unreadable record
//! might be the one that needs a crate, so nothing is removed then either.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

use serde::Deserialize;

use super::error::Error;
use super::plan::Candidate;
use crate::crate_id::{CrateId, CrateName};
use crate::mirror::item::{ItemId, items_of};
use crate::mirror::layout::Layout;
use crate::mirror::ledger::chain::{self, ChainFault};
use crate::mirror::ledger::lost_records::REBUILT_END;
use crate::mirror::ledger::{
    self, ChainFaultKind, CountingBundle, KnownBundles, Reader, Record, RecordFile, RecordHeader, RecordRef,
};
use crate::mirror::lineages::{self, LineageTip, REBUILT_LINEAGE};
use crate::mirror::live::LiveLineage;
use crate::mirror::retired::{self, Retirement};
use crate::mirror::summary::{self, MirrorSummary, SummaryLoss};
use crate::parallel;

/// The number of records that are read before their bundles are compared.
const RECORDS_AT_ONCE: usize = 32;

/// The lineages of a mirror.
pub(in crate::mirror) struct Lineages {
    /// Active lineages in the ledger, by id.
    pub(in crate::mirror) by_id: BTreeMap<String, LineageState>,
    /// The lineage of live mode.
    pub(in crate::mirror) live: LiveLineage,
    /// Retired lineages.
    pub(super) retirements: Vec<Retirement>,
    /// The records' names, in the order of import.
    pub(in crate::mirror) record_names: Vec<String>,
    /// The number of the newest record.
    pub(super) newest_record: u64,
    /// When the newest import was done.
    pub(super) last_import: Option<String>,
    /// The newest record, with its digest.
    pub(super) newest: Option<RecordRef>,
}

/// A lineage's newest bundle.
pub(in crate::mirror) struct LineageState {
    pub(in crate::mirror) newest: LineageTip,
    /// The bundle's file.
    pub(in crate::mirror) file: String,
    /// When it was imported.
    pub(super) imported_at: String,
    /// Other bundles that may be the newest.
    pub(super) contenders: Vec<LineageTip>,
    /// All bundles that may be the newest, the likeliest last.
    candidates: Vec<Candidate>,
}

impl LineageState {
    /// The records that state what the lineage needs.
    pub(in crate::mirror) fn records(&self) -> impl Iterator<Item = &str> {
        self.contenders.iter().map(|head| head.record.as_str()).chain([self.newest.record.as_str()])
    }

    /// Why the newest bundle is uncertain, one sentence each; empty if it is certain.
    pub(super) fn warnings(&self) -> Vec<String> {
        lineages::doubts(self.contenders.iter().chain([&self.newest]))
    }

    /// All bundles that may be the newest, the likeliest last; empty if the newest is certain.
    pub(super) fn candidates(&self) -> Vec<Candidate> {
        if self.warnings().is_empty() { Vec::new() } else { self.candidates.clone() }
    }

    /// Accepts the newest bundle.
    pub(super) fn accept_newest(&mut self) {
        self.contenders.clear();
        self.newest.accept();
    }
}

/// The bundles of a lineage that may be its newest.
#[derive(Default)]
struct Contenders {
    tips: Vec<LineageTip>,
    /// The file and the import time of each, by its record.
    file_and_time: BTreeMap<String, [String; 2]>,
}

/// Only the crates and dist files of a record.
#[derive(Deserialize)]
struct RecordContents<'a> {
    #[serde(borrow)]
    crates: Vec<ContentsCrate<'a>>,
    #[serde(borrow, default)]
    artifacts: Vec<ContentsDistFile<'a>>,
}

#[derive(Deserialize)]
struct ContentsDistFile<'a> {
    #[serde(borrow)]
    path: Cow<'a, str>,
}

#[derive(Deserialize)]
struct ContentsCrate<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    version: Cow<'a, str>,
}

/// A set of crate file names, of dist file paths (which contain a `/`), and of index lines.
#[derive(Default)]
pub(super) struct KeepSet {
    files: HashSet<Box<str>>,
    lines: HashSet<Box<str>>,
    buffer: String,
}

impl KeepSet {
    pub(super) fn has_file(&self, file: &str) -> bool {
        self.files.contains(file)
    }

    pub(super) fn has_line(&mut self, path: &str, version: &str) -> bool {
        line_key(&mut self.buffer, path, version);
        self.lines.contains(self.buffer.as_str())
    }

    pub(super) fn add_file(&mut self, file: &str) {
        self.files.insert(file.into());
    }

    pub(super) fn add_line(&mut self, path: &str, version: &str) {
        line_key(&mut self.buffer, path, version);
        self.lines.insert(self.buffer.as_str().into());
    }

    /// Adds the file of an item and the line of a crate.
    pub(super) fn add_item(&mut self, item: &ItemId) {
        self.add_file(&item.key());
        if let ItemId::Crate(CrateId { name, version }) = item {
            self.add_line(&name.index_path(), &version.to_string());
        }
    }

    /// Removes the file of an item and the line of a crate.
    pub(super) fn remove_item(&mut self, item: &ItemId) {
        self.files.remove(item.key().as_str());
        if let ItemId::Crate(CrateId { name, version }) = item {
            line_key(&mut self.buffer, &name.index_path(), &version.to_string());
            self.lines.remove(self.buffer.as_str());
        }
    }

    /// The names of the files that `other` does not have.
    pub(super) fn files_beyond(&self, other: &KeepSet) -> impl Iterator<Item = &str> {
        self.files.iter().map(|file| &**file).filter(|file| !other.has_file(file))
    }

    /// Removes all files that `record` names.
    fn remove(&mut self, record: &RecordContents) {
        self.for_each_crate(record, |keys, file, place, version| {
            keys.files.remove(file);
            line_key(&mut keys.buffer, place, version);
            keys.lines.remove(keys.buffer.as_str());
        });
        for ContentsDistFile { path } in &record.artifacts {
            self.files.remove(&**path);
        }
    }

    fn add(&mut self, record: &RecordContents) {
        self.for_each_crate(record, |keys, file, place, version| {
            keys.add_file(file);
            keys.add_line(place, version);
        });
        for ContentsDistFile { path } in &record.artifacts {
            self.add_file(path);
        }
    }

    fn for_each_crate(&mut self, record: &RecordContents, mut what: impl FnMut(&mut KeepSet, &str, &str, &str)) {
        for ContentsCrate { name, version } in &record.crates {
            // Names were validated before the record was written.
            if let Ok(name) = name.parse::<CrateName>() {
                what(self, &format!("{name}-{version}.crate"), &name.index_path(), version);
            }
        }
    }
}

fn line_key(buffer: &mut String, path: &str, version: &str) {
    buffer.clear();
    buffer.push_str(path);
    buffer.push(' ');
    buffer.push_str(version);
}

impl Lineages {
    /// Reads every record of the ledger, one at a time.
    pub(in crate::mirror) fn read(layout: &Layout) -> Result<Lineages, Error> {
        Lineages::read_with(layout, retired::read_retirements(layout)?)
    }

    /// The same with these notes instead of those in the ledger.
    pub(super) fn read_with(layout: &Layout, notes: Vec<Retirement>) -> Result<Lineages, Error> {
        let names = ledger::record_names(layout)?;
        let newest = names.last().and_then(|name| ledger::record_number(name)).unwrap_or(0);
        let mut lineages = Lineages {
            by_id: BTreeMap::new(),
            live: LiveLineage::read(layout)?,
            retirements: notes,
            record_names: names,
            newest_record: newest,
            last_import: None,
            newest: None,
        };
        let stated = MirrorSummary::read(layout)?.and_then(|summary| summary.newest_record);
        if let Some(ChainFault { record, kind }) = chain::read_faults(layout, stated.as_ref())?.into_iter().next() {
            return Err(Error::Untrusted { path: layout.ledger().join(record), fault: kind });
        }
        let mut newest_of: BTreeMap<String, Contenders> = BTreeMap::new();
        let mut known = KnownBundles::default();
        let read = |name: &String, _: &mut [u8]| ledger::read_checked_header(layout, name);
        let in_parts = lineages.record_names.chunks(RECORDS_AT_ONCE);
        let headers = in_parts.flat_map(|names| names.iter().zip(parallel::map(names, parallel::thread_count(), read)));
        for (name, header) in headers {
            let (header, sha256) = header?.ok_or_else(|| altered(layout, name))?;
            lineages.newest = Some(RecordRef { record: name.clone(), sha256 });
            let tip = header.tip(name);
            if tip.id != REBUILT_LINEAGE {
                lineages.last_import = Some(header.imported_at.clone());
            }
            let counting = known.add(tip, header.bundle.kind, &lineages.retirements);
            let Some(CountingBundle { tip, is_recorded, remaining }) = counting else { continue };
            let Contenders { tips: heads, file_and_time: about } = newest_of.entry(tip.id.clone()).or_default();
            if let Some(remaining) = remaining {
                *heads = remaining;
            }
            lineages::add_contender(heads, tip, is_recorded);
            about.insert(name.clone(), [header.file, header.imported_at]);
        }
        for (id, Contenders { tips: mut also, file_and_time: mut about }) in newest_of {
            lineages::sort_contenders(&mut also);
            let candidate = |tip: &LineageTip| {
                let [file, imported_at] = about.remove(&tip.record).unwrap_or_default();
                let (bundle, created) = (tip.bundle.clone(), tip.created.clone());
                Candidate { sequence: tip.sequence, bundle, file, created, imported_at }
            };
            let candidates: Vec<Candidate> = also.iter().map(candidate).collect();
            if let (Some(newest), Some(Candidate { file, imported_at, .. })) = (also.pop(), candidates.last().cloned())
            {
                let state = LineageState { newest, file, imported_at, contenders: also, candidates };
                lineages.by_id.insert(id, state);
            }
        }
        Ok(lineages)
    }

    /// The lineages and `manifest.json`, which names no record that the ledger lacks: such a record might be the newest of
    /// its lineage.
    pub(super) fn read_complete(layout: &Layout) -> Result<(Lineages, Option<MirrorSummary>), Error> {
        if let Some(loss) = SummaryLoss::find(layout)? {
            return Err(loss.into());
        }
        let lineages = Lineages::read(layout)?;
        let summary = MirrorSummary::read(layout)?;
        let is_lost = |lineage: &&LineageTip| !lineages.record_names.contains(&lineage.record);
        match summary.as_ref().and_then(|summary| summary.all_contenders().find(is_lost)) {
            Some(LineageTip { record, .. }) => Err(Error::LostRecord { record: record.clone() }),
            // A record that is counted and not named may have been the newest of its lineage.
            None => match summary::count_lost_records(layout)? {
                0 => Ok((lineages, summary)),
                count => Err(Error::LostRecords { count }),
            },
        }
    }

    /// Adds the files of a lineage's newest bundle to `keys`, and counts its crates and dist files. Also adds the files
    /// of other bundles that may be the newest.
    pub(super) fn add_referenced(
        reader: &mut Reader,
        feed: &LineageState,
        keys: &mut KeepSet,
    ) -> Result<[u64; 2], Error> {
        for other in &feed.contenders {
            Lineages::add_record(reader, &other.record, keys)?;
        }
        Lineages::add_record(reader, &feed.newest.record, keys)
    }

    pub(super) fn add_record(reader: &mut Reader, name: &str, keys: &mut KeepSet) -> Result<[u64; 2], Error> {
        let (header, text) = read_contents(reader.layout(), name)?;
        let Some(snapshot) = header.snapshot_id else {
            let record: RecordContents = parse_contents(reader.layout(), name, &text)?;
            keys.add(&record);
            return Ok([record.crates.len() as u64, record.artifacts.len() as u64]);
        };
        // Its tables are in the record of the snapshot.
        let Some(Record { manifest, .. }) = reader.read(name)? else {
            return Err(Error::LostRecord { record: snapshot });
        };
        items_of(&manifest).for_each(|item| keys.add_item(&item));
        Ok([manifest.crates.len() as u64, manifest.dist_files.len() as u64])
    }

    /// Removes from `keys` all files that any record names; no bundle brought the rest. Reads the newest records first,
    /// and stops as soon as possible.
    pub(super) fn unrecognized(&self, layout: &Layout, keys: KeepSet) -> Result<KeepSet, Error> {
        self.remove_recorded(layout, keys, |_| true)
    }

    /// The first of `keys` that no bundle on record names, and the number of all of them; `None` if bundles name all. A record
    /// that a rebuild wrote is of no bundle.
    pub(super) fn find_unnamed(&self, layout: &Layout, keys: KeepSet) -> Result<Option<(String, usize)>, Error> {
        let is_of_bundle =
            |name: &str| ledger::bundle_of_record(name).is_some_and(|bundle| !bundle.ends_with(REBUILT_END));
        let left = self.remove_recorded(layout, keys, is_of_bundle)?;
        Ok(left.files.iter().min().map(|first| (first.to_string(), left.files.len())))
    }

    /// Removes from `keys` what the records for which `is_counted` returns true name.
    fn remove_recorded(
        &self,
        layout: &Layout,
        mut keys: KeepSet,
        is_counted: impl Fn(&str) -> bool,
    ) -> Result<KeepSet, Error> {
        for name in self.record_names.iter().rev().filter(|name| is_counted(name)) {
            if keys.files.is_empty() && keys.lines.is_empty() {
                break;
            }
            let (header, text) = read_contents(layout, name)?;
            // The record of a snapshot names the files of all its histories.
            if !header.is_of_snapshot() {
                keys.remove(&parse_contents(layout, name, &text)?);
            }
        }
        Ok(keys)
    }
}

/// What a record states of its bundle, and the text of the bundle's manifest.
fn read_contents(layout: &Layout, name: &str) -> Result<(RecordHeader, Vec<u8>), Error> {
    let mut file = RecordFile::open(layout, name)?.ok_or_else(|| altered(layout, name))?;
    let text = file.read_manifest()?.ok_or_else(|| altered(layout, name))?;
    Ok((file.header, text))
}

fn altered(layout: &Layout, name: &str) -> Error {
    Error::Untrusted { path: layout.ledger().join(name), fault: ChainFaultKind::Altered }
}

fn parse_contents<'a>(layout: &Layout, name: &str, text: &'a [u8]) -> Result<RecordContents<'a>, Error> {
    serde_json::from_slice(text).map_err(|source| Error::Record { path: layout.ledger().join(name), source })
}
