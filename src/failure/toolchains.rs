//! Errors of `gather::toolchains`: class and hint.

use super::{Class, Failure, wire};
use crate::gather::toolchains::Error;
use crate::http;

/// For whatever a second run may do better.
const AGAIN: &str = "run the same command again; what was downloaded is kept";

/// For bytes that nobody vouches for.
const ALTERED: &str = "upstream, or something before it, sends other bytes than it promises; do not use them";

/// A dist server knows no tokens, only the name and the password of an address.
const REFUSED: &str = "upstream, or a proxy before it, refuses; if it wants a name and a password, FROSTMIRROR_DIST_URL takes https://USER:PASSWORD@HOST/PATH";

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let (class, hint) = match error {
            Error::Cache { path, source } => {
                return Failure::io(format!("could not use the download cache at `{}`", path.display()), source);
            }
            Error::Manifest { toolchain, source } => {
                return Failure::from(*source).doing(format!("could not read the channel manifest of `{toolchain}`"));
            }
            Error::Select { toolchain, source, .. } => {
                return Failure::from(*source).doing(format!("could not select what is wanted of `{toolchain}`"));
            }
            Error::Ahead { .. } => (
                Class::Integrity,
                "is the clock of this machine right? If it is, upstream, or something before it, sends a release of a day to come, and a mirror that takes it would keep to it until then".to_owned(),
            ),
            Error::NoToolchain { .. } => (
                Class::Input,
                "correct the name: a nightly is missing on a few days, and a release may be yet to come; or is FROSTMIRROR_DIST_URL another server's?".to_owned(),
            ),
            Error::NoRustup { .. } => (
                Class::Network,
                "clients cannot install without rustup; does FROSTMIRROR_DIST_URL have a folder `rustup` beside `dist`?".to_owned(),
            ),
            Error::Unsettled { .. } | Error::TwoDigests { .. } => (
                Class::Integrity,
                "upstream may be publishing a release just now: run the same command again in some minutes; if it stays so, do not trust it".to_owned(),
            ),
            Error::Refused { ref altered, .. } if !altered.is_empty() => (Class::Integrity, ALTERED.to_owned()),
            Error::Refused { .. } => (
                Class::Network,
                "upstream's channel manifest names what upstream does not have; is FROSTMIRROR_DIST_URL a complete mirror?".to_owned(),
            ),
            Error::Network { ref source, .. } if matches!(**source, http::Error::Status { status: 401 | 403, .. }) => {
                (Class::Network, REFUSED.to_owned())
            }
            Error::Network { ref source, .. } => {
                let (class, hint) = wire::class_and_hint(source);
                (class, hint.unwrap_or_else(|| AGAIN.to_owned()))
            }
            Error::RustSrc { .. } | Error::StdLock { .. } => (
                Class::Integrity,
                "upstream's rust-src is damaged or has a format that this version does not read; leave `rust-src` out of `components` to go on without -Zbuild-std".to_owned(),
            ),
            Error::Offline { .. } => (Class::Network, wire::hint_offline()),
        };
        Failure::new(class, error).doing("could not download the toolchains").hint(hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    use crate::channel::SelectError;
    use crate::digest::Sha256;

    #[test]
    fn each_error_has_its_class() {
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
        let source =
            Box::new(SelectError::UnknownTriple { triple: "wasm".into(), release: "Rust 1.95.0".into(), near });
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        for (error, code) in [
            (Error::NoToolchain { toolchain: toolchain(), url: url() }, 3),
            (Error::Select { toolchain: toolchain(), order: 0, source }, 3),
            (
                Error::Ahead {
                    toolchain: toolchain(),
                    date: "2099-01-01".parse().expect("a day"),
                    now: Timestamp::MIN,
                },
                4,
            ),
            (Error::NoRustup { url: url() }, 5),
            (Error::Unsettled { what: "x".into() }, 4),
            (Error::TwoDigests { path: path() }, 4),
            (Error::Refused { absent: absent(), altered: Vec::new() }, 5),
            (Error::Refused { absent: absent(), altered: altered() }, 4),
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
