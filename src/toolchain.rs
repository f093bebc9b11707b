//! Release channels: names of toolchains, their manifests and their files.
//!
//! | file | content |
//! |---|---|
//! | [`ToolchainName`] (name.rs) | names in rustup's form, and the paths of their manifests |
//! | [`ChannelManifest`] (manifest.rs) | a channel manifest of version 2, parsed as hostile input |
//! | [`Build::file`] (component_file.rs) | the URL and the digest of a component, checked |
//! | [`DistPath`] (dist_path.rs) | the meaning of a path, from its name |
//! | [`select`] (select.rs) | selects files below `dist/` for targets, profile and components |
//!
//! This module uses neither disk nor network: it maps bytes and requests to paths and digests. A path below
//! `dist/YYYY-MM-DD/` never changes upstream; `dist/channel-rust-*.toml` may change, if [`ToolchainName::is_mutable`]
//! says so.

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

/// The host triples for which upstream builds a complete toolchain and rustup-init, sorted: tier 1, and tier 2 with
/// host tools, according to the manifests of 2026. The manifest of a release states which of them it has.
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

/// The path of the SHA-256 of the file at `path`: `PATH.sha256`.
pub fn digest_path(path: &SafePath) -> SafePath {
    path.with_suffix(".sha256")
}

/// The path of the OpenPGP signature of the file at `path`: `PATH.asc`.
pub fn signature_path(path: &SafePath) -> SafePath {
    path.with_suffix(".asc")
}

/// rustup's profiles: the components of a toolchain before any is added by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// rustc, rust-std and cargo.
    Minimal,
    /// Also rustfmt, clippy and the documentation.
    #[default]
    Default,
    /// Everything in the profile of this name that upstream could build.
    Complete,
}

impl Profile {
    /// All profiles, smallest first.
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

/// An unknown name of a profile.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{}` is not a profile; the profiles are `minimal`, `default` and `complete`", .0.escape_debug())]
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
