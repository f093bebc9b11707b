//! The identity of a crate: name, version, and the paths derived from them. All types validate their input.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::safe_path::SafePath;

/// A semantic version of at most [`MAX_VERSION`] bytes, so that every derived file name is valid.
///
/// It dereferences to [`semver::Version`]; a longer version cannot be parsed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version(semver::Version);

/// Maximum length of a version in bytes. `NAME-VERSION.crate` then has at most 221 bytes, 34 fewer than the limit of file
/// names.
pub const MAX_VERSION: usize = 150;

/// A text that is not a version.
#[derive(Debug, thiserror::Error)]
pub enum InvalidVersion {
    /// It is not a semantic version.
    #[error(transparent)]
    NotSemver(#[from] semver::Error),
    /// It is too long.
    #[error("the length of the version is {0}, more than the limit of {MAX_VERSION} bytes")]
    TooLong(usize),
}

impl Version {
    /// The version `major.minor.patch`.
    pub const fn new(major: u64, minor: u64, patch: u64) -> Version {
        Version(semver::Version::new(major, minor, patch))
    }
}

impl Deref for Version {
    type Target = semver::Version;

    fn deref(&self) -> &semver::Version {
        &self.0
    }
}

impl FromStr for Version {
    type Err = InvalidVersion;

    fn from_str(text: &str) -> Result<Version, InvalidVersion> {
        if text.len() > MAX_VERSION {
            return Err(InvalidVersion::TooLong(text.len()));
        }
        Ok(Version(text.parse()?))
    }
}

impl TryFrom<String> for Version {
    type Error = InvalidVersion;

    fn try_from(text: String) -> Result<Version, InvalidVersion> {
        text.parse()
    }
}

impl From<Version> for String {
    fn from(version: Version) -> String {
        version.0.to_string()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A crate's name as crates.io allows it: 1 to 64 ASCII letters, digits, `-` and `_`, a letter or `_` first.
///
/// Case is kept (`Inflector`); only the index path is lowercase. Names are compared by their exact spelling.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CrateName(String);

/// A text that is not a crate's name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{}` is not a crate name (1 to 64 letters, digits, `-` or `_`, a letter first)", .0.escape_debug())]
pub struct InvalidCrateName(String);

impl CrateName {
    /// The name in its original case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path of the name's index file: `1/a`, `2/ab`, `3/a/abc`, `ab/cd/abcd…`, in lower case (cargo:
    /// crates/cargo-util/src/registry.rs, `make_dep_path`).
    pub fn index_path(&self) -> String {
        format!("{}/{}", self.prefix().to_lowercase(), self.0.to_lowercase())
    }

    /// The folders of the index path in the name's own case: the value of `{prefix}` in a `dl` template.
    pub fn prefix(&self) -> String {
        let name = &self.0;
        match name.len() {
            1 => "1".to_owned(),
            2 => "2".to_owned(),
            3 => format!("3/{}", &name[..1]),
            _ => format!("{}/{}", &name[..2], &name[2..4]),
        }
    }
}

impl FromStr for CrateName {
    type Err = InvalidCrateName;

    fn from_str(name: &str) -> Result<CrateName, InvalidCrateName> {
        check_name(name)?;
        Ok(CrateName(name.to_owned()))
    }
}

fn check_name(name: &str) -> Result<(), InvalidCrateName> {
    let starts_well = name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    let has_valid_characters = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if starts_well && has_valid_characters && name.len() <= 64 {
        Ok(())
    } else {
        Err(InvalidCrateName(name.chars().take(80).collect()))
    }
}

impl TryFrom<String> for CrateName {
    type Error = InvalidCrateName;

    fn try_from(name: String) -> Result<CrateName, InvalidCrateName> {
        check_name(&name)?;
        Ok(CrateName(name))
    }
}

impl From<CrateName> for String {
    fn from(name: CrateName) -> String {
        name.0
    }
}

impl fmt::Display for CrateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One version of one crate. Versions that differ only in build metadata are different crates
/// (both `openssl-src 110.0.0` and `110.0.0+1.1.0f` exist).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CrateId {
    /// The crate's name.
    pub name: CrateName,
    /// The version, with its build metadata.
    pub version: Version,
}

impl CrateId {
    /// `NAME-VERSION.crate`, the file name in a mirror and in cargo's cache.
    pub fn file_name(&self) -> String {
        format!("{}-{}.crate", self.name, self.version)
    }

    /// Parses a file name. A crate name has no dot, so the last hyphen before the first dot ends it (`foo-1-2.0.0.crate`).
    pub fn from_file_name(file: &str) -> Option<CrateId> {
        let stem = file.strip_suffix(".crate")?;
        let (name, _) = stem.split_once('.')?.0.rsplit_once('-')?;
        let version = stem.strip_prefix(name)?.strip_prefix('-')?;
        CrateId::parse(name, version).ok().filter(|id| id.file_name() == file)
    }

    /// The file's path in a mirror and in a bundle.
    ///
    /// # Panics
    /// Never: names and versions have only characters that a [`SafePath`] accepts, and their types limit their length.
    pub fn crate_path(&self) -> SafePath {
        format!("crates/{}", self.file_name()).parse().expect("names and versions are safe in paths")
    }

    /// Parses name and version.
    pub fn parse(name: &str, version: &str) -> Result<CrateId, InvalidCrateId> {
        let name: CrateName = name.parse()?;
        match version.parse() {
            Ok(version) => Ok(CrateId { name, version }),
            Err(source) => Err(InvalidCrateId::Version { name, version: version.chars().take(200).collect(), source }),
        }
    }
}

/// A text that does not identify a crate.
#[derive(Debug, thiserror::Error)]
pub enum InvalidCrateId {
    /// The name is invalid.
    #[error(transparent)]
    Name(#[from] InvalidCrateName),
    /// The version is invalid.
    #[error("`{}` is not a version of `{name}`", version.escape_debug())]
    Version {
        /// The crate.
        name: CrateName,
        /// The text of the version.
        version: String,
        /// The reason.
        source: InvalidVersion,
    },
}

impl fmt::Display for CrateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_file_name_parses_in_one_way() {
        for (file, id) in [
            ("serde-1.0.0.crate", "serde 1.0.0"),
            ("foo-1-2.0.0-rc.1.crate", "foo-1 2.0.0-rc.1"),
            ("foo-1.0.0-rc.1-2.0.crate", "foo 1.0.0-rc.1-2.0"),
            ("a-b-1.0.0-x-2.0.0.crate", "a-b 1.0.0-x-2.0.0"),
            ("zstd-sys-2.0.9+zstd.1.5.5.crate", "zstd-sys 2.0.9+zstd.1.5.5"),
        ] {
            assert_eq!(CrateId::from_file_name(file).map(|id| id.to_string()).as_deref(), Some(id));
        }
        for file in ["a.crate", "a-1.0.crate", "-1.0.0.crate", "a-01.0.0.crate", "a-1.0.0", "ä-1.0.0.crate", ".crate"]
        {
            assert_eq!(CrateId::from_file_name(file), None, "{file}");
        }
    }
    use proptest::prelude::*;

    fn name(text: &str) -> CrateName {
        text.parse().expect(text)
    }

    #[test]
    fn index_paths_match_cargos() {
        for (crate_name, path) in [
            ("a", "1/a"),
            ("ab", "2/ab"),
            ("abc", "3/a/abc"),
            ("serde", "se/rd/serde"),
            ("Foo-Bar", "fo/o-/foo-bar"),
            ("Inflector", "in/fl/inflector"),
            ("B64", "3/b/b64"),
        ] {
            assert_eq!(name(crate_name).index_path(), path);
        }
        assert_eq!(name("Inflector").prefix(), "In/fl");
    }

    #[test]
    fn invalid_names_are_refused() {
        for text in ["", "-a", "1a", "a/b", "..", "a b", "ä", "a\0", &"a".repeat(65), "a.b"] {
            assert!(text.parse::<CrateName>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn build_metadata_is_kept() {
        let id = CrateId::parse("zstd-sys", "2.0.9+zstd.1.5.5").expect("valid");
        assert_eq!(id.file_name(), "zstd-sys-2.0.9+zstd.1.5.5.crate");
        assert_eq!(id.crate_path().as_str(), "crates/zstd-sys-2.0.9+zstd.1.5.5.crate");
        assert!(CrateId::parse("a", &format!("1.0.0-{}", "a".repeat(200))).is_err());
        assert!(CrateId::parse("a", "1.0").is_err());
    }

    #[test]
    fn a_version_longer_than_150_bytes_is_refused_by_every_parser() {
        let (fits, long) = (format!("1.0.0-{}", "a".repeat(144)), format!("1.0.0-{}", "a".repeat(145)));
        assert_eq!(fits.len(), MAX_VERSION);
        let id = CrateId::parse(&"n".repeat(64), &fits).expect("the longest of all");
        assert_eq!(id.crate_path().as_str().len(), "crates/".len() + 221);
        let json = |version: &str| serde_json::from_str::<Version>(&format!("\"{version}\""));
        assert_eq!(json(&fits).expect("valid"), id.version);
        let refused = json(&long).expect_err("too long").to_string();
        assert!(refused.contains("the length of the version is 151, more than the limit of 150 bytes"), "{refused}");
        assert!(matches!(long.parse::<Version>(), Err(InvalidVersion::TooLong(151))));
        assert!(CrateId::parse("a", &long).is_err());
    }

    proptest! {
        #[test]
        fn every_valid_name_has_a_safe_path(text in "[A-Za-z_][A-Za-z0-9_-]{0,63}", pre in "[a-z0-9]{1,9}") {
            let id = CrateId::parse(&text, &format!("1.2.3-a{pre}+b.{pre}")).expect("valid");
            prop_assert!(id.crate_path().as_str().starts_with("crates/"));
            let index_path = format!("index/{}", id.name.index_path()).parse::<SafePath>();
            prop_assert!(index_path.is_ok());
        }

        #[test]
        fn parsing_never_panics(text in "\\PC{0,70}") {
            drop(CrateId::parse(&text, &text));
        }
    }
}
