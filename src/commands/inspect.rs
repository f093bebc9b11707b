//! `inspect`: shows a bundle's manifest without reading its payload.

use std::fs::File;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde_json::json;

use super::Context;
use super::bundle_path::folder_is_no_bundle;
use crate::bundle::describe::describe;
use crate::bundle::format::Manifest;
use crate::bundle::open::{Error, open_any};
use crate::bundle::{sanitize, sbom};
use crate::error_report::{ErrorClass, Failure};
use crate::event::Sink;

/// Arguments of `inspect`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Bundle to show
    pub file: PathBuf,
    /// Output format
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: DocumentFormat,
}

/// The output format of a manifest or a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DocumentFormat {
    /// Text
    Text,
    /// JSON with all fields
    Json,
    /// Software bill of materials, CycloneDX 1.5 in JSON
    Cyclonedx,
}

/// Runs the verb.
pub fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let manifest = read_manifest("inspect", &args.file, context)?;
    match args.format {
        DocumentFormat::Cyclonedx => {
            let document = sbom::bundle_document(&manifest, &display_file_name(&args.file));
            match context.reporter.is_json() {
                true => context.reporter.print_json(&json!({"reason": "sbom", "file": args.file, "sbom": document})),
                false => print_json(&document, context)?,
            }
        }
        _ if context.reporter.is_json() => {
            context.reporter.print_json(&json!({"reason": "manifest", "file": args.file, "manifest": manifest}));
        }
        DocumentFormat::Text => {
            context.reporter.print_data(&describe(&manifest));
            let note = "these are the contents that the bundle declares; `cargo frostmirror verify` checks them";
            context.reporter.status("Note", note.to_owned());
        }
        DocumentFormat::Json => print_json(&manifest, context)?,
    }
    Ok(())
}

/// The contents that the bundle at `file` declares; reads bundles of frostmirror 1.x too. An error for a folder has a hint
/// for `verb`.
pub(super) fn read_manifest(verb: &str, file: &Path, context: &Context) -> Result<Manifest, Failure> {
    let name = file.display().to_string();
    let path = context.absolute(file);
    if path.is_dir() {
        return Err(folder_is_no_bundle(verb, file, &path));
    }
    context.reporter.detail("Reading", format!("the manifest of `{}`", file.display()));
    let reader = File::open(&path).map_err(|source| Error::Io { name: name.clone(), source })?;
    Ok(open_any(Box::new(reader), &name, &context.spool_folder()?)?.into_manifest())
}

/// The file name of a bundle without its folders; a document must not disclose local paths.
pub(super) fn display_file_name(file: &Path) -> String {
    file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned()
}

/// Prints a JSON document, with characters escaped that could control a terminal.
pub(super) fn print_json(document: &impl serde::Serialize, context: &Context) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(document)
        .map_err(|source| Failure::new(ErrorClass::Bug, source).context("could not print the document"))?;
    context.reporter.print_data(&sanitize::escape_json(&text));
    Ok(())
}
