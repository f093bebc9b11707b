//! Files of live mode in collections, audits and rebuilds; forgetting and evicting them.

use frostmirror::mirror::audit::audit;
use frostmirror::mirror::gc::{self, EvictionReport, LiveSummary, Options};
use frostmirror::mirror::lock::lock_for_collecting;
use frostmirror::mirror::status::Status;
use jiff::Timestamp;

use super::*;
use crate::gc::{collect, collect_at};

fn live_plan_entry(mirror: &Path, forget: &[&str]) -> Option<LiveSummary> {
    let forget = forget.iter().map(|word| (*word).to_owned()).collect();
    let options =
        Options { grace: Duration::ZERO, retire: forget, accept: Vec::new(), reject: Vec::new(), now: test_time(100) };
    gc::preview(&Layout::new(mirror), &options).unwrap().live
}

fn evict(mirror: &Path, cap: u64, used: &[(&str, i64)]) -> EvictionReport {
    let used: BTreeMap<String, Timestamp> =
        used.iter().map(|(path, second)| ((*path).to_owned(), test_time(*second))).collect();
    let mut guard = lock_for_collecting(&Layout::new(mirror), Duration::ZERO, &test_holder(), &NullSink).unwrap();
    guard.evict_live(cap, &used, test_time(200), &NullSink).unwrap()
}

fn problems(mirror: &Path) -> Vec<String> {
    audit(&Layout::new(mirror), &NullSink).unwrap().problems.iter().map(ToString::to_string).collect()
}

fn indexed_crates(mirror: &Path) -> BTreeSet<String> {
    stored_and_indexed_crates(mirror).1
}

fn name_set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn crates_from_live_mode_stay_until_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let mirror = folder.path().join("mirror");
    import_base(folder.path(), &mirror);
    store_crates(&mirror, &[Crate::new("json", "1.0.0"), Crate::new("live", "1.0.0").dep("json", "^1")], 10);
    let bytes = live_metrics(&mirror).bytes;
    let status = Status::read(&Layout::new(&mirror)).unwrap();
    assert_eq!((status.live.crates, status.live.bytes, status.counts.versions), (2, bytes, 3));
    let row = LiveSummary { crates: 2, dist_files: 0, bytes, retired: false };
    assert_eq!(live_plan_entry(&mirror, &[]), Some(row.clone()));
    assert_eq!(collect_at(&mirror, 20, 0).crates, 0);
    assert_eq!(live_plan_entry(&mirror, &["live"]), Some(LiveSummary { retired: true, ..row }));

    // Its line is removed, its crate waits; it is a file of live mode, not an unrecognized one.
    let collected = collect(&mirror, 30, 600, &["live"]).unwrap();
    assert_eq!((collected.lines, collected.crates, collected.pending), (1, 0, 1));
    assert_eq!(indexed_crates(&mirror), name_set(&["json-1.0.0", "serde-1.0.0"]));
    assert_eq!(live_metrics(&mirror), LiveTotals::default());
    assert_eq!(retired_items(&mirror).len(), 2);
    assert_records_agree(&mirror);
    let collected = collect_at(&mirror, 700, 600);
    assert_eq!((collected.crates, collected.pending), (1, 0));
    assert_records_agree(&mirror);
    // What a bundle brought too is still there, and is still known.
    assert_eq!(retired_items(&mirror), ["json 1.0.0"]);
    assert_eq!(live_plan_entry(&mirror, &[]), None);

    // It comes again, and counts again.
    store_crates(&mirror, &[Crate::new("live", "1.0.0").dep("json", "^1")], 800);
    collect_at(&mirror, 900, 0);
    assert!(indexed_crates(&mirror).contains("live-1.0.0"));
    assert_records_agree(&mirror);
}

#[test]
fn gc_works_on_a_mirror_filled_only_by_live_mode() {
    let folder = tempfile::tempdir().unwrap();
    let mirror = folder.path().join("mirror");
    store_crates(&mirror, &[Crate::new("a", "1.0.0")], 1);
    store_dist_files(&mirror, stable_release(&mirror, "2026-04-16", "1.95.0", 1), 1);
    collect_at(&mirror, 2, 0);
    assert_eq!(indexed_crates(&mirror), name_set(&["a-1.0.0"]));
    assert_eq!(toolchains(&mirror), ["stable (2026-04-16)"]);
    assert_records_agree(&mirror);
    collect(&mirror, 3, 0, &["live"]).unwrap();
    assert!(
        public_files(&mirror).keys().all(|path| path.ends_with('/') || path == "crates/index"),
        "{:?}",
        public_files(&mirror)
    );
    assert_eq!(live_lineage(&mirror).retired().count(), 0);
    assert_records_agree(&mirror);
}

#[test]
fn eviction_removes_the_least_recently_used_and_nothing_a_bundle_needs() {
    let folder = tempfile::tempdir().unwrap();
    let mirror = folder.path().join("mirror");
    import_base(folder.path(), &mirror);
    let of = |name: &str| Crate::new(name, "1.0.0").with_extra_bytes(20_000);
    store_crates(&mirror, &[of("old"), of("older")], 10);
    store_crates(&mirror, &[of("new"), Crate::new("serde", "1.0.0").dep("json", "^1")], 20);
    let component = format!("dist/2026-04-16/cargo-1.95.0-{HOST}.tar.xz");
    store_dist_files(&mirror, stable_release(&mirror, "2026-04-16", "1.95.0", 15), 15);
    assert_records_agree(&mirror);
    assert_eq!(evict(&mirror, u64::MAX, &[]).crates, 0);

    let evicted = evict(&mirror, 45_000, &[("crates/older-1.0.0.crate", 50)]);
    assert_eq!((evicted.crates, evicted.dist_files), (2, 1), "{evicted:?}");
    assert!(evicted.remaining_bytes <= 40_500);
    assert!(!mirror.join(&component).exists(), "it was placed before `new` was");
    assert!(!mirror.join("crates/old-1.0.0.crate").exists());
    assert_eq!(indexed_crates(&mirror), name_set(&["json-1.0.0", "older-1.0.0", "serde-1.0.0"]));
    assert_eq!(live_lineage(&mirror).retired().count(), 0);
    assert!(!mirror.join("index/ne").exists(), "no empty folder is left");
    assert_records_agree(&mirror);
    live_metrics(&mirror);

    // Manifests and what a bundle names stay, whatever the limit.
    evict(&mirror, 0, &[]);
    assert_eq!(indexed_crates(&mirror), name_set(&["json-1.0.0", "serde-1.0.0"]));
    assert_eq!(toolchains(&mirror), ["stable (2026-04-16)"]);
    assert!(records(&mirror).contains_key("crates/serde-1.0.0.crate"));
    assert_records_agree(&mirror);
    assert_eq!(collect_at(&mirror, 300, 0).crates, 0);
}

#[test]
fn verify_compares_live_records_with_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let mirror = folder.path().join("mirror");
    store_crates(&mirror, &[Crate::new("a", "1.0.0"), Crate::new("b", "1.0.0")], 1);
    let path = format!("dist/2026-04-16/cargo-1.95.0-{HOST}.tar.xz");
    store_dist_files(&mirror, vec![fetched_dist_file(&mirror, &path, b"cargo", 1)], 1);
    assert_records_agree(&mirror);
    let layout = Layout::new(&mirror);

    // A record without a line, or without a file, is what must be fetched again.
    let line = fs::read(mirror.join("index/1/a")).unwrap();
    let lines = fs::read(layout.index_meta().join("1/a")).unwrap();
    fs::remove_file(mirror.join("index/1/a")).unwrap();
    fs::remove_file(layout.index_meta().join("1/a")).unwrap();
    fs::remove_file(mirror.join("crates/b-1.0.0.crate")).unwrap();
    let found = audit(&layout, &NullSink).unwrap();
    let repairs: Vec<String> = found.repairs.keys().map(ToString::to_string).collect();
    assert_eq!(repairs, ["a 1.0.0", "b 1.0.0"]);
    let problem_text = problems(&mirror).join("\n");
    assert!(
        problem_text.contains("index/1/a: the line of a 1.0.0 is missing, but live mode needs it"),
        "{problem_text}"
    );
    fs::write(mirror.join("index/1/a"), line).unwrap();
    fs::write(layout.index_meta().join("1/a"), lines).unwrap();
    store_crates(&mirror, &[Crate::new("b", "1.0.0")], 2);
    assert_records_agree(&mirror);

    // The audit reports a journal that was left behind, and the next lock removes it.
    fs::write(layout.journal(), "damaged").unwrap();
    let reported = problems(&mirror).join("\n");
    assert!(reported.contains(".frostmirror/journal: a command was killed"), "{reported}");
    drop(adding(&mirror));
    assert_records_agree(&mirror);

    // Invalid numbers and lines are rebuilt, and nothing is lost.
    let mut summary: serde_json::Value = serde_json::from_str(&fs::read_to_string(layout.summary()).unwrap()).unwrap();
    summary["live"]["crates"] = 9.into();
    fs::write(layout.summary(), summary.to_string()).unwrap();
    let text = fs::read_to_string(layout.live_records()).unwrap();
    fs::write(layout.live_records(), text.replacen("\"name\":\"a\"", "\"name\":7", 1)).unwrap();
    let reported = problems(&mirror).join("\n");
    assert!(
        reported.contains("live/records: line 2 is not a valid record")
            && reported.contains("manifest.json: states 9 crates of live mode, but the disk has 1"),
        "{reported}"
    );
    let rebuilt = adding(&mirror).rebuild(test_time(50), &NullSink).unwrap();
    assert_eq!(
        (rebuilt.kept_crates.map(|(count, _)| count), rebuilt.audit.problems.len()),
        (Some(1), 0),
        "{:?}",
        rebuilt.audit.problems
    );
    assert!(rebuilt.live_rewritten && !adding(&mirror).rebuild(test_time(55), &NullSink).unwrap().live_rewritten);
    live_metrics(&mirror);
    collect_at(&mirror, 60, 0);
    assert_eq!(indexed_crates(&mirror), name_set(&["a-1.0.0", "b-1.0.0"]));

    // Without any records the crates are kept as those of lost imports are.
    fs::remove_dir_all(layout.live()).unwrap();
    fs::remove_file(layout.dist_files()).unwrap();
    let rebuilt = adding(&mirror).rebuild(test_time(70), &NullSink).unwrap();
    assert_eq!(rebuilt.kept_crates.map(|(count, _)| count), Some(2));
    collect_at(&mirror, 80, 0);
    assert_eq!(indexed_crates(&mirror), name_set(&["a-1.0.0", "b-1.0.0"]));
}
