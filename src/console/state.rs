//! What the handlers share.

use super::Options;
use super::access::Sessions;
use super::jobs::Jobs;

/// What the handlers share.
pub(super) struct State {
    pub(super) options: Options,
    pub(super) sessions: Sessions,
    pub(super) jobs: Jobs,
}

impl State {
    pub(super) fn new(options: Options) -> State {
        State { options, sessions: Sessions::default(), jobs: Jobs::default() }
    }
}
