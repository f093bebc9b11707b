//! Errors of a fetch.

use std::io;
use std::path::PathBuf;

use crate::bundle::{self, pack};
use crate::diagnostics::SourceLocation;
use crate::fetch::repair_list::{self, Unavailable};
use crate::fetch::{cargo, crate_downloader, history, resolve, workspace};
use crate::http;
use crate::inputs::lockfile;
use crate::safe_path::SafePath;
use crate::toolchain::ToolchainName;
use crate::upstream::{cargo_config, dist};

/// Why a fetch failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The user's cargo configuration.
    #[error(transparent)]
    CargoConfig(#[from] cargo_config::Error),
    /// The HTTP client's settings.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// There is no usable cargo.
    #[error(transparent)]
    Cargo(#[from] cargo::Error),
    /// A Cargo.lock.
    #[error(transparent)]
    Lockfile(#[from] lockfile::Error),
    /// A repair list.
    #[error(transparent)]
    RepairList(#[from] repair_list::Error),
    /// A workspace.
    #[error(transparent)]
    Workspace(#[from] workspace::Error),
    /// The resolution failed.
    #[error(transparent)]
    Resolve(#[from] resolve::Error),
    /// A download failed.
    #[error(transparent)]
    Download(#[from] crate_downloader::Error),
    /// The history.
    #[error(transparent)]
    History(#[from] history::Error),
    /// The bundle cannot be written.
    #[error(transparent)]
    Pack(#[from] pack::Error),
    /// A bundle cannot be read: the new one, a base or a source of `--reuse`.
    #[error(transparent)]
    UnreadableBundle(#[from] bundle::open::Error),
    /// The new bundle does not verify.
    #[error("the written bundle failed verification: {0}")]
    InvalidBundle(String),
    /// The inputs need no crate.
    #[error("{} {} no crate from crates.io", .0.join(" and "), if .0.len() == 1 { "needs" } else { "need" })]
    NoCrates(Vec<String>),
    /// A toolchain cannot be fetched.
    #[error(transparent)]
    Toolchains(Box<dist::Error>),
    /// A value of `[platforms]` is not available upstream.
    #[error("upstream does not provide what this line requests\n{location}")]
    Platforms {
        /// The line.
        location: SourceLocation,
        /// The cause.
        source: Box<dist::Error>,
    },
    /// The pinned toolchain of a project is not available.
    #[error("could not include the toolchain that `{}` names", toolchain_file.display())]
    PinnedToolchain {
        /// The toolchain file.
        toolchain_file: PathBuf,
        /// The name of the toolchain.
        toolchain: ToolchainName,
        /// The cause.
        source: Box<dist::Error>,
    },
    /// Another input of the history requests toolchains that are not available. It is updated with the inputs of this
    /// run, because they share channels.
    #[error(
        "`{input}`, an input of the history that this run does not fetch, requests toolchains that upstream does not provide"
    )]
    OtherInputToolchains {
        /// The input.
        input: String,
        /// The cause.
        source: Box<dist::Error>,
    },
    /// The base lacks toolchains, and the user excludes them.
    #[error("the bundle with `{0}` was lost, and `--no-toolchain` excludes toolchains")]
    ToolchainsMissingFromBase(SafePath),
    /// Cargo's configuration does not name a registry that the user wants to skip.
    #[error("cargo's configuration names no registry `{0}`")]
    UnknownRegistry(String),
    /// Upstream lacks files of the repair list, or has other bytes.
    #[error("upstream does not have every file of the repair list:\n{}", join_lines(.0))]
    Unavailable(Vec<Unavailable>),
    /// A source of `--reuse` cannot be read.
    #[error("could not read `{}`", path.display())]
    Reuse {
        /// The mirror or the bundle.
        path: PathBuf,
        /// The system error.
        source: io::Error,
    },
    /// The output folder is not writable.
    #[error("could not write to `{}`", path.display())]
    Output {
        /// The folder.
        path: PathBuf,
        /// The system error.
        source: io::Error,
    },
    /// A folder of this program cannot be used.
    #[error("could not use `{}`", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The system error.
        source: io::Error,
    },
    /// A worker of this process ended unexpectedly.
    #[error("a worker ended unexpectedly")]
    Worker(#[source] tokio::task::JoinError),
}

impl From<dist::Error> for Error {
    fn from(error: dist::Error) -> Error {
        Error::Toolchains(Box::new(error))
    }
}

fn join_lines(lacking: &[Unavailable]) -> String {
    let lines: Vec<String> = lacking.iter().map(ToString::to_string).collect();
    lines.join("\n")
}
