//! `export`: what a mirror holds, in a form that needs no mirror.

use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;
use jiff::Timestamp;
use tokio::sync::oneshot;

use super::Context;
use crate::error_report::{EXIT_CODES, ErrorClass, Failure};
use crate::mirror::layout::Layout;
use crate::mirror::lock::{Holder, ReadGuard, lock_for_reading};

mod folder;
mod snapshot;

/// Words of `export`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to make of it.
    #[command(subcommand)]
    pub format: ExportFormat,
}

/// What to export.
#[derive(Debug, Subcommand)]
pub enum ExportFormat {
    /// The whole mirror with its configuration as one .pkg, to be imported elsewhere
    ///
    /// The whole mirror as one .pkg: its crates and index, its toolchains, the histories that feed it, and the frostmirror.toml and
    /// depends.toml of its server. `import` makes the same mirror of it.
    ///
    /// Every file is hashed while it is packed; a rotten or missing one stops the export by name. Of frostmirror.toml only
    /// `targets` and `toolchain` go along; each other key is named. User names and passwords in the addresses of depends.toml
    /// stay behind, and so do crates that wait for their removal.
    #[command(after_help = EXIT_CODES)]
    Snapshot(snapshot::Args),
    /// The .crate files and the index, for cargo's `local-registry`
    ///
    /// The .crate files and the index, in the layout of cargo's `local-registry`: DIR/NAME-VERSION.crate and DIR/index/.
    ///
    /// The .crate files are hard links to those of the mirror where both are on one file system, and copies elsewhere. A
    /// linked file is one file with two names: whatever writes into it changes the mirror too. The mirror itself never
    /// does; it replaces files by rename. Every file is hashed; a rotten or missing one stops the export by name.
    ///
    /// Lines of the index whose crates were left out for a platform stay in it. Cargo resolves with them and builds; an
    /// unfiltered `cargo fetch` or `cargo metadata` fails on those crates.
    #[command(after_help = EXIT_CODES)]
    LocalRegistry(FolderArgs),
    /// Every crate unpacked, for cargo's `directory` source
    ///
    /// Every crate unpacked below DIR/NAME-VERSION/, with the .cargo-checksum.json that cargo's `directory` source wants.
    ///
    /// Every .crate is hashed while it is unpacked; a rotten or missing one stops the export by name. Crates are unpacked
    /// as `cargo vendor` unpacks them, within cargo's limits of size. A crate with a link, or with a path outside its own
    /// folder, is left out and named; the run then ends with exit code 4. Crates that were left out for a platform are not
    /// there, so that Cargo.lock must not name them.
    ///
    /// DIR can be committed to git. The lines for .cargo/config.toml go to stdout.
    #[command(after_help = EXIT_CODES)]
    Vendor(FolderArgs),
}

/// Words of the forms that are a folder.
#[derive(Debug, clap::Args)]
pub struct FolderArgs {
    /// The folder to make; it must not be there, or be empty
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// Which mirror, and how long to wait for it.
    #[command(flatten)]
    pub source: SourceArgs,
}

/// Which mirror is exported.
#[derive(Debug, clap::Args)]
pub struct SourceArgs {
    /// The mirror [default: /mirror where it exists, else mirror/ below FROSTMIRROR_HOME]
    #[arg(long, value_name = "DIR", env = "FROSTMIRROR_MIRROR", hide_env_values = true)]
    pub mirror: Option<PathBuf>,
    /// How long to wait for another process that changes the mirror
    #[arg(long, value_name = "SECS", default_value_t = 60)]
    pub lock_timeout: u64,
}

/// Runs the verb.
pub fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    match &args.format {
        ExportFormat::Snapshot(args) => snapshot::run(args, context),
        ExportFormat::LocalRegistry(args) => folder::run(args, folder::FolderFormat::LocalRegistry, context),
        ExportFormat::Vendor(args) => folder::run(args, folder::FolderFormat::Vendor, context),
    }
}

impl SourceArgs {
    fn layout(&self, context: &Context) -> Result<Layout, Failure> {
        Ok(Layout::new(context.resolve_folder(self.mirror.as_deref(), "/mirror", "mirror")?))
    }

    /// Keeps the mirror as it is while it is copied out.
    fn lock(&self, layout: &Layout, context: &Context) -> Result<ReadGuard, Failure> {
        let holder = Holder::this_process("export", &context.env, Timestamp::now());
        let timeout = Duration::from_secs(self.lock_timeout);
        Ok(lock_for_reading(layout, timeout, &holder, context.reporter.as_ref())?)
    }
}

/// Does `work` on a thread of its own, while this one waits for signals. One that is told to stop is waited for: it
/// removes what it has begun.
fn run_cancellable<T: Send, E: Into<Failure> + Send>(
    context: &Context,
    work: impl FnOnce() -> Result<T, E> + Send,
) -> Result<T, Failure> {
    let (done, result) = oneshot::channel();
    std::thread::scope(|scope| {
        let waiting = async {
            scope.spawn(move || {
                // Nobody listens any more when it was told to stop.
                let _unheard = done.send(work()).is_err();
            });
            match result.await {
                Ok(result) => result.map_err(Into::into),
                Err(_) => Err(Failure::new(ErrorClass::Bug, "the thread that exports ended without a word")),
            }
        };
        context.run_interruptible(waiting)
    })
    .map_err(|failure| match failure.class {
        ErrorClass::Interrupted => failure.hint("nothing is left of it; run the same command again"),
        _ => failure,
    })
}
