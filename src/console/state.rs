//! What the handlers share.

use super::Options;
use super::access::Sessions;
use super::holdings::Holdings;
use super::imports::Imports;
use super::jobs::Jobs;
use super::trend::Trend;

/// What the handlers share.
pub(super) struct State {
    pub(super) options: Options,
    pub(super) sessions: Sessions,
    pub(super) jobs: Jobs,
    pub(super) imports: Imports,
    pub(super) holdings: Holdings,
    pub(super) trend: Trend,
}

impl State {
    pub(super) fn new(options: Options) -> State {
        State {
            options,
            sessions: Sessions::default(),
            jobs: Jobs::default(),
            imports: Imports::default(),
            holdings: Holdings::default(),
            trend: Trend::default(),
        }
    }
}
