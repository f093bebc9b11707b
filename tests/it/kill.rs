//! Rounds in which a process that changes a mirror is killed at a random moment, while others read the mirror.
//!
//! A round begins with a fresh copy of a prepared mirror, a server over it, the real cargo that fetches and builds in a
//! loop what stays current, and a client of our own that compares every current file with what it must be. Then the
//! victim starts, gets SIGKILL after a part of the time that it takes undisturbed, and is run again to its end. Readers
//! see nothing of all that, and the mirror ends as if the victim had not been disturbed.

mod readers;
mod victims;

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use frostmirror::mirror::head::{Counts, LineageHead};
use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::ledger;
use rustix::process::Signal;

use crate::import_bundle::{assert_sound, everything};
use crate::support::sandbox::Sandbox;
use readers::{Current, Projects, Readers};
use victims::{Victim, victims};

/// What a victim was doing when it was killed, as its mirror shows.
pub const PHASES: [&str; 5] = ["starting", "staging", "placing", "placed", "ended"];

const SIGKILL: i32 = 128 + 9;

/// How many rounds of what size.
pub struct Plan {
    /// Rounds; the victims take turns.
    pub rounds: usize,
    /// Where the moments of the kills come from.
    pub seed: u64,
    /// Names in the mirror; a bundle has some four crates for each.
    pub names: usize,
    /// Rounds without a kill for each victim, of which the median is what it takes undisturbed.
    pub undisturbed: usize,
}

/// How the rounds of one victim went.
pub struct Tally {
    pub victim: &'static str,
    /// What it takes undisturbed, among the same readers.
    pub undisturbed: Duration,
    /// Kills by what was going on, as in [`PHASES`].
    pub kills: [usize; PHASES.len()],
    /// Runs of cargo, all of them good.
    pub cargo: u64,
    /// Files that our client read, all of them right.
    pub files: u64,
}

/// Numbers from a seed: SplitMix64.
struct Dice(u64);

/// What the rounds share.
struct Arena {
    sandbox: Sandbox,
    projects: Projects,
}

/// What must be the same whether a run was killed before or not: all files but those that tell times, and what those
/// say beside that.
#[derive(Debug, PartialEq, Eq)]
struct State {
    files: BTreeMap<String, Vec<u8>>,
    counts: Counts,
    lineages: Vec<LineageHead>,
    imports: u64,
}

/// How one round went.
struct Round {
    took: Duration,
    /// Which of [`PHASES`], where there was a kill.
    phase: usize,
    cargo: u64,
    files: u64,
}

/// Runs all rounds; the first that does not go as it must is a panic that tells which it was.
pub fn run(plan: &Plan) -> Vec<Tally> {
    let sandbox = Sandbox::new();
    let victims = victims(&sandbox, plan.names);
    let projects = Projects::make(&sandbox, &victims[0].prepared, plan.names);
    let arena = Arena { sandbox, projects };
    let mut dice = Dice(plan.seed);
    let mut sides = Vec::new();
    for victim in &victims {
        let before = State::of(&victim.prepared);
        let after = arena.expected(victim);
        let current = Current::between(&before.files, &after.files, victim.takes_away);
        assert!(before != after, "{} does nothing", victim.name);
        let mut times: Vec<Duration> = (0..plan.undisturbed)
            .map(|_| {
                arena.round(victim, &current, [&before, &after], dice.below(Duration::from_millis(300)), None).took
            })
            .collect();
        times.sort();
        let undisturbed = times[times.len() / 2];
        let tally = Tally { victim: victim.name, undisturbed, kills: [0; PHASES.len()], cargo: 0, files: 0 };
        sides.push((victim, before, after, current, tally));
    }
    for n in 0..plan.rounds {
        let at = n % sides.len();
        let (victim, before, after, current, tally) = &mut sides[at];
        let (pause, delay) = (dice.below(Duration::from_millis(300)), dice.below(tally.undisturbed));
        let round = || arena.round(victim, current, [before, after], pause, Some(delay));
        let Ok(round) = catch_unwind(AssertUnwindSafe(round)) else {
            panic!("that was round {n} of seed {}: {}, killed after {delay:?}", plan.seed, victim.name)
        };
        tally.kills[round.phase] += 1;
        tally.cargo += round.cargo;
        tally.files += round.files;
    }
    sides.into_iter().map(|(.., tally)| tally).collect()
}

impl Arena {
    /// How the mirror ends when nobody reads and nobody kills.
    fn expected(&self, victim: &Victim) -> State {
        let mirror = self.copy(&victim.prepared);
        self.sandbox.run(&victim.words).ok();
        let state = State::of(&mirror);
        fs::remove_dir_all(&mirror).unwrap();
        state
    }

    /// One round, with a kill after `delay` or with none.
    fn round(
        &self,
        victim: &Victim,
        current: &Current,
        [before, after]: [&State; 2],
        pause: Duration,
        delay: Option<Duration>,
    ) -> Round {
        let mirror = self.copy(&victim.prepared);
        let serving = self.sandbox.serve(["--mirror", "mirror"]);
        let (took, phase, [cargo, files]) = Readers::during(serving.url(), current, &self.projects, |readers| {
            // So that a kill meets the readers at any point of what they do.
            std::thread::sleep(pause);
            let started = Instant::now();
            let running = self.sandbox.process(&victim.words).start();
            let Some(delay) = delay else {
                running.wait(Duration::from_secs(120)).ok();
                return (started.elapsed(), 0);
            };
            std::thread::sleep(delay.saturating_sub(started.elapsed()));
            running.signal(Signal::KILL);
            let died = running.wait(Duration::from_secs(60));
            let took = started.elapsed();
            assert!([0, SIGKILL].contains(&died.code), "{}", died.told());
            let phase = if died.code == 0 { PHASES.len() - 1 } else { phase(&mirror, before, after) };
            assert_sound(&mirror);
            self.sandbox.run(["status", "--mirror", "mirror"]).ok();
            readers.await_pass();
            self.sandbox.run(&victim.words).ok();
            (took, phase)
        });
        assert!(serving.stop().code == 0);
        State::of(&mirror).assert_is(after);
        assert_sound(&mirror);
        let staging = fs::read_dir(Layout::new(&mirror).staging()).unwrap().count();
        assert_eq!(staging, 0, "something is left in staging");
        self.sandbox.run(["verify", "--mirror", "mirror"]).ok();
        fs::remove_dir_all(&mirror).unwrap();
        Round { took, phase, cargo, files }
    }

    /// The prepared mirror's copy, where the victims look for it.
    fn copy(&self, prepared: &Path) -> PathBuf {
        let mirror = self.sandbox.path("mirror");
        let copied = Command::new("cp").arg("-a").args([prepared, &mirror]).status().unwrap();
        assert!(copied.success());
        mirror
    }
}

/// What was going on, from what is there.
fn phase(mirror: &Path, before: &State, after: &State) -> usize {
    let state = State::of(mirror);
    match () {
        () if state == *after => 3,
        () if state != *before => 2,
        () if fs::read_dir(Layout::new(mirror).staging()).is_ok_and(|folder| folder.count() > 0) => 1,
        () => 0,
    }
}

/// Every file, but for those that tell when something was done: of these, the names.
fn files(mirror: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = everything(mirror);
    files.retain(|path, _| !path.starts_with(".frostmirror/staging/") && path != ".frostmirror/holder");
    for (path, bytes) in &mut files {
        let timed =
            ["ledger/", "forgotten/", "removals"].iter().any(|name| path.starts_with(&format!(".frostmirror/{name}")));
        if timed || path == "manifest.json" {
            bytes.clear();
        }
    }
    files
}

impl State {
    fn of(mirror: &Path) -> State {
        let head = ledger::head(&Layout::new(mirror)).unwrap().unwrap();
        State { files: files(mirror), counts: head.counts, lineages: head.lineages, imports: head.imports }
    }

    /// Panics with the names of the files that differ.
    fn assert_is(&self, expected: &State) {
        let differ = |path: &&String| self.files.get(*path) != expected.files.get(*path);
        let names: Vec<&String> = self.files.keys().chain(expected.files.keys()).filter(differ).collect();
        assert!(names.is_empty(), "these are not as after an undisturbed run: {names:?}");
        assert_eq!(
            (&self.counts, &self.lineages, self.imports),
            (&expected.counts, &expected.lineages, expected.imports)
        );
    }
}

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A time from nothing to less than `limit`.
    fn below(&mut self, limit: Duration) -> Duration {
        let nanos = u64::try_from(limit.as_nanos()).unwrap().max(1);
        Duration::from_nanos(self.next() % nanos)
    }
}
