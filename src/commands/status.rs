//! `status`: prints the contents of a mirror, from its recorded state.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::json;

use super::Context;
use crate::bundle::sanitize::{format_size, sanitize_line};
use crate::bundle::sequence::{describe_bundle_number, is_time};
use crate::error_report::{ErrorClass, Failure, records_hint};
use crate::event::{Sink, format_contents};
use crate::mirror::audit::require_mirror;
use crate::mirror::index_link::LinkState;
use crate::mirror::layout::Layout;
use crate::mirror::ledger;
use crate::mirror::live::LiveTotals;
use crate::mirror::missing_reserve;
use crate::mirror::status::Status;
use crate::mirror::summary::Counts;
use crate::mirror::toolchains::{AvailableToolchain, AvailableToolchains};
use crate::mirror::watcher_state::WatcherState;
use crate::toolchain::Profile;
use crate::units::pluralize;

/// Arguments of `status`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Mirror [default: /mirror, else ~/.frostmirror/mirror]
    ///
    /// Mirror. The default is /mirror if it exists, as in a container, else `mirror` in FROSTMIRROR_HOME.
    #[arg(long, value_name = "DIR", env = "FROSTMIRROR_MIRROR")]
    pub mirror: Option<PathBuf>,
}

/// Maximum number of files that do not belong in the ledger, and that the report names.
const MAX_NAMED_STRAYS: usize = 5;

/// Runs the verb.
pub fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let layout = Layout::new(context.resolve_folder(args.mirror.as_deref(), "/mirror", "mirror")?);
    for path in [layout.summary(), layout.ledger(), layout.dist_files()] {
        context.reporter.detail("Reading", format!("`{}`", path.display()));
    }
    let with_context = |failure: Failure| {
        failure.with_mirror(&layout).context(format!("could not read the state of `{}`", layout.root().display()))
    };
    let status = Status::read(&layout).and_then(|status| status.with_counted_files(&layout));
    let status = status.map_err(|error| with_context(error.into()))?;
    // A default mirror may be missing before the first import, also one from the environment of a container.
    if args.mirror.is_some() && args.mirror != context.env.path("FROSTMIRROR_MIRROR") {
        require_mirror(&layout).map_err(|error| with_context(error.into()))?;
    }
    if !layout.root().exists() {
        context.reporter.status("Note", format!("no mirror is at `{}` yet", layout.root().display()));
    }
    let strays = ledger::stray_names(&layout).map_err(|error| with_context(error.into()))?;
    for name in strays.iter().take(MAX_NAMED_STRAYS) {
        context.reporter.warning(format!(
            "`.frostmirror/ledger/{}` is no import record and does not belong there: move it to another folder",
            sanitize_line(name)
        ));
    }
    // The numbers come from the records; a damaged manifest's toolchains are unknown.
    let offers = AvailableToolchains::read(&layout).unwrap_or_else(|error| {
        context
            .reporter
            .warning(format!("the profiles and targets of the toolchains are unknown: {error}: {}", error.source));
        AvailableToolchains::default()
    });
    let link = match status.link {
        LinkState::Missing if status.imports == 0 => "none yet".to_owned(),
        ref link => link.to_string(),
    };
    // The watcher stores commands with a placeholder for the mirror's path.
    let incoming = status.watcher.clone().map(|state| state.map_texts(|text| layout.fill_in(text)));
    if context.reporter.is_json() {
        context.reporter.print_json(&json!({
            "reason": "status-of-mirror",
            "mirror": layout.root(),
            "crates": status.counts.versions,
            "awaiting_deletion": status.pending_deletions,
            "names": status.counts.crates,
            "bytes": status.counts.total_bytes(),
            "crate_bytes": status.counts.bytes,
            "rustup_artifacts": status.counts.dist_files,
            "rustup_artifact_bytes": status.counts.dist_file_bytes,
            "live": status.live,
            "toolchains": status.toolchains,
            "offers": offers,
            "last_import": status.last_import.map(|_| status.last_import_text()),
            "imports": status.imports,
            "lineages": status.lineages,
            "doubts": status.doubts,
            "import_again": status.import_again,
            "incoming": incoming,
            "index_link": link,
            "index_link_good": status.link == LinkState::Good,
            "problems": status.problems(),
            "unchecked_records": status.records.unchecked,
            "missing_reserve": missing_reserve(&layout),
        }));
        return require_records(&status, &layout);
    }
    if let Some(warning) = missing_reserve(&layout) {
        context.reporter.warning(warning);
    }
    let incoming = incoming.as_ref().map(incoming_lines).unwrap_or_default();
    context.reporter.print_data(&format!(
        "Crate count: {}\nTotal size: {}\n{}{}Last import: {}\n{}{}{}{}Mirror: {}\nIndex link: {link}\n{incoming}",
        status.counts.versions,
        pluralize(status.counts.total_bytes(), "byte"),
        pending_line(status.pending_deletions),
        live_line(&status.live),
        status.last_import_text(),
        toolchain_lines(&status, &offers),
        lineage_lines(&status, &layout),
        restoration_lines(&status, &layout),
        unchecked_line(status.records.unchecked, &layout),
        sanitize_line(&layout.root().to_string_lossy()),
    ));
    require_records(&status, &layout)
}

/// Returns an error for a mirror with lost or faulty records. What was printed comes from the others.
fn require_records(status: &Status, layout: &Layout) -> Result<(), Failure> {
    let problems = status.problems();
    if problems.is_empty() {
        return Ok(());
    }
    let what = if status.has_lost_records() { "lost records" } else { "has faulty records" };
    let failure = Failure::new(ErrorClass::Integrity, problems.join("; ")).hint(records_hint(status));
    Err(failure.with_mirror(layout).context(format!("the mirror `{}` {what}", layout.root().display())))
}

/// Formats the available toolchains with their contents and sizes.
fn toolchain_lines(status: &Status, available: &AvailableToolchains) -> String {
    let toolchains = match status.toolchains.as_slice() {
        [] => "none".to_owned(),
        // The names come from files of bundles, so they are sanitized.
        toolchains => toolchains.iter().map(|name| sanitize_line(name)).collect::<Vec<_>>().join(", "),
    };
    let Counts { dist_files: artifacts, dist_file_bytes: artifact_bytes, .. } = status.counts;
    let size = format_size(artifact_bytes);
    let mut text = format!("Toolchains: {toolchains}\nRustup artifacts: {artifacts} ({size})\n");
    for one in &available.toolchains {
        text.push_str(&format!("Toolchain {}: {}\n", sanitize_line(&one.name), toolchain_details(one)));
    }
    if let Some(rustup) = &available.rustup {
        let version = rustup.version.as_deref().unwrap_or("of unknown version");
        text.push_str(&format!("Rustup: {} for {}\n", sanitize_line(version), join_list(&rustup.hosts)));
    }
    text
}

/// Formats the date of a toolchain, its hosts by profile, its other targets, and the components beyond the profile.
fn toolchain_details(toolchain: &AvailableToolchain) -> String {
    let mut by_profile: BTreeMap<Option<Profile>, Vec<String>> = BTreeMap::new();
    for (host, profile) in &toolchain.hosts {
        by_profile.entry(*profile).or_default().push(host.clone());
    }
    let mut parts = vec![toolchain.date.clone()];
    for (profile, hosts) in by_profile.into_iter().rev() {
        let profile = profile.map_or("no complete profile".to_owned(), |profile| format!("profile {profile}"));
        parts.push(format!("{profile} on {}", join_list(&hosts)));
    }
    let other_targets: Vec<String> =
        toolchain.targets.iter().filter(|target| !toolchain.hosts.contains_key(*target)).cloned().collect();
    if !other_targets.is_empty() {
        parts.push(format!("also builds for {}", join_list(&other_targets)));
    }
    if !toolchain.components.is_empty() {
        parts.push(format!("with {}", join_list(&toolchain.components)));
    }
    parts.join("; ")
}

fn join_list(items: &[String]) -> String {
    match items {
        [] => "no machine".to_owned(),
        terms => terms.iter().map(|word| sanitize_line(word)).collect::<Vec<_>>().join(", "),
    }
}

/// Formats each history of the mirror with its inputs, and the doubt about its newest bundle if there is one.
fn lineage_lines(status: &Status, layout: &Layout) -> String {
    let mut text = String::new();
    for lineage in &status.lineages {
        let created = sanitize_line(&lineage.created);
        let bundle = match is_time(lineage.sequence) {
            true => format!("bundle of {created}"),
            false => format!("{} of {created}", describe_bundle_number(lineage.sequence)),
        };
        text.push_str(&format!("Lineage {}: {bundle}\n", lineage.id_and_inputs()));
        let doubts = status.doubts.get(&lineage.id).into_iter().flatten();
        doubts.for_each(|doubt| text.push_str(&format!("  Doubtful: {doubt}\n")));
        if status.doubts.contains_key(&lineage.id) {
            let command = layout.fill_in("`cargo frostmirror gc --mirror DIR --dry-run`");
            text.push_str(&format!("  {command} says what to check, and how to accept or reject the bundle\n"));
        }
    }
    text
}

/// Formats the bundles to import again after a rejection; empty if there are none.
fn restoration_lines(status: &Status, layout: &Layout) -> String {
    let mut text: String = status.import_again.iter().map(|bundle| format!("Import again: {bundle}\n")).collect();
    if !text.is_empty() {
        let command = layout.fill_in("`cargo frostmirror gc --mirror DIR --dry-run`");
        text.push_str(&format!("  {command} shows whether a later bundle has restored this\n"));
    }
    text
}

/// Formats the number of import records that the status did not read completely; empty if there are none.
fn unchecked_line(records: u64, layout: &Layout) -> String {
    match records {
        0 => String::new(),
        records => {
            let command = layout.fill_in("`cargo frostmirror verify --mirror DIR`");
            format!("Unchecked import records: {records} ({command} checks them)\n")
        }
    }
}

/// Formats the number of counted files that the index no longer names; empty if there are none.
fn pending_line(files: u64) -> String {
    match files {
        0 => String::new(),
        files => format!("Awaiting deletion: {files} (counted above, not in `list` and `verify`)\n"),
    }
}

/// Formats the contents that live mode fetched; empty if it never fetched anything.
fn live_line(live: &LiveTotals) -> String {
    let LiveTotals { crates, dist_files: artifacts, bytes } = *live;
    if crates + artifacts == 0 {
        String::new()
    } else {
        format!("By live mode: {} ({})\n", format_contents(crates, artifacts), format_size(bytes))
    }
}

/// Formats the state of the watcher: one line per kind with the count, and one line per bundle that is not imported.
fn incoming_lines(incoming: &WatcherState) -> String {
    let WatcherState { folder, problem, done, arriving, waiting, failed, failed_count, .. } = incoming;
    let mut lines = vec![format!("Incoming folder: {}", folder.display())];
    lines.extend(problem.iter().map(|problem| format!("Incoming problem: {problem}")));
    lines.push(format!("Done bundles: {done}"));
    for (word, bundles, count) in [
        ("Arriving", arriving, arriving.len() as u64),
        ("Waiting", waiting, waiting.len() as u64),
        ("Failed", failed, *failed_count),
    ] {
        lines.push(format!("{word} bundles: {count}"));
        for bundle in bundles {
            let hint = bundle.hint.as_deref().map(|hint| format!("; {hint}")).unwrap_or_default();
            lines.push(format!("{word}: {}: {}{hint}", bundle.file, bundle.reason));
        }
    }
    lines.push(String::new());
    lines.join("\n")
}
