//! `up`: a laptop that fetches, imports and serves for itself, today, later, and without a network.

use std::fs;

use crate::end_to_end::fixture_registry::{FixtureRegistry, files_below};
use crate::support::client::{Client, Project};
use crate::support::crates::Crate;
use crate::support::http_client::get;
use crate::support::sandbox::{RunningServer, Sandbox};
use crate::support::upstream::Fault;
use crate::support::wait;

fn start_up(sandbox: &Sandbox, folder: &std::path::Path, args: &[&str]) -> RunningServer {
    RunningServer::start(sandbox.process_in(folder, ["up", "--bind", "127.0.0.1:0"].iter().chain(args)))
}

/// A client with the configuration that `up` printed.
fn client_for(serving: &RunningServer) -> Client {
    let output = serving.running().stdout();
    let start = output.find("[source.crates-io]").expect("the configuration was printed");
    let end = output.find("listening on").unwrap();
    Client::new().config(&output[start..end])
}

#[test]
fn up_serves_the_project_and_a_second_run_downloads_nothing() {
    let mut world = FixtureRegistry::new();
    let sandbox = world.sandbox();
    let project = Project::new("app").dep("engine", "1").main("fn main() { println!(\"{}\", engine::VERSION); }");
    let lock = world.lockfile_of(&project);
    let app = project.lockfile(&lock).write(&sandbox.path("app"));
    let serving = start_up(&sandbox, &app, &[]);
    assert_eq!(get(&format!("{}/index/config.json", serving.url())).status, 200);
    let run = client_for(&serving).cargo(&app, ["run", "--locked", "--quiet"]).ok();
    assert_eq!(run.line(), "1.2.0");
    let first = serving.stop().ok();
    assert!(first.stderr.contains("Cargo.lock"), "{}", first.describe());

    world.upstream.clear_log();
    let serving = start_up(&sandbox, &app, &[]);
    assert_eq!(world.upstream.downloads(), [""; 0]);
    let second = serving.stop().ok();
    assert!(second.stderr.contains("Unchanged"), "{}", second.describe());

    // Something new: only that is downloaded, and the earlier stays.
    world.publish(Crate::new("extra", "0.1.0"));
    let wider = Project::new("app").dep("engine", "1").dep("extra", "0.1");
    let lock = world.lockfile_of(&wider);
    wider.lockfile(&lock).write(&app);
    world.upstream.clear_log();
    let serving = start_up(&sandbox, &app, &[]);
    assert_eq!(world.upstream.downloads(), [world.upstream.download_path("extra", "0.1.0")]);
    client_for(&serving).cargo(&app, ["build", "--locked"]).ok();
    serving.stop().ok();

    // The user's own folders are none of its business, and its own holds no bundle.
    assert!(!app.join("output").exists());
    assert!(!sandbox.frostmirror_home().join("history").exists());
    let own = files_below(&sandbox.frostmirror_home().join("up"));
    assert_eq!(own, [sandbox.frostmirror_home().join("up/history")]);

    drop(world);
    let sandbox = sandbox.env("CARGO_NET_RETRY", "0");
    let serving = start_up(&sandbox, &app, &[]);
    client_for(&serving).cargo(&app, ["build", "--locked"]).ok();
    let output = serving.stop().ok();
    assert!(output.stderr.contains("warning: ") && output.stderr.contains("not updated"), "{}", output.describe());
}

#[test]
fn offline_up_serves_the_cached_crates() {
    let world = FixtureRegistry::new();
    let sandbox = world.sandbox();
    sandbox.write("depends.toml", "[dependencies]\ngears = \"1\"\n");
    let here = sandbox.path("");
    start_up(&sandbox, &here, &[]).stop().ok();
    world.upstream.clear_log();
    let serving = start_up(&sandbox, &here, &["--offline"]);
    assert_eq!(get(&format!("{}/index/ge/ar/gears", serving.url())).status, 200);
    assert!(world.upstream.requests().is_empty());
    // The pages and the API are those of `serve`, without live mode.
    for (path, has) in
        [("/setup", "For clients of"), ("/api/status", "\"crates\""), ("/api/v1/crates?q=gears", "gears")]
    {
        let reply = get(&format!("{}{path}", serving.url()));
        let text = String::from_utf8_lossy(&reply.body);
        assert!(reply.status == 200 && text.contains(has), "{path}: {text}");
    }
    let config: serde_json::Value =
        serde_json::from_slice(&get(&format!("{}/api/config", serving.url())).body).unwrap();
    assert_eq!(config["proxy_mode"]["fixed_by"], "`up`");
    serving.stop().ok().stderr_has("Unchanged").stderr_has("in a browser");
}

#[test]
fn a_first_run_without_network_fails_and_input_errors_are_always_reported() {
    let world = FixtureRegistry::new();
    let sandbox = world.sandbox().env("CARGO_NET_RETRY", "0");
    let here = sandbox.path("");
    sandbox.write("depends.toml", "[dependencies]\ngears = \"1\"\n");
    let dead = Sandbox::new().env("FROSTMIRROR_REGISTRY_URL", "http://127.0.0.1:9/").env("CARGO_NET_RETRY", "0");
    dead.write("depends.toml", "[dependencies]\ngears = \"1\"\n");
    dead.run(["up", "--bind", "127.0.0.1:0"]).exits(5);
    start_up(&sandbox, &here, &[]).stop().ok();
    sandbox.write("depends.toml", "[dependencies]\ngears = \"7\"\n");
    let run = sandbox.run(["up", "--bind", "127.0.0.1:0"]).exits(3);
    assert!(!run.stdout.contains("listening"), "{}", run.describe());
    fs::remove_file(sandbox.path("depends.toml")).unwrap();
    sandbox.run(["up", "--bind", "127.0.0.1:0"]).exits(3);
}

#[test]
fn rustup_variables_are_printed_only_with_toolchains() {
    let world = FixtureRegistry::new();
    let sandbox = world.sandbox().env("FROSTMIRROR_MIRROR", "mirror");
    sandbox.write("depends.toml", "[dependencies]\nleaf = \"0.3\"\n");
    let here = sandbox.path("");
    let without = start_up(&sandbox, &here, &[]).stop().ok();
    assert!(!without.stdout.contains("RUSTUP"), "{}", without.describe());
    sandbox.write("mirror/dist/channel-rust-stable.toml", "manifest-version = \"2\"\n");
    let serving = start_up(&sandbox, &here, &[]);
    let url = serving.url().to_owned();
    let run = serving.stop().ok().stdout_has(&format!("export RUSTUP_UPDATE_ROOT='{url}/rustup'\n"));
    run.stdout_has(&format!("index = \"sparse+{url}/index/\"")).stdout_has("$env:RUSTUP_DIST_SERVER");
}

#[test]
fn the_mirror_and_bind_address_may_come_from_the_environment() {
    let world = FixtureRegistry::new();
    let sandbox = world.sandbox().env("FROSTMIRROR_MIRROR", "elsewhere").env("FROSTMIRROR_BIND", "127.0.0.1:0");
    sandbox.write("depends.toml", "[dependencies]\nleaf = \"0.3\"\n");
    RunningServer::start(sandbox.process(["up"])).stop().ok();
    assert!(sandbox.path("elsewhere/crates/leaf-0.3.0.crate").is_file());
}

#[test]
fn an_address_for_the_whole_network_is_noted_and_printed_in_a_usable_form() {
    let world = FixtureRegistry::new();
    let sandbox = world.sandbox();
    sandbox.write("depends.toml", "[dependencies]\nleaf = \"0.3\"\n");
    let serving = RunningServer::start(sandbox.process(["up", "--bind", "0.0.0.0:0"]));
    let output = serving.running().stdout();
    assert!(output.contains("sparse+http://127.0.0.1:"), "{output}");
    let run = serving.stop().ok();
    let note = "`0.0.0.0:0` accepts connections from other machines";
    let run = run.stderr_has(note).stderr_has("open http://127.0.0.1:").stderr_lacks("http://0.0.0.0");
    drop(run);
    start_up(&sandbox, &sandbox.path(""), &[]).stop().ok().stderr_lacks("from other machines");
}

#[test]
fn an_interrupted_up_writes_nothing_and_keeps_downloads() {
    let world = FixtureRegistry::new();
    let sandbox = world.sandbox();
    sandbox.write("depends.toml", "[dependencies]\nengine = \"1\"\n");
    let hanging = world.upstream.download_path("gears", "1.0.1");
    world.upstream.fault_always(&hanging, Fault::Hang);
    let running = sandbox.process(["up", "--bind", "127.0.0.1:0"]).start();
    wait::until_with(
        "four crates are downloaded and the hanging one is requested",
        || running.stderr(),
        || sandbox.cached_crates() >= 4 && world.upstream.request_count(&hanging) > 0,
    );
    running.terminate().exits(130);
    assert!(files_below(&sandbox.frostmirror_home().join("up")).is_empty());
    assert!(files_below(&sandbox.root().join("tmp")).is_empty());
    world.upstream.clear_faults();
    world.upstream.clear_log();
    start_up(&sandbox, &sandbox.path(""), &[]).stop().ok();
    assert_eq!(world.upstream.downloads(), [hanging]);
}

#[test]
fn hints_of_up_name_its_mirror() {
    let world = FixtureRegistry::new();
    let sandbox = world.sandbox();
    let here = sandbox.path("");
    sandbox.write("depends.toml", "[dependencies]\nleaf = \"0.3\"\n");
    start_up(&sandbox, &here, &[]).stop().ok();
    let mirror = sandbox.frostmirror_home().join("mirror");
    for record in fs::read_dir(mirror.join(".frostmirror/ledger")).unwrap() {
        fs::write(record.unwrap().path(), "{").unwrap();
    }
    sandbox.write("config/frostmirror.toml", "prune_on_import = true\n");
    let sandbox = sandbox.env("FROSTMIRROR_CONFIG_DIR", "config");
    sandbox.write("depends.toml", "[dependencies]\ngears = \"1\"\n");
    let run = sandbox.run(["up", "--bind", "127.0.0.1:0"]).exits(4).stderr_lacks("--mirror DIR");
    run.stderr_has(&format!("verify --mirror {} --rebuild-state", mirror.display()));
}
