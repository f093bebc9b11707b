//! The real rustup as the judge: its own homes, no other environment, and a mirror as its only server.
//!
//! ```ignore
//! let rustup = Rustup::for_mirror(serving.url());
//! rustup.init(["--default-toolchain", "stable"]).ok();
//! rustup.run(["target", "add", "wasm32-unknown-unknown"]).ok();
//! rustup.tool("rustc", ["-V"]).ok().stdout_has("rustc 1.95.0");
//! ```

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tempfile::TempDir;

use super::process::{Process, Run, write_program};

/// A user's machine with rustup and nothing else.
pub struct Rustup {
    root: TempDir,
    vars: Vec<(&'static str, String)>,
}

impl Rustup {
    /// A machine whose rustup asks the mirror at `base` alone.
    pub fn for_mirror(base: &str) -> Rustup {
        let root = TempDir::with_prefix("frostmirror-rustup-").unwrap();
        for folder in ["home", "rustup", "cargo", "tmp"] {
            fs::create_dir(root.path().join(folder)).unwrap();
        }
        let mut rustup = Rustup { root, vars: Vec::new() };
        rustup.set_mirror(base);
        rustup
    }

    /// Changes the mirror.
    pub fn set_mirror(&mut self, base: &str) {
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
    pub fn init<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Run {
        // The program's name decides what it does.
        let init = self.path("rustup-init");
        write_program(&init, &local_binary());
        let usual = ["-y", "--no-modify-path", "--profile", "minimal"];
        self.process(&init).args(usual).args(args).run()
    }

    /// The installed rustup.
    #[track_caller]
    pub fn run<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Run {
        self.tool("rustup", args)
    }

    /// An installed program, e.g. rustc.
    #[track_caller]
    pub fn tool<'a>(&self, name: &str, args: impl IntoIterator<Item = &'a str>) -> Run {
        self.process(self.path("cargo/bin").join(name)).args(args).run()
    }

    /// Any program in this machine's environment.
    pub fn process(&self, program: impl AsRef<OsStr>) -> Process {
        let homes = [("HOME", "home"), ("RUSTUP_HOME", "rustup"), ("CARGO_HOME", "cargo"), ("TMPDIR", "tmp")];
        let homes = homes.map(|(name, folder)| (name, self.path(folder)));
        // With several threads rustup waits a second at the end of each installation, however small.
        Process::with_empty_env(program, &self.path("home"))
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
pub fn local_version() -> String {
    let run = Process::new(find_rustup(), Path::new("/")).args(["--version"]).run().ok();
    run.stdout.split(' ').nth(1).unwrap().to_owned()
}

/// The bytes of the machine's rustup.
pub fn local_binary() -> Vec<u8> {
    fs::read(find_rustup()).unwrap()
}

/// The machine's rustup.
#[track_caller]
pub fn find_rustup() -> &'static Path {
    found().expect("there is no rustup on this machine")
}

/// The machine's rustup, if it has one.
pub fn found() -> Option<&'static Path> {
    static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();
    let find = || {
        let own = home::cargo_home().ok().map(|home| home.join("bin"));
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = own.into_iter().chain(std::env::split_paths(&path));
        folders.map(|folder| folder.join("rustup")).find_map(|path| fs::canonicalize(path).ok())
    };
    PROGRAM.get_or_init(find).as_deref()
}
