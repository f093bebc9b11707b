//! `export local-registry` and `export vendor`: a folder that cargo builds from, and the configuration that uses it.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::source::{SourceArgs, run_cancellable};
use crate::client_setup;
use crate::commands::Context;
use crate::error_chain::one_line;
use crate::error_report::{ErrorClass, Failure};
use crate::event::{self, Sink};
use crate::mirror::export::{ExportReport, SkippedCrate};
use crate::mirror::lock::ReadGuard;
use crate::units::pluralize;

/// Arguments of the forms that write a folder.
#[derive(Debug, clap::Args)]
pub struct FolderArgs {
    /// Folder to create; it must be missing or empty
    #[arg(value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    pub folder: PathBuf,
    /// The mirror and the lock timeout.
    #[command(flatten)]
    pub source: SourceArgs,
}

/// The folder format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FolderFormat {
    /// For cargo's `local-registry`.
    LocalRegistry,
    /// For cargo's `directory`.
    Vendor,
}

impl FolderFormat {
    /// The name on the command line.
    fn verb_name(self) -> &'static str {
        match self {
            FolderFormat::LocalRegistry => "local-registry",
            FolderFormat::Vendor => "vendor",
        }
    }

    /// The key in cargo's configuration.
    fn config_key(self) -> &'static str {
        match self {
            FolderFormat::LocalRegistry => "local-registry",
            FolderFormat::Vendor => "directory",
        }
    }
}

pub(super) fn run(args: &FolderArgs, kind: FolderFormat, context: &Context) -> Result<(), Failure> {
    let layout = args.source.layout(context)?;
    let folder = context.absolute(&args.folder);
    let failure_context =
        || format!("could not export the mirror `{}` to `{}`", layout.root().display(), folder.display());
    let guard = args.source.lock(&layout, context)?;
    let sink = context.reporter.as_ref();
    let work = |guard: &ReadGuard| match kind {
        FolderFormat::LocalRegistry => guard.export_local_registry(&folder, sink),
        FolderFormat::Vendor => guard.export_vendor(&folder, sink),
    };
    let exported = run_cancellable(context, || work(&guard))
        .map_err(|failure| failure.with_mirror(&layout).context(failure_context()))?;
    drop(guard);
    report_export(kind, &exported, context);
    match exported.skipped.as_slice() {
        [] => Ok(()),
        left_out => Err(incomplete_export(left_out, &exported.folder)),
    }
}

/// The folder exists, but some crates are missing.
fn incomplete_export(skipped: &[SkippedCrate], folder: &Path) -> Failure {
    let mut list = String::new();
    for one in skipped {
        list.push_str(&format!("\n{}: {}", one.id, one_line(&one.reason)));
    }
    let lacks =
        format!("the folder lacks {} that could not be unpacked:{list}", event::format_crates(skipped.len() as u64));
    Failure::new(ErrorClass::Integrity, lacks).context(format!("`{}` is incomplete", folder.display())).hint(
        "the files are as upstream published them, so fetching them again does not help; `export local-registry` takes crates as they are",
    )
}

fn report_export(kind: FolderFormat, exported: &ExportReport, context: &Context) {
    let report = context.reporter.as_ref();
    let ExportReport {
        folder,
        crates,
        bytes,
        index_only,
        hard_linked: linked,
        link_failure: no_links,
        skipped: left_out,
        case_conflicts,
    } = exported;
    let config = cargo_config(kind, folder);
    let copied = crates - linked;
    let how = match kind {
        FolderFormat::Vendor => "unpacked".to_owned(),
        FolderFormat::LocalRegistry if copied == 0 => "hard links".to_owned(),
        FolderFormat::LocalRegistry if *linked == 0 => "copies".to_owned(),
        FolderFormat::LocalRegistry => format!("{linked} hard links, {copied} copies"),
    };
    let message =
        format!("{} ({}, {how}) to {}", event::format_crates(*crates), event::format_size(*bytes), folder.display());
    report.status("Exported", message);
    if let Some(why) = no_links {
        report.status("Note", format!("some files were copied because hard links failed: {why}"));
    }
    for conflict in case_conflicts {
        report.detail("Found", format!("{} of {}", conflict.paths.join(", "), conflict.id));
    }
    if let Some(first) = case_conflicts.first() {
        let has = match case_conflicts.len() {
            1 => format!("{} has", first.id),
            count => format!("{} (first {}) have", pluralize(count, "crate"), first.id),
        };
        report.status(
            "Note",
            format!("{has} files whose names differ only in case ({}); cargo does not check these for edits, so that clones on Windows and macOS build too", first.paths.join(", ")),
        );
    }
    let not_held = event::format_crates(*index_only);
    match (kind, index_only) {
        (_, 0) => {}
        (FolderFormat::Vendor, _) => report.status("Note", format!("{not_held} without a stored file: left out")),
        (FolderFormat::LocalRegistry, _) => report.status(
            "Note",
            format!("{not_held} without a stored file: an unfiltered `cargo fetch` or `cargo metadata` fails there"),
        ),
    }
    if config.is_none() {
        report.warning("the folder's path is not UTF-8, so cargo's configuration cannot contain it".to_owned());
    }
    if report.is_json() {
        let left_out: Vec<_> = left_out
            .iter()
            .map(|one| json!({"name": one.id.name, "version": one.id.version.to_string(), "reason": one_line(&one.reason)}))
            .collect();
        report.print_json(&json!({
            "reason": "exported", "form": kind.verb_name(), "path": folder.to_string_lossy(), "crates": crates,
            "bytes": bytes, "index_only": index_only, "linked": linked, "left_out": left_out, "config": config,
        }));
    } else if let Some(config) = config {
        report.status(
            "Note",
            "to build from it, add these lines to a .cargo/config.toml; if you commit the folder with a project, write its path \
             relative to the project instead"
                .to_owned(),
        );
        report.print_data(&config);
    }
}

/// Cargo's configuration to build from the folder, or `None` if TOML cannot express its path. The path is absolute, so the
/// lines work in the configuration of any project and of the user.
fn cargo_config(kind: FolderFormat, folder: &Path) -> Option<String> {
    let path = folder.to_str()?;
    let (name, key) = (client_setup::REGISTRY_NAME, kind.config_key());
    let path = toml_edit::Value::from(path);
    Some(format!("[source.crates-io]\nreplace-with = \"{name}\"\n\n[source.{name}]\n{key} = {path}\n"))
}
