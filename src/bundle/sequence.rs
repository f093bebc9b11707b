//! The number of a bundle in its lineage.

use jiff::Timestamp;

use crate::units::format_time;

/// Sequence numbers from here on are times in seconds since 1970: of lineages that do not count their bundles, such as
/// live mode's in a snapshot, and those of 1.x bundles.
pub const FIRST_TIMESTAMP_SEQUENCE: u64 = 1_000_000_000;

/// Whether the number is a time.
pub fn is_time(sequence: u64) -> bool {
    sequence >= FIRST_TIMESTAMP_SEQUENCE
}

/// The number of a bundle whose history does not count its bundles, from the second at which it was written. A clock may be
/// set to a time before all such numbers.
pub fn timestamp_sequence(second: i64) -> u64 {
    u64::try_from(second).unwrap_or(0).max(FIRST_TIMESTAMP_SEQUENCE)
}

/// The bundle with this number for users: `bundle number 7`, or `bundle of 2026-04-02T21:30:00Z` if the number is a time.
pub fn describe_bundle_number(sequence: u64) -> String {
    match time_of(sequence) {
        Some(time) => format!("bundle of {}", format_time(time)),
        None => format!("bundle number {sequence}"),
    }
}

/// The number for users: `number 7`, or `time 2026-04-02T21:30:00Z` if the number is a time.
pub fn describe_number(sequence: u64) -> String {
    match time_of(sequence) {
        Some(time) => format!("time {}", format_time(time)),
        None => format!("number {sequence}"),
    }
}

/// The time that the number is; `None` if it is none.
pub(super) fn time_of(sequence: u64) -> Option<Timestamp> {
    let seconds = i64::try_from(sequence).ok().filter(|_| is_time(sequence))?;
    Timestamp::from_second(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_before_all_numbers_that_are_times_gives_the_first() {
        let numbers = [-1, 0, 999_999_999, 1_000_000_001].map(timestamp_sequence);
        assert_eq!(numbers, [1_000_000_000, 1_000_000_000, 1_000_000_000, 1_000_000_001]);
    }

    #[test]
    fn a_number_that_is_a_time_is_shown_as_one() {
        for (sequence, expected) in [
            (1, "bundle number 1"),
            (FIRST_TIMESTAMP_SEQUENCE - 1, "bundle number 999999999"),
            (1_796_056_100, "bundle of 2026-11-30T16:28:20Z"),
            (u64::MAX, "bundle number 18446744073709551615"),
        ] {
            assert_eq!(describe_bundle_number(sequence), expected);
            let expected = expected.replace("bundle of", "time").replace("bundle ", "");
            assert_eq!(describe_number(sequence), expected);
        }
    }
}
