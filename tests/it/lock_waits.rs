//! A wait for another run is reported while the other one still holds the lock, for every kind of lock.
//!
//! The holder is released only after the report was read, so a report that comes too late hangs the test until its
//! time-out. How soon it comes is a constant of `process_lock`, with a test beside it.

use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::time::Duration;

use frostmirror::event::NullSink;
use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::lock::{Holder, lock_for_adding};

use crate::bundle_builder::{BundleBuilder, import};
use crate::support::crates::Crate;
use crate::support::dist::release::Release;
use crate::support::dist::{DistServer, LINUX, RUSTUP};
use crate::support::process::RunningProcess;
use crate::support::sandbox::Sandbox;
use crate::support::upstream::{Fault, Upstream};
use crate::support::wait;

const TIMEOUT: Duration = Duration::from_secs(60);

#[track_caller]
fn wait_for_report(running: &RunningProcess, expected: &str) {
    let is_reported = || running.stderr().contains(expected);
    wait::until_with("the wait is reported", || format!("{expected}\n{}", running.stderr()), is_reported);
}

#[track_caller]
fn assert_is_locked(path: &Path) {
    let file = File::open(path).unwrap();
    assert!(matches!(file.try_lock(), Err(TryLockError::WouldBlock)), "{} is free", path.display());
}

/// An upstream whose index file of `slow` does not arrive, and a sandbox with two inputs.
fn sandbox_with_slow_input(upstream: &Upstream) -> Sandbox {
    upstream.publish_all(&[("a", "1.0.0"), ("slow", "1.0.0")]);
    let sandbox = Sandbox::new().upstream(upstream);
    sandbox.write("slow.toml", "[dependencies]\nslow = \"1\"\n");
    sandbox.write("depends.toml", "[dependencies]\na = \"1\"\n");
    sandbox
}

#[test]
fn of_the_history_by_two_runs() {
    let upstream = Upstream::start();
    let sandbox = sandbox_with_slow_input(&upstream);
    sandbox.run(["fetch"]).ok();
    upstream.fault_always("/index/sl/ow/slow", Fault::Hang);
    let lock = sandbox.frostmirror_home().join("history/lock");
    for args in [
        &["fetch", "-o", "again"][..],
        &["fetch", "--incremental"],
        &["history", "label", "desk", "app"],
        &["history", "forget", "app"],
    ] {
        upstream.clear_log();
        let first = sandbox.process(["fetch", "--incremental", "-c", "slow.toml"]).start();
        wait::until("the first run is busy", || upstream.request_count("/index/sl/ow/slow") > 0);
        let second = sandbox.process(args).start();
        let expected = format!("Blocking waiting for `fetch` with pid {}, which uses the history", first.pid());
        wait_for_report(&second, &expected);
        assert_is_locked(&lock);
        first.terminate().exits(130);
        second.wait(TIMEOUT).ok();
    }
}

#[test]
fn of_a_download_by_two_runs() {
    let upstream = Upstream::start();
    let sandbox = sandbox_with_slow_input(&upstream);
    sandbox.write("other.toml", "[dependencies]\nslow = \"=1.0.0\"\n");
    let path = upstream.download_path("slow", "1.0.0");
    upstream.fault(&path, [Fault::Hang]);
    let first = sandbox.process(["fetch", "-c", "slow.toml"]).start();
    wait::until("the first run downloads", || upstream.request_count(&path) > 0);
    let second = sandbox.process(["fetch", "-c", "other.toml"]).start();
    let expected = format!("Blocking waiting for `fetch` with pid {}, which downloads slow 1.0.0", first.pid());
    wait_for_report(&second, &expected);
    assert_eq!(upstream.request_count(&path), 1, "the second run waits");
    first.terminate().exits(130);
    second.wait(TIMEOUT).ok();
}

/// A file that another process, as it were, has locked.
fn lock_as_other_process(path: &Path) -> File {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, "4711 fetch").unwrap();
    let file = File::options().append(true).open(path).unwrap();
    file.lock().unwrap();
    file
}

#[test]
fn of_the_folders_of_frostmirror_home() {
    let upstream = Upstream::start();
    let dist = DistServer::with_builder(Upstream::builder());
    dist.publish(&Release::stable("1.95.0", "2026-04-16").hosts(&[LINUX]).cross_targets(&[]));
    dist.publish_rustup(RUSTUP, &[LINUX], b"#!/bin/sh\n");
    let sandbox = sandbox_with_slow_input(&upstream).env("FROSTMIRROR_DIST_URL", dist.url());
    let who = "Blocking waiting for `fetch` with pid 4711, which";
    for (lock, what, args) in [
        ("scratch/lock", "uses `", &["fetch"][..]),
        ("cache/tmp/lock", "uses the cache `", &["fetch"]),
        ("cache/dist/lock", "downloads toolchains", &["fetch", "--target", LINUX]),
    ] {
        let held = lock_as_other_process(&sandbox.frostmirror_home().join(lock));
        let waiting = sandbox.process(args).start();
        wait_for_report(&waiting, &format!("{who} {what}"));
        drop(held);
        waiting.wait(TIMEOUT).ok();
    }
}

#[test]
fn of_the_mirror() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    BundleBuilder::new("a", 1).ship(Crate::new("json", "1.0.0")).write(&sandbox.path(""), "one.pkg");
    import(&mirror, &sandbox.path("one.pkg")).unwrap();
    let holder =
        Holder { pid: 4711, host: "elsewhere".into(), verb: "gc".into(), since: "2026-01-01T00:00:00Z".into() };
    for args in [
        &["import", "one.pkg", "--mirror", "mirror"][..],
        &["gc", "--mirror", "mirror"],
        &["verify", "--mirror", "mirror", "--rebuild-state"],
        &["export", "snapshot", "--mirror", "mirror", "-o", "out"],
        &["export", "vendor", "vendored", "--mirror", "mirror"],
        &["export", "local-registry", "registry", "--mirror", "mirror"],
    ] {
        let guard = lock_for_adding(&Layout::new(&mirror), Duration::ZERO, &holder, &NullSink).unwrap();
        let waiting = sandbox.process(args).start();
        wait_for_report(
            &waiting,
            "Blocking waiting for `gc` with pid 4711 on elsewhere since 2026-01-01T00:00:00Z, which has locked the mirror",
        );
        drop(guard);
        waiting.wait(TIMEOUT).ok();
    }
}
