//! `/api/verify`: checks every file of the mirror against its record, as a job.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::error_report::Failure;
use crate::event::Sink;
use crate::mirror::audit;
use crate::mirror::lock::lock_for_adding;
use crate::web::jobs::{Job, JobKind};
use crate::web::last_audit::{LastAudit, MirrorVersion};
use crate::web::request::WebRequest;
use crate::web::response::{HandlerResult, json_with_status};
use crate::web::router::Route;
use crate::web::state::WebState;

/// The maximum number of problems in a job's outcome.
const MAX_LISTED_PROBLEMS: usize = 1000;
/// How long the second check waits for a running import.
const LOCK_TIMEOUT: Duration = Duration::from_secs(600);

/// The outcome of an audit job.
#[derive(Serialize, JsonSchema)]
struct VerifyOutcome {
    /// Whether there is no problem.
    ok: bool,
    /// The number of valid crates.
    crates: u64,
    /// Their size in bytes.
    bytes: u64,
    /// The number of valid dist files.
    #[serde(rename = "rustup_artifacts")]
    dist_files: u64,
    /// The number of files to fetch again.
    to_fetch: u64,
    /// The number of problems.
    problems_total: u64,
    /// The first thousand problems.
    problems: Vec<String>,
}

pub(super) fn routes() -> Vec<Route> {
    let about = "Checks every file of the mirror, as a job. Its outcome has `ok`, `crates`, `bytes`, `rustup_artifacts`, \
                 `to_fetch`, `problems_total` and `problems`. `/api/status` and the metrics show the result until a later \
                 audit, or until the server restarts.";
    vec![Route::post("/api/verify", about, start_verify).returns_json::<Job>(202)]
}

fn start_verify(state: &Arc<WebState>, _: &WebRequest) -> HandlerResult {
    Ok(json_with_status(StatusCode::ACCEPTED, &state.start_job(JobKind::Verify, run_verify)?))
}

fn run_verify(state: &WebState, sink: &dyn Sink) -> Result<Value, Failure> {
    let layout = &state.context.mirror;
    // An import that ends during the first check counts as later than this audit.
    let mut version = MirrorVersion::read(layout);
    let mut audit = audit::audit(layout, sink)?;
    if !audit.problems.is_empty() {
        // A running import can look like damage; the second check holds the lock, so no import runs.
        let me = state.context.lock_holder("serve");
        let guard = lock_for_adding(layout, LOCK_TIMEOUT, &me, sink)?;
        version = MirrorVersion::read(layout);
        audit = guard.audit_again(&audit, sink)?;
    }
    let found = VerifyOutcome {
        ok: audit.problems.is_empty(),
        crates: audit.crates,
        bytes: audit.bytes,
        dist_files: audit.dist_files,
        to_fetch: audit.repairs.len() as u64,
        problems_total: audit.problems.len() as u64,
        problems: audit.problems.iter().take(MAX_LISTED_PROBLEMS).map(ToString::to_string).collect(),
    };
    state.last_audit.set(LastAudit {
        finished: state.context.now(),
        version,
        problems_total: found.problems_total,
        problems: found.problems.clone(),
        to_fetch: found.to_fetch,
    });
    Ok(serde_json::to_value(found).expect("plain fields are JSON"))
}
