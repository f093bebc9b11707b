//! What a run fetches, and with which access to upstream.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;

use crate::client_setup::BaseUrl;
use crate::env::Env;
use crate::fetch::history::InputRef;
use crate::fetch::resolve::CrateSpec;
use crate::fetch::toolchain_options::ToolchainOptions;
use crate::fetch::workspace::Workspace;
use crate::inputs::depends::DependsFile;
use crate::inputs::input_id::Label;

/// The environment of a run: its folders, its variables and its access to upstream.
#[derive(Clone, Debug)]
pub struct Environment {
    /// The verb of this process, for processes that wait for its locks.
    pub verb: &'static str,
    /// FROSTMIRROR_HOME; contains the caches.
    pub home: PathBuf,
    /// The user's current folder.
    pub cwd: PathBuf,
    /// CARGO_HOME.
    pub cargo_home: Option<PathBuf>,
    /// An absolute path for files that are deleted at the end of the run.
    pub scratch: PathBuf,
    /// The environment variables.
    pub env: Env,
    /// The current time of the clock, independent of the time that the bundle states.
    pub now: Timestamp,
    /// Maximum number of concurrent requests, if the user sets one.
    pub jobs: Option<usize>,
    /// Use only the caches.
    pub offline: bool,
    /// Skip git packages instead of failing.
    pub skip_git: bool,
    /// Skip the packages of these registries instead of failing. Each is a name or the address of an index.
    pub skip_registries: Vec<String>,
    /// Mirrors and bundles whose files are reused if their digest matches.
    pub reuse: Vec<PathBuf>,
}

/// A fetch: its inputs and its output.
pub struct Options {
    /// The inputs. Empty for a repair list, or if inputs are only retired.
    pub inputs: Vec<InputSpec>,
    /// The content of the bundle.
    pub mode: Mode,
    /// The toolchain options of the user.
    pub toolchains: ToolchainOptions,
    /// Inputs of the history to retire.
    pub forget: Vec<InputRef>,
    /// The label of the single input, if the user gives one.
    pub label: Option<Label>,
    /// The environment of the run.
    pub environment: Environment,
    /// The output folder of the bundle.
    pub output: PathBuf,
    /// The folder of the history.
    pub history: PathBuf,
    /// The content of the bundle's `config.json`.
    pub base_url: BaseUrl,
    /// The time that the bundle states for its creation and for the index.
    pub created: Timestamp,
    /// Reports whether the newest bundle of the history is already at its destination.
    pub is_delivered: Option<DeliveryCheck>,
}

/// The content of a bundle.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Everything that the inputs of this run need.
    #[default]
    Full,
    /// Only files that were not sent before.
    Incremental {
        /// The base: every bundle up to this one arrived. An ID or a file; `None` means the newest bundle.
        base: Option<String>,
    },
    /// The files of a repair list, even if they were sent before. The history's inputs stay unchanged.
    Repair {
        /// The repair list.
        list: PathBuf,
    },
}

/// Returns whether the bundle with this ID is at its destination. If the newest bundle is, and nothing is new, no
/// bundle is written.
pub type DeliveryCheck = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// An input of a fetch.
#[derive(Clone, Debug)]
pub enum InputSpec {
    /// A depends.toml, read once: the toolchain request and the resolution see the same text.
    Depends(DependsFile),
    /// Exactly the packages of a Cargo.lock.
    Lockfile(PathBuf),
    /// The Cargo.lock of a workspace. If it does not fit the manifests, cargo resolves a copy of them.
    Workspace(Workspace),
    /// One crate or tool.
    Crate(CrateSpec),
}
