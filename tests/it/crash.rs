//! Every command that changes a mirror, killed at every numbered step of its transactions, while a client reads from a server.
//!
//! After each kill, the files and what is served are consistent. The next process that takes the lock rolls the change back
//! or forward, and the mirror is then valid. A rerun ends in the state of a run without a kill. The output is a table:
//! `cargo test --test it crash:: -- --nocapture`.
//!
//! A collection on a full disk needs mounts and is in `full_disk`. A killed server in live mode is in `live` and
//! `live_dist`, and a killed export in `export` and `snapshot`.

mod reader;
pub mod victims;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use frostmirror::event::{Event, NullSink, Sink};
use frostmirror::mirror::audit::{audit, render_repair_list};
use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::lineages::LineageTip;
use frostmirror::mirror::live::LiveLineage;
use frostmirror::mirror::lock::{lock_for_adding, lock_for_collecting, lock_for_reading};
use frostmirror::mirror::summary::Counts;
use frostmirror::mirror::{ledger, retired};

use crate::bundle_builder::{assert_consistent, public_files, test_holder};
use crate::gc::assert_records_agree;
use crate::kill::stable_files;
use crate::support::sandbox::{RunningServer, Sandbox};
use crate::support::wait;
use reader::ServedFiles;
use victims::{VICTIMS, Victim};

/// The state of a mirror, without times.
#[derive(Debug, PartialEq, Eq)]
struct MirrorState {
    files: BTreeMap<String, Vec<u8>>,
    /// `None` if no record can be read.
    summary: Option<(Counts, Vec<LineageTip>, u64, Vec<String>)>,
    retirements: Vec<retired::Retirement>,
    live_items: BTreeSet<String>,
}

/// What the kills of one victim led to.
#[derive(Default)]
struct Row {
    steps: usize,
    rolled_back: usize,
    rolled_forward: usize,
}

/// Records the statuses that taking the lock reports.
#[derive(Default)]
struct StatusRecorder(Mutex<Vec<String>>);

impl Sink for StatusRecorder {
    fn event(&self, event: Event) {
        if let Event::Status { verb, message } = event {
            self.0.lock().unwrap().push(format!("{verb} {message}"));
        }
    }
}

#[test]
fn every_change_of_a_mirror_survives_a_kill_at_every_step() {
    let (next, rows) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(victim) = VICTIMS.get(next.fetch_add(1, Ordering::SeqCst)) {
                    let row = kill_at_every_step(victim);
                    rows.lock().unwrap().insert(victim.name, row);
                }
            });
        }
    });
    let rows = rows.into_inner().unwrap();
    print_table(&rows);
    for victim in VICTIMS {
        let row = &rows[victim.name];
        assert!(row.steps >= victim.min_steps, "{} has only {} steps", victim.name, row.steps);
        assert!(row.rolled_back >= 2 && row.rolled_forward >= 3, "{}", victim.name);
    }
}

#[expect(clippy::print_stdout, reason = "the table is an output of the test")]
fn print_table(rows: &BTreeMap<&str, Row>) {
    println!("{:<30} {:>5} {:>11} {:>14}", "command", "steps", "rolled back", "rolled forward");
    for victim in VICTIMS {
        let Row { steps, rolled_back, rolled_forward } = &rows[victim.name];
        println!("{:<30} {steps:>5} {rolled_back:>11} {rolled_forward:>14}", victim.name);
    }
}

fn kill_at_every_step(victim: &Victim) -> Row {
    let sandbox = Sandbox::new();
    let (prepared, mirror) = (sandbox.path("prepared"), sandbox.path("mirror"));
    (victim.prepare)(&sandbox, &prepared);
    copy_mirror(&prepared, &mirror);
    let before = MirrorState::read(&mirror);
    assert!(!victim.run(&sandbox, None), "{}: a run without a checkpoint is killed", victim.name);
    victim.verify(&sandbox);
    let after = MirrorState::read(&mirror);
    assert!(before != after, "{} changes nothing", victim.name);
    let mut row = Row::default();
    for step in 1.. {
        fs::remove_dir_all(&mirror).unwrap();
        copy_mirror(&prepared, &mirror);
        let round = || kill_at(victim, step, &sandbox, [&before, &after], &mut row);
        match catch_unwind(AssertUnwindSafe(round)) {
            Ok(true) => {}
            Ok(false) => break,
            Err(_) => panic!("that was {}, killed at commit:{step}", victim.name),
        }
    }
    row
}

/// Kills the victim at one step and lets it complete. Returns whether it has that step.
fn kill_at(victim: &Victim, step: usize, sandbox: &Sandbox, [before, after]: [&MirrorState; 2], row: &mut Row) -> bool {
    let mirror = sandbox.path("mirror");
    let layout = Layout::new(&mirror);
    let served = ServedFiles::of([&before.files, &after.files]);
    let serving = serve_settled(sandbox, &layout);
    let is_killed = served.read_during(serving.url(), || {
        if !victim.run(sandbox, Some(&format!("commit:{step}"))) {
            return false;
        }
        assert_torn_mirror(victim, sandbox, before, after);
        served.read_all(serving.url());

        let has_journal = layout.journal().exists();
        let statuses = take_next_lock(victim, sandbox, step);
        assert!(!layout.journal().exists(), "taking the lock completes the change");
        let completed = statuses.iter().find(|line| line.starts_with(&format!("Completed {}", victim.what)));
        assert_eq!(
            completed.is_some_and(|line| line.ends_with(", which was interrupted")),
            has_journal,
            "{statuses:?}"
        );
        served.read_all(serving.url());
        // As a server does at its start.
        let guard = lock_for_adding(&layout, Duration::ZERO, &test_holder(), &NullSink).unwrap();
        guard.remove_stale_partial_files().unwrap();
        drop(guard);
        let recovered = MirrorState::read(&mirror);
        row.steps += 1;
        if recovered == *before {
            row.rolled_back += 1;
        } else {
            recovered.assert_equals(after);
            row.rolled_forward += 1;
        }
        assert!(!has_journal || recovered != *before, "a change with a journal is rolled forward");
        if !victim.is_damaged || recovered == *after {
            assert_valid(victim, &mirror);
        }
        if recovered != *after {
            assert!(!victim.run(sandbox, None));
        }
        true
    });
    if is_killed {
        MirrorState::read(&mirror).assert_equals(after);
        assert_valid(victim, &mirror);
        assert_eq!(fs::read_dir(layout.staging()).unwrap().count(), 0, "files are left in staging/");
        ServedFiles::of([&after.files]).read_all(serving.url());
    }
    assert_eq!(serving.stop().code, 0);
    is_killed
}

/// Starts a server, and waits until it no longer takes the lock by itself: at its start, it removes unfinished downloads.
fn serve_settled(sandbox: &Sandbox, layout: &Layout) -> RunningServer {
    let serve = || sandbox.serve(["--mirror", "mirror"]);
    if !layout.live_partial().is_dir() {
        return serve();
    }
    let leftover = layout.live_partial().join("leftover");
    fs::write(&leftover, "").unwrap();
    let serving = serve();
    wait::until("the server has removed the leftover", || !leftover.exists());
    drop(lock_for_adding(layout, wait::LIMIT, &test_holder(), &NullSink).unwrap());
    serving
}

/// Takes the lock in one of four ways, and returns the reported statuses.
fn take_next_lock(victim: &Victim, sandbox: &Sandbox, step: usize) -> Vec<String> {
    let (layout, statuses) = (Layout::new(sandbox.path("mirror")), StatusRecorder::default());
    let (timeout, me) = (Duration::ZERO, test_holder());
    match step % 4 {
        0 => drop(lock_for_adding(&layout, timeout, &me, &statuses).unwrap()),
        1 => drop(lock_for_collecting(&layout, timeout, &me, &statuses).unwrap()),
        2 => drop(lock_for_reading(&layout, timeout, &me, &statuses).unwrap()),
        // A damaged mirror stays damaged if the change is rolled back.
        _ if victim.is_damaged => drop(lock_for_adding(&layout, timeout, &me, &statuses).unwrap()),
        _ => {
            let run = victim.verify(sandbox);
            return run.stderr.lines().map(|line| line.trim_start().to_owned()).collect();
        }
    }
    statuses.0.into_inner().unwrap()
}

/// What holds right after a kill.
fn assert_torn_mirror(victim: &Victim, sandbox: &Sandbox, before: &MirrorState, after: &MirrorState) {
    let mirror = sandbox.path("mirror");
    let status = sandbox.run(["status", "--mirror", "mirror"]);
    // A mirror that waits for a rebuild has lost records.
    assert!(status.code == 0 || victim.is_damaged && status.code == 4, "{}", status.describe());
    let torn = public_files(&mirror);
    for (path, old) in before.files.iter().filter(|(path, _)| is_public(path)) {
        let Some(new) = after.files.get(path) else { continue };
        let is = torn.get(path);
        assert!(is == Some(old) || is == Some(new), "{path} has other bytes than before and after, or is gone");
    }
    if victim.is_damaged {
        return;
    }
    assert_consistent(&mirror);
    let found = audit(&Layout::new(&mirror), &NullSink).unwrap();
    // What was being removed must not be fetched again.
    assert_eq!(render_repair_list(&found.repairs), "");
    let problems = victim.problems(&mirror);
    let has_journal = Layout::new(&mirror).journal().exists();
    assert_eq!(problems.iter().any(|problem| problem.contains("a command was killed")), has_journal, "{problems:?}");
    assert!(has_journal || problems.is_empty(), "{problems:?}");
}

/// The mirror is what `verify` accepts, with the right counts.
fn assert_valid(victim: &Victim, mirror: &Path) {
    if !victim.is_damaged && !victim.revokes_lines {
        return assert_records_agree(mirror);
    }
    // The number of a lost record is missing in the ledger.
    assert_consistent(mirror);
    let layout = Layout::new(mirror);
    let counts = ledger::read_summary(&layout).unwrap().unwrap().counts;
    assert_eq!(counts, Counts::count_tree(&layout).unwrap());
    let problems = victim.problems(mirror);
    assert!(problems.is_empty(), "{problems:#?}");
}

/// Whether clients see this file.
fn is_public(path: &str) -> bool {
    !path.starts_with(".frostmirror") && path != "manifest.json"
}

impl MirrorState {
    fn read(mirror: &Path) -> MirrorState {
        let layout = Layout::new(mirror);
        let mut files = stable_files(mirror);
        // Live mode's records state when something was stored.
        files.retain(|path, _| !path.starts_with(".frostmirror/live/"));
        let summary = ledger::read_summary(&layout).unwrap();
        let live = LiveLineage::read(&layout).unwrap();
        let retired = live.retired().map(|one| format!("retired {}", one.item));
        let current = live.current().map(|one| format!("{} {} {}", one.item, one.sha256, one.size));
        MirrorState {
            files,
            summary: summary.map(|summary| (summary.counts, summary.lineages, summary.imports, summary.toolchains)),
            retirements: retired::read_retirements(&layout).unwrap(),
            live_items: retired.chain(current).collect(),
        }
    }

    /// Panics with the names of the files that differ.
    fn assert_equals(&self, expected: &MirrorState) {
        let differs = |path: &&String| self.files.get(*path) != expected.files.get(*path);
        let names: BTreeSet<&String> = self.files.keys().chain(expected.files.keys()).filter(differs).collect();
        assert!(names.is_empty(), "these are not as after a run without a kill: {names:?}");
        let rest = |state: &MirrorState| format!("{:#?}", (&state.summary, &state.retirements, &state.live_items));
        assert_eq!(rest(self), rest(expected));
    }
}

fn copy_mirror(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}
