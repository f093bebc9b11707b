//! A snapshot of a live mirror serves each Cargo.lock that was built through it: cargo reads the index lines of all locked
//! packages, and downloads only those of its platform and of the enabled features.

use super::*;

const WINDOWS: &str = "cfg(windows)";

/// An upstream with crates for one platform, for none, and for a feature.
fn publish_conditional_crates(upstream: &Upstream) {
    upstream.publish(Crate::new("handle", "1.0.0"));
    upstream.publish(Crate::new("win-sys", "0.3.9").dep("handle", "^1"));
    upstream.publish(Crate::new("win-sys", "0.4.0"));
    upstream.publish(Crate::new("never", "1.2.0"));
    upstream.publish(Crate::new("color", "2.0.0"));
    upstream.publish(Crate::new("shared", "1.0.0"));
    upstream.publish(Crate::new("shared", "1.0.1"));
    upstream.publish(
        Crate::new("text", "1.0.0")
            .dep("never", "^1")
            .target("cfg(any())")
            .dep("color", "^2")
            .optional()
            .dep("win-sys", "^0.3")
            .target(WINDOWS)
            .dep("shared", "^1")
            .target(WINDOWS),
    );
}

/// A project with a dependency for Windows, and one for a feature that nothing enables.
fn write_project(sandbox: &Sandbox) -> PathBuf {
    Project::new("app")
        .dep("text", "1")
        .table("[dependencies.color]\nversion = \"2\"\noptional = true")
        .dep_for_target(WINDOWS, "win-sys", "0.4")
        .write(&sandbox.path("app"))
}

#[test]
fn a_lock_with_optional_and_windows_packages_builds_from_the_snapshot() {
    let upstream = Upstream::start();
    publish_conditional_crates(&upstream);
    let live = LiveServer::in_front_of(upstream, "");
    let (client, app) = (live.client(), write_project(&live.sandbox));
    // Another project has an older version of a crate that this lock names.
    assert_eq!(live.status_of("/crates/shared-1.0.0.crate"), 200);
    client.lock(&app);
    let target = live.sandbox.path("target");
    let build = ["build", "--locked", "--target-dir", target.to_str().unwrap()];
    let check = ["verify", "--mirror", "mirror", "--closure", "app/Cargo.lock"];
    let run = live.sandbox.run(check).exits(4);
    run.stdout_has("text 1.0.0: is missing\n");
    client.cargo(&app, build).ok();
    live.wait_for_stored_crates(2);
    assert_eq!(live.stored_files(), ["shared-1.0.0.crate", "text-1.0.0.crate"]);
    let run = live.sandbox.run(check).ok();
    run.stderr_has("no client of live mode downloaded 6 packages").stderr_has("color 2.0.0, handle 1.0.0, never 1.2.0");
    live.verify().ok();
    live.sandbox
        .run(["export", "snapshot", "--mirror", "mirror", "-o", "out"])
        .ok()
        .stderr_has("index lines of 5 crates");
    live.sandbox.run(["export", "local-registry", "--mirror", "mirror", "registry"]).ok();
    let LiveServer { sandbox, upstream, serving } = live;
    serving.stop();
    drop(upstream);

    let far = Sandbox::new();
    let bundle = fs::read_dir(sandbox.path("out")).unwrap().next().unwrap().unwrap().path();
    far.run(["verify", bundle.to_str().unwrap()]).ok();
    far.run(["import", "--mirror", "mirror", bundle.to_str().unwrap()]).ok();
    far.run(["gc", "--mirror", "mirror", "--grace", "0s"]).ok();
    let lock = app.join("Cargo.lock");
    let run = far.run(["verify", "--mirror", "mirror", "--closure", lock.to_str().unwrap()]).ok();
    run.stderr_has("6 packages are in the index only, left out by a platform filter or never downloaded in live mode");
    far.run(["verify", "--mirror", "mirror"]).ok();
    let serving = far.serve(["--mirror", "mirror"]);
    fs::remove_dir_all(&target).unwrap();
    Client::with_index(&format!("{}/index/", serving.url())).cargo(&app, build).ok();

    // A new lock never gets a version without a file where the mirror has another.
    let fresh = Project::new("fresh").dep("shared", "1").write(&far.path("fresh"));
    let offline = Client::with_index(&format!("{}/index/", serving.url()));
    assert!(offline.lock(&fresh).contains("name = \"shared\"\nversion = \"1.0.0\""));
    // A crate of which the mirror has no version stays selectable.
    offline.cargo(&app, ["update", "-p", "never"]).ok();

    let registry = sandbox.path("registry");
    let source = format!(
        "[source.crates-io]\nreplace-with = \"local\"\n[source.local]\nlocal-registry = \"{}\"\n",
        registry.display()
    );
    fs::remove_dir_all(&target).unwrap();
    Client::new().config(&source).cargo(&app, build).ok();
}

#[test]
fn a_crate_that_a_stored_one_needs_is_missing_although_live_mode_offered_it() {
    let live = LiveServer::new();
    let (client, app) = (live.client(), write_app(&live));
    client.lock(&app);
    assert_eq!(live.status_of("/crates/Mid_Case-0.3.0+build.7.crate"), 200);
    live.wait_for_stored_crates(1);
    let run = live.sandbox.run(["verify", "--mirror", "mirror", "--closure", "app/Cargo.lock"]).exits(4);
    run.stdout_has("leaf 1.1.0: is missing, but Mid_Case 0.3.0+build.7 needs it\n");
}

#[test]
fn a_bundle_replaces_an_index_line_of_a_snapshot() {
    let live = LiveServer::new();
    assert_eq!(live.status_of("/crates/leaf-1.1.0.crate"), 200);
    live.wait_for_stored_crates(1);
    live.sandbox.run(["export", "snapshot", "--mirror", "mirror", "-o", "out"]).ok();
    let far = Sandbox::new().upstream(&live.upstream);
    let bundle = |sandbox: &Sandbox| fs::read_dir(sandbox.path("out")).unwrap().next().unwrap().unwrap().path();
    far.write("depends.toml", "[dependencies]\nleaf = \"=1.0.0\"\n");
    far.run(["fetch", "-o", "out"]).ok();
    for order in [[bundle(&live.sandbox), bundle(&far)], [bundle(&far), bundle(&live.sandbox)]] {
        let mirror = far.path("mirror");
        for file in order {
            far.run(["import", "--mirror", "mirror", file.to_str().unwrap()]).ok();
        }
        let text = fs::read_to_string(mirror.join("index/le/af/leaf")).unwrap();
        assert!(!text.contains(r#""yanked":true"#) && text.lines().count() == 2, "{text}");
        far.run(["verify", "--mirror", "mirror"]).ok();
        fs::remove_dir_all(mirror).unwrap();
    }
}
