//! Figures of mirrors of several sizes: told as they come, and at the end as a table of cost against size.

use super::measure::{median, verdict};

/// Units.
pub const SECONDS: &str = "s";
pub const MIB: &str = "MiB";

/// Runs of one thing on a mirror of one size.
pub struct Measurement {
    what: &'static str,
    unit: &'static str,
    values: Vec<f64>,
    goal: Option<f64>,
}

impl Measurement {
    /// Several runs.
    pub fn new(what: &'static str, unit: &'static str, values: Vec<f64>) -> Measurement {
        Measurement { what, unit, values, goal: None }
    }

    /// A single figure.
    pub fn single(what: &'static str, unit: &'static str, value: f64) -> Measurement {
        Measurement::new(what, unit, vec![value])
    }

    /// At most this much on the largest mirror.
    pub fn with_goal(self, goal: f64) -> Measurement {
        Measurement { goal: Some(goal), ..self }
    }
}

/// Everything measured, on mirrors of these many versions.
pub struct ScalingTable {
    sizes: Vec<usize>,
    lines: Vec<(Measurement, Vec<Option<f64>>)>,
}

impl ScalingTable {
    /// Nothing yet, on mirrors of these sizes, of which goals concern the last.
    pub fn new(sizes: Vec<usize>) -> ScalingTable {
        ScalingTable { sizes, lines: Vec::new() }
    }

    /// The goal where it concerns a mirror of this size.
    pub fn goal(&self, size: usize, goal: Option<f64>) -> Option<f64> {
        goal.filter(|_| self.sizes.last() == Some(&size))
    }

    /// Prints what was measured on a mirror of this size, and remembers its median.
    pub fn add(&mut self, size: usize, measured: Measurement) {
        let Measurement { what, unit, ref values, goal } = measured;
        let (low, high) = (values.iter().copied().fold(f64::MAX, f64::min), values.iter().copied().fold(0.0, f64::max));
        let middle = median(values);
        let goal = self.goal(size, goal);
        println!(
            "{what:<44} {middle:>8.3} {unit:<3} {:>17} {low:>8.3}-{high:<8.3} {:>6} {}",
            "",
            goal.map(|goal| goal.to_string()).unwrap_or_default(),
            verdict(low, high, goal),
        );
        let column = self.sizes.iter().position(|known| *known == size).unwrap_or_default();
        let line = match self.lines.iter().position(|(known, _)| known.what == what) {
            Some(line) => line,
            None => {
                self.lines.push((measured, vec![None; self.sizes.len()]));
                self.lines.len() - 1
            }
        };
        self.lines[line].1[column] = Some(middle);
    }

    /// The table of cost against size.
    pub fn print(&self) {
        let heads: String = self.sizes.iter().map(|size| format!("{size:>12}")).collect();
        println!("{:<44} {heads} {:>14}", "# versions", "goal");
        for (measured, medians) in &self.lines {
            let figure = |median: &Option<f64>| median.map(|median| format!("{median:>12.3}")).unwrap_or_default();
            let figures: String = medians.iter().map(figure).collect();
            let goal = measured.goal.map(|goal| format!("{goal} {}", measured.unit)).unwrap_or_default();
            println!("{:<44} {figures} {goal:>14}", format!("{} [{}]", measured.what, measured.unit));
        }
    }
}
