//! `-v` names each crate and file, `-vv` adds requests and what cargo prints. Secrets are never shown.

use std::collections::BTreeSet;
use std::fs::File;
use std::time::Duration;

use frostmirror::bundle::format::{DistFileRecord, DistFileState};
use frostmirror::digest::Sha256;
use serde_json::Value;

use crate::support::client::{Client, Project};
use crate::support::dist::release::Release;
use crate::support::dist::{DistServer, LINUX, RUSTUP};
use crate::support::forged_bundle::{FakeCrate, ForgedBundle};
use crate::support::process::RunningProcess;
use crate::support::sandbox::Sandbox;
use crate::support::upstream::{Fault, Upstream};
use crate::support::wait;

const DEPENDS: &str = "[dependencies]\nroot = \"1\"\n";

/// An upstream where `root` needs `leaf`.
fn upstream_with_root() -> Upstream {
    let upstream = Upstream::start();
    upstream.publish_all(&[("leaf", "1.0.0")]);
    upstream.publish(crate::support::crates::Crate::new("root", "1.2.0").dep("leaf", "1"));
    upstream
}

fn has_line(stderr: &str, verb: &str, start: &str) -> bool {
    stderr.lines().any(|line| line.strip_prefix(&format!("{verb:>12} ")).is_some_and(|rest| rest.starts_with(start)))
}

#[track_caller]
fn assert_lines(stderr: &str, lines: &[(&str, &str)]) {
    for (verb, start) in lines {
        assert!(has_line(stderr, verb, start), "no line `{verb} {start}…` in:\n{stderr}");
    }
}

#[test]
fn every_verb_names_what_it_reads_and_writes() {
    let (upstream, dist) = (upstream_with_root(), DistServer::with_builder(Upstream::builder()));
    dist.publish(&Release::stable("1.95.0", "2026-04-16").hosts(&[LINUX]).cross_targets(&[]));
    dist.publish_rustup(RUSTUP, &[LINUX], b"#!/bin/sh\n");
    let sandbox = Sandbox::new().upstream(&upstream).env("FROSTMIRROR_DIST_URL", dist.url());
    let platforms = format!("\n[platforms]\ntargets = [\"{LINUX}\"]\ntoolchain = \"stable\"\nprofile = \"minimal\"\n");
    sandbox.write("depends.toml", format!("{DEPENDS}{platforms}"));
    let fetched = sandbox.run(["fetch", "-v"]).ok();
    assert_lines(
        &fetched.stderr,
        &[
            ("Running", "`cargo generate-lockfile` for root = \"1\""),
            ("Resolved", "leaf 1.0.0"),
            ("Resolved", "root 1.2.0"),
            ("Downloading", "root 1.2.0"),
            ("Downloaded", "leaf 1.0.0 ("),
            ("Downloaded", "dist/2026-04-16/rustc-"),
            ("Packed", "crates/root-1.2.0.crate ("),
            ("Packed", "index/ro/ot/root ("),
            ("Packed", "dist/2026-04-16/rustc-"),
            ("Verified", "crates/root-1.2.0.crate"),
        ],
    );
    assert!(!fetched.stderr.contains("HTTP"), "{}", fetched.stderr);
    let bundle = fetched.path();
    let bundle = bundle.to_str().unwrap();
    let again = sandbox.run(["fetch", "-v", "-o", "again"]).ok();
    assert_lines(
        &again.stderr,
        &[("Reused", "root 1.2.0 from the download cache"), ("Reused", "dist/2026-04-16/rustc-")],
    );
    let verified = sandbox.run(["verify", "-v", bundle]).ok();
    assert_lines(
        &verified.stderr,
        &[("Checking", "`"), ("Verified", "crates/leaf-1.0.0.crate"), ("Verified", "index/ro/ot/root")],
    );
    let imported = sandbox.run(["import", "-v", bundle, "--mirror", "mirror"]).ok();
    assert_lines(
        &imported.stderr,
        &[
            ("Reading", "`"),
            ("Stored", "crates/leaf-1.0.0.crate"),
            ("Merged", "index/ro/ot/root"),
            ("Stored", "dist/2026-04-16/rustc-"),
        ],
    );
    let audited = sandbox.run(["verify", "-v", "--mirror", "mirror"]).ok();
    assert_lines(
        &audited.stderr,
        &[
            ("Checking", "the mirror `"),
            ("Verified", "crates/leaf-1.0.0.crate"),
            ("Verified", "index/le/af/leaf"),
            ("Verified", "dist/2026-04-16/rustc-"),
        ],
    );
    let exported = sandbox.run(["export", "local-registry", "-v", "out", "--mirror", "mirror"]).ok();
    assert_lines(&exported.stderr, &[("Exported", "leaf 1.0.0"), ("Exported", "root 1.2.0")]);
    for (args, lines) in [
        (&["inspect", bundle][..], &[("Reading", "the manifest of `")][..]),
        (&["list", bundle], &[("Reading", "the manifest of `")]),
        (&["list", "--mirror", "mirror"], &[("Reading", "the index in `")]),
        (&["status", "--mirror", "mirror"], &[("Reading", "`")]),
        (&["gc", "--mirror", "mirror", "--forget", "nothing"], &[("Reading", "the records in `")]),
    ] {
        let run = sandbox.process(args).args(["-v"]).run();
        assert_lines(&run.stderr, lines);
        let quiet = sandbox.process(args).run();
        assert!(!quiet.stderr.contains("Reading"), "{}", quiet.stderr);
    }
    let plain = sandbox.run(["fetch", "-o", "plain"]).ok();
    for (verb, start) in [("Running", ""), ("Downloading", ""), ("Reused", ""), ("Packed", "crates/")] {
        assert!(!has_line(&plain.stderr, verb, start), "{}", plain.stderr);
    }
}

#[test]
fn very_verbose_runs_show_requests_and_the_output_of_cargo() {
    let upstream = upstream_with_root();
    let sandbox = Sandbox::new().upstream(&upstream);
    sandbox.write("depends.toml", DEPENDS);
    let run = sandbox.run(["fetch", "-vv"]).ok();
    let line = run.stderr.lines().find(|line| line.contains("root/1.2.0/download")).unwrap_or_default();
    let rest = line.strip_prefix(&format!("        HTTP GET {}", upstream.base_url())).expect(line);
    let (_, rest) = rest.split_once(": 200, ").expect(line);
    let (bytes, rest) = rest.split_once(" bytes, ").expect(line);
    assert!(bytes.parse::<u64>().unwrap() > 100 && rest.ends_with(" ms, HTTP/1.1"), "{line}");
    assert_lines(&run.stderr, &[("Cargo", "Locking"), ("HTTP", "GET ")]);
    // The address of the index that cargo gets is a secret.
    let loopback = |line: &&str| line.contains("127.0.0.1:") && !line.contains(upstream.base_url());
    assert_eq!(run.stderr.lines().find(loopback), None);
}

#[test]
fn the_output_of_cargo_is_shown_while_it_runs() {
    let upstream = upstream_with_root();
    let sandbox = Sandbox::new().upstream(&upstream);
    sandbox.write("depends.toml", DEPENDS);
    sandbox.write("app/Cargo.toml", "[package]\nname = \"app\"\nversion = \"0.1.0\"\n\n[dependencies]\nroot = \"1\"\n");
    sandbox.write("app/src/lib.rs", "");
    // A cargo that waits for a file after its first line.
    let real = crate::support::process::sysroot().join("bin/cargo");
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *--config*) echo '   Waiting for the test' >&2\n\
         while [ ! -e \"$0.go\" ]; do sleep 0.02; done;; esac\nexec {} \"$@\"\n",
        real.display()
    );
    for args in [&["fetch", "-vv"][..], &["fetch", "-vv", "--manifest-path", "app/Cargo.toml"]] {
        let cargo = sandbox.path("bin/cargo");
        crate::support::process::write_program(&cargo, script.as_bytes());
        let running = sandbox.process(args).envs([("CARGO", &cargo)]).start();
        let is_shown = || has_line(&running.stderr(), "Cargo", "Waiting for the test");
        wait::until_with("the first line is shown", || running.stderr(), is_shown);
        let go = sandbox.write("bin/cargo.go", "");
        let run = running.wait(Duration::from_secs(60)).ok();
        assert_lines(&run.stderr, &[("Cargo", "Locking")]);
        std::fs::remove_file(go).unwrap();
    }
}

#[test]
fn the_terminal_settings_of_cargo_count_unless_a_variable_or_an_option_overrides_them() {
    let upstream = upstream_with_root();
    let sandbox = Sandbox::new().upstream(&upstream);
    sandbox.write("depends.toml", DEPENDS);
    let run = |config: &str, vars: &[(&str, &str)], flags: &[&str]| {
        sandbox.write(".cargo/config.toml", config);
        sandbox.process(["fetch"]).args(flags).envs(vars.iter().copied()).run().ok().stderr
    };
    let normal = run("", &[], &[]);
    assert!(has_line(&normal, "Packed", "") && !has_line(&normal, "Running", ""), "{normal}");
    let quiet = "[term]\nquiet = true\n";
    assert_eq!(run(quiet, &[], &[]), "");
    assert!(has_line(&run(quiet, &[("CARGO_TERM_QUIET", "false")], &[]), "Packed", ""));
    assert!(has_line(&run(quiet, &[], &["-v"]), "Running", ""));
    let verbose = "[term]\nverbose = true\n";
    assert!(has_line(&run(verbose, &[], &[]), "Running", ""));
    assert_eq!(run(verbose, &[], &["-q"]), "");
    let color = "[term]\ncolor = \"always\"\n";
    assert!(run(color, &[], &[]).contains("\u{1b}["));
    assert!(!run(color, &[("CARGO_TERM_COLOR", "never")], &[]).contains('\u{1b}'));
    assert!(!run(color, &[], &["--color", "never"]).contains('\u{1b}'));
    let invalid = run("[term]\ncolor = \"blue\"\n", &[], &[]);
    let expected = "/.cargo/config.toml` must be `auto`, `always` or `never`; the value is ignored";
    assert!(invalid.contains("warning: `term.color` in `") && invalid.contains(expected), "{invalid}");
}

#[test]
fn source_lines_in_errors_have_colors_where_colors_are_wanted() {
    let sandbox = Sandbox::new();
    sandbox.write("Cargo.lock", "version = 4\n\n[[package]]\nname = \"a\n");
    let plain = " --> Cargo.lock:4:10\n  |\n4 | name = \"a\n  |          ^\n";
    let gutter = |text: &str| format!("\u{1b}[1m\u{1b}[94m{text}\u{1b}[0m");
    let fetch = |flags: &[&str]| sandbox.process(["fetch", "--lockfile", "Cargo.lock"]).args(flags);
    fetch(&[]).run().exits(3).stderr_has(plain);
    let colored = fetch(&["--color", "always"]).run().exits(3).stderr;
    for text in [gutter("-->"), gutter("4 |"), "\u{1b}[1m\u{1b}[91m^\u{1b}[0m".to_owned()] {
        assert!(colored.contains(&text), "{text:?} in {colored:?}");
    }
    assert!(anstream::adapter::strip_str(&colored).to_string().contains(plain), "{colored:?}");
    let on_terminal = |vars: &[(&str, &str)]| {
        let process = fetch(&[]).envs([("TERM", "xterm-256color")]).envs(vars.iter().copied());
        process.start_on_terminal(100).wait().1
    };
    assert!(on_terminal(&[]).contains(&gutter("-->")));
    assert!(!on_terminal(&[("NO_COLOR", "1")]).contains('\u{1b}'));
}

#[test]
fn json_messages_follow_the_verbosity() {
    let upstream = upstream_with_root();
    let reasons = |flags: &[&str]| -> BTreeSet<String> {
        let sandbox = Sandbox::new().upstream(&upstream);
        sandbox.write("depends.toml", DEPENDS);
        let run = sandbox.process(["fetch", "--message-format", "json"]).args(flags).run().ok();
        assert_eq!(run.stderr, "");
        let objects = run.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        objects.map(|object| object["reason"].as_str().unwrap().to_owned()).collect()
    };
    let named = |names: &[&str]| -> BTreeSet<String> { names.iter().map(|name| (*name).to_owned()).collect() };
    assert_eq!(reasons(&["-q"]), named(&["bundle", "finished"]));
    let normal = ["begin", "bundle", "end", "finished", "status"];
    assert_eq!(reasons(&[]), named(&normal));
    assert_eq!(reasons(&["-v"]), named(&[&normal[..], &["detail"]].concat()));
    assert_eq!(reasons(&["-vv"]), named(&[&normal[..], &["detail", "http-request", "trace"]].concat()));
}

#[test]
fn the_most_verbose_output_contains_no_secret() {
    const SECRET: &str = "s3cr3t";
    let upstream =
        Upstream::builder().token(SECRET).dl(&format!("{{base}}/dl/{{crate}}/{{version}}?signature={SECRET}")).start();
    upstream.publish_all(&[("leaf", "1.0.0")]);
    let dist = DistServer::with_builder(Upstream::builder());
    dist.publish(&Release::stable("1.95.0", "2026-04-16").hosts(&[LINUX]).cross_targets(&[]));
    dist.publish_rustup(RUSTUP, &[LINUX], b"#!/bin/sh\n");
    let with_userinfo = |url: &str| url.replace("http://", &format!("http://me:{SECRET}@"));
    let sandbox = Sandbox::new()
        .without_env("FROSTMIRROR_REGISTRY_URL")
        .env("CARGO_REGISTRIES_CORP_TOKEN", SECRET)
        .env("FROSTMIRROR_DIST_URL", &with_userinfo(dist.url()))
        .env("CARGO_NET_RETRY", "1");
    std::fs::write(
        sandbox.cargo_home().join("config.toml"),
        format!(
            "[source.crates-io]\nreplace-with = \"corp\"\n[registries.corp]\nindex = \"sparse+{}\"\n",
            upstream.index_url()
        ),
    )
    .unwrap();
    let far = with_userinfo("http://127.0.0.1:9/far");
    let platforms = format!("\n[platforms]\ntargets = [\"{LINUX}\"]\ntoolchain = \"stable\"\nprofile = \"minimal\"\n");
    sandbox.write("depends.toml", format!("[dependencies]\nleaf = \"1\"\n{platforms}"));
    upstream.fault("/dl/leaf/1.0.0", [Fault::Reset]);
    dist.fault("/dist/channel-rust-stable.toml", [Fault::Status(503)]);
    for format in ["human", "json"] {
        let run = sandbox.run(["fetch", "-vv", "--message-format", format, "-o", format]).ok();
        let output = format!("{}{}", run.stdout, run.stderr);
        assert!(output.contains("/dl/leaf/1.0.0") || format == "json", "{}", run.describe());
        assert!(!output.contains(SECRET), "{}", run.describe());
    }
    // Cargo itself prints the address of a git repository.
    let app = Project::new("app")
        .table(&format!("[dependencies]\nfar = {{ git = \"{far}\" }}\n"))
        .write(&sandbox.path("app"));
    let run = sandbox.run_in(&app, ["fetch", "-vv"]);
    assert_ne!(run.code, 0);
    assert!(run.stderr.contains("127.0.0.1:9/far"), "{}", run.describe());
    let details: Vec<&str> = run.stderr.lines().filter(|line| line.contains(SECRET)).collect();
    assert_eq!(details, [""; 0]);
}

#[test]
fn names_chosen_by_others_cannot_control_the_terminal() {
    let sandbox = Sandbox::new();
    let name = "a\u{1b}[2J\n    Verified x\u{202e}.pkg";
    let made = tempfile::tempdir().unwrap();
    let crates = crate::support::forged_bundle::sample_crates();
    let bytes = std::fs::read(crate::support::forged_bundle::pack_to_path(&crates, made.path())).unwrap();
    sandbox.write(name, bytes);
    for args in [&["verify", name, "-vv"][..], &["inspect", name, "-vv"], &["import", name, "--mirror", "m", "-vv"]] {
        let run = sandbox.run(args).ok();
        let hostile = |char: char| (char.is_control() && char != '\n') || char == '\u{202e}';
        assert!(!run.stderr.contains(hostile), "{:?}", run.stderr);
        let is_named = run.stderr.contains("a\u{fffd}[2J\u{fffd}    Verified x\u{fffd}.pkg");
        assert!(is_named && !run.stderr.lines().any(|line| line.starts_with("    Verified x")), "{:?}", run.stderr);
    }
}

#[test]
fn a_path_in_a_bundle_cannot_control_the_terminal() {
    let sandbox = Sandbox::new();
    let mut forged = ForgedBundle::from_crates(&[FakeCrate::new("a", "1.0.0", 60)]);
    forged.manifest.dist_files.push(DistFileRecord {
        path: "dist/2026-04-16/\u{202e}zx.rat\u{2066}".parse().unwrap(),
        sha256: Sha256::of(b"std"),
        size: 3,
        state: DistFileState::Shipped,
        read_at: None,
    });
    sandbox.write("false.pkg", forged.bytes());
    for format in ["human", "json"] {
        let args = ["verify", "false.pkg"];
        for args in [&args[..], &["import", "false.pkg", "--mirror", "m"], &["inspect", "false.pkg"]] {
            let run = sandbox.run(args.iter().copied().chain(["--message-format", format])).exits(4);
            let text = format!("{}{}", run.stdout, run.stderr);
            assert!(text.contains("2026-04-16/") && !text.contains(['\u{202e}', '\u{2066}']), "{text:?}");
        }
    }
}

#[test]
fn retries_state_their_cause() {
    type Case<'c> = (Vec<Fault>, &'c str);
    let cases: [Case<'_>; 5] = [
        (vec![Fault::Status(503)], "HTTP 503 (attempt 2 of 3 in "),
        (vec![Fault::Pass, Fault::TooManyRequests(1)], ""),
        (vec![Fault::Reset], "the connection broke before a response arrived"),
        (vec![Fault::Truncated(50)], "the connection broke during the response body"),
        (vec![Fault::HangAfter(40)], "bytes arrived in 1 second (attempt 2 of 3 in "),
    ];
    for (script, cause) in cases {
        let upstream = upstream_with_root();
        let path = upstream.download_path("leaf", "1.0.0");
        upstream.fault(&path, script.clone());
        let sandbox = Sandbox::new().upstream(&upstream).env("CARGO_NET_RETRY", "2").env("CARGO_HTTP_TIMEOUT", "1");
        sandbox.write("depends.toml", DEPENDS);
        let run = sandbox.run(["fetch"]).ok();
        if cause.is_empty() {
            assert!(!run.stderr.contains("Retrying"), "{}", run.describe());
            continue;
        }
        let line = run.stderr.lines().find(|line| line.starts_with("    Retrying ")).unwrap_or_default();
        let start = format!("    Retrying {}{path}: ", upstream.base_url());
        let rest = line.strip_prefix(&start).unwrap_or_else(|| panic!("{script:?}: {}", run.describe()));
        assert!(rest.contains(cause), "{script:?}: {line}");
        assert!(rest.contains(" (attempt 2 of 3 in "), "{line}");
    }
    let sandbox = Sandbox::new().env("FROSTMIRROR_REGISTRY_URL", "http://127.0.0.1:9/").env("CARGO_NET_RETRY", "1");
    sandbox.write("depends.toml", DEPENDS);
    let run = sandbox.run(["fetch"]).exits(5);
    run.stderr_has("Retrying http://127.0.0.1:9/config.json: connection refused (attempt 2 of 2 in ");
    let sandbox = Sandbox::new()
        .without_env("http_proxy")
        .env("FROSTMIRROR_REGISTRY_URL", "http://no-such-host.invalid/")
        .env("CARGO_NET_RETRY", "1");
    sandbox.write("depends.toml", DEPENDS);
    let run = sandbox.run(["fetch"]).exits(5);
    run.stderr_has("Retrying http://no-such-host.invalid/config.json: the host name could not be resolved: ");
}

#[track_caller]
fn wait_for_line(running: &RunningProcess, text: &str) {
    wait::until_with(format!("the output contains `{text}`"), || running.stderr(), || running.stderr().contains(text));
}

fn lock_as(path: &std::path::Path, owner: &str) -> File {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, owner).unwrap();
    let file = File::options().append(true).open(path).unwrap();
    file.lock().unwrap();
    file
}

#[test]
fn waits_for_other_processes_are_reported_with_their_verb_and_pid() {
    let (upstream, dist) = (upstream_with_root(), DistServer::with_builder(Upstream::builder()));
    dist.publish(&Release::stable("1.95.0", "2026-04-16").hosts(&[LINUX]).cross_targets(&[]));
    dist.publish_rustup(RUSTUP, &[LINUX], b"#!/bin/sh\n");
    let sandbox = Sandbox::new().upstream(&upstream).env("FROSTMIRROR_DIST_URL", dist.url());
    let platforms = format!("\n[platforms]\ntargets = [\"{LINUX}\"]\ntoolchain = \"stable\"\nprofile = \"minimal\"\n");
    sandbox.write("depends.toml", format!("{DEPENDS}{platforms}"));
    let home = sandbox.frostmirror_home();
    for (path, text) in [
        ("history/lock", "Blocking waiting for `up` with pid 4711, which uses the history `"),
        ("cache/dist/lock", "Blocking waiting for `up` with pid 4711, which downloads toolchains"),
        ("cache/tmp/lock", "Blocking waiting for `up` with pid 4711, which uses the cache `"),
        ("scratch/lock", "Blocking waiting for `up` with pid 4711, which uses `"),
    ] {
        let lock = lock_as(&home.join(path), "4711 up");
        let running = sandbox.process(["fetch"]).start();
        wait_for_line(&running, text);
        drop(lock);
        running.wait(Duration::from_secs(60)).ok();
        std::fs::remove_dir_all(home.join("cache")).unwrap();
    }
    // The owner of a lock names itself.
    let slow = upstream.download_path("leaf", "1.0.0");
    upstream.fault_always(&slow, Fault::Hang);
    upstream.clear_log();
    let first = sandbox.process(["fetch", "--no-toolchain", "-o", "one"]).start();
    wait::until_with("the slow crate is requested", || first.stderr(), || upstream.request_count(&slow) > 0);
    let second = sandbox.process(["fetch", "--no-toolchain", "-o", "two"]).start();
    wait_for_line(
        &second,
        &format!("Blocking waiting for `fetch` with pid {}, which downloads leaf 1.0.0", first.pid()),
    );
    second.terminate().exits(130);
    first.terminate().exits(130);
}

#[test]
fn a_wait_for_the_mirror_is_reported_by_every_verb_that_locks_it() {
    let upstream = upstream_with_root();
    let sandbox = Sandbox::new().upstream(&upstream);
    sandbox.write("depends.toml", DEPENDS);
    let bundle = sandbox.run(["fetch"]).ok().path();
    let bundle = bundle.to_str().unwrap();
    sandbox.run(["import", bundle, "--mirror", "mirror"]).ok();
    let lock = File::options().append(true).open(sandbox.path("mirror/.frostmirror/lock")).unwrap();
    lock.lock().unwrap();
    let holder = r#"{"pid":4711,"host":"h","verb":"gc","since":"2026-01-01T00:00:00Z"}"#;
    sandbox.write("mirror/.frostmirror/holder", holder);
    for args in [
        &["import", bundle, "--mirror", "mirror"][..],
        &["gc", "--mirror", "mirror"],
        &["export", "local-registry", "out", "--mirror", "mirror"],
        &["export", "snapshot", "-o", "out", "--mirror", "mirror"],
        &["verify", "--mirror", "mirror", "--rebuild-state"],
    ] {
        let running = sandbox.process(args).start();
        wait_for_line(
            &running,
            "Blocking waiting for `gc` with pid 4711 on h since 2026-01-01T00:00:00Z, which has locked the mirror `",
        );
        // It can be interrupted while it waits.
        running.signal_group(rustix::process::Signal::INT);
        let run = running.wait(Duration::from_secs(60)).exits(130);
        run.stderr_has("error: interrupted");
    }
}

#[test]
fn a_wait_for_the_package_cache_is_reported() {
    let upstream = upstream_with_root();
    let sandbox = Sandbox::new().upstream(&upstream);
    let app = Project::new("app").dep("leaf", "1").write(&sandbox.path("app"));
    Client::with_index(&upstream.index_url()).cargo(&app, ["generate-lockfile"]).ok();
    let cache = File::create(sandbox.cargo_home().join(".package-cache")).unwrap();
    cache.lock().unwrap();
    let running = sandbox.process_in(&app, ["fetch"]).start();
    wait_for_line(&running, "Blocking waiting for file lock on package cache (another cargo has it)");
    drop(cache);
    running.wait(Duration::from_secs(60)).ok();
}

#[cfg(target_os = "linux")]
#[test]
fn the_process_on_a_port_that_is_in_use_is_named() {
    let sandbox = Sandbox::new();
    let serving = sandbox.serve(["--mirror", "mirror"]);
    let address = serving.url().strip_prefix("http://").unwrap();
    let run = sandbox.run(["serve", "--bind", address, "--mirror", "other"]).exits(3);
    let pid = serving.running().pid();
    run.stderr_has(&format!("hint: `cargo-frostmirror` with pid {pid} listens on port "));
}

#[test]
fn a_server_that_waits_for_the_mirror_says_so() {
    let upstream = upstream_with_root();
    let sandbox = Sandbox::new().upstream(&upstream);
    sandbox.write("depends.toml", DEPENDS);
    let bundle = sandbox.run(["fetch"]).ok().path();
    sandbox.run(["import", bundle.to_str().unwrap(), "--mirror", "mirror"]).ok();
    let lock = File::options().append(true).open(sandbox.path("mirror/.frostmirror/lock")).unwrap();
    lock.lock().unwrap();
    let holder = r#"{"pid":4711,"host":"h","verb":"gc","since":"2026-01-01T00:00:00Z"}"#;
    sandbox.write("mirror/.frostmirror/holder", holder);
    std::fs::create_dir(sandbox.path("incoming")).unwrap();
    let serving = sandbox.serve(["--mirror", "mirror", "--incoming", "incoming", "--watch-incoming"]);
    std::fs::copy(&bundle, sandbox.path("incoming/a.part")).unwrap();
    std::fs::rename(sandbox.path("incoming/a.part"), sandbox.path("incoming/a.pkg")).unwrap();
    wait_for_line(serving.running(), "`gc` with pid 4711 on h since 2026-01-01T00:00:00Z");
    drop(lock);
    serving.stop().ok();
}

#[test]
fn a_very_verbose_server_logs_its_requests_to_upstream() {
    let upstream = upstream_with_root();
    for (flags, vars, shown) in [
        (&["-vv"][..], &[][..], true),
        (&[], &[("RUST_LOG", "trace")], true),
        (&["-v"], &[], false),
        (&[], &[], false),
        (&["-vv", "--log-format", "json"], &[], true),
    ] {
        let sandbox = Sandbox::new().upstream(&upstream);
        let args = ["serve", "--bind", "127.0.0.1:0", "--mirror", "mirror", "--live"];
        let process = sandbox.process(args).args(flags).envs(vars.iter().copied());
        let serving = crate::support::sandbox::RunningServer::start(process);
        let mut client = crate::support::server_fixture::RawConnection::connect(serving.url());
        assert_eq!(client.request("GET", "/index/le/af/leaf", &[]).read_reply().status, 200);
        let run = serving.stop().ok();
        let has_request = run.stderr.contains(&format!("HTTP GET {}/index/le/af/leaf: 200, ", upstream.base_url()));
        assert_eq!(has_request, shown, "{flags:?} {vars:?}: {}", run.stderr);
    }
}
