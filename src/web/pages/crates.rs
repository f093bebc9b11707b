//! The Crates page: searches the stored crates, and shows one with all its versions.

use std::sync::Arc;

use askama::Template;
use hyper::StatusCode;

use super::format::{Pager, encode_component, filters, format_quantity, sentence};
use super::frame::{Frame, render_page};
use crate::web::crate_catalog::{CrateDetail, CrateSummary, CrateVersion};
use crate::web::pagination::Pagination;
use crate::web::request::WebRequest;
use crate::web::response::{ApiError, HandlerResult};
use crate::web::state::WebState;

/// Page size in crates; each requires reading its index file.
const CRATES_PER_PAGE: usize = 25;
/// Page size in versions.
const VERSIONS_PER_PAGE: usize = 50;
/// Maximum length of a search text.
const MAX_QUERY_CHARS: usize = 100;

#[derive(Template)]
#[template(path = "crates.html")]
struct BrowsePage {
    frame: Frame,
    query: String,
    found: String,
    rows: Vec<CrateSummary>,
    one: Option<CrateDetail>,
    /// Which import records could not be read, as a sentence.
    problem: Option<String>,
    /// Whether live mode fetches missing crates.
    live: bool,
    pages: Pager,
}

pub(super) fn show(state: &Arc<WebState>, request: &WebRequest) -> HandlerResult {
    render_page("/browse", state, request, |frame| {
        let number = request.page_number();
        match request.query_value("crate") {
            Some(name) => crate_detail(frame, state, name, number),
            None => crate_list(frame, state, request.query_value("q").unwrap_or_default(), number),
        }
    })
}

fn crate_list(frame: Frame, state: &WebState, query: &str, number: usize) -> Result<BrowsePage, ApiError> {
    let query: String = query.chars().take(MAX_QUERY_CHARS).collect();
    let listed = state.crates.list(&state.context.mirror, &query, Pagination { number, size: CRATES_PER_PAGE })?;
    let total = usize::try_from(listed.total).unwrap_or(usize::MAX);
    let found = format_quantity(listed.total, "crate");
    let found = if query.trim().is_empty() { format!("{found} in the index") } else { format!("{found} found") };
    let pages = Pager::new(total, CRATES_PER_PAGE, number, format!("./browse?q={}&page=", encode_component(&query)));
    let live = state.options.live.is_enabled();
    let problem = listed.bundles_problem.as_deref().map(sentence);
    Ok(BrowsePage { frame, query, found, rows: listed.crates, one: None, problem, live, pages })
}

fn crate_detail(frame: Frame, state: &WebState, name: &str, number: usize) -> Result<BrowsePage, ApiError> {
    let unknown = || {
        ApiError::new(StatusCode::NOT_FOUND, format!("the mirror has no crate named `{name}`"))
            .with_hint("Open Crates in the navigation above to list the stored crates.")
    };
    let crate_name = name.parse().map_err(|_| unknown())?;
    let part = |number| {
        state.crates.detail(&state.context.mirror, &crate_name, Pagination { number, size: VERSIONS_PER_PAGE })
    };
    let mut detail = part(number)?.ok_or_else(unknown)?;
    let total = usize::try_from(detail.versions_total).unwrap_or(usize::MAX);
    let mut pages = Pager::new(
        total,
        VERSIONS_PER_PAGE,
        number,
        format!("./browse?crate={}&page=", encode_component(&detail.name)),
    );
    pages.label = "Versions";
    pages.labels = ["Newer", "Older"];
    if pages.page != number {
        // A page after the end shows the last page.
        detail = part(pages.page)?.ok_or_else(unknown)?;
    }
    let (query, found, rows, live) = (String::new(), String::new(), Vec::new(), state.options.live.is_enabled());
    let problem = detail.bundles_problem.as_deref().map(sentence);
    Ok(BrowsePage { frame, query, found, rows, one: Some(detail), problem, live, pages })
}

/// The version that cargo would select from versions sorted newest first: a stable one that is not yanked.
fn newest_release(versions: &[CrateVersion]) -> Option<&CrateVersion> {
    let is_release =
        |stored: &&CrateVersion| !stored.yanked && !stored.version.split('+').next().unwrap_or_default().contains('-');
    versions.iter().find(is_release).or(versions.first())
}

/// The link to a version's file.
fn file_link(name: &str, version: &str) -> String {
    format!("./crates/{}", encode_component(&format!("{name}-{version}.crate")))
}
