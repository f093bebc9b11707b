//! The stored content that rejected bundles state, and what a collection reset or removed because of them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jiff::Timestamp;

use super::error::Error;
use super::needed_files::{KeepSet, LineageState, Lineages};
use crate::bundle::format::{BundleKind, CrateState, DistFileState, Manifest};
use crate::crate_id::{CrateId, Version};
use crate::digest::Sha256;
use crate::index_line::IndexLine;
use crate::mirror::disk;
use crate::mirror::dist_files::{DistFile, DistFiles};
use crate::mirror::index_meta::{self, IndexLineMeta, REVOKED};
use crate::mirror::item::{ItemId, items_of};
use crate::mirror::layout::Layout;
use crate::mirror::ledger::lost_records::Unrestored;
use crate::mirror::ledger::{self, Reader};
use crate::mirror::lineages::REBUILT_LINEAGE;
use crate::mirror::live::LiveLineage;
use crate::mirror::lost_items::find_missing_items;
use crate::mirror::pending_lines::PendingLines;
use crate::mirror::retired::{self, Retirement, Scope};
use crate::mirror::transaction;
use crate::safe_path::SafePath;

/// Stored content that a rejected bundle stated.
#[derive(Default)]
pub(super) struct Candidates {
    pub(super) lines: BTreeMap<CrateId, StoredLine>,
    pub(super) crates: BTreeMap<CrateId, Sha256>,
    /// Whether a rejected bundle stated the recorded time too.
    pub(super) dist_files: BTreeMap<SafePath, (DistFile, bool)>,
    pub(super) waiting: BTreeMap<CrateId, Timestamp>,
    /// Crates without a line, stored or waiting, that a rejected bundle refreshed. An earlier run may have dropped its waiting line.
    pub(super) dropped: BTreeSet<CrateId>,
    /// Needed lines that an earlier run reset, with their checksums.
    pub(super) reset: BTreeMap<CrateId, Sha256>,
    /// Needed files and crates with lines that the mirror had and lacks, with their digests.
    pub(super) lost: BTreeMap<ItemId, Sha256>,
    /// The files that a rejected bundle brought, with the number of the first such record.
    pub(super) brought: HashMap<ItemId, u64>,
    /// Whether bundles of lost records are missing, which may have brought the same files before.
    pub(super) has_unrestored: bool,
    /// The rejected snapshots on record.
    pub(super) snapshots: Vec<RejectedSnapshot>,
}

/// A rejected snapshot on record.
pub(super) struct RejectedSnapshot {
    pub(super) id: String,
    pub(super) file: String,
    /// The number of its own record, which follows those of its histories.
    pub(super) number: u64,
    /// Everything that it states.
    pub(super) items: Vec<ItemId>,
}

/// A stored line whose time a rejected bundle stated.
pub(super) struct StoredLine {
    /// The checksum that it states.
    pub(super) sha256: Sha256,
    pub(super) read_at: Timestamp,
    /// Whether a bundle stated another line with this time.
    pub(super) has_rival: bool,
}

impl Candidates {
    pub(super) fn is_empty(&self) -> bool {
        let Candidates { lines, crates, dist_files, waiting, dropped, reset, lost, .. } = self;
        lines.is_empty()
            && crates.is_empty()
            && dist_files.is_empty()
            && waiting.is_empty()
            && dropped.is_empty()
            && reset.is_empty()
            && lost.is_empty()
    }

    /// Compares what the rejected records state with the stored content.
    pub(super) fn find(
        layout: &Layout,
        lineages: &Lineages,
        live: &LiveLineage,
        needed: &mut KeepSet,
    ) -> Result<Candidates, Error> {
        let mut candidates = Candidates::default();
        let notes = &lineages.retirements;
        if notes.iter().all(|note| matches!(note.scope, Scope::All | Scope::AllBut(_))) {
            return Ok(candidates);
        }
        // A confirmed run settled the losses before it.
        let lost = Unrestored::read(layout, retired::last_retirement(notes, REBUILT_LINEAGE), notes)?;
        candidates.has_unrestored = !lost.is_empty() || lost.is_incomplete;
        let (recorded, pending) = (DistFiles::read(layout)?.unwrap_or_default(), PendingLines::read(layout)?);
        let mut reader = Reader::new(layout);
        for (name, number) in numbered(&lineages.record_names) {
            if !may_be_rejected(notes, number) {
                continue;
            }
            let Some(record) = reader.read(name)? else { continue };
            if retired::is_rejected(notes, number, &record.manifest.lineage.id) {
                candidates.add_crates(layout, &record.manifest, number, &pending)?;
                candidates.add_dist_files(&record.manifest, number, &recorded);
                if record.manifest.kind == BundleKind::Snapshot && record.snapshot_id.is_none() {
                    let (id, file) = (record.manifest.id.clone(), record.file);
                    let items = items_of(&record.manifest).collect();
                    candidates.snapshots.push(RejectedSnapshot { id, file, number, items });
                }
            }
        }
        candidates.add_line_records(layout, lineages, live, needed)?;
        candidates.add_lost(layout, lineages, needed, &recorded)?;
        Ok(candidates)
    }

    /// Adds the needed lines that an earlier run reset, whatever bundle stated them: its record may be lost by now. If this run, or
    /// the one before it, rejects a bundle whose record is lost, also adds the lines whose time no bundle on record and not
    /// live mode states.
    fn add_line_records(
        &mut self,
        layout: &Layout,
        lineages: &Lineages,
        live: &LiveLineage,
        needed: &mut KeepSet,
    ) -> Result<(), Error> {
        let has_lost = has_lost_rejection(lineages);
        let revoked = REVOKED.to_string();
        let mut unexplained: HashMap<(String, Version), IndexLineMeta> = HashMap::new();
        for path in disk::index_files(layout)? {
            let text = disk::read_text(&layout.index_meta().join(&path))?.unwrap_or_default();
            if !has_lost && !text.contains(&revoked) {
                continue;
            }
            for record in current_records(&text) {
                if !needed.has_line(&path, &record.version.to_string()) {
                    continue;
                }
                if record.read_at == REVOKED {
                    if let Some(id) = read_line_id(layout, &path, &record.version)? {
                        self.reset.insert(id, record.cksum);
                    }
                } else if has_lost && record.read_at > REVOKED {
                    unexplained.insert((path.clone(), record.version.clone()), record);
                }
            }
        }
        if unexplained.is_empty() {
            return Ok(());
        }
        let mut explain = |id: &CrateId, read_at: Timestamp| {
            let key = (id.name.index_path(), id.version.clone());
            if unexplained.get(&key).is_some_and(|record| record.read_at == read_at) {
                unexplained.remove(&key);
            }
        };
        let mut reader = Reader::new(layout);
        for name in &lineages.record_names {
            let Some(record) = reader.read(name)? else { continue };
            if record.manifest.lineage.id != REBUILT_LINEAGE {
                let lines = named_crates(&record.manifest).filter(|one| one.has_line);
                lines.for_each(|one| explain(&one.id, one.read_at));
            }
        }
        live.current().for_each(|one| one.item.crate_id().into_iter().for_each(|id| explain(id, one.read_at)));
        for ((path, version), record) in unexplained {
            if let Some(id) = read_line_id(layout, &path, &version)? {
                let line = StoredLine { sha256: record.cksum, read_at: record.read_at, has_rival: false };
                self.lines.entry(id).or_insert(line);
            }
        }
        Ok(())
    }

    /// Adds the crates of the record `number`.
    fn add_crates(
        &mut self,
        layout: &Layout,
        manifest: &Manifest,
        number: u64,
        pending: &PendingLines,
    ) -> Result<(), Error> {
        let named = named_crates(manifest).filter(|named| named.has_line);
        for Named { id, sha256, read_at, has_file, is_index_only, is_refreshed, .. } in named {
            // The record of the current line has the latest time, and others are of replaced lines.
            let records = read_line_records(layout, &id)?;
            let current = records.iter().map(|record| record.read_at).max();
            let mut of_crate = records.iter().filter(|record| record.cksum == sha256).peekable();
            let is_lone_line = || is_index_only && layout.crate_file(&id).symlink_metadata().is_err();
            let is_brought = has_file || is_lone_line();
            if of_crate.peek().is_some() && !is_refreshed && is_brought {
                self.crates.insert(id.clone(), sha256);
                self.add_brought(ItemId::Crate(id.clone()), number);
            }
            if current == Some(read_at) && of_crate.any(|record| record.read_at == read_at) {
                let same_time = records.iter().filter(|record| record.read_at == read_at);
                let digests: BTreeSet<Sha256> = same_time.map(|record| record.line_sha256).collect();
                self.lines.insert(id.clone(), StoredLine { sha256, read_at, has_rival: digests.len() > 1 });
            }
            match pending.get(&id) {
                _ if !is_refreshed => {}
                Some((waiting, _)) if waiting == read_at => drop(self.waiting.insert(id, read_at)),
                None if current.is_none() => drop(self.dropped.insert(id)),
                Some(_) | None => {}
            }
        }
        Ok(())
    }

    /// Adds what the lineages need and the mirror lacks. A crate without a file may be index-only.
    fn add_lost(
        &mut self,
        layout: &Layout,
        lineages: &Lineages,
        needed: &KeepSet,
        recorded: &DistFiles,
    ) -> Result<(), Error> {
        let is_listed = |id: &CrateId| {
            Ok(layout.crate_file(id).symlink_metadata().is_ok() || !read_line_records(layout, id)?.is_empty())
        };
        let records = lineages.by_id.values().flat_map(LineageState::records);
        let missing = find_missing_items(layout, records, &is_listed, Some(recorded))?;
        let lost = missing.lost.into_iter().filter(|lost| needed.has_file(&lost.item.key()));
        self.lost = lost.map(|lost| (lost.item, lost.sha256)).collect();
        Ok(())
    }

    /// Adds the dist files of the record `number`.
    fn add_dist_files(&mut self, manifest: &Manifest, number: u64, recorded: &DistFiles) {
        for stated in manifest.dist_files.iter().filter(|one| one.state != DistFileState::Kept) {
            let Some(file) = recorded.0.get(&stated.path).filter(|file| file.sha256 == stated.sha256) else { continue };
            let (_, has_time) = self.dist_files.entry(stated.path.clone()).or_insert((*file, false));
            *has_time |= parse_time(manifest.dist_file_read_at(stated)) == file.read_at;
            if stated.state == DistFileState::Shipped {
                self.add_brought(ItemId::DistFile(stated.path.clone()), number);
            }
        }
    }

    fn add_brought(&mut self, item: ItemId, number: u64) {
        let first = self.brought.entry(item).or_insert(number);
        *first = number.min(*first);
    }

    /// Whether the record `number` of a rebuild shows that the mirror had the file before rejected bundles brought it.
    pub(super) fn is_later_than(&self, number: u64, item: &ItemId) -> bool {
        self.brought.get(item).is_none_or(|first| number < *first)
    }

    pub(super) fn has(&self, item: &ItemId) -> bool {
        match item {
            ItemId::Crate(id) => {
                self.crates.contains_key(id)
                    || self.lines.contains_key(id)
                    || self.waiting.contains_key(id)
                    || self.dropped.contains(id)
                    || self.reset.contains_key(id)
                    || self.lost.contains_key(item)
            }
            ItemId::DistFile(path) => self.dist_files.contains_key(path) || self.lost.contains_key(item),
        }
    }
}

/// The records with their numbers.
fn numbered(names: &[String]) -> impl Iterator<Item = (&String, u64)> {
    names.iter().filter_map(|name| Some((name, ledger::record_number(name)?)))
}

/// Whether a note names the record of this number as rejected, of any lineage.
fn may_be_rejected(notes: &[Retirement], number: u64) -> bool {
    notes.iter().any(|note| match note.scope {
        Scope::Only(rejected) | Scope::Unconnected { rejected, .. } => rejected == number,
        Scope::All | Scope::AllBut(_) | Scope::Dropped { .. } => false,
    })
}

/// Whether a bundle whose record is lost was rejected, and nothing was imported since.
fn has_lost_rejection(lineages: &Lineages) -> bool {
    let recorded: HashSet<u64> = numbered(&lineages.record_names).map(|(_, number)| number).collect();
    lineages.retirements.iter().any(|note| {
        matches!(note.scope, Scope::Only(number) if note.last_record == lineages.newest_record && !recorded.contains(&number))
    })
}

/// The record of each version's current line: that with the latest time. Others are of replaced lines.
fn current_records(text: &str) -> Vec<IndexLineMeta> {
    let mut latest: HashMap<Version, IndexLineMeta> = HashMap::new();
    for record in index_meta::parse(text) {
        if latest.get(&record.version).is_none_or(|known| known.read_at < record.read_at) {
            latest.insert(record.version.clone(), record);
        }
    }
    latest.into_values().collect()
}

/// The crate of the line of this version in the index file at `path`; `None` without such a line.
fn read_line_id(layout: &Layout, path: &str, version: &Version) -> Result<Option<CrateId>, transaction::Error> {
    let text = disk::read_text(&layout.index().join(path))?.unwrap_or_default();
    Ok(IndexLine::parse_file(&text).map(|line| line.id).find(|id| id.version == *version))
}

/// The records of a version's line.
fn read_line_records(layout: &Layout, id: &CrateId) -> Result<Vec<IndexLineMeta>, transaction::Error> {
    let text = disk::read_text(&layout.index_meta_file(&id.name))?.unwrap_or_default();
    let mut records = index_meta::parse(&text);
    records.retain(|record| record.version == id.version);
    Ok(records)
}

/// A crate that a bundle names.
pub(super) struct Named {
    pub(super) id: CrateId,
    pub(super) sha256: Sha256,
    pub(super) read_at: Timestamp,
    pub(super) has_line: bool,
    pub(super) has_file: bool,
    pub(super) is_index_only: bool,
    pub(super) is_refreshed: bool,
}

pub(super) fn named_crates(manifest: &Manifest) -> impl Iterator<Item = Named> {
    let crates = manifest.crates.iter().map(|one| Named {
        id: one.id(),
        sha256: one.sha256,
        read_at: parse_time(manifest.line_read_at(one)),
        has_line: one.state != CrateState::Kept,
        has_file: one.state == CrateState::Shipped,
        is_index_only: one.state == CrateState::IndexOnly,
        is_refreshed: false,
    });
    let refreshed = manifest.refreshed_crates.iter().map(|one| Named {
        id: one.id(),
        sha256: one.sha256,
        read_at: parse_time(&manifest.index_read),
        has_line: true,
        has_file: false,
        is_index_only: false,
        is_refreshed: true,
    });
    crates.chain(refreshed)
}

/// A time in a record. The import of the bundle checked it.
pub(super) fn parse_time(text: &str) -> Timestamp {
    text.parse().unwrap_or(Timestamp::MIN)
}
