//! Snapshots of mirrors that went through something: doubtful histories, lost records, a collection that was killed.

use frostmirror::bundle::format::CrateState;

use super::*;
use crate::support::process::SIGABRT;

fn has_crate_file(mirror: &Path, krate: &str) -> bool {
    mirror.join(format!("crates/{krate}.crate")).exists()
}

#[test]
fn a_mirror_that_imported_its_own_snapshot_can_be_exported() {
    let sandbox = Sandbox::new();
    let mirror = source_mirror(&sandbox);
    for name in ledger::record_names(&Layout::new(&mirror)).unwrap() {
        fs::write(mirror.join(".frostmirror/ledger").join(name), "{").unwrap();
    }
    sandbox.run(["verify", "--mirror", "source", "--rebuild-state"]).ok();
    let snapshot = export(&mirror, &sandbox.path("out")).path;
    import(&mirror, &snapshot).unwrap();
    let before = public_files(&mirror);
    let again = export(&mirror, &sandbox.path("again")).path;
    let target = sandbox.path("target");
    import(&target, &again).unwrap();
    for mirror in [&mirror, &target] {
        run_gc(mirror, &[]);
        assert_eq!(public_files(mirror), before);
        assert_clean(mirror);
    }
}

#[test]
fn crates_of_a_history_with_a_sequence_jump_are_kept_after_redeployment() {
    let sandbox = Sandbox::new();
    let folder = sandbox.path("bundles");
    fs::create_dir(&folder).unwrap();
    // The history was restored from a backup: its number 4 was given again, after number 5.
    let five = BundleBuilder::new("a", 5).read_at(10).ship(Crate::new("five", "1.0.0")).write(&folder, "a5.pkg");
    let four = BundleBuilder::new("a", 4).read_at(20).ship(Crate::new("four", "1.0.0")).write(&folder, "a4.pkg");
    let source = sandbox.path("source");
    import(&source, &five).unwrap();
    import(&source, &four).unwrap();
    let snapshot = export(&source, &sandbox.path("out")).path;
    // A mirror that has one of them, or the other, or neither.
    for (at, first) in [Some(&five), Some(&four), None].into_iter().enumerate() {
        let target = sandbox.path(format!("target-{at}"));
        first.into_iter().for_each(|bundle| drop(import(&target, bundle).unwrap()));
        import(&target, &snapshot).unwrap();
        run_gc(&target, &[]);
        assert!(has_crate_file(&target, "five-1.0.0") && has_crate_file(&target, "four-1.0.0"), "{at}");
        assert_clean(&target);
        assert!(import(&target, &snapshot).unwrap().already_imported, "{at}");
        // What comes later displaces the one that it displaces at home.
        let six = BundleBuilder::new("a", 6).read_at(15).ship(Crate::new("six", "1.0.0")).write(&folder, "a6.pkg");
        let home = sandbox.path(format!("home-{at}"));
        // The numbers of the bundles that a mirror has show which of them is doubtful.
        let order = if at == 0 { [&five, &four] } else { [&four, &five] };
        order.into_iter().for_each(|bundle| drop(import(&home, bundle).unwrap()));
        for mirror in [&home, &target] {
            import(mirror, &six).unwrap();
            run_gc(mirror, &[]);
        }
        assert_eq!(public_files(&target), public_files(&home), "{at}");
        assert!(has_crate_file(&target, "four-1.0.0"), "{at}");
    }
}

#[test]
fn crates_of_an_older_history_copy_in_a_snapshot_are_kept() {
    let sandbox = Sandbox::new();
    let folder = sandbox.path("bundles");
    fs::create_dir(&folder).unwrap();
    let five = BundleBuilder::new("a", 5).read_at(10).ship(Crate::new("five", "1.0.0")).write(&folder, "a5.pkg");
    let four = BundleBuilder::new("a", 4).read_at(20).ship(Crate::new("four", "1.0.0")).write(&folder, "a4.pkg");
    let (source, target) = (sandbox.path("source"), sandbox.path("target"));
    import(&source, &four).unwrap();
    import(&target, &five).unwrap();
    import(&target, &export(&source, &sandbox.path("out")).path).unwrap();
    run_gc(&target, &[]);
    assert!(has_crate_file(&target, "five-1.0.0") && has_crate_file(&target, "four-1.0.0"));
}

#[test]
fn a_kept_crate_in_another_spelling_does_not_stop_the_export() {
    let sandbox = Sandbox::new();
    let source = source_mirror(&sandbox);
    let folder = sandbox.path("bundles");
    let odd = BundleBuilder::new("odd", 1)
        .ship(Crate::new("odd", "1.0.0"))
        .with_crate(Crate::new("JSON", "1.0.0"), CrateState::Kept)
        .write(&folder, "odd.pkg");
    import(&source, &odd).unwrap();
    let target = sandbox.path("target");
    import(&target, &export(&source, &sandbox.path("out")).path).unwrap();
    assert_eq!(public_files(&target), public_files(&source));
}

#[test]
fn a_killed_gc_does_not_stop_the_export() {
    // Before the journal, with an unchanged mirror, and in the middle of the changes.
    for checkpoint in ["commit:2", "commit:3", "commit:6"] {
        let sandbox = Sandbox::new();
        let mirror = source_mirror(&sandbox);
        let args = ["gc", "--mirror", "source", "--grace", "0s"];
        sandbox.process(args).envs([("FROSTMIRROR_CRASH_AT", checkpoint)]).run().exits(SIGABRT);
        let target = sandbox.path("target");
        import(&target, &export(&mirror, &sandbox.path("out")).path).unwrap();
        run_gc(&target, &[]);
        run_gc(&mirror, &[]);
        assert_eq!(public_files(&target), public_files(&mirror), "{checkpoint}");
        assert_clean(&target);
    }
}

#[test]
fn imported_legacy_bundles_are_exported_in_a_snapshot() {
    let sandbox = Sandbox::new();
    let (source, target) = (sandbox.path("source"), sandbox.path("target"));
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/bundles");
    let mut imported = 0;
    for entry in fs::read_dir(fixtures).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "pkg") {
            imported += usize::from(import(&source, &path).is_ok());
        }
    }
    assert!(imported > 0);
    import(&target, &export(&source, &sandbox.path("out")).path).unwrap();
    assert_eq!(public_files(&target), public_files(&source));
    assert_eq!(history_rows(&target), history_rows(&source));
    for mirror in [&source, &target] {
        run_gc(mirror, &[]);
    }
    assert_eq!(public_files(&target), public_files(&source));
    assert_clean(&target);
}

#[test]
fn a_snapshot_is_not_written_into_the_served_tree() {
    let sandbox = Sandbox::new();
    let mirror = source_mirror(&sandbox);
    let before = public_files(&mirror);
    fs::create_dir(sandbox.path("none")).unwrap();
    for folder in ["source", "source/crates", "source/new/folder", "source/.frostmirror/staging"] {
        let args = ["export", "snapshot", "--mirror", "source", "-o", folder, "--config-dir", "none"];
        sandbox.run(args).exits(3).stderr_has("inside the mirror");
        assert_eq!(public_files(&mirror), before, "{folder}");
    }
    assert_clean(&mirror);
}
