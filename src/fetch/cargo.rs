//! The cargo that this program runs: found, checked for its version, and isolated from everything but the index on
//! loopback.
//!
//! A run has its own CARGO_HOME and its own environment. From the user's environment it keeps the path to the toolchain
//! and the settings that decide which versions are chosen: `[resolver]` and `[unstable]` of the configuration, and the
//! variables for them. The user's proxies, registries and flags are not passed on. If cargo fetches git dependencies of
//! a workspace, it also gets the network settings: proxies, certificate authorities and how to run git.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
use tokio::process::Command;

use crate::crate_id::Version;
use crate::env::{Env, NO_TOOLCHAIN_INSTALL, find_program};
use crate::event::Sink;
use crate::fetch::local_registry::LocalRegistry;
use crate::http::redact_urls;
use crate::upstream::cargo_config::CargoConfig;

/// The oldest cargo that uses sparse registries by default.
pub const MIN_CARGO_VERSION: Version = Version::new(1, 70, 0);
/// The first cargo with the resolver of new projects, which prefers versions that the running rustc can build.
const FIRST_WITH_RESOLVER_3: Version = Version::new(1, 84, 0);
/// The name of the loopback index in the configuration of the cargo that this program runs.
pub(super) const SNAPSHOT_SOURCE: &str = "frostmirror-snapshot";

/// Removes the address of the loopback index from cargo's message, and the advice that goes with it, because the user
/// does not know that index. Messages without it are unchanged.
pub(super) fn hide_snapshot_source(message: &str) -> String {
    if !message.contains(SNAPSHOT_SOURCE) {
        return message.to_owned();
    }
    let lines = message.lines().filter(|line| !line.contains("forgotten to be re-vendored"));
    lines
        .collect::<Vec<_>>()
        .join("\n")
        .replace(&format!("`{SNAPSHOT_SOURCE}` index (which is replacing registry `crates-io`)"), "crates.io index")
        .replace(&format!("`{SNAPSHOT_SOURCE}` index"), "crates.io index")
}

/// Reports what cargo printed, line by line, without credentials and without the loopback index.
pub(super) fn trace_output(stderr: &str, sink: &dyn Sink) {
    for line in hide_snapshot_source(stderr).lines().filter(|line| !line.trim().is_empty()) {
        sink.trace("Cargo", redact_urls(line.trim()));
    }
}

/// Variables that the child process keeps: how to find and start the toolchain, but no behaviour settings.
const PASSED_VARS: [&str; 16] = [
    "PATH",
    "HOME",
    "USERPROFILE",
    "SYSTEMROOT",
    "SystemRoot",
    "WINDIR",
    "COMSPEC",
    "PATHEXT",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "DYLD_FALLBACK_LIBRARY_PATH",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "RUSTC",
    "RUSTC_BOOTSTRAP",
    "CARGO_RESOLVER_INCOMPATIBLE_RUST_VERSIONS",
];

/// Prefix of other variables that the child process keeps.
const PASSED_VAR_PREFIX: &str = "CARGO_UNSTABLE_";

/// Additional variables for a workspace, because cargo itself fetches its git dependencies.
const PASSED_VARS_FOR_GIT: [&str; 21] = [
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "SSH_AUTH_SOCK",
    "SSH_ASKPASS",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_ASKPASS",
    "GIT_SSL_CAINFO",
    "GIT_SSL_CAPATH",
    "GIT_CONFIG_GLOBAL",
    "XDG_CONFIG_HOME",
    "CARGO_NET_GIT_FETCH_WITH_CLI",
    "CARGO_HTTP_PROXY",
    "CARGO_HTTP_CAINFO",
    "CARGO_HTTP_SSL_VERSION",
    "CARGO_HTTP_CHECK_REVOKE",
];

/// A cargo that can be run.
#[derive(Clone, Debug)]
pub struct Cargo {
    program: OsString,
    version: Version,
    vars: Vec<(OsString, OsString)>,
    git_vars: Vec<(OsString, OsString)>,
    /// Hosts that the user excludes from proxies.
    no_proxy: String,
    /// `[resolver]` and `[unstable]` of the user's configuration.
    resolver_config: toml::Table,
    scratch: PathBuf,
}

/// Why cargo could not be run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It did not start.
    #[error("could not run `{}`", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// The system error.
        source: io::Error,
    },
    /// It started, but its version is unknown.
    #[error("`{} --version` does not print a version of cargo: {output}", program.display())]
    UnknownVersion {
        /// The program.
        program: PathBuf,
        /// The beginning of its output.
        output: String,
    },
    /// Its version is too old.
    #[error("`{}` is cargo {found}, and cargo {MIN_CARGO_VERSION} or newer is needed", program.display())]
    TooOld {
        /// The program.
        program: PathBuf,
        /// Its version.
        found: Version,
    },
    /// Its work folders could not be created.
    #[error("could not create a work folder for cargo")]
    Folder(#[source] io::Error),
    /// The disk or the file system failed while cargo ran.
    #[error("cargo could not use the file system\n{stderr}")]
    System {
        /// Cargo's own message.
        stderr: String,
        /// The system error in that message.
        source: io::Error,
    },
}

/// The system error that made cargo fail, read from its stderr: a full disk, a used up quota, a read-only file system, a
/// file that is too large, or no permission. `None` if the message names none of them.
pub fn system_error(stderr: &str) -> Option<io::Error> {
    use io::ErrorKind;
    // libgit2, git and curl give these texts without a number.
    const TEXTS: [(&str, ErrorKind); 3] = [
        ("No space left on device", ErrorKind::StorageFull),
        ("Disk quota exceeded", ErrorKind::QuotaExceeded),
        ("Read-only file system", ErrorKind::ReadOnlyFilesystem),
    ];
    let numbers = stderr.split("(os error ").skip(1).filter_map(|rest| rest.split_once(')')?.0.parse().ok());
    let numbered = numbers.map(io::Error::from_raw_os_error).find(|error| {
        matches!(
            error.kind(),
            ErrorKind::StorageFull
                | ErrorKind::QuotaExceeded
                | ErrorKind::ReadOnlyFilesystem
                | ErrorKind::FileTooLarge
                | ErrorKind::PermissionDenied
        )
    });
    let by_text = || TEXTS.iter().find(|(text, _)| stderr.contains(text)).map(|(_, kind)| io::Error::from(*kind));
    numbered.or_else(by_text)
}

/// Time in which an interrupt that ended cargo also reaches this process: Ctrl-C is sent to both.
pub const OWN_SIGNAL_TIMEOUT: Duration = Duration::from_secs(2);

/// Whether a signal to stop ended a process. Its failure is then no failure of the work.
pub fn was_interrupted(status: ExitStatus) -> bool {
    #[cfg(unix)]
    {
        use rustix::process::Signal;
        use std::os::unix::process::ExitStatusExt as _;
        let signals = [Signal::INT, Signal::TERM, Signal::HUP].map(Signal::as_raw);
        status.signal().is_some_and(|signal| signals.contains(&signal))
    }
    #[cfg(not(unix))]
    {
        // STATUS_CONTROL_C_EXIT
        status.code() == Some(0xC000_013A_u32.cast_signed())
    }
}

/// Receives each line that cargo prints on stderr, when it prints it.
pub type OnLine<'l> = &'l (dyn Fn(&str) + Sync);

/// Runs cargo to its end, and reports its stderr line by line meanwhile. Dropping the future stops cargo.
async fn run_to_end(mut command: Command, on_line: OnLine<'_>) -> io::Result<Output> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn()?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (stdout, stderr) = tokio::try_join!(read_all(stdout), read_lines(stderr, on_line))?;
    let output = Output { status: child.wait().await?, stdout, stderr };
    Ok(after_signal(output).await)
}

async fn read_all(pipe: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        pipe.read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

async fn read_lines(pipe: Option<impl AsyncRead + Unpin>, on_line: OnLine<'_>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let Some(pipe) = pipe else { return Ok(bytes) };
    let mut pipe = BufReader::new(pipe);
    loop {
        let start = bytes.len();
        if pipe.read_until(b'\n', &mut bytes).await? == 0 {
            return Ok(bytes);
        }
        on_line(&String::from_utf8_lossy(bytes.get(start..).unwrap_or_default()));
    }
}

/// Lets an interrupt cancel the caller before it reports the end of cargo as a failure. If there is none, the output names
/// the signal.
async fn after_signal(mut output: Output) -> Output {
    if was_interrupted(output.status) {
        tokio::time::sleep(OWN_SIGNAL_TIMEOUT).await;
    }
    if output.status.code().is_none() {
        output.stderr.extend_from_slice(format!("error: cargo was ended by {}\n", output.status).as_bytes());
    }
    output
}

/// The result of a run.
#[derive(Debug)]
pub struct CargoOutput {
    /// Whether cargo succeeded.
    pub success: bool,
    /// The text on stderr.
    pub stderr: String,
}

impl Cargo {
    /// Finds the cargo that `CARGO` names (cargo sets it for its subcommands), otherwise the one on PATH. Its version
    /// is queried in `cwd`, the user's own folder. `scratch` is the parent of its work folders and temporary files.
    pub async fn find(env: &Env, cwd: &Path, scratch: &Path) -> Result<Cargo, Error> {
        let keep = |names: &[&str]| -> Vec<(OsString, OsString)> {
            names.iter().filter_map(|name| Some((OsString::from(name), env.var_os(name)?.to_owned()))).collect()
        };
        let mut cargo = Cargo {
            program: env.var_os("CARGO").unwrap_or(OsStr::new("cargo")).to_owned(),
            version: MIN_CARGO_VERSION,
            vars: keep(&PASSED_VARS),
            git_vars: keep(&PASSED_VARS_FOR_GIT),
            no_proxy: env.var("no_proxy").or_else(|| env.var("NO_PROXY")).unwrap_or_default().to_owned(),
            resolver_config: toml::Table::new(),
            scratch: scratch.to_owned(),
        };
        let unstable = env.iter().filter(|(name, _)| name.to_string_lossy().starts_with(PASSED_VAR_PREFIX));
        cargo.vars.extend(unstable.map(|(name, value)| (name.to_owned(), value.to_owned())));
        if env.var_os("CARGO").is_none() && env.var_os("RUSTUP_TOOLCHAIN").is_none() {
            cargo.follow_toolchain_file(cwd).await;
        }
        let mut command = Command::from(cargo.base_command(&cargo.program, cwd));
        command.arg("--version").kill_on_drop(true);
        let output = command.output().await;
        let output = output.map_err(|source| cargo.start_error(source))?;
        let version_output = String::from_utf8_lossy(&output.stdout).into_owned();
        let version = parse_version(&version_output);
        let program = PathBuf::from(&cargo.program);
        match version {
            None => {
                let stderr = String::from_utf8_lossy(&output.stderr);
                if let Some(source) = system_error(&stderr) {
                    return Err(Error::System { stderr: stderr.trim().to_owned(), source });
                }
                let shown_output = if version_output.is_empty() {
                    String::from_utf8_lossy(&output.stderr)
                } else {
                    version_output.into()
                };
                let said = shown_output.trim().chars().take(300).collect();
                Err(Error::UnknownVersion { program, output: said })
            }
            Some(found) if found < MIN_CARGO_VERSION => Err(Error::TooOld { program, found }),
            Some(version) => Ok(Cargo { version, ..cargo }),
        }
    }

    /// Returns the same cargo with the user's settings that affect its behaviour.
    #[must_use]
    pub fn with_config(mut self, config: &CargoConfig) -> Cargo {
        // If a variable is set twice, the later value counts.
        let vars = config.git_vars().iter();
        self.git_vars.extend(vars.map(|(name, value)| (OsString::from(name), OsString::from(value))));
        self.resolver_config = config.resolver_config().clone();
        self
    }

    /// The parent of its work folders.
    pub fn scratch(&self) -> &Path {
        &self.scratch
    }

    /// Its version.
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// The resolver that a new project gets from this cargo.
    pub fn default_resolver(&self) -> &'static str {
        if self.version >= FIRST_WITH_RESOLVER_3 { "3" } else { "2" }
    }

    /// Runs cargo for the project of `manifest`, an absolute path, with an empty CARGO_HOME and the loopback index as
    /// crates.io. Dropping the future stops cargo.
    pub async fn run_for_manifest(
        &self,
        loopback: &LocalRegistry,
        manifest: &Path,
        args: &[&str],
        on_line: OnLine<'_>,
    ) -> Result<CargoOutput, Error> {
        let home = CargoHome::create(loopback, &self.resolver_config, &self.scratch).map_err(Error::Folder)?;
        // Cargo searches for configuration from the current folder upward. A folder above the project may have the
        // user's configuration, but the root of the file system has none.
        let root = manifest.ancestors().last().unwrap_or(manifest);
        let mut command = self.isolated_command(&home, root, args);
        command.arg("--manifest-path").arg(manifest);
        let output = run_to_end(Command::from(command), on_line).await;
        let output = output.map_err(|source| self.start_error(source))?;
        Ok(CargoOutput {
            success: output.status.success(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Likewise in the folder of a workspace. Cargo may fetch git dependencies itself. Dropping the future stops cargo.
    pub async fn run_for_workspace(
        &self,
        loopback: &LocalRegistry,
        folder: &Path,
        args: &[&str],
        on_line: OnLine<'_>,
    ) -> io::Result<Output> {
        let home = CargoHome::create(loopback, &self.resolver_config, &self.scratch)?;
        let mut command = self.isolated_command(&home, folder, args);
        command.envs(self.git_vars.iter().map(|(name, value)| (name, value)));
        run_to_end(Command::from(command), on_line).await
    }

    fn isolated_command(&self, home: &CargoHome, folder: &Path, args: &[&str]) -> std::process::Command {
        let mut command = self.base_command(&self.program, folder);
        let no_proxy = format!("127.0.0.1,{}", self.no_proxy);
        let no_proxy = no_proxy.trim_end_matches(',');
        command
            .env("CARGO_HOME", home.path())
            // Overrides every proxy setting of the environment and of configuration files.
            .env("no_proxy", no_proxy)
            .env("NO_PROXY", no_proxy)
            // The command line overrides the configuration files of a workspace and the environment. The setting is in
            // a file, because other users can read a command line, and the address is a secret.
            .arg("--config")
            .arg(home.config_path())
            .args(args);
        command
    }

    fn base_command(&self, program: &OsStr, folder: &Path) -> std::process::Command {
        let mut command = std::process::Command::new(program);
        command
            .current_dir(folder)
            .env_clear()
            .envs(self.vars.iter().map(|(name, value)| (name, value)))
            // A resolution needs no installation of toolchains.
            .envs(NO_TOOLCHAIN_INSTALL)
            .envs(["TMPDIR", "TEMP", "TMP"].map(|name| (name, &self.scratch)))
            .env("CARGO_TERM_COLOR", "never")
            .env("CARGO_TERM_QUIET", "false")
            .env("CARGO_TERM_PROGRESS_WHEN", "never")
            .stdin(Stdio::null());
        command
    }

    /// Passes the toolchain that rustup selects in the user's folder to cargo, which runs in other folders, where the
    /// toolchain file does not count. Without rustup this does nothing.
    async fn follow_toolchain_file(&mut self, cwd: &Path) {
        let mut command = Command::from(self.base_command(OsStr::new("rustup"), cwd));
        command.args(["show", "active-toolchain"]);
        let Ok(output) = command.kill_on_drop(true).output().await else {
            return;
        };
        let active_toolchain = String::from_utf8_lossy(&output.stdout);
        let toolchain = active_toolchain.split_whitespace().next();
        if let Some(toolchain) = toolchain.filter(|_| output.status.success()) {
            self.vars.push(("RUSTUP_TOOLCHAIN".into(), toolchain.into()));
        }
    }

    fn start_error(&self, source: io::Error) -> Error {
        let path = self.vars.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.as_os_str());
        Error::Start { program: find_program(&self.program, path), source }
    }
}

/// The version of the cargo that runs in `cwd`; `None` if there is no cargo or its version is unknown.
pub fn version_of(env: &Env, cwd: &Path) -> Option<Version> {
    let cargo = env.path("CARGO").unwrap_or_else(|| PathBuf::from("cargo"));
    parse_version(&run_for_stdout(&cargo, &["--version"], cwd, env)?)
}

/// The version in the output of `cargo --version`.
fn parse_version(output: &str) -> Option<Version> {
    output.split_whitespace().nth(1)?.parse().ok()
}

/// The stdout of a program that succeeds, with exactly the user's environment.
pub(super) fn run_for_stdout(program: &Path, args: &[&str], folder: &Path, env: &Env) -> Option<String> {
    let mut command = std::process::Command::new(program);
    command.args(args).current_dir(folder).env_clear().envs(env.iter()).stdin(Stdio::null());
    let output = command.envs(NO_TOOLCHAIN_INSTALL).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A separate CARGO_HOME for each run: cargo locks its home while it resolves, so runs with a shared home would wait
/// for each other.
struct CargoHome(TempDir);

impl CargoHome {
    fn create(loopback: &LocalRegistry, decisions: &toml::Table, scratch: &Path) -> io::Result<CargoHome> {
        let home = tempfile::Builder::new().prefix("cargo-").tempdir_in(scratch)?;
        let mut config = toml_edit::DocumentMut::new();
        let address = format!("sparse+{}", loopback.address());
        config["source"]["crates-io"]["replace-with"] = toml_edit::value(SNAPSHOT_SOURCE);
        config["source"][SNAPSHOT_SOURCE]["registry"] = toml_edit::value(address);
        // This program's client retries upstream, so cargo need not retry. Cargo must wait until those retries end.
        config["net"]["retry"] = toml_edit::value(0);
        config["net"]["offline"] = toml_edit::value(false);
        config["http"]["timeout"] = toml_edit::value(24 * 60 * 60);
        config["http"]["low-speed-limit"] = toml_edit::value(0);
        // Without it, cargo requests HTTP/2 every time.
        config["http"]["multiplexing"] = toml_edit::value(false);
        let home = CargoHome(home);
        // The tables of `decisions` have other names than those above.
        std::fs::write(home.config_path(), format!("{config}\n{decisions}"))?;
        Ok(home)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn config_path(&self) -> PathBuf {
        self.0.path().join("snapshot.toml")
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn system_errors_are_read_from_the_message_of_cargo() {
        let cases = [
            (
                "error: failed to write `/tmp/project-a/Cargo.lock`\n\nCaused by:\n  No space left on device (os error 28)",
                Some(io::ErrorKind::StorageFull),
            ),
            ("Caused by:\n  Permission denied (os error 13)", Some(io::ErrorKind::PermissionDenied)),
            ("Caused by:\n  Read-only file system (os error 30)", Some(io::ErrorKind::ReadOnlyFilesystem)),
            ("failed to write: No space left on device; class=Os (2)", Some(io::ErrorKind::StorageFull)),
            // ssh: the server refuses the key.
            ("git@example.com: Permission denied (publickey).", None),
            ("Caused by:\n  Connection refused (os error 111)", None),
            ("Caused by:\n  No such file or directory (os error 2)", None),
            ("error: no matching package named `nope` found (os error x)", None),
        ];
        for (stderr, expected) in cases {
            assert_eq!(system_error(stderr).map(|error| error.kind()), expected, "{stderr}");
        }
    }
}
