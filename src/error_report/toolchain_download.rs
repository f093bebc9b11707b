//! Classes and hints for the errors of `upstream::dist`.

use super::{ErrorClass, Failure, network};
use crate::http;
use crate::upstream::dist::Error;

/// Hint for failures that may not occur in a second run.
const RETRY_HINT: &str = "run the same command again; downloaded files are kept";

/// Hint for bytes with a wrong digest.
const WRONG_BYTES_HINT: &str = "upstream, or a proxy before it, sent a file with the wrong checksum; do not use it";

/// Dist servers take no tokens, only a name and a password in the address.
const REFUSED_HINT: &str = "upstream, or a proxy before it, refused the request; if it requires a name and a password, set FROSTMIRROR_DIST_URL to https://USER:PASSWORD@HOST/PATH";

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let (class, hint) = match error {
            Error::Cache { path, source } => {
                return Failure::io(format!("could not use the download cache at `{}`", path.display()), source);
            }
            Error::InvalidManifest { toolchain, source } => {
                return Failure::from(*source).context(format!("could not read the channel manifest of `{toolchain}`"));
            }
            Error::Select { toolchain, source, .. } => {
                return Failure::from(*source).context(format!("could not select the components of `{toolchain}`"));
            }
            Error::FutureManifest { .. } => (
                ErrorClass::Integrity,
                "check the clock of this machine. If it is right, upstream, or a proxy before it, sent a release dated in the future; a mirror that imports it would keep it until that date".to_owned(),
            ),
            Error::UnknownToolchain { .. } => (
                ErrorClass::Input,
                "correct the name: some days have no nightly, and a release may not be published yet. Check FROSTMIRROR_DIST_URL".to_owned(),
            ),
            Error::NoRustup { .. } => (
                ErrorClass::Network,
                "clients need rustup to install; check that FROSTMIRROR_DIST_URL has a folder `rustup` beside `dist`".to_owned(),
            ),
            Error::Inconsistent { .. } | Error::ConflictingDigests { .. } => (
                ErrorClass::Integrity,
                "upstream may be publishing a release: run the same command again in a few minutes; if the error persists, do not trust upstream".to_owned(),
            ),
            Error::Unavailable(ref files) if !files.altered.is_empty() => (ErrorClass::Integrity, WRONG_BYTES_HINT.to_owned()),
            Error::Unavailable(_) => (
                ErrorClass::Network,
                "upstream's channel manifest lists files that upstream does not have; check that FROSTMIRROR_DIST_URL is a complete mirror".to_owned(),
            ),
            Error::Network { ref source, .. } if matches!(**source, http::Error::Status { status: 401 | 403, .. }) => {
                (ErrorClass::Network, REFUSED_HINT.to_owned())
            }
            Error::Network { ref source, .. } => {
                let (class, hint) = network::class_and_hint(source);
                (class, hint.unwrap_or_else(|| RETRY_HINT.to_owned()))
            }
            Error::RustSrc { .. } | Error::InvalidStdLock { .. } => (
                ErrorClass::Integrity,
                "upstream's rust-src is damaged or has a format that this version does not read; remove `rust-src` from `components` to continue without -Zbuild-std".to_owned(),
            ),
            Error::Offline { .. } => (ErrorClass::Network, network::offline_hint()),
        };
        Failure::new(class, error).context("could not download the toolchains").hint(hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    use crate::digest::Sha256;
    use crate::toolchain::SelectError;
    use crate::upstream::file_batch::UnavailableFiles;

    #[test]
    fn errors_map_to_their_classes() {
        let toolchain = || "stable".parse().expect("a name");
        let path = || "dist/2026-04-16/a.tar.xz".parse().expect("a path");
        let url = || "https://static.rust-lang.org/dist/2026-04-16/a.tar.xz".to_owned();
        let absent = || vec![(path(), http::Error::NotFound { url: url(), status: 404, body: String::new() })];
        let altered = || {
            let (expected, actual) = (Sha256::of(b"good"), Sha256::of(b"evil"));
            vec![(path(), http::Error::Checksum { url: url(), expected, actual })]
        };
        let refused = || http::Error::Status { url: url(), status: 403, body: String::new(), attempts: 1 };
        let near = Some("wasm32-unknown-unknown".to_owned());
        let source = Box::new(SelectError::UnknownTriple {
            triple: "wasm".into(),
            release: "Rust 1.95.0".into(),
            suggestion: near,
        });
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        for (error, code) in [
            (Error::UnknownToolchain { toolchain: toolchain(), url: url() }, 3),
            (Error::Select { toolchain: toolchain(), request: 0, source }, 3),
            (
                Error::FutureManifest {
                    toolchain: toolchain(),
                    date: "2099-01-01".parse().expect("a day"),
                    now: Timestamp::MIN,
                },
                4,
            ),
            (Error::NoRustup { url: url() }, 5),
            (Error::Inconsistent { what: "x".into() }, 4),
            (Error::ConflictingDigests { path: path() }, 4),
            (Error::Unavailable(UnavailableFiles { absent: absent(), altered: Vec::new() }), 5),
            (Error::Unavailable(UnavailableFiles { absent: absent(), altered: altered() }), 4),
            (Error::Offline { paths: vec![path()] }, 5),
            (Error::Network { path: path(), source: Box::new(refused()) }, 5),
            (Error::Cache { path: "/cache/dist/part/00".into(), source: full }, 7),
        ] {
            let failure = Failure::from(error);
            assert_eq!(failure.class.code(), code, "{failure}");
            assert!(failure.hint.is_some(), "{failure}");
            let tokens = failure.hint.as_deref().is_some_and(|hint| hint.contains("TOKEN"));
            assert!(!tokens, "{failure}");
            assert!(code != 7 || failure.to_string().contains("/cache/dist/part/00"), "{failure}");
        }
    }
}
