//! Charts as SVG: paths and widths in attributes, since the pages' policy forbids inline styles.

use std::fmt::Write as _;

/// The size of the drawing area of [`steps`], in SVG units.
const CHART_SIZE: (f64, f64) = (600.0, 180.0);

/// A step line: a value holds until the next one.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct StepChart {
    pub(super) line: String,
    /// The closed area below the line.
    pub(super) area: String,
    /// One dot per value.
    pub(super) dots: String,
}

/// Draws values at ascending times; `top` is the value at the upper edge.
pub(super) fn draw_steps(points: &[(i64, u64)], top: u64) -> StepChart {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return StepChart::default() };
    let (width, height) = CHART_SIZE;
    let span = last.0.saturating_sub(first.0).max(1) as f64;
    let mut steps = StepChart::default();
    let (mut before, mut end) = (height, 0.0);
    for (index, (time, value)) in points.iter().enumerate() {
        // A single value is a line from edge to edge.
        let x = if points.len() == 1 { 0.0 } else { time.saturating_sub(first.0) as f64 / span * width };
        let y = height - (*value as f64 / top.max(1) as f64).clamp(0.0, 1.0) * height;
        let draw = if index == 0 { format!("M{x:.1} {y:.1}") } else { format!("L{x:.1} {before:.1}L{x:.1} {y:.1}") };
        steps.line.push_str(&draw);
        // A line of length zero with round ends is a dot at any scale.
        write!(steps.dots, "M{x:.1} {y:.1}h0").expect("writing to memory cannot fail");
        (before, end) = (y, x);
    }
    if points.len() == 1 {
        write!(steps.line, "L{width:.1} {before:.1}").expect("writing to memory cannot fail");
        end = width;
    }
    steps.area = format!("{}L{end:.1} {height:.1}L0.0 {height:.1}Z", steps.line);
    steps
}

/// A round size of at least `bytes`: 1, 2 or 5 of a binary unit times a power of ten.
pub(super) fn round_up(bytes: u64) -> u64 {
    let mut unit = 1u64;
    while bytes / unit >= 1024 {
        unit *= 1024;
    }
    for factor in [1, 2, 5, 10, 20, 50, 100, 200, 500] {
        if unit.saturating_mul(factor) >= bytes {
            return unit.saturating_mul(factor);
        }
    }
    unit.saturating_mul(1024)
}

/// `part` of `whole` as a length of `full`, in SVG syntax; a part above zero is always visible.
pub(super) fn bar_length(part: u64, whole: u64, full: f64) -> f64 {
    if part == 0 || whole == 0 {
        return 0.0;
    }
    (part as f64 / whole as f64 * full).clamp(full / 100.0, full)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_holds_until_the_next_step() {
        let drawn = draw_steps(&[(100, 10), (150, 20), (200, 5)], 20);
        assert_eq!(drawn.line, "M0.0 90.0L300.0 90.0L300.0 0.0L600.0 0.0L600.0 135.0");
        assert_eq!(drawn.dots.matches("h0").count(), 3);
        assert!(drawn.area.ends_with("L600.0 180.0L0.0 180.0Z"), "{}", drawn.area);
        assert_eq!(draw_steps(&[], 20), StepChart::default());
    }

    #[test]
    fn extreme_values_are_drawn() {
        let one = draw_steps(&[(5, 7)], 7);
        assert_eq!(one.line, "M0.0 0.0L600.0 0.0");
        for points in [vec![(i64::MIN, u64::MAX), (i64::MAX, 0)], vec![(1, 1), (1, 1)], vec![(0, 0)]] {
            let drawn = draw_steps(&points, 0);
            assert!(!drawn.line.contains("NaN") && !drawn.line.contains("inf"), "{}", drawn.line);
        }
    }

    #[test]
    fn scales_end_at_round_values() {
        let mib = 1024 * 1024;
        for (bytes, top) in [(0, 1), (1, 1), (3, 5), (1000, 1024), (3 * mib, 5 * mib), (46 * mib, 50 * mib)] {
            assert_eq!(round_up(bytes), top, "{bytes}");
        }
        assert!(round_up(u64::MAX) >= u64::MAX / 2);
        assert_eq!(
            (bar_length(0, 9, 100.0), bar_length(1, 1_000_000, 100.0), bar_length(9, 9, 100.0)),
            (0.0, 1.0, 100.0)
        );
    }
}
