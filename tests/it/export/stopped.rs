//! Stopped by a signal, by whoever listens, or by death: no half folder, and no debris for long.

use std::fs::{self, File};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use frostmirror::event::{Event, Silent, Sink};
use frostmirror::mirror::export::{CHECKPOINTS, Error};
use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::lock::lock_for_reading;
use rustix::process::Signal;

use super::{FORMS, beside, mirror, words};
use crate::import_bundle::{everything, me};
use crate::support::sandbox::Sandbox;

const SIGABRT: i32 = 128 + 6;
const PREFIX: &str = ".frostmirror-export-";

#[test]
fn killed_at_any_checkpoint_the_next_export_clears_up_and_completes() {
    let sandbox = Sandbox::new();
    let mirror = mirror(&sandbox);
    let before = everything(&mirror);
    for form in FORMS {
        sandbox.run(words(form, "undisturbed")).ok();
        let expected = sandbox.snapshot("undisturbed");
        let clean = beside(&sandbox);
        for checkpoint in CHECKPOINTS {
            let died = sandbox.process(words(form, "out")).envs([("FROSTMIRROR_CRASH_AT", checkpoint)]).run();
            assert_eq!(died.code, SIGABRT, "no {form} passes the checkpoint {checkpoint}: {}", died.stderr);
            let placed = *checkpoint == "export:placed";
            assert_eq!(sandbox.path("out").exists(), placed, "{form} {checkpoint}");
            let left = beside(&sandbox).into_iter().filter(|name| name.starts_with(PREFIX)).count();
            assert_eq!(left, usize::from(!placed), "{form} {checkpoint}");
            if !placed {
                sandbox.run(words(form, "out")).ok();
            }
            assert_eq!(sandbox.snapshot("out"), expected, "{form} {checkpoint}");
            fs::remove_dir_all(sandbox.path("out")).unwrap();
            assert_eq!(beside(&sandbox), clean, "{form} {checkpoint}");
        }
        fs::remove_dir_all(sandbox.path("undisturbed")).unwrap();
    }
    let mut after = everything(&mirror);
    // The name of a holder who died stays, and misleads nobody.
    after.remove(".frostmirror/holder");
    assert_eq!(after, before);
}

/// Stops the work when it was asked often enough.
struct Until(AtomicUsize);

impl Sink for Until {
    fn event(&self, _: Event) {}

    fn stopped(&self) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_err()
    }
}

#[test]
fn who_is_told_to_stop_leaves_nothing() {
    let sandbox = Sandbox::new();
    let layout = Layout::new(mirror(&sandbox));
    let guard = lock_for_reading(&layout, Duration::ZERO, &me(), &Silent).unwrap();
    let clean = beside(&sandbox);
    let folder = sandbox.path("new/out");
    let export = |form: &str, sink: &dyn Sink| match form {
        "vendor" => guard.export_vendor(&folder, sink),
        _ => guard.export_local_registry(&folder, sink),
    };
    for form in FORMS {
        let mut asked = 0;
        while let Err(error) = export(form, &Until(AtomicUsize::new(asked))) {
            assert!(matches!(error, Error::Stopped), "{error}");
            assert_eq!(beside(&sandbox), clean, "stopped when asked for the {asked}th time");
            asked += 1;
        }
        assert!(asked > 5, "it asks now and then");
        fs::remove_dir_all(sandbox.path("new")).unwrap();
    }
}

#[test]
fn a_signal_ends_it_and_nothing_is_left() {
    let sandbox = Sandbox::new();
    let mirror = mirror(&sandbox);
    let clean = beside(&sandbox);
    // So long that the signal comes in time, and no room is taken.
    let long = File::options().write(true).open(mirror.join("crates/Json-1.0.0.crate")).unwrap();
    long.set_len(1 << 38).unwrap();
    let running = sandbox.process(words("local-registry", "out")).start();
    let until = Instant::now() + Duration::from_secs(60);
    while !beside(&sandbox).iter().any(|name| name.starts_with(PREFIX)) {
        assert!(Instant::now() < until, "it never began");
        std::thread::sleep(Duration::from_millis(5));
    }
    running.signal(Signal::INT);
    running.wait(Duration::from_secs(60)).exits(130).stderr_has("nothing is left of it");
    assert_eq!(beside(&sandbox), clean);
    assert!(!mirror.join(".frostmirror/holder").exists());
}
