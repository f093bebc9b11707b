//! Rounds in which a process that changes a mirror is killed at a random moment, while others read the mirror.
//!
//! A round begins with a fresh copy of a prepared mirror, a server over it, the real cargo that fetches and builds in a
//! loop what stays current, and a client of our own that compares every current file with what it must be. Then the
//! victim starts, gets SIGKILL after a part of the time that it takes undisturbed, and is run again to its end. Readers
//! see nothing of all that, and the mirror ends as if the victim had not been disturbed.

mod readers;
mod victims;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::ledger;
use frostmirror::mirror::lineages::LineageTip;
use frostmirror::mirror::summary::Counts;
use rustix::process::Signal;

use crate::bundle_builder::{all_files, assert_consistent};
use crate::support::sandbox::Sandbox;
use readers::{Projects, Readers, ServedFiles};
use victims::{Victim, all_victims};

/// What a victim was doing when it was killed, as its mirror shows.
pub const PHASES: [&str; 5] = ["starting", "staging", "placing", "placed", "ended"];

const SIGKILL: i32 = 128 + 9;

/// How many rounds of what size.
pub struct KillPlan {
    /// Rounds; the victims take turns.
    pub rounds: usize,
    /// Where the moments of the kills come from.
    pub seed: u64,
    /// Names in the mirror; a bundle has some four crates for each.
    pub names: usize,
    /// Rounds without a kill for each victim, of which the median is what it takes undisturbed.
    pub baseline_rounds: usize,
}

/// How the rounds of one victim went.
pub struct VictimResult {
    pub victim: &'static str,
    /// What it takes undisturbed, among the same readers.
    pub baseline: Duration,
    /// Kills by what was going on, as in [`PHASES`].
    pub kills: [usize; PHASES.len()],
    /// Runs of cargo, all of them good.
    pub cargo_runs: u64,
    /// Files that our client read, all of them right.
    pub files_read: u64,
}

/// Numbers from a seed: SplitMix64.
struct SeededRandom(u64);

/// What the rounds share.
struct KillFixture {
    sandbox: Sandbox,
    projects: Projects,
}

/// What must be the same whether a run was killed before or not: all files but those that tell times, and what those
/// say beside that; and what an export made, with the names of everything beside it.
#[derive(Debug, PartialEq, Eq)]
struct MirrorState {
    files: BTreeMap<String, Vec<u8>>,
    counts: Counts,
    lineages: Vec<LineageTip>,
    imports: u64,
    exported: BTreeMap<String, Vec<u8>>,
    entries_beside: BTreeSet<OsString>,
}

/// The time that an export tells.
const EXPORT_TIME: [(&str, &str); 1] = [("SOURCE_DATE_EPOCH", "1790000000")];

/// How one round went.
struct RoundResult {
    duration: Duration,
    /// Which of [`PHASES`], where there was a kill.
    phase: usize,
    cargo_runs: u64,
    files_read: u64,
}

/// Runs all rounds; the first that does not go as it must is a panic that tells which it was.
pub fn run_all(plan: &KillPlan) -> Vec<VictimResult> {
    let sandbox = Sandbox::new();
    let victims = all_victims(&sandbox, plan.names);
    let projects = Projects::create(&sandbox, &victims[0].prepared_mirror, plan.names);
    let arena = KillFixture { sandbox, projects };
    let mut dice = SeededRandom(plan.seed);
    let mut sides = Vec::new();
    for victim in &victims {
        let [before, after] = arena.expected_states(victim);
        let current = ServedFiles::common_to(&before.files, &after.files, victim.removes_crates);
        assert!(before != after, "{} does nothing", victim.name);
        let mut times: Vec<Duration> = (0..plan.baseline_rounds)
            .map(|_| {
                arena
                    .run_round(victim, &current, [&before, &after], dice.below(Duration::from_millis(300)), None)
                    .duration
            })
            .collect();
        times.sort();
        let undisturbed = times[times.len() / 2];
        let tally = VictimResult {
            victim: victim.name,
            baseline: undisturbed,
            kills: [0; PHASES.len()],
            cargo_runs: 0,
            files_read: 0,
        };
        sides.push((victim, before, after, current, tally));
    }
    for n in 0..plan.rounds {
        let at = n % sides.len();
        let (victim, before, after, current, tally) = &mut sides[at];
        let (pause, delay) = (dice.below(Duration::from_millis(300)), dice.below(tally.baseline));
        let round = || arena.run_round(victim, current, [before, after], pause, Some(delay));
        let Ok(round) = catch_unwind(AssertUnwindSafe(round)) else {
            panic!("that was round {n} of seed {}: {}, killed after {delay:?}", plan.seed, victim.name)
        };
        tally.kills[round.phase] += 1;
        tally.cargo_runs += round.cargo_runs;
        tally.files_read += round.files_read;
    }
    sides.into_iter().map(|(.., tally)| tally).collect()
}

impl KillFixture {
    /// The state before, and the state after a run without readers and kills.
    fn expected_states(&self, victim: &Victim) -> [MirrorState; 2] {
        self.copy_mirror(&victim.prepared_mirror);
        let before = self.state();
        self.sandbox.process(&victim.args).envs(EXPORT_TIME).run().ok();
        let after = self.state();
        self.reset();
        [before, after]
    }

    fn state(&self) -> MirrorState {
        let head = ledger::read_summary(&Layout::new(self.sandbox.path("mirror"))).unwrap().unwrap();
        let beside = fs::read_dir(self.sandbox.path("")).unwrap();
        MirrorState {
            files: stable_files(&self.sandbox.path("mirror")),
            counts: head.counts,
            lineages: head.lineages,
            imports: head.imports,
            exported: all_files(&self.sandbox.path("out")),
            entries_beside: beside.map(|entry| entry.unwrap().file_name()).collect(),
        }
    }

    /// Takes away what an export had made before it was killed, which is whole if it is there at all.
    fn remove_export(&self, whole: &MirrorState) {
        let made = all_files(&self.sandbox.path("out"));
        if made.keys().any(|path| !path.starts_with('.')) {
            assert!(made == whole.exported, "what was made is not whole: {:?}", made.keys());
            fs::remove_dir_all(self.sandbox.path("out")).unwrap();
        }
    }

    fn reset(&self) {
        for name in ["mirror", "out"] {
            let path = self.sandbox.path(name);
            if path.exists() {
                fs::remove_dir_all(path).unwrap();
            }
        }
    }

    /// One round, with a kill after `delay` or with none.
    fn run_round(
        &self,
        victim: &Victim,
        current: &ServedFiles,
        [before, after]: [&MirrorState; 2],
        pause: Duration,
        delay: Option<Duration>,
    ) -> RoundResult {
        let mirror = self.copy_mirror(&victim.prepared_mirror);
        let serving = self.sandbox.serve(["--mirror", "mirror"]);
        let (took, phase, [cargo, files]) = Readers::run_during(serving.url(), current, &self.projects, |readers| {
            // So that a kill meets the readers at any point of what they do.
            std::thread::sleep(pause);
            let started = Instant::now();
            let running = self.sandbox.process(&victim.args).envs(EXPORT_TIME).start();
            let Some(delay) = delay else {
                running.wait(Duration::from_secs(120)).ok();
                return (started.elapsed(), 0);
            };
            std::thread::sleep(delay.saturating_sub(started.elapsed()));
            running.signal(Signal::KILL);
            let died = running.wait(Duration::from_secs(60));
            let took = started.elapsed();
            assert!([0, SIGKILL].contains(&died.code), "{}", died.describe());
            let phase = if died.code == 0 { PHASES.len() - 1 } else { self.phase_of(before, after) };
            assert_consistent(&mirror);
            self.sandbox.run(["status", "--mirror", "mirror"]).ok();
            readers.wait_for_pass();
            self.remove_export(after);
            self.sandbox.process(&victim.args).envs(EXPORT_TIME).run().ok();
            (took, phase)
        });
        assert!(serving.stop().code == 0);
        self.state().assert_equals(after);
        assert_consistent(&mirror);
        assert_eq!(self.staged_files(), 0, "something is left in staging");
        self.sandbox.run(["verify", "--mirror", "mirror"]).ok();
        self.reset();
        RoundResult { duration: took, phase, cargo_runs: cargo, files_read: files }
    }

    /// What was going on, from what is there.
    fn phase_of(&self, before: &MirrorState, after: &MirrorState) -> usize {
        let state = self.state();
        let begun =
            MirrorState { exported: BTreeMap::new(), entries_beside: before.entries_beside.clone(), ..self.state() };
        match () {
            () if state == *after => 3,
            () if begun != *before => 2,
            () if state != *before || self.staged_files() > 0 => 1,
            () => 0,
        }
    }

    fn staged_files(&self) -> usize {
        fs::read_dir(Layout::new(self.sandbox.path("mirror")).staging()).map_or(0, Iterator::count)
    }

    /// The prepared mirror's copy, where the victims look for it.
    fn copy_mirror(&self, prepared: &Path) -> PathBuf {
        let mirror = self.sandbox.path("mirror");
        let copied = Command::new("cp").arg("-a").args([prepared, &mirror]).status().unwrap();
        assert!(copied.success());
        mirror
    }
}

/// Every file, but for those that tell when something was done: of these, the names.
pub fn stable_files(mirror: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = all_files(mirror);
    files.retain(|path, _| !path.starts_with(".frostmirror/staging/") && path != ".frostmirror/holder");
    for (path, bytes) in &mut files {
        let timed = ["ledger/", "forgotten/", "removals", "reserve"]
            .iter()
            .any(|name| path.starts_with(&format!(".frostmirror/{name}")));
        if timed || path == "manifest.json" {
            bytes.clear();
        }
    }
    files
}

impl MirrorState {
    /// Panics with the names of the files that differ.
    fn assert_equals(&self, expected: &MirrorState) {
        for (is, must) in [(&self.files, &expected.files), (&self.exported, &expected.exported)] {
            let differ = |path: &&String| is.get(*path) != must.get(*path);
            let names: BTreeSet<&String> = is.keys().chain(must.keys()).filter(differ).collect();
            assert!(names.is_empty(), "these are not as after an undisturbed run: {names:?}");
        }
        assert_eq!(self.entries_beside, expected.entries_beside);
        assert_eq!(
            (&self.counts, &self.lineages, self.imports),
            (&expected.counts, &expected.lineages, expected.imports)
        );
    }
}

impl SeededRandom {
    fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A time from nothing to less than `limit`.
    fn below(&mut self, limit: Duration) -> Duration {
        let nanos = u64::try_from(limit.as_nanos()).unwrap().max(1);
        Duration::from_nanos(self.next_u64() % nanos)
    }
}
