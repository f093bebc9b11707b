//! `inspect`: what a bundle says of itself, without a look at its payload.

use std::fs::File;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde_json::json;

use super::Context;
use crate::bundle::describe::describe;
use crate::bundle::format::Manifest;
use crate::bundle::open::{Error, open_any};
use crate::bundle::{sanitize, sbom};
use crate::error_report::{ErrorClass, Failure};
use crate::event::Sink;

/// Words of `inspect`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The bundle
    pub file: PathBuf,
    /// How to print it
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: DocumentFormat,
}

/// How a manifest, or a comparison of two, is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DocumentFormat {
    /// For people
    Text,
    /// Everything, for programs
    Json,
    /// A software bill of materials, CycloneDX 1.5 in JSON
    Cyclonedx,
}

/// Runs the verb.
pub fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let manifest = read_manifest(&args.file, context)?;
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
            let note =
                "this is what the bundle says of itself; `cargo frostmirror verify` checks that it is what is in it";
            context.reporter.status("Note", note.to_owned());
        }
        DocumentFormat::Json => print_json(&manifest, context)?,
    }
    Ok(())
}

/// What the bundle at `file` says of itself; of frostmirror 1.x's bundles too.
pub(super) fn read_manifest(file: &Path, context: &Context) -> Result<Manifest, Failure> {
    let name = file.display().to_string();
    let path = context.absolute(file);
    if path.is_dir() {
        return Err(Error::IsFolder { name }.into());
    }
    let reader = File::open(&path).map_err(|source| Error::Io { name: name.clone(), source })?;
    Ok(open_any(Box::new(reader), &name, &context.spool_folder()?)?.into_manifest())
}

/// The name of a bundle's file, without its folders: where it lies on this machine is no business of a document's.
pub(super) fn display_file_name(file: &Path) -> String {
    file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned()
}

/// Prints a document for programs, harmless to a terminal all the same.
pub(super) fn print_json(document: &impl serde::Serialize, context: &Context) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(document)
        .map_err(|source| Failure::new(ErrorClass::Bug, source).context("could not print the document"))?;
    context.reporter.print_data(&sanitize::escape_json(&text));
    Ok(())
}
