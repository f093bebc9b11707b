//! Toolchains in a snapshot: they are served there as they are here, and collected there as they are here.

use frostmirror::bundle::format::DistFileState;

use super::*;
use crate::import_dist_files::{HOST, full_bundle, toolchains};

const DROPPED: &str = "dist/2026-04-16/rust-docs-1.95.0-x86_64-unknown-linux-gnu.tar.xz";
const UNSTORED: &str = "dist/2026-04-16/rust-std-1.95.0-wasm32-unknown-unknown.tar.xz";

/// One history that moved to another release and dropped a component, one that stays with the older release, and
/// something that is kept and was never held.
fn source_with_toolchains(sandbox: &Sandbox) -> PathBuf {
    let folder = sandbox.path("bundles");
    fs::create_dir_all(&folder).unwrap();
    let newer = |sequence| full_bundle("a", sequence, "2026-04-16", "1.95.0", "1.29.0");
    let bundles = [
        full_bundle("a", 1, "2026-01-22", "1.93.0", "1.28.1").write(&folder, "a1.pkg"),
        newer(2).dist_file(DROPPED, "docs", DistFileState::Shipped).write(&folder, "a2.pkg"),
        newer(3).read_at(40).parent("a2.pkg").dist_file(UNSTORED, "std", DistFileState::Kept).write(&folder, "a3.pkg"),
        full_bundle("b", 7, "2026-03-05", "1.94.0", "1.28.2").read_at(30).write(&folder, "b7.pkg"),
    ];
    let mirror = sandbox.path("source");
    for bundle in bundles {
        import(&mirror, &bundle).unwrap();
    }
    mirror
}

fn dist_file_record(mirror: &Path) -> Vec<u8> {
    fs::read(mirror.join(".frostmirror/artifacts.json")).unwrap()
}

/// Both are the same to clients, to the next import, and to people.
fn assert_equivalent(target: &Path, source: &Path) {
    assert_eq!(public_files(target), public_files(source));
    assert_eq!(dist_file_record(target), dist_file_record(source));
    assert_eq!(toolchains(target), toolchains(source));
    assert_eq!(history_rows(target), history_rows(source));
    assert_eq!(summary(target).counts, summary(source).counts);
    assert_clean(target);
}

#[test]
fn a_redeployed_mirror_serves_and_keeps_the_same_toolchains() {
    let sandbox = Sandbox::new();
    let (source, target, third) = (source_with_toolchains(&sandbox), sandbox.path("target"), sandbox.path("third"));
    assert_eq!(toolchains(&source), ["1.93.0", "1.94.0", "stable (1.95.0)"]);
    let exported = export(&source, &sandbox.path("out"));
    let Manifest { dist_files: artifacts, carried_histories: carried, toolchains: stated, .. } = exported.manifest;
    assert_eq!(stated, toolchains(&source));
    let kept: Vec<_> = artifacts.iter().filter(|one| one.state == DistFileState::Kept).collect();
    assert_eq!(kept.iter().map(|one| one.path.as_str()).collect::<Vec<_>>(), [UNSTORED]);
    let mut named: Vec<_> = carried.iter().map(|one| (one.file.as_str(), one.dist_files.len())).collect();
    named.sort_unstable();
    assert_eq!(named, [("a3.pkg", 11), ("b7.pkg", 10)]);

    import(&target, &exported.path).unwrap();
    assert_equivalent(&target, &source);
    assert!(import(&target, &exported.path).unwrap().already_imported);
    import(&third, &export(&target, &sandbox.path("again")).path).unwrap();
    assert_equivalent(&third, &source);

    let all = [&source, &target, &third];
    all.iter().for_each(|mirror| run_gc(mirror, &[]));
    let stored = public_files(&source);
    assert!(!stored.contains_key(DROPPED) && !stored.keys().any(|path| path.contains("1.93.0")));
    assert!(stored.contains_key("dist/channel-rust-1.94.0.toml"));
    assert_equivalent(&target, &source);
    assert_equivalent(&third, &source);
    let a = BundleBuilder::new("a", 1).lineage().to_owned();
    all.iter().for_each(|mirror| run_gc(mirror, &[&a]));
    // `stable` stays what the history that was let go made of it, and is whole.
    assert!(public_files(&source).contains_key(&format!("dist/2026-04-16/cargo-1.95.0-{HOST}.tar.xz")));
    assert_equivalent(&target, &source);
    assert_equivalent(&third, &source);
    import(&sandbox.path("fourth"), &export(&source, &sandbox.path("last")).path).unwrap();
    run_gc(&sandbox.path("fourth"), &[]);
    assert_equivalent(&sandbox.path("fourth"), &source);
}

#[test]
fn later_bundles_give_the_same_toolchains_on_a_redeployed_mirror() {
    let sandbox = Sandbox::new();
    let (source, target) = (source_with_toolchains(&sandbox), sandbox.path("target"));
    import(&target, &export(&source, &sandbox.path("out")).path).unwrap();
    let folder = sandbox.path("bundles");
    let component = format!("dist/2026-04-16/cargo-1.95.0-{HOST}.tar.xz");
    let bytes = crate::import_dist_files::component_content("2026-04-16", "1.95.0");
    let delta =
        BundleBuilder::new("a", 4).read_at(60).parent("a3.pkg").dist_file(&component, bytes, DistFileState::Sent);
    let later = [
        full_bundle("c", 1, "2026-03-05", "1.94.0", "1.28.2").read_at(90).write(&folder, "c1.pkg"),
        delta.ship(Crate::new("b", "1.0.0")).write(&folder, "a4.pkg"),
        full_bundle("b", 8, "2026-05-28", "1.96.0", "1.30.0").read_at(95).write(&folder, "b8.pkg"),
    ];
    for bundle in later {
        import(&source, &bundle).unwrap();
        import(&target, &bundle).unwrap();
        assert_equivalent(&target, &source);
    }
    run_gc(&source, &[]);
    run_gc(&target, &[]);
    assert_equivalent(&target, &source);
}

#[test]
fn dist_files_without_a_history_are_kept_after_redeployment() {
    let sandbox = Sandbox::new();
    let (source, target) = (source_with_toolchains(&sandbox), sandbox.path("target"));
    for name in ledger::record_names(&Layout::new(&source)).unwrap() {
        fs::remove_file(source.join(".frostmirror/ledger").join(name)).unwrap();
    }
    fs::remove_file(source.join("manifest.json")).unwrap();
    sandbox.run(["verify", "--rebuild-state", "--mirror", "source"]).ok();
    let exported = export(&source, &sandbox.path("out"));
    assert_eq!(exported.manifest.lineage.inputs[0].dist_files.len(), record_count(&source));
    import(&target, &exported.path).unwrap();
    let before = public_files(&target);
    run_gc(&target, &[]);
    assert_eq!(public_files(&target), before);
    assert_eq!(public_files(&source), before);
    assert_clean(&target);
}

fn record_count(mirror: &Path) -> usize {
    let record: serde_json::Value = serde_json::from_slice(&dist_file_record(mirror)).unwrap();
    record["artifacts"].as_array().unwrap().len()
}

#[test]
fn a_mirror_with_only_toolchains_is_exported() {
    let sandbox = Sandbox::new();
    let (mirror, target) = (sandbox.path("source"), sandbox.path("target"));
    let make = crate::import_dist_files::add_stable_release(BundleBuilder::new("a", 1), "2026-04-16", "1.95.0");
    import(&mirror, &make.write(&sandbox.path(""), "a.pkg")).unwrap();
    import(&target, &export(&mirror, &sandbox.path("out")).path).unwrap();
    assert_equivalent(&target, &mirror);
}

#[test]
fn a_dist_file_that_differs_from_its_record_stops_the_export() {
    let sandbox = Sandbox::new();
    let mirror = source_with_toolchains(&sandbox);
    let output = |second| match export_at(&mirror, &sandbox.path("out"), second).unwrap_err() {
        Error::Damaged { problems, .. } => problems.to_string(),
        other => other.to_string(),
    };
    fs::write(mirror.join(DROPPED), "rots").unwrap();
    assert!(output(1).contains(DROPPED));
    fs::write(mirror.join(DROPPED), "longer than before").unwrap();
    assert!(output(2).contains(&format!("{DROPPED} has 18 bytes, but its record states 4")));
    fs::remove_file(mirror.join(DROPPED)).unwrap();
    assert!(output(3).contains(&format!("{DROPPED} is missing")));
    fs::write(mirror.join(".frostmirror/artifacts.json"), "{}").unwrap();
    assert!(output(4).contains("artifacts.json is damaged"));
    assert_eq!(fs::read_dir(sandbox.path("out")).map_or(0, Iterator::count), 0);
}
