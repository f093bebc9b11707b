//! What a delta tells of crates that it does not ship: the licences that its maker knows, and no guess of others.

use std::fs;

use serde_json::Value;

use super::{ConnectedSide, read_manifest};
use crate::support::crates::Crate;

fn with_licenses() -> ConnectedSide {
    let near = ConnectedSide::with_crates(&[]);
    for (name, version, license) in [("a", "1.0.0", "MIT"), ("a", "2.0.0", "AGPL-3.0"), ("b", "1.0.0", "Zlib")] {
        near.upstream.publish(Crate::new(name, version).license(license));
    }
    near.upstream.publish(Crate::new("c", "1.0.0"));
    near
}

/// The crates of the bundle with their licences.
fn licenses(bundle: &std::path::Path) -> Vec<(String, Option<String>)> {
    read_manifest(bundle).crates.into_iter().map(|record| (record.id().to_string(), record.license)).collect()
}

fn expected_licenses(crates: &[(&str, &str)]) -> Vec<(String, Option<String>)> {
    crates.iter().map(|(id, license)| ((*id).to_owned(), Some((*license).to_owned()))).collect()
}

#[test]
fn a_changed_licence_is_shown_in_the_next_delta() {
    let near = with_licenses();
    near.write_depends("other.toml", &[("b", "1.0.0")]);
    near.write_depends("depends.toml", &[("a", "1.0.0")]);
    near.fetch(&["--incremental", "-c", "other.toml"]);
    near.fetch(&["--incremental"]);
    // What was downloaded is not needed again to know it.
    fs::remove_dir_all(near.sandbox.frostmirror_home().join("cache/crates")).unwrap();
    near.write_depends("third.toml", &[("a", "1.0.0"), ("c", "1.0.0")]);
    let before = near.fetch(&["--incremental", "-c", "third.toml"]);
    assert_eq!(licenses(&before)[..2], expected_licenses(&[("a 1.0.0", "MIT"), ("b 1.0.0", "Zlib")]));
    near.write_depends("depends.toml", &[("a", "2.0.0")]);
    near.write_depends("third.toml", &[("c", "1.0.0")]);
    near.fetch(&["--incremental", "-c", "third.toml"]);
    let after = near.fetch(&["--incremental"]);
    assert_eq!(licenses(&after)[..2], expected_licenses(&[("a 2.0.0", "AGPL-3.0"), ("b 1.0.0", "Zlib")]));
    let args = ["diff".as_ref(), before.as_os_str(), after.as_os_str()];
    near.sandbox.run(args).ok().stdout_has("AGPL-3.0 (was MIT)").stdout_lacks("no licence stated");
}

#[test]
fn licences_missing_in_an_older_history_come_from_the_cache() {
    let near = with_licenses();
    let history = near.sandbox.frostmirror_home().join("history/lineage.json");
    let forget = || {
        let mut state: Value = serde_json::from_slice(&fs::read(&history).unwrap()).unwrap();
        assert!(state.as_object_mut().unwrap().remove("told").is_some());
        fs::write(&history, state.to_string()).unwrap();
    };
    near.write_depends("depends.toml", &[("a", "1.0.0")]);
    let first = near.fetch(&["--incremental"]);
    forget();
    near.write_depends("depends.toml", &[("a", "1.0.0"), ("b", "1.0.0")]);
    let cached = near.fetch(&["--incremental"]);
    assert_eq!(licenses(&cached), expected_licenses(&[("a 1.0.0", "MIT"), ("b 1.0.0", "Zlib")]));

    forget();
    fs::remove_dir_all(near.sandbox.frostmirror_home().join("cache/crates")).unwrap();
    near.write_depends("depends.toml", &[("a", "1.0.0"), ("b", "1.0.0"), ("c", "1.0.0")]);
    let unknown = near.fetch(&["--incremental"]);
    assert_eq!(licenses(&unknown)[0].1, None);
    let output = near.sandbox.run(["inspect".as_ref(), unknown.as_os_str()]).ok();
    let line =
        |name: &str| output.stdout.lines().find(|line| line.starts_with(&format!("  {name} "))).unwrap().to_owned();
    assert!(line("a").contains("not known from this bundle"), "{}", output.stdout);
    assert!(line("c").contains("no licence stated"), "{}", output.stdout);

    // Neither way is it a change.
    near.write_depends("depends.toml", &[("a", "2.0.0"), ("b", "1.0.0"), ("c", "1.0.0")]);
    let next = near.fetch(&["--incremental"]);
    let diff = |old: &std::path::Path, new: &std::path::Path| {
        near.sandbox.run(["diff".as_ref(), old.as_os_str(), new.as_os_str()]).ok()
    };
    diff(&unknown, &next).stdout_has("  a  1.0.0 -> 2.0.0  ").stdout_has("AGPL-3.0").stdout_lacks("(was");
    diff(&next, &unknown).stdout_has("not known from this bundle").stdout_lacks("(was");
    diff(&first, &unknown).stdout_has("Added (2)").stdout_has("  b  1.0.0  ").stdout_has("not known from this bundle");
}
