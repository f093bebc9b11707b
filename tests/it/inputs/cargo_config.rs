//! What cargo's own configuration says about which versions are chosen holds for the cargo that `fetch` runs.

use std::fs;

use crate::support::client::{Client, Project};
use crate::support::sandbox::Sandbox;
use crate::support::upstream::Upstream;

/// A cargo that takes unstable features whatever its channel is.
fn sandbox(upstream: &Upstream) -> Sandbox {
    Sandbox::new().upstream(upstream).env("RUSTC_BOOTSTRAP", "1")
}

fn list_output(sandbox: &Sandbox, output: &str) -> String {
    let bundle = fs::read_dir(sandbox.path(output)).unwrap().next().unwrap().unwrap().path();
    sandbox.run(["list", bundle.to_str().unwrap()]).ok().stdout
}

#[test]
fn unstable_cargo_features_apply_during_resolution() {
    let upstream = Upstream::start();
    upstream.publish_all(&[("tool", "1.0.0"), ("other", "1.0.0")]);
    let project = || Project::new("app").table("[dependencies.tool]\nversion = \"1\"\nartifact = \"bin\"\nlib = true");
    // In the configuration itself, in a file that it includes, and in the one of cargo's home.
    for (file, text) in [
        ("app/.cargo/config.toml", "[unstable]\nbindeps = true\n"),
        ("app/.cargo/sub/more.toml", "[unstable]\nbindeps = true\n"),
        ("cargo-home", "[unstable]\nbindeps = true\n"),
    ] {
        let sandbox = sandbox(&upstream);
        let folder = project().write(&sandbox.path("app"));
        match file {
            "cargo-home" => {
                let path = sandbox.cargo_home().join("config.toml");
                let before = fs::read_to_string(&path).unwrap_or_default();
                fs::write(path, format!("{before}\n{text}")).unwrap();
            }
            _ => _ = sandbox.write(file, text),
        }
        if file.ends_with("more.toml") {
            sandbox.write("app/.cargo/config.toml", "include = [\"sub/more.toml\"]\n");
        }
        let before = sandbox.read_tree("app");
        let run = sandbox.run_in(&folder, ["fetch", "-o", "../without-lock"]);
        assert_eq!(run.code, 0, "{file}: {}", run.stderr);
        assert!(list_output(&sandbox, "without-lock").contains("tool 1.0.0"));
        assert_eq!(sandbox.read_tree("app"), before);

        let client =
            Client::with_index(&upstream.index_url()).env("RUSTC_BOOTSTRAP", "1").env("CARGO_UNSTABLE_BINDEPS", "true");
        client.cargo(&folder, ["generate-lockfile"]).ok();
        let run = sandbox.run_in(&folder, ["fetch", "-o", "../with-lock"]).ok();
        assert!(!run.stderr.contains("does not fit"), "{file}: {}", run.stderr);
        assert!(list_output(&sandbox, "with-lock").contains("tool 1.0.0"));
    }
    // As a variable.
    let sandbox = sandbox(&upstream).env("CARGO_UNSTABLE_BINDEPS", "true");
    let folder = project().write(&sandbox.path("app"));
    sandbox.run_in(&folder, ["fetch", "-o", "../out"]).ok();
    assert!(list_output(&sandbox, "out").contains("tool 1.0.0"));
}

#[test]
fn a_patch_in_an_included_config_applies_and_no_lock_is_written() {
    let upstream = Upstream::start();
    upstream.publish_all(&[("a", "1.0.0"), ("b", "1.0.0")]);
    let sandbox = sandbox(&upstream);
    let folder = Project::new("app").dep("a", "1").dep("b", "1").write(&sandbox.path("app"));
    sandbox.write("app/.cargo/config.toml", "include = [\"more.toml\"]\n");
    let elsewhere = sandbox.path("elsewhere/Cargo.lock");
    let more = format!(
        "[patch.crates-io]\na = {{ path = \"mine\" }}\n[unstable]\nlockfile-path = true\n[resolver]\nlockfile-path = \"{}\"\n",
        elsewhere.display()
    );
    sandbox.write("app/.cargo/more.toml", more);
    sandbox.write("app/mine/Cargo.toml", "[package]\nname = \"a\"\nversion = \"1.0.9\"\nedition = \"2021\"\n");
    sandbox.write("app/mine/src/lib.rs", "");
    let run = sandbox.run_in(&folder, ["fetch", "-o", "../out"]).ok();
    run.stderr_has("`resolver.lockfile-path`");
    let listed = list_output(&sandbox, "out");
    assert!(listed.contains("b 1.0.0") && !listed.contains("a 1.0"), "{listed}");
    assert!(!elsewhere.exists() && !folder.join("Cargo.lock").exists());
}
