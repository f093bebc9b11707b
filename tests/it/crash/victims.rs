//! What is killed: everything that changes a mirror, each with the mirror that it finds.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use frostmirror::event::NullSink;
use frostmirror::mirror::audit::{Fault, Problem, audit};
use frostmirror::mirror::gc;
use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::ledger;
use frostmirror::mirror::lock::{WriteGuard, lock_for_collecting};

use crate::bundle_builder::{BundleBuilder, import, test_holder, test_time};
use crate::gc::sequence_jumps::bundle_argument;
use crate::gc::stored_and_indexed_crates;
use crate::import_dist_files::{full_bundle, toolchains};
use crate::live_store::{adding, import_base, mixed_batch, stable_release, store_crates};
use crate::snapshot::{export, source_mirror};
use crate::support::crates::Crate;
use crate::support::process::{Run, SIGABRT};
use crate::support::sandbox::Sandbox;
use crate::support::server_fixture::MirrorTree;

/// Where a test that is killed finds its mirror.
const VICTIM_MIRROR_VAR: &str = "FROSTMIRROR_TEST_CRASH_MIRROR";

/// A change of a mirror, to be killed.
pub struct Victim {
    pub name: &'static str,
    /// Makes the mirror that it finds.
    pub prepare: fn(&Sandbox, &Path),
    action: Action,
    /// The beginning of the transaction's name in messages.
    pub what: &'static str,
    /// The least number of steps that it must have.
    pub min_steps: usize,
    /// Whether the mirror is damaged before, so that an audit finds problems.
    pub is_damaged: bool,
    /// Whether an audit names lines afterwards that only a rejected bundle confirms.
    pub revokes_lines: bool,
}

/// How it is run.
enum Action {
    /// A command on the mirror `mirror`.
    Command(&'static [&'static str]),
    /// A test of this binary on the mirror in [`VICTIM_MIRROR_VAR`].
    Test(&'static str),
}

impl Victim {
    const fn new(name: &'static str, prepare: fn(&Sandbox, &Path), action: Action, min_steps: usize) -> Victim {
        let what = "the import of ";
        Victim { name, prepare, action, what, min_steps, is_damaged: false, revokes_lines: false }
    }

    const fn what(self, what: &'static str) -> Victim {
        Victim { what, ..self }
    }

    const fn revoking_lines(self) -> Victim {
        Victim { revokes_lines: true, ..self }
    }

    /// Audits the mirror in the sandbox.
    pub fn verify(&self, sandbox: &Sandbox) -> Run {
        let run = sandbox.run(["verify", "--mirror", "mirror"]);
        if self.revokes_lines && run.code == 4 {
            return run.stdout_has("may be that of a rejected bundle").stderr_has("error: 1 problem");
        }
        run.ok()
    }

    /// The problems of the mirror, without the expected ones.
    pub fn problems(&self, mirror: &Path) -> Vec<String> {
        let found = audit(&Layout::new(mirror), &NullSink).unwrap().problems;
        let is_expected =
            |problem: &&Problem| self.revokes_lines && matches!(problem.fault, Fault::RejectedLine { .. });
        found.iter().filter(|problem| !is_expected(problem)).map(ToString::to_string).collect()
    }

    const fn damaged(self) -> Victim {
        Victim { is_damaged: true, ..self }
    }

    /// Runs it on `mirror` in the sandbox, with a kill at a checkpoint if one is given. Returns whether it was killed.
    pub fn run(&self, sandbox: &Sandbox, checkpoint: Option<&str>) -> bool {
        match &self.action {
            Action::Command(args) => {
                let crash = checkpoint.map(|checkpoint| ("FROSTMIRROR_CRASH_AT", checkpoint));
                let ended = sandbox.process(*args).envs(crash).run();
                if ended.code != SIGABRT {
                    ended.ok();
                    return false;
                }
                true
            }
            Action::Test(name) => run_test(name, &sandbox.path("mirror"), checkpoint),
        }
    }
}

/// Runs a test of this file on a mirror in a process of its own. Returns whether it was killed.
fn run_test(name: &str, mirror: &Path, checkpoint: Option<&str>) -> bool {
    let mut process = Command::new(std::env::current_exe().unwrap());
    process.args(["--exact", &format!("crash::victims::{name}"), "--test-threads=1"]);
    process.env(VICTIM_MIRROR_VAR, mirror).envs(checkpoint.map(|checkpoint| ("FROSTMIRROR_CRASH_AT", checkpoint)));
    let ended = process.output().unwrap();
    let output = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert!(ended.status.success() || ended.status.signal() == Some(6), "{name}: {output}");
    assert!(output.contains("running 1 test"), "{name}: {output}");
    !ended.status.success()
}

/// Stores a batch of live mode with a toolchain in `mirror`, killed at a checkpoint.
pub fn kill_live_batch(mirror: &Path, checkpoint: &str) {
    assert!(run_test("a_live_batch_with_a_toolchain_is_stored", mirror, Some(checkpoint)), "it passes {checkpoint}");
}

const GC: &str = "the garbage collection";
const REBUILD: &str = "the rebuild of the mirror's records";
const BATCH: &str = "live mode's batch of ";
const REBUILD_COMMAND: Action = Action::Command(&["verify", "--mirror", "mirror", "--rebuild-state"]);

/// All of them.
pub const VICTIMS: &[Victim] = &[
    Victim::new("first import", with_empty_mirror, Action::Command(&["import", "two.pkg", "--mirror", "mirror"]), 17),
    Victim::new(
        "import",
        with_first_bundle,
        Action::Command(&["import", "two.pkg", "--mirror", "mirror", "--base-url", "http://h"]),
        19,
    ),
    Victim::new(
        "import of dist files",
        with_old_release,
        Action::Command(&["import", "new.pkg", "--mirror", "mirror"]),
        15,
    ),
    Victim::new(
        "import of a snapshot",
        with_snapshot_beside,
        Action::Command(&[
            "import",
            "snapshot.pkg",
            "--mirror",
            "mirror",
            "--config-dir",
            "none",
            "--base-url",
            "http://h",
        ]),
        13,
    ),
    Victim::new(
        "import of a repair",
        with_damaged_files,
        Action::Command(&["import", "repair.pkg", "--mirror", "mirror"]),
        5,
    )
    .damaged(),
    Victim::new("gc", with_three_bundles, Action::Command(&["gc", "--grace", "0", "--mirror", "mirror"]), 17).what(GC),
    Victim::new(
        "gc with a grace period",
        with_three_bundles,
        Action::Command(&["gc", "--grace", "1h", "--mirror", "mirror"]),
        5,
    )
    .what(GC),
    Victim::new(
        "gc of dist files",
        with_both_releases,
        Action::Command(&["gc", "--grace", "0", "--mirror", "mirror"]),
        9,
    )
    .what(GC),
    Victim::new("gc --forget", with_three_bundles, Action::Test("a_lineage_is_retired"), 21).what(GC),
    Victim::new(
        "gc --forget live",
        with_live_crates,
        Action::Command(&["gc", "--mirror", "mirror", "--forget", "live", "--grace", "0"]),
        13,
    )
    .what(GC),
    Victim::new("gc --reject", with_forged_bundle, Action::Test("a_bundle_is_rejected"), 8).what(GC).revoking_lines(),
    Victim::new("eviction", with_live_crates, Action::Test("live_crates_are_evicted"), 10).what(GC),
    Victim::new("live batch", with_live_crate, Action::Test("a_live_batch_is_stored"), 15).what(BATCH),
    Victim::new(
        "live batch with a toolchain",
        with_live_crate,
        Action::Test("a_live_batch_with_a_toolchain_is_stored"),
        21,
    )
    .what(BATCH),
    Victim::new("rebuild", without_summary_and_line_records, Action::Test("a_lost_summary_is_rebuilt"), 6)
        .what(REBUILD)
        .damaged(),
    Victim::new("rebuild of a lost record", with_damaged_record, Action::Test("lost_records_are_rebuilt"), 8)
        .what(REBUILD)
        .damaged(),
    Victim::new("rebuild of dist files", without_dist_file_record, REBUILD_COMMAND, 5).what(REBUILD).damaged(),
    Victim::new("repair of the index", with_unknown_crate, REBUILD_COMMAND, 5).what(REBUILD).damaged(),
];

fn write_and_import(sandbox: &Sandbox, mirror: &Path, bundle: BundleBuilder, name: &str) {
    import(mirror, &bundle.write(&sandbox.path(""), name)).unwrap();
}

/// It refreshes a line, adds versions, and adds crates that need each other.
fn write_second_bundle(sandbox: &Sandbox) -> PathBuf {
    BundleBuilder::new("a", 2)
        .ship(Crate::new("json", "1.0.0").yanked())
        .ship(Crate::new("json", "1.0.1"))
        .ship(Crate::new("serde", "1.0.1").dep("json", "^1.0.1").dep("zeta", "^1"))
        .ship(Crate::new("alpha", "1.0.0").dep("zeta", "^1"))
        .ship(Crate::new("zeta", "1.0.0"))
        .write(&sandbox.path(""), "two.pkg")
}

fn with_empty_mirror(sandbox: &Sandbox, mirror: &Path) {
    drop(adding(mirror));
    write_second_bundle(sandbox);
}

fn with_first_bundle(sandbox: &Sandbox, mirror: &Path) {
    import_base(&sandbox.path(""), mirror);
    write_second_bundle(sandbox);
}

fn with_old_release(sandbox: &Sandbox, mirror: &Path) {
    write_and_import(sandbox, mirror, full_bundle("a", 1, "2026-03-05", "1.94.0", "1.28.2"), "old.pkg");
    full_bundle("a", 2, "2026-04-16", "1.95.0", "1.29.0").write(&sandbox.path(""), "new.pkg");
}

/// A mirror whose history moved from one stable release to the next.
fn with_both_releases(sandbox: &Sandbox, mirror: &Path) {
    with_old_release(sandbox, mirror);
    import(mirror, &sandbox.path("new.pkg")).unwrap();
}

fn with_snapshot_beside(sandbox: &Sandbox, mirror: &Path) {
    let source = source_mirror(sandbox);
    fs::rename(export(&source, &sandbox.path("out")).path, sandbox.path("snapshot.pkg")).unwrap();
    write_and_import(sandbox, mirror, BundleBuilder::new("c", 1).ship(Crate::new("own", "1.0.0")), "own.pkg");
}

/// A mirror with a corrupt crate, and the bundle that repairs it.
fn with_damaged_files(sandbox: &Sandbox, mirror: &Path) {
    import_base(&sandbox.path(""), mirror);
    fs::write(mirror.join("crates/json-1.0.0.crate"), "corrupt").unwrap();
    BundleBuilder::new("a", 2).repair().ship(Crate::new("json", "1.0.0")).write(&sandbox.path(""), "repair.pkg");
}

/// A history that no longer needs three crates, and another history.
fn with_three_bundles(sandbox: &Sandbox, mirror: &Path) {
    let base = Crate::new("base", "1.0.0");
    let top = Crate::new("top", "1.0.1").dep("base", "^1");
    let first = BundleBuilder::new("a", 1)
        .ship(base.clone())
        .ship(Crate::new("base", "1.1.0"))
        .ship(Crate::new("middle", "1.0.0").dep("base", "^1.1"))
        .ship(Crate::new("top", "1.0.0").dep("middle", "^1").dep("base", "^1"))
        .ship(top.clone());
    let third = BundleBuilder::new("b", 1).ship(Crate::new("round", "1.0.0").dep("trip", "^1"));
    write_and_import(sandbox, mirror, first, "1.pkg");
    write_and_import(sandbox, mirror, BundleBuilder::new("a", 2).ship(base).ship(top), "2.pkg");
    write_and_import(sandbox, mirror, third.ship(Crate::new("trip", "1.0.0")), "3.pkg");
}

/// A history of two bundles, and one with a number far above that its sender did not write.
fn with_forged_bundle(sandbox: &Sandbox, mirror: &Path) {
    let genuine = |number| {
        let crates = (1..=number).map(|number| Crate::new(&format!("c{number}"), "1.0.0"));
        crates.fold(BundleBuilder::new("a", number), BundleBuilder::ship)
    };
    write_and_import(sandbox, mirror, genuine(1), "1.pkg");
    write_and_import(sandbox, mirror, genuine(2), "2.pkg");
    let forged =
        BundleBuilder::new("a", 1000).ship(Crate::new("forged", "1.0.0")).ship(Crate::new("c2", "1.0.0").yanked());
    write_and_import(sandbox, mirror, forged.ship(Crate::new("c1", "9.0.0")), "forged.pkg");
}

/// A mirror of a bundle, into which live mode stored one crate.
fn with_live_crate(sandbox: &Sandbox, mirror: &Path) {
    import_base(&sandbox.path(""), mirror);
    store_crates(mirror, &[Crate::new("early", "1.0.0")], 10);
}

/// A mirror of a bundle, into which live mode stored several crates.
fn with_live_crates(sandbox: &Sandbox, mirror: &Path) {
    import_base(&sandbox.path(""), mirror);
    store_crates(mirror, &[Crate::new("json", "1.0.0"), Crate::new("live", "1.0.0").dep("zeta", "^1")], 10);
    store_crates(mirror, &[Crate::new("zeta", "1.0.0")], 20);
}

fn with_two_bundles(sandbox: &Sandbox, mirror: &Path) {
    with_first_bundle(sandbox, mirror);
    import(mirror, &sandbox.path("two.pkg")).unwrap();
}

fn without_summary_and_line_records(sandbox: &Sandbox, mirror: &Path) {
    with_two_bundles(sandbox, mirror);
    fs::remove_dir_all(mirror.join(".frostmirror/lines")).unwrap();
    fs::write(mirror.join("manifest.json"), "{").unwrap();
}

/// A mirror whose records are damaged, among them that of its newest import.
fn with_damaged_record(sandbox: &Sandbox, mirror: &Path) {
    without_summary_and_line_records(sandbox, mirror);
    let layout = Layout::new(mirror);
    let newest = ledger::record_names(&layout).unwrap().pop().unwrap();
    fs::write(layout.ledger().join(newest), "{").unwrap();
}

fn without_dist_file_record(sandbox: &Sandbox, mirror: &Path) {
    with_both_releases(sandbox, mirror);
    fs::remove_file(mirror.join(".frostmirror/artifacts.json")).unwrap();
}

/// A mirror with a crate, and its index line, that no import brought.
fn with_unknown_crate(sandbox: &Sandbox, mirror: &Path) {
    import_base(&sandbox.path(""), mirror);
    MirrorTree::at(mirror).add_crate(Crate::new("unknown", "1.0.0"));
}

/// Runs `change` on the mirror of the environment, or on one of its own.
fn on_victim_mirror(prepare: fn(&Sandbox, &Path), change: impl FnOnce(&Path)) {
    if let Some(mirror) = std::env::var_os(VICTIM_MIRROR_VAR) {
        return change(&PathBuf::from(mirror));
    }
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    prepare(&sandbox, &mirror);
    change(&mirror);
    sandbox.run(["verify", "--mirror", "mirror"]).ok();
}

fn collecting(mirror: &Path) -> WriteGuard {
    lock_for_collecting(&Layout::new(mirror), Duration::ZERO, &test_holder(), &NullSink).unwrap()
}

fn collect(mirror: &Path, retire: Vec<String>, reject: Vec<String>) -> gc::GcReport {
    let options = gc::Options { grace: Duration::ZERO, retire, accept: Vec::new(), reject, now: test_time(2000) };
    collecting(mirror).plan(&options).unwrap().execute(&NullSink).unwrap()
}

#[test]
fn a_lineage_is_retired() {
    on_victim_mirror(with_three_bundles, |mirror| {
        let other = BundleBuilder::new("b", 1).lineage().to_owned();
        assert_eq!(collect(mirror, vec![other], Vec::new()).crates, 5);
    });
}

#[test]
fn a_bundle_is_rejected() {
    on_victim_mirror(with_forged_bundle, |mirror| {
        assert_eq!(collect(mirror, Vec::new(), vec![bundle_argument(mirror, 1000)]).crates, 2);
        // The line of the forged bundle stays until the genuine one is imported again.
        if std::env::var_os(VICTIM_MIRROR_VAR).is_none() {
            import(mirror, &mirror.with_file_name("2.pkg")).unwrap();
        }
    });
}

fn store_batch(mirror: &Path, with_toolchain: bool) {
    let (arrivals, renewals) = mixed_batch(mirror);
    let dist_files = if with_toolchain { stable_release(mirror, "2026-04-16", "1.95.0", 20) } else { Vec::new() };
    let stored = adding(mirror).store_live(arrivals, renewals, dist_files, test_time(20), &NullSink).unwrap();
    assert_eq!((stored.crates, stored.already_stored, stored.updated_lines), (3, 1, 1));
    assert_eq!(stored.dist_files, if with_toolchain { 5 } else { 0 });
    let all =
        ["alpha-1.0.0", "early-1.0.0", "json-1.0.0", "json-1.0.1", "serde-1.0.0", "zeta-1.0.0"].map(str::to_owned);
    assert_eq!(stored_and_indexed_crates(mirror), (all.clone().into(), all.into()));
    assert!(fs::read_to_string(mirror.join("index/js/on/json")).unwrap().contains(r#""yanked":true"#));
    assert_eq!(toolchains(mirror), if with_toolchain { &["stable (2026-04-16)"][..] } else { &[] });
}

#[test]
fn a_live_batch_is_stored() {
    on_victim_mirror(with_live_crate, |mirror| store_batch(mirror, false));
}

#[test]
fn a_live_batch_with_a_toolchain_is_stored() {
    on_victim_mirror(with_live_crate, |mirror| store_batch(mirror, true));
}

#[test]
fn live_crates_are_evicted() {
    on_victim_mirror(with_live_crates, |mirror| {
        let evicted = collecting(mirror).evict_live(0, &BTreeMap::new(), test_time(100), &NullSink).unwrap();
        assert_eq!((evicted.crates, evicted.remaining_bytes), (2, 0));
        let left = ["json-1.0.0", "serde-1.0.0"].map(str::to_owned);
        assert_eq!(stored_and_indexed_crates(mirror), (left.clone().into(), left.into()));
    });
}

#[test]
fn a_lost_summary_is_rebuilt() {
    on_victim_mirror(without_summary_and_line_records, |mirror| {
        adding(mirror).rebuild(test_time(50), &NullSink).unwrap();
    });
}

#[test]
fn lost_records_are_rebuilt() {
    on_victim_mirror(with_damaged_record, |mirror| {
        adding(mirror).rebuild(test_time(50), &NullSink).unwrap();
    });
}
