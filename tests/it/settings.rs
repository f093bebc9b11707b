//! `frostmirror.toml` through the command line: who decides, what is obeyed, and what a file does that cannot be used.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use frostmirror::config::{Overrides, SettingsStore};
use frostmirror::env::Env;
use frostmirror::event::NullSink;
use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::watcher_state::WatcherState;
use frostmirror::server_context::ServerContext;
use frostmirror::watcher::file_state::Timing;
use frostmirror::watcher::{self, Watcher, WatcherOptions};
use serde_json::json;

use crate::bundle_builder::{BundleBuilder, test_time};
use crate::support::crates::Crate;
use crate::support::http_client::{get, send_request_with_body};
use crate::support::sandbox::{RunningServer, Sandbox};
use crate::support::server_fixture::MirrorTree;
use crate::support::wait;

const CONFIG_FILE: &str = "config/frostmirror.toml";

/// A server with a mirror of one crate and the configuration in `config`.
fn start_server(sandbox: &Sandbox, args: &[&str]) -> RunningServer {
    MirrorTree::at(sandbox.path("mirror")).add_crate(Crate::new("leaf", "1.0.0"));
    let args = ["serve", "--mirror", "mirror", "--config-dir", "config"].iter().chain(args);
    RunningServer::start(sandbox.process(args))
}

/// The address that clients get.
fn config_seen_by_clients(serving: &RunningServer) -> String {
    String::from_utf8(get(&format!("{}/index/config.json", serving.url())).body).unwrap()
}

#[test]
fn flags_override_the_environment_which_overrides_the_file() {
    let file = "bind = '127.0.0.1:0'\nbase_url = 'http://file.example'\n";
    let sandbox = Sandbox::new();
    sandbox.write(CONFIG_FILE, file);
    assert!(config_seen_by_clients(&start_server(&sandbox, &[])).contains("\"http://file.example/"));
    let sandbox = sandbox.env("FROSTMIRROR_BASE_URL", "http://variable.example");
    assert!(config_seen_by_clients(&start_server(&sandbox, &[])).contains("\"http://variable.example/"));
    let flagged = start_server(&sandbox, &["--base-url", "http://flag.example"]);
    assert!(config_seen_by_clients(&flagged).contains("\"http://flag.example/"));
    // The file's address is unusable, and no request goes there.
    sandbox.write(CONFIG_FILE, "bind = 'absent.invalid:1'\n");
    start_server(&sandbox, &["--bind", "127.0.0.1:0"]);
    let sandbox = sandbox.env("FROSTMIRROR_BIND", "127.0.0.1:0");
    start_server(&sandbox, &[]);
    // An empty variable is none.
    let sandbox = sandbox.env("FROSTMIRROR_BASE_URL", "").env("FROSTMIRROR_BIND", "");
    sandbox.write(CONFIG_FILE, file);
    assert!(config_seen_by_clients(&start_server(&sandbox, &[])).contains("\"http://file.example/"));
}

#[test]
fn an_invalid_settings_file_stops_every_verb_and_is_not_changed() {
    let sandbox = Sandbox::new();
    let bundle = BundleBuilder::new("a", 1).ship(Crate::new("leaf", "1.0.0")).write(&sandbox.path(""), "a.pkg");
    let bundle = bundle.to_str().unwrap();
    for (text, place, what) in [
        ("bind = \n", ":1:", "invalid TOML"),
        ("# ours\nbnid = '127.0.0.1:0'\n", ":2:1\n", "did you mean `bind`?"),
        ("watch_incoming = 'yes'\n", ":1:18\n", "`watch_incoming` is a string; expected true or false"),
    ] {
        sandbox.write(CONFIG_FILE, text);
        for args in [
            vec!["serve", "--bind", "127.0.0.1:0", "--mirror", "mirror", "--config-dir", "config"],
            vec!["import", bundle, "--mirror", "mirror", "--config-dir", "config"],
        ] {
            sandbox.run(args).exits(3).stderr_has(&format!("frostmirror.toml{place}")).stderr_has(what);
        }
        assert_eq!((sandbox.read(CONFIG_FILE), sandbox.path("mirror").exists()), (text.to_owned(), false));
        assert_eq!(fs::read_dir(sandbox.path("config")).unwrap().count(), 1);
    }
    let sandbox = sandbox.env("FROSTMIRROR_CONFIG_DIR", "config");
    sandbox.run(["up", "--offline", "--bind", "127.0.0.1:0"]).exits(3).stderr_has("`watch_incoming` is a string");
}

#[test]
fn insecure_settings_are_refused_and_live_mode_is_announced() {
    let sandbox = Sandbox::new();
    let args = ["serve", "--bind", "127.0.0.1:0", "--mirror", "mirror", "--config-dir", "config"];
    sandbox.write(CONFIG_FILE, "auth_required = true\n");
    sandbox.run(args).exits(3).stderr_has("`auth_required` requires a token for reading");
    sandbox.write(CONFIG_FILE, "tls_cert = 'cert.pem'\n");
    sandbox.run(args).exits(3).stderr_has("`tls_cert` needs `tls_key`, which is not set");
    sandbox.write(CONFIG_FILE, "tls_cert = 'cert.pem'\ntls_key = 'key.pem'\n");
    sandbox.run(args).exits(3).stderr_has("hint: the files of --tls-cert and --tls-key");
    sandbox.write(CONFIG_FILE, "");
    let sandbox = sandbox.env("FROSTMIRROR_PROXY_MODE", "maybe");
    sandbox.run(args).exits(3).stderr_has("FROSTMIRROR_PROXY_MODE has the invalid value `maybe`");
    let sandbox = sandbox.env("FROSTMIRROR_PROXY_MODE", "Yes");
    start_server(&sandbox, &["--bind", "127.0.0.1:0"]).stop().ok().stderr_has("missing files are fetched from");
    let sandbox = sandbox.env("FROSTMIRROR_PROXY_MODE", "off");
    sandbox.write(CONFIG_FILE, "proxy_mode = true\n");
    start_server(&sandbox, &["--bind", "127.0.0.1:0"]).stop().ok().stderr_lacks("fetched from");
}

#[test]
fn an_offline_server_has_no_live_mode() {
    let sandbox = Sandbox::new();
    let args = ["serve", "--bind", "127.0.0.1:0", "--mirror", "mirror", "--config-dir", "config"];
    let with = |more: &'static str| args.into_iter().chain([more]);
    let refused = "error: `offline` forbids live mode, but `proxy_mode` switches it on";
    sandbox.write(CONFIG_FILE, "");
    sandbox.run(with("--offline").chain(["--live"])).exits(2).stderr_has("'--offline' cannot be used with '--live'");
    sandbox.write(CONFIG_FILE, "proxy_mode = true\n");
    sandbox.run(with("--offline")).exits(3).stderr_has(refused).stderr_has("hint: choose one: remove `--live`");
    sandbox.write(CONFIG_FILE, "offline = true\n");
    sandbox.run(with("--live")).exits(3).stderr_has(refused);
    sandbox.write(CONFIG_FILE, "");
    let variable = Sandbox::new().env("FROSTMIRROR_OFFLINE", "1");
    variable.run(with("--live")).exits(3).stderr_has(refused);
    let maybe = Sandbox::new().env("FROSTMIRROR_OFFLINE", "maybe");
    maybe.run(args).exits(3).stderr_has("FROSTMIRROR_OFFLINE has the invalid value `maybe`");

    for (sandbox, flag) in
        [(&sandbox, &["--bind", "127.0.0.1:0", "--offline"][..]), (&variable, &["--bind", "127.0.0.1:0"])]
    {
        let serving = start_server(sandbox, flag);
        let post = |body: &str| {
            let headers = [("Content-Type", "application/json")];
            let answer = send_request_with_body("POST", &format!("{}/api/config", serving.url()), &headers, body);
            (answer.status, String::from_utf8(answer.body).unwrap())
        };
        let (status, text) = post(r#"{"proxy_mode": true}"#);
        assert!(status == 409 && text.contains("`offline` forbids live mode"), "{status} {text}");
        let (status, text) = post(r#"{"offline": false, "proxy_mode": true}"#);
        assert!(status == 409 && text.contains("`offline` is fixed by"), "{status} {text}");
        assert_eq!(post(r#"{"log_format": "text"}"#).0, 200, "all else can be changed");
        let page = String::from_utf8(get(&format!("{}/config", serving.url())).body).unwrap();
        assert!(page.contains("<code>offline</code> forbids switching it on"), "{page}");
        let status = String::from_utf8(get(&format!("{}/api/status", serving.url())).body).unwrap();
        assert!(status.contains("\"offline\": true"), "{status}");
        serving.stop().ok().stderr_has("Offline live mode is disabled");
        assert!(!sandbox.path(CONFIG_FILE).exists() || !sandbox.read(CONFIG_FILE).contains("proxy_mode"));
    }
}

#[test]
fn the_settings_file_controls_rehashing_and_pruning_at_import() {
    let sandbox = Sandbox::new();
    let first = || BundleBuilder::new("a", 1).ship(Crate::new("old", "1.0.0")).ship(Crate::new("leaf", "1.0.0"));
    first().write(&sandbox.path(""), "1.pkg");
    let import = |bundle: &str| sandbox.run(["import", bundle, "--mirror", "mirror", "--config-dir", "config"]);
    import("1.pkg").ok();
    // A file that has rotted, and kept its size.
    let rot = || {
        let path = sandbox.path("mirror/crates/leaf-1.0.0.crate");
        let mut bytes = fs::read(&path).unwrap();
        bytes[20] ^= 1;
        fs::write(&path, bytes).unwrap();
    };
    rot();
    sandbox.write(CONFIG_FILE, "verify_checksums = false\n");
    import("1.pkg").ok();
    sandbox.run(["verify", "--mirror", "mirror"]).exits(4);
    sandbox.write(CONFIG_FILE, "verify_checksums = true\n");
    import("1.pkg").ok();
    sandbox.run(["verify", "--mirror", "mirror"]).ok();
    // A bundle is checked in any case.
    sandbox.write(CONFIG_FILE, "verify_checksums = false\n");
    let mut broken = fs::read(sandbox.path("1.pkg")).unwrap();
    let at = broken.len() - 300;
    broken[at] ^= 1;
    sandbox.write("broken.pkg", broken);
    import("broken.pkg").exits(4);

    BundleBuilder::new("a", 2)
        .parent("1.pkg")
        .with_crate(Crate::new("leaf", "1.0.0"), frostmirror::bundle::format::CrateState::Sent)
        .write(&sandbox.path(""), "2.pkg");
    sandbox.write(CONFIG_FILE, "prune_on_import = true\n");
    import("2.pkg").ok().stderr_has("Pruned 1 index line");
    assert!(!sandbox.path("mirror/index/3/o/old").exists(), "the line is gone");
    assert!(sandbox.path("mirror/crates/old-1.0.0.crate").exists(), "the crate stays for its grace");
}

/// A watcher in this process over the settings of `config`.
fn start_watcher(sandbox: &Sandbox) -> (Watcher, Arc<SettingsStore>) {
    let live = Arc::new(SettingsStore::load(&sandbox.path("config"), Overrides::default()).unwrap());
    let short = Duration::from_millis(50);
    let options = WatcherOptions {
        context: ServerContext {
            mirror: Layout::new(sandbox.path("mirror")),
            incoming: sandbox.path("incoming"),
            settings: Arc::clone(&live),
            env: Env::default(),
            clock: || test_time(0),
            sink: Arc::new(NullSink),
            toolchains: Arc::default(),
        },
        timing: Timing {
            rescan_interval: short,
            quiet_period: short,
            unsure_quiet_period: short,
            first_retry_delay: short,
            max_retry_delay: short,
        },
        uses_fs_events: true,
        import_counters: Arc::default(),
    };
    (watcher::start(options).unwrap(), live)
}

fn change_settings(live: &SettingsStore, changes: serde_json::Value) {
    live.write(changes.as_object().unwrap()).unwrap();
}

fn write_incoming(sandbox: &Sandbox, make: BundleBuilder, name: &str) {
    fs::create_dir_all(sandbox.path("made")).unwrap();
    // The bundle stays where the next one finds its predecessor.
    let copy = sandbox.path("made/copy");
    fs::copy(make.write(&sandbox.path("made"), name), &copy).unwrap();
    fs::rename(copy, sandbox.path("incoming").join(name)).unwrap();
}

#[test]
fn the_watcher_applies_settings_changed_at_run_time() {
    let sandbox = Sandbox::new();
    let (_watcher, live) = start_watcher(&sandbox);
    // No later event proves that a disabled watcher does nothing; the same holds for the two pauses below.
    sleep(Duration::from_millis(300));
    assert!(!sandbox.path("incoming").exists(), "nothing is watched");
    change_settings(&live, json!({ "watch_incoming": true }));
    wait::until("the watcher creates the folder", || sandbox.path("incoming").exists());
    let leaf = || Crate::new("leaf", "1.0.0");
    write_incoming(&sandbox, BundleBuilder::new("a", 1).ship(leaf()).ship(Crate::new("old", "1.0.0")), "1.pkg");
    wait::until("the bundle is imported", || sandbox.path("incoming/done/1.pkg").exists());

    // Off: dropped files stay, and the server reports them.
    change_settings(&live, json!({ "watch_incoming": false }));
    let recorded = || WatcherState::read(&Layout::new(sandbox.path("mirror"))).unwrap().unwrap_or_default();
    wait::until("the watcher reports that it is off", || {
        recorded().problem.is_some_and(|problem| problem.contains("the settings disable the import"))
    });
    write_incoming(&sandbox, BundleBuilder::new("b", 1).ship(Crate::new("other", "1.0.0")), "2.pkg");
    sleep(Duration::from_millis(300));
    assert!(sandbox.path("incoming/2.pkg").exists());
    change_settings(&live, json!({ "watch_incoming": null, "prune_on_import": true }));
    sleep(Duration::from_millis(200));
    assert!(sandbox.path("incoming/2.pkg").exists(), "the default is off");
    change_settings(&live, json!({ "watch_incoming": true }));
    wait::until("the bundle is imported", || sandbox.path("incoming/done/2.pkg").exists());
    wait::until("the problem is cleared", || recorded().problem.is_none());

    // Garbage goes after an import: the line at once, the crate later.
    assert!(sandbox.path("mirror/index/3/o/old").exists());
    let sent = frostmirror::bundle::format::CrateState::Sent;
    write_incoming(&sandbox, BundleBuilder::new("a", 2).parent("1.pkg").with_crate(leaf(), sent), "3.pkg");
    wait::until("the index line is pruned", || !sandbox.path("mirror/index/3/o/old").exists());
    assert!(sandbox.path("mirror/index/le/af/leaf").exists());

    // A refused bundle is kept, or its reason alone.
    let bad = |name: &str| {
        fs::write(sandbox.path("made/bad"), "bad").unwrap();
        fs::rename(sandbox.path("made/bad"), sandbox.path("incoming").join(name)).unwrap();
    };
    bad("kept.pkg");
    wait::until("the failed bundle is kept", || {
        recorded().failed_count == 1 && sandbox.path("incoming/failed/kept.pkg").exists()
    });
    change_settings(&live, json!({ "keep_failed_packages": false }));
    bad("gone.pkg");
    wait::until("the second failure is recorded", || {
        recorded().failed_count == 2 && !sandbox.path("incoming/gone.pkg").exists()
    });
    wait::until("the failed bundle is deleted", || !sandbox.path("incoming/failed/gone.pkg").exists());
    let reason = sandbox.read("incoming/failed/gone.pkg.reason.txt");
    assert!(
        reason.starts_with("`gone.pkg` is not a bundle\n")
            && reason.contains("copy the bundle to the incoming folder again"),
        "{reason}"
    );
    wait::until("the status reports the problem", || {
        recorded().failed.iter().any(|one| one.file == "gone.pkg" && one.reason.contains("not a bundle"))
    });
    assert!(sandbox.path("incoming/failed/kept.pkg").exists());
}

#[test]
fn the_watcher_rehashes_stored_files_unless_disabled() {
    for (verify, sound) in [(true, true), (false, false)] {
        let sandbox = Sandbox::new();
        sandbox.write(CONFIG_FILE, format!("verify_checksums = {verify}\nwatch_incoming = true\n"));
        let make = || BundleBuilder::new("a", 1).ship(Crate::new("leaf", "1.0.0"));
        make().write(&sandbox.path(""), "1.pkg");
        sandbox.run(["import", "1.pkg", "--mirror", "mirror"]).ok();
        let path = sandbox.path("mirror/crates/leaf-1.0.0.crate");
        let good = fs::read(&path).unwrap();
        let mut bytes = good.clone();
        bytes[20] ^= 1;
        fs::write(&path, bytes).unwrap();
        let (_watcher, _live) = start_watcher(&sandbox);
        wait::until("the watcher creates the folder", || sandbox.path("incoming").exists());
        write_incoming(&sandbox, make(), "1.pkg");
        wait::until("the bundle is imported", || sandbox.path("incoming/done/1.pkg").exists());
        assert_eq!(fs::read(&path).unwrap() == good, sound, "verify_checksums = {verify}");
    }
}

#[test]
fn the_settings_file_enables_the_watcher_and_snapshot_settings_apply() {
    let sandbox = Sandbox::new();
    sandbox.write(CONFIG_FILE, "bind = '127.0.0.1:0'\nwatch_incoming = true\n");
    let serving = start_server(&sandbox, &["--incoming", "incoming"]);
    wait::until("the watcher creates the folder", || sandbox.path("incoming").exists());
    write_incoming(&sandbox, BundleBuilder::new("a", 1).ship(Crate::new("leaf", "1.1.0")), "1.pkg");
    wait::until("the bundle is imported", || sandbox.path("incoming/done/1.pkg").exists());
    sandbox.write("source/frostmirror.toml", "watch_incoming = false\ntargets = ['no triple']\ntoolchain = '1.86.0'\n");
    sandbox.run(["import", "incoming/done/1.pkg", "--mirror", "other", "--config-dir", "none"]).ok();
    let config = sandbox.path("source");
    let run = sandbox
        .run(["export", "snapshot", "--mirror", "other", "-o", "out", "--config-dir", config.to_str().unwrap()])
        .ok()
        .stderr_has("left out of frostmirror.toml: `watch_incoming`, `targets` (");
    let snapshot = run.path();
    let name = Path::new(snapshot.file_name().unwrap()).to_owned();
    fs::rename(&snapshot, sandbox.path("incoming").join(&name)).unwrap();
    wait::until("the bundle is imported again", || sandbox.path("incoming/done").join(&name).exists());
    assert_eq!(sandbox.read(CONFIG_FILE), "bind = '127.0.0.1:0'\nwatch_incoming = true\ntoolchain = [\"1.86.0\"]\n");
    let settings = String::from_utf8(get(&format!("{}/api/config", serving.url())).body).unwrap();
    let settings: serde_json::Value = serde_json::from_str(&settings).unwrap();
    assert_eq!(settings["toolchain"]["value"], json!(["1.86.0"]));
    // It still watches.
    write_incoming(&sandbox, BundleBuilder::new("a", 2).ship(Crate::new("leaf", "1.2.0")), "2.pkg");
    wait::until("the bundle is imported", || sandbox.path("incoming/done/2.pkg").exists());
    let run = serving.stop().ok();
    run.stderr_has("other settings of this server stay as they are").stderr_lacks("not imported from the snapshot");
}

#[test]
fn a_base_url_that_is_an_address_on_a_server_is_reported() {
    let warning = "is probably an address on the server `http://m.example`";
    let sandbox = Sandbox::new();
    sandbox.write("config/frostmirror.toml", "base_url = 'http://m.example/index/'\n");
    let start = |args: &[&str]| {
        let mut all = vec!["--mirror", "mirror", "--config-dir", "config"];
        all.extend(args);
        sandbox.serve(all)
    };
    start(&[]).stop().ok().stderr_has(warning);
    start(&["--base-url", "http://m.example/setup"]).stop().ok().stderr_has(warning);
    start(&["--base-url", "http://m.example/rust"]).stop().ok().stderr_lacks("is probably an address");
    for args in [
        &["import", "missing.pkg", "--mirror", "mirror", "--base-url", "http://m.example/crates"][..],
        &["fetch", "--offline", "--crate", "leaf", "--base-url", "http://m.example/api/v1"],
    ] {
        sandbox.run(args).stderr_has(warning);
    }
}
