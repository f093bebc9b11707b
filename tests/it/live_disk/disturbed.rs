//! Live mode's batches where the disk refuses, where somebody else changes the mirror at the same instant, and where an
//! eviction is killed.

use frostmirror::bundle::open::open_any;
use frostmirror::mirror::gc::CHECKPOINTS as COLLECTING;
use frostmirror::mirror::lock::lock_for_collecting;

use super::*;
use crate::gc::collect_at;
use crate::import_bundle::options;

#[test]
fn a_batch_that_fails_midway_is_taken_back_and_can_be_placed_later() {
    let folder = tempfile::tempdir().unwrap();
    let mirror = folder.path().join("mirror");
    imported(folder.path(), &mirror);
    place(&mirror, &[Crate::new("a", "1.0.0")], 10);
    let layout = Layout::new(&mirror);
    // Nothing can be appended to a folder; by then crates and lines are in place.
    let records = fs::read(layout.live_records()).unwrap();
    fs::remove_file(layout.live_records()).unwrap();
    fs::create_dir(layout.live_records()).unwrap();
    let (arrivals, renewals) = batch(&mirror);
    let without_partial = |mut tree: BTreeMap<String, Vec<u8>>| {
        tree.retain(|path, _| !path.contains("/holder") && !path.contains("/partial/"));
        tree
    };
    let before = without_partial(everything(&mirror));
    let error = adding(&mirror).place_live(arrivals.clone(), renewals.clone(), Vec::new(), at(20), &Silent);
    assert!(matches!(error, Err(live::Error::Store(_))), "{error:?}");
    assert_eq!(without_partial(everything(&mirror)), before);
    assert!(arrivals.iter().all(|one| one.file.exists()), "what arrived can be placed later");
    fs::remove_dir(layout.live_records()).unwrap();
    fs::write(layout.live_records(), records).unwrap();
    let placed = adding(&mirror).place_live(arrivals, renewals, Vec::new(), at(20), &Silent).unwrap();
    assert_eq!((placed.crates, placed.refused.len()), (3, 0));
    assert_agreement(&mirror);
    assert_at_rest(&mirror);
}

#[test]
fn an_import_and_live_mode_at_the_same_instant_end_in_one_state() {
    let folder = tempfile::tempdir().unwrap();
    let crates = || ["a", "b", "c"].map(|name| Crate::new(name, "1.0.0"));
    let bundle = crates().into_iter().fold(Make::new("one", 1), Make::ship).write(folder.path(), "one.pkg");
    for round in 0..6 {
        let mirror = folder.path().join(round.to_string());
        place(&mirror, &[Crate::new("d", "1.0.0")], 1);
        let (packed, layout) = (crates().map(Crate::pack), Layout::new(&mirror));
        let patient = || lock_for_adding(&layout, Duration::from_secs(30), &me(), &Silent).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let reader = Box::new(fs::File::open(&bundle).unwrap());
                let opened = open_any(reader, "one.pkg", folder.path()).unwrap();
                patient().import(opened, &options(&bundle), &Silent).unwrap();
            });
            for one in &packed {
                let (mirror, patient) = (&mirror, &patient);
                scope.spawn(move || {
                    let arrivals = vec![arrival(mirror, one, 2)];
                    let placed = patient().place_live(arrivals, Vec::new(), Vec::new(), at(2), &Silent).unwrap();
                    assert_eq!(placed.crates + placed.held, 1);
                });
            }
        });
        assert_eq!(figures(&mirror).crates, 4);
        let all: BTreeSet<String> = ["a-1.0.0", "b-1.0.0", "c-1.0.0", "d-1.0.0"].map(str::to_owned).into();
        assert_eq!(held(&mirror), (all.clone(), all));
        assert_agreement(&mirror);
        assert_at_rest(&mirror);
    }
}

/// Removes all but what a bundle names. The test below runs this one in a process of its own, and kills it.
#[test]
fn an_eviction_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let mirror = match std::env::var_os(VICTIM) {
        Some(mirror) => PathBuf::from(mirror),
        None => {
            let mirror = folder.path().join("mirror");
            crowded(folder.path(), &mirror);
            mirror
        }
    };
    let mut guard = lock_for_collecting(&Layout::new(&mirror), Duration::ZERO, &me(), &Silent).unwrap();
    let evicted = guard.evict_live(0, &BTreeMap::new(), at(100), &Silent).unwrap();
    drop(guard);
    assert_eq!((evicted.crates, evicted.left), (2, 0));
    assert_evicted(&mirror);
}

fn crowded(folder: &Path, mirror: &Path) {
    imported(folder, mirror);
    place(mirror, &[Crate::new("json", "1.0.0"), Crate::new("live", "1.0.0").dep("zeta", "^1")], 10);
    place(mirror, &[Crate::new("zeta", "1.0.0")], 20);
}

fn assert_evicted(mirror: &Path) {
    let left: BTreeSet<String> = ["json-1.0.0", "serde-1.0.0"].map(str::to_owned).into();
    assert_eq!(held(mirror), (left.clone(), left));
    assert_eq!(figures(mirror).crates, 1);
    assert_agreement(mirror);
}

#[test]
fn an_eviction_killed_anywhere_is_completed_by_a_collection() {
    let folder = tempfile::tempdir().unwrap();
    for checkpoint in COLLECTING {
        let mirror = folder.path().join(checkpoint.replace(':', "-"));
        crowded(folder.path(), &mirror);
        let mut victim = Command::new(std::env::current_exe().unwrap());
        victim.args(["--exact", "live_disk::disturbed::an_eviction_is_whole", "--test-threads=1"]);
        let died = victim.env(VICTIM, &mirror).env("FROSTMIRROR_CRASH_AT", checkpoint).output().unwrap();
        assert_eq!(died.status.signal(), Some(6), "no eviction passes the checkpoint {checkpoint}");
        assert_sound(&mirror);
        collect_at(&mirror, 200, 0);
        if live::records(&Layout::new(&mirror)).unwrap().len() == 3 {
            // It was killed before anything was put down as let go, and is all there.
            let mut guard = lock_for_collecting(&Layout::new(&mirror), Duration::ZERO, &me(), &Silent).unwrap();
            assert_eq!(guard.evict_live(0, &BTreeMap::new(), at(300), &Silent).unwrap().crates, 2);
        }
        assert_evicted(&mirror);
    }
}
