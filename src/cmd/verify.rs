//! `verify`: bundles checked, every problem told.

use std::path::PathBuf;

use serde_json::json;

use super::Context;
use crate::artifact::Kind;
use crate::bundle::format::Manifest;
use crate::bundle::verify::{Verdict, verify};
use crate::event::Sink;
use crate::failure::{Class, Failure};

/// Words of `verify`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The bundles to check
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// Runs the verb.
pub fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let (mut bad, mut unreadable) = (0, 0);
    let mut unread: Option<Failure> = None;
    for file in &args.files {
        if args.files.len() > 1 {
            // What follows is of this one.
            context.report.status("Checking", file.display().to_string());
        }
        match verify(&context.absolute(file), &context.spool(), context.report.as_ref()) {
            Ok(verdict) => {
                bad += usize::from(!verdict.problems.is_empty());
                tell(context, file, &verdict);
            }
            Err(error) => {
                let failure = Failure::from(error);
                if context.report.is_json() {
                    context.report.json(&json!({
                        "reason": "verified", "file": file, "success": false, "problems": [failure.to_string()],
                    }));
                } else if args.files.len() > 1 {
                    context.report.warning(failure.to_string());
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
        (None, 0) => Ok(()),
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

fn tell(context: &Context, file: &std::path::Path, verdict: &Verdict) {
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
    } else if problems.is_empty() {
        context.report.data(&format!("OK -- {crates} crates, {artifacts} rustup artifacts"));
    } else {
        context.report.data(&problems.join("\n"));
    }
}

/// Crates, and the files that rustup asks for.
fn counts(manifest: &Manifest) -> (usize, usize) {
    (manifest.count(Kind::Crate), manifest.count(Kind::Dist) + manifest.count(Kind::Rustup))
}
