//! The real rustup as the judge: its own homes, no other environment, and a mirror as its only server.
//!
//! ```ignore
//! let Some(rustup) = Rustup::at(serving.url()) else { return };
//! rustup.init(["--default-toolchain", "stable"]).ok();
//! rustup.run(["target", "add", "wasm32-unknown-unknown"]).ok();
//! rustup.tool("rustc", ["-V"]).ok().stdout_has("rustc 1.95.0");
//! ```

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tempfile::TempDir;

use super::run::{Process, Run, write_program};

/// Where this variable is 1, a machine without rustup fails the tests that need it.
const REQUIRED: &str = "FROSTMIRROR_TEST_RUSTUP";

/// A user's machine with rustup and nothing else.
pub struct Rustup {
    root: TempDir,
    vars: Vec<(&'static str, String)>,
}

impl Rustup {
    /// A machine whose rustup asks the mirror at `base` alone; `None`, said loudly, where there is no rustup to test with.
    pub fn at(base: &str) -> Option<Rustup> {
        program()?;
        let root = TempDir::with_prefix("frostmirror-rustup-").unwrap();
        for folder in ["home", "rustup", "cargo", "tmp"] {
            fs::create_dir(root.path().join(folder)).unwrap();
        }
        let mut rustup = Rustup { root, vars: Vec::new() };
        rustup.server(base);
        Some(rustup)
    }

    /// Changes the mirror.
    pub fn server(&mut self, base: &str) {
        self.env("RUSTUP_DIST_SERVER", base);
        self.env("RUSTUP_UPDATE_ROOT", &format!("{}/rustup", base.trim_end_matches('/')));
        self.env("RUSTUP_BACKTRACK_LIMIT", "1");
    }

    /// Sets a variable.
    pub fn env(&mut self, name: &'static str, value: &str) {
        self.vars.retain(|(known, _)| *known != name);
        self.vars.push((name, value.to_owned()));
    }

    /// Takes a variable away.
    pub fn without_env(&mut self, name: &str) {
        self.vars.retain(|(known, _)| *known != name);
    }

    /// The machine's folder.
    pub fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.root.path().join(relative)
    }

    /// The folder of an installed toolchain.
    pub fn toolchain(&self, name: &str) -> PathBuf {
        self.path("rustup/toolchains").join(format!("{name}-{}", super::dist::LINUX))
    }

    /// Installs rustup, minimal and without a question, with further words.
    #[track_caller]
    pub fn init<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Run {
        // The program's name decides what it does.
        let init = self.path("rustup-init");
        write_program(&init, &bytes().expect("looked for in the constructor"));
        let usual = ["-y", "--no-modify-path", "--profile", "minimal"];
        self.process(&init).args(usual).args(words).run()
    }

    /// The installed rustup.
    #[track_caller]
    pub fn run<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Run {
        self.tool("rustup", words)
    }

    /// An installed program, e.g. rustc.
    #[track_caller]
    pub fn tool<'a>(&self, name: &str, words: impl IntoIterator<Item = &'a str>) -> Run {
        self.process(self.path("cargo/bin").join(name)).args(words).run()
    }

    /// Any program in this machine's environment.
    pub fn process(&self, program: impl AsRef<OsStr>) -> Process {
        let homes = [("HOME", "home"), ("RUSTUP_HOME", "rustup"), ("CARGO_HOME", "cargo"), ("TMPDIR", "tmp")];
        let homes = homes.map(|(name, folder)| (name, self.path(folder)));
        // With several threads rustup waits a second at the end of each installation, however small.
        Process::bare(program, &self.path("home"))
            .envs([("RUSTUP_IO_THREADS", "1")])
            .envs([
                ("PATH", "/usr/bin:/bin"),
                ("RUSTUP_INIT_SKIP_PATH_CHECK", "yes"),
                ("RUSTUP_INIT_SKIP_SUDO_CHECK", "yes"),
            ])
            .envs(homes)
            .envs(self.vars.iter().map(|(name, value)| (name, value)))
    }
}

/// The version of the machine's rustup.
pub fn version() -> Option<String> {
    let run = Process::new(program()?, Path::new("/")).args(["--version"]).run().ok();
    run.stdout.split(' ').nth(1).map(str::to_owned)
}

/// The bytes of the machine's rustup.
pub fn bytes() -> Option<Vec<u8>> {
    program().map(|path| fs::read(path).unwrap())
}

/// The machine's rustup. Where there is none the test is over, and says so on stderr past the harness's capture.
pub fn program() -> Option<&'static Path> {
    static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();
    let find = || {
        let own = home::cargo_home().ok().map(|home| home.join("bin"));
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = own.into_iter().chain(std::env::split_paths(&path));
        folders.map(|folder| folder.join("rustup")).find_map(|path| fs::canonicalize(path).ok())
    };
    let found = PROGRAM.get_or_init(find).as_deref();
    if found.is_none() {
        assert!(std::env::var_os(REQUIRED).is_none_or(|value| value != "1"), "{REQUIRED} is 1, and there is no rustup");
        not_tested("there is no rustup on this machine, and this test is about it");
    }
    found
}

/// Says loudly what a test leaves out and why, past the harness's capture.
pub fn not_tested(why: &str) {
    std::io::stderr().write_all(format!("\n!!! NOT TESTED: {why} !!!\n").as_bytes()).unwrap();
}
