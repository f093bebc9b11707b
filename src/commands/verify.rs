//! `verify`: checks bundles, a mirror, or whether a Cargo.lock can be built from them; reports every problem.

use std::path::Path;

use serde_json::json;

use super::Context;
use super::bundle_path::folder_is_no_bundle;
use crate::bundle::format::{DistFileState, Manifest};
use crate::bundle::verify::{VerifyReport, verify_named};
use crate::diagnostics::shell_quote;
use crate::error_report::{COPY_AGAIN_HINT, ErrorClass, Failure, replace_control};
use crate::event::Sink;
use crate::inputs::lockfile::{Lockfile, skip_options};
use crate::lock_coverage::{CoverageGap, VerifiedBundle, check_lock_coverage};
use crate::mirror::audit::require_mirror;
use crate::mirror::layout::Layout;
use crate::mirror_file::FileKind;
use crate::units::{agree, pluralize};

mod args;
mod mirror;

pub use args::Args;

/// Runs the verb.
pub fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let layout = args.mirror.as_deref().map(|folder| Layout::new(context.absolute(folder)));
    match (&layout, &args.closure) {
        (None, lock) if args.files.is_empty() => return Err(nothing_to_check(lock.as_deref(), context)),
        (Some(layout), None) if args.files.is_empty() => return mirror::run(args, layout, context),
        (Some(_), None) => {
            return Err(Failure::new(ErrorClass::Usage, "bundles and `--mirror` go together with `--closure` only")
                .hint("check the bundles and audit the mirror one after the other"));
        }
        _ => {}
    }
    // The arguments are validated before the long work.
    let lock = args.closure.as_deref().map(|path| Lockfile::read(&context.absolute(path))).transpose()?;
    if let Some(layout) = &layout {
        require_mirror(layout)?;
    }
    let good = check_bundles(args, context)?;
    match (lock, &args.closure) {
        (Some(lock), Some(path)) => report_lock_coverage(&lock, path, &good, layout.as_ref(), context),
        _ => Ok(()),
    }
}

/// Neither a bundle nor a mirror was given. Names the default mirror if there is one.
fn nothing_to_check(lock: Option<&Path>, context: &Context) -> Failure {
    let closure = lock.map_or_else(String::new, |lock| format!(" --closure {}", shell_quote(lock)));
    let default = context.env.path("FROSTMIRROR_MIRROR").map(|path| context.absolute(&path));
    let default = context.resolve_folder(default.as_deref(), "/mirror", "mirror").ok();
    let mirror = default.filter(|path| require_mirror(&Layout::new(path)).is_ok());
    let mirror = mirror.map_or_else(|| "DIR".to_owned(), |path| shell_quote(&path));
    let what = match lock {
        Some(lock) => format!("could not check whether `{}` can be built", lock.display()),
        None => "found nothing to check".to_owned(),
    };
    Failure::new(ErrorClass::Usage, "neither a bundle nor a mirror was given").context(what).hint(format!(
        "`cargo frostmirror verify --mirror {mirror}{closure}` checks a mirror; `cargo frostmirror verify FILE{closure}` \
         checks a bundle"
    ))
}

/// Checks the bundles; if all are valid, returns their manifests.
fn check_bundles(args: &Args, context: &Context) -> Result<Vec<(String, Manifest)>, Failure> {
    let mut good = Vec::new();
    let (mut bad, mut unreadable) = (0, 0);
    let mut first_failure: Option<Failure> = None;
    let mut integrity = false;
    let several = args.files.len() > 1;
    // The verdict of a closure follows, and must not be taken for a bundle's.
    let is_prefixed = several || args.closure.is_some();
    for file in &args.files {
        if several {
            // Errors from here on concern this bundle.
            context.reporter.status("Checking", file.display().to_string());
        } else {
            context.reporter.detail("Checking", format!("`{}`", file.display()));
        }
        let path = context.absolute(file);
        let checked = match path.is_dir() {
            true => Err(folder_is_no_bundle("verify", file, &path)),
            false => {
                let name = file.display().to_string();
                verify_named(&path, name, &context.spool_folder()?, context.reporter.as_ref()).map_err(Failure::from)
            }
        };
        match checked {
            Ok(verdict) => {
                bad += usize::from(!verdict.problems.is_empty());
                report_bundle(context, file, is_prefixed, &verdict);
                if args.closure.is_some() && verdict.problems.is_empty() {
                    // The payload's table is the larger part, and no longer needed.
                    good.push((file.display().to_string(), Manifest { blocks: Vec::new(), ..verdict.manifest }));
                }
            }
            Err(failure) => {
                if context.reporter.is_json() {
                    context.reporter.print_json(&json!({
                        "reason": "verified", "file": file, "success": false, "problems": [failure.to_string()],
                    }));
                } else if several {
                    context.reporter.print_data(&prefix_with_file(file, &failure.to_string()));
                }
                unreadable += 1;
                integrity |= failure.class == ErrorClass::Integrity;
                first_failure.get_or_insert(failure);
            }
        }
    }
    match (first_failure, bad) {
        (Some(failure), _) if args.files.len() == 1 => Err(failure),
        (Some(failure), bad) => {
            let message = format!(
                "{} of {} {} invalid or cannot be read",
                bad + unreadable,
                pluralize(args.files.len(), "bundle"),
                agree(bad + unreadable, "is", "are")
            );
            // An invalid bundle is graver than a path that does not exist.
            let class = if integrity || bad > 0 { ErrorClass::Integrity } else { failure.class };
            Err(Failure::new(class, message).hint("see the errors above"))
        }
        (None, 0) => Ok(good),
        (None, bad) => {
            let message = match args.files.as_slice() {
                [file] => format!("`{}` is damaged", file.display()),
                files => {
                    format!("{bad} of {} {} damaged", pluralize(files.len(), "bundle"), agree(bad, "is", "are"))
                }
            };
            Err(Failure::new(ErrorClass::Integrity, message).hint(COPY_AGAIN_HINT))
        }
    }
}

/// Prefixes each line with its bundle.
fn prefix_with_file(file: &Path, lines: &str) -> String {
    // The file's owner chose the name, so it is sanitized.
    let name = replace_control(&file.display().to_string()).replace('\n', " ");
    lines.lines().filter(|line| !line.is_empty()).map(|line| format!("{name}: {line}")).collect::<Vec<_>>().join("\n")
}

fn report_bundle(context: &Context, file: &Path, is_prefixed: bool, verdict: &VerifyReport) {
    let (crates, artifacts) = count_files(&verdict.manifest);
    let problems: Vec<String> = verdict.problems.iter().map(ToString::to_string).collect();
    if context.reporter.is_json() {
        context.reporter.print_json(&json!({
            "reason": "verified",
            "file": file,
            "success": problems.is_empty(),
            "id": verdict.manifest.id,
            "crates": crates,
            "rustup_artifacts": artifacts,
            "problems": problems,
        }));
    } else {
        let lines = match problems.is_empty() {
            true => format!("OK -- {}, {}", pluralize(crates, "crate"), pluralize(artifacts, "rustup artifact")),
            false => replace_control(&problems.join("\n")),
        };
        context.reporter.print_data(&if is_prefixed { prefix_with_file(file, &lines) } else { lines });
    }
}

/// The number of crates and of dist files.
fn count_files(manifest: &Manifest) -> (usize, usize) {
    // The bundle stores equal bytes once; each of their paths counts as a file.
    (manifest.count_entries(FileKind::Crate), manifest.dist_files_in(DistFileState::Shipped).count())
}

/// Reports whether the lockfile can be built from the bundles and the mirror.
fn report_lock_coverage(
    lock: &Lockfile,
    path: &Path,
    bundles: &[(String, Manifest)],
    layout: Option<&Layout>,
    context: &Context,
) -> Result<(), Failure> {
    let chain: Vec<VerifiedBundle<'_>> =
        bundles.iter().map(|(file, manifest)| VerifiedBundle { file, manifest }).collect();
    let found = check_lock_coverage(lock, &chain, layout)?;
    let gaps: Vec<String> = found.gaps.iter().map(ToString::to_string).collect();
    let skipped: Vec<String> = found.index_only.iter().map(ToString::to_string).collect();
    let offered: Vec<String> = found.only_offered.iter().map(ToString::to_string).collect();
    if context.reporter.is_json() {
        context.reporter.print_json(&json!({
            "reason": "closure",
            "lockfile": path,
            "success": gaps.is_empty(),
            "packages": found.packages,
            "index_only": skipped,
            "only_offered": offered,
            "problems": gaps,
        }));
    } else if gaps.is_empty() {
        context.reporter.print_data(&format!("OK -- closure of {}", pluralize(found.packages, "package")));
    } else {
        // The file's owner chose the name, so it is sanitized.
        let text = format!("{}\nFAILED -- closure with {}", gaps.join("\n"), pluralize(gaps.len(), "problem"));
        context.reporter.print_data(&replace_control(&text));
    }
    if !skipped.is_empty() && !context.reporter.is_json() {
        context.reporter.warning(format!(
            "{} {} in the index only, left out by a platform filter or never downloaded in live mode: {}",
            pluralize(skipped.len(), "package"),
            if skipped.len() == 1 { "is" } else { "are" },
            skipped.join(", ")
        ));
    }
    if !offered.is_empty() && !context.reporter.is_json() {
        context.reporter.warning(format!(
            "no client of live mode downloaded {}, so a snapshot has index lines without the files: {}; first build the project \
             through the mirror on each of its platforms",
            pluralize(offered.len(), "package"),
            offered.join(", ")
        ));
    }
    if gaps.is_empty() {
        return Ok(());
    }
    let message =
        format!("`{}` cannot be built from what is here ({})", path.display(), pluralize(gaps.len(), "problem"));
    Err(Failure::new(ErrorClass::Integrity, message).hint(coverage_hint(&found.gaps, lock, path, layout.is_some())))
}

/// What to do about the gaps.
fn coverage_hint(gaps: &[CoverageGap], lock: &Lockfile, path: &Path, has_mirror: bool) -> String {
    // Without these options, the fetch of a lock with packages of git or of other registries fails.
    let options: String = skip_options(&lock.foreign).iter().map(|option| format!(" {option}")).collect();
    let fetch = format!("`cargo frostmirror fetch --lockfile {}{options}`", shell_quote(path));
    if gaps.iter().any(|gap| matches!(gap, CoverageGap::ChecksumMismatch { .. })) {
        return format!(
            "run {fetch} on the connected side: if it fails, the lock was altered, so restore it from version control; if it \
             succeeds, do not use these files, and import the new bundle into a new mirror"
        );
    }
    let vendor =
        "`cargo vendor` in the workspace on the connected side copies the packages of git and of other registries";
    let is_unused_patch =
        |gap: &CoverageGap| matches!(gap, CoverageGap::ForeignPackage { package, .. } if package.unused_patch);
    if gaps.iter().all(is_unused_patch) {
        return "remove the unused entries of `[patch]` from the manifest, run `cargo update --workspace` on the connected side, and \
                use the new Cargo.lock"
            .to_owned();
    }
    if gaps.iter().all(|gap| matches!(gap, CoverageGap::ForeignPackage { .. })) {
        return format!("{vendor}; carry that folder too");
    }
    let mut hint = match gaps.iter().any(|gap| matches!(gap, CoverageGap::MissingBase { .. })) {
        true if !has_mirror => format!(
            "add the base bundles, or use `--mirror DIR` with a mirror that has them; if they lack it too, run {fetch} on the \
             connected side"
        ),
        true => format!("add the base bundles; if they lack it too, run {fetch} on the connected side"),
        false => format!("run {fetch} on the connected side, and import its bundle"),
    };
    if !lock.foreign.is_empty() {
        hint += &format!("; {vendor}");
    }
    hint
}
