//! What the handlers share.

use std::sync::Mutex;

use super::Options;
use super::access::Sessions;
use super::jobs::Jobs;

/// What the handlers share.
pub(super) struct State {
    pub(super) options: Options,
    pub(super) sessions: Sessions,
    pub(super) jobs: Jobs,
    /// Held while a file of the configuration is read, changed and written.
    pub(super) config_writes: Mutex<()>,
}

impl State {
    pub(super) fn new(options: Options) -> State {
        State { options, sessions: Sessions::default(), jobs: Jobs::default(), config_writes: Mutex::new(()) }
    }
}
