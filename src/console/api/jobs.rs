//! `/api/jobs`: how far long work is, and what it came to.

use std::sync::Arc;

use hyper::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

use crate::console::answer::{Outcome, Refusal, json, json_with};
use crate::console::arrivals::without_paths;
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
        Route::post(
            "/api/jobs/{id}/stop",
            "Tells a job to stop, which it does at its next safe point: while it waits for the mirror, between two files of a \
             check or of a snapshot. 409 where it is over, or where what it does is done to its end.",
            stop,
        )
        .gives::<Job>(202),
        Route::get("/api/jobs/{id}", "How far a job is, and what it came to.", one).gives::<Job>(200),
    ]
}

/// A job as this client may see it: readers see no path of the host.
fn as_shown(state: &State, asked: &Asked, job: Job) -> Job {
    if asked.is_admin(state) { job } else { job.with_texts(|text| without_paths(&state.options, text)) }
}

fn all(state: &Arc<State>, asked: &Asked) -> Outcome {
    let jobs = state.jobs.all().into_iter().map(|job| as_shown(state, asked, job)).collect();
    Ok(json(&Jobs { jobs }))
}

fn one(state: &Arc<State>, asked: &Asked) -> Outcome {
    let job = asked.place(0).parse::<u64>().ok().and_then(|id| state.jobs.get(id));
    job.map(|job| json(&as_shown(state, asked, job))).ok_or_else(Refusal::no_job)
}

fn stop(state: &Arc<State>, asked: &Asked) -> Outcome {
    let id = asked.place(0).parse::<u64>().map_err(|_| Refusal::no_job())?;
    Ok(json_with(StatusCode::ACCEPTED, &state.jobs.stop(id)?))
}
