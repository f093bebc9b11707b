//! `diff`: compares two bundles without reading their payloads.

use std::path::PathBuf;

use serde_json::json;

use super::Context;
use super::inspect::{DocumentFormat, display_file_name, print_json, read_manifest};
use crate::bundle::compare::{compare, render_text};
use crate::bundle::sbom;
use crate::error_report::Failure;

/// Arguments of `diff`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Older bundle
    pub old: PathBuf,
    /// Newer bundle
    pub new: PathBuf,
    /// Output format
    ///
    /// Output format. `cyclonedx` lists the added packages.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: DocumentFormat,
}

/// Runs the verb.
pub fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let (old, new) = (read_manifest("diff", &args.old, context)?, read_manifest("diff", &args.new, context)?);
    let comparison = compare(&old, &new);
    match args.format {
        DocumentFormat::Cyclonedx => {
            let document = sbom::comparison_document(&comparison, &display_file_name(&args.new));
            match context.reporter.is_json() {
                true => context.reporter.print_json(&json!({"reason": "sbom", "file": args.new, "sbom": document})),
                false => print_json(&document, context)?,
            }
        }
        _ if context.reporter.is_json() => {
            let mut object = comparison.to_json();
            object["reason"] = json!("diff");
            context.reporter.print_json(&object);
        }
        DocumentFormat::Text => {
            let (old, new) = (args.old.display().to_string(), args.new.display().to_string());
            context.reporter.print_data(&render_text(&comparison, &old, &new));
        }
        DocumentFormat::Json => print_json(&comparison.to_json(), context)?,
    }
    Ok(())
}
