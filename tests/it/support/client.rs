//! The real cargo as the judge: an empty home, the configuration under test, and nothing else to turn to.
//!
//! ```ignore
//! let client = Client::new().config(&config_toml);
//! let project = Project::new("app").dep("json", "1").lockfile(&lock).write(&sandbox.path("app"));
//! client.cargo(&project, ["build", "--locked"]).ok();
//! ```

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use super::process::{Process, Run, sysroot};
use super::sandbox::UNREACHABLE_PROXY;

/// One user's cargo.
pub struct Client {
    root: TempDir,
    vars: BTreeMap<String, String>,
}

impl Default for Client {
    fn default() -> Client {
        Client::new()
    }
}

impl Client {
    /// A cargo with an empty home, which reaches loopback alone and does not try twice.
    pub fn new() -> Client {
        let root = TempDir::with_prefix("frostmirror-client-").unwrap();
        let mut vars = BTreeMap::new();
        for (name, folder) in [("HOME", "home"), ("CARGO_HOME", "cargo"), ("TMPDIR", "tmp")] {
            let path = root.path().join(folder);
            fs::create_dir(&path).unwrap();
            vars.insert(name.to_owned(), path.to_str().unwrap().to_owned());
        }
        let fixed = [
            ("http_proxy", UNREACHABLE_PROXY),
            ("https_proxy", UNREACHABLE_PROXY),
            ("no_proxy", "127.0.0.1,localhost"),
            ("CARGO_NET_RETRY", "0"),
            ("CARGO_INCREMENTAL", "0"),
            ("CARGO_TERM_COLOR", "never"),
        ];
        vars.extend(fixed.map(|(name, value)| (name.to_owned(), value.to_owned())));
        Client { root, vars }
    }

    /// A cargo that takes crates.io's place from the sparse index at `url`.
    pub fn with_index(url: &str) -> Client {
        let source = "[source.crates-io]\nreplace-with = \"under-test\"\n";
        Client::new().config(&format!("{source}[registries.under-test]\nindex = \"sparse+{url}\"\n"))
    }

    /// Writes `$CARGO_HOME/config.toml`.
    pub fn config(self, text: &str) -> Client {
        fs::write(self.cargo_home().join("config.toml"), text).unwrap();
        self
    }

    /// Sets a variable.
    pub fn env(mut self, name: &str, value: &str) -> Client {
        self.vars.insert(name.to_owned(), value.to_owned());
        self
    }

    /// CARGO_HOME.
    pub fn cargo_home(&self) -> PathBuf {
        self.root.path().join("cargo")
    }

    /// Forgets the index and all crates, and keeps the configuration.
    pub fn clear_caches(&self) {
        let registry = self.cargo_home().join("registry");
        if registry.exists() {
            fs::remove_dir_all(registry).unwrap();
        }
    }

    /// Runs cargo in a project, e.g. `["build", "--locked"]`.
    #[track_caller]
    pub fn cargo<S: AsRef<OsStr>>(&self, project: &Path, args: impl IntoIterator<Item = S>) -> Run {
        self.process(project, args).run()
    }

    /// Cargo in a project, ready to be started.
    pub fn process<S: AsRef<OsStr>>(&self, project: &Path, args: impl IntoIterator<Item = S>) -> Process {
        let cargo = sysroot().join("bin/cargo");
        Process::new(cargo, project).envs(&self.vars).args(args).timeout(Duration::from_secs(180))
    }

    /// Resolves a project with cargo; the Cargo.lock.
    #[track_caller]
    pub fn lock(&self, project: &Path) -> String {
        self.cargo(project, ["generate-lockfile"]).ok();
        fs::read_to_string(project.join("Cargo.lock")).unwrap()
    }
}

/// A package to be written to disk.
pub struct Project {
    name: String,
    package: String,
    tables: Vec<String>,
    files: BTreeMap<String, String>,
}

impl Project {
    /// A program that does nothing.
    pub fn new(name: &str) -> Project {
        let main = ("src/main.rs".to_owned(), "fn main() {}\n".to_owned());
        Project { name: name.to_owned(), package: String::new(), tables: Vec::new(), files: BTreeMap::from([main]) }
    }

    /// A dependency on a version.
    pub fn dep(self, name: &str, req: &str) -> Project {
        self.table(&format!("[dependencies.{name}]\nversion = {req:?}"))
    }

    /// A dependency with features.
    pub fn dep_with(self, name: &str, req: &str, features: &[&str]) -> Project {
        self.table(&format!("[dependencies.{name}]\nversion = {req:?}\nfeatures = {features:?}"))
    }

    /// A dependency of one platform, e.g. `cfg(windows)`.
    pub fn dep_for_target(self, target: &str, name: &str, req: &str) -> Project {
        self.table(&format!("[target.'{target}'.dependencies.{name}]\nversion = {req:?}"))
    }

    /// A key of `[package]`, e.g. `rust-version = "1.60"`.
    pub fn key(mut self, line: &str) -> Project {
        self.package.push_str(&format!("{line}\n"));
        self
    }

    /// Any further table of the manifest.
    pub fn table(mut self, text: &str) -> Project {
        self.tables.push(text.to_owned());
        self
    }

    /// The source of `src/main.rs`.
    pub fn main(self, source: &str) -> Project {
        self.file("src/main.rs", source)
    }

    /// The Cargo.lock.
    pub fn lockfile(self, text: &str) -> Project {
        self.file("Cargo.lock", text)
    }

    /// Any file.
    pub fn file(mut self, path: &str, text: &str) -> Project {
        self.files.insert(path.to_owned(), text.to_owned());
        self
    }

    /// Writes it into `folder`; the folder.
    pub fn write(&self, folder: &Path) -> PathBuf {
        let Project { name, package, tables, files } = self;
        let mut manifest = format!("[package]\nname = {name:?}\nversion = \"0.1.0\"\nedition = \"2021\"\n{package}");
        for table in tables {
            manifest.push_str(&format!("\n{table}\n"));
        }
        let manifest = [("Cargo.toml", manifest.as_str())];
        for (path, text) in manifest.into_iter().chain(files.iter().map(|(path, text)| (path.as_str(), text.as_str())))
        {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder.to_path_buf()
    }
}
