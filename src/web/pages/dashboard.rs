//! The dashboard: the mirror's contents and health.

use std::sync::Arc;

use askama::Template;

use super::chart::{StepChart, bar_length, draw_steps, round_up};
use super::format::{DisplayTime, filters, format_quantity, sentence};
use super::frame::{Frame, render_page};
use super::live_mode::{Alarm, LiveCard, alarms};
use crate::client_setup::shell_argument;
use crate::error_report::{Failure, records_hint};
use crate::event;
use crate::mirror::status::Status;
use crate::mirror::summary::Counts;
use crate::units::pluralize;
use crate::web::incoming::{self, IncomingFolder};
use crate::web::request::WebRequest;
use crate::web::response::HandlerResult;
use crate::web::state::WebState;
use crate::web::statistics::{CrateSize, GrowthPoint, StatisticsSnapshot};
use crate::web::visible_text::visible_text;

/// Maximum number of rows of the table, newest first.
const MAX_ROWS: usize = 50;
/// The width of the bar chart, in SVG units.
const BAR_WIDTH: f64 = 600.0;

#[derive(Template)]
#[template(path = "dashboard.html")]
struct DashboardPage {
    frame: Frame,
    /// The command that imports a bundle on the server, if this client may see it.
    import_command: Option<String>,
    empty: bool,
    counts: Counts,
    /// The number of counted crate versions that await deletion.
    pending: u64,
    last_import: DisplayTime,
    imports: u64,
    toolchains: Vec<String>,
    /// Shown if there is none.
    no_toolchain: &'static str,
    watcher: WatcherCard,
    failed: u64,
    last_check: LastCheck,
    /// Why clients with a read token are refused.
    reader_token_error: Option<String>,
    /// The warning about doubtful histories.
    doubtful: Option<String>,
    /// The problems of live mode's upstreams.
    alarms: Vec<Alarm>,
    live_on: bool,
    live: Option<LiveCard>,
    /// Whether all data of the charts is loaded; otherwise the page refreshes soon.
    complete: bool,
    /// Problems of reading the data of the charts, one sentence each.
    reading_problems: Vec<String>,
    growth: Option<GrowthChart>,
    space: SpaceChart,
}

/// The state of the incoming folder.
struct WatcherCard {
    state: &'static str,
    about: String,
    problem: Option<String>,
}

/// The mirror's size over time.
struct GrowthChart {
    top: u64,
    from: String,
    to: String,
    /// The text alternative of the chart.
    label: String,
    /// The number of omitted imports, as the end of a sentence.
    left_out: String,
    steps: StepChart,
    /// Newest first.
    rows: Vec<GrowthPoint>,
}

/// The disk usage.
struct SpaceChart {
    label: String,
    parts: Vec<SpacePart>,
    largest: Arc<[CrateSize]>,
}

struct SpacePart {
    kind: &'static str,
    name: &'static str,
    bytes: u64,
    share: String,
    x: f64,
    width: f64,
}

/// The last audit.
struct LastCheck {
    finished: DisplayTime,
    /// The number of problems, in words.
    result: String,
    /// The first change of the mirror after the audit.
    before: Option<String>,
    bad: bool,
}

impl LastCheck {
    fn new(state: &WebState) -> LastCheck {
        let Some(audit) = state.last_audit.get() else {
            let (finished, result) = (DisplayTime::Missing("none"), "since the server started".to_owned());
            return LastCheck { finished, result, before: None, bad: false };
        };
        LastCheck {
            finished: DisplayTime::Known(audit.finished),
            result: audit.count(),
            before: audit.missed_change(&state.context.mirror, &state.imports),
            bad: audit.problems_total > 0,
        }
    }
}

/// The command that imports a bundle on the server. Readers do not see the mirror's path.
fn import_command(state: &WebState, is_admin: bool) -> Option<String> {
    match (state.options.is_default_mirror, is_admin) {
        (true, _) => Some("cargo frostmirror import FILE".to_owned()),
        (false, true) => {
            let folder = shell_argument(&state.context.mirror.root().to_string_lossy());
            Some(format!("cargo frostmirror import --mirror {folder} FILE"))
        }
        (false, false) => None,
    }
}

pub(super) fn show(state: &Arc<WebState>, request: &WebRequest) -> HandlerResult {
    render_page("/", state, request, |frame| {
        let layout = &state.context.mirror;
        let status =
            Status::read(layout).and_then(|status| status.with_counted_files(layout)).map_err(Failure::from)?;
        let lost = lost_state_alarm(state, &status, frame.admin);
        let folder = incoming::read_visible(&state.context, frame.admin)?;
        let reader_token_error = state.options.access.reader_tokens_error();
        let reader_token_error = reader_token_error.map(|why| visible_text(&state.context, &why, frame.admin));
        let statistics = state.statistics.snapshot(layout);
        let (counts, failed) = (status.counts, folder.failed_total);
        let live_metrics = state.options.live.metrics_snapshot();
        Ok(DashboardPage {
            import_command: import_command(state, frame.admin),
            frame,
            empty: status.imports == 0 && counts == Counts::default() && lost.is_none(),
            counts,
            pending: status.pending_deletions,
            last_import: match status.last_import {
                Some(time) => DisplayTime::Known(time),
                None => DisplayTime::Missing(if status.imports > 0 || lost.is_some() { "unknown" } else { "never" }),
            },
            imports: status.imports,
            toolchains: status.toolchains,
            no_toolchain: if live_metrics.is_enabled {
                "fetched when rustup requests them"
            } else {
                "rustup cannot use this mirror"
            },
            watcher: WatcherCard::new(folder),
            failed,
            last_check: LastCheck::new(state),
            reader_token_error,
            doubtful: match status.doubts.len() {
                0 => None,
                1 => Some("The newest bundle of a history is doubtful".to_owned()),
                several => Some(format!("The newest bundles of {} are doubtful", pluralize(several, "history"))),
            },
            alarms: lost.into_iter().chain(certificate_alarm(state)).chain(alarms(&live_metrics)).collect(),
            live_on: live_metrics.is_enabled,
            live: LiveCard::new(state, &live_metrics, status.live),
            complete: statistics.is_complete,
            reading_problems: statistics.problems.iter().map(|problem| sentence(problem)).collect(),
            growth: GrowthChart::new(&statistics),
            space: SpaceChart::new(&counts, &statistics),
        })
    })
}

/// The warning that records of the mirror are lost or faulty.
fn lost_state_alarm(state: &WebState, status: &Status, is_admin: bool) -> Option<Alarm> {
    let mut text = status.problems();
    if text.is_empty() {
        return None;
    }
    text.push(records_hint(status).to_owned());
    let visible = |text: &String| sentence(&visible_text(&state.context, text, is_admin));
    let text: Vec<String> = text.iter().map(visible).collect();
    let title = if status.has_lost_records() { "The mirror lost records" } else { "The mirror has faulty records" };
    Some(Alarm { id: "lost-records", title: title.to_owned(), text: text.join(" ") })
}

/// The warning that clients refuse the certificate because of its dates.
fn certificate_alarm(state: &WebState) -> Option<Alarm> {
    let fault = state.certificate_fault()?;
    let title = "Clients reject the TLS certificate".to_owned();
    Some(Alarm { id: "certificate", title, text: sentence(&fault) })
}

impl WatcherCard {
    fn new(folder: IncomingFolder) -> WatcherCard {
        let IncomingFolder { watching, problem, arriving, waiting, files, .. } = folder;
        let mut about: Vec<String> = Vec::new();
        let named = [(arriving.len(), "arriving"), (waiting.len(), "waiting")];
        let not_watched = [(files.len(), "not imported")];
        for (number, what) in if watching { &named[..] } else { &not_watched[..] } {
            if *number > 0 {
                about.push(format!("{} {what}", format_quantity(*number as u64, "bundle")));
            }
        }
        let none = if watching { "nothing is waiting" } else { "bundles are imported by hand" };
        let about = if about.is_empty() { none.to_owned() } else { about.join(", ") };
        let state = match (watching, &problem) {
            (false, _) => "not watched",
            (true, Some(_)) => "not readable",
            (true, None) => "watched",
        };
        WatcherCard { state, about, problem }
    }
}

impl GrowthChart {
    /// `None` if there is no known import.
    fn new(seen: &StatisticsSnapshot) -> Option<GrowthChart> {
        let StatisticsSnapshot { points, omitted: left_out, is_complete: complete, .. } = seen;
        let (first, last) = (points.first()?, points.last()?);
        let greatest = points.iter().map(|point| point.totals.total_bytes()).max().unwrap_or(0);
        let top = round_up(greatest);
        let drawn: Vec<(i64, u64)> =
            points.iter().map(|point| (point.imported.as_second(), point.totals.total_bytes())).collect();
        let day = |point: &GrowthPoint| point.imported.strftime("%Y-%m-%d").to_string();
        Some(GrowthChart {
            top,
            from: day(first),
            to: day(last),
            label: format!(
                "From {} on {} to {} on {}, over {}; the table below has the numbers",
                event::format_size(first.totals.total_bytes()),
                day(first),
                event::format_size(last.totals.total_bytes()),
                day(last),
                format_quantity(points.len() as u64, "import"),
            ),
            left_out: match (complete, left_out) {
                (false, _) => "; the records are still being read".to_owned(),
                (true, 0) => String::new(),
                (true, more) => format!("; {} not shown", format_quantity(*more as u64, "older one")),
            },
            steps: draw_steps(&drawn, top),
            rows: points.iter().rev().take(MAX_ROWS).copied().collect(),
        })
    }
}

impl SpaceChart {
    fn new(counts: &Counts, seen: &StatisticsSnapshot) -> SpaceChart {
        let all = counts.total_bytes();
        let mut x = 0.0;
        let mut parts = Vec::new();
        for (kind, name, bytes) in
            [("crates", "Crates", counts.bytes), ("toolchains", "Toolchains and rustup", counts.dist_file_bytes)]
        {
            let width = bar_length(bytes, all, BAR_WIDTH).min(BAR_WIDTH - x);
            let share = format!("{:.0} %", if all == 0 { 0.0 } else { bytes as f64 / all as f64 * 100.0 });
            parts.push(SpacePart { kind, name, bytes, share, x, width });
            x += width;
        }
        let label = parts
            .iter()
            .map(|part| format!("{}: {}, {}", part.name, event::format_size(part.bytes), part.share))
            .collect::<Vec<_>>();
        SpaceChart { label: label.join("; "), parts, largest: Arc::clone(&seen.largest) }
    }

    /// The length of a crate's bar: its share of the largest crate.
    fn bar_length(&self, one: &CrateSize) -> f64 {
        bar_length(one.bytes, self.largest.first().map_or(0, |largest| largest.bytes), 100.0)
    }
}
