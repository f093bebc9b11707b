//! Errors of `gather::toolchains`: class and hint.

use super::{Class, Failure, wire};
use crate::gather::toolchains::Error;

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let (class, hint) = match error {
            Error::Cache { path, source } => return Failure::io(format!("could not use `{}`", path.display()), source),
            Error::Manifest { source, .. } => return source.into(),
            Error::Select { source, .. } => return source.into(),
            Error::NoToolchain { .. } => (
                Class::Input,
                Some("`stable`, `beta`, `nightly`, a release that there was, or a day with a nightly; nightlies are missing on a few days".to_owned()),
            ),
            Error::Altered { .. } => (Class::Integrity, None),
            Error::Absent { .. } | Error::Offline { .. } => (Class::Network, None),
            Error::Network { ref source, .. } => wire::class_and_hint(source),
        };
        let failure = Failure::new(class, error).doing("could not download the toolchains");
        Failure { hint, ..failure }
    }
}
