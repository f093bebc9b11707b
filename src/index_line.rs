//! Cargo's index lines, and an index's `config.json`.
//!
//! A line is stored byte for byte as upstream wrote it, including unknown fields and spacing. Only the fields that this tool
//! needs are parsed. Source of the format: cargo-util-schemas, `index.rs`.

use cargo_util_schemas::index::{IndexPackage, RegistryDependency};
use serde::{Deserialize, Serialize};

use crate::crate_id::{CrateId, CrateName, InvalidCrateId, Version};
use crate::digest::{InvalidDigest, Sha256};

/// The markers that cargo replaces in `dl` (cargo: sources/registry/download.rs).
pub const DL_MARKERS: [&str; 5] = ["{crate}", "{version}", "{prefix}", "{lowerprefix}", "{sha256-checksum}"];

/// The line of one version in an index file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexLine {
    /// The line as upstream wrote it, without its line break.
    pub raw: String,
    /// The crate of this line.
    pub id: CrateId,
    /// The digest of the `.crate` file.
    pub cksum: Sha256,
    /// Whether the version is yanked: cargo only selects it if a lockfile names it.
    pub yanked: bool,
    /// The dependencies, in the line's order.
    pub deps: Vec<IndexDependency>,
}

/// A dependency in an index line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexDependency {
    /// The dependency's own name, not its renamed one.
    pub name: String,
    /// The version requirement as written.
    pub req: String,
    /// Whether the dependency is optional.
    pub optional: bool,
    /// Whether it is a dev-dependency, which other crates never need.
    pub dev: bool,
    /// Whether only some platforms need it.
    pub is_platform_specific: bool,
    /// The index URL of another registry, if the dependency comes from one.
    pub registry: Option<String>,
}

/// An invalid index line.
#[derive(Debug, thiserror::Error)]
pub enum InvalidLine {
    /// Not JSON that cargo can read.
    #[error("an index line is not what cargo reads")]
    Json(#[source] serde_json::Error),
    /// Name or version is invalid.
    #[error(transparent)]
    Id(#[from] InvalidCrateId),
    /// The checksum is not a SHA-256.
    #[error("the index line of {id} has an invalid `cksum`")]
    Cksum {
        /// The crate of the line.
        id: CrateId,
        /// The problem.
        source: InvalidDigest,
    },
    /// The checksum has uppercase digits.
    #[error("the `cksum` in the index line of {id} has uppercase digits, which cargo never finds equal to a file's")]
    UppercaseCksum {
        /// The crate of the line.
        id: CrateId,
    },
    /// The line contains a line break or a NUL, which an index file cannot store.
    #[error("an index line has a line break or a NUL inside")]
    ControlCharacter,
}

impl IndexLine {
    /// Parses one line; `raw` has no line break.
    pub fn parse(raw: &str) -> Result<IndexLine, InvalidLine> {
        if raw.contains(['\n', '\r', '\0']) {
            return Err(InvalidLine::ControlCharacter);
        }
        let package: IndexPackage<'_> = serde_json::from_str(raw).map_err(InvalidLine::Json)?;
        let id = CrateId::parse(&package.name, &package.vers.to_string())?;
        let cksum = match package.cksum.parse() {
            // Cargo compares it as text with the lower-case digest of the downloaded file (registry/download.rs).
            Ok(_) if package.cksum.bytes().any(|b| b.is_ascii_uppercase()) => {
                return Err(InvalidLine::UppercaseCksum { id });
            }
            Ok(cksum) => cksum,
            Err(source) => return Err(InvalidLine::Cksum { id, source }),
        };
        let deps = package
            .deps
            .iter()
            .map(|dep| IndexDependency {
                name: dep.package.as_ref().unwrap_or(&dep.name).to_string(),
                req: dep.req.to_string(),
                optional: dep.optional,
                dev: dep.kind.as_deref() == Some("dev"),
                is_platform_specific: dep.target.is_some(),
                registry: dep.registry.as_ref().map(ToString::to_string),
            })
            .collect();
        Ok(IndexLine { raw: raw.to_owned(), id, cksum, yanked: package.yanked.unwrap_or(false), deps })
    }

    /// Whether two lines of one version can both be genuine, at different times: they have the same digest and the same
    /// dependencies. Upstream only changes other fields (`yanked`), spacing, and the order of dependencies and features.
    pub fn is_consistent_with(&self, other: &IndexLine) -> bool {
        self.cksum == other.cksum && (self.raw == other.raw || self.normalized_deps() == other.normalized_deps())
    }

    /// The line with `yanked` set, so that cargo selects its version only if a Cargo.lock names it. An unset one gets another
    /// order of fields.
    pub fn with_yanked(&self) -> Option<IndexLine> {
        if self.yanked {
            return Some(self.clone());
        }
        let mut fields: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&self.raw).ok()?;
        fields.insert("yanked".to_owned(), true.into());
        IndexLine::parse(&serde_json::to_string(&fields).ok()?).ok()
    }

    /// The dependencies in a canonical form.
    pub fn normalized_deps(&self) -> Vec<String> {
        let package: IndexPackage<'_> = match serde_json::from_str(&self.raw) {
            Ok(package) => package,
            Err(_) => return Vec::new(),
        };
        let normal = |dep: &RegistryDependency<'_>| {
            let mut dep = dep.clone();
            dep.features.sort();
            serde_json::to_string(&dep).unwrap_or_default()
        };
        let mut all: Vec<String> = package.deps.iter().map(normal).collect();
        all.sort();
        all
    }

    /// The valid lines of an index file, in its order. Like cargo, it skips invalid lines (registry/index/mod.rs: blank
    /// lines, CRLF and garbage are tolerated).
    pub fn parse_file(text: &str) -> impl DoubleEndedIterator<Item = IndexLine> {
        text.lines().filter_map(|line| IndexLine::parse(line).ok())
    }

    /// The line of `version` in `text`, without parsing the others completely.
    ///
    /// `None` if no line that cargo could read has this version.
    pub fn find_version(text: &str, name: &CrateName, version: &Version) -> Option<IndexLine> {
        #[derive(Deserialize)]
        struct VersionOnly {
            vers: Version,
        }
        let needle = version.to_string();
        text.lines()
            .filter(|line| line.contains(&needle))
            .filter(|line| serde_json::from_str::<VersionOnly>(line).is_ok_and(|head| head.vers == *version))
            .filter_map(|line| IndexLine::parse(line).ok())
            .find(|line| line.id.name == *name)
    }
}

/// A sparse index's `config.json`. Unknown keys are ignored, as cargo does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryConfig {
    /// The download URL: absolute, with or without markers.
    pub dl: String,
    /// The URL of the registry API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<String>,
    /// Whether every request needs the registry's token.
    #[serde(default, rename = "auth-required", skip_serializing_if = "std::ops::Not::not")]
    pub auth_required: bool,
}

impl RegistryConfig {
    /// The configuration of a mirror with the base URL `base` (no trailing slash). It is the same for `serve` and for static
    /// servers, so that a client's cache stays valid when the server changes. `dl` must be absolute (cargo:
    /// sources/registry/download.rs).
    pub fn for_mirror(base: &str) -> RegistryConfig {
        let dl = format!("{base}/crates/{{crate}}-{{version}}.crate");
        RegistryConfig { dl, api: Some(base.to_owned()), auth_required: false }
    }

    /// The text of the file.
    pub fn render(&self) -> String {
        serde_json::to_string(self).expect("texts are always JSON") + "\n"
    }

    /// The URL of a crate's file: the [`DL_MARKERS`] are replaced; a `dl` without markers gets the suffix
    /// `/{crate}/{version}/download` (cargo: sources/registry/download.rs).
    pub fn download_url(&self, id: &CrateId, cksum: &Sha256) -> String {
        if !DL_MARKERS.iter().any(|marker| self.dl.contains(marker)) {
            return format!("{}/{}/{}/download", self.dl, id.name, id.version);
        }
        let prefix = id.name.prefix();
        self.dl
            .replace("{crate}", id.name.as_str())
            .replace("{version}", &id.version.to_string())
            .replace("{prefix}", &prefix)
            .replace("{lowerprefix}", &prefix.to_lowercase())
            .replace("{sha256-checksum}", &cksum.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CKSUM: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn line(vers: &str, extra: &str) -> String {
        format!(r#"{{"name":"Foo-Bar","vers":"{vers}","deps":[],"cksum":"{CKSUM}","features":{{}}{extra}}}"#)
    }

    #[test]
    fn a_line_is_marked_as_yanked_without_another_change() {
        let raw = format!(
            r#"{{"name":"a","vers":"1.0.0","deps":[],"cksum":"{}","features":{{"x":[]}},"yanked":false,"v":2}}"#,
            Sha256::of(b"")
        );
        let line = IndexLine::parse(&raw).expect("a line");
        let marked = line.with_yanked().expect("marked");
        assert!(marked.yanked && marked.is_consistent_with(&line) && marked.id == line.id);
        let fields = |raw: &str| serde_json::from_str::<serde_json::Value>(raw).expect("JSON");
        let mut expected = fields(&raw);
        expected["yanked"] = true.into();
        assert_eq!(fields(&marked.raw), expected);
        assert_eq!(marked.with_yanked(), Some(marked));
    }

    #[test]
    fn a_line_is_kept_verbatim() {
        let raw = line("1.0.0", r#", "yanked" : true,"novel":[1, 2]"#);
        let parsed = IndexLine::parse(&raw).expect("valid");
        assert_eq!(parsed.raw, raw);
        assert!(parsed.yanked);
        assert_eq!(parsed.id.to_string(), "Foo-Bar 1.0.0");
    }

    #[test]
    fn a_renamed_dependency_is_listed_by_its_package_name() {
        let raw = format!(
            r#"{{"name":"a","vers":"1.0.0","deps":[{{"name":"x","package":"y","req":"^1","features":[],"optional":true,"default_features":true,"target":null,"kind":"dev"}}],"cksum":"{CKSUM}"}}"#
        );
        let parsed = IndexLine::parse(&raw).expect("valid");
        let expected = IndexDependency {
            name: "y".to_owned(),
            req: "^1".to_owned(),
            optional: true,
            dev: true,
            is_platform_specific: false,
            registry: None,
        };
        assert_eq!(parsed.deps, [expected]);
    }

    #[test]
    fn find_version_ignores_similar_versions() {
        let text = format!("{}\n\ngarbage\n{}\n{}\n", line("1.0.0", ""), line("1.0.0+b.1", ""), line("11.0.0", ""));
        let name = "Foo-Bar".parse().expect("valid");
        for version in ["1.0.0", "1.0.0+b.1", "11.0.0"] {
            let found = IndexLine::find_version(&text, &name, &version.parse().expect("valid")).expect(version);
            assert_eq!(found.id.version.to_string(), version);
        }
        assert_eq!(IndexLine::find_version(&text, &name, &"1.0".parse().unwrap_or(Version::new(9, 9, 9))), None);
        assert_eq!(IndexLine::parse_file(&text).count(), 3);
    }

    #[test]
    fn every_dl_marker_is_replaced() {
        let id = CrateId::parse("Foo-Bar", "1.0.0+b").expect("valid");
        let cksum = CKSUM.parse().expect("valid");
        let url =
            |dl: &str| RegistryConfig { dl: dl.to_owned(), api: None, auth_required: false }.download_url(&id, &cksum);
        assert_eq!(url("http://h/dl"), "http://h/dl/Foo-Bar/1.0.0+b/download");
        assert_eq!(url("http://h/{crate}-{version}.crate"), "http://h/Foo-Bar-1.0.0+b.crate");
        assert_eq!(url("http://h/{prefix}/{lowerprefix}/{sha256-checksum}"), format!("http://h/Fo/o-/fo/o-/{CKSUM}"));
    }

    #[test]
    fn invalid_lines_are_refused() {
        for raw in ["", "{}", "null", "[]", &line("1.0", ""), &line("1.0.0", "").replace(CKSUM, "00"), "{\"a\":1}\n{}"]
        {
            assert!(IndexLine::parse(raw).is_err(), "{raw}");
        }
        assert!(IndexLine::parse(&line("1.0.0", "").replace("Foo-Bar", "../x")).is_err());
    }
}
