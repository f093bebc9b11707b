//! The mirror's growth and its largest crates, for the charts of the dashboard. They are loaded in the background, since a
//! ledger may have gigabytes and crates/ a hundred thousand files. A page shows what is loaded.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::background_loader::BackgroundLoader;
use crate::crate_id::CrateId;
use crate::file_stamp::FileStamp;
use crate::mirror::layout::Layout;
use crate::mirror::ledger::{self, RecordHeader};
use crate::mirror::summary::Counts;
use crate::units::pluralize;

/// Maximum number of records that are read, newest first.
const MAX_POINTS: usize = 200;
/// The number of crates listed by size.
const MAX_LARGEST: usize = 8;
/// Live mode adds files without changing the mirror's summary, so sizes are measured again after this time.
const SIZES_TTL: Duration = Duration::from_secs(600);

/// The mirror's contents after an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GrowthPoint {
    pub(super) imported: Timestamp,
    pub(super) totals: Counts,
}

/// The total size of a crate's versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CrateSize {
    pub(super) name: String,
    pub(super) versions: u64,
    pub(super) bytes: u64,
}

/// The loaded statistics.
#[derive(Clone, Debug, Default)]
pub(super) struct StatisticsSnapshot {
    /// In time order.
    pub(super) points: Vec<GrowthPoint>,
    /// The number of recorded imports without a point.
    pub(super) omitted: usize,
    /// The largest crates, largest first.
    pub(super) largest: Arc<[CrateSize]>,
    /// Whether loading is complete.
    pub(super) is_complete: bool,
    /// Problems of reading, each as a sentence without a full stop.
    pub(super) problems: Vec<String>,
}

/// The loaded data.
#[derive(Clone, Default)]
pub(super) struct Statistics(BackgroundLoader<StatisticsData>);

#[derive(Default)]
struct StatisticsData {
    /// By the record's name; `None` for an unreadable one.
    points: BTreeMap<String, Option<GrowthPoint>>,
    largest: Arc<[CrateSize]>,
    /// Whether the folder of crates could not be read.
    are_sizes_unknown: bool,
    /// The summary's state and the time when the sizes were measured.
    measured: Option<(Option<FileStamp>, Instant)>,
}

impl Statistics {
    /// Returns the statistics after a short wait; the rest loads in the background.
    pub(super) fn snapshot(&self, layout: &Layout) -> StatisticsSnapshot {
        let listed = ledger::record_names(layout).ok();
        let is_listed = listed.is_some();
        let mut names = listed.unwrap_or_default();
        let left_out = names.len().saturating_sub(MAX_POINTS);
        names.drain(..left_out);
        let head = FileStamp::read(&layout.summary()).ok().flatten();
        let is_complete = |data: &StatisticsData| {
            let weighed = data.measured.is_some_and(|(of, at)| of == head && at.elapsed() < SIZES_TTL);
            weighed && names.iter().all(|name| data.points.contains_key(name))
        };
        let (layout, wanted) = (layout.clone(), names.clone());
        let read = move |background: &BackgroundLoader<StatisticsData>| load(background, &layout, &wanted, head);
        let (data, complete) = self.0.load_or_timeout("trend", is_complete, read);
        let mut points: Vec<GrowthPoint> = names.iter().filter_map(|name| *data.points.get(name)?).collect();
        // The clock may have been set back between two imports.
        points.sort_by_key(|point| point.imported);
        let unreadable = names.iter().filter(|name| data.points.get(*name).is_some_and(Option::is_none)).count();
        let mut problems = Vec::new();
        if !is_listed {
            problems.push("the list of the import records could not be read".to_owned());
        }
        if unreadable > 0 {
            problems.push(format!("{} could not be read", pluralize(unreadable, "import record")));
        }
        if data.are_sizes_unknown {
            problems.push("the folder of crates could not be read, so the largest crates are unknown".to_owned());
        }
        let largest = Arc::clone(&data.largest);
        StatisticsSnapshot { points, omitted: left_out, largest, is_complete: complete, problems }
    }
}

/// Reads the records that are not loaded yet, and measures the crates. `head` is the summary's state before that.
fn load(background: &BackgroundLoader<StatisticsData>, layout: &Layout, names: &[String], head: Option<FileStamp>) {
    background.update(|known| known.points.retain(|name, _| names.contains(name)));
    for name in names {
        // A record that could not be read is read again.
        if background.data().points.get(name).is_some_and(Option::is_some) {
            continue;
        }
        let header = ledger::read_header(layout, name).ok().flatten();
        let point = header.as_ref().and_then(GrowthPoint::from_header);
        background.update(|known| known.points.extend([(name.clone(), point)]));
    }
    let largest = largest_crates(layout);
    background.update(|known| {
        known.are_sizes_unknown = largest.is_err();
        known.largest = largest.unwrap_or_default().into();
        known.measured = Some((head, Instant::now()));
    });
}

impl GrowthPoint {
    /// The mirror's size after an import.
    fn from_header(record: &RecordHeader) -> Option<GrowthPoint> {
        Some(GrowthPoint { imported: record.imported_at.parse().ok()?, totals: record.totals.counts })
    }
}

/// The crates with the largest total size.
fn largest_crates(layout: &Layout) -> io::Result<Vec<CrateSize>> {
    let mut sizes: HashMap<String, (u64, u64)> = HashMap::new();
    let entries = match fs::read_dir(layout.crates()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let Some(id) = name.to_str().and_then(CrateId::from_file_name) else { continue };
        let Ok(about) = entry.metadata() else { continue };
        if about.is_file() {
            let (versions, bytes) = sizes.entry(id.name.to_string()).or_default();
            *versions += 1;
            *bytes = bytes.saturating_add(about.len());
        }
    }
    let mut sizes: Vec<CrateSize> =
        sizes.into_iter().map(|(name, (versions, bytes))| CrateSize { name, versions, bytes }).collect();
    sizes.sort_unstable_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
    sizes.truncate(MAX_LARGEST);
    Ok(sizes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::format::{Lineage, Manifest};
    use crate::mirror::ledger::Record;
    use crate::mirror::summary::ImportTotals;

    fn record(imported: &str, bytes: u64) -> Vec<u8> {
        let counts = Counts { bytes, ..Counts::default() };
        let lineage = Lineage { id: "a".to_owned(), sequence: 1, previous: None, inputs: Vec::new() };
        let manifest = Manifest::new(imported.to_owned(), imported.to_owned(), lineage);
        let totals = ImportTotals { counts, imports: 1 };
        Record::new(imported.to_owned(), "x".to_owned(), totals, manifest).render().0
    }

    fn wait_until_complete(trend: &Statistics, layout: &Layout) -> StatisticsSnapshot {
        for _ in 0..100 {
            let seen = trend.snapshot(layout);
            if seen.is_complete {
                return seen;
            }
        }
        panic!("it is never read");
    }

    #[test]
    fn points_come_from_records_and_sizes_from_files() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let (layout, trend) = (Layout::new(folder.path()), Statistics::default());
        assert!(wait_until_complete(&trend, &layout).points.is_empty());
        fs::create_dir_all(layout.ledger()).expect("folder");
        fs::create_dir_all(layout.crates()).expect("folder");
        let name = |number: u32| format!("{number:08}-{number:032x}.json");
        let put = |name: &str, text: &[u8]| fs::write(layout.ledger().join(name), text).expect("write");
        put(&name(1), &record("2026-03-01T00:00:00Z", 10));
        put(&name(2), &record("2026-02-01T00:00:00Z", 20));
        put(&name(3), b"{");
        for (file, bytes) in [("a-b-1.0.0.crate", 5), ("a-b-2.0.0-rc.1.crate", 6), ("big-1.0.0.crate", 50), ("x", 99)] {
            fs::write(layout.crates().join(file), vec![0; bytes]).expect("write");
        }
        fs::write(layout.summary(), "{}").expect("write");
        let seen = wait_until_complete(&trend, &layout);
        let bytes: Vec<u64> = seen.points.iter().map(|point| point.totals.bytes).collect();
        assert_eq!(bytes, [20, 10], "in the order of time");
        assert_eq!(seen.problems, ["1 import record could not be read"]);
        let largest: Vec<_> = seen.largest.iter().map(|one| (one.name.as_str(), one.versions, one.bytes)).collect();
        assert_eq!(largest, [("big", 1, 50), ("a-b", 2, 11)]);
    }
}
