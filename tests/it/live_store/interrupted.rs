//! Live mode's batches when the disk refuses a change, and when another process changes the mirror at the same time.

use frostmirror::bundle::open::open_any;

use super::*;
use crate::bundle_builder::options;

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
