//! What a mirror is that was made from a snapshot: the same tree, with the same future.

use frostmirror::bundle::format::CrateState;

use super::*;

#[test]
fn a_redeployed_mirror_has_the_same_files_and_histories() {
    let sandbox = Sandbox::new();
    let (source, target) = (source_mirror(&sandbox), sandbox.path("target"));
    let snapshot = export(&source, &sandbox.path("out")).path;
    let imported = import(&target, &snapshot).unwrap();
    assert_eq!((imported.crates, imported.already_imported), (4, false));
    assert_eq!(public_files(&target), public_files(&source));
    assert_eq!(history_rows(&target), history_rows(&source));
    assert_eq!(summary(&target).counts, summary(&source).counts);
    assert_eq!(line_records(&target), line_records(&source));
    assert_clean(&target);
    assert!(import(&target, &snapshot).unwrap().already_imported);
    assert_eq!(summary(&target).imports, 3);
    // A second generation is no other than the first.
    let again = export(&target, &sandbox.path("again"));
    let third = sandbox.path("third");
    import(&third, &again.path).unwrap();
    assert_eq!(public_files(&third), public_files(&source));
    assert_eq!(history_rows(&third), history_rows(&source));
}

#[test]
fn gc_gives_the_same_result_on_a_redeployed_mirror() {
    let sandbox = Sandbox::new();
    let (source, target) = (source_mirror(&sandbox), sandbox.path("target"));
    // Something that no bundle brought: it stays, here as there.
    let stranger = Crate::new("stranger", "1.0.0").pack();
    fs::write(source.join("crates/stranger-1.0.0.crate"), &stranger.bytes).unwrap();
    fs::create_dir_all(source.join("index/st/ra")).unwrap();
    fs::write(source.join("index/st/ra/stranger"), format!("{}\n", stranger.line)).unwrap();
    import(&target, &export(&source, &sandbox.path("out")).path).unwrap();
    let before = public_files(&target);
    assert_eq!(before, public_files(&source));
    for mirror in [&source, &target] {
        run_gc(mirror, &[]);
    }
    let after = public_files(&target);
    assert_eq!(after, public_files(&source));
    assert!(before.contains_key("crates/gone-1.0.0.crate") && !after.contains_key("crates/gone-1.0.0.crate"));
    assert!(after.contains_key("crates/stranger-1.0.0.crate"));
    let id = history_rows(&source).into_iter().find(|(_, sequence, ..)| *sequence == 7).unwrap().0;
    for mirror in [&source, &target] {
        run_gc(mirror, &[&id]);
    }
    assert_eq!(public_files(&target), public_files(&source));
    assert!(!public_files(&target).contains_key("crates/Serde-1.0.0.crate"));
}

#[test]
fn later_bundles_give_the_same_result_on_a_redeployed_mirror() {
    let sandbox = Sandbox::new();
    let (source, target) = (source_mirror(&sandbox), sandbox.path("target"));
    let out = sandbox.path("out");
    let snapshot = export(&source, &out).path;
    import(&target, &snapshot).unwrap();
    let folder = sandbox.path("bundles");
    let json = Crate::new("json", "1.0.0");
    let later = [
        // Read before the line that is held, and after it.
        BundleBuilder::new("c", 1).read_at(40).ship(json.clone()).write(&folder, "c1.pkg"),
        BundleBuilder::new("c", 2).read_at(60).ship(json.clone()).write(&folder, "c2.pkg"),
        // A delta on what only the snapshot brought here.
        BundleBuilder::new("a", 3)
            .read_at(70)
            .parent("a2.pkg")
            .with_crate(json, CrateState::Sent)
            .ship(Crate::new("new", "1.0.0"))
            .write(&folder, "a3.pkg"),
        folder.join("a1.pkg"),
    ];
    for bundle in &later {
        for mirror in [&source, &target] {
            import(mirror, bundle).unwrap();
        }
        assert_eq!(public_files(&target), public_files(&source), "{bundle:?}");
        assert_eq!(history_rows(&target), history_rows(&source), "{bundle:?}");
    }
    // The snapshot once more, late: it takes nothing back.
    let before = (public_files(&target), history_rows(&target));
    import(&target, &snapshot).unwrap();
    assert_eq!((public_files(&target), history_rows(&target)), before);
    assert_clean(&target);
}

#[test]
fn a_snapshot_is_merged_into_an_existing_mirror() {
    let sandbox = Sandbox::new();
    let source = source_mirror(&sandbox);
    let folder = sandbox.path("bundles");
    let own = BundleBuilder::new("own", 1).ship(Crate::new("own", "1.0.0")).write(&folder, "own.pkg");
    let newer = BundleBuilder::new("b", 8).read_at(90).ship(Crate::new("Serde", "1.0.1")).write(&folder, "b8.pkg");
    let snapshot = export(&source, &sandbox.path("out")).path;
    let (one, other) = (sandbox.path("one"), sandbox.path("other"));
    for (mirror, order) in [(&one, [&own, &newer, &snapshot]), (&other, [&snapshot, &newer, &own])] {
        order.iter().for_each(|bundle| drop(import(mirror, bundle).unwrap()));
    }
    assert_eq!(public_files(&one), public_files(&other));
    assert_eq!(history_rows(&one), history_rows(&other));
    assert_eq!(line_records(&one), line_records(&other));
    for mirror in [&one, &other] {
        run_gc(mirror, &[]);
        assert_clean(mirror);
        let stored = public_files(mirror);
        assert!(stored.contains_key("crates/own-1.0.0.crate") && stored.contains_key("crates/Serde-1.0.1.crate"));
        assert!(stored.contains_key("crates/json-1.1.0.crate") && !stored.contains_key("crates/Serde-1.0.0.crate"));
    }
    assert_eq!(public_files(&one), public_files(&other));
}

#[test]
fn crates_pending_deletion_are_counted_and_not_exported() {
    let sandbox = Sandbox::new();
    let (source, target) = (source_mirror(&sandbox), sandbox.path("target"));
    let options = gc::Options {
        grace: Duration::from_secs(600),
        retire: Vec::new(),
        accept: Vec::new(),
        reject: Vec::new(),
        now: test_time(6000),
    };
    let mut guard = lock_for_collecting(&Layout::new(&source), Duration::ZERO, &test_holder(), &NullSink).unwrap();
    guard.plan(&options).unwrap().execute(&NullSink).unwrap();
    drop(guard);
    assert!(source.join("crates/gone-1.0.0.crate").exists());
    let exported = export(&source, &sandbox.path("out"));
    assert_eq!(exported.unlisted_files, 1);
    import(&target, &exported.path).unwrap();
    assert!(!target.join("crates/gone-1.0.0.crate").exists());
    assert_clean(&target);
}

#[test]
fn crates_of_lost_records_are_kept_in_a_redeployed_mirror() {
    let sandbox = Sandbox::new();
    let (source, target) = (source_mirror(&sandbox), sandbox.path("target"));
    for name in ledger::record_names(&Layout::new(&source)).unwrap() {
        fs::write(source.join(".frostmirror/ledger").join(name), "{").unwrap();
    }
    let args = ["verify", "--mirror", "source", "--rebuild-state"];
    sandbox.run(args).ok();
    import(&target, &export(&source, &sandbox.path("out")).path).unwrap();
    let before = public_files(&target);
    run_gc(&target, &[]);
    assert_eq!(public_files(&target), before);
    assert_clean(&target);
}
