//! Why toolchains could not be had.

use std::io;
use std::path::PathBuf;

use crate::channel::{ManifestError, SelectError, Toolchain};
use crate::http;
use crate::safe_path::SafePath;

/// Why toolchains could not be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Upstream has no manifest of that name.
    #[error("upstream has no toolchain `{toolchain}`: {url} is not there")]
    NoToolchain {
        /// The toolchain.
        toolchain: Toolchain,
        /// Where its manifest would lie.
        url: String,
    },
    /// A manifest that cannot be read.
    #[error("could not read the channel manifest of `{toolchain}`")]
    Manifest {
        /// The toolchain.
        toolchain: Toolchain,
        /// Why.
        source: ManifestError,
    },
    /// What is wanted cannot be selected from a manifest.
    #[error("could not select what `{toolchain}` needs")]
    Select {
        /// The toolchain.
        toolchain: Toolchain,
        /// Why.
        source: SelectError,
    },
    /// Two files of upstream that do not belong together, however often they are asked for.
    #[error("{}", lines("does not have the content that upstream vouches for", altered))]
    Altered {
        /// Each, and what was found.
        altered: Vec<String>,
    },
    /// What upstream promises and does not have.
    #[error("{}", lines("is not there", absent))]
    Absent {
        /// Each, and what upstream said.
        absent: Vec<(SafePath, http::Error)>,
    },
    /// Upstream could not be reached.
    #[error("could not download `{path}`")]
    Network {
        /// The first file that failed.
        path: SafePath,
        /// What happened.
        source: Box<http::Error>,
    },
    /// Without network, and the files are nowhere here.
    #[error("{}", lines("offline", paths))]
    Offline {
        /// What is missing.
        paths: Vec<SafePath>,
    },
    /// The cache could not be used.
    #[error("could not use `{path}`")]
    Cache {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

fn lines<T>(what: &str, items: &[T]) -> String {
    format!("{} {what}", items.len())
}
