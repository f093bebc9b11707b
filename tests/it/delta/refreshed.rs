//! What upstream says later of versions that were sent: yanked, taken back, other fields. The far side hears of it, whether
//! or not anybody needs them today.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use frostmirror::bundle::format::{CrateState, Manifest};
use jiff::Timestamp;

use super::{ConnectedSide, crates_in_state, read_manifest};
use crate::bundle_builder::{BundleBuilder, all_files, assert_consistent, import};
use crate::support::crates::{Crate, index_path};
use crate::support::sandbox::Sandbox;

fn refreshed_crates(manifest: &Manifest) -> Vec<(String, bool)> {
    manifest.refreshed_crates.iter().map(|one| (one.id().to_string(), one.yanked)).collect()
}

/// Versions of a name in a mirror's index, each with its flag.
fn listed_versions(mirror: &Path, name: &str) -> Vec<(String, bool)> {
    let text = fs::read_to_string(mirror.join("index").join(index_path(name))).unwrap_or_default();
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines.map(|line| (line["vers"].as_str().unwrap().to_owned(), line["yanked"].as_bool().unwrap())).collect()
}

fn version_and_flag(version: &str, yanked: bool) -> (String, bool) {
    (version.to_owned(), yanked)
}

#[test]
fn a_superseded_version_yanked_upstream_is_yanked_in_the_mirror() {
    let near = ConnectedSide::with_crates(&[("abc", "1.0.0"), ("abc", "1.1.0"), ("d", "1.0.0")]);
    let mirror = near.sandbox.path("mirror");
    near.write_depends("depends.toml", &[("abc", "1.1.0")]);
    let first = near.fetch(&["--incremental"]);
    import(&mirror, &first).unwrap();
    near.upstream.yank("abc", "1.1.0", true);
    near.write_depends("depends.toml", &[("abc", "1.0.0")]);
    let second = near.fetch(&["--incremental"]);
    assert_eq!(refreshed_crates(&read_manifest(&second)), [version_and_flag("abc 1.1.0", true)]);
    assert_eq!(crates_in_state(&read_manifest(&second), CrateState::Shipped), ["abc 1.0.0"]);
    import(&mirror, &second).unwrap();
    assert_eq!(listed_versions(&mirror, "abc"), [version_and_flag("1.0.0", false), version_and_flag("1.1.0", true)]);
    assert_consistent(&mirror);
    near.fetch_without_changes(&["--incremental"]);

    // Nothing else is new, and no input of today needs the crate or its name.
    near.write_depends("depends.toml", &[("d", "1.0.0")]);
    import(&mirror, &near.fetch(&["--incremental"])).unwrap();
    near.upstream.clear_log();
    near.fetch_without_changes(&["--incremental"]);
    let requested = near.upstream.requests_to("/index/3/a/abc");
    assert_eq!(requested.iter().map(|seen| seen.status).collect::<Vec<_>>(), [304]);
    near.upstream.yank("abc", "1.1.0", false);
    let run = near.run_fetch(&["--incremental"]).ok().stderr_has("abc 1.1.0 (no longer yanked)");
    assert_eq!(refreshed_crates(&read_manifest(&run.path())), [version_and_flag("abc 1.1.0", false)]);
    near.sandbox.run(["inspect", run.path().to_str().unwrap()]).ok().stdout_has("Index lines that upstream changed");
    import(&mirror, &run.path()).unwrap();
    assert_eq!(listed_versions(&mirror, "abc"), [version_and_flag("1.0.0", false), version_and_flag("1.1.0", false)]);
    assert_consistent(&mirror);
    near.fetch_without_changes(&["--incremental"]);

    // A full bundle has every line that ever changed; one of a lost delta comes again with the delta on an earlier base.
    assert_eq!(refreshed_crates(&read_manifest(&near.fetch(&[]))), [version_and_flag("abc 1.1.0", false)]);
    let base = second.to_str().unwrap();
    assert_eq!(
        refreshed_crates(&read_manifest(&near.fetch(&["--base", base]))),
        [version_and_flag("abc 1.1.0", false)]
    );

    // Being refreshed keeps no crate, and a line of what was collected does not come back.
    for _ in 0..2 {
        near.sandbox.run(["gc", "--mirror", "mirror", "--grace", "0s"]).ok();
    }
    assert_eq!(listed_versions(&mirror, "abc"), []);
    assert!(!mirror.join("crates/abc-1.1.0.crate").exists());
    near.upstream.yank("abc", "1.1.0", true);
    let last = near.fetch(&["--incremental"]);
    assert_eq!(refreshed_crates(&read_manifest(&last)), [version_and_flag("abc 1.1.0", true)]);
    import(&mirror, &last).unwrap();
    assert_eq!(listed_versions(&mirror, "abc"), []);
    assert_consistent(&mirror);
}

#[test]
fn crates_needed_by_another_input_are_refreshed() {
    let near = ConnectedSide::with_crates(&[("a", "1.0.0"), ("b", "1.0.0")]);
    let mirror = near.sandbox.path("mirror");
    near.write_depends("a.toml", &[("a", "1.0.0")]);
    near.write_depends("b.toml", &[("b", "1.0.0")]);
    import(&mirror, &near.fetch(&["--incremental", "-c", "a.toml"])).unwrap();
    import(&mirror, &near.fetch(&["--incremental", "-c", "b.toml"])).unwrap();
    near.upstream.yank("b", "1.0.0", true);
    let bundle = near.fetch(&["--incremental", "-c", "a.toml"]);
    let contents = read_manifest(&bundle);
    assert_eq!(refreshed_crates(&contents), [version_and_flag("b 1.0.0", true)]);
    assert_eq!(crates_in_state(&contents, CrateState::Kept), ["b 1.0.0"]);
    assert_eq!(contents.crates.iter().map(|record| record.yanked).collect::<Vec<_>>(), [false, true]);
    import(&mirror, &bundle).unwrap();
    assert_eq!(listed_versions(&mirror, "b"), [version_and_flag("1.0.0", true)]);
    near.fetch_without_changes(&["--incremental", "-c", "a.toml"]);
    near.fetch_without_changes(&["--incremental", "-c", "b.toml"]);
    // It is still needed.
    near.sandbox.run(["gc", "--mirror", "mirror", "--grace", "0s"]).ok().stdout_has("Removed 0 crates");
}

#[test]
fn a_changed_index_field_is_sent_and_changed_dependencies_are_not() {
    let near = ConnectedSide::with_crates(&[("a", "1.0.0"), ("b", "1.0.0")]);
    let mirror = near.sandbox.path("mirror");
    near.write_depends("depends.toml", &[("a", "1.0.0"), ("b", "1.0.0")]);
    import(&mirror, &near.fetch(&["--incremental"])).unwrap();
    let with = |name: &str, from: &str, to: &str| {
        let text = near.upstream.index_text(name);
        assert!(text.contains(from), "{text}");
        near.upstream.set_index(&index_path(name), &text.replace(from, to));
    };
    with("a", "\"yanked\":false", "\"yanked\":false,\"rust_version\":\"1.60\"");
    let bundle = near.fetch(&["--incremental"]);
    assert_eq!(crates_in_state(&read_manifest(&bundle), CrateState::Sent), ["a 1.0.0", "b 1.0.0"]);
    import(&mirror, &bundle).unwrap();
    assert!(fs::read_to_string(mirror.join("index/1/a")).unwrap().contains("rust_version"));
    near.fetch_without_changes(&["--incremental"]);

    // Upstream never does that: the far side would refuse the whole bundle.
    near.write_depends("depends.toml", &[("a", "1.0.0")]);
    import(&mirror, &near.fetch(&["--incremental"])).unwrap();
    let dep = "\"deps\":[{\"name\":\"a\",\"req\":\"^1\",\"features\":[],\"optional\":false,\"default_features\":true,\
               \"target\":null,\"kind\":\"normal\"}]";
    with("b", "\"deps\":[]", dep);
    let run = near.run_fetch(&["--incremental"]).ok().stderr_has("nothing new");
    run.stderr_has("upstream's index now gives b 1.0.0 another checksum or other dependencies");
}

/// Whatever the order of imports, the newest bundle's word on a version is what the mirror says of it.
#[test]
fn a_line_that_comes_before_its_crate_waits_for_it() {
    let near = ConnectedSide::with_crates(&[("a", "1.0.0"), ("b", "1.0.0")]);
    near.write_depends("a.toml", &[("a", "1.0.0")]);
    near.write_depends("b.toml", &[("b", "1.0.0")]);
    let first = near.fetch(&["--incremental", "-c", "a.toml"]);
    near.fetch(&["--incremental", "-c", "b.toml", "--forget", "desk-a"]);
    near.upstream.yank("a", "1.0.0", true);
    let refreshing = near.fetch(&["-c", "b.toml"]);
    assert_eq!(refreshed_crates(&read_manifest(&refreshing)), [version_and_flag("a 1.0.0", true)]);
    near.upstream.yank("a", "1.0.0", false);
    let again = near.fetch(&["-c", "b.toml"]);
    for (order, yanked) in [
        (vec![&first, &refreshing], true),
        (vec![&refreshing, &first], true),
        (vec![&again, &refreshing, &first], false),
        (vec![&refreshing, &again, &first], false),
        (vec![&refreshing, &first, &again], false),
    ] {
        let mirror = near.sandbox.path("mirror");
        for bundle in &order {
            import(&mirror, bundle).unwrap();
            assert_consistent(&mirror);
            // The same once more changes nothing.
            assert!(import(&mirror, bundle).unwrap().already_imported);
        }
        assert_eq!(listed_versions(&mirror, "a"), [version_and_flag("1.0.0", yanked)], "{order:?}");
        near.sandbox.run(["verify", "--mirror", "mirror"]).ok();
        fs::remove_dir_all(&mirror).unwrap();
    }
}

#[test]
fn a_waiting_line_that_contradicts_the_crate_is_dropped_and_a_kill_loses_none() {
    let sandbox = Sandbox::new();
    let folder = sandbox.path("");
    let ships = BundleBuilder::new("a", 1).ship(Crate::new("x", "1.0.0")).write(&folder, "ships.pkg");
    let other = Crate::new("x", "1.0.0").file("src/other.rs", "").yanked();
    let lies = BundleBuilder::new("b", 1).refresh(other).ship(Crate::new("y", "1.0.0")).write(&folder, "lies.pkg");
    let mirror = sandbox.path("mirror");
    import(&mirror, &lies).unwrap();
    import(&mirror, &ships).unwrap();
    assert_eq!(listed_versions(&mirror, "x"), [version_and_flag("1.0.0", false)]);
    assert_consistent(&mirror);

    let yanks = BundleBuilder::new("a", 2).refresh(Crate::new("x", "1.0.0").yanked()).ship(Crate::new("y", "1.0.0"));
    yanks.write(&folder, "yanks.pkg");
    for checkpoint in ["commit:2", "commit:3", "commit:5", "commit:7"] {
        for victim in ["yanks.pkg", "ships.pkg"] {
            fs::remove_dir_all(&mirror).unwrap();
            for bundle in ["yanks.pkg", "ships.pkg"] {
                let args = ["import", bundle, "--mirror", "mirror"];
                if bundle == victim {
                    let died = sandbox.process(args).envs([("FROSTMIRROR_CRASH_AT", checkpoint)]).run();
                    died.exits(128 + 6);
                    assert_consistent(&mirror);
                }
                sandbox.run(args).ok();
            }
            assert_eq!(listed_versions(&mirror, "x"), [version_and_flag("1.0.0", true)], "{checkpoint} {victim}");
        }
    }
}

#[test]
fn an_offline_bundle_does_not_bring_back_an_older_index_line() {
    let near = ConnectedSide::with_crates(&[("abc", "1.0.0")]);
    near.write_depends("depends.toml", &[("abc", "1.0.0")]);
    near.fetch(&[]);
    // The cached index is a day older than the offline run's clock.
    let before = SystemTime::UNIX_EPOCH + Duration::from_secs(1_789_900_000);
    let cache = near.sandbox.frostmirror_home().join("cache/index");
    for file in all_files(&cache).keys().filter(|file| !file.ends_with('/')) {
        fs::File::options().write(true).open(cache.join(file)).unwrap().set_modified(before).unwrap();
    }
    let offline = near.fetch(&["--offline"]);
    let read: Timestamp = read_manifest(&offline).index_read.parse().unwrap();
    assert_eq!(read.as_second(), Timestamp::try_from(before).unwrap().as_second());

    let other = ConnectedSide::with_crates(&[("abc", "1.0.0")]);
    other.upstream.yank("abc", "1.0.0", true);
    other.write_depends("depends.toml", &[("abc", "1.0.0")]);
    let yanked = other.fetch(&[]);
    let mirror = near.sandbox.path("mirror");
    import(&mirror, &yanked).unwrap();
    import(&mirror, &offline).unwrap();
    assert_eq!(listed_versions(&mirror, "abc"), [version_and_flag("1.0.0", true)]);
}
