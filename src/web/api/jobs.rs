//! `/api/jobs`: progress and outcome of jobs.

use std::sync::Arc;

use hyper::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

use crate::web::jobs::Job;
use crate::web::request::WebRequest;
use crate::web::response::{ApiError, HandlerResult, json, json_with_status};
use crate::web::router::Route;
use crate::web::state::WebState;

/// The stored jobs.
#[derive(Serialize, JsonSchema)]
struct JobList {
    /// Newest first.
    jobs: Vec<Job>,
}

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/jobs", "The jobs since the server started.", list_jobs).returns_json::<JobList>(200),
        Route::post(
            "/api/jobs/{id}/stop",
            "Cancels a job at its next safe point: while it waits for the mirror, or between two files of a check or a snapshot. The answer is 409 if the job has ended or can no longer be cancelled.",
            stop_job,
        )
        .returns_json::<Job>(202),
        Route::get("/api/jobs/{id}", "The progress and outcome of a job.", show_job).returns_json::<Job>(200),
    ]
}

fn list_jobs(state: &Arc<WebState>, request: &WebRequest) -> HandlerResult {
    let is_admin = request.is_admin(state);
    let jobs = state.jobs.list().into_iter().map(|job| job.visible(&state.context, is_admin)).collect();
    Ok(json(&JobList { jobs }))
}

fn show_job(state: &Arc<WebState>, request: &WebRequest) -> HandlerResult {
    let job = request.path_param(0).parse::<u64>().ok().and_then(|id| state.jobs.get(id));
    job.map(|job| json(&job.visible(&state.context, request.is_admin(state)))).ok_or_else(ApiError::job_not_found)
}

fn stop_job(state: &Arc<WebState>, request: &WebRequest) -> HandlerResult {
    let id = request.path_param(0).parse::<u64>().map_err(|_| ApiError::job_not_found())?;
    Ok(json_with_status(StatusCode::ACCEPTED, &state.jobs.stop(id)?))
}
