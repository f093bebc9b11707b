//! Rustup artifacts that no record names any more, as far as digests of upstream that lie beside them prove what they are.
//!
//! | file | proven by |
//! |---|---|
//! | a channel manifest, under each of its names; a file below `rustup/` | the `.sha256` beside it |
//! | what a proven channel manifest names | the digest in the manifest |
//! | a `.sha256` | the proven file that it states the digest of |
//! | `rustup/release-stable.toml` | a proven program of the release that it names |
//! | `rustup/archive/…` and `rustup/dist/…` with the same bytes | each other, where one of them is proven |
//!
//! A file that is not as one of these says stays a stranger.
//!
//! The signature (`.asc`) of a channel manifest cannot be checked here. It is kept where the manifest is proven and the file is
//! one ASCII-armoured OpenPGP signature of at most [`MAX_SIGNATURE`] bytes: whoever checks it needs upstream's key in any
//! case. The rebuild moves every other such file aside.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::path::Path;

use jiff::Timestamp;

use crate::artifact::Kind;
use crate::channel::{ChannelManifest, signature_path};
use crate::digest::Sha256;
use crate::mirror::artifacts::{Held, RELEASE, channel_manifest, release_version};
use crate::mirror::layout::Layout;
use crate::safe_path::SafePath;

/// Most bytes of a signature; upstream's have about 800.
const MAX_SIGNATURE: u64 = 64 * 1024;

/// The lines around an ASCII-armoured signature (RFC 9580, 6.2).
const ARMOUR: [&str; 2] = ["-----BEGIN PGP SIGNATURE-----", "-----END PGP SIGNATURE-----"];

/// Most bytes of a manifest, a `.sha256` or a release that is read.
const MAX_TEXT: u64 = 16 * 1024 * 1024;

/// The files below dist/ and rustup/.
struct Files<'l> {
    layout: &'l Layout,
    paths: BTreeSet<SafePath>,
    hashed: BTreeMap<SafePath, Option<(Sha256, u64)>>,
}

/// Every artifact on disk that is proven. Of when it was read nobody knows: it counts as read before all others.
pub(super) fn proven(layout: &Layout) -> BTreeMap<SafePath, Held> {
    let mut files = Files { layout, paths: BTreeSet::new(), hashed: BTreeMap::new() };
    for folder in ["dist", "rustup"] {
        files.list(&layout.root().join(folder), folder);
    }
    let mut proven = BTreeMap::new();
    let mut named: BTreeMap<SafePath, BTreeSet<Sha256>> = BTreeMap::new();
    for path in files.paths.clone() {
        let is_channel = channel_manifest(&path).is_some();
        if !(is_channel || Kind::of_path(&path) == Some(Kind::Rustup)) || path.as_str().ends_with(".sha256") {
            continue;
        }
        let Some(stated) = files.stated_beside(&path) else { continue };
        if files.prove(&path, &[stated].into(), &mut proven)
            && is_channel
            && let Some(manifest) = files.text(&path).and_then(|text| ChannelManifest::parse(&text).ok())
        {
            for (path, sha256) in manifest.files() {
                named.entry(path).or_default().insert(sha256);
            }
        }
    }
    for (path, digests) in named {
        files.prove(&path, &digests, &mut proven);
    }
    for path in proven.keys().filter(|path| channel_manifest(path).is_some()).cloned().collect::<Vec<_>>() {
        let signature = signature_path(&path);
        if files.is_signature(&signature)
            && let Some(found) = files.hash(&signature)
        {
            proven.insert(signature, held(found));
        }
    }
    files.prove_programs(&mut proven);
    for path in proven.keys().cloned().collect::<Vec<_>>() {
        let beside = beside(&path).filter(|beside| files.paths.contains(beside));
        if let Some(beside) = beside
            && files.stated_beside(&path) == proven.get(&path).map(|held| held.sha256)
            && let Some(found) = files.hash(&beside)
        {
            proven.insert(beside, held(found));
        }
    }
    proven
}

/// The signatures of channel manifests that are on disk, whether they are proven or not.
pub(super) fn signatures(layout: &Layout) -> Vec<SafePath> {
    let mut files = Files { layout, paths: BTreeSet::new(), hashed: BTreeMap::new() };
    files.list(&layout.root().join("dist"), "dist");
    let of_manifest = |path: &SafePath| {
        let manifest = path.as_str().strip_suffix(".asc").and_then(|manifest| manifest.parse().ok());
        manifest.is_some_and(|manifest| channel_manifest(&manifest).is_some())
    };
    files.paths.into_iter().filter(of_manifest).collect()
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

fn held((sha256, size): (Sha256, u64)) -> Held {
    Held { sha256, size, read: Timestamp::UNIX_EPOCH }
}

fn beside(path: &SafePath) -> Option<SafePath> {
    format!("{path}.sha256").parse().ok()
}

impl Files<'_> {
    /// Adds the files of a folder. Links are not followed, and what cannot be listed has no files.
    fn list(&mut self, folder: &Path, shown: &str) {
        if folder.is_symlink() {
            return;
        }
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let (Ok(kind), Ok(name)) = (entry.file_type(), entry.file_name().into_string()) else { continue };
            let below = format!("{shown}/{name}");
            if kind.is_dir() {
                self.list(&entry.path(), &below);
            } else if kind.is_file()
                && let Ok(path) = below.parse()
            {
                self.paths.insert(path);
            }
        }
    }

    /// Digest and length of a file that is there.
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

    fn text(&self, path: &SafePath) -> Option<Vec<u8>> {
        self.read(path, MAX_TEXT)
    }

    /// The bytes of a file that is there and has at most `most` of them.
    fn read(&self, path: &SafePath, most: u64) -> Option<Vec<u8>> {
        if !self.paths.contains(path) {
            return None;
        }
        let mut text = Vec::new();
        let file = fs::File::open(path.below(self.layout.root())).ok()?;
        let read = file.take(most + 1).read_to_end(&mut text).ok()?;
        (read as u64 <= most).then_some(text)
    }

    /// The digest that the `.sha256` beside a file begins with.
    fn stated_beside(&self, path: &SafePath) -> Option<Sha256> {
        let text = self.text(&beside(path)?)?;
        str::from_utf8(text.get(..64)?).ok()?.parse().ok()
    }

    /// Whether the file has one of these digests; then it is proven.
    fn prove(&mut self, path: &SafePath, digests: &BTreeSet<Sha256>, proven: &mut BTreeMap<SafePath, Held>) -> bool {
        let found = self.hash(path).filter(|(sha256, _)| digests.contains(sha256));
        found.map(|found| proven.insert(path.clone(), held(found))).is_some()
    }

    /// rustup's programs are there twice, and the text that names the release proves itself by a program of that release.
    fn prove_programs(&mut self, proven: &mut BTreeMap<SafePath, Held>) {
        let is_rustup = |path: &&SafePath| path.as_str().starts_with("rustup/");
        let programs: BTreeSet<Sha256> =
            proven.iter().filter(|(path, _)| is_rustup(path)).map(|(_, held)| held.sha256).collect();
        for path in self.paths.clone().iter().filter(is_rustup) {
            // One that a `.sha256` contradicts is not proven by its double.
            if self.stated_beside(path).is_none() && !path.as_str().ends_with(".sha256") {
                self.prove(path, &programs, proven);
            }
        }
        let Ok(release) = RELEASE.parse::<SafePath>() else { return };
        let version = self.text(&release).and_then(|text| release_version(&text));
        let Some(version) = version else { return };
        let archive = format!("rustup/archive/{version}/");
        // A `.sha256` beside it that does not fit it says that it is damaged.
        let is_contradicted = self.stated_beside(&release).is_some();
        if !is_contradicted
            && proven.keys().any(|path| path.as_str().starts_with(&archive))
            && let Some(found) = self.hash(&release)
        {
            proven.insert(release, held(found));
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
