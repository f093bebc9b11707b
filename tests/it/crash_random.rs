//! A few rounds of what `cargo xtask bench kill` does by the hundred: killed at a random moment, with readers around.

use crate::kill::{Plan, run};

#[test]
fn killed_at_random_moments_nobody_notices_and_a_rerun_completes_it() {
    let plan = Plan { rounds: 8, seed: 20_260_402, names: 16, undisturbed: 1 };
    let tallies = run(&plan);
    assert_eq!(tallies.iter().flat_map(|tally| tally.kills).sum::<usize>(), plan.rounds);
    for tally in tallies {
        assert!(tally.cargo >= 4 && tally.files > 0, "{}: {} runs of cargo", tally.victim, tally.cargo);
    }
}
