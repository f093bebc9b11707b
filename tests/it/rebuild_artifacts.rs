//! A lost record of rustup artifacts is made anew from the ledger and the files, and what must be fetched again is listed.

use std::fs;
use std::path::{Path, PathBuf};

use frostmirror::bundle::format::ArtifactState;
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
            // Upstream's digests beside them tell what the files are that it had brought. Nothing proves rustup here.
            lose(&mirror.join(RECORD));
            let run = verify(&sandbox, &["--rebuild-state"]).exits(4);
            let run = run.stdout_has("rustup/archive/1.29.0/").stdout_has("nothing names it");
            assert!(!run.stdout.replace("rustup/dist/", "").contains("dist/"), "{}", run.stdout);
            assert_eq!(toolchains(&mirror), ["1.94.0", "stable (1.95.0)"]);
            sandbox.run(["gc", "--mirror", "mirror", "--grace", "0"]).ok();
            assert!(mirror.join(component_path()).exists());
            continue;
        }
        verify(&sandbox, &["--rebuild-state"]).ok().stderr_has("6 rustup artifacts are needed for");
        let before = view(&mirror);
        sandbox.run(["gc", "--mirror", "mirror", "--grace", "0"]).ok();
        assert_eq!(view(&mirror), before);
        verify(&sandbox, &[]).ok();
        // The history's next bundle answers for what it needs, once it is accepted: of number 2 nothing is on record.
        let third = whole("a", 3, "2026-04-16", "1.95.0", "1.29.0").read(50);
        let lineage = third.lineage().to_owned();
        import(&mirror, &third.write(&sandbox.path(""), "three.pkg")).unwrap();
        let words = ["gc", "--mirror", "mirror", "--grace", "0", "--forget", "rebuilt"];
        let run = sandbox.run(words).ok();
        run.stdout_has("  Doubtful: bundle number 3 came when the highest number before it was 1\n");
        assert!(view(&mirror).contains_key("dist/channel-rust-1.94.0.toml"));
        sandbox.run(words.into_iter().chain(["--accept", lineage.as_str()])).ok();
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

/// A mirror with two toolchains and a rustup whose digest lies beside it, of which every record is lost.
fn without_records() -> (Sandbox, PathBuf) {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    let sha256 = |text: &str| format!("{}  its name\n", frostmirror::digest::Sha256::of(text.as_bytes()));
    let text = channel("2026-04-16", "1.95.0");
    let (digest, program) = (sha256(&text), sha256("rustup 1.29.0"));
    let bundles = [
        whole("a", 1, "2026-03-05", "1.94.0", "1.29.0").write(&sandbox.path(""), "one.pkg"),
        whole("a", 2, "2026-04-16", "1.95.0", "1.29.0")
            .artifact("dist/channel-rust-1.95.toml", &text, ArtifactState::Shipped)
            .artifact("dist/channel-rust-1.95.toml.sha256", &digest, ArtifactState::Shipped)
            .artifact(&format!("rustup/archive/1.29.0/{HOST}/rustup-init.sha256"), &program, ArtifactState::Shipped)
            .write(&sandbox.path(""), "two.pkg"),
    ];
    bundles.iter().for_each(|bundle| drop(import(&mirror, bundle).unwrap()));
    verify(&sandbox, &[]).ok();
    let layout = Layout::new(&mirror);
    ledger::names(&layout).unwrap().iter().for_each(|name| lose(&mirror.join(".frostmirror/ledger").join(name)));
    lose(&mirror.join(RECORD));
    lose(&mirror.join("manifest.json"));
    (sandbox, mirror)
}

#[test]
fn toolchains_of_which_every_record_is_lost_come_back_by_their_manifests() {
    let (sandbox, mirror) = without_records();
    let before = view(&mirror);
    verify(&sandbox, &["--rebuild-state"]).ok();
    verify(&sandbox, &[]).ok();
    let all = toolchains(&mirror);
    assert!(all.contains(&"stable (1.95.0)".to_owned()) && all.contains(&"1.94.0".to_owned()), "{all:?}");
    sandbox.run(["status", "--mirror", "mirror"]).ok().stdout_has("stable (1.95.0)");
    sandbox.run(["gc", "--mirror", "mirror", "--grace", "0"]).ok();
    let after = view(&mirror);
    for path in before.keys().filter(|path| path.starts_with("dist/") || path.starts_with("rustup/")) {
        assert_eq!(after.get(path), before.get(path), "{path}");
    }
    verify(&sandbox, &[]).ok();
    // Nothing is left to restore.
    verify(&sandbox, &["--rebuild-state"]).ok().stderr_has("nothing was lost");
    // The history's next bundle takes its place as ever.
    let third = whole("a", 3, "2026-04-16", "1.95.0", "1.29.0").read(50).write(&sandbox.path(""), "three.pkg");
    import(&mirror, &third).unwrap();
    verify(&sandbox, &[]).ok();
}

#[test]
fn what_is_damaged_gets_no_new_digest_where_every_record_is_lost() {
    let (sandbox, mirror) = without_records();
    let rot = |path: &str| {
        let mut bytes = fs::read(mirror.join(path)).unwrap();
        bytes[70] ^= 1;
        fs::write(mirror.join(path), bytes).unwrap();
    };
    // Its other names are as they were, so the component is proven all the same.
    rot("dist/channel-rust-stable.toml");
    let old = format!("dist/2026-03-05/cargo-1.94.0-{HOST}.tar.xz");
    fs::write(mirror.join(&old), "rot").unwrap();
    let program = format!("rustup/archive/1.29.0/{HOST}/rustup-init");
    fs::write(mirror.join(&program), "rot").unwrap();
    let mut run = verify(&sandbox, &["--rebuild-state"]).exits(4);
    for path in ["dist/channel-rust-stable.toml", "dist/channel-rust-stable.toml.sha256", &old, &program] {
        run = run.stdout_has(&format!("{path}: nothing names it"));
    }
    assert!(!run.stdout.contains(&component_path()), "{}", run.stdout);
    let record = fs::read_to_string(mirror.join(RECORD)).unwrap();
    for path in ["dist/channel-rust-stable.toml\"", &old, &program] {
        assert!(!record.contains(path), "{path}");
    }
    assert!(record.contains("dist/channel-rust-1.95.0.toml") && record.contains(&component_path()));
}

const SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----\n\niQIzBAABCAAdFiEE\n=AbCd\n-----END PGP SIGNATURE-----\n";

#[test]
fn signatures_of_proven_manifests_stay_and_others_are_moved_aside() {
    let (sandbox, mirror) = without_records();
    let [good, also, text, large, lonely] = [
        "dist/channel-rust-stable.toml.asc",
        "dist/2026-04-16/channel-rust-stable.toml.asc",
        "dist/channel-rust-1.95.0.toml.asc",
        "dist/channel-rust-1.95.toml.asc",
        "dist/channel-rust-nightly.toml.asc",
    ];
    let put = |path: &str, text: &str| fs::write(mirror.join(path), text).unwrap();
    put(good, SIGNATURE);
    put(also, SIGNATURE);
    put(text, "<script>\n");
    put(large, &SIGNATURE.replace("=AbCd", &"A".repeat(64 * 1024)));
    // No manifest is beside it.
    put(lonely, SIGNATURE);
    let run = verify(&sandbox, &["--rebuild-state"]).ok();
    let record = fs::read_to_string(mirror.join(RECORD)).unwrap();
    for path in [good, also] {
        assert!(record.contains(&format!("{path}\"")) && mirror.join(path).is_file(), "{path}");
        assert!(!run.stderr.contains(path), "{}", run.stderr);
    }
    for path in [text, large, lonely] {
        assert!(run.stderr.contains(&format!("`{path}` was moved to .frostmirror/aside")), "{}", run.stderr);
        assert!(!record.contains(path) && !mirror.join(path).exists(), "{path}");
        assert!(mirror.join(".frostmirror/aside").join(path.replace('/', "-")).is_file(), "{path}");
    }
    verify(&sandbox, &[]).ok();
    verify(&sandbox, &["--rebuild-state"]).ok().stderr_has("nothing was lost");
    sandbox.run(["gc", "--mirror", "mirror", "--grace", "0"]).ok();
    assert_eq!(fs::read_to_string(mirror.join(good)).unwrap(), SIGNATURE);
}

#[test]
fn a_signature_that_the_ledger_contradicts_is_moved_aside() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    let path = "dist/channel-rust-stable.toml.asc";
    let bundle = whole("a", 1, "2026-04-16", "1.95.0", "1.29.0").artifact(path, SIGNATURE, ArtifactState::Shipped);
    let bundle = bundle.write(&sandbox.path(""), "one.pkg");
    import(&mirror, &bundle).unwrap();
    for (rot, stays) in [(false, true), (true, false)] {
        lose(&mirror.join(RECORD));
        if rot {
            fs::write(mirror.join(path), SIGNATURE.replace("iQIz", "iQIy")).unwrap();
        }
        let run = verify(&sandbox, &["--rebuild-state"]).ok();
        assert_eq!(
            (mirror.join(path).is_file(), !run.stderr.contains("was moved to")),
            (stays, stays),
            "{}",
            run.stderr
        );
        verify(&sandbox, &[]).ok();
    }
    // The bundle brings it again.
    import(&mirror, &bundle).unwrap();
    assert_eq!(fs::read_to_string(mirror.join(path)).unwrap(), SIGNATURE);
    verify(&sandbox, &[]).ok();
}
