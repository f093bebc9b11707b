//! `manifest.json`: the counts of a mirror, and the histories that feed it. It is small, for people and for `status`.
//!
//! It is derived: the newest record of the ledger has a copy, and [`Counts::count_tree`] counts the files again.

use std::collections::{BTreeMap, HashSet};
use std::fs;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::disk;
use super::dist_files::DistFiles;
use super::gc;
use super::index_meta;
use super::layout::Layout;
use super::ledger::RecordRef;
use super::transaction::{Error, failed};
use crate::bundle::format::{
    BundleKind, HISTORY_WEIGHT_PER_ROW, MAX_CARRIED_HISTORIES, MAX_HISTORIES_WEIGHT, Manifest, history_weight,
};
use crate::bundle::sanitize::sanitize_line;
use crate::crate_id::{CrateId, Version};
use crate::index_line::IndexLine;

/// The version of the summary's format.
const FORMAT_VERSION: u32 = 1;

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
    /// Other bundles of these histories that are not certainly older according to numbers and times, by id and number.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contested: Vec<LineageTip>,
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
    fn is_empty(&self) -> bool {
        *self == LiveTotals::default()
    }
}

pub(super) fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The newest bundle of one history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LineageTip {
    /// The history.
    pub id: String,
    /// The number of its newest bundle.
    pub sequence: u64,
    /// The bundle.
    pub bundle: String,
    /// When the bundle was written.
    pub created: String,
    /// The name of its record in the ledger.
    pub record: String,
    /// The highest lower number in the mirror when this bundle was imported, if numbers between them were missing. Such
    /// a bundle is uncertain. Nothing is removed because of it until it is accepted, or a bundle with the next or the
    /// previous number is imported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[serde(rename = "jumped_from")]
    pub gap_after: Option<u64>,
    /// The bundle's names of the history's inputs: the first few, each shortened, so that the summary stays small.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    pub inputs: Vec<String>,
    /// The number of further inputs.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(default)]
    pub more_inputs: u64,
}

/// Maximum number of input names of one history in a summary.
const MAX_INPUT_NAMES: usize = 4;

/// Maximum characters of each name.
const MAX_INPUT_NAME: usize = 80;

/// Sequence numbers from here on are times, for histories that do not count their bundles.
pub(super) const FIRST_TIMESTAMP_SEQUENCE: u64 = 1_000_000_000;

impl MirrorSummary {
    /// Reads `manifest.json`; `None` if it does not exist or is not a valid summary.
    pub(super) fn read(layout: &Layout) -> Result<Option<MirrorSummary>, Error> {
        let text = disk::read_if_present(&layout.summary())?;
        let summary = text.and_then(|text| serde_json::from_slice(&text).ok());
        Ok(summary.filter(|summary: &MirrorSummary| summary.format == FORMAT_VERSION))
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

    /// Whether a bundle of this lineage is known that is certainly later than this one.
    pub(super) fn has_newer(&self, lineage: &LineageTip) -> bool {
        let mut undoubted = self.contenders(&lineage.id).filter(|known| known.gap_after.is_none());
        undoubted.any(|known| lineage.is_superseded_by(known))
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
    /// `base_recorded`: see [`ledger::Record::base_recorded`].
    ///
    /// [`ledger::Record::base_recorded`]: super::ledger::Record::base_recorded
    pub(super) fn with_import(
        self,
        imported: &str,
        lineage: LineageTip,
        base_recorded: bool,
        size: HistorySize,
    ) -> MirrorSummary {
        let mut head = self.with_record(imported);
        head.history_sizes.insert(lineage.record.clone(), size);
        let id = lineage.id.clone();
        let mut contenders: Vec<LineageTip> = head.contenders(&id).cloned().collect();
        add_contender(&mut contenders, lineage, base_recorded);
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
        let mut text = serde_json::to_vec_pretty(self).expect("plain fields are JSON");
        text.push(b'\n');
        text
    }
}

/// Adds a bundle to those that may be their history's newest, unless one of them is certainly later. A bundle with a
/// gap before its number does not displace others, see [`LineageTip::gap_after`]. The gap is found, or is the one that
/// the bundle's record states. A base on record explains a gap: its numbers belong to bundles that this one replaces.
pub(super) fn add_contender(contenders: &mut Vec<LineageTip>, mut lineage: LineageTip, base_recorded: bool) {
    let again = contenders.iter().find(|known| (&known.bundle, known.sequence) == (&lineage.bundle, lineage.sequence));
    lineage.gap_after = match again {
        Some(known) => known.gap_after,
        None if base_recorded => None,
        None => find_sequence_gap(contenders, &lineage).or(lineage.gap_after),
    };
    if lineage.gap_after.is_none() {
        let next = lineage.sequence.checked_add(1);
        contenders.iter_mut().filter(|known| Some(known.sequence) == next).for_each(|known| known.gap_after = None);
    }
    // For the same bundle, the later record counts.
    contenders.retain(|known| known.bundle != lineage.bundle);
    contenders.push(lineage);
    let undoubted: Vec<LineageTip> = contenders.iter().filter(|one| one.gap_after.is_none()).cloned().collect();
    contenders.retain(|known| !undoubted.iter().any(|one| one.bundle != known.bundle && known.is_superseded_by(one)));
}

/// The number after which a gap precedes the bundle's number.
fn find_sequence_gap(contenders: &[LineageTip], lineage: &LineageTip) -> Option<u64> {
    let counted = contenders.iter().any(|known| known.sequence < FIRST_TIMESTAMP_SEQUENCE);
    let lower = contenders.iter().map(|known| known.sequence).filter(|number| *number < lineage.sequence);
    lower.max().filter(|before| counted && lineage.sequence - before > 1)
}

/// Why the newest of these sorted bundles of one history is uncertain, one sentence each.
pub(super) fn doubts<'h>(contenders: impl IntoIterator<Item = &'h LineageTip>) -> Vec<String> {
    let mut doubts = Vec::new();
    let mut before: Option<&LineageTip> = None;
    for one in contenders {
        let number = one.sequence;
        match (one.gap_after, before) {
            (Some(from), _) => {
                doubts.push(format!("bundle number {number} was imported when the highest number was {from}"));
            }
            (None, Some(before)) if before.sequence == number => {
                doubts.push(format!("two different bundles have the number {number}"));
            }
            (None, Some(before)) if before.created > one.created => {
                doubts.push(format!("bundle number {} was written after number {number}", before.sequence));
            }
            _ => {}
        }
        before = Some(one);
    }
    doubts
}

/// Sorts bundles of one history; the newest is the last.
pub(super) fn sort_contenders(contenders: &mut [LineageTip]) {
    contenders.sort_by(|a, b| (a.sequence, &a.created, &a.record).cmp(&(b.sequence, &b.created, &b.record)));
}

impl LineageTip {
    /// The bundle with this manifest, whose record is called `record`.
    pub(super) fn from_manifest(manifest: &Manifest, record: String) -> LineageTip {
        let lineage = match manifest.carried_histories.as_slice() {
            // The record of a history that a snapshot included.
            [carried] if manifest.kind != BundleKind::Snapshot => &carried.lineage,
            _ => &manifest.lineage,
        };
        LineageTip {
            id: manifest.lineage.id.clone(),
            sequence: manifest.lineage.sequence,
            bundle: manifest.id.clone(),
            created: manifest.created.clone(),
            record,
            gap_after: None,
            inputs: Vec::new(),
            more_inputs: 0,
        }
        .with_inputs(lineage.inputs.iter().map(|input| input.name.as_str()))
    }

    /// The same with the names of its history's inputs.
    #[must_use]
    pub(super) fn with_inputs<'n>(mut self, names: impl ExactSizeIterator<Item = &'n str>) -> LineageTip {
        self.more_inputs = names.len().saturating_sub(MAX_INPUT_NAMES) as u64;
        self.inputs = names.take(MAX_INPUT_NAMES).map(shortened).collect();
        self
    }

    /// The names of its history's inputs for display, such as `app (Cargo.lock), web (depends.toml) and 2 more`; `None`
    /// if unknown.
    pub fn input_names(&self) -> Option<String> {
        if self.inputs.is_empty() {
            return None;
        }
        let names = self.inputs.iter().map(|name| sanitize_line(name)).collect::<Vec<_>>().join(", ");
        Some(if self.more_inputs > 0 { format!("{names} and {} more", self.more_inputs) } else { names })
    }

    /// The history's id with the names of its inputs in parentheses, if known.
    pub fn id_and_inputs(&self) -> String {
        let names = self.input_names().map(|names| format!(" ({names})")).unwrap_or_default();
        format!("{}{names}", sanitize_line(&self.id))
    }

    /// Whether `other` is certainly later than this bundle: it has the higher number, and was not written before. A
    /// history restored from a backup assigns some numbers twice. Then neither number nor time shows which bundle is
    /// right. The same happens after a clock was set back. The files of both are kept.
    ///
    /// For the same bundle, the later record counts: its own record replaces a snapshot's statement about it.
    pub(super) fn is_superseded_by(&self, other: &LineageTip) -> bool {
        self.bundle == other.bundle || self.sequence < other.sequence && self.created <= other.created
    }
}

fn shortened(name: &str) -> String {
    match name.char_indices().nth(MAX_INPUT_NAME) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
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
        let pending = gc::pending_file_names(layout);
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
        counts.crates = disk::index_files(layout)?.len() as u64;
        Ok(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lineage(id: &str, sequence: u64) -> LineageTip {
        LineageTip {
            id: id.to_owned(),
            sequence,
            bundle: format!("{id}{sequence}"),
            created: String::new(),
            record: String::new(),
            gap_after: None,
            inputs: Vec::new(),
            more_inputs: 0,
        }
    }

    #[test]
    fn a_head_keeps_few_and_short_names_of_inputs() {
        let none = lineage("a", 1);
        assert_eq!(none.input_names(), None);
        let two = none.clone().with_inputs(["app (Cargo.lock)", "w\u{1b}eb"].into_iter());
        assert_eq!((two.input_names().as_deref(), two.more_inputs), (Some("app (Cargo.lock), w\u{fffd}eb"), 0));
        let long = "é".repeat(5000);
        let names: Vec<&str> = std::iter::repeat_n(long.as_str(), 4096).collect();
        let many = none.with_inputs(names.into_iter());
        assert_eq!((many.inputs.len(), many.inputs[0].chars().count(), many.more_inputs), (4, 81, 4092));
        assert!(many.input_names().is_some_and(|names| names.ends_with("… and 4092 more")));
    }

    /// The remaining contenders of bundles imported in this order: their numbers, and the number before a gap.
    fn contenders(numbers: &[u64]) -> Vec<(u64, Option<u64>)> {
        let mut contenders = Vec::new();
        numbers.iter().for_each(|number| add_contender(&mut contenders, lineage("a", *number), false));
        sort_contenders(&mut contenders);
        contenders.iter().map(|one| (one.sequence, one.gap_after)).collect()
    }

    #[test]
    fn a_bundle_after_a_sequence_gap_supersedes_nothing() {
        assert_eq!(contenders(&[1, 2, 3]), [(3, None)]);
        assert_eq!(contenders(&[5, 3]), [(5, None)], "an older bundle that was imported later");
        assert_eq!(contenders(&[1, 3]), [(1, None), (3, Some(1))]);
        assert_eq!(contenders(&[1, 3, 3]), [(1, None), (3, Some(1))], "the same bundle again");
        assert_eq!(contenders(&[1, 3, 5]), [(1, None), (3, Some(1)), (5, Some(3))]);
        assert_eq!(contenders(&[1, 3, 4]), [(4, None)], "the next number resolves the gap");
        assert_eq!(contenders(&[1, 3, 2]), [(3, None)], "the missing bundle was imported");
        assert_eq!(contenders(&[1, 1000, 2]), [(2, None), (1000, Some(1))]);
        assert_eq!(contenders(&[1, 1000, 998]), [(1, None), (998, Some(1)), (1000, Some(1))]);
        let (time, later) = (FIRST_TIMESTAMP_SEQUENCE + 5, FIRST_TIMESTAMP_SEQUENCE + 500);
        assert_eq!(contenders(&[time, later]), [(later, None)], "sequence numbers that are times have no gaps");
        assert_eq!(contenders(&[1, time, later]), [(1, None), (time, Some(1)), (later, Some(time))]);
    }

    #[test]
    fn an_older_bundle_of_a_lineage_does_not_become_its_newest() {
        let mut head = MirrorSummary::default();
        for (id, sequence) in [("b", 1), ("a", 2), ("a", 1), ("b", 3)] {
            head = head.with_import("2026-01-01T00:00:00Z", lineage(id, sequence), false, HistorySize::default());
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
