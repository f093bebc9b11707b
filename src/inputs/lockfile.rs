//! Cargo.lock, parsed with cargo's own schema: the locked packages of crates.io and of other sources.
//!
//! Formats: without a `version` line (1 with checksums in `[metadata]`, 2 with them in the packages), 3 and 4 (cargo:
//! src/cargo/core/resolver/encode.rs). A package is from crates.io only if its source is one of the two forms that
//! cargo writes for crates.io. Packages of git and of every other registry are foreign, whatever their names, and are
//! never searched on crates.io.
//!
//! Cargo reads more of a lock than the packages that it builds. For `[[patch.unused]]` it loads the source: the git
//! repository, or the index line of a registry's package (without a checksum: the lock has none). For a package that
//! `[replace]` replaces it reads the index line. It does not download their `.crate` files (tested with cargo 1.95).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use cargo_util_schemas::core::SourceKind;
use cargo_util_schemas::lockfile::{TomlLockfile, TomlLockfileDependency, TomlLockfileSourceId};
use cargo_util_schemas::manifest::PackageName;
use serde::Deserialize;
use toml::de::{DeTable, Deserializer};

use crate::bounded_read::{self, SizeLimit};
use crate::crate_id::{CrateId, InvalidCrateId, Version};
use crate::diagnostics::{ProblemCollector, ProblemList, shell_quote};
use crate::digest::{InvalidDigest, Sha256};
use crate::inputs::input_id::Label;

/// The address of crates.io in Cargo.lock, for every protocol.
pub const CRATES_IO_SOURCE: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// The newest supported format.
pub const NEWEST_FORMAT: i64 = 4;

/// Maximum bytes of a name or a version that is read from a line of text.
const MAX_LISTED_TEXT: usize = 256;
/// Maximum bytes of such a line.
const MAX_LINE: usize = 4096;

/// The limit for a file; a lock of 4,000 packages has about one MiB.
const LIMIT: SizeLimit = SizeLimit { max: 64 << 20, kind: "a Cargo.lock" };

/// The packages of a Cargo.lock, without local paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lockfile {
    /// The file.
    pub path: PathBuf,
    /// Its label in a history.
    pub label: Label,
    /// Packages of crates.io, with the digests of their `.crate` files.
    pub packages: BTreeMap<CrateId, Sha256>,
    /// Packages of crates.io whose index lines cargo reads and whose files it never downloads: unused patches and
    /// replaced packages. The digest is present if the lock has it. None of them is in `packages`.
    pub unbuilt: BTreeMap<CrateId, Option<Sha256>>,
    /// Packages of git and of other registries, including unused patches; sorted.
    pub foreign: Vec<ForeignPackage>,
    /// Whether cargo resolved it for a workspace that has no Cargo.lock; then there is no file at `path`.
    pub is_generated: bool,
}

/// A package that is not from crates.io.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ForeignPackage {
    /// A valid name of a package.
    pub name: String,
    /// A semantic version.
    pub version: String,
    /// Its source.
    pub source: ForeignSource,
    /// Whether a `[patch]` table names it and no package needs it. Cargo still loads its source.
    pub unused_patch: bool,
}

impl std::fmt::Display for ForeignPackage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ForeignPackage { name, version, source, unused_patch } = self;
        let note = if *unused_patch { UNUSED_PATCH_NOTE } else { "" };
        write!(f, "{name} {version} ({source}{note})")
    }
}

const UNUSED_PATCH_NOTE: &str = ", an unused patch that cargo loads nevertheless";

impl ForeignPackage {
    /// Parses the form of [`ForeignPackage`]'s `Display`; `None` for every other text.
    pub fn parse_line(text: &str) -> Option<ForeignPackage> {
        let (head, source) = text.strip_suffix(')')?.split_once(" (")?;
        let (name, version) = head.split_once(' ')?;
        let (source, unused_patch) = match source.strip_suffix(UNUSED_PATCH_NOTE) {
            Some(source) => (source, true),
            None => (source, false),
        };
        let (kind, url) = source.split_once(": ")?;
        let url = url.to_owned();
        let source = match kind {
            "git" => ForeignSource::Git { url },
            "registry" => ForeignSource::Registry { url },
            _ => return None,
        };
        let is_short = |text: &str| (1..=MAX_LISTED_TEXT).contains(&text.len());
        let is_valid = PackageName::new(name).is_ok() && is_short(name) && is_short(version) && text.len() <= MAX_LINE;
        (is_valid && !text.contains(char::is_control)).then(|| ForeignPackage {
            name: name.to_owned(),
            version: version.to_owned(),
            source,
            unused_patch,
        })
    }
}

/// The options of `fetch` that exclude these packages, ready for a shell.
pub fn skip_options(packages: &[ForeignPackage]) -> Vec<String> {
    let option = |package: &ForeignPackage| match &package.source {
        ForeignSource::Git { .. } => "--skip-git".to_owned(),
        ForeignSource::Registry { url } => format!("--skip-registry {}", shell_quote(Path::new(url))),
    };
    packages.iter().map(option).collect::<BTreeSet<String>>().into_iter().collect()
}

/// A foreign package that an input needs and that the user excluded.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SkippedPackage {
    /// The package.
    pub package: ForeignPackage,
    /// The flag that excluded it.
    pub reason: &'static str,
}

/// The source of a foreign package. Addresses are shown without user and password.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ForeignSource {
    /// A git repository.
    Git {
        /// Its address, with branch, tag or revision as a query.
        url: String,
    },
    /// A registry other than crates.io.
    Registry {
        /// The address of its index.
        url: String,
    },
}

impl std::fmt::Display for ForeignSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ForeignSource::Git { url } => write!(f, "git: {url}"),
            ForeignSource::Registry { url } => write!(f, "registry: {url}"),
        }
    }
}

impl ForeignSource {
    /// The source as in bundles: the path of a local repository is hidden. At most 1,024 bytes.
    pub fn without_local_path(&self) -> String {
        let mut text = self.to_string();
        if let Some(start) = text.find("file:") {
            text.truncate(start);
            text.push_str("a folder of the fetching machine");
        }
        text.truncate(text.floor_char_boundary(1024));
        text
    }
}

/// Why a Cargo.lock is invalid.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read, is too large or is not text.
    #[error(transparent)]
    Read(#[from] bounded_read::Error),
    /// The text is not a Cargo.lock.
    #[error("{}", list.draw(path))]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The problems with their lines.
        list: ProblemList,
    },
    /// The file is a depends.toml.
    #[error("`{}` is a depends.toml, not a Cargo.lock", path.display())]
    IsDepends {
        /// The file.
        path: PathBuf,
    },
    /// The file is a Cargo.toml.
    #[error("`{}` is a manifest, not a Cargo.lock", path.display())]
    IsManifest {
        /// The file.
        path: PathBuf,
    },
    /// A newer cargo wrote it.
    #[error("`{}` has format {found}; this version of cargo-frostmirror reads formats up to {NEWEST_FORMAT}", path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
    },
    /// A package has a name or version that cargo would not write.
    #[error("`{}` has an invalid package name or version: {} {}", path.display(), name.escape_debug(), version.escape_debug())]
    InvalidPackage {
        /// The file.
        path: PathBuf,
        /// The name in the file.
        name: String,
        /// The version in the file.
        version: String,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A package of crates.io has no checksum, so it cannot be checked.
    #[error("`{}` has no checksum for {id}", path.display())]
    MissingChecksum {
        /// The file.
        path: PathBuf,
        /// The package.
        id: CrateId,
    },
    /// The checksum is invalid.
    #[error("`{}` has an invalid checksum for {id}", path.display())]
    InvalidChecksum {
        /// The file.
        path: PathBuf,
        /// The package.
        id: CrateId,
        /// The cause.
        source: InvalidDigest,
    },
    /// One package has two checksums.
    #[error("`{}` has two different checksums for {id}", path.display())]
    ConflictingChecksums {
        /// The file.
        path: PathBuf,
        /// The package.
        id: CrateId,
    },
}

impl Lockfile {
    /// Exactly these packages; `path` is their source in messages.
    pub fn of_packages(packages: BTreeMap<CrateId, Sha256>, path: PathBuf) -> Lockfile {
        let label = Label::of_path(&path, "Cargo.lock");
        Lockfile { path, label, packages, unbuilt: BTreeMap::new(), foreign: Vec::new(), is_generated: false }
    }

    /// The file in messages; without a file, the folder of its workspace.
    pub fn describe(&self) -> String {
        match self.path.parent().filter(|_| self.is_generated) {
            Some(folder) => format!("`{}` (no Cargo.lock was found there)", folder.display()),
            None => format!("`{}`", self.path.display()),
        }
    }

    /// Reads the file at `path`.
    pub fn read(path: &Path) -> Result<Lockfile, Error> {
        Lockfile::parse(&LIMIT.read_text(path)?, path)
    }

    /// Parses `text`; `path` is used in errors.
    pub fn parse(text: &str, path: &Path) -> Result<Lockfile, Error> {
        let (root, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            let list = ProblemCollector::new(text, &errors, |_| "each key once").finish();
            return Err(Error::Syntax { path: path.to_owned(), list });
        }
        // The text is TOML, and not what cargo writes.
        let schema = |error: toml::de::Error| Error::Syntax {
            path: path.to_owned(),
            list: ProblemList::single(text, error.span().unwrap_or(0..0), error.message()),
        };
        // A virtual manifest would parse as an empty lock.
        let is_table = |key: &str| root.get_ref().get(key).is_some_and(|value| value.get_ref().is_table());
        let has_package = ["package", "workspace", "lib"].into_iter().any(is_table);
        if !has_package && ["dependencies", "locked", "platforms"].into_iter().any(is_table) {
            return Err(Error::IsDepends { path: path.to_owned() });
        }
        if ["package", "workspace", "dependencies", "lib"].into_iter().any(is_table) {
            return Err(Error::IsManifest { path: path.to_owned() });
        }
        // The version comes first: a newer format may not fit the schema.
        if let Some(version) = root.get_ref().get("version").and_then(|value| value.get_ref().as_integer()) {
            let found = i64::from_str_radix(version.as_str(), version.radix()).unwrap_or(i64::MAX);
            if found > NEWEST_FORMAT {
                return Err(Error::NewerFormat { path: path.to_owned(), found });
            }
        }
        let lock = TomlLockfile::deserialize(Deserializer::from(root)).map_err(schema)?;
        let reading = LockfileBuilder { path, metadata: lock.metadata.as_ref() };
        reading.build(lock.package.as_deref().unwrap_or_default(), &lock.patch.unused)
    }
}

struct LockfileBuilder<'l> {
    path: &'l Path,
    metadata: Option<&'l cargo_util_schemas::lockfile::TomlLockfileMetadata>,
}

impl LockfileBuilder<'_> {
    fn build(
        &self,
        all: &[TomlLockfileDependency],
        unused_patches: &[TomlLockfileDependency],
    ) -> Result<Lockfile, Error> {
        let mut packages = BTreeMap::new();
        let mut unbuilt: BTreeMap<CrateId, Option<Sha256>> = BTreeMap::new();
        let mut foreign = Vec::new();
        let mut add_unbuilt = |id, checksum| {
            let known = unbuilt.entry(id).or_default();
            *known = known.or(checksum);
        };
        for package in all {
            match package.source.as_ref() {
                None => {}
                Some(source) if is_crates_io(source) => {
                    let (id, checksum) = self.crates_io_package(package, source)?;
                    if package.replace.is_some() {
                        // Cargo looks up the replaced package, and builds its replacement.
                        add_unbuilt(id, checksum);
                        continue;
                    }
                    let path = self.path.to_owned();
                    let Some(checksum) = checksum else { return Err(Error::MissingChecksum { path, id }) };
                    if packages.insert(id.clone(), checksum).is_some_and(|other| other != checksum) {
                        return Err(Error::ConflictingChecksums { path, id });
                    }
                }
                Some(source) => foreign.extend(self.foreign_package(package, source, false)?),
            }
        }
        for patch in unused_patches {
            match patch.source.as_ref() {
                None => {}
                Some(source) if is_crates_io(source) => {
                    let (id, checksum) = self.crates_io_package(patch, source)?;
                    add_unbuilt(id, checksum);
                }
                Some(source) => foreign.extend(self.foreign_package(patch, source, true)?),
            }
        }
        unbuilt.retain(|id, _| !packages.contains_key(id));
        foreign.sort();
        foreign.dedup();
        Ok(Lockfile { unbuilt, foreign, ..Lockfile::of_packages(packages, self.path.to_owned()) })
    }

    /// A package of crates.io with its checksum, if the lock has one.
    fn crates_io_package(
        &self,
        package: &TomlLockfileDependency,
        source: &TomlLockfileSourceId,
    ) -> Result<(CrateId, Option<Sha256>), Error> {
        let id = CrateId::parse(&package.name, &package.version)
            .map_err(|source: InvalidCrateId| self.invalid_package(package, source))?;
        // Format 1 has the checksums in a separate table.
        let key = || format!("checksum {} {} ({})", package.name, package.version, source.source_str());
        let checksum = package.checksum.as_deref().or_else(|| self.metadata?.get(&key()).map(String::as_str));
        match checksum.filter(|text| *text != "<none>").map(str::parse) {
            None => Ok((id, None)),
            Some(Ok(checksum)) => Ok((id, Some(checksum))),
            Some(Err(source)) => Err(Error::InvalidChecksum { path: self.path.to_owned(), id, source }),
        }
    }

    fn foreign_package(
        &self,
        package: &TomlLockfileDependency,
        source: &TomlLockfileSourceId,
        unused_patch: bool,
    ) -> Result<Option<ForeignPackage>, Error> {
        let url = redacted_url(source);
        let source = match source.kind() {
            SourceKind::Path => return Ok(None),
            SourceKind::Git(_) => ForeignSource::Git { url },
            _ => ForeignSource::Registry { url },
        };
        PackageName::new(package.name.as_str()).map_err(|source| self.invalid_package(package, source))?;
        package.version.parse::<Version>().map_err(|source| self.invalid_package(package, source))?;
        Ok(Some(ForeignPackage { name: package.name.clone(), version: package.version.clone(), source, unused_patch }))
    }

    fn invalid_package(
        &self,
        package: &TomlLockfileDependency,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Error {
        let short = |text: &str| text.chars().take(80).collect();
        Error::InvalidPackage {
            path: self.path.to_owned(),
            name: short(&package.name),
            version: short(&package.version),
            source: source.into(),
        }
    }
}

/// Whether a source, as cargo writes it, is crates.io.
pub fn is_crates_io(source: &TomlLockfileSourceId) -> bool {
    let sparse = crates_index::sparse::URL;
    let text = source.source_str();
    text == CRATES_IO_SOURCE || text == sparse || Some(text.as_str()) == sparse.strip_suffix('/')
}

/// A source's address for display: without user, password, the locked commit and cargo's prefix for its kind.
pub fn redacted_url(source: &TomlLockfileSourceId) -> String {
    let mut url = source.url().clone();
    // An address that cannot contain credentials returns an error here, which is fine.
    let _none_to_drop = (url.set_username("").is_err(), url.set_password(None).is_err());
    url.set_fragment(None);
    url.as_str().trim_start_matches("sparse+").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SUM: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn parsed(text: &str) -> Result<Lockfile, Error> {
        Lockfile::parse(text, Path::new("Cargo.lock"))
    }

    fn package(name: &str, version: &str, rest: &str) -> String {
        format!("[[package]]\nname = \"{name}\"\nversion = \"{version}\"\n{rest}\n")
    }

    fn crates_io(name: &str, version: &str) -> String {
        package(name, version, &format!("source = \"{CRATES_IO_SOURCE}\"\nchecksum = \"{SUM}\""))
    }

    #[test]
    fn formats_newer_than_4_are_refused() {
        for version in ["", "version = 3\n", "version = 4\n"] {
            let lock = parsed(&format!("{version}{}", crates_io("a", "1.0.0+b"))).expect(version);
            let packages: Vec<String> = lock.packages.iter().map(|(id, checksum)| format!("{id} {checksum}")).collect();
            assert_eq!(packages, [format!("a 1.0.0+b {SUM}")]);
        }
        for (text, found) in [("version = 5\npackage = 1\n", 5), ("version = 99999999999999999999\n", i64::MAX)] {
            match parsed(text) {
                Err(Error::NewerFormat { found: reported, .. }) => assert_eq!(reported, found),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_manifest_is_refused() {
        for text in ["[package]\nname = \"a\"\n", "[workspace]\nmembers = [\"a\"]\n", "[lib]\n"] {
            let error = parsed(text).expect_err(text);
            assert_eq!(error.to_string(), "`Cargo.lock` is a manifest, not a Cargo.lock");
        }
    }

    #[test]
    fn a_depends_toml_is_refused() {
        for text in ["[dependencies]\na = \"1\"\n", "[locked]\na = \"1.0.0\"\n", "[platforms]\n"] {
            let error = parsed(text).expect_err(text);
            assert_eq!(error.to_string(), "`Cargo.lock` is a depends.toml, not a Cargo.lock");
        }
    }

    #[test]
    fn format_1_checksums_are_read_from_metadata() {
        let one = package("a", "1.0.0", &format!("source = \"{CRATES_IO_SOURCE}\"\ndependencies = [\"b 0.1.0\"]"));
        let own = package("b", "0.1.0", "");
        let root = "[root]\nname = \"app\"\nversion = \"0.1.0\"\n";
        let metadata =
            |sum: &str| format!("{root}{one}{own}[metadata]\n\"checksum a 1.0.0 ({CRATES_IO_SOURCE})\" = \"{sum}\"\n");
        let lock = parsed(&metadata(SUM)).expect("valid");
        assert_eq!(lock.packages.len(), 1);
        assert!(lock.foreign.is_empty());
        assert!(matches!(parsed(&metadata("<none>")), Err(Error::MissingChecksum { .. })));
    }

    #[test]
    fn only_crates_io_addresses_count_as_crates_io() {
        let sparse = crates_index::sparse::URL;
        let with = |source: &str| package("a", "1.0.0", &format!("source = \"{source}\"\nchecksum = \"{SUM}\""));
        for source in [CRATES_IO_SOURCE, sparse, sparse.trim_end_matches('/')] {
            let lock = parsed(&with(source)).expect("valid");
            assert_eq!((lock.packages.len(), lock.foreign.len()), (1, 0), "{source}");
        }
        for (source, shown) in [
            (
                "registry+https://github.com/rust-lang/crates.io-index.evil",
                "registry: https://github.com/rust-lang/crates.io-index.evil",
            ),
            ("registry+https://github.com/corp/crates.io-index", "registry: https://github.com/corp/crates.io-index"),
            ("sparse+https://user:secret@corp.example/index/", "registry: https://corp.example/index/"),
            ("git+https://user:secret@example.org/a?branch=main#0123", "git: https://example.org/a?branch=main"),
            ("git+ssh://git@example.org/a#0123", "git: ssh://example.org/a"),
        ] {
            let lock = parsed(&with(source)).expect("valid");
            assert_eq!((lock.packages.len(), lock.foreign.len()), (0, 1), "{source}");
            assert_eq!(lock.foreign[0].source.to_string(), shown);
        }
    }

    #[test]
    fn duplicates_are_merged_and_conflicting_checksums_refused() {
        let other = crates_io("a", "1.0.0").replace("0123", "4567");
        let lock =
            parsed(&format!("{}{}{}", crates_io("b", "1.0.0"), crates_io("a", "1.0.0"), crates_io("a", "1.0.0")))
                .expect("valid");
        assert_eq!(lock.packages.keys().map(ToString::to_string).collect::<Vec<_>>(), ["a 1.0.0", "b 1.0.0"]);
        let error = parsed(&format!("{}{other}", crates_io("a", "1.0.0"))).expect_err("two checksums");
        assert_eq!(error.to_string(), "`Cargo.lock` has two different checksums for a 1.0.0");
    }

    #[test]
    fn invalid_packages_are_refused_by_name() {
        for (text, reported) in [
            (crates_io("../a", "1.0.0"), "`Cargo.lock` has an invalid package name or version: ../a 1.0.0"),
            (crates_io("a", "1/../../x"), "`Cargo.lock` has an invalid package name or version: a 1/../../x"),
            (
                crates_io("a\\u001b[31m", "1.0.0"),
                "`Cargo.lock` has an invalid package name or version: a\\u{1b}[31m 1.0.0",
            ),
            (
                package("a b", "1.0.0", "source = \"git+https://example.org/a#1\""),
                "`Cargo.lock` has an invalid package name or version: a b 1.0.0",
            ),
            (
                package("a", "one", "source = \"git+https://example.org/a#1\""),
                "`Cargo.lock` has an invalid package name or version: a one",
            ),
            (
                package("a", "1.0.0", &format!("source = \"{CRATES_IO_SOURCE}\"")),
                "`Cargo.lock` has no checksum for a 1.0.0",
            ),
            (crates_io("a", "1.0.0").replace(SUM, "12"), "`Cargo.lock` has an invalid checksum for a 1.0.0"),
            ("version = 4\n\n<<<<<<< HEAD\n".to_owned(), " --> Cargo.lock:3:"),
            (
                package("a", "1.0.0", "source = \"ftp+x\""),
                " --> Cargo.lock:4:10\n  |\n4 | source = \"ftp+x\"\n  |          ^^^^^^^",
            ),
            ("package = 1".to_owned(), " --> Cargo.lock:1:11\n  |\n1 | package = 1\n  |           ^"),
        ] {
            let error = parsed(&text).expect_err(&text).to_string();
            assert!(error.contains(reported), "{error}");
        }
    }

    #[test]
    fn unused_patches_and_replaced_packages_are_unbuilt() {
        let patch =
            |name: &str, source: &str| package(name, "1.0.0", source).replace("[[package]]", "[[patch.unused]]");
        let registry = format!("source = \"{CRATES_IO_SOURCE}\"");
        let git = "source = \"git+https://example.org/g#0123\"";
        let corp = "source = \"sparse+https://corp.example/index/\"";
        let replaced = crates_io("replaced", "1.0.0").replace("checksum", "replace = \"replaced 1.0.0\"\nchecksum");
        let old = package("old", "1.0.0", &format!("{registry}\nreplace = \"old 1.0.0\""));
        let used = crates_io("used", "1.0.0");
        let patches = [("path", ""), ("used", &registry), ("unused", &registry), ("g", git), ("c", corp)];
        let patches: String = patches.iter().map(|(name, source)| patch(name, source)).collect();
        let lock = parsed(&format!("version = 4\n{replaced}{old}{used}{patches}")).expect("valid");
        let lines: Vec<String> =
            lock.unbuilt.iter().map(|(id, checksum)| format!("{id} {}", checksum.is_some())).collect();
        assert_eq!(lines, ["old 1.0.0 false", "replaced 1.0.0 true", "unused 1.0.0 false"]);
        assert_eq!(lock.packages.len(), 1);
        let foreign: Vec<String> = lock.foreign.iter().map(ToString::to_string).collect();
        let note = "an unused patch that cargo loads nevertheless";
        assert_eq!(
            foreign,
            [
                format!("c 1.0.0 (registry: https://corp.example/index/, {note})"),
                format!("g 1.0.0 (git: https://example.org/g, {note})")
            ]
        );
    }

    #[test]
    fn this_crates_own_lock_is_read() {
        let lock = Lockfile::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock")).expect("valid");
        assert!(lock.packages.keys().any(|id| id.name.as_str() == "semver"));
        assert!(!lock.packages.keys().any(|id| id.name.as_str() == "cargo-frostmirror"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,200}", name in "\\PC{0,20}", source in "\\PC{0,40}") {
            let _outcome = parsed(&text);
            let quoted = |text: &str| toml::Value::from(text).to_string();
            let entry = format!("[[package]]\nname = {0}\nversion = {0}\nsource = {1}\n", quoted(&name), quoted(&source));
            let _outcome = parsed(&entry);
        }
    }

    #[test]
    fn a_listed_foreign_package_is_read_back() {
        let git = ForeignSource::Git { url: "https://h/a?rev=b".to_owned() };
        let registry = ForeignSource::Registry { url: "sparse+https://h/i/".to_owned() };
        for (version, source, unused_patch) in
            [("1.0.0", git.clone(), true), (">=1, <2", git, false), ("7", registry, false)]
        {
            let package = ForeignPackage { name: "a-b".to_owned(), version: version.to_owned(), source, unused_patch };
            assert_eq!(ForeignPackage::parse_line(&package.to_string()), Some(package));
        }
        let long = format!("a {} (git: h)", "1".repeat(300));
        for other in
            ["", "a", "a 1", "a 1 (git)", "a 1 (svn: h)", "../a 1 (git: h)", "a \u{1b}1 (git: h)", " 1 (git: h)", &long]
        {
            assert_eq!(ForeignPackage::parse_line(other), None, "{other:?}");
        }
    }
}
