//! `/api/packages`: the history of imports.

use std::sync::Arc;

use crate::console::answer::{Outcome, json};
use crate::console::asked::Asked;
use crate::console::imports::History;
use crate::console::route::Route;
use crate::console::state::State;

/// Imports on a page, where nobody says otherwise.
const ON_A_PAGE: usize = 25;

pub(super) fn routes() -> Vec<Route> {
    let history = Route::get("/api/packages", "The imports, the newest first.", history)
        .query("page", "which part of the list, from 1")
        .query("per_page", "how many imports in each part: 25, or up to 100")
        .gives::<History>(200);
    vec![history]
}

fn history(state: &Arc<State>, asked: &Asked) -> Outcome {
    Ok(json(&state.imports.page(&state.options.mirror, asked.page(ON_A_PAGE)?)?))
}
