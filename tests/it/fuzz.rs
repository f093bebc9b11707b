//! Mutated bundles against the real reader and the real import, in this process.
//!
//! Each round is a function of the seed and its number. `cargo xtask bench fuzz` runs a million of them; the tests here
//! run some thousand.

use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use frostmirror::bundle::format::DistFileState::Shipped;
use frostmirror::bundle::format::{BundleKind, CarriedHistory, CrateState, Input, Lineage, short_id};
use frostmirror::bundle::open::{self, NullVisitor, open_any};
use frostmirror::bundle::verify::verify;
use frostmirror::digest::Sha256;
use frostmirror::event::NullSink;
use frostmirror::mirror::import;
use tempfile::TempDir;

use crate::bundle_builder::{BundleBuilder, all_files, assert_consistent, import as import_into};
use crate::bundle_legacy::with_toolchain;
use crate::import_dist_files::{HOST, channel_manifest, component_content, full_bundle};
use crate::support::crates::Crate;
use crate::support::forged_bundle::{CREATED, FakeCrate, ForgedBundle};

mod mutate;
mod bundle_parts;

use bundle_parts::BundleParts;
use mutate::{SeededRandom, mutate_bundle};

/// Longest that a round may take.
pub const ROUND_TIMEOUT: Duration = Duration::from_secs(60);
/// Most that the process's peak memory may grow after the first rounds, in KiB.
pub const MAX_MEMORY_GROWTH_KIB: u64 = 64 * 1024;
/// Rounds before the memory is first measured.
const WARM_UP_ROUNDS: u64 = 2000;
/// One round in so many imports, whatever the reader says; of the bundles that the reader accepts, a quarter is imported.
const IMPORT_INTERVAL: usize = 20;

/// The good bundles that are mutated.
pub struct Corpus {
    bytes: Vec<Vec<u8>>,
    shapes: Vec<BundleParts>,
}

impl Corpus {
    /// Makes them: full, delta, repair, with toolchains, a snapshot with histories, and two of frostmirror 1.x.
    pub fn new() -> Corpus {
        let folder = scratch_dir();
        let path = folder.path();
        let first = base_bundle();
        let more = full_bundle("one", 2, "2026-05-28", "1.96.0", "1.29.0")
            .parent("cargo-frostmirror-1.pkg")
            .ship(Crate::new("serde", "1.0.2"))
            .with_crate(Crate::new("b", "0.2.0"), CrateState::Sent)
            .with_crate(Crate::new("c", "3.0.0"), CrateState::Kept);
        let made = [
            first.clone(),
            first.repair(),
            more,
            BundleBuilder::new("two", 1)
                .ship(Crate::new("d", "0.1.0").dep("a", "1").optional())
                .description("d", "Says d"),
            BundleBuilder::new("three", 1).dist_file("dist/2026-05-28/x.tar.xz", "x", Shipped),
        ];
        let mut bytes: Vec<Vec<u8>> = Vec::new();
        for (number, make) in made.into_iter().enumerate() {
            bytes.push(fs::read(make.write(path, &format!("{number}.pkg"))).unwrap());
        }
        bytes.push(
            ForgedBundle::from_crates(&[FakeCrate::new("a", "1.0.0", 300), FakeCrate::new("Foo-Bar", "0.1.0+b.1", 9)])
                .bytes(),
        );
        bytes.push(snapshot_bundle().bytes());
        bytes.push(with_toolchain(&[]));
        let (date, release) = ("2026-03-05", "1.94.0");
        let archive = format!("dist/{date}/cargo-{release}-{HOST}.tar.xz");
        bytes.push(with_toolchain(&[
            (&format!("rustup/dist/{HOST}/rustup-init"), b"rustup 1.28.2".to_vec()),
            ("dist/channel-rust-stable.toml", channel_manifest(date, release).into_bytes()),
            (&archive, component_content(date, release).into_bytes()),
        ]));
        let shapes = bytes.iter().map(|bytes| BundleParts::parse(bytes)).collect();
        Corpus { bytes, shapes }
    }

    /// The bundle of a round, and whether the round imports it: in any case, or where the reader accepts it.
    pub fn input(&self, seed: u64, round: u64) -> (Vec<u8>, [bool; 2]) {
        let mut numbers = SeededRandom::new(seed, round);
        let imports = [numbers.is_one_in(IMPORT_INTERVAL), numbers.is_one_in(4)];
        (mutate_bundle(self, &mut numbers), imports)
    }
}

/// What the mirror holds before each import.
fn base_bundle() -> BundleBuilder {
    full_bundle("one", 1, "2026-04-16", "1.95.0", "1.28.2")
        .ship(Crate::new("b", "0.1.0").dep("a", "1"))
        .ship(Crate::new("serde", "1.0.1").feature("std", &[]).yanked())
        .with_crate(Crate::new("c", "3.0.0"), CrateState::IndexOnly)
}

fn snapshot_bundle() -> ForgedBundle {
    let id = |text: &str| short_id(&Sha256::of(text.as_bytes()));
    let mut forged = ForgedBundle::from_crates(&[FakeCrate::new("a", "1.0.0", 60), FakeCrate::new("bb", "0.2.0", 40)]);
    forged.manifest.kind = BundleKind::Snapshot;
    forged.manifest.lineage = Lineage { id: id("own"), sequence: 1, previous: None, inputs: Vec::new() };
    let input = |name: &str, crates| Input {
        name: name.to_owned(),
        roots: vec!["a = \"1\"".to_owned()],
        crates,
        dist_files: Vec::new(),
        skipped_packages: Vec::new(),
    };
    forged.manifest.carried_histories = ["first", "second"]
        .map(|name| CarriedHistory {
            bundle: id(&format!("{name} bundle")),
            file: format!("{name}.pkg"),
            created: CREATED.to_owned(),
            index_read: CREATED.to_owned(),
            lineage: Lineage {
                id: id(name),
                sequence: 3,
                previous: Some(id("before")),
                inputs: vec![input(name, vec![0, 1])],
            },
            crates: vec![0, 1],
            dist_files: Vec::new(),
        })
        .to_vec();
    forged.manifest.carried_histories.sort_by(|a, b| (&a.lineage.id, &a.bundle).cmp(&(&b.lineage.id, &b.bundle)));
    forged
}

/// A folder in memory where there is one: every import waits for its files to be on disk.
fn scratch_dir() -> TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.unwrap()
}

/// A mirror that every round finds as it was.
struct MirrorUnderTest {
    mirror: PathBuf,
    bundle: PathBuf,
    before: BTreeMap<String, Vec<u8>>,
    folder: TempDir,
}

impl MirrorUnderTest {
    fn new() -> MirrorUnderTest {
        let folder = scratch_dir();
        let (mirror, bundle) = (folder.path().join("mirror"), folder.path().join("mutated.pkg"));
        import_into(&mirror, &base_bundle().write(folder.path(), "first.pkg")).unwrap();
        let before = all_files(&mirror);
        MirrorUnderTest { mirror, bundle, before, folder }
    }

    /// Reads a bundle, and imports it if it is to be. Gives what became of it; a fault is a panic.
    fn run_round(&self, bytes: &[u8], [always, where_good]: [bool; 2]) -> Vec<String> {
        // As a pipe is read, one time in three from a file on all cores: the two must agree.
        let folder = self.folder.path();
        let opened = open_any(Box::new(Cursor::new(bytes)), "mutated.pkg", folder);
        let streamed = opened.and_then(|bundle| bundle.stream(&mut NullVisitor));
        let read = match &streamed {
            Ok(streamed) => match streamed.problems.first() {
                None => "accepted".to_owned(),
                Some(problem) => format!("problem {}", variant_name(problem)),
            },
            Err(error) => format!("refused {}", error_kind(error)),
        };
        let good = read == "accepted";
        let imports = always || (good && where_good);
        let mut outcomes = vec![read];
        if imports || bytes.len().is_multiple_of(3) {
            fs::write(&self.bundle, bytes).unwrap();
            let verified = verify(&self.bundle, folder, &NullSink);
            let also_good = verified.is_ok_and(|verdict| verdict.problems.is_empty());
            assert_eq!(good, also_good, "a pipe and a file are read differently");
        }
        if imports {
            outcomes.push(match import_into(&self.mirror, &self.bundle) {
                Ok(imported) => {
                    assert!(good, "what the reader refuses was imported");
                    assert_consistent(&self.mirror);
                    self.restore();
                    if imported.already_imported { "import already there" } else { "import done" }.to_owned()
                }
                Err(error) => {
                    assert!(all_files(&self.mirror) == self.before, "a refused import changed the mirror: {error}");
                    match error {
                        import::Error::Open(error) => format!("import refused Open {}", error_kind(&error)),
                        other => format!("import refused {}", variant_name(&other)),
                    }
                }
            });
        }
        outcomes
    }

    fn restore(&self) {
        fs::remove_dir_all(&self.mirror).unwrap();
        for (path, bytes) in &self.before {
            let path = self.mirror.join(path);
            if path.as_os_str().as_encoded_bytes().ends_with(b"/") {
                fs::create_dir_all(path).unwrap();
            } else {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, bytes).unwrap();
            }
        }
    }
}

/// The name of an error's variant.
fn variant_name(error: &impl std::fmt::Debug) -> String {
    let text = format!("{error:?}");
    text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned()
}

fn error_kind(error: &open::Error) -> String {
    match error {
        open::Error::InvalidManifest { source, .. } => format!("Broken {}", variant_name(source)),
        open::Error::Legacy { source, .. } => format!("Legacy {}", variant_name(source)),
        other => variant_name(other),
    }
}

/// A run of rounds.
pub struct Campaign {
    pub seed: u64,
    pub rounds: u64,
    pub threads: u64,
    /// Folder for an input that fails.
    pub failures: PathBuf,
}

/// What became of the rounds.
#[derive(Default)]
pub struct FuzzResult {
    pub outcomes: BTreeMap<String, u64>,
    /// Growth of the peak memory after the warm-up, in KiB; 0 where the system does not say.
    pub memory_growth_kib: u64,
}

/// What a thread works on: the round's number plus 1, and when it began, in milliseconds; 0: nothing.
#[derive(Default)]
struct CurrentRound {
    round: AtomicU64,
    started_ms: AtomicU64,
}

impl Campaign {
    /// Runs all rounds. A round that does not end is reported, and ends the process.
    ///
    /// # Errors
    /// The first fault, with its round and the file that has its input.
    pub fn run(&self, corpus: &Corpus) -> Result<FuzzResult, String> {
        let (tally, fault) = (Mutex::new(FuzzResult::default()), Mutex::new(None));
        let begin = Instant::now();
        let now = || u64::try_from(begin.elapsed().as_millis()).unwrap() + 1;
        let places: Vec<CurrentRound> = (0..self.threads).map(|_| CurrentRound::default()).collect();
        let left = AtomicU64::new(self.threads);
        let baseline = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for (first, place) in (0..self.threads).zip(&places) {
                let (tally, fault, left, baseline) = (&tally, &fault, &left, &baseline);
                scope.spawn(move || {
                    let world = MirrorUnderTest::new();
                    let mut outcomes: BTreeMap<String, u64> = BTreeMap::new();
                    let mut round = first;
                    while round < self.rounds && fault.lock().unwrap_or_else(PoisonError::into_inner).is_none() {
                        place.started_ms.store(now(), Ordering::SeqCst);
                        place.round.store(round + 1, Ordering::SeqCst);
                        let found = self.run_round(corpus, &world, round, baseline);
                        place.round.store(0, Ordering::SeqCst);
                        match found {
                            Ok(found) => found.into_iter().for_each(|what| *outcomes.entry(what).or_default() += 1),
                            Err(text) => {
                                *fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
                            }
                        }
                        round += self.threads;
                    }
                    let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
                    outcomes.into_iter().for_each(|(what, count)| *tally.outcomes.entry(what).or_default() += count);
                    left.fetch_sub(1, Ordering::SeqCst);
                });
            }
            scope.spawn(|| self.abort_on_timeout(corpus, &places, &left, &now));
        });
        let mut tally = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
        let base = baseline.load(Ordering::SeqCst);
        tally.memory_growth_kib = if base == 0 { 0 } else { peak_memory().saturating_sub(base) };
        fault.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(tally), Err)
    }

    fn run_round(
        &self,
        corpus: &Corpus,
        world: &MirrorUnderTest,
        round: u64,
        baseline: &AtomicU64,
    ) -> Result<Vec<String>, String> {
        let (bytes, imports) = corpus.input(self.seed, round);
        let found = catch_unwind(AssertUnwindSafe(|| world.run_round(&bytes, imports)))
            .map_err(|panic| self.save_failure(round, &bytes, frostmirror::panics::panic_message(panic.as_ref())))?;
        if round >= WARM_UP_ROUNDS {
            let (peak, base) = (peak_memory(), baseline.load(Ordering::SeqCst));
            if base == 0 {
                baseline.store(peak, Ordering::SeqCst);
            } else if peak > base + MAX_MEMORY_GROWTH_KIB {
                return Err(self.save_failure(round, &bytes, &format!("peak memory grew by {} KiB", peak - base)));
            }
        }
        Ok(found)
    }

    fn save_failure(&self, round: u64, bytes: &[u8], what: &str) -> String {
        let path = self.failures.join(format!("fuzz-{}-{round}.pkg", self.seed));
        fs::write(&path, bytes).unwrap();
        format!("seed {}, round {round}: {what}; its input is in {}", self.seed, path.display())
    }

    /// Ends the process when a round takes too long: nothing else ends a thread.
    fn abort_on_timeout(&self, corpus: &Corpus, places: &[CurrentRound], left: &AtomicU64, now: &impl Fn() -> u64) {
        let timeout_ms = u64::try_from(ROUND_TIMEOUT.as_millis()).unwrap();
        while left.load(Ordering::SeqCst) > 0 {
            std::thread::sleep(Duration::from_millis(50));
            for place in places {
                let (round, since) = (place.round.load(Ordering::SeqCst), place.started_ms.load(Ordering::SeqCst));
                if round > 0 && now().saturating_sub(since) > timeout_ms {
                    let say = |text: &str| std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes()).unwrap();
                    say(&format!("seed {}, round {}: it has not ended in time\n", self.seed, round - 1));
                    let (bytes, _) = corpus.input(self.seed, round - 1);
                    say(&format!("{}\n", self.save_failure(round - 1, &bytes, "it has not ended in time")));
                    std::process::exit(1);
                }
            }
        }
    }
}

/// The process's peak memory in KiB; 0 where the system does not say.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

#[test]
fn every_seed_bundle_survives_parsing_and_reassembly() {
    let corpus = Corpus::new();
    let folder = scratch_dir();
    let fit = bundle_parts::ConsistencyFixes { seal_manifest: true, update_digests: true };
    for (number, (bytes, shape)) in corpus.bytes.iter().zip(&corpus.shapes).enumerate() {
        assert!(bytes.len() < 20_000, "seed {number} is large: {} bytes", bytes.len());
        for bytes in [bytes, &shape.bytes(fit), &shape.bytes_with(|_| {})] {
            let opened = open_any(Box::new(Cursor::new(bytes)), "seed.pkg", folder.path());
            let streamed = opened.and_then(|bundle| bundle.stream(&mut NullVisitor));
            let streamed = streamed.unwrap_or_else(|error| panic!("seed {number}: {error:?}"));
            assert!(streamed.problems.is_empty(), "seed {number}: {:?}", streamed.problems);
        }
    }
}

#[test]
fn mutated_bundles_neither_panic_nor_hang_nor_change_a_mirror() {
    let failures = tempfile::tempdir().unwrap().keep();
    let campaign = Campaign { seed: 13, rounds: 3000, threads: 1, failures: failures.clone() };
    let tally = campaign.run(&Corpus::new()).unwrap_or_else(|fault| panic!("{fault}"));
    fs::remove_dir_all(failures).unwrap();
    let count = |start: &str| tally.outcomes.iter().filter(|(what, _)| what.starts_with(start)).count();
    let all: u64 = tally.outcomes.iter().filter(|(what, _)| !what.starts_with("import")).map(|(_, count)| count).sum();
    assert_eq!(all, 3000);
    // The mutations reach the deep checks: many rules of the manifest, the payload, and imports on both sides.
    let kinds = [count("refused Broken"), count("refused Legacy"), count("problem"), count("import refused")];
    assert!(kinds.iter().zip([3, 4, 4, 4]).all(|(found, least)| *found >= least), "{:#?}", tally.outcomes);
    assert!(tally.outcomes.get("import done").is_some_and(|count| *count > 10), "{:#?}", tally.outcomes);
}

#[test]
fn a_failure_names_its_seed_and_round_and_saves_its_input() {
    let failures = tempfile::tempdir().unwrap();
    let campaign = Campaign { seed: 7, rounds: 1, threads: 1, failures: failures.path().to_owned() };
    let (bytes, _) = Corpus::new().input(7, 0);
    let text = campaign.save_failure(0, &bytes, "a test");
    let path = failures.path().join("fuzz-7-0.pkg");
    assert_eq!(text, format!("seed 7, round 0: a test; its input is in {}", path.display()));
    assert_eq!(fs::read(path).unwrap(), bytes);
    assert_eq!(bytes, Corpus::new().input(7, 0).0, "a round is a function of its seed and number");
}
