//! A year of one mirror in five weekly rounds, through the command line alone: crates are added, updated, yanked and
//! retired, bundles are carried in every way there is, garbage is collected between, and after every round the real
//! cargo builds every project from what is served.

mod air_gap;

use air_gap::{AirGap, GRACE};

use crate::bundle_builder::public_files;
use crate::support::crates::Crate;

#[test]
fn a_mirror_is_updated_over_five_weekly_rounds() {
    let mut year = AirGap::start();
    let first = first_week(&mut year);
    let second = second_week(&mut year);
    third_week(&mut year);
    fourth_week(&mut year);
    fifth_week(&mut year);
    import_late_bundles(&mut year, &first, &second);
}

/// Everything is new: the first project in full, and another history with a project of its own.
fn first_week(year: &mut AirGap) -> String {
    for item in [
        Crate::new("json", "1.0.0"),
        Crate::new("serde", "1.0.0").dep("json", "^1"),
        Crate::new("heavy", "1.0.0").with_extra_bytes(200_000),
        Crate::new("older", "1.0.0"),
        Crate::new("old", "1.0.0").dep("older", "^1"),
        Crate::new("back", "1.0.0"),
        Crate::new("log", "0.4.0"),
        Crate::new("other", "2.0.0").dep("json", "^1"),
    ] {
        year.upstream.publish(item);
    }
    year.set_dependencies("app", &[("serde", "1"), ("heavy", "1"), ("old", "1"), ("back", "1")]);
    year.set_dependencies("third", &[("other", "2"), ("heavy", "1")]);
    let full = year.fetch("team", &["-c", "app/depends.toml"]);
    let elsewhere = year.fetch("elsewhere", &["--lockfile", "third/Cargo.lock"]);
    year.import(&full);
    year.import(&elsewhere);
    year.run_gc(GRACE, "Removed 0 crates");
    year.assert_builds("app", &["serde 1.0.0", "heavy 1.0.0", "old 1.0.0", "back 1.0.0"]);
    year.assert_builds("third", &["other 2.0.0", "heavy 1.0.0"]);
    full
}

/// A second project and a tool join; two deltas come at once, named so that the later one sorts first.
fn second_week(year: &mut AirGap) -> [String; 2] {
    year.set_dependencies("second", &[("json", "1"), ("log", "0.4")]);
    // Newer than what that lock names, and not asked for by anybody yet.
    year.upstream.publish(Crate::new("json", "1.1.0"));
    let tool = Crate::new("tool", "1.0.0").dep("log", "^0.4").bin("fn main() { println!(\"log {}\", log::VERSION); }");
    year.upstream.publish(tool);
    let project = year.fetch("team", &["--incremental", "--lockfile", "second/Cargo.lock"]);
    let tool = year.fetch("team", &["--incremental", "--crate", "tool@1"]);
    year.import_folder(&[(&project, "later.pkg"), (&tool, "earlier.pkg")]);
    year.run_gc(GRACE, "Removed 0 crates");
    year.assert_builds("app", &["serde 1.0.0", "heavy 1.0.0", "old 1.0.0", "back 1.0.0"]);
    year.assert_builds("second", &["json 1.0.0", "log 0.4.0"]);
    year.assert_builds("third", &["other 2.0.0", "heavy 1.0.0"]);
    assert_eq!(year.install_and_run("tool"), Some("log 0.4.0\n".to_owned()));
    [project, tool]
}

/// An update with a new dependency; a version is yanked that a lock still names; the delta is dropped into the folder.
fn third_week(year: &mut AirGap) {
    year.upstream.publish(Crate::new("zeta", "0.1.0"));
    year.upstream.publish(Crate::new("serde", "1.1.0").dep("json", "^1.1").dep("zeta", "^0.1"));
    year.upstream.yank("json", "1.0.0", true);
    year.set_dependencies("app", &[("serde", "1"), ("heavy", "1"), ("old", "1"), ("back", "1")]);
    let both = ["--incremental", "-c", "app/depends.toml", "--lockfile", "second/Cargo.lock"];
    let delta = year.fetch("team", &both);
    year.drop_into_incoming(&delta);
    assert_eq!(year.versions_and_yanks("json"), [("1.0.0".to_owned(), true), ("1.1.0".to_owned(), false)]);
    // The unreferenced version's line is removed; a client that read it a moment ago still gets the crate.
    year.run_gc(GRACE, "Removed 0 crates");
    assert!(!year.is_listed("serde", "1.0.0") && year.is_served("serde", "1.0.0"));
    year.assert_builds("app", &["serde 1.1.0", "heavy 1.0.0", "old 1.0.0", "back 1.0.0"]);
    year.assert_builds_with("second", &["json 1.0.0", "log 0.4.0"], &["json 1.1.0", "log 0.4.0"]);
    year.assert_builds("third", &["other 2.0.0", "heavy 1.0.0"]);
}

/// Two dependencies are given up, and the tool is forgotten.
fn fourth_week(year: &mut AirGap) {
    year.set_dependencies("app", &[("serde", "1"), ("heavy", "1")]);
    let args = ["--incremental", "-c", "app/depends.toml", "--forget", "--crate tool@1"];
    let delta = year.fetch("team", &args);
    year.import(&delta);
    year.wait_for_grace_period();
    // Due is what lost its line a week ago.
    year.run_gc(GRACE, "Removed 1 crate,");
    assert!(!year.is_served("serde", "1.0.0"));
    for (name, version) in [("old", "1.0.0"), ("older", "1.0.0"), ("back", "1.0.0"), ("tool", "1.0.0")] {
        assert!(!year.is_listed(name, version) && year.is_served(name, version), "{name}");
    }
    assert_eq!(year.install_and_run("tool"), None);
    year.assert_builds("app", &["serde 1.1.0", "heavy 1.0.0"]);
    year.assert_builds_with("second", &["json 1.0.0", "log 0.4.0"], &["json 1.1.0", "log 0.4.0"]);
    year.assert_builds("third", &["other 2.0.0", "heavy 1.0.0"]);
}

/// What was given up is really gone by now; one of it comes back, something is added, and everybody updates.
fn fifth_week(year: &mut AirGap) {
    year.wait_for_grace_period();
    year.run_gc(GRACE, "Removed 4 crates");
    for name in ["old", "older", "back", "tool"] {
        assert!(!year.is_listed(name, "1.0.0") && !year.is_served(name, "1.0.0"), "{name}");
    }
    for item in [
        Crate::new("json", "1.2.0"),
        Crate::new("added", "1.0.0").dep("zeta", "^0.1"),
        Crate::new("other", "2.1.0").dep("json", "^1.2"),
    ] {
        year.upstream.publish(item);
    }
    year.set_dependencies("app", &[("serde", "1"), ("heavy", "1"), ("back", "1"), ("added", "1")]);
    year.set_dependencies("second", &[("json", "1"), ("log", "0.4")]);
    year.set_dependencies("third", &[("other", "2"), ("heavy", "1")]);
    let app = year.fetch("team", &["--incremental", "-c", "app/depends.toml"]);
    assert_eq!(year.shipped_crates(&app), ["added 1.0.0", "back 1.0.0", "json 1.2.0"]);
    let second = year.fetch("team", &["--incremental", "--lockfile", "second/Cargo.lock"]);
    assert_eq!(year.shipped_crates(&second), [""; 0]);
    let third = year.fetch("elsewhere", &["--incremental", "--lockfile", "third/Cargo.lock"]);
    assert_eq!(year.shipped_crates(&third), ["json 1.2.0", "other 2.1.0"]);
    for bundle in [app, second, third] {
        year.import(&bundle);
    }
    year.run_gc("0s", "Removed 3 crates");
    for (name, version) in [("json", "1.0.0"), ("json", "1.1.0"), ("other", "2.0.0")] {
        assert!(!year.is_listed(name, version) && !year.is_served(name, version), "{name} {version}");
    }
    build_all_projects(year);
}

fn build_all_projects(year: &AirGap) {
    year.assert_builds("app", &["serde 1.1.0", "heavy 1.0.0", "back 1.0.0", "added 1.0.0"]);
    year.assert_builds("second", &["json 1.2.0", "log 0.4.0"]);
    year.assert_builds("third", &["other 2.1.0", "heavy 1.0.0"]);
}

/// Bundles from the beginning of the year turn up: what they relied on may be gone, and nothing else goes for them.
fn import_late_bundles(year: &mut AirGap, full: &str, deltas: &[String]) {
    let before = public_files(&year.mirror());
    let sequences = year.newest_sequences();
    year.assert_refused(&deltas[0], "json 1.0.0");
    assert_eq!(public_files(&year.mirror()), before);
    year.import(full);
    deltas.iter().for_each(|delta| year.import(delta));
    let after = public_files(&year.mirror());
    for (path, bytes) in &before {
        if path.starts_with("index/") && !path.ends_with('/') {
            let (old, new) = (String::from_utf8_lossy(bytes), String::from_utf8_lossy(&after[path]));
            assert!(old.lines().all(|line| new.lines().any(|other| other == line)), "{path}:\n{old}\n{new}");
        } else {
            assert_eq!(&after[path], bytes, "{path}");
        }
    }
    assert!(year.is_served("old", "1.0.0") && year.is_served("tool", "1.0.0"), "what they ship is there again");
    assert_eq!(year.newest_sequences(), sequences, "the newest bundles stay the newest");
    build_all_projects(year);
    year.run_gc("0s", "Removed 5 crates");
    assert_eq!(public_files(&year.mirror()), before);
}
