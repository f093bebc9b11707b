//! `/api/jobs`: how far long work is, and what it came to.

use std::sync::Arc;

use hyper::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

use crate::console::answer::{Outcome, Refusal, json};
use crate::console::asked::Asked;
use crate::console::jobs::Job;
use crate::console::route::Route;
use crate::console::state::State;

/// All jobs that are remembered.
#[derive(Serialize, JsonSchema)]
struct Jobs {
    /// The newest first.
    jobs: Vec<Job>,
}

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/jobs", "The jobs since the server started.", all).gives::<Jobs>(200),
        Route::get("/api/jobs/{id}", "How far a job is, and what it came to.", one).gives::<Job>(200),
    ]
}

fn all(state: &Arc<State>, _: &Asked) -> Outcome {
    Ok(json(&Jobs { jobs: state.jobs.all() }))
}

fn one(state: &Arc<State>, asked: &Asked) -> Outcome {
    let job = asked.place(0).parse::<u64>().ok().and_then(|id| state.jobs.get(id));
    let unknown = || {
        Refusal::new(StatusCode::NOT_FOUND, "there is no such job")
            .hint("jobs are forgotten when the server ends; /api/jobs lists those that are known")
    };
    job.map(|job| json(&job)).ok_or_else(unknown)
}
