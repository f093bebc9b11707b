//! An export and the import of a snapshot, killed at each of their checkpoints.

use frostmirror::mirror::snapshot::CHECKPOINTS as OF_EXPORT;

use super::*;
use crate::support::commit_steps::{SIGABRT, commit_steps};

#[test]
fn a_killed_export_leaves_no_partial_snapshot_and_a_rerun_completes() {
    let sandbox = Sandbox::new();
    let mirror = source_mirror(&sandbox);
    let before = crate::bundle_builder::all_files(&mirror);
    fs::create_dir(sandbox.path("none")).unwrap();
    let args = ["export", "snapshot", "--mirror", "source", "-o", "out", "--config-dir", "none"];
    for checkpoint in OF_EXPORT {
        let died = sandbox.process(args).envs([("FROSTMIRROR_CRASH_AT", checkpoint)]).run();
        assert_eq!(died.code, SIGABRT, "no export passes the checkpoint {checkpoint}: {}", died.stderr);
        for entry in fs::read_dir(sandbox.path("out")).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|end| end == "pkg") {
                sandbox.run(["verify", path.to_str().unwrap()]).ok();
                assert_eq!(*checkpoint, "snapshot:published");
            }
        }
        let path = sandbox.run(args).ok().path();
        assert!(path.is_file());
        let left: Vec<_> = fs::read_dir(sandbox.path("out")).unwrap().map(|one| one.unwrap().file_name()).collect();
        assert!(left.iter().all(|name| name.to_str().unwrap().ends_with(".pkg")), "{left:?}");
        fs::remove_dir_all(sandbox.path("out")).unwrap();
    }
    let mut after = crate::bundle_builder::all_files(&mirror);
    // A killed holder leaves its name; its lock is gone.
    after.remove(".frostmirror/holder");
    assert_eq!(after, before);
}

#[test]
fn a_killed_snapshot_import_is_completed_by_a_rerun() {
    let sandbox = Sandbox::new();
    let source = source_mirror(&sandbox);
    let snapshot = export(&source, &sandbox.path("out")).path;
    let args =
        ["import", snapshot.to_str().unwrap(), "--mirror", "target", "--config-dir", "none", "--base-url", "http://h"];
    let undisturbed = sandbox.path("undisturbed");
    import(&undisturbed, &snapshot).unwrap();
    let mut kills = 0;
    for checkpoint in commit_steps() {
        let target = sandbox.path("target");
        let died = sandbox.process(args).envs([("FROSTMIRROR_CRASH_AT", &checkpoint)]).run();
        if died.code != SIGABRT {
            died.ok();
            break;
        }
        kills += 1;
        assert_consistent(&target);
        sandbox.run(args).ok();
        assert_eq!(history_rows(&target), history_rows(&undisturbed), "{checkpoint}");
        assert_eq!(summary(&target).counts, summary(&undisturbed).counts, "{checkpoint}");
        assert_clean(&target);
        let mut tree = public_files(&target);
        tree.remove("index/config.json");
        assert_eq!(tree, public_files(&undisturbed), "{checkpoint}");
        fs::remove_dir_all(&target).unwrap();
    }
    assert!(kills > 12, "{kills}");
}
