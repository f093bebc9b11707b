//! Errors of `bundle`: class and hint.

use super::{Class, Failure, class_of_io, hint_of_io};
use crate::bundle::{open, pack};
use crate::panics::Panicked;

const COPY_AGAIN: &str = "copy the bundle again from where it was made; if it is damaged there too, fetch it again";

impl From<Panicked> for Failure {
    fn from(bug: Panicked) -> Failure {
        Failure::new(Class::Bug, bug).hint("this is not your fault: please report it, with the bundle if you can")
    }
}

impl From<open::Error> for Failure {
    fn from(error: open::Error) -> Failure {
        let (class, hint) = match &error {
            open::Error::Io { source, .. } => {
                let hint = match class_of_io(source) {
                    Class::Input => Some("check the path of the bundle".to_owned()),
                    _ => hint_of_io(source),
                };
                (class_of_io(source), hint)
            }
            open::Error::Folder { name } => {
                (Class::Input, Some(format!("name the bundles in it, as in `{name}/20260402-2130-crates.pkg`")))
            }
            open::Error::NotABundle { .. } => (
                Class::Integrity,
                Some("a bundle is a file `…-crates.pkg` that `cargo frostmirror fetch` wrote".to_owned()),
            ),
            open::Error::Header { .. } | open::Error::Damaged { .. } => (Class::Integrity, Some(COPY_AGAIN.to_owned())),
            open::Error::NewerFormat { tool, .. } | open::Error::NewerEncoding { tool, .. } => {
                (Class::Integrity, Some(format!("use cargo-frostmirror {tool} or newer")))
            }
            open::Error::Malformed { .. } | open::Error::Broken { .. } => {
                let hint = "do not use this bundle: it is intact, but no cargo-frostmirror writes such a one";
                (Class::Integrity, Some(hint.to_owned()))
            }
            open::Error::Legacy { .. } => (
                Class::Integrity,
                Some("copy it again, or fetch the same crates with `cargo frostmirror fetch`".to_owned()),
            ),
            open::Error::Spool { source, .. } => (
                Class::Disk,
                hint_of_io(source).or_else(|| Some("set FROSTMIRROR_HOME to a folder with more room".to_owned())),
            ),
            open::Error::Visitor { source, .. } => (Class::Disk, hint_of_io(source)),
        };
        let failure = Failure::new(class, error);
        Failure { hint, ..failure }
    }
}

impl From<pack::Error> for Failure {
    fn from(error: pack::Error) -> Failure {
        let (class, hint) = match &error {
            pack::Error::Write { source, .. } => (Class::Disk, hint_of_io(source)),
            pack::Error::Read { source, .. } => (Class::Disk, hint_of_io(source)),
            pack::Error::Changed { .. } => {
                let hint = "the file was changed while the bundle was made, or its disk is failing; run the same command again";
                (Class::Integrity, Some(hint.to_owned()))
            }
            pack::Error::Plan(_) => (Class::Bug, None),
            pack::Error::Stopped => (Class::Interrupted, None),
        };
        let failure = Failure::new(class, error).doing("could not pack the bundle");
        Failure { hint, ..failure }
    }
}
