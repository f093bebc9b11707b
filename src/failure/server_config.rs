//! Errors of the server's configuration: class and hint.

use super::{Class, Failure, class_of_io, hint_of_io};
use crate::server_config::Error;

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        match error {
            Error::Read { ref source, .. } | Error::Write { ref source, .. } => {
                let (class, hint) = (class_of_io(source), hint_of_io(source));
                Failure { hint, ..Failure::new(class, error) }
            }
            Error::Toml { .. } => {
                Failure::new(Class::Input, error).hint("mend the file, or move it away, and run the same command again")
            }
            Error::Brought { .. } | Error::NoText { .. } => Failure::new(Class::Integrity, error),
        }
    }
}
