//! What upstream says later of versions that were sent: yanked, taken back, other fields. The far side hears of it, whether
//! or not anybody needs them today.

use std::fs;
use std::path::Path;

use frostmirror::bundle::format::{CrateState, Manifest};
use frostmirror::mirror::import::PENDING_CHECKPOINTS;

use super::{Near, in_state, manifest};
use crate::import_bundle::{Make, assert_sound, import};
use crate::support::crates::{Crate, index_path};
use crate::support::sandbox::Sandbox;

fn refreshed(manifest: &Manifest) -> Vec<(String, bool)> {
    manifest.refreshed.iter().map(|one| (one.id().to_string(), one.yanked)).collect()
}

/// Versions of a name in a mirror's index, each with its flag.
fn listed(mirror: &Path, name: &str) -> Vec<(String, bool)> {
    let text = fs::read_to_string(mirror.join("index").join(index_path(name))).unwrap_or_default();
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines.map(|line| (line["vers"].as_str().unwrap().to_owned(), line["yanked"].as_bool().unwrap())).collect()
}

fn of(version: &str, yanked: bool) -> (String, bool) {
    (version.to_owned(), yanked)
}

#[test]
fn a_superseded_version_that_upstream_yanks_is_yanked_in_the_mirror() {
    let near = Near::new(&[("abc", "1.0.0"), ("abc", "1.1.0"), ("d", "1.0.0")]);
    let mirror = near.sandbox.path("mirror");
    near.needs("depends.toml", &[("abc", "1.1.0")]);
    let first = near.fetch(&["--incremental"]);
    import(&mirror, &first).unwrap();
    near.upstream.yank("abc", "1.1.0", true);
    near.needs("depends.toml", &[("abc", "1.0.0")]);
    let second = near.fetch(&["--incremental"]);
    assert_eq!(refreshed(&manifest(&second)), [of("abc 1.1.0", true)]);
    assert_eq!(in_state(&manifest(&second), CrateState::Shipped), ["abc 1.0.0"]);
    import(&mirror, &second).unwrap();
    assert_eq!(listed(&mirror, "abc"), [of("1.0.0", false), of("1.1.0", true)]);
    assert_sound(&mirror);
    near.fetch_nothing(&["--incremental"]);

    // Nothing else is new, and no input of today needs the crate or its name.
    near.needs("depends.toml", &[("d", "1.0.0")]);
    import(&mirror, &near.fetch(&["--incremental"])).unwrap();
    near.upstream.clear_log();
    near.fetch_nothing(&["--incremental"]);
    let asked = near.upstream.seen("/index/3/a/abc");
    assert_eq!(asked.iter().map(|seen| seen.status).collect::<Vec<_>>(), [304]);
    near.upstream.yank("abc", "1.1.0", false);
    let run = near.run(&["--incremental"]).ok().stderr_has("abc 1.1.0 (no longer yanked)");
    assert_eq!(refreshed(&manifest(&run.path())), [of("abc 1.1.0", false)]);
    near.sandbox.run(["inspect", run.path().to_str().unwrap()]).ok().stdout_has("Index lines that upstream changed");
    import(&mirror, &run.path()).unwrap();
    assert_eq!(listed(&mirror, "abc"), [of("1.0.0", false), of("1.1.0", false)]);
    assert_sound(&mirror);
    near.fetch_nothing(&["--incremental"]);

    // A full bundle has every line that ever changed; one of a lost delta comes again with the delta on an earlier base.
    assert_eq!(refreshed(&manifest(&near.fetch(&[]))), [of("abc 1.1.0", false)]);
    let base = second.to_str().unwrap();
    assert_eq!(refreshed(&manifest(&near.fetch(&["--base", base]))), [of("abc 1.1.0", false)]);

    // Being refreshed keeps no crate, and a line of what was collected does not come back.
    for _ in 0..2 {
        near.sandbox.run(["gc", "--mirror", "mirror", "--grace", "0s"]).ok();
    }
    assert_eq!(listed(&mirror, "abc"), []);
    assert!(!mirror.join("crates/abc-1.1.0.crate").exists());
    near.upstream.yank("abc", "1.1.0", true);
    let last = near.fetch(&["--incremental"]);
    assert_eq!(refreshed(&manifest(&last)), [of("abc 1.1.0", true)]);
    import(&mirror, &last).unwrap();
    assert_eq!(listed(&mirror, "abc"), []);
    assert_sound(&mirror);
}

#[test]
fn what_another_input_needs_is_refreshed_too() {
    let near = Near::new(&[("a", "1.0.0"), ("b", "1.0.0")]);
    let mirror = near.sandbox.path("mirror");
    near.needs("a.toml", &[("a", "1.0.0")]);
    near.needs("b.toml", &[("b", "1.0.0")]);
    import(&mirror, &near.fetch(&["--incremental", "-c", "a.toml"])).unwrap();
    import(&mirror, &near.fetch(&["--incremental", "-c", "b.toml"])).unwrap();
    near.upstream.yank("b", "1.0.0", true);
    let bundle = near.fetch(&["--incremental", "-c", "a.toml"]);
    let said = manifest(&bundle);
    assert_eq!(refreshed(&said), [of("b 1.0.0", true)]);
    assert_eq!(in_state(&said, CrateState::Kept), ["b 1.0.0"]);
    assert_eq!(said.crates.iter().map(|record| record.yanked).collect::<Vec<_>>(), [false, true]);
    import(&mirror, &bundle).unwrap();
    assert_eq!(listed(&mirror, "b"), [of("1.0.0", true)]);
    near.fetch_nothing(&["--incremental", "-c", "a.toml"]);
    near.fetch_nothing(&["--incremental", "-c", "b.toml"]);
    // It is still needed.
    near.sandbox.run(["gc", "--mirror", "mirror", "--grace", "0s"]).ok().stdout_has("Removed 0 crates");
}

#[test]
fn a_changed_field_of_a_line_is_news_and_changed_dependencies_are_not() {
    let near = Near::new(&[("a", "1.0.0"), ("b", "1.0.0")]);
    let mirror = near.sandbox.path("mirror");
    near.needs("depends.toml", &[("a", "1.0.0"), ("b", "1.0.0")]);
    import(&mirror, &near.fetch(&["--incremental"])).unwrap();
    let with = |name: &str, from: &str, to: &str| {
        let text = near.upstream.index_text(name);
        assert!(text.contains(from), "{text}");
        near.upstream.set_index(&index_path(name), &text.replace(from, to));
    };
    with("a", "\"yanked\":false", "\"yanked\":false,\"rust_version\":\"1.60\"");
    let bundle = near.fetch(&["--incremental"]);
    assert_eq!(in_state(&manifest(&bundle), CrateState::Sent), ["a 1.0.0", "b 1.0.0"]);
    import(&mirror, &bundle).unwrap();
    assert!(fs::read_to_string(mirror.join("index/1/a")).unwrap().contains("rust_version"));
    near.fetch_nothing(&["--incremental"]);

    // Upstream never does that: the far side would refuse the whole bundle.
    near.needs("depends.toml", &[("a", "1.0.0")]);
    import(&mirror, &near.fetch(&["--incremental"])).unwrap();
    let dep = "\"deps\":[{\"name\":\"a\",\"req\":\"^1\",\"features\":[],\"optional\":false,\"default_features\":true,\
               \"target\":null,\"kind\":\"normal\"}]";
    with("b", "\"deps\":[]", dep);
    let run = near.run(&["--incremental"]).ok().stderr_has("nothing new");
    run.stderr_has("upstream's index now gives b 1.0.0 another checksum or other dependencies");
}

/// Whatever the order of imports, the newest bundle's word on a version is what the mirror says of it.
#[test]
fn a_line_that_comes_before_its_crate_waits_for_it() {
    let near = Near::new(&[("a", "1.0.0"), ("b", "1.0.0")]);
    near.needs("a.toml", &[("a", "1.0.0")]);
    near.needs("b.toml", &[("b", "1.0.0")]);
    let first = near.fetch(&["--incremental", "-c", "a.toml"]);
    near.fetch(&["--incremental", "-c", "b.toml", "--forget", "desk-a"]);
    near.upstream.yank("a", "1.0.0", true);
    let refreshing = near.fetch(&["-c", "b.toml"]);
    assert_eq!(refreshed(&manifest(&refreshing)), [of("a 1.0.0", true)]);
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
            assert_sound(&mirror);
            // The same once more changes nothing.
            assert!(import(&mirror, bundle).unwrap().already);
        }
        assert_eq!(listed(&mirror, "a"), [of("1.0.0", yanked)], "{order:?}");
        near.sandbox.run(["verify", "--mirror", "mirror"]).ok();
        fs::remove_dir_all(&mirror).unwrap();
    }
}

#[test]
fn a_waiting_line_that_contradicts_the_crate_is_dropped_and_a_kill_loses_none() {
    let sandbox = Sandbox::new();
    let folder = sandbox.path("");
    let ships = Make::new("a", 1).ship(Crate::new("x", "1.0.0")).write(&folder, "ships.pkg");
    let other = Crate::new("x", "1.0.0").file("src/other.rs", "").yanked();
    let lies = Make::new("b", 1).refresh(other).ship(Crate::new("y", "1.0.0")).write(&folder, "lies.pkg");
    let mirror = sandbox.path("mirror");
    import(&mirror, &lies).unwrap();
    import(&mirror, &ships).unwrap();
    assert_eq!(listed(&mirror, "x"), [of("1.0.0", false)]);
    assert_sound(&mirror);

    let yanks = Make::new("a", 2).refresh(Crate::new("x", "1.0.0").yanked()).ship(Crate::new("y", "1.0.0"));
    yanks.write(&folder, "yanks.pkg");
    for checkpoint in PENDING_CHECKPOINTS {
        for victim in ["yanks.pkg", "ships.pkg"] {
            fs::remove_dir_all(&mirror).unwrap();
            for bundle in ["yanks.pkg", "ships.pkg"] {
                let words = ["import", bundle, "--mirror", "mirror"];
                if bundle == victim {
                    let died = sandbox.process(words).envs([("FROSTMIRROR_CRASH_AT", checkpoint)]).run();
                    died.exits(128 + 6);
                    assert_sound(&mirror);
                }
                sandbox.run(words).ok();
            }
            assert_eq!(listed(&mirror, "x"), [of("1.0.0", true)], "{checkpoint} {victim}");
        }
    }
}
