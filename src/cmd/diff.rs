//! `diff`: what a bundle changes against another, without a look at their payloads.

use std::path::PathBuf;

use serde_json::json;

use super::Context;
use super::inspect::{DocumentFormat, file_name, manifest, print};
use crate::bundle::compare::{compare, text};
use crate::bundle::sbom;
use crate::failure::Failure;

/// Words of `diff`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The bundle that is there already
    pub old: PathBuf,
    /// The bundle that is to come
    pub new: PathBuf,
    /// How to print it; cyclonedx lists what comes
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: DocumentFormat,
}

/// Runs the verb.
pub fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let (old, new) = (manifest(&args.old, context)?, manifest(&args.new, context)?);
    let comparison = compare(&old, &new);
    match args.format {
        DocumentFormat::Cyclonedx => {
            let document = sbom::of_comparison(&comparison, &file_name(&args.new));
            match context.report.is_json() {
                true => context.report.json(&json!({"reason": "sbom", "file": args.new, "sbom": document})),
                false => print(&document, context)?,
            }
        }
        _ if context.report.is_json() => {
            let mut object = comparison.json();
            object["reason"] = json!("diff");
            context.report.json(&object);
        }
        DocumentFormat::Text => {
            let (old, new) = (args.old.display().to_string(), args.new.display().to_string());
            context.report.data(&text(&comparison, &old, &new));
        }
        DocumentFormat::Json => print(&comparison.json(), context)?,
    }
    Ok(())
}
