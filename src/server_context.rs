//! What all parts of a running server share.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;

use crate::config::SettingsStore;
use crate::env::Env;
use crate::event::Sink;
use crate::mirror::layout::Layout;
use crate::mirror::lock::Holder;

/// The folders, the settings and the surroundings of a running server.
#[derive(Clone)]
pub struct ServerContext {
    /// The mirror. It may be empty or missing.
    pub mirror: Layout,
    /// The incoming folder.
    pub incoming: PathBuf,
    /// The settings, which may change at run time, and the folder of frostmirror.toml and depends.toml.
    pub settings: Arc<SettingsStore>,
    /// The environment, for the host name.
    pub env: Env,
    /// The clock.
    pub clock: fn() -> Timestamp,
    /// Receives reports.
    pub sink: Arc<dyn Sink>,
}

impl ServerContext {
    /// The current time.
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Identifies this process in the mirror's lock, by the name of its task.
    pub fn lock_holder(&self, task: &str) -> Holder {
        Holder::this_process(task, &self.env, self.now())
    }
}
