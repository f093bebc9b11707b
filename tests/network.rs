//! With the real crates.io: the way across the gap as the README walks it, and a project that is built through an empty live
//! mirror, and then from what that holds.
//!
//! Run it with `FROSTMIRROR_TEST_NETWORK=1 cargo test --test network -- --include-ignored --nocapture`. Without the variable
//! these tests fail rather than reach the network.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![allow(clippy::print_stdout, reason = "this is a test's own report")]

#[allow(dead_code, reason = "a tool box, of which this test needs a few tools")]
#[path = "it/support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use support::client::{Client, Project};
use support::sandbox::{RunningServer, Sandbox};

const NETWORK_VAR: &str = "FROSTMIRROR_TEST_NETWORK";

/// Only this variable allows the network; including ignored tests does not.
fn assert_may_use_the_network() {
    assert!(
        std::env::var_os(NETWORK_VAR).is_some_and(|value| value == "1"),
        "set {NETWORK_VAR}=1 to use the real crates.io"
    );
}

/// Says how long each step took.
struct Stopwatch(Instant);

impl Stopwatch {
    fn lap(&mut self, what: &str) {
        println!("  {:>7.1} s  {what}", self.0.elapsed().as_secs_f64());
        self.0 = Instant::now();
    }
}

/// A machine with the network as this process has it.
fn online_sandbox() -> Sandbox {
    let mut sandbox = Sandbox::new().timeout(Duration::from_secs(600));
    for name in ["http_proxy", "https_proxy", "no_proxy", "HTTPS_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"] {
        sandbox = match std::env::var(name) {
            Ok(value) => sandbox.env(name, &value),
            Err(_) => sandbox.without_env(name),
        };
    }
    sandbox
}

#[test]
#[ignore = "needs the network"]
fn across_the_air_gap() {
    assert_may_use_the_network();
    let mut watch = Stopwatch(Instant::now());
    let sandbox = online_sandbox();
    let depends = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/depends/real.toml");
    std::fs::copy(depends, sandbox.path("depends.toml")).unwrap();
    let fetched = sandbox.run(["fetch"]).ok();
    let bundle = fetched.path();
    let size = bundle.metadata().unwrap().len();
    watch.lap(&format!("fetch: {} MB", size / 1_000_000));
    sandbox.run(["fetch"]).ok().stderr_has("(all from the caches)");
    watch.lap("fetch again, which downloads nothing");
    sandbox.run(["fetch", "--offline"]).ok();
    watch.lap("fetch --offline");

    // From here on nothing but loopback: another machine.
    let offline = Sandbox::new();
    let carried = offline.path(bundle.file_name().unwrap());
    std::fs::copy(&bundle, &carried).unwrap();
    let verified = offline.run(["verify".as_ref(), carried.as_os_str()]).ok();
    let count: usize = verified.line().split(' ').nth(2).and_then(|word| word.parse().ok()).unwrap();
    assert!(count > 200, "{}", verified.line());
    watch.lap(&format!("verify: {}", verified.line()));
    offline.run(["import".as_ref(), carried.as_os_str()]).ok();
    offline.run(["status"]).ok().stdout_has(&format!("Crate count: {count}\n"));
    watch.lap("import");
    // No index line of crates.io contradicts the Cargo.toml in its crate.
    let mirror = offline.frostmirror_home().join("mirror");
    offline.run(["verify".as_ref(), "--mirror".as_ref(), mirror.as_os_str()]).ok();
    watch.lap("verify --mirror");

    let serving = offline.serve::<&str>([]);
    let configured = |args: &[&str]| {
        let client = Client::new();
        let process = offline.process(["setup", "--write"].iter().chain(args));
        process.envs([("CARGO_HOME", client.cargo_home())]).run().ok();
        client
    };
    let client = configured(&["--url", serving.url()]);
    let app = sample_project().write(&offline.path("app"));
    client.cargo(&app, ["generate-lockfile"]).ok();
    watch.lap("cargo generate-lockfile");
    client.cargo(&app, ["build", "--locked"]).ok();
    watch.lap("cargo build --locked, served");
    serving.stop().ok();
    let client = configured(&["--local"]);
    client.cargo(&app, ["fetch", "--locked"]).ok();
    client.cargo(&app, ["check", "--locked"]).ok();
    watch.lap("cargo check --locked, from the disk");
}

/// Versions from the first years of crates.io, with the oddities of the cargo of their time.
const EARLY_VERSIONS: &str = r#"[locked]
bitflags = ["0.1.0", "0.7.0"]
bounded-spsc-queue = "0.0.1"
cookie = "0.1.0"
enclave = "0.1.1"
flate2 = "0.1.0"
gcc = ["0.1.0", "0.3.54"]
glutin = "0.0.2"
hyper = ["0.1.0", "0.9.0"]
libc = ["0.1.0", "0.2.0"]
log = ["0.1.0", "0.3.0"]
nanovg = "0.2.0"
ncollide = "0.2.0"
noir = "0.2.0"
num = "0.1.0"
openssl = ["0.0.1", "0.1.0", "0.7.0"]
openssl-sys = "0.1.0"
png = "0.3.1"
python3-sys = "0.1.0"
rand = ["0.1.1", "0.3.0"]
regex = "0.1.0"
rustc-serialize = "0.1.0"
serde = ["0.2.0", "0.8.0"]
time = ["0.1.0", "0.1.34"]
toml = "0.1.0"
uuid = "0.1.0"
winapi = "0.1.0"
"#;

#[test]
#[ignore = "needs the network"]
fn lines_of_early_crates_agree_with_their_crates() {
    assert_may_use_the_network();
    let sandbox = online_sandbox();
    sandbox.write("depends.toml", EARLY_VERSIONS);
    let bundle = sandbox.run(["fetch"]).ok().path();
    sandbox.run(["import".as_ref(), bundle.as_os_str(), "--mirror".as_ref(), "mirror".as_ref()]).ok();
    println!("{}", sandbox.run(["verify", "--mirror", "mirror"]).ok().line());
}

/// This very project, built through a mirror that had nothing; and again from the same mirror, on a machine that has no way
/// out and with live mode off.
#[test]
#[ignore = "needs the network"]
fn through_a_live_mirror() {
    assert_may_use_the_network();
    let mut watch = Stopwatch(Instant::now());
    let sandbox = online_sandbox();
    let app = dependencies_of_this_project(&sandbox);
    let lock = std::fs::read_to_string(app.join("Cargo.lock")).unwrap();
    let locked = lock.matches("\nchecksum = ").count();
    assert!(locked > 200, "{locked} crates");
    let target = sandbox.path("target");
    let build = ["check", "--locked", "--target-dir", target.to_str().unwrap()];

    let serving = sandbox.serve(["--mirror", "mirror", "--incoming", "incoming", "--config-dir", "config", "--live"]);
    let url = serving.url().to_owned();
    let client = Client::with_index(&format!("{url}/index/"));
    client.cargo(&app, ["fetch", "--locked"]).ok();
    watch.lap(&format!("cargo fetch --locked of {locked} crates, through an empty live mirror"));
    client.process(&app, build).timeout(BUILD_TIMEOUT).run().ok();
    watch.lap("cargo check --locked, through the live mirror");
    let until = Instant::now() + Duration::from_secs(60);
    let stored = || std::fs::read_dir(sandbox.path("mirror/crates")).unwrap().filter(is_crate).count();
    while stored() < locked {
        assert!(Instant::now() < until, "{} of {locked} are held; {}", stored(), serving.running().stderr());
        std::thread::sleep(Duration::from_millis(100));
    }
    serving.stop().ok();
    sandbox.run(["verify", "--mirror", "mirror"]).ok();
    watch.lap("verify --mirror");

    // The same server for the client's eyes, with no way out.
    let offline = Sandbox::new();
    let (mirror, address) = (sandbox.path("mirror"), url.strip_prefix("http://").unwrap());
    let serving = RunningServer::start(offline.process(["serve", "--bind", address, "--mirror"]).args([&mirror]));
    client.clear_caches();
    client.cargo(&app, ["fetch", "--locked"]).ok();
    watch.lap("cargo fetch --locked, live mode off and no network");
    client.process(&app, build).timeout(BUILD_TIMEOUT).run().ok();
    watch.lap("cargo check --locked, the same");
    serving.stop().ok();
}

/// A build on a busy machine.
const BUILD_TIMEOUT: Duration = Duration::from_secs(900);

fn is_crate(entry: &std::io::Result<std::fs::DirEntry>) -> bool {
    entry.as_ref().is_ok_and(|entry| entry.path().extension().is_some_and(|extension| extension == "crate"))
}

/// A package that needs what this one needs, with this one's lock, and has no source of its own.
fn dependencies_of_this_project(sandbox: &Sandbox) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in ["Cargo.toml", "Cargo.lock", "xtask/Cargo.toml"] {
        sandbox.write(Path::new("app").join(file), std::fs::read(root.join(file)).unwrap());
    }
    for file in ["src/lib.rs", "src/main.rs", "xtask/src/main.rs"] {
        sandbox.write(Path::new("app").join(file), "fn main() {}\n");
    }
    for file in ["tests/network.rs", "tests/it/main.rs", "tests/it/bench.rs"] {
        sandbox.write(Path::new("app").join(file), "");
    }
    sandbox.path("app")
}

/// A program that stands on a good part of the list.
fn sample_project() -> Project {
    Project::new("app")
        .dep("anyhow", "1")
        .dep("regex", "1.11")
        .dep("tempfile", "3")
        .dep("rand", "0.9")
        .dep_with("uuid", "1", &["v4", "serde"])
        .dep_with("serde", "1", &["derive"])
        .dep("serde_json", "1")
        .dep_with("clap", "4.5", &["derive", "env"])
        .dep_with("tokio", "1", &["full"])
        .main("fn main() { println!(\"{}\", regex::Regex::new(\"a+\").unwrap().is_match(\"caat\")); }\n")
}
