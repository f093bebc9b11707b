//! The files that the stored manifests name, with their digests: nothing else below a date's folder is ever requested.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::bounded_read::read_at_most;
use crate::digest::Sha256;
use crate::durable;
use crate::safe_path::SafePath;
use crate::toolchain::{ChannelManifest, MAX_MANIFEST_SIZE};

/// Number of cached manifests. One takes some hundred kilobytes.
const MAX_CACHED: usize = 16;

/// The files that one manifest names.
type ManifestFiles = Arc<BTreeMap<SafePath, Sha256>>;

/// The most recently read manifests, newest first.
#[derive(Default)]
pub(super) struct ManifestIndex {
    cached: Mutex<VecDeque<(Sha256, ManifestFiles)>>,
}

impl ManifestIndex {
    /// The digest that a manifest of the mirror at `root` states for the file at `path`; `None` if no manifest names
    /// it. Call it where blocking is allowed.
    pub(super) fn digest_of(&self, root: &Path, path: &SafePath) -> io::Result<Option<Sha256>> {
        let dist = root.join("dist");
        let day = path.components().nth(1).map(|day| dist.join(day));
        // One at a time: parsing a manifest takes much memory.
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        for folder in day.into_iter().chain([dist]) {
            for file in manifests_in(&folder, path)? {
                let Some(text) = read_manifest(&file)? else { continue };
                // Most manifests have other dates, which a text search shows without parsing.
                let names_it = str::from_utf8(&text).is_ok_and(|text| text.contains(path.as_str()));
                if let Some(sha256) =
                    names_it.then(|| cached_files(&mut cached, &text)).flatten().and_then(|all| all.get(path).copied())
                {
                    return Ok(Some(sha256));
                }
            }
        }
        Ok(None)
    }
}

fn cached_files(cached: &mut VecDeque<(Sha256, ManifestFiles)>, text: &[u8]) -> Option<ManifestFiles> {
    let digest = Sha256::of(text);
    let known = match cached.iter().position(|(known, _)| *known == digest) {
        Some(at) => cached.remove(at)?,
        None => (digest, Arc::new(ChannelManifest::parse(text).ok()?.files())),
    };
    cached.truncate(MAX_CACHED - 1);
    cached.push_front(known.clone());
    Some(known.1)
}

/// The manifests in a folder, which may be missing. The release in the file name of `path` comes first, then stable,
/// whose files do not contain the release.
fn manifests_in(folder: &Path, path: &SafePath) -> io::Result<Vec<PathBuf>> {
    let Some(entries) = durable::if_exists(fs::read_dir(folder))? else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let channel = name.to_str().and_then(|name| name.strip_prefix("channel-rust-")?.strip_suffix(".toml"));
        if let Some(channel) = channel {
            let is_named = path.as_str().contains(&format!("-{channel}"));
            found.push((!is_named, channel != "stable", folder.join(&name)));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(.., path)| path).collect())
}

/// The bytes of a manifest; `None` if it no longer exists or exceeds the size limit.
fn read_manifest(path: &Path) -> io::Result<Option<Vec<u8>>> {
    Ok(durable::if_exists(read_at_most(path, MAX_MANIFEST_SIZE as u64))?.flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(date: &str, file: &str, digest: &Sha256) -> String {
        format!(
            "manifest-version = \"2\"\ndate = \"{date}\"\n[pkg.rustc]\nversion = \"1\"\n[pkg.rustc.target.a-b-c]\n\
             available = true\nxz_url = \"https://static.rust-lang.org/dist/{date}/{file}\"\nxz_hash = \"{digest}\"\n"
        )
    }

    #[test]
    fn only_files_in_a_stored_manifest_have_a_digest() {
        let mirror = tempfile::tempdir().expect("temporary folder");
        let (one, other) = (Sha256::of(b"1"), Sha256::of(b"2"));
        let manifests = ManifestIndex::default();
        let digest =
            |path: &str| manifests.digest_of(mirror.path(), &path.parse().expect("safe")).expect("it can be read");
        assert_eq!(digest("dist/2026-04-16/rustc-a-b-c.tar.xz"), None);
        fs::create_dir_all(mirror.path().join("dist/2026-01-01")).expect("folders");
        let write = |path: &str, text: &str| fs::write(mirror.path().join(path), text).expect("written");
        write("dist/channel-rust-stable.toml", &manifest("2026-04-16", "rustc-a-b-c.tar.xz", &one));
        write("dist/2026-01-01/channel-rust-nightly.toml", &manifest("2026-01-01", "rustc-a-b-c.tar.xz", &other));
        write("dist/channel-rust-beta.toml", "dist/2026-04-16/cargo-a-b-c.tar.xz");
        write("dist/2026-01-01/x.toml", &manifest("2026-01-01", "cargo-a-b-c.tar.xz", &other));
        for _ in 0..2 {
            assert_eq!(digest("dist/2026-04-16/rustc-a-b-c.tar.xz"), Some(one));
            assert_eq!(digest("dist/2026-01-01/rustc-a-b-c.tar.xz"), Some(other));
            for path in
                ["dist/2026-04-16/cargo-a-b-c.tar.xz", "dist/2026-01-01/cargo-a-b-c.tar.xz", "dist/2026-04-16/rustc"]
            {
                assert_eq!(digest(path), None, "{path}");
            }
        }
        // An updated manifest names the new files, and no longer the old ones.
        write("dist/channel-rust-stable.toml", &manifest("2026-05-28", "rustc-a-b-c.tar.xz", &other));
        assert_eq!(digest("dist/2026-04-16/rustc-a-b-c.tar.xz"), None);
        assert_eq!(digest("dist/2026-05-28/rustc-a-b-c.tar.xz"), Some(other));
    }
}
