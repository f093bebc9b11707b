//! An export, killed at each of its checkpoints. `crash` kills the import of a snapshot.

use frostmirror::mirror::snapshot::CHECKPOINTS as OF_EXPORT;

use super::*;
use crate::support::process::SIGABRT;

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
