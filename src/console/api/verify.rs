//! `/api/verify`: every file of the mirror against its record, as a job.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::console::answer::{Outcome, json_with};
use crate::console::asked::Asked;
use crate::console::jobs::{Job, Kind};
use crate::console::route::Route;
use crate::console::state::State;
use crate::event::Sink;
use crate::failure::Failure;
use crate::mirror::audit;
use crate::mirror::lock::{Holder, lock_for_adding};

/// Most problems that a job's outcome names.
const MOST: usize = 1000;
/// How long the second look waits for an import that is at work.
const LOCK_WITHIN: Duration = Duration::from_secs(600);

/// What an audit found: the outcome of the job.
#[derive(Serialize, JsonSchema)]
struct Found {
    /// Whether nothing is wrong.
    ok: bool,
    /// Crates that are as they must be.
    crates: u64,
    /// Their bytes.
    bytes: u64,
    /// Files of rustup and of toolchains that are as they must be.
    rustup_artifacts: u64,
    /// Files that must be fetched again.
    to_fetch: u64,
    /// How many problems there are.
    problems_total: u64,
    /// The first thousand of them.
    problems: Vec<String>,
}

pub(super) fn routes() -> Vec<Route> {
    let about = "Checks every file of the mirror, as a job. Its outcome has `ok`, `crates`, `bytes`, `rustup_artifacts`, \
                 `to_fetch`, `problems_total` and `problems`.";
    vec![Route::post("/api/verify", about, verify).gives::<Job>(202)]
}

fn verify(state: &Arc<State>, _: &Asked) -> Outcome {
    let shared = Arc::clone(state);
    let job =
        state.jobs.start(Kind::Verify, state.options.clock, &state.options.sink, move |sink| found(&shared, sink))?;
    Ok(json_with(StatusCode::ACCEPTED, &job))
}

fn found(state: &State, sink: &dyn Sink) -> Result<Value, Failure> {
    let layout = &state.options.mirror;
    let mut audit = audit::audit(layout, sink)?;
    if !audit.problems.is_empty() {
        // What looks wrong may be the work of an import; nobody works while this holds the mirror.
        let me = Holder::this_process("serve", &state.options.env, (state.options.clock)());
        let guard = lock_for_adding(layout, LOCK_WITHIN, &me, sink)?;
        audit = guard.audit_again(&audit, sink)?;
    }
    let found = Found {
        ok: audit.problems.is_empty(),
        crates: audit.crates,
        bytes: audit.bytes,
        rustup_artifacts: audit.artifacts,
        to_fetch: (audit.repairs.len() + audit.artifact_repairs.len()) as u64,
        problems_total: audit.problems.len() as u64,
        problems: audit.problems.iter().take(MOST).map(ToString::to_string).collect(),
    };
    Ok(serde_json::to_value(found).expect("plain fields are JSON"))
}
