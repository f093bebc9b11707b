//! Dist files that no record names, but that upstream's digests beside them prove.
//!
//! | file | proven by |
//! |---|---|
//! | a channel manifest, under each of its names; a file below `rustup/` | the `.sha256` beside it |
//! | a file that a proven channel manifest names | the digest in the manifest |
//! | a `.sha256` | the proven file whose digest it states |
//! | `rustup/release-stable.toml` | a proven program of the release that it names |
//! | `rustup/archive/…` and `rustup/dist/…` with the same bytes | each other, if one of them is proven |
//!
//! Any other file stays unrecognized.
//!
//! The signature (`.asc`) of a channel manifest cannot be verified here. It is kept if the manifest is proven and the
//! file is one ASCII-armoured OpenPGP signature of at most [`MAX_SIGNATURE`] bytes. A client that verifies it needs
//! upstream's key in any case. The rebuild moves every other such file aside.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;

use jiff::Timestamp;

use crate::digest::Sha256;
use crate::mirror::dist_files::{DistFile, RUSTUP_RELEASE_PATH, channel_of_manifest, parse_rustup_version};
use crate::mirror::layout::Layout;
use crate::mirror::listing::Tree;
use crate::mirror::transaction::Error;
use crate::mirror_file::FileKind;
use crate::safe_path::SafePath;
use crate::toolchain::{ChannelManifest, signature_path};

/// Maximum size of a signature in bytes; upstream's have about 800.
const MAX_SIGNATURE: u64 = 64 * 1024;

/// The first and last line of an ASCII-armoured signature (RFC 9580, 6.2).
const ARMOUR: [&str; 2] = ["-----BEGIN PGP SIGNATURE-----", "-----END PGP SIGNATURE-----"];

/// Maximum size in bytes of a manifest, a `.sha256` or a release file that is read.
const MAX_SMALL_FILE: u64 = 16 * 1024 * 1024;

/// The files below dist/ and rustup/.
struct FilesOnDisk<'l> {
    layout: &'l Layout,
    paths: BTreeSet<SafePath>,
    hashed: BTreeMap<SafePath, Option<(Sha256, u64)>>,
}

/// Every proven dist file on disk. The time when it was read is unknown, so it counts as read before all others.
pub(super) fn find_verified(layout: &Layout) -> Result<BTreeMap<SafePath, DistFile>, Error> {
    let mut files = FilesOnDisk { layout, paths: list_dist_files(layout)?, hashed: BTreeMap::new() };
    let mut verified = BTreeMap::new();
    let mut named: BTreeMap<SafePath, BTreeSet<Sha256>> = BTreeMap::new();
    for path in files.paths.clone() {
        let is_channel = channel_of_manifest(&path).is_some();
        if !(is_channel || FileKind::from_path(&path) == Some(FileKind::Rustup)) || path.as_str().ends_with(".sha256") {
            continue;
        }
        let Some(stated) = files.sidecar_digest(&path) else { continue };
        if files.accept_if_digest_matches(&path, &[stated].into(), &mut verified)
            && is_channel
            && let Some(manifest) = files.read_small(&path).and_then(|text| ChannelManifest::parse(&text).ok())
        {
            for (path, sha256) in manifest.files() {
                named.entry(path).or_default().insert(sha256);
            }
        }
    }
    for (path, digests) in named {
        files.accept_if_digest_matches(&path, &digests, &mut verified);
    }
    for path in verified.keys().filter(|path| channel_of_manifest(path).is_some()).cloned().collect::<Vec<_>>() {
        let signature = signature_path(&path);
        if files.is_signature(&signature)
            && let Some(found) = files.hash(&signature)
        {
            verified.insert(signature, to_dist_file(found));
        }
    }
    files.verify_rustup_binaries(&mut verified);
    for path in verified.keys().cloned().collect::<Vec<_>>() {
        let beside = sidecar_path(&path).filter(|beside| files.paths.contains(beside));
        if let Some(beside) = beside
            && files.sidecar_digest(&path) == verified.get(&path).map(|stored| stored.sha256)
            && let Some(found) = files.hash(&beside)
        {
            verified.insert(beside, to_dist_file(found));
        }
    }
    Ok(verified)
}

fn list_dist_files(layout: &Layout) -> Result<BTreeSet<SafePath>, Error> {
    let trees = Tree::of_dist_files(layout)?;
    Ok(trees.iter().flat_map(Tree::paths).filter_map(|path| path.parse().ok()).collect())
}

/// The signatures of channel manifests on disk, proven or not.
pub(super) fn signatures(layout: &Layout) -> Result<Vec<SafePath>, Error> {
    let of_manifest = |path: &SafePath| {
        let manifest = path.as_str().strip_suffix(".asc").and_then(|manifest| manifest.parse().ok());
        manifest.is_some_and(|manifest| channel_of_manifest(&manifest).is_some())
    };
    Ok(list_dist_files(layout)?.into_iter().filter(of_manifest).collect())
}

fn is_armoured(text: &[u8]) -> bool {
    let [begin, end] = ARMOUR;
    let is_plain = text.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\r' | b'\n'));
    let text = str::from_utf8(text).unwrap_or_default().trim_ascii();
    let inner = text.strip_prefix(begin).and_then(|rest| rest.strip_suffix(end));
    is_plain
        && inner
            .is_some_and(|inner| inner.starts_with(['\r', '\n']) && inner.ends_with('\n') && !inner.contains("-----"))
}

fn to_dist_file((sha256, size): (Sha256, u64)) -> DistFile {
    DistFile { sha256, size, read_at: Timestamp::UNIX_EPOCH }
}

fn sidecar_path(path: &SafePath) -> Option<SafePath> {
    format!("{path}.sha256").parse().ok()
}

impl FilesOnDisk<'_> {
    /// Digest and length of an existing file.
    fn hash(&mut self, path: &SafePath) -> Option<(Sha256, u64)> {
        if !self.paths.contains(path) {
            return None;
        }
        let file = path.below(self.layout.root());
        *self.hashed.entry(path.clone()).or_insert_with(|| Sha256::of_file(&file).ok())
    }

    /// Whether the file is one ASCII-armoured signature.
    fn is_signature(&self, path: &SafePath) -> bool {
        self.read(path, MAX_SIGNATURE).is_some_and(|text| is_armoured(&text))
    }

    fn read_small(&self, path: &SafePath) -> Option<Vec<u8>> {
        self.read(path, MAX_SMALL_FILE)
    }

    /// The content of an existing file of at most `most` bytes.
    fn read(&self, path: &SafePath, most: u64) -> Option<Vec<u8>> {
        if !self.paths.contains(path) {
            return None;
        }
        let mut text = Vec::new();
        let file = fs::File::open(path.below(self.layout.root())).ok()?;
        let read = file.take(most + 1).read_to_end(&mut text).ok()?;
        (read as u64 <= most).then_some(text)
    }

    /// The digest at the start of the `.sha256` beside a file.
    fn sidecar_digest(&self, path: &SafePath) -> Option<Sha256> {
        let text = self.read_small(&sidecar_path(path)?)?;
        str::from_utf8(text.get(..64)?).ok()?.parse().ok()
    }

    /// Marks the file as proven if it has one of these digests. Returns whether it is proven.
    fn accept_if_digest_matches(
        &mut self,
        path: &SafePath,
        digests: &BTreeSet<Sha256>,
        proven: &mut BTreeMap<SafePath, DistFile>,
    ) -> bool {
        let found = self.hash(path).filter(|(sha256, _)| digests.contains(sha256));
        found.map(|found| proven.insert(path.clone(), to_dist_file(found))).is_some()
    }

    /// Proves rustup's programs, which exist twice, and the release file, which a program of its release proves.
    fn verify_rustup_binaries(&mut self, proven: &mut BTreeMap<SafePath, DistFile>) {
        let is_rustup = |path: &&SafePath| path.as_str().starts_with("rustup/");
        let programs: BTreeSet<Sha256> =
            proven.iter().filter(|(path, _)| is_rustup(path)).map(|(_, stored)| stored.sha256).collect();
        for path in self.paths.clone().iter().filter(is_rustup) {
            // An identical copy does not prove a file that its `.sha256` contradicts.
            if self.sidecar_digest(path).is_none() && !path.as_str().ends_with(".sha256") {
                self.accept_if_digest_matches(path, &programs, proven);
            }
        }
        let Ok(release) = RUSTUP_RELEASE_PATH.parse::<SafePath>() else { return };
        let version = self.read_small(&release).and_then(|text| parse_rustup_version(&text));
        let Some(version) = version else { return };
        let archive = format!("rustup/archive/{version}/");
        // A `.sha256` beside it that does not match means that it is damaged.
        let is_contradicted = self.sidecar_digest(&release).is_some();
        if !is_contradicted
            && proven.keys().any(|path| path.as_str().starts_with(&archive))
            && let Some(found) = self.hash(&release)
        {
            proven.insert(release, to_dist_file(found));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_plain_armoured_signature_is_one() {
        let [begin, end] = ARMOUR;
        let good = format!("{begin}\nVersion: x\n\niQIz+/=\n=AbCd\n{end}\n");
        assert!(is_armoured(good.as_bytes()) && is_armoured(good.replace('\n', "\r\n").as_bytes()));
        for bad in [
            String::new(),
            "signed".to_owned(),
            good.replace("SIGNATURE", "MESSAGE"),
            good.repeat(2),
            format!("text\n{good}"),
            format!("{good}text\n"),
            format!("{begin}{end}"),
            good.replace("iQIz", "<\u{e9}>"),
            good.replace("iQIz", "\u{1b}[2J"),
            good.replace('\n', " "),
        ] {
            assert!(!is_armoured(bad.as_bytes()), "{bad}");
        }
    }
}
