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
            Error::OwnAddress { setting } => {
                format!("remove {setting}, so that live mode uses its default upstream, or set it to another server")
            }
        };
        Failure::new(ErrorClass::Input, error).hint(hint).context("could not start live mode")
    }
}
