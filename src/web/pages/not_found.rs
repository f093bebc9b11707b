//! The page for a path that does not exist.

use std::sync::Arc;

use askama::Template;
use hyper::StatusCode;
use percent_encoding::percent_decode_str;

use super::format::encode_component;
use super::frame::{Frame, render};
use crate::bundle::sanitize::sanitize_line;
use crate::crate_id::CrateName;
use crate::web::request::WebRequest;
use crate::web::response::HandlerResult;
use crate::web::state::WebState;

/// Maximum length of the shown path in characters.
const MAX_SHOWN_CHARS: usize = 200;

#[derive(Template)]
#[template(path = "not-found.html")]
struct NotFoundPage {
    frame: Frame,
    path: String,
    term: Option<SearchTerm>,
}

/// A part of the path that may be the name of a crate.
struct SearchTerm {
    name: String,
    link: String,
}

/// The page for the raw path in the first path parameter.
pub(in crate::web) fn show(state: &Arc<WebState>, request: &WebRequest) -> HandlerResult {
    let raw = request.path_param(0);
    let decoded = percent_decode_str(raw).decode_utf8_lossy();
    let frame = Frame { root: relative_root(raw), ..Frame::new(state, request, "Page not found") };
    let page = NotFoundPage { frame, path: shown_path(&decoded), term: search_term(&decoded) };
    let mut response = render(&page)?;
    *response.status_mut() = StatusCode::NOT_FOUND;
    Ok(response)
}

/// The URL of the first page, relative to a path of the browser.
fn relative_root(raw: &str) -> String {
    match raw.matches('/').count().saturating_sub(1) {
        0 => "./".to_owned(),
        depth => "../".repeat(depth),
    }
}

fn shown_path(decoded: &str) -> String {
    let mut shown: String = decoded.chars().take(MAX_SHOWN_CHARS).collect();
    if shown.len() < decoded.len() {
        shown.push('…');
    }
    sanitize_line(&shown)
}

/// The last part of `/crates/NAME` or of another path that is a valid name.
fn search_term(decoded: &str) -> Option<SearchTerm> {
    let parts: Vec<&str> = decoded.split('/').filter(|part| !part.is_empty()).collect();
    let name = match parts.as_slice() {
        ["crates" | "crate" | "browse", name, ..] => name,
        _ => parts.last()?,
    };
    let name: CrateName = name.parse().ok()?;
    Some(SearchTerm { link: encode_component(&name.to_string()), name: name.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_the_first_page_from_every_depth() {
        for (path, root) in [("/x", "./"), ("/x/", "../"), ("/x/y", "../"), ("//x/y/z", "../../../"), ("*", "./")] {
            assert_eq!(relative_root(path), root, "{path}");
        }
    }

    #[test]
    fn the_search_is_for_the_name_of_a_crate() {
        for (path, name) in [
            ("/crates/serde", Some("serde")),
            ("/crates/serde/1.0.0", Some("serde")),
            ("/serde", Some("serde")),
            ("/a/b c", None),
            ("/", None),
        ] {
            assert_eq!(search_term(path).map(|term| term.name).as_deref(), name, "{path}");
        }
        assert_eq!(shown_path(&"a".repeat(300)).chars().count(), MAX_SHOWN_CHARS + 1);
    }
}
