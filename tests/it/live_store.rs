//! Live mode's side of the disk, without a network: batches, and what is refused of them. `crash` kills batches at every step.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use frostmirror::crate_id::CrateId;
use frostmirror::digest::Sha256;
use frostmirror::event::NullSink;
use frostmirror::index_line::IndexLine;
use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::live::{
    FetchedCrate, FetchedDistFile, IndexUpdate, LiveLineage, LiveRecord, LiveTotals, PartialFile, StoreOutcome,
};
use frostmirror::mirror::lock::{WriteGuard, lock_for_adding};
use frostmirror::mirror::summary::Counts;

use crate::bundle_builder::{BundleBuilder, all_files, import, public_files, test_holder, test_time};
use crate::gc::{assert_records_agree, stored_and_indexed_crates};
use crate::import_dist_files::{HOST, channel_manifest, component_content, read_text, toolchains};
use crate::support::crates::{Crate, PackedCrate};

mod interrupted;
mod forgetting;
mod random;
mod snapshot;

pub fn adding(mirror: &Path) -> WriteGuard {
    lock_for_adding(&Layout::new(mirror), Duration::ZERO, &test_holder(), &NullSink).unwrap()
}

/// A file in `live/partial/` with these bytes, as a server leaves it behind when it is killed.
fn write_partial(mirror: &Path, bytes: &[u8]) -> PathBuf {
    let layout = Layout::new(mirror);
    let file = PartialFile::create(&layout).unwrap();
    file.file().write_all(bytes).unwrap();
    let path = file.path().with_extension("left");
    fs::hard_link(file.path(), &path).unwrap();
    path
}

/// A crate that was fetched at that second.
pub fn fetched_crate(mirror: &Path, packed: &PackedCrate, second: i64) -> FetchedCrate {
    let line = IndexLine::parse(&packed.line).unwrap();
    FetchedCrate {
        id: CrateId::parse(&packed.name, &packed.version).unwrap(),
        sha256: Sha256::of(&packed.bytes),
        size: packed.bytes.len() as u64,
        file: write_partial(mirror, &packed.bytes),
        line,
        read_at: test_time(second),
    }
}

pub fn fetched_dist_file(mirror: &Path, path: &str, bytes: &[u8], second: i64) -> FetchedDistFile {
    FetchedDistFile {
        path: path.parse().unwrap(),
        sha256: Sha256::of(bytes),
        size: bytes.len() as u64,
        file: write_partial(mirror, bytes),
        read_at: test_time(second),
    }
}

/// Places crates at that second.
pub fn store_crates(mirror: &Path, crates: &[Crate], second: i64) -> StoreOutcome {
    let packed: Vec<PackedCrate> = crates.iter().cloned().map(Crate::pack).collect();
    let arrivals = packed.iter().map(|one| fetched_crate(mirror, one, second)).collect();
    adding(mirror).store_live(arrivals, Vec::new(), Vec::new(), test_time(second), &NullSink).unwrap()
}

fn live_lineage(mirror: &Path) -> LiveLineage {
    LiveLineage::read(&Layout::new(mirror)).unwrap()
}

fn retired_items(mirror: &Path) -> Vec<String> {
    live_lineage(mirror).retired().map(|record| record.item.to_string()).collect()
}

fn records(mirror: &Path) -> BTreeMap<String, LiveRecord> {
    live_lineage(mirror).current().cloned().map(|record| (record.item.path().to_string(), record)).collect()
}

fn live_metrics(mirror: &Path) -> LiveTotals {
    let figures = LiveTotals::read(&Layout::new(mirror)).unwrap();
    let all = records(mirror);
    assert_eq!(figures.crates + figures.dist_files, all.len() as u64);
    assert_eq!(figures.bytes, all.values().map(|record| record.size).sum::<u64>());
    figures
}

/// Nothing waits, and nothing is under way.
fn assert_no_pending_work(mirror: &Path) {
    let layout = Layout::new(mirror);
    assert!(!layout.journal().exists());
    let left = fs::read_dir(layout.live_partial()).unwrap().count();
    assert_eq!(left, 0, "files are left in partial/");
    assert_eq!(fs::read_dir(layout.staging()).unwrap().count(), 0);
    live_metrics(mirror);
}

#[test]
fn fetched_crates_become_part_of_the_mirror() {
    let folder = tempfile::tempdir().unwrap();
    let mirror = folder.path().join("mirror");
    let placed = store_crates(
        &mirror,
        &[
            Crate::new("serde", "1.0.0").dep("Json", "^1").description("makes things"),
            Crate::new("Json", "1.0.0").license("MIT"),
        ],
        5,
    );
    assert_eq!((placed.crates, placed.already_stored, placed.rejected.len()), (2, 0, 0));
    let names: Vec<&str> = placed.changed_names.iter().map(|name| name.as_str()).collect();
    assert_eq!(names, ["Json", "serde"], "dependencies first");
    assert_eq!(placed.counts, Counts::count_tree(&Layout::new(&mirror)).unwrap());
    assert_records_agree(&mirror);
    assert_no_pending_work(&mirror);
    assert!(mirror.join("crates/index/js/on/json").exists(), "through the link");
    let output = records(&mirror);
    assert_eq!(output["crates/serde-1.0.0.crate"].description.as_deref(), Some("makes things"));
    assert_eq!(output["crates/Json-1.0.0.crate"].license.as_deref(), Some("MIT"));
    assert_eq!(output["crates/Json-1.0.0.crate"].stored_at, test_time(5));
    assert_eq!(live_metrics(&mirror).crates, 2);
    let id = live_lineage(&mirror).id.unwrap();
    let again = store_crates(&mirror, &[Crate::new("serde", "1.0.0").dep("Json", "^1").description("makes things")], 6);
    assert_eq!((again.crates, again.already_stored, again.changed_names.len()), (0, 1, 0));
    assert_eq!(live_lineage(&mirror).id.unwrap(), id);
    assert_eq!(live_metrics(&mirror).crates, 2);
    assert_records_agree(&mirror);
    assert_no_pending_work(&mirror);
}

#[test]
fn a_conflicting_crate_does_not_affect_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let mirror = folder.path().join("mirror");
    store_crates(&mirror, &[Crate::new("a", "1.0.0"), Crate::new("b", "1.0.0").dep("a", "^1")], 1);
    let before = public_files(&mirror);
    let arrivals = [
        Crate::new("a", "1.0.0").description("other bytes").pack(),
        Crate::new("b", "1.0.0").pack(),
        Crate::new("A", "2.0.0").pack(),
        Crate::new("c", "1.0.0").pack(),
    ];
    let mut arrivals: Vec<FetchedCrate> = arrivals.iter().map(|one| fetched_crate(&mirror, one, 2)).collect();
    let mut lying = fetched_crate(&mirror, &Crate::new("d", "1.0.0").pack(), 2);
    lying.sha256 = Sha256::of(b"");
    let gone = fetched_crate(&mirror, &Crate::new("e", "1.0.0").pack(), 2);
    fs::remove_file(&gone.file).unwrap();
    arrivals.extend([lying, gone]);
    let placed = adding(&mirror).store_live(arrivals, Vec::new(), Vec::new(), test_time(2), &NullSink).unwrap();
    let refused: BTreeSet<String> = placed.rejected.iter().map(|one| one.item.to_string()).collect();
    assert_eq!(refused, ["A 2.0.0", "a 1.0.0", "b 1.0.0", "d 1.0.0", "e 1.0.0"].map(str::to_owned).into());
    assert_eq!(placed.crates, 1);
    let after = public_files(&mirror);
    assert!(before.iter().all(|(path, bytes)| after[path] == *bytes));
    assert_eq!(stored_and_indexed_crates(&mirror).1, ["a-1.0.0", "b-1.0.0", "c-1.0.0"].map(str::to_owned).into());
    assert_records_agree(&mirror);
    assert_no_pending_work(&mirror);
}

#[test]
fn an_index_line_is_updated_only_for_a_stored_version() {
    let folder = tempfile::tempdir().unwrap();
    let mirror = folder.path().join("mirror");
    store_crates(&mirror, &[Crate::new("a", "1.0.0"), Crate::new("b", "1.0.0")], 1);
    let renewal = |one: Crate, second| {
        let line = IndexLine::parse(&one.pack().line).unwrap();
        IndexUpdate { line, read_at: test_time(second) }
    };
    let renewals = vec![
        renewal(Crate::new("a", "1.0.0").yanked(), 3),
        renewal(Crate::new("a", "1.0.1"), 3),
        renewal(Crate::new("nobody", "1.0.0"), 3),
        renewal(Crate::new("b", "1.0.0").dep("a", "^1"), 3),
    ];
    let placed = adding(&mirror).store_live(Vec::new(), renewals, Vec::new(), test_time(3), &NullSink).unwrap();
    assert_eq!((placed.updated_lines, placed.changed_names.len(), placed.rejected.len()), (1, 1, 0));
    let line = fs::read_to_string(mirror.join("index/1/a")).unwrap();
    assert!(line.contains(r#""yanked":true"#) && line.lines().count() == 1, "{line}");
    // One that was read earlier moves nothing back.
    let old = vec![renewal(Crate::new("a", "1.0.0"), 2)];
    let placed = adding(&mirror).store_live(Vec::new(), old, Vec::new(), test_time(4), &NullSink).unwrap();
    assert_eq!((placed.updated_lines, placed.changed_names.len()), (0, 0));
    assert_records_agree(&mirror);
}

#[test]
fn upstreams_line_replaces_a_stored_one_that_contradicts_its_crate() {
    for (is_update, has_record) in [(true, false), (false, false), (true, true)] {
        let folder = tempfile::tempdir().unwrap();
        let mirror = folder.path().join("mirror");
        let genuine = Crate::new("a", "1.0.0").pack();
        store_crates(&mirror, &[Crate::new("a", "1.0.0")], 1);
        let altered = Crate::new("a", "1.0.0").dep("evil", "^1").cksum(&genuine.cksum).pack().line;
        fs::write(mirror.join("index/1/a"), format!("{altered}\n")).unwrap();
        let records = mirror.join(".frostmirror/lines/1/a");
        if has_record {
            let digest = |line: &str| Sha256::of(line.as_bytes()).to_string();
            let text = fs::read_to_string(&records).unwrap();
            fs::write(&records, text.replace(&digest(&genuine.line), &digest(&altered))).unwrap();
        } else {
            fs::remove_file(&records).unwrap();
        }
        let line = IndexLine::parse(&genuine.line).unwrap();
        let placed = if is_update {
            let updates = vec![IndexUpdate { line, read_at: test_time(3) }];
            adding(&mirror).store_live(Vec::new(), updates, Vec::new(), test_time(3), &NullSink).unwrap()
        } else {
            store_crates(&mirror, &[Crate::new("a", "1.0.0")], 3)
        };
        assert_eq!((placed.changed_names.len(), placed.rejected.len()), (1, 0), "{is_update} {has_record}");
        assert_eq!(fs::read_to_string(mirror.join("index/1/a")).unwrap(), format!("{}\n", genuine.line));
        assert_records_agree(&mirror);
    }
}

#[test]
fn a_corrupt_crate_is_repaired() {
    let folder = tempfile::tempdir().unwrap();
    let mirror = folder.path().join("mirror");
    store_crates(&mirror, &[Crate::new("a", "1.0.0"), Crate::new("b", "1.0.0")], 1);
    fs::write(mirror.join("crates/a-1.0.0.crate"), "rotten").unwrap();
    fs::remove_file(mirror.join("crates/b-1.0.0.crate")).unwrap();
    let placed = store_crates(&mirror, &[Crate::new("a", "1.0.0"), Crate::new("b", "1.0.0")], 2);
    assert_eq!((placed.crates, placed.already_stored), (2, 0));
    assert_records_agree(&mirror);
    assert_no_pending_work(&mirror);
}

/// A batch over a mirror that an import filled: new crates that need each other, a version of a held one, one that is held,
/// a yank.
pub fn mixed_batch(mirror: &Path) -> (Vec<FetchedCrate>, Vec<IndexUpdate>) {
    let crates = [
        Crate::new("json", "1.0.1"),
        Crate::new("zeta", "1.0.0"),
        Crate::new("alpha", "1.0.0").dep("zeta", "^1").dep("json", "^1.0.1"),
        Crate::new("serde", "1.0.0").dep("json", "^1"),
    ];
    let arrivals = crates.into_iter().map(|one| fetched_crate(mirror, &one.pack(), 20)).collect();
    let line = IndexLine::parse(&Crate::new("json", "1.0.0").yanked().pack().line).unwrap();
    (arrivals, vec![IndexUpdate { line, read_at: test_time(20) }])
}

/// A mirror that took one bundle.
pub fn import_base(folder: &Path, mirror: &Path) {
    let bundle = BundleBuilder::new("a", 1)
        .ship(Crate::new("json", "1.0.0"))
        .ship(Crate::new("serde", "1.0.0").dep("json", "^1"))
        .write(folder, "one.pkg");
    import(mirror, &bundle).unwrap();
}

/// A stable release as live mode fetches it: the channel with its digest, the dated one, a component.
pub fn stable_release(mirror: &Path, date: &str, version: &str, second: i64) -> Vec<FetchedDistFile> {
    let text = channel_manifest(date, version);
    let digest = format!("{}  channel\n", Sha256::of(text.as_bytes()));
    let names = ["dist/channel-rust-stable.toml".to_owned(), format!("dist/{date}/channel-rust-stable.toml")];
    let mut files = vec![fetched_dist_file(
        mirror,
        &format!("dist/{date}/cargo-{version}-{HOST}.tar.xz"),
        component_content(date, version).as_bytes(),
        second,
    )];
    for name in names {
        files.push(fetched_dist_file(mirror, &name, text.as_bytes(), second));
        files.push(fetched_dist_file(mirror, &format!("{name}.sha256"), digest.as_bytes(), second));
    }
    files
}

fn store_dist_files(mirror: &Path, artifacts: Vec<FetchedDistFile>, second: i64) -> StoreOutcome {
    adding(mirror).store_live(Vec::new(), Vec::new(), artifacts, test_time(second), &NullSink).unwrap()
}

#[test]
fn channel_files_move_together_and_never_back() {
    let folder = tempfile::tempdir().unwrap();
    let mirror = folder.path().join("mirror");
    let placed = store_dist_files(&mirror, stable_release(&mirror, "2026-04-16", "1.95.0", 1), 1);
    assert_eq!((placed.dist_files, placed.rejected.len(), placed.skipped.len()), (5, 0, 0));
    assert_eq!(toolchains(&mirror), ["stable (2026-04-16)"]);
    assert_eq!(live_metrics(&mirror).dist_files, 5);
    let placed = store_dist_files(&mirror, stable_release(&mirror, "2026-05-28", "1.96.0", 2), 2);
    assert_eq!((placed.dist_files, placed.skipped.len()), (5, 0));
    assert_eq!(live_metrics(&mirror).dist_files, 8, "the channel and its digest are known by the same paths");
    // An older one that was under way stays out, with its digest; what is dated and lost is mended.
    let lost = format!("dist/2026-04-16/cargo-1.95.0-{HOST}.tar.xz");
    fs::remove_file(mirror.join(&lost)).unwrap();
    let placed = store_dist_files(&mirror, stable_release(&mirror, "2026-04-16", "1.95.0", 3), 3);
    assert_eq!((placed.dist_files, placed.skipped.len()), (1, 2));
    assert!(read_text(&mirror, "dist/channel-rust-stable.toml").contains("1.96.0"));
    assert_eq!(read_text(&mirror, &lost), component_content("2026-04-16", "1.95.0"));
    assert_records_agree(&mirror);
    assert_no_pending_work(&mirror);
}

#[test]
fn an_invalid_dist_file_does_not_affect_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let mirror = folder.path().join("mirror");
    let path = format!("dist/2026-04-16/cargo-1.95.0-{HOST}.tar.xz");
    store_dist_files(&mirror, vec![fetched_dist_file(&mirror, &path, b"right", 1)], 1);
    let artifacts = vec![
        fetched_dist_file(&mirror, &path, b"wrong", 2),
        fetched_dist_file(&mirror, "dist/channel-rust-stable.toml", b"no manifest", 2),
        fetched_dist_file(&mirror, "dist/channel-rust-stable.toml.sha256", b"no digest", 2),
        fetched_dist_file(&mirror, "crates/a-1.0.0.crate", b"no crate", 2),
        fetched_dist_file(&mirror, "dist/2026-04-16/rustc.tar.xz", b"rustc", 2),
    ];
    let placed = store_dist_files(&mirror, artifacts, 2);
    let refused: Vec<String> = placed.rejected.iter().map(|one| one.item.to_string()).collect();
    assert_eq!(refused.len(), 4, "{refused:?}");
    assert_eq!(placed.dist_files, 1);
    assert_eq!(read_text(&mirror, &path), "right");
    assert!(!mirror.join("dist/channel-rust-stable.toml").exists());
    assert_records_agree(&mirror);
    assert_no_pending_work(&mirror);
}

#[test]
fn storing_a_crate_touches_a_constant_number_of_files() {
    let folder = tempfile::tempdir().unwrap();
    let touched = |crates: usize| {
        let mirror = folder.path().join(crates.to_string());
        let before: Vec<Crate> = (0..crates).map(|n| Crate::new(&format!("crate-{n}"), "1.0.0")).collect();
        store_crates(&mirror, &before, 1);
        let tree = all_files(&mirror);
        store_crates(&mirror, &[Crate::new("new", "1.0.0").dep("crate-0", "^1")], 2);
        let after = all_files(&mirror);
        assert!(tree.keys().all(|path| after.contains_key(path)));
        let changed = after.into_iter().filter(|(path, bytes)| tree.get(path) != Some(bytes));
        // Of the records only the end is new.
        changed.map(|(path, bytes)| (path.clone(), tree.get(&path).is_some_and(|was| bytes.starts_with(was)))).collect()
    };
    let (few, many): (BTreeMap<String, bool>, BTreeMap<String, bool>) = (touched(1), touched(200));
    assert_eq!(few, many);
    assert!(few[".frostmirror/live/records"], "it is only appended to");
}
