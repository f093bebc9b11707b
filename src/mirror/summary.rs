//! `manifest.json`: the counts of a mirror, and the histories that feed it. It is small, for people and for `status`.
//!
//! It is derived: the newest record of the ledger has a copy, and [`Counts::count_tree`] counts the files again.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::{fmt, fs};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::disk;
use super::dist_files::DistFiles;
use super::index_meta;
use super::item::ItemId;
use super::layout::Layout;
use super::ledger::{self, RecordRef, seal};
use super::lineages::{LineageTip, add_contender, doubts, sort_contenders};
use super::live::{LiveLineage, LiveRecord};
use super::pending_deletions;
use super::transaction::{Error, counts_are_stale, failed};
use crate::bundle::format::{
    HISTORY_WEIGHT_PER_ROW, MAX_CARRIED_HISTORIES, MAX_HISTORIES_WEIGHT, Manifest, history_weight,
};
use crate::bundle::sanitize::sanitize_line;
use crate::bundle::sequence::describe_bundle_number;
use crate::crate_id::{CrateId, Version};
use crate::index_line::IndexLine;
use crate::units::{is_zero, pluralize};

/// The version of the summary's format.
const FORMAT_VERSION: u32 = 1;

/// A bundle to import again. It restores what a rejected bundle replaced, or what a collection removed because of that bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BundleToImport {
    /// Its lineage.
    pub lineage: String,
    /// Its number in the lineage; absent for a snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// Its ID.
    pub bundle: String,
    /// The bundle's file.
    pub file: String,
    /// Number of index lines that it restores.
    pub lines: u64,
    /// Number of crates and dist files that it restores.
    pub files: u64,
}

impl fmt::Display for BundleToImport {
    /// Such as `b.pkg (bundle number 2, id 0a1b), which restores 1 index line and 2 files`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (file, id) = (sanitize_line(&self.file), sanitize_line(&self.bundle));
        let what = self.sequence.map_or_else(|| "snapshot".to_owned(), describe_bundle_number);
        let restored = [(self.lines, "index line"), (self.files, "file")];
        let restored: Vec<String> =
            restored.iter().filter(|(count, _)| *count > 0).map(|(count, noun)| pluralize(*count, noun)).collect();
        write!(f, "{file} ({what}, id {id}), which restores {}", restored.join(" and "))
    }
}

/// The summary of a mirror.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MirrorSummary {
    /// The version of this format.
    pub format: u32,
    /// The tool that wrote it.
    pub tool: String,
    /// The content of the mirror.
    #[serde(flatten)]
    pub counts: Counts,
    /// When the newest import was done (RFC 3339, UTC); absent if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_import: Option<String>,
    /// The available toolchains by their usual names: `stable (1.95.0)`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub toolchains: Vec<String>,
    /// The files of live mode.
    #[serde(default, skip_serializing_if = "LiveTotals::is_empty")]
    pub live: LiveTotals,
    /// The number of recorded imports.
    pub imports: u64,
    /// The newest record of the ledger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest_record: Option<RecordRef>,
    /// The histories that feed the mirror, by id.
    pub lineages: Vec<LineageTip>,
    /// Other bundles of these histories that are not certainly older, because no chain leads from them to the newest, by id
    /// and number.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contested: Vec<LineageTip>,
    /// The bundles that the last garbage collection asked to import again, and that were not imported since.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub import_again: Vec<BundleToImport>,
    /// What each of these bundles adds to a snapshot, by its record.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[serde(rename = "sizes")]
    pub history_sizes: BTreeMap<String, HistorySize>,
}

/// The part of the summary that a record contains, as of its import. Records do not repeat the histories, which follow
/// from the records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportTotals {
    /// The content of the mirror.
    #[serde(flatten)]
    pub counts: Counts,
    /// The number of recorded imports.
    pub imports: u64,
}

/// What a history adds to a snapshot's manifest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistorySize {
    /// Its weight, see [`history_weight`].
    pub weight: u64,
    /// Rows of its bundle's tables.
    pub rows: u64,
}

impl HistorySize {
    /// What the bundle with this manifest and file name adds.
    pub(super) fn from_manifest(manifest: &Manifest, file: &str) -> HistorySize {
        let (lineage, rows) = match manifest.carried_histories.as_slice() {
            // The record of a history that a snapshot included.
            [carried] => (&carried.lineage, carried.crates.len() + carried.dist_files.len()),
            _ => (&manifest.lineage, manifest.crates.len() + manifest.dist_files.len()),
        };
        HistorySize { weight: history_weight(lineage, file, rows as u64), rows: rows as u64 }
    }
}

/// Counts of a mirror's files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Counts {
    /// Names in the index.
    pub crates: u64,
    /// `.crate` files.
    pub versions: u64,
    /// Total bytes of all `.crate` files.
    pub bytes: u64,
    /// Dist files: files below dist/ and rustup/.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[serde(rename = "artifacts")]
    pub dist_files: u64,
    /// Total bytes of the dist files.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[serde(rename = "artifact_bytes")]
    pub dist_file_bytes: u64,
}

/// Totals of live mode's records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LiveTotals {
    /// Number of crates.
    pub crates: u64,
    /// Number of dist files.
    #[serde(rename = "artifacts")]
    pub dist_files: u64,
    /// Total bytes of both.
    pub bytes: u64,
}

impl LiveTotals {
    /// The totals of live mode: in constant time, unless `manifest.json` was lost.
    ///
    /// # Errors
    /// A file system operation failed.
    pub fn read(layout: &Layout) -> Result<LiveTotals, Error> {
        match MirrorSummary::read(layout)?.filter(|_| !counts_are_stale(layout)) {
            Some(summary) => Ok(summary.live),
            None => Ok(LiveTotals::sum(LiveLineage::read(layout)?.current())),
        }
    }

    /// The totals of these records.
    pub(super) fn sum<'r>(records: impl IntoIterator<Item = &'r LiveRecord>) -> LiveTotals {
        let mut totals = LiveTotals::default();
        for record in records {
            match record.item {
                ItemId::Crate(_) => totals.crates += 1,
                ItemId::DistFile(_) => totals.dist_files += 1,
            }
            totals.bytes = totals.bytes.saturating_add(record.size);
        }
        totals
    }

    fn is_empty(&self) -> bool {
        *self == LiveTotals::default()
    }
}

impl MirrorSummary {
    /// Reads `manifest.json`; `None` if it does not exist or is not a valid summary.
    pub(super) fn read(layout: &Layout) -> Result<Option<MirrorSummary>, Error> {
        let text = disk::read_if_present(&layout.summary())?;
        let summary = text.and_then(|text| serde_json::from_slice(&text).ok());
        Ok(summary.filter(|summary: &MirrorSummary| summary.format == FORMAT_VERSION))
    }

    /// Whether `manifest.json` has the digest that it states: nothing but this tool has changed it.
    pub(super) fn is_intact(layout: &Layout) -> Result<bool, Error> {
        let text = disk::read_if_present(&layout.summary())?;
        Ok(text.is_some_and(|text| seal::INDENTED.check(&text).is_some()))
    }

    /// This summary with other counts.
    pub(super) fn with_counts(mut self, counts: Counts) -> MirrorSummary {
        self.format = FORMAT_VERSION;
        self.tool = format!("cargo-frostmirror {}", env!("CARGO_PKG_VERSION"));
        self.counts = counts;
        self
    }

    /// This summary with one more record.
    pub(super) fn with_record(mut self, imported: &str) -> MirrorSummary {
        self.last_import = Some(imported.to_owned());
        self.imports = self.imports.saturating_add(1);
        self
    }

    /// Whether a bundle of this lineage is known that is certainly later than this one, see
    /// [`LineageTip::is_certainly_later`].
    pub(super) fn has_newer(&self, lineage: &LineageTip) -> bool {
        self.contenders(&lineage.id).any(|known| known.is_certainly_later(lineage))
    }

    /// Every bundle that may be the newest of its history.
    pub(super) fn all_contenders(&self) -> impl Iterator<Item = &LineageTip> {
        self.lineages.iter().chain(&self.contested)
    }

    /// See [`LineageTip::gap_after`], of the bundle with the record `name`.
    pub(super) fn gap_before(&self, name: &str) -> Option<u64> {
        self.all_contenders().find(|known| known.record == name)?.gap_after
    }

    /// The bundles of this history that may be its newest.
    pub(super) fn contenders<'h>(&'h self, id: &'h str) -> impl Iterator<Item = &'h LineageTip> {
        self.all_contenders().filter(move |known| known.id == id)
    }

    /// This summary after an import of a bundle, which becomes its lineage's newest unless a later one is known.
    /// `is_recorded` is explained at [`add_contender`].
    pub(super) fn with_import(
        self,
        imported: &str,
        lineage: LineageTip,
        is_recorded: bool,
        size: HistorySize,
    ) -> MirrorSummary {
        let mut head = self.with_record(imported);
        head.history_sizes.insert(lineage.record.clone(), size);
        let id = lineage.id.clone();
        let mut contenders: Vec<LineageTip> = head.contenders(&id).cloned().collect();
        add_contender(&mut contenders, lineage, is_recorded);
        head.set_contenders(&id, contenders);
        head
    }

    /// Why this history's newest bundle is uncertain, one sentence each; empty if it is certain.
    pub(super) fn doubts(&self, id: &str) -> Vec<String> {
        let mut contenders: Vec<LineageTip> = self.contenders(id).cloned().collect();
        sort_contenders(&mut contenders);
        doubts(&contenders)
    }

    /// Replaces the bundles that may be a history's newest.
    pub(super) fn set_contenders(&mut self, id: &str, mut contenders: Vec<LineageTip>) {
        sort_contenders(&mut contenders);
        self.lineages.retain(|known| known.id != id);
        self.contested.retain(|known| known.id != id);
        if let Some(newest) = contenders.pop() {
            let at = self.lineages.partition_point(|known| known.id < newest.id);
            self.lineages.insert(at, newest);
            let at = self.contested.partition_point(|known| known.id.as_str() < id);
            self.contested.splice(at..at, contenders);
        }
        let tips = self.lineages.iter().chain(&self.contested);
        let used: HashSet<&str> = tips.map(|known| known.record.as_str()).collect();
        self.history_sizes.retain(|record, _| used.contains(record.as_str()));
    }

    /// Why a snapshot of a mirror with these histories is impossible; `None` if it is possible.
    pub(super) fn too_many_histories(&self) -> Option<&'static str> {
        // Live mode's files are one more history.
        if self.lineages.len() + self.contested.len() >= MAX_CARRIED_HISTORIES {
            return Some("more than 1023 histories, including bundles that may be the newest of their history");
        }
        let weight = self.history_sizes.values().map(|size| size.weight).fold(0, u64::saturating_add);
        let rows = self.history_sizes.values().map(|size| size.rows).max().unwrap_or(0);
        let most = MAX_HISTORIES_WEIGHT.saturating_add(rows.saturating_mul(HISTORY_WEIGHT_PER_ROW));
        (weight > most).then_some("histories whose inputs exceed the total size limit")
    }

    /// The part of this summary that an import's record contains.
    pub(super) fn totals(&self) -> ImportTotals {
        ImportTotals { counts: self.counts, imports: self.imports }
    }

    /// The text of `manifest.json`.
    pub(super) fn render(&self) -> Vec<u8> {
        let (mut text, _) = seal::INDENTED.render(self);
        text.push(b'\n');
        text
    }
}

/// `manifest.json` is missing or damaged beside files that imports brought. It names the newest record, so that record
/// may be lost too, and a summary of the remaining records would hide the loss.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}, so nothing was changed", self.finding())]
pub struct SummaryLoss {
    path: PathBuf,
    /// `missing` or `damaged`.
    state: &'static str,
    /// What shows that there was an import.
    content: &'static str,
}

impl SummaryLoss {
    /// The loss, if a command that changes the mirror must not run before a rebuild. Without the lock, a change that
    /// another process makes meanwhile is no loss.
    ///
    /// # Errors
    /// A file system operation failed.
    pub fn find(layout: &Layout) -> Result<Option<SummaryLoss>, Error> {
        settled(layout, || SummaryLoss::find_now(layout))
    }

    fn find_now(layout: &Layout) -> Result<Option<SummaryLoss>, Error> {
        if MirrorSummary::read(layout)?.is_some() {
            return Ok(None);
        }
        let content = if !ledger::record_names(layout)?.is_empty() {
            Some("records of imports")
        } else if fs::metadata(layout.live_records()).is_ok_and(|about| about.len() > 0) {
            Some("records of live mode")
        } else if fs::read_dir(layout.index_meta()).is_ok_and(|mut entries| entries.next().is_some()) {
            Some("records of index lines")
        } else {
            layout.find_stored_files().map_err(failed("list", layout.root()))?
        };
        let path = layout.summary();
        let state = if path.symlink_metadata().is_ok() { "damaged" } else { "missing" };
        Ok(content.map(|content| SummaryLoss { path, state, content }))
    }

    /// What was found, as two sentences without the last full stop.
    pub fn finding(&self) -> String {
        let SummaryLoss { path, state, content } = self;
        format!(
            "`{}` is {state}, although the mirror has {content}. The newest records may be lost too",
            path.display()
        )
    }
}

/// The number of import records that the ledger lacks, although `summary` counts them. Without the lock, a change that
/// another process makes meanwhile is no loss.
pub(super) fn count_lost_records(layout: &Layout) -> Result<u64, Error> {
    let lost = settled(layout, || {
        let Some(summary) = MirrorSummary::read(layout)? else { return Ok(None) };
        // Read after the summary: an import writes its record first.
        let names = ledger::record_names(layout)?;
        let has_newest = summary.newest_record.is_none_or(|newest| names.contains(&newest.record));
        let missing = summary.imports.saturating_sub(names.len() as u64).max(u64::from(!has_newest));
        Ok((missing > 0).then_some(missing))
    })?;
    Ok(lost.unwrap_or(0))
}

/// What `find` returns while no transaction is in progress; `None` if one is, because the next command that changes the
/// mirror completes it.
fn settled<T>(layout: &Layout, find: impl Fn() -> Result<Option<T>, Error>) -> Result<Option<T>, Error> {
    if find()?.is_none() || layout.journal().exists() {
        return Ok(None);
    }
    // A transaction may have ended between the two readings.
    find()
}

/// The change of a mirror's counts by a staged import.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct CountsDelta {
    /// Names that the index lacked.
    pub(super) crates: u64,
    /// `.crate` files that did not exist.
    pub(super) versions: u64,
    /// Total bytes of the crates to commit.
    pub(super) bytes: u64,
    /// Total bytes of the files that they replace.
    pub(super) bytes_replaced: u64,
}

impl Counts {
    /// The counts after `growth`.
    pub(super) fn with_delta(self, growth: &CountsDelta) -> Counts {
        Counts {
            // A damaged summary may contain any number.
            crates: self.crates.saturating_add(growth.crates),
            versions: self.versions.saturating_add(growth.versions),
            bytes: self.bytes.saturating_add(growth.bytes).saturating_sub(growth.bytes_replaced),
            ..self
        }
    }

    /// Total bytes of crates and dist files.
    pub fn total_bytes(&self) -> u64 {
        self.bytes.saturating_add(self.dist_file_bytes)
    }

    /// Counts the files on disk; only needed if there is no recorded count.
    ///
    /// # Errors
    /// A file system operation failed.
    pub fn count_tree(layout: &Layout) -> Result<Counts, Error> {
        Counts::count_tree_with(layout, &|_| false)
    }

    /// The same. A crate counts if a line or the record of a line names it, if it has a pending removal, or if
    /// `is_imported` says that its line follows. Other files in crates/ are unrecognized.
    pub(super) fn count_tree_with(layout: &Layout, is_imported: &dyn Fn(&CrateId) -> bool) -> Result<Counts, Error> {
        let (artifacts, artifact_bytes) = DistFiles::read(layout)?.unwrap_or_default().count_and_bytes();
        let mut counts = Counts { dist_files: artifacts, dist_file_bytes: artifact_bytes, ..Counts::default() };
        let mut files: BTreeMap<String, Vec<(CrateId, u64)>> = BTreeMap::new();
        for name in disk::crate_files(layout)? {
            let path = layout.crates().join(&name);
            if let Some(id) = CrateId::from_file_name(&name) {
                let size = fs::symlink_metadata(&path).map_err(failed("read", &path))?.len();
                files.entry(id.name.index_path()).or_default().push((id, size));
            }
        }
        let pending = pending_deletions::pending_file_names(layout);
        for (path, crates) in files {
            let lines = disk::read_text(&layout.index().join(&path))?.unwrap_or_default();
            let mut listed: HashSet<Version> = IndexLine::parse_file(&lines).map(|line| line.id.version).collect();
            let records = disk::read_text(&layout.index_meta().join(&path))?.unwrap_or_default();
            listed.extend(index_meta::parse(&records).into_iter().map(|record| record.version));
            for (id, size) in crates {
                if listed.contains(&id.version) || pending.contains(&id.file_name()) || is_imported(&id) {
                    counts.versions += 1;
                    counts.bytes += size;
                }
            }
        }
        counts.crates = disk::index_files(layout)?.iter().filter(|path| disk::is_index_path(path)).count() as u64;
        Ok(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_bundle_of_a_lineage_does_not_become_its_newest() {
        let mut head = MirrorSummary::default();
        for (id, sequence) in [("b", 1), ("a", 2), ("a", 1), ("b", 3)] {
            head = head.with_import(
                "2026-01-01T00:00:00Z",
                LineageTip::for_test(id, sequence),
                false,
                HistorySize::default(),
            );
        }
        let known: Vec<_> = head.lineages.iter().map(|l| (l.id.as_str(), l.sequence)).collect();
        assert_eq!(known, [("a", 2), ("b", 3)]);
        assert_eq!(head.imports, 4);
    }

    #[test]
    fn a_tree_is_counted_without_its_link_and_config() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let layout = Layout::new(folder.path());
        assert_eq!(Counts::count_tree(&layout).expect("counted"), Counts::default());
        fs::create_dir_all(layout.index().join("se/rd")).expect("folder");
        fs::create_dir_all(layout.crates().join("index/se/rd")).expect("folder");
        let line = format!(r#"{{"name":"serde","vers":"1.0.0","deps":[],"cksum":"{:064}","features":{{}}}}"#, 0);
        fs::create_dir_all(layout.index_meta().join("se/rd")).expect("folder");
        let record = format!("1.0.1 2026-01-01T00:00:00Z {0:064} {0:064} held\n", 0);
        fs::write(layout.index_meta().join("se/rd/serde"), record).expect("write");
        for (path, text) in [
            ("index/config.json", "{}"),
            ("index/se/rd/serde", &line),
            ("crates/serde-9.9.9.crate", "unrecognized"),
            ("crates/other-1.0.0.crate", "unrecognized"),
            ("crates/serde-1.0.0.crate", "12345"),
            ("crates/serde-1.0.1.crate", "123"),
            ("crates/index/se/rd/x.crate", "1"),
        ] {
            fs::write(folder.path().join(path), text).expect("write");
        }
        assert_eq!(
            Counts::count_tree(&layout).expect("counted"),
            Counts { crates: 1, versions: 2, bytes: 8, ..Counts::default() }
        );
    }
}
