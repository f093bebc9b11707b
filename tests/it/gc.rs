//! Collection: what goes, what stays, and in which order.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

use frostmirror::event::NullSink;
use frostmirror::mirror::audit::audit;
use frostmirror::mirror::gc::{Error, GcReport, Options};
use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::ledger::Record;
use frostmirror::mirror::lineages::LineageTip;
use frostmirror::mirror::lock::lock_for_collecting;
use frostmirror::mirror::summary::{Counts, MirrorSummary};
use frostmirror::mirror::{index_meta, ledger, retired};

use crate::bundle_builder::{all_files, assert_consistent, test_holder, test_time};

mod accepted_chains;
mod dist_files;
mod concurrent_builds;
pub mod sequence_jumps;
mod doubtful_imports;
mod dropped_snapshots;
mod rebuilt_lineage;
mod rejected_content;
mod removed_for_false_bundles;
mod synthetic;
mod projects;
mod random;
mod random_forgeries;
mod grace_period;
mod lost_false_bundles;
mod unknown_lineages;

/// Collects at that second.
pub fn collect_at(mirror: &Path, second: i64, grace: u64) -> GcReport {
    collect(mirror, second, grace, &[]).unwrap()
}

pub fn collect(mirror: &Path, second: i64, grace: u64, forget: &[&str]) -> Result<GcReport, Error> {
    let forget = forget.iter().map(|word| (*word).to_owned()).collect();
    let options = Options {
        grace: Duration::from_secs(grace),
        retire: forget,
        accept: Vec::new(),
        reject: Vec::new(),
        now: test_time(second),
    };
    let mut guard = lock_for_collecting(&Layout::new(mirror), Duration::ZERO, &test_holder(), &NullSink).unwrap();
    guard.plan(&options)?.execute(&NullSink)
}

/// The crates whose files are there, and those that the index lists, both as `NAME-VERSION`.
pub fn stored_and_indexed_crates(mirror: &Path) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut files, mut listed) = (BTreeSet::new(), BTreeSet::new());
    for (path, text) in all_files(mirror) {
        if let Some(name) = path.strip_prefix("crates/").and_then(|name| name.strip_suffix(".crate")) {
            files.insert(name.to_owned());
        } else if path.starts_with("index/") && !path.ends_with('/') && path != "index/config.json" {
            for line in String::from_utf8(text).unwrap().lines() {
                let line: serde_json::Value = serde_json::from_str(line).unwrap();
                listed.insert(format!("{}-{}", line["name"].as_str().unwrap(), line["vers"].as_str().unwrap()));
            }
        }
    }
    (files, listed)
}

/// The file of the head says what the ledger says: how many imports there were, and which bundle of each lineage is the
/// newest. Rejected bundles do not count.
fn assert_summary_matches_ledger(layout: &Layout, head: &MirrorSummary) {
    let written: MirrorSummary = serde_json::from_slice(&fs::read(layout.summary()).unwrap()).unwrap();
    assert_eq!(written, *head, "the file of the head is not the newest");
    let names = ledger::record_names(layout).unwrap();
    assert_eq!(head.imports, names.len() as u64);
    let notes = retired::read_retirements(layout).unwrap();
    let mut newest: BTreeMap<String, u64> = BTreeMap::new();
    for (n, name) in names.iter().enumerate() {
        let Record { manifest, .. } = ledger::read_record(layout, name).unwrap().unwrap();
        assert_eq!(*name, format!("{:08}-{}.json", n + 1, manifest.id));
        if retired::is_rejected(&notes, n as u64 + 1, &manifest.lineage.id) {
            continue;
        }
        let known = newest.entry(manifest.lineage.id).or_default();
        *known = manifest.lineage.sequence.max(*known);
    }
    for LineageTip { id, sequence, bundle, record, .. } in &head.lineages {
        let Record { manifest, .. } = ledger::read_record(layout, record).unwrap().unwrap();
        assert_eq!((&manifest.lineage.id, manifest.lineage.sequence, &manifest.id), (id, *sequence, bundle));
        assert_eq!(newest[id], *sequence, "{record} is not the newest of its lineage");
    }
}

/// Index, blobs, the records of lines, the ledger and the head agree, nothing is left over that belongs to nothing, and
/// the audit finds nothing either.
pub fn assert_records_agree(mirror: &Path) {
    assert_consistent(mirror);
    let layout = Layout::new(mirror);
    let tree = all_files(mirror);
    if let Some(head) = ledger::read_summary(&layout).unwrap() {
        assert_eq!(head.counts, Counts::count_tree(&layout).unwrap());
        assert_summary_matches_ledger(&layout, &head);
        let audit = audit(&layout, &NullSink).unwrap();
        let found: Vec<String> = audit.problems.iter().map(ToString::to_string).collect();
        assert!(found.is_empty(), "the audit finds {found:#?}");
    }
    for path in tree.keys() {
        if let Some(folder) =
            path.strip_suffix('/').filter(|folder| folder.contains("index/") || folder.contains("lines/"))
        {
            assert!(tree.keys().any(|other| other.starts_with(path.as_str()) && other != path), "{folder} is empty");
        }
        if let Some(place) = path.strip_prefix(".frostmirror/lines/").filter(|place| !place.ends_with('/')) {
            let recorded: BTreeSet<_> = index_meta::parse(std::str::from_utf8(&tree[path]).unwrap())
                .into_iter()
                .map(|record| record.version)
                .collect();
            let text = std::str::from_utf8(&tree[&format!("index/{place}")]).unwrap();
            let listed: BTreeSet<_> =
                frostmirror::index_line::IndexLine::parse_file(text).map(|line| line.id.version).collect();
            assert_eq!(recorded, listed, "{place}");
        }
    }
}
