//! Errors of `proxy`: class and hint.

use super::{Class, Failure};
use crate::proxy::Error;

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
            Error::Own { key } => format!(
                "`{key}` is where live mode fetches from; leave it out for crates.io, or name another mirror than this one"
            ),
        };
        Failure::new(Class::Input, error).hint(hint).doing("could not start live mode")
    }
}
