//! The web pages: complete as they come, so that they can be read without JavaScript. The modules beside them make them
//! editable and keep them fresh.
//!
//! Texts come from the templates beside the code, which escape everything that is put in.

mod assets;
mod dashboard;

use askama::Template;

use super::answer::{Outcome, html};
use super::route::Route;
use crate::failure::{Class, Failure};

/// Every page, and what they load.
pub(super) fn routes() -> Vec<Route> {
    let mut routes = vec![Route::page("/", "The dashboard.", dashboard::show)];
    routes.extend(assets::routes());
    routes
}

/// A page's place in the navigation.
struct Entry {
    path: &'static str,
    name: &'static str,
}

/// The navigation, in its order.
const ENTRIES: &[Entry] = &[Entry { path: "/", name: "Dashboard" }];

/// What every page has around its own content.
struct Frame {
    /// The page's path, which the navigation marks.
    here: &'static str,
    title: &'static str,
    /// The version of this tool.
    version: &'static str,
}

impl Frame {
    fn of(here: &'static str) -> Frame {
        let title = ENTRIES.iter().find(|entry| entry.path == here).map_or("", |entry| entry.name);
        Frame { here, title, version: env!("CARGO_PKG_VERSION") }
    }

    fn entries(&self) -> &'static [Entry] {
        ENTRIES
    }
}

/// The page as an answer.
fn shown(page: &impl Template) -> Outcome {
    let text = page.render().map_err(|error| Failure::new(Class::Bug, error).doing("could not write the page"))?;
    Ok(html(text))
}
