//! What is exported: cargo builds from it, rot and hostile crates stop it by name, and nothing half is ever left.

use std::fs;
use std::path::{Path, PathBuf};

use frostmirror::bundle::format::CrateState;

use crate::bundle_builder::{BundleBuilder, all_files, import};
use crate::support::crates::Crate;
use crate::support::sandbox::Sandbox;

mod builds;
mod hostile;
mod hard_links;
mod locks;
mod cancelled;

const EXPORT_KINDS: [&str; 2] = ["local-registry", "vendor"];

/// A mirror of a few crates that need each other, one of them yanked, and one left out by a platform filter.
fn mirror(sandbox: &Sandbox) -> PathBuf {
    let script = "#!/bin/sh\n";
    let bundle = BundleBuilder::new("a", 1)
        .ship(Crate::new("Json", "1.0.0").file(".gitignore", "/target").file("configure", script))
        .ship(Crate::new("Json", "1.1.0").yanked())
        .ship(Crate::new("serde", "1.0.0+meta.1").dep("Json", "^1").lib("pub use Json::VERSION;"))
        .with_crate(Crate::new("winonly", "0.1.0"), CrateState::IndexOnly)
        .write(&sandbox.path(""), "one.pkg");
    let mirror = sandbox.path("mirror");
    import(&mirror, &bundle).unwrap();
    mirror
}

/// The words of an export of `mirror` to `folder`.
fn export_args(form: &'static str, folder: &'static str) -> [&'static str; 5] {
    ["export", form, folder, "--mirror", "mirror"]
}

/// What stands beside the mirror, but for what every sandbox has.
fn entries_beside_mirror(sandbox: &Sandbox) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(sandbox.path(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "mirror" && !name.ends_with(".pkg"))
        .collect();
    names.sort();
    names
}

/// A file of the mirror gets one byte wrong, in a new file as a disk would not do it: links to it stay good.
fn corrupt_copy(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

/// What happens to a file of the mirror.
type DamageFn = fn(&Path);

#[test]
fn a_corrupt_or_missing_crate_stops_the_export_and_leaves_nothing() {
    let sandbox = Sandbox::new();
    let mirror = mirror(&sandbox);
    let whole = all_files(&mirror);
    let clean = entries_beside_mirror(&sandbox);
    let cases: [(&str, DamageFn, &str); 6] = [
        ("crates/Json-1.1.0.crate", corrupt_copy, "has SHA-256"),
        ("crates/Json-1.0.0.crate", |path| fs::remove_file(path).unwrap(), "is missing"),
        ("index/js/on/json", corrupt_copy, "index/js/on/json"),
        ("index/se/rd/serde", |path| fs::write(path, "").unwrap(), "no line of the recorded version 1.0.0+meta.1"),
        ("index/se/rd/serde", |path| fs::write(path, [0xff]).unwrap(), "is damaged at line 1"),
        (
            "index/js/on/json",
            |path| fs::write(path, fs::read_to_string(path).unwrap().replace("true", "false")).unwrap(),
            "a line of Json 1.1.0 that differs from the recorded one",
        ),
    ];
    for (path, damage, expected) in cases {
        damage(&mirror.join(path));
        for form in EXPORT_KINDS {
            let run = sandbox.run(export_args(form, "new/out")).exits(4);
            run.stderr_has(path).stderr_has(expected).stderr_has("--repair-list");
            assert_eq!(entries_beside_mirror(&sandbox), clean, "{form} after {path}: {expected}");
        }
        fs::write(mirror.join(path), &whole[path]).unwrap();
        assert_eq!(all_files(&mirror), whole, "the export changed the mirror");
    }
}

#[test]
fn existing_files_are_never_overwritten_and_an_empty_folder_is_used() {
    let sandbox = Sandbox::new();
    let mirror = mirror(&sandbox);
    sandbox.write("full/mine.txt", "mine");
    sandbox.write("file", "mine");
    for form in EXPORT_KINDS {
        let before = sandbox.read_tree("");
        sandbox.run(export_args(form, "full")).exits(3).stderr_has("is not empty").stderr_has("hint");
        sandbox.run(export_args(form, "file")).exits(3).stderr_has("is not a folder");
        sandbox.run(export_args(form, "mirror/crates/x")).exits(3).stderr_has("inside the mirror");
        sandbox.run(["export", form, "out", "--mirror", "none"]).exits(3).stderr_has("no mirror in");
        assert_eq!(sandbox.read_tree(""), before);
        fs::create_dir(sandbox.path("empty")).unwrap();
        let run = sandbox.run(export_args(form, "empty")).ok();
        run.stdout_has(&format!(" = {:?}\n", sandbox.path("empty"))).stderr_has("Exported 3 crates");
        fs::remove_dir_all(sandbox.path("empty")).unwrap();
    }
    assert!(mirror.is_dir());
}

#[test]
fn the_json_report_of_an_export_is_complete() {
    let sandbox = Sandbox::new();
    mirror(&sandbox);
    for form in EXPORT_KINDS {
        let run =
            sandbox.run(export_args(form, "a \"quoted\" place").into_iter().chain(["--message-format", "json"])).ok();
        let output: Vec<serde_json::Value> =
            run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let reported = output.iter().find(|line| line["reason"] == "exported").unwrap();
        assert_eq!(
            (&reported["form"], &reported["crates"], &reported["index_only"]),
            (&form.into(), &3.into(), &1.into())
        );
        let config: toml::Table = reported["config"].as_str().unwrap().parse().unwrap();
        let key = if form == "vendor" { "directory" } else { form };
        assert_eq!(config["source"]["frostmirror"][key].as_str(), reported["path"].as_str());
        let path = sandbox.path("a \"quoted\" place").canonicalize().unwrap();
        assert_eq!(reported["path"].as_str(), path.to_str());
        fs::remove_dir_all(path).unwrap();
    }
}

#[test]
fn an_empty_mirror_gives_an_empty_source() {
    let sandbox = Sandbox::new();
    fs::create_dir_all(sandbox.path("mirror/.frostmirror")).unwrap();
    for form in EXPORT_KINDS {
        sandbox.run(export_args(form, form)).ok().stderr_has("Exported 0 crates");
    }
    assert!(sandbox.path("local-registry/index").is_dir());
}
