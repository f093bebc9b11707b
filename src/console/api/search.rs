//! `/api/v1/crates`: what `cargo search --registry NAME` asks (the registry web API of cargo's reference).

use std::sync::Arc;

use hyper::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

use crate::console::answer::{Outcome, Refusal, json};
use crate::console::asked::Asked;
use crate::console::route::Route;
use crate::console::search::{Found, Words};
use crate::console::state::State;

/// Crates on a page, where nobody says otherwise; cargo asks for as many.
const ON_A_PAGE: usize = 10;

/// What was found.
#[derive(Serialize, JsonSchema)]
struct Body {
    /// The crates of this part, the best first.
    crates: Vec<Found>,
    /// What is said of all parts.
    meta: Meta,
}

/// What is said of all parts of an answer.
#[derive(Serialize, JsonSchema)]
struct Meta {
    /// Crates that were found.
    total: u64,
}

pub(super) fn routes() -> Vec<Route> {
    let about = "What `cargo search` asks: crates whose names or descriptions have all words. Names come first: the one that is \
                 asked for, those that begin so, those that have the words in them.";
    let route = Route::get("/api/v1/crates", about, found)
        .query("q", "words; hyphens and underscores are one, capital and small letters too")
        .query("page", "which part of the list, from 1")
        .query("per_page", "how many crates in each part: 10, or up to 100")
        .gives::<Body>(200);
    vec![route]
}

fn found(state: &Arc<State>, asked: &Asked) -> Outcome {
    let page = asked.page(ON_A_PAGE)?;
    let Some(words) = Words::parse(asked.value("q").unwrap_or_default()) else {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "`q` is longer than any name or has too many words"));
    };
    let (total, crates) = state.holdings.found(&state.options.mirror, &words, page)?;
    Ok(json(&Body { crates, meta: Meta { total } }))
}
