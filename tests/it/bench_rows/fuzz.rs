//! The row `fuzz`: a million mutated bundles, read and imported in this process.

use std::time::Instant;

use crate::Outcome;
use crate::fuzz::{Campaign, Corpus, MAX_MEMORY_GROWTH_KIB, ROUND_TIMEOUT};

/// Fixed, so that a round can be repeated.
const SEED: u64 = 20_261_129;
const ROUNDS: u64 = 1_000_000;

/// Runs the rounds and prints what became of them. It ends with the first fault.
pub fn run_fuzz() -> Outcome<()> {
    let campaign = Campaign {
        seed: env_number("FROSTMIRROR_FUZZ_SEED", SEED)?,
        rounds: env_number("FROSTMIRROR_FUZZ_ROUNDS", ROUNDS)?,
        // One, so that the peak of the process is the peak of one reader.
        threads: 1,
        failures: std::env::temp_dir(),
    };
    println!(
        "fuzz: {} rounds, seed {}; at most {} s a round and {} MiB of growth",
        campaign.rounds,
        campaign.seed,
        ROUND_TIMEOUT.as_secs(),
        MAX_MEMORY_GROWTH_KIB / 1024
    );
    let begin = Instant::now();
    let tally = campaign.run(&Corpus::new())?;
    for (what, count) in &tally.outcomes {
        println!("  {what:<60} {count:>9}");
    }
    let seconds = begin.elapsed().as_secs_f64();
    let rate = f64::from(u32::try_from(campaign.rounds)?) / seconds;
    println!(
        "fuzz: {} rounds in {seconds:.0} s, {rate:.0} a second; peak memory grew by {} KiB",
        campaign.rounds, tally.memory_growth_kib
    );
    println!("fuzz: no panic, no hang, no changed mirror");
    Ok(())
}

fn env_number(name: &str, default: u64) -> Outcome<u64> {
    match std::env::var(name) {
        Ok(text) => text.parse().map_err(|_| format!("{name} must be a whole number; it is `{text}`").into()),
        Err(_) => Ok(default),
    }
}
