//! Class, hint and exit code of every error; the only text that a failing user sees.
//!
//! Rooms raise typed errors: a lowercase fragment with the path inside, the cause in the chain. Here each of them is
//! given its class (which decides the exit code) and a hint that says what to do next. One file a room, below.

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

mod bundle;
mod channel_manifest;
mod lock_coverage;
mod fetch;
mod gather;
mod inputs;
mod mirror;
mod live;
mod server;
mod server_config;
mod toolchain_download;
mod network;

/// For a toolchain that rustup is told to use and does not have.
const NO_TOOLCHAIN_HINT: &str =
    "install a toolchain with `rustup toolchain install stable`, or choose an installed one with RUSTUP_TOOLCHAIN=NAME";

/// What kind of failure; decides the exit code. Published numbers never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// A bug of this tool.
    Bug,
    /// The command line is wrong beyond what the parser sees.
    Usage,
    /// A file or setting that the user gave.
    Input,
    /// A checksum, a malformed bundle, a missing base.
    Integrity,
    /// Upstream is unreachable or refuses.
    Network,
    /// The mirror is held by another process.
    Locked,
    /// The disk: full, read-only, no permission.
    Disk,
    /// The user stopped it.
    Interrupted,
}

impl ErrorClass {
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
}

/// The table that the help of every verb ends with.
pub const EXIT_CODES: &str = "\
Exit codes:
    0  done
    1  unexpected: a bug, please report
    2  usage
    3  input: depends.toml, Cargo.lock, a missing file, an address in use, no cargo, no resolution
    4  integrity: a checksum, a malformed bundle, a missing base, an incomplete closure
    5  network: upstream unreachable or refusing
    6  the mirror is locked by another process
    7  disk: full, read-only, no permission
  130  interrupted";

/// A failure as the user is told of it.
#[derive(Debug)]
pub struct Failure {
    /// Decides the exit code.
    pub class: ErrorClass,
    /// What was being done, to which file or crate; the first line. `None`: the cause's own first line serves.
    pub context: Option<String>,
    /// Why it failed, with its chain.
    pub cause: Box<dyn Error + Send + Sync>,
    /// What to do next.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure without a hint.
    pub fn new(class: ErrorClass, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Failure {
        Failure { class, context: None, cause: cause.into(), hint: None }
    }

    /// Says what was being done.
    #[must_use]
    pub fn context(mut self, context: impl Into<String>) -> Failure {
        self.context = Some(context.into());
        self
    }

    /// Says what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }

    /// A failure of the disk or the file system at hand; the class and the hint follow from what the system said.
    pub fn io(context: impl Into<String>, source: std::io::Error) -> Failure {
        let class = io_class(&source);
        let hint = io_hint(&source);
        let failure = Failure::new(class, source).context(context);
        Failure { hint, ..failure }
    }

    /// The process's exit code.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.class.code())
    }
}

/// A text from outside must not steer the terminal: control characters become visible, line breaks stay.
pub fn replace_control(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// Input where the named file is not there, disk for everything else.
pub fn io_class(error: &std::io::Error) -> ErrorClass {
    match error.kind() {
        std::io::ErrorKind::NotFound => ErrorClass::Input,
        _ => ErrorClass::Disk,
    }
}

/// What to do about an error of the file system, where there is something to say.
pub fn io_hint(error: &std::io::Error) -> Option<String> {
    use std::io::ErrorKind;
    let hint = match error.kind() {
        ErrorKind::StorageFull => "free some space on that disk and run the same command again",
        ErrorKind::ReadOnlyFilesystem => "the file system is read-only; choose a folder on another",
        ErrorKind::PermissionDenied => "check who owns the folder, or choose another",
        ErrorKind::QuotaExceeded => "your share of that disk is used up; free some of it, or choose another disk",
        ErrorKind::FileTooLarge => "that file system, or a limit (`ulimit -f`), has no room for so large a file",
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
            "a file is where a folder should be; choose another place"
        }
        ErrorKind::IsADirectory => "a folder is where a file should be; look at what is in it, and move it away",
        _ => return None,
    };
    Some(hint.to_owned())
}

impl fmt::Display for Failure {
    /// Cargo's form: a first line, `Caused by:` with the chain, then the hint.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut chain: Vec<String> = Vec::new();
        let mut next: Option<&dyn Error> = Some(self.cause.as_ref());
        while let Some(error) = next {
            let line = replace_control(&error.to_string());
            // Transparent wrappers repeat their source's words.
            if chain.last() != Some(&line) {
                chain.push(line);
            }
            next = error.source();
        }
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
