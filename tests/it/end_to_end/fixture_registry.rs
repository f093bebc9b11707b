//! What is published in these tests, and the way from there to a mirror.

use std::path::{Path, PathBuf};

use crate::support::client::{Client, Project};
use crate::support::crates::{Crate, PackedCrate};
use crate::support::sandbox::Sandbox;
use crate::support::upstream::Upstream;

/// A small crates.io: a build script, a procedural macro, a crate for Windows alone, a native library of which there
/// can be only one, upper case, a version with `+`, a yanked one, and a program.
pub struct FixtureRegistry {
    pub upstream: Upstream,
    pub published: Vec<PackedCrate>,
}

impl FixtureRegistry {
    pub fn new() -> FixtureRegistry {
        FixtureRegistry::with_upstream(Upstream::start())
    }

    pub fn with_upstream(upstream: Upstream) -> FixtureRegistry {
        let published = published_crates().into_iter().map(|item| upstream.publish(item)).collect();
        let mut world = FixtureRegistry { upstream, published };
        let lock = world.tool_lockfile();
        world.publish(
            Crate::new("tool", "2.1.0")
                .dep("gears", "^1")
                .dep("turbo", "^0.9")
                .kind("dev")
                .bin("fn main() { println!(\"gears {}\", gears::VERSION); }")
                .with_lockfile(&lock),
        );
        world
    }

    pub fn publish(&mut self, item: Crate) {
        self.published.push(self.upstream.publish(item));
    }

    /// The lock inside `tool`, which is older than what a fresh resolution chooses, and names a dev-dependency.
    fn tool_lockfile(&self) -> String {
        let package = |name: &str, version: &str, dependencies: &str| {
            let source = "registry+https://github.com/rust-lang/crates.io-index";
            let checksum = &self.packed(name, version).cksum;
            format!(
                "[[package]]\nname = {name:?}\nversion = {version:?}\nsource = {source:?}\nchecksum = {checksum:?}\n{dependencies}\n"
            )
        };
        let codegen = package("codegen", "1.0.0", "");
        let gears = package("gears", "1.0.0", "dependencies = [\"codegen\"]\n");
        let bench = package("turbo", "0.9.3", "");
        let tool = "[[package]]\nname = \"tool\"\nversion = \"2.1.0\"\ndependencies = [\"gears\", \"turbo\"]\n";
        format!("version = 4\n\n{codegen}{gears}{tool}{bench}")
    }

    pub fn packed(&self, name: &str, version: &str) -> &PackedCrate {
        self.published.iter().find(|one| one.name == name && one.version == version).expect("published")
    }

    /// A project's Cargo.lock, as cargo online writes it.
    pub fn lockfile_of(&self, project: &Project) -> String {
        let sandbox = Sandbox::new();
        Client::with_index(&self.upstream.index_url()).lock(&project.write(&sandbox.path("online")))
    }

    pub fn sandbox(&self) -> Sandbox {
        Sandbox::new().upstream(&self.upstream)
    }
}

fn published_crates() -> Vec<Crate> {
    let version = "pub const VERSION: &str = env!(\"CARGO_PKG_VERSION\");\n";
    let gears = |version: &str| {
        Crate::new("gears", version)
            .dep("codegen", "^1")
            .kind("build")
            .file("build.rs", "fn main() { println!(\"cargo::rustc-env=TEETH={}\", codegen::TEETH); }")
            .lib("pub const VERSION: &str = env!(\"CARGO_PKG_VERSION\");\npub const TEETH: &str = env!(\"TEETH\");\n")
    };
    let engine = |number: &str| {
        Crate::new("engine", number)
            .dep("gears", "^1")
            .dep("derive-seven", "^0.2")
            .dep("win-gears", "^1")
            .target("cfg(windows)")
            .dep("turbo", "^0.9")
            .optional()
            .feature("fast", &["dep:turbo"])
            .lib(&format!("{version}pub fn seven() -> u8 {{ derive_seven::seven!() }}\npub use gears::TEETH;\n"))
    };
    vec![
        Crate::new("codegen", "1.0.0").lib("pub const TEETH: u32 = 42;\n"),
        gears("1.0.0"),
        gears("1.0.1"),
        Crate::new("derive-seven", "0.2.0").proc_macro().lib(
            "#[proc_macro]\npub fn seven(_: proc_macro::TokenStream) -> proc_macro::TokenStream { \"7\".parse().unwrap() }\n",
        ),
        Crate::new("win-gears", "1.0.0").lib("compile_error!(\"built on the wrong system\");\n"),
        Crate::new("turbo", "0.9.3"),
        engine("1.0.0"),
        engine("1.2.0"),
        Crate::new("Mixed_Case", "1.0.0"),
        Crate::new("plus", "1.0.0+build.7"),
        Crate::new("leaf", "0.3.0"),
        Crate::new("leaf", "0.3.1").yanked(),
        Crate::new("native", "1.0.0").links("one-only").file("build.rs", "fn main() {}"),
        Crate::new("native", "2.0.0").links("one-only").file("build.rs", "fn main() {}"),
        Crate::new("native", "2.0.1").links("one-only").file("build.rs", "fn main() {}"),
    ]
}

/// The depends.toml with every form of entry.
pub const EVERY_FORM: &str = "\
[dependencies]
engine = { version = \"1\", features = [\"fast\"] }
gears = [\"=1.0.0\", { version = \"1\" }]
cased = { package = \"Mixed_Case\", version = \"1\", default-features = false }

[dependencies.2]
native = \"1\"

[dependencies.3]
native = \"=2.0.0\"
plus = \"1\"

[locked]
leaf = \"0.3.1\"
";

/// What that comes to.
pub const EVERY_FORM_SET: [(&str, &str); 11] = [
    ("Mixed_Case", "1.0.0"),
    ("codegen", "1.0.0"),
    ("derive-seven", "0.2.0"),
    ("engine", "1.2.0"),
    ("gears", "1.0.0"),
    ("gears", "1.0.1"),
    ("leaf", "0.3.1"),
    ("native", "1.0.0"),
    ("native", "2.0.0"),
    ("plus", "1.0.0+build.7"),
    ("turbo", "0.9.3"),
];

/// With the crate for Windows, which comes last in no list of anybody who builds on Linux.
pub fn every_form_set() -> Vec<(&'static str, &'static str)> {
    EVERY_FORM_SET.into_iter().chain([("win-gears", "1.0.0")]).collect()
}

/// The crates of a bundle's set, as `inspect` has them.
pub fn bundle_crates(sandbox: &Sandbox, bundle: &Path) -> Vec<(String, String)> {
    let args = ["inspect".as_ref(), "--format".as_ref(), "json".as_ref(), bundle.as_os_str()];
    let manifest: serde_json::Value = serde_json::from_str(&sandbox.run(args).ok().stdout).unwrap();
    let text = |record: &serde_json::Value, key: &str| record[key].as_str().unwrap().to_owned();
    let crates = manifest["crates"].as_array().unwrap();
    crates.iter().map(|record| (text(record, "name"), text(record, "version"))).collect()
}

/// Owned pairs, to compare with [`listed`].
pub fn owned(set: &[(&str, &str)]) -> Vec<(String, String)> {
    set.iter().map(|(name, version)| ((*name).to_owned(), (*version).to_owned())).collect()
}

/// The bundles in a folder, and everything else in it.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = folder.read_dir() else { return Vec::new() };
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}
