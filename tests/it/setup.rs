//! `setup`: what it prints, writes and takes back, and the real cargo with what it wrote.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::support::client::{Client, Project};
use crate::support::crates::Crate;
use crate::support::process::{Run, write_program};
use crate::support::sandbox::Sandbox;
use crate::support::server_fixture::MirrorTree;

/// Runs `setup` for the CARGO_HOME of `client`.
#[track_caller]
fn run_setup<'a>(sandbox: &Sandbox, client: &Client, args: impl IntoIterator<Item = &'a str>) -> Run {
    let args = ["setup"].into_iter().chain(args);
    sandbox.process(args).envs([("CARGO_HOME", client.cargo_home())]).run()
}

fn config_path(client: &Client) -> PathBuf {
    client.cargo_home().join("config.toml")
}

fn read_files(folder: &Path) -> BTreeMap<String, String> {
    let named = |entry: fs::DirEntry| (entry.file_name().to_string_lossy().into_owned(), entry.path());
    let read = |path: PathBuf| fs::read_to_string(path).unwrap_or_default();
    fs::read_dir(folder).unwrap().map(|entry| named(entry.unwrap())).map(|(name, path)| (name, read(path))).collect()
}

fn mirror_with_crates(sandbox: &Sandbox) -> MirrorTree {
    let mirror = MirrorTree::at(sandbox.path("mirror"));
    mirror.add_crate(Crate::new("leaf", "1.0.0"));
    mirror.add_crate(Crate::new("mid", "0.3.0").dep("leaf", "^1"));
    mirror
}

fn write_app(sandbox: &Sandbox) -> PathBuf {
    Project::new("app")
        .dep("mid", "0.3")
        .main("fn main() { assert_eq!(mid::VERSION, \"0.3.0\"); }\n")
        .write(&sandbox.path("app"))
}

/// Resolves, builds, adds and installs, each with an empty cache.
#[track_caller]
fn assert_cargo_works(sandbox: &Sandbox, client: &Client) {
    let app = write_app(sandbox);
    client.lock(&app);
    client.clear_caches();
    let target = sandbox.path("target");
    client.cargo(&app, ["run", "--locked", "--target-dir", target.to_str().unwrap()]).ok();
    client.cargo(&app, ["add", "leaf"]).ok();
    client.cargo(&app, ["update"]).ok();
}

#[test]
fn setup_prints_valid_configuration() {
    let sandbox = Sandbox::new();
    sandbox.run(["setup", "--offline"]).ok().stdout_has("index = \"sparse+http://localhost:8080/index/\"");
    let ca = sandbox.write("our ca.pem", "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n");
    let args =
        ["setup", "--offline", "--url", "https://m.example/rust/", "--ca", "our ca.pem", "--check-revoke", "false"];
    let run = sandbox.run(args).ok();
    let read: toml::Table = run.stdout.parse().unwrap();
    assert_eq!(read["source"]["crates-io"]["replace-with"].as_str(), Some("frostmirror"));
    assert_eq!(read["registries"]["frostmirror"]["index"].as_str(), Some("sparse+https://m.example/rust/index/"));
    assert_eq!(read["http"]["cainfo"].as_str(), ca.to_str());
    assert_eq!(read["http"]["check-revoke"].as_bool(), Some(false));
    let run = run.stdout_has("export RUSTUP_DIST_SERVER='https://m.example/rust'\n");
    let run = run.stdout_has("$env:RUSTUP_UPDATE_ROOT = 'https://m.example/rust/rustup'\n");
    let run = run.stdout_has("export RUSTUP_BACKTRACK_LIMIT='1'\n").stdout_has("$env:RUSTUP_BACKTRACK_LIMIT = '1'\n");
    run.stdout_has(&format!("export SSL_CERT_FILE='{}'\n", ca.display()));
    assert_eq!(read_files(&sandbox.cargo_home()), BTreeMap::new(), "printing writes nothing");
}

#[test]
fn setup_refuses_invalid_arguments() {
    let sandbox = Sandbox::new();
    sandbox.write("not-pem", "nothing");
    for url in ["mirror:8080", "ftp://m", "http://m/\"x", "http://m/ x", "http://a@b", "http://m/'", "http://m\n"] {
        sandbox.run(["setup", "--url", url]).exits(3).stderr_has("hint:");
    }
    for ca in ["absent.pem", "not-pem"] {
        sandbox.run(["setup", "--write", "--ca", ca]).exits(3).stderr_has(ca);
    }
    for args in [
        &["setup", "--undo", "--write"][..],
        &["setup", "--local", "--url", "http://m"],
        &["setup", "--mirror", "m"],
        &["setup", "--undo", "--local"],
        &["setup", "--offline", "--local"],
    ] {
        sandbox.run(args).exits(2);
    }
    let write = sandbox.cargo_home().join("config.toml");
    for broken in ["[source", "source = 1\n", "[source.crates-io]\nreplace-with = 'a'\nreplace-with = 'b'\n"] {
        fs::write(&write, broken).unwrap();
        sandbox.run(["setup", "--write"]).exits(3).stderr_has("config.toml").stderr_has("hint:");
        assert_eq!(read_files(&sandbox.cargo_home()), BTreeMap::from([("config.toml".to_owned(), broken.to_owned())]));
    }
    fs::write(&write, b"[net]\n# \xff\n").unwrap();
    sandbox.run(["setup", "--write"]).exits(3).stderr_has("not UTF-8");
}

#[test]
fn setup_writes_and_removes_its_configuration() {
    let sandbox = Sandbox::new();
    mirror_with_crates(&sandbox);
    let serving = sandbox.serve(["--mirror", "mirror"]);
    let client = Client::new();
    run_setup(&sandbox, &client, ["--write", "--url", serving.url()]).ok().stderr_has("replace-with = \"frostmirror\"");
    let once = read_files(&client.cargo_home());
    run_setup(&sandbox, &client, ["--write", "--url", serving.url()]).ok().stderr_has("Unchanged");
    assert_eq!(read_files(&client.cargo_home()), once);
    assert_cargo_works(&sandbox, &client);
    run_setup(&sandbox, &client, ["--undo"]).ok();
    assert!(!config_path(&client).exists() && !client.cargo_home().join("config.toml.frostmirror-undo").exists());
    run_setup(&sandbox, &client, ["--undo"]).ok().stderr_has("contains no changes by setup");
}

#[test]
fn an_existing_mirror_is_replaced_with_a_note_and_restored_exactly() {
    let sandbox = Sandbox::new();
    mirror_with_crates(&sandbox);
    let serving = sandbox.serve(["--mirror", "mirror"]);
    let old = "# ours; ask Jo\r\n[net]\r\nretry = 2 # slow proxy\r\n\r\n[source.crates-io]\r\nreplace-with = 'corp'   # since 2020\r\n\
               [source.corp]\r\nregistry = \"sparse+http://127.0.0.1:9/index/\"\r\n\r\n[alias]\r\nb = \"build\"\r\n# the end";
    let client = Client::new().config(old);
    let run = run_setup(&sandbox, &client, ["--write", "--url", serving.url()]).ok();
    run.stderr_has("warning: crates.io was replaced by 'corp' before").stderr_has("(was 'corp')");
    let text = fs::read_to_string(config_path(&client)).unwrap();
    for kept in
        ["# ours; ask Jo", "retry = 2 # slow proxy", "# since 2020", "[source.corp]", "b = \"build\"", "# the end"]
    {
        assert!(text.contains(kept), "{kept}: {text}");
    }
    assert_cargo_works(&sandbox, &client);
    // Other options, the mirror's disk, and back: what stood there first is what comes back.
    run_setup(&sandbox, &client, ["--write", "--local", "--mirror", "mirror", "--check-revoke", "false"]).ok();
    run_setup(&sandbox, &client, ["--undo"]).ok().stderr_has("Restored");
    assert_eq!(fs::read_to_string(config_path(&client)).unwrap(), old);
    assert!(!client.cargo_home().join("config.toml.frostmirror-undo").exists());
}

#[test]
fn user_edits_survive_undo() {
    let sandbox = Sandbox::new();
    let client =
        Client::new().config("[source.crates-io]\nreplace-with = \"corp\"\n[source.corp]\ndirectory = \"/v\"\n");
    run_setup(&sandbox, &client, ["--write", "--offline"]).ok();
    let text = fs::read_to_string(config_path(&client)).unwrap();
    fs::write(config_path(&client), format!("# new\n{text}\n[build]\njobs = 1\n")).unwrap();
    run_setup(&sandbox, &client, ["--write", "--offline", "--url", "http://second"]).ok();
    run_setup(&sandbox, &client, ["--undo"]).ok();
    let back = fs::read_to_string(config_path(&client)).unwrap();
    let wanted =
        "# new\n[source.crates-io]\nreplace-with = \"corp\"\n[source.corp]\ndirectory = \"/v\"\n\n[build]\njobs = 1\n";
    assert_eq!(back.replace("\n\n\n", "\n\n"), wanted);

    run_setup(&sandbox, &client, ["--write", "--offline"]).ok();
    let text = fs::read_to_string(config_path(&client)).unwrap();
    fs::write(config_path(&client), text.replace("\"frostmirror\"", "\"mine\"")).unwrap();
    run_setup(&sandbox, &client, ["--undo"]).ok().stderr_has("source.crates-io.replace-with was changed");
    let back = fs::read_to_string(config_path(&client)).unwrap();
    assert!(back.contains("replace-with = \"mine\"") && !back.contains("registries"), "{back}");
}

#[test]
fn a_local_mirror_works_without_a_server() {
    let sandbox = Sandbox::new();
    mirror_with_crates(&sandbox);
    let client = Client::new();
    run_setup(&sandbox, &client, ["--write", "--local", "--mirror", "mirror"]).ok();
    let text = fs::read_to_string(config_path(&client)).unwrap();
    let crates = sandbox.path("mirror/crates");
    assert!(
        text.contains(&format!("local-registry = \"{}\"", crates.display())) && !text.contains("registries"),
        "{text}"
    );
    assert_cargo_works(&sandbox, &client);
    // The variable names the mirror where the flag does not.
    let args = sandbox.process(["setup", "--local"]).envs([("FROSTMIRROR_MIRROR", "./mirror")]);
    args.run().ok().stdout_has(&format!("local-registry = \"{}\"", crates.display())).stdout_has("'file:///");
}

#[test]
fn a_local_mirror_with_crates_cargo_cannot_see_is_refused() {
    let sandbox = Sandbox::new();
    let args = ["setup", "--local", "--write", "--mirror", "mirror"];
    sandbox.run(args).exits(3).stderr_has("it has no index").stderr_has("hint:");
    mirror_with_crates(&sandbox);
    let link = sandbox.path("mirror/crates/index");
    fs::remove_file(&link).unwrap();
    sandbox.run(args).exits(3).stderr_has("crates/index is missing");
    fs::create_dir(&link).unwrap();
    sandbox.run(args).exits(3).stderr_has("a copy");
    fs::remove_dir(&link).unwrap();
    symlink("../elsewhere", &link).unwrap();
    sandbox.run(args).exits(3).stderr_has("elsewhere");
    assert_eq!(read_files(&sandbox.cargo_home()), BTreeMap::new());
    fs::remove_file(&link).unwrap();
    symlink(sandbox.path("mirror/index"), &link).unwrap();
    sandbox.run(args).ok();
}

#[test]
fn the_legacy_config_file_name_is_used_when_cargo_reads_it() {
    let sandbox = Sandbox::new();
    mirror_with_crates(&sandbox);
    let serving = sandbox.serve(["--mirror", "mirror"]);
    let client = Client::new();
    let old = client.cargo_home().join("config");
    fs::write(&old, "[net]\nretry = 1\n").unwrap();
    let run = run_setup(&sandbox, &client, ["--write", "--url", serving.url()]).ok();
    run.stderr_has("warning: cargo reads");
    assert!(!config_path(&client).exists() && fs::read_to_string(&old).unwrap().contains("frostmirror"));
    assert_cargo_works(&sandbox, &client);
    // Also where both are there.
    fs::write(config_path(&client), "[net]\nretry = 3\n").unwrap();
    let app = write_app(&sandbox);
    client.cargo(&app, ["update"]).ok();
    run_setup(&sandbox, &client, ["--undo"]).ok();
    assert_eq!(fs::read_to_string(&old).unwrap(), "[net]\nretry = 1\n");
    assert_eq!(fs::read_to_string(config_path(&client)).unwrap(), "[net]\nretry = 3\n");
}

#[test]
fn a_symlinked_config_file_stays_a_symlink() {
    let sandbox = Sandbox::new();
    let client = Client::new();
    let real = sandbox.write("dotfiles/cargo.toml", "[net]\nretry = 1\n");
    symlink(&real, config_path(&client)).unwrap();
    run_setup(&sandbox, &client, ["--write", "--offline"]).ok();
    assert!(config_path(&client).symlink_metadata().unwrap().is_symlink());
    assert!(fs::read_to_string(&real).unwrap().contains("frostmirror"));
    run_setup(&sandbox, &client, ["--undo"]).ok();
    assert!(config_path(&client).symlink_metadata().unwrap().is_symlink());
    assert_eq!(fs::read_to_string(&real).unwrap(), "[net]\nretry = 1\n");
}

#[test]
fn an_index_url_is_accepted_as_the_server_url() {
    let sandbox = Sandbox::new();
    for url in ["http://h:1/index/", "http://h:1/index", "sparse+http://h:1/index/", "http://h:1/index/config.json"] {
        let run = sandbox.run(["setup", "--offline", "--url", url]).ok().stderr_has("its server is `http://h:1`");
        run.stdout_has("\"sparse+http://h:1/index/\"").stdout_lacks("index/index");
    }
    sandbox.run(["setup", "--offline", "--url", "http://h:1/m"]).ok().stderr_lacks("warning").stderr_lacks("Note");
    sandbox.run(["setup", "--offline", "--url", "http://index"]).ok().stdout_has("\"sparse+http://index/index/\"");
    sandbox
        .run(["setup", "--offline", "--url", "http://h:1/m/index/index/"])
        .ok()
        .stdout_has("sparse+http://h:1/m/index/index/");
}

#[test]
fn the_address_of_a_page_is_accepted_as_the_server_url() {
    let sandbox = Sandbox::new();
    for path in [
        "/setup",
        "/setup/",
        "/?q=serde",
        "/#crates",
        "/browse?q=serde#results",
        "/crates/serde",
        "/dist",
        "/dist/channel-rust-stable.toml",
        "/deps",
        "/packages",
        "/rustup-init.sh",
        "/api/setup/cargo-config",
        "/index/se/rd/serde",
    ] {
        for prefix in ["", "/m", "/a/b"] {
            let base = format!("http://h:1{prefix}");
            let run = sandbox.run(["setup", "--offline", "--url", &format!("{base}{path}")]).ok();
            run.stderr_has(&format!("its server is `{base}`")).stdout_has(&format!("\"sparse+{base}/index/\""));
        }
    }
    for url in ["http://h:1", "http://h:1/", "http://h:1/mirror/", "http://h:1/setups"] {
        sandbox.run(["setup", "--offline", "--url", url]).ok().stderr_lacks("Note");
    }
}

#[test]
fn settings_that_prevent_access_to_the_server_are_warned_about() {
    let sandbox = Sandbox::new().without_env("no_proxy").without_env("http_proxy");
    mirror_with_crates(&sandbox);
    let serving = sandbox.serve(["--mirror", "mirror"]);
    let write = ["--url", serving.url(), "--write"];
    let of = |text: &str| {
        let client = Client::new();
        fs::write(config_path(&client), text).unwrap();
        client
    };
    run_setup(&sandbox, &of(""), write).ok().stderr_lacks("warning");
    run_setup(&sandbox, &of("[net]\noffline = true\n"), write).ok().stderr_has("`net.offline` is true");
    let proxied = of("[http]\nproxy = 'http://me:hunter2@proxy.corp.example:3128'\n");
    let run = run_setup(&sandbox, &proxied, write).ok().stderr_has("`http.proxy`");
    run.stderr_has("add `127.0.0.1` to the variable NO_PROXY").stderr_lacks("hunter2");
    let args = ["setup"].into_iter().chain(write);
    let (home, elsewhere) = (proxied.cargo_home(), "sparse+http://elsewhere/index/");
    let exempt = [("CARGO_HOME", home.to_str().unwrap()), ("NO_PROXY", "127.0.0.1")];
    sandbox.process(args).envs(exempt).run().ok().stderr_lacks("warning");
    let (other, name) = (of("").cargo_home(), "CARGO_REGISTRIES_FROSTMIRROR_INDEX");
    let named = [("CARGO_HOME", other.to_str().unwrap()), (name, elsewhere)];
    let args = ["setup"].into_iter().chain(write);
    sandbox.process(args).envs(named).run().ok().stderr_has("CARGO_REGISTRIES_FROSTMIRROR_INDEX names another index");
}

#[test]
fn a_changed_value_is_not_reported_as_another_configuration() {
    let sandbox = Sandbox::new();
    let client = Client::new();
    for url in ["http://first.example", "http://second.example"] {
        run_setup(&sandbox, &client, ["--write", "--offline", "--url", url]).ok().stderr_lacks("warning");
    }
}

#[test]
fn another_configuration_file_that_wins_is_a_warning_with_its_key() {
    let sandbox = Sandbox::new().without_env("no_proxy").without_env("http_proxy");
    mirror_with_crates(&sandbox);
    let serving = sandbox.serve(["--mirror", "mirror"]);
    let index = format!("sparse+{}/index/", serving.url());
    let app = write_app(&sandbox);
    let near = |text: &str, args: &[&str]| {
        let client = Client::new();
        fs::create_dir_all(app.join(".cargo")).unwrap();
        fs::write(app.join(".cargo/config.toml"), text).unwrap();
        let args = [&["setup", "--write"], args].concat();
        let run = sandbox.process_in(&app, args).envs([("CARGO_HOME", client.cargo_home())]).run().ok();
        (client, run)
    };
    let server = ["--url", serving.url()];
    let local = ["--local", "--mirror", "../mirror"];
    let cases = [
        ("[source.crates-io]\nreplace-with = 'v'\n[source.v]\ndirectory = 'v'\n", "source.crates-io.replace-with"),
        ("[registries.frostmirror]\nindex = 'sparse+http://u:hunter2@127.0.0.1:9/'\n", "registries.frostmirror.index"),
        ("[source.frostmirror]\nregistry = 'sparse+http://127.0.0.1:9/'\n", "source.frostmirror.registry"),
    ];
    for (text, key) in cases {
        let (client, run) = near(text, &server);
        let run = run.stderr_has(&format!("warning: `{key}` in `{}", app.join(".cargo/config.toml").display()));
        run.stderr_has("remove that key there").stderr_lacks("hunter2");
        // The real cargo does not use the mirror there, and uses it once the key is gone.
        assert_ne!(client.process(&app, ["update"]).envs([("CARGO_NET_RETRY", "0")]).run().code, 0, "{key}");
        fs::remove_file(app.join(".cargo/config.toml")).unwrap();
        client.cargo(&app, ["update"]).ok();
    }
    near(cases[0].0, &local).1.stderr_has("warning: `source.crates-io.replace-with`");
    near(cases[2].0, &local).1.stderr_has("warning: `source.frostmirror.registry`");
    // What says the same, and what has nothing to do with it, is no reason.
    let same = format!(
        "[registries.frostmirror]\nindex = '{index}'\n[source.v]\ndirectory = 'v'\n[net]\ngit-fetch-with-cli = true\n"
    );
    let (client, run) = near(&same, &server);
    run.stderr_lacks("warning");
    client.cargo(&app, ["update"]).ok();
}

#[test]
fn a_cargo_that_reads_no_sparse_index_is_a_warning() {
    let sandbox = Sandbox::new().without_env("no_proxy").without_env("http_proxy");
    mirror_with_crates(&sandbox);
    let serving = sandbox.serve(["--mirror", "mirror"]);
    write_program(&sandbox.path("old-cargo"), b"#!/bin/sh\necho 'cargo 1.60.0 (d1fd9fe2c 2022-03-01)'\n");
    let client = Client::new();
    let vars = [("CARGO_HOME", client.cargo_home()), ("CARGO", sandbox.path("old-cargo"))];
    let args = ["setup", "--write", "--url", serving.url()];
    let run = sandbox.process(args).envs(vars.clone()).run().ok();
    run.stderr_has("warning: cargo 1.60.0 does not read").stderr_has("cargo 1.68 or newer");
    sandbox.process(["setup", "--write", "--local", "--mirror", "mirror"]).envs(vars).run().ok().stderr_lacks("1.60.0");
}
