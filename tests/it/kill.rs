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
/// say beside that; and what an export made, with the names of everything beside it.
#[derive(Debug, PartialEq, Eq)]
struct State {
    files: BTreeMap<String, Vec<u8>>,
    counts: Counts,
    lineages: Vec<LineageHead>,
    imports: u64,
    made: BTreeMap<String, Vec<u8>>,
    beside: BTreeSet<OsString>,
}

/// The time that an export tells.
const TIME: [(&str, &str); 1] = [("SOURCE_DATE_EPOCH", "1790000000")];

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
        let [before, after] = arena.expected(victim);
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
    /// How all begins, and how it ends when nobody reads and nobody kills.
    fn expected(&self, victim: &Victim) -> [State; 2] {
        self.copy(&victim.prepared);
        let before = self.state();
        self.sandbox.process(&victim.words).envs(TIME).run().ok();
        let after = self.state();
        self.clear();
        [before, after]
    }

    fn state(&self) -> State {
        let head = ledger::head(&Layout::new(self.sandbox.path("mirror"))).unwrap().unwrap();
        let beside = fs::read_dir(self.sandbox.path("")).unwrap();
        State {
            files: files(&self.sandbox.path("mirror")),
            counts: head.counts,
            lineages: head.lineages,
            imports: head.imports,
            made: everything(&self.sandbox.path("out")),
            beside: beside.map(|entry| entry.unwrap().file_name()).collect(),
        }
    }

    /// Takes away what an export had made before it was killed, which is whole if it is there at all.
    fn clear_made(&self, whole: &State) {
        let made = everything(&self.sandbox.path("out"));
        if made.keys().any(|path| !path.starts_with('.')) {
            assert!(made == whole.made, "what was made is not whole: {:?}", made.keys());
            fs::remove_dir_all(self.sandbox.path("out")).unwrap();
        }
    }

    fn clear(&self) {
        for name in ["mirror", "out"] {
            let path = self.sandbox.path(name);
            if path.exists() {
                fs::remove_dir_all(path).unwrap();
            }
        }
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
            let running = self.sandbox.process(&victim.words).envs(TIME).start();
            let Some(delay) = delay else {
                running.wait(Duration::from_secs(120)).ok();
                return (started.elapsed(), 0);
            };
            std::thread::sleep(delay.saturating_sub(started.elapsed()));
            running.signal(Signal::KILL);
            let died = running.wait(Duration::from_secs(60));
            let took = started.elapsed();
            assert!([0, SIGKILL].contains(&died.code), "{}", died.told());
            let phase = if died.code == 0 { PHASES.len() - 1 } else { self.phase(before, after) };
            assert_sound(&mirror);
            self.sandbox.run(["status", "--mirror", "mirror"]).ok();
            readers.await_pass();
            self.clear_made(after);
            self.sandbox.process(&victim.words).envs(TIME).run().ok();
            (took, phase)
        });
        assert!(serving.stop().code == 0);
        self.state().assert_is(after);
        assert_sound(&mirror);
        assert_eq!(self.staged(), 0, "something is left in staging");
        self.sandbox.run(["verify", "--mirror", "mirror"]).ok();
        self.clear();
        Round { took, phase, cargo, files }
    }

    /// What was going on, from what is there.
    fn phase(&self, before: &State, after: &State) -> usize {
        let state = self.state();
        let begun = State { made: BTreeMap::new(), beside: before.beside.clone(), ..self.state() };
        match () {
            () if state == *after => 3,
            () if begun != *before => 2,
            () if state != *before || self.staged() > 0 => 1,
            () => 0,
        }
    }

    fn staged(&self) -> usize {
        fs::read_dir(Layout::new(self.sandbox.path("mirror")).staging()).map_or(0, Iterator::count)
    }

    /// The prepared mirror's copy, where the victims look for it.
    fn copy(&self, prepared: &Path) -> PathBuf {
        let mirror = self.sandbox.path("mirror");
        let copied = Command::new("cp").arg("-a").args([prepared, &mirror]).status().unwrap();
        assert!(copied.success());
        mirror
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
    /// Panics with the names of the files that differ.
    fn assert_is(&self, expected: &State) {
        for (is, must) in [(&self.files, &expected.files), (&self.made, &expected.made)] {
            let differ = |path: &&String| is.get(*path) != must.get(*path);
            let names: BTreeSet<&String> = is.keys().chain(must.keys()).filter(differ).collect();
            assert!(names.is_empty(), "these are not as after an undisturbed run: {names:?}");
        }
        assert_eq!(self.beside, expected.beside);
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
