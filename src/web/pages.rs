//! The web pages. They are complete without JavaScript; the modules add editing and updates.
//!
//! Texts come from the templates beside the code, which escape all values. Links are relative, so that a page works below
//! any path of a proxy; therefore only the first page's URL ends in a slash. Write actions need a module, so their controls
//! start disabled. A module enables them if the page's `data-admin` allows it.

mod assets;
mod crates;
mod chart;
mod config;
mod dashboard;
mod deps;
mod guide;
mod live_mode;
mod not_found;
mod bundles;
mod setup;
mod format;

use std::sync::Arc;

use askama::Template;
use hyper::StatusCode;
use hyper::header::WWW_AUTHENTICATE;

use super::auth::{self, RequiredAccess, is_admin};
use super::request::WebRequest;
use super::response::{ApiError, HandlerResult, html, set_header};
use super::router::Route;
use super::state::WebState;
use crate::error_report::{ErrorClass, Failure};

/// Every page, and its assets.
pub(super) fn routes() -> Vec<Route> {
    let mut routes = vec![
        Route::page("/", "The dashboard.", dashboard::show),
        Route::page("/packages", "Imported bundles, rejected bundles, and maintenance.", bundles::show),
        Route::page("/browse", "The stored crates.", crates::show),
        Route::page("/deps", "The contents of depends.toml, and its editor.", deps::show),
        Route::page("/config", "Every setting of frostmirror.toml, and its editor.", config::show),
        Route::page("/setup", "How clients use this server.", setup::show),
        Route::page("/guide", "The user's guide.", guide::show),
    ];
    routes.extend(assets::routes());
    routes.into_iter().map(|route| route.with_access(RequiredAccess::Public)).collect()
}

/// A page's entry in the navigation.
struct NavEntry {
    path: &'static str,
    name: &'static str,
    /// The page's own modules, besides the common one.
    scripts: &'static [&'static str],
}

/// The navigation, in order.
const NAV_ENTRIES: &[NavEntry] = &[
    NavEntry { path: "/", name: "Dashboard", scripts: &["live.js"] },
    NavEntry { path: "/packages", name: "Packages", scripts: &["live.js", "bundles.js"] },
    NavEntry { path: "/browse", name: "Crates", scripts: &[] },
    NavEntry { path: "/deps", name: "Dependencies", scripts: &["deps.js"] },
    NavEntry { path: "/config", name: "Configuration", scripts: &["config.js"] },
    NavEntry { path: "/setup", name: "Client Setup", scripts: &[] },
    NavEntry { path: "/guide", name: "Guide", scripts: &[] },
];

/// The common frame of all pages.
struct Frame {
    /// The page's path, which the navigation marks.
    here: &'static str,
    title: &'static str,
    /// The relative URL of the first page.
    root: String,
    scripts: &'static [&'static str],
    /// The version of this tool.
    version: &'static str,
    /// The server's URL as the client sees it.
    base: String,
    /// Whether this client may write.
    admin: bool,
    /// Whether this client may read.
    reads: bool,
    /// Whether this client has a session.
    session: bool,
    /// Whether an admin token is configured.
    token: bool,
    /// Whether reading needs a token.
    closed: bool,
}

impl Frame {
    /// A frame without a place in the navigation.
    fn new(state: &WebState, request: &WebRequest, title: &'static str) -> Frame {
        Frame {
            here: "",
            title,
            root: "./".to_owned(),
            scripts: &[],
            version: env!("CARGO_PKG_VERSION"),
            base: request.origin.base.clone(),
            admin: is_admin(state, &request.headers, request.version, &request.origin),
            // An unreadable token file counts as a token: the login reports the problem.
            token: auth::admin_token(state).map_or(true, |token| token.is_some()),
            reads: auth::may_read(state, &request.headers),
            session: auth::has_session(state, &request.headers),
            closed: state.options.access.requires_reader_token(),
        }
    }

    /// The relative URL of a page.
    fn link(&self, entry: &NavEntry) -> String {
        format!("{}{}", self.root, entry.path.trim_start_matches('/'))
    }

    fn entries(&self) -> &'static [NavEntry] {
        NAV_ENTRIES
    }

    /// Whether another token would give more access.
    fn can_log_in(&self) -> bool {
        !self.reads || (self.token && !self.admin)
    }

    /// The client's role, in a word or two.
    fn who(&self) -> &'static str {
        match (self.reads, self.admin, self.session) {
            (false, ..) => "Not logged in",
            (true, true, false) if !self.token => "Local administrator",
            (true, true, _) => "Logged in",
            (true, false, true) => "Logged in, read only",
            (true, false, false) => "Read only",
        }
    }

    /// Why this client may not write, and how to change that.
    fn write_denied(&self) -> Option<&'static str> {
        match (self.admin, self.token) {
            (true, _) => None,
            (false, true) => Some("Log in with the admin token to change anything here."),
            (false, false) => Some(
                "To change anything, open this page on the server's own machine as http://localhost, or start `serve` with --admin-token-file.",
            ),
        }
    }
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ErrorPage {
    frame: Frame,
    error: String,
    hint: Option<String>,
}

pub(super) use not_found::show as show_not_found;

/// The page at `here`, rendered by `fill`. Errors are shown within the frame.
fn render_page<P: Template>(
    here: &'static str,
    state: &Arc<WebState>,
    request: &WebRequest,
    fill: impl FnOnce(Frame) -> Result<P, ApiError>,
) -> HandlerResult {
    let entry = NAV_ENTRIES.iter().find(|entry| entry.path == here);
    let frame = || Frame {
        here,
        scripts: entry.map_or(&[], |entry| entry.scripts),
        ..Frame::new(state, request, entry.map_or("", |entry| entry.name))
    };
    // Access is checked here and not by the route, so that the refused client sees the login form.
    let may_read = auth::check(state, RequiredAccess::Read, &request.headers, request.version, &request.origin);
    match may_read.and_then(|()| fill(frame())) {
        Ok(page) => render(&page),
        Err(refusal) => {
            refusal.report(state.context.sink.as_ref(), &format!("the page {here}"));
            let ApiError { status, error, mut hint, .. } = refusal;
            if !frame().reads {
                hint = Some("log in above with the token that the mirror's administrator gave you".to_owned());
            }
            // The error page lacks the elements that the page's own modules use.
            let frame = Frame { scripts: &[], ..frame() };
            let mut response =
                render(&ErrorPage { frame, error: sentence(&error), hint: hint.map(|hint| sentence(&hint)) })?;
            *response.status_mut() = status;
            if status == StatusCode::UNAUTHORIZED {
                set_header(&mut response, WWW_AUTHENTICATE, "Bearer realm=\"frostmirror\"");
            }
            Ok(response)
        }
    }
}

/// An error's message as a page shows it, with a capital letter and a full stop.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first: String = chars.next().map(|first| first.to_uppercase().collect()).unwrap_or_default();
    let end = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{end}", chars.as_str())
}

/// The page as a response.
fn render(page: &impl Template) -> HandlerResult {
    let text =
        page.render().map_err(|error| Failure::new(ErrorClass::Bug, error).context("could not write the page"))?;
    Ok(html(text))
}

#[cfg(test)]
mod tests {
    use crate::client_setup::SERVER_PATHS;

    #[test]
    fn addresses_of_all_pages_lead_to_the_server() {
        for route in super::routes().iter().chain(&crate::web::api::routes()) {
            let first = route.path.split('/').nth(1).unwrap_or_default();
            assert!(first.is_empty() || SERVER_PATHS.contains(&first), "{}", route.path);
        }
    }
}
