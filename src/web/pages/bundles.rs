//! The Packages page: imported bundles, bundles that are not imported with the reason, snapshots, and the actions on them.

use std::sync::Arc;

use askama::Template;

use super::format::{DisplayTime, Pager, filters, format_count, format_quantity, sentence};
use super::frame::{Frame, render_page};
use super::live_mode::describe_totals;
use crate::bundle::sequence::{describe_bundle_number, is_time};
use crate::error_report::Failure;
use crate::mirror::lineages::LineageTip;
use crate::mirror::live::LiveTotals;
use crate::mirror::status::Status;
use crate::mirror::watcher_state::PendingBundle;
use crate::units::agree;
use crate::web::imports::Import;
use crate::web::incoming::{self, IncomingFolder, RejectedBundle};
use crate::web::jobs::{Job, JobKind, JobState};
use crate::web::pagination::Pagination;
use crate::web::request::WebRequest;
use crate::web::response::HandlerResult;
use crate::web::snapshots::{self, Snapshot};
use crate::web::state::WebState;

/// Page size in imports.
const IMPORTS_PER_PAGE: usize = 25;
/// Maximum number of listed problems of a check.
const MAX_LISTED_PROBLEMS: usize = 200;

#[derive(Template)]
#[template(path = "bundles.html")]
struct BundlesPage {
    frame: Frame,
    write_denied: Option<&'static str>,
    /// Whether there is no mirror yet.
    is_missing: bool,
    watching: bool,
    problem: Option<String>,
    /// Whether a bundle is arriving, so that the page refreshes soon.
    soon: bool,
    not_imported: Vec<NotImportedRow>,
    /// The number of further invalid bundles, as a sentence.
    more_failed: Option<String>,
    imports: Vec<Import>,
    /// The files that live mode fetched, which no bundle contains.
    live_files: Option<String>,
    pages: Pager,
    job: Option<JobPanel>,
    last_check: Option<CheckPanel>,
    /// The command that lists the files to fetch again, for administrators.
    repair_command: Option<String>,
    snapshots: Vec<Snapshot>,
    histories: Vec<(LineageTip, Vec<String>)>,
}

/// The running job, or the last one.
struct JobPanel {
    title: &'static str,
    message: String,
    bad: bool,
    /// The listed problems of a check, and the number of others.
    found: Vec<String>,
    more: Option<String>,
    /// The number of files to fetch again.
    to_fetch: Option<String>,
}

/// The result of the last audit.
struct CheckPanel {
    finished: DisplayTime,
    /// The number of problems, in words.
    result: String,
    /// The first change of the mirror after the audit.
    before: Option<String>,
    problems: Vec<String>,
    more: Option<String>,
    to_fetch: Option<String>,
}

impl CheckPanel {
    fn new(state: &WebState) -> Option<CheckPanel> {
        let audit = state.last_audit.get()?;
        let problems: Vec<String> = audit.problems.iter().take(MAX_LISTED_PROBLEMS).cloned().collect();
        let more = audit.problems_total.saturating_sub(problems.len() as u64);
        Some(CheckPanel {
            finished: DisplayTime::Known(audit.finished),
            result: audit.count(),
            before: audit.missed_change(&state.context.mirror, &state.imports),
            problems,
            more: (more > 0).then(|| format!("and {} more", format_count(more))),
            to_fetch: (audit.to_fetch > 0).then(|| format_quantity(audit.to_fetch, "file")),
        })
    }
}

/// A bundle that is not imported.
struct NotImportedRow {
    file: String,
    state: &'static str,
    reason: String,
    hint: Option<String>,
    bad: bool,
    /// The available actions: the module's name, and the label.
    actions: Vec<(&'static str, &'static str)>,
}

pub(super) fn show(state: &Arc<WebState>, request: &WebRequest) -> HandlerResult {
    render_page("/packages", state, request, |frame| {
        let context = &state.context;
        let number = request.page_number();
        let history = state.imports.page(&context.mirror, Pagination { number, size: IMPORTS_PER_PAGE })?;
        let total = usize::try_from(history.total).unwrap_or(usize::MAX);
        let mut pages = Pager::new(total, IMPORTS_PER_PAGE, number, "./packages?page=".to_owned());
        (pages.anchor, pages.labels) = ("#history", ["Newer", "Older"]);
        let admin = frame.admin;
        let folder = incoming::read_visible(context, admin)?;
        let status = Status::read(&context.mirror).map_err(Failure::from)?;
        let more = folder.failed_total.saturating_sub(folder.failed.len() as u64);
        Ok(BundlesPage {
            write_denied: frame.write_denied(),
            frame,
            is_missing: !context.mirror.private().exists(),
            watching: folder.watching,
            problem: folder.problem.clone(),
            soon: folder.watching && !(folder.arriving.is_empty() && folder.files.is_empty()),
            more_failed: (more > 0).then(|| format!("Not shown: {}.", format_quantity(more, "older rejected bundle"))),
            not_imported: not_imported_rows(folder),
            live_files: describe_totals(LiveTotals::read(&context.mirror).ok()),
            imports: history.visible(context, admin).bundles,
            pages,
            job: state.jobs.list().into_iter().next().map(|job| JobPanel::from_job(job.visible(context, admin))),
            last_check: CheckPanel::new(state),
            repair_command: admin
                .then(|| context.mirror.fill_in("cargo frostmirror verify --mirror DIR --repair-list repair.jsonl")),
            snapshots: snapshots::list(&context.incoming)?,
            histories: histories(status),
        })
    })
}

/// The labels of the history's inputs.
fn history_name(tip: &LineageTip) -> String {
    tip.input_names().unwrap_or_else(|| "inputs unknown".to_owned())
}

/// A bundle of a history by its number.
fn bundle_name(tip: &LineageTip) -> String {
    describe_bundle_number(tip.sequence)
}

/// Whether the number of the bundle is a time.
fn is_numbered_by_time(tip: &LineageTip) -> bool {
    is_time(tip.sequence)
}

/// The histories of the mirror with the doubts about their newest bundles, doubtful ones first.
fn histories(Status { lineages, mut doubts, .. }: Status) -> Vec<(LineageTip, Vec<String>)> {
    let with_doubts = |tip: LineageTip| {
        let doubts = doubts.remove(&tip.id).unwrap_or_default();
        (tip, doubts)
    };
    let mut histories: Vec<(LineageTip, Vec<String>)> = lineages.into_iter().map(with_doubts).collect();
    histories.sort_by_key(|(_, doubts)| doubts.is_empty());
    histories
}

impl JobPanel {
    /// The page's module shows more details.
    fn from_job(job: Job) -> JobPanel {
        let title = match job.kind {
            JobKind::Gc => "Cleaning up",
            JobKind::Export => "Creating a snapshot",
            JobKind::Verify => "Checking every file",
            JobKind::Import => "Importing a bundle",
        };
        let ended =
            job.finished.map_or_else(String::new, |time| format!(" Ended at {}.", DisplayTime::parse(&time).text()));
        let outcome = job.outcome.unwrap_or_default();
        let number = |name: &str| outcome[name].as_u64().unwrap_or(0);
        let problems = number("problems_total");
        let named = outcome["problems"].as_array().into_iter().flatten().filter_map(|one| one.as_str());
        let found: Vec<String> = named.take(MAX_LISTED_PROBLEMS).map(str::to_owned).collect();
        let more = problems.saturating_sub(found.len() as u64);
        let to_fetch = Some(number("to_fetch")).filter(|files| *files > 0).map(|files| format_quantity(files, "file"));
        let message = match job.state {
            JobState::Running => "The server continues it even if you close this page.".to_owned(),
            JobState::Done if problems > 0 => {
                let found = agree(problems, "was found", "were found");
                format!("{} {found}.{ended}", format_quantity(problems, "problem"))
            }
            JobState::Done => format!("Done.{ended}"),
            JobState::Stopped => format!("Stopped.{ended}"),
            JobState::Failed => {
                let why = [job.error, job.hint].into_iter().flatten().map(|text| sentence(&text));
                format!("{}{ended}", why.collect::<Vec<_>>().join(" "))
            }
        };
        let bad = job.state == JobState::Failed || problems > 0;
        JobPanel {
            title,
            message,
            bad,
            found,
            more: (more > 0).then(|| format!("and {} more", format_count(more))),
            to_fetch,
        }
    }
}

/// All bundles that are not imported: invalid ones first, dismissed ones last.
fn not_imported_rows(folder: IncomingFolder) -> Vec<NotImportedRow> {
    let IncomingFolder { failed, waiting, arriving, files, watching, dismissed, .. } = folder;
    let rejected_row = |one: RejectedBundle, bad: bool| {
        let actions = [
            (one.moved && one.has_file).then_some(("retry", "Retry")),
            (one.moved && bad).then_some(("dismiss", "Dismiss")),
            one.moved.then_some(("delete", "Delete")),
        ];
        let state = if bad { "rejected" } else { "dismissed" };
        NotImportedRow {
            file: one.file,
            state,
            reason: one.reason,
            hint: None,
            bad,
            actions: actions.into_iter().flatten().collect(),
        }
    };
    let mut rows: Vec<NotImportedRow> = failed.into_iter().map(|one| rejected_row(one, true)).collect();
    for (bundles, state) in [(waiting, "waiting"), (arriving, "arriving")] {
        let stuck = |one: PendingBundle| NotImportedRow {
            file: one.file,
            state,
            reason: one.reason,
            hint: one.hint,
            bad: false,
            actions: Vec::new(),
        };
        rows.extend(bundles.into_iter().map(stuck));
    }
    if !watching {
        rows.extend(files.into_iter().map(|one| NotImportedRow {
            file: one.file,
            state: "not watched",
            reason: "this server does not watch its incoming folder".to_owned(),
            hint: None,
            bad: false,
            actions: vec![("import", "Import")],
        }));
    }
    rows.extend(dismissed.into_iter().map(|one| rejected_row(one, false)));
    rows
}
