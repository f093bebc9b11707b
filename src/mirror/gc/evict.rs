//! Evicts the least recently used files of live mode when they exceed the size limit.
//!
//! There is no grace period: a request for an evicted file is a cache miss, and live mode fetches the file again. Files
//! that the newest bundle of any lineage names are neither counted nor evicted.

use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;

use super::dropped_records::DroppedRecords;
use super::error::Error;
use super::live_records::LiveChanges;
use super::needed_files::{KeepSet, Lineages};
use super::plan::{FileChanges, Line, Plan, VersionRemoval};
use super::{apply, index_entry};
use crate::event::Sink;
use crate::mirror::dist_files::DistFiles;
use crate::mirror::guard::WriteGuard;
use crate::mirror::item::{StoredItem, total_size};
use crate::mirror::layout::Layout;
use crate::mirror::ledger::{self, Reader};
use crate::mirror::live::{ItemId, LiveLineage, LiveRecord};
use crate::mirror::summary::{Counts, LiveTotals, MirrorSummary};
use crate::mirror::transaction::counts_are_stale;
use crate::safe_path::SafePath;
use crate::toolchain::DistPath;

/// The result of an eviction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EvictionReport {
    /// Evicted crates.
    pub crates: u64,
    /// Evicted dist files.
    pub dist_files: u64,
    /// Total bytes of both.
    pub bytes: u64,
    /// Remaining bytes of live mode's files that no lineage needs.
    pub remaining_bytes: u64,
}

impl WriteGuard {
    /// Evicts the least recently used files of live mode if they exceed `cap` bytes, until at most nine tenths of that
    /// remain. `used` states the last request of a file by its path below the mirror's root
    /// (`crates/NAME-VERSION.crate`, `dist/…`). A file that it does not contain counts as used when it was stored. Of
    /// dist files, only components are evicted.
    ///
    /// # Errors
    /// A record of the ledger cannot be read, which might be the one that needs a crate. Or a file system operation
    /// failed.
    pub fn evict_live(
        &mut self,
        cap: u64,
        used: &BTreeMap<String, Timestamp>,
        now: Timestamp,
        sink: &dyn Sink,
    ) -> Result<EvictionReport, Error> {
        evict(self, cap, used, now, sink)
    }
}

fn evict(
    guard: &WriteGuard,
    cap: u64,
    used: &BTreeMap<String, Timestamp>,
    now: Timestamp,
    sink: &dyn Sink,
) -> Result<EvictionReport, Error> {
    let layout = guard.layout();
    let all = LiveTotals::read(layout)?.bytes;
    if all <= cap {
        return Ok(EvictionReport { remaining_bytes: all, ..EvictionReport::default() });
    }
    let (mut lineages, summary) = Lineages::read_complete(layout)?;
    let lineage = std::mem::take(&mut lineages.live);
    let mut needed = KeepSet::default();
    let mut reader = Reader::new(layout);
    for state in lineages.by_id.values() {
        Lineages::add_referenced(&mut reader, state, &mut needed)?;
    }
    let evictable: Vec<&LiveRecord> = lineage.current().filter(|record| !needed.has_file(&record.item.key())).collect();
    let mut remaining = LiveTotals::sum(evictable.iter().copied()).bytes;
    if remaining <= cap {
        return Ok(EvictionReport { remaining_bytes: remaining, ..EvictionReport::default() });
    }
    // If it is unknown which dist files are stored, none is evicted.
    let dist_files = DistFiles::read(layout)?;
    let is_on_record = |path: &SafePath| dist_files.as_ref().is_some_and(|files| files.0.contains_key(path));
    let is_removable = |record: &&&LiveRecord| match &record.item {
        ItemId::Crate(_) => true,
        ItemId::DistFile(path) => {
            matches!(DistPath::parse(path), Some(DistPath::Component { .. })) && is_on_record(path)
        }
    };
    let mut order: Vec<(Timestamp, &LiveRecord)> = evictable
        .iter()
        .filter(is_removable)
        .map(|record| (used.get(record.item.path().as_str()).copied().unwrap_or(record.stored_at), *record))
        .collect();
    // Among unused files of one batch, the larger is evicted first.
    order.sort_by(|(a, one), (b, other)| (a, other.size, &one.item).cmp(&(b, one.size, &other.item)));
    let target_bytes = cap - cap / 10;
    let mut evicted: Vec<LiveRecord> = Vec::new();
    for (_, record) in order {
        if remaining <= target_bytes {
            break;
        }
        remaining = remaining.saturating_sub(record.size);
        evicted.push(record.clone());
    }
    let plan = plan_eviction(layout, lineage, &evicted, dist_files, summary, now)?;
    let collected = apply::execute(guard, plan, sink)?;
    Ok(EvictionReport {
        crates: collected.crates,
        dist_files: collected.dist_files,
        bytes: collected.bytes,
        remaining_bytes: remaining,
    })
}

fn plan_eviction(
    layout: &Layout,
    lineage: LiveLineage,
    evicted: &[LiveRecord],
    dist_files: Option<DistFiles>,
    summary: Option<MirrorSummary>,
    now: Timestamp,
) -> Result<Plan, Error> {
    let mut places: BTreeMap<String, HashSet<String>> = BTreeMap::new();
    let (mut lines, mut crates, mut components) = (Vec::new(), Vec::new(), Vec::new());
    let mut after = dist_files.clone();
    for record in evicted {
        let about = record.item.path().below(layout.root()).symlink_metadata().ok().filter(|about| about.is_file());
        let item = about.map(|about| StoredItem { id: record.item.clone(), size: about.len() });
        match &record.item {
            ItemId::Crate(id) => {
                places.entry(id.name.index_path()).or_default().insert(id.version.to_string());
                lines.push(Line { name: id.name.as_str().to_lowercase(), version: id.version.to_string() });
                crates.extend(item);
            }
            ItemId::DistFile(path) => {
                if let Some(after) = &mut after {
                    after.0.remove(path);
                }
                components.extend(item);
            }
        }
    }
    let (mut index, mut records) = (Vec::new(), Vec::new());
    let (mut folders, mut names_gone) = (Vec::new(), 0);
    for (place, versions) in places {
        let text = index_entry::read_or_empty(&layout.index().join(&place))?;
        let stays = |line: &[u8]| index_entry::version_of(line).is_none_or(|version| !versions.contains(&*version));
        names_gone += u64::from(!text.is_empty() && !index_entry::nonempty_lines(&text).any(stays));
        for root in [layout.index(), layout.index_meta()] {
            let above = root.join(&place);
            folders.extend(above.ancestors().skip(1).take_while(|folder| *folder != root).map(|one| one.to_owned()));
        }
        let change = |versions: &HashSet<String>| VersionRemoval {
            path: place.clone(),
            versions: versions.clone(),
            reset: HashSet::new(),
        };
        if !text.is_empty() {
            index.push(change(&versions));
        }
        if layout.index_meta().join(&place).exists() {
            records.push(change(&versions));
        }
    }
    let parents =
        components.iter().filter_map(|item: &StoredItem| item.id.file(layout).parent().map(ToOwned::to_owned));
    let mut artifact_folders: Vec<_> = parents.collect();
    for folders in [&mut folders, &mut artifact_folders] {
        // Nested folders come first.
        folders.sort_by(|a, b| b.cmp(a));
        folders.dedup();
    }
    let mut head = match summary.filter(|_| !counts_are_stale(layout)) {
        Some(head) => head,
        None => ledger::derive_summary(layout)?.unwrap_or_default().with_counts(Counts::count_tree(layout)?),
    };
    let mut counts = Counts {
        crates: head.counts.crates.saturating_sub(names_gone),
        versions: head.counts.versions.saturating_sub(crates.len() as u64),
        bytes: head.counts.bytes.saturating_sub(total_size(&crates)),
        ..head.counts
    };
    if let Some(after) = &after {
        (counts.dist_files, counts.dist_file_bytes) = after.count_and_bytes();
        head.toolchains = after.toolchain_names();
    }
    let removals = [crates, components].concat();
    let evicted: HashSet<&ItemId> = evicted.iter().map(|record| &record.item).collect();
    let mut live = LiveChanges::none(lineage);
    live.retire(|item| evicted.contains(item));
    live.drop_deleted(layout, &removals);
    let head = MirrorSummary { live: LiveTotals::sum(live.lineage.current()), ..head.with_counts(counts) };
    Ok(Plan {
        kept_for_lost_records: None,
        rejected: Vec::new(),
        lineages: Vec::new(),
        live: None,
        lines,
        removals,
        pending: Vec::new(),
        unrecognized: Vec::new(),
        reset_lines: Vec::new(),
        to_import: Vec::new(),
        unavailable: Vec::new(),
        counts,
        refusal: None,
        changes: FileChanges {
            index_lines: index,
            index_meta: records,
            folders,
            dist_folders: artifact_folders,
            dist_files: after.filter(|after| dist_files.as_ref() != Some(after)),
            retire: Vec::new(),
            accept: Vec::new(),
            reject: Vec::new(),
            dropped: DroppedRecords::default(),
            live,
            newest_record: 0,
            pending: None,
            pending_lines: None,
            summary: Some(head),
            now,
        },
    })
}
