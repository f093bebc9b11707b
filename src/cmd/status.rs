//! `status`: what a mirror holds, from recorded state.

use std::path::PathBuf;

use serde_json::json;

use super::Context;
use crate::bundle::shown::shown;
use crate::event::Sink;
use crate::failure::Failure;
use crate::mirror::head::Counts;
use crate::mirror::incoming::Incoming;
use crate::mirror::layout::Layout;
use crate::mirror::link::LinkState;
use crate::mirror::status::Status;

/// Words of `status`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The mirror [default: /mirror where it exists, else mirror/ below FROSTMIRROR_HOME]
    #[arg(long, value_name = "DIR", env = "FROSTMIRROR_MIRROR", hide_env_values = true)]
    pub mirror: Option<PathBuf>,
}

/// Runs the verb.
pub fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let layout = Layout::new(context.directory(args.mirror.as_deref(), "/mirror", "mirror")?);
    let status = Status::read(&layout).map_err(|error| {
        Failure::from(error).doing(format!("could not read the state of `{}`", layout.root().display()))
    })?;
    if !layout.root().exists() {
        context.report.status("Note", format!("no mirror is at `{}` yet", layout.root().display()));
    }
    let link = match status.link {
        LinkState::Missing if status.imports == 0 => "none yet".to_owned(),
        ref link => link.to_string(),
    };
    if context.report.is_json() {
        context.report.json(&json!({
            "reason": "status-of-mirror",
            "mirror": layout.root(),
            "crates": status.counts.versions,
            "names": status.counts.crates,
            "bytes": status.counts.all_bytes(),
            "crate_bytes": status.counts.bytes,
            "rustup_artifacts": status.counts.artifacts,
            "rustup_artifact_bytes": status.counts.artifact_bytes,
            "toolchains": status.toolchains,
            "last_import": status.last_import.map(|_| status.last_import_text()),
            "imports": status.imports,
            "lineages": status.lineages,
            "incoming": status.incoming,
            "index_link": link,
            "index_link_good": status.link == LinkState::Good,
        }));
        return Ok(());
    }
    let incoming = status.incoming.as_ref().map(incoming_lines).unwrap_or_default();
    context.report.data(&format!(
        "Crate count: {}\nTotal size: {} bytes\nLast import: {}\n{}Index link: {link}\n{incoming}",
        status.counts.versions,
        status.counts.all_bytes(),
        status.last_import_text(),
        toolchain_lines(&status),
    ));
    Ok(())
}

/// Which toolchains are offered, and what they take.
fn toolchain_lines(status: &Status) -> String {
    let toolchains = match status.toolchains.as_slice() {
        [] => "none".to_owned(),
        // The names are those of files, which a bundle chose.
        toolchains => toolchains.iter().map(|name| shown(name)).collect::<Vec<_>>().join(", "),
    };
    let Counts { artifacts, artifact_bytes, .. } = status.counts;
    format!("Toolchains: {toolchains}\nRustup artifacts: {artifacts} ({artifact_bytes} bytes)\n")
}

/// What the watcher saw: a line with the number of each kind, and one for each bundle that is not imported.
fn incoming_lines(incoming: &Incoming) -> String {
    let Incoming { folder, problem, done, arriving, waiting, failed, failed_count, .. } = incoming;
    let mut lines = vec![format!("Incoming folder: {}", folder.display())];
    lines.extend(problem.iter().map(|problem| format!("Incoming problem: {problem}")));
    lines.push(format!("Done bundles: {done}"));
    for (word, bundles, count) in [
        ("Arriving", arriving, arriving.len() as u64),
        ("Waiting", waiting, waiting.len() as u64),
        ("Failed", failed, *failed_count),
    ] {
        lines.push(format!("{word} bundles: {count}"));
        lines.extend(bundles.iter().map(|bundle| format!("{word}: {}: {}", bundle.file, bundle.reason)));
    }
    lines.push(String::new());
    lines.join("\n")
}
