//! `inspect`.

use super::Context;
use crate::failure::{Class, Failure};

/// Words of `inspect`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the verb.
pub fn run(_: &Args, _: &Context) -> Result<(), Failure> {
    Err(Failure::new(Class::Bug, "not built yet"))
}
