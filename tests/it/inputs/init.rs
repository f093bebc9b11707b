//! `init`, run on real workspaces with the real cargo.

use std::fs;
use std::path::Path;

use crate::support::client::{Client, Project};
use crate::support::crates::Crate;
use crate::support::process::Process;
use crate::support::sandbox::Sandbox;
use crate::support::upstream::Upstream;

/// What the workspaces here need.
fn upstream() -> Upstream {
    let upstream = Upstream::start();
    upstream.publish_all(&[
        ("json", "0.9.3"),
        ("itoa", "1.0.0"),
        ("mio", "0.8.0"),
        ("winapi", "0.3.9"),
        ("cc", "1.2.0"),
    ]);
    upstream.publish_all(&[("check", "2.0.0"), ("extra", "3.1.0"), ("itoa", "1.0.1")]);
    upstream.publish(Crate::new("json", "1.0.5").dep("itoa", "1").feature("std", &[]).feature("raw", &[]));
    upstream.publish(Crate::new("rt", "1.4.0").dep("mio", "0.8").optional().feature("net", &["dep:mio"]));
    upstream
}

/// Two members and the root, with every kind of dependency that crates.io has a part in.
fn write_workspace(sandbox: &Sandbox, folder: &str) {
    let root = "[workspace]\nmembers = [\"crates/*\"]\nresolver = \"2\"\n\
                [workspace.package]\nversion = \"0.3.0\"\nedition = \"2021\"\n\
                [workspace.dependencies]\njson = { version = \"1\", default-features = false, features = [\"std\"] }\nrt = \"1.4\"\n";
    let app = "[package]\nname = \"app\"\nversion.workspace = true\nedition.workspace = true\nreadme = \"MISSING.md\"\nlinks = \"app\"\n\
               build = \"src/make.rs\"\n\
               [dependencies]\njson = { workspace = true, features = [\"raw\"] }\nold-json = { package = \"json\", version = \"0.9\" }\n\
               core = { package = \"our-core\", path = \"../core\", version = \"0.3\" }\nruntime = { package = \"rt\", version = \"1.4\" }\n\
               extra = { version = \"3\", optional = true }\n\
               [dev-dependencies]\ncheck = \">=1, <3\"\n[build-dependencies]\ncc = \"1.2\"\n\
               [target.'cfg(windows)'.dependencies]\nwinapi = \"0.3\"\n[features]\nnet = [\"runtime/net\"]\n\
               [[bin]]\nname = \"odd\"\npath = \"odd/main.rs\"\n[[bench]]\nname = \"speed\"\nharness = false\n";
    let core = "[package]\nname = \"our-core\"\nversion.workspace = true\nedition.workspace = true\n\
                [lib]\npath = \"lib.rs\"\n[dependencies]\njson = { workspace = true }\nitoa = \"=1.0.0\"\n";
    for (path, text) in [
        ("Cargo.toml", root),
        ("crates/app/Cargo.toml", app),
        ("crates/app/odd/main.rs", "fn main() {}\n"),
        ("crates/app/src/lib.rs", "pub fn answer() {}\n"),
        ("crates/app/src/make.rs", "fn main() {}\n"),
        ("crates/app/benches/speed.rs", "fn main() {}\n"),
        ("crates/app/examples/show.rs", "fn main() {}\n"),
        ("crates/core/Cargo.toml", core),
        ("crates/core/lib.rs", ""),
    ] {
        sandbox.write(format!("{folder}/{path}"), text);
    }
}

const LOCKED_TEXT: &str = "\
# Crates to carry across the air gap. Written by `cargo frostmirror init`.

# Every crates.io package in Cargo.lock. `cargo frostmirror init --update` updates this table.
[locked]
cc = \"1.2.0\"
check = \"2.0.0\"
extra = \"3.1.0\"
itoa = \"1.0.0\"
json = [\"0.9.3\", \"1.0.5\"]
mio = \"0.8.0\"
rt = \"1.4.0\"
winapi = \"0.3.9\"
";

#[test]
fn init_prints_to_stdout_and_an_update_names_what_it_removes() {
    let upstream = Upstream::start();
    upstream.publish(Crate::new("itoa", "1.0.11"));
    let sandbox = Sandbox::new().upstream(&upstream);
    let project = Project::new("app").dep("itoa", "1").write(&sandbox.path("app"));
    Client::with_index(&upstream.index_url()).lock(&project);
    let printed = sandbox.run_in(&project, ["init", "-o", "-"]).ok();
    assert!(printed.stdout.contains("[locked]\nitoa = \"1.0.11\"\n"), "{}", printed.stdout);
    assert!(!sandbox.path("app/-").exists() && !sandbox.path("app/depends.toml").exists());
    sandbox.run_in(&project, ["init", "--update", "-o", "-"]).exits(2);
    sandbox.write("app/depends.toml", "[locked]\ngone = \"1.0.0\"\nitoa = [\"1.0.11\", \"1.0.9\"]\n");
    sandbox.run_in(&project, ["init", "--update"]).ok().stderr_has("gone 1.0.0, itoa 1.0.9 from `[locked]`");
}

#[test]
fn a_workspace_without_a_lock_is_resolved_in_a_copy() {
    let upstream = upstream();
    let sandbox = Sandbox::new().upstream(&upstream);
    write_workspace(&sandbox, "ws");
    let before = sandbox.read_tree("ws");
    let run = sandbox.run(["init", "--manifest-path", "ws/crates/app/Cargo.toml"]).ok();
    let run = run
        .stderr_has("has no Cargo.lock; cargo resolved a copy of it")
        .stderr_has("Wrote depends.toml (9 locked packages)");
    assert_eq!(run.stdout, "");
    assert_eq!(sandbox.read("depends.toml"), LOCKED_TEXT);
    assert_eq!(sandbox.read_tree("ws"), before);
    assert!(upstream.downloads().is_empty(), "{:?}", upstream.downloads());
}

#[test]
fn a_matching_lock_is_used_unchanged_although_newer_versions_exist() {
    let upstream = upstream();
    let sandbox = Sandbox::new().upstream(&upstream);
    write_workspace(&sandbox, "ws");
    let lock = Client::with_index(&upstream.index_url()).lock(&sandbox.path("ws"));
    assert!(lock.contains("version = 4"), "{lock}");
    upstream.publish_all(&[("json", "1.9.0"), ("winapi", "0.3.99")]);
    let without_comments: String =
        lock.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
    let older_format = lock.replace("version = 4\n", "version = 3\n");
    for text in [lock, older_format, without_comments] {
        sandbox.write("ws/Cargo.lock", text);
        let before = sandbox.read_tree("ws");
        let args = ["init", "--force", "-o", "../../../depends.toml"];
        sandbox.run_in(&sandbox.path("ws/crates/core"), args).ok().stderr_lacks("warning");
        assert_eq!(sandbox.read("depends.toml"), LOCKED_TEXT);
        assert_eq!(sandbox.read_tree("ws"), before);
    }
}

#[test]
fn the_users_cargo_cache_is_enough_to_validate_a_lock() {
    let upstream = upstream();
    let sandbox = Sandbox::new().env("FROSTMIRROR_REGISTRY_URL", "http://127.0.0.1:9/");
    write_workspace(&sandbox, "ws");
    let index = format!("sparse+{}", upstream.index_url());
    let config = format!("[source.crates-io]\nreplace-with = \"own\"\n[registries.own]\nindex = \"{index}\"\n");
    fs::write(sandbox.cargo_home().join("config.toml"), config).unwrap();
    let home = sandbox.cargo_home();
    Client::new().env("CARGO_HOME", home.to_str().unwrap()).lock(&sandbox.path("ws"));
    upstream.clear_log();
    sandbox.run(["init", "--manifest-path", "ws"]).ok().stderr_lacks("warning");
    assert_eq!(sandbox.read("depends.toml"), LOCKED_TEXT);
    assert!(upstream.requests().is_empty());
}

#[test]
fn an_outdated_lock_is_updated_in_a_copy_and_keeps_locked_versions() {
    let upstream = upstream();
    let sandbox = Sandbox::new().upstream(&upstream);
    write_workspace(&sandbox, "ws");
    Client::with_index(&upstream.index_url()).lock(&sandbox.path("ws"));
    upstream.publish_all(&[("json", "1.9.0"), ("new", "1.0.0")]);
    let manifest = sandbox.read("ws/crates/core/Cargo.toml") + "new = \"1\"\n";
    sandbox.write("ws/crates/core/Cargo.toml", manifest);
    let manifest = sandbox.read("ws/crates/app/Cargo.toml").replace("cc = \"1.2\"", "");
    sandbox.write("ws/crates/app/Cargo.toml", manifest);
    let before = sandbox.read_tree("ws");
    let run = sandbox.run(["init", "--manifest-path", "ws"]).ok();
    run.stderr_has("does not fit its manifests").stderr_has("(packages: 1 added, 1 removed)");
    let expected = LOCKED_TEXT.replace("cc = \"1.2.0\"\n", "").replace("rt = ", "new = \"1.0.0\"\nrt = ");
    assert_eq!(sandbox.read("depends.toml"), expected);
    assert_eq!(sandbox.read_tree("ws"), before);
}

#[test]
fn without_an_index_a_lock_is_used_with_a_warning_and_a_missing_one_fails() {
    let upstream = upstream();
    let sandbox = Sandbox::new().env("FROSTMIRROR_REGISTRY_URL", "http://127.0.0.1:9/").env("CARGO_NET_RETRY", "0");
    write_workspace(&sandbox, "ws");
    // What is to blame is the network, not the workspace.
    let run = sandbox.run(["init", "--manifest-path", "ws"]).exits(5);
    run.stderr_has("could not read the index").stderr_lacks(sandbox.root().join("tmp").to_str().unwrap());
    assert!(!sandbox.path("depends.toml").exists());
    Client::with_index(&upstream.index_url()).lock(&sandbox.path("ws"));
    let run = sandbox.run(["init", "--manifest-path", "ws"]).ok();
    run.stderr_has("is used unchanged, because cargo could not check it");
    assert_eq!(sandbox.read("depends.toml"), LOCKED_TEXT);
}

#[test]
fn direct_merges_the_requirements_of_all_members() {
    let sandbox = Sandbox::new();
    write_workspace(&sandbox, "ws");
    let before = sandbox.read_tree("ws");
    sandbox.run(["init", "--from", "direct", "--manifest-path", "ws"]).ok().stderr_has("(8 requirements)");
    let expected = "\
# Crates to carry across the air gap. Written by `cargo frostmirror init`.

# The requirements of the workspace's members.
[dependencies]
cc = \"1.2\"
check = \">=1, <3\"
extra = \"3\"
itoa = \"=1.0.0\"
json = [\"0.9\", { version = \"1\", default-features = false, features = [\"raw\", \"std\"] }]
rt = { version = \"1.4\", features = [\"net\"] }
winapi = \"0.3\"
";
    // Eight, for both versions of json count.
    assert_eq!(sandbox.read("depends.toml"), expected);
    assert_eq!(sandbox.read_tree("ws"), before);
}

#[test]
fn several_workspaces_are_merged() {
    let upstream = upstream();
    let sandbox = Sandbox::new().upstream(&upstream);
    let client = Client::with_index(&upstream.index_url());
    write_workspace(&sandbox, "ws");
    let other = Project::new("other").dep("itoa", "1.0.1").dep("json", "1").write(&sandbox.path("other"));
    client.lock(&other);
    client.lock(&sandbox.path("ws"));
    let manifests = ["ws/crates/core/Cargo.toml", "ws/Cargo.toml", "other/Cargo.toml"];
    let args = manifests.iter().flat_map(|path| ["--manifest-path", path]);
    sandbox.run(["init", "--from", "both"].into_iter().chain(args)).ok();
    let text = sandbox.read("depends.toml");
    assert!(text.contains("\nitoa = [\"1.0.1\", \"=1.0.0\"]\n"), "{text}");
    assert!(text.contains("\nitoa = [\"1.0.0\", \"1.0.1\"]\n"), "{text}");
    assert!(text.contains("\njson = [\"0.9.3\", \"1.0.5\"]\n"), "{text}");
}

/// A git repository with one package; its `file://` address.
fn git_repository(sandbox: &Sandbox, folder: &str, package: &str) -> String {
    let path = Project::new(package).file("src/lib.rs", "").write(&sandbox.path(folder));
    for args in [
        vec!["init", "-q"],
        vec!["add", "-A"],
        vec![
            "-c",
            "user.name=a",
            "-c",
            "user.email=a@example.org",
            "-c",
            "commit.gpgsign=false",
            "commit",
            "-qm",
            "first",
        ],
    ] {
        let home = [("HOME", sandbox.home())];
        Process::new("git", &path).envs(home).args(args).run().ok();
    }
    format!("file://{}", path.display())
}

#[test]
fn git_and_other_registry_packages_are_left_out_and_named() {
    let upstream = upstream();
    let corp = Upstream::start();
    corp.publish_all(&[("secret", "7.0.0")]);
    let sandbox = Sandbox::new().upstream(&upstream);
    let git = git_repository(&sandbox, "repo", "from-git");
    let corp_index = format!("sparse+{}", corp.index_url());
    let project = Project::new("app")
        .dep("itoa", "1")
        .table(&format!("[dependencies.from-git]\ngit = \"{git}\""))
        .table("[dependencies.secret]\nversion = \"7\"\nregistry = \"corp\"")
        .file(".cargo/config.toml", &format!("[registries.corp]\nindex = \"{corp_index}\"\ntoken = \"never copied\"\n"))
        .write(&sandbox.path("app"));
    let before = sandbox.read_tree("app");
    for (from, expected) in [("lock", "[locked]\nitoa = \"1.0.1\"\n"), ("direct", "[dependencies]\nitoa = \"1\"\n")] {
        let run = sandbox.run_in(&project, ["init", "--force", "--from", from, "-o", "../depends.toml"]).ok();
        let versions = if from == "lock" { ("0.1.0", "7.0.0") } else { ("*", "7") };
        let run = run.stderr_has(&format!(
            "warning: left out: from-git {} (git: {git}), which is not from crates.io",
            versions.0
        ));
        let run = run.stderr_has(&format!("warning: left out: secret {} (", versions.1));
        run.stderr_has("does not build from `../depends.toml` alone: it also needs 2 packages");
        let text = sandbox.read("depends.toml");
        let index = corp.index_url();
        let comment = format!(
            "# Left out, because it is not from crates.io. The workspace does not build without it, and `fetch` warns of it:\n#   from-git {} (git: {git})\n#   secret {} (registry: {index})\n",
            versions.0, versions.1
        );
        assert!(text.ends_with(&(comment + expected)), "{text}");
    }
    assert_eq!(sandbox.read_tree("app"), before);
}

#[test]
fn patches_and_path_dependencies_outside_the_workspace_apply() {
    let upstream = upstream();
    let sandbox = Sandbox::new().upstream(&upstream);
    let package = |name: &str, rest: &str| {
        format!("[package]\nname = \"{name}\"\nversion = \"1.0.0\"\nedition = \"2021\"\n{rest}")
    };
    let files = [
        (
            "ws/Cargo.toml",
            package(
                "app",
                "[dependencies]\njson = \"1\"\nbeside = { path = \"../beside/one\" }\n[patch.crates-io]\njson = { path = \"../patched\" }\n",
            ),
        ),
        ("ws/src/main.rs", "fn main() {}\n".to_owned()),
        ("patched/Cargo.toml", package("json", "[dependencies]\nextra = \"3\"\n")),
        ("patched/src/lib.rs", String::new()),
        ("beside/Cargo.toml", "[workspace]\nmembers = [\"one\"]\n[workspace.dependencies]\ncc = \"1\"\n".to_owned()),
        (
            "beside/one/Cargo.toml",
            package("beside", "[dependencies]\ncc.workspace = true\ndeep = { path = \"../../deep\" }\n"),
        ),
        ("beside/one/src/lib.rs", String::new()),
        ("deep/Cargo.toml", package("deep", "[dependencies]\nwinapi = \"0.3\"\n")),
        ("deep/src/lib.rs", String::new()),
        (
            "ws/.cargo/config.toml",
            "[patch.crates-io]\nwinapi = { path = \"../winapi\" }\n[build]\ntarget-dir = \"elsewhere\"\n".to_owned(),
        ),
        ("winapi/Cargo.toml", package("winapi", "").replace("1.0.0", "0.3.1")),
        ("winapi/src/lib.rs", String::new()),
    ];
    for (path, text) in &files {
        sandbox.write(path, text);
    }
    let before = sandbox.read_tree("");
    sandbox.run_in(&sandbox.path("ws"), ["init", "-o", "../depends.toml"]).ok();
    let text = sandbox.read("depends.toml");
    assert!(text.ends_with("[locked]\ncc = \"1.2.0\"\nextra = \"3.1.0\"\n"), "{text}");
    fs::remove_file(sandbox.path("depends.toml")).unwrap();
    assert_eq!(sandbox.read_tree(""), before);
}

#[test]
fn update_rewrites_only_the_locked_table() {
    let upstream = upstream();
    let sandbox = Sandbox::new().upstream(&upstream);
    let project = Project::new("app").dep("json", "1").dep("rt", "1").write(&sandbox.path("app"));
    Client::with_index(&upstream.index_url()).lock(&project);
    let old = "\
# Ours.
[dependencies.2]          # a group
  anyhow   = '1'

# Exact ones.
[locked]  # header
# about rt
rt = \"1.0.0\"   # stays behind rt
# about gone
gone = [\"1.0.0\"] # goes
json = \"1.0.5\"  # unchanged

# between
last = '2.0.0'

# Platforms last.
[platforms]
toolchain = \"stable\" # why
# the end
";
    let new = "\
# Ours.
[dependencies.2]          # a group
  anyhow   = '1'

# Exact ones.
[locked]  # header
# about rt
rt = \"1.4.0\"   # stays behind rt
# about gone
json = \"1.0.5\"  # unchanged
itoa = \"1.0.1\"

# between

# Platforms last.
[platforms]
toolchain = \"stable\" # why
# the end
";
    for (old, new) in [(old.to_owned(), new.to_owned()), (old.replace('\n', "\r\n"), new.replace('\n', "\r\n"))] {
        sandbox.write("app/depends.toml", &old);
        sandbox.run_in(&project, ["init", "--update"]).ok().stderr_has("Renewed depends.toml (3 locked packages)");
        assert_eq!(sandbox.read("app/depends.toml"), new);
        sandbox.run_in(&project, ["init", "--update"]).ok();
        assert_eq!(sandbox.read("app/depends.toml"), new);
    }
}

#[test]
fn an_existing_depends_toml_is_kept_without_force_or_update() {
    let upstream = upstream();
    let sandbox = Sandbox::new().upstream(&upstream);
    let project = Project::new("app").dep("itoa", "1").write(&sandbox.path("app"));
    Client::with_index(&upstream.index_url()).lock(&project);
    for text in ["[dependencies]\nanyhow = \"1\"\n", "[dependencies\n", "[locked]\na = 1\n"] {
        sandbox.write("app/depends.toml", text);
        let run = sandbox.run_in(&project, ["init"]).exits(3);
        run.stderr_has("`depends.toml` exists").stderr_has("hint: use `--update`");
        assert_eq!(sandbox.read("app/depends.toml"), text);
    }
    let run = sandbox.run_in(&project, ["init", "--update"]).exits(3);
    run.stderr_has("`locked.a` is an integer").stderr_has("--> depends.toml:2:5\n");
    assert_eq!(sandbox.read("app/depends.toml"), "[locked]\na = 1\n");
    sandbox.run_in(&project, ["init", "--update", "--force"]).exits(2);
    sandbox.run_in(&project, ["init", "--update", "--from", "direct"]).exits(2);
    sandbox.run_in(&project, ["init", "--force"]).ok();
    assert!(sandbox.read("app/depends.toml").ends_with("[locked]\nitoa = \"1.0.1\"\n"));
}

#[test]
fn a_folder_that_is_not_a_workspace_is_refused() {
    let sandbox = Sandbox::new();
    sandbox.run(["init"]).exits(3).stderr_has("has a Cargo.toml").stderr_has("hint: run this in the project");
    sandbox.run(["init", "--manifest-path", "no/Cargo.toml"]).exits(3).stderr_has("no/Cargo.toml` does not exist");
    sandbox.write("Cargo.toml", "[package]\nname = 1\n");
    sandbox.run(["init"]).exits(3).stderr_has("cargo cannot read").stderr_has("invalid type: integer");
    let run = sandbox.process(["init"]).envs([("CARGO", "/nowhere/cargo")]).run().exits(3);
    run.stderr_has("could not run `/nowhere/cargo`");
    Project::new("app").dep("itoa", "1").lockfile("version = 9\n").write(&sandbox.path(""));
    sandbox
        .run(["init"])
        .exits(3)
        .stderr_has("has format 9")
        .stderr_has("hint: install a newer version of cargo-frostmirror");
    assert!(!Path::new(&sandbox.path("depends.toml")).exists());
}
