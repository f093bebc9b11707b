//! Why toolchains could not be had.

use std::io;
use std::path::PathBuf;

use jiff::Timestamp;

use crate::gather::lockfile;
use crate::http;
use crate::safe_path::SafePath;
use crate::toolchain::{Date, ManifestError, SelectError, ToolchainName};

use super::ToolchainRequest;

/// Why toolchains could not be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Upstream has no manifest of that name.
    #[error("upstream has no toolchain `{toolchain}`: {url} is not there")]
    UnknownToolchain {
        /// The toolchain.
        toolchain: ToolchainName,
        /// Where its manifest would lie.
        url: String,
    },
    /// Upstream has Rust, but not rustup.
    #[error("upstream has no rustup: {url} is not there")]
    NoRustup {
        /// What should say which rustup there is.
        url: String,
    },
    /// A manifest that cannot be read.
    #[error("could not read the channel manifest of `{toolchain}`")]
    InvalidManifest {
        /// The toolchain.
        toolchain: ToolchainName,
        /// Why.
        source: Box<ManifestError>,
    },
    /// A manifest of a day that is yet to come. No mirror would ever leave it for an earlier one.
    #[error("the channel manifest of `{toolchain}` is dated {date}, and today is {}", now.strftime("%Y-%m-%d"))]
    FutureManifest {
        /// The toolchain.
        toolchain: ToolchainName,
        /// Its date.
        date: Date,
        /// What the clock says.
        now: Timestamp,
    },
    /// What is wanted cannot be selected from a manifest.
    #[error("could not select what is wanted of `{toolchain}`")]
    Select {
        /// The toolchain.
        toolchain: ToolchainName,
        /// Whose wish it is: the number of the order, from 0.
        request: usize,
        /// Why.
        source: Box<SelectError>,
    },
    /// Files of upstream that do not belong together, however often they are asked for.
    #[error("upstream's files do not belong together: {what}")]
    Inconsistent {
        /// Which, and why not.
        what: String,
    },
    /// One path with two digests, by what two manifests or two names of one say.
    #[error("upstream promises two digests for `{path}`")]
    ConflictingDigests {
        /// The path.
        path: SafePath,
    },
    /// Upstream does not have what its manifests name, or has other bytes.
    #[error("{}", list_failures(absent, altered))]
    Unavailable {
        /// Not there.
        absent: Vec<(SafePath, http::Error)>,
        /// There, with another digest.
        altered: Vec<(SafePath, http::Error)>,
    },
    /// Upstream could not be reached.
    #[error("could not download `{path}`")]
    Network {
        /// The first file that failed.
        path: SafePath,
        /// What happened.
        source: Box<http::Error>,
    },
    /// Without network, and the files are not here.
    #[error("{} not in the cache, and the network may not be used:\n{}", count_files_are(paths), join_names(paths))]
    Offline {
        /// What is missing, by its path upstream.
        paths: Vec<SafePath>,
    },
    /// rust-src could not be read.
    #[error("could not read the Cargo.lock of the standard library in `{path}`")]
    RustSrc {
        /// The archive.
        path: SafePath,
        /// What is wrong with it.
        source: io::Error,
    },
    /// The lock in rust-src is none.
    #[error("the Cargo.lock of the standard library in `{path}` cannot be used")]
    InvalidStdLock {
        /// The archive.
        path: SafePath,
        /// What is wrong with it.
        source: Box<lockfile::Error>,
    },
    /// The cache could not be used.
    #[error("could not use `{}`", path.display())]
    Cache {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Error {
    /// The number of the order of `orders` that cannot be had as it is, where this is what it says: nothing that
    /// upstream does in the next minutes will change it.
    pub fn failed_request(&self, orders: &[ToolchainRequest]) -> Option<usize> {
        match self {
            Error::Select { request: order, .. } => Some(*order),
            Error::UnknownToolchain { toolchain, .. } | Error::InvalidManifest { toolchain, .. } => {
                orders.iter().position(|order| order.toolchains.contains(toolchain))
            }
            _ => None,
        }
    }
}

impl Error {
    /// The key of `[platforms]` and the word in it that cannot be had, where that is what it says.
    pub fn unavailable_platform_value(&self) -> Option<(&'static str, String)> {
        match self {
            Error::UnknownToolchain { toolchain, .. } => Some(("toolchain", toolchain.to_string())),
            Error::Select { source, .. } => match &**source {
                SelectError::UnknownTriple { triple, .. } => Some(("targets", triple.clone())),
                SelectError::UnknownComponent { component, .. } => Some(("components", component.clone())),
                _ => None,
            },
            _ => None,
        }
    }
}

fn list_failures(absent: &[(SafePath, http::Error)], altered: &[(SafePath, http::Error)]) -> String {
    let lines: Vec<String> = altered.iter().chain(absent).map(|(_, error)| error.to_string()).collect();
    match lines.len() {
        1 => lines.concat(),
        count => format!("{count} files could not be had:\n{}", lines.join("\n")),
    }
}

fn join_names(paths: &[SafePath]) -> String {
    let names: Vec<&str> = paths.iter().map(SafePath::as_str).collect();
    names.join("\n")
}

fn count_files_are(paths: &[SafePath]) -> String {
    match paths.len() {
        1 => "1 file is".to_owned(),
        count => format!("{count} files are"),
    }
}
