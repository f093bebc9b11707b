//! The key of a row, and the order and the shard that follow from it.

use std::fmt;
use std::str::FromStr;

use super::fault::RowFault;
use crate::crate_id::CrateId;
use crate::digest::Sha256;
use crate::safe_path::{SafePath, portability_problem};

/// The registry of a crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Registry {
    /// crates.io.
    CratesIo,
    /// Another registry.
    Other(RegistryId),
}

/// The ID of a registry other than crates.io: the first 8 bytes of the SHA-256 of its canonical index URL.
///
/// A manifest states the URL of each ID, so that an ID that two URLs share is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegistryId(u64);

impl RegistryId {
    /// The ID of the registry with this canonical index URL.
    pub fn of_url(url: &str) -> RegistryId {
        RegistryId(first_eight_bytes(url))
    }
}

impl fmt::Display for RegistryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for RegistryId {
    type Err = RowFault;

    fn from_str(text: &str) -> Result<RegistryId, RowFault> {
        let is_valid = text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let id = u64::from_str_radix(text, 16).ok().filter(|_| is_valid);
        id.map(RegistryId).ok_or(RowFault::Field("registry"))
    }
}

/// The path of a file in a set: below `dist/` or `rustup/`, or `git/HOST/…/NAME.git/FILE`. It is portable and has no hidden
/// component.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FilePath {
    path: SafePath,
    /// The length of its placement in bytes.
    placement: usize,
}

/// Why a path is not that of a file in a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidFilePath(&'static str);

impl InvalidFilePath {
    /// The reason, as the end of a sentence.
    pub fn reason(self) -> &'static str {
        self.0
    }
}

impl FilePath {
    /// The path.
    pub fn as_path(&self) -> &SafePath {
        &self.path
    }
}

impl TryFrom<SafePath> for FilePath {
    type Error = InvalidFilePath;

    fn try_from(path: SafePath) -> Result<FilePath, InvalidFilePath> {
        if let Some(problem) = portability_problem(&path) {
            return Err(InvalidFilePath(problem));
        }
        if path.components().any(|part| part.starts_with('.')) {
            return Err(InvalidFilePath("has a hidden component (with a leading dot)"));
        }
        let placement =
            placement_length(&path).ok_or(InvalidFilePath("is not below dist/, rustup/ or a git repository"))?;
        Ok(FilePath { path, placement })
    }
}

/// Length of the placement of a path; `None` for a path that a set cannot have.
///
/// A file and a folder of its path always have the same placement, so one shard shows whether both exist.
fn placement_length(path: &SafePath) -> Option<usize> {
    let parts: Vec<&str> = path.components().collect();
    let count = match parts.as_slice() {
        ["dist" | "rustup", _, ..] => 2,
        ["git", _, ..] => {
            let repository =
                parts.iter().position(|part| part.len() > 4 && part.to_ascii_lowercase().ends_with(".git"))?;
            // `git/HOST/NAME.git/FILE` at least, and no folders in a repository.
            if repository < 2 || parts.len() != repository + 2 {
                return None;
            }
            repository + 1
        }
        _ => return None,
    };
    let lengths = parts.iter().take(count).map(|part| part.len());
    Some(lengths.sum::<usize>() + count - 1)
}

/// The key of a crate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CrateKey {
    /// Its registry.
    pub registry: Registry,
    /// Its name and version.
    pub id: CrateId,
}

/// The key of a row. It is displayed for messages; rows have another form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// A crate.
    Crate(CrateKey),
    /// A file.
    File(FilePath),
}

impl Key {
    /// Parses the first fields of a row.
    pub(super) fn parse<'t>(fields: &mut impl Iterator<Item = &'t str>) -> Result<Key, RowFault> {
        let kind = fields.next().unwrap_or_default();
        let mut field = || fields.next().ok_or(RowFault::FieldCount);
        match kind {
            "c" => {
                let registry = match field()? {
                    "-" => Registry::CratesIo,
                    id => Registry::Other(id.parse()?),
                };
                let (name, version) = (field()?, field()?);
                let id = CrateId {
                    name: name.parse().map_err(|_| RowFault::Field("name"))?,
                    version: version.parse().map_err(|_| RowFault::Field("version"))?,
                };
                Ok(Key::Crate(CrateKey { registry, id }))
            }
            "f" => {
                let text = field()?;
                let invalid = |reason: String| RowFault::Path { path: text.chars().take(200).collect(), reason };
                let path: SafePath = text.parse().map_err(|_| invalid("is not a safe relative path".to_owned()))?;
                Ok(Key::File(FilePath::try_from(path).map_err(|error| invalid(error.to_string()))?))
            }
            kind if !kind.is_empty() && kind.len() <= 16 && kind.bytes().all(|byte| byte.is_ascii_lowercase()) => {
                Err(RowFault::UnknownKind(kind.to_owned()))
            }
            _ => Err(RowFault::Field("kind")),
        }
    }

    /// Its position in every set.
    pub fn sort_key(&self) -> SortKey {
        Placer::default().sort_key(self.text())
    }

    /// The text of the key, as in a row.
    pub(super) fn text(&self) -> KeyText {
        match self {
            Key::Crate(key) => key.text(),
            Key::File(path) => path.text(),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Crate(CrateKey { registry: Registry::CratesIo, id }) => id.fmt(f),
            Key::Crate(CrateKey { registry: Registry::Other(registry), id }) => write!(f, "{id} (registry {registry})"),
            Key::File(path) => path.path.fmt(f),
        }
    }
}

/// The text of a key.
pub(super) struct KeyText {
    pub(super) text: String,
    /// Where its placement ends.
    placement_end: usize,
}

impl CrateKey {
    pub(super) fn text(&self) -> KeyText {
        let mut text = match self.registry {
            Registry::CratesIo => format!("c\t-\t{}", self.id.name),
            Registry::Other(registry) => format!("c\t{registry}\t{}", self.id.name),
        };
        let placement_end = text.len();
        text.push('\t');
        text.push_str(&self.id.version.to_string());
        KeyText { text, placement_end }
    }
}

impl FilePath {
    pub(super) fn text(&self) -> KeyText {
        let text = format!("f\t{}", self.path);
        KeyText { placement_end: text.len() - self.path.as_str().len() + self.placement, text }
    }
}

/// Where a row belongs: sets are sorted by this.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SortKey {
    place: u64,
    /// The key's text in lower case.
    folded: Box<str>,
}

impl SortKey {
    /// The shard of the row, if shards have numbers of `bits` bits.
    pub fn shard(&self, bits: u32) -> usize {
        let number = self.place.checked_shr(u64::BITS.saturating_sub(bits)).unwrap_or(0);
        usize::try_from(number).unwrap_or(usize::MAX)
    }

    /// The keys that a file at a folder of this file's path would have; nothing for a crate.
    pub(super) fn folders(&self) -> impl Iterator<Item = (u64, &str)> {
        let path = if self.folded.starts_with("f\t") { &*self.folded } else { "" };
        path.match_indices('/').filter_map(|(end, _)| Some((self.place, path.get(..end)?)))
    }

    /// Whether it is below the path of a file in `sorted`, which are ascending.
    pub fn is_below(&self, sorted: &[SortKey]) -> bool {
        self.folders().any(|folder| sorted.binary_search_by(|key| key.as_parts().cmp(&folder)).is_ok())
    }

    /// Whether both have one placement, as all versions of a name have, and all files of a date.
    pub fn has_same_place(&self, other: &SortKey) -> bool {
        self.place == other.place
    }

    pub(super) fn as_parts(&self) -> (u64, &str) {
        (self.place, &self.folded)
    }
}

/// Computes the places of keys. Keys with the same placement often follow each other, and are hashed once.
#[derive(Default)]
pub(super) struct Placer {
    placement: String,
    place: Option<u64>,
}

impl Placer {
    pub(super) fn sort_key(&mut self, key: KeyText) -> SortKey {
        let KeyText { text: mut folded, placement_end } = key;
        folded.make_ascii_lowercase();
        let placement = folded.get(..placement_end).unwrap_or(&folded);
        let place = match self.place {
            Some(place) if self.placement == placement => place,
            _ => {
                self.placement.clear();
                self.placement.push_str(placement);
                *self.place.insert(first_eight_bytes(placement))
            }
        };
        SortKey { place, folded: folded.into_boxed_str() }
    }
}

fn first_eight_bytes(text: &str) -> u64 {
    let digest = Sha256::of(text.as_bytes());
    digest.as_bytes().first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> Result<FilePath, InvalidFilePath> {
        FilePath::try_from(path.parse::<SafePath>().expect("safe"))
    }

    #[test]
    fn a_file_and_its_possible_folders_have_one_placement() {
        for (path, placement) in [
            ("dist/channel-rust-stable.toml", "f\tdist/channel-rust-stable.toml"),
            ("dist/2026-04-16/rust-1.95.0.tar.xz", "f\tdist/2026-04-16"),
            ("rustup/archive/1.28.1/x86_64/rustup-init", "f\trustup/archive"),
            ("git/example.org/a/b.git/refs", "f\tgit/example.org/a/b.git"),
            ("git/example.org/b.GIT/pack-1.pack", "f\tgit/example.org/b.GIT"),
        ] {
            let KeyText { text, placement_end } = file(path).expect(path).text();
            assert_eq!(text.get(..placement_end), Some(placement));
        }
        for path in [
            "dist",
            "crates/a-1.0.0.crate",
            "git/example.org/a",
            "git/a.git/refs",
            "git/example.org/a.git/x/y",
            "git/example.org/a.git",
            "dist/.hidden",
            "dist/nul",
        ] {
            assert!(file(path).is_err(), "{path}");
        }
    }

    #[test]
    fn all_versions_of_a_name_have_one_place() {
        let mut placer = Placer::default();
        let mut key = |text: &str| placer.sort_key(Key::parse(&mut text.split('\t')).expect(text).text());
        let (one, two) = (key("c\t-\tSerde\t1.0.0"), key("c\t-\tserde\t1.0.0"));
        assert_eq!(one, two);
        let later = key("c\t-\tserde\t2.0.0-rc.1+b");
        assert!(one < later && one.place == later.place);
        let elsewhere = key("c\t00112233445566ff\tserde\t1.0.0");
        assert_ne!(one.place, elsewhere.place);
        assert_eq!((one.shard(0), one.shard(64) > 0), (0, true));
    }

    #[test]
    fn keys_are_displayed_for_people() {
        let shown = |text: &str| Key::parse(&mut text.split('\t')).map(|key| key.to_string());
        assert_eq!(shown("c\t-\tserde\t1.0.0").as_deref(), Ok("serde 1.0.0"));
        let elsewhere = shown("c\t00112233445566ff\tserde\t1.0.0");
        assert_eq!(elsewhere.as_deref(), Ok("serde 1.0.0 (registry 00112233445566ff)"));
        assert_eq!(shown("f\tdist/a").as_deref(), Ok("dist/a"));
        assert_eq!(shown("z\ta"), Err(RowFault::UnknownKind("z".to_owned())));
        for text in ["", "C\t-\ta\t1.0.0", "c\t\ta\t1.0.0", "c\t00112233445566FF\ta\t1.0.0", "c\t-\ta", "f\t/etc"] {
            assert!(shown(text).is_err_and(|fault| !matches!(fault, RowFault::UnknownKind(_))), "{text:?}");
        }
    }
}
