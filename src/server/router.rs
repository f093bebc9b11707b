//! Parses a request's path into a route. It is decoded once, and accepted only as normal components.

use percent_encoding::percent_decode_str;

use super::scripts::{self, Script};
use crate::crate_id::{CrateId, CrateName, Version};
use crate::mirror_file::FileKind;
use crate::safe_path::SafePath;

/// The target of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// `/`: the landing page.
    Landing,
    /// `/healthz`: the health check.
    Health,
    /// `/index/config.json`, generated for the request.
    IndexConfig,
    /// A script generated for the client.
    Script(Script),
    /// The index entry of one crate.
    Index(SafePath),
    /// A `.crate` file, and its crate if the file name is valid.
    Crate(SafePath, Option<CrateId>),
    /// Any other file that clients may request.
    File(SafePath),
    /// A path that cannot exist.
    NotFound,
}

/// Parses the raw path of a request.
pub(super) fn parse_route(raw: &str) -> Route {
    match_route(raw).unwrap_or(Route::NotFound)
}

fn match_route(raw: &str) -> Option<Route> {
    let parts = decode_components(raw)?;
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    match parts[..] {
        [] => return Some(Route::Landing),
        ["healthz"] => return Some(Route::Health),
        ["index", "config.json"] => return Some(Route::IndexConfig),
        ["crates", name, version, "download"] => {
            let id = CrateId::parse(name, version).ok()?;
            return Some(Route::Crate(id.crate_path(), Some(id)));
        }
        _ => {}
    }
    if let Some(script) = scripts::script_for_path(&parts).filter(|_| !raw.ends_with('/')) {
        return Some(Route::Script(script));
    }
    // No directory is served, and only directories end in a slash.
    let path: SafePath = parts.join("/").parse().ok().filter(|_| !raw.ends_with('/'))?;
    match FileKind::from_path(&path) {
        Some(FileKind::Index) => {
            let name: CrateName = parts.last()?.parse().ok()?;
            (path.strip_prefix("index") == Some(&name.index_path())).then_some(Route::Index(path))
        }
        Some(FileKind::Crate) => {
            let id = parse_crate_file_name(parts.last()?);
            Some(Route::Crate(path, id))
        }
        Some(FileKind::Dist | FileKind::Rustup) => Some(Route::File(path)),
        _ if path.as_str() == "manifest.json" => Some(Route::File(path)),
        _ => None,
    }
}

/// The components, each decoded separately, so that `%2F` cannot split one in two. Repeated slashes count once (rustup
/// creates them from a base URL with a trailing slash). Hidden names are never served.
fn decode_components(raw: &str) -> Option<Vec<String>> {
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

/// The crate that a file name identifies. A name has no dot, and a version begins with digits and a dot. So the first
/// hyphen with a valid version behind it is the right one (`foo-1-2.0.0`).
fn parse_crate_file_name(file: &str) -> Option<CrateId> {
    let stem = file.strip_suffix(".crate")?;
    let mut splits = stem.match_indices('-').map(|(at, _)| (&stem[..at], &stem[at + 1..]));
    let (name, version) = splits.find(|(_, version)| version.parse::<Version>().is_ok())?;
    CrateId::parse(name, version).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn served_path(path: &str) -> Option<String> {
        match parse_route(path) {
            Route::Index(path) | Route::Crate(path, _) | Route::File(path) => Some(path.into()),
            _ => None,
        }
    }

    #[test]
    fn served_paths_are_routed() {
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
            assert_eq!(served_path(raw).as_deref(), Some(path), "{raw}");
        }
        assert_eq!(parse_route("/"), Route::Landing);
        assert_eq!(parse_route("//"), Route::Landing);
        assert_eq!(parse_route("/healthz"), Route::Health);
        assert_eq!(parse_route("/index/config.json"), Route::IndexConfig);
        assert_eq!(parse_route("/rustup-init.sh"), Route::Script(Script::InitSh));
        assert_eq!(parse_route("//api/setup/rustup-env.ps1"), Route::Script(Script::EnvPs1));
    }

    #[test]
    fn unsafe_and_unknown_paths_are_not_routed() {
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
            assert_eq!(parse_route(raw), Route::NotFound, "{raw}");
        }
    }

    #[test]
    fn crate_file_names_are_split_into_name_and_version() {
        for (file, wanted) in [
            ("serde-1.0.0.crate", Some("serde 1.0.0")),
            ("foo-1-2.0.0-rc.1.crate", Some("foo-1 2.0.0-rc.1")),
            ("a-b-1.0.0-x-2.0.0.crate", Some("a-b 1.0.0-x-2.0.0")),
            ("serde.crate", None),
        ] {
            assert_eq!(parse_crate_file_name(file).map(|id| id.to_string()).as_deref(), wanted, "{file}");
        }
    }

    proptest! {
        #[test]
        fn every_file_is_in_a_served_folder(raw in "/{0,2}(index|crates|dist|rustup|%2e|\\.\\.|x)([/%.a2efF5cC-]|\\PC){0,24}") {
            if let Some(path) = served_path(&raw) {
                let first = path.split('/').next().unwrap_or_default();
                prop_assert!(["index", "crates", "dist", "rustup"].contains(&first));
                prop_assert!(path.split('/').all(|part| !part.is_empty() && !part.starts_with('.')));
            }
        }
    }
}
