//! The user's workspace, as cargo reads it. This module never writes into it.
//!
//! Plain `cargo metadata` writes a Cargo.lock; `--no-deps` resolves nothing and writes nothing. If a lock is missing or
//! may not fit the manifests, cargo works on a copy of the manifests instead ([`fitting_lock`]).

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use cargo_metadata::{Metadata, MetadataCommand, Package};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::crate_id::CrateId;
use crate::env::{Env, NO_TOOLCHAIN_INSTALL, find_program};
use crate::event::Sink;
use crate::fetch::cargo;
use crate::http::redact_urls;
use crate::inputs::lockfile::{self, ForeignPackage, Lockfile};

mod manifest_copy;

pub use manifest_copy::{FittingLock, LockFit, fitting_lock};

/// A workspace. A package without one is its own workspace.
#[derive(Clone, Debug)]
pub struct Workspace {
    /// The folder of the root manifest.
    pub root: PathBuf,
    /// The found or given manifest: any member's, or the root's.
    pub manifest: PathBuf,
    /// `Cargo.lock` beside the root manifest, if it exists.
    pub lockfile: Option<PathBuf>,
    /// The members, with inherited fields filled in by cargo.
    pub members: Vec<Package>,
}

impl Workspace {
    /// Whether a lock has a package for each requirement of the members, by name and version. Cargo checks more, but needs
    /// every source for that.
    pub fn has_locked_requirements(&self, lockfile: &Lockfile) -> bool {
        let all = self.members.iter().flat_map(|member| &member.dependencies);
        // A path dependency is part of the user's own source tree.
        let mut external = all.filter(|dependency| dependency.source.is_some() && dependency.path.is_none());
        external.all(|dependency| {
            let is_foreign = lockfile.foreign.iter().any(|package| package.name == dependency.name);
            let mut locked = lockfile.packages.keys().chain(lockfile.unbuilt.keys());
            is_foreign || locked.any(|id| id.name.as_str() == dependency.name && dependency.req.matches(&id.version))
        })
    }
}

/// Why a workspace is unusable.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The given manifest does not exist.
    #[error("`{}` does not exist", .0.display())]
    MissingManifest(PathBuf),
    /// Cargo does not start.
    #[error("could not run `{}`", cargo.display())]
    CargoNotStarted {
        /// The program.
        cargo: PathBuf,
        /// The system error.
        source: io::Error,
    },
    /// Cargo rejects the manifest.
    #[error("cargo cannot read `{}`\n{stderr}", manifest.display())]
    InvalidManifest {
        /// The manifest.
        manifest: PathBuf,
        /// Cargo's own message.
        stderr: String,
    },
    /// The output of cargo is unreadable.
    #[error("could not read the output of `cargo metadata` for `{}`", manifest.display())]
    Metadata {
        /// The manifest.
        manifest: PathBuf,
        /// The cause.
        source: cargo_metadata::Error,
    },
    /// A manifest cannot be read, or its copy cannot be written.
    #[error("could not copy the workspace's manifests: `{}`", path.display())]
    Copy {
        /// The file.
        path: PathBuf,
        /// The system error.
        source: io::Error,
    },
    /// Cargo cannot resolve the copy.
    #[error("cargo cannot resolve the workspace `{}`\n{stderr}{}", root.display(), list_lost_versions(lost))]
    Unresolved {
        /// The workspace's root.
        root: PathBuf,
        /// Cargo's own message.
        stderr: String,
        /// The versions of the lock that the index lacks and that no archive has.
        lost: Vec<CrateId>,
    },
    /// Cargo cannot use the lock, because it states another checksum for a package than the index.
    #[error("the Cargo.lock of the workspace `{}` and the index have different checksums\n{stderr}", root.display())]
    ChecksumMismatch {
        /// The workspace's root.
        root: PathBuf,
        /// Cargo's own message.
        stderr: String,
    },
    /// Cargo cannot resolve the copy, because a git repository or another registry does not answer.
    #[error("cargo cannot resolve the workspace `{}`, because it could not reach a source that is not crates.io\n{stderr}{}", root.display(), list_packages(packages))]
    Unreachable {
        /// The workspace's root.
        root: PathBuf,
        /// Cargo's own message.
        stderr: String,
        /// The packages of such sources that the lock has; empty without a lock.
        packages: Vec<ForeignPackage>,
    },
    /// The disk or the file system failed while cargo ran.
    #[error("cargo could not use the file system for `{}`\n{stderr}", path.display())]
    System {
        /// The manifest or the workspace's root.
        path: PathBuf,
        /// Cargo's own message.
        stderr: String,
        /// The system error in that message.
        source: io::Error,
    },
    /// The lock is invalid.
    #[error(transparent)]
    Lockfile(#[from] lockfile::Error),
}

/// The packages of a lock, as the end of a message.
fn list_packages(packages: &[ForeignPackage]) -> String {
    let lines: Vec<String> = packages.iter().map(|package| format!("\n  {package}")).collect();
    if lines.is_empty() { String::new() } else { format!("\nIts Cargo.lock has from such sources:{}", lines.concat()) }
}

/// Versions of a lock that the index lacks, as the end of a message.
fn list_lost_versions(lost: &[CrateId]) -> String {
    let lines: Vec<String> = lost.iter().map(|id| format!("\n  {id}")).collect();
    if lines.is_empty() {
        String::new()
    } else {
        format!("\nThe index lacks these versions of its Cargo.lock:{}", lines.concat())
    }
}

/// Finds the workspace of `folder`: the nearest Cargo.toml upward, as in cargo.
pub fn find(folder: &Path, env: &Env) -> Result<Option<Workspace>, Error> {
    let manifest = folder.ancestors().map(|folder| folder.join("Cargo.toml")).find(|path| path.is_file());
    manifest.map(|manifest| open(&manifest, env)).transpose()
}

/// Opens the workspace of a manifest; `manifest` is absolute, and may be the folder that contains it.
pub fn open(manifest: &Path, env: &Env) -> Result<Workspace, Error> {
    let manifest = if manifest.is_dir() { manifest.join("Cargo.toml") } else { manifest.to_owned() };
    if !manifest.is_file() {
        return Err(Error::MissingManifest(manifest));
    }
    let metadata = read_metadata(&manifest, env)?;
    let root = metadata.workspace_root.into_std_path_buf();
    let lockfile = root.join("Cargo.lock");
    Ok(Workspace { root, manifest, lockfile: lockfile.is_file().then_some(lockfile), members: metadata.packages })
}

/// The workspace's lock without a check whether it fits; `None` if there is none.
pub fn read_lockfile(workspace: &Workspace) -> Result<Option<Lockfile>, lockfile::Error> {
    workspace.lockfile.as_deref().map(Lockfile::read).transpose()
}

/// cargo's metadata for a manifest's workspace. It only reads manifests, without network, and writes nothing.
fn read_metadata(manifest: &Path, env: &Env) -> Result<Metadata, Error> {
    let mut wanted = MetadataCommand::new();
    wanted.cargo_path(cargo_program(env)).manifest_path(manifest).no_deps().other_options(["--offline".to_owned()]);
    let output = run_cargo(wanted.cargo_command(), folder_of(manifest), env)?;
    if !output.status.success() {
        let stderr = stderr_message(&output);
        let manifest = manifest.to_owned();
        return Err(match cargo::system_error(&stderr) {
            Some(source) => Error::System { path: manifest, stderr, source },
            None => Error::InvalidManifest { manifest, stderr },
        });
    }
    let parsed = MetadataCommand::parse(String::from_utf8_lossy(&output.stdout));
    parsed.map_err(|source| Error::Metadata { manifest: manifest.to_owned(), source })
}

/// The cargo that runs this program (it sets CARGO for its subcommands), otherwise the one on PATH.
fn cargo_program(env: &Env) -> PathBuf {
    env.path("CARGO").unwrap_or_else(|| PathBuf::from("cargo"))
}

/// Runs cargo in a folder (a rust-toolchain file there counts), with exactly the user's environment.
fn run_cargo(mut command: Command, folder: &Path, env: &Env) -> Result<Output, Error> {
    with_users_environment(&mut command, folder, env);
    let output = command.output().map_err(|source| could_not_run(env, source))?;
    if cargo::was_interrupted(output.status) {
        // The same interrupt ends this process meanwhile.
        std::thread::sleep(cargo::OWN_SIGNAL_TIMEOUT);
    }
    Ok(output)
}

/// Likewise, for a run that may wait for another cargo; reports the wait. Returns whether cargo succeeded. Dropping the
/// future stops the process.
async fn succeeds(mut command: Command, folder: &Path, env: &Env, sink: &dyn Sink) -> Result<bool, Error> {
    let args: Vec<_> = command.get_args().map(|arg| arg.to_string_lossy().into_owned()).collect();
    sink.detail("Running", format!("`cargo {}` to check whether the Cargo.lock is current", args.join(" ")));
    with_users_environment(&mut command, folder, env);
    let mut command = tokio::process::Command::from(command);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let failed = |source| could_not_run(env, source);
    let mut child = command.spawn().map_err(failed)?;
    if let Some(stderr) = child.stderr.take() {
        let mut lines = BufReader::new(stderr).split(b'\n');
        while let Some(line) = lines.next_segment().await.map_err(failed)? {
            let line = String::from_utf8_lossy(&line);
            if let Some(what) = line.trim_start().strip_prefix("Blocking ") {
                sink.status("Blocking", format!("{what} (another cargo has it)"));
            }
            cargo::trace_output(&line, sink);
        }
    }
    let status = child.wait().await.map_err(failed)?;
    if cargo::was_interrupted(status) {
        tokio::time::sleep(cargo::OWN_SIGNAL_TIMEOUT).await;
    }
    Ok(status.success())
}

fn with_users_environment(command: &mut Command, folder: &Path, env: &Env) {
    command.current_dir(folder).env_clear().envs(env.iter());
    // Reading manifests and resolving need no installation of toolchains.
    command.envs(NO_TOOLCHAIN_INSTALL).env("CARGO_TERM_COLOR", "never").env("CARGO_TERM_QUIET", "false");
}

fn could_not_run(env: &Env, source: io::Error) -> Error {
    Error::CargoNotStarted { cargo: find_program(cargo_program(env).as_os_str(), env.var_os("PATH")), source }
}

/// The message of cargo on stderr, without its status lines.
fn stderr_message(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let from = stderr.find("error: ").unwrap_or(0);
    let message = cargo::hide_snapshot_source(stderr[from..].trim());
    // Cargo prints the URLs of git repositories and registries as they are.
    redact_urls(message.strip_prefix("error: ").unwrap_or(&message))
}

/// Whether cargo's message states that a git repository or a registry is unreachable, rather than that it lacks a
/// reference.
fn is_unreachable(message: &str) -> bool {
    let failed = ["failed to clone into", "failed to fetch into", "`git fetch", "failed to download from"];
    // The repository answered: the branch, the tag or the commit does not exist.
    let lacks = ["revspec", "class=Reference", "couldn't find remote ref", "not our ref", "unadvertised object"];
    failed.iter().any(|part| message.contains(part)) && !lacks.iter().any(|part| message.contains(part))
}

fn folder_of(manifest: &Path) -> &Path {
    manifest.parent().unwrap_or(Path::new("/"))
}
