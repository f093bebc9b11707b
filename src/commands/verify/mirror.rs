//! `verify --mirror`: audits a mirror, writes the repair list, and rebuilds lost state.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use super::args::Args;
use crate::bundle::sanitize::sanitize_line;
use crate::bundle::sequence::{describe_bundle_number, is_time};
use crate::commands::Context;
use crate::diagnostics::shell_quote;
use crate::durable;
use crate::error_report::{
    COPIED_RECORD_HINT, ErrorClass, Failure, LOST_RECORD_HINT, LOST_STATE_HINT, replace_control,
};
use crate::event::{self, Sink};
use crate::mirror::audit::{Audit, Fault, Repairs, audit, render_repair_list, require_mirror};
use crate::mirror::layout::Layout;
use crate::mirror::lineages::REBUILT_LINEAGE;
use crate::mirror::live::ItemId;
use crate::mirror::lock::{self, Holder, WriteGuard, lock_for_adding};
use crate::mirror::lost_items::{Carrier, find_carriers};
use crate::mirror::rebuild::{KeptCause, LostBundle, NewestBundle, RebuildReport};
use crate::units::{agree, plural_of, pluralize};

/// Audits the mirror; with `--rebuild-state`, rebuilds lost state first.
pub(super) fn run(args: &Args, layout: &Layout, context: &Context) -> Result<(), Failure> {
    let with_context = |failure: Failure| failure.context(format!("could not audit `{}`", layout.root().display()));
    if args.rebuild_state && layout.move_damaged_format_aside()? {
        let text = "the version of the layout in .frostmirror/format; the damaged file is in .frostmirror/aside";
        context.reporter.status("Rebuilt", text.to_owned());
    }
    require_mirror(layout).map_err(Failure::from)?;
    let sink = context.reporter.as_ref();
    sink.detail("Checking", format!("the mirror `{}`", layout.root().display()));
    let audit = if args.rebuild_state {
        let mut guard = lock_mirror(args, layout, context)?;
        let rebuilt = guard.rebuild(Timestamp::now(), sink).map_err(Failure::from_rebuild).map_err(with_context)?;
        report_rebuild(&rebuilt, layout, context);
        rebuilt.audit
    } else {
        let first = audit(layout, sink).map_err(Failure::from).map_err(with_context)?;
        if first.problems.is_empty() { first } else { audit_locked(first, args, layout, context)? }
    };
    if let Some(path) = &args.repair_list {
        let path = context.absolute(path);
        let text = render_repair_list(&audit.repairs);
        durable::rewrite(&path, text.as_bytes(), 0o644)
            .map_err(|source| Failure::io(format!("could not write `{}`", path.display()), source))?;
        let what = describe_repairs(&audit);
        sink.status("Listed", format!("{what} in {}", path.display()));
    }
    if let Some(warning) = never_imported_warning(&audit) {
        sink.warning(warning);
    }
    report_audit(&audit, layout, context);
    audit_result(&audit, args, layout, sink).map_err(|failure| failure.with_mirror(layout))
}

/// The items that bundles of the history had which were never imported.
fn never_imported_warning(audit: &Audit) -> Option<String> {
    let first = audit.never_imported.first()?;
    Some(format!(
        "other inputs of a history need {}, first {first}, and no bundle of that history that was imported here has them. If \
         this mirror serves these inputs, import their bundles too",
        format_items(audit.never_imported.iter())
    ))
}

/// Checks suspicious files again under the lock: an import may have been running.
fn audit_locked(first: Audit, args: &Args, layout: &Layout, context: &Context) -> Result<Audit, Failure> {
    let sink = context.reporter.as_ref();
    match lock_for_adding(layout, Duration::from_secs(args.lock_timeout), &lock_holder(context), sink) {
        Ok(guard) => Ok(guard.audit_again(&first, sink)?),
        Err(lock::Error::Io { source, .. }) => {
            // If the mirror is read-only, no frostmirror process writes to it.
            sink.warning(format!("the mirror could not be locked ({source}); a change by another process during the audit would be reported as damage"));
            Ok(first)
        }
        Err(error) => {
            sink.warning(format!(
                "the audit found {}, which the process that has locked the mirror may have caused",
                pluralize(first.problems.len(), "problem")
            ));
            Err(error.into())
        }
    }
}

fn lock_mirror(args: &Args, layout: &Layout, context: &Context) -> Result<WriteGuard, Failure> {
    let timeout = Duration::from_secs(args.lock_timeout);
    Ok(lock_for_adding(layout, timeout, &lock_holder(context), context.reporter.as_ref())?)
}

fn lock_holder(context: &Context) -> Holder {
    Holder::this_process("verify", &context.env, Timestamp::now())
}

/// What the rebuild could not restore, and how to restore it.
fn lost_record_warnings(rebuilt: &RebuildReport) -> Vec<String> {
    let again = "with `cargo frostmirror import FILE --mirror DIR`";
    let is_bundle = |lost: &&LostBundle| lost.tip.as_ref().is_none_or(|tip| tip.id != REBUILT_LINEAGE);
    let named: Vec<&LostBundle> = rebuilt.lost_bundles.iter().filter(is_bundle).take(MAX_NAMED).collect();
    let mut warnings: Vec<String> = named
        .iter()
        .map(|lost| {
            let id = sanitize_line(&lost.bundle);
            match &lost.tip {
                Some(tip) => format!(
                    "the record of {} of lineage {} is lost and cannot be rebuilt: the bundle with the id {id}, \
                     written {}. Import that bundle again {again}",
                    describe_bundle_number(tip.sequence),
                    tip.id_and_inputs(),
                    sanitize_line(&tip.created),
                ),
                None => format!(
                    "the record of the bundle with the id {id} is lost and cannot be rebuilt; its number and its inputs are \
                     unknown. Import that bundle again {again}; `cargo frostmirror inspect FILE` shows the id of a bundle"
                ),
            }
        })
        .collect();
    warnings.extend(rebuilt.unknown_loss.as_deref().map(unknown_loss_warnings).unwrap_or_default());
    let others = rebuilt.lost_records.saturating_sub(named.len() as u64);
    if others > 0 {
        warnings.push(format!(
            "{} {} lost, and nothing names {}. Import every bundle that you still have again {again}",
            pluralize(others, if named.is_empty() { "record" } else { "other record" }),
            agree(others, "is", "are"),
            agree(others, "its bundle", "their bundles"),
        ));
    }
    if let Some((_, cause)) = rebuilt.kept_crates {
        let first = match cause {
            _ if !warnings.is_empty() => "after these imports, ".to_owned(),
            KeptCause::DamagedLiveRecords => {
                "use the files that you need again in live mode, or import a bundle with them; after that, ".to_owned()
            }
            _ => format!("first import every bundle that you still have again {again}; after that, "),
        };
        warnings.push(format!(
            "{first}`cargo frostmirror gc --forget {REBUILT_LINEAGE} --mirror DIR` removes what no bundle needs"
        ));
    }
    warnings
}

/// What to import again after a rebuild without manifest.json, which may have named a newer record than these.
fn unknown_loss_warnings(newest: &[NewestBundle]) -> Vec<String> {
    let again = "with `cargo frostmirror import FILE --mirror DIR`";
    let again = match newest {
        [] => format!("Import every bundle that you still have again {again}"),
        _ => format!("Import the newest bundle of each history again {again}"),
    };
    let mut warnings = vec![format!(
        "manifest.json was lost, and only it shows whether records of newer imports are lost too. {again}"
    )];
    warnings.extend(newest.iter().take(MAX_NAMED).map(|NewestBundle { tip, file }| {
        format!(
            "the newest bundle on record of lineage {} is {}, `{}`, written {}, with the id {}. If its sender wrote a \
             later one (`cargo frostmirror history` lists them), import that again",
            tip.id_and_inputs(),
            describe_bundle_number(tip.sequence),
            sanitize_line(file),
            sanitize_line(&tip.created),
            sanitize_line(&tip.bundle),
        )
    }));
    let more = newest.len().saturating_sub(MAX_NAMED);
    if more > 0 {
        let more = pluralize(more, "lineage");
        warnings.push(format!("not listed here: {more} more. `cargo frostmirror gc --mirror DIR --dry-run` shows all"));
    }
    warnings
}

/// The bundles on record that contain these items, and the number of items that none contains. A warning reports a ledger
/// that cannot be read.
fn carriers_of(items: &Repairs, layout: &Layout, sink: &dyn Sink) -> (Vec<Carrier>, usize) {
    find_carriers(layout, items).unwrap_or_else(|error| {
        sink.warning(format!(
            "the ledger cannot be searched for the bundles that contain these files: {error}: {}",
            error.source
        ));
        (Vec::new(), items.len())
    })
}

/// Which crates and records were moved aside or dropped, why, and what restores them.
fn untrusted_warnings(rebuilt: &RebuildReport, layout: &Layout, sink: &dyn Sink) -> Vec<String> {
    let untrusted = &rebuilt.untrusted;
    let list = |ids: Vec<String>| {
        let more = ids.len().saturating_sub(MAX_NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let named: Vec<String> = ids.into_iter().take(MAX_NAMED).collect();
        format!("{}{more}", named.join(", "))
    };
    let bundles_of = |items: &Repairs| match carriers_of(items, layout, sink).0.as_slice() {
        [] => "their bundle".to_owned(),
        carriers => format_carriers(carriers),
    };
    let mut warnings = Vec::new();
    if !untrusted.contradicted.is_empty() {
        warnings.push(format!(
            "the index stated other checksums than the import records for {}: these index lines, and files with other bytes, \
             were moved to .frostmirror/aside. Import {} again: `cargo frostmirror import FILE --mirror DIR` restores \
             them",
            list(untrusted.contradicted.keys().map(ToString::to_string).collect()),
            bundles_of(&untrusted.contradicted)
        ));
    }
    if !untrusted.false_lines.is_empty() {
        warnings.push(format!(
            "index lines contradict the Cargo.toml in the crates of {}: these lines were moved to \
             .frostmirror/aside. Import {} again: `cargo frostmirror import FILE --mirror DIR` restores the right lines",
            list(untrusted.false_lines.keys().map(ToString::to_string).collect()),
            bundles_of(&untrusted.false_lines)
        ));
    }
    if !rebuilt.dropped_records.is_empty() {
        warnings.push(format!(
            "records of index lines were dropped, because no index line, import record or crate file has their version: {}. \
             If a bundle of yours has these crates, import it again with `cargo frostmirror import FILE --mirror DIR`",
            list(rebuilt.dropped_records.iter().map(ToString::to_string).collect())
        ));
    }
    if !untrusted.unknown.is_empty() {
        warnings.push(format!(
            "no import on record added {}: the index lines and the files were moved to .frostmirror/aside. If a bundle of \
             yours has these crates, import it again: `cargo frostmirror import FILE --mirror DIR` adds them again",
            list(untrusted.unknown.iter().map(ToString::to_string).collect())
        ));
    }
    warnings
}

/// Maximum number of bundles or crates that a warning names; the others are counted.
const MAX_NAMED: usize = 20;

fn report_rebuild(rebuilt: &RebuildReport, layout: &Layout, context: &Context) {
    let sink = context.reporter.as_ref();
    let RebuildReport {
        lines,
        dist_files,
        kept_crates: kept,
        kept_dist_files: kept_artifacts,
        records_moved_aside: aside,
        others_moved_aside: others,
        signatures_aside,
        live_rewritten: live,
        summary_rewritten: head,
        ..
    } = rebuilt;
    if *lines > 0 {
        let records = format!("{} of {}", plural_of(*lines, "record"), pluralize(*lines, "index line"));
        sink.status("Rebuilt", format!("the {records}"));
    }
    if let Some(artifacts) = dist_files {
        sink.status("Rebuilt", format!("the record of {}", event::format_dist_files(*artifacts)));
    }
    if *live {
        sink.status("Rebuilt", "the records of live mode".to_owned());
    }
    if *head {
        sink.status("Rebuilt", "manifest.json".to_owned());
    }
    if !rebuilt.renamed_records.is_empty() {
        let names = pluralize(rebuilt.renamed_records.len(), "renamed record");
        sink.status("Restored", format!("the right names of {names} of imports"));
    }
    if *aside > 0 {
        sink.status("Moved", format!("{} of imports to .frostmirror/aside", pluralize(*aside, "damaged record")));
    }
    for name in others {
        sink.warning(format!(
            "`{}` in the ledger was moved to .frostmirror/aside: it is no import record",
            sanitize_line(name)
        ));
    }
    for path in signatures_aside {
        sink.warning(format!(
            "`{path}` was moved to .frostmirror/aside: no record names this signature, and it does not prove its \
             manifest; the next bundle with this channel restores it"
        ));
    }
    for warning in untrusted_warnings(rebuilt, layout, sink) {
        sink.warning(layout.fill_in(&warning));
    }
    if let Some((kept, cause)) = kept {
        let what = event::format_contents(*kept, *kept_artifacts);
        let kept = format!("they are kept as lineage `{REBUILT_LINEAGE}`");
        sink.warning(match cause {
            KeptCause::LostRecords => {
                format!("import records were lost, so the lineages of {what} are unknown; {kept}")
            }
            KeptCause::DamagedLiveRecords => {
                format!("records of live mode are damaged, so the origin of {what} is unknown; {kept}")
            }
            KeptCause::NoRecord => format!("no record names {what}, so their origin is unknown; {kept}"),
            KeptCause::UnknownLoss => {
                format!("a lost record may need {what}, which the newest bundles on record do not need; {kept}")
            }
        });
    }
    for warning in lost_record_warnings(rebuilt) {
        sink.warning(layout.fill_in(&warning));
    }
    if !head
        && !live
        && *lines == 0
        && dist_files.is_none()
        && *aside == 0
        && others.is_empty()
        && signatures_aside.is_empty()
        && kept.is_none()
        && rebuilt.untrusted.is_empty()
        && rebuilt.dropped_records.is_empty()
        && rebuilt.renamed_records.is_empty()
        && rebuilt.lost_records == 0
    {
        sink.status("Unchanged", "nothing was lost that could be rebuilt".to_owned());
    }
}

fn report_audit(audit: &Audit, layout: &Layout, context: &Context) {
    let problems: Vec<String> = audit.problems.iter().map(ToString::to_string).collect();
    if context.reporter.is_json() {
        context.reporter.print_json(&json!({
            "reason": "audited",
            "mirror": layout.root(),
            "success": problems.is_empty(),
            "crates": audit.crates,
            "bytes": audit.bytes,
            "rustup_artifacts": audit.dist_files,
            "problems": problems,
            "to_fetch": audit.repairs.len(),
            "never_imported": audit.never_imported.len(),
        }));
    } else if problems.is_empty() {
        context.reporter.print_data(&format!(
            "OK -- {}, {}",
            pluralize(audit.crates, "crate"),
            pluralize(audit.dist_files, "rustup artifact")
        ));
    } else {
        context.reporter.print_data(&replace_control(&problems.join("\n")));
    }
}

/// Describes the files to fetch again.
fn describe_repairs(audit: &Audit) -> String {
    format_items(audit.repairs.keys())
}

/// The number of these crates and dist files.
fn format_items<'i>(items: impl ExactSizeIterator<Item = &'i ItemId> + Clone) -> String {
    let crates = items.clone().filter(|item| item.crate_id().is_some()).count();
    event::format_contents(crates as u64, (items.len() - crates) as u64)
}

/// Maximum number of bundles to import again that a message names; the others are counted.
const MAX_CARRIERS: usize = 3;

/// Bundles for users, such as "`one.pkg` (number 1, id 0a1b)".
fn format_carriers(carriers: &[Carrier]) -> String {
    let name = |Carrier { sequence, bundle, file }: &Carrier| {
        let number = sequence.filter(|number| !is_time(*number)).map(|number| format!("number {number}, "));
        let number = number.unwrap_or_default();
        format!("`{}` ({number}id {})", sanitize_line(file), sanitize_line(bundle))
    };
    let named: Vec<String> = carriers.iter().take(MAX_CARRIERS).map(name).collect();
    let more = carriers.len().saturating_sub(MAX_CARRIERS);
    let more = if more > 0 { format!(" and {}", pluralize(more, "other bundle")) } else { String::new() };
    format!("{}{more}", named.join(", "))
}

/// How to restore missing and damaged files: with the bundles that contained them, or with a new one.
fn repair_hint(audit: &Audit, args: &Args, layout: &Layout, sink: &dyn Sink) -> String {
    let (list, file) = match &args.repair_list {
        Some(path) => {
            let name = path.file_name().map_or(path.as_path(), Path::new);
            (format!("carry {} to the connected side", path.display()), shell_quote(name))
        }
        None => {
            ("write a list with `--repair-list FILE`, carry it to the connected side".to_owned(), "FILE".to_owned())
        }
    };
    let fetch = format!(
        "{list}, run `cargo frostmirror fetch --from-list {file}` there, and import that bundle: {} {} to be fetched again",
        describe_repairs(audit),
        agree(audit.repairs.len(), "is", "are")
    );
    let (carriers, unexplained) = carriers_of(&audit.repairs, layout, sink);
    if carriers.is_empty() {
        return fetch;
    }
    let again = format!("import {} again", format_carriers(&carriers));
    match unexplained {
        0 => format!("{again}; if you no longer have {}, {fetch}", agree(carriers.len(), "it", "them")),
        _ => format!("{again}, which has a part of these files; for all of them, {fetch}"),
    }
}

fn audit_result(audit: &Audit, args: &Args, layout: &Layout, sink: &dyn Sink) -> Result<(), Failure> {
    if audit.problems.is_empty() {
        return Ok(());
    }
    let message = match audit.problems.len() {
        1 => format!("1 problem in the mirror `{}`", layout.root().display()),
        n => format!("{} in the mirror `{}`", pluralize(n, "problem"), layout.root().display()),
    };
    // Findings before that may come from an unfinished transaction.
    if audit.problems.iter().any(|problem| matches!(problem.fault, Fault::Interrupted | Fault::Unfinished)) {
        return Err(Failure::new(ErrorClass::Integrity, message).hint(
            "run `cargo frostmirror gc --mirror DIR`, which completes the interrupted command, then verify again",
        ));
    }
    let has = |is: fn(&Fault) -> bool| audit.problems.iter().any(|problem| is(&problem.fault));
    let mut steps = Vec::new();
    // An import keeps a false line whose dependencies are right, so a rebuild removes it first.
    let removes_lines = !args.rebuild_state && has(|fault| matches!(fault, Fault::ContradictsCrate { .. }));
    if removes_lines {
        steps.push(
            "run `cargo frostmirror verify --mirror DIR --rebuild-state`, which moves false crates and index lines aside, and \
             rebuilds lost records"
                .to_owned(),
        );
    }
    if !audit.repairs.is_empty() {
        let then = if steps.is_empty() { "" } else { "then " };
        steps.push(format!("{then}{}", repair_hint(audit, args, layout, sink)));
    }
    if !args.rebuild_state && !removes_lines && has(Fault::is_rebuildable) {
        let then = if steps.is_empty() { "" } else { "then " };
        steps.push(if has(Fault::is_untrusted) {
            format!(
                "{then}run `cargo frostmirror verify --mirror DIR --rebuild-state`, which moves false crates and index lines \
                 aside, and rebuilds lost records"
            )
        } else if has(Fault::is_summary_lost) {
            format!("{then}{LOST_STATE_HINT}")
        } else if has(Fault::is_copied_record) {
            format!("{then}{COPIED_RECORD_HINT}")
        } else if has(Fault::is_lost_record) {
            format!("{then}{LOST_RECORD_HINT}")
        } else {
            format!(
                "{then}run `cargo frostmirror verify --mirror DIR --rebuild-state`, which writes manifest.json and lost \
                 records again, and moves false records aside"
            )
        });
    }
    if has(|fault| matches!(fault, Fault::RejectedLine { .. })) {
        let then = if steps.is_empty() { "" } else { "then " };
        steps.push(format!(
            "{then}run `cargo frostmirror gc --mirror DIR --dry-run`, which names the bundles to import again for the lines of \
             rejected bundles"
        ));
    }
    if audit.problems.iter().any(|problem| problem.fault.is_stray()) {
        steps.push(
            "inspect the unrecognized files: import a bundle that has them again, or remove them by hand".to_owned(),
        );
    }
    let hint = steps.join("; ");
    let failure = Failure::new(ErrorClass::Integrity, message);
    Err(if hint.is_empty() { failure.hint("import any bundle to repair the rest") } else { failure.hint(hint) })
}
