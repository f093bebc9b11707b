//! The `[platforms]` table: which toolchains to mirror, and for which targets.

use std::collections::HashSet;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::walk::Problems;
use super::words::{kind, nearest, one_of, quote};

/// `[platforms]`. What is empty was not given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Platforms {
    /// Target triples.
    pub targets: Vec<String>,
    /// Channels: `stable`, `1.86.0`, `nightly-2026-04-25`.
    pub toolchain: Vec<String>,
    /// Which components a toolchain has.
    pub profile: Option<Profile>,
    /// Components beyond the profile's.
    pub components: Vec<String>,
}

/// rustup's profiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// rustc, rust-std and cargo.
    Minimal,
    /// With rustfmt, clippy and the documentation.
    Default,
    /// Everything.
    Complete,
}

const KEYS: &[&str] = &["targets", "toolchain", "profile", "components"];
const PROFILES: &[&str] = &["minimal", "default", "complete"];

pub(super) fn read(table: &DeTable<'_>, problems: &mut Problems) -> Platforms {
    let mut platforms = Platforms::default();
    for (key, value) in table.iter() {
        let name = key.get_ref().as_ref();
        let path = format!("platforms.{name}");
        match name {
            "targets" => {
                platforms.targets = words(
                    &path,
                    value,
                    false,
                    problems,
                    "a target triple, such as `x86_64-unknown-linux-gnu`",
                    is_triple,
                );
            }
            "toolchain" => {
                platforms.toolchain = words(
                    &path,
                    value,
                    true,
                    problems,
                    "a channel, such as `stable`, `1.86.0` or `nightly-2026-04-25`",
                    is_channel,
                );
            }
            "components" => {
                platforms.components =
                    words(&path, value, false, problems, "a component, such as `rust-src`", is_component);
            }
            "profile" => platforms.profile = profile(&path, value, problems),
            _ => problems.unknown_key(key.span().start, &path, name, KEYS),
        }
    }
    platforms
}

fn profile(path: &str, value: &Spanned<DeValue<'_>>, problems: &mut Problems) -> Option<Profile> {
    match value.get_ref().as_str() {
        Some("minimal") => Some(Profile::Minimal),
        Some("default") => Some(Profile::Default),
        Some("complete") => Some(Profile::Complete),
        other => {
            let found = other.map_or_else(|| kind(value.get_ref()).to_owned(), quote);
            let near = other.and_then(|text| nearest(text, PROFILES));
            let expected =
                near.map_or_else(|| one_of(PROFILES), |near| format!("{} (did you mean `{near}`?)", one_of(PROFILES)));
            problems.add(value.span().start, format!("{} is {found}", quote(path)), expected);
            None
        }
    }
}

/// An array of distinct words, or one word where `single` allows it.
fn words(
    path: &str,
    value: &Spanned<DeValue<'_>>,
    single: bool,
    problems: &mut Problems,
    expected: &str,
    good: fn(&str) -> bool,
) -> Vec<String> {
    let elements = match value.get_ref() {
        DeValue::Array(elements) if elements.is_empty() => {
            problems.add(
                value.span().start,
                format!("{} is an empty array", quote(path)),
                format!("{expected}, or no such key"),
            );
            return Vec::new();
        }
        DeValue::Array(elements) => elements.iter().collect(),
        DeValue::String(_) if single => vec![value],
        other => {
            let shape = if single { "a string or an array of strings" } else { "an array of strings" };
            problems.add(
                value.span().start,
                format!("{} is {}", quote(path), kind(other)),
                format!("{shape}, each {expected}"),
            );
            return Vec::new();
        }
    };
    let mut words: Vec<String> = Vec::new();
    let mut seen = HashSet::new();
    for element in elements {
        match element.get_ref().as_str() {
            Some(word) if !good(word) => {
                problems.add(element.span().start, format!("{} has {}", quote(path), quote(word)), expected.to_owned());
            }
            Some(word) if !seen.insert(word) => {
                problems.add(
                    element.span().start,
                    format!("{} has {} twice", quote(path), quote(word)),
                    "each once".to_owned(),
                );
            }
            Some(word) => words.push(word.to_owned()),
            None => {
                problems.add(
                    element.span().start,
                    format!("{} has {}", quote(path), kind(element.get_ref())),
                    expected.to_owned(),
                );
            }
        }
    }
    words
}

fn is_triple(text: &str) -> bool {
    let good =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.');
    text.len() <= 100 && text.contains('-') && !text.contains("..") && text.split('-').all(good)
}

fn is_component(text: &str) -> bool {
    let good = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    text.len() <= 100 && text.split('-').all(good)
}

/// `stable`, `beta` or `nightly`, or a version with or without its patch and its beta; each may have a date.
/// (rustup: src/dist/mod.rs, the grammar of a partial toolchain description, without its host.)
fn is_channel(text: &str) -> bool {
    let (channel, date) = match text.char_indices().rev().filter(|(_, c)| *c == '-').nth(2) {
        Some((dash, _)) if is_date(&text[dash + 1..]) => (&text[..dash], true),
        _ => (text, false),
    };
    match channel {
        "stable" | "beta" | "nightly" => true,
        _ if date => false,
        _ => is_version(channel),
    }
}

fn is_date(text: &str) -> bool {
    let widths: Vec<usize> = text.split('-').map(str::len).collect();
    widths == [4, 2, 2] && text.bytes().all(|b| b.is_ascii_digit() || b == b'-')
}

fn is_version(text: &str) -> bool {
    let (numbers, beta) = text.split_once('-').map_or((text, None), |(numbers, beta)| (numbers, Some(beta)));
    let number = |part: &str| (1..=4).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    let parts: Vec<&str> = numbers.split('.').collect();
    let beta = beta.is_none_or(|beta| beta == "beta" || beta.strip_prefix("beta.").is_some_and(number));
    beta && (2..=3).contains(&parts.len()) && parts.into_iter().all(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_rustups() {
        for good in [
            "stable",
            "beta",
            "nightly",
            "1.86",
            "1.86.0",
            "nightly-2026-04-25",
            "beta-2026-04-25",
            "1.90.0-beta.3",
            "1.90.0-beta",
        ] {
            assert!(is_channel(good), "{good}");
        }
        for bad in [
            "",
            "1",
            "latest",
            "nightly-2026",
            "nightly-x86_64-unknown-linux-gnu",
            "1.86.0.1",
            "1.86.0-rc",
            "../x",
            "stable ",
            "1.x",
        ] {
            assert!(!is_channel(bad), "{bad}");
        }
    }

    #[test]
    fn triples_have_no_room_for_paths() {
        for good in ["x86_64-unknown-linux-gnu", "wasm32-unknown-unknown", "thumbv8m.main-none-eabihf", "wasm32-wasip1"]
        {
            assert!(is_triple(good), "{good}");
        }
        for bad in ["", "linux", "../../etc-x", "a--b", "x86_64/unknown", "x-..", "a-b c"] {
            assert!(!is_triple(bad), "{bad}");
        }
    }
}
