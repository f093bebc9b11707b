//! Packages of a lock that cargo reads but does not build, and packages that a fetch skipped.

use std::fs;

use super::{lockfile, package};
use crate::support::client::{Client, Project};
use crate::support::crates::Crate;
use crate::support::sandbox::Sandbox;
use crate::support::upstream::Upstream;
use frostmirror::inputs::lockfile::CRATES_IO_SOURCE;

const GIT: &str = "git+http://127.0.0.1:9/far#0123456789012345678901234567890123456789";

fn unused_patch(name: &str, source: &str) -> String {
    package(name, "1.0.0", source, "").replace("[[package]]", "[[patch.unused]]")
}

/// A project whose lock has an unused patch from git, a folder of its own, and an upstream.
fn with_git_patch() -> (Upstream, Sandbox, std::path::PathBuf) {
    let upstream = Upstream::start();
    upstream.publish(Crate::new("json", "1.0.0"));
    let sandbox = Sandbox::new().upstream(&upstream).env("CARGO_NET_RETRY", "0");
    let text =
        lockfile(&[Crate::new("json", "1.0.0")]).replace("0.1.0\"\n", "0.1.0\"\ndependencies = [\n \"json\",\n]\n");
    let project = Project::new("app").dep("json", "=1.0.0").lockfile(&(text + &unused_patch("far", GIT)));
    let project = project.table("[patch.crates-io]\nfar = { git = \"http://127.0.0.1:9/far\" }");
    let project = project.write(&sandbox.path("app"));
    (upstream, sandbox, project)
}

#[test]
fn an_unused_git_patch_is_reported_for_every_kind_of_input() {
    let (_upstream, sandbox, project) = with_git_patch();
    let named = "far 1.0.0 (git: http://127.0.0.1:9/far, an unused patch that cargo loads nevertheless)";
    for (args, code) in [(&["fetch", "--lockfile", "Cargo.lock"][..], 3), (&["fetch"], 5)] {
        sandbox.run_in(&project, args).exits(code).stderr_has(named).stderr_has("--skip-git");
    }
    sandbox.run_in(&project, ["init"]).ok().stderr_has(&format!("left out: {named}"));
    let depends = fs::read_to_string(project.join("depends.toml")).unwrap();
    assert!(depends.contains(&format!("#   {named}\n")), "{depends}");
    assert!(depends.contains("The workspace does not build without it"), "{depends}");

    // `fetch` says so too, and so does the bundle, until the comment no longer names the package.
    let run = sandbox.run_in(&project, ["fetch", "-o", "../listed"]).ok().stderr_has(&format!("left out: {named}"));
    let run = run.stderr_has("does not build from this bundle alone").stderr_has("[left out by `init`]");
    let bundle = run.path();
    let bundle = project.join(bundle);
    let lock = project.join("Cargo.lock");
    let args = ["verify", bundle.to_str().unwrap(), "--closure", lock.to_str().unwrap()];
    sandbox.run(args).exits(4).stdout_has("was fetched without it (left out by `init`)");
    let import = sandbox.run(["import", bundle.to_str().unwrap(), "--mirror", "mirror"]).ok();
    import.stderr_has("does not build from this mirror alone. It was fetched without far 1.0.0");
    let shorter = depends.lines().filter(|line| !line.contains("far 1.0.0")).collect::<Vec<_>>().join("\n");
    fs::write(project.join("depends.toml"), shorter).unwrap();
    let run = sandbox.run_in(&project, ["fetch", "-o", "../shorter"]).ok();
    run.stderr_lacks("left out").stderr_lacks("does not build");
}

#[test]
fn missing_git_packages_are_reported_on_both_sides() {
    let (_upstream, sandbox, project) = with_git_patch();
    let args = ["fetch", "--lockfile", "Cargo.lock", "--skip-git", "-o", "../out"];
    let run = sandbox.run_in(&project, args).ok();
    let end = run.stderr.lines().rev().take(2).collect::<Vec<_>>();
    assert!(
        end[1].ends_with("does not build from this bundle alone. The importing side also needs 1 package:"),
        "{end:?}"
    );
    assert!(end[0].contains("far 1.0.0 (git: http://127.0.0.1:9/far") && end[0].ends_with("[--skip-git]"), "{end:?}");
    let bundle = run.path();
    let bundle = bundle.to_str().unwrap();
    // Again with nothing new: it is still no set that builds.
    let again: Vec<&str> = args.into_iter().chain(["--incremental"]).collect();
    sandbox.run_in(&project, &again).ok().stderr_has("nothing new").stderr_has("does not build from this bundle");

    sandbox.run(["inspect", bundle]).ok().stdout_has("Left out (1)").stdout_has("--skip-git");
    let import = sandbox.run(["import", bundle, "--mirror", "mirror"]).ok();
    import.stderr_has("does not build from this mirror alone. It was fetched without far 1.0.0");
    let gap = "far 1.0.0: a bundle cannot contain it, because it is from git: http://127.0.0.1:9/far (an unused patch that cargo loads nevertheless); `";
    let lock = project.join("Cargo.lock");
    let closure = ["--closure", lock.to_str().unwrap()];
    for subject in [vec!["verify", bundle], vec!["verify", "--mirror", "mirror"]] {
        let run = sandbox.run(subject.into_iter().chain(closure)).exits(4);
        run.stdout_has(gap)
            .stdout_has("` was fetched without it (--skip-git)\n")
            // `cargo vendor` does not copy it.
            .stderr_has("hint: remove the unused entries of `[patch]`")
            .stderr_lacks("cargo vendor");
    }
    let written =
        sandbox.run(["fetch", "--lockfile", lock.to_str().unwrap(), "--skip-git", "--message-format", "json"]).ok();
    let objects = written.stdout.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let written = objects.into_iter().find(|object| object["reason"] == "bundle").unwrap();
    assert_eq!(written["left_out"][0]["why"], "--skip-git", "{written}");
}

#[test]
fn of_several_inputs_that_skipped_a_package_the_own_one_is_named() {
    let upstream = Upstream::start();
    let sandbox = Sandbox::new().upstream(&upstream).env("CARGO_NET_RETRY", "0");
    let project = |name: &str, dependency: &str| {
        let used = Crate::new(dependency, "1.0.0");
        upstream.publish(used.clone());
        let root = format!("name = \"{name}\"\nversion = \"0.1.0\"\ndependencies = [\n \"{dependency}\",\n]\n");
        let text = lockfile(&[used]).replace("name = \"app\"\nversion = \"0.1.0\"\n", &root);
        assert!(text.contains(&root), "{text}");
        let project = Project::new(name).dep(dependency, "=1.0.0").lockfile(&(text + &unused_patch("far", GIT)));
        let project = project.table("[patch.crates-io]\nfar = { git = \"http://127.0.0.1:9/far\" }");
        project.write(&sandbox.path(name)).join("Cargo.lock")
    };
    let (app, tool) = (project("app", "json"), project("tool", "leaf"));
    let both = ["fetch", "--lockfile", "app/Cargo.lock", "--lockfile", "tool/Cargo.lock", "--skip-git"];
    let together = sandbox.run(both).ok().path();
    sandbox.run(["import", together.to_str().unwrap(), "--mirror", "mirror"]).ok();
    // A copy has no label of its own, so its crates decide.
    sandbox.write("copies/my.lock", fs::read_to_string(&tool).unwrap());
    let foreign_only = lockfile(&[]) + &unused_patch("far", GIT);
    sandbox.write("copies/less.lock", foreign_only);
    let (copy, less) = (sandbox.path("copies/my.lock"), sandbox.path("copies/less.lock"));
    let all =
        "; these inputs were fetched without it: `app (Cargo.lock)` (--skip-git), `tool (Cargo.lock)` (--skip-git)";
    for (lock, named, other) in [
        (&app, "; `app (Cargo.lock)` was fetched without it (--skip-git)\n", "`tool"),
        (&tool, "; `tool (Cargo.lock)` was fetched without it (--skip-git)\n", "`app"),
        (&copy, "; `tool (Cargo.lock)` was fetched without it (--skip-git)\n", "`app"),
        (&less, all, "was fetched"),
    ] {
        for subject in [&["verify", together.to_str().unwrap()][..], &["verify", "--mirror", "mirror"]] {
            let args = subject.iter().copied().chain(["--closure", lock.to_str().unwrap()]);
            sandbox.run(args).exits(4).stdout_has(named).stdout_lacks(other);
        }
    }
}

#[test]
fn an_unreachable_git_host_is_a_network_error() {
    let upstream = Upstream::start();
    let sandbox = Sandbox::new().upstream(&upstream).env("CARGO_NET_RETRY", "0");
    let project = Project::new("app").table("[dependencies]\nfar = { git = \"http://127.0.0.1:9/far\" }");
    let project = project.write(&sandbox.path("app"));
    for args in [&["fetch"][..], &["init"]] {
        let run = sandbox.run_in(&project, args).exits(5).stderr_has("http://127.0.0.1:9/far");
        run.stderr_has("use that Cargo.lock: with it, `cargo frostmirror fetch --skip-git` can exclude git packages");
    }
    // A lock shows which packages can be left out.
    let (_upstream, sandbox, project) = with_git_patch();
    let run = sandbox.run_in(&project, ["fetch"]).exits(5).stderr_has("far 1.0.0 (git: http://127.0.0.1:9/far");
    run.stderr_has("or exclude these packages with `cargo frostmirror fetch --skip-git`");
    sandbox.run_in(&project, ["fetch", "--skip-git", "-o", "../out"]).ok();
}

#[test]
fn an_unused_registry_patch_is_shipped_and_found_by_cargo() {
    let upstream = Upstream::start();
    upstream.publish_all(&[("json", "1.0.0"), ("patched", "1.0.0"), ("patched", "1.1.0")]);
    let sandbox = Sandbox::new().upstream(&upstream);
    let elsewhere = "[patch.\"sparse+http://127.0.0.1:9/index/\"]\npatched = \"=1.0.0\"";
    let project = Project::new("app").dep("json", "1").table(elsewhere).write(&sandbox.path("app"));
    let text = Client::with_index(&upstream.index_url()).lock(&project);
    assert!(text.contains(unused_patch("patched", CRATES_IO_SOURCE).trim_end()), "{text}");
    let path = project.join("Cargo.lock");
    let path = path.to_str().unwrap();
    // Without it, the proof must not hold.
    sandbox.write("less.lock", text.split("[[patch").next().unwrap());
    let less = sandbox.run(["fetch", "--lockfile", "less.lock", "-o", "less"]).ok().path();
    let gap = "patched 1.0.0: is missing (an unused patch or a replaced package, whose index line cargo reads)\n";
    sandbox.run(["verify", less.to_str().unwrap(), "--closure", path]).exits(4).stdout_has(gap);

    for args in [&["fetch", "--lockfile", path, "-o", "out"][..], &["fetch", "--manifest-path", "app/Cargo.toml"]] {
        let bundle = sandbox.run(args).ok().path();
        let bundle = bundle.to_str().unwrap();
        sandbox.run(["verify", bundle, "--closure", path]).ok().stdout_has("OK -- closure of 2 packages\n");
        sandbox.run(["import", bundle, "--mirror", "mirror"]).ok();
    }
    sandbox.run(["verify", "--mirror", "mirror", "--closure", path]).ok();
    let serving = sandbox.serve(["--mirror", "mirror"]);
    let client = Client::with_index(&format!("{}/index/", serving.url()));
    client.cargo(&project, ["metadata", "--locked", "--format-version", "1"]).ok();
    client.cargo(&project, ["fetch", "--locked"]).ok();
    sandbox.run_in(&project, ["init"]).ok();
    assert!(fs::read_to_string(project.join("depends.toml")).unwrap().contains("patched = \"1.0.0\""));
}
