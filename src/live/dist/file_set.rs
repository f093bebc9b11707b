//! Files that are fetched together: a manifest with its checksum and signature, and rustup with its checksum.

use std::fmt;

use crate::crate_id::Version;
use crate::safe_path::SafePath;
use crate::toolchain::{Date, ToolchainName, digest_path, is_triple, rustup_init_file_name, signature_path};
use crate::upstream::dist::RUSTUP_RELEASE_PATH;

/// The date of the first toolchain with its own folder.
const FIRST_DATE: &str = "2014-12-20";

/// Upstream's files that are only useful together. A file that is in no set, and that no manifest names, is never
/// requested.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum FileSet {
    /// A channel's manifest, its `.sha256` and its signature.
    Channel {
        /// The channel or version, without a date.
        toolchain: ToolchainName,
        /// The date of its folder.
        date: Option<Date>,
    },
    /// The version of the current rustup.
    RustupRelease,
    /// The current rustup's installer for one host, and its `.sha256`.
    RustupInit(String),
    /// The installer of one version, and its `.sha256`.
    ArchivedRustupInit(Version, String),
}

impl FileSet {
    /// The file set of `path`; `None` if it belongs to none.
    pub(super) fn of(path: &SafePath) -> Option<FileSet> {
        let parts: Vec<&str> = path.components().collect();
        match parts.as_slice() {
            ["dist", file] => channel(file).map(|toolchain| FileSet::Channel { toolchain, date: None }),
            ["dist", date, file] => {
                Some(FileSet::Channel { toolchain: channel(file)?, date: Some(date.parse().ok()?) })
            }
            _ if path.as_str() == RUSTUP_RELEASE_PATH => Some(FileSet::RustupRelease),
            ["rustup", "dist", host, file] if is_installer(host, file) => Some(FileSet::RustupInit((*host).to_owned())),
            ["rustup", "archive", version, host, file] if is_installer(host, file) => {
                let parsed: Version = version.parse().ok()?;
                (parsed.to_string() == *version).then(|| FileSet::ArchivedRustupInit(parsed, (*host).to_owned()))
            }
            _ => None,
        }
    }

    /// The manifest of `toolchain` in the folder of `date`.
    pub(super) fn dated(toolchain: ToolchainName, date: Date) -> FileSet {
        FileSet::Channel { toolchain, date: Some(date) }
    }

    /// The main file of the set.
    pub(super) fn primary(&self) -> SafePath {
        let path = match self {
            FileSet::Channel { toolchain, date: None } => return toolchain.manifest_path(),
            FileSet::Channel { toolchain, date: Some(date) } => format!("dist/{date}/channel-rust-{toolchain}.toml"),
            FileSet::RustupRelease => RUSTUP_RELEASE_PATH.to_owned(),
            FileSet::RustupInit(host) => format!("rustup/dist/{host}/{}", rustup_init_file_name(host)),
            FileSet::ArchivedRustupInit(version, host) => {
                format!("rustup/archive/{version}/{host}/{}", rustup_init_file_name(host))
            }
        };
        path.parse().expect("versions, days and triples are safe")
    }

    /// The file that states the primary's digest; `None` if there is none.
    pub(super) fn digest_file(&self) -> Option<SafePath> {
        (*self != FileSet::RustupRelease).then(|| digest_path(&self.primary()))
    }

    /// Whether `path` states the primary's digest.
    pub(super) fn is_digest_file(&self, path: &SafePath) -> bool {
        self.digest_file().is_some_and(|digest| digest == *path)
    }

    /// Whether `path` is a signature, which upstream may lack.
    pub(super) fn is_signature(&self, path: &SafePath) -> bool {
        matches!(self, FileSet::Channel { .. }) && *path == signature_path(&self.primary())
    }

    /// Whether upstream replaces its files over time.
    pub(super) fn is_mutable(&self) -> bool {
        match self {
            FileSet::Channel { toolchain, date } => date.is_none() && toolchain.is_mutable(),
            FileSet::RustupRelease | FileSet::RustupInit(_) => true,
            FileSet::ArchivedRustupInit(..) => false,
        }
    }

    /// Whether no toolchain can have its date, so that no request is necessary.
    pub(super) fn has_impossible_date(&self, now: jiff::Timestamp) -> bool {
        let FileSet::Channel { date: Some(date), .. } = self else { return false };
        date.is_in_the_future_of(now) || FIRST_DATE.parse().is_ok_and(|first: Date| *date < first)
    }
}

impl fmt::Display for FileSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.primary().fmt(f)
    }
}

fn channel(file: &str) -> Option<ToolchainName> {
    let manifest = file.strip_suffix(".sha256").or_else(|| file.strip_suffix(".asc")).unwrap_or(file);
    let toolchain: ToolchainName = manifest.strip_prefix("channel-rust-")?.strip_suffix(".toml")?.parse().ok()?;
    // The date is only in the folder's name.
    toolchain.date().is_none().then_some(toolchain)
}

fn is_installer(host: &str, file: &str) -> bool {
    is_triple(host) && file.strip_suffix(".sha256").unwrap_or(file) == rustup_init_file_name(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_set(path: &str) -> Option<FileSet> {
        FileSet::of(&path.parse().expect("safe"))
    }

    #[test]
    fn files_of_one_set_have_one_primary() {
        for (leader, others) in [
            ("dist/channel-rust-stable.toml", &[".sha256", ".asc"][..]),
            ("dist/channel-rust-1.95.toml", &[".sha256", ".asc"]),
            ("dist/2026-04-16/channel-rust-1.96.0-beta.3.toml", &[".sha256", ".asc"]),
            ("rustup/release-stable.toml", &[]),
            ("rustup/dist/x86_64-pc-windows-msvc/rustup-init.exe", &[".sha256"]),
            ("rustup/archive/1.29.0/x86_64-unknown-linux-gnu/rustup-init", &[".sha256"]),
        ] {
            let found = file_set(leader).expect(leader);
            assert_eq!(found.primary().as_str(), leader);
            for end in others {
                assert_eq!(file_set(&format!("{leader}{end}")), Some(found.clone()), "{leader}{end}");
            }
        }
    }

    #[test]
    fn only_upstreams_own_names_belong_to_a_set() {
        for path in [
            "dist/channel-rust-stable",
            "dist/channel-rust-stable-2026-04-16.toml",
            "dist/channel-rust-mine.toml",
            "dist/channel-rust-stable.toml.sha256.sha256",
            "dist/channel-rust-01.95.0.toml",
            "dist/2026-02-30/channel-rust-stable.toml",
            "dist/2026-04-16/x/channel-rust-stable.toml",
            "dist/2026-04-16/rustc-1.95.0-x86_64-unknown-linux-gnu.tar.xz",
            "dist/index.html",
            "rustup/release-beta.toml",
            "rustup/release-stable.toml.asc",
            "rustup/rustup-init.sh",
            "rustup/dist/x86_64-unknown-linux-gnu/rustup-init.exe",
            "rustup/dist/x86_64-unknown-linux-gnu/rustup-init.asc",
            "rustup/dist/host/rustup-init",
            "rustup/archive/1.29/x86_64-unknown-linux-gnu/rustup-init",
            "rustup/archive/latest/x86_64-unknown-linux-gnu/rustup-init",
            "crates/a-1.0.0.crate",
        ] {
            assert_eq!(file_set(path), None, "{path}");
        }
    }

    #[test]
    fn mutable_sets_and_impossible_dates_are_recognized() {
        let moves = |path: &str| file_set(path).expect(path).is_mutable();
        for path in ["dist/channel-rust-nightly.toml.asc", "dist/channel-rust-1.95.toml", "rustup/release-stable.toml"]
        {
            assert!(moves(path), "{path}");
        }
        for path in ["dist/channel-rust-1.95.0.toml", "dist/2026-04-16/channel-rust-nightly.toml"] {
            assert!(!moves(path), "{path}");
        }
        let now: jiff::Timestamp = "2026-04-20T00:00:00Z".parse().expect("a time");
        let no_day = |date: &str| {
            file_set(&format!("dist/{date}/channel-rust-nightly.toml")).expect("a unit").has_impossible_date(now)
        };
        assert!(no_day("2014-12-19") && no_day("2026-05-01"));
        assert!(!no_day("2014-12-20") && !no_day("2026-04-20") && !no_day("2026-04-21"));
    }
}
