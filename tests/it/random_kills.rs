//! A few rounds of what `cargo xtask bench kill` does by the hundred: killed at a random moment, with readers around.

use crate::kill::{KillPlan, run_all};

#[test]
fn readers_do_not_notice_random_kills_and_a_rerun_completes_them() {
    let plan = KillPlan { rounds: 8, seed: 20_260_402, names: 16, baseline_rounds: 1 };
    let tallies = run_all(&plan);
    assert_eq!(tallies.iter().flat_map(|tally| tally.kills).sum::<usize>(), plan.rounds);
    for tally in tallies {
        assert!(tally.cargo_runs >= 4 && tally.files_read > 0, "{}: {} runs of cargo", tally.victim, tally.cargo_runs);
    }
}
