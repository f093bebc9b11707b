//! Release channels: what a toolchain is called, what its manifest says, and which files it is made of.
//!
//! | file | what it knows |
//! |---|---|
//! | [`ToolchainName`] (toolchain.rs) | names as rustup writes them, and where their manifests lie |
//! | [`ChannelManifest`] (manifest.rs) | a channel manifest of version 2, read as the hostile input that it is |
//! | [`Build::file`] (file.rs) | the URL and the digest of a component, checked |
//! | [`DistPath`] (names.rs) | what a path is of, by its name alone |
//! | [`select`] (select.rs) | targets, profile and components into files below `dist/` |
//!
//! Nothing here touches disk or network: bytes and wishes come in, paths and digests go out. A path below
//! `dist/YYYY-MM-DD/` never changes upstream; `dist/channel-rust-*.toml` may, where [`ToolchainName::is_mutable`] says so.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::safe_path::SafePath;

mod component_file;
mod manifest;
mod dist_path;
mod select;
mod name;

pub use component_file::{ComponentFileError, UPSTREAM_DIST_URL};
pub use dist_path::{DistPath, std_targets_of};
pub use manifest::{Build, ChannelManifest, ListedComponent, MAX_MANIFEST_SIZE, ManifestError, Package};
pub use name::{Channel, Date, InvalidDate, InvalidToolchainName, ToolchainName, is_triple, suggest_correction};
pub use select::{Component, SelectError, Selection, SelectionRequest, UnavailableComponent, select};

/// The host triples that upstream builds a complete toolchain and rustup-init for, sorted: tier 1, and tier 2 with
/// host tools, as the manifests of 2026 have them. Which of them a certain release has is its own manifest's word.
pub const HOSTS: &[&str] = &[
    "aarch64-apple-darwin",
    "aarch64-pc-windows-gnullvm",
    "aarch64-pc-windows-msvc",
    "aarch64-unknown-linux-gnu",
    "aarch64-unknown-linux-musl",
    "aarch64-unknown-linux-ohos",
    "arm-unknown-linux-gnueabi",
    "arm-unknown-linux-gnueabihf",
    "armv7-unknown-linux-gnueabihf",
    "i686-pc-windows-gnu",
    "i686-pc-windows-msvc",
    "i686-unknown-linux-gnu",
    "loongarch64-unknown-linux-gnu",
    "loongarch64-unknown-linux-musl",
    "powerpc-unknown-linux-gnu",
    "powerpc64-unknown-linux-gnu",
    "powerpc64-unknown-linux-musl",
    "powerpc64le-unknown-linux-gnu",
    "powerpc64le-unknown-linux-musl",
    "riscv64gc-unknown-linux-gnu",
    "s390x-unknown-linux-gnu",
    "sparcv9-sun-solaris",
    "x86_64-apple-darwin",
    "x86_64-pc-solaris",
    "x86_64-pc-windows-gnu",
    "x86_64-pc-windows-gnullvm",
    "x86_64-pc-windows-msvc",
    "x86_64-unknown-freebsd",
    "x86_64-unknown-illumos",
    "x86_64-unknown-linux-gnu",
    "x86_64-unknown-linux-musl",
    "x86_64-unknown-netbsd",
];

/// The file name of rustup's installer for the host `triple`.
pub fn rustup_init_file_name(triple: &str) -> &'static str {
    if triple.split('-').any(|part| part == "windows") { "rustup-init.exe" } else { "rustup-init" }
}

/// Where the SHA-256 of the file at `path` lies: `PATH.sha256`.
pub fn digest_path(path: &SafePath) -> SafePath {
    path.with_suffix(".sha256")
}

/// Where the OpenPGP signature of the file at `path` lies: `PATH.asc`.
pub fn signature_path(path: &SafePath) -> SafePath {
    path.with_suffix(".asc")
}

/// rustup's profiles: which components a toolchain has before any is added by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// rustc, rust-std and cargo.
    Minimal,
    /// With rustfmt, clippy and the documentation.
    #[default]
    Default,
    /// Everything that the profile of this name lists, as far as upstream could build it.
    Complete,
}

impl Profile {
    /// All of them, smallest first.
    pub const ALL: [Profile; 3] = [Profile::Minimal, Profile::Default, Profile::Complete];

    /// The name, as in rustup's `--profile`.
    pub fn as_str(self) -> &'static str {
        match self {
            Profile::Minimal => "minimal",
            Profile::Default => "default",
            Profile::Complete => "complete",
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that names no profile.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{}` is no profile; there are `minimal`, `default` and `complete`", .0.escape_debug())]
pub struct InvalidProfile(String);

impl FromStr for Profile {
    type Err = InvalidProfile;

    fn from_str(text: &str) -> Result<Profile, InvalidProfile> {
        let known = Profile::ALL.into_iter().find(|profile| profile.as_str() == text);
        known.ok_or_else(|| InvalidProfile(text.chars().take(80).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_sorted_and_unique() {
        assert!(HOSTS.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn rustup_init_has_exe_suffix_on_windows() {
        assert_eq!(rustup_init_file_name("x86_64-pc-windows-gnullvm"), "rustup-init.exe");
        assert_eq!(rustup_init_file_name("aarch64-pc-windows-msvc"), "rustup-init.exe");
        assert_eq!(rustup_init_file_name("x86_64-apple-darwin"), "rustup-init");
        assert_eq!(HOSTS.iter().filter(|host| rustup_init_file_name(host).ends_with(".exe")).count(), 7);
    }

    #[test]
    fn digest_and_signature_paths_are_beside_the_manifest() {
        let path = "stable".parse::<ToolchainName>().expect("a name").manifest_path();
        assert_eq!(digest_path(&path).as_str(), "dist/channel-rust-stable.toml.sha256");
        assert_eq!(signature_path(&path).as_str(), "dist/channel-rust-stable.toml.asc");
    }

    #[test]
    fn profile_names_match_rustups() {
        for profile in Profile::ALL {
            assert_eq!(profile.to_string().parse(), Ok(profile));
        }
        assert!("Default".parse::<Profile>().is_err());
        assert_eq!(Profile::default(), Profile::Default);
    }
}
