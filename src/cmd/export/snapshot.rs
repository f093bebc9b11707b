//! `export snapshot`: a mirror and its configuration in one bundle.

use std::path::PathBuf;

use serde_json::json;

use super::Source;
use crate::artifact::Kind;
use crate::bundle::format::ArtifactState;
use crate::cmd::Context;
use crate::cmd::fetch::created;
use crate::event::{self, Sink};
use crate::failure::{Class, Failure};
use crate::mirror::snapshot::{Exported, Options};
use crate::server_config;

/// Words of `export snapshot`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder that it is written into, as snapshot-YYYYMMDD-HHMM.pkg
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub output: PathBuf,
    /// Where the server's frostmirror.toml and depends.toml are [default: /config where it exists, else config/ below
    /// FROSTMIRROR_HOME]
    #[arg(long, value_name = "DIR", env = "FROSTMIRROR_CONFIG_DIR", hide_env_values = true)]
    pub config_dir: Option<PathBuf>,
    /// Which mirror, and how long to wait for it.
    #[command(flatten)]
    pub source: Source,
}

/// Runs the form.
pub(super) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let layout = args.source.layout(context)?;
    let folder = context.absolute(&args.output);
    let config_dir = context.directory(args.config_dir.as_deref(), "/config", "config")?;
    let doing = || format!("could not export a snapshot of the mirror `{}`", layout.root().display());
    // A variable that is set for every verb may name a folder that nobody has needed yet.
    let flag = args.config_dir.is_some() && args.config_dir != context.env.path("FROSTMIRROR_CONFIG_DIR");
    if flag && !config_dir.is_dir() {
        let why = format!("no folder `{}` is there for the configuration", config_dir.display());
        let hint = "check the path; without `--config-dir` a snapshot takes along what is in the default folder, if anything is";
        return Err(Failure::new(Class::Input, why).doing(doing()).hint(hint));
    }
    let (config, notes) =
        server_config::travelling(&config_dir).map_err(|error| Failure::from(error).doing(doing()))?;
    let guard = args.source.lock(&layout, context)?;
    let now = created(context)?;
    let sink = context.report.as_ref();
    let names: Vec<&str> = config.iter().map(|file| file.name).collect();
    for name in server_config::FILES.iter().filter(|name| !names.contains(name)) {
        sink.status("Note", format!("the snapshot has no {name}: there is none in {}", config_dir.display()));
    }
    for (name, note) in notes {
        sink.status("Note", format!("left out of {name}: {note}"));
    }
    let options = Options { folder, config, now };
    let exported = super::stoppable(context, || guard.snapshot(options, sink));
    let exported = exported.map_err(|failure| failure.doing(doing()))?;
    drop(guard);
    tell(&exported, context);
    Ok(())
}

fn tell(exported: &Exported, context: &Context) {
    let report = context.report.as_ref();
    let Exported { path, size, sha256, manifest, left_behind } = exported;
    let crates = manifest.count(Kind::Crate) as u64;
    let histories = manifest.carried.len();
    let history = if histories == 1 { "history" } else { "histories" };
    let artifacts = manifest.artifacts_in(ArtifactState::Shipped).count() as u64;
    let contents = event::contents(crates, artifacts);
    let message = format!("{contents} of {histories} {history} ({})", event::size(*size));
    report.status("Exported", format!("{message} to {}", path.display()));
    if *left_behind > 0 {
        let files = event::crates(*left_behind);
        report.status("Note", format!("{files} that the index does not list stay behind"));
    }
    if report.is_json() {
        report.json(&json!({
            "reason": "exported", "form": "snapshot", "path": path.to_string_lossy(), "crates": crates,
            "rustup_artifacts": artifacts, "bytes": size,
            "sha256": sha256, "histories": histories, "left_behind": left_behind, "id": manifest.id,
        }));
    } else {
        report.data(&path.to_string_lossy());
    }
}
