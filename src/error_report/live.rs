//! Classes and hints for the errors of live mode.

use super::{ErrorClass, Failure};
use crate::live::Error;

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let hint = match error {
            Error::CargoConfig(error) => return error.into(),
            Error::Http(error) => return error.into(),
            Error::Offline => {
                "remove `net.offline` from cargo's configuration (or CARGO_NET_OFFLINE from the environment), or switch \
                 live mode off"
                    .to_owned()
            }
            Error::OwnAddress { key } => format!(
                "`{key}` is the upstream of live mode; remove it to use crates.io, or set another mirror than this one"
            ),
        };
        Failure::new(ErrorClass::Input, error).hint(hint).context("could not start live mode")
    }
}
