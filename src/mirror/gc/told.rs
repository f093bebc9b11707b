//! A plan and what came of it as data, the same for the verb and for the API; and a grace time in words.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::{Item, Line, Lineage, Plan, Waiting};
use crate::mirror::head::Counts;

/// A plan, as it is told to machines.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Told<'p> {
    /// Whether it is only shown.
    pub dry_run: bool,
    /// Who feeds the mirror.
    lineages: &'p [Lineage],
    /// Index lines that go.
    lines: &'p [Line],
    /// Crates that go in this run.
    crates: &'p [Item],
    /// Bytes of everything that goes in this run.
    bytes: u64,
    /// Crates that go in a later run.
    waiting: &'p [Waiting],
    /// Rustup artifacts that go in this run.
    artifacts: Vec<&'p Item>,
    /// Rustup artifacts that go in a later run.
    artifacts_waiting: &'p [Waiting],
    /// What no bundle on record brought; it stays.
    strangers: &'p [String],
    /// What the mirror holds afterwards.
    after: Counts,
}

impl Plan {
    /// The plan, as it is told to machines.
    pub fn told(&self, dry_run: bool) -> Told<'_> {
        Told {
            dry_run,
            lineages: &self.lineages,
            lines: &self.lines,
            crates: &self.crates,
            bytes: self.bytes() + self.artifacts().map(|item| item.size).sum::<u64>(),
            waiting: &self.waiting,
            artifacts: self.artifacts().collect(),
            artifacts_waiting: &self.components_waiting,
            strangers: &self.strangers,
            after: self.counts,
        }
    }
}

/// A grace time in words: a number with s, m, h or d behind it, or 0.
///
/// # Errors
/// What is expected, where it is none of these.
pub fn grace(text: &str) -> Result<Duration, String> {
    let wrong = || "give a number and a unit: 90s, 10m, 2h, 7d; or 0".to_owned();
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let number = text.get(..text.len().saturating_sub(1)).ok_or_else(wrong)?;
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let unit = match &text[number.len()..] {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let seconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    // Ten thousand years; more than that cannot be added to a date.
    let seconds = seconds.filter(|seconds| *seconds <= 10_000 * 366 * 86_400);
    seconds.map(Duration::from_secs).ok_or_else(|| "that is too long".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        for (text, seconds) in [("0", 0), ("0s", 0), ("90s", 90), ("10m", 600), ("2h", 7200), ("7d", 604_800)] {
            assert_eq!(grace(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "5", "s", "-1s", "1.5h", "1w", "10 m", "7ä", "99999999999999999999d", "9999999999d"] {
            assert!(grace(text).is_err(), "{text}");
        }
    }
}
