//! Progress bars in cargo's style: their state, their time estimate, and their line for a given width.

use std::time::{Duration, Instant};

use crate::event::Phase;
use crate::units::approximate_size;

/// A phase shorter than this shows no bar (cargo: util/progress.rs).
const FIRST_DRAW_AFTER: Duration = Duration::from_millis(500);
/// Interval of the samples for the rate.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);
/// Weight of the newest sample in the rate.
const SAMPLE_WEIGHT: f64 = 0.3;
/// Columns of the label, as for status lines.
const LABEL_COLUMNS: usize = 12;
/// A narrower bar shows nothing, so it is left out.
const MIN_BAR_COLUMNS: usize = 8;
const MAX_BAR_COLUMNS: usize = 30;

/// The active phases.
#[derive(Debug, Default)]
pub(super) struct Bars {
    /// In the order in which they began.
    bars: Vec<Bar>,
    /// Whether a thread draws them.
    pub(super) has_drawing_thread: bool,
}

/// One phase.
#[derive(Debug)]
struct Bar {
    phase: Phase,
    unit: Unit,
    total: u64,
    done: u64,
    /// Bytes so far, if the total counts items.
    bytes: u64,
    began: Instant,
    last_sample: (Instant, u64),
    /// Units per second; `None` until it was measured.
    rate: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Items,
    Bytes,
}

/// The text of a bar, in two parts because the label is colored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct BarLine {
    pub(super) label: String,
    pub(super) rest: String,
}

impl BarLine {
    /// The number of columns; the text is ASCII.
    pub(super) fn columns(&self) -> usize {
        self.label.len() + self.rest.len()
    }
}

impl Bars {
    /// Begins a phase. If the number of bytes is known, it gives a better bar and a better estimate than the items.
    pub(super) fn begin(&mut self, phase: Phase, items: u64, bytes: u64, now: Instant) {
        let (unit, total) = if bytes > 0 { (Unit::Bytes, bytes) } else { (Unit::Items, items) };
        self.bars.push(Bar { phase, unit, total, done: 0, bytes: 0, began: now, last_sample: (now, 0), rate: None });
    }

    /// Counts finished work.
    pub(super) fn advance(&mut self, phase: Phase, items: u64, bytes: u64) {
        if let Some(bar) = self.bars.iter_mut().rfind(|bar| bar.phase == phase) {
            bar.bytes = bar.bytes.saturating_add(bytes);
            let step = if bar.unit == Unit::Bytes { bytes } else { items };
            bar.done = bar.done.saturating_add(step).min(bar.total);
        }
    }

    /// Ends a phase.
    pub(super) fn end(&mut self, phase: Phase) {
        if let Some(position) = self.bars.iter().rposition(|bar| bar.phase == phase) {
            self.bars.remove(position);
        }
    }

    /// Ends every phase.
    pub(super) fn clear(&mut self) {
        self.bars.clear();
    }

    /// Whether no phase is active.
    pub(super) fn is_empty(&self) -> bool {
        self.bars.is_empty()
    }

    /// The line of the phase that began last, for a terminal of `width` columns; `None` if no phase is active or all of
    /// them are new.
    pub(super) fn line(&mut self, now: Instant, width: usize) -> Option<BarLine> {
        for bar in &mut self.bars {
            bar.sample(now);
        }
        let bar = self.bars.iter().rfind(|bar| now.duration_since(bar.began) >= FIRST_DRAW_AFTER)?;
        Some(bar.line(width))
    }
}

impl Bar {
    fn sample(&mut self, now: Instant) {
        let (then, done) = self.last_sample;
        let elapsed = now.duration_since(then);
        if elapsed < SAMPLE_INTERVAL {
            return;
        }
        self.last_sample = (now, self.done);
        let newest = self.done.saturating_sub(done) as f64 / elapsed.as_secs_f64();
        self.rate = match self.rate {
            Some(rate) => Some(rate + SAMPLE_WEIGHT * (newest - rate)),
            // Nothing finished yet, so nothing is known.
            None => Some(newest).filter(|rate| *rate > 0.0),
        };
    }

    /// The remaining time, if it was measured and lasts a second or more.
    fn remaining_time(&self) -> Option<Duration> {
        let rate = self.rate.filter(|rate| *rate > 0.0)?;
        let seconds = self.total.saturating_sub(self.done) as f64 / rate;
        Duration::try_from_secs_f64(seconds).ok().filter(|left| left.as_secs() > 0)
    }

    /// At most `width - 1` columns: a full line would wrap in some terminals. Narrow terminals lose the rate first, then
    /// the remaining time, the bar, and the counts.
    fn line(&self, width: usize) -> BarLine {
        let limit = width.saturating_sub(1);
        let label = format!("{:>LABEL_COLUMNS$}", self.phase.verb());
        let counts = match self.unit {
            Unit::Bytes => format!("{}/{}", approximate_size(self.done, 1), approximate_size(self.total, 1)),
            Unit::Items => format!("{}/{}", self.done, self.total),
        };
        let bytes = match self.unit {
            Unit::Items if self.bytes > 0 => format!(" ({})", approximate_size(self.bytes, 1)),
            Unit::Items | Unit::Bytes => String::new(),
        };
        let left = self.remaining_time().map(|left| format!(", {} left", format_seconds(left.as_secs())));
        let left = left.unwrap_or_default();
        let rate = match (self.unit, self.rate) {
            (Unit::Bytes, Some(rate)) => format!(", {}/s", approximate_size(whole(rate), 1)),
            _ => String::new(),
        };
        let with_bar = [format!("{counts}{bytes}{rate}{left}"), format!("{counts}{left}"), counts.clone()];
        for text in with_bar {
            // A blank, two brackets and another blank.
            let used = label.len() + text.len() + 4;
            if limit >= used + MIN_BAR_COLUMNS {
                let bar = self.bar((limit - used).min(MAX_BAR_COLUMNS));
                return BarLine { label, rest: format!(" [{bar}] {text}") };
            }
        }
        let percent = format!("{}%", u128::from(self.done) * 100 / u128::from(self.total.max(1)));
        for text in [counts, percent] {
            if label.len() + 1 + text.len() <= limit {
                return BarLine { label, rest: format!(" {text}") };
            }
        }
        BarLine { label: label.trim_start().chars().take(limit).collect(), rest: String::new() }
    }

    fn bar(&self, columns: usize) -> String {
        let share = u128::from(self.done) * columns as u128 / u128::from(self.total.max(1));
        let filled = usize::try_from(share).unwrap_or(columns).min(columns);
        let head = match filled {
            0 => String::new(),
            full if full == columns => "=".repeat(columns),
            filled => format!("{}>", "=".repeat(filled - 1)),
        };
        format!("{head:columns$}")
    }
}

/// A non-negative rate as a whole number.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an estimate; the cast saturates")]
fn whole(rate: f64) -> u64 {
    rate as u64
}

/// `12s`, `3m 20s`, `2h 5m`.
fn format_seconds(seconds: u64) -> String {
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m {seconds}s"),
        (hours, minutes, _) => format!("{hours}h {minutes}m"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDTHS: [usize; 6] = [1, 13, 20, 40, 80, 200];

    fn text(line: &BarLine) -> String {
        format!("{}{}", line.label, line.rest)
    }

    /// Bars with one phase that did `steps`, one a second.
    fn bars(items: u64, bytes: u64, steps: &[(u64, u64)]) -> (Bars, Instant) {
        let mut bars = Bars::default();
        let mut now = Instant::now();
        bars.begin(Phase::Downloading, items, bytes, now);
        for (items, bytes) in steps {
            now += Duration::from_secs(1);
            bars.advance(Phase::Downloading, *items, *bytes);
            bars.line(now, 80);
        }
        (bars, now)
    }

    #[test]
    fn a_bar_shrinks_with_the_terminal() {
        let (mut crates, now) = bars(178, 0, &[(0, 1_365_095), (10, 2048)]);
        let lines = WIDTHS.map(|width| text(&crates.line(now, width).expect("a line")));
        assert_eq!(
            lines,
            [
                "",
                "Downloading",
                " Downloading 10/178",
                " Downloading [                 ] 10/178",
                " Downloading [>                             ] 10/178 (1.3 MiB), 16s left",
                " Downloading [>                             ] 10/178 (1.3 MiB), 16s left",
            ]
            .map(str::to_owned)
        );
        let (mut file, now) = bars(3, 300 << 20, &[(0, 100 << 20)]);
        let lines = WIDTHS.map(|width| text(&file.line(now, width).expect("a line")));
        assert_eq!(
            lines,
            [
                "",
                "Downloading",
                " Downloading 33%",
                " Downloading 100.0 MiB/300.0 MiB",
                " Downloading [======>               ] 100.0 MiB/300.0 MiB, 100.0 MiB/s, 2s left",
                " Downloading [=========>                    ] 100.0 MiB/300.0 MiB, 100.0 MiB/s, 2s left",
            ]
            .map(str::to_owned)
        );
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for (items, bytes, step) in
            [(0, 0, (0, 0)), (u64::MAX, 0, (u64::MAX, u64::MAX)), (9, u64::MAX, (1, u64::MAX / 2))]
        {
            let (mut bars, now) = bars(items, bytes, &[step, step]);
            for width in 0..300 {
                let line = bars.line(now, width).expect("a line");
                assert!(line.columns() <= width.saturating_sub(1), "{width}: {line:?}");
                assert!(text(&line).is_ascii());
            }
        }
    }

    #[test]
    fn no_remaining_time_is_shown_before_it_is_known() {
        let (mut bars, began) = bars(100, 0, &[]);
        assert_eq!(bars.line(began, 80), None, "a short phase shows nothing");
        let mut at = |seconds: f64, items| {
            bars.advance(Phase::Downloading, items, 0);
            text(&bars.line(began + Duration::from_secs_f64(seconds), 80).expect("a line"))
        };
        for (seconds, items) in [(0.6, 0), (2.0, 0), (2.5, 5)] {
            let line = at(seconds, items);
            assert!(!line.contains("left"), "{line}");
        }
        assert!(at(3.0, 5).ends_with("10/100, 9s left"));
        // Never `0s left`.
        assert!(at(4.0, 90).ends_with("100/100"));
    }

    #[test]
    fn the_phase_that_began_last_is_shown() {
        let (mut bars, began) = bars(10, 0, &[]);
        bars.begin(Phase::Resolving, 4, 0, began);
        let later = began + Duration::from_secs(2);
        assert!(text(&bars.line(later, 80).expect("a line")).starts_with("   Resolving ["));
        bars.end(Phase::Resolving);
        assert!(text(&bars.line(later, 80).expect("a line")).starts_with(" Downloading ["));
        bars.end(Phase::Downloading);
        assert!(bars.is_empty() && bars.line(later, 80).is_none());
    }

    #[test]
    fn times_have_two_units_at_most() {
        assert_eq!([1, 59, 61, 3599, 7500].map(format_seconds), ["1s", "59s", "1m 1s", "59m 59s", "2h 5m"]);
    }
}
