//! Rows `mirror`: what the verbs of a mirror cost as it grows from 1,000 to 100,000 versions.
//!
//! Each mirror is what our own import makes of bundles that our own writer wrote: a full bundle of everything, four
//! weekly deltas of that history that name it all again, and 47 small bundles of other histories, so that the ledger
//! holds as much as a year of weekly imports. It is audited before anything is measured on it.

use std::path::{Path, PathBuf};
use std::process::Command;

use frostmirror::bundle::format::CrateState;

use super::generated_crates::{GeneratedCrate, GeneratedHistory, generate_crates};
use super::measure::{Comparison, ROUNDS, peak_memory, timed};
use super::scaling::{MIB, Measurement, SECONDS, ScalingTable};
use super::server_process::ServerProcess;
use crate::{Bench, Outcome};

/// Names in the mirrors.
const NAMES: [usize; 3] = [100, 1_000, 10_000];
/// Versions of each name.
const VERSIONS: usize = 10;
/// Crates that a small bundle brings.
const SMALL_BUNDLE_CRATES: usize = 10;
/// Deltas of the large history: two that name the rest as sent, two that name it as kept.
const DELTAS: u64 = 2;
/// Imports of a year.
const IMPORTS_PER_YEAR: usize = 52;
/// Requests to a server, and connections that make them.
const REQUESTS: usize = 20_000;
const CONNECTIONS: usize = 8;
/// Seconds to be ready in, and MiB to stay under.
const MAX_START_SECONDS: f64 = 1.0;
const MAX_SERVER_MIB: f64 = 100.0;

impl Bench {
    /// The rows `mirror`.
    pub fn mirrors(&self) -> Outcome<()> {
        let mut growth = ScalingTable::new(NAMES.map(|names| names * VERSIONS).to_vec());
        for names in NAMES {
            MeasuredMirror::create(self, names, &mut growth)?.measure()?;
        }
        growth.print();
        Ok(())
    }
}

/// A mirror of one size.
struct MeasuredMirror<'a> {
    bench: &'a Bench,
    home: PathBuf,
    items: Vec<GeneratedCrate>,
    history: GeneratedHistory,
    growth: &'a mut ScalingTable,
}

impl MeasuredMirror<'_> {
    fn create<'a>(bench: &'a Bench, names: usize, growth: &'a mut ScalingTable) -> Outcome<MeasuredMirror<'a>> {
        println!("# a mirror of {} versions", names * VERSIONS);
        let home = bench.fresh_folder("grown")?;
        let (items, history) = (generate_crates("bulk", names, VERSIONS), GeneratedHistory::new("bulk"));
        Ok(MeasuredMirror { bench, home, items, history, growth })
    }

    fn measure(mut self) -> Outcome<()> {
        let bundle = self.history.full(&self.items, &self.bundles())?;
        let peak = peak_memory(&mut self.import(&bundle))?;
        self.add_measurement(Measurement::single("import of everything: peak", MIB, peak));
        self.sync()?;
        self.assert_verified()?;
        self.serve()?;
        self.status()?;
        self.plan_gc(["gc --dry-run, 1 import", "gc --dry-run, 1 import: peak"])?;
        self.verify()?;
        self.import_foreign_bundles()?;
        self.import_deltas()?;
        self.import_a_year()?;
        self.assert_verified()?;
        self.plan_gc(["gc --dry-run, 52 imports, 5 of everything", "gc --dry-run, 52 imports: peak"])?;
        self.status_after_a_year()
    }

    /// A server: how soon it listens, and what it holds before and after many answers.
    fn serve(&mut self) -> Outcome<()> {
        let start = || -> Outcome<ServerProcess> {
            ServerProcess::start(&mut self.mirror_verb(&["serve", "--bind", "127.0.0.1:0"]))
        };
        let mut ready = Vec::new();
        for _ in 0..ROUNDS {
            ready.push(start()?.start_seconds);
        }
        let served = start()?;
        let before = served.peak_memory()?;
        let mut paths: Vec<String> = Vec::new();
        // Every name's text once, and then as many crates, spread over all of them.
        for item in self.items.iter().step_by(VERSIONS) {
            paths.push(format!("/index/{}", item.id.name.index_path()));
        }
        let crates = self.items.iter().cycle().step_by(7).map(|item| format!("/crates/{}", item.id.file_name()));
        paths.extend(crates.take(REQUESTS - paths.len()));
        let seconds = served.request_all(&paths, CONNECTIONS)?;
        let after = served.peak_memory()?;
        self.add_measurement(Measurement::new("serve until it listens", SECONDS, ready).with_goal(MAX_START_SECONDS));
        self.add_measurement(Measurement::single("serve, listening: peak", MIB, before).with_goal(MAX_SERVER_MIB));
        self.add_measurement(
            Measurement::single("serve after 20,000 answers: peak", MIB, after).with_goal(MAX_SERVER_MIB),
        );
        self.add_measurement(Measurement::single("20,000 answers over 8 connections", SECONDS, seconds));
        Ok(())
    }

    fn status(&mut self) -> Outcome<()> {
        self.measure_verb(["status", "status: peak"], &["status"], 0.2)
    }

    fn status_after_a_year(&mut self) -> Outcome<()> {
        self.measure_verb(["status, 52 imports", "status, 52 imports: peak"], &["status"], 0.2)
    }

    /// The plan of a collection.
    fn plan_gc(&mut self, what: [&'static str; 2]) -> Outcome<()> {
        self.measure_verb(what, &["gc", "--dry-run"], 5.0)
    }

    /// The audit, against the same digests taken by others.
    fn verify(&mut self) -> Outcome<()> {
        let mut other = Command::new("sh");
        other.arg("-c").arg("find . -type f -print0 | xargs -0 -P2 openssl dgst -sha256");
        other.current_dir(self.home.join("mirror"));
        let mut ours = self.mirror_verb(&["verify"]);
        let row = super::measure::alternate(|| timed(&mut ours), || timed(&mut other))?;
        row.print(&format!("verify --mirror / find | openssl, {}", self.items.len()), self.goal(1.3));
        let peak = peak_memory(&mut ours)?;
        self.add_measurement(Measurement::new("verify --mirror", SECONDS, row.ours.clone()));
        self.add_measurement(Measurement::new("find | xargs -P2 openssl dgst -sha256", SECONDS, row.theirs.clone()));
        self.add_measurement(Measurement::new("verify --mirror / find | openssl", "x", row.ratios()).with_goal(1.3));
        self.add_measurement(Measurement::single("verify --mirror: peak", MIB, peak));
        Ok(())
    }

    /// Full bundles of ten crates, each of a history of its own, into this mirror and into empty ones.
    fn import_foreign_bundles(&mut self) -> Outcome<()> {
        let mut row = Comparison { ours: Vec::new(), theirs: Vec::new() };
        for round in 0..=ROUNDS {
            let name = format!("foreign-{round}");
            let bundle =
                GeneratedHistory::new(&name).full(&generate_crates(&name, SMALL_BUNDLE_CRATES, 1), &self.bundles())?;
            self.sync()?;
            let ours = timed(&mut self.import(&bundle))?;
            let empty = self.bench.fresh_folder("empty")?;
            self.sync()?;
            let other = timed(&mut import(self.bench, &empty, &empty.join("mirror"), &bundle))?;
            // The first of each warms up.
            if round > 0 {
                row.ours.push(ours);
                row.theirs.push(other);
            }
        }
        row.print(&format!("import of 10 / into an empty one, {}", self.items.len()), self.goal(3.0));
        self.add_measurement(Measurement::new("import of 10 of another history", SECONDS, row.ours.clone()));
        self.add_measurement(Measurement::new("import of 10 into an empty mirror", SECONDS, row.theirs.clone()));
        self.add_measurement(Measurement::new("import of 10 / into an empty one", "x", row.ratios()).with_goal(3.0));
        Ok(())
    }

    /// Deltas of ten crates of the mirror's own history, whose manifests name everything.
    fn import_deltas(&mut self) -> Outcome<()> {
        for (state, what, peak) in [
            (CrateState::Sent, "import of a delta of 10, the rest sent", "import of such a delta: peak"),
            (CrateState::Kept, "import of a delta of 10, the rest kept", "import of such a delta, kept: peak"),
        ] {
            let (mut times, mut most) = (Vec::new(), 0.0_f64);
            for round in 0..DELTAS {
                let news = generate_crates(&format!("{state:?}-{round}").to_lowercase(), SMALL_BUNDLE_CRATES, 1);
                // The last of all needs a tenth less, which is garbage then.
                let last = state == CrateState::Kept && round + 1 == DELTAS;
                let rest = if last { &self.items[self.items.len() / 10..] } else { &self.items[..] };
                let bundle = self.history.delta(&news, (rest, state), &self.bundles())?;
                self.sync()?;
                if round + 1 == DELTAS {
                    most = most.max(peak_memory(&mut self.import(&bundle))?);
                } else {
                    times.push(timed(&mut self.import(&bundle))?);
                }
            }
            self.add_measurement(Measurement::new(what, SECONDS, times));
            self.add_measurement(Measurement::single(peak, MIB, most));
        }
        Ok(())
    }

    /// Small weekly bundles of one more history, until the ledger holds a year.
    fn import_a_year(&mut self) -> Outcome<()> {
        let small = IMPORTS_PER_YEAR - 1 - 2 * usize::try_from(DELTAS)? - (ROUNDS + 1);
        let mut history = GeneratedHistory::new("weekly");
        for week in 0..small {
            let bundle =
                history.full(&generate_crates(&format!("week-{week}"), SMALL_BUNDLE_CRATES, 1), &self.bundles())?;
            timed(&mut self.import(&bundle))?;
        }
        self.sync()
    }

    /// The time of a verb in several runs, and its memory.
    fn measure_verb(&mut self, [what, its_peak]: [&'static str; 2], args: &[&str], goal: f64) -> Outcome<()> {
        timed(&mut self.mirror_verb(args))?;
        let times = (0..ROUNDS).map(|_| timed(&mut self.mirror_verb(args))).collect::<Outcome<Vec<f64>>>()?;
        let peak = peak_memory(&mut self.mirror_verb(args))?;
        self.add_measurement(Measurement::new(what, SECONDS, times).with_goal(goal));
        self.add_measurement(Measurement::single(its_peak, MIB, peak));
        Ok(())
    }

    /// Nothing is measured on a mirror that is not clean.
    fn assert_verified(&self) -> Outcome<()> {
        timed(&mut self.mirror_verb(&["verify"])).map(drop)
    }

    fn goal(&self, goal: f64) -> Option<f64> {
        self.growth.goal(self.items.len(), Some(goal))
    }

    fn add_measurement(&mut self, measured: Measurement) {
        self.growth.add(self.items.len(), measured);
    }

    fn bundles(&self) -> PathBuf {
        self.home.join("bundles")
    }

    fn sync(&self) -> Outcome<()> {
        timed(Command::new("sync").arg("-f").arg(&self.home)).map(drop)
    }

    fn mirror_verb(&self, args: &[&str]) -> Command {
        let mut command = self.bench.frostmirror(&self.home);
        command.args(args).arg("--mirror").arg(self.home.join("mirror"));
        command
    }

    fn import(&self, bundle: &Path) -> Command {
        import(self.bench, &self.home, &self.home.join("mirror"), bundle)
    }
}

fn import(bench: &Bench, home: &Path, mirror: &Path, bundle: &Path) -> Command {
    let mut command = bench.frostmirror(home);
    command.arg("import").arg(bundle).arg("--mirror").arg(mirror);
    command
}
