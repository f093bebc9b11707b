//! Components: what a held manifest names, from upstream to all who wait for it, and into the mirror.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::super::crates::Miss;
use super::super::flight::{Errand, Flight, Pilot};
use super::super::placing::Parcel;
use super::super::refusal::Refusal;
use super::super::{Proxy, Running};
use super::bring;
use crate::channel::{Date, Named};
use crate::digest::Sha256;
use crate::gather::toolchains::MAX_FILE;
use crate::safe_path::SafePath;

impl Proxy {
    /// The digest that a manifest states for a component. Where no held one names it, those of its day are brought.
    pub(super) async fn digest_of(
        self: &Arc<Self>,
        running: &Arc<Running>,
        path: &SafePath,
        date: Date,
    ) -> Result<Sha256, Refusal> {
        let unnamed = || Refusal::absent(format!("no channel manifest names {path}"));
        if running.toolchains.is_absent(path) {
            return Err(unnamed());
        }
        if let Some(sha256) = self.named(running, path).await? {
            return Ok(sha256);
        }
        let release = match Named::of(path) {
            Some(Named::Component { release, .. }) => Some(release),
            _ => None,
        };
        let mut trouble = None;
        for unit in bring::may_name(release, date) {
            let leader = unit.leader();
            if running.toolchains.is_absent(&leader) || self.holds(&leader).await {
                continue;
            }
            match self.fetch_unit(running, &unit, &leader).await {
                Ok(()) => {}
                Err(refusal) if refusal.is_absent() => continue,
                // The manifest of another channel is no reason to do without this one's.
                Err(refusal) => {
                    trouble.get_or_insert(refusal);
                    continue;
                }
            }
            if let Some(sha256) = self.named(running, path).await? {
                return Ok(sha256);
            }
        }
        if let Some(refusal) = trouble {
            return Err(refusal);
        }
        running.toolchains.remember_absent(path.clone(), running.settings.proxy_ttl);
        Err(unnamed())
    }

    async fn named(&self, running: &Arc<Running>, path: &SafePath) -> Result<Option<Sha256>, Refusal> {
        // One after the other, and outside of the threads that read files for others: strangers choose the names.
        let turn = Arc::clone(&running.toolchains.reading).acquire_owned().await;
        let (running, root, wanted) = (Arc::clone(running), self.options.mirror.root().to_owned(), path.clone());
        let read = tokio::task::spawn_blocking(move || {
            // Also where the client has gone away.
            let _turn = turn;
            running.toolchains.manifests.digest_of(&root, &wanted)
        });
        let read = read.await.map_err(std::io::Error::other).and_then(|read| read);
        read.map_err(|error| Refusal::bad_gateway(format!("the manifests of this mirror cannot be read: {error}")))
    }

    /// Begins the download of a component, unless it has begun.
    pub(super) fn take_off_to(self: &Arc<Self>, running: &Arc<Running>, path: &SafePath, sha256: Sha256) -> Miss {
        let mut flights = running.toolchains.flights();
        if let Some(flight) = flights.get(path).filter(|flight| !flight.is_lost()) {
            return Miss::Coming(flight.for_client());
        }
        // Flights are forgotten after their file is in its place.
        if path.below(self.options.mirror.root()).is_file() {
            return Miss::Held;
        }
        let (flight, pilot) = Flight::prepare(self.options.mirror.clone());
        let own = flight.for_client();
        flights.insert(path.clone(), flight);
        drop(flights);
        tokio::spawn(Arc::clone(self).fly_to(Arc::clone(running), pilot, path.clone(), sha256));
        Miss::Coming(own)
    }

    async fn fly_to(self: Arc<Self>, running: Arc<Running>, pilot: Pilot, path: SafePath, sha256: Sha256) {
        let upstreams = &running.upstreams;
        let url = format!("{}/{path}", upstreams.dist);
        let errand = Errand { what: path.to_string(), url, token: None, sha256, limit: MAX_FILE, gate: None };
        self.figures.fetches.fetch_add(1, Relaxed);
        let read = (self.options.clock)();
        match pilot.fly(&upstreams.client, &upstreams.of_dist, &errand).await {
            Ok(landed) => {
                self.figures.bytes.fetch_add(landed.size, Relaxed);
                let (running, own) = (Arc::clone(&running), path.clone());
                let done = Box::new(move |_placed| {
                    running.toolchains.flights().remove(&own);
                });
                self.placer.place(Parcel::Artifacts(vec![(path, sha256, read, landed)]), done);
            }
            Err(refusal) => {
                if refusal.is_absent() {
                    running.toolchains.remember_absent(path.clone(), running.settings.proxy_ttl);
                }
                running.toolchains.flights().remove(&path);
                self.lost(path.as_str(), &refusal);
            }
        }
    }
}

/// The day of a path that a manifest may name: an archive in the folder of a day.
pub(super) fn day_of_component(path: &SafePath) -> Option<Date> {
    let parts: Vec<&str> = path.components().collect();
    let ["dist", day, file] = parts.as_slice() else { return None };
    let is_archive = [".tar.xz", ".tar.gz", ".tar.zst"].iter().any(|end| file.ends_with(end));
    day.parse().ok().filter(|_| is_archive)
}
