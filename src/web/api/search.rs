//! `/api/v1/crates`: the endpoint of `cargo search --registry NAME` (the registry web API in cargo's reference).

use std::sync::Arc;

use hyper::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

use crate::web::request::WebRequest;
use crate::web::response::{ApiError, HandlerResult, json};
use crate::web::router::Route;
use crate::web::search::{SearchResult, SearchTerms};
use crate::web::state::WebState;

/// Default page size in crates; cargo's default is the same.
const DEFAULT_PER_PAGE: usize = 10;

/// The search result.
#[derive(Serialize, JsonSchema)]
struct SearchBody {
    /// The crates of this page, best match first.
    crates: Vec<SearchResult>,
    /// Data about the whole result.
    meta: SearchMeta,
}

/// Data about the whole result.
#[derive(Serialize, JsonSchema)]
struct SearchMeta {
    /// The number of matching crates.
    total: u64,
}

pub(super) fn routes() -> Vec<Route> {
    let about = "The endpoint of `cargo search`: crates whose names or descriptions contain all terms. Name matches come first: \
                 the exact name, then prefixes, then names that contain the terms.";
    let route = Route::get("/api/v1/crates", about, search_crates)
        .with_query("q", "search terms; `-` equals `_`, and case is ignored")
        .with_query("page", "page number, from 1")
        .with_query("per_page", "crates per page: 10 by default, at most 100")
        .returns_json::<SearchBody>(200);
    vec![route]
}

fn search_crates(state: &Arc<WebState>, request: &WebRequest) -> HandlerResult {
    let page = request.pagination(DEFAULT_PER_PAGE)?;
    let Some(terms) = SearchTerms::parse(request.query_value("q").unwrap_or_default()) else {
        return Err(ApiError::new(StatusCode::BAD_REQUEST, "`q` is too long or has too many terms"));
    };
    let (total, crates) = state.crates.search(&state.context.mirror, &terms, page)?;
    Ok(json(&SearchBody { crates, meta: SearchMeta { total } }))
}
