//! What all parts of a running server share.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use crate::config::SettingsStore;
use crate::env::Env;
use crate::event::Sink;
use crate::file_stamp::FileStamp;
use crate::mirror::layout::Layout;
use crate::mirror::lock::Holder;
use crate::mirror::toolchains::AvailableToolchains;

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
    /// The available toolchains, and the record of dist files that they were read from.
    pub toolchains: Arc<Mutex<Option<ReadToolchains>>>,
}

/// A state of the record of dist files, and the toolchains of that state.
type ReadToolchains = (Option<FileStamp>, Arc<AvailableToolchains>);

impl ServerContext {
    /// The current time.
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// The available toolchains, read again if their record changed; none if the record is unreadable, which the audit
    /// reports. Concurrent callers wait, because reading the manifests needs much memory. Call it where blocking is allowed.
    pub fn toolchains(&self) -> Arc<AvailableToolchains> {
        let mut known = self.toolchains.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = FileStamp::read(&self.mirror.dist_files()).ok().flatten();
        let current = known.take().filter(|(of, _)| *of == stamp);
        let read = || (stamp, Arc::new(AvailableToolchains::read(&self.mirror).unwrap_or_default()));
        Arc::clone(&known.insert(current.unwrap_or_else(read)).1)
    }

    /// Identifies this process in the mirror's lock, by the name of its task.
    pub fn lock_holder(&self, task: &str) -> Holder {
        Holder::this_process(task, &self.env, self.now())
    }
}
