//! Classes and hints for the errors of lock coverage.

use super::{ErrorClass, Failure, io_hint};
use crate::lock_coverage::Error;

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        match error {
            Error::Read { ref source, .. } => {
                let hint = io_hint(source);
                Failure { hint, ..Failure::new(ErrorClass::Disk, error) }
            }
        }
    }
}
