//! The folder of `frostmirror.toml` and `depends.toml`: what the server does, and what the operator mirrors.
//!
//! | room | what it knows |
//! |---|---|
//! | [`settings`] | every key of `frostmirror.toml`, and what it may be |
//! | [`settings_store`] | the settings of a running server: fixed, read, written |
//! | [`edit`] | a write that keeps comments and order |
//! | [`snapshot_config`] | which settings cross in a snapshot, and how they are put in place on another host |

pub mod edit;
pub mod settings_store;
pub mod redact;
pub mod settings;
pub mod snapshot_config;

pub use settings::{DEFAULT_BIND, Key, Settings};
pub use settings_store::{Overrides, SettingsChange, SettingsStore, Source};
pub use snapshot_config::{Error, OmittedKeys, SnapshotFile, check_files, files_for_snapshot, restore_files};

/// The server's configuration.
pub const SERVER: &str = "frostmirror.toml";
/// What the operator mirrors.
pub const DEPENDS: &str = "depends.toml";
/// Both, in the order in which they are handled.
pub const CONFIG_FILES: [&str; 2] = [SERVER, DEPENDS];

/// Who may read a configuration that is new to its folder.
const NEW_FILE_MODE: u32 = 0o644;
