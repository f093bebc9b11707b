//! The common frame of all pages.

use std::sync::Arc;

use askama::Template;
use hyper::StatusCode;
use hyper::header::{RETRY_AFTER, WWW_AUTHENTICATE};

use super::format::sentence;
use crate::error_report::{ErrorClass, Failure};
use crate::web::auth::{self, RequiredAccess, is_admin};
use crate::web::request::WebRequest;
use crate::web::response::{ApiError, HandlerResult, html, set_header};
use crate::web::state::WebState;

/// A page's entry in the navigation.
pub(super) struct NavEntry {
    pub(super) path: &'static str,
    pub(super) name: &'static str,
    /// The page's own modules, besides the common one.
    pub(super) scripts: &'static [&'static str],
}

/// The navigation, in order.
pub(super) const NAV_ENTRIES: &[NavEntry] = &[
    NavEntry { path: "/", name: "Dashboard", scripts: &["live.js"] },
    NavEntry { path: "/packages", name: "Packages", scripts: &["live.js", "bundles.js"] },
    NavEntry { path: "/browse", name: "Crates", scripts: &[] },
    NavEntry { path: "/deps", name: "Dependencies", scripts: &["deps.js"] },
    NavEntry { path: "/config", name: "Configuration", scripts: &["config.js"] },
    NavEntry { path: "/setup", name: "Client Setup", scripts: &[] },
    NavEntry { path: "/guide", name: "Guide", scripts: &[] },
];

/// The common frame of all pages.
pub(super) struct Frame {
    /// The page's path, which the navigation marks.
    pub(super) here: &'static str,
    pub(super) title: &'static str,
    /// The relative URL of the first page.
    pub(super) root: String,
    pub(super) scripts: &'static [&'static str],
    /// The version of this tool.
    pub(super) version: &'static str,
    /// The server's URL as the client sees it.
    pub(super) base: String,
    /// Whether this client may write.
    pub(super) admin: bool,
    /// Whether this client may read.
    pub(super) reads: bool,
    /// Whether this client has a session.
    pub(super) session: bool,
    /// Whether an admin token is configured.
    pub(super) token: bool,
    /// Whether reading needs a token.
    pub(super) closed: bool,
}

impl Frame {
    /// A frame without a place in the navigation.
    pub(super) fn new(state: &WebState, request: &WebRequest, title: &'static str) -> Frame {
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
            reads: auth::may_read(state, &request.headers, request.version, &request.origin),
            session: auth::has_session(state, &request.headers),
            closed: state.options.access.requires_reader_token(),
        }
    }

    /// The relative URL of a page.
    pub(super) fn link(&self, entry: &NavEntry) -> String {
        format!("{}{}", self.root, entry.path.trim_start_matches('/'))
    }

    pub(super) fn entries(&self) -> &'static [NavEntry] {
        NAV_ENTRIES
    }

    /// Whether another token would give more access.
    pub(super) fn can_log_in(&self) -> bool {
        !self.reads || (self.token && !self.admin)
    }

    /// The client's role, in a word or two.
    pub(super) fn who(&self) -> &'static str {
        match (self.reads, self.admin, self.session) {
            (false, ..) => "Not logged in",
            (true, true, false) if !self.token => "Local administrator",
            (true, true, _) => "Logged in",
            (true, false, true) => "Logged in, read only",
            (true, false, false) => "Read only",
        }
    }

    /// Why this client may not write, and how to change that.
    pub(super) fn write_denied(&self) -> Option<&'static str> {
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

/// The page at `here`, rendered by `fill`. Errors are shown within the frame.
pub(super) fn render_page<P: Template>(
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
            let ApiError { status, error, mut hint, retry_after, .. } =
                refusal.visible(&state.context, || frame().admin);
            if !frame().reads && status == StatusCode::UNAUTHORIZED {
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
            if let Some(seconds) = retry_after {
                set_header(&mut response, RETRY_AFTER, &seconds.to_string());
            }
            Ok(response)
        }
    }
}

/// The page as a response.
pub(super) fn render(page: &impl Template) -> HandlerResult {
    let text =
        page.render().map_err(|error| Failure::new(ErrorClass::Bug, error).context("could not write the page"))?;
    Ok(html(text))
}
