//! The REST API, one file a subject.

mod config;
mod deps;
mod jobs;
mod login;
mod status;
mod verify;

use super::openapi;
use super::route::Route;

/// Every route of the API.
pub(super) fn routes() -> Vec<Route> {
    let mut routes = Vec::new();
    routes.extend(status::routes());
    routes.extend(config::routes());
    routes.extend(deps::routes());
    routes.extend(jobs::routes());
    routes.extend(verify::routes());
    routes.extend(login::routes());
    routes.push(openapi::route());
    routes
}
