//! Why nothing was fetched, or not everything.

use std::io;
use std::path::PathBuf;

use super::repair_list;
use super::toolchains::Unavailable;
use crate::bundle::{self, pack};
use crate::gather::cargo_config;
use crate::gather::{self, cargo, crate_downloader, depends, history, lockfile, resolve, workspace};
use crate::http;
use crate::safe_path::SafePath;
use crate::toolchain::ToolchainName;

/// Why nothing was fetched.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The user's cargo configuration.
    #[error(transparent)]
    CargoConfig(#[from] cargo_config::Error),
    /// The HTTP client's settings.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// No usable cargo.
    #[error(transparent)]
    Cargo(#[from] cargo::Error),
    /// A depends.toml.
    #[error(transparent)]
    Depends(#[from] depends::Error),
    /// A Cargo.lock.
    #[error(transparent)]
    Lockfile(#[from] lockfile::Error),
    /// A repair list.
    #[error(transparent)]
    RepairList(#[from] repair_list::Error),
    /// A workspace.
    #[error(transparent)]
    Workspace(#[from] workspace::Error),
    /// Something cannot be resolved.
    #[error(transparent)]
    Resolve(#[from] resolve::Error),
    /// Something cannot be downloaded.
    #[error(transparent)]
    Download(#[from] crate_downloader::Error),
    /// The history.
    #[error(transparent)]
    History(#[from] history::Error),
    /// The bundle cannot be written.
    #[error(transparent)]
    Pack(#[from] pack::Error),
    /// A bundle cannot be read: the one that was written, one to build on, or one to reuse.
    #[error(transparent)]
    UnreadableBundle(#[from] bundle::open::Error),
    /// The bundle that was written is not good.
    #[error("the bundle that was written does not verify: {0}")]
    InvalidBundle(String),
    /// The inputs need no crate at all.
    #[error("{} {} no crate of crates.io", .0.join(" and "), if .0.len() == 1 { "needs" } else { "need" })]
    NoCrates(Vec<String>),
    /// Toolchains.
    #[error(transparent)]
    Toolchains(Box<gather::toolchains::Error>),
    /// A word of `[platforms]`.
    #[error("{location}: `[platforms]` asks for what cannot be had")]
    Platforms {
        /// File, line and column.
        location: String,
        /// Why not.
        source: Box<gather::toolchains::Error>,
    },
    /// The toolchain that a project is pinned to.
    #[error("could not include the toolchain that `{}` names", toolchain_file.display())]
    PinnedToolchain {
        /// The toolchain file.
        toolchain_file: PathBuf,
        /// What it names.
        toolchain: ToolchainName,
        /// Why not.
        source: Box<gather::toolchains::Error>,
    },
    /// What another input wants of toolchains. It comes along, since its channels move with those of today's.
    #[error(
        "`{input}`, which is not fetched now but is an input of the history, wants toolchains that cannot be had as it wants them"
    )]
    OtherInputToolchains {
        /// The input.
        input: String,
        /// Why not.
        source: Box<gather::toolchains::Error>,
    },
    /// Toolchains that the base lacks, and that are to be left out.
    #[error("the bundle that brought `{0}` was lost, and toolchains are to be left out")]
    ToolchainsMissingFromBase(SafePath),
    /// A registry to leave out that cargo's configuration does not name.
    #[error("cargo's configuration names no registry `{0}`")]
    UnknownRegistry(String),
    /// What a repair list names and upstream does not have in that form.
    #[error("upstream does not have all that the list names:\n{}", join_lines(.0))]
    Unavailable(Vec<Unavailable>),
    /// Something to reuse that cannot be read.
    #[error("could not read `{}`", path.display())]
    Reuse {
        /// The mirror or the bundle.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The folder that the bundle is to go to.
    #[error("could not write to `{}`", path.display())]
    Output {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A folder of ours.
    #[error("could not use `{}`", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A worker of this process ended before its time.
    #[error("a worker ended before its time")]
    Worker(#[source] tokio::task::JoinError),
}

impl From<gather::toolchains::Error> for Error {
    fn from(error: gather::toolchains::Error) -> Error {
        Error::Toolchains(Box::new(error))
    }
}

fn join_lines(lacking: &[Unavailable]) -> String {
    let lines: Vec<String> = lacking.iter().map(ToString::to_string).collect();
    lines.join("\n")
}
