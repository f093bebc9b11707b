//! One input over time: the chain of bundles, and what is lost of it.

use frostmirror::bundle::format::{BundleKind, CrateState};
use frostmirror::mirror::import::Error;

use super::{ConnectedSide, assert_delta, crates_in_state, read_manifest};
use crate::bundle_builder::{all_files, assert_consistent, import, public_files};
use crate::end_to_end::fixture_registry::files_below;
use crate::support::crates::Crate;

const CRATES: [(&str, &str); 4] = [("a", "1.0.0"), ("a", "1.1.0"), ("b", "1.0.0"), ("c", "1.0.0")];

#[test]
fn a_delta_ships_only_new_crates_and_completes_its_base() {
    let near = ConnectedSide::with_crates(&CRATES);
    near.upstream.publish(Crate::new("heavy", "1.0.0").with_extra_bytes(300_000));
    near.write_depends("depends.toml", &[("a", "1.0.0"), ("heavy", "1.0.0")]);
    let first = near.run_fetch(&["--incremental"]).ok().stderr_has("warning: ").stderr_has("full").path();
    assert_eq!(read_manifest(&first).kind, BundleKind::Full);
    // What was sent is not even downloaded again.
    std::fs::remove_dir_all(near.sandbox.frostmirror_home().join("cache/crates")).unwrap();
    near.write_depends("depends.toml", &[("a", "1.0.0"), ("a", "1.1.0"), ("b", "1.0.0"), ("heavy", "1.0.0")]);
    let planned = near.run_fetch(&["--incremental", "--dry-run"]).ok();
    assert!(planned.stdout.contains("a 1.1.0") && !planned.stdout.contains("heavy"), "{}", planned.stdout);
    near.upstream.clear_log();
    let second = near.run_fetch(&["--incremental"]).ok().stderr_lacks("warning").path();
    let mut downloads = near.upstream.downloads();
    downloads.sort();
    assert_eq!(downloads, [near.upstream.download_path("a", "1.1.0"), near.upstream.download_path("b", "1.0.0")]);
    let contents = assert_delta(&second, &first, &["a 1.1.0", "b 1.0.0"], &["a 1.0.0", "heavy 1.0.0"]);
    assert_eq!(contents.lineage.sequence, 2);
    // A delta says what its base weighs, without having it.
    assert!(contents.crates.iter().all(|record| record.size > 0));
    let size = |path: &std::path::Path| path.metadata().unwrap().len();
    assert!(size(&second) * 10 < size(&first), "{} and {}", size(&first), size(&second));
    near.sandbox.run(["verify".as_ref(), second.as_os_str()]).ok();

    let mirror = near.sandbox.path("mirror");
    import(&mirror, &first).unwrap();
    import(&mirror, &second).unwrap();
    assert_consistent(&mirror);
    // A full fetch after deltas still stands alone, and brings a new mirror to the same state.
    let full = near.fetch(&[]);
    assert_eq!(read_manifest(&full).kind, BundleKind::Full);
    assert_eq!(crates_in_state(&read_manifest(&full), CrateState::Shipped).len(), 4);
    let other = near.sandbox.path("other");
    import(&other, &full).unwrap();
    assert_eq!(public_files(&mirror), public_files(&other));
    // And the next delta builds on it.
    near.write_depends("depends.toml", &[("a", "1.1.0"), ("c", "1.0.0")]);
    let fourth = near.fetch(&["--incremental"]);
    assert_delta(&fourth, &full, &["c 1.0.0"], &["a 1.1.0"]);
    import(&other, &fourth).unwrap();
    import(&mirror, &fourth).unwrap();
    assert_eq!(public_files(&mirror), public_files(&other));
}

#[test]
fn no_change_writes_no_bundle_and_each_kind_of_change_writes_one() {
    let near = ConnectedSide::with_crates(&CRATES);
    near.write_depends("depends.toml", &[("a", "1.0.0"), ("b", "1.0.0")]);
    let first = near.fetch(&["--incremental"]);
    near.fetch_without_changes(&["--incremental"]);
    let dry_run = |expected: &str| {
        let run = near.run_fetch(&["--incremental", "--dry-run"]).ok().stderr_has(expected);
        assert_eq!(run.stdout, "", "no file is planned");
    };
    let nothing = "Unchanged there is nothing new, so `fetch` would write no bundle\n";
    dry_run(nothing);
    // Other words for the same set are no news.
    near.sandbox.write("depends.toml", "[dependencies]\na = \"=1.0.0\"\n[locked]\nb = \"1.0.0\"\n");
    near.fetch_without_changes(&["--incremental"]);
    near.upstream.yank("b", "1.0.0", true);
    dry_run("Planned a bundle without files: inputs or index entries changed; nothing was written\n");
    let yanked = near.fetch(&["--incremental"]);
    dry_run(nothing);
    let contents = assert_delta(&yanked, &first, &[], &["a 1.0.0", "b 1.0.0"]);
    assert!(contents.crates[1].yanked);
    near.fetch_without_changes(&["--incremental"]);
    near.write_depends("depends.toml", &[("a", "1.0.0")]);
    dry_run("Planned a bundle without files: 1 crate is no longer needed; nothing was written\n");
    let shrunken = near.fetch(&["--incremental"]);
    assert_delta(&shrunken, &yanked, &[], &["a 1.0.0"]);
    dry_run(nothing);
    near.fetch_without_changes(&["--incremental"]);

    let mirror = near.sandbox.path("mirror");
    let line = || std::fs::read_to_string(mirror.join("index/1/b")).unwrap();
    import(&mirror, &first).unwrap();
    assert!(line().contains("\"yanked\":false"));
    import(&mirror, &yanked).unwrap();
    assert!(line().contains("\"yanked\":true"));
    import(&mirror, &shrunken).unwrap();
    // An older one imported late takes nothing away and turns nothing back.
    import(&mirror, &first).unwrap();
    assert!(line().contains("\"yanked\":true"));
    assert_consistent(&mirror);
}

#[test]
fn a_crate_that_was_removed_and_added_again_is_shipped_again() {
    let near = ConnectedSide::with_crates(&CRATES);
    near.write_depends("depends.toml", &[("a", "1.0.0"), ("b", "1.0.0")]);
    let first = near.fetch(&["--incremental"]);
    near.write_depends("depends.toml", &[("a", "1.0.0")]);
    let second = near.fetch(&["--incremental"]);
    near.write_depends("depends.toml", &[("a", "1.0.0"), ("b", "1.0.0")]);
    // The far side may have collected it meanwhile, whichever of the two arrived last.
    let third = near.fetch(&["--incremental"]);
    assert_delta(&third, &second, &["b 1.0.0"], &["a 1.0.0"]);
    let third = near.fetch(&["--base", first.to_str().unwrap()]);
    assert_delta(&third, &first, &["b 1.0.0"], &["a 1.0.0"]);
}

#[test]
fn an_out_of_order_delta_is_refused_and_names_its_base_and_missing_crates() {
    let near = ConnectedSide::with_crates(&CRATES);
    near.write_depends("depends.toml", &[("a", "1.0.0")]);
    let first = near.fetch(&["--incremental"]);
    near.write_depends("depends.toml", &[("a", "1.0.0"), ("b", "1.0.0")]);
    let second = near.fetch(&["--incremental"]);
    near.write_depends("depends.toml", &[("a", "1.0.0"), ("b", "1.0.0"), ("c", "1.0.0")]);
    let third = near.fetch(&["--incremental"]);
    let mirror = near.sandbox.path("mirror");
    import(&mirror, &first).unwrap();
    let before = all_files(&mirror);
    let name = second.file_name().unwrap().to_str().unwrap();
    let args = ["import".as_ref(), third.as_os_str(), "--mirror".as_ref(), mirror.as_os_str()];
    near.sandbox.run(args).exits(4).stderr_has(name).stderr_has("b 1.0.0");
    assert_eq!(all_files(&mirror), before);
    assert!(matches!(import(&mirror, &third), Err(Error::MissingBase { missing: 1, .. })));
    // Where both are called alike, the id tells them apart.
    let alike = near.sandbox.path("elsewhere").join(name);
    std::fs::create_dir(near.sandbox.path("elsewhere")).unwrap();
    std::fs::copy(&third, &alike).unwrap();
    let named = format!("`{name} ({})`", &read_manifest(&second).id[..8]);
    let args = ["import".as_ref(), alike.as_os_str(), "--mirror".as_ref(), mirror.as_os_str()];
    near.sandbox.run(args).exits(4).stderr_has(&named);
    import(&mirror, &second).unwrap();
    import(&mirror, &third).unwrap();
    assert_consistent(&mirror);
}

#[test]
fn base_names_the_last_bundle_that_arrived_after_a_loss() {
    let near = ConnectedSide::with_crates(&CRATES);
    near.write_depends("one.toml", &[("a", "1.0.0")]);
    near.write_depends("two.toml", &[("c", "1.0.0")]);
    let first = near.fetch(&["--incremental", "-c", "one.toml"]);
    let mirror = near.sandbox.path("mirror");
    import(&mirror, &first).unwrap();
    near.write_depends("one.toml", &[("a", "1.0.0"), ("a", "1.1.0")]);
    near.fetch(&["--incremental", "-c", "one.toml"]);
    // The second project was on a lost stick too.
    near.fetch(&["--incremental", "-c", "two.toml"]);
    near.write_depends("one.toml", &[("a", "1.0.0"), ("a", "1.1.0"), ("b", "1.0.0")]);
    // By its file, wherever and however it is called now; by its name; by its id.
    let renamed = near.sandbox.path("arrived.pkg");
    std::fs::copy(&first, &renamed).unwrap();
    let id = read_manifest(&first).id;
    let name = first.file_name().unwrap().to_str().unwrap();
    for base in ["arrived.pkg", name, &id, &id[..8]] {
        let made_good = near.fetch(&["-c", "one.toml", "--base", base]);
        let contents = assert_delta(&made_good, &first, &["a 1.1.0", "b 1.0.0", "c 1.0.0"], &["a 1.0.0"]);
        assert_eq!(contents.lineage.inputs.len(), 2);
        let fresh = near.sandbox.path("fresh");
        import(&fresh, &first).unwrap();
        import(&fresh, &made_good).unwrap();
        assert_consistent(&fresh);
        std::fs::remove_dir_all(fresh).unwrap();
    }
    // What is made good counts as sent.
    near.fetch_without_changes(&["--incremental", "-c", "one.toml"]);
    near.fetch_without_changes(&["--incremental", "-c", "two.toml"]);
    let unknown = near
        .run_fetch(&["-c", "one.toml", "--base", "gone.pkg"])
        .exits(3)
        .stderr_has("`gone.pkg`, and no such file exists");
    unknown.stderr_has(&format!("{name} ({id})"));
    let planned = near.run_fetch(&["-c", "one.toml", "--base", name, "--dry-run"]).ok().stdout;
    assert_eq!(planned.lines().count(), 3, "{planned}");
}

#[test]
fn the_base_that_a_refused_import_names_closes_the_gap() {
    let near = ConnectedSide::with_crates(&CRATES);
    near.write_depends("one.toml", &[("a", "1.0.0")]);
    near.write_depends("two.toml", &[("c", "1.0.0")]);
    let first = near.fetch(&["--incremental", "-c", "one.toml"]);
    near.write_depends("one.toml", &[("a", "1.0.0"), ("a", "1.1.0")]);
    let lost = near.fetch(&["--incremental", "-c", "one.toml"]);
    let third = near.fetch(&["--incremental", "-c", "two.toml"]);
    near.write_depends("one.toml", &[("a", "1.0.0"), ("a", "1.1.0"), ("b", "1.0.0")]);
    let fourth = near.fetch(&["--incremental", "-c", "one.toml"]);
    let mirror = near.sandbox.path("mirror");
    let import_with_cli = |bundle: &std::path::Path| {
        near.sandbox.run(["import".as_ref(), bundle.as_os_str(), "--mirror".as_ref(), mirror.as_os_str()])
    };
    let name = |bundle: &std::path::Path| bundle.file_name().unwrap().to_str().unwrap().to_owned();
    let id = read_manifest(&first).id;
    let advice = format!("fetch --base {id}`");
    import_with_cli(&first).ok();
    // The mirror has all that the other input needs, so this bundle is accepted.
    import_with_cli(&third)
        .ok()
        .stderr_has(&format!("import `{}` (bundle number 2 of the history) too", name(&lost)))
        .stderr_has(&advice);
    let run = import_with_cli(&fourth).exits(4);
    run.stderr_has(&format!("bundle number 2 of its history is not imported, although its base `{}` is", name(&third)))
        .stderr_has(&advice);
    // The newest imported bundle would be the wrong base.
    import_with_cli(&near.fetch(&["-c", "one.toml", "--base", &read_manifest(&third).id])).exits(4);
    import_with_cli(&near.fetch(&["-c", "one.toml", "--base", &id])).ok();
    assert_consistent(&mirror);
}

#[test]
fn the_fetch_mode_comes_from_the_flag_then_the_environment() {
    let near = ConnectedSide::with_crates(&CRATES);
    near.write_depends("depends.toml", &[("a", "1.0.0")]);
    let with = |mode: &str, args: &[&str]| near.process(args).envs([("FROSTMIRROR_MODE", mode)]).run();
    with("weekly", &["fetch"])
        .exits(3)
        .stderr_has("FROSTMIRROR_MODE has the unknown value `weekly`")
        .stderr_has("incremental");
    assert!(files_below(&near.sandbox.path("output")).is_empty());
    with("incremental", &["fetch"]).ok().stderr_has("is full");
    with("incremental", &["fetch"]).ok().stderr_has("nothing new");
    with("full", &["fetch", "--incremental"]).ok().stderr_has("nothing new");
    let full = with("full", &["fetch"]).ok().path();
    assert_eq!(read_manifest(&full).kind, BundleKind::Full);
    let json = with("incremental", &["fetch", "--message-format", "json"]).ok().stdout;
    assert!(json.contains(r#"{"reason":"unchanged"}"#), "{json}");
}
