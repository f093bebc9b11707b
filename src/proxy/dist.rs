//! Toolchains and rustup: what moves upstream, and what a manifest names.
//!
//! | file | what it knows |
//! |---|---|
//! | `unit` | which files are of use together alone |
//! | `bring` | one of these from upstream into the mirror |
//! | `component` | a file that a held manifest names |
//! | `named` | which files these are |
//! | `table` | what is fresh, absent, on its way |
//! | `recent` | tables that strangers cannot make grow |
//!
//! rustup asks for a manifest's `.sha256` first, and then for the manifest: both are held, and replaced, together. Components
//! are only asked for where a held manifest names them.

mod bring;
mod component;
mod named;
mod recent;
mod table;
mod unit;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures_util::FutureExt as _;

use super::crates::Miss;
use super::refusal::Refusal;
use super::{Proxy, Running};
use crate::safe_path::SafePath;
use component::day_of_component;
use table::Stale;
use unit::Unit;

pub(super) use table::Toolchains;

/// How long a client waits for upstream where an older copy is at hand.
const PATIENCE_WITH_COPY: Duration = Duration::from_secs(4);
/// How long where there is none. rustup gives up later than cargo, which does after 30 seconds without a byte.
const PATIENCE: Duration = Duration::from_secs(25);

/// Whether the file is another one from time to time: a channel's manifest that is not of one day, what rustup is updated to,
/// and what belongs to either.
pub fn moves(path: &SafePath) -> bool {
    Unit::of(path).is_some_and(|unit| unit.moves())
}

impl Proxy {
    /// Looks upstream for what has moved, where that was not done lately. Where an older copy is held and upstream is slow,
    /// or gives no answer, that copy is as good as it gets.
    pub async fn freshen(self: &Arc<Self>, path: &SafePath) {
        let Some(unit) = Unit::of(path).filter(Unit::moves) else { return };
        let Some(Ok(running)) = self.running() else { return };
        let stale = match running.toolchains.is_due(&unit, path) {
            Ok(false) => false,
            Err(Stale) => true,
            // What is not held is brought as a miss.
            Ok(true) if !self.holds(path).await => return,
            Ok(true) => match tokio::time::timeout(PATIENCE_WITH_COPY, self.bringing(&running, &unit, false)).await {
                Ok(Ok(())) => false,
                // What upstream does not have, or has no more, stays as it is.
                Ok(Err(refusal)) if refusal.is_absent() => {
                    running.toolchains.is_fresh(&unit, running.settings.proxy_ttl, None);
                    false
                }
                Ok(Err(_)) | Err(_) => {
                    running.toolchains.is_stale(&unit);
                    true
                }
            },
        };
        running.toolchains.given(&unit, path);
        if stale {
            self.figures.stale.fetch_add(1, Relaxed);
        }
    }

    /// Has a file below dist/ or rustup/ fetched that is not held; `None` where live mode is off, and for a path that upstream
    /// need not be asked for.
    pub async fn fetch_artifact(self: &Arc<Self>, path: &SafePath) -> Option<Miss> {
        let running = match self.running()? {
            Ok(running) => running,
            Err(refusal) => return Some(Miss::Refused(refusal)),
        };
        if let Some(unit) = Unit::of(path) {
            self.figures.misses.fetch_add(1, Relaxed);
            return Some(match self.fetch_unit(&running, &unit, path).await {
                Ok(()) => Miss::Held,
                Err(refusal) => Miss::Refused(refusal),
            });
        }
        let date = day_of_component(path)?;
        self.figures.misses.fetch_add(1, Relaxed);
        if let Some(flight) = running.toolchains.flights().get(path).filter(|flight| !flight.is_lost()) {
            return Some(Miss::Coming(flight.clone()));
        }
        // Several manifests may have to be asked for, one after the other.
        Some(match tokio::time::timeout(PATIENCE, self.digest_of(&running, path, date)).await {
            Ok(Ok(sha256)) => self.take_off_to(&running, path, sha256),
            Ok(Err(refusal)) => Miss::Refused(refusal),
            Err(_) => {
                let text = format!("upstream is slow with the manifests that may name {path}");
                Miss::Refused(Refusal::busy(text, Duration::from_secs(2)))
            }
        })
    }

    async fn fetch_unit(self: &Arc<Self>, running: &Arc<Running>, unit: &Unit, path: &SafePath) -> Result<(), Refusal> {
        let absent = || Refusal::absent(format!("upstream does not have {path}"));
        let toolchains = &running.toolchains;
        if toolchains.is_absent(&unit.leader()) || toolchains.is_absent(path) {
            return Err(absent());
        }
        // A signature alone may be lacking; that it fits what is held is seen from both.
        let anew = unit.is_signature(path);
        match tokio::time::timeout(PATIENCE, self.bringing(running, unit, anew)).await {
            Ok(brought) => brought?,
            Err(_) => {
                let text = format!("upstream is slow with {path}; it is still being fetched");
                return Err(Refusal::busy(text, Duration::from_secs(2)));
            }
        }
        if self.holds(path).await {
            toolchains.given(unit, path);
            return Ok(());
        }
        toolchains.remember_absent(path.clone(), running.settings.proxy_ttl);
        Err(absent())
    }

    /// Brings a unit, once for all who ask for it.
    async fn bringing(self: &Arc<Self>, running: &Arc<Running>, unit: &Unit, anew: bool) -> Result<(), Refusal> {
        if unit.is_of_no_day((self.options.clock)()) {
            return Err(Refusal::absent(format!("no toolchain is of the day of {unit}")));
        }
        let begin = || {
            // A task of its own: whoever asked may go away.
            let task = tokio::spawn(Arc::clone(self).bring_one(Arc::clone(running), unit.clone(), anew));
            let (running, unit) = (Arc::clone(running), unit.clone());
            let ended = move |ended: Result<_, _>| {
                ended.unwrap_or_else(|_| {
                    running.toolchains.brought(&unit, anew);
                    Err(Refusal::bad_gateway(format!("asking for {unit} was broken off")))
                })
            };
            task.map(ended).boxed().shared()
        };
        running.toolchains.bringing(unit, anew, begin).await
    }

    async fn bring_one(self: Arc<Self>, running: Arc<Running>, unit: Unit, anew: bool) -> Result<(), Refusal> {
        let (toolchains, ttl) = (&running.toolchains, running.settings.proxy_ttl);
        let brought = self.bring(&running, &unit, toolchains.seen(&unit), anew).await;
        let outcome = match brought {
            Ok(brought) => {
                if unit.moves() {
                    toolchains.is_fresh(&unit, ttl, brought.sha256);
                }
                Ok(())
            }
            Err(refusal) => {
                match refusal.is_absent() {
                    true => toolchains.remember_absent(unit.leader(), ttl),
                    false => self.lost(&unit.to_string(), &refusal),
                }
                Err(refusal)
            }
        };
        toolchains.brought(&unit, anew);
        outcome
    }

    async fn holds(&self, path: &SafePath) -> bool {
        let path = path.below(self.options.mirror.root());
        tokio::task::spawn_blocking(move || path.is_file()).await.unwrap_or(false)
    }
}
