//! The configuration that crosses in a snapshot, through the command line.

use super::*;

const OURS: &str = "# weekly\nbase_url = \"http://source.example\"\nbind = \"10.0.0.1:80\"\ntargets = [\"wasm32-unknown-unknown\"]\n\
                    admin_token_file = \"/secret/place\"\nproxy_index_url = \"sparse+https://me:hunter2@up.example/index/\"\n";
const DEPENDS: &str = "# ours\n[dependencies]\njson = \"1\"\n";

fn words(sandbox: &Sandbox) -> PathBuf {
    source(sandbox);
    sandbox.write("config/frostmirror.toml", OURS);
    sandbox.write("config/depends.toml", DEPENDS);
    let run = sandbox.run(["export", "snapshot", "--mirror", "source", "-o", "out", "--config-dir", "config"]).ok();
    let run = run
        .stderr_has("Exported")
        .stderr_has("left out of frostmirror.toml: `base_url`, `bind`, `admin_token_file`, `proxy_index_url` (");
    assert!(!run.stderr.contains("hunter2") && !run.stdout.contains("hunter2"));
    let path = run.path();
    assert!(path.ends_with(path.file_name().unwrap()) && path.starts_with(sandbox.path("out")));
    let bytes = fs::read(&path).unwrap();
    assert!(!String::from_utf8_lossy(&bytes).contains("hunter2"));
    path
}

#[test]
fn it_is_restored_with_the_mirror_and_the_hosts_own_keys_stay() {
    let sandbox = Sandbox::new();
    let snapshot = words(&sandbox);
    let snapshot = snapshot.to_str().unwrap();
    // A host that has none.
    sandbox.run(["import", snapshot, "--mirror", "new", "--config-dir", "new-config"]).ok().stderr_has("Restored");
    let text = fs::read_to_string(sandbox.path("new-config/frostmirror.toml")).unwrap();
    assert_eq!(text, "targets = [\"wasm32-unknown-unknown\"]\n");
    assert_eq!(fs::read_to_string(sandbox.path("new-config/depends.toml")).unwrap(), DEPENDS);
    assert_eq!(view(&sandbox.path("new")), view(&sandbox.path("source")));
    // A host that has its own.
    let theirs = "bind = \"0.0.0.0:9\"\nadmin_token_file = \"/theirs\"\ntargets = [\"c-d\"]\n";
    sandbox.write("their-config/frostmirror.toml", theirs);
    let import = ["import", snapshot, "--mirror", "theirs", "--config-dir", "their-config"];
    sandbox.run(import).ok().stderr_has("frostmirror.toml.1.bak");
    assert_eq!(fs::read_to_string(sandbox.path("their-config/frostmirror.toml.1.bak")).unwrap(), theirs);
    let text = fs::read_to_string(sandbox.path("their-config/frostmirror.toml")).unwrap();
    for line in ["bind = \"0.0.0.0:9\"", "admin_token_file = \"/theirs\"", "targets = [\"wasm32-unknown-unknown\"]"] {
        assert!(text.contains(line), "{text}");
    }
    // Again: nothing to do, and nothing more is kept.
    sandbox.run(import).ok().stderr_has("already imported");
    assert_eq!(fs::read_dir(sandbox.path("their-config")).unwrap().count(), 3);
}

#[test]
fn a_folder_that_is_named_and_not_there_is_a_mistake() {
    let sandbox = Sandbox::new();
    source(&sandbox);
    let export = ["export", "snapshot", "--mirror", "source", "-o", "out"];
    sandbox
        .run(export.iter().chain(&["--config-dir", "absent"]))
        .exits(3)
        .stderr_has("absent` is there for the configuration");
    assert!(!sandbox.path("out").exists());
    sandbox.run(export).ok().stderr_has("the snapshot has no depends.toml");
}

#[test]
fn whoever_approves_it_is_told_of_it() {
    let sandbox = Sandbox::new();
    let snapshot = words(&sandbox);
    let inspect = |format: &str| {
        let words = ["inspect".as_ref(), snapshot.as_os_str(), "--format".as_ref(), format.as_ref()];
        sandbox.run(words).ok()
    };
    inspect("text").stdout_has(&format!("Config      depends.toml, {} bytes, for the server", DEPENDS.len()));
    inspect("text").stdout_has("Config      frostmirror.toml, ");
    inspect("cyclonedx").stdout_has("\"file:depends.toml\"").stdout_has("\"file:frostmirror.toml\"");
}

#[test]
fn an_ordinary_bundle_touches_no_configuration() {
    let sandbox = Sandbox::new();
    source(&sandbox);
    let bundle = sandbox.run(["inspect", "bundles/b.pkg"]).ok();
    bundle.stdout_lacks("Config ");
    sandbox.write("config/frostmirror.toml", "# ours\nbind = '0.0.0.0:1'\n");
    let before = sandbox.snapshot("config");
    sandbox.run(["import", "bundles/b.pkg", "--mirror", "other", "--config-dir", "config"]).ok();
    assert_eq!(sandbox.snapshot("config"), before);
}

#[test]
fn a_file_that_is_no_toml_stops_before_anything_is_changed() {
    let sandbox = Sandbox::new();
    let snapshot = words(&sandbox);
    sandbox.write("config/frostmirror.toml", "bind = ");
    let export = ["export", "snapshot", "--mirror", "source", "-o", "second", "--config-dir", "config"];
    sandbox.run(export).exits(3).stderr_has("frostmirror.toml").stderr_has("is not TOML");
    assert!(!sandbox.path("second").exists());
    let import = ["import", snapshot.to_str().unwrap(), "--mirror", "new", "--config-dir", "config"];
    sandbox.run(import).exits(3).stderr_has("frostmirror.toml:1:").stderr_has("invalid TOML");
    assert!(!sandbox.path("new/crates").exists());
}

#[test]
fn a_snapshot_that_is_dropped_into_the_incoming_folder_restores_it_too() {
    let sandbox = Sandbox::new();
    let snapshot = words(&sandbox);
    fs::create_dir(sandbox.path("incoming")).unwrap();
    let server = sandbox.serve([
        "--mirror",
        "watched",
        "--incoming",
        "incoming",
        "--watch-incoming",
        "--config-dir",
        "watched-config",
    ]);
    fs::rename(&snapshot, sandbox.path("incoming/snapshot.pkg")).unwrap();
    let until = std::time::Instant::now() + Duration::from_secs(60);
    while !sandbox.path("incoming/done/snapshot.pkg").exists() {
        assert!(std::time::Instant::now() < until, "{:?}", fs::read_dir(sandbox.path("incoming")).unwrap().count());
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(server);
    assert_eq!(fs::read_to_string(sandbox.path("watched-config/depends.toml")).unwrap(), DEPENDS);
    assert_eq!(view(&sandbox.path("watched")), view(&sandbox.path("source")));
}
