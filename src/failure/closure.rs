//! Errors of `closure`: class and hint.

use super::{Class, Failure, hint_of_io};
use crate::closure::Error;

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        match error {
            Error::Read { ref source, .. } => {
                let hint = hint_of_io(source);
                Failure { hint, ..Failure::new(Class::Disk, error) }
            }
        }
    }
}
