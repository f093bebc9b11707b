//! `export local-registry` and `export vendor`: a folder that cargo builds from, and the configuration that uses it.

use serde_json::json;

use super::FolderArgs;
use crate::client_config;
use crate::cmd::Context;
use crate::event::{self, Sink};
use crate::failure::Failure;
use crate::mirror::export::Exported;
use crate::mirror::lock::ReadGuard;

/// Which folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// For cargo's `local-registry`.
    LocalRegistry,
    /// For cargo's `directory`.
    Vendor,
}

impl Kind {
    /// What the command line calls it.
    fn word(self) -> &'static str {
        match self {
            Kind::LocalRegistry => "local-registry",
            Kind::Vendor => "vendor",
        }
    }

    /// The key of cargo's configuration.
    fn key(self) -> &'static str {
        match self {
            Kind::LocalRegistry => "local-registry",
            Kind::Vendor => "directory",
        }
    }
}

pub(super) fn run(args: &FolderArgs, kind: Kind, context: &Context) -> Result<(), Failure> {
    let layout = args.source.layout(context)?;
    let folder = context.absolute(&args.folder);
    let doing = || format!("could not export the mirror `{}` to `{}`", layout.root().display(), folder.display());
    let guard = args.source.lock(&layout, context)?;
    let sink = context.report.as_ref();
    let work = |guard: &ReadGuard| match kind {
        Kind::LocalRegistry => guard.export_local_registry(&folder, sink),
        Kind::Vendor => guard.export_vendor(&folder, sink),
    };
    let exported = super::stoppable(context, || work(&guard)).map_err(|failure| failure.doing(doing()))?;
    drop(guard);
    tell(kind, &exported, context);
    Ok(())
}

fn tell(kind: Kind, exported: &Exported, context: &Context) {
    let report = context.report.as_ref();
    let Exported { folder, crates, bytes, index_only, linked, no_links } = exported;
    let config = config(kind, exported);
    let copied = crates - linked;
    let how = match kind {
        Kind::Vendor => "unpacked".to_owned(),
        Kind::LocalRegistry if copied == 0 => "hard links".to_owned(),
        Kind::LocalRegistry if *linked == 0 => "copies".to_owned(),
        Kind::LocalRegistry => format!("{linked} hard links, {copied} copies"),
    };
    let message = format!("{} ({}, {how}) to {}", event::crates(*crates), event::size(*bytes), folder.display());
    report.status("Exported", message);
    if let Some(why) = no_links {
        report.status("Note", format!("no hard link could be made to every file, so that it was copied: {why}"));
    }
    let left_out = event::crates(*index_only);
    match (kind, index_only) {
        (_, 0) => {}
        (Kind::Vendor, _) => report.status("Note", format!("{left_out} that the index names without holding: left out")),
        (Kind::LocalRegistry, _) => report.status(
            "Note",
            format!("{left_out} that the index names without holding: an unfiltered `cargo fetch` or `cargo metadata` fails there"),
        ),
    }
    match &config {
        Some(config) => report.status("Note", format!("to build from it, write into .cargo/config.toml:\n\n{config}")),
        None => {
            report.warning("the folder's path is not UTF-8, so that cargo's configuration cannot name it".to_owned())
        }
    }
    if report.is_json() {
        report.json(&json!({
            "reason": "exported", "form": kind.word(), "path": folder.to_string_lossy(), "crates": crates,
            "bytes": bytes, "index_only": index_only, "linked": linked, "config": config,
        }));
    } else {
        report.data(&folder.to_string_lossy());
    }
}

/// Cargo's configuration to build from the folder; `None` where its path cannot be written in TOML.
fn config(kind: Kind, exported: &Exported) -> Option<String> {
    let path = toml_edit::Value::from(exported.folder.to_str()?);
    let name = client_config::NAME;
    let key = kind.key();
    Some(format!("[source.crates-io]\nreplace-with = \"{name}\"\n\n[source.{name}]\n{key} = {path}\n"))
}
