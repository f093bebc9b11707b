//! `export`: copies a mirror's contents into a form that needs no mirror.

use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;
use jiff::Timestamp;
use tokio::sync::oneshot;

use super::Context;
use crate::error_report::{ErrorClass, Failure};
use crate::mirror::layout::Layout;
use crate::mirror::lock::{Holder, ReadGuard, lock_for_reading};

mod folder;
mod snapshot;

/// Arguments of `export`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The form of the export.
    #[command(subcommand)]
    pub format: ExportFormat,
}

/// The form of the export.
#[derive(Debug, Subcommand)]
pub enum ExportFormat {
    /// Write the whole mirror and its settings as one .pkg
    ///
    /// Write the whole mirror as one .pkg: its crates and index, its toolchains, its histories, and the frostmirror.toml and
    /// depends.toml of its server. `import` creates a mirror with the same files.
    ///
    /// Every file is hashed while it is packed. A damaged or missing file stops the export, and the error names it. Of
    /// frostmirror.toml, only `targets` and `toolchain` are exported; the other keys are listed. User names and passwords in
    /// the URLs of depends.toml are left out. So are crates that await deletion.
    Snapshot(snapshot::Args),
    /// Write the .crate files and the index as cargo's `local-registry`
    ///
    /// Write the .crate files and the index in the layout of cargo's `local-registry`: DIR/NAME-VERSION.crate and DIR/index/.
    /// The lines for .cargo/config.toml are printed on stdout.
    ///
    /// If the mirror is on the same file system, the .crate files are hard links to its files; otherwise they are copies.
    /// Writing into a linked file changes the mirror too. The mirror itself replaces files by rename and never writes into
    /// them. Every file is hashed. A damaged or missing file stops the export, and the error names it.
    ///
    /// The index keeps lines whose crates were left out for a platform. Cargo resolves with them and builds. An unfiltered
    /// `cargo fetch` or `cargo metadata` fails on those crates.
    LocalRegistry(FolderArgs),
    /// Unpack every crate as cargo's `directory` source
    ///
    /// Unpack every crate below DIR/NAME-VERSION/, with the .cargo-checksum.json that cargo's `directory` source requires.
    ///
    /// Every .crate is hashed while it is unpacked. A damaged or missing one stops the export, and the error names it.
    /// Crates are unpacked as `cargo vendor` does, within cargo's size limits. A crate that contains a link, or a path
    /// outside its own folder, is left out and listed; the exit code is then 4. Crates that were left out for a platform are
    /// missing, so Cargo.lock must not name them.
    ///
    /// DIR can be committed to git. The lines for .cargo/config.toml are printed on stdout.
    Vendor(FolderArgs),
}

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

/// The mirror to export.
#[derive(Debug, clap::Args)]
pub struct SourceArgs {
    /// Mirror to export [default: /mirror, else ~/.frostmirror/mirror]
    ///
    /// Mirror to export. The default is /mirror if it exists, as in a container, else `mirror` in FROSTMIRROR_HOME.
    #[arg(long, value_name = "DIR", env = "FROSTMIRROR_MIRROR")]
    pub mirror: Option<PathBuf>,
    /// Seconds to wait for the mirror's lock
    ///
    /// Seconds to wait for another process that changes the mirror. After that time the exit code is 6.
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

    /// Locks the mirror against changes during the export.
    fn lock(&self, layout: &Layout, context: &Context) -> Result<ReadGuard, Failure> {
        let holder = Holder::this_process("export", &context.env, Timestamp::now());
        let timeout = Duration::from_secs(self.lock_timeout);
        Ok(lock_for_reading(layout, timeout, &holder, context.reporter.as_ref())?)
    }
}

/// Runs `work` on its own thread while this thread waits for signals. After a signal it waits for the cancelled work, which
/// removes its partial output.
fn run_cancellable<T: Send, E: Into<Failure> + Send>(
    context: &Context,
    work: impl FnOnce() -> Result<T, E> + Send,
) -> Result<T, Failure> {
    let (done, result) = oneshot::channel();
    std::thread::scope(|scope| {
        let waiting = async {
            scope.spawn(move || {
                // The receiver is gone if the work was cancelled.
                let _unheard = done.send(work()).is_err();
            });
            match result.await {
                Ok(result) => result.map_err(Into::into),
                Err(_) => Err(Failure::new(ErrorClass::Bug, "the export thread ended unexpectedly")),
            }
        };
        context.run_interruptible(waiting)
    })
    .map_err(|failure| match failure.class {
        ErrorClass::Interrupted => failure.hint("no partial files remain; run the same command again"),
        _ => failure,
    })
}
