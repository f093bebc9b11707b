//! Arguments of `setup`.

use std::path::PathBuf;

use clap::ValueEnum;

/// Arguments of `setup`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Server URL
    #[arg(long, value_name = "URL", default_value = "http://localhost:8080", conflicts_with = "local")]
    pub url: String,
    /// Use the mirror on this machine's disk, without a server
    #[arg(long)]
    pub local: bool,
    /// Mirror for --local [default: /mirror, else ~/.frostmirror/mirror]
    ///
    /// Mirror for --local. The default is FROSTMIRROR_MIRROR, else /mirror if it exists, as in a container, else `mirror` in
    /// FROSTMIRROR_HOME.
    #[arg(long, value_name = "DIR", requires = "local")]
    pub mirror: Option<PathBuf>,
    /// CA certificates (PEM) with which clients trust the server
    ///
    /// CA certificates (PEM) with which cargo and rustup trust the server.
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Revocation check of cargo on Windows
    ///
    /// Whether cargo on Windows checks revocation lists. A closed network usually has none: set it to `false` there.
    #[arg(long, value_name = "BOOL")]
    pub check_revoke: Option<bool>,
    /// Configure cargo for a server that requires a read token
    ///
    /// Configure cargo for a server that requires a read token. Cargo then sends the token that `cargo login` stored.
    #[arg(long, conflicts_with = "local")]
    pub auth_required: bool,
    /// Print rustup's variables only
    ///
    /// Print rustup's variables only, as commands of this shell. The server is not contacted.
    #[arg(long, value_name = "SHELL", conflicts_with = "write")]
    pub env: Option<Shell>,
    /// Write cargo's part to $CARGO_HOME/config.toml
    ///
    /// Write cargo's part to $CARGO_HOME/config.toml, and keep its other keys. Rustup can only be configured by variables.
    #[arg(long)]
    pub write: bool,
    /// Do not contact the server
    ///
    /// Do not contact the server. Without this option, a warning says what keeps cargo from using the server.
    #[arg(long, conflicts_with = "local")]
    pub offline: bool,
    /// Undo the changes of --write
    ///
    /// Undo the changes of --write. Keys that were changed since then stay as they are.
    #[arg(long, conflicts_with_all = ["write", "url", "local", "ca", "check_revoke", "auth_required", "env", "offline"])]
    pub undo: bool,
}

/// The shell syntax of printed variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// A POSIX shell
    Sh,
    /// PowerShell
    Powershell,
}
