//! The mirror's available toolchains, reloaded when their record changes.

use std::sync::{Arc, Mutex, PoisonError};

use super::imports::FileStamp;
use crate::mirror::layout::Layout;
use crate::mirror::toolchains;

/// The loaded toolchains, and the state of the record that they come from.
#[derive(Default)]
pub(super) struct ToolchainCache(Mutex<Option<(Option<FileStamp>, Arc<toolchains::AvailableToolchains>)>>);

impl ToolchainCache {
    /// The available toolchains; empty if the record is unreadable, which the audit reports. Concurrent callers wait,
    /// because reading the manifests needs much memory.
    pub(super) fn current(&self, layout: &Layout) -> Arc<toolchains::AvailableToolchains> {
        let mut cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = FileStamp::read(&layout.dist_files()).ok().flatten();
        if let Some((of, offers)) = cached.as_ref()
            && *of == stamp
        {
            return Arc::clone(offers);
        }
        let offers = Arc::new(toolchains::AvailableToolchains::read(layout).unwrap_or_default());
        *cached = Some((stamp, Arc::clone(&offers)));
        offers
    }
}
