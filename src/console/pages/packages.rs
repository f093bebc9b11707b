//! Packages: what was imported, what was not and why, snapshots, and what can be done about all that.

use std::sync::Arc;

use askama::Template;

use super::live_mode::brought;
use super::shown::{Moment, Pages, count, counted, link};
use super::{Frame, page, sentence};
use crate::console::answer::Outcome;
use crate::console::arrivals::{self, Arrivals, Bundle, Refused};
use crate::console::asked::{Asked, Page};
use crate::console::imports::{Import, Told};
use crate::console::jobs::{Job, Kind, Standing};
use crate::console::snapshots;
use crate::console::state::State;
use crate::event;
use crate::failure::Failure;
use crate::mirror::live;
use crate::mirror::status::Status;

/// Imports on one page.
const ROWS: usize = 25;
/// Problems of a check that are named.
const NAMED: usize = 200;

#[derive(Template)]
#[template(path = "packages.html")]
struct Packages {
    frame: Frame,
    why_not: Option<&'static str>,
    /// Whether there is no mirror yet.
    nothing: bool,
    watching: bool,
    problem: Option<String>,
    /// Whether a bundle is on its way, so that it is worth asking again soon.
    soon: bool,
    lot: Vec<Stuck>,
    /// What is said of refused bundles that are not named.
    more_failed: Option<String>,
    imports: Vec<Row>,
    /// What live mode brought, which stands in no bundle.
    brought: Option<String>,
    pages: Pages,
    job: Option<Work>,
    snapshots: Vec<Snapshot>,
    histories: Vec<HistoryRow>,
}

/// A history that feeds the mirror.
struct HistoryRow {
    id: String,
    /// The names of its inputs.
    inputs: String,
    /// Number, id and time of its newest bundle.
    sequence: u64,
    bundle: String,
    created: Moment,
    /// Why it is doubtful which bundle is the newest, as sentences.
    doubts: Vec<String>,
}

/// The job that is at work, or was the last.
struct Work {
    title: &'static str,
    said: String,
    bad: bool,
    /// What a check found, as far as it is named, and what is said of the rest.
    found: Vec<String>,
    more: Option<String>,
    /// How many files must be fetched again.
    to_fetch: Option<String>,
}

/// A bundle that is not imported.
struct Stuck {
    file: String,
    state: &'static str,
    reason: String,
    bad: bool,
    /// What can be done about it: a word for the module, and one for people.
    acts: Vec<(&'static str, &'static str)>,
}

/// An import.
struct Row {
    number: u64,
    imported: Moment,
    file: String,
    current: bool,
    kind: String,
    parent: String,
    crates: String,
    artifacts: String,
    size: String,
    /// What the import warned of, and how many warnings there are.
    warnings: Vec<String>,
    warned: String,
}

struct Snapshot {
    file: String,
    href: String,
    created: Moment,
    size: String,
}

pub(super) fn show(state: &Arc<State>, asked: &Asked) -> Outcome {
    page("/packages", state, asked, |frame| {
        let options = &state.options;
        // What is no number is the first page: an address that somebody typed is not worth a refusal.
        let number = asked.value("page").and_then(|page| page.parse().ok()).unwrap_or(1).max(1);
        let history = state.imports.page(&options.mirror, Page { number, size: ROWS })?;
        let total = usize::try_from(history.total).unwrap_or(usize::MAX);
        let mut pages = Pages::of(total, ROWS, number, "./packages?page=".to_owned());
        (pages.anchor, pages.words) = ("#history", ["Newer", "Older"]);
        let admin = frame.admin;
        let arrivals = arrivals::now(options)?;
        let arrivals = if frame.admin { arrivals } else { arrivals.for_reader(options) };
        let snapshots = snapshots::list(&options.incoming)?.into_iter().map(|one| Snapshot {
            href: format!("./api/export/download/{}", link(&one.file)),
            file: one.file,
            created: Moment::read(&one.created),
            size: event::size(one.bytes),
        });
        let status = Status::read(&options.mirror).map_err(Failure::from)?;
        let more = arrivals.failed_total.saturating_sub(arrivals.failed.len() as u64);
        Ok(Packages {
            why_not: frame.why_not(),
            frame,
            nothing: !options.mirror.private().exists(),
            watching: arrivals.watching,
            problem: arrivals.problem.clone(),
            soon: arrivals.watching && !(arrivals.arriving.is_empty() && arrivals.files.is_empty()),
            more_failed: (more > 0).then(|| format!("{} were refused before these.", counted(more, "other bundle"))),
            lot: stuck(arrivals),
            brought: brought(live::figures(&options.mirror).unwrap_or_default()),
            imports: history.packages.into_iter().map(row).collect(),
            pages,
            job: state.jobs.all().into_iter().next().map(|job| {
                Work::of(if admin { job } else { job.with_texts(|text| arrivals::without_paths(options, text)) })
            }),
            snapshots: snapshots.collect(),
            histories: histories(status),
        })
    })
}

/// The histories that feed the mirror, those that are doubtful first.
fn histories(status: Status) -> Vec<HistoryRow> {
    let Status { lineages, mut doubts, .. } = status;
    let mut rows: Vec<HistoryRow> = lineages
        .into_iter()
        .map(|lineage| HistoryRow {
            inputs: lineage.input_names().unwrap_or_else(|| "inputs unknown".to_owned()),
            sequence: lineage.sequence,
            created: Moment::read(&lineage.created),
            doubts: doubts.remove(&lineage.id).unwrap_or_default().iter().map(|doubt| sentence(doubt)).collect(),
            bundle: lineage.bundle,
            id: lineage.id,
        })
        .collect();
    rows.sort_by_key(|row| row.doubts.is_empty());
    rows
}

impl Work {
    /// The page's module says it in more words.
    fn of(job: Job) -> Work {
        let title = match job.kind {
            Kind::Gc => "Cleaning up",
            Kind::Export => "Creating a snapshot",
            Kind::Verify => "Checking every file",
            Kind::Import => "Importing a bundle",
        };
        let ended = job.finished.map_or_else(String::new, |time| format!(" It ended at {}.", Moment::read(&time).text));
        let came = job.outcome.unwrap_or_default();
        let number = |name: &str| came[name].as_u64().unwrap_or(0);
        let problems = number("problems_total");
        let named = came["problems"].as_array().into_iter().flatten().filter_map(|one| one.as_str());
        let found: Vec<String> = named.take(NAMED).map(str::to_owned).collect();
        let more = problems.saturating_sub(found.len() as u64);
        let to_fetch = Some(number("to_fetch")).filter(|files| *files > 0).map(|files| counted(files, "file"));
        let said = match job.state {
            Standing::Running => "It goes on at the server, also when this page is closed.".to_owned(),
            Standing::Done if problems > 0 => {
                let were = if problems == 1 { "was" } else { "were" };
                format!("{} {were} found.{ended}", counted(problems, "problem"))
            }
            Standing::Done => format!("Done.{ended}"),
            Standing::Stopped => format!("It was stopped.{ended}"),
            Standing::Failed => {
                let why = [job.error, job.hint].into_iter().flatten().map(|text| sentence(&text));
                format!("{}{ended}", why.collect::<Vec<_>>().join(" "))
            }
        };
        let bad = job.state == Standing::Failed || problems > 0;
        Work { title, said, bad, found, more: (more > 0).then(|| format!("and {} more", count(more))), to_fetch }
    }
}

/// Everything that is not imported: what was refused first, what was dismissed last.
fn stuck(arrivals: Arrivals) -> Vec<Stuck> {
    let Arrivals { failed, waiting, arriving, files, watching, dismissed, .. } = arrivals;
    let of_refused = |one: Refused, bad: bool| {
        let acts = [
            (one.moved && one.kept).then_some(("retry", "Retry")),
            (one.moved && bad).then_some(("dismiss", "Dismiss")),
            one.moved.then_some(("delete", "Delete")),
        ];
        let state = if bad { "refused" } else { "dismissed" };
        Stuck { file: one.file, state, reason: one.reason, bad, acts: acts.into_iter().flatten().collect() }
    };
    let mut lot: Vec<Stuck> = failed.into_iter().map(|one| of_refused(one, true)).collect();
    for (bundles, state) in [(waiting, "waiting"), (arriving, "arriving")] {
        let stuck = |one: Bundle| Stuck { file: one.file, state, reason: one.reason, bad: false, acts: Vec::new() };
        lot.extend(bundles.into_iter().map(stuck));
    }
    if !watching {
        lot.extend(files.into_iter().map(|one| Stuck {
            file: one.file,
            state: "not watched",
            reason: "this server does not watch its incoming folder".to_owned(),
            bad: false,
            acts: vec![("import", "Import")],
        }));
    }
    lot.extend(dismissed.into_iter().map(|one| of_refused(one, false)));
    lot
}

fn row(import: Import) -> Row {
    let Import { number, current, told } = import;
    match told {
        Some(told) => {
            let Told {
                file, kind, imported, parent, crates_shipped, rustup_artifacts_shipped, bytes, warnings, ..
            } = told;
            Row {
                number,
                imported: Moment::read(&imported),
                file,
                current,
                kind,
                parent: parent.map_or_else(|| "–".to_owned(), |parent| parent.file),
                crates: count(crates_shipped),
                artifacts: count(rustup_artifacts_shipped),
                size: event::size(bytes),
                warned: counted(warnings.len() as u64, "warning"),
                // They begin with a file's name as a rule, which stays as it is.
                warnings,
            }
        }
        None => Row {
            number,
            imported: Moment::none("unknown"),
            file: "its record cannot be read".to_owned(),
            current,
            kind: "–".to_owned(),
            parent: "–".to_owned(),
            crates: "–".to_owned(),
            artifacts: "–".to_owned(),
            size: "–".to_owned(),
            warnings: Vec::new(),
            warned: String::new(),
        },
    }
}
