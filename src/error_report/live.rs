//! Errors of `proxy`: class and hint.

use super::{ErrorClass, Failure};
use crate::live::Error;

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let hint = match error {
            Error::CargoConfig(error) => return error.into(),
            Error::Http(error) => return error.into(),
            Error::Offline => {
                "take `net.offline` out of cargo's configuration (or CARGO_NET_OFFLINE out of the environment), or switch \
                 live mode off"
                    .to_owned()
            }
            Error::OwnAddress { key } => format!(
                "`{key}` is where live mode fetches from; leave it out for crates.io, or name another mirror than this one"
            ),
        };
        Failure::new(ErrorClass::Input, error).hint(hint).context("could not start live mode")
    }
}
