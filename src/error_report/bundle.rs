//! Errors of `bundle`: class and hint.

use super::{ErrorClass, Failure, io_class, io_hint};
use crate::bundle::{open, pack};
use crate::panics::CaughtPanic;

const COPY_AGAIN_HINT: &str =
    "copy the bundle again from where it was made; if it is damaged there too, fetch it again";

impl From<CaughtPanic> for Failure {
    fn from(bug: CaughtPanic) -> Failure {
        Failure::new(ErrorClass::Bug, bug).hint("this is not your fault: please report it, with the bundle if you can")
    }
}

impl From<open::Error> for Failure {
    fn from(error: open::Error) -> Failure {
        let (class, hint) = match &error {
            open::Error::Io { source, .. } => {
                let hint = match io_class(source) {
                    ErrorClass::Input => Some("check the path of the bundle".to_owned()),
                    _ => io_hint(source),
                };
                (io_class(source), hint)
            }
            open::Error::IsFolder { name } => {
                (ErrorClass::Input, Some(format!("name the bundles in it, as in `{name}/20260402-2130-crates.pkg`")))
            }
            open::Error::NotABundle { .. } => (
                ErrorClass::Integrity,
                Some("a bundle is a file `…-crates.pkg` that `cargo frostmirror fetch` wrote".to_owned()),
            ),
            open::Error::CorruptHeader { .. } | open::Error::CorruptManifest { .. } => {
                (ErrorClass::Integrity, Some(COPY_AGAIN_HINT.to_owned()))
            }
            open::Error::NewerFormat { tool, .. } | open::Error::NewerEncoding { tool, .. } => {
                (ErrorClass::Integrity, Some(format!("use cargo-frostmirror {tool} or newer")))
            }
            open::Error::MalformedManifest { .. } | open::Error::InvalidManifest { .. } => {
                let hint = "do not use this bundle: it is intact, but no cargo-frostmirror writes such a one";
                (ErrorClass::Integrity, Some(hint.to_owned()))
            }
            open::Error::Legacy { .. } => (
                ErrorClass::Integrity,
                Some("copy it again, or fetch the same crates with `cargo frostmirror fetch`".to_owned()),
            ),
            open::Error::Spool { source, .. } => (
                ErrorClass::Disk,
                io_hint(source).or_else(|| Some("set FROSTMIRROR_HOME to a folder with more room".to_owned())),
            ),
            open::Error::Visitor { source, .. } => (ErrorClass::Disk, io_hint(source)),
        };
        let failure = Failure::new(class, error);
        Failure { hint, ..failure }
    }
}

impl From<pack::Error> for Failure {
    fn from(error: pack::Error) -> Failure {
        let (class, hint) = match &error {
            pack::Error::Write { source, .. } => (ErrorClass::Disk, io_hint(source)),
            pack::Error::Read { source, .. } => (ErrorClass::Disk, io_hint(source)),
            pack::Error::FileChanged { .. } => {
                let hint = "the file was changed while the bundle was made, or its disk is failing; run the same command again";
                (ErrorClass::Integrity, Some(hint.to_owned()))
            }
            pack::Error::InvalidPlan(_) => (ErrorClass::Bug, None),
            pack::Error::Cancelled => (ErrorClass::Interrupted, None),
        };
        let failure = Failure::new(class, error).context("could not pack the bundle");
        Failure { hint, ..failure }
    }
}
