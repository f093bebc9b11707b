//! An export and the import of a snapshot, killed at each of their checkpoints.

use frostmirror::mirror::import::CHECKPOINTS as OF_IMPORT;
use frostmirror::mirror::snapshot::CHECKPOINTS as OF_EXPORT;

use super::*;

const SIGABRT: i32 = 128 + 6;

#[test]
fn killed_while_it_exports_nothing_unfinished_is_there_and_a_rerun_is_whole() {
    let sandbox = Sandbox::new();
    let mirror = source(&sandbox);
    let before = crate::import_bundle::everything(&mirror);
    fs::create_dir(sandbox.path("none")).unwrap();
    let words = ["export", "snapshot", "--mirror", "source", "-o", "out", "--config-dir", "none"];
    for checkpoint in OF_EXPORT {
        let died = sandbox.process(words).envs([("FROSTMIRROR_CRASH_AT", checkpoint)]).run();
        assert_eq!(died.code, SIGABRT, "no export passes the checkpoint {checkpoint}: {}", died.stderr);
        for entry in fs::read_dir(sandbox.path("out")).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|end| end == "pkg") {
                sandbox.run(["verify", path.to_str().unwrap()]).ok();
                assert_eq!(*checkpoint, "snapshot:published");
            }
        }
        let path = sandbox.run(words).ok().path();
        assert!(path.is_file());
        let left: Vec<_> = fs::read_dir(sandbox.path("out")).unwrap().map(|one| one.unwrap().file_name()).collect();
        assert!(left.iter().all(|name| name.to_str().unwrap().ends_with(".pkg")), "{left:?}");
        fs::remove_dir_all(sandbox.path("out")).unwrap();
    }
    let mut after = crate::import_bundle::everything(&mirror);
    // A killed holder leaves its name; its lock is gone.
    after.remove(".frostmirror/holder");
    assert_eq!(after, before);
}

#[test]
fn killed_while_it_is_imported_a_rerun_completes_it() {
    let sandbox = Sandbox::new();
    let source = source(&sandbox);
    let snapshot = export(&source, &sandbox.path("out")).path;
    let words =
        ["import", snapshot.to_str().unwrap(), "--mirror", "target", "--config-dir", "none", "--base-url", "http://h"];
    let undisturbed = sandbox.path("undisturbed");
    import(&undisturbed, &snapshot).unwrap();
    for checkpoint in OF_IMPORT {
        let target = sandbox.path("target");
        let died = sandbox.process(words).envs([("FROSTMIRROR_CRASH_AT", checkpoint)]).run();
        assert_eq!(died.code, SIGABRT, "no import passes the checkpoint {checkpoint}: {}", died.stderr);
        assert_sound(&target);
        sandbox.run(words).ok();
        assert_eq!(histories(&target), histories(&undisturbed), "{checkpoint}");
        assert_eq!(head(&target).counts, head(&undisturbed).counts, "{checkpoint}");
        assert_clean(&target);
        let mut tree = view(&target);
        tree.remove("index/config.json");
        assert_eq!(tree, view(&undisturbed), "{checkpoint}");
        fs::remove_dir_all(&target).unwrap();
    }
}
