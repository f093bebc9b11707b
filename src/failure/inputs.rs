//! Errors of what users give (`depends.toml`, `Cargo.lock`): class and hint.

use std::io;

use super::{Class, Failure, class_of_io, hint_of_io};
use crate::gather::{depends, lockfile};

/// A file that the user gave could not be read: a wrong kind of file is the input's fault, not the disk's.
fn unreadable(source: &io::Error) -> (Class, Option<String>) {
    match source.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::IsADirectory => (Class::Input, None),
        _ => (class_of_io(source), hint_of_io(source)),
    }
}

impl From<depends::Error> for Failure {
    fn from(error: depends::Error) -> Failure {
        let (class, hint) = match &error {
            depends::Error::Read { source, .. } => {
                let (class, hint) = unreadable(source);
                (
                    class,
                    hint.or_else(|| {
                        Some("`cargo frostmirror init` writes one from a workspace".to_owned())
                    }),
                )
            }
            depends::Error::TooLarge { .. } => (
                Class::Input,
                Some("check that this is the file you meant".to_owned()),
            ),
            depends::Error::Invalid { .. } => (
                Class::Input,
                Some(
                    "correct the file at the line and column named, and run the same command again"
                        .to_owned(),
                ),
            ),
        };
        let failure = Failure::new(class, error).doing("could not use the list of dependencies");
        Failure { hint, ..failure }
    }
}

impl From<lockfile::Error> for Failure {
    fn from(error: lockfile::Error) -> Failure {
        let (class, hint) = match &error {
            lockfile::Error::Read { source, .. } => {
                let (class, hint) = unreadable(source);
                (class, hint.or_else(|| Some("`cargo generate-lockfile` in the workspace writes one".to_owned())))
            }
            lockfile::Error::Newer { .. } => {
                (Class::Input, Some("update cargo-frostmirror: `cargo install cargo-frostmirror`".to_owned()))
            }
            lockfile::Error::TooLarge { .. } => (Class::Input, Some("check that this is the file you meant".to_owned())),
            lockfile::Error::Syntax { .. } => (
                Class::Input,
                Some("if a merge left it like this, `cargo update --workspace` in the workspace mends it".to_owned()),
            ),
            lockfile::Error::NoChecksum { .. } => (
                Class::Input,
                Some("without it the download cannot be checked; remove the entry and run `cargo update --workspace`".to_owned()),
            ),
            lockfile::Error::Package { .. } | lockfile::Error::Checksum { .. } | lockfile::Error::TwoChecksums { .. } => {
                (Class::Input, Some("cargo writes no such entry; take the file from version control".to_owned()))
            }
        };
        let failure = Failure::new(class, error).doing("could not use the lock file");
        Failure { hint, ..failure }
    }
}
