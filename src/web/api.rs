//! The REST API, one file per subject.

pub(super) mod config;
pub(super) mod deps;
mod crates;
mod export;
mod gc;
mod incoming;
mod jobs;
mod login;
mod bundles;
mod search;
mod status;
mod verify;

use super::router::Route;

/// Every route of the API except the one that describes it.
pub(super) fn routes() -> Vec<Route> {
    let mut routes = Vec::new();
    routes.extend(status::routes());
    routes.extend(config::routes());
    routes.extend(deps::routes());
    routes.extend(bundles::routes());
    routes.extend(crates::routes());
    routes.extend(search::routes());
    routes.extend(incoming::routes());
    routes.extend(gc::routes());
    routes.extend(export::routes());
    routes.extend(jobs::routes());
    routes.extend(verify::routes());
    routes.extend(login::routes());
    routes
}
