//! What is fetched together: a manifest and what lies beside it, rustup and its digest.

use std::fmt;

use crate::channel::{Date, Toolchain, digest_path, is_triple, rustup_init, signature_path};
use crate::crate_id::Version;
use crate::gather::toolchains::RELEASE;
use crate::safe_path::SafePath;

/// The day of the first toolchain that has a folder of its own.
const FIRST_DAY: &str = "2014-12-20";

/// Files of upstream that are of use together alone. Whatever is no such file, and that no manifest names, is never asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Unit {
    /// A channel's manifest, its `.sha256` and its signature.
    Channel {
        /// What it is the manifest of, without a day.
        toolchain: Toolchain,
        /// The day whose folder it lies in.
        date: Option<Date>,
    },
    /// Which rustup is the current one.
    Release,
    /// The current rustup's installer for one host, and its `.sha256`.
    Installer(String),
    /// The installer of one version, and its `.sha256`.
    Archived(Version, String),
}

impl Unit {
    /// What the file at `path` is fetched with; `None` for anything that is of no unit.
    pub(super) fn of(path: &SafePath) -> Option<Unit> {
        let parts: Vec<&str> = path.components().collect();
        match parts.as_slice() {
            ["dist", file] => channel(file).map(|toolchain| Unit::Channel { toolchain, date: None }),
            ["dist", date, file] => Some(Unit::Channel { toolchain: channel(file)?, date: Some(date.parse().ok()?) }),
            _ if path.as_str() == RELEASE => Some(Unit::Release),
            ["rustup", "dist", host, file] if is_installer(host, file) => Some(Unit::Installer((*host).to_owned())),
            ["rustup", "archive", version, host, file] if is_installer(host, file) => {
                let parsed: Version = version.parse().ok()?;
                (parsed.to_string() == *version).then(|| Unit::Archived(parsed, (*host).to_owned()))
            }
            _ => None,
        }
    }

    /// The manifest of `toolchain` in the folder of `date`.
    pub(super) fn dated(toolchain: Toolchain, date: Date) -> Unit {
        Unit::Channel { toolchain, date: Some(date) }
    }

    /// The file that leads the others.
    pub(super) fn leader(&self) -> SafePath {
        let path = match self {
            Unit::Channel { toolchain, date: None } => return toolchain.manifest_path(),
            Unit::Channel { toolchain, date: Some(date) } => format!("dist/{date}/channel-rust-{toolchain}.toml"),
            Unit::Release => RELEASE.to_owned(),
            Unit::Installer(host) => format!("rustup/dist/{host}/{}", rustup_init(host)),
            Unit::Archived(version, host) => format!("rustup/archive/{version}/{host}/{}", rustup_init(host)),
        };
        path.parse().expect("versions, days and triples are safe")
    }

    /// The file that states the leader's digest; `None` where nothing does.
    pub(super) fn digest(&self) -> Option<SafePath> {
        (*self != Unit::Release).then(|| digest_path(&self.leader()))
    }

    /// Whether `path` states the leader's digest.
    pub(super) fn is_digest(&self, path: &SafePath) -> bool {
        self.digest().is_some_and(|digest| digest == *path)
    }

    /// Whether `path` is a signature, which upstream may well not have.
    pub(super) fn is_signature(&self, path: &SafePath) -> bool {
        matches!(self, Unit::Channel { .. }) && *path == signature_path(&self.leader())
    }

    /// Whether upstream replaces its files in time.
    pub(super) fn moves(&self) -> bool {
        match self {
            Unit::Channel { toolchain, date } => date.is_none() && toolchain.moves(),
            Unit::Release | Unit::Installer(_) => true,
            Unit::Archived(..) => false,
        }
    }

    /// Whether its day is none that a toolchain can be of, so that nobody needs to be asked for it.
    pub(super) fn is_of_no_day(&self, now: jiff::Timestamp) -> bool {
        let Unit::Channel { date: Some(date), .. } = self else { return false };
        date.is_far_ahead_of(now) || FIRST_DAY.parse().is_ok_and(|first: Date| *date < first)
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.leader().fmt(f)
    }
}

fn channel(file: &str) -> Option<Toolchain> {
    let manifest = file.strip_suffix(".sha256").or_else(|| file.strip_suffix(".asc")).unwrap_or(file);
    let toolchain: Toolchain = manifest.strip_prefix("channel-rust-")?.strip_suffix(".toml")?.parse().ok()?;
    // A day is a folder's name, and never a part of the file's.
    toolchain.date().is_none().then_some(toolchain)
}

fn is_installer(host: &str, file: &str) -> bool {
    is_triple(host) && file.strip_suffix(".sha256").unwrap_or(file) == rustup_init(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(path: &str) -> Option<Unit> {
        Unit::of(&path.parse().expect("safe"))
    }

    #[test]
    fn what_belongs_together_has_one_leader() {
        for (leader, others) in [
            ("dist/channel-rust-stable.toml", &[".sha256", ".asc"][..]),
            ("dist/channel-rust-1.95.toml", &[".sha256", ".asc"]),
            ("dist/2026-04-16/channel-rust-1.96.0-beta.3.toml", &[".sha256", ".asc"]),
            ("rustup/release-stable.toml", &[]),
            ("rustup/dist/x86_64-pc-windows-msvc/rustup-init.exe", &[".sha256"]),
            ("rustup/archive/1.29.0/x86_64-unknown-linux-gnu/rustup-init", &[".sha256"]),
        ] {
            let found = unit(leader).expect(leader);
            assert_eq!(found.leader().as_str(), leader);
            for end in others {
                assert_eq!(unit(&format!("{leader}{end}")), Some(found.clone()), "{leader}{end}");
            }
        }
    }

    #[test]
    fn only_names_that_upstream_gives_are_of_a_unit() {
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
            assert_eq!(unit(path), None, "{path}");
        }
    }

    #[test]
    fn some_move_and_some_days_never_were() {
        let moves = |path: &str| unit(path).expect(path).moves();
        for path in ["dist/channel-rust-nightly.toml.asc", "dist/channel-rust-1.95.toml", "rustup/release-stable.toml"]
        {
            assert!(moves(path), "{path}");
        }
        for path in ["dist/channel-rust-1.95.0.toml", "dist/2026-04-16/channel-rust-nightly.toml"] {
            assert!(!moves(path), "{path}");
        }
        let now: jiff::Timestamp = "2026-04-20T00:00:00Z".parse().expect("a time");
        let no_day =
            |date: &str| unit(&format!("dist/{date}/channel-rust-nightly.toml")).expect("a unit").is_of_no_day(now);
        assert!(no_day("2014-12-19") && no_day("2026-05-01"));
        assert!(!no_day("2014-12-20") && !no_day("2026-04-20") && !no_day("2026-04-21"));
    }
}
