//! A lost record of rustup artifacts is made anew from the ledger and the files, and what must be fetched again is listed.

use std::fs;
use std::path::{Path, PathBuf};

use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::ledger;
use frostmirror::mirror::rebuild::ARTIFACT_CHECKPOINTS;

use crate::import_artifacts::{HOST, channel, component, toolchains, whole};
use crate::import_bundle::{everything, import, view};
use crate::support::run::Run;
use crate::support::sandbox::Sandbox;

const RECORD: &str = ".frostmirror/artifacts.json";

fn component_path() -> String {
    format!("dist/2026-04-16/cargo-1.95.0-{HOST}.tar.xz")
}

/// A mirror whose history moved from one stable release to the next.
fn world() -> (Sandbox, PathBuf) {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    let bundles = [
        whole("a", 1, "2026-03-05", "1.94.0", "1.28.2").write(&sandbox.path(""), "one.pkg"),
        whole("a", 2, "2026-04-16", "1.95.0", "1.29.0").write(&sandbox.path(""), "two.pkg"),
    ];
    bundles.iter().for_each(|bundle| drop(import(&mirror, bundle).unwrap()));
    (sandbox, mirror)
}

fn verify(sandbox: &Sandbox, more: &[&str]) -> Run {
    sandbox.run(["verify", "--mirror", "mirror"].iter().chain(more))
}

fn lose(path: &Path) {
    fs::remove_file(path).unwrap();
}

fn damage(path: &Path) {
    fs::write(path, "{\"format\":1,").unwrap();
}

#[test]
fn a_lost_or_damaged_record_comes_back_as_it_was() {
    let (sandbox, mirror) = world();
    let before = everything(&mirror);
    for harm in [lose, damage] {
        harm(&mirror.join(RECORD));
        verify(&sandbox, &[])
            .exits(4)
            .stdout_has(&format!("{RECORD}: is not there or is no record of rustup artifacts"));
        verify(&sandbox, &["--rebuild-state"]).ok().stderr_has("the record of 16 rustup artifacts");
        let after = everything(&mirror);
        assert_eq!(after[RECORD], before[RECORD]);
        assert_eq!(after["manifest.json"], before["manifest.json"]);
        verify(&sandbox, &[]).ok().stdout_has("OK -- 1 crates, 16 rustup artifacts");
    }
    verify(&sandbox, &["--rebuild-state"]).ok().stderr_has("nothing was lost");
    // A head that was made while the record was lost is put right too.
    damage(&mirror.join(RECORD));
    sandbox.run(["gc", "--mirror", "mirror"]).ok();
    verify(&sandbox, &["--rebuild-state"]).ok();
    assert_eq!(everything(&mirror)["manifest.json"], before["manifest.json"]);
    assert_eq!(toolchains(&mirror), ["1.94.0", "stable (1.95.0)"]);
}

#[test]
fn rot_is_not_blessed_and_what_is_current_is_listed() {
    let (sandbox, mirror) = world();
    lose(&mirror.join(RECORD));
    fs::write(mirror.join(component_path()), "rot").unwrap();
    lose(&mirror.join("dist/channel-rust-stable.toml.sha256"));
    // Of what is not current nobody needs another.
    fs::write(mirror.join("dist/channel-rust-1.94.0.toml"), "rot").unwrap();
    // An older content of a moving path is one that it may have.
    fs::write(mirror.join("dist/channel-rust-stable.toml"), channel("2026-03-05", "1.94.0")).unwrap();
    let run = verify(&sandbox, &["--rebuild-state", "--repair-list", "list.jsonl"]).exits(4);
    run.stdout_has(&format!("{}: its SHA-256 is ", component_path()))
        .stdout_has("dist/channel-rust-stable.toml.sha256: is missing")
        .stdout_has("dist/channel-rust-1.94.0.toml: nothing names it")
        .stderr_has("2 rustup artifacts in ")
        .stderr_has("2 rustup artifacts are to be fetched again");
    let sha256 = frostmirror::digest::Sha256::of(component("2026-04-16", "1.95.0").as_bytes());
    let list = sandbox.read("list.jsonl");
    let path = component_path();
    assert_eq!(list.lines().next(), Some(&*format!(r#"{{"kind":"artifact","path":"{path}","sha256":"{sha256}"}}"#)));
    assert_eq!(list.lines().count(), 2);

    lose(&mirror.join("dist/channel-rust-1.94.0.toml"));
    import(&mirror, &sandbox.path("two.pkg")).unwrap();
    verify(&sandbox, &[]).ok();
    assert_eq!(view(&mirror)["dist/channel-rust-stable.toml"], channel("2026-04-16", "1.95.0").into_bytes());
}

#[test]
fn what_only_a_lost_record_named_is_kept_until_it_is_let_go() {
    for with_record in [true, false] {
        let (sandbox, mirror) = world();
        let name = ledger::names(&Layout::new(&mirror)).unwrap().swap_remove(1);
        lose(&mirror.join(".frostmirror/ledger").join(name));
        if !with_record {
            // What it had brought is told of by nobody then.
            lose(&mirror.join(RECORD));
            let run = verify(&sandbox, &["--rebuild-state"]).exits(4);
            run.stdout_has(&format!("{}: nothing names it", component_path()));
            sandbox.run(["gc", "--mirror", "mirror", "--grace", "0"]).ok();
            assert!(mirror.join(component_path()).exists());
            continue;
        }
        verify(&sandbox, &["--rebuild-state"]).ok().stderr_has("6 rustup artifacts are needed for");
        let before = view(&mirror);
        sandbox.run(["gc", "--mirror", "mirror", "--grace", "0"]).ok();
        assert_eq!(view(&mirror), before);
        verify(&sandbox, &[]).ok();
        // The history's next bundle answers for what it needs.
        let third = whole("a", 3, "2026-04-16", "1.95.0", "1.29.0").read(50).write(&sandbox.path(""), "three.pkg");
        import(&mirror, &third).unwrap();
        sandbox.run(["gc", "--mirror", "mirror", "--grace", "0", "--forget", "rebuilt"]).ok();
        assert!(!view(&mirror).contains_key("dist/channel-rust-1.94.0.toml"));
        assert!(mirror.join(component_path()).exists());
        verify(&sandbox, &[]).ok();
    }
}

#[test]
fn killed_at_any_checkpoint_a_rebuild_is_completed_by_the_next() {
    for checkpoint in ARTIFACT_CHECKPOINTS {
        let (sandbox, mirror) = world();
        let before = everything(&mirror);
        lose(&mirror.join(RECORD));
        let words = ["verify", "--mirror", "mirror", "--rebuild-state"];
        let died = sandbox.process(words).envs([("FROSTMIRROR_CRASH_AT", checkpoint)]).run();
        assert_eq!(died.code, 128 + 6, "{checkpoint}: {}", died.told());
        sandbox.run(words).ok();
        assert_eq!(everything(&mirror)[RECORD], before[RECORD], "{checkpoint}");
        assert_eq!(everything(&mirror)["manifest.json"], before["manifest.json"], "{checkpoint}");
    }
}
