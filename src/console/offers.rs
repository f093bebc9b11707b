//! Which toolchains the mirror offers, read anew when their record has changed.

use std::sync::{Arc, Mutex, PoisonError};

use super::imports::Stamp;
use crate::mirror::layout::Layout;
use crate::mirror::offers;

/// What was read, and of which state of the record.
#[derive(Default)]
pub(super) struct Offers(Mutex<Option<(Option<Stamp>, Arc<offers::Offers>)>>);

impl Offers {
    /// What is offered now; nothing where it cannot be read, which the audit tells of. Who comes meanwhile waits: reading the
    /// manifests takes memory.
    pub(super) fn now(&self, layout: &Layout) -> Arc<offers::Offers> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = Stamp::of(&layout.artifacts()).ok().flatten();
        if let Some((of, offers)) = known.as_ref()
            && *of == stamp
        {
            return Arc::clone(offers);
        }
        let offers = Arc::new(offers::Offers::read(layout).unwrap_or_default());
        *known = Some((stamp, Arc::clone(&offers)));
        offers
    }
}
