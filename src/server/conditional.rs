//! Evaluates request headers: preconditions, ranges, encodings (RFC 9110). No I/O.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::HeaderMap;
use hyper::header::{
    ACCEPT_ENCODING, HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE,
};

/// The validators of the requested file.
pub(super) struct Validators<'a> {
    /// Strong entity tag, with its quotes.
    pub etag: &'a str,
    /// Time of the last change.
    pub modified: Option<SystemTime>,
}

/// Result of a request's preconditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Precondition {
    /// Answer the request normally.
    Proceed,
    /// 304: the client has the current version.
    NotModified,
    /// 412: the file differs from the version that the client requires.
    Failed,
}

/// Evaluates the preconditions of a GET or HEAD in the order of RFC 9110, 13.2.2.
pub(super) fn evaluate_preconditions(headers: &HeaderMap, validators: &Validators<'_>) -> Precondition {
    if headers.contains_key(IF_MATCH) {
        if !header_lists_etag(headers, &IF_MATCH, validators.etag, false) {
            return Precondition::Failed;
        }
    } else if let (Some(limit), Some(modified)) =
        (parse_date_header(headers, &IF_UNMODIFIED_SINCE), validators.modified)
        && truncate_to_seconds(modified) > limit
    {
        return Precondition::Failed;
    }
    if headers.contains_key(IF_NONE_MATCH) {
        return if matches_etag(headers, validators.etag) { Precondition::NotModified } else { Precondition::Proceed };
    }
    match (parse_date_header(headers, &IF_MODIFIED_SINCE), validators.modified) {
        (Some(since), Some(modified)) if truncate_to_seconds(modified) <= since => Precondition::NotModified,
        _ => Precondition::Proceed,
    }
}

/// Whether If-None-Match contains this entity tag (weak comparison) or is `*`.
pub(super) fn matches_etag(headers: &HeaderMap, etag: &str) -> bool {
    header_lists_etag(headers, &IF_NONE_MATCH, etag, true)
}

fn header_lists_etag(headers: &HeaderMap, name: &HeaderName, etag: &str, weak: bool) -> bool {
    let mut values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values
        .any(|value| value.trim() == "*" || parse_etags(value).any(|(is_weak, tag)| tag == etag && (weak || !is_weak)))
}

/// The entity tags of a list: whether each is weak, and the tag with its quotes. A tag may contain commas.
fn parse_etags(list: &str) -> impl Iterator<Item = (bool, &str)> {
    let mut rest = list;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let (weak, quoted) = match rest.strip_prefix("W/") {
            Some(quoted) => (true, quoted),
            None => (false, rest),
        };
        let end = quoted.strip_prefix('"')?.find('"')? + 2;
        rest = &quoted[end..];
        Some((weak, &quoted[..end]))
    })
}

fn parse_date_header(headers: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok()
}

/// HTTP dates have whole seconds.
fn truncate_to_seconds(time: SystemTime) -> SystemTime {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    UNIX_EPOCH + Duration::from_secs(since.as_secs())
}

/// The part of a file that a request selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestedRange {
    /// All of it: no range, an invalid one, several, or one that If-Range disables.
    Full,
    /// A non-empty part of the file.
    Partial {
        /// Offset of the first byte.
        start: u64,
        /// Length in bytes.
        length: u64,
    },
    /// 416: the range contains no byte of the file.
    Unsatisfiable,
}

/// Whether the request has a Range header.
pub(super) fn has_range(headers: &HeaderMap) -> bool {
    headers.contains_key(RANGE)
}

/// The part of a file of `size` bytes that a GET selects.
pub(super) fn requested_range(headers: &HeaderMap, size: u64, validators: &Validators<'_>) -> RequestedRange {
    let mut ranges = headers.get_all(RANGE).iter();
    let (Some(range), None) = (ranges.next(), ranges.next()) else { return RequestedRange::Full };
    if !if_range_holds(headers, validators) {
        return RequestedRange::Full;
    }
    range.to_str().ok().and_then(|range| parse_range(range, size)).unwrap_or(RequestedRange::Full)
}

/// If-Range compares strongly: a weak tag never matches, and a date must be equal.
fn if_range_holds(headers: &HeaderMap, validators: &Validators<'_>) -> bool {
    let Some(value) = headers.get(IF_RANGE) else { return true };
    let Ok(value) = value.to_str() else { return false };
    if value.contains('"') {
        return value.trim() == validators.etag;
    }
    match (httpdate::parse_http_date(value), validators.modified) {
        (Ok(date), Some(modified)) => date == truncate_to_seconds(modified),
        _ => false,
    }
}

fn parse_range(range: &str, size: u64) -> Option<RequestedRange> {
    let (unit, set) = range.split_once('=')?;
    let (first, last) = set.trim().split_once('-')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    if first.is_empty() {
        let length = parse_digits(last)?.min(size);
        return Some(match length {
            0 => RequestedRange::Unsatisfiable,
            _ => RequestedRange::Partial { start: size - length, length },
        });
    }
    let start = parse_digits(first)?;
    let end = if last.is_empty() { u64::MAX } else { parse_digits(last)? };
    if end < start {
        return None;
    }
    Some(match size.checked_sub(start) {
        None | Some(0) => RequestedRange::Unsatisfiable,
        Some(left) => RequestedRange::Partial { start, length: left.min((end - start).saturating_add(1)) },
    })
}

/// Parses digits without a sign. A number that overflows becomes the maximum, which is larger than every file.
fn parse_digits(digits: &str) -> Option<u64> {
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| digits.parse().unwrap_or(u64::MAX))
}

/// Whether the client accepts gzip with at least the same weight as an unencoded body.
pub(super) fn accepts_gzip(headers: &HeaderMap) -> bool {
    let (mut gzip, mut identity, mut any) = (None, None, None);
    for value in headers.get_all(ACCEPT_ENCODING) {
        for entry in value.to_str().unwrap_or_default().split(',') {
            let mut parameters = entry.split(';').map(str::trim);
            let coding = parameters.next().unwrap_or_default();
            let weight = parameters.find_map(|word| word.strip_prefix("q=").or(word.strip_prefix("Q=")));
            let weight = weight.map_or(Some(1.0), |q| q.parse::<f32>().ok().filter(|q| (0.0..=1.0).contains(q)));
            // An invalid weight disables the entry.
            let weight = weight.unwrap_or(0.0);
            match coding {
                "*" => any = Some(weight),
                _ if coding.eq_ignore_ascii_case("gzip") || coding.eq_ignore_ascii_case("x-gzip") => {
                    gzip = Some(weight)
                }
                _ if coding.eq_ignore_ascii_case("identity") => identity = Some(weight),
                _ => {}
            }
        }
    }
    let gzip = gzip.or(any).unwrap_or(0.0);
    gzip > 0.0 && gzip >= identity.unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    const AT: u64 = 784_111_777; // Sun, 06 Nov 1994 08:49:37 GMT
    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";
    const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";

    fn headers(given: &[(HeaderName, &'static str)]) -> HeaderMap {
        given.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    fn sample_validators() -> Validators<'static> {
        // File systems store fractions of a second.
        Validators { etag: "\"a\"", modified: Some(UNIX_EPOCH + Duration::from_millis(AT * 1000 + 400)) }
    }

    #[test]
    fn preconditions() {
        use Precondition::{Failed, NotModified, Proceed};
        let cases: &[(&[(HeaderName, &'static str)], Precondition)] = &[
            (&[], Proceed),
            (&[(IF_NONE_MATCH, "\"a\"")], NotModified),
            (&[(IF_NONE_MATCH, "W/\"a\"")], NotModified),
            (&[(IF_NONE_MATCH, "\"x,y\" , W/\"b\",\"a\"")], NotModified),
            (&[(IF_NONE_MATCH, "*")], NotModified),
            (&[(IF_NONE_MATCH, "\"b\"")], Proceed),
            (&[(IF_NONE_MATCH, "a")], Proceed),
            (&[(IF_NONE_MATCH, "\"a")], Proceed),
            (&[(IF_MODIFIED_SINCE, DATE)], NotModified),
            (&[(IF_MODIFIED_SINCE, LATER)], NotModified),
            (&[(IF_MODIFIED_SINCE, EARLIER)], Proceed),
            (&[(IF_MODIFIED_SINCE, "yesterday")], Proceed),
            (&[(IF_NONE_MATCH, "\"b\""), (IF_MODIFIED_SINCE, DATE)], Proceed),
            (&[(IF_NONE_MATCH, "\"a\""), (IF_MODIFIED_SINCE, EARLIER)], NotModified),
            (&[(IF_MATCH, "\"a\"")], Proceed),
            (&[(IF_MATCH, "W/\"a\"")], Failed),
            (&[(IF_MATCH, "\"b\"")], Failed),
            (&[(IF_MATCH, "*")], Proceed),
            (&[(IF_UNMODIFIED_SINCE, EARLIER)], Failed),
            (&[(IF_UNMODIFIED_SINCE, DATE)], Proceed),
        ];
        for (given, verdict) in cases {
            assert_eq!(evaluate_preconditions(&headers(given), &sample_validators()), *verdict, "{given:?}");
        }
    }

    #[test]
    fn ranges() {
        let bytes = |start, length| RequestedRange::Partial { start, length };
        for (range, wanted) in [
            ("bytes=0-0", bytes(0, 1)),
            ("bytes=2-5", bytes(2, 4)),
            ("bytes=5-", bytes(5, 5)),
            ("bytes=5-99999999999999999999999", bytes(5, 5)),
            ("BYTES=0-18446744073709551615", bytes(0, 10)),
            ("bytes=-3", bytes(7, 3)),
            ("bytes=-30", bytes(0, 10)),
            ("bytes=-0", RequestedRange::Unsatisfiable),
            ("bytes=10-", RequestedRange::Unsatisfiable),
            ("bytes=99999999999999999999999-", RequestedRange::Unsatisfiable),
            ("bytes=5-4", RequestedRange::Full),
            ("bytes=0-1,3-4", RequestedRange::Full),
            ("bytes=a-b", RequestedRange::Full),
            ("bytes=+1-2", RequestedRange::Full),
            ("bytes=-", RequestedRange::Full),
            ("bytes", RequestedRange::Full),
            ("lines=1-2", RequestedRange::Full),
        ] {
            assert_eq!(requested_range(&headers(&[(RANGE, range)]), 10, &sample_validators()), wanted, "{range}");
        }
        assert_eq!(
            requested_range(&headers(&[(RANGE, "bytes=0-")]), 0, &sample_validators()),
            RequestedRange::Unsatisfiable
        );
        assert_eq!(
            requested_range(&headers(&[(RANGE, "bytes=0-1"), (RANGE, "bytes=0-1")]), 10, &sample_validators()),
            RequestedRange::Full
        );
    }

    #[test]
    fn if_range() {
        for (value, holds) in [
            ("\"a\"", true),
            ("W/\"a\"", false),
            ("\"b\"", false),
            (DATE, true),
            (LATER, false),
            (EARLIER, false),
            ("nonsense", false),
        ] {
            let headers = headers(&[(RANGE, "bytes=0-0"), (IF_RANGE, value)]);
            assert_eq!(requested_range(&headers, 10, &sample_validators()) != RequestedRange::Full, holds, "{value}");
        }
    }

    #[test]
    fn encodings() {
        for (value, gzip) in [
            ("gzip", true),
            ("deflate, gzip", true),
            ("GZip;q=0.5", true),
            ("*", true),
            ("br;q=1.0, gzip;q=0.8, *;q=0.1", true),
            ("", false),
            ("identity", false),
            ("deflate", false),
            ("gzip;q=0", false),
            ("gzip; q=0.000", false),
            ("*, gzip;q=0", false),
            ("gzip;q=banana", false),
            ("identity;q=1, gzip;q=0.5", false),
            ("gzipped", false),
        ] {
            assert_eq!(accepts_gzip(&headers(&[(ACCEPT_ENCODING, value)])), gzip, "{value}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }
}
