//! A wait for another cargo is reported.

use std::fs::{self, File};
use std::time::Duration;

use crate::support::client::{Client, Project};
use crate::support::sandbox::Sandbox;
use crate::support::upstream::Upstream;
use crate::support::wait;

#[test]
fn a_wait_for_the_package_cache_of_another_cargo_is_reported() {
    let upstream = Upstream::start();
    upstream.publish_all(&[("a", "1.0.0")]);
    let sandbox = Sandbox::new().upstream(&upstream);
    let app = Project::new("app").dep("a", "1").write(&sandbox.path("app"));
    Client::with_index(&upstream.index_url()).cargo(&app, ["generate-lockfile"]).ok();
    fs::create_dir_all(sandbox.cargo_home()).unwrap();
    let cache = File::create(sandbox.cargo_home().join(".package-cache")).unwrap();
    cache.lock().unwrap();
    let mut running = sandbox.process_in(&app, ["fetch"]).start();
    wait::until_with(
        "the fetch reports that it waits",
        || running.stderr(),
        || running.stderr().contains("Blocking waiting for file lock on package cache (another cargo has it)"),
    );
    // It can be stopped meanwhile, and goes on once the lock is free.
    running.signal(rustix::process::Signal::TERM);
    running.wait(Duration::from_secs(20)).exits(130);
    running = sandbox.process_in(&app, ["fetch"]).start();
    wait::until_with(
        "the second fetch reports that it waits",
        || running.stderr(),
        || running.stderr().contains("Blocking"),
    );
    drop(cache);
    running.wait(Duration::from_secs(60)).ok();
}
