//! Errors of `gather::toolchains`: class and hint.

use super::{ErrorClass, Failure, network};
use crate::gather::toolchains::Error;
use crate::http;

/// For whatever a second run may do better.
const RETRY_HINT: &str = "run the same command again; what was downloaded is kept";

/// For bytes that nobody vouches for.
const WRONG_BYTES_HINT: &str = "upstream, or something before it, sends other bytes than it promises; do not use them";

/// A dist server knows no tokens, only the name and the password of an address.
const REFUSED_HINT: &str = "upstream, or a proxy before it, refuses; if it wants a name and a password, FROSTMIRROR_DIST_URL takes https://USER:PASSWORD@HOST/PATH";

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
                return Failure::from(*source).context(format!("could not select what is wanted of `{toolchain}`"));
            }
            Error::FutureManifest { .. } => (
                ErrorClass::Integrity,
                "is the clock of this machine right? If it is, upstream, or something before it, sends a release of a day to come, and a mirror that takes it would keep to it until then".to_owned(),
            ),
            Error::UnknownToolchain { .. } => (
                ErrorClass::Input,
                "correct the name: a nightly is missing on a few days, and a release may be yet to come; or is FROSTMIRROR_DIST_URL another server's?".to_owned(),
            ),
            Error::NoRustup { .. } => (
                ErrorClass::Network,
                "clients cannot install without rustup; does FROSTMIRROR_DIST_URL have a folder `rustup` beside `dist`?".to_owned(),
            ),
            Error::Inconsistent { .. } | Error::ConflictingDigests { .. } => (
                ErrorClass::Integrity,
                "upstream may be publishing a release just now: run the same command again in some minutes; if it stays so, do not trust it".to_owned(),
            ),
            Error::Unavailable { ref altered, .. } if !altered.is_empty() => (ErrorClass::Integrity, WRONG_BYTES_HINT.to_owned()),
            Error::Unavailable { .. } => (
                ErrorClass::Network,
                "upstream's channel manifest names what upstream does not have; is FROSTMIRROR_DIST_URL a complete mirror?".to_owned(),
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
                "upstream's rust-src is damaged or has a format that this version does not read; leave `rust-src` out of `components` to go on without -Zbuild-std".to_owned(),
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
            (Error::Unavailable { absent: absent(), altered: Vec::new() }, 5),
            (Error::Unavailable { absent: absent(), altered: altered() }, 4),
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
