//! Errors of `serve` and of what clients are told: class and hint.

use super::{Class, Failure};
use crate::client_config;

impl From<client_config::InvalidUrl> for Failure {
    fn from(error: client_config::InvalidUrl) -> Failure {
        Failure::new(Class::Input, error).hint("give the address of the server, for example http://mirror.example:8080")
    }
}
