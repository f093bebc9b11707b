//! What live mode brought, in a snapshot: it comes along as a history of its own, and a later one follows it.

use frostmirror::bundle::format::Manifest;
use frostmirror::mirror::lock::lock_for_reading;
use frostmirror::mirror::snapshot::Options;

use super::*;
use crate::gc::{collect, collect_at};

fn export(mirror: &Path, folder: &Path, second: i64) -> (PathBuf, Manifest) {
    let guard = lock_for_reading(&Layout::new(mirror), Duration::ZERO, &test_holder(), &NullSink).unwrap();
    let options = Options { folder: folder.to_owned(), config: Vec::new(), now: test_time(second) };
    let exported = guard.snapshot(options, &NullSink).unwrap();
    (exported.path, exported.manifest)
}

fn newest_sequence(mirror: &Path, id: &str) -> Option<u64> {
    let head = frostmirror::mirror::ledger::read_summary(&Layout::new(mirror)).unwrap().unwrap();
    head.lineages.iter().find(|one| one.id == id).map(|one| one.sequence)
}

#[test]
fn live_crates_are_exported_as_a_history_that_later_snapshots_continue() {
    let folder = tempfile::tempdir().unwrap();
    let (mirror, far) = (folder.path().join("mirror"), folder.path().join("far"));
    import_base(folder.path(), &mirror);
    store_crates(&mirror, &[Crate::new("a", "1.0.0").description("of live mode"), Crate::new("b", "1.0.0")], 10);
    store_dist_files(&mirror, stable_release(&mirror, "2026-04-16", "1.95.0", 10), 10);
    let id = live_lineage(&mirror).id.unwrap();
    let (first, manifest) = export(&mirror, &folder.path().join("one"), 20);
    let carried = manifest.carried_histories.iter().find(|one| one.lineage.id == id).unwrap();
    assert_eq!((carried.crates.len(), carried.dist_files.len()), (2, 5));
    assert_eq!(carried.lineage.inputs[0].name, "live mirror");
    assert_eq!(manifest.lineage.inputs, [], "nothing is left that no history claims");
    let output = manifest.crates.iter().find(|one| one.name.as_str() == "a").unwrap();
    assert_eq!(output.description.as_deref(), Some("of live mode"));

    import(&far, &first).unwrap();
    assert_eq!(public_files(&far), public_files(&mirror));
    assert!(!Layout::new(&far).live_records().exists(), "it is a history there");
    assert_eq!(collect_at(&far, 30, 0).crates, 0);
    assert_eq!(public_files(&far), public_files(&mirror));
    assert_records_agree(&far);
    assert!(import(&far, &first).unwrap().already_imported);

    // Later something is let go here and something came: what goes there is what went here.
    collect(&mirror, 40, 0, &["live"]).unwrap();
    store_crates(&mirror, &[Crate::new("b", "1.0.0"), Crate::new("c", "1.0.0")], 50);
    let (second, _) = export(&mirror, &folder.path().join("two"), 60);
    let before = newest_sequence(&far, &id).unwrap();
    import(&far, &second).unwrap();
    assert!(newest_sequence(&far, &id).unwrap() > before);
    let collected = collect_at(&far, 70, 0);
    assert_eq!(collected.crates, 1);
    assert_eq!(public_files(&far), public_files(&mirror));
    assert_records_agree(&far);

    // The first one again moves nothing back.
    import(&far, &first).unwrap();
    collect_at(&far, 90, 0);
    assert_eq!(stored_and_indexed_crates(&far), stored_and_indexed_crates(&mirror));
}

#[test]
fn importing_the_own_snapshot_keeps_the_same_live_history() {
    let folder = tempfile::tempdir().unwrap();
    let mirror = folder.path().join("mirror");
    store_crates(&mirror, &[Crate::new("a", "1.0.0")], 10);
    let id = live_lineage(&mirror).id.unwrap();
    let (first, _) = export(&mirror, &folder.path().join("one"), 20);
    import(&mirror, &first).unwrap();
    store_crates(&mirror, &[Crate::new("b", "1.0.0")], 30);
    assert_records_agree(&mirror);
    let (second, manifest) = export(&mirror, &folder.path().join("two"), 40);
    let ours: Vec<_> = manifest.carried_histories.iter().filter(|one| one.lineage.id == id).collect();
    assert_eq!((ours.len(), ours[0].crates.len()), (1, 2));
    let far = folder.path().join("far");
    import(&far, &second).unwrap();
    collect_at(&far, 50, 0);
    assert_eq!(public_files(&far), public_files(&mirror));
}

#[test]
fn a_live_history_that_returns_to_an_earlier_state_counts_as_the_newest() {
    let folder = tempfile::tempdir().unwrap();
    let (mirror, far) = (folder.path().join("mirror"), folder.path().join("far"));
    let (a, b) = (Crate::new("a", "1.0.0"), Crate::new("b", "1.0.0"));
    store_crates(&mirror, &[a.clone(), b.clone()], 10);
    let (first, _) = export(&mirror, &folder.path().join("one"), 20);
    collect(&mirror, 30, 0, &["live"]).unwrap();
    store_crates(&mirror, std::slice::from_ref(&a), 40);
    let (second, _) = export(&mirror, &folder.path().join("two"), 50);
    store_crates(&mirror, &[b], 60);
    let (third, _) = export(&mirror, &folder.path().join("three"), 70);
    for snapshot in [first, second, third] {
        import(&far, &snapshot).unwrap();
    }
    assert_eq!(collect_at(&far, 80, 0).crates, 0, "the newest snapshot has both crates");
    assert_eq!(public_files(&far), public_files(&mirror));
    assert_records_agree(&far);
}
