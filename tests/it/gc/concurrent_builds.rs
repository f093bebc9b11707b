//! The real cargo builds what stays current while collections run.

use std::sync::atomic::{AtomicBool, Ordering};

use super::{assert_records_agree, stored_and_indexed_crates};
use crate::bundle_builder::{BundleBuilder, assert_consistent};
use crate::support::client::{Client, Project};
use crate::support::crates::Crate;
use crate::support::sandbox::Sandbox;

#[test]
fn current_crates_build_while_gc_runs() {
    let sandbox = Sandbox::new();
    let base = Crate::new("base", "1.0.0");
    let top = Crate::new("top", "1.0.0").dep("base", "^1");
    let steady = BundleBuilder::new("a", 1).ship(base.clone()).ship(top);
    steady.write(&sandbox.path(""), "steady.pkg");
    sandbox.run(["import", "steady.pkg", "--mirror", "mirror"]).ok();
    let serving = sandbox.serve(["--mirror", "mirror"]);
    let app = Project::new("app").dep("top", "=1.0.0").dep("base", "=1.0.0").write(&sandbox.path("app"));
    let printed = sandbox.run(["setup", "--url", serving.url()]).ok().stdout;
    let client = Client::new().config(&printed);
    client.lock(&app);

    let done = AtomicBool::new(false);
    let builds = std::thread::scope(|scope| {
        let building = scope.spawn(|| {
            let mut builds = 0;
            while !done.load(Ordering::Relaxed) || builds < 3 {
                client.clear_caches();
                client.cargo(&app, ["build", "--locked", "--quiet"]).ok();
                std::fs::remove_dir_all(app.join("target")).unwrap();
                builds += 1;
            }
            builds
        });
        // Another history comes and goes beside it, in the very same index files.
        for round in 1..=12u64 {
            let version = format!("1.0.{round}");
            let make = BundleBuilder::new("b", round)
                .ship(Crate::new("base", &version))
                .ship(Crate::new("top", &version).dep("base", &format!("={version}")))
                .ship(Crate::new(&format!("passing{round}"), "1.0.0").dep("top", &format!("={version}")));
            make.write(&sandbox.path(""), "passing.pkg");
            sandbox.run(["import", "passing.pkg", "--mirror", "mirror"]).ok();
            let grace = if round % 2 == 0 { "0" } else { "10m" };
            sandbox.run(["gc", "--grace", grace, "--mirror", "mirror"]).ok();
            assert_consistent(&sandbox.path("mirror"));
        }
        done.store(true, Ordering::Relaxed);
        building.join().unwrap()
    });
    assert!(builds >= 3);
    assert_records_agree(&sandbox.path("mirror"));
    let (files, listed) = stored_and_indexed_crates(&sandbox.path("mirror"));
    assert_eq!(files, listed);
    assert_eq!(files.len(), 5, "{files:?}");
}
