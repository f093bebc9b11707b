//! Classes and hints for the errors of `bundle`.

use super::{ErrorClass, Failure, io_class, io_hint};
use crate::bundle::{open, pack};
use crate::panics::CaughtPanic;
use crate::sharded_set;

/// Hint for a damaged bundle. A repeated `fetch` would rely on the damaged bundle, or ship only the inputs that it names.
pub const COPY_AGAIN_HINT: &str = "copy the bundle again from its source; if the source is damaged too, ship everything again with \
     `cargo frostmirror fetch --base none` on the connected side";

/// Hint for a bundle with correct digests and invalid content.
const FORGED_HINT: &str =
    "do not use this bundle: its checksum is correct, but cargo-frostmirror does not write such content";

/// A bundle for another set and a damaged stored set are not the fault of the bundle.
fn set_class(error: &sharded_set::Error) -> (ErrorClass, Option<String>) {
    match error {
        sharded_set::Error::Store { source, .. }
        | sharded_set::Error::ReadList { source, .. }
        | sharded_set::Error::ReadSection { source, .. }
        | sharded_set::Error::WriteSection { source, .. } => (ErrorClass::Disk, io_hint(source)),
        sharded_set::Error::OtherSet { .. }
        | sharded_set::Error::MissingShard { .. }
        | sharded_set::Error::DamagedShard { .. }
        | sharded_set::Error::DamagedList { .. } => (ErrorClass::Integrity, None),
        _ => (ErrorClass::Integrity, Some(FORGED_HINT.to_owned())),
    }
}

impl From<CaughtPanic> for Failure {
    fn from(bug: CaughtPanic) -> Failure {
        Failure::new(ErrorClass::Bug, bug).hint("this is a bug: please report it, with the bundle if possible")
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
            open::Error::IsFolder { .. } => (ErrorClass::Input, Some("give the path of a bundle".to_owned())),
            open::Error::NotABundle { .. } => (
                ErrorClass::Integrity,
                Some("give a bundle: a file `…-crates.pkg` that `cargo frostmirror fetch` wrote".to_owned()),
            ),
            open::Error::CorruptHeader { .. }
            | open::Error::CorruptManifest { .. }
            | open::Error::CorruptSection { .. } => (ErrorClass::Integrity, Some(COPY_AGAIN_HINT.to_owned())),
            open::Error::NewerFormat { tool, .. }
            | open::Error::NewerEncoding { tool, .. }
            | open::Error::NewerContent { tool, .. } => {
                (ErrorClass::Integrity, Some(format!("use cargo-frostmirror {tool} or newer")))
            }
            open::Error::MalformedManifest { .. } | open::Error::InvalidManifest { .. } => {
                (ErrorClass::Integrity, Some(FORGED_HINT.to_owned()))
            }
            open::Error::Set { source, .. } => set_class(source),
            open::Error::Legacy { .. } => (
                ErrorClass::Integrity,
                Some("copy it again, or fetch the same crates with `cargo frostmirror fetch`".to_owned()),
            ),
            open::Error::Spool { source, .. } => (
                ErrorClass::Disk,
                io_hint(source).or_else(|| Some("set FROSTMIRROR_HOME to a folder with more free space".to_owned())),
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
                let hint =
                    "the file changed while the bundle was written, or the disk is failing; run the same command again";
                (ErrorClass::Integrity, Some(hint.to_owned()))
            }
            pack::Error::InvalidPlan(_) => (ErrorClass::Bug, None),
            pack::Error::Set(source) => (set_class(source).0, None),
            pack::Error::Files(source) => (ErrorClass::Disk, io_hint(source)),
            pack::Error::Cancelled => (ErrorClass::Interrupted, None),
        };
        let failure = Failure::new(class, error).context("could not pack the bundle");
        Failure { hint, ..failure }
    }
}
