//! `verify`: bundles checked, a mirror audited, a Cargo.lock held against either; every problem told.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::Context;
use crate::artifact::Kind;
use crate::bundle::format::{ArtifactState, Manifest};
use crate::bundle::shown::counted;
use crate::bundle::verify::{Verdict, verify};
use crate::closure::{Gap, Good, closure};
use crate::event::Sink;
use crate::failure::{Class, Failure, printable};
use crate::gather::lockfile::Lockfile;
use crate::mirror::audit::require_mirror;
use crate::mirror::layout::Layout;

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
            return Err(Failure::new(Class::Usage, "bundles and `--mirror` go together with `--closure` only")
                .hint("check the bundles and audit the mirror one after the other"));
        }
        _ => {}
    }
    // What the user gave is looked at before the long work.
    let lock = args.closure.as_deref().map(|path| Lockfile::read(&context.absolute(path))).transpose()?;
    if let Some(layout) = &layout {
        require_mirror(layout)?;
    }
    let good = check(args, context)?;
    match (lock, &args.closure) {
        (Some(lock), Some(path)) => hold_against(&lock, path, &good, layout.as_ref(), context),
        _ => Ok(()),
    }
}

/// Checks the bundles; if all are good, what they say of themselves.
fn check(args: &Args, context: &Context) -> Result<Vec<(String, Manifest)>, Failure> {
    let mut good = Vec::new();
    let (mut bad, mut unreadable) = (0, 0);
    let mut unread: Option<Failure> = None;
    let several = args.files.len() > 1;
    for file in &args.files {
        if several {
            // What follows is of this one.
            context.report.status("Checking", file.display().to_string());
        }
        match verify(&context.absolute(file), &context.spool()?, context.report.as_ref()) {
            Ok(verdict) => {
                bad += usize::from(!verdict.problems.is_empty());
                tell(context, file, several, &verdict);
                if args.closure.is_some() && verdict.problems.is_empty() {
                    // The payload's table is the larger part, and of no use any more.
                    good.push((file.display().to_string(), Manifest { blocks: Vec::new(), ..verdict.manifest }));
                }
            }
            Err(error) => {
                let failure = Failure::from(error);
                if context.report.is_json() {
                    context.report.json(&json!({
                        "reason": "verified", "file": file, "success": false, "problems": [failure.to_string()],
                    }));
                } else if several {
                    context.report.data(&of_several(file, &failure.to_string()));
                }
                unreadable += 1;
                unread.get_or_insert(failure);
            }
        }
    }
    match (unread, bad) {
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
            Err(Failure::new(Class::Integrity, message).hint(hint))
        }
    }
}

/// Each line with the bundle that it is about, where there are several.
fn of_several(file: &Path, lines: &str) -> String {
    // A name of a file is as its owner chose it.
    let name = printable(&file.display().to_string()).replace('\n', " ");
    lines.lines().filter(|line| !line.is_empty()).map(|line| format!("{name}: {line}")).collect::<Vec<_>>().join("\n")
}

fn tell(context: &Context, file: &Path, several: bool, verdict: &Verdict) {
    let (crates, artifacts) = counts(&verdict.manifest);
    let problems: Vec<String> = verdict.problems.iter().map(ToString::to_string).collect();
    if context.report.is_json() {
        context.report.json(&json!({
            "reason": "verified",
            "file": file,
            "success": problems.is_empty(),
            "id": verdict.manifest.id,
            "crates": crates,
            "rustup_artifacts": artifacts,
            "problems": problems,
        }));
    } else {
        let told = match problems.is_empty() {
            true => format!("OK -- {crates} crates, {artifacts} rustup artifacts"),
            false => problems.join("\n"),
        };
        context.report.data(&if several { of_several(file, &told) } else { told });
    }
}

/// Crates, and the files that rustup asks for.
fn counts(manifest: &Manifest) -> (usize, usize) {
    // The same bytes travel once, and are placed under every path that the table has them at.
    (manifest.count(Kind::Crate), manifest.artifacts_in(ArtifactState::Shipped).count())
}

/// Tells whether the lock can be built from the bundles and the mirror.
fn hold_against(
    lock: &Lockfile,
    path: &Path,
    bundles: &[(String, Manifest)],
    layout: Option<&Layout>,
    context: &Context,
) -> Result<(), Failure> {
    let chain: Vec<Good<'_>> = bundles.iter().map(|(file, manifest)| Good { file, manifest }).collect();
    let found = closure(lock, &chain, layout)?;
    let gaps: Vec<String> = found.gaps.iter().map(ToString::to_string).collect();
    let left_out: Vec<String> = found.left_out.iter().map(ToString::to_string).collect();
    if context.report.is_json() {
        context.report.json(&json!({
            "reason": "closure",
            "lockfile": path,
            "success": gaps.is_empty(),
            "packages": found.packages,
            "index_only": left_out,
            "problems": gaps,
        }));
    } else if gaps.is_empty() {
        context.report.data(&format!("OK -- closure of {} packages", found.packages));
    } else {
        // A name of a file is as its owner chose it.
        context.report.data(&printable(&gaps.join("\n")));
    }
    if !left_out.is_empty() && !context.report.is_json() {
        context.report.warning(format!(
            "{} in the index only, left out by a platform filter: {}",
            if left_out.len() == 1 { "1 package is".to_owned() } else { format!("{} packages are", left_out.len()) },
            left_out.join(", ")
        ));
    }
    if gaps.is_empty() {
        return Ok(());
    }
    let message =
        format!("`{}` cannot be built from what is here ({})", path.display(), counted(gaps.len(), "problem"));
    let fetch = format!(
        "fetch it with `cargo frostmirror fetch --lockfile {}`; packages of git and of other registries must be vendored",
        path.display()
    );
    let hint = match found.gaps.iter().any(|gap| matches!(gap, Gap::Base { .. })) {
        true if layout.is_none() => {
            format!(
                "give the bundles that it builds on too, or with `--mirror DIR` a mirror that has them; if they lack it too, {fetch}"
            )
        }
        true => format!("give the bundles that it builds on too; if they lack it too, {fetch}"),
        false => fetch,
    };
    Err(Failure::new(Class::Integrity, message).hint(hint))
}
