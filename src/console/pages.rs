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
mod shown;

use std::sync::Arc;

use askama::Template;
use hyper::StatusCode;
use hyper::header::WWW_AUTHENTICATE;

use super::access::{self, Needs, is_admin};
use super::answer::{Outcome, Refusal, html, set};
use super::asked::Asked;
use super::route::Route;
use super::state::State;
use crate::failure::{Class, Failure};

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
    routes.into_iter().map(|route| route.needs(Needs::Nothing)).collect()
}

/// A page's place in the navigation.
struct Entry {
    path: &'static str,
    name: &'static str,
    /// Modules that the page has beside the one that all have.
    scripts: &'static [&'static str],
}

/// The navigation, in its order.
const ENTRIES: &[Entry] = &[
    Entry { path: "/", name: "Dashboard", scripts: &["live.js"] },
    Entry { path: "/packages", name: "Packages", scripts: &["live.js", "packages.js"] },
    Entry { path: "/browse", name: "Crates", scripts: &[] },
    Entry { path: "/deps", name: "Dependencies", scripts: &["deps.js"] },
    Entry { path: "/config", name: "Configuration", scripts: &["config.js"] },
    Entry { path: "/setup", name: "Client Setup", scripts: &[] },
    Entry { path: "/guide", name: "Guide", scripts: &[] },
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
    fn entries(&self) -> &'static [Entry] {
        ENTRIES
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
struct Problem {
    frame: Frame,
    error: String,
    hint: Option<String>,
}

/// The page at `here`, as `fill` makes it. What goes wrong is shown within the frame.
fn page<P: Template>(
    here: &'static str,
    state: &Arc<State>,
    asked: &Asked,
    fill: impl FnOnce(Frame) -> Result<P, Refusal>,
) -> Outcome {
    let entry = ENTRIES.iter().find(|entry| entry.path == here);
    let frame = || Frame {
        here,
        title: entry.map_or("", |entry| entry.name),
        scripts: entry.map_or(&[], |entry| entry.scripts),
        version: env!("CARGO_PKG_VERSION"),
        base: asked.at.base.clone(),
        admin: is_admin(state, &asked.headers, asked.version, &asked.at),
        // One that cannot be read is one all the same: logging in tells what is wrong with it.
        token: access::token(state).map_or(true, |token| token.is_some()),
        reads: access::may_read(state, &asked.headers),
        session: access::has_session(state, &asked.headers),
        closed: state.options.access.is_closed(),
    };
    // Asked here and not by the route, so that who may not read sees where to log in.
    let may_read = access::check(state, Needs::Read, &asked.headers, asked.version, &asked.at);
    match may_read.and_then(|()| fill(frame())) {
        Ok(page) => shown(&page),
        Err(refusal) => {
            refusal.report(state.options.sink.as_ref(), &format!("the page {here}"));
            let Refusal { status, error, mut hint, .. } = refusal;
            if !frame().reads {
                hint = Some("log in above with the token that the mirror's administrator gave you".to_owned());
            }
            // Nothing is there of what the page's own modules look for.
            let frame = Frame { scripts: &[], ..frame() };
            let mut response =
                shown(&Problem { frame, error: sentence(&error), hint: hint.map(|hint| sentence(&hint)) })?;
            *response.status_mut() = status;
            if status == StatusCode::UNAUTHORIZED {
                set(&mut response, WWW_AUTHENTICATE, "Bearer realm=\"frostmirror\"");
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
fn shown(page: &impl Template) -> Outcome {
    let text = page.render().map_err(|error| Failure::new(Class::Bug, error).doing("could not write the page"))?;
    Ok(html(text))
}
