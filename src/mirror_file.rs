//! The files of a mirror, with path, size and digest.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::digest::Sha256;
use crate::safe_path::SafePath;

/// The purpose of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileKind {
    /// A `.crate` file: `crates/NAME-VERSION.crate`.
    Crate,
    /// Index lines of one crate: `index/<prefix>/<name>`.
    Index,
    /// A channel manifest or component: `dist/…`.
    Dist,
    /// rustup itself: `rustup/…`.
    Rustup,
    /// Configuration: the clients' `config.toml`, which is for users and not imported. A snapshot also has the server's
    /// `frostmirror.toml` and the operator's `depends.toml`, which are restored to the configuration folder.
    Config,
}

impl FileKind {
    /// The kind of a file at `path`; `None` for a path that a bundle cannot contain.
    pub fn from_path(path: &SafePath) -> Option<FileKind> {
        let parts = path.components().count();
        match path.components().next() {
            Some("crates") if parts == 2 && path.as_str().ends_with(".crate") => Some(FileKind::Crate),
            Some("index") if parts >= 3 => Some(FileKind::Index),
            Some("dist") if parts >= 2 => Some(FileKind::Dist),
            Some("rustup") if parts >= 2 => Some(FileKind::Rustup),
            Some("config.toml" | "frostmirror.toml" | "depends.toml") if parts == 1 => Some(FileKind::Config),
            _ => None,
        }
    }

    /// Whether the bytes are compressible text: index lines, configuration and manifests. Crates and components are
    /// compressed already.
    pub fn is_compressible(self, path: &SafePath) -> bool {
        match self {
            FileKind::Index | FileKind::Config => true,
            FileKind::Crate => false,
            FileKind::Dist | FileKind::Rustup => {
                [".toml", ".json", ".sha256", ".asc"].iter().any(|end| path.as_str().ends_with(end))
            }
        }
    }
}

/// A file of a mirror or a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorFile {
    /// Its path relative to the mirror's root.
    pub path: SafePath,
    /// Length in bytes.
    pub size: u64,
    /// Digest of its bytes.
    pub sha256: Sha256,
    /// Its kind.
    pub kind: FileKind,
}

/// The source of a file's bytes for packing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileSource {
    /// In a file on disk.
    File(PathBuf),
    /// In memory; for small text only.
    Memory(Vec<u8>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_has_exactly_one_kind() {
        let kind = |path: &str| FileKind::from_path(&path.parse().expect("safe"));
        assert_eq!(kind("crates/a-1.0.0.crate"), Some(FileKind::Crate));
        assert_eq!(kind("index/1/a"), Some(FileKind::Index));
        assert_eq!(kind("dist/channel-rust-stable.toml"), Some(FileKind::Dist));
        assert_eq!(kind("rustup/release-stable.toml"), Some(FileKind::Rustup));
        assert_eq!(kind("config.toml"), Some(FileKind::Config));
        assert_eq!(kind("frostmirror.toml"), Some(FileKind::Config));
        assert_eq!(kind("depends.toml"), Some(FileKind::Config));
        for path in
            ["index/config.json", "crates/a", "crates/index/1/a", "manifest.json", "etc/passwd", ".frostmirror/x"]
        {
            assert_eq!(kind(path), None, "{path}");
        }
    }
}
