//! One release of Rust as upstream publishes it: component archives and the channel manifest that names them.
//!
//! ```ignore
//! dist.publish(Release::stable("1.96.0", "2026-05-28").hosts(&[LINUX]).unavailable("clippy-preview", LINUX));
//! ```

use std::collections::BTreeMap;
use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::tarball::{ComponentEntry, gzip, tarball, xz};
use super::{LINUX, WASM, WINDOWS};
use crate::support::crates::hex;

/// What the addresses in every manifest begin with; rustup puts its own server in place of it.
pub const UPSTREAM_URL: &str = "https://static.rust-lang.org";

/// Packages that a host triple has, and whether a toolchain has them without being asked (`components` in the manifest).
const PACKAGES: &[(&str, bool)] = &[
    ("rustc", true),
    ("cargo", true),
    ("rust-std", true),
    ("rust-mingw", true),
    ("rust-docs", true),
    ("rustfmt-preview", false),
    ("clippy-preview", false),
    ("miri-preview", false),
    ("rust-analyzer-preview", false),
    ("llvm-tools-preview", false),
];
const MINIMAL_PROFILE: &[&str] = &["rustc", "cargo", "rust-std", "rust-mingw"];
const DEFAULT_PROFILE: &[&str] = &["rust-docs", "rustfmt-preview", "clippy-preview"];
const COMPLETE_PROFILE: &[&str] = &["rust-analyzer-preview", "rust-src", "llvm-tools-preview", "miri-preview"];

/// A release before it is published.
#[derive(Clone)]
pub struct Release {
    channel: &'static str,
    version: String,
    date: String,
    hosts: Vec<String>,
    cross_targets: Vec<String>,
    unavailable: Vec<(String, String)>,
    extra_bytes: usize,
    gz_only: bool,
    signed: bool,
    std_lock: Option<String>,
}

/// A release as files.
pub struct ReleaseFiles {
    /// Every file by its path from the root, with a slash at its front: archives, `.sha256`, manifests under all names.
    pub files: BTreeMap<String, Vec<u8>>,
    /// The manifest.
    pub manifest: String,
}

/// What the manifest says of a package for one target; `None` where it is unavailable.
type Packages = BTreeMap<String, BTreeMap<String, Option<[(String, String); 2]>>>;

impl Release {
    /// A stable release of the day `date` (YYYY-MM-DD), for Linux and Windows, with rust-std for WebAssembly too. miri is
    /// named and unavailable, as it is upstream.
    pub fn stable(version: &str, date: &str) -> Release {
        Release::new("stable", version, date).unavailable("miri-preview", LINUX).unavailable("miri-preview", WINDOWS)
    }

    /// A beta of the day `date`; `version` is one like `1.96.0-beta.3`.
    pub fn beta(version: &str, date: &str) -> Release {
        Release::new("beta", version, date)
    }

    /// A nightly of the day `date`; `version` is one like `1.97.0-nightly`.
    pub fn nightly(version: &str, date: &str) -> Release {
        Release::new("nightly", version, date)
    }

    fn new(channel: &'static str, version: &str, date: &str) -> Release {
        Release {
            channel,
            version: version.to_owned(),
            date: date.to_owned(),
            hosts: vec![LINUX.to_owned(), WINDOWS.to_owned()],
            cross_targets: vec![WASM.to_owned()],
            unavailable: Vec::new(),
            extra_bytes: 0,
            gz_only: false,
            signed: true,
            std_lock: None,
        }
    }

    /// The Cargo.lock of the standard library, in rust-src.
    pub fn std_lock(mut self, text: &str) -> Release {
        self.std_lock = Some(text.to_owned());
        self
    }

    /// The host triples, in place of the usual two.
    pub fn hosts(mut self, hosts: &[&str]) -> Release {
        self.hosts = hosts.iter().map(|&host| host.to_owned()).collect();
        self
    }

    /// The targets that have nothing but rust-std, in place of the usual one.
    pub fn cross_targets(mut self, crosses: &[&str]) -> Release {
        self.cross_targets = crosses.iter().map(|&cross| cross.to_owned()).collect();
        self
    }

    /// Marks a package as unavailable for a target; it stays named.
    pub fn unavailable(mut self, package: &str, target: &str) -> Release {
        self.unavailable.push((package.to_owned(), target.to_owned()));
        self
    }

    /// Makes the rustc of every host so many bytes larger, with bytes that do not compress.
    pub fn with_extra_bytes(mut self, bytes: usize) -> Release {
        self.extra_bytes = bytes;
        self
    }

    /// Gzipped archives alone, as years ago.
    pub fn gz_only(mut self) -> Release {
        self.gz_only = true;
        self
    }

    /// No `.asc` beside the manifests.
    pub fn unsigned(mut self) -> Release {
        self.signed = false;
        self
    }

    /// Makes the files. The archives lie in the dated folder, and the manifest under every name that it has upstream:
    /// in the dated folder and under the channel's name; a stable one under `1.95.0` and `1.95` too.
    pub fn build(&self) -> ReleaseFiles {
        let mut files = BTreeMap::new();
        let mut packages = Packages::new();
        for host in &self.hosts {
            for (package, _) in PACKAGES.iter().filter(|(package, _)| has_package(host, package)) {
                self.add_package(package, host, &mut packages, &mut files);
            }
        }
        for cross in &self.cross_targets {
            self.add_package("rust-std", cross, &mut packages, &mut files);
        }
        self.add_package("rust-src", "*", &mut packages, &mut files);
        let manifest = self.manifest_text(&packages);
        for path in self.manifest_paths() {
            insert_with_digest(&mut files, &path, manifest.clone().into_bytes());
            if self.signed {
                let text = "-----BEGIN PGP SIGNATURE-----\n\nZmFrZQ==\n-----END PGP SIGNATURE-----\n";
                files.insert(format!("{path}.asc"), text.as_bytes().to_vec());
            }
        }
        ReleaseFiles { files, manifest }
    }

    /// The paths of the manifest, the dated one first.
    pub fn manifest_paths(&self) -> Vec<String> {
        let mut paths = vec![
            format!("/dist/{}/channel-rust-{}.toml", self.date, self.channel),
            format!("/dist/channel-rust-{}.toml", self.channel),
        ];
        if self.channel == "stable" {
            let short = self.version.rsplit_once('.').unwrap().0;
            paths.extend([&self.version, short].map(|name| format!("/dist/channel-rust-{name}.toml")));
        }
        paths
    }

    /// The path of an archive, by the name of its package (with `-preview`) and its target (`*` for rust-src).
    pub fn archive_path(&self, package: &str, target: &str, extension: &str) -> String {
        format!("/dist/{}/{}.tar.{extension}", self.date, self.archive_root(package, target))
    }

    fn archive_root(&self, package: &str, target: &str) -> String {
        // Stable archives have the version in their names, others the channel's name.
        let named = if self.channel == "stable" { &self.version } else { self.channel };
        let suffix = if target == "*" { String::new() } else { format!("-{target}") };
        format!("{}-{named}{suffix}", package.trim_end_matches("-preview"))
    }

    fn add_package(&self, package: &str, target: &str, packages: &mut Packages, files: &mut BTreeMap<String, Vec<u8>>) {
        let missing = self.unavailable.iter().any(|(name, on)| (name.as_str(), on.as_str()) == (package, target));
        let archives = (!missing).then(|| {
            let component = match package {
                "rust-std" => format!("rust-std-{target}"),
                package => package.to_owned(),
            };
            let plain =
                tarball(&self.archive_root(package, target), &component, &self.component_files(package, target));
            [("gz", gzip(&plain)), ("xz", xz(&plain))].map(|(extension, packed)| {
                let path = self.archive_path(package, target, extension);
                let digest = hex(&Sha256::digest(&packed));
                if extension == "gz" || !self.gz_only {
                    insert_with_digest(files, &path, packed);
                }
                (format!("{UPSTREAM_URL}{path}"), digest)
            })
        });
        packages.entry(package.to_owned()).or_default().insert(target.to_owned(), archives);
    }

    fn component_files(&self, package: &str, target: &str) -> Vec<ComponentEntry> {
        let exe = if target.contains("windows") { ".exe" } else { "" };
        let program = |name: &str| {
            let text = format!("#!/bin/sh\necho \"{name} {} (fake {})\"\n", self.version, self.date);
            (format!("bin/{name}{exe}"), text.into_bytes(), true)
        };
        let data = |path: &str, text: String| (path.to_owned(), text.into_bytes(), false);
        match package {
            "rustc" => {
                let mut files = vec![program("rustc"), program("rustdoc")];
                if self.extra_bytes > 0 {
                    files.push(("lib/librustc_driver.so".to_owned(), incompressible_bytes(self.extra_bytes), false));
                }
                files
            }
            "cargo" => vec![program("cargo")],
            "rustfmt-preview" => vec![program("rustfmt"), program("cargo-fmt")],
            "clippy-preview" => vec![program("cargo-clippy"), program("clippy-driver")],
            "miri-preview" => vec![program("miri"), program("cargo-miri")],
            "rust-analyzer-preview" => vec![program("rust-analyzer")],
            "rust-std" => {
                vec![data(&format!("lib/rustlib/{target}/lib/libstd.rlib"), format!("std {}\n", self.version))]
            }
            "rust-src" => {
                let source = data("lib/rustlib/src/rust/library/std/src/lib.rs", format!("// {}\n", self.version));
                let lock = self.std_lock.iter();
                let lock = lock.map(|text| data("lib/rustlib/src/rust/library/Cargo.lock", text.clone()));
                std::iter::once(source).chain(lock).collect()
            }
            "rust-docs" => vec![data("share/doc/rust/html/index.html", format!("Rust {}\n", self.version))],
            other => vec![data(&format!("lib/rustlib/{target}/{other}"), format!("{}\n", self.version))],
        }
    }

    fn manifest_text(&self, packages: &Packages) -> String {
        let Release { version, date, .. } = self;
        let mut text = format!("manifest-version = \"2\"\ndate = \"{date}\"\n");
        for (package, targets) in packages {
            write!(text, "\n[pkg.{package}]\nversion = \"{version} (fake {date})\"\n").unwrap();
            for (target, archives) in targets {
                let available = archives.is_some();
                write!(text, "[pkg.{package}.target.\"{target}\"]\navailable = {available}\n").unwrap();
                let Some([gz, xz]) = archives else { continue };
                write!(text, "url = \"{}\"\nhash = \"{}\"\n", gz.0, gz.1).unwrap();
                if !self.gz_only {
                    write!(text, "xz_url = \"{}\"\nxz_hash = \"{}\"\n", xz.0, xz.1).unwrap();
                }
            }
        }
        write!(text, "\n[pkg.rust]\nversion = \"{version} (fake {date})\"\n").unwrap();
        for host in &self.hosts {
            let url = format!("{UPSTREAM_URL}{}", self.archive_path("rust", host, "gz"));
            let zero = "0".repeat(64);
            write!(text, "[pkg.rust.target.{host}]\navailable = true\nurl = \"{url}\"\nhash = \"{zero}\"\n").unwrap();
            let mut list = |kind: &str, package: &str, target: &str| {
                write!(text, "[[pkg.rust.target.{host}.{kind}]]\npkg = \"{package}\"\ntarget = \"{target}\"\n")
                    .unwrap();
            };
            for (package, always) in PACKAGES.iter().filter(|(package, _)| has_package(host, package)) {
                list(if *always { "components" } else { "extensions" }, package, host);
            }
            let others = self.hosts.iter().filter(|&other| other != host).chain(&self.cross_targets);
            others.for_each(|other| list("extensions", "rust-std", other));
            list("extensions", "rust-src", "*");
        }
        for renamed in packages.keys().filter_map(|package| package.strip_suffix("-preview")) {
            write!(text, "[renames.{renamed}]\nto = \"{renamed}-preview\"\n").unwrap();
        }
        let profile = |sets: &[&[&str]]| {
            let names: Vec<String> = sets.concat().iter().map(|name| format!("\"{name}\"")).collect();
            names.join(", ")
        };
        let minimal = profile(&[MINIMAL_PROFILE]);
        let (default, complete) = (
            profile(&[MINIMAL_PROFILE, DEFAULT_PROFILE]),
            profile(&[MINIMAL_PROFILE, DEFAULT_PROFILE, COMPLETE_PROFILE]),
        );
        write!(text, "[profiles]\nminimal = [{minimal}]\ndefault = [{default}]\ncomplete = [{complete}]\n").unwrap();
        text
    }
}

/// Only hosts with the GNU toolchain on Windows have rust-mingw.
fn has_package(host: &str, package: &str) -> bool {
    package != "rust-mingw" || host.ends_with("-windows-gnu")
}

/// A file and the `.sha256` beside it.
fn insert_with_digest(files: &mut BTreeMap<String, Vec<u8>>, path: &str, content: Vec<u8>) {
    let name = path.rsplit('/').next().unwrap_or(path);
    files.insert(format!("{path}.sha256"), format!("{}  {name}\n", hex(&Sha256::digest(&content))).into_bytes());
    files.insert(path.to_owned(), content);
}

/// Bytes that do not compress, always the same ones.
fn incompressible_bytes(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
