//! What a mirror is that was made from a snapshot: the same tree, with the same future.

use frostmirror::bundle::format::CrateState;

use super::*;

#[test]
fn a_redeployed_mirror_is_the_same_tree_and_has_the_same_histories() {
    let sandbox = Sandbox::new();
    let (source, target) = (source(&sandbox), sandbox.path("target"));
    let snapshot = export(&source, &sandbox.path("out")).path;
    let imported = import(&target, &snapshot).unwrap();
    assert_eq!((imported.crates, imported.already), (4, false));
    assert_eq!(view(&target), view(&source));
    assert_eq!(histories(&target), histories(&source));
    assert_eq!(head(&target).counts, head(&source).counts);
    assert_eq!(line_records(&target), line_records(&source));
    assert_clean(&target);
    assert!(import(&target, &snapshot).unwrap().already);
    assert_eq!(head(&target).imports, 3);
    // A second generation is no other than the first.
    let again = export(&target, &sandbox.path("again"));
    let third = sandbox.path("third");
    import(&third, &again.path).unwrap();
    assert_eq!(view(&third), view(&source));
    assert_eq!(histories(&third), histories(&source));
}

#[test]
fn what_is_collected_there_is_what_is_collected_here() {
    let sandbox = Sandbox::new();
    let (source, target) = (source(&sandbox), sandbox.path("target"));
    // Something that no bundle brought: it stays, here as there.
    let stranger = Crate::new("stranger", "1.0.0").pack();
    fs::write(source.join("crates/stranger-1.0.0.crate"), &stranger.bytes).unwrap();
    fs::create_dir_all(source.join("index/st/ra")).unwrap();
    fs::write(source.join("index/st/ra/stranger"), format!("{}\n", stranger.line)).unwrap();
    import(&target, &export(&source, &sandbox.path("out")).path).unwrap();
    let before = view(&target);
    assert_eq!(before, view(&source));
    for mirror in [&source, &target] {
        collect(mirror, &[]);
    }
    let after = view(&target);
    assert_eq!(after, view(&source));
    assert!(before.contains_key("crates/gone-1.0.0.crate") && !after.contains_key("crates/gone-1.0.0.crate"));
    assert!(after.contains_key("crates/stranger-1.0.0.crate"));
    let id = histories(&source).into_iter().find(|(_, sequence, ..)| *sequence == 7).unwrap().0;
    for mirror in [&source, &target] {
        collect(mirror, &[&id]);
    }
    assert_eq!(view(&target), view(&source));
    assert!(!view(&target).contains_key("crates/Serde-1.0.0.crate"));
}

#[test]
fn whatever_comes_later_goes_the_same_way_as_at_home() {
    let sandbox = Sandbox::new();
    let (source, target) = (source(&sandbox), sandbox.path("target"));
    let out = sandbox.path("out");
    let snapshot = export(&source, &out).path;
    import(&target, &snapshot).unwrap();
    let folder = sandbox.path("bundles");
    let json = Crate::new("json", "1.0.0");
    let later = [
        // Read before the line that is held, and after it.
        Make::new("c", 1).read(40).ship(json.clone()).write(&folder, "c1.pkg"),
        Make::new("c", 2).read(60).ship(json.clone()).write(&folder, "c2.pkg"),
        // A delta on what only the snapshot brought here.
        Make::new("a", 3)
            .read(70)
            .parent("a2.pkg")
            .with(json, CrateState::Sent)
            .ship(Crate::new("new", "1.0.0"))
            .write(&folder, "a3.pkg"),
        folder.join("a1.pkg"),
    ];
    for bundle in &later {
        for mirror in [&source, &target] {
            import(mirror, bundle).unwrap();
        }
        assert_eq!(view(&target), view(&source), "{bundle:?}");
        assert_eq!(histories(&target), histories(&source), "{bundle:?}");
    }
    // The snapshot once more, late: it takes nothing back.
    let before = (view(&target), histories(&target));
    import(&target, &snapshot).unwrap();
    assert_eq!((view(&target), histories(&target)), before);
    assert_clean(&target);
}

#[test]
fn a_snapshot_adds_to_a_mirror_that_lives() {
    let sandbox = Sandbox::new();
    let source = source(&sandbox);
    let folder = sandbox.path("bundles");
    let own = Make::new("own", 1).ship(Crate::new("own", "1.0.0")).write(&folder, "own.pkg");
    let newer = Make::new("b", 8).read(90).ship(Crate::new("Serde", "1.0.1")).write(&folder, "b8.pkg");
    let snapshot = export(&source, &sandbox.path("out")).path;
    let (one, other) = (sandbox.path("one"), sandbox.path("other"));
    for (mirror, order) in [(&one, [&own, &newer, &snapshot]), (&other, [&snapshot, &newer, &own])] {
        order.iter().for_each(|bundle| drop(import(mirror, bundle).unwrap()));
    }
    assert_eq!(view(&one), view(&other));
    assert_eq!(histories(&one), histories(&other));
    assert_eq!(line_records(&one), line_records(&other));
    for mirror in [&one, &other] {
        collect(mirror, &[]);
        assert_clean(mirror);
        let held = view(mirror);
        assert!(held.contains_key("crates/own-1.0.0.crate") && held.contains_key("crates/Serde-1.0.1.crate"));
        assert!(held.contains_key("crates/json-1.1.0.crate") && !held.contains_key("crates/Serde-1.0.0.crate"));
    }
    assert_eq!(view(&one), view(&other));
}

#[test]
fn what_is_on_its_way_out_is_counted_and_stays_behind() {
    let sandbox = Sandbox::new();
    let (source, target) = (source(&sandbox), sandbox.path("target"));
    let options =
        gc::Options { grace: Duration::from_secs(600), forget: Vec::new(), accept: Vec::new(), now: at(6000) };
    let mut guard = lock_for_collecting(&Layout::new(&source), Duration::ZERO, &me(), &Silent).unwrap();
    guard.plan(&options).unwrap().execute(&Silent).unwrap();
    drop(guard);
    assert!(source.join("crates/gone-1.0.0.crate").exists());
    let exported = export(&source, &sandbox.path("out"));
    assert_eq!(exported.left_behind, 1);
    import(&target, &exported.path).unwrap();
    assert!(!target.join("crates/gone-1.0.0.crate").exists());
    assert_clean(&target);
}

#[test]
fn lost_records_are_no_loss_to_what_was_kept_for_them() {
    let sandbox = Sandbox::new();
    let (source, target) = (source(&sandbox), sandbox.path("target"));
    for name in ledger::names(&Layout::new(&source)).unwrap() {
        fs::write(source.join(".frostmirror/ledger").join(name), "{").unwrap();
    }
    let words = ["verify", "--mirror", "source", "--rebuild-state"];
    sandbox.run(words).ok();
    import(&target, &export(&source, &sandbox.path("out")).path).unwrap();
    let before = view(&target);
    collect(&target, &[]);
    assert_eq!(view(&target), before);
    assert_clean(&target);
}
