//! The web pages: complete as they come, so that they can be read without JavaScript. The modules beside them make them
//! editable and keep them fresh.
//!
//! Texts come from the templates beside the code, which escape everything that is put in. Links are relative, so that a
//! page works below whatever path a proxy shows it at; so a page's address never ends in a slash but that of the first.
//! Nothing that writes works without a module, so that the controls come disabled, and a module enables them where the
//! page's `data-admin` says that it may.

mod assets;
mod browse;
mod chart;
mod config;
mod dashboard;
mod deps;
mod guide;
mod live_mode;
mod packages;
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

/// Every page, and what they load.
pub(super) fn routes() -> Vec<Route> {
    let mut routes = vec![
        Route::page("/", "The dashboard.", dashboard::show),
        Route::page("/packages", "What was imported, what was refused, and what can be done.", packages::show),
        Route::page("/browse", "The crates that are held.", browse::show),
        Route::page("/deps", "What depends.toml asks for, and its editor.", deps::show),
        Route::page("/config", "Every setting of frostmirror.toml, and its editor.", config::show),
        Route::page("/setup", "How clients use this server.", setup::show),
        Route::page("/guide", "The user's guide.", guide::show),
    ];
    routes.extend(assets::routes());
    routes.into_iter().map(|route| route.with_access(RequiredAccess::Public)).collect()
}

/// A page's place in the navigation.
struct NavEntry {
    path: &'static str,
    name: &'static str,
    /// Modules that the page has beside the one that all have.
    scripts: &'static [&'static str],
}

/// The navigation, in its order.
const NAV_ENTRIES: &[NavEntry] = &[
    NavEntry { path: "/", name: "Dashboard", scripts: &["live.js"] },
    NavEntry { path: "/packages", name: "Packages", scripts: &["live.js", "packages.js"] },
    NavEntry { path: "/browse", name: "Crates", scripts: &[] },
    NavEntry { path: "/deps", name: "Dependencies", scripts: &["deps.js"] },
    NavEntry { path: "/config", name: "Configuration", scripts: &["config.js"] },
    NavEntry { path: "/setup", name: "Client Setup", scripts: &[] },
    NavEntry { path: "/guide", name: "Guide", scripts: &[] },
];

/// What every page has around its own content.
struct Frame {
    /// The page's path, which the navigation marks.
    here: &'static str,
    title: &'static str,
    scripts: &'static [&'static str],
    /// The version of this tool.
    version: &'static str,
    /// The address of this server, as the client knows it.
    base: String,
    /// Whether this client may write.
    admin: bool,
    /// Whether it may read.
    reads: bool,
    /// Whether it has logged in.
    session: bool,
    /// Whether there is an admin token that it could log in with.
    token: bool,
    /// Whether reading needs a token.
    closed: bool,
}

impl Frame {
    fn entries(&self) -> &'static [NavEntry] {
        NAV_ENTRIES
    }

    /// Whether another token would open more.
    fn can_log_in(&self) -> bool {
        !self.reads || (self.token && !self.admin)
    }

    /// What this client is here, in a word or two.
    fn who(&self) -> &'static str {
        match (self.reads, self.admin, self.session) {
            (false, ..) => "Not logged in",
            (true, true, false) if !self.token => "At this machine",
            (true, true, _) => "Logged in",
            (true, false, true) => "Logged in to read",
            (true, false, false) => "Read only",
        }
    }

    /// Why this client may not write, and what it could do about that.
    fn why_not(&self) -> Option<&'static str> {
        match (self.admin, self.token) {
            (true, _) => None,
            (false, true) => Some("Log in with the admin token to change anything here."),
            (false, false) => Some(
                "Only a user at the server itself may change anything: open this page there as http://localhost, or \
                 start `serve` with an admin token (--admin-token-file).",
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

/// The page at `here`, as `fill` makes it. What goes wrong is shown within the frame.
fn render_page<P: Template>(
    here: &'static str,
    state: &Arc<WebState>,
    request: &WebRequest,
    fill: impl FnOnce(Frame) -> Result<P, ApiError>,
) -> HandlerResult {
    let entry = NAV_ENTRIES.iter().find(|entry| entry.path == here);
    let frame = || Frame {
        here,
        title: entry.map_or("", |entry| entry.name),
        scripts: entry.map_or(&[], |entry| entry.scripts),
        version: env!("CARGO_PKG_VERSION"),
        base: request.origin.base.clone(),
        admin: is_admin(state, &request.headers, request.version, &request.origin),
        // One that cannot be read is one all the same: logging in tells what is wrong with it.
        token: auth::admin_token(state).map_or(true, |token| token.is_some()),
        reads: auth::may_read(state, &request.headers),
        session: auth::has_session(state, &request.headers),
        closed: state.options.access.requires_reader_token(),
    };
    // Asked here and not by the route, so that who may not read sees where to log in.
    let may_read = auth::check(state, RequiredAccess::Read, &request.headers, request.version, &request.origin);
    match may_read.and_then(|()| fill(frame())) {
        Ok(page) => render(&page),
        Err(refusal) => {
            refusal.report(state.options.sink.as_ref(), &format!("the page {here}"));
            let ApiError { status, error, mut hint, .. } = refusal;
            if !frame().reads {
                hint = Some("log in above with the token that the mirror's administrator gave you".to_owned());
            }
            // Nothing is there of what the page's own modules look for.
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

/// A refusal's words as a page has them, with a capital letter and a full stop.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first: String = chars.next().map(|first| first.to_uppercase().collect()).unwrap_or_default();
    let end = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{end}", chars.as_str())
}

/// The page as an answer.
fn render(page: &impl Template) -> HandlerResult {
    let text =
        page.render().map_err(|error| Failure::new(ErrorClass::Bug, error).context("could not write the page"))?;
    Ok(html(text))
}
