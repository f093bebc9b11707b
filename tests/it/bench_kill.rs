//! The row `kill`: two hundred kills at random moments, and what was going on when they came.

use crate::kill::{KillPlan, PHASES, run_all};

/// Fixed, so that a round can be repeated.
const SEED: u64 = 20_260_402;
const ROUNDS: usize = 200;

/// Runs the rounds and prints a line for each victim; the first fault is a panic that tells its round.
pub fn run_kills() {
    println!(
        "kill: {ROUNDS} rounds, seed {SEED}; SIGKILL after 0 to 100 % of the undisturbed time, while cargo builds"
    );
    let phases: String = PHASES.iter().map(|phase| format!(" {phase:>8}")).collect();
    println!("{:<44} {:>11} {phases} {:>10} {:>10}", "  victim", "undisturbed", "cargo runs", "files read");
    let tallies = run_all(&KillPlan { rounds: ROUNDS, seed: SEED, names: 60, baseline_rounds: 3 });
    for tally in &tallies {
        let kills: String = tally.kills.iter().map(|kills| format!(" {kills:>8}")).collect();
        let milliseconds = tally.baseline.as_secs_f64() * 1000.0;
        println!(
            "  {:<42} {milliseconds:>8.0} ms {kills} {:>10} {:>10}",
            tally.victim, tally.cargo_runs, tally.files_read
        );
    }
    println!("kill: no reader failed, and every rerun ended as if nothing had been");
}
