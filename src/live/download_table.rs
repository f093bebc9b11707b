//! Running downloads of crates, and completed ones that are not stored yet.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use jiff::Timestamp;

use super::download::{CompletedDownload, SharedDownload};
use super::prefetch_budget::Reservation;
use crate::crate_id::CrateId;
use crate::index_line::IndexLine;

/// Running downloads, and completed ones that are not stored yet.
#[derive(Default)]
pub(super) struct CrateDownloads {
    downloads: Mutex<HashMap<String, Entry>>,
}

pub(super) struct Entry {
    pub(super) download: SharedDownload,
    pub(super) demand: Demand,
}

/// Whether a client has requested a crate, or it is prefetched.
pub(super) enum Demand {
    /// A client has; `ahead`: its download began before.
    Requested { ahead: bool },
    /// No client has yet.
    Prefetching(Reservation),
    /// It arrived, and no client has requested it yet. It is only stored when one does.
    Prefetched(Box<FetchedCrate>, Instant, Reservation),
}

/// A fetched crate with its index entry.
pub(super) struct FetchedCrate {
    pub(super) id: CrateId,
    pub(super) line: IndexLine,
    pub(super) index_read: Timestamp,
    pub(super) download: CompletedDownload,
}

impl Entry {
    /// A client's handle on the download, and the crate if it has arrived and must be stored now.
    pub(super) fn board(&mut self) -> (SharedDownload, Option<Box<FetchedCrate>>) {
        let download = self.download.for_client();
        let arrived = match std::mem::replace(&mut self.demand, Demand::Requested { ahead: true }) {
            Demand::Requested { ahead } => {
                self.demand = Demand::Requested { ahead };
                None
            }
            Demand::Prefetching(reservation) => {
                reservation.confirm();
                None
            }
            Demand::Prefetched(cargo, _, reservation) => {
                reservation.confirm();
                Some(cargo)
            }
        };
        (download, arrived)
    }
}

impl CrateDownloads {
    pub(super) fn downloads(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.downloads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
