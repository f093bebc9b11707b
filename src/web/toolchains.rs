//! Which toolchains the mirror offers, read anew when their record has changed.

use std::sync::{Arc, Mutex, PoisonError};

use super::imports::FileStamp;
use crate::mirror::layout::Layout;
use crate::mirror::toolchains;

/// What was read, and of which state of the record.
#[derive(Default)]
pub(super) struct ToolchainCache(Mutex<Option<(Option<FileStamp>, Arc<toolchains::AvailableToolchains>)>>);

impl ToolchainCache {
    /// What is offered now; nothing where it cannot be read, which the audit tells of. Who comes meanwhile waits: reading the
    /// manifests takes memory.
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
