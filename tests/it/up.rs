//! `up`: a laptop that fetches, imports and serves for itself, today, later, and without a network.

use std::fs;
use std::time::{Duration, Instant};

use crate::journey::world::{World, files_in};
use crate::support::client::{Client, Project};
use crate::support::crates::Crate;
use crate::support::sandbox::{Sandbox, Serving};
use crate::support::upstream::Fault;
use crate::support::web::get;

fn up(sandbox: &Sandbox, folder: &std::path::Path, words: &[&str]) -> Serving {
    Serving::of(sandbox.process_in(folder, ["up", "--bind", "127.0.0.1:0"].iter().chain(words)))
}

/// A client with the configuration that `up` printed.
fn client_of(serving: &Serving) -> Client {
    let said = serving.running().stdout();
    let start = said.find("[source.crates-io]").expect("the configuration was printed");
    let end = said.find("listening on").unwrap();
    Client::new().config(&said[start..end])
}

#[test]
fn it_serves_the_project_and_the_second_run_downloads_nothing() {
    let mut world = World::new();
    let sandbox = world.sandbox();
    let project = Project::new("app").dep("engine", "1").main("fn main() { println!(\"{}\", engine::VERSION); }");
    let lock = world.lock_of(&project);
    let app = project.lockfile(&lock).write(&sandbox.path("app"));
    let serving = up(&sandbox, &app, &[]);
    assert_eq!(get(&format!("{}/index/config.json", serving.url())).status, 200);
    let run = client_of(&serving).cargo(&app, ["run", "--locked", "--quiet"]).ok();
    assert_eq!(run.line(), "1.2.0");
    let first = serving.stop().ok();
    assert!(first.stderr.contains("Cargo.lock"), "{}", first.told());

    world.upstream.clear_log();
    let serving = up(&sandbox, &app, &[]);
    assert_eq!(world.upstream.downloads(), [""; 0]);
    let second = serving.stop().ok();
    assert!(second.stderr.contains("Unchanged"), "{}", second.told());

    // Something new: only that is downloaded, and the earlier stays.
    world.publish(Crate::new("extra", "0.1.0"));
    let wider = Project::new("app").dep("engine", "1").dep("extra", "0.1");
    let lock = world.lock_of(&wider);
    wider.lockfile(&lock).write(&app);
    world.upstream.clear_log();
    let serving = up(&sandbox, &app, &[]);
    assert_eq!(world.upstream.downloads(), [world.upstream.download_path("extra", "0.1.0")]);
    client_of(&serving).cargo(&app, ["build", "--locked"]).ok();
    serving.stop().ok();

    // The user's own folders are none of its business, and its own holds no bundle.
    assert!(!app.join("output").exists());
    assert!(!sandbox.frostmirror_home().join("history").exists());
    let own = files_in(&sandbox.frostmirror_home().join("up"));
    assert_eq!(own, [sandbox.frostmirror_home().join("up/history")]);

    drop(world);
    let sandbox = sandbox.env("CARGO_NET_RETRY", "0");
    let serving = up(&sandbox, &app, &[]);
    client_of(&serving).cargo(&app, ["build", "--locked"]).ok();
    let told = serving.stop().ok();
    assert!(told.stderr.contains("warning: ") && told.stderr.contains("not renewed"), "{}", told.told());
}

#[test]
fn offline_it_serves_what_the_caches_have() {
    let world = World::new();
    let sandbox = world.sandbox();
    sandbox.write("depends.toml", "[dependencies]\ngears = \"1\"\n");
    let here = sandbox.path("");
    up(&sandbox, &here, &[]).stop().ok();
    world.upstream.clear_log();
    let serving = up(&sandbox, &here, &["--offline"]);
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
fn a_first_run_without_a_network_is_a_failure_and_mistakes_are_not_hidden_by_what_is_held() {
    let world = World::new();
    let sandbox = world.sandbox().env("CARGO_NET_RETRY", "0");
    let here = sandbox.path("");
    sandbox.write("depends.toml", "[dependencies]\ngears = \"1\"\n");
    let dead = Sandbox::new().env("FROSTMIRROR_REGISTRY_URL", "http://127.0.0.1:9/").env("CARGO_NET_RETRY", "0");
    dead.write("depends.toml", "[dependencies]\ngears = \"1\"\n");
    dead.run(["up", "--bind", "127.0.0.1:0"]).exits(5);
    up(&sandbox, &here, &[]).stop().ok();
    sandbox.write("depends.toml", "[dependencies]\ngears = \"7\"\n");
    let run = sandbox.run(["up", "--bind", "127.0.0.1:0"]).exits(3);
    assert!(!run.stdout.contains("listening"), "{}", run.told());
    fs::remove_file(sandbox.path("depends.toml")).unwrap();
    sandbox.run(["up", "--bind", "127.0.0.1:0"]).exits(3);
}

#[test]
fn rustup_is_spoken_of_where_there_are_toolchains() {
    let world = World::new();
    let sandbox = world.sandbox().env("FROSTMIRROR_MIRROR", "mirror");
    sandbox.write("depends.toml", "[dependencies]\nleaf = \"0.3\"\n");
    let here = sandbox.path("");
    let without = up(&sandbox, &here, &[]).stop().ok();
    assert!(!without.stdout.contains("RUSTUP"), "{}", without.told());
    sandbox.write("mirror/dist/channel-rust-stable.toml", "manifest-version = \"2\"\n");
    let serving = up(&sandbox, &here, &[]);
    let url = serving.url().to_owned();
    let run = serving.stop().ok().stdout_has(&format!("export RUSTUP_UPDATE_ROOT='{url}/rustup'\n"));
    run.stdout_has(&format!("index = \"sparse+{url}/index/\"")).stdout_has("$env:RUSTUP_DIST_SERVER");
}

#[test]
fn the_mirror_and_the_address_may_come_from_the_environment() {
    let world = World::new();
    let sandbox = world.sandbox().env("FROSTMIRROR_MIRROR", "elsewhere").env("FROSTMIRROR_BIND", "127.0.0.1:0");
    sandbox.write("depends.toml", "[dependencies]\nleaf = \"0.3\"\n");
    Serving::of(sandbox.process(["up"])).stop().ok();
    assert!(sandbox.path("elsewhere/crates/leaf-0.3.0.crate").is_file());
}

#[test]
fn stopped_while_it_fetches_it_leaves_nothing_and_keeps_what_was_downloaded() {
    let world = World::new();
    let sandbox = world.sandbox();
    sandbox.write("depends.toml", "[dependencies]\nengine = \"1\"\n");
    let hanging = world.upstream.download_path("gears", "1.0.1");
    world.upstream.always(&hanging, Fault::Hang);
    let running = sandbox.process(["up", "--bind", "127.0.0.1:0"]).start();
    let until = Instant::now() + Duration::from_secs(60);
    while sandbox.cached_crates() < 4 || world.upstream.count(&hanging) == 0 {
        assert!(Instant::now() < until, "{}", running.stderr());
        std::thread::sleep(Duration::from_millis(20));
    }
    running.terminate().exits(130);
    assert!(files_in(&sandbox.frostmirror_home().join("up")).is_empty());
    assert!(files_in(&sandbox.root().join("tmp")).is_empty());
    world.upstream.heal();
    world.upstream.clear_log();
    up(&sandbox, &sandbox.path(""), &[]).stop().ok();
    assert_eq!(world.upstream.downloads(), [hanging]);
}
