//! Which dist files are stored: `.frostmirror/artifacts.json` states digest, length and time of each.
//!
//! The file is derived: ledger records name every dist file ever imported, and the files show what is still there. If
//! it is lost, files below dist/ and rustup/ count as not stored until a bundle brings them again.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::disk;
use super::item::{Item, ItemId};
use super::layout::Layout;
use super::transaction::Error;
use crate::crate_id::Version;
use crate::digest::Sha256;
use crate::mirror_file::FileKind;
use crate::safe_path::SafePath;

/// The version of the file format.
const FORMAT_VERSION: u32 = 1;

/// The dist files of a mirror, by path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct DistFiles(pub(super) BTreeMap<SafePath, DistFile>);

/// One dist file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DistFile {
    /// The digest that upstream published.
    pub(super) sha256: Sha256,
    /// Its length in bytes.
    pub(super) size: u64,
    /// When it was read from upstream.
    #[serde(rename = "read")]
    pub(super) read_at: Timestamp,
}

#[derive(Deserialize)]
struct Document {
    format: u32,
    #[serde(rename = "artifacts")]
    dist_files: Vec<Row>,
}

#[derive(Serialize)]
struct DocumentOut<'a> {
    format: u32,
    #[serde(rename = "artifacts")]
    dist_files: Vec<RowOut<'a>>,
}

#[derive(Deserialize)]
struct Row {
    path: SafePath,
    #[serde(flatten)]
    file: DistFile,
}

#[derive(Serialize)]
struct RowOut<'a> {
    path: &'a SafePath,
    #[serde(flatten)]
    file: &'a DistFile,
}

impl DistFiles {
    /// Reads the record; `None` if the file exists but is invalid.
    pub(super) fn read(layout: &Layout) -> Result<Option<DistFiles>, Error> {
        let Some(text) = disk::read_if_present(&layout.dist_files())? else { return Ok(Some(DistFiles::default())) };
        let form = serde_json::from_slice::<Document>(&text).ok().filter(|form| form.format == FORMAT_VERSION);
        Ok(form.map(|form| DistFiles(form.dist_files.into_iter().map(|row| (row.path, row.file)).collect())))
    }

    /// The recorded files.
    pub(super) fn items(&self) -> impl Iterator<Item = Item> {
        let item = |path: &SafePath, row: &DistFile| Item {
            id: ItemId::DistFile(path.clone()),
            sha256: row.sha256,
            size: row.size,
        };
        self.0.iter().map(move |(path, row)| item(path, row))
    }

    /// The text of the file.
    pub(super) fn render(&self) -> Vec<u8> {
        let artifacts = self.0.iter().map(|(path, stored)| RowOut { path, file: stored }).collect();
        serde_json::to_vec(&DocumentOut { format: FORMAT_VERSION, dist_files: artifacts })
            .expect("plain fields are JSON")
    }

    /// Number of files, and their total bytes.
    pub(super) fn count_and_bytes(&self) -> (u64, u64) {
        let bytes = self.0.values().fold(0u64, |sum, stored| sum.saturating_add(stored.size));
        (self.0.len() as u64, bytes)
    }

    /// The available toolchains by their usual names: `stable (1.95.0)`, `1.86.0`, `nightly-2026-01-01`. One channel
    /// manifest has several names.
    pub(super) fn toolchain_names(&self) -> Vec<String> {
        let mut by_digest: BTreeMap<Sha256, Vec<ChannelName<'_>>> = BTreeMap::new();
        for (path, file) in &self.0 {
            if let Some(name) = ChannelName::from_path(path) {
                by_digest.entry(file.sha256).or_default().push(name);
            }
        }
        let mut toolchains: Vec<String> =
            by_digest.into_values().flat_map(|names| ChannelName::display_names(&names)).collect();
        toolchains.sort();
        toolchains
    }
}

/// A channel manifest's name.
#[derive(Clone, Copy)]
pub(super) struct ChannelName<'p> {
    channel: &'p str,
    date: Option<&'p str>,
}

impl<'p> ChannelName<'p> {
    pub(super) fn from_path(path: &'p SafePath) -> Option<ChannelName<'p>> {
        let file = channel_of_manifest(path)?;
        let parts: Vec<&str> = path.components().collect();
        match parts.as_slice() {
            ["dist", _] => Some(ChannelName { channel: file, date: None }),
            ["dist", date, _] => Some(ChannelName { channel: file, date: Some(date) }),
            _ => None,
        }
    }

    /// The name that rustup users type: `stable`, `1.86.0`, `nightly-2026-01-01`.
    pub(super) fn display_name(&self) -> String {
        match self.date {
            Some(date) => format!("{}-{date}", self.channel),
            None => self.channel.to_owned(),
        }
    }

    /// The displayed names of one manifest: the moving channels among them, else the most precise name.
    pub(super) fn display_names(names: &[ChannelName<'_>]) -> Vec<String> {
        let is_version =
            |name: &&ChannelName<'_>| name.date.is_none() && name.channel.starts_with(|c: char| c.is_ascii_digit());
        let version = names.iter().filter(is_version).max_by_key(|name| name.channel.len()).map(|name| name.channel);
        let date = names.iter().find_map(|name| name.date);
        let moving: Vec<String> = names
            .iter()
            .filter(|name| name.date.is_none() && !is_version(name))
            .map(|name| match version.or(date) {
                Some(more) => format!("{} ({more})", name.channel),
                None => name.channel.to_owned(),
            })
            .collect();
        match (moving.is_empty(), version) {
            (false, _) => moving,
            (true, Some(version)) => vec![version.to_owned()],
            (true, None) => {
                names.iter().map(|name| format!("{}-{}", name.channel, name.date.unwrap_or_default())).collect()
            }
        }
    }
}

/// The channel of the manifest at `path`, if it is a manifest: `stable` for `dist/channel-rust-stable.toml`.
pub(super) fn channel_of_manifest(path: &SafePath) -> Option<&str> {
    let file = path.components().next_back()?;
    let channel = file.strip_prefix("channel-rust-")?.strip_suffix(".toml")?;
    (FileKind::from_path(path) == Some(FileKind::Dist)).then_some(channel)
}

/// The file in which rustup states its current release.
pub(super) const RUSTUP_RELEASE_PATH: &str = "rustup/release-stable.toml";

/// The rustup version that the text of [`RUSTUP_RELEASE_PATH`] names (rustup: src/cli/self_update.rs).
pub(super) fn parse_rustup_version(text: &[u8]) -> Option<Version> {
    #[derive(Deserialize)]
    struct Release {
        version: String,
    }
    let release: Release = toml::from_slice(text).ok()?;
    release.version.parse().ok()
}

/// Files that upstream replaces together over time. Paths with immutable content have no such name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum MutableName {
    /// A channel manifest, its digest and its signature; by the manifest's path.
    Channel(String),
    /// The current release of rustup.
    RustupRelease,
}

impl MutableName {
    /// The name that the file at `path` moves with; `None` if its content is immutable. (protocol: rustup's
    /// src/dist/mod.rs for channels, src/cli/self_update.rs for the release.)
    pub(super) fn from_path(path: &SafePath) -> Option<MutableName> {
        let text = path.as_str();
        if text == RUSTUP_RELEASE_PATH
            || text.starts_with("rustup/dist/")
            || text.starts_with("rustup/release-stable.toml.")
        {
            return Some(MutableName::RustupRelease);
        }
        let file = path.components().next_back()?;
        let manifest = text.strip_suffix(".sha256").or_else(|| text.strip_suffix(".asc")).unwrap_or(text);
        let is_channel = text.starts_with("dist/") && file.starts_with("channel-rust-") && manifest.ends_with(".toml");
        is_channel.then(|| MutableName::Channel(manifest.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn artifacts(rows: &[(&str, &str)]) -> DistFiles {
        let stored =
            |content: &str| DistFile { sha256: Sha256::of(content.as_bytes()), size: 1, read_at: Timestamp::MIN };
        DistFiles(rows.iter().map(|(path, content)| (path.parse().expect("safe"), stored(content))).collect())
    }

    #[test]
    fn toolchains_are_listed_by_their_most_specific_names() {
        let all = artifacts(&[
            ("dist/channel-rust-stable.toml", "95"),
            ("dist/channel-rust-stable.toml.sha256", "x"),
            ("dist/channel-rust-1.95.0.toml", "95"),
            ("dist/channel-rust-1.95.toml", "95"),
            ("dist/2026-04-16/channel-rust-stable.toml", "95"),
            ("dist/channel-rust-1.86.0.toml", "86"),
            ("dist/2026-01-01/channel-rust-nightly.toml", "n1"),
            ("dist/2026-01-02/channel-rust-nightly.toml", "n2"),
            ("dist/channel-rust-nightly.toml", "n2"),
            ("dist/2026-01-01/rustc-nightly-x86_64-unknown-linux-gnu.tar.xz", "c"),
        ]);
        assert_eq!(all.toolchain_names(), ["1.86.0", "nightly (2026-01-02)", "nightly-2026-01-01", "stable (1.95.0)"]);
        assert_eq!(all.count_and_bytes(), (10, 10));
    }

    #[test]
    fn the_record_round_trips() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let layout = Layout::new(folder.path());
        assert_eq!(DistFiles::read(&layout).expect("read"), Some(DistFiles::default()));
        let all = artifacts(&[("dist/channel-rust-stable.toml", "95"), ("rustup/release-stable.toml", "r")]);
        fs::create_dir_all(layout.private()).expect("folder");
        fs::write(layout.dist_files(), all.render()).expect("write");
        assert_eq!(DistFiles::read(&layout).expect("read"), Some(all));
        fs::write(layout.dist_files(), "{}").expect("write");
        assert_eq!(DistFiles::read(&layout).expect("read"), None);
    }

    #[test]
    fn mutable_names_are_recognized_by_their_path() {
        let moving = |path: &str| MutableName::from_path(&path.parse().expect("safe"));
        let stable = Some(MutableName::Channel("dist/channel-rust-stable.toml".to_owned()));
        for end in ["", ".sha256", ".asc"] {
            assert_eq!(moving(&format!("dist/channel-rust-stable.toml{end}")), stable);
        }
        assert_eq!(
            moving("dist/2026-04-16/channel-rust-stable.toml.sha256"),
            Some(MutableName::Channel("dist/2026-04-16/channel-rust-stable.toml".to_owned()))
        );
        for path in [RUSTUP_RELEASE_PATH, "rustup/dist/x86_64-unknown-linux-gnu/rustup-init"] {
            assert_eq!(moving(path), Some(MutableName::RustupRelease));
        }
        for path in
            ["rustup/archive/1.29.0/x86_64-unknown-linux-gnu/rustup-init", "dist/2026-04-16/cargo-1.95.0-x.tar.xz"]
        {
            assert_eq!(moving(path), None);
        }
    }
}
