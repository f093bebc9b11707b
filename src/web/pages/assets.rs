//! The assets of the pages: styles and modules, compiled in.

use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH};

use crate::web::auth::RequiredAccess;
use crate::web::request::WebRequest;
use crate::web::response::{ApiError, HandlerResult, etag_of, set_header, with_content_type};
use crate::web::router::Route;
use crate::web::state::WebState;

/// Name, content type and text of each asset.
const ASSETS: &[(&str, &str, &str)] = &[
    ("style.css", "text/css; charset=utf-8", include_str!("style.css")),
    ("icon.svg", "image/svg+xml", include_str!("icon.svg")),
    ("page.js", JS_CONTENT_TYPE, include_str!("page.js")),
    ("live.js", JS_CONTENT_TYPE, include_str!("live.js")),
    ("bundles.js", JS_CONTENT_TYPE, include_str!("bundles.js")),
    ("form.js", JS_CONTENT_TYPE, include_str!("form.js")),
    ("deps.js", JS_CONTENT_TYPE, include_str!("deps.js")),
    ("deps-rows.js", JS_CONTENT_TYPE, include_str!("deps-rows.js")),
    ("deps-shape.js", JS_CONTENT_TYPE, include_str!("deps-shape.js")),
    ("config.js", JS_CONTENT_TYPE, include_str!("config.js")),
];

/// The content type that browsers require for modules.
const JS_CONTENT_TYPE: &str = "text/javascript; charset=utf-8";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::page("/assets/{name}", "Styles and modules of the pages.", serve_asset)
            .with_access(RequiredAccess::Public),
    ]
}

fn serve_asset(_: &Arc<WebState>, request: &WebRequest) -> HandlerResult {
    let Some((_, kind, text)) = ASSETS.iter().find(|(name, ..)| *name == request.path_param(0)) else {
        return Err(ApiError::new(StatusCode::NOT_FOUND, "this server has no such file"));
    };
    let etag = etag_of(text);
    let is_unchanged = request.headers.get_all(IF_NONE_MATCH).iter().any(|given| given.as_bytes() == etag.as_bytes());
    let mut response = with_content_type(kind, if is_unchanged { "" } else { text });
    if is_unchanged {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    set_header(&mut response, ETAG, &etag);
    // Browsers revalidate each time: a new version of the server has other assets at the same URL.
    set_header(&mut response, CACHE_CONTROL, "no-cache");
    Ok(response)
}
