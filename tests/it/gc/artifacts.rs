//! Toolchains: what no current bundle names goes, its names first, and what is served stays whole.

use std::fs;
use std::path::{Path, PathBuf};

use frostmirror::bundle::format::ArtifactState::{Kept, Sent};
use frostmirror::mirror::gc::ARTIFACT_CHECKPOINTS;
use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::ledger;

use super::{assert_agreement, collect, collect_at};
use crate::import_artifacts::{HOST, channel, component, text, toolchains, whole};
use crate::import_bundle::{Make, everything, import, view};
use crate::support::crates::Crate;
use crate::support::sandbox::Sandbox;

const SIGABRT: i32 = 128 + 6;

fn old_component() -> String {
    format!("dist/2026-03-05/cargo-1.94.0-{HOST}.tar.xz")
}

fn new_component() -> String {
    format!("dist/2026-04-16/cargo-1.95.0-{HOST}.tar.xz")
}

fn old() -> Make {
    whole("a", 1, "2026-03-05", "1.94.0", "1.28.2")
}

fn new() -> Make {
    whole("a", 2, "2026-04-16", "1.95.0", "1.29.0")
}

/// A mirror whose history moved from one stable release to the next.
fn moved() -> (Sandbox, PathBuf) {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    import(&mirror, &old().write(&sandbox.path(""), "old.pkg")).unwrap();
    import(&mirror, &new().write(&sandbox.path(""), "new.pkg")).unwrap();
    (sandbox, mirror)
}

/// A mirror into which only the newer bundle came.
fn only_new(sandbox: &Sandbox) -> PathBuf {
    let mirror = sandbox.path("only-new");
    import(&mirror, &new().write(&sandbox.path(""), "new.pkg")).unwrap();
    mirror
}

#[test]
fn names_go_at_once_and_components_after_the_grace_time() {
    let (sandbox, mirror) = moved();
    let first = collect_at(&mirror, 2000, 600);
    assert_eq!((first.artifacts, first.artifacts_waiting, first.crates), (4, 2, 0));
    let held = view(&mirror);
    assert!(!held.contains_key("dist/channel-rust-1.94.0.toml"), "a name goes at once");
    assert!(!held.contains_key("dist/2026-03-05/channel-rust-stable.toml.sha256"));
    assert!(held.contains_key(&old_component()), "somebody may be in the middle of an install");
    assert_eq!(toolchains(&mirror), ["stable (1.95.0)"]);
    let removals = fs::read_to_string(mirror.join(".frostmirror/removals")).unwrap();
    assert!(removals.contains(&format!("Z {}\n", old_component())), "{removals}");
    assert_agreement(&mirror);

    let before = everything(&mirror);
    assert_eq!(collect_at(&mirror, 2599, 600).artifacts, 0);
    assert_eq!(everything(&mirror), before, "nothing is written where nothing is to be done");

    let last = collect_at(&mirror, 2600, 600);
    let bytes = component("2026-03-05", "1.94.0").len() + "rustup 1.28.2".len();
    assert_eq!((last.artifacts, last.artifacts_waiting, last.bytes), (2, 0, bytes as u64));
    assert_eq!(view(&mirror), view(&only_new(&sandbox)), "folders that are left empty are gone too");
    assert!(!mirror.join(".frostmirror/removals").exists());
    assert_agreement(&mirror);
    let before = everything(&mirror);
    assert_eq!(collect_at(&mirror, 9000, 0).artifacts, 0);
    assert_eq!(everything(&mirror), before);
}

#[test]
fn a_name_that_comes_back_begins_the_grace_time_anew_and_a_need_ends_it() {
    let (sandbox, mirror) = moved();
    collect_at(&mirror, 2000, 600);
    // The old bundle once more, late: its names are seen again.
    import(&mirror, &old().write(&sandbox.path(""), "old.pkg")).unwrap();
    let again = collect_at(&mirror, 2600, 600);
    // rustup's release was not moved back, so that its archive lost its name before.
    assert_eq!((again.artifacts, again.artifacts_waiting), (5, 1));
    assert!(mirror.join(old_component()).exists());
    let other = Make::new("b", 1).parent("x.pkg").ship(Crate::new("b", "1.0.0"));
    let other = other.artifact(&old_component(), component("2026-03-05", "1.94.0"), Sent);
    import(&mirror, &other.write(&sandbox.path(""), "other.pkg")).unwrap();
    let last = collect_at(&mirror, 9000, 600);
    assert_eq!((last.artifacts, last.artifacts_waiting), (0, 0));
    assert!(mirror.join(old_component()).exists());
    assert_agreement(&mirror);
}

#[test]
fn what_is_kept_for_another_input_is_current() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    import(&mirror, &old().write(&sandbox.path(""), "old.pkg")).unwrap();
    let kept = new().parent("old.pkg").artifact(&old_component(), component("2026-03-05", "1.94.0"), Kept);
    import(&mirror, &kept.write(&sandbox.path(""), "new.pkg")).unwrap();
    collect_at(&mirror, 2000, 0);
    assert!(mirror.join(old_component()).exists());
    assert!(!mirror.join("dist/channel-rust-1.94.0.toml").exists());
    assert_agreement(&mirror);
}

#[test]
fn a_target_that_was_dropped_goes_though_the_channel_names_it() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    let docs = "dist/2026-04-16/rust-docs-1.95.0-x86_64-unknown-linux-gnu.tar.xz";
    let with = new().artifact(docs, "docs", frostmirror::bundle::format::ArtifactState::Shipped);
    import(&mirror, &with.write(&sandbox.path(""), "with.pkg")).unwrap();
    let without = whole("a", 3, "2026-04-16", "1.95.0", "1.29.0");
    import(&mirror, &without.write(&sandbox.path(""), "without.pkg")).unwrap();
    assert_eq!(collect_at(&mirror, 2000, 0).artifacts, 1);
    assert!(!mirror.join(docs).exists() && mirror.join(new_component()).exists());
    assert_agreement(&mirror);
}

#[test]
fn a_channel_that_another_history_moved_stays_whole_until_it_moves_on() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    import(&mirror, &old().write(&sandbox.path(""), "old.pkg")).unwrap();
    let ahead = whole("b", 1, "2026-04-16", "1.95.0", "1.29.0").read(9);
    let id = ahead.lineage().to_owned();
    import(&mirror, &ahead.write(&sandbox.path(""), "ahead.pkg")).unwrap();
    collect(&mirror, 2000, 0, &[&id]).unwrap();
    // `stable` is what the history that was let go made of it, and nothing moves back.
    assert_eq!(text(&mirror, "dist/channel-rust-stable.toml"), channel("2026-04-16", "1.95.0"));
    assert!(mirror.join(new_component()).exists(), "what is offered is there");
    assert!(mirror.join(format!("rustup/archive/1.29.0/{HOST}/rustup-init")).exists());
    assert!(mirror.join(old_component()).exists() && mirror.join("dist/channel-rust-1.94.0.toml").exists());
    assert!(!mirror.join("dist/channel-rust-1.95.0.toml").exists(), "its other names are nobody's");
    assert_agreement(&mirror);

    let next = whole("a", 2, "2026-05-28", "1.96.0", "1.30.0").read(20);
    import(&mirror, &next.write(&sandbox.path(""), "next.pkg")).unwrap();
    collect_at(&mirror, 3000, 0);
    let held = view(&mirror);
    assert!(!held.contains_key(&new_component()) && !held.contains_key(&old_component()));
    assert!(!held.keys().any(|path| path.starts_with("rustup/archive/1.2")));
    assert_eq!(toolchains(&mirror), ["stable (1.96.0)"]);
    assert_agreement(&mirror);
}

#[test]
fn a_manifest_that_rotted_under_one_name_counts_under_another() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    import(&mirror, &old().write(&sandbox.path(""), "old.pkg")).unwrap();
    let ahead = whole("b", 1, "2026-04-16", "1.95.0", "1.29.0").read(9);
    let id = ahead.lineage().to_owned();
    import(&mirror, &ahead.write(&sandbox.path(""), "ahead.pkg")).unwrap();
    // Another history needs the manifest in its folder, and nothing else of the release.
    let release = channel("2026-04-16", "1.95.0");
    let dated = "dist/2026-04-16/channel-rust-stable.toml";
    let other = Make::new("c", 1).parent("x.pkg").ship(Crate::new("c", "1.0.0")).artifact(dated, &release, Sent);
    import(&mirror, &other.write(&sandbox.path(""), "other.pkg")).unwrap();
    // By path the folder comes first.
    for rot in ["rot".to_owned(), release.replace("cargo-1.95.0", "cargo-1.95.8")] {
        fs::write(mirror.join(dated), rot).unwrap();
        collect(&mirror, 2000, 0, &[&id]).unwrap();
        assert!(mirror.join(new_component()).exists(), "`stable` names it, and is whole");
    }
}

#[test]
fn a_history_without_toolchains_changes_nothing_and_one_that_lets_go_of_all_leaves_nothing() {
    let (sandbox, mirror) = moved();
    collect_at(&mirror, 2000, 0);
    import(&mirror, &Make::new("b", 1).ship(Crate::new("b", "1.0.0")).write(&sandbox.path(""), "b.pkg")).unwrap();
    let before = everything(&mirror);
    assert_eq!(collect_at(&mirror, 3000, 0).artifacts, 0);
    assert_eq!(everything(&mirror), before);
    import(&mirror, &Make::new("a", 3).ship(Crate::new("a", "1.0.0")).write(&sandbox.path(""), "a.pkg")).unwrap();
    assert_eq!(collect_at(&mirror, 4000, 0).artifacts, 10);
    assert!(!mirror.join("dist").exists() && !mirror.join("rustup").exists());
    assert_eq!(toolchains(&mirror), Vec::<String>::new());
    assert_agreement(&mirror);
}

#[test]
fn the_plan_tells_of_toolchains_and_a_dry_run_removes_nothing() {
    let (sandbox, mirror) = moved();
    for path in ["dist/stranger.txt", "rustup/other/thing"] {
        fs::create_dir_all(mirror.join(path).parent().unwrap()).unwrap();
        fs::write(mirror.join(path), "mine").unwrap();
    }
    let before = everything(&mirror);
    let words = ["gc", "-v", "--mirror", "mirror", "--grace", "0"];
    let plan = sandbox.run(words.iter().copied().chain(["--dry-run"])).ok();
    assert_eq!(everything(&mirror), before);
    let run = sandbox.run(words).ok();
    let shown = |stdout: &str| {
        let lines = stdout.lines().filter(|line| line.contains("To ") || line.starts_with("  "));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(shown(&run.stdout), shown(&plan.stdout));
    assert_eq!(run.stderr, plan.stderr);
    plan.stdout_has("1 crate, 10 rustup artifacts\n")
        .stdout_has("To remove: 6 rustup artifacts (")
        .stdout_has("  dist/2026-03-05, Rust 1.94.0 (3 files, ")
        .stdout_has("  dist/channel-rust-1.94.0.toml (2 files, ")
        .stdout_has("  rustup/archive/1.28.2 (1 file, 13 B)")
        .stdout_has("Strangers, which no sound index line or record names and which stay: 2 (")
        .stdout_has("To stay: 10 rustup artifacts (")
        .stderr_has("artifact dist/channel-rust-1.94.0.toml (")
        .stderr_has("stays dist/stranger.txt")
        .stderr_has("stays rustup/other/thing");
    let mut lines = run.stdout.lines().rev();
    let last = lines.next().unwrap();
    assert!(last.starts_with("Removed 0 crates, freed "), "{}", run.told());
    assert!(last.ends_with(", 6 rustup artifacts among it)"), "{}", run.told());
    let freed: u64 = before
        .iter()
        .filter(|(path, _)| !everything(&mirror).contains_key(*path))
        .map(|(_, bytes)| bytes.len() as u64)
        .sum();
    run.stdout_has(&format!("freed {freed} bytes ("));
    assert_eq!(text(&mirror, "dist/stranger.txt"), "mine");

    let json = sandbox.run(["gc", "--mirror", "mirror", "--message-format", "json"]).ok();
    json.stdout_has(r#""artifacts":[]"#).stdout_has(r#""artifacts_waiting":0"#);
}

#[test]
fn a_link_below_dist_is_a_stranger_and_nothing_is_removed_through_it() {
    let (sandbox, mirror) = moved();
    let elsewhere = sandbox.path("elsewhere");
    fs::rename(mirror.join("dist/2026-03-05"), &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, mirror.join("dist/2026-03-05")).unwrap();
    let run = sandbox.run(["gc", "-v", "--mirror", "mirror", "--grace", "0"]).ok();
    run.stderr_has("stays dist/2026-03-05");
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 3);
    let head = ledger::head(&Layout::new(&mirror)).unwrap().unwrap();
    assert_eq!(head.counts.artifacts, 10);
}

/// No channel that is served names a component that is gone.
fn assert_whole(mirror: &Path, checkpoint: &str) {
    for (date, release) in [("2026-03-05", "1.94.0"), ("2026-04-16", "1.95.0")] {
        let manifest = channel(date, release).into_bytes();
        let offered: Vec<String> =
            view(mirror).into_iter().filter(|(_, text)| *text == manifest).map(|(path, _)| path).collect();
        let there = mirror.join(format!("dist/{date}/cargo-{release}-{HOST}.tar.xz")).exists();
        assert!(there || offered.is_empty(), "{checkpoint}: {offered:?} name what is gone");
    }
}

#[test]
fn killed_at_any_checkpoint_what_is_offered_is_there_and_a_rerun_finishes() {
    let (sandbox, mirror) = moved();
    let words = ["gc", "--grace", "0", "--mirror", "mirror"];
    sandbox.run(words).ok();
    assert_agreement(&mirror);
    let private = |mirror: &Path| -> Vec<(String, Vec<u8>)> {
        let files = everything(mirror).into_iter().filter(|(path, _)| !path.starts_with(".frostmirror/ledger/"));
        files.filter(|(path, _)| path.starts_with(".frostmirror/") && path != ".frostmirror/holder").collect()
    };
    let expected = (view(&mirror), toolchains(&mirror), private(&mirror));
    fs::remove_dir_all(&mirror).unwrap();
    for checkpoint in ARTIFACT_CHECKPOINTS.iter().chain(&["written:artifacts.json"]) {
        import(&mirror, &sandbox.path("old.pkg")).unwrap();
        import(&mirror, &sandbox.path("new.pkg")).unwrap();
        let died = sandbox.process(words).envs([("FROSTMIRROR_CRASH_AT", checkpoint)]).run();
        assert_eq!(died.code, SIGABRT, "no collection passes the checkpoint {checkpoint}: {}", died.stderr);
        assert_whole(&mirror, checkpoint);
        sandbox.run(["status", "--mirror", "mirror"]).ok();
        sandbox.run(words).ok();
        assert_eq!((view(&mirror), toolchains(&mirror), private(&mirror)), expected, "{checkpoint}");
        assert_agreement(&mirror);
        fs::remove_dir_all(&mirror).unwrap();
    }
}

#[test]
fn an_old_list_of_removals_is_read() {
    let (_sandbox, mirror) = moved();
    let list = mirror.join(".frostmirror/removals");
    fs::write(&list, "2026-01-01T00:00:00Z gone-1.0.0.crate\n").unwrap();
    assert_eq!(collect_at(&mirror, 2000, 600).artifacts_waiting, 2);
    let text = fs::read_to_string(&list).unwrap();
    assert!(!text.contains("gone") && text.lines().count() == 2, "{text}");
}

#[test]
fn without_a_record_of_them_no_rustup_artifact_goes() {
    let (_sandbox, mirror) = moved();
    let before = view(&mirror);
    fs::write(mirror.join(".frostmirror/artifacts.json"), "{").unwrap();
    collect_at(&mirror, 2000, 0);
    assert_eq!(view(&mirror), before);
}
