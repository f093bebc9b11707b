//! `/api/packages`: the history of imports.

use std::sync::Arc;

use crate::web::imports::ImportHistory;
use crate::web::request::WebRequest;
use crate::web::response::{HandlerResult, json};
use crate::web::router::Route;
use crate::web::state::WebState;

/// Default page size in imports.
const DEFAULT_PER_PAGE: usize = 25;

pub(super) fn routes() -> Vec<Route> {
    let history = Route::get("/api/packages", "The imports, newest first.", history)
        .with_query("page", "page number, from 1")
        .with_query("per_page", "imports per page: 25 by default, at most 100")
        .returns_json::<ImportHistory>(200);
    vec![history]
}

fn history(state: &Arc<WebState>, request: &WebRequest) -> HandlerResult {
    let page = state.imports.page(&state.context.mirror, request.pagination(DEFAULT_PER_PAGE)?)?;
    Ok(json(&page.visible(&state.context, request.is_admin(state))))
}
