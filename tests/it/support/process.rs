//! Child processes that cannot hang a test: run to the end, or kept running, always with a time-out.

use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// The exit code of a process that a checkpoint killed, as a shell reports it.
pub const SIGABRT: i32 = 128 + 6;

/// A command with an environment of its own.
pub struct Process {
    command: Command,
    args: Vec<String>,
    stdin: Vec<u8>,
    timeout: Duration,
}

/// How a process ended and what it said.
#[derive(Debug)]
pub struct Run {
    /// The exit code; a death by signal counts as 128 and the signal, as in a shell.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
    args: Vec<String>,
}

/// A process that goes on while the test works. It is ended with this value.
pub struct RunningProcess {
    child: Child,
    stdout: Pipe,
    stderr: Pipe,
    args: Vec<String>,
    ended: bool,
}

/// What has been read from a pipe so far.
struct Pipe {
    text: Arc<Mutex<Vec<u8>>>,
    closed: Receiver<()>,
}

impl Process {
    /// The program with an empty environment, except for what every process here needs.
    pub fn new(program: impl AsRef<OsStr>, cwd: &Path) -> Process {
        Process::with_empty_env(program, cwd).envs(base_env())
    }

    /// The program with an empty environment.
    pub fn with_empty_env(program: impl AsRef<OsStr>, cwd: &Path) -> Process {
        let mut command = Command::new(program.as_ref());
        command.current_dir(cwd).env_clear();
        let name = Path::new(program.as_ref()).file_name().unwrap_or_default().to_string_lossy().into_owned();
        Process { command, args: vec![name], stdin: Vec::new(), timeout: Duration::from_secs(120) }
    }

    /// Adds words.
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Process {
        for arg in args {
            self.args.push(arg.as_ref().to_string_lossy().into_owned());
            self.command.arg(arg);
        }
        self
    }

    /// Adds variables.
    pub fn envs<K: AsRef<OsStr>, V: AsRef<OsStr>>(mut self, vars: impl IntoIterator<Item = (K, V)>) -> Process {
        self.command.envs(vars);
        self
    }

    /// Runs in another folder.
    pub fn cwd(mut self, cwd: &Path) -> Process {
        self.command.current_dir(cwd);
        self
    }

    /// What it reads from stdin; nothing otherwise.
    pub fn stdin(mut self, bytes: &[u8]) -> Process {
        self.stdin = bytes.to_vec();
        self
    }

    /// After how long it is killed, and the test with it.
    pub fn timeout(mut self, timeout: Duration) -> Process {
        self.timeout = timeout;
        self
    }

    /// The command itself, for another kind of start.
    pub fn into_command(self) -> Command {
        self.command
    }

    /// Runs it to its end.
    #[track_caller]
    pub fn run(self) -> Run {
        let timeout = self.timeout;
        self.start().wait(timeout)
    }

    /// Starts it, in a process group of its own.
    #[track_caller]
    pub fn start(mut self) -> RunningProcess {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = self.command.spawn().unwrap_or_else(|error| panic!("{:?}: {error}", self.args));
        let mut stdin = child.stdin.take().unwrap();
        let bytes = self.stdin;
        // A process may end without having read everything.
        thread::spawn(move || stdin.write_all(&bytes).is_ok());
        let stdout = Pipe::read(child.stdout.take().unwrap());
        let stderr = Pipe::read(child.stderr.take().unwrap());
        RunningProcess { child, stdout, stderr, args: self.args, ended: false }
    }
}

/// Writes a program that is run afterwards. Another process writes it: a file that this one has open for writing is open in
/// whatever another test is just starting, and until that runs, the system calls it busy.
#[track_caller]
pub fn write_program(path: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let args = ["-c", "cat >\"$1\" && chmod 755 \"$1\"", "sh"];
    let mut child = Command::new("/bin/sh").args(args).arg(path).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    assert!(child.wait().unwrap().success(), "{}", path.display());
}

impl RunningProcess {
    /// The process's id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to the process alone.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.group(), signal).unwrap();
    }

    /// Sends a signal to the process and to all that it started, as Ctrl-C on a terminal does.
    pub fn signal_group(&self, signal: Signal) {
        kill_process_group(self.group(), signal).unwrap();
    }

    /// Sends SIGTERM and waits for the end.
    #[track_caller]
    pub fn terminate(self) -> Run {
        self.signal(Signal::TERM);
        self.wait(Duration::from_secs(60))
    }

    /// Waits for the end; what does not end in time is killed with all that it started, and the test fails.
    #[track_caller]
    pub fn wait(mut self, timeout: Duration) -> Run {
        let Some(status) = self.wait_with_timeout(timeout) else {
            self.kill();
            let args = self.args.join(" ");
            let run = self.take_run(-1);
            panic!("`{args}` was still running after {timeout:?}\n{}", run.describe());
        };
        self.ended = true;
        let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
        self.take_run(code)
    }

    /// The first line of stdout that begins with `start`, without that beginning.
    #[track_caller]
    pub fn wait_for_line(&mut self, start: &str, timeout: Duration) -> String {
        let until = Instant::now() + timeout;
        loop {
            let so_far = self.stdout.text();
            let whole = so_far.rsplit_once('\n').map_or("", |(whole, _)| whole);
            if let Some(rest) = whole.lines().find_map(|line| line.strip_prefix(start)) {
                return rest.to_owned();
            }
            let ended = self.child.try_wait().unwrap().is_some();
            if ended || Instant::now() > until {
                self.kill();
                let args = self.args.join(" ");
                let run = self.take_run(-1);
                panic!("`{args}` did not print `{start}…`\n{}", run.describe());
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// What it has written to stdout so far.
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// What it has written to stderr so far.
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    fn group(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn wait_with_timeout(&mut self, timeout: Duration) -> Option<ExitStatus> {
        let until = Instant::now() + timeout;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return Some(status);
            }
            if Instant::now() > until {
                return None;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn kill(&mut self) {
        // The group may be gone already; then there is nothing to do.
        let _gone = kill_process_group(self.group(), Signal::KILL).is_err();
        self.child.wait().unwrap();
        self.ended = true;
    }

    fn take_run(&mut self, code: i32) -> Run {
        // Something that the process started may hold the pipes open; what it says is not waited for long.
        for pipe in [&self.stdout, &self.stderr] {
            let _closed = pipe.closed.recv_timeout(Duration::from_secs(5)).is_ok();
        }
        Run { code, stdout: self.stdout.text(), stderr: self.stderr.text(), args: self.args.clone() }
    }
}

impl Drop for RunningProcess {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        self.signal(Signal::TERM);
        if self.wait_with_timeout(Duration::from_secs(5)).is_none() {
            self.kill();
        }
    }
}

impl Pipe {
    fn read(mut pipe: impl Read + Send + 'static) -> Pipe {
        let text = Arc::new(Mutex::new(Vec::new()));
        let (done, closed) = channel();
        let filled = Arc::clone(&text);
        thread::spawn(move || {
            let mut buffer = [0; 8192];
            while let Ok(length @ 1..) = pipe.read(&mut buffer) {
                filled.lock().unwrap().extend_from_slice(&buffer[..length]);
            }
            // The test may be over, and then nothing waits for it.
            let _unheard = done.send(()).is_err();
        });
        Pipe { text, closed }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.text.lock().unwrap()).into_owned()
    }
}

impl Run {
    /// Fails the test unless the exit code is 0.
    #[track_caller]
    pub fn ok(self) -> Run {
        self.exits(0)
    }

    /// Fails the test unless the exit code is `code`.
    #[track_caller]
    pub fn exits(self, code: i32) -> Run {
        assert!(self.code == code, "expected exit code {code}\n{}", self.describe());
        self
    }

    /// Fails the test unless stdout has `text`.
    #[track_caller]
    pub fn stdout_has(self, text: &str) -> Run {
        assert!(self.stdout.contains(text), "expected on stdout: {text}\n{}", self.describe());
        self
    }

    /// Demands that stdout lacks `text`.
    #[track_caller]
    pub fn stdout_lacks(self, text: &str) -> Run {
        assert!(!self.stdout.contains(text), "{}", self.describe());
        self
    }

    /// Fails the test unless stderr has `text`.
    #[track_caller]
    pub fn stderr_has(self, text: &str) -> Run {
        assert!(self.stderr.contains(text), "expected on stderr: {text}\n{}", self.describe());
        self
    }

    /// Fails the test if stderr has `text`.
    #[track_caller]
    pub fn stderr_lacks(self, text: &str) -> Run {
        assert!(!self.stderr.contains(text), "not expected on stderr: {text}\n{}", self.describe());
        self
    }

    /// Stdout's only line.
    #[track_caller]
    pub fn line(&self) -> &str {
        let line = self.stdout.strip_suffix('\n').unwrap_or(&self.stdout);
        assert!(!line.is_empty() && !line.contains('\n'), "expected one line on stdout\n{}", self.describe());
        line
    }

    /// Stdout's only line as a path.
    #[track_caller]
    pub fn path(&self) -> PathBuf {
        PathBuf::from(self.line())
    }

    /// Everything about the run, for a failed test's message.
    pub fn describe(&self) -> String {
        let Run { code, stdout, stderr, args: terms } = self;
        format!("$ {}\n--- exit code {code}\n--- stdout\n{stdout}\n--- stderr\n{stderr}\n---", terms.join(" "))
    }
}

/// PATH with the real toolchain first, so that neither cargo nor rustc is rustup's proxy; and what those need.
fn base_env() -> Vec<(OsString, OsString)> {
    static BASE: OnceLock<Vec<(OsString, OsString)>> = OnceLock::new();
    let make = || {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(sysroot().join("bin")).chain(std::env::split_paths(&path));
        let mut vars = vec![(OsString::from("PATH"), std::env::join_paths(folders).unwrap())];
        for name in ["RUSTUP_HOME", "RUSTUP_TOOLCHAIN", "LANG"] {
            vars.extend(std::env::var_os(name).map(|value| (name.into(), value)));
        }
        let rustup = home::home_dir().map(|home| home.join(".rustup")).filter(|folder| folder.is_dir());
        if let (None, Some(folder)) = (std::env::var_os("RUSTUP_HOME"), rustup) {
            vars.push(("RUSTUP_HOME".into(), folder.into()));
        }
        vars
    };
    BASE.get_or_init(make).clone()
}

/// Where the toolchain in use lies.
pub fn sysroot() -> &'static Path {
    static SYSROOT: OnceLock<PathBuf> = OnceLock::new();
    SYSROOT.get_or_init(|| {
        let output = Command::new("rustc").args(["--print", "sysroot"]).output().unwrap();
        PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
    })
}
