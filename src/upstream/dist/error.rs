//! Errors of toolchain downloads.

use std::io;
use std::path::PathBuf;

use jiff::Timestamp;

use crate::http;
use crate::inputs::lockfile;
use crate::safe_path::SafePath;
use crate::toolchain::{Date, ManifestError, SelectError, ToolchainName};
use crate::upstream::file_batch::{UnavailableFiles, describe_uncached};

use super::request::ToolchainRequest;

/// Why toolchains could not be downloaded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Upstream has no manifest of that name.
    #[error("upstream has no toolchain `{toolchain}`: {url} does not exist")]
    UnknownToolchain {
        /// The toolchain.
        toolchain: ToolchainName,
        /// The address of its manifest.
        url: String,
    },
    /// Upstream has Rust, but lacks rustup.
    #[error("upstream has no rustup: {url} does not exist")]
    NoRustup {
        /// The address of rustup's release file.
        url: String,
    },
    /// A manifest is invalid.
    #[error("could not read the channel manifest of `{toolchain}`")]
    InvalidManifest {
        /// The toolchain.
        toolchain: ToolchainName,
        /// The cause.
        source: Box<ManifestError>,
    },
    /// A manifest is dated in the future. A mirror would never replace it with an earlier one.
    #[error("the channel manifest of `{toolchain}` is dated {date}, but today is {}", now.strftime("%Y-%m-%d"))]
    FutureManifest {
        /// The toolchain.
        toolchain: ToolchainName,
        /// Its date.
        date: Date,
        /// The current time.
        now: Timestamp,
    },
    /// The request cannot be selected from a manifest.
    #[error("could not select the components of `{toolchain}`")]
    Select {
        /// The toolchain.
        toolchain: ToolchainName,
        /// The index of the request, from 0.
        request: usize,
        /// The cause.
        source: Box<SelectError>,
    },
    /// Upstream's files stay inconsistent after several attempts.
    #[error("upstream's files are inconsistent: {what}")]
    Inconsistent {
        /// The inconsistency.
        what: String,
    },
    /// One path has two digests, in two manifests or under two names of one.
    #[error("upstream states two digests for `{path}`")]
    ConflictingDigests {
        /// The path.
        path: SafePath,
    },
    /// Upstream lacks files of its manifests, or has other bytes.
    #[error("{}", .0.describe("file", |_, error| error.to_string()))]
    Unavailable(UnavailableFiles<SafePath>),
    /// Upstream is unreachable.
    #[error("could not download `{path}`")]
    Network {
        /// The first file that failed.
        path: SafePath,
        /// The cause.
        source: Box<http::Error>,
    },
    /// The network is forbidden, and the files are not cached.
    #[error("{}", describe_uncached("file", paths))]
    Offline {
        /// The paths of the missing files.
        paths: Vec<SafePath>,
    },
    /// rust-src could not be read.
    #[error("could not read the Cargo.lock of the standard library in `{path}`")]
    RustSrc {
        /// The archive.
        path: SafePath,
        /// The cause.
        source: io::Error,
    },
    /// The lock in rust-src is invalid.
    #[error("the Cargo.lock of the standard library in `{path}` is invalid")]
    InvalidStdLock {
        /// The archive.
        path: SafePath,
        /// The cause.
        source: Box<lockfile::Error>,
    },
    /// The cache could not be used.
    #[error("could not use `{}`", path.display())]
    Cache {
        /// The file or folder.
        path: PathBuf,
        /// The system error.
        source: io::Error,
    },
}

impl Error {
    /// The index of the request in `orders` that upstream cannot satisfy, if the error states one. A retry does not
    /// change it.
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
    /// The key of `[platforms]` and its unavailable value, if the error states one.
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
