//! Live mode's side of the disk, without a network: batches, what is refused of them, and kills at every checkpoint.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use frostmirror::crate_id::CrateId;
use frostmirror::digest::Sha256;
use frostmirror::event::Silent;
use frostmirror::index_line::IndexLine;
use frostmirror::mirror::head::Counts;
use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::live::{
    self, ARTIFACT_CHECKPOINTS, Arrival, ArrivedArtifact, CHECKPOINTS, Figures, PartialFile, Placed, Record, Renewal,
};
use frostmirror::mirror::lock::{AddGuard, lock_for_adding};

use crate::gc::{assert_agreement, held};
use crate::import_artifacts::{HOST, channel, component, text, toolchains};
use crate::import_bundle::{Make, assert_sound, at, everything, import, me, view};
use crate::support::crates::{Crate, Packed};

mod disturbed;
mod let_go;
mod random;
mod shipped;

pub fn adding(mirror: &Path) -> AddGuard {
    lock_for_adding(&Layout::new(mirror), Duration::ZERO, &me(), &Silent).unwrap()
}

/// A file in `live/partial/` with these bytes, as a server leaves it behind when it is killed.
fn partial(mirror: &Path, bytes: &[u8]) -> PathBuf {
    let layout = Layout::new(mirror);
    let file = PartialFile::create(&layout).unwrap();
    file.file().write_all(bytes).unwrap();
    let path = file.path().with_extension("left");
    fs::hard_link(file.path(), &path).unwrap();
    path
}

/// A crate that was fetched at that second.
pub fn arrival(mirror: &Path, packed: &Packed, second: i64) -> Arrival {
    let line = IndexLine::parse(&packed.line).unwrap();
    Arrival {
        id: CrateId::parse(&packed.name, &packed.version).unwrap(),
        sha256: Sha256::of(&packed.bytes),
        size: packed.bytes.len() as u64,
        file: partial(mirror, &packed.bytes),
        line,
        read: at(second),
    }
}

pub fn artifact(mirror: &Path, path: &str, bytes: &[u8], second: i64) -> ArrivedArtifact {
    ArrivedArtifact {
        path: path.parse().unwrap(),
        sha256: Sha256::of(bytes),
        size: bytes.len() as u64,
        file: partial(mirror, bytes),
        read: at(second),
    }
}

/// Places crates at that second.
pub fn place(mirror: &Path, crates: &[Crate], second: i64) -> Placed {
    let packed: Vec<Packed> = crates.iter().cloned().map(Crate::pack).collect();
    let arrivals = packed.iter().map(|one| arrival(mirror, one, second)).collect();
    adding(mirror).place_live(arrivals, Vec::new(), Vec::new(), at(second), &Silent).unwrap()
}

fn records(mirror: &Path) -> BTreeMap<String, Record> {
    let records = live::records(&Layout::new(mirror)).unwrap();
    records.into_iter().map(|record| (record.path().to_string(), record)).collect()
}

fn figures(mirror: &Path) -> Figures {
    let figures = live::figures(&Layout::new(mirror)).unwrap();
    let all = records(mirror);
    assert_eq!(figures.crates + figures.artifacts, all.len() as u64);
    assert_eq!(figures.bytes, all.values().map(|record| record.size).sum::<u64>());
    figures
}

/// Nothing waits, and nothing is under way.
fn assert_at_rest(mirror: &Path) {
    let layout = Layout::new(mirror);
    assert!(!layout.live_placing().exists());
    let left = fs::read_dir(layout.live_partial()).unwrap().count();
    assert_eq!(left, 0, "files are left in partial/");
    assert_eq!(fs::read_dir(layout.staging()).unwrap().count(), 0);
    figures(mirror);
}

#[test]
fn what_was_fetched_becomes_part_of_the_mirror() {
    let folder = tempfile::tempdir().unwrap();
    let mirror = folder.path().join("mirror");
    let placed = place(
        &mirror,
        &[
            Crate::new("serde", "1.0.0").dep("Json", "^1").description("makes things"),
            Crate::new("Json", "1.0.0").license("MIT"),
        ],
        5,
    );
    assert_eq!((placed.crates, placed.held, placed.refused.len()), (2, 0, 0));
    let names: Vec<&str> = placed.names.iter().map(|name| name.as_str()).collect();
    assert_eq!(names, ["Json", "serde"], "dependencies first");
    assert_eq!(placed.counts, Counts::of_tree(&Layout::new(&mirror)).unwrap());
    assert_agreement(&mirror);
    assert_at_rest(&mirror);
    assert!(mirror.join("crates/index/js/on/json").exists(), "through the link");
    let told = records(&mirror);
    assert_eq!(told["crates/serde-1.0.0.crate"].description.as_deref(), Some("makes things"));
    assert_eq!(told["crates/Json-1.0.0.crate"].license.as_deref(), Some("MIT"));
    assert_eq!(told["crates/Json-1.0.0.crate"].placed, at(5));
    assert_eq!(figures(&mirror).crates, 2);
    let id = live::id(&Layout::new(&mirror)).unwrap().unwrap();
    let again = place(&mirror, &[Crate::new("serde", "1.0.0").dep("Json", "^1").description("makes things")], 6);
    assert_eq!((again.crates, again.held, again.names.len()), (0, 1, 0));
    assert_eq!(live::id(&Layout::new(&mirror)).unwrap().unwrap(), id);
    assert_eq!(figures(&mirror).crates, 2);
    assert_agreement(&mirror);
    assert_at_rest(&mirror);
}

#[test]
fn one_that_contradicts_harms_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let mirror = folder.path().join("mirror");
    place(&mirror, &[Crate::new("a", "1.0.0"), Crate::new("b", "1.0.0").dep("a", "^1")], 1);
    let before = view(&mirror);
    let arrivals = [
        Crate::new("a", "1.0.0").description("other bytes").pack(),
        Crate::new("b", "1.0.0").pack(),
        Crate::new("A", "2.0.0").pack(),
        Crate::new("c", "1.0.0").pack(),
    ];
    let mut arrivals: Vec<Arrival> = arrivals.iter().map(|one| arrival(&mirror, one, 2)).collect();
    let mut lying = arrival(&mirror, &Crate::new("d", "1.0.0").pack(), 2);
    lying.sha256 = Sha256::of(b"");
    let gone = arrival(&mirror, &Crate::new("e", "1.0.0").pack(), 2);
    fs::remove_file(&gone.file).unwrap();
    arrivals.extend([lying, gone]);
    let placed = adding(&mirror).place_live(arrivals, Vec::new(), Vec::new(), at(2), &Silent).unwrap();
    let refused: BTreeSet<String> = placed.refused.iter().map(|one| one.what.to_string()).collect();
    assert_eq!(refused, ["A 2.0.0", "a 1.0.0", "b 1.0.0", "d 1.0.0", "e 1.0.0"].map(str::to_owned).into());
    assert_eq!(placed.crates, 1);
    let after = view(&mirror);
    assert!(before.iter().all(|(path, bytes)| after[path] == *bytes));
    assert_eq!(held(&mirror).1, ["a-1.0.0", "b-1.0.0", "c-1.0.0"].map(str::to_owned).into());
    assert_agreement(&mirror);
    assert_at_rest(&mirror);
}

#[test]
fn a_line_is_renewed_where_its_version_is_held() {
    let folder = tempfile::tempdir().unwrap();
    let mirror = folder.path().join("mirror");
    place(&mirror, &[Crate::new("a", "1.0.0"), Crate::new("b", "1.0.0")], 1);
    let renewal = |one: Crate, second| {
        let line = IndexLine::parse(&one.pack().line).unwrap();
        Renewal { line, read: at(second) }
    };
    let renewals = vec![
        renewal(Crate::new("a", "1.0.0").yanked(), 3),
        renewal(Crate::new("a", "1.0.1"), 3),
        renewal(Crate::new("nobody", "1.0.0"), 3),
        renewal(Crate::new("b", "1.0.0").dep("a", "^1"), 3),
    ];
    let placed = adding(&mirror).place_live(Vec::new(), renewals, Vec::new(), at(3), &Silent).unwrap();
    assert_eq!((placed.renewed, placed.names.len(), placed.refused.len()), (1, 1, 0));
    let line = fs::read_to_string(mirror.join("index/1/a")).unwrap();
    assert!(line.contains(r#""yanked":true"#) && line.lines().count() == 1, "{line}");
    // One that was read earlier moves nothing back.
    let old = vec![renewal(Crate::new("a", "1.0.0"), 2)];
    let placed = adding(&mirror).place_live(Vec::new(), old, Vec::new(), at(4), &Silent).unwrap();
    assert_eq!((placed.renewed, placed.names.len()), (0, 0));
    assert_agreement(&mirror);
}

#[test]
fn a_rotten_crate_is_mended() {
    let folder = tempfile::tempdir().unwrap();
    let mirror = folder.path().join("mirror");
    place(&mirror, &[Crate::new("a", "1.0.0"), Crate::new("b", "1.0.0")], 1);
    fs::write(mirror.join("crates/a-1.0.0.crate"), "rotten").unwrap();
    fs::remove_file(mirror.join("crates/b-1.0.0.crate")).unwrap();
    let placed = place(&mirror, &[Crate::new("a", "1.0.0"), Crate::new("b", "1.0.0")], 2);
    assert_eq!((placed.crates, placed.held), (2, 0));
    assert_agreement(&mirror);
    assert_at_rest(&mirror);
}

/// A batch over a mirror that an import filled: new crates that need each other, a version of a held one, one that is held,
/// a yank.
fn batch(mirror: &Path) -> (Vec<Arrival>, Vec<Renewal>) {
    let crates = [
        Crate::new("json", "1.0.1"),
        Crate::new("zeta", "1.0.0"),
        Crate::new("alpha", "1.0.0").dep("zeta", "^1").dep("json", "^1.0.1"),
        Crate::new("serde", "1.0.0").dep("json", "^1"),
    ];
    let arrivals = crates.into_iter().map(|one| arrival(mirror, &one.pack(), 20)).collect();
    let line = IndexLine::parse(&Crate::new("json", "1.0.0").yanked().pack().line).unwrap();
    (arrivals, vec![Renewal { line, read: at(20) }])
}

/// A mirror that took one bundle.
pub fn imported(folder: &Path, mirror: &Path) {
    let bundle = Make::new("a", 1)
        .ship(Crate::new("json", "1.0.0"))
        .ship(Crate::new("serde", "1.0.0").dep("json", "^1"))
        .write(folder, "one.pkg");
    import(mirror, &bundle).unwrap();
}

/// Where the test that is killed finds its mirror.
const VICTIM: &str = "FROSTMIRROR_TEST_LIVE_VICTIM";
/// Whether its batch has a toolchain.
const WITH_ARTIFACTS: &str = "FROSTMIRROR_TEST_LIVE_VICTIM_ARTIFACTS";

/// Places a batch. The test below runs this one in a process of its own, and kills it.
#[test]
fn a_batch_is_placed_whole() {
    let folder = tempfile::tempdir().unwrap();
    let mirror = match std::env::var_os(VICTIM) {
        Some(mirror) => PathBuf::from(mirror),
        None => {
            let mirror = folder.path().join("mirror");
            imported(folder.path(), &mirror);
            mirror
        }
    };
    let with_artifacts = std::env::var_os(WITH_ARTIFACTS).is_some();
    let (arrivals, renewals) = batch(&mirror);
    let artifacts = if with_artifacts { release(&mirror, "2026-04-16", "1.95.0", 20) } else { Vec::new() };
    let placed = adding(&mirror).place_live(arrivals, renewals, artifacts, at(20), &Silent).unwrap();
    assert_eq!((placed.crates, placed.held, placed.renewed), (3, 1, 1));
    assert_eq!(placed.artifacts > 0, with_artifacts);
    assert_whole(&mirror);
}

fn assert_whole(mirror: &Path) {
    let all = ["alpha-1.0.0", "json-1.0.0", "json-1.0.1", "serde-1.0.0", "zeta-1.0.0"].map(str::to_owned);
    let (files, listed) = held(mirror);
    assert_eq!((files, listed), (all.clone().into(), all.into()));
    assert!(fs::read_to_string(mirror.join("index/js/on/json")).unwrap().contains(r#""yanked":true"#));
    assert_eq!(figures(mirror).crates, 4);
    assert_at_rest(mirror);
    assert_agreement(mirror);
}

/// A stable release as live mode fetches it: the channel with its digest, the dated one, a component.
fn release(mirror: &Path, date: &str, version: &str, second: i64) -> Vec<ArrivedArtifact> {
    let text = channel(date, version);
    let digest = format!("{}  channel\n", Sha256::of(text.as_bytes()));
    let names = ["dist/channel-rust-stable.toml".to_owned(), format!("dist/{date}/channel-rust-stable.toml")];
    let mut files = vec![artifact(
        mirror,
        &format!("dist/{date}/cargo-{version}-{HOST}.tar.xz"),
        component(date, version).as_bytes(),
        second,
    )];
    for name in names {
        files.push(artifact(mirror, &name, text.as_bytes(), second));
        files.push(artifact(mirror, &format!("{name}.sha256"), digest.as_bytes(), second));
    }
    files
}

fn place_artifacts(mirror: &Path, artifacts: Vec<ArrivedArtifact>, second: i64) -> Placed {
    adding(mirror).place_live(Vec::new(), Vec::new(), artifacts, at(second), &Silent).unwrap()
}

/// A process that places a batch in `mirror`, and dies at that checkpoint.
pub fn killed_at(mirror: &Path, checkpoint: &str, with_artifacts: bool) {
    let mut victim = Command::new(std::env::current_exe().unwrap());
    victim.args(["--exact", "live_disk::a_batch_is_placed_whole", "--test-threads=1"]);
    victim.env(VICTIM, mirror).env("FROSTMIRROR_CRASH_AT", checkpoint);
    if with_artifacts {
        victim.env(WITH_ARTIFACTS, "1");
    }
    let died = victim.output().unwrap();
    let told = String::from_utf8_lossy(&died.stdout).into_owned();
    assert_eq!(died.status.signal(), Some(6), "no batch passes the checkpoint {checkpoint}: {told}");
}

/// A batch killed at each of these; afterwards the mirror is what it had been without.
fn killed_and_completed(checkpoints: impl Iterator<Item = &'static str>, with_artifacts: bool) {
    let folder = tempfile::tempdir().unwrap();
    for checkpoint in checkpoints {
        let mirror = folder.path().join(checkpoint.replace(':', "-"));
        let layout = Layout::new(&mirror);
        imported(folder.path(), &mirror);
        let before = view(&mirror);
        killed_at(&mirror, checkpoint, with_artifacts);
        assert_sound(&mirror);
        let torn = view(&mirror);
        for path in before.keys().filter(|path| !path.starts_with("index/")) {
            assert_eq!(torn.get(path), before.get(path), "{checkpoint}: {path}");
        }
        let is_logged = !["live:staged", "live:done"].contains(&checkpoint);
        assert_eq!(layout.live_placing().exists(), is_logged, "{checkpoint}");
        let mut guard = adding(&mirror);
        assert_eq!(guard.finish_live(&Silent).unwrap(), None, "taking the lock did it");
        guard.sweep_partial().unwrap();
        if checkpoint == "live:staged" {
            assert_eq!(torn, before, "nothing is placed without a log");
            let (arrivals, renewals) = batch(&mirror);
            guard.place_live(arrivals, renewals, Vec::new(), at(20), &Silent).unwrap();
        } else if checkpoint == "live:done" {
            fs::remove_dir_all(layout.staging()).unwrap();
            fs::create_dir(layout.staging()).unwrap();
        }
        drop(guard);
        assert_whole(&mirror);
        if with_artifacts && checkpoint != "live:staged" {
            assert_eq!(toolchains(&mirror), ["stable (2026-04-16)"], "{checkpoint}");
            assert_eq!(figures(&mirror).artifacts, 5);
        }
    }
}

#[test]
fn killed_at_any_checkpoint_the_mirror_is_sound_and_the_next_lock_completes_it() {
    killed_and_completed(CHECKPOINTS.iter().copied(), false);
}

#[test]
fn killed_while_it_places_a_toolchain_it_is_completed_too() {
    killed_and_completed(ARTIFACT_CHECKPOINTS.iter().copied(), true);
}

#[test]
fn channels_move_as_one_and_never_back() {
    let folder = tempfile::tempdir().unwrap();
    let mirror = folder.path().join("mirror");
    let placed = place_artifacts(&mirror, release(&mirror, "2026-04-16", "1.95.0", 1), 1);
    assert_eq!((placed.artifacts, placed.refused.len(), placed.left.len()), (5, 0, 0));
    assert_eq!(toolchains(&mirror), ["stable (2026-04-16)"]);
    assert_eq!(figures(&mirror).artifacts, 5);
    let placed = place_artifacts(&mirror, release(&mirror, "2026-05-28", "1.96.0", 2), 2);
    assert_eq!((placed.artifacts, placed.left.len()), (5, 0));
    assert_eq!(figures(&mirror).artifacts, 8, "the channel and its digest are known by the same paths");
    // An older one that was under way stays out, with its digest; what is dated and lost is mended.
    let lost = format!("dist/2026-04-16/cargo-1.95.0-{HOST}.tar.xz");
    fs::remove_file(mirror.join(&lost)).unwrap();
    let placed = place_artifacts(&mirror, release(&mirror, "2026-04-16", "1.95.0", 3), 3);
    assert_eq!((placed.artifacts, placed.left.len()), (1, 2));
    assert!(text(&mirror, "dist/channel-rust-stable.toml").contains("1.96.0"));
    assert_eq!(text(&mirror, &lost), component("2026-04-16", "1.95.0"));
    assert_agreement(&mirror);
    assert_at_rest(&mirror);
}

#[test]
fn an_artifact_that_cannot_be_used_harms_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let mirror = folder.path().join("mirror");
    let path = format!("dist/2026-04-16/cargo-1.95.0-{HOST}.tar.xz");
    place_artifacts(&mirror, vec![artifact(&mirror, &path, b"right", 1)], 1);
    let artifacts = vec![
        artifact(&mirror, &path, b"wrong", 2),
        artifact(&mirror, "dist/channel-rust-stable.toml", b"no manifest", 2),
        artifact(&mirror, "dist/channel-rust-stable.toml.sha256", b"no digest", 2),
        artifact(&mirror, "crates/a-1.0.0.crate", b"no crate", 2),
        artifact(&mirror, "dist/2026-04-16/rustc.tar.xz", b"rustc", 2),
    ];
    let placed = place_artifacts(&mirror, artifacts, 2);
    let refused: Vec<String> = placed.refused.iter().map(|one| one.what.to_string()).collect();
    assert_eq!(refused.len(), 4, "{refused:?}");
    assert_eq!(placed.artifacts, 1);
    assert_eq!(text(&mirror, &path), "right");
    assert!(!mirror.join("dist/channel-rust-stable.toml").exists());
    assert_agreement(&mirror);
    assert_at_rest(&mirror);
}

#[test]
fn one_more_crate_touches_as_many_files_in_any_mirror() {
    let folder = tempfile::tempdir().unwrap();
    let touched = |crates: usize| {
        let mirror = folder.path().join(crates.to_string());
        let before: Vec<Crate> = (0..crates).map(|n| Crate::new(&format!("crate-{n}"), "1.0.0")).collect();
        place(&mirror, &before, 1);
        let tree = everything(&mirror);
        place(&mirror, &[Crate::new("new", "1.0.0").dep("crate-0", "^1")], 2);
        let after = everything(&mirror);
        assert!(tree.keys().all(|path| after.contains_key(path)));
        let changed = after.into_iter().filter(|(path, bytes)| tree.get(path) != Some(bytes));
        // Of the records only the end is new.
        changed.map(|(path, bytes)| (path.clone(), tree.get(&path).is_some_and(|was| bytes.starts_with(was)))).collect()
    };
    let (few, many): (BTreeMap<String, bool>, BTreeMap<String, bool>) = (touched(1), touched(200));
    assert_eq!(few, many);
    assert!(few[".frostmirror/live/records"], "it is only appended to");
}
