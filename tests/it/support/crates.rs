//! Made-up crates: a `.crate` file that cargo accepts and the index line that belongs to it.
//!
//! ```ignore
//! Crate::new("tool", "1.0.0").dep("json", "^1").optional().feature("fast", &["dep:json"]).bin("fn main() {}")
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;
use sha2::{Digest, Sha256};

/// One version of a made-up crate. The words that describe a dependency speak of the newest one.
#[derive(Clone, Debug)]
pub struct Crate {
    pub name: String,
    pub version: String,
    deps: Vec<Dep>,
    features: BTreeMap<String, Vec<String>>,
    yanked: bool,
    links: Option<String>,
    rust_version: Option<String>,
    pubtime: Option<String>,
    package_keys: Vec<(String, String)>,
    proc_macro: bool,
    files: BTreeMap<String, Vec<u8>>,
    cksum: Option<String>,
    line: Option<String>,
}

/// One dependency, as the index line has it.
#[derive(Clone, Debug, Serialize)]
struct Dep {
    name: String,
    req: String,
    features: Vec<String>,
    optional: bool,
    default_features: bool,
    target: Option<String>,
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    registry: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    package: Option<String>,
}

/// The keys in the order in which crates.io writes them.
#[derive(Serialize)]
struct IndexLineFields<'a> {
    name: &'a str,
    vers: &'a str,
    deps: &'a [Dep],
    cksum: &'a str,
    features: BTreeMap<&'a str, &'a [String]>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    features2: BTreeMap<&'a str, &'a [String]>,
    yanked: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    links: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rust_version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pubtime: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    v: Option<u32>,
}

/// A crate as a registry holds it.
#[derive(Clone, Debug)]
pub struct PackedCrate {
    pub name: String,
    pub version: String,
    /// The `.crate` file.
    pub bytes: Vec<u8>,
    /// What the index says the file's SHA-256 is.
    pub cksum: String,
    /// The index line, without a line break.
    pub line: String,
}

impl Crate {
    /// A library with one constant, `VERSION`.
    pub fn new(name: &str, version: &str) -> Crate {
        Crate {
            name: name.to_owned(),
            version: version.to_owned(),
            deps: Vec::new(),
            features: BTreeMap::new(),
            yanked: false,
            links: None,
            rust_version: None,
            pubtime: None,
            package_keys: Vec::new(),
            proc_macro: false,
            files: BTreeMap::new(),
            cksum: None,
            line: None,
        }
    }

    /// Adds a dependency.
    pub fn dep(mut self, name: &str, req: &str) -> Crate {
        self.deps.push(Dep {
            name: name.to_owned(),
            req: req.to_owned(),
            features: Vec::new(),
            optional: false,
            default_features: true,
            target: None,
            kind: "normal".to_owned(),
            registry: None,
            package: None,
        });
        self
    }

    fn last_dep(&mut self) -> &mut Dep {
        self.deps.last_mut().expect("a word about a dependency comes after `dep`")
    }

    /// The newest dependency is there only when a feature asks for it.
    pub fn optional(mut self) -> Crate {
        self.last_dep().optional = true;
        self
    }

    /// The newest dependency is for this platform alone: a triple or `cfg(…)`.
    pub fn target(mut self, target: &str) -> Crate {
        self.last_dep().target = Some(target.to_owned());
        self
    }

    /// The newest dependency's kind: `normal`, `build` or `dev`.
    pub fn kind(mut self, kind: &str) -> Crate {
        assert!(["normal", "build", "dev"].contains(&kind), "no such kind: {kind}");
        self.last_dep().kind = kind.to_owned();
        self
    }

    /// Features asked of the newest dependency.
    pub fn with_features(mut self, features: &[&str]) -> Crate {
        self.last_dep().features = to_strings(features);
        self
    }

    /// The newest dependency without its default features.
    pub fn no_default_features(mut self) -> Crate {
        self.last_dep().default_features = false;
        self
    }

    /// The crate that the newest dependency really is; `dep` gave it the new name.
    pub fn package(mut self, package: &str) -> Crate {
        self.last_dep().package = Some(package.to_owned());
        self
    }

    /// The newest dependency comes from the registry with this index address.
    pub fn registry(mut self, index: &str) -> Crate {
        self.last_dep().registry = Some(index.to_owned());
        self
    }

    /// A feature of the crate itself. `dep:` and `?/` make the line one of version 2, as on crates.io.
    pub fn feature(mut self, name: &str, enables: &[&str]) -> Crate {
        self.features.insert(name.to_owned(), to_strings(enables));
        self
    }

    /// Marks the version as yanked.
    pub fn yanked(mut self) -> Crate {
        self.yanked = true;
        self
    }

    /// The native library that the crate links.
    pub fn links(mut self, links: &str) -> Crate {
        self.links = Some(links.to_owned());
        self
    }

    /// The oldest compiler that the crate wants.
    pub fn rust_version(mut self, version: &str) -> Crate {
        self.rust_version = Some(version.to_owned());
        self
    }

    /// When the version was published, `YYYY-MM-DDThh:mm:ssZ`.
    pub fn pubtime(mut self, time: &str) -> Crate {
        self.pubtime = Some(time.to_owned());
        self
    }

    /// The crate's licence.
    pub fn license(self, license: &str) -> Crate {
        self.package_key("license", license)
    }

    /// The crate's description.
    pub fn description(self, text: &str) -> Crate {
        self.package_key("description", text)
    }

    /// Where the crate's source is.
    pub fn repository(self, url: &str) -> Crate {
        self.package_key("repository", url)
    }

    fn package_key(mut self, key: &str, value: &str) -> Crate {
        self.package_keys.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Makes it a procedural macro.
    pub fn proc_macro(mut self) -> Crate {
        self.proc_macro = true;
        self
    }

    /// The source of `src/lib.rs`.
    pub fn lib(self, source: &str) -> Crate {
        self.file("src/lib.rs", source)
    }

    /// The source of `src/main.rs`. A crate with it and no `lib` is a program alone.
    pub fn bin(self, source: &str) -> Crate {
        self.file("src/main.rs", source)
    }

    /// The `Cargo.lock` inside the `.crate`.
    pub fn with_lockfile(self, text: &str) -> Crate {
        self.file("Cargo.lock", text)
    }

    /// Any file of the crate; `Cargo.toml` replaces the made one.
    pub fn file(mut self, path: &str, content: impl AsRef<[u8]>) -> Crate {
        self.files.insert(path.to_owned(), content.as_ref().to_vec());
        self
    }

    /// Makes the file this much bigger, with bytes that do not compress; for weights and time-outs.
    pub fn with_extra_bytes(self, bytes: usize) -> Crate {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        })
        .take(bytes)
        .collect();
        self.file("noise.bin", noise)
    }

    /// What the index line says instead of the file's digest.
    pub fn cksum(mut self, hex: &str) -> Crate {
        self.cksum = Some(hex.to_owned());
        self
    }

    /// An index line instead of the made one; `{cksum}` in it stands for the file's digest.
    pub fn line(mut self, line: &str) -> Crate {
        self.line = Some(line.to_owned());
        self
    }

    /// The file and its line.
    pub fn pack(mut self) -> PackedCrate {
        self.deps.iter().for_each(|dep| assert!(!dep.name.is_empty()));
        if !self.files.contains_key("src/lib.rs") && !self.files.contains_key("src/main.rs") {
            let source = "pub const VERSION: &str = env!(\"CARGO_PKG_VERSION\");\n";
            self.files.insert("src/lib.rs".to_owned(), source.into());
        }
        let manifest = self.manifest();
        self.files.entry("Cargo.toml".to_owned()).or_insert(manifest.into_bytes());
        let bytes = self.archive();
        let digest = hex(&Sha256::digest(&bytes));
        let cksum = self.cksum.clone().unwrap_or(digest);
        let line = match &self.line {
            Some(line) => line.replace("{cksum}", &cksum),
            None => self.index_line(&cksum),
        };
        PackedCrate { name: self.name, version: self.version, bytes, cksum, line }
    }

    fn manifest(&self) -> String {
        let mut text = format!("[package]\nname = {:?}\nversion = {:?}\nedition = \"2021\"\n", self.name, self.version);
        let optional = [("links", &self.links), ("rust-version", &self.rust_version)];
        let given = optional.into_iter().filter_map(|(key, value)| Some((key, value.as_ref()?)));
        for (key, value) in given.chain(self.package_keys.iter().map(|(key, value)| (key.as_str(), value))) {
            writeln!(text, "{key} = {value:?}").unwrap();
        }
        if self.proc_macro {
            text.push_str("\n[lib]\nproc-macro = true\n");
        }
        for dep in &self.deps {
            let section = match dep.kind.as_str() {
                "normal" => "dependencies".to_owned(),
                kind => format!("{kind}-dependencies"),
            };
            match &dep.target {
                Some(target) => writeln!(text, "\n[target.'{target}'.{section}.{}]", dep.name).unwrap(),
                None => writeln!(text, "\n[{section}.{}]", dep.name).unwrap(),
            }
            writeln!(text, "version = {:?}", dep.req).unwrap();
            if let Some(package) = &dep.package {
                writeln!(text, "package = {package:?}").unwrap();
            }
            // As `cargo package` writes a dependency on another registry.
            if let Some(registry) = &dep.registry {
                writeln!(text, "registry-index = {registry:?}").unwrap();
            }
            if dep.optional {
                text.push_str("optional = true\n");
            }
            if !dep.default_features {
                text.push_str("default-features = false\n");
            }
            if !dep.features.is_empty() {
                writeln!(text, "features = {:?}", dep.features).unwrap();
            }
        }
        if !self.features.is_empty() {
            text.push_str("\n[features]\n");
        }
        for (name, enables) in &self.features {
            writeln!(text, "{name} = {enables:?}").unwrap();
        }
        text
    }

    /// Files under `NAME-VERSION/`, the same bytes each time.
    fn archive(&self) -> Vec<u8> {
        let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        for (path, content) in &self.files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            header.set_mtime(1_000_000_000);
            tar.append_data(&mut header, format!("{}-{}/{path}", self.name, self.version), content.as_slice()).unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap()
    }

    fn index_line(&self, cksum: &str) -> String {
        let new_form = |enables: &[String]| enables.iter().any(|one| one.starts_with("dep:") || one.contains("?/"));
        let all = || self.features.iter().map(|(name, enables)| (name.as_str(), enables.as_slice()));
        let features2: BTreeMap<&str, &[String]> = all().filter(|(_, enables)| new_form(enables)).collect();
        let line = IndexLineFields {
            name: &self.name,
            vers: &self.version,
            deps: &self.deps,
            cksum,
            features: all().filter(|(_, enables)| !new_form(enables)).collect(),
            v: (!features2.is_empty()).then_some(2),
            features2,
            yanked: self.yanked,
            links: self.links.as_deref(),
            rust_version: self.rust_version.as_deref(),
            pubtime: self.pubtime.as_deref(),
        };
        serde_json::to_string(&line).unwrap()
    }
}

/// The path of a crate's file in an index. Cargo lowercases the name (cargo-util: registry.rs).
pub fn index_path(name: &str) -> String {
    let name = name.to_lowercase();
    match name.len() {
        1 => format!("1/{name}"),
        2 => format!("2/{name}"),
        3 => format!("3/{}/{name}", &name[..1]),
        _ => format!("{}/{}/{name}", &name[..2], &name[2..4]),
    }
}

/// Lowercase hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn to_strings(args: &[&str]) -> Vec<String> {
    args.iter().map(|&word| word.to_owned()).collect()
}
