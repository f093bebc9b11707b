//! `export`: copies a mirror's contents into a form that needs no mirror.

use clap::Subcommand;

use super::Context;
use crate::error_report::Failure;

mod folder;
mod snapshot;
mod source;

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
    LocalRegistry(folder::FolderArgs),
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
    Vendor(folder::FolderArgs),
}

/// Runs the verb.
pub fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    match &args.format {
        ExportFormat::Snapshot(args) => snapshot::run(args, context),
        ExportFormat::LocalRegistry(args) => folder::run(args, folder::FolderFormat::LocalRegistry, context),
        ExportFormat::Vendor(args) => folder::run(args, folder::FolderFormat::Vendor, context),
    }
}
