//! What `cargo xtask bench` runs: how fast and how small, as ratios of alternating runs in one sitting.
//!
//! Each row runs ours and the other side in turn, after one warm-up that is not counted, in fresh folders, at least
//! seven times. Printed are medians, the spread of the ratio pair by pair, and the goal. A ratio whose spread crosses
//! its goal decides nothing; a tool that is absent is a row that says so.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a panic ends a bench, and its table is what it is for")]

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::crates::Crate;
use support::synthetic::Synthetic;
use support::upstream::Upstream;

#[allow(dead_code, reason = "a tool box that the tests share")]
mod support {
    pub mod client;
    pub mod crates;
    pub mod published;
    pub mod run;
    pub mod sandbox;
    pub mod stream;
    pub mod synthetic;
    pub mod tls;
    pub mod upstream;
}
#[allow(dead_code, reason = "a tool box that the tests share")]
mod import_bundle;
mod kill;
mod ratios_kill;

const ROUNDS: usize = 7;
/// Latency of the fake upstream: a request's way over a good line to a far continent's cache.
const LATENCY: Duration = Duration::from_millis(40);
const BIG_CRATES: usize = 4_000;
const BIG_CRATE: usize = 1024 * 1024 * 1024 / BIG_CRATES;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Runs the rows whose name contains one of the words given; all of them where there is none.
fn main() -> Outcome<()> {
    let filters: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let bench = Bench {
        ours: env!("CARGO_BIN_EXE_cargo-frostmirror").into(),
        work: tempfile::tempdir()?,
        folders: Cell::new(0),
    };
    let wanted = |name: &str| filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str()));
    println!("{:<44} {:>10} {:>10} {:>8} {:>17} {:>6}", "row", "ours", "other", "ratio", "spread", "goal");
    if wanted("lock") {
        let upstream = Upstream::builder().tls().latency(LATENCY).start();
        bench.lockfile("fetch --lockfile / cargo fetch, HTTP/2", &upstream)?;
        let upstream = Upstream::builder().latency(LATENCY).start();
        bench.lockfile("fetch --lockfile / cargo fetch, HTTP/1.1", &upstream)?;
    }
    if wanted("depends") {
        bench.depends()?;
    }
    if wanted("big") {
        bench.big()?;
    }
    if wanted("collect") {
        bench.collect()?;
    }
    if wanted("kill") {
        ratios_kill::rounds();
    }
    if wanted("network") {
        bench.network(Path::new(env!("CARGO_MANIFEST_DIR")))?;
    }
    Ok(())
}

struct Bench {
    ours: PathBuf,
    work: tempfile::TempDir,
    folders: Cell<u32>,
}

impl Bench {
    /// The same lock, cold caches on both sides.
    fn lockfile(&self, name: &str, upstream: &Upstream) -> Outcome<()> {
        let lock = publish_layers(upstream, 220);
        let project = self.project(&lock)?;
        let ca = self.path("ca.pem");
        let secure = upstream.base_url().starts_with("https");
        if secure {
            fs::write(&ca, upstream.ca_pem())?;
        }
        let http = if secure { format!("[http]\ncainfo = {ca:?}\n") } else { String::new() };
        let row = alternate(
            || {
                let home = self.fresh("ours")?;
                fs::write(home.join("config.toml"), &http)?;
                let mut command = self.frostmirror(&home);
                command.args(["fetch", "--lockfile"]).arg(project.join("Cargo.lock"));
                command.arg("-o").arg(home.join("out")).env("FROSTMIRROR_REGISTRY_URL", upstream.index_url());
                timed(&mut command)
            },
            || {
                let home = self.fresh("cargo")?;
                fs::write(home.join("config.toml"), replacement(&upstream.index_url(), &http))?;
                timed(cargo(&home).args(["fetch", "--locked"]).current_dir(&project))
            },
        )?;
        row.print(name, Some(0.6));
        Ok(())
    }

    /// Ten entries of a depends.toml against the older namesake.
    fn depends(&self) -> Outcome<()> {
        let name = "fetch of ten entries / frostmirror 1.0.0";
        let Some(other) = on_path("frostmirror") else {
            println!("{name:<44} absent: frostmirror 1.0.0 is not on PATH");
            return Ok(());
        };
        let upstream = Upstream::builder().latency(LATENCY).start();
        publish_layers(&upstream, 220);
        let depends: String =
            (0..10).fold("[dependencies]\n".to_owned(), |text, n| text + &format!("layer5-{n:03} = \"1\"\n"));
        let row = alternate(
            || {
                let home = self.fresh("ours")?;
                fs::write(home.join("depends.toml"), &depends)?;
                let mut command = self.frostmirror(&home);
                command.args(["fetch", "-c"]).arg(home.join("depends.toml")).arg("-o").arg(home.join("out"));
                command.env("FROSTMIRROR_REGISTRY_URL", upstream.index_url());
                timed(&mut command)
            },
            || {
                let home = self.fresh("other")?;
                fs::write(home.join("depends.toml"), &depends)?;
                fs::write(home.join("config.toml"), replacement(&upstream.index_url(), ""))?;
                let mut command = Command::new(&other);
                hermetic(&mut command, &home);
                command.args(["fetch", "--skip-rustup", "-c"]).arg(home.join("depends.toml"));
                command.arg("-o").arg(home.join("out")).current_dir(&home);
                command.env("FROSTMIRROR_REGISTRY_URL", upstream.index_url().trim_start_matches("sparse+"));
                command
                    .env("FROSTMIRROR_DL_URL", format!("{}/api/v1/crates", upstream.base_url().trim_end_matches('/')));
                timed(&mut command)
            },
        )?;
        row.print(name, Some(0.4));
        Ok(())
    }

    /// A bundle of 1 GiB: pack, verify, import, and what they hold in memory.
    fn big(&self) -> Outcome<()> {
        let upstream = Upstream::start();
        let mut lock = LOCK_HEAD.to_owned();
        for n in 0..BIG_CRATES {
            let name = format!("big-{n:04}");
            let packed = upstream.publish(Crate::new(&name, "1.0.0").weighing(BIG_CRATE));
            lock.push_str(&lock_entry(&name, &packed.cksum, &[]));
        }
        let home = self.fresh("big")?;
        fs::write(home.join("Cargo.lock"), lock)?;
        let mut command = self.frostmirror(&home);
        command.args(["fetch", "--lockfile"]).arg(home.join("Cargo.lock")).arg("-o").arg(home.join("out"));
        command.env("FROSTMIRROR_REGISTRY_URL", upstream.index_url());
        let peak = peak_memory(&mut command)?;
        println!("{:<44} {:>7} MiB {:>39} {:>6}", "fetch and pack of 1 GiB, 4,000 crates: peak", peak, "", 100);
        drop(upstream);
        let bundle = fs::read_dir(home.join("out"))?.next().ok_or("no bundle was written")??.path();

        let verify = |bench: &Bench| {
            let mut command = bench.frostmirror(&home);
            command.arg("verify").arg(&bundle);
            command
        };
        alternate(
            || timed(&mut verify(self)),
            || timed(Command::new("openssl").args(["dgst", "-sha256"]).arg(&bundle)),
        )?
        .print("verify of 1 GiB / openssl dgst -sha256", Some(1.0));
        println!("{:<44} {:>7} MiB {:>39} {:>6}", "verify of 1 GiB: peak", peak_memory(&mut verify(self))?, "", 100);

        let import = |bench: &Bench, mirror: &Path| {
            let mut command = bench.frostmirror(&home);
            command.arg("import").arg(&bundle).arg("--mirror").arg(mirror);
            command
        };
        alternate(
            || {
                let mirror = self.fresh("mirror")?;
                let started = Instant::now();
                timed(&mut import(self, &mirror))?;
                timed(Command::new("sync").arg("-f").arg(&mirror))?;
                Ok(started.elapsed().as_secs_f64())
            },
            || {
                let copy = self.fresh("copy")?;
                let started = Instant::now();
                timed(Command::new("cp").arg(&bundle).arg(copy.join("copy.pkg")))?;
                timed(Command::new("sync").arg("-f").arg(&copy))?;
                timed(Command::new("openssl").args(["dgst", "-sha256"]).arg(&bundle))?;
                Ok(started.elapsed().as_secs_f64())
            },
        )?
        .print("import of 1 GiB / cp + openssl, synced", Some(2.0));
        let mirror = self.fresh("mirror")?;
        println!(
            "{:<44} {:>7} MiB {:>39} {:>6}",
            "import of 1 GiB: peak",
            peak_memory(&mut import(self, &mirror))?,
            "",
            100
        );
        Ok(())
    }

    /// The project's own lock from the real crates.io.
    fn network(&self, root: &Path) -> Outcome<()> {
        let name = "fetch --lockfile / cargo fetch, crates.io";
        if std::env::var_os("FROSTMIRROR_TEST_NETWORK").is_none_or(|value| value != "1") {
            println!("{name:<44} absent: set FROSTMIRROR_TEST_NETWORK=1 for the real crates.io");
            return Ok(());
        }
        let project = self.path("self");
        fs::create_dir_all(project.join("src"))?;
        fs::create_dir_all(project.join("xtask/src"))?;
        for file in ["Cargo.toml", "Cargo.lock", "xtask/Cargo.toml"] {
            fs::copy(root.join(file), project.join(file))?;
        }
        for file in ["src/lib.rs", "src/main.rs", "xtask/src/main.rs"] {
            fs::write(project.join(file), "")?;
        }
        let row = alternate(
            || {
                let home = self.fresh("ours")?;
                let mut command = self.frostmirror(&home);
                command.args(["fetch", "--lockfile"]).arg(project.join("Cargo.lock")).arg("-o").arg(home.join("out"));
                timed(&mut command)
            },
            || {
                let home = self.fresh("cargo")?;
                timed(cargo(&home).args(["fetch", "--locked"]).current_dir(&project))
            },
        )?;
        row.print(name, Some(0.6));
        Ok(())
    }

    /// A project that depends on the topmost layer, with its lock.
    fn project(&self, lock: &str) -> Outcome<PathBuf> {
        let project = self.fresh("project")?;
        fs::create_dir_all(project.join("src"))?;
        fs::write(project.join("src/lib.rs"), "")?;
        let mut manifest =
            "[package]\nname = \"bench\"\nversion = \"0.0.0\"\nedition = \"2021\"\n[dependencies]\n".to_owned();
        for name in top_layer() {
            manifest.push_str(&format!("{name} = \"1\"\n"));
        }
        fs::write(project.join("Cargo.toml"), manifest)?;
        let dependencies: Vec<String> = top_layer().collect();
        let quoted: Vec<String> = dependencies.iter().map(|name| format!("\"{name}\"")).collect();
        let root =
            format!("\n[[package]]\nname = \"bench\"\nversion = \"0.0.0\"\ndependencies = [{}]\n", quoted.join(", "));
        fs::write(project.join("Cargo.lock"), format!("{lock}{root}"))?;
        Ok(project)
    }

    /// The plan of a collection as the mirror grows; its own time, in seconds, with no other side.
    fn collect(&self) -> Outcome<()> {
        for names in [100, 1_000, 10_000] {
            let home = self.fresh("collect")?;
            let made = Synthetic { names, versions: 10, garbage: 10 }.write(&home.join("mirror"));
            let plan = || timed(self.frostmirror(&home).args(["gc", "--dry-run", "--mirror"]).arg(home.join("mirror")));
            plan()?;
            let times = (0..ROUNDS).map(|_| plan()).collect::<Outcome<Vec<f64>>>()?;
            let name = format!("gc --dry-run of {} versions", made.versions);
            println!("{name:<44} {:>8.3} s {:>10} {:>8} {:>17} {:>6}", median(&times), "", "", "", "5 s");
        }
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.work.path().join(name)
    }

    /// An empty folder that no earlier round used. What earlier rounds left is deleted at the end of all of them: ext4
    /// passes over the inodes of files that were deleted in the last minutes, and creating files beside them is slow.
    fn fresh(&self, name: &str) -> Outcome<PathBuf> {
        let number = self.folders.get();
        self.folders.set(number + 1);
        let path = self.path(&format!("{name}-{number}"));
        fs::create_dir_all(&path)?;
        Ok(path)
    }

    fn frostmirror(&self, home: &Path) -> Command {
        let mut command = Command::new(&self.ours);
        hermetic(&mut command, home);
        command.env("FROSTMIRROR_HOME", home.join("state"));
        command
    }
}

/// Layers of crates, each depending on three of the layer below: a graph as deep as real ones are.
const LAYERS: usize = 6;

fn layer_name(layer: usize, n: usize) -> String {
    format!("layer{layer}-{n:03}")
}

fn top_layer() -> impl Iterator<Item = String> {
    (0..36).map(|n| layer_name(LAYERS - 1, n))
}

/// Publishes about `count` crates and gives their lock.
fn publish_layers(upstream: &Upstream, count: usize) -> String {
    let width = count / LAYERS;
    let mut lock = LOCK_HEAD.to_owned();
    for layer in 0..LAYERS {
        for n in 0..width {
            let name = layer_name(layer, n);
            // Sizes as uneven as those of real crates: 4 kB to 250 kB, 60 kB on average.
            let weight = 4_000 + (n * 7919 + layer * 104_729) % 57 * (n % 11 + 1) * 400;
            let below: Vec<String> = if layer == 0 {
                Vec::new()
            } else {
                (0..3).map(|k| layer_name(layer - 1, (n + k * 7) % width)).collect()
            };
            let item = below.iter().fold(Crate::new(&name, "1.0.0").weighing(weight), |item, dep| item.dep(dep, "^1"));
            let packed = upstream.publish(item);
            lock.push_str(&lock_entry(&name, &packed.cksum, &below));
        }
    }
    lock
}

const LOCK_HEAD: &str = "version = 4\n";

fn lock_entry(name: &str, cksum: &str, dependencies: &[String]) -> String {
    let mut sorted: Vec<String> = dependencies.iter().map(|name| format!(" \"{name}\",\n")).collect();
    sorted.sort();
    sorted.dedup();
    let dependencies =
        if sorted.is_empty() { String::new() } else { format!("dependencies = [\n{}]\n", sorted.concat()) };
    format!(
        "\n[[package]]\nname = \"{name}\"\nversion = \"1.0.0\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\nchecksum = \"{cksum}\"\n{dependencies}"
    )
}

fn replacement(index: &str, more: &str) -> String {
    let index = index.trim_start_matches("sparse+");
    format!("[source.crates-io]\nreplace-with = \"bench\"\n[registries.bench]\nindex = \"sparse+{index}\"\n{more}")
}

fn cargo(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO"));
    hermetic(&mut command, home);
    command
}

/// No settings of the machine but what finds the toolchain and the system's authorities.
fn hermetic(command: &mut Command, home: &Path) {
    command.env_clear().env("HOME", home).env("CARGO_HOME", home).current_dir(home);
    for name in ["PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "RUSTUP_TOOLCHAIN"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    let rustup = std::env::var_os("RUSTUP_HOME").map(PathBuf::from);
    if let Some(rustup) = rustup.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".rustup"))) {
        command.env("RUSTUP_HOME", rustup);
    }
}

fn on_path(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// Seconds that a command takes; one that fails ends the bench with its words.
fn timed(command: &mut Command) -> Outcome<f64> {
    let started = Instant::now();
    let output = command.stdin(Stdio::null()).output()?;
    let seconds = started.elapsed().as_secs_f64();
    if output.status.success() {
        Ok(seconds)
    } else {
        Err(format!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr)).into())
    }
}

/// Highest resident memory of a command in MiB, read from /proc while it runs (Linux: proc_pid_status(5), VmHWM).
fn peak_memory(command: &mut Command) -> Outcome<u64> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        if let Some(kib) = fs::read_to_string(&status).ok().and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("VmHWM:"))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        }) {
            peak = kib.max(peak);
        }
        if let Some(status) = child.try_wait()? {
            if !status.success() {
                return Err(format!("{command:?} failed").into());
            }
            return Ok(peak.div_ceil(1024));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

struct Row {
    ours: Vec<f64>,
    other: Vec<f64>,
}

/// One warm-up of each, then in turn.
fn alternate(mut ours: impl FnMut() -> Outcome<f64>, mut other: impl FnMut() -> Outcome<f64>) -> Outcome<Row> {
    ours()?;
    other()?;
    let mut row = Row { ours: Vec::new(), other: Vec::new() };
    for _ in 0..ROUNDS {
        row.ours.push(ours()?);
        row.other.push(other()?);
    }
    Ok(row)
}

impl Row {
    fn print(&self, name: &str, goal: Option<f64>) {
        let mut ratios: Vec<f64> = self.ours.iter().zip(&self.other).map(|(ours, other)| ours / other).collect();
        ratios.sort_by(f64::total_cmp);
        let (low, high) = (ratios[0], ratios[ratios.len() - 1]);
        let verdict = match goal {
            Some(goal) if high <= goal => "met",
            Some(goal) if low > goal => "missed",
            Some(_) => "within the spread",
            None => "",
        };
        println!(
            "{name:<44} {:>8.3} s {:>8.3} s {:>8.3} {:>8.3}-{:<8.3} {:>6} {verdict}",
            median(&self.ours),
            median(&self.other),
            median(&ratios),
            low,
            high,
            goal.map(|goal| goal.to_string()).unwrap_or_default(),
        );
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}
