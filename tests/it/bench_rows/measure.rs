//! How the rows measure, and how they print.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::Outcome;

/// How often each side of a row runs.
pub const ROUNDS: usize = 7;

pub fn cargo(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO"));
    hermetic(&mut command, home);
    command
}

/// No settings of the machine but what finds the toolchain and the system's authorities.
pub fn hermetic(command: &mut Command, home: &Path) {
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

pub fn on_path(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// Seconds that a command takes; one that fails ends the bench with its words.
pub fn timed(command: &mut Command) -> Outcome<f64> {
    let started = Instant::now();
    let output = command.stdin(Stdio::null()).output()?;
    let seconds = started.elapsed().as_secs_f64();
    if output.status.success() {
        Ok(seconds)
    } else {
        Err(format!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr)).into())
    }
}

/// Highest resident memory of a command in MiB, read while it runs. What is over within milliseconds is seldom seen at
/// its highest, so it is run again and again.
pub fn peak_memory(command: &mut Command) -> Outcome<f64> {
    let started = Instant::now();
    let mut peak = 0.0_f64;
    while started.elapsed() < Duration::from_millis(200) {
        peak = peak.max(peak_of_one(command)?);
    }
    Ok(peak)
}

fn peak_of_one(command: &mut Command) -> Outcome<f64> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let (started, mut peak) = (Instant::now(), 0.0_f64);
    loop {
        peak = peak_of(child.id()).unwrap_or_default().max(peak);
        if let Some(status) = child.try_wait()? {
            return if status.success() { Ok(peak) } else { Err(format!("{command:?} failed").into()) };
        }
        // What ends within a moment is looked at without a pause.
        if started.elapsed() > Duration::from_millis(50) {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Highest resident memory of a process so far in MiB (Linux: proc_pid_status(5), VmHWM).
pub fn peak_of(process: u32) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = text.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? / 1024.0)
}

/// Seconds of both sides, in the order of their runs.
pub struct Comparison {
    /// Ours.
    pub ours: Vec<f64>,
    /// The other side's.
    pub theirs: Vec<f64>,
}

/// One warm-up of each, then in turn.
pub fn alternate(
    mut ours: impl FnMut() -> Outcome<f64>,
    mut other: impl FnMut() -> Outcome<f64>,
) -> Outcome<Comparison> {
    ours()?;
    other()?;
    let mut row = Comparison { ours: Vec::new(), theirs: Vec::new() };
    for _ in 0..ROUNDS {
        row.ours.push(ours()?);
        row.theirs.push(other()?);
    }
    Ok(row)
}

impl Comparison {
    /// Ours by the other side's, pair by pair.
    pub fn ratios(&self) -> Vec<f64> {
        self.ours.iter().zip(&self.theirs).map(|(ours, other)| ours / other).collect()
    }

    /// Prints medians, spread and goal.
    pub fn print(&self, name: &str, goal: Option<f64>) {
        let mut ratios = self.ratios();
        ratios.sort_by(f64::total_cmp);
        let (low, high) = (ratios[0], ratios[ratios.len() - 1]);
        let verdict = verdict(low, high, goal);
        println!(
            "{name:<44} {:>8.3} s {:>8.3} s {:>8.3} {:>8.3}-{:<8.3} {:>6} {verdict}",
            median(&self.ours),
            median(&self.theirs),
            median(&ratios),
            low,
            high,
            goal.map(|goal| goal.to_string()).unwrap_or_default(),
        );
    }
}

/// What a spread says of a goal.
pub fn verdict(low: f64, high: f64, goal: Option<f64>) -> &'static str {
    match goal {
        Some(goal) if high <= goal => "met",
        Some(goal) if low > goal => "missed",
        Some(_) => "within the spread",
        None => "",
    }
}

/// The middle one.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}
