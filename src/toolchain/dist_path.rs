//! The meaning of a path on a dist server, from its name alone: for messages about missing files, and for summaries.

use std::collections::BTreeSet;

use crate::safe_path::SafePath;

use super::name::{Date, is_triple};

/// The kind of a file below `dist/` or `rustup/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DistPath<'p> {
    /// A channel manifest or its checksum or signature: the toolchain's name, for example `nightly-2026-04-25`.
    Toolchain(String),
    /// A component of a release: `rust-std` for `wasm32-unknown-unknown`. A component for every target has no triple.
    Component {
        /// The name as in `[platforms]`.
        component: &'p str,
        /// The release, if it is a version or a channel: `1.95.0`, `nightly`, `beta`.
        release: &'p str,
        /// The triple.
        target: Option<&'p str>,
    },
    /// rustup itself, for this triple.
    Rustup(&'p str),
}

impl<'p> DistPath<'p> {
    /// The kind of `path`; `None` if its name has none of upstream's forms.
    pub fn parse(path: &'p SafePath) -> Option<DistPath<'p>> {
        let parts: Vec<&str> = path.components().collect();
        match parts.as_slice() {
            ["dist", file] => parse_manifest_name(file).map(|channel| DistPath::Toolchain(channel.to_owned())),
            ["dist", date, file] if date.parse::<Date>().is_ok() => match parse_manifest_name(file) {
                Some(channel) => Some(DistPath::Toolchain(format!("{channel}-{date}"))),
                None => parse_component_name(file),
            },
            ["rustup", "dist", triple, _] | ["rustup", "archive", _, triple, _] if is_triple(triple) => {
                Some(DistPath::Rustup(triple))
            }
            _ => None,
        }
    }
}

/// The triples of these files.
pub fn std_targets_of<'p>(paths: impl Iterator<Item = &'p SafePath>) -> BTreeSet<String> {
    let target = |path: &'p SafePath| match DistPath::parse(path)? {
        DistPath::Component { component: "rust-std", target, .. } => target.map(str::to_owned),
        _ => None,
    };
    paths.filter_map(target).collect()
}

fn parse_manifest_name(file: &str) -> Option<&str> {
    let channel = strip_sidecar_suffix(file).strip_prefix("channel-rust-")?.strip_suffix(".toml")?;
    is_safe_to_display(channel).then_some(channel)
}

/// Parses `rust-std-1.95.0-wasm32-unknown-unknown.tar.xz`: the name, the version or channel, the target.
fn parse_component_name(file: &str) -> Option<DistPath<'_>> {
    let file = strip_sidecar_suffix(file);
    let stem = file.strip_suffix(".tar.xz").or_else(|| file.strip_suffix(".tar.gz"))?;
    let is_release = |word: &str| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.');
    let (at, release) = stem.match_indices('-').find_map(|(at, _)| {
        let word = stem[at + 1..].split('-').next().unwrap_or_default();
        (word == "nightly" || word == "beta" || is_release(word)).then_some((at, word))
    })?;
    let component = &stem[..at];
    let rest = &stem[at + 1 + release.len()..];
    // `1.96.0-beta.3` is a release of two parts.
    let rest = match rest.strip_prefix("-beta") {
        Some(more) if more.is_empty() || more.starts_with(['.', '-']) => &more[more.find('-').unwrap_or(more.len())..],
        _ => rest,
    };
    let target = rest.strip_prefix('-').filter(|target| is_triple(target));
    (is_safe_to_display(component) && (rest.is_empty() || target.is_some())).then_some(DistPath::Component {
        component,
        release,
        target,
    })
}

fn strip_sidecar_suffix(file: &str) -> &str {
    file.strip_suffix(".sha256").or_else(|| file.strip_suffix(".asc")).unwrap_or(file)
}

/// Whether a part is safe to show on a page or a terminal.
fn is_safe_to_display(word: &str) -> bool {
    !word.is_empty() && word.len() <= 100 && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_upstreams_path_forms_are_parsed() {
        let component = |component, release, target| Some(DistPath::Component { component, release, target });
        let wasm = Some("wasm32-unknown-unknown");
        let toolchain = |name: &str| Some(DistPath::Toolchain(name.to_owned()));
        for (path, named) in [
            ("dist/channel-rust-stable.toml", toolchain("stable")),
            ("dist/channel-rust-1.86.0.toml.sha256", toolchain("1.86.0")),
            ("dist/2026-04-25/channel-rust-nightly.toml.asc", toolchain("nightly-2026-04-25")),
            ("dist/2026-04-16/rust-std-1.95.0-wasm32-unknown-unknown.tar.xz", component("rust-std", "1.95.0", wasm)),
            ("dist/2026-04-16/rust-src-1.95.0.tar.gz", component("rust-src", "1.95.0", None)),
            ("dist/2026-04-25/miri-nightly-wasm32-unknown-unknown.tar.xz", component("miri", "nightly", wasm)),
            (
                "dist/2026-04-25/rust-std-1.96.0-beta.3-wasm32-unknown-unknown.tar.xz",
                component("rust-std", "1.96.0", wasm),
            ),
            ("rustup/dist/x86_64-apple-darwin/rustup-init", Some(DistPath::Rustup("x86_64-apple-darwin"))),
            (
                "rustup/archive/1.29.0/x86_64-apple-darwin/rustup-init.sha256",
                Some(DistPath::Rustup("x86_64-apple-darwin")),
            ),
            ("rustup/release-stable.toml", None),
            ("dist/2026-04-16/cargo.tar.xz", None),
            ("dist/2026-04-16/cargo-1.95.0-<b>.tar.xz", None),
            ("dist/channel-rust-<b>.toml", None),
            ("dist/x/cargo-1.95.0.tar.xz", None),
        ] {
            assert_eq!(DistPath::parse(&path.parse().expect("safe")), named, "{path}");
        }
        let paths =
            ["dist/2026-04-16/rust-std-1.95.0-wasm32-unknown-unknown.tar.xz", "dist/2026-04-16/rust-src-1.95.0.tar.gz"];
        let paths: Vec<SafePath> = paths.iter().map(|path| path.parse().expect("safe")).collect();
        assert_eq!(std_targets_of(paths.iter()), BTreeSet::from(["wasm32-unknown-unknown".to_owned()]));
    }
}
