//! From a request's path to what it asks for. Decoded once, as a path; accepted only as normal components.

use percent_encoding::percent_decode_str;

use super::scripts::{self, Script};
use crate::artifact::Kind;
use crate::crate_id::{CrateId, CrateName, Version};
use crate::safe_path::SafePath;

/// What a path asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// `/`: what this is, for people.
    Front,
    /// `/healthz`: whether it is there, for machines.
    Health,
    /// `/index/config.json`, made from the request.
    IndexConfig,
    /// A page that is made for the asking client.
    Script(Script),
    /// The index lines of one crate.
    Index(SafePath),
    /// A `.crate` file, and the crate that it is, where its name says so.
    Crate(SafePath, Option<CrateId>),
    /// Any other file that clients may have.
    File(SafePath),
    /// Nothing that could be here.
    Nothing,
}

/// Reads the path of a request as it came over the wire.
pub(super) fn target(raw: &str) -> Target {
    find(raw).unwrap_or(Target::Nothing)
}

fn find(raw: &str) -> Option<Target> {
    let parts = components(raw)?;
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    match parts[..] {
        [] => return Some(Target::Front),
        ["healthz"] => return Some(Target::Health),
        ["index", "config.json"] => return Some(Target::IndexConfig),
        ["crates", name, version, "download"] => {
            let id = CrateId::parse(name, version).ok()?;
            return Some(Target::Crate(id.crate_path(), Some(id)));
        }
        _ => {}
    }
    if let Some(script) = scripts::named(&parts).filter(|_| !raw.ends_with('/')) {
        return Some(Target::Script(script));
    }
    // A folder is no file, and nothing else ends in a slash.
    let path: SafePath = parts.join("/").parse().ok().filter(|_| !raw.ends_with('/'))?;
    match Kind::of_path(&path) {
        Some(Kind::Index) => {
            let name: CrateName = parts.last()?.parse().ok()?;
            (path.strip_prefix("index") == Some(&name.index_path())).then_some(Target::Index(path))
        }
        Some(Kind::Crate) => {
            let id = crate_of(parts.last()?);
            Some(Target::Crate(path, id))
        }
        Some(Kind::Dist | Kind::Rustup) => Some(Target::File(path)),
        _ if path.as_str() == "manifest.json" => Some(Target::File(path)),
        _ => None,
    }
}

/// The components, each decoded by itself, so that `%2F` cannot make two of one. Doubled slashes count once (rustup
/// makes them from a server's address that ends in one). Hidden names are never served.
fn components(raw: &str) -> Option<Vec<String>> {
    let mut components = Vec::new();
    for part in raw.strip_prefix('/')?.split('/').filter(|part| !part.is_empty()) {
        let decoded = percent_decode_str(part).decode_utf8().ok()?;
        if decoded.contains('/') || decoded.starts_with('.') {
            return None;
        }
        components.push(decoded.into_owned());
    }
    Some(components)
}

/// The crate that a file's name stands for. A name has no dot and a version begins with digits and a dot, so the
/// first hyphen that leaves a version behind it is the right one (`foo-1-2.0.0`).
fn crate_of(file: &str) -> Option<CrateId> {
    let stem = file.strip_suffix(".crate")?;
    let mut cuts = stem.match_indices('-').map(|(at, _)| (&stem[..at], &stem[at + 1..]));
    let (name, version) = cuts.find(|(_, version)| version.parse::<Version>().is_ok())?;
    CrateId::parse(name, version).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(path: &str) -> Option<String> {
        match target(path) {
            Target::Index(path) | Target::Crate(path, _) | Target::File(path) => Some(path.into()),
            _ => None,
        }
    }

    #[test]
    fn what_is_served() {
        for (raw, path) in [
            ("/index/se/rd/serde", "index/se/rd/serde"),
            ("/index/1/a", "index/1/a"),
            ("//index//3/a/abc", "index/3/a/abc"),
            ("/crates/serde-1.0.0.crate", "crates/serde-1.0.0.crate"),
            ("/crates/zz-sys-1.0.0+zstd.1.5.5.crate", "crates/zz-sys-1.0.0+zstd.1.5.5.crate"),
            ("/crates/zz-sys-1.0.0%2Bzstd.1.5.5.crate", "crates/zz-sys-1.0.0+zstd.1.5.5.crate"),
            ("/crates/zz-sys/1.0.0+zstd.1.5.5/download", "crates/zz-sys-1.0.0+zstd.1.5.5.crate"),
            ("/crates/Inflector/0.11.4/download", "crates/Inflector-0.11.4.crate"),
            ("//dist/2026-01-01/a.tar.xz", "dist/2026-01-01/a.tar.xz"),
            ("/rustup/release-stable.toml", "rustup/release-stable.toml"),
            ("/manifest.json", "manifest.json"),
        ] {
            assert_eq!(file(raw).as_deref(), Some(path), "{raw}");
        }
        assert_eq!(target("/"), Target::Front);
        assert_eq!(target("//"), Target::Front);
        assert_eq!(target("/healthz"), Target::Health);
        assert_eq!(target("/index/config.json"), Target::IndexConfig);
        assert_eq!(target("/rustup-init.sh"), Target::Script(Script::InitSh));
        assert_eq!(target("//api/setup/rustup-env.ps1"), Target::Script(Script::EnvPs1));
    }

    #[test]
    fn what_is_not() {
        for raw in [
            "/index",
            "/index/",
            "/index/se/rd/serde/",
            "/index/SE/RD/serde",
            "/index/se/rd/Serde",
            "/index/se/xx/serde",
            "/crates/index/se/rd/serde",
            "/crates/index",
            "/crates/serde",
            "/crates/a/../b.crate",
            "/crates/..%2F..%2Fx.crate",
            "/crates/%2e%2e/x.crate",
            "/crates/.hidden.crate",
            "/crates/serde/not-a-version/download",
            "/crates/%2Fetc%2Fpasswd/1.0.0/download",
            "/dist",
            "/dist/%2Fetc%2Fpasswd",
            "/dist/%5C..%5Cx",
            "/dist/a%00b",
            "/dist/.ssh/x",
            "/dist/x/../../y",
            "/dist/%ff",
            "/.frostmirror/format",
            "/%2efrostmirror/format",
            "/config.toml",
            "/etc/passwd",
            "/manifest.json/x",
            "/rustup-init.sh/",
            "/rustup-init",
            "/api/setup",
            "/api/setup/rustup-env.sh/x",
            "/api/setup%2Frustup-env.sh",
            "/rustup/C:/x",
            "*",
            "",
        ] {
            assert_eq!(target(raw), Target::Nothing, "{raw}");
        }
    }

    #[test]
    fn the_crate_in_a_files_name() {
        for (file, wanted) in [
            ("serde-1.0.0.crate", Some("serde 1.0.0")),
            ("foo-1-2.0.0-rc.1.crate", Some("foo-1 2.0.0-rc.1")),
            ("a-b-1.0.0-x-2.0.0.crate", Some("a-b 1.0.0-x-2.0.0")),
            ("serde.crate", None),
        ] {
            assert_eq!(crate_of(file).map(|id| id.to_string()).as_deref(), wanted, "{file}");
        }
    }

    proptest! {
        #[test]
        fn every_file_is_in_a_served_folder(raw in "/{0,2}(index|crates|dist|rustup|%2e|\\.\\.|x)([/%.a2efF5cC-]|\\PC){0,24}") {
            if let Some(path) = file(&raw) {
                let first = path.split('/').next().unwrap_or_default();
                prop_assert!(["index", "crates", "dist", "rustup"].contains(&first));
                prop_assert!(path.split('/').all(|part| !part.is_empty() && !part.starts_with('.')));
            }
        }
    }
}
