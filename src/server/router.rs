//! Parses a request's path into a route. This is the only place that decodes a path.

use std::sync::Arc;

use percent_encoding::percent_decode_str;

use super::metrics::RequestKind;
use super::scripts::{self, Script};
use crate::crate_id::{CrateId, CrateName};
use crate::mirror_file::FileKind;
use crate::safe_path::SafePath;

/// The target of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// `/healthz`: the health check.
    Health,
    /// `/index/config.json`, generated for the request.
    IndexConfig,
    /// A script generated for the client.
    Script(Script),
    /// A file of the mirror.
    File(Arc<FileRoute>),
    /// Anything else, by its decoded components: a page, the API, or a path that does not exist.
    Web(Vec<String>),
    /// A path that cannot be decoded.
    Invalid,
}

/// A file of the mirror that clients may request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FileRoute {
    /// The index entry of one crate.
    Index(CrateName, SafePath),
    /// A `.crate` file, and its crate if the file name is valid.
    Crate(SafePath, Option<CrateId>),
    /// Any other file.
    Other(SafePath),
}

impl Route {
    /// Whether the path needs no token: rustup requests it, or it explains how to authenticate.
    pub(super) fn is_public(&self) -> bool {
        match self {
            Route::Health | Route::Script(_) | Route::Web(_) | Route::Invalid => true,
            Route::IndexConfig => false,
            Route::File(file) => file.is_public(),
        }
    }
}

impl FileRoute {
    pub(super) fn path(&self) -> &SafePath {
        match self {
            FileRoute::Index(_, path) | FileRoute::Crate(path, _) | FileRoute::Other(path) => path,
        }
    }

    /// See [`Route::is_public`].
    pub(super) fn is_public(&self) -> bool {
        matches!(FileKind::from_path(self.path()), Some(FileKind::Dist | FileKind::Rustup))
    }

    /// The kind of a request for this file.
    pub(super) fn kind(&self) -> RequestKind {
        let components: Vec<&str> = self.path().components().collect();
        RequestKind::of_components(&components).unwrap_or(RequestKind::Other)
    }
}

/// Parses the raw path of a request. Also returns the kind of the request, or `None` if only the response distinguishes a
/// page from a missing path.
pub(super) fn parse_path(raw: &str) -> (Route, Option<RequestKind>) {
    let Some(components) = decode_components(raw) else { return (Route::Invalid, None) };
    let parts: Vec<&str> = components.iter().map(String::as_str).collect();
    let kind = RequestKind::of_components(&parts);
    (match_route(&parts, raw.ends_with('/')).unwrap_or(Route::Web(components)), kind)
}

/// The route of the server itself; `None` if there is none.
fn match_route(parts: &[&str], is_folder: bool) -> Option<Route> {
    // Hidden names are never served.
    if parts.iter().any(|part| part.contains('/') || part.starts_with('.')) {
        return None;
    }
    let file = |route| Some(Route::File(Arc::new(route)));
    match parts {
        ["healthz"] => return Some(Route::Health),
        ["index", "config.json"] => return Some(Route::IndexConfig),
        ["crates", name, version, "download"] => {
            let id = CrateId::parse(name, version).ok()?;
            return file(FileRoute::Crate(id.crate_path(), Some(id)));
        }
        // No other folder is served, and only folders end in a slash.
        _ if is_folder => return None,
        _ => {}
    }
    if let Some(script) = scripts::script_for_path(parts) {
        return Some(Route::Script(script));
    }
    let path: SafePath = parts.join("/").parse().ok()?;
    match FileKind::from_path(&path) {
        Some(FileKind::Index) => {
            let name: CrateName = parts.last()?.parse().ok()?;
            let is_index = path.strip_prefix("index") == Some(&name.index_path());
            file(FileRoute::Index(name, path)).filter(|_| is_index)
        }
        Some(FileKind::Crate) => {
            let id = CrateId::from_file_name(parts.last()?);
            file(FileRoute::Crate(path, id))
        }
        Some(FileKind::Dist | FileKind::Rustup) => file(FileRoute::Other(path)),
        _ if path.as_str() == "manifest.json" => file(FileRoute::Other(path)),
        _ => None,
    }
}

/// The components, each decoded separately, so that `%2F` cannot split one in two. Repeated slashes count once (rustup
/// creates them from a base URL with a trailing slash).
fn decode_components(raw: &str) -> Option<Vec<String>> {
    let parts = raw.strip_prefix('/')?.split('/').filter(|part| !part.is_empty());
    parts.map(|part| percent_decode_str(part).decode_utf8().ok().map(std::borrow::Cow::into_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn served_path(path: &str) -> Option<String> {
        match parse_path(path).0 {
            Route::File(file) => Some(file.path().to_string()),
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
        for (raw, route, kind) in [
            ("/", Route::Web(Vec::new()), None),
            ("//", Route::Web(Vec::new()), None),
            ("/healthz", Route::Health, Some(RequestKind::Other)),
            ("/index/config.json", Route::IndexConfig, Some(RequestKind::Config)),
            ("/rustup-init.sh", Route::Script(Script::InitSh), Some(RequestKind::Script)),
            ("//api/setup/rustup-env.ps1", Route::Script(Script::EnvPs1), Some(RequestKind::Script)),
            ("/api/jobs/%2e1", Route::Web(vec!["api".into(), "jobs".into(), ".1".into()]), Some(RequestKind::Api)),
        ] {
            assert_eq!(parse_path(raw), (route, kind), "{raw}");
        }
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
            assert!(matches!(parse_path(raw).0, Route::Web(_) | Route::Invalid), "{raw}");
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
