//! `gc`: plans and removes unreferenced files.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use super::Context;
use crate::bundle::sanitize::sanitize_line;
use crate::bundle::sequence::describe_bundle_number;
use crate::error_report::Failure;
use crate::event::{Sink, format_contents, format_crates, format_dist_files, format_size};
use crate::mirror::gc::{
    self, GcReport, KeptForLostRecords, LiveSummary, Options, Plan, RejectedBundle, StoredItem, total_size,
};
use crate::mirror::layout::Layout;
use crate::mirror::lineages::REBUILT_LINEAGE;
use crate::mirror::lock::{Holder, lock_for_collecting};
use crate::toolchain::DistPath;
use crate::units::pluralize;
use crate::units::{format_time, parse_duration};

/// Arguments of `gc`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print the plan, and remove nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Mirror [default: /mirror, else ~/.frostmirror/mirror]
    ///
    /// Mirror. The default is /mirror if it exists, as in a container, else `mirror` in FROSTMIRROR_HOME.
    #[arg(long, value_name = "DIR", env = "FROSTMIRROR_MIRROR")]
    pub mirror: Option<PathBuf>,
    /// Grace period, such as 0, 90s, 2h or 7d
    ///
    /// Grace period of unreferenced files, such as 0, 90s, 2h or 7d. Index lines are removed first. Their crates follow in a run
    /// after this time, because a client may have read a line just before.
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = parse_duration)]
    pub grace: Duration,
    /// Lineage to forget, by ID or prefix (repeatable)
    ///
    /// Lineage to forget, by ID or unique prefix (repeatable). Files that only its bundles need become garbage. `live` stands
    /// for the files of live mode. With @BUNDLE, the lineage is forgotten only if that bundle is the newest.
    #[arg(long, value_name = "LINEAGE|live")]
    pub forget: Vec<String>,
    /// Doubtful lineage whose newest bundle to accept (repeatable)
    ///
    /// Doubtful lineage whose newest bundle to accept, by ID or unique prefix (repeatable). The bundles of the lineage that do not
    /// lead to it are rejected, and files that only they need become garbage. With @BUNDLE, the lineage is accepted only if that
    /// bundle is the newest. To keep another genuine bundle, add the option with its ID too. A new doubt needs the option again.
    #[arg(long, value_name = "LINEAGE[@BUNDLE]")]
    pub accept: Vec<String>,
    /// False bundle, which the sender did not write (repeatable)
    ///
    /// False bundle, which the sender did not write (repeatable). It no longer counts, whatever its number is, and files that
    /// only it needs become garbage. If it replaced files or index lines of other bundles, the plan names the bundles to import
    /// again. The other bundles of its lineage stay. `snapshot@ID` rejects a snapshot with all its histories. `cargo frostmirror
    /// history` lists the IDs of the bundles that a sender wrote.
    #[arg(long, value_name = "LINEAGE@BUNDLE")]
    pub reject: Vec<String>,
    /// Seconds to wait for the mirror's lock
    ///
    /// Seconds to wait for another process that changes the mirror. After that time the exit code is 6.
    #[arg(long, value_name = "SECS", default_value_t = 60)]
    pub lock_timeout: u64,
}

/// Runs the verb.
pub fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let layout = Layout::new(context.resolve_folder(args.mirror.as_deref(), "/mirror", "mirror")?);
    collect_garbage(args, &layout, context).map_err(|failure| {
        let failure = failure.with_mirror(&layout);
        match failure.context {
            None => failure.context(format!("could not collect garbage in `{}`", layout.root().display())),
            Some(_) => failure,
        }
    })
}

fn collect_garbage(args: &Args, layout: &Layout, context: &Context) -> Result<(), Failure> {
    let now = Timestamp::now();
    context.reporter.detail("Reading", format!("the records in `{}`", layout.private().display()));
    let (retire, accept, reject) = (args.forget.clone(), args.accept.clone(), args.reject.clone());
    let options = Options { grace: args.grace, retire, accept, reject, now };
    if args.dry_run {
        let plan = gc::preview(layout, &options)?;
        report_plan(&plan, true, now, layout, context);
        if let Some(refusal) = plan.refusal() {
            context.reporter.warning(format!("without `--dry-run`, this run would fail: {refusal}"));
        }
        return Ok(());
    }
    let sink = context.reporter.as_ref();
    let holder = Holder::this_process("gc", &context.env, now);
    let mut guard = lock_for_collecting(layout, Duration::from_secs(args.lock_timeout), &holder, sink)?;
    let planned = guard.plan(&options)?;
    report_plan(planned.plan(), false, now, layout, context);
    let collected = planned.execute(sink)?;
    let GcReport { crates: removed, dist_files: artifacts, bytes, .. } = collected;
    if context.reporter.is_json() {
        let mut report = json!(collected);
        report["reason"] = "collected".into();
        context.reporter.print_json(&report);
    } else {
        let with = match artifacts {
            0 => String::new(),
            artifacts => format!(" ({}, {} among it)", format_size(bytes), format_dist_files(artifacts)),
        };
        context.reporter.print_data(&format!(
            "Removed {}, freed {}{with}",
            format_crates(removed),
            pluralize(bytes, "byte")
        ));
    }
    Ok(())
}

/// Prints the plan; a dry run and a real run print the same text.
fn report_plan(plan: &Plan, dry_run: bool, now: Timestamp, layout: &Layout, context: &Context) {
    let report = context.reporter.as_ref();
    if report.is_json() {
        let mut plan_report = json!(plan.report(dry_run));
        plan_report["reason"] = "gc-plan".into();
        report.print_json(&plan_report);
        return;
    }
    report.print_data(&plan_text(plan, now, layout));
    for line in &plan.reset_lines {
        report.detail("Reset", format!("index line {} {}", line.name, line.version));
    }
    for line in &plan.lines {
        report.detail("Remove", format!("index line {} {}", line.name, line.version));
    }
    for item in plan.crates() {
        report.detail("Remove", format!("crate {} ({})", item.id.key(), pluralize(item.size, "byte")));
    }
    for item in plan.dist_files() {
        report.detail("Remove", format!("dist file {} ({})", item.id, pluralize(item.size, "byte")));
    }
    for waiting in &plan.pending {
        let until = format_time(waiting.until);
        report.detail(
            "Remove",
            format!("later, after {until}: {} ({})", waiting.item.id.key(), pluralize(waiting.item.size, "byte")),
        );
    }
    for file in &plan.unrecognized {
        report.detail("Keep", format!("unrecognized file {}", sanitize_line(file)));
    }
}

fn plan_text(plan: &Plan, now: Timestamp, layout: &Layout) -> String {
    let mut text = String::new();
    let mut line = |content: String| writeln!(text, "{content}").expect("writing to memory cannot fail");
    for lineage in &plan.lineages {
        let fate = match (lineage.retired, lineage.accepted) {
            (true, _) => ", forgotten",
            (false, true) => ", accepted",
            (false, false) if lineage.nothing_to_accept => ", not doubtful, so there is nothing to accept",
            (false, false) => "",
        };
        let newest = &lineage.newest;
        line(format!(
            "Lineage {}: {}, {}, {}{fate}",
            newest.id_and_inputs(),
            // The bundle's sender chose the file name, so it is sanitized.
            sanitize_line(&lineage.file),
            format_age(&newest.created, now),
            match lineage.dist_files {
                0 => format_crates(lineage.crates),
                artifacts => format!("{}, {}", format_crates(lineage.crates), format_dist_files(artifacts)),
            }
        ));
        if lineage.warnings.is_empty() || lineage.retired || lineage.accepted {
            continue;
        }
        lineage.warnings.iter().for_each(|doubt| line(format!("  Doubtful: {doubt}")));
        for candidate in &lineage.candidates {
            let (file, created) = (sanitize_line(&candidate.file), sanitize_line(&candidate.created));
            let (number, bundle) = (describe_bundle_number(candidate.sequence), &candidate.bundle);
            line(format!("  Candidate: {number}, {file}, written {created}, id {bundle}"));
        }
        line(format!(
            "  Files that any candidate needs stay. Decide about {}: run `cargo frostmirror history` on the sender's \
             machine, and look for the id {} in its list",
            describe_bundle_number(newest.sequence),
            newest.bundle
        ));
        let command = layout.fill_in("cargo frostmirror gc --mirror DIR");
        let accept = format!("{command} --accept {}@{}", newest.id, newest.bundle);
        line(match lineage.unconnected.is_empty() {
            true => format!("  If the list has that id, accept the bundle: `{accept}`"),
            false => format!(
                "  If the list has that id, accept the bundle. This rejects the bundles below, and files that only they need \
                 become garbage; --dry-run -v lists them: `{accept}`"
            ),
        });
        for rejected in &lineage.unconnected {
            line(format!("  Accepting rejects: {}", describe_rejected(rejected)));
        }
        if let Some(first) = lineage.unconnected.first() {
            line(format!(
                "  If the list has the id of such a bundle too, keep it in the same run, with one more option for each: `{accept} \
                 --accept {}@{}`",
                newest.id, first.bundle
            ));
        }
        line(format!(
            "  If it does not, reject the bundle; files that only it needs become garbage: `{command} --reject {}@{}`",
            newest.id, newest.bundle
        ));
    }
    for rejected in &plan.rejected {
        let why = if rejected.unconnected { ", because it does not lead to the accepted bundle" } else { "" };
        line(format!("Rejected: {}{why}", describe_rejected(rejected)));
    }
    if let Some(LiveSummary { crates, dist_files: artifacts, bytes, retired: forgotten }) = &plan.live {
        let fate = if *forgotten { ", forgotten" } else { "" };
        line(format!("Live mode: {} ({}){fate}", format_contents(*crates, *artifacts), format_size(*bytes)));
    }
    let pending = plan.pending_crates().count() as u64;
    line(format!("To remove: {}", pluralize(plan.lines.len(), "index line")));
    let bytes = format_size(total_size(plan.crates()));
    line(format!("To remove: {} ({bytes})", format_crates(plan.crates().count() as u64)));
    let to_remove = DistFileGroups::from_items(plan.dist_files());
    to_remove.write_lines("To remove", &mut line);
    let last_deletion = plan.last_deletion().map(format_time).unwrap_or_default();
    if pending > 0 {
        let bytes = format_size(total_size(plan.pending_crates().map(|waiting| &waiting.item)));
        line(format!("To remove by a later run, after {last_deletion}: {} ({bytes})", format_crates(pending)));
    }
    let later = DistFileGroups::from_items(plan.pending_dist_files().map(|waiting| &waiting.item));
    later.write_lines(&format!("To remove by a later run, after {last_deletion}"), &mut line);
    if !plan.unrecognized.is_empty() {
        // A crate with a damaged index line counts as unrecognized, but it is needed.
        line(format!(
            "Unrecognized files (kept): {} ({} shows whether they are damaged)",
            plan.unrecognized.len(),
            layout.fill_in("`cargo frostmirror verify --mirror DIR`")
        ));
    }
    write_restoration(plan, layout, &mut line);
    if let Some(kept) = &plan.kept_for_lost_records {
        line(kept_for_lost_records(kept, layout));
    }
    let counts = plan.counts;
    line(format!(
        "To stay: {} ({})",
        format_crates(counts.versions - pending),
        format_size(counts.bytes - total_size(plan.pending_crates().map(|waiting| &waiting.item)))
    ));
    if counts.dist_files > 0 {
        let bytes = counts.dist_file_bytes.saturating_sub(later.bytes());
        line(format!("To stay: {} ({})", format_dist_files(counts.dist_files - later.files()), format_size(bytes)));
    }
    text
}

/// A rejected bundle for users.
fn describe_rejected(rejected: &RejectedBundle) -> String {
    let (file, id) = (sanitize_line(&rejected.file), sanitize_line(&rejected.lineage));
    let (number, bundle) = (describe_bundle_number(rejected.sequence), sanitize_line(&rejected.bundle));
    match (rejected.snapshot, rejected.sequence) {
        (true, _) => format!("snapshot {file}, id {bundle}, with its histories"),
        (false, 0) => format!("a bundle of lineage {id} whose record is lost, id {bundle}"),
        (false, _) => format!("{number} of lineage {id}, {file}, id {bundle}"),
    }
}

/// Writes what rejected bundles replaced, and which bundles restore it.
fn write_restoration(plan: &Plan, layout: &Layout, line: &mut dyn FnMut(String)) {
    const MAX_NAMED: usize = 5;
    if !plan.reset_lines.is_empty() {
        let lines = pluralize(plan.reset_lines.len(), "index line");
        line(format!("To reset: {lines} from a rejected bundle; the next line from any other bundle counts"));
    }
    for bundle in &plan.to_import {
        line(format!("Import again: {bundle}"));
    }
    if !plan.unavailable.is_empty() {
        let named: Vec<String> = plan.unavailable.iter().take(MAX_NAMED).map(|one| sanitize_line(one)).collect();
        let more = if plan.unavailable.len() > MAX_NAMED { ", …" } else { "" };
        let of_rebuilt = match plan.lineages.iter().any(|lineage| lineage.newest.id == REBUILT_LINEAGE) {
            true => layout.fill_in(
                "; if only lineage `rebuilt` needs it, run `cargo frostmirror gc --mirror DIR --forget rebuilt`",
            ),
            false => String::new(),
        };
        line(format!(
            "No bundle on record restores {} ({}{more}): import a bundle of your sender that has this content{of_rebuilt}",
            pluralize(plan.unavailable.len(), "replaced item"),
            named.join(", ")
        ));
    }
}

/// Why files stay that no bundle on record needs now, and what ends that.
fn kept_for_lost_records(kept: &KeptForLostRecords, layout: &Layout) -> String {
    let files = pluralize(kept.files, "file");
    // A rebuild records such files as the lineage.
    let rebuild = match kept.has_lineage {
        true => String::new(),
        false => layout.fill_in("`cargo frostmirror verify --mirror DIR --rebuild-state` and then "),
    };
    let forget = layout.fill_in("`cargo frostmirror gc --mirror DIR --forget rebuilt`");
    match kept.bundles.as_slice() {
        [] => format!(
            "Kept because import records may be lost: {files}. Import every bundle that you still have again; after that, run \
             {rebuild}{forget}, which prints the command that releases what no bundle needs"
        ),
        [first, others @ ..] => {
            let more = if others.is_empty() { String::new() } else { format!(" and {} more", others.len()) };
            format!(
                "Kept because import records are lost: {files}, until the bundle with the id {}{more} is imported again. If you \
                 no longer have it, run {rebuild}{forget}, which prints the command that releases them",
                sanitize_line(first)
            )
        }
    }
}

/// Groups dist files by dated folder, by channel manifest, or by rustup release.
struct DistFileGroups {
    sizes: BTreeMap<String, (u64, u64)>,
    /// The Rust version of a dated folder.
    releases: BTreeMap<String, String>,
}

impl DistFileGroups {
    fn from_items<'i>(items: impl Iterator<Item = &'i StoredItem>) -> DistFileGroups {
        let mut groups = DistFileGroups { sizes: BTreeMap::new(), releases: BTreeMap::new() };
        for item in items {
            let path = item.id.path();
            let (files, bytes) = groups.sizes.entry(group_of_path(path.as_str())).or_default();
            *files += 1;
            *bytes += item.size;
            if let Some(DistPath::Component { release, .. }) = DistPath::parse(&path) {
                groups.releases.insert(group_of_path(path.as_str()), format!(", Rust {release}"));
            }
        }
        groups
    }

    fn files(&self) -> u64 {
        self.sizes.values().map(|(files, _)| files).sum()
    }

    fn bytes(&self) -> u64 {
        self.sizes.values().map(|(_, bytes)| bytes).sum()
    }

    /// Writes a total line and one line per group.
    fn write_lines(&self, what: &str, line: &mut dyn FnMut(String)) {
        if self.sizes.is_empty() {
            return;
        }
        line(format!("{what}: {} ({})", format_dist_files(self.files()), format_size(self.bytes())));
        for (group, (files, bytes)) in &self.sizes {
            let files = pluralize(*files, "file");
            let release = self.releases.get(group).map_or("", String::as_str);
            line(format!("  {}{release} ({files}, {})", sanitize_line(group), format_size(*bytes)));
        }
    }
}

/// The group of the dist file at `path`.
fn group_of_path(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        ["rustup", "archive", version, ..] => format!("rustup/archive/{version}"),
        [top, folder, _, ..] => format!("{top}/{folder}"),
        _ => [".sha256", ".asc"].iter().find_map(|end| path.strip_suffix(end)).unwrap_or(path).to_owned(),
    }
}

/// The age in the largest unit of which there are at least two.
fn format_age(created: &str, now: Timestamp) -> String {
    let Ok(created) = created.parse::<Timestamp>() else {
        return "of unknown age".to_owned();
    };
    let seconds = now.duration_since(created).as_secs().max(0);
    let units = [(86_400, "days"), (3600, "hours"), (60, "minutes")];
    match units.into_iter().find(|(unit, _)| seconds >= 2 * unit) {
        Some((unit, name)) => format!("{} {name} old", seconds / unit),
        None if seconds == 1 => "1 second old".to_owned(),
        None => format!("{} old", pluralize(seconds, "second")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_grace_period_matches_the_help() {
        assert_eq!(parse_duration("10m"), Ok(gc::DEFAULT_GRACE));
    }

    #[test]
    fn ages_have_the_largest_unit_that_fits_twice() {
        let now: Timestamp = "2026-04-10T00:00:00Z".parse().expect("time");
        for (created, expected) in [
            ("2026-04-01T00:00:00Z", "9 days"),
            ("2026-04-08T23:59:00Z", "24 hours"),
            ("2026-04-09T23:00:00Z", "60 minutes"),
            ("2026-04-09T23:59:00Z", "60 seconds"),
            ("2026-04-09T23:59:59Z", "1 second"),
            ("2026-04-11T00:00:00Z", "0 seconds"),
        ] {
            assert_eq!(format_age(created, now), format!("{expected} old"));
        }
    }
}
