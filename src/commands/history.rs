//! `history`: lists, forgets and labels the inputs of a history, and lists its sent bundles.

use std::path::PathBuf;

use serde_json::json;

use super::Context;
use super::fetch::input_ref;
use crate::bundle::sanitize::sanitize_line;
use crate::error_report::Failure;
use crate::event::{Sink, format_contents, format_size};
use crate::fetch::history::{BundleRecord, History, InputSet, LockedHistory};
use crate::inputs::input_id::Label;

/// Arguments of `history`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The action.
    #[command(subcommand)]
    pub command: Option<HistoryCommand>,
}

/// An action on the history.
#[derive(Debug, clap::Subcommand)]
pub enum HistoryCommand {
    /// List the inputs and the sent bundles (the default)
    List,
    /// Forget an input; the next bundle no longer needs its files
    ///
    /// Forget an input. The next bundle no longer names files that only this input needs. After its import, `gc` removes them
    /// from the mirror.
    Forget {
        /// Label of the input, or its full name as `history` lists it
        #[arg(allow_hyphen_values = true)]
        input: String,
    },
    /// Give an input another label
    ///
    /// Give an input another label. An input is identified by its label: fetch it with `--label NAME` from then on, unless
    /// its package or folder has that name.
    Label {
        /// Label of the input, or its full name as `history` lists it
        #[arg(allow_hyphen_values = true)]
        input: String,
        /// New label
        name: Label,
    },
}

/// Runs the verb.
pub fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let folder = context.history_folder()?;
    context.remove_abandoned_scratch();
    match &args.command {
        None | Some(HistoryCommand::List) => {
            let history = History::read(&folder)?;
            if context.reporter.is_json() {
                print_list_json(&history, context)
            } else {
                print_list(&history, context)
            }
            for (id, path) in history.missing_inputs() {
                let (id, path) = (sanitize_line(&id.to_string()), sanitize_line(&path.to_string_lossy()));
                context.reporter.warning(format!(
                    "the file of the input `{id}` does not exist: `{path}`. The mirror keeps its last set; if it is no longer \
                     needed, run `cargo frostmirror history forget '{id}'`"
                ));
            }
        }
        Some(HistoryCommand::Forget { input }) => {
            let mut history = lock_existing(folder, context)?;
            let id = history.forget(&input_ref(input, context))?;
            context.reporter.status("Forgot", format!("`{id}`; the next bundle informs the mirror"));
            print_json_line(context, "forgotten", &json!({ "name": id.to_string() }));
        }
        Some(HistoryCommand::Label { input, name }) => {
            let mut history = lock_existing(folder, context)?;
            let (old, new) = history.relabel(&input_ref(input, context), name)?;
            context
                .reporter
                .status("Labelled", format!("`{old}` as `{new}`; fetch it with `--label '{name}'` from now on"));
            print_json_line(context, "labelled", &json!({ "old": old.to_string(), "name": new.to_string() }));
        }
    }
    Ok(())
}

/// Opens the existing history; a change does not create one.
fn lock_existing(folder: PathBuf, context: &Context) -> Result<LockedHistory, Failure> {
    let history = History::read(&folder)?;
    if history.inputs().is_empty() && history.bundles().is_empty() {
        return Err(Failure::new(
            crate::error_report::ErrorClass::Input,
            format!("no history is in `{}`", folder.display()),
        )
        .context("could not change the history")
        .hint("set FROSTMIRROR_HISTORY to the history's folder"));
    }
    let (own, sink) = (context.clone(), folder.clone());
    let opening = async move {
        let report = own.reporter.clone();
        let opened = tokio::task::spawn_blocking(move || LockedHistory::open(&sink, "history", report.as_ref())).await;
        opened.map_err(|error| Failure::new(crate::error_report::ErrorClass::Bug, error))?.map_err(Failure::from)
    };
    context.run_interruptible(opening)
}

fn print_json_line(context: &Context, reason: &str, fields: &serde_json::Value) {
    if context.reporter.is_json() {
        let mut line = fields.clone();
        line["reason"] = reason.into();
        context.reporter.print_json(&line);
    }
}

/// The number of crates and dist files of an input, and their total size in bytes.
fn count_and_size(input: &InputSet) -> (u64, u64, u64) {
    let bytes = input
        .crates
        .iter()
        .map(|crate_ref| crate_ref.size)
        .chain(input.dist_files.iter().map(|file_ref| file_ref.size));
    (input.crates.len() as u64, input.dist_files.len() as u64, bytes.fold(0, u64::saturating_add))
}

fn print_list(history: &History, context: &Context) {
    let (inputs, bundles) = (history.inputs(), history.bundles());
    let folder = history.path().parent().unwrap_or(history.path()).display().to_string();
    if inputs.is_empty() && bundles.is_empty() {
        context.reporter.status("Note", format!("no bundle was recorded in `{folder}` yet"));
    }
    let mut text = format!("History: {folder}\n");
    if !bundles.is_empty() {
        text.push_str(&format!("Lineage: {}\n", history.lineage()));
    }
    text.push_str(&format!("Inputs: {}\n", inputs.len()));
    let width = inputs.iter().map(|input| input.id.to_string().chars().count()).max().unwrap_or(0).min(50);
    for input in inputs {
        let (crates, artifacts, bytes) = count_and_size(input);
        let (name, what) = (input.id.to_string(), format_contents(crates, artifacts));
        let path =
            input.path.as_ref().map(|path| format!("  {}", sanitize_line(&path.to_string_lossy()))).unwrap_or_default();
        text.push_str(&format!("  {name:width$}  fetched {}  {what} ({}){path}\n", input.fetched, format_size(bytes)));
    }
    let total = bundles.iter().map(|bundle| bundle.size).fold(0, u64::saturating_add);
    text.push_str(&format!("Bundles: {} ({})\n", bundles.len(), format_size(total)));
    for bundle in bundles {
        let BundleRecord { id, file, created, kind, size: bytes, .. } = bundle;
        text.push_str(&format!("  {created}  {kind:<6}  {:>10}  {}  {id}\n", format_size(*bytes), sanitize_line(file)));
    }
    context.reporter.print_data(&text);
}

fn print_list_json(history: &History, context: &Context) {
    for input in history.inputs() {
        let (crates, artifacts, bytes) = count_and_size(input);
        context.reporter.print_json(&json!({
            "reason": "input", "name": input.id.to_string(), "label": input.id.label, "kind": input.id.kind,
            "path": input.path, "fetched": input.fetched, "crates": crates, "rustup_artifacts": artifacts, "bytes": bytes,
        }));
    }
    for bundle in history.bundles() {
        context.reporter.print_json(&json!({
            "reason": "sent", "file": bundle.file, "id": bundle.id, "sequence": bundle.sequence, "created": bundle.created,
            "kind": bundle.kind, "size": bundle.size,
        }));
    }
    context.reporter.print_json(&json!({
        "reason": "history", "path": history.path(), "lineage": history.lineage(), "inputs": history.inputs().len(),
        "bundles": history.bundles().len(),
    }));
}
