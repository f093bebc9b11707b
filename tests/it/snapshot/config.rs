//! The configuration that crosses in a snapshot, through the command line.

use super::*;
use crate::support::wait;

const OURS: &str = "# weekly\nbase_url = \"http://source.example\"\nbind = \"10.0.0.1:80\"\ntargets = [\"wasm32-unknown-unknown\"]\n\
                    admin_token_file = \"/secret/place\"\nproxy_index_url = \"sparse+https://me:hunter2@up.example/index/\"\n";
const DEPENDS: &str = "# ours\n[dependencies]\njson = \"1\"\n";

fn export_with_config(sandbox: &Sandbox) -> PathBuf {
    source_mirror(sandbox);
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
fn the_configuration_is_restored_and_host_specific_keys_are_kept() {
    let sandbox = Sandbox::new();
    let snapshot = export_with_config(&sandbox);
    let snapshot = snapshot.to_str().unwrap();
    // A host that has none.
    sandbox.run(["import", snapshot, "--mirror", "new", "--config-dir", "new-config"]).ok().stderr_has("Restored");
    let text = fs::read_to_string(sandbox.path("new-config/frostmirror.toml")).unwrap();
    assert_eq!(text, "targets = [\"wasm32-unknown-unknown\"]\n");
    assert_eq!(fs::read_to_string(sandbox.path("new-config/depends.toml")).unwrap(), DEPENDS);
    assert_eq!(public_files(&sandbox.path("new")), public_files(&sandbox.path("source")));
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
fn a_missing_config_folder_is_an_error() {
    let sandbox = Sandbox::new();
    source_mirror(&sandbox);
    let export = ["export", "snapshot", "--mirror", "source", "-o", "out"];
    sandbox.run(export.iter().chain(&["--config-dir", "absent"])).exits(3).stderr_has("absent` does not exist");
    assert!(!sandbox.path("out").exists());
    sandbox.run(export).ok().stderr_has("the snapshot has no depends.toml");
}

#[test]
fn inspect_shows_the_configuration_in_a_snapshot() {
    let sandbox = Sandbox::new();
    let snapshot = export_with_config(&sandbox);
    let inspect = |format: &str| {
        let terms = ["inspect".as_ref(), snapshot.as_os_str(), "--format".as_ref(), format.as_ref()];
        sandbox.run(terms).ok()
    };
    inspect("text").stdout_has(&format!("Config      depends.toml, {} bytes, for the server", DEPENDS.len()));
    inspect("text").stdout_has("Config      frostmirror.toml, ");
    inspect("cyclonedx").stdout_has("\"file:depends.toml\"").stdout_has("\"file:frostmirror.toml\"");
}

#[test]
fn an_ordinary_bundle_does_not_change_the_configuration() {
    let sandbox = Sandbox::new();
    source_mirror(&sandbox);
    let bundle = sandbox.run(["inspect", "bundles/b.pkg"]).ok();
    bundle.stdout_lacks("Config ");
    sandbox.write("config/frostmirror.toml", "# ours\nbind = '0.0.0.0:1'\n");
    let before = sandbox.read_tree("config");
    sandbox.run(["import", "bundles/b.pkg", "--mirror", "other", "--config-dir", "config"]).ok();
    assert_eq!(sandbox.read_tree("config"), before);
}

#[test]
fn an_invalid_config_file_stops_the_import_before_any_change() {
    let sandbox = Sandbox::new();
    let snapshot = export_with_config(&sandbox);
    sandbox.write("config/frostmirror.toml", "bind = ");
    let export = ["export", "snapshot", "--mirror", "source", "-o", "second", "--config-dir", "config"];
    sandbox.run(export).exits(3).stderr_has("frostmirror.toml:1:").stderr_has("invalid TOML: a value is missing");
    assert!(!sandbox.path("second").exists());
    let import = ["import", snapshot.to_str().unwrap(), "--mirror", "new", "--config-dir", "config"];
    sandbox.run(import).exits(3).stderr_has("frostmirror.toml:1:").stderr_has("invalid TOML");
    assert!(!sandbox.path("new/crates").exists());
}

#[test]
fn a_snapshot_in_the_incoming_folder_restores_the_configuration() {
    let sandbox = Sandbox::new();
    let snapshot = export_with_config(&sandbox);
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
    wait::until_with(
        "the snapshot is imported",
        || server.running().stderr(),
        || sandbox.path("incoming/done/snapshot.pkg").exists(),
    );
    drop(server);
    assert_eq!(fs::read_to_string(sandbox.path("watched-config/depends.toml")).unwrap(), DEPENDS);
    assert_eq!(public_files(&sandbox.path("watched")), public_files(&sandbox.path("source")));
}
