//! `verify`: bundles checked, a mirror audited, a Cargo.lock held against either; every problem told.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::Context;
use crate::bundle::format::{DistFileState, Manifest};
use crate::bundle::sanitize::pluralize;
use crate::bundle::verify::{VerifyReport, verify};
use crate::error_report::{ErrorClass, Failure, replace_control};
use crate::event::Sink;
use crate::gather::lockfile::Lockfile;
use crate::lock_coverage::{CoverageGap, VerifiedBundle, check_lock_coverage};
use crate::mirror::audit::require_mirror;
use crate::mirror::layout::Layout;
use crate::mirror_file::FileKind;

mod mirror;

/// Words of `verify`.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("subject").required(true).multiple(true).args(["files", "mirror"]))]
pub struct Args {
    /// The bundles to check; with `--closure` they are a chain
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Audit this mirror: every file, every index line, every record; with FILE and `--closure`, what the bundles build on
    #[arg(long, value_name = "DIR")]
    pub mirror: Option<PathBuf>,
    /// Can this Cargo.lock be built from the bundles, or from the mirror?
    #[arg(long, value_name = "CARGO.LOCK")]
    pub closure: Option<PathBuf>,
    /// Write what the audit found to be fetched again, for `fetch --from-list`
    #[arg(long, value_name = "FILE", requires = "mirror", conflicts_with_all = ["files", "closure"])]
    pub repair_list: Option<PathBuf>,
    /// Make a lost or damaged manifest.json, ledger or record of index lines anew from what is on disk, as far as that proves it
    #[arg(long, requires = "mirror", conflicts_with_all = ["files", "closure"])]
    pub rebuild_state: bool,
    /// How long to wait for another process that holds the mirror
    #[arg(long, value_name = "SECS", default_value_t = 60, requires = "mirror")]
    pub lock_timeout: u64,
}

/// Runs the verb.
pub fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let layout = args.mirror.as_deref().map(|folder| Layout::new(context.absolute(folder)));
    match (&layout, &args.closure) {
        (Some(layout), None) if args.files.is_empty() => return mirror::run(args, layout, context),
        (Some(_), None) => {
            return Err(Failure::new(ErrorClass::Usage, "bundles and `--mirror` go together with `--closure` only")
                .hint("check the bundles and audit the mirror one after the other"));
        }
        _ => {}
    }
    // What the user gave is looked at before the long work.
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

/// Checks the bundles; if all are good, what they say of themselves.
fn check_bundles(args: &Args, context: &Context) -> Result<Vec<(String, Manifest)>, Failure> {
    let mut good = Vec::new();
    let (mut bad, mut unreadable) = (0, 0);
    let mut first_failure: Option<Failure> = None;
    let several = args.files.len() > 1;
    for file in &args.files {
        if several {
            // What follows is of this one.
            context.reporter.status("Checking", file.display().to_string());
        }
        match verify(&context.absolute(file), &context.spool_folder()?, context.reporter.as_ref()) {
            Ok(verdict) => {
                bad += usize::from(!verdict.problems.is_empty());
                report_bundle(context, file, several, &verdict);
                if args.closure.is_some() && verdict.problems.is_empty() {
                    // The payload's table is the larger part, and of no use any more.
                    good.push((file.display().to_string(), Manifest { blocks: Vec::new(), ..verdict.manifest }));
                }
            }
            Err(error) => {
                let failure = Failure::from(error);
                if context.reporter.is_json() {
                    context.reporter.print_json(&json!({
                        "reason": "verified", "file": file, "success": false, "problems": [failure.to_string()],
                    }));
                } else if several {
                    context.reporter.print_data(&prefix_with_file(file, &failure.to_string()));
                }
                unreadable += 1;
                first_failure.get_or_insert(failure);
            }
        }
    }
    match (first_failure, bad) {
        (Some(failure), _) if args.files.len() == 1 => Err(failure),
        (Some(failure), bad) => {
            let message = format!("{} of {} bundles are not good", bad + unreadable, args.files.len());
            Err(Failure::new(failure.class, message).hint("each of them is named above"))
        }
        (None, 0) => Ok(good),
        (None, bad) => {
            let message = match args.files.as_slice() {
                [file] => format!("`{}` is damaged", file.display()),
                files => format!("{bad} of {} bundles are damaged", files.len()),
            };
            let hint = "copy the bundle again from where it was made; if it is damaged there too, fetch it again";
            Err(Failure::new(ErrorClass::Integrity, message).hint(hint))
        }
    }
}

/// Each line with the bundle that it is about, where there are several.
fn prefix_with_file(file: &Path, lines: &str) -> String {
    // A name of a file is as its owner chose it.
    let name = replace_control(&file.display().to_string()).replace('\n', " ");
    lines.lines().filter(|line| !line.is_empty()).map(|line| format!("{name}: {line}")).collect::<Vec<_>>().join("\n")
}

fn report_bundle(context: &Context, file: &Path, several: bool, verdict: &VerifyReport) {
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
            true => format!("OK -- {crates} crates, {artifacts} rustup artifacts"),
            false => problems.join("\n"),
        };
        context.reporter.print_data(&if several { prefix_with_file(file, &lines) } else { lines });
    }
}

/// Crates, and the files that rustup asks for.
fn count_files(manifest: &Manifest) -> (usize, usize) {
    // The same bytes travel once, and are placed under every path that the table has them at.
    (manifest.count_entries(FileKind::Crate), manifest.dist_files_in(DistFileState::Shipped).count())
}

/// Tells whether the lock can be built from the bundles and the mirror.
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
    if context.reporter.is_json() {
        context.reporter.print_json(&json!({
            "reason": "closure",
            "lockfile": path,
            "success": gaps.is_empty(),
            "packages": found.packages,
            "index_only": skipped,
            "problems": gaps,
        }));
    } else if gaps.is_empty() {
        context.reporter.print_data(&format!("OK -- closure of {} packages", found.packages));
    } else {
        // A name of a file is as its owner chose it.
        context.reporter.print_data(&replace_control(&gaps.join("\n")));
    }
    if !skipped.is_empty() && !context.reporter.is_json() {
        context.reporter.warning(format!(
            "{} in the index only, left out by a platform filter: {}",
            if skipped.len() == 1 { "1 package is".to_owned() } else { format!("{} packages are", skipped.len()) },
            skipped.join(", ")
        ));
    }
    if gaps.is_empty() {
        return Ok(());
    }
    let message =
        format!("`{}` cannot be built from what is here ({})", path.display(), pluralize(gaps.len(), "problem"));
    let fetch = format!(
        "fetch it with `cargo frostmirror fetch --lockfile {}`; packages of git and of other registries must be vendored",
        path.display()
    );
    let hint = match found.gaps.iter().any(|gap| matches!(gap, CoverageGap::MissingBase { .. })) {
        true if layout.is_none() => {
            format!(
                "give the bundles that it builds on too, or with `--mirror DIR` a mirror that has them; if they lack it too, {fetch}"
            )
        }
        true => format!("give the bundles that it builds on too; if they lack it too, {fetch}"),
        false => fetch,
    };
    Err(Failure::new(ErrorClass::Integrity, message).hint(hint))
}
