//! `history`: the inputs of a history and the bundles that were sent, to list, to forget and to label.

use std::path::PathBuf;

use serde_json::json;

use super::Context;
use super::fetch::called;
use crate::bundle::shown::shown;
use crate::event::{Sink, contents, size};
use crate::failure::{EXIT_CODES, Failure};
use crate::gather::history::{Bundle, History, InputSet, Memory};
use crate::gather::input_id::Label;

/// Examples of `history`, for its help.
pub const EXAMPLES: &str = "EXAMPLES:
  cargo frostmirror history
  cargo frostmirror history label 'checkout-4711 (Cargo.lock)' web
  cargo frostmirror history forget web
  FROSTMIRROR_HISTORY=/srv/site-b cargo frostmirror history list";

const LIST_EXAMPLES: &str = "EXAMPLES:
  cargo frostmirror history list
  FROSTMIRROR_HISTORY=/srv/site-b cargo frostmirror history list
  cargo frostmirror history list --message-format json";

const FORGET_EXAMPLES: &str = "EXAMPLES:
  cargo frostmirror history forget web
  cargo frostmirror history forget 'checkout-4711 (Cargo.lock)'
  FROSTMIRROR_HISTORY=/srv/site-b cargo frostmirror history forget web";

const LABEL_EXAMPLES: &str = "EXAMPLES:
  cargo frostmirror history label checkout-4711 web
  cargo frostmirror history label 'checkout-4711 (Cargo.lock)' web
  FROSTMIRROR_HISTORY=/srv/site-b cargo frostmirror history label checkout-4711 web";

/// Words of `history`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub form: Option<Form>,
}

/// What `history` does.
#[derive(Debug, clap::Subcommand)]
pub enum Form {
    /// List the inputs and the bundles that were sent (default)
    #[command(after_help = format!("{LIST_EXAMPLES}\n\n{EXIT_CODES}"))]
    List,
    /// Forget an input: the next bundle no longer names what only it needs
    #[command(after_help = format!("{FORGET_EXAMPLES}\n\n{EXIT_CODES}"))]
    Forget {
        /// The input's label, or its whole name as listed
        #[arg(allow_hyphen_values = true)]
        input: String,
    },
    /// Give an input another label
    #[command(after_help = format!("{LABEL_EXAMPLES}\n\n{EXIT_CODES}"))]
    Label {
        /// The input's label, or its whole name as listed
        #[arg(allow_hyphen_values = true)]
        input: String,
        /// The new label
        name: Label,
    },
}

/// Runs the verb.
pub fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let folder = context.history()?;
    match &args.form {
        None | Some(Form::List) => {
            let memory = Memory::read(&folder)?;
            if context.report.is_json() { list_json(&memory, context) } else { list(&memory, context) }
        }
        Some(Form::Forget { input }) => {
            let mut history = opened(folder, context)?;
            let id = history.forget(&called(input, context))?;
            context.report.status("Forgot", format!("`{id}`; the next bundle says so"));
            json_line(context, "forgotten", &json!({ "name": id.to_string() }));
        }
        Some(Form::Label { input, name }) => {
            let mut history = opened(folder, context)?;
            let (old, new) = history.relabel(&called(input, context), name)?;
            context
                .report
                .status("Labelled", format!("`{old}` as `{new}`; fetch it with `--label '{name}'` from now on"));
            json_line(context, "labelled", &json!({ "old": old.to_string(), "name": new.to_string() }));
        }
    }
    Ok(())
}

/// The history, where there is one: a change makes none.
fn opened(folder: PathBuf, context: &Context) -> Result<History, Failure> {
    let memory = Memory::read(&folder)?;
    if memory.inputs().is_empty() && memory.bundles().is_empty() {
        return Err(Failure::new(crate::failure::Class::Input, format!("no history is in `{}`", folder.display()))
            .doing("could not change the history")
            .hint("set FROSTMIRROR_HISTORY to the folder of the history"));
    }
    let (own, sink) = (context.clone(), folder.clone());
    let opening = async move {
        let report = own.report.clone();
        let opened = tokio::task::spawn_blocking(move || History::open(&sink, report.as_ref())).await;
        opened.map_err(|error| Failure::new(crate::failure::Class::Bug, error))?.map_err(Failure::from)
    };
    context.interruptible(opening)
}

fn json_line(context: &Context, reason: &str, fields: &serde_json::Value) {
    if context.report.is_json() {
        let mut line = fields.clone();
        line["reason"] = reason.into();
        context.report.json(&line);
    }
}

/// Crates of an input, its rustup artifacts, and the bytes of both.
fn weight(input: &InputSet) -> (u64, u64, u64) {
    let bytes = input.crates.iter().map(|held| held.size).chain(input.artifacts.iter().map(|held| held.size));
    (input.crates.len() as u64, input.artifacts.len() as u64, bytes.fold(0, u64::saturating_add))
}

fn list(memory: &Memory, context: &Context) {
    let (inputs, bundles) = (memory.inputs(), memory.bundles());
    let folder = memory.path().parent().unwrap_or(memory.path()).display().to_string();
    if inputs.is_empty() && bundles.is_empty() {
        context.report.status("Note", format!("no bundle was recorded in `{folder}` yet"));
    }
    let mut text = format!("History: {folder}\n");
    if !bundles.is_empty() {
        text.push_str(&format!("Lineage: {}\n", memory.lineage()));
    }
    text.push_str(&format!("Inputs: {}\n", inputs.len()));
    let width = inputs.iter().map(|input| input.id.to_string().chars().count()).max().unwrap_or(0).min(50);
    for input in inputs {
        let (crates, artifacts, bytes) = weight(input);
        let (name, what) = (input.id.to_string(), contents(crates, artifacts));
        let path = input.path.as_ref().map(|path| format!("  {}", shown(&path.to_string_lossy()))).unwrap_or_default();
        text.push_str(&format!("  {name:width$}  fetched {}  {what} ({}){path}\n", input.fetched, size(bytes)));
    }
    let total = bundles.iter().map(|bundle| bundle.size).fold(0, u64::saturating_add);
    text.push_str(&format!("Bundles: {} ({})\n", bundles.len(), size(total)));
    for bundle in bundles {
        let Bundle { id, file, created, kind, size: bytes, .. } = bundle;
        text.push_str(&format!("  {created}  {kind:<6}  {:>10}  {}  {id}\n", size(*bytes), shown(file)));
    }
    context.report.data(&text);
}

fn list_json(memory: &Memory, context: &Context) {
    for input in memory.inputs() {
        let (crates, artifacts, bytes) = weight(input);
        context.report.json(&json!({
            "reason": "input", "name": input.id.to_string(), "label": input.id.label, "kind": input.id.kind,
            "path": input.path, "fetched": input.fetched, "crates": crates, "rustup_artifacts": artifacts, "bytes": bytes,
        }));
    }
    for bundle in memory.bundles() {
        context.report.json(&json!({
            "reason": "sent", "file": bundle.file, "id": bundle.id, "sequence": bundle.sequence, "created": bundle.created,
            "kind": bundle.kind, "size": bundle.size,
        }));
    }
    context.report.json(&json!({
        "reason": "history", "path": memory.path(), "lineage": memory.lineage(), "inputs": memory.inputs().len(),
        "bundles": memory.bundles().len(),
    }));
}
