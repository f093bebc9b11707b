//! Names of toolchains in rustup's form, without a host: `stable`, `1.86.0`, `nightly-2026-04-25`.

use std::fmt;
use std::str::FromStr;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::crate_id::Version;
use crate::diagnostics::closest_match;
use crate::safe_path::SafePath;

/// The name of a toolchain without its host. It is one of:
///
/// - `stable`, `beta`, `nightly`;
/// - one of these with a date: `nightly-2026-04-25`;
/// - a release, with or without its patch: `1.86.0`, `1.86`;
/// - a beta of a release, with or without its number: `1.90.0-beta.3`, `1.90.0-beta`.
///
/// (rustup: src/dist/mod.rs, the grammar of a partial toolchain description.)
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ToolchainName(Name);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Name {
    Release(Release),
    Channel(Channel, Option<Date>),
}

/// The number of a release, with the given parts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Release {
    major: u16,
    minor: u16,
    patch: Option<u16>,
    /// `-beta` and its number.
    beta: Option<Option<u16>>,
}

/// One of the three channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// A new release every six weeks.
    Stable,
    /// The candidate for the next release.
    Beta,
    /// The build of every night.
    Nightly,
}

/// A date in the form `YYYY-MM-DD`; the name of a folder below `dist/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(jiff::civil::Date);

/// Whether `text` has the form of a target triple. The channel manifest states which triples exist.
pub fn is_triple(text: &str) -> bool {
    let good =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.');
    text.len() <= 100 && text.contains('-') && !text.contains("..") && text.split('-').all(good)
}

impl Date {
    /// Whether this date is too far ahead of `now` for a release: two days or more, which allows for clock differences
    /// and time zones.
    pub fn is_in_the_future_of(self, now: Timestamp) -> bool {
        let today = TimeZone::UTC.to_datetime(now).date();
        self.0.duration_since(today) > SignedDuration::from_hours(48)
    }
}

/// An invalid name of a toolchain.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "`{}` is not a toolchain name such as `stable`, `1.86.0` or `nightly-2026-04-25`{}",
    .0.escape_debug(),
    suggest_correction(.0).map(|doubt| format!(" ({doubt})")).unwrap_or_default()
)]
pub struct InvalidToolchainName(String);

/// An invalid date.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{}` is not a date such as `2026-04-25`", .0.escape_debug())]
pub struct InvalidDate(String);

impl ToolchainName {
    /// The path of upstream's manifest that rustup requests under this name, below the root of the dist server:
    /// `dist/channel-rust-stable.toml`, `dist/2026-04-25/channel-rust-nightly.toml`.
    pub fn manifest_path(&self) -> SafePath {
        let path = match &self.0 {
            Name::Channel(channel, Some(date)) => format!("dist/{date}/channel-rust-{channel}.toml"),
            Name::Channel(..) | Name::Release(_) => format!("dist/channel-rust-{self}.toml"),
        };
        path.parse().expect("words, digits, dots and dashes are safe")
    }

    /// Whether upstream may replace the manifest under this name: a channel without a date, a release without its
    /// patch, or a beta of a release without its number.
    pub fn is_mutable(&self) -> bool {
        match &self.0 {
            Name::Channel(_, date) => date.is_none(),
            Name::Release(release) => release.patch.is_none() || release.beta == Some(None),
        }
    }

    /// The oldest compiler of a pinned release, without its beta: `1.86.0` for `1.86`. `None` for the three channels,
    /// dated or not, whose names do not state it.
    pub fn min_version(&self) -> Option<Version> {
        match &self.0 {
            Name::Release(Release { major, minor, patch, .. }) => {
                Some(Version::new((*major).into(), (*minor).into(), patch.unwrap_or(0).into()))
            }
            Name::Channel(..) => None,
        }
    }

    /// The channel that this toolchain was released on.
    pub fn channel(&self) -> Channel {
        match &self.0 {
            Name::Channel(channel, _) => *channel,
            Name::Release(Release { beta: Some(_), .. }) => Channel::Beta,
            Name::Release(_) => Channel::Stable,
        }
    }

    /// The date of a dated channel.
    pub fn date(&self) -> Option<Date> {
        match &self.0 {
            Name::Channel(_, date) => *date,
            Name::Release(_) => None,
        }
    }

    /// The channel as it was on that date.
    pub(super) fn dated(channel: Channel, date: Date) -> ToolchainName {
        ToolchainName(Name::Channel(channel, Some(date)))
    }

    /// The same release under a less specific name that may move: `1.86` for `1.86.0`, `1.90.0-beta` for
    /// `1.90.0-beta.3`. `None` if this is not a release.
    pub(super) fn less_specific(&self) -> Option<ToolchainName> {
        match &self.0 {
            Name::Release(release) if release.beta.is_some() => {
                Some(ToolchainName(Name::Release(Release { beta: Some(None), ..release.clone() })))
            }
            Name::Release(release) => Some(ToolchainName(Name::Release(Release { patch: None, ..release.clone() }))),
            Name::Channel(..) => None,
        }
    }
}

impl FromStr for ToolchainName {
    type Err = InvalidToolchainName;

    fn from_str(text: &str) -> Result<ToolchainName, InvalidToolchainName> {
        parse_name(text).map(ToolchainName).ok_or_else(|| InvalidToolchainName(text.chars().take(80).collect()))
    }
}

/// A suggestion for an invalid name: the name that was probably meant, or a date that does not exist.
pub fn suggest_correction(text: &str) -> Option<String> {
    const CHANNELS: [&str; 3] = ["stable", "beta", "nightly"];
    let (word, date) = match text.split_once('-') {
        Some((word, date)) => (word, Some(date)),
        None => (text, None),
    };
    if parse_channel(word).is_some() {
        let looks_like_a_day = |date: &&str| date.bytes().all(|b| b.is_ascii_digit() || b == b'-') && date.len() < 20;
        return date.filter(looks_like_a_day).map(|date| format!("`{date}` is not a valid date"));
    }
    let near = closest_match(word, &CHANNELS)?;
    Some(match date.filter(|date| date.parse::<Date>().is_ok()) {
        Some(date) => format!("did you mean `{near}-{date}`?"),
        None => format!("did you mean `{near}`?"),
    })
}

fn parse_name(text: &str) -> Option<Name> {
    if let Some(channel) = parse_channel(text) {
        return Some(Name::Channel(channel, None));
    }
    match text.split_once('-') {
        Some((word, date)) if parse_channel(word).is_some() => {
            Some(Name::Channel(parse_channel(word)?, Some(date.parse().ok()?)))
        }
        _ => parse_release(text).map(Name::Release),
    }
}

fn parse_channel(word: &str) -> Option<Channel> {
    match word {
        "stable" => Some(Channel::Stable),
        "beta" => Some(Channel::Beta),
        "nightly" => Some(Channel::Nightly),
        _ => None,
    }
}

fn parse_release(text: &str) -> Option<Release> {
    let (numbers, beta) = match text.split_once('-') {
        None => (text, None),
        Some((numbers, "beta")) => (numbers, Some(None)),
        Some((numbers, beta)) => (numbers, Some(Some(parse_number(beta.strip_prefix("beta.")?)?))),
    };
    let mut parts = numbers.split('.');
    let (major, minor) = (parse_number(parts.next()?)?, parse_number(parts.next()?)?);
    let patch = match parts.next() {
        Some(part) => Some(parse_number(part)?),
        None => None,
    };
    parts.next().is_none().then_some(Release { major, minor, patch, beta })
}

/// At most four digits without leading zeros: the parsed number must print as the original text.
fn parse_number(text: &str) -> Option<u16> {
    let plain = text == "0" || !text.starts_with('0');
    let digits = (1..=4).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if plain && digits { text.parse().ok() } else { None }
}

impl fmt::Display for ToolchainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Name::Channel(channel, None) => write!(f, "{channel}"),
            Name::Channel(channel, Some(date)) => write!(f, "{channel}-{date}"),
            Name::Release(Release { major, minor, patch, beta }) => {
                write!(f, "{major}.{minor}")?;
                if let Some(patch) = patch {
                    write!(f, ".{patch}")?;
                }
                match beta {
                    None => Ok(()),
                    Some(None) => f.write_str("-beta"),
                    Some(Some(number)) => write!(f, "-beta.{number}"),
                }
            }
        }
    }
}

impl TryFrom<String> for ToolchainName {
    type Error = InvalidToolchainName;

    fn try_from(text: String) -> Result<ToolchainName, InvalidToolchainName> {
        text.parse()
    }
}

impl From<ToolchainName> for String {
    fn from(toolchain: ToolchainName) -> String {
        toolchain.to_string()
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Channel::Stable => "stable",
            Channel::Beta => "beta",
            Channel::Nightly => "nightly",
        })
    }
}

impl FromStr for Date {
    type Err = InvalidDate;

    fn from_str(text: &str) -> Result<Date, InvalidDate> {
        parse_date(text).map(Date).ok_or_else(|| InvalidDate(text.chars().take(80).collect()))
    }
}

/// Stricter than the date library, which accepts more forms than the one that names a folder.
fn parse_date(text: &str) -> Option<jiff::civil::Date> {
    let mut parts = text.split('-');
    let mut digits = |width: usize| {
        let part = parts.next()?;
        if part.len() == width && part.bytes().all(|b| b.is_ascii_digit()) { part.parse::<i16>().ok() } else { None }
    };
    let (year, month, day) = (digits(4)?, digits(2)?, digits(2)?);
    if parts.next().is_some() {
        return None;
    }
    jiff::civil::Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.0.year(), self.0.month(), self.0.day())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn toolchain(text: &str) -> ToolchainName {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn rustups_names_are_accepted_and_others_refused() {
        for good in [
            "stable",
            "beta",
            "nightly",
            "1.86",
            "1.86.0",
            "nightly-2026-04-25",
            "stable-2025-02-20",
            "beta-2026-04-25",
            "1.90.0-beta.3",
            "1.90.0-beta",
        ] {
            assert_eq!(toolchain(good).to_string(), good);
        }
        for bad in [
            "",
            "1",
            "latest",
            "nightly-2026",
            "nightly-2026-13-01",
            "nightly-2026-02-30",
            "nightly-2026-04-25-x86_64-unknown-linux-gnu",
            "nightly-2026-04-16/../..",
            "nightly-x86_64-unknown-linux-gnu",
            "1.86.0-2026-04-25",
            "1.86.0.1",
            "1.086.0",
            "1.99999",
            "1.86.0-rc",
            "1.86.0-beta.",
            "../x",
            "stable ",
            "Stable",
            "1.x",
            "1.+1",
        ] {
            assert!(bad.parse::<ToolchainName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn manifest_paths_match_rustups() {
        for (name, path) in [
            ("stable", "dist/channel-rust-stable.toml"),
            ("nightly", "dist/channel-rust-nightly.toml"),
            ("1.86.0", "dist/channel-rust-1.86.0.toml"),
            ("1.86", "dist/channel-rust-1.86.toml"),
            ("1.90.0-beta.3", "dist/channel-rust-1.90.0-beta.3.toml"),
            ("nightly-2026-04-25", "dist/2026-04-25/channel-rust-nightly.toml"),
            ("stable-2025-02-20", "dist/2025-02-20/channel-rust-stable.toml"),
        ] {
            assert_eq!(toolchain(name).manifest_path().as_str(), path);
        }
    }

    #[test]
    fn only_floating_names_are_mutable() {
        for (name, moves, version) in [
            ("stable", true, None),
            ("beta", true, None),
            ("nightly", true, None),
            ("1.86", true, Some("1.86.0")),
            ("1.90.0-beta", true, Some("1.90.0")),
            ("1.90.0-beta.3", false, Some("1.90.0")),
            ("1.86.1", false, Some("1.86.1")),
            ("nightly-2026-04-25", false, None),
        ] {
            assert_eq!(toolchain(name).is_mutable(), moves, "{name}");
            assert_eq!(toolchain(name).min_version().map(|version| version.to_string()).as_deref(), version, "{name}");
        }
    }

    #[test]
    fn releases_sort_by_their_numbers() {
        let mut names: Vec<ToolchainName> =
            ["stable", "1.100.0", "1.9.0", "1.86", "nightly-2026-04-25", "1.86.0"].map(toolchain).into();
        names.sort();
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["1.9.0", "1.86", "1.86.0", "1.100.0", "stable", "nightly-2026-04-25"]);
    }

    #[test]
    fn deserialized_names_are_validated() {
        assert_eq!(serde_json::to_string(&toolchain("1.86")).expect("a string"), "\"1.86\"");
        assert_eq!(serde_json::from_str::<ToolchainName>("\"1.86\"").expect("a name"), toolchain("1.86"));
        assert!(serde_json::from_str::<ToolchainName>("\"../x\"").is_err());
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_back(text in "(stable|beta|nightly|[0-9]{1,5}(\\.[0-9]{1,5}){0,3}){1}(-(beta|[0-9]{4})(\\.[0-9]{1,2}|-[0-9]{2}-[0-9]{2})?)?|\\PC{0,20}") {
            if let Ok(toolchain) = text.parse::<ToolchainName>() {
                prop_assert_eq!(toolchain.to_string(), text);
                let path = toolchain.manifest_path();
                prop_assert_eq!(path.components().next(), Some("dist"));
            }
        }
    }

    #[test]
    fn triples_with_path_characters_are_refused() {
        for good in ["x86_64-unknown-linux-gnu", "wasm32-unknown-unknown", "thumbv8m.main-none-eabihf", "wasm32-wasip1"]
        {
            assert!(is_triple(good), "{good}");
        }
        for bad in ["", "linux", "../../etc-x", "a--b", "x86_64/unknown", "x-..", "a-b c"] {
            assert!(!is_triple(bad), "{bad}");
        }
    }
}
