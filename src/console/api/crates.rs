//! `/api/crates`: what is held, by name.

use std::sync::Arc;

use hyper::StatusCode;

use crate::console::answer::{Outcome, Refusal, json};
use crate::console::asked::{Asked, MOST_ON_A_PAGE};
use crate::console::holdings::{Listed, One};
use crate::console::route::Route;
use crate::console::state::State;

/// Crates on a page, where nobody says otherwise.
const ON_A_PAGE: usize = 25;

pub(super) fn routes() -> Vec<Route> {
    let found = Route::get("/api/crates", "The crates that are held, by name, each with its newest versions.", found)
        .query("q", "a part of the name; hyphens and underscores are one, capital and small letters too")
        .query("page", "which part of the list, from 1")
        .query("per_page", "how many crates in each part: 25, or up to 100")
        .gives::<Listed>(200);
    let one = Route::get("/api/crates/{name}", "One crate with its versions, the newest first.", one)
        .query("page", "which part of the versions, from 1")
        .query("per_page", "how many versions in each part: 100, or fewer")
        .gives::<One>(200);
    vec![found, one]
}

fn found(state: &Arc<State>, asked: &Asked) -> Outcome {
    let word = asked.value("q").unwrap_or_default();
    Ok(json(&state.holdings.search(&state.options.mirror, word, asked.page(ON_A_PAGE)?)?))
}

fn one(state: &Arc<State>, asked: &Asked) -> Outcome {
    let unknown = || {
        Refusal::new(StatusCode::NOT_FOUND, "the mirror lists no crate of that name")
            .hint("/api/crates?q=WORD finds crates by a part of their name")
    };
    let page = asked.page(MOST_ON_A_PAGE)?;
    let name = asked.place(0).parse().map_err(|_| unknown())?;
    let held = state.holdings.one(&state.options.mirror, &name, page)?.ok_or_else(unknown)?;
    Ok(json(&held))
}
