//! `/api/gc`: shows unreferenced files, or removes them as a job.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::error_report::{ErrorClass, Failure};
use crate::event::{self, Sink};
use crate::mirror::gc::{self, Options, PlanReport};
use crate::mirror::lock::lock_for_collecting;
use crate::units::parse_duration;
use crate::web::jobs::{Job, JobKind};
use crate::web::request::WebRequest;
use crate::web::response::{ApiError, HandlerResult, json, json_with_status};
use crate::web::router::Route;
use crate::web::state::WebState;

/// How long gc waits for a running import.
const LOCK_TIMEOUT: Duration = Duration::from_secs(600);

/// The options of gc. Query parameters override them.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct GcRequest {
    /// Only return the plan.
    dry_run: bool,
    /// Grace period before unreferenced files are deleted: 0, 90s, 10m (default), 2h, 7d.
    grace: Option<String>,
    /// Histories to forget, each by its ID or a unique prefix.
    forget: Vec<String>,
    /// Histories whose doubtful newest bundle is accepted, each by ID or unique prefix. `ID@BUNDLE` accepts only that
    /// bundle.
    accept: Vec<String>,
    /// False bundles, which the sender did not write, each as `ID@BUNDLE`.
    reject: Vec<String>,
}

pub(super) fn routes() -> Vec<Route> {
    let about = "Removes files that no history needs, as a job. Its outcome has `lines`, `crates`, `artifacts`, `bytes`, `waiting` \
                 and `artifacts_waiting`. With `dry_run=true`, the response is the plan, and nothing changes.";
    let collect = Route::post("/api/gc", about, start_gc)
        .with_query("dry_run", "true: only show the plan")
        .with_query("grace", "grace period before unreferenced files are deleted: 0, 90s, 10m (default), 2h, 7d")
        .with_query("forget", "a history to forget, by its ID or a unique prefix; repeatable")
        .with_query("accept", "a history whose doubtful newest bundle is accepted, by ID or unique prefix; `ID@BUNDLE` accepts only that bundle; repeatable")
        .with_query("reject", "a false bundle, which the sender did not write, as `ID@BUNDLE`; repeatable")
        .takes_optional_json::<GcRequest>()
        .returns_json::<PlanReport<'_>>(200)
        .returns_json::<Job>(202);
    vec![collect]
}

fn start_gc(state: &Arc<WebState>, request: &WebRequest) -> HandlerResult {
    // A misspelled `dry_run` must not delete files.
    request.check_query_names(&["dry_run", "grace", "forget", "accept", "reject"])?;
    let body: GcRequest = if request.body.is_empty() { GcRequest::default() } else { request.json()? };
    let grace = request.query_value("grace").or(body.grace.as_deref()).map_or(Ok(gc::DEFAULT_GRACE), parse_duration);
    let grace =
        grace.map_err(|why| ApiError::new(StatusCode::BAD_REQUEST, "`grace` is not a duration").with_hint(why))?;
    let all = |word: &str, from_body: Vec<String>| -> Vec<String> {
        let from_query = request.query.iter().filter(|(name, _)| name == word).map(|(_, value)| value.clone());
        from_query.chain(from_body).collect()
    };
    let (retire, accept) = (all("forget", body.forget), all("accept", body.accept));
    let reject = all("reject", body.reject);
    let options = Options { grace, retire, accept, reject, now: state.context.now() };
    if request.query_flag("dry_run")? || body.dry_run {
        return Ok(json(&gc::preview(&state.context.mirror, &options).map_err(Failure::from)?.report(true)));
    }
    let job = state.start_job(JobKind::Gc, move |state, sink| run_gc(state, &options, sink))?;
    Ok(json_with_status(StatusCode::ACCEPTED, &job))
}

fn run_gc(state: &WebState, options: &Options, sink: &dyn Sink) -> Result<Value, Failure> {
    let me = state.context.lock_holder("serve");
    let mut guard = lock_for_collecting(&state.context.mirror, LOCK_TIMEOUT, &me, sink)?;
    let plan = guard.plan(options)?;
    // From here on the job cannot be cancelled: a partial collection has no use.
    if !sink.enter_commit() {
        return Err(Failure::new(ErrorClass::Interrupted, "stopped before anything was removed"));
    }
    let collected = plan.execute(sink)?;
    let freed = event::format_size(collected.bytes);
    sink.status("Removed", format!("{}, freed {freed}", event::format_crates(collected.crates)));
    Ok(serde_json::to_value(collected).expect("plain fields are JSON"))
}
