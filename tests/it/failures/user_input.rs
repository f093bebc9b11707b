//! What users give: files, words, variables.

use std::fs;

use super::{assert_failure, assert_failure_in};
use crate::end_to_end::fixture_registry::FixtureRegistry;
use crate::support::client::Project;
use crate::support::sandbox::Sandbox;

#[test]
fn depends_toml_failures() {
    let world = FixtureRegistry::new();
    let sandbox = world.sandbox();
    assert_failure(&sandbox, "fetch-nothing-here", 3, &["fetch"]);
    assert_failure(&sandbox, "fetch-depends-missing", 3, &["fetch", "-c", "team/depends.toml"]);
    assert_failure(&sandbox, "init-no-workspace", 3, &["init"]);
    let depends = |name: &str, text: &str| {
        sandbox.write("depends.toml", text);
        assert_failure(&sandbox, name, 3, &["fetch"]);
    };
    depends("fetch-depends-empty", "");
    depends("fetch-depends-unknown-key", "[dependencies]\nengine = { version = \"1\", feature = [\"fast\"] }\n");
    depends("fetch-depends-bad-requirement", "[dependencies]\nengine = \"one\"\n");
    depends("fetch-depends-git", "[dependencies]\nengine = { git = \"https://example.com/engine\" }\n");
    depends(
        "fetch-depends-many",
        "[Dependencies]\nleaf = \"0.3\"\n\n[dependencies]\nanyhow = 1.0.1\nserde = 1.0\n\
         engine = { version = \"1\", Default-Features = false, optional = true }\ntool = { workspace = true }\n\
         own = { path = \"../own\" }\n\n[locked]\nleaf = \"=0.3.0\"\n\n[dev-dependencies]\nleaf = \"0.3\"\n\n\
         [target.'cfg(unix)'.dependencies]\nleaf = \"0.3\"\n\n[patch.crates-io]\nleaf = { path = \"leaf\" }\n",
    );
    depends("fetch-depends-manifest", "[package]\nname = \"app\"\n\n[dependencies]\nleaf = \"0.3\"\n");
    depends("fetch-depends-lock", "version = 4\n\n[[package]]\nname = \"leaf\"\nversion = \"0.3.0\"\n");
    depends(
        "fetch-requests-many",
        "[dependencies]\nengines = \"1\"\nengine = { version = \"1\", features = [\"fats\"] }\nleaf = \"9\"\n\n\
         [locked]\ntool = \"7.7.7\"\n",
    );
    assert_failure(&sandbox, "fetch-lock-is-depends", 3, &["fetch", "--lockfile", "depends.toml"]);
    sandbox.write("team/depends.toml", "[dependencies]\nleaf = \"0.3\"\n");
    sandbox.write("project/Cargo.toml", "[package]\nname = \"project\"\n");
    sandbox.write("empty/notes.txt", "");
    assert_failure(&sandbox, "fetch-depends-folder", 3, &["fetch", "-c", "team"]);
    assert_failure(&sandbox, "fetch-depends-project", 3, &["fetch", "-c", "project"]);
    assert_failure(&sandbox, "fetch-reuse-folder", 3, &["fetch", "-c", "team/depends.toml", "--reuse", "empty"]);
    assert_failure(&sandbox, "init-no-folder", 3, &["init", "-o", "nodir/depends.toml"]);
    depends("fetch-no-version", "[dependencies]\nengine = \"9\"\nleaf = \"0.3\"\n");
    depends("fetch-yanked", "[dependencies]\nleaf = \"=0.3.1\"\n");
    depends("fetch-no-crate", "[dependencies.2]\nengines = \"1\"\n");
    depends("fetch-no-feature", "[dependencies]\nengine = { version = \"1\", features = [\"fats\"] }\n");
    depends("fetch-locked-absent", "[locked]\nengine = \"1.0.7\"\n");
    assert_failure(&sandbox, "init-depends-exists", 3, &["init", "-o", "depends.toml"]);
    assert_failure(&sandbox, "fetch-crate-absent", 3, &["fetch", "--crate", "nothing"]);
    assert_failure(&sandbox, "fetch-crate-no-version", 3, &["fetch", "--crate", "tool@9"]);
    assert_failure(&sandbox, "fetch-crate-yanked", 3, &["fetch", "--crate", "leaf@=0.3.1"]);
    assert_failure(&sandbox, "fetch-crate-word", 2, &["fetch", "--crate", "tool@one"]);
}

#[test]
fn lockfile_and_workspace_failures() {
    let world = FixtureRegistry::new();
    let sandbox = world.sandbox();
    let lock = world.lockfile_of(&Project::new("app").dep("leaf", "0.3"));
    let with = |name: &str, code: i32, text: &str| {
        sandbox.write("given/Cargo.lock", text);
        assert_failure(&sandbox, name, code, &["fetch", "--lockfile", "given/Cargo.lock"]);
    };
    let other =
        |source: &str| format!("{lock}\n[[package]]\nname = \"zebra\"\nversion = \"1.0.0\"\nsource = \"{source}\"\n");
    assert_failure(&sandbox, "fetch-lock-missing", 3, &["fetch", "--lockfile", "given/Cargo.lock"]);
    with(
        "fetch-lock-git",
        3,
        &other("git+https://example.com/zebra?branch=main#0123456789abcdef0123456789abcdef01234567"),
    );
    with("fetch-lock-registry", 3, &other("sparse+https://crates.example.com/index/"));
    with("fetch-lock-newer", 3, &lock.replace("version = 4", "version = 7"));
    with("fetch-lock-merge", 3, &format!("<<<<<<< HEAD\n{lock}"));
    let cksum = &world.packed("leaf", "0.3.0").cksum;
    let altered = lock.replace(cksum, &cksum.chars().rev().collect::<String>());
    with("fetch-lock-checksum", 4, &altered);
    with("fetch-lock-absent", 3, &lock.replace("0.3.0", "0.3.7"));
    let app = Project::new("app").table("[dependencies]\nleaf = 3").write(&sandbox.path("app"));
    assert_failure_in(&sandbox, &app, "fetch-manifest-broken", 3, &["fetch"]);
    let alone = Project::new("alone").write(&sandbox.path("alone"));
    assert_failure_in(&sandbox, &alone, "fetch-nothing-needed", 3, &["fetch"]);
    let locked = Project::new("app").dep("leaf", "0.3").lockfile(&altered).write(&sandbox.path("locked"));
    assert_failure_in(&sandbox, &locked, "fetch-workspace-checksum", 4, &["fetch"]);
    let far = Project::new("far").dep("leaf", "7").write(&sandbox.path("far"));
    assert_failure_in(&sandbox, &far, "fetch-workspace-no-version", 3, &["fetch"]);
    assert_failure(&sandbox, "fetch-manifest-missing", 3, &["fetch", "--manifest-path", "nowhere/Cargo.toml"]);
}

#[test]
fn environment_and_cargo_configuration_failures() {
    let world = FixtureRegistry::new();
    let with = |name: &str, value: &str| {
        let sandbox = world.sandbox().env(name, value);
        sandbox.write("depends.toml", "[dependencies]\nleaf = \"0.3\"\n");
        sandbox
    };
    let fetch = |sandbox: Sandbox, name: &str| assert_failure(&sandbox, name, 3, &["fetch"]);
    fetch(with("SOURCE_DATE_EPOCH", "yesterday"), "fetch-source-date-epoch");
    fetch(with("FROSTMIRROR_REGISTRY_URL", "ftp://crates.example.com"), "fetch-upstream-address");
    fetch(with("FROSTMIRROR_TOOLCHAIN", "newest"), "fetch-toolchain-variable");
    fetch(with("FROSTMIRROR_PLATFORMS", "linux"), "fetch-platforms-variable");
    fetch(with("FROSTMIRROR_DIST_URL", "ftp://dist.example.com"), "fetch-dist-address");
    fetch(with("CARGO", "/nowhere/cargo"), "fetch-no-cargo");
    fetch(with("https_proxy", "not a proxy"), "fetch-proxy-address");
    fetch(with("CARGO_HTTP_CAINFO", "/nowhere/ca.pem"), "fetch-cainfo");
    let configured = |text: &str| {
        let sandbox = with("LANG", "C").without_env("FROSTMIRROR_REGISTRY_URL");
        fs::write(sandbox.cargo_home().join("config.toml"), text).unwrap();
        sandbox
    };
    fetch(configured("[http\n"), "fetch-config-broken");
    fetch(configured("[source.crates-io]\nreplace-with = \"corp\"\n"), "fetch-config-unknown-source");
    let corp = "[source.crates-io]\nreplace-with = \"corp\"\n[registries.corp]\nindex = \"sparse+http://127.0.0.1:9/\"\ncredential-provider = \"cargo:libsecret\"\n";
    fetch(configured(corp), "fetch-credential-provider");
    assert_failure(&with("LANG", "C"), "fetch-base-url", 3, &["fetch", "--base-url", "mirror.example"]);
}

#[test]
fn output_and_history_folder_failures() {
    let world = FixtureRegistry::new();
    let sandbox = world.sandbox();
    sandbox.write("depends.toml", "[dependencies]\nleaf = \"0.3\"\n");
    sandbox.write("taken", "a file");
    assert_failure(&sandbox, "fetch-output-is-a-file", 7, &["fetch", "-o", "taken"]);
    assert_failure(&sandbox, "fetch-output-below-a-file", 7, &["fetch", "-o", "taken/output"]);
    assert_failure(&sandbox, "man-below-a-file", 7, &["man", "taken/man"]);
    sandbox.run(["fetch"]).ok();
    let lineage = sandbox.frostmirror_home().join("history/lineage.json");
    let good = fs::read_to_string(&lineage).unwrap();
    fs::write(&lineage, &good[..good.len() / 2]).unwrap();
    assert_failure(&sandbox, "fetch-history-damaged", 3, &["fetch"]);
    fs::write(&lineage, good.replace("\"format\": 3", "\"format\": 9")).unwrap();
    assert_failure(&sandbox, "fetch-history-newer", 3, &["fetch"]);
    let sandbox = sandbox.env("FROSTMIRROR_HOME", "taken");
    assert_failure(&sandbox, "fetch-home-is-a-file", 7, &["fetch"]);
}

#[test]
fn fetch_option_failures() {
    let world = FixtureRegistry::new();
    let sandbox = world.sandbox().env("SOURCE_DATE_EPOCH", "1775165400");
    sandbox.write("depends.toml", "[dependencies]\nleaf = \"0.3\"\n");
    let meets = |name: &str, args: &[&str]| assert_failure(&sandbox, name, 3, &[&["fetch"], args].concat());
    meets("fetch-base-of-nothing", &["--base", "20260101-0000-crates.pkg"]);
    meets("fetch-forget-of-nothing", &["--forget", "gone/depends.toml"]);
    sandbox.write("list", "{\"kind\":\"toolchain\",\"name\":\"stable\"}\n");
    meets("fetch-list-kind", &["--from-list", "list"]);
    sandbox.write("list", "leaf 0.3.0\n");
    meets("fetch-list-syntax", &["--from-list", "list"]);
    meets("fetch-list-missing", &["--from-list", "absent"]);
    meets("fetch-reuse-missing", &["--reuse", "absent"]);
    sandbox.write("photo.pkg", "not a bundle");
    assert_failure(&sandbox, "fetch-reuse-photo", 4, &["fetch", "--reuse", "photo.pkg"]);
    let sandbox = sandbox.env("FROSTMIRROR_MODE", "weekly");
    assert_failure(&sandbox, "fetch-mode", 3, &["fetch"]);
}
