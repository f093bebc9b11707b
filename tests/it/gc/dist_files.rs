//! Toolchains: what no current bundle names goes, its names first, and what is served stays whole.

use std::fs;
use std::path::PathBuf;

use frostmirror::bundle::format::DistFileState::{Kept, Sent};
use frostmirror::event::NullSink;
use frostmirror::mirror::audit::audit;
use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::ledger;

use super::{assert_records_agree, collect, collect_at};
use crate::bundle_builder::{BundleBuilder, all_files, import, public_files};
use crate::import_dist_files::{HOST, channel_manifest, component_content, full_bundle, read_text, toolchains};
use crate::support::crates::Crate;
use crate::support::sandbox::Sandbox;

fn old_component() -> String {
    format!("dist/2026-03-05/cargo-1.94.0-{HOST}.tar.xz")
}

fn new_component() -> String {
    format!("dist/2026-04-16/cargo-1.95.0-{HOST}.tar.xz")
}

fn old_release() -> BundleBuilder {
    full_bundle("a", 1, "2026-03-05", "1.94.0", "1.28.2")
}

fn new_release() -> BundleBuilder {
    full_bundle("a", 2, "2026-04-16", "1.95.0", "1.29.0")
}

/// A mirror whose history moved from one stable release to the next.
fn mirror_with_moved_channel() -> (Sandbox, PathBuf) {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    import(&mirror, &old_release().write(&sandbox.path(""), "old.pkg")).unwrap();
    import(&mirror, &new_release().write(&sandbox.path(""), "new.pkg")).unwrap();
    (sandbox, mirror)
}

/// A mirror into which only the newer bundle came.
fn mirror_with_new_release(sandbox: &Sandbox) -> PathBuf {
    let mirror = sandbox.path("only-new");
    import(&mirror, &new_release().write(&sandbox.path(""), "new.pkg")).unwrap();
    mirror
}

#[test]
fn unreferenced_manifests_are_removed_at_once_and_components_after_the_grace_period() {
    let (sandbox, mirror) = mirror_with_moved_channel();
    let first = collect_at(&mirror, 2000, 600);
    assert_eq!((first.dist_files, first.pending_dist_files, first.crates), (4, 2, 0));
    let stored = public_files(&mirror);
    assert!(!stored.contains_key("dist/channel-rust-1.94.0.toml"), "a name goes at once");
    assert!(!stored.contains_key("dist/2026-03-05/channel-rust-stable.toml.sha256"));
    assert!(stored.contains_key(&old_component()), "a client may be in the middle of an install");
    assert_eq!(toolchains(&mirror), ["stable (1.95.0)"]);
    let removals = fs::read_to_string(mirror.join(".frostmirror/removals")).unwrap();
    assert!(removals.contains(&format!("Z {}\n", old_component())), "{removals}");
    assert_records_agree(&mirror);

    let before = all_files(&mirror);
    assert_eq!(collect_at(&mirror, 2599, 600).dist_files, 0);
    assert_eq!(all_files(&mirror), before, "nothing is written where nothing is to be done");

    let last = collect_at(&mirror, 2600, 600);
    let bytes = component_content("2026-03-05", "1.94.0").len() + "rustup 1.28.2".len();
    assert_eq!((last.dist_files, last.pending_dist_files, last.bytes), (2, 0, bytes as u64));
    assert_eq!(
        public_files(&mirror),
        public_files(&mirror_with_new_release(&sandbox)),
        "folders that are left empty are gone too"
    );
    assert!(!mirror.join(".frostmirror/removals").exists());
    assert_records_agree(&mirror);
    let before = all_files(&mirror);
    assert_eq!(collect_at(&mirror, 9000, 0).dist_files, 0);
    assert_eq!(all_files(&mirror), before);
}

#[test]
fn a_returning_manifest_restarts_the_grace_period_and_a_new_reference_ends_it() {
    let (sandbox, mirror) = mirror_with_moved_channel();
    collect_at(&mirror, 2000, 600);
    // The old bundle once more, late: its names are seen again.
    import(&mirror, &old_release().write(&sandbox.path(""), "old.pkg")).unwrap();
    let again = collect_at(&mirror, 2600, 600);
    // rustup's release was not moved back, so that its archive lost its name before.
    assert_eq!((again.dist_files, again.pending_dist_files), (5, 1));
    assert!(mirror.join(old_component()).exists());
    let other = BundleBuilder::new("b", 1).parent("x.pkg").ship(Crate::new("b", "1.0.0"));
    let other = other.dist_file(&old_component(), component_content("2026-03-05", "1.94.0"), Sent);
    import(&mirror, &other.write(&sandbox.path(""), "other.pkg")).unwrap();
    let last = collect_at(&mirror, 9000, 600);
    assert_eq!((last.dist_files, last.pending_dist_files), (0, 0));
    assert!(mirror.join(old_component()).exists());
    assert_records_agree(&mirror);
}

#[test]
fn components_kept_for_another_input_are_not_removed() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    import(&mirror, &old_release().write(&sandbox.path(""), "old.pkg")).unwrap();
    let kept =
        new_release().parent("old.pkg").dist_file(&old_component(), component_content("2026-03-05", "1.94.0"), Kept);
    import(&mirror, &kept.write(&sandbox.path(""), "new.pkg")).unwrap();
    collect_at(&mirror, 2000, 0);
    assert!(mirror.join(old_component()).exists());
    assert!(!mirror.join("dist/channel-rust-1.94.0.toml").exists());
    assert_records_agree(&mirror);
}

#[test]
fn components_of_a_dropped_target_are_removed_although_the_channel_names_them() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    let docs = "dist/2026-04-16/rust-docs-1.95.0-x86_64-unknown-linux-gnu.tar.xz";
    let with = new_release().dist_file(docs, "docs", frostmirror::bundle::format::DistFileState::Shipped);
    import(&mirror, &with.write(&sandbox.path(""), "with.pkg")).unwrap();
    let without = full_bundle("a", 3, "2026-04-16", "1.95.0", "1.29.0");
    import(&mirror, &without.write(&sandbox.path(""), "without.pkg")).unwrap();
    assert_eq!(collect_at(&mirror, 2000, 0).dist_files, 1);
    assert!(!mirror.join(docs).exists() && mirror.join(new_component()).exists());
    assert_records_agree(&mirror);
}

#[test]
fn a_channel_moved_by_another_history_stays_complete_until_it_moves_on() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    import(&mirror, &old_release().write(&sandbox.path(""), "old.pkg")).unwrap();
    let ahead = full_bundle("b", 1, "2026-04-16", "1.95.0", "1.29.0").read_at(9);
    let id = ahead.lineage().to_owned();
    import(&mirror, &ahead.write(&sandbox.path(""), "ahead.pkg")).unwrap();
    collect(&mirror, 2000, 0, &[&id]).unwrap();
    // `stable` is what the history that was let go made of it, and nothing moves back.
    assert_eq!(read_text(&mirror, "dist/channel-rust-stable.toml"), channel_manifest("2026-04-16", "1.95.0"));
    assert!(mirror.join(new_component()).exists(), "what is offered is there");
    assert!(mirror.join(format!("rustup/archive/1.29.0/{HOST}/rustup-init")).exists());
    assert!(mirror.join(old_component()).exists() && mirror.join("dist/channel-rust-1.94.0.toml").exists());
    assert!(!mirror.join("dist/channel-rust-1.95.0.toml").exists(), "no lineage references its other names");
    assert_records_agree(&mirror);

    let next = full_bundle("a", 2, "2026-05-28", "1.96.0", "1.30.0").read_at(20);
    import(&mirror, &next.write(&sandbox.path(""), "next.pkg")).unwrap();
    collect_at(&mirror, 3000, 0);
    let stored = public_files(&mirror);
    assert!(!stored.contains_key(&new_component()) && !stored.contains_key(&old_component()));
    assert!(!stored.keys().any(|path| path.starts_with("rustup/archive/1.2")));
    assert_eq!(toolchains(&mirror), ["stable (1.96.0)"]);
    assert_records_agree(&mirror);
}

#[test]
fn a_corrupt_manifest_is_replaced_by_its_alias_when_references_are_computed() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    import(&mirror, &old_release().write(&sandbox.path(""), "old.pkg")).unwrap();
    let ahead = full_bundle("b", 1, "2026-04-16", "1.95.0", "1.29.0").read_at(9);
    let id = ahead.lineage().to_owned();
    import(&mirror, &ahead.write(&sandbox.path(""), "ahead.pkg")).unwrap();
    // Another history needs the manifest in its folder, and nothing else of the release.
    let release = channel_manifest("2026-04-16", "1.95.0");
    let dated = "dist/2026-04-16/channel-rust-stable.toml";
    let other =
        BundleBuilder::new("c", 1).parent("x.pkg").ship(Crate::new("c", "1.0.0")).dist_file(dated, &release, Sent);
    import(&mirror, &other.write(&sandbox.path(""), "other.pkg")).unwrap();
    // By path the folder comes first.
    for rot in ["rot".to_owned(), release.replace("cargo-1.95.0", "cargo-1.95.8")] {
        fs::write(mirror.join(dated), rot).unwrap();
        collect(&mirror, 2000, 0, &[&id]).unwrap();
        assert!(mirror.join(new_component()).exists(), "`stable` names it, and is whole");
    }
}

#[test]
fn only_the_history_that_drops_its_toolchains_makes_them_garbage() {
    let (sandbox, mirror) = mirror_with_moved_channel();
    collect_at(&mirror, 2000, 0);
    import(&mirror, &BundleBuilder::new("b", 1).ship(Crate::new("b", "1.0.0")).write(&sandbox.path(""), "b.pkg"))
        .unwrap();
    let before = all_files(&mirror);
    assert_eq!(collect_at(&mirror, 3000, 0).dist_files, 0);
    assert_eq!(all_files(&mirror), before);
    import(&mirror, &BundleBuilder::new("a", 3).ship(Crate::new("a", "1.0.0")).write(&sandbox.path(""), "a.pkg"))
        .unwrap();
    assert_eq!(collect_at(&mirror, 4000, 0).dist_files, 10);
    assert!(!mirror.join("dist").exists() && !mirror.join("rustup").exists());
    assert_eq!(toolchains(&mirror), Vec::<String>::new());
    assert_records_agree(&mirror);
}

#[test]
fn the_gc_plan_lists_toolchains_and_a_dry_run_removes_nothing() {
    let (sandbox, mirror) = mirror_with_moved_channel();
    for path in ["dist/stranger.txt", "rustup/other/thing"] {
        fs::create_dir_all(mirror.join(path).parent().unwrap()).unwrap();
        fs::write(mirror.join(path), "mine").unwrap();
    }
    let before = all_files(&mirror);
    let args = ["gc", "-v", "--mirror", "mirror", "--grace", "0"];
    let plan = sandbox.run(args.iter().copied().chain(["--dry-run"])).ok();
    assert_eq!(all_files(&mirror), before);
    let run = sandbox.run(args).ok();
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
        .stdout_has("Unrecognized files (kept): 2 (")
        .stdout_has("To stay: 10 rustup artifacts (")
        .stderr_has("dist file dist/channel-rust-1.94.0.toml (")
        .stderr_has("Keep unrecognized file dist/stranger.txt")
        .stderr_has("Keep unrecognized file rustup/other/thing");
    let mut lines = run.stdout.lines().rev();
    let last = lines.next().unwrap();
    assert!(last.starts_with("Removed 0 crates, freed "), "{}", run.describe());
    assert!(last.ends_with(", 6 rustup artifacts among it)"), "{}", run.describe());
    let freed: u64 = before
        .iter()
        .filter(|(path, _)| !all_files(&mirror).contains_key(*path))
        .map(|(_, bytes)| bytes.len() as u64)
        .sum();
    run.stdout_has(&format!("freed {freed} bytes ("));
    assert_eq!(read_text(&mirror, "dist/stranger.txt"), "mine");

    let json = sandbox.run(["gc", "--mirror", "mirror", "--message-format", "json"]).ok();
    json.stdout_has(r#""artifacts":[]"#).stdout_has(r#""artifacts_waiting":0"#);
}

#[test]
fn a_symlink_below_dist_is_unrecognized_and_never_followed() {
    let (sandbox, mirror) = mirror_with_moved_channel();
    let elsewhere = sandbox.path("elsewhere");
    fs::rename(mirror.join("dist/2026-03-05"), &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, mirror.join("dist/2026-03-05")).unwrap();
    let run = sandbox.run(["gc", "-v", "--mirror", "mirror", "--grace", "0"]).ok();
    run.stderr_has("Keep unrecognized file dist/2026-03-05");
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 3);
    let head = ledger::read_summary(&Layout::new(&mirror)).unwrap().unwrap();
    assert_eq!(head.counts.dist_files, 10);
}

#[test]
fn an_interrupted_gc_leaves_no_dist_file_to_be_fetched_again() {
    let (_sandbox, mirror) = mirror_with_moved_channel();
    let layout = Layout::new(&mirror);
    // A collection on a full disk was killed after it removed a file, and before it changed the record.
    fs::write(layout.staging().join("recount"), "").unwrap();
    fs::remove_file(mirror.join(format!("dist/2026-03-05/cargo-1.94.0-{HOST}.tar.xz"))).unwrap();
    let found = audit(&layout, &NullSink).unwrap();
    assert!(found.problems.iter().any(|problem| problem.path.contains("cargo-1.94.0")));
    assert!(found.repairs.is_empty(), "{:?}", found.repairs);
    fs::remove_file(layout.staging().join("recount")).unwrap();
    assert_eq!(audit(&layout, &NullSink).unwrap().repairs.len(), 1);
}

#[test]
fn a_pending_deletions_file_of_an_older_version_is_read() {
    let (_sandbox, mirror) = mirror_with_moved_channel();
    let list = mirror.join(".frostmirror/removals");
    fs::write(&list, "2026-01-01T00:00:00Z gone-1.0.0.crate\n").unwrap();
    assert_eq!(collect_at(&mirror, 2000, 600).pending_dist_files, 2);
    let text = fs::read_to_string(&list).unwrap();
    assert!(!text.contains("gone") && text.lines().count() == 2, "{text}");
}

#[test]
fn without_records_no_dist_file_is_removed() {
    let (_sandbox, mirror) = mirror_with_moved_channel();
    let before = public_files(&mirror);
    fs::write(mirror.join(".frostmirror/artifacts.json"), "{").unwrap();
    collect_at(&mirror, 2000, 0);
    assert_eq!(public_files(&mirror), before);
}
