//! What the pages load: styles and modules, compiled in.

use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH};

use crate::console::access::Needs;
use crate::console::answer::{Outcome, Refusal, set, typed};
use crate::console::asked::Asked;
use crate::console::route::Route;
use crate::console::state::State;
use crate::digest::Sha256;

/// Name, kind and text of each.
const ASSETS: &[(&str, &str, &str)] = &[
    ("style.css", "text/css; charset=utf-8", include_str!("style.css")),
    ("icon.svg", "image/svg+xml", include_str!("icon.svg")),
    ("page.js", MODULE, include_str!("page.js")),
    ("live.js", MODULE, include_str!("live.js")),
    ("packages.js", MODULE, include_str!("packages.js")),
    ("form.js", MODULE, include_str!("form.js")),
    ("deps.js", MODULE, include_str!("deps.js")),
    ("deps-rows.js", MODULE, include_str!("deps-rows.js")),
    ("deps-shape.js", MODULE, include_str!("deps-shape.js")),
    ("config.js", MODULE, include_str!("config.js")),
];

/// What browsers ask of a module.
const MODULE: &str = "text/javascript; charset=utf-8";

pub(super) fn routes() -> Vec<Route> {
    vec![Route::page("/assets/{name}", "Styles and modules of the pages.", asset).needs(Needs::Nothing)]
}

fn asset(_: &Arc<State>, asked: &Asked) -> Outcome {
    let Some((_, kind, text)) = ASSETS.iter().find(|(name, ..)| *name == asked.place(0)) else {
        return Err(Refusal::new(StatusCode::NOT_FOUND, "the pages have no such part"));
    };
    let etag = format!("\"{}\"", Sha256::of(text.as_bytes()));
    let known = asked.headers.get_all(IF_NONE_MATCH).iter().any(|given| given.as_bytes() == etag.as_bytes());
    let mut response = typed(kind, if known { "" } else { text });
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    set(&mut response, ETAG, &etag);
    // Asked about each time: a new version of the server has other ones at the same address.
    set(&mut response, CACHE_CONTROL, "no-cache");
    Ok(response)
}
