//! A hermetic run of our binary: own home, own folders, own environment, and no way out to a network.
//!
//! ```ignore
//! let sandbox = Sandbox::new().upstream(&upstream);
//! sandbox.write("depends.toml", "[dependencies]\njson = \"1\"\n");
//! let bundle = sandbox.run(["fetch"]).ok().path();
//! let serving = sandbox.serve(["--mirror", "mirror"]);
//! ```

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use super::process::{Process, Run, RunningProcess};
use super::upstream::Upstream;

/// Our binary.
pub const BINARY: &str = env!("CARGO_BIN_EXE_cargo-frostmirror");

/// No process listens on the discard port, so a client that follows this proxy fails.
pub const UNREACHABLE_PROXY: &str = "http://127.0.0.1:9";

/// Folders and variables of one user's machine.
pub struct Sandbox {
    root: TempDir,
    vars: BTreeMap<String, String>,
    timeout: Duration,
}

/// A server that runs until this value goes.
pub struct RunningServer {
    running: RunningProcess,
    url: String,
}

impl Default for Sandbox {
    fn default() -> Sandbox {
        Sandbox::new()
    }
}

impl Sandbox {
    /// An empty machine. Everything but loopback is sent to a dead end.
    pub fn new() -> Sandbox {
        let root = TempDir::with_prefix("frostmirror-test-").unwrap();
        let mut vars = BTreeMap::new();
        let homes = [("HOME", "home"), ("FROSTMIRROR_HOME", "frostmirror"), ("CARGO_HOME", "cargo"), ("TMPDIR", "tmp")];
        for (name, folder) in homes {
            let path = root.path().join(folder);
            fs::create_dir(&path).unwrap();
            vars.insert(name.to_owned(), path.to_str().unwrap().to_owned());
        }
        fs::create_dir(root.path().join("desk")).unwrap();
        for name in ["http_proxy", "https_proxy"] {
            vars.insert(name.to_owned(), UNREACHABLE_PROXY.to_owned());
        }
        vars.insert("no_proxy".to_owned(), "127.0.0.1,localhost".to_owned());
        Sandbox { root, vars, timeout: Duration::from_secs(120) }
    }

    /// Takes crates from `upstream`, and trusts its authority where it speaks TLS.
    pub fn upstream(mut self, upstream: &Upstream) -> Sandbox {
        let url = upstream.index_url();
        if url.starts_with("https") {
            let path = self.root.path().join("upstream-ca.pem");
            fs::write(&path, upstream.ca_pem()).unwrap();
            self = self.env("SSL_CERT_FILE", path.to_str().unwrap());
        }
        self.env("FROSTMIRROR_REGISTRY_URL", &url)
    }

    /// Sets a variable.
    pub fn env(mut self, name: &str, value: &str) -> Sandbox {
        self.vars.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Takes a variable away.
    pub fn without_env(mut self, name: &str) -> Sandbox {
        self.vars.remove(name);
        self
    }

    /// After how long a run is killed, and the test with it; 120 seconds at first.
    pub fn timeout(mut self, timeout: Duration) -> Sandbox {
        self.timeout = timeout;
        self
    }

    /// The folder that holds everything else.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// A path in the folder where commands run.
    pub fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.root.path().join("desk").join(relative)
    }

    /// FROSTMIRROR_HOME.
    pub fn frostmirror_home(&self) -> PathBuf {
        self.root.path().join("frostmirror")
    }

    /// How many crates are whole in the cache of FROSTMIRROR_HOME.
    pub fn cached_crates(&self) -> usize {
        let files = read_tree(&self.frostmirror_home().join("cache/crates")).into_keys();
        // A digest is the name of a whole file alone.
        files.filter(|path| path.file_name().is_some_and(|name| name.len() == 64)).count()
    }

    /// CARGO_HOME.
    pub fn cargo_home(&self) -> PathBuf {
        self.root.path().join("cargo")
    }

    /// HOME.
    pub fn home(&self) -> PathBuf {
        self.root.path().join("home")
    }

    /// Writes a file, with the folders that it needs; its path.
    pub fn write(&self, relative: impl AsRef<Path>, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// Reads a file.
    #[track_caller]
    pub fn read(&self, relative: impl AsRef<Path>) -> String {
        let path = self.path(relative);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Our binary with these words, ready to be given more or to be started.
    pub fn process<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Process {
        self.process_in(&self.path(""), args)
    }

    /// The same in another folder.
    pub fn process_in<S: AsRef<OsStr>>(&self, cwd: &Path, args: impl IntoIterator<Item = S>) -> Process {
        Process::new(BINARY, cwd).envs(&self.vars).args(args).timeout(self.timeout)
    }

    /// Another program in the desk's folder, with the same variables.
    pub fn other_program<S: AsRef<OsStr>>(&self, program: &str, args: impl IntoIterator<Item = S>) -> Process {
        Process::new(program, &self.path("")).envs(&self.vars).args(args).timeout(self.timeout)
    }

    /// Runs our binary to its end.
    #[track_caller]
    pub fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Run {
        self.process(args).run()
    }

    /// Forgets lineage `rebuilt` of `mirror`: the first run refuses and prints the command that confirms it.
    #[track_caller]
    pub fn forget_rebuilt(&self) -> Run {
        let forget = |word: &str| self.run(["gc", "--forget", word, "--grace", "0", "--mirror", "mirror"]);
        let refused = forget("rebuilt").exits(4);
        let confirmed = refused.stderr.split_once("--forget rebuilt@").expect("a command").1.split_whitespace().next();
        forget(&format!("rebuilt@{}", confirmed.unwrap())).ok()
    }

    /// Runs our binary in another folder.
    #[track_caller]
    pub fn run_in<S: AsRef<OsStr>>(&self, cwd: &Path, args: impl IntoIterator<Item = S>) -> Run {
        self.process_in(cwd, args).run()
    }

    /// Starts `serve` on a free port, with further words, and waits until it listens.
    #[track_caller]
    pub fn serve<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> RunningServer {
        RunningServer::start(self.process(["serve", "--bind", "127.0.0.1:0"]).args(args))
    }

    /// `text` with this machine's paths and ports replaced by `[ROOT]` and `[PORT]`, for snapshots.
    pub fn redact(&self, text: &str) -> String {
        let text = text.replace(self.root.path().to_str().unwrap(), "[ROOT]");
        let mut parts = text.split("127.0.0.1:");
        let mut redacted = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let rest = part.trim_start_matches(|char: char| char.is_ascii_digit());
            redacted.push_str(if rest.len() == part.len() { "127.0.0.1:" } else { "127.0.0.1:[PORT]" });
            redacted.push_str(rest);
        }
        redacted
    }

    /// Every file below `folder` with its bytes, and every link with its target; to see that nothing has changed.
    pub fn read_tree(&self, folder: impl AsRef<Path>) -> BTreeMap<PathBuf, Vec<u8>> {
        read_tree(&self.path(folder))
    }
}

/// Every file, link and folder below `top` with its bytes, paths relative to it, folders with a `/` at their end. What
/// goes away while it is looked at, as a server's scratch files do, is not there.
pub fn read_tree(top: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![top.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(top).unwrap().to_path_buf();
            let read = path.symlink_metadata().and_then(|about| match about.file_type() {
                kind if kind.is_symlink() => Ok((name, fs::read_link(&path)?.into_os_string().into_encoded_bytes())),
                kind if kind.is_dir() => Ok((name.join(""), Vec::new())),
                _ => Ok((name, fs::read(&path)?)),
            });
            match read {
                Ok((name, bytes)) => {
                    if name.as_os_str().as_encoded_bytes().ends_with(b"/") {
                        waiting.push(path);
                    }
                    found.insert(name, bytes);
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{}: {error}", path.display()),
            }
        }
    }
    found
}

impl RunningServer {
    /// Starts a process that will say `listening on …`, and waits for that.
    #[track_caller]
    pub fn start(process: Process) -> RunningServer {
        let mut running = process.start();
        let url = running.wait_for_line("listening on ", Duration::from_secs(60));
        RunningServer { running, url }
    }

    /// `http://127.0.0.1:PORT`, without a final slash.
    pub fn url(&self) -> &str {
        self.url.trim_end_matches('/')
    }

    /// The process.
    pub fn running(&self) -> &RunningProcess {
        &self.running
    }

    /// Waits until it ends by itself; how it went.
    #[track_caller]
    pub fn wait(self, timeout: Duration) -> Run {
        self.running.wait(timeout)
    }

    /// Ends it with SIGTERM; how it went.
    #[track_caller]
    pub fn stop(self) -> Run {
        self.running.terminate()
    }
}
