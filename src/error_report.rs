//! Gives every error its class, hint and exit code. A failing user sees only this text.
//!
//! The layers below raise typed errors: a lowercase message with the path inside, and the cause in the chain. This
//! module maps each of them to a class (which decides the exit code) and to a hint for the next step. Each layer has
//! one file below.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use crate::bounded_read;
use crate::bundle::open::resembles_bundle;
use crate::bundle::sanitize::sanitize_lines;
use crate::diagnostics::shell_quote;
use crate::error_chain;

mod bundle;
mod channel_manifest;
mod lock_coverage;
mod fetch;
mod resolve;
mod inputs;
mod mirror;
mod live;
mod server;
mod server_config;
mod toolchain_download;
mod network;

pub use bundle::COPY_AGAIN_HINT;
pub use mirror::COPIED_RECORD_HINT;
pub use mirror::LOST_RECORD_HINT;
pub use mirror::LOST_STATE_HINT;
pub use mirror::records_hint;

/// Hint for a toolchain that rustup selects but has not installed.
const NO_TOOLCHAIN_HINT: &str =
    "install a toolchain with `rustup toolchain install stable`, or select an installed one with RUSTUP_TOOLCHAIN=NAME";

/// Hint without a cargo.
const NO_CARGO_HINT: &str = "install Rust with rustup, or set the variable CARGO to the path of a cargo";

/// The hint for a cargo that the system does not start.
fn hint_for_unstarted_cargo(program: &Path, error: &io::Error) -> String {
    let other = "or set the variable CARGO to the path of another cargo";
    match error.kind() {
        _ if program.components().count() == 1 => NO_CARGO_HINT.to_owned(),
        _ if program.is_dir() => "a folder is no program; set the variable CARGO to the path of a cargo".to_owned(),
        _ if !program.is_file() => NO_CARGO_HINT.to_owned(),
        io::ErrorKind::PermissionDenied => {
            format!("make it executable with `chmod +x {}`, {other}", shell_quote(program))
        }
        io::ErrorKind::NotFound => {
            format!("the file exists, but the interpreter or the loader that it names does not: install that, {other}")
        }
        _ => format!("check that this file is a program for this machine, {other}"),
    }
}

/// The hint for a system error that cargo reports, for example about a rustc or git that does not start.
fn hint_for_cargo_system_error(error: &io::Error, stderr: &str) -> Option<String> {
    let is_start = error.kind() == io::ErrorKind::PermissionDenied && stderr.contains("could not execute process");
    match is_start {
        true => Some("the message names the program that cargo could not start: make it executable with `chmod +x`, or set PATH or the variable RUSTC to another one".to_owned()),
        false => io_hint(error),
    }
}

/// The class of a failure. It decides the exit code. Published numbers never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// A bug in this program.
    Bug,
    /// The command line is invalid in a way that the argument parser does not detect.
    Usage,
    /// A file or a setting of the user is invalid.
    Input,
    /// A checksum mismatch, a malformed bundle or a missing base.
    Integrity,
    /// Upstream is unreachable or refuses the request.
    Network,
    /// Another process has locked the mirror.
    Locked,
    /// A disk error: full, read-only or no permission.
    Disk,
    /// The user interrupted the run.
    Interrupted,
}

impl ErrorClass {
    /// Every class, in the order of the exit codes.
    pub const ALL: [ErrorClass; 8] = [
        ErrorClass::Bug,
        ErrorClass::Usage,
        ErrorClass::Input,
        ErrorClass::Integrity,
        ErrorClass::Network,
        ErrorClass::Locked,
        ErrorClass::Disk,
        ErrorClass::Interrupted,
    ];

    /// The process's exit code.
    pub fn code(self) -> u8 {
        match self {
            ErrorClass::Bug => 1,
            ErrorClass::Usage => 2,
            ErrorClass::Input => 3,
            ErrorClass::Integrity => 4,
            ErrorClass::Network => 5,
            ErrorClass::Locked => 6,
            ErrorClass::Disk => 7,
            ErrorClass::Interrupted => 130,
        }
    }

    /// The meaning of the exit code, for the help and the guide.
    pub fn meaning(self) -> &'static str {
        match self {
            ErrorClass::Bug => "unexpected: a bug, please report",
            ErrorClass::Usage => "usage: an invalid command line",
            ErrorClass::Input => {
                "input: depends.toml, Cargo.lock, a missing file, an address in use, no cargo, no resolution"
            }
            ErrorClass::Integrity => "integrity: a checksum, a malformed bundle, a missing base, an incomplete closure",
            ErrorClass::Network => "network: upstream is unreachable or refuses a request",
            ErrorClass::Locked => "the mirror is locked by another process",
            ErrorClass::Disk => "disk: full, read-only, no permission",
            ErrorClass::Interrupted => "interrupted",
        }
    }
}

/// Every exit code with its meaning, in ascending order.
pub fn exit_codes() -> impl Iterator<Item = (u8, &'static str)> {
    std::iter::once((0, "success")).chain(ErrorClass::ALL.map(|class| (class.code(), class.meaning())))
}

/// A failure as it is shown to the user.
#[derive(Debug)]
pub struct Failure {
    /// The class decides the exit code.
    pub class: ErrorClass,
    /// The operation that failed, with its file or crate: the first line. `None`: the first line of the cause is used.
    pub context: Option<String>,
    /// The cause, with its chain of sources.
    pub cause: Box<dyn Error + Send + Sync>,
    /// The next step for the user.
    pub hint: Option<String>,
}

impl Failure {
    /// Creates a failure without a hint.
    pub fn new(class: ErrorClass, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Failure {
        Failure { class, context: None, cause: cause.into(), hint: None }
    }

    /// Sets the operation that failed.
    #[must_use]
    pub fn context(mut self, context: impl Into<String>) -> Failure {
        // An interrupt is no failure of what was being done.
        if self.class != ErrorClass::Interrupted {
            self.context = Some(context.into());
        }
        self
    }

    /// Sets the next step for the user.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }

    /// Creates a failure from an error of the disk or the file system. The kind of `source` decides the class and the
    /// hint.
    pub fn io(context: impl Into<String>, source: io::Error) -> Failure {
        let class = io_class(&source);
        let hint = io_hint(&source);
        let failure = Failure::new(class, source).context(context);
        Failure { hint, ..failure }
    }

    /// The failure in one line, without its hint and control characters.
    pub fn one_line(&self) -> String {
        replace_control(&error_chain::join_messages(self.context.as_deref().unwrap_or_default(), self.cause.as_ref()))
    }

    /// The process's exit code.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.class.code())
    }
}

/// Replaces control, invisible and direction characters except line breaks with U+FFFD, so that external text cannot
/// control the terminal.
pub fn replace_control(text: &str) -> String {
    sanitize_lines(text)
}

/// `Input` if the file does not exist, otherwise `Disk`.
pub fn io_class(error: &io::Error) -> ErrorClass {
    match error.kind() {
        io::ErrorKind::NotFound => ErrorClass::Input,
        _ => ErrorClass::Disk,
    }
}

/// The class and the hint for a file that was not read.
fn class_and_hint_of_read(error: &bounded_read::Error) -> (ErrorClass, Option<String>) {
    let hint = match error {
        bounded_read::Error::Io { source, .. } => return (io_class(source), io_hint(source)),
        bounded_read::Error::TooLarge { .. } => "check that this is the file you meant",
        bounded_read::Error::Binary { path, start, .. } if resembles_bundle(path, start) => {
            let file = shell_quote(path);
            let hint = format!(
                "it is a bundle: `cargo frostmirror verify {file}` checks it, `cargo frostmirror import {file}` imports it, \
                 and `cargo frostmirror fetch` takes it with `--reuse` or `--base`"
            );
            return (ErrorClass::Input, Some(hint));
        }
        bounded_read::Error::Binary { .. } => "check that this is the file you meant",
        bounded_read::Error::NotUtf8 { .. } => "correct the file, and run the same command again",
    };
    (ErrorClass::Input, Some(hint.to_owned()))
}

/// The hint for an error of the file system, if there is one.
pub fn io_hint(error: &io::Error) -> Option<String> {
    use io::ErrorKind;
    let hint = match error.kind() {
        ErrorKind::StorageFull => "free some space on that disk and run the same command again",
        ErrorKind::ReadOnlyFilesystem => "the file system is read-only; choose a folder on another one",
        ErrorKind::PermissionDenied => "check the permissions and the owner of the file and of its folder",
        ErrorKind::QuotaExceeded => "your disk quota is used up; free some space, or choose another disk",
        ErrorKind::FileTooLarge => {
            "the file is too large for that file system or for the limit of `ulimit -f`; choose another disk, or raise the limit"
        }
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
            "a file exists where a folder is needed; choose another path"
        }
        ErrorKind::IsADirectory => "a folder exists where a file is needed; check its content, and move it away",
        _ => return None,
    };
    Some(hint.to_owned())
}

impl fmt::Display for Failure {
    /// Uses the form of cargo: a first line, then `Caused by:` with the chain. The hint is printed separately.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let causes = error_chain::causes(self.cause.as_ref()).map(ToString::to_string);
        let mut chain: Vec<String> = causes.map(|text| replace_control(&text)).collect();
        // Transparent wrappers repeat the message of their source.
        chain.dedup();
        if let Some(doing) = &self.context {
            chain.insert(0, replace_control(doing));
        }
        let mut lines = chain.into_iter();
        f.write_str(&lines.next().unwrap_or_default())?;
        let causes: Vec<String> = lines.collect();
        if !causes.is_empty() {
            f.write_str("\n\nCaused by:")?;
            for line in causes.iter().flat_map(|cause| cause.trim_end().split('\n')) {
                match line.trim_end() {
                    "" => writeln!(f)?,
                    line => write!(f, "\n  {line}")?,
                }
            }
        }
        Ok(())
    }
}
