//! What a hostile bundle must not be able to do: end the import of all others by a panic.

use std::fs;

use frostmirror::bundle::format::DistFileState;

use crate::bundle_builder::{BundleBuilder, all_files, assert_consistent, import, public_files};
use crate::bundle_hostile::{assert_refused, small_bundle};
use crate::support::crates::Crate;
use crate::support::sandbox::Sandbox;
use crate::support::server_fixture::get;
use crate::support::wait;

#[test]
fn an_overlong_version_anywhere_in_a_manifest_is_refused() {
    let long = format!("1.0.0-{}", "a".repeat(294));
    for state in ["shipped", "kept", "index-only"] {
        let bytes = small_bundle().bytes_with(|json| {
            json.replacen(r#""version":"1.0.0""#, &format!(r#""version":"{long}""#), 1).replacen(
                r#""state":"shipped""#,
                &format!(r#""state":"{state}""#),
                1,
            )
        });
        assert_refused(&bytes, &["the length of the version is 300, more than the limit of 150 bytes"]);
    }
}

#[test]
fn names_of_maximum_length_are_imported_and_longer_ones_refused() {
    let sandbox = Sandbox::new();
    let (mirror, folder) = (sandbox.path("mirror"), sandbox.path(""));
    let channel = |length: usize| {
        let fixed = "channel-rust-.toml".len();
        format!("dist/channel-rust-{}.toml", "a".repeat(length - fixed))
    };
    let version = format!("1.0.0-{}", "a".repeat(144));
    let make = |sequence| {
        BundleBuilder::new("a", sequence)
            .ship(Crate::new(&"n".repeat(64), &version))
            .dist_file(
                &channel(240),
                "manifest-version = \"2\"\ndate = \"2026-04-16\"\n[pkg]\n",
                DistFileState::Shipped,
            )
            .write(&folder, "long.pkg")
    };
    for sequence in [1, 2] {
        import(&mirror, &make(sequence)).unwrap();
    }
    assert_consistent(&mirror);
    sandbox.run(["verify", "--mirror", "mirror"]).exits(0);
    // The path of the first bundle's manifest, one byte longer.
    let forged = small_bundle().bytes_with(|json| {
        let record = format!(r#"{{"path":"{}","sha256":"{}","size":1,"state":"sent"}}"#, channel(241), "0".repeat(64));
        json.replacen(r#""lineage":"#, &format!(r#""artifacts":[{record}],"lineage":"#), 1)
    });
    assert_refused(&forged, &["a component is longer than 240 bytes"]);
}

#[test]
fn dist_paths_that_collide_on_other_file_systems_are_refused() {
    for (path, why) in [
        ("dist/caf\u{e9}.tar.xz", "beyond ASCII"),
        ("dist/2026-04-16/NUL.tar.xz", "reserves for a device"),
        ("rustup/com1/x", "reserves for a device"),
        ("dist/x ", "ends in a dot or a space"),
    ] {
        let bytes = small_bundle().bytes_with(|json| {
            let record = format!(r#"{{"path":"{path}","sha256":"{}","size":1,"state":"sent"}}"#, "0".repeat(64));
            json.replacen(r#""lineage":"#, &format!(r#""artifacts":[{record}],"lineage":"#), 1)
        });
        assert_refused(&bytes, &[why]);
    }
}

#[test]
fn the_watcher_survives_a_bundle_that_causes_a_panic() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("incoming")).unwrap();
    let bad = BundleBuilder::new("b", 1).ship(Crate::new("bad", "1.0.0")).write(&sandbox.path(""), "bad.pkg");
    let good = BundleBuilder::new("a", 1).ship(Crate::new("good", "1.0.0")).write(&sandbox.path(""), "good.pkg");
    let args = ["serve", "--bind", "127.0.0.1:0", "--mirror", "mirror", "--watch-incoming", "--incoming", "incoming"];
    let crash = [("FROSTMIRROR_CRASH_AT", "panic:import:entry:crates/bad-1.0.0.crate")];
    let serving = crate::support::sandbox::RunningServer::start(sandbox.process(args).envs(crash));
    fs::rename(bad, sandbox.path("incoming/bad.pkg")).unwrap();
    let reason = sandbox.path("incoming/failed/bad.pkg.reason.txt");
    wait::until("the bundle is refused", || fs::metadata(&reason).is_ok_and(|about| about.len() > 0));
    let reason = sandbox.read("incoming/failed/bad.pkg.reason.txt");
    assert!(reason.contains("a bug in cargo-frostmirror stopped the work at `crates/bad-1.0.0.crate`"), "{reason}");
    fs::rename(good, sandbox.path("incoming/good.pkg")).unwrap();
    wait::until("the next bundle is imported", || sandbox.path("incoming/done/good.pkg").exists());
    assert_eq!(get(serving.url(), "/healthz", &[]).status, 200);
    assert_eq!(get(serving.url(), "/index/go/od/good", &[]).status, 200);
    sandbox.run(["verify", "--mirror", "mirror"]).exits(0);
    assert_eq!(serving.stop().code, 0);
}

#[test]
fn a_stopped_watcher_makes_the_server_unhealthy() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("incoming")).unwrap();
    let args = ["serve", "--bind", "127.0.0.1:0", "--mirror", "mirror", "--watch-incoming", "--incoming", "incoming"];
    let crash = [("FROSTMIRROR_CRASH_AT", "panic:watch:look")];
    let serving = crate::support::sandbox::RunningServer::start(sandbox.process(args).envs(crash));
    wait::until("it is unhealthy", || get(serving.url(), "/healthz", &[]).status == 503);
    let health = get(serving.url(), "/healthz", &[]);
    assert!(health.text().contains("restart the server"), "{}", health.text());
    let metrics = get(serving.url(), "/metrics", &[]).text().to_owned();
    assert!(
        metrics.contains("frostmirror_watcher_failed 1\n") && metrics.contains("frostmirror_watching 0\n"),
        "{metrics}"
    );
    let status = || get(serving.url(), "/api/status", &[]).text();
    wait::until("the status says so", || status().contains("a bug ended the watcher"));
}

#[test]
fn a_panicking_import_names_the_entry_and_leaves_the_mirror_unchanged() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    let first = BundleBuilder::new("a", 1).ship(Crate::new("one", "1.0.0")).write(&sandbox.path(""), "one.pkg");
    import(&mirror, &first).unwrap();
    let before = all_files(&mirror);
    fs::create_dir(sandbox.path("in")).unwrap();
    let next = || BundleBuilder::new("a", 2).ship(Crate::new("one", "1.0.0").yanked()).ship(Crate::new("two", "1.0.0"));
    next().write(&sandbox.path("in"), "two.pkg");
    for (checkpoint, object) in [
        ("import:entry:crates/two-1.0.0.crate", "crates/two-1.0.0.crate"),
        ("commit:1", "the record of the import"),
        ("commit:5", "the record of the import"),
        ("commit:9", "the record of the import"),
    ] {
        let crash = [("FROSTMIRROR_CRASH_AT", format!("panic:{checkpoint}"))];
        let run = sandbox.process(["import", "in", "--mirror", "mirror"]).envs(crash).run().exits(1);
        let run = run.stderr_has("could not import two.pkg").stderr_has("please report it");
        run.stderr_has(&format!("a bug in cargo-frostmirror stopped the work at `{object}`"));
        assert_eq!(all_files(&mirror), before, "{checkpoint}");
    }
    // One of a folder says nothing of the others.
    BundleBuilder::new("c", 1).ship(Crate::new("three", "1.0.0")).write(&sandbox.path("in"), "three.pkg");
    let crash = [("FROSTMIRROR_CRASH_AT", "panic:import:entry:crates/two-1.0.0.crate")];
    let run = sandbox.process(["import", "in", "--mirror", "mirror"]).envs(crash).run();
    run.exits(1).stderr_has("1 of 2 bundles was not imported");
    assert!(public_files(&mirror).contains_key("crates/three-1.0.0.crate"));
    sandbox.run(["import", "in", "--mirror", "mirror"]).ok();
    sandbox.run(["verify", "--mirror", "mirror"]).exits(0);
}
