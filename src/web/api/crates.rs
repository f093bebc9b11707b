//! `/api/crates`: the stored crates, by name.

use std::sync::Arc;

use hyper::StatusCode;

use crate::web::crate_catalog::{CrateDetail, CrateList};
use crate::web::request::{MAX_PER_PAGE, WebRequest};
use crate::web::response::{ApiError, HandlerResult, json};
use crate::web::router::Route;
use crate::web::state::WebState;

/// Default page size in crates.
const DEFAULT_PER_PAGE: usize = 25;

pub(super) fn routes() -> Vec<Route> {
    let found = Route::get("/api/crates", "The stored crates by name, each with its newest versions.", list_crates)
        .with_query("q", "a part of the name; `-` equals `_`, and case is ignored")
        .with_query("page", "page number, from 1")
        .with_query("per_page", "crates per page: 25 by default, at most 100")
        .returns_json::<CrateList>(200);
    let one = Route::get("/api/crates/{name}", "One crate with its versions, newest first.", show_crate)
        .with_query("page", "page number, from 1")
        .with_query("per_page", "versions per page: 100 by default and at most")
        .returns_json::<CrateDetail>(200);
    vec![found, one]
}

fn list_crates(state: &Arc<WebState>, request: &WebRequest) -> HandlerResult {
    let word = request.query_value("q").unwrap_or_default();
    Ok(json(&state.crates.list(&state.context.mirror, word, request.pagination(DEFAULT_PER_PAGE)?)?))
}

fn show_crate(state: &Arc<WebState>, request: &WebRequest) -> HandlerResult {
    let unknown = || {
        ApiError::new(StatusCode::NOT_FOUND, "the mirror has no crate of that name")
            .with_hint("search with /api/crates?q=PART_OF_NAME")
    };
    let page = request.pagination(MAX_PER_PAGE)?;
    let name = request.path_param(0).parse().map_err(|_| unknown())?;
    let detail = state.crates.detail(&state.context.mirror, &name, page)?.ok_or_else(unknown)?;
    Ok(json(&detail))
}
