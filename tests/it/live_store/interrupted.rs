//! Live mode's batches where the disk refuses, where another process changes the mirror at the same instant, and where an
//! eviction is killed.

use frostmirror::bundle::open::open_any;
use frostmirror::mirror::lock::lock_for_collecting;

use super::*;
use crate::bundle_builder::options;
use crate::gc::collect_at;
use crate::support::commit_steps::commit_steps;

#[test]
fn a_failed_batch_is_rolled_back_and_can_be_stored_later() {
    let folder = tempfile::tempdir().unwrap();
    let mirror = folder.path().join("mirror");
    import_base(folder.path(), &mirror);
    store_crates(&mirror, &[Crate::new("a", "1.0.0")], 10);
    let layout = Layout::new(&mirror);
    // Nothing can be appended to a folder; by then crates and lines are in place.
    let records = fs::read(layout.live_records()).unwrap();
    fs::remove_file(layout.live_records()).unwrap();
    fs::create_dir(layout.live_records()).unwrap();
    let (arrivals, renewals) = mixed_batch(&mirror);
    let without_partial = |mut tree: BTreeMap<String, Vec<u8>>| {
        tree.retain(|path, _| !path.contains("/holder") && !path.contains("/partial/"));
        tree
    };
    let before = without_partial(all_files(&mirror));
    let error = adding(&mirror).store_live(arrivals.clone(), renewals.clone(), Vec::new(), test_time(20), &NullSink);
    assert!(error.is_err(), "{error:?}");
    assert_eq!(without_partial(all_files(&mirror)), before);
    assert!(arrivals.iter().all(|one| one.file.exists()), "what arrived can be placed later");
    fs::remove_dir(layout.live_records()).unwrap();
    fs::write(layout.live_records(), records).unwrap();
    let placed = adding(&mirror).store_live(arrivals, renewals, Vec::new(), test_time(20), &NullSink).unwrap();
    assert_eq!((placed.crates, placed.rejected.len()), (3, 0));
    assert_records_agree(&mirror);
    assert_no_pending_work(&mirror);
}

#[test]
fn a_concurrent_import_and_live_batch_give_one_state() {
    let folder = tempfile::tempdir().unwrap();
    let crates = || ["a", "b", "c"].map(|name| Crate::new(name, "1.0.0"));
    let bundle =
        crates().into_iter().fold(BundleBuilder::new("one", 1), BundleBuilder::ship).write(folder.path(), "one.pkg");
    for round in 0..6 {
        let mirror = folder.path().join(round.to_string());
        store_crates(&mirror, &[Crate::new("d", "1.0.0")], 1);
        let (packed, layout) = (crates().map(Crate::pack), Layout::new(&mirror));
        let lock_mirror = || lock_for_adding(&layout, Duration::from_secs(30), &test_holder(), &NullSink).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let reader = Box::new(fs::File::open(&bundle).unwrap());
                let opened = open_any(reader, "one.pkg", folder.path()).unwrap();
                lock_mirror().import(opened, &options(&bundle), &NullSink).unwrap();
            });
            for one in &packed {
                let (mirror, lock_mirror) = (&mirror, &lock_mirror);
                scope.spawn(move || {
                    let arrivals = vec![fetched_crate(mirror, one, 2)];
                    let placed =
                        lock_mirror().store_live(arrivals, Vec::new(), Vec::new(), test_time(2), &NullSink).unwrap();
                    assert_eq!(placed.crates + placed.already_stored, 1);
                });
            }
        });
        assert_eq!(live_metrics(&mirror).crates, 4);
        let all: BTreeSet<String> = ["a-1.0.0", "b-1.0.0", "c-1.0.0", "d-1.0.0"].map(str::to_owned).into();
        assert_eq!(stored_and_indexed_crates(&mirror), (all.clone(), all));
        assert_records_agree(&mirror);
        assert_no_pending_work(&mirror);
    }
}

/// Removes all but what a bundle names. The test below runs this one in a process of its own, and kills it.
#[test]
fn an_eviction_is_complete() {
    let folder = tempfile::tempdir().unwrap();
    let mirror = match std::env::var_os(VICTIM_MIRROR_VAR) {
        Some(mirror) => PathBuf::from(mirror),
        None => {
            let mirror = folder.path().join("mirror");
            write_oversized_mirror(folder.path(), &mirror);
            mirror
        }
    };
    let mut guard = lock_for_collecting(&Layout::new(&mirror), Duration::ZERO, &test_holder(), &NullSink).unwrap();
    let evicted = guard.evict_live(0, &BTreeMap::new(), test_time(100), &NullSink).unwrap();
    drop(guard);
    assert_eq!((evicted.crates, evicted.remaining_bytes), (2, 0));
    assert_evicted(&mirror);
}

fn write_oversized_mirror(folder: &Path, mirror: &Path) {
    import_base(folder, mirror);
    store_crates(mirror, &[Crate::new("json", "1.0.0"), Crate::new("live", "1.0.0").dep("zeta", "^1")], 10);
    store_crates(mirror, &[Crate::new("zeta", "1.0.0")], 20);
}

fn assert_evicted(mirror: &Path) {
    let left: BTreeSet<String> = ["json-1.0.0", "serde-1.0.0"].map(str::to_owned).into();
    assert_eq!(stored_and_indexed_crates(mirror), (left.clone(), left));
    assert_eq!(live_metrics(mirror).crates, 1);
    assert_records_agree(mirror);
}

#[test]
fn an_eviction_killed_at_any_checkpoint_is_completed_by_gc() {
    let folder = tempfile::tempdir().unwrap();
    let mut kills = 0;
    for checkpoint in commit_steps() {
        let mirror = folder.path().join(checkpoint.replace(':', "-"));
        write_oversized_mirror(folder.path(), &mirror);
        let mut victim = Command::new(std::env::current_exe().unwrap());
        victim.args(["--exact", "live_store::interrupted::an_eviction_is_complete", "--test-threads=1"]);
        let died = victim.env(VICTIM_MIRROR_VAR, &mirror).env("FROSTMIRROR_CRASH_AT", &checkpoint).output().unwrap();
        if died.status.success() {
            break;
        }
        assert_eq!(died.status.signal(), Some(6), "{checkpoint}");
        kills += 1;
        assert_consistent(&mirror);
        collect_at(&mirror, 200, 0);
        if records(&mirror).len() == 3 {
            // It was killed before anything was put down as let go, and is all there.
            let mut guard =
                lock_for_collecting(&Layout::new(&mirror), Duration::ZERO, &test_holder(), &NullSink).unwrap();
            assert_eq!(guard.evict_live(0, &BTreeMap::new(), test_time(300), &NullSink).unwrap().crates, 2);
        }
        assert_evicted(&mirror);
    }
    assert!(kills > 12, "{kills}");
}
