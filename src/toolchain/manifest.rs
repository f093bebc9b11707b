//! Channel manifests of version 2: the components of a release, for every host and target.
//!
//! A manifest is hostile input: its size is limited, and only the used keys are read. Its bytes are mirrored unchanged,
//! so this module never writes one. Unknown keys and tables are ignored, as rustup does.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::digest::Sha256;
use crate::safe_path::SafePath;
use crate::units::pluralize;

use super::component_file::{ComponentFileError, parse_component_file, shortened};
use super::name::{Channel, Date, InvalidDate, ToolchainName};

/// Maximum size of a manifest in bytes; a real one has about a million.
pub const MAX_MANIFEST_SIZE: usize = 4 << 20;

/// Maximum number of tables, keys and list items, counted as the bytes `[`, `=` and `,`; a real manifest has about
/// 30,000. Each value uses memory, even a short one.
const MAX_VALUES: usize = 80_000;

/// Maximum length of a chain of renames. Upstream has one step; rustup follows one.
const MAX_RENAMES: usize = 8;

/// A channel manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelManifest {
    date: Date,
    packages: BTreeMap<String, Package>,
    renames: BTreeMap<String, String>,
    profiles: BTreeMap<String, Vec<String>>,
}

/// `[pkg.P]`: one package, for all its targets.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Package {
    /// The version as its tool prints it: `1.95.0 (59807616e 2026-04-14)`.
    #[serde(default)]
    pub version: String,
    /// By target; `*` means every target.
    #[serde(default, rename = "target")]
    pub targets: BTreeMap<String, Build>,
}

/// `[pkg.P.target.T]`: one package, built for one target. URLs and digests are unchecked; see [`Build::file`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Build {
    /// Whether upstream could build it.
    pub available: bool,
    /// The URL of the gzip archive.
    pub url: Option<String>,
    /// Its SHA-256.
    pub hash: Option<String>,
    /// The URL of the xz archive.
    pub xz_url: Option<String>,
    /// Its SHA-256.
    pub xz_hash: Option<String>,
    /// The URL of the zstd archive. No manifest of upstream has one yet; rustup prefers it.
    pub zst_url: Option<String>,
    /// Its SHA-256.
    pub zst_hash: Option<String>,
    /// Of `pkg.rust`: the components of an installation.
    #[serde(default)]
    pub components: Vec<ListedComponent>,
    /// Of `pkg.rust`: the components that can be added.
    #[serde(default)]
    pub extensions: Vec<ListedComponent>,
}

/// A component in the list of `pkg.rust.target.HOST`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ListedComponent {
    /// The package.
    pub pkg: String,
    /// Its target, or `*`.
    pub target: String,
}

/// Why bytes are not a channel manifest.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ManifestError {
    /// It is larger than any real manifest.
    #[error("it has {}; the limit for a channel manifest is {MAX_MANIFEST_SIZE}", pluralize(*size, "byte"))]
    TooLarge {
        /// Its size in bytes.
        size: usize,
    },
    /// It has more values than any real manifest.
    #[error("it has {count} tables, keys and items; the limit for a channel manifest is {MAX_VALUES}")]
    TooManyValues {
        /// Their number.
        count: usize,
    },
    /// Not UTF-8.
    #[error("it is not UTF-8 text")]
    NotUtf8,
    /// It is not TOML, or lacks the keys of a manifest.
    #[error("line {line}: {message}")]
    Toml {
        /// The line number, from 1.
        line: usize,
        /// The message of the parser.
        message: String,
    },
    /// A `manifest-version` that is not 2.
    #[error("it has the manifest version `{}`; only `2` is supported", .0.escape_debug())]
    UnsupportedVersion(String),
    /// `date` is invalid.
    #[error("its date is invalid")]
    InvalidDate(#[source] InvalidDate),
    /// `[renames]` contains a cycle or a chain that is too long.
    #[error("its renames of `{}` form a loop", .0.escape_debug())]
    EndlessRenames(String),
}

#[derive(Deserialize)]
struct RawManifest {
    #[serde(rename = "manifest-version")]
    version: String,
    date: String,
    pkg: BTreeMap<String, Package>,
    #[serde(default)]
    renames: BTreeMap<String, Rename>,
    #[serde(default)]
    profiles: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
struct Rename {
    to: String,
}

impl ChannelManifest {
    /// Parses a manifest. The file entries of its packages are checked when one is requested.
    pub fn parse(bytes: &[u8]) -> Result<ChannelManifest, ManifestError> {
        if bytes.len() > MAX_MANIFEST_SIZE {
            return Err(ManifestError::TooLarge { size: bytes.len() });
        }
        let count = bytes.iter().filter(|byte| matches!(byte, b'[' | b'=' | b',')).count();
        if count > MAX_VALUES {
            return Err(ManifestError::TooManyValues { count });
        }
        let text = str::from_utf8(bytes).map_err(|_| ManifestError::NotUtf8)?;
        let raw: RawManifest = match toml::from_str(text) {
            Ok(raw) => raw,
            // Another version has other keys, and the error must report the version.
            Err(error) => return Err(unsupported_version(text).unwrap_or_else(|| toml_error(text, &error))),
        };
        if raw.version != "2" {
            return Err(ManifestError::UnsupportedVersion(shortened(&raw.version)));
        }
        let date = raw.date.parse().map_err(ManifestError::InvalidDate)?;
        let renames = raw.renames.into_iter().map(|(from, rename)| (from, rename.to)).collect();
        let manifest = ChannelManifest { date, packages: raw.pkg, renames, profiles: raw.profiles };
        match manifest.renames.keys().find(|name| manifest.follow_renames(name).is_none()) {
            Some(name) => Err(ManifestError::EndlessRenames(shortened(name))),
            None => Ok(manifest),
        }
    }

    /// The date of the release, which is the name of its folder.
    pub fn date(&self) -> Date {
        self.date
    }

    /// The packages by name.
    pub fn packages(&self) -> &BTreeMap<String, Package> {
        &self.packages
    }

    /// The profiles by name; empty in manifests from before profiles.
    pub fn profiles(&self) -> &BTreeMap<String, Vec<String>> {
        &self.profiles
    }

    /// `[renames]`: from the name that a user writes to the package's name.
    pub fn renames(&self) -> &BTreeMap<String, String> {
        &self.renames
    }

    /// The release's version: `1.95.0`, `1.97.0-nightly`, `1.96.0-beta.3`. `None` if the manifest lacks `rust`.
    pub fn release_version(&self) -> Option<&str> {
        self.packages.get("rust")?.version.split_whitespace().next()
    }

    /// The package of `name`: the name itself, if there is no rename.
    pub fn resolve_rename<'m>(&'m self, name: &'m str) -> &'m str {
        self.follow_renames(name).unwrap_or(name)
    }

    fn follow_renames<'m>(&'m self, name: &'m str) -> Option<&'m str> {
        let mut name = name;
        for _ in 0..=MAX_RENAMES {
            match self.renames.get(name) {
                Some(to) => name = to,
                None => return Some(name),
            }
        }
        None
    }

    /// Other paths at which upstream may have this manifest of `toolchain`, and at which rustup requests it under
    /// another name: the release's own names and the channel's dated folder. `toolchain`'s own path is excluded. They
    /// are candidates: only upstream shows which of them have the same digest.
    ///
    /// (rust: src/tools/build-manifest/src/main.rs writes `X.Y.Z` and `X.Y` for stable, `X.Y.Z-beta.N` and
    /// `X.Y.Z-beta` for beta.)
    pub fn alias_paths(&self, toolchain: &ToolchainName) -> Vec<SafePath> {
        let channel = toolchain.channel();
        let mut names = Vec::new();
        // The manifest's text must parse as a toolchain name before it becomes a path.
        let release = self.release_version().and_then(|release| release.parse::<ToolchainName>().ok());
        if let Some(release) = release.filter(|release| channel != Channel::Nightly && release.channel() == channel) {
            let shorter = release.less_specific();
            names.extend([Some(release), shorter].into_iter().flatten());
        }
        names.push(ToolchainName::dated(channel, self.date));
        let own = toolchain.manifest_path();
        names.iter().map(ToolchainName::manifest_path).filter(|path| *path != own).collect()
    }

    /// Every file of the manifest that has a digest, in any format, by its path. Invalid entries are skipped.
    pub fn files(&self) -> BTreeMap<SafePath, Sha256> {
        let builds = self.packages.values().flat_map(|package| package.targets.values());
        let pairs = builds.filter(|build| build.available).flat_map(|build| {
            [(&build.xz_url, &build.xz_hash), (&build.url, &build.hash), (&build.zst_url, &build.zst_hash)]
        });
        pairs.filter_map(|(url, hash)| parse_component_file(url.as_deref()?, hash.as_deref()?).ok()).collect()
    }
}

impl Package {
    /// The build for `target`, or for every target.
    pub fn build(&self, target: &str) -> Option<&Build> {
        self.targets.get("*").or_else(|| self.targets.get(target))
    }
}

impl Build {
    /// The file that rustup downloads, and its digest: the xz archive if its URL and digest exist, otherwise the gzip
    /// archive.
    pub fn file(&self) -> Result<(SafePath, Sha256), ComponentFileError> {
        let pair = self.xz_url.as_ref().zip(self.xz_hash.as_ref()).or(self.url.as_ref().zip(self.hash.as_ref()));
        let (url, hash) = pair.ok_or(ComponentFileError::Missing)?;
        parse_component_file(url, hash)
    }

    /// Components and extensions.
    pub fn components_and_extensions(&self) -> impl Iterator<Item = &ListedComponent> {
        self.components.iter().chain(&self.extensions)
    }
}

fn unsupported_version(text: &str) -> Option<ManifestError> {
    #[derive(Deserialize)]
    struct VersionOnly {
        #[serde(rename = "manifest-version")]
        version: String,
    }
    let head: VersionOnly = toml::from_str(text).ok()?;
    (head.version != "2").then(|| ManifestError::UnsupportedVersion(shortened(&head.version)))
}

fn toml_error(text: &str, error: &toml::de::Error) -> ManifestError {
    let start = error.span().map_or(0, |span| span.start);
    let line = text.bytes().take(start).filter(|byte| *byte == b'\n').count() + 1;
    ManifestError::Toml { line, message: shortened(error.message()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A manifest with keys that upstream has and this module does not read.
    const SMALL: &str = r#"
manifest-version = "2"
date = "2026-04-16"
[artifacts.installer-msi.target.x86_64-pc-windows-msvc]
0 = { url = "https://static.rust-lang.org/dist/2026-04-16/rust.msi", hash-sha256 = "x" }
[pkg.rust]
version = "1.96.0-beta.3 (59807616e 2026-04-14)"
git_commit_hash = "59807616e1fa2540724bfbac14d7976d7e4a3860"
[pkg.rust.target.a-b-c]
available = true
url = "https://static.rust-lang.org/dist/2026-04-16/rust-a-b-c.tar.gz"
hash = "0421d71bd676f0d38e318bf3eb7cd1a9ca33cf5ccf70f49644950a91fa046de7"
zst_url = "https://static.rust-lang.org/dist/2026-04-16/rust-a-b-c.tar.zst"
components = [{ pkg = "rustc", target = "a-b-c" }]
[renames]
clippy = { to = "clippy-preview" }
[profiles]
minimal = ["rustc"]
"#;

    fn parse(text: &str) -> Result<ChannelManifest, ManifestError> {
        ChannelManifest::parse(text.as_bytes())
    }

    #[test]
    fn unknown_keys_are_ignored() {
        let manifest = parse(SMALL).expect("a manifest");
        assert_eq!(manifest.release_version(), Some("1.96.0-beta.3"));
        assert_eq!((manifest.resolve_rename("clippy"), manifest.resolve_rename("rustc")), ("clippy-preview", "rustc"));
        let build = manifest.packages()["rust"].build("a-b-c").expect("it is there");
        assert_eq!(build.components_and_extensions().next().map(|listed| listed.pkg.as_str()), Some("rustc"));
        assert_eq!(build.file().map(|(path, _)| path.to_string()), Ok("dist/2026-04-16/rust-a-b-c.tar.gz".to_owned()));
        assert_eq!(manifest.files().len(), 1);
    }

    #[test]
    fn aliases_of_a_beta_are_its_versions_and_its_dated_path() {
        let manifest = parse(SMALL).expect("a manifest");
        let aliases = |name: &str| {
            let paths = manifest.alias_paths(&name.parse().expect("a name"));
            paths.into_iter().map(String::from).collect::<Vec<_>>()
        };
        let (numbered, plain) = ("dist/channel-rust-1.96.0-beta.3.toml", "dist/channel-rust-1.96.0-beta.toml");
        let dated = "dist/2026-04-16/channel-rust-beta.toml";
        assert_eq!(aliases("beta"), [numbered, plain, dated]);
        assert_eq!(aliases("1.96.0-beta"), [numbered, dated]);
        assert_eq!(aliases("1.96.0-beta.3"), [plain, dated]);
        // A beta under the name of a stable release lacks the names of a stable release.
        assert_eq!(aliases("stable"), ["dist/2026-04-16/channel-rust-stable.toml"]);
    }

    #[test]
    fn a_version_with_path_components_gives_no_alias() {
        let manifest = parse(&SMALL.replace("1.96.0-beta.3 (", "1.96.0/../../x (")).expect("a manifest");
        let aliases = manifest.alias_paths(&"stable".parse().expect("a name"));
        assert_eq!(aliases.len(), 1, "{aliases:?}");
    }

    #[test]
    fn damaged_manifests_are_refused() {
        let message = |text: &str| parse(text).expect_err("it is damaged").to_string();
        assert!(message(&SMALL.replace("[pkg.rust]", "[pkg.rust")).starts_with("line 6: "));
        assert!(message(&SMALL.replace("available = true", "available = 1")).starts_with("line 10: "));
        assert!(message(&SMALL.replace("[pkg.rust]", "[[pkg.rust]]")).starts_with("line "));
        assert_eq!(message(""), "line 1: missing field `manifest-version`");
        for version in ["1", "3", ""] {
            let text = format!("manifest-version = \"{version}\"\ndate = \"2016-01-01\"\n");
            assert_eq!(parse(&text), Err(ManifestError::UnsupportedVersion(version.to_owned())));
            let text = SMALL.replace("manifest-version = \"2\"", &format!("manifest-version = \"{version}\""));
            assert_eq!(parse(&text), Err(ManifestError::UnsupportedVersion(version.to_owned())));
        }
        for date in ["2026-04-16/../..", "2026-4-16", "2026-02-30", "", "20260416", "2026-04-16T00:00:00"] {
            let text = SMALL.replace("date = \"2026-04-16\"", &format!("date = \"{date}\""));
            assert!(matches!(parse(&text), Err(ManifestError::InvalidDate(_))), "{date}");
        }
        assert_eq!(ChannelManifest::parse(b"\xff\xfe"), Err(ManifestError::NotUtf8));
        let size = MAX_MANIFEST_SIZE + 1;
        assert_eq!(ChannelManifest::parse(&vec![b'\n'; size]), Err(ManifestError::TooLarge { size }));
        // Deeply nested tables, which would overflow the stack of a recursive parser.
        assert!(parse(&format!("{SMALL}\nx = {}", "[".repeat(100_000))).is_err());
        assert!(parse(&format!("{SMALL}\n[{}]", ["x"; 100_000].join("."))).is_err());
    }

    #[test]
    fn endless_renames_are_refused() {
        let renames = |text: &str| parse(&SMALL.replace("clippy = { to = \"clippy-preview\" }", text));
        let error = renames("a = { to = \"b\" }\nb = { to = \"a\" }");
        assert_eq!(error, Err(ManifestError::EndlessRenames("a".to_owned())));
        assert!(renames("a = { to = \"a\" }").is_err());
        let two = renames("a = { to = \"b\" }\nb = { to = \"c\" }").expect("a manifest");
        assert_eq!(two.resolve_rename("a"), "c");
        let chain: String = (0..20).map(|step| format!("r{step} = {{ to = \"r{}\" }}\n", step + 1)).collect();
        assert!(renames(&chain).is_err());
    }

    #[test]
    fn xz_is_used_only_with_url_and_hash() {
        let manifest = parse(SMALL).expect("a manifest");
        let gzip_only = &manifest.packages()["rust"].targets["a-b-c"];
        assert!(gzip_only.file().is_ok());
        let without = Build { hash: None, ..gzip_only.clone() };
        assert_eq!(without.file(), Err(ComponentFileError::Missing));
        let xz_url = Some("https://static.rust-lang.org/dist/2026-04-16/a.tar.xz".to_owned());
        let half = Build { xz_url: xz_url.clone(), ..gzip_only.clone() };
        assert_eq!(half.file(), gzip_only.file());
        let both = Build { xz_url, xz_hash: gzip_only.hash.clone(), ..gzip_only.clone() };
        assert_eq!(both.file().map(|(path, _)| path.to_string()), Ok("dist/2026-04-16/a.tar.xz".to_owned()));
    }

    #[test]
    fn a_long_version_is_truncated_in_the_message() {
        let url = "x".repeat(1 << 20);
        let message = parse(&format!("manifest-version = \"{url}\"")).expect_err("no version").to_string();
        assert!(message.len() < 400, "{}", message.len());
    }

    proptest! {
        #[test]
        fn no_text_makes_a_panic(at in 0..SMALL.len(), cut in 0usize..40, junk in "\\PC{0,8}|[\\[\\]\"{}.=\n*0-9]{0,8}") {
            let mut bytes = SMALL.as_bytes().to_vec();
            bytes.splice(at..(at + cut).min(SMALL.len()), junk.bytes());
            if let Ok(manifest) = ChannelManifest::parse(&bytes) {
                let safe = manifest.files().into_keys().chain(manifest.alias_paths(&"beta".parse().expect("a name")));
                for path in safe {
                    prop_assert_eq!(path.components().next(), Some("dist"));
                }
            }
        }
    }
}
