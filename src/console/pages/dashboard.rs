//! The dashboard: what the mirror holds and how it is.

use std::sync::Arc;

use askama::Template;

use super::chart::{Steps, length, round_above, steps};
use super::live_mode::{Alarm, Card, alarms};
use super::shown::{Moment, count, counted, link};
use super::{Frame, page, sentence};
use crate::console::answer::Outcome;
use crate::console::arrivals::{self, Arrivals};
use crate::console::asked::Asked;
use crate::console::state::State;
use crate::console::trend::{Point, Seen, Weight};
use crate::event;
use crate::failure::Failure;
use crate::mirror::head::Counts;
use crate::mirror::status::Status;

/// Rows of the table beside it, the newest.
const MOST_ROWS: usize = 50;
/// The width of the bar of shares, in its own units.
const BAR: f64 = 600.0;

#[derive(Template)]
#[template(path = "dashboard.html")]
struct Dashboard {
    frame: Frame,
    empty: bool,
    versions: String,
    names: String,
    size: String,
    artifacts: String,
    last_import: Moment,
    imports: String,
    toolchains: Vec<String>,
    /// What is said where there is none.
    no_toolchain: &'static str,
    watcher: Watcher,
    failed: u64,
    failed_text: String,
    /// Why readers are shut out who should not be.
    shut_out: Option<String>,
    /// That the newest bundle of a history is doubtful.
    doubtful: Option<String>,
    /// What is wrong with live mode's upstreams.
    alarms: Vec<Alarm>,
    live_on: bool,
    live: Option<Card>,
    /// Whether everything for the pictures was read; else it is worth asking again soon.
    complete: bool,
    growth: Option<Growth>,
    space: Space,
}

/// What is seen of the incoming folder.
struct Watcher {
    state: &'static str,
    about: String,
    problem: Option<String>,
}

/// The size over time.
struct Growth {
    top: String,
    middle: String,
    from: String,
    to: String,
    /// What the picture says, for who cannot see it.
    label: String,
    /// What it leaves out, as the end of a sentence.
    left_out: String,
    steps: Steps,
    rows: Vec<GrowthRow>,
}

struct GrowthRow {
    imported: Moment,
    crates: String,
    size: String,
}

/// What takes the space.
struct Space {
    label: String,
    parts: Vec<Part>,
    largest: Vec<Large>,
}

struct Part {
    kind: &'static str,
    name: &'static str,
    size: String,
    share: String,
    x: f64,
    width: f64,
}

struct Large {
    name: String,
    link: String,
    versions: String,
    size: String,
    width: f64,
}

pub(super) fn show(state: &Arc<State>, asked: &Asked) -> Outcome {
    page("/", state, asked, |frame| {
        let layout = &state.options.mirror;
        let status = Status::read(layout).map_err(Failure::from)?;
        let arrivals = arrivals::now(&state.options)?;
        let arrivals = if frame.admin { arrivals } else { arrivals.for_reader(&state.options) };
        let shut_out = state.options.access.trouble();
        let shut_out =
            if frame.admin { shut_out } else { shut_out.map(|why| arrivals::without_paths(&state.options, &why)) };
        let seen = state.trend.seen(layout);
        let (counts, failed) = (status.counts, arrivals.failed_total);
        let figured = state.options.proxy.figures();
        Ok(Dashboard {
            frame,
            empty: status.imports == 0 && counts == Counts::default(),
            versions: count(counts.versions),
            names: counted(counts.crates, "name"),
            size: event::size(counts.all_bytes()),
            artifacts: format!("{} of crates", event::size(counts.bytes)),
            last_import: match status.last_import {
                Some(time) => Moment::of(time),
                None => Moment::none(&status.last_import_text()),
            },
            imports: counted(status.imports, "import"),
            toolchains: status.toolchains,
            no_toolchain: if figured.on { "they come when rustup asks" } else { "rustup finds nothing here" },
            watcher: Watcher::of(arrivals),
            failed,
            failed_text: format!("{} {}", counted(failed, "bundle"), if failed == 1 { "was" } else { "were" }),
            shut_out,
            doubtful: match status.doubts.len() {
                0 => None,
                1 => Some("The newest bundle of a history is doubtful".to_owned()),
                several => Some(format!("The newest bundles of {several} histories are doubtful")),
            },
            alarms: certificate_alarm(state).into_iter().chain(alarms(&figured)).collect(),
            live_on: figured.on,
            live: Card::of(state, &figured, status.live),
            complete: seen.complete,
            growth: Growth::of(&seen),
            space: Space::of(&counts, &seen),
        })
    })
}

/// That clients refuse the certificate because of its dates.
fn certificate_alarm(state: &State) -> Option<Alarm> {
    let fault = state.certificate_fault()?;
    let title = "Clients refuse the TLS certificate".to_owned();
    Some(Alarm { id: "certificate", title, text: sentence(&fault) })
}

impl Watcher {
    fn of(arrivals: Arrivals) -> Watcher {
        let Arrivals { watching, problem, arriving, waiting, files, .. } = arrivals;
        let mut about: Vec<String> = Vec::new();
        let named = [(arriving.len(), "arriving"), (waiting.len(), "waiting")];
        let lying = [(files.len(), "not imported")];
        for (number, what) in if watching { &named[..] } else { &lying[..] } {
            if *number > 0 {
                about.push(format!("{} {what}", counted(*number as u64, "bundle")));
            }
        }
        let none = if watching { "nothing is waiting" } else { "bundles are imported by hand" };
        let about = if about.is_empty() { none.to_owned() } else { about.join(", ") };
        let state = match (watching, &problem) {
            (false, _) => "not watched",
            (true, Some(_)) => "out of reach",
            (true, None) => "watched",
        };
        Watcher { state, about, problem }
    }
}

impl Growth {
    /// `None` where no import is known.
    fn of(seen: &Seen) -> Option<Growth> {
        let Seen { points, left_out, complete, .. } = seen;
        let (first, last) = (points.first()?, points.last()?);
        let greatest = points.iter().map(|point| point.held.all_bytes()).max().unwrap_or(0);
        let top = round_above(greatest);
        let drawn: Vec<(i64, u64)> =
            points.iter().map(|point| (point.imported.as_second(), point.held.all_bytes())).collect();
        let day = |point: &Point| point.imported.strftime("%Y-%m-%d").to_string();
        Some(Growth {
            top: event::size(top),
            middle: event::size(top / 2),
            from: day(first),
            to: day(last),
            label: format!(
                "From {} on {} to {} on {}, over {}; the table below has the numbers",
                event::size(first.held.all_bytes()),
                day(first),
                event::size(last.held.all_bytes()),
                day(last),
                counted(points.len() as u64, "import"),
            ),
            left_out: match (complete, left_out) {
                (false, _) => "; the records are still being read".to_owned(),
                (true, 0) => String::new(),
                (true, more) => format!("; {} not shown", counted(*more as u64, "older one")),
            },
            steps: steps(&drawn, top),
            rows: points
                .iter()
                .rev()
                .take(MOST_ROWS)
                .map(|point| GrowthRow {
                    imported: Moment::of(point.imported),
                    crates: count(point.held.versions),
                    size: event::size(point.held.all_bytes()),
                })
                .collect(),
        })
    }
}

impl Space {
    fn of(counts: &Counts, seen: &Seen) -> Space {
        let all = counts.all_bytes();
        let mut x = 0.0;
        let mut parts = Vec::new();
        for (kind, name, bytes) in
            [("crates", "Crates", counts.bytes), ("toolchains", "Toolchains and rustup", counts.artifact_bytes)]
        {
            let width = length(bytes, all, BAR).min(BAR - x);
            let share = format!("{:.0} %", if all == 0 { 0.0 } else { bytes as f64 / all as f64 * 100.0 });
            parts.push(Part { kind, name, size: event::size(bytes), share, x, width });
            x += width;
        }
        let label =
            parts.iter().map(|part| format!("{}: {}, {}", part.name, part.size, part.share)).collect::<Vec<_>>();
        let greatest = seen.largest.first().map_or(0, |one| one.bytes);
        let largest = seen.largest.iter().map(|Weight { name, versions, bytes }| Large {
            name: name.clone(),
            link: link(name),
            versions: counted(*versions, "version"),
            size: event::size(*bytes),
            width: length(*bytes, greatest, 100.0),
        });
        Space { label: label.join("; "), parts, largest: largest.collect() }
    }
}
