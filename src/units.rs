//! Times of records, and human-readable durations and sizes: `90s`, `10m`, `7d`; `10GiB`, `500MB`.

use std::fmt::Display;
use std::time::Duration;

use jiff::Timestamp;

/// Ten thousand years; a date cannot exceed that.
const MAX_SECONDS: u64 = 10_000 * 366 * 86_400;

/// Units of time in seconds, largest first.
const TIME_UNITS: [(&str, u64); 4] = [("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)];

/// Units of size in bytes.
const SIZE_UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1000),
    ("B", 1),
];

/// Formats a time for records and messages: RFC 3339, UTC, whole seconds (rounded towards the past).
pub fn format_time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Formats a time for logs: like [`format_time`], with milliseconds.
pub fn format_time_millis(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// Parses a duration: a number with s, m, h or d, or 0.
///
/// # Errors
/// The expected form.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || "give a number and a unit: 90s, 10m, 2h, 7d; or 0".to_owned();
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let (number, unit) = split_number(text).ok_or_else(wrong)?;
    let (_, unit) = TIME_UNITS.into_iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    let seconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    let seconds = seconds.filter(|seconds| *seconds <= MAX_SECONDS);
    seconds.map(Duration::from_secs).ok_or_else(|| "that is too long".to_owned())
}

/// Formats a duration for [`parse_duration()`] in the largest unit that fits; fractions of a second are dropped.
pub fn format_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let fits = TIME_UNITS.into_iter().find(|(_, unit)| seconds > 0 && seconds.is_multiple_of(*unit));
    fits.map_or("0".to_owned(), |(name, unit)| format!("{}{name}", seconds / unit))
}

/// Formats a size in binary units with this number of decimals: `512 B`, `1.30 MiB`.
pub fn approximate_size(bytes: u64, decimals: usize) -> String {
    const PREFIXES: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    // The largest number that a unit shows: 1023.999 KiB is shown as 1.00 MiB.
    let limit = 1024.0 - 0.5 / 10f64.powi(i32::try_from(decimals).unwrap_or(0));
    let mut size = bytes as f64;
    let mut prefix = None;
    for next in PREFIXES {
        if bytes < 1024 || size < limit {
            break;
        }
        size /= 1024.0;
        prefix = Some(next);
    }
    prefix.map_or_else(|| format!("{bytes} B"), |prefix| format!("{size:.decimals$} {prefix}B"))
}

/// Formats a number with thousands separators: `1,234`.
pub fn format_count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number with its noun: `1 crate`, `2 crates`, `0 entries`.
pub fn pluralize<N: Copy + Display + PartialEq + From<u8>>(count: N, noun: &str) -> String {
    format!("{count} {}", plural_of(count, noun))
}

/// The form of the noun behind this number.
pub fn plural_of<N: PartialEq + From<u8>>(count: N, noun: &str) -> String {
    if count == N::from(1) {
        return noun.to_owned();
    }
    match noun.strip_suffix('y').filter(|stem| !stem.ends_with(['a', 'e', 'i', 'o', 'u'])) {
        Some(stem) => format!("{stem}ies"),
        None => format!("{noun}s"),
    }
}

/// The form of a verb behind this number: `agree(1, "is", "are")` is `is`.
pub fn agree<'v, N: PartialEq + From<u8>>(count: N, singular: &'v str, plural: &'v str) -> &'v str {
    if count == N::from(1) { singular } else { plural }
}

/// Parses a size in bytes: a number, optionally with KiB, MiB, GiB or TiB (or kB, MB, GB, TB).
///
/// # Errors
/// The expected form.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || "give a number of bytes, or a number and a unit: 500MB, 10GiB; or 0".to_owned();
    let (number, unit) = split_number(text).ok_or_else(wrong)?;
    let unit = match unit {
        "" => 1,
        unit => SIZE_UNITS.into_iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?.1,
    };
    number.parse::<u64>().ok().and_then(|n| n.checked_mul(unit)).ok_or_else(|| "that is too large".to_owned())
}

/// Splits the leading digits from the rest.
fn split_number(text: &str) -> Option<(&str, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    (digits > 0).then(|| text.split_at(digits))
}

/// Whether a count is 0; serde leaves such fields out.
pub fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        for (text, seconds) in [("0", 0), ("0s", 0), ("90s", 90), ("10m", 600), ("2h", 7200), ("7d", 604_800)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
            let shown = format_duration(Duration::from_secs(seconds));
            assert_eq!(parse_duration(&shown), Ok(Duration::from_secs(seconds)), "{shown}");
        }
        for text in ["", "5", "s", "-1s", "1.5h", "1w", "10 m", "7ä", "99999999999999999999d", "9999999999d"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        for (seconds, text) in [(0, "0"), (300, "5m"), (90, "90s"), (3600, "1h"), (86_400, "1d")] {
            assert_eq!(format_duration(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn nouns_follow_their_number() {
        for (count, text) in [(0, "0 crates"), (1, "1 crate"), (2, "2 crates"), (11, "11 crates")] {
            assert_eq!(pluralize(count, "crate"), text);
        }
        assert_eq!(pluralize(1_u64, "index entry"), "1 index entry");
        assert_eq!([plural_of(2, "index entry"), plural_of(2, "day")], ["index entries", "days"]);
    }

    #[test]
    fn sizes_are_bytes_unless_they_have_a_unit() {
        for (text, bytes) in [("0", 0), ("7", 7), ("7B", 7), ("1KiB", 1024), ("10GiB", 10 << 30), ("2kB", 2000)] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "GiB", "1.5GiB", "-1", "1gib", "1 GiB", "99999999999999999999", "99999999999TiB"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
