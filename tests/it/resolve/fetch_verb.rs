//! `fetch` itself: the resolver and the downloads in the user's folders.

use std::fs;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::client::Project;
use crate::support::crates::Crate;
use crate::support::sandbox::Sandbox;
use crate::support::upstream::{Fault, Upstream};
use crate::support::wait;

#[test]
fn a_workspace_without_a_lock_is_resolved_in_a_copy_with_the_local_index() {
    let upstream = Upstream::start();
    upstream.publish(Crate::new("a", "1.0.0").dep("b", "^1"));
    upstream.publish_all(&[("b", "1.0.0"), ("b", "1.1.0")]);
    let sandbox = Sandbox::new().upstream(&upstream);
    let project = Project::new("app").dep("a", "1").write(&sandbox.path("app"));
    let before = sandbox.read_tree(&project);
    let run = sandbox.run_in(&project, ["fetch", "-o", "../out"]).ok().stderr_has("no Cargo.lock");
    assert_eq!(sandbox.read_tree(&project), before);
    let listed = sandbox.run(["list", run.path().to_str().unwrap()]).ok().stdout;
    assert!(listed.ends_with("\na 1.0.0\nb 1.1.0\n"), "{listed}");

    upstream.fault_always("/index/1/b", Fault::Status(503));
    let sandbox = Sandbox::new().upstream(&upstream).env("CARGO_NET_RETRY", "0");
    let project = Project::new("app").dep("a", "1").write(&sandbox.path("app"));
    sandbox.run_in(&project, ["fetch"]).exits(5).stderr_has("`b`").stderr_has("HTTP 503");
}

#[test]
fn a_failed_fetch_leaves_neither_bundle_nor_history_and_can_be_repeated() {
    let upstream = Upstream::start();
    upstream.publish_all(&[("a", "1.0.0"), ("b", "1.0.0"), ("c", "1.0.0")]);
    let sandbox = Sandbox::new().upstream(&upstream).env("CARGO_NET_RETRY", "0");
    sandbox.write("depends.toml", "[dependencies]\na = \"1\"\nb = \"1\"\nc = \"1\"\n");
    upstream.fault_always(&upstream.download_path("b", "1.0.0"), Fault::Status(404));
    sandbox.run(["fetch"]).exits(5).stderr_has("/b/1.0.0");
    let written = fs::read_dir(sandbox.path("output")).map_or(0, Iterator::count);
    assert_eq!(written, 0);
    assert!(!sandbox.frostmirror_home().join("history/lineage.json").exists());
    upstream.clear_faults();
    upstream.clear_log();
    sandbox.run(["fetch"]).ok();
    assert_eq!(upstream.downloads(), [upstream.download_path("b", "1.0.0")]);
    assert!(sandbox.frostmirror_home().join("history/lineage.json").exists());
}

#[test]
fn after_a_killed_fetch_only_missing_crates_are_downloaded() {
    let upstream = Upstream::start();
    upstream.publish_all(&[("a", "1.0.0"), ("b", "1.0.0"), ("c", "1.0.0")]);
    upstream.publish(Crate::new("slow", "1.0.0").with_extra_bytes(200_000));
    let sandbox = Sandbox::new().upstream(&upstream);
    sandbox.write("depends.toml", "[dependencies]\na = \"1\"\nb = \"1\"\nc = \"1\"\nslow = \"1\"\n");
    let slow = upstream.download_path("slow", "1.0.0");
    upstream.fault_always(&slow, Fault::HangAfter(50_000));
    let running = sandbox.process(["fetch"]).start();
    wait::until_with(
        "three crates are downloaded and the slow one is requested",
        || running.stderr(),
        || sandbox.cached_crates() >= 3 && upstream.request_count(&slow) > 0,
    );
    running.signal(Signal::KILL);
    drop(running);
    upstream.clear_faults();
    upstream.clear_log();
    sandbox.run(["fetch"]).ok();
    assert_eq!(upstream.downloads(), [slow]);
}

#[test]
fn resolving_a_workspace_can_be_interrupted() {
    let upstream = Upstream::start();
    upstream.publish_all(&[("a", "1.0.0")]);
    upstream.fault_always("/index/1/a", Fault::Hang);
    for args in [&["fetch"][..], &["init"], &["up", "--bind", "127.0.0.1:0"]] {
        let sandbox = Sandbox::new().upstream(&upstream);
        let project = Project::new("app").dep("a", "1").write(&sandbox.path("app"));
        upstream.clear_log();
        let running = sandbox.process_in(&project, args).start();
        wait::until_with(
            "the index file is requested",
            || running.stderr(),
            || upstream.request_count("/index/1/a") > 0,
        );
        running.signal(Signal::TERM);
        running.wait(Duration::from_secs(60)).exits(130).stderr_has("interrupted");
        assert_eq!(fs::read_dir(sandbox.root().join("tmp")).unwrap().count(), 0, "{args:?} left something behind");
        assert_eq!(fs::read_dir(sandbox.frostmirror_home().join("up")).map_or(0, Iterator::count), 0);
        assert!(!project.join("depends.toml").exists());
    }
}

/// A project whose lock names a package of an unsupported source: `from` in the manifest, `source` in the lock.
fn project_with(sandbox: &Sandbox, upstream: &Upstream, from: &str, source: &str) -> std::path::PathBuf {
    let cksum = &upstream.publish(Crate::new("a", "1.0.0")).cksum;
    let manifest = format!("a = \"1\"\nfar = {{ {from} }}\n");
    let lock = format!(
        "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\n\
         source = \"registry+https://github.com/rust-lang/crates.io-index\"\nchecksum = \"{cksum}\"\n\n\
         [[package]]\nname = \"app\"\nversion = \"0.1.0\"\ndependencies = [\n \"a\",\n \"far\",\n]\n\n\
         [[package]]\nname = \"far\"\nversion = \"0.1.0\"\nsource = \"{source}\"\n"
    );
    Project::new("app").table(&format!("[dependencies]\n{manifest}")).lockfile(&lock).write(&sandbox.path("app"))
}

#[test]
fn skipped_git_packages_need_not_be_reachable() {
    let upstream = Upstream::start();
    let sandbox = Sandbox::new().upstream(&upstream).env("CARGO_NET_RETRY", "0");
    let git = "git+http://127.0.0.1:9/far#0123456789012345678901234567890123456789";
    let project = project_with(&sandbox, &upstream, "git = \"http://127.0.0.1:9/far\"", git);
    sandbox.run_in(&project, ["fetch"]).exits(5).stderr_has("far 0.1.0 (git: http://127.0.0.1:9/far)");
    let run = sandbox.run_in(&project, ["fetch", "--skip-git", "-o", "../out"]).ok();
    run.stderr_has("is used unchanged").stderr_has("left out: far 0.1.0");
    sandbox.run_in(&project, ["init"]).ok().stderr_has("left out: far 0.1.0");
    assert!(fs::read_to_string(project.join("depends.toml")).unwrap().contains("a = \"1.0.0\""));
}

#[test]
fn skipped_git_repositories_are_not_contacted() {
    let upstream = Upstream::start();
    let sandbox = Sandbox::new().upstream(&upstream).env("CARGO_NET_RETRY", "0");
    // Nothing answers a connection, but it would be in the backlog.
    let git_host = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    git_host.set_nonblocking(true).unwrap();
    let url = format!("http://{}/far", git_host.local_addr().unwrap());
    let source = format!("git+{url}#0123456789012345678901234567890123456789");
    let project = project_with(&sandbox, &upstream, &format!("git = \"{url}\""), &source);
    let run = sandbox.run_in(&project, ["fetch", "--skip-git", "-o", "../out"]).ok();
    run.stderr_has("left out: far 0.1.0").stderr_has("without a check against the manifests");
    let contacted = git_host.accept();
    assert!(contacted.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock), "the git host was contacted");
}

#[test]
fn an_error_names_no_lockfile_that_does_not_exist() {
    let sandbox = Sandbox::new().upstream(&Upstream::start());
    let project = Project::new("app").write(&sandbox.path("app"));
    let run = sandbox.run_in(&project, ["fetch"]).exits(3).stderr_lacks("app/Cargo.lock");
    run.stderr_has(&format!("`{}` (no Cargo.lock was found there)", project.display()));
}

#[test]
fn the_crate_that_is_downloaded_for_its_lock_counts_as_downloaded() {
    let upstream = Upstream::start();
    upstream.publish(Crate::new("solo", "1.0.0"));
    let sandbox = Sandbox::new().upstream(&upstream);
    sandbox.run(["fetch", "--crate", "solo@1.0.0"]).ok().stderr_has("Gathered 1 crate (1 downloaded, ");
    sandbox.run(["fetch", "--crate", "solo@1.0.0"]).ok().stderr_has("Gathered 1 crate (all from the caches)");
}

#[test]
fn usage_errors_end_the_json_output_and_respect_the_color_setting() {
    let sandbox = Sandbox::new();
    for args in [
        &["fetch", "--bogus", "--message-format", "json"][..],
        &["--message-format=json", "fetch", "-j", "0"],
        &["--message-format=json"],
    ] {
        let run = sandbox.run(args).exits(2);
        let last: serde_json::Value = serde_json::from_str(run.stdout.lines().last().unwrap()).unwrap();
        assert_eq!(
            (&last["reason"], &last["success"], &last["exit_code"]),
            (&"finished".into(), &false.into(), &2.into())
        );
        assert!(!last["error"].as_str().unwrap().starts_with("error"), "{last}");
        assert_eq!(run.stderr, "");
    }
    // Requested help is data, not a report.
    sandbox.run(["fetch", "--message-format", "json", "--help"]).ok().stdout_has("Usage: cargo frostmirror fetch");
    let coloured = |run: crate::support::process::Run| run.stderr.contains("\u{1b}[");
    assert!(coloured(sandbox.run(["--color", "always", "fetch", "--bogus"]).exits(2)));
    assert!(!coloured(sandbox.run(["fetch", "--bogus"]).exits(2)));
    let always = Sandbox::new().env("CARGO_TERM_COLOR", "always");
    assert!(coloured(always.run(["fetch", "--bogus"]).exits(2)));
    assert!(!coloured(always.run(["fetch", "--bogus", "--color=never"]).exits(2)));
}

#[test]
fn a_fetch_interrupted_while_packing_leaves_nothing() {
    let upstream = Upstream::start();
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    for name in names {
        upstream.publish(Crate::new(name, "1.0.0").with_extra_bytes(8_000_000));
    }
    let sandbox = Sandbox::new().upstream(&upstream);
    let wanted: String = names.iter().map(|name| format!("{name} = \"1.0.0\"\n")).collect();
    sandbox.write("depends.toml", format!("[locked]\n{wanted}"));
    let left = || {
        let entries = fs::read_dir(sandbox.path("output")).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name()).collect::<Vec<_>>()
    };
    let running = sandbox.process(["fetch"]).start();
    wait::until_with("the bundle is being written", || running.stderr(), || !left().is_empty());
    running.terminate().exits(130);
    assert!(left().is_empty(), "{:?}", left());
    assert!(!sandbox.frostmirror_home().join("history/lineage.json").exists());
    assert_eq!(fs::read_dir(sandbox.root().join("tmp")).unwrap().count(), 0);
    sandbox.run(["fetch"]).ok();
}

#[test]
fn a_dry_run_reports_totals_in_json() {
    let upstream = Upstream::start();
    upstream.publish_all(&[("a", "1.0.0")]);
    let sandbox = Sandbox::new().upstream(&upstream);
    sandbox.write("depends.toml", "[dependencies]\na = \"1\"\n");
    sandbox.run(["fetch", "--dry-run"]).ok().stderr_has("Planned 1 crate; 1 to download, ");
    let run = sandbox.run(["fetch", "--dry-run", "--message-format", "json"]).ok();
    let objects = run.stdout.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let plan = objects.into_iter().find(|object| object["reason"] == "plan").unwrap();
    assert_eq!((&plan["crates"], &plan["to_download"], &plan["of_unknown_size"]), (&1.into(), &1.into(), &0.into()));
    assert!(plan["bytes"].as_u64().unwrap() > 0);
}

#[test]
fn cargos_offline_setting_is_reported() {
    let upstream = Upstream::start();
    upstream.publish_all(&[("a", "1.0.0")]);
    let sandbox = Sandbox::new().upstream(&upstream);
    sandbox.write("depends.toml", "[dependencies]\na = \"1\"\n");
    fs::write(sandbox.cargo_home().join("config.toml"), "[net]\noffline = true\n").unwrap();
    sandbox.run(["fetch"]).exits(5).stderr_has("Using only the caches, because cargo's `net.offline` is set");
    sandbox.run(["fetch", "--offline"]).exits(5).stderr_lacks("Using only the caches");
    assert_eq!(upstream.requests().len(), 0);
}

#[test]
fn a_patch_in_a_non_member_below_the_root_applies() {
    let upstream = Upstream::start();
    upstream.publish_all(&[("a", "1.0.0"), ("b", "1.0.0"), ("c", "1.0.0")]);
    let sandbox = Sandbox::new().upstream(&upstream);
    let patch = "[package]\nname = \"b\"\nversion = \"1.5.0\"\nedition = \"2021\"\n\
                 [dependencies]\nc = \"1\"\nd = { path = \"../d\" }\n";
    let d = "[package]\nname = \"d\"\nversion = \"0.1.0\"\n[lib]\npath = \"odd/place.rs\"\n";
    let project = Project::new("app").table("[dependencies]\na = \"1\"\nb = \"1\"\n");
    let project = project.table("[patch.crates-io]\nb = { path = \"patched/b\" }\n").main("fn main() {}");
    let project = project.file("patched/b/Cargo.toml", patch).file("patched/b/src/lib.rs", "");
    let project = project.file("patched/d/Cargo.toml", d).file("patched/d/odd/place.rs", "");
    let project = project.write(&sandbox.path("app"));
    let run = sandbox.run_in(&project, ["fetch", "-o", "../out"]).ok();
    let listed = crate::end_to_end::fixture_registry::bundle_crates(&sandbox, &run.path());
    let names: Vec<&str> = listed.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["a", "c"]);
}

#[test]
fn a_patch_in_cargo_home_applies() {
    let upstream = Upstream::start();
    upstream.publish_all(&[("a", "1.0.0"), ("b", "1.0.0"), ("c", "1.0.0")]);
    let sandbox = Sandbox::new().upstream(&upstream);
    let patch = "[package]\nname = \"b\"\nversion = \"1.5.0\"\nedition = \"2021\"\n[dependencies]\nc = \"1\"\n";
    let home = sandbox.cargo_home();
    let beside = home.parent().unwrap().join("patched");
    fs::create_dir_all(beside.join("src")).unwrap();
    fs::write(beside.join("Cargo.toml"), patch).unwrap();
    fs::write(beside.join("src/lib.rs"), "").unwrap();
    // Relative to the folder that cargo's home is in.
    fs::write(home.join("config.toml"), "[patch.crates-io]\nb = { path = \"patched\" }\n").unwrap();
    let project = Project::new("app").dep("a", "1").dep("b", "1").main("fn main() {}").write(&sandbox.path("app"));
    let run = sandbox.run_in(&project, ["fetch", "-o", "../out"]).ok();
    let listed = crate::end_to_end::fixture_registry::bundle_crates(&sandbox, &run.path());
    let names: Vec<&str> = listed.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["a", "c"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_failed_write_to_stdout_is_an_error() {
    let sandbox = Sandbox::new();
    let run = |rest: &str| {
        let script = format!("{{ '{}' setup; echo \"ended with $?\" >&2; }} {rest}", crate::support::sandbox::BINARY);
        crate::support::process::Process::new("/bin/sh", sandbox.root()).args(["-c", &script]).run()
    };
    run("> /dev/full").stderr_has("could not write to stdout").stderr_has("ended with 7");
    // A reader that has seen enough is none of our business.
    run("| :").stderr_has("ended with 0");
}
