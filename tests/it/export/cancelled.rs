//! Stopped by a signal, by its caller, or by a kill: no partial folder, and no debris for long.

use std::fs::{self, File};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use frostmirror::event::{Event, NullSink, Sink};
use frostmirror::mirror::export::{CHECKPOINTS, Error};
use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::lock::lock_for_reading;
use rustix::process::Signal;

use super::{EXPORT_KINDS, entries_beside_mirror, export_args, mirror};
use crate::bundle_builder::{all_files, test_holder};
use crate::support::process::SIGABRT;
use crate::support::sandbox::Sandbox;
use crate::support::wait;

const PREFIX: &str = ".frostmirror-export-";

#[test]
fn after_a_kill_at_any_checkpoint_the_next_export_cleans_up_and_completes() {
    let sandbox = Sandbox::new();
    let mirror = mirror(&sandbox);
    let before = all_files(&mirror);
    for form in EXPORT_KINDS {
        sandbox.run(export_args(form, "undisturbed")).ok();
        let expected = sandbox.read_tree("undisturbed");
        let clean = entries_beside_mirror(&sandbox);
        for checkpoint in CHECKPOINTS {
            let died = sandbox.process(export_args(form, "out")).envs([("FROSTMIRROR_CRASH_AT", checkpoint)]).run();
            assert_eq!(died.code, SIGABRT, "no {form} passes the checkpoint {checkpoint}: {}", died.stderr);
            let placed = *checkpoint == "export:placed";
            assert_eq!(sandbox.path("out").exists(), placed, "{form} {checkpoint}");
            let left = entries_beside_mirror(&sandbox).into_iter().filter(|name| name.starts_with(PREFIX)).count();
            assert_eq!(left, usize::from(!placed), "{form} {checkpoint}");
            if !placed {
                sandbox.run(export_args(form, "out")).ok();
            }
            assert_eq!(sandbox.read_tree("out"), expected, "{form} {checkpoint}");
            fs::remove_dir_all(sandbox.path("out")).unwrap();
            assert_eq!(entries_beside_mirror(&sandbox), clean, "{form} {checkpoint}");
        }
        fs::remove_dir_all(sandbox.path("undisturbed")).unwrap();
    }
    let mut after = all_files(&mirror);
    // The name of a dead holder stays, and does no harm.
    after.remove(".frostmirror/holder");
    assert_eq!(after, before);
}

/// Stops the work when it was asked often enough.
struct CancelAfter(AtomicUsize);

impl Sink for CancelAfter {
    fn event(&self, _: Event) {}

    fn is_cancelled(&self) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_err()
    }
}

#[test]
fn a_cancelled_export_leaves_nothing() {
    let sandbox = Sandbox::new();
    let layout = Layout::new(mirror(&sandbox));
    let guard = lock_for_reading(&layout, Duration::ZERO, &test_holder(), &NullSink).unwrap();
    let clean = entries_beside_mirror(&sandbox);
    let folder = sandbox.path("new/out");
    let export = |form: &str, sink: &dyn Sink| match form {
        "vendor" => guard.export_vendor(&folder, sink),
        _ => guard.export_local_registry(&folder, sink),
    };
    for form in EXPORT_KINDS {
        let mut requested = 0;
        while let Err(error) = export(form, &CancelAfter(AtomicUsize::new(requested))) {
            assert!(matches!(error, Error::Stopped), "{error}");
            assert_eq!(entries_beside_mirror(&sandbox), clean, "stopped when asked for the {requested}th time");
            requested += 1;
        }
        assert!(requested > 5, "it asks now and then");
        fs::remove_dir_all(sandbox.path("new")).unwrap();
    }
}

#[test]
fn an_interrupted_export_leaves_nothing() {
    let sandbox = Sandbox::new();
    let mirror = mirror(&sandbox);
    let clean = entries_beside_mirror(&sandbox);
    // Large enough for the signal to come in time, and sparse on the disk.
    let long = File::options().write(true).open(mirror.join("crates/Json-1.0.0.crate")).unwrap();
    long.set_len(1 << 38).unwrap();
    let running = sandbox.process(export_args("local-registry", "out")).start();
    wait::until_with(
        "the export has begun",
        || running.stderr(),
        || entries_beside_mirror(&sandbox).iter().any(|name| name.starts_with(PREFIX)),
    );
    running.signal(Signal::INT);
    running.wait(Duration::from_secs(60)).exits(130).stderr_has("no partial files remain");
    assert_eq!(entries_beside_mirror(&sandbox), clean);
    assert!(!mirror.join(".frostmirror/holder").exists());
}
