//! `/api/v1/crates`: what `cargo search --registry NAME` asks (the registry web API of cargo's reference).

use std::sync::Arc;

use hyper::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

use crate::web::request::WebRequest;
use crate::web::response::{ApiError, HandlerResult, json};
use crate::web::router::Route;
use crate::web::search::{SearchResult, SearchTerms};
use crate::web::state::WebState;

/// Crates on a page, where nobody says otherwise; cargo asks for as many.
const DEFAULT_PER_PAGE: usize = 10;

/// What was found.
#[derive(Serialize, JsonSchema)]
struct SearchBody {
    /// The crates of this part, the best first.
    crates: Vec<SearchResult>,
    /// What is said of all parts.
    meta: SearchMeta,
}

/// What is said of all parts of an answer.
#[derive(Serialize, JsonSchema)]
struct SearchMeta {
    /// Crates that were found.
    total: u64,
}

pub(super) fn routes() -> Vec<Route> {
    let about = "What `cargo search` asks: crates whose names or descriptions have all words. Names come first: the one that is \
                 asked for, those that begin so, those that have the words in them.";
    let route = Route::get("/api/v1/crates", about, search_crates)
        .with_query("q", "words; hyphens and underscores are one, capital and small letters too")
        .with_query("page", "which part of the list, from 1")
        .with_query("per_page", "how many crates in each part: 10, or up to 100")
        .returns_json::<SearchBody>(200);
    vec![route]
}

fn search_crates(state: &Arc<WebState>, request: &WebRequest) -> HandlerResult {
    let page = request.pagination(DEFAULT_PER_PAGE)?;
    let Some(terms) = SearchTerms::parse(request.query_value("q").unwrap_or_default()) else {
        return Err(ApiError::new(StatusCode::BAD_REQUEST, "`q` is longer than any name or has too many words"));
    };
    let (total, crates) = state.crates.search(&state.options.mirror, &terms, page)?;
    Ok(json(&SearchBody { crates, meta: SearchMeta { total } }))
}
