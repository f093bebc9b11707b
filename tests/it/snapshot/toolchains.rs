//! Toolchains in a snapshot: they are served there as they are here, and collected there as they are here.

use frostmirror::bundle::format::ArtifactState;

use super::*;
use crate::import_artifacts::{HOST, toolchains, whole};

const DROPPED: &str = "dist/2026-04-16/rust-docs-1.95.0-x86_64-unknown-linux-gnu.tar.xz";
const ELSEWHERE: &str = "dist/2026-04-16/rust-std-1.95.0-wasm32-unknown-unknown.tar.xz";

/// One history that moved to another release and dropped a component, one that stays with the older release, and
/// something that is kept and was never held.
fn source(sandbox: &Sandbox) -> PathBuf {
    let folder = sandbox.path("bundles");
    fs::create_dir_all(&folder).unwrap();
    let newer = |sequence| whole("a", sequence, "2026-04-16", "1.95.0", "1.29.0");
    let bundles = [
        whole("a", 1, "2026-01-22", "1.93.0", "1.28.1").write(&folder, "a1.pkg"),
        newer(2).artifact(DROPPED, "docs", ArtifactState::Shipped).write(&folder, "a2.pkg"),
        newer(3).read(40).parent("a2.pkg").artifact(ELSEWHERE, "std", ArtifactState::Kept).write(&folder, "a3.pkg"),
        whole("b", 7, "2026-03-05", "1.94.0", "1.28.2").read(30).write(&folder, "b7.pkg"),
    ];
    let mirror = sandbox.path("source");
    for bundle in bundles {
        import(&mirror, &bundle).unwrap();
    }
    mirror
}

fn record(mirror: &Path) -> Vec<u8> {
    fs::read(mirror.join(".frostmirror/artifacts.json")).unwrap()
}

/// Both are the same to clients, to the next import, and to people.
fn assert_same(target: &Path, source: &Path) {
    assert_eq!(view(target), view(source));
    assert_eq!(record(target), record(source));
    assert_eq!(toolchains(target), toolchains(source));
    assert_eq!(histories(target), histories(source));
    assert_eq!(head(target).counts, head(source).counts);
    assert_clean(target);
}

#[test]
fn a_redeployed_mirror_offers_the_same_toolchains_and_keeps_the_same() {
    let sandbox = Sandbox::new();
    let (source, target, third) = (source(&sandbox), sandbox.path("target"), sandbox.path("third"));
    assert_eq!(toolchains(&source), ["1.93.0", "1.94.0", "stable (1.95.0)"]);
    let exported = export(&source, &sandbox.path("out"));
    let Manifest { artifacts, carried, toolchains: stated, .. } = exported.manifest;
    assert_eq!(stated, toolchains(&source));
    let kept: Vec<_> = artifacts.iter().filter(|one| one.state == ArtifactState::Kept).collect();
    assert_eq!(kept.iter().map(|one| one.path.as_str()).collect::<Vec<_>>(), [ELSEWHERE]);
    let mut named: Vec<_> = carried.iter().map(|one| (one.file.as_str(), one.artifacts.len())).collect();
    named.sort_unstable();
    assert_eq!(named, [("a3.pkg", 11), ("b7.pkg", 10)]);

    import(&target, &exported.path).unwrap();
    assert_same(&target, &source);
    assert!(import(&target, &exported.path).unwrap().already);
    import(&third, &export(&target, &sandbox.path("again")).path).unwrap();
    assert_same(&third, &source);

    let all = [&source, &target, &third];
    all.iter().for_each(|mirror| collect(mirror, &[]));
    let held = view(&source);
    assert!(!held.contains_key(DROPPED) && !held.keys().any(|path| path.contains("1.93.0")));
    assert!(held.contains_key("dist/channel-rust-1.94.0.toml"));
    assert_same(&target, &source);
    assert_same(&third, &source);
    let a = Make::new("a", 1).lineage().to_owned();
    all.iter().for_each(|mirror| collect(mirror, &[&a]));
    // `stable` stays what the history that was let go made of it, and is whole.
    assert!(view(&source).contains_key(&format!("dist/2026-04-16/cargo-1.95.0-{HOST}.tar.xz")));
    assert_same(&target, &source);
    assert_same(&third, &source);
    import(&sandbox.path("fourth"), &export(&source, &sandbox.path("last")).path).unwrap();
    collect(&sandbox.path("fourth"), &[]);
    assert_same(&sandbox.path("fourth"), &source);
}

#[test]
fn what_comes_later_goes_the_same_way_as_at_home() {
    let sandbox = Sandbox::new();
    let (source, target) = (source(&sandbox), sandbox.path("target"));
    import(&target, &export(&source, &sandbox.path("out")).path).unwrap();
    let folder = sandbox.path("bundles");
    let component = format!("dist/2026-04-16/cargo-1.95.0-{HOST}.tar.xz");
    let bytes = crate::import_artifacts::component("2026-04-16", "1.95.0");
    let delta = Make::new("a", 4).read(60).parent("a3.pkg").artifact(&component, bytes, ArtifactState::Sent);
    let later = [
        whole("c", 1, "2026-03-05", "1.94.0", "1.28.2").read(90).write(&folder, "c1.pkg"),
        delta.ship(Crate::new("b", "1.0.0")).write(&folder, "a4.pkg"),
        whole("b", 8, "2026-05-28", "1.96.0", "1.30.0").read(95).write(&folder, "b8.pkg"),
    ];
    for bundle in later {
        import(&source, &bundle).unwrap();
        import(&target, &bundle).unwrap();
        assert_same(&target, &source);
    }
    collect(&source, &[]);
    collect(&target, &[]);
    assert_same(&target, &source);
}

#[test]
fn what_no_history_claims_is_kept_there_as_here() {
    let sandbox = Sandbox::new();
    let (source, target) = (source(&sandbox), sandbox.path("target"));
    for name in ledger::names(&Layout::new(&source)).unwrap() {
        fs::remove_file(source.join(".frostmirror/ledger").join(name)).unwrap();
    }
    fs::remove_file(source.join("manifest.json")).unwrap();
    let exported = export(&source, &sandbox.path("out"));
    assert_eq!(exported.manifest.lineage.inputs[0].artifacts.len(), record_count(&source));
    import(&target, &exported.path).unwrap();
    let before = view(&target);
    collect(&target, &[]);
    assert_eq!(view(&target), before);
    assert_eq!(view(&source), before);
    assert_clean(&target);
}

fn record_count(mirror: &Path) -> usize {
    let record: serde_json::Value = serde_json::from_slice(&record(mirror)).unwrap();
    record["artifacts"].as_array().unwrap().len()
}

#[test]
fn a_toolchain_without_crates_is_exported_too() {
    let sandbox = Sandbox::new();
    let (mirror, target) = (sandbox.path("source"), sandbox.path("target"));
    let make = crate::import_artifacts::stable(Make::new("a", 1), "2026-04-16", "1.95.0");
    import(&mirror, &make.write(&sandbox.path(""), "a.pkg")).unwrap();
    import(&target, &export(&mirror, &sandbox.path("out")).path).unwrap();
    assert_same(&target, &mirror);
}

#[test]
fn what_is_not_as_on_record_stops_the_export_by_its_name() {
    let sandbox = Sandbox::new();
    let mirror = source(&sandbox);
    let said = |second| match export_at(&mirror, &sandbox.path("out"), second).unwrap_err() {
        Error::Damaged { problems, .. } => problems.to_string(),
        other => other.to_string(),
    };
    fs::write(mirror.join(DROPPED), "rots").unwrap();
    assert!(said(1).contains(DROPPED));
    fs::write(mirror.join(DROPPED), "longer than before").unwrap();
    assert!(said(2).contains(&format!("{DROPPED} has 18 bytes, and 4 are on record")));
    fs::remove_file(mirror.join(DROPPED)).unwrap();
    assert!(said(3).contains(&format!("{DROPPED} is missing")));
    fs::write(mirror.join(".frostmirror/artifacts.json"), "{}").unwrap();
    assert!(said(4).contains("artifacts.json is damaged"));
    assert_eq!(fs::read_dir(sandbox.path("out")).map_or(0, Iterator::count), 0);
}
