//! The real cargo builds from what was exported, with an empty home and no network.

use std::fs;
use std::path::Path;
use std::process::Command;

use tar::EntryType;

use super::hostile::{MANIFEST, evil_crate};
use super::{export_args, mirror};
use crate::bundle_builder::{BundleBuilder, import};
use crate::support::client::{Client, Project};
use crate::support::crates::Crate;
use crate::support::process::Run;
use crate::support::sandbox::Sandbox;

/// The configuration that an export printed, for a project anywhere.
fn printed_config(sandbox: &Sandbox, run: &Run, folder: &str) -> String {
    let absolute = format!("= {:?}", sandbox.path(folder));
    assert!(run.stdout.starts_with("[source.crates-io]\n") && run.stdout.contains(&absolute), "{}", run.stdout);
    run.stdout.clone()
}

const MAIN: &str = "fn main() { println!(\"{}\", serde::VERSION); }\n";

#[test]
fn cargo_resolves_adds_and_builds_from_a_local_registry() {
    let sandbox = Sandbox::new();
    let mirror = mirror(&sandbox);
    let run = sandbox.run(export_args("local-registry", "registry")).ok();
    let client = Client::new().config(&printed_config(&sandbox, &run, "registry"));
    run.stderr_has("1 crate without a stored file");
    // It stands alone.
    fs::remove_dir_all(mirror).unwrap();
    let app = Project::new("app").dep("serde", "1").dep_for_target("cfg(windows)", "winonly", "0.1").main(MAIN);
    let app = app.write(&sandbox.path("app"));
    let lock = client.lock(&app);
    assert!(
        lock.contains("winonly") && lock.contains("registry+https://github.com/rust-lang/crates.io-index"),
        "{lock}"
    );
    client.cargo(&app, ["build", "--locked", "--offline"]).ok();
    client.cargo(&app, ["run", "--locked", "--offline", "--quiet"]).ok().stdout_has("1.0.0");
    client.cargo(&app, ["fetch", "--locked"]).exits(101).stderr_has("winonly");
    client.cargo(&app, ["add", "Json"]).ok();
    client.cargo(&app, ["build", "--offline"]).ok();
    assert!(fs::read_to_string(app.join("Cargo.toml")).unwrap().contains("Json = \"1.0.0\""));
}

#[test]
fn cargo_builds_from_a_vendor_folder_and_detects_edits() {
    let sandbox = Sandbox::new();
    let mirror = mirror(&sandbox);
    let run = sandbox.run(export_args("vendor", "vendor")).ok();
    let client = Client::new().config(&printed_config(&sandbox, &run, "vendor"));
    run.stderr_has("1 crate without a stored file: left out");
    let yanked = sandbox.path("vendor/Json-1.1.0");
    assert!(yanked.is_dir() && sandbox.path("vendor/serde-1.0.0+meta.1/.cargo-checksum.json").is_file());
    assert!(!sandbox.path("vendor/Json-1.0.0/.gitignore").exists());

    // A lock made with the registry fits, which names the crates' digests.
    let registry = sandbox.run(export_args("local-registry", "registry")).ok();
    let app = Project::new("app").dep("serde", "1").main(MAIN).write(&sandbox.path("app"));
    Client::new().config(&printed_config(&sandbox, &registry, "registry")).lock(&app);
    fs::remove_dir_all(mirror).unwrap();
    client.cargo(&app, ["build", "--locked", "--offline"]).ok();
    client.cargo(&app, ["run", "--locked", "--offline", "--quiet"]).ok().stdout_has("1.0.0");

    fs::remove_dir_all(app.join("target")).unwrap();
    sandbox.write("vendor/Json-1.0.0/src/lib.rs", "pub const VERSION: &str = \"edited\";");
    let output = client.cargo(&app, ["build", "--locked", "--offline"]).exits(101);
    output.stderr_has("the listed checksum of").stderr_has("lib.rs");
}

/// Runs git without anybody's configuration but `set`.
fn git(folder: &Path, set: &[&str], args: &[&str]) -> String {
    let mut command = Command::new("git");
    for (name, value) in [("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_CONFIG_GLOBAL", "/dev/null")] {
        command.env(name, value);
    }
    for setting in [&["user.name=x", "user.email=x@example.org"], set].concat() {
        command.args(["-c", setting]);
    }
    let output = command.current_dir(folder).args(args).output().expect("git runs");
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The project is committed with its vendored crates, cloned with a git that changes line ends, and built there.
#[test]
fn a_vendor_folder_survives_git_line_ending_conversion() {
    let sandbox = Sandbox::new();
    let twins = Crate::new("twins", "1.0.0")
        .file("README.md", "one\n")
        .file("readme.md", "two\n")
        .lib("pub const VERSION: &str = concat!(\"1.0.0\", include_str!(\"../target/lines.txt\"), include_str!(\"../readme.md\"));")
        .file("target/lines.txt", "one\r\ntwo\n")
        .file("Cargo.lock", "version = 4\n")
        .file("sub/.gitignore", "*.c\n")
        .file("sub/.gitattributes", "*.h text eol=crlf\n")
        .file("sub/a.c", "int a;\n")
        .file("sub/a.h", "int a;\n")
        .file(".gitattributes", "* text=auto\n")
        .file(".gitignore", "*\n")
        .file("configure", "#!/bin/sh\n");
    let orig = |text| (EntryType::Regular, "evil-1.0.0/Cargo.toml.orig", text);
    let twice = [(EntryType::Regular, "evil-1.0.0/src/lib.rs", ""), orig("first"), orig("second")];
    let bundle = BundleBuilder::new("a", 1).ship(twins).ship_packed(evil_crate(Some(MANIFEST), &twice));
    import(&sandbox.path("mirror"), &bundle.write(&sandbox.path(""), "one.pkg")).unwrap();

    let main = "fn main() { println!(\"{:?}\", twins::VERSION); }\n";
    let project = Project::new("app").dep("twins", "1").dep("evil", "1").main(main);
    let app = project.write(&sandbox.path("app"));
    let registry = sandbox.run(export_args("local-registry", "registry")).ok();
    Client::new().config(&printed_config(&sandbox, &registry, "registry")).lock(&app);
    fs::remove_dir_all(app.join("target")).ok();
    let run = sandbox.run_in(&app, ["export", "vendor", "third-party/vendor", "--mirror", "../mirror"]).ok();
    let run = run.stderr_has("twins 1.0.0 has files whose names differ only in case (README.md, readme.md)");
    fs::create_dir_all(app.join(".cargo")).unwrap();
    // The path relative to the project holds in every clone.
    let absolute = format!("{:?}", app.join("third-party/vendor"));
    assert!(run.stdout.contains(&absolute), "{}", run.stdout);
    let config = run.stdout.replace(&absolute, "\"third-party/vendor\"");
    fs::write(app.join(".cargo/config.toml"), config).unwrap();
    fs::write(app.join(".gitignore"), "target/\nCargo.lock\n*.orig\n!/Cargo.lock\n").unwrap();
    fs::write(app.join(".gitattributes"), "*.md filter=lfs\n*.txt text ident\n").unwrap();

    let windows = ["core.autocrlf=true", "core.safecrlf=false"];
    git(&app, &[], &["init", "-q"]);
    git(&app, &windows, &["add", "."]);
    git(&app, &windows, &["commit", "-qm", "all"]);
    assert_eq!(git(&app, &windows, &["status", "--porcelain"]), "");
    git(&sandbox.path(""), &windows, &["clone", "-q", "app", "clone"]);
    let clone = sandbox.path("clone");
    let vendored = |name: &str| sandbox.read_tree(format!("{name}/third-party"));
    assert_eq!(vendored("clone"), vendored("app"));
    assert_eq!(fs::read(clone.join("third-party/vendor/evil-1.0.0/Cargo.toml.orig")).unwrap(), b"second");

    let client = Client::new();
    client.cargo(&clone, ["build", "--locked", "--offline"]).ok();
    let output = client.cargo(&clone, ["run", "--locked", "--offline", "--quiet"]).ok();
    output.stdout_has(r#""1.0.0one\r\ntwo\ntwo\n""#);

    // A clone on a system that ignores case has but one of the two.
    fs::remove_file(clone.join("third-party/vendor/twins-1.0.0/README.md")).unwrap();
    fs::remove_dir_all(clone.join("target")).unwrap();
    client.cargo(&clone, ["build", "--locked", "--offline"]).ok();
    // What is not twofold is still checked.
    fs::write(clone.join("third-party/vendor/twins-1.0.0/sub/a.c"), "int b;\n").unwrap();
    fs::remove_dir_all(clone.join("target")).unwrap();
    client.cargo(&clone, ["build", "--locked", "--offline"]).exits(101).stderr_has("the listed checksum of");
}
