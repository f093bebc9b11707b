//! The folder of `frostmirror.toml` and `depends.toml`: what the server does, and what the operator mirrors.
//!
//! | room | what it knows |
//! |---|---|
//! | [`settings`] | every key of `frostmirror.toml`, and what it may be |
//! | [`live`] | the settings of a running server: fixed, read, written |
//! | [`edit`] | a write that keeps comments and order |
//! | [`travel`] | which settings cross in a snapshot, and how they are put in place on another host |

pub mod edit;
pub mod live;
pub mod secrets;
pub mod settings;
pub mod travel;

pub use live::{By, Fixed, Live, Written};
pub use settings::{DEFAULT_BIND, Key, Settings};
pub use travel::{Brought, Error, LeftOut, check, restore, travelling};

/// The server's configuration.
pub const SERVER: &str = "frostmirror.toml";
/// What the operator mirrors.
pub const DEPENDS: &str = "depends.toml";
/// Both, in the order in which they are handled.
pub const FILES: [&str; 2] = [SERVER, DEPENDS];

/// Who may read a configuration that is new to its folder.
const MODE: u32 = 0o644;
