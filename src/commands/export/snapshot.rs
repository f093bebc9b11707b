//! `export snapshot`: writes a mirror and its configuration into one bundle.

use std::path::PathBuf;

use serde_json::json;

use super::source::{SourceArgs, run_cancellable};
use crate::bundle::format::DistFileState;
use crate::commands::Context;
use crate::commands::fetch::bundle_time;
use crate::config;
use crate::error_report::{ErrorClass, Failure};
use crate::event::{self, Sink};
use crate::mirror::snapshot::{Options, SnapshotReport};
use crate::mirror_file::FileKind;
use crate::units::pluralize;

/// Arguments of `export snapshot`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder for the bundle, snapshot-YYYYMMDD-HHMM.pkg
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub output: PathBuf,
    /// Folder of settings [default: /config, else ~/.frostmirror/config]
    ///
    /// Folder with the server's frostmirror.toml and depends.toml. The default is /config if it exists, as in a container,
    /// else `config` in FROSTMIRROR_HOME.
    #[arg(long, value_name = "DIR", env = "FROSTMIRROR_CONFIG_DIR")]
    pub config_dir: Option<PathBuf>,
    /// The mirror and the lock timeout.
    #[command(flatten)]
    pub source: SourceArgs,
}

/// Runs the export.
pub(super) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let layout = args.source.layout(context)?;
    let folder = context.absolute(&args.output);
    let config_dir = context.resolve_folder(args.config_dir.as_deref(), "/config", "config")?;
    let failure_context = || format!("could not export a snapshot of the mirror `{}`", layout.root().display());
    // The environment variable may name a default folder that does not exist yet.
    let flag = args.config_dir.is_some() && args.config_dir != context.env.path("FROSTMIRROR_CONFIG_DIR");
    if flag && !config_dir.is_dir() {
        let reason = format!("the configuration folder `{}` does not exist", config_dir.display());
        let hint =
            "check the path; without `--config-dir`, the snapshot contains the files of the default folder, if any";
        return Err(Failure::new(ErrorClass::Input, reason).context(failure_context()).hint(hint));
    }
    let (config, notes) =
        config::files_for_snapshot(&config_dir).map_err(|error| Failure::from(error).context(failure_context()))?;
    let guard = args.source.lock(&layout, context)?;
    let now = bundle_time(context)?;
    let sink = context.reporter.as_ref();
    let names: Vec<&str> = config.iter().map(|file| file.name).collect();
    for name in config::CONFIG_FILES.iter().filter(|name| !names.contains(name)) {
        sink.status("Note", format!("the snapshot has no {name}, because `{}` has none", config_dir.display()));
    }
    for (name, note) in notes {
        sink.status("Note", format!("left out of {name}: {note}"));
    }
    let options = Options { folder, config, now };
    let exported = run_cancellable(context, || guard.snapshot(options, sink));
    let exported = exported.map_err(|failure| failure.with_mirror(&layout).context(failure_context()))?;
    drop(guard);
    report_snapshot(&exported, context);
    Ok(())
}

fn report_snapshot(exported: &SnapshotReport, context: &Context) {
    let report = context.reporter.as_ref();
    let SnapshotReport { path, size, sha256, manifest, unlisted_files: left_behind } = exported;
    let crates = manifest.count_entries(FileKind::Crate) as u64;
    let histories = manifest.carried_history_count();
    let dist_files = manifest.dist_files_in(DistFileState::Shipped).count() as u64;
    let contents = event::format_contents(crates, dist_files);
    let message = format!("{contents} of {} ({})", pluralize(histories, "history"), event::format_size(*size));
    report.status("Exported", format!("{message} to {}", path.display()));
    if *left_behind > 0 {
        let files = event::format_crates(*left_behind);
        report.status("Note", format!("the snapshot omits {files} that the index does not list"));
    }
    if report.is_json() {
        report.print_json(&json!({
            "reason": "exported", "form": "snapshot", "path": path.to_string_lossy(), "crates": crates,
            "rustup_artifacts": dist_files, "bytes": size,
            "sha256": sha256, "histories": histories, "left_behind": left_behind, "id": manifest.id,
        }));
    } else {
        report.print_data(&path.to_string_lossy());
    }
}
