//! `inspect`: what a bundle says of itself, without a look at its payload.

use std::fmt::Write as _;
use std::fs::File;
use std::path::PathBuf;

use clap::ValueEnum;
use serde_json::json;

use super::Context;
use crate::artifact::Kind;
use crate::bundle::format::{Block, CrateState, Manifest};
use crate::bundle::open::{Error, open_any};
use crate::failure::{Class, Failure};

/// Words of `inspect`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The bundle
    pub file: PathBuf,
    /// How to print it
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: InspectFormat,
}

/// How a manifest is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum InspectFormat {
    /// For people
    Text,
    /// The manifest itself
    Json,
}

/// Runs the verb.
pub fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let name = args.file.display().to_string();
    let path = context.absolute(&args.file);
    if path.is_dir() {
        return Err(Error::Folder { name }.into());
    }
    let file = File::open(&path).map_err(|source| Error::Io { name: name.clone(), source })?;
    let bundle = open_any(Box::new(file), &name, &context.spool())?;
    let manifest = bundle.manifest();
    if context.report.is_json() {
        context.report.json(&json!({"reason": "manifest", "file": args.file, "manifest": manifest}));
        return Ok(());
    }
    match args.format {
        InspectFormat::Text => context.report.data(&text(manifest)),
        InspectFormat::Json => {
            let json = serde_json::to_string_pretty(manifest)
                .map_err(|source| Failure::new(Class::Bug, source).doing("could not print the manifest"))?;
            context.report.data(&json);
        }
    }
    Ok(())
}

fn text(manifest: &Manifest) -> String {
    let mut out = String::new();
    let mut line = |name: &str, value: String| {
        // Into memory, which takes everything. Values come from the bundle: no control character reaches the terminal.
        let clean: String = value.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
        let _written = writeln!(out, "{name:<12}{clean}").is_ok();
    };
    line("Kind", manifest.kind.to_string());
    line("Created", format!("{} by {}", manifest.created, manifest.tool));
    line("Id", manifest.id.clone());
    if let Some(parent) = &manifest.parent {
        line("Parent", format!("{} ({})", parent.file, parent.id));
    }
    line("Lineage", format!("{}, bundle {}", manifest.lineage.id, manifest.lineage.sequence));
    for input in &manifest.lineage.inputs {
        line("Input", format!("{} ({} crates)", input.name, input.crates.len()));
    }
    line("Index read", manifest.index_read.clone());
    line("Targets", or_none(&manifest.targets));
    line("Toolchains", or_none(&manifest.toolchains));
    let count = |state| manifest.crates.iter().filter(|record| record.state == state).count();
    let states = [
        (count(CrateState::Shipped), "shipped"),
        (count(CrateState::Sent), "sent before"),
        (count(CrateState::IndexOnly), "index only"),
        (count(CrateState::Kept), "kept"),
    ];
    let states: Vec<String> =
        states.iter().filter(|(count, _)| *count > 0).map(|(count, name)| format!("{count} {name}")).collect();
    line("Crates", format!("{} ({})", manifest.crates.len(), or_none(&states)));
    line("Rustup", format!("{} artifacts", manifest.count(Kind::Dist) + manifest.count(Kind::Rustup)));
    let plain: u64 = manifest.blocks.iter().filter_map(Block::plain_size).fold(0, u64::saturating_add);
    let stored: u64 = manifest.blocks.iter().filter_map(Block::stored_size).fold(0, u64::saturating_add);
    line("Size", format!("{stored} bytes stored, {plain} bytes unpacked"));
    for record in &manifest.crates {
        let state = match record.state {
            CrateState::Shipped => format!("{} bytes", record.size),
            CrateState::Sent => "sent before".to_owned(),
            CrateState::IndexOnly => "index only".to_owned(),
            CrateState::Kept => "kept".to_owned(),
        };
        let yanked = if record.yanked { ", yanked" } else { "" };
        let license = record.license.as_ref().map(|license| format!(", {license}")).unwrap_or_default();
        line("", format!("{} {} ({state}{license}{yanked})", record.name, record.version));
    }
    out
}

fn or_none(items: &[String]) -> String {
    if items.is_empty() { "none".to_owned() } else { items.join(", ") }
}
