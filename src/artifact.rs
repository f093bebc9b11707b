//! What a mirror is made of: files with a path, a size and a digest.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::digest::Sha256;
use crate::safe_path::SafePath;

/// What a file is to its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A `.crate` file: `crates/NAME-VERSION.crate`.
    Crate,
    /// Index lines of one crate: `index/<prefix>/<name>`.
    Index,
    /// A channel manifest or component: `dist/…`.
    Dist,
    /// rustup itself: `rustup/…`.
    Rustup,
    /// Configuration: the clients' `config.toml`, which is for people and placed nowhere; in a snapshot also the server's
    /// `frostmirror.toml` and the `depends.toml` of its operator, which are restored where the user says.
    Config,
}

impl Kind {
    /// The one kind that a file at `path` can be; `None` for a path that no bundle has a place for.
    pub fn of_path(path: &SafePath) -> Option<Kind> {
        let parts = path.components().count();
        match path.components().next() {
            Some("crates") if parts == 2 && path.as_str().ends_with(".crate") => Some(Kind::Crate),
            Some("index") if parts >= 3 => Some(Kind::Index),
            Some("dist") if parts >= 2 => Some(Kind::Dist),
            Some("rustup") if parts >= 2 => Some(Kind::Rustup),
            Some("config.toml" | "frostmirror.toml" | "depends.toml") if parts == 1 => Some(Kind::Config),
            _ => None,
        }
    }

    /// Whether the bytes are text that shrinks well: index lines, configuration and manifests. Crates and
    /// components are compressed already.
    pub fn compresses(self, path: &SafePath) -> bool {
        match self {
            Kind::Index | Kind::Config => true,
            Kind::Crate => false,
            Kind::Dist | Kind::Rustup => {
                [".toml", ".json", ".sha256", ".asc"].iter().any(|end| path.as_str().ends_with(end))
            }
        }
    }
}

/// A file of a mirror or a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// Where it belongs, relative to the mirror's root.
    pub path: SafePath,
    /// Length in bytes.
    pub size: u64,
    /// Digest of its bytes.
    pub sha256: Sha256,
    /// What it is.
    pub kind: Kind,
}

/// Where the bytes of a file that is to be packed are now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bytes {
    /// In a file on disk.
    File(PathBuf),
    /// In memory; for small text only.
    Memory(Vec<u8>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_kind() {
        let kind = |path: &str| Kind::of_path(&path.parse().expect("safe"));
        assert_eq!(kind("crates/a-1.0.0.crate"), Some(Kind::Crate));
        assert_eq!(kind("index/1/a"), Some(Kind::Index));
        assert_eq!(kind("dist/channel-rust-stable.toml"), Some(Kind::Dist));
        assert_eq!(kind("rustup/release-stable.toml"), Some(Kind::Rustup));
        assert_eq!(kind("config.toml"), Some(Kind::Config));
        assert_eq!(kind("frostmirror.toml"), Some(Kind::Config));
        assert_eq!(kind("depends.toml"), Some(Kind::Config));
        for path in
            ["index/config.json", "crates/a", "crates/index/1/a", "manifest.json", "etc/passwd", ".frostmirror/x"]
        {
            assert_eq!(kind(path), None, "{path}");
        }
    }
}
