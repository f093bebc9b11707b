//! The folder of `frostmirror.toml` and `depends.toml`: the server's settings and the operator's dependency list.
//!
//! | module | what it does |
//! |---|---|
//! | [`settings`] | parses and validates `frostmirror.toml` |
//! | [`settings_store`] | the settings of a running server |
//! | [`edit`] | edits the file and keeps comments and order |
//! | [`snapshot_config`] | selects the settings of a snapshot, and restores them on another host |

pub mod edit;
pub mod settings_store;
mod overrides;
pub mod settings;
pub mod snapshot_config;

pub use overrides::{Overrides, Source};
pub use settings::{DEFAULT_BIND, Key, Settings};
pub use settings_store::{SettingsChange, SettingsStore};
pub use snapshot_config::{Error, OmittedKeys, SnapshotFile, check_files, files_for_snapshot, restore_files};

/// The server's settings.
pub const SERVER: &str = "frostmirror.toml";
/// The dependency list.
pub const DEPENDS: &str = "depends.toml";
/// Both files, in processing order.
pub const CONFIG_FILES: [&str; 2] = [SERVER, DEPENDS];

/// The access mode of a new configuration file.
const NEW_FILE_MODE: u32 = 0o644;
