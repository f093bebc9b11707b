//! The crates that are held: searched, and one with all its versions.

use std::sync::Arc;

use askama::Template;
use hyper::StatusCode;

use super::shown::{Pages, count, counted, link};
use super::{Frame, page};
use crate::console::answer::{Outcome, Refusal};
use crate::console::asked::{Asked, Page};
use crate::console::holdings::{self, HeldVersion};
use crate::console::origins;
use crate::console::state::State;
use crate::event;

/// Crates on one page; each costs the reading of its index file.
const ROWS: usize = 25;
/// Versions on one page.
const VERSIONS: usize = 50;
/// What stands where no bundle on record brought a crate, or where that is still being looked up.
const UNKNOWN: &str = "not known";
/// The longest search that is looked for.
const LONGEST: usize = 100;

#[derive(Template)]
#[template(path = "browse.html")]
struct Browse {
    frame: Frame,
    query: String,
    found: String,
    rows: Vec<Row>,
    one: Option<One>,
    /// Whether what is not held comes when a client asks for it.
    live: bool,
    pages: Pages,
}

/// A crate among others.
struct Row {
    name: String,
    description: Option<String>,
    link: String,
    versions: String,
    newest: Option<VersionRow>,
}

/// A crate by itself.
struct One {
    name: String,
    /// The command that adds it to a project.
    add: String,
    description: Option<String>,
    about: String,
    rows: Vec<VersionRow>,
}

struct VersionRow {
    version: String,
    size: String,
    bundle: String,
    /// Whether no bundle brought it, and live mode did.
    live: bool,
    yanked: bool,
    index_only: bool,
    /// Where its file is; `None` where that is not held.
    href: Option<String>,
}

pub(super) fn show(state: &Arc<State>, asked: &Asked) -> Outcome {
    page("/browse", state, asked, |frame| {
        // What is no number is the first page: an address that somebody typed is not worth a refusal.
        let number = asked.value("page").and_then(|page| page.parse().ok()).unwrap_or(1).max(1);
        match asked.value("crate") {
            Some(name) => one(frame, state, name, number),
            None => many(frame, state, asked.value("q").unwrap_or_default(), number),
        }
    })
}

fn many(frame: Frame, state: &State, query: &str, number: usize) -> Result<Browse, Refusal> {
    let query: String = query.chars().take(LONGEST).collect();
    let listed = state.holdings.search(&state.options.mirror, &query, Page { number, size: ROWS })?;
    let total = usize::try_from(listed.total).unwrap_or(usize::MAX);
    let rows = listed.crates.into_iter().map(|held| Row {
        link: link(&held.name),
        versions: count(held.versions_total),
        newest: newest(&held.versions).map(|version| row(&held.name, version)),
        name: held.name,
        description: held.description,
    });
    let rows = rows.collect();
    let found = counted(listed.total, "crate");
    let found = if query.trim().is_empty() { format!("{found} held") } else { format!("{found} found") };
    let pages = Pages::of(total, ROWS, number, format!("./browse?q={}&page=", link(&query)));
    let live = state.options.proxy.is_on();
    Ok(Browse { frame, query, found, rows, one: None, live, pages })
}

fn one(frame: Frame, state: &State, name: &str, number: usize) -> Result<Browse, Refusal> {
    let unknown = || {
        Refusal::new(StatusCode::NOT_FOUND, format!("the mirror holds no crate that is called `{name}`"))
            .hint("Crates, in the navigation above, lists those that it holds.")
    };
    let known = name.parse().map_err(|_| unknown())?;
    let part = |number| state.holdings.one(&state.options.mirror, &known, Page { number, size: VERSIONS });
    let mut held = part(number)?.ok_or_else(unknown)?;
    let total = usize::try_from(held.versions_total).unwrap_or(usize::MAX);
    let mut pages = Pages::of(total, VERSIONS, number, format!("./browse?crate={}&page=", link(&held.name)));
    pages.label = "Versions";
    pages.words = ["Newer", "Older"];
    if pages.page != number {
        // Past the end is the end.
        held = part(pages.page)?.ok_or_else(unknown)?;
    }
    let holdings::One { name, description, versions_total, bytes, versions, .. } = held;
    let one = One {
        add: format!("cargo add {name}"),
        about: format!("{} held, {}", counted(versions_total, "version"), event::size(bytes)),
        rows: versions.iter().map(|version| row(&name, version)).collect(),
        description,
        name,
    };
    let (query, found, rows, live) = (String::new(), String::new(), Vec::new(), state.options.proxy.is_on());
    Ok(Browse { frame, query, found, rows, one: Some(one), live, pages })
}

/// The version that cargo would take, of those that are sorted from the newest on: a release that is not yanked.
fn newest(versions: &[HeldVersion]) -> Option<&HeldVersion> {
    let released =
        |held: &&HeldVersion| !held.yanked && !held.version.split('+').next().unwrap_or_default().contains('-');
    versions.iter().find(released).or(versions.first())
}

fn row(name: &str, held: &HeldVersion) -> VersionRow {
    let HeldVersion { version, bytes, yanked, index_only, bundle, .. } = held;
    VersionRow {
        version: version.clone(),
        size: bytes.map_or_else(|| "–".to_owned(), event::size),
        live: bundle.as_deref() == Some(origins::LIVE),
        bundle: bundle.clone().unwrap_or_else(|| UNKNOWN.to_owned()),
        yanked: *yanked,
        index_only: *index_only,
        href: bytes.map(|_| format!("./crates/{}", link(&format!("{name}-{version}.crate")))),
    }
}
