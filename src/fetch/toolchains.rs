//! What a run brings of toolchains: what each input wants, and what that comes to upstream.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use super::{Error, Mode, Options, Station, repair_list};
use crate::channel::{Date, Toolchain, Wanted};
use crate::digest::Sha256;
use crate::event;
use crate::gather;
use crate::gather::depends::{self, Platforms};
use crate::gather::history::{Base, HeldArtifact, Memory};
use crate::gather::input_id::InputId;
use crate::gather::resolve;
use crate::gather::toolchain_file::ToolchainFile;
use crate::gather::toolchains::{Dist, Needed, Order, Plan};
use crate::safe_path::SafePath;

/// What a user says of toolchains beside `[platforms]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toolchains {
    /// Bring none. What was sent earlier stays current.
    pub leave: bool,
    /// Bring them for inputs without `[platforms]` too.
    pub always: bool,
    /// The targets in place of those that `[platforms]` names; none: those.
    pub targets: Vec<String>,
    /// The targets where nothing names any.
    pub default_targets: Vec<String>,
    /// The toolchains where nothing names any.
    pub default_toolchains: Vec<Toolchain>,
    /// What toolchain files ask for, by the file of the input: its depends.toml, or the Cargo.lock of a workspace. It counts
    /// where that input has no `[platforms]`.
    pub pins: BTreeMap<PathBuf, ToolchainFile>,
    /// Where they come from: the address that RUSTUP_DIST_SERVER would be.
    pub upstream: String,
}

impl Toolchains {
    /// None at all.
    pub fn none() -> Toolchains {
        Toolchains {
            leave: true,
            always: false,
            targets: Vec::new(),
            default_targets: Vec::new(),
            default_toolchains: Vec::new(),
            pins: BTreeMap::new(),
            upstream: String::new(),
        }
    }

    /// The failure to have what the input `id` wants, or where that is not known any of `inputs`: with the
    /// toolchain file, where one asks for it.
    fn blamed(&self, inputs: &[resolve::Input], id: Option<&InputId>, error: gather::toolchains::Error) -> Error {
        let mut wanting = inputs.iter().filter(|input| id.is_none_or(|id| input.id() == *id));
        let pin = wanting.find_map(|input| match input {
            resolve::Input::Depends(depends) if depends.platforms.is_none() => self.pins.get(&depends.path),
            resolve::Input::Lockfile(lockfile) => self.pins.get(&lockfile.path),
            resolve::Input::Depends(_) | resolve::Input::Crate(_) => None,
        });
        match pin.and_then(|pin| Some((pin.path.clone(), pin.toolchain.clone()?))) {
            Some((pin, toolchain)) => Error::Pinned { pin, toolchain, source: Box::new(error) },
            None => error.into(),
        }
    }

    /// What an input wants.
    fn order(&self, input: &resolve::Input) -> Option<Order> {
        let (platforms, pin) = match input {
            resolve::Input::Depends(depends) => (depends.platforms.clone(), self.pins.get(&depends.path)),
            resolve::Input::Lockfile(lockfile) => (None, self.pins.get(&lockfile.path)),
            resolve::Input::Crate(_) => (None, None),
        };
        let platforms = match (platforms, pin) {
            (Some(platforms), _) => platforms,
            (None, Some(pin)) => {
                let mut platforms = Platforms::default();
                pin.add_to(&mut platforms, &self.default_targets);
                platforms
            }
            (None, None) if self.always => Platforms::default(),
            (None, None) => return None,
        };
        let or = |given: Vec<String>, default: &Vec<String>| if given.is_empty() { default.clone() } else { given };
        let targets = or(self.targets.clone(), &or(platforms.targets, &self.default_targets));
        let toolchains =
            if platforms.toolchain.is_empty() { self.default_toolchains.clone() } else { platforms.toolchain };
        let wanted =
            Wanted { targets, profile: platforms.profile.unwrap_or_default(), components: platforms.components };
        Some(Order { toolchains, wanted })
    }
}

/// What was gathered of toolchains.
#[derive(Default)]
pub(super) struct Gathered {
    /// Every artifact that the orders need; those to be sent with their bytes.
    pub(super) plan: Plan,
    /// What today's inputs want, by their identity.
    pub(super) orders: BTreeMap<InputId, Order>,
    /// Which artifacts an input needs, today's and those of the history that share channels with them.
    pub(super) needs: BTreeMap<InputId, BTreeSet<SafePath>>,
    /// Nothing was asked of upstream: what the history says of today's inputs stays.
    pub(super) left: bool,
    /// What a repair list names and upstream does not have in that form; it is nowhere else in this.
    pub(super) lacking: Vec<Lacking>,
}

/// What a repair list names and upstream does not have in that form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lacking {
    /// Where it belongs.
    pub path: SafePath,
    /// What upstream has there.
    pub why: Why,
}

/// What upstream has in place of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Nothing.
    Gone,
    /// Something later, as is usual at this path.
    MovedOn,
    /// Other bytes at a path where they never change.
    Altered,
}

impl fmt::Display for Lacking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.path;
        match self.why {
            Why::Gone => write!(f, "`{path}` is not there"),
            Why::MovedOn => write!(f, "`{path}` has moved on"),
            Why::Altered => write!(f, "`{path}` has other bytes than it had"),
        }
    }
}

impl Gathered {
    /// What a repair list names, as the needs of the input `id`.
    fn exactly(id: InputId, list: &Path) -> Result<Gathered, repair_list::Error> {
        let listed = repair_list::read(list)?.artifacts;
        if listed.is_empty() {
            return Ok(Gathered::default());
        }
        let paths = listed.keys().cloned().collect();
        let needed = |sha256| Needed { sha256, bytes: None, size: None };
        let artifacts = listed.into_iter().map(|(path, sha256)| (path, needed(sha256))).collect();
        let needs = BTreeMap::from([(id, paths)]);
        Ok(Gathered { plan: Plan { artifacts, ..Plan::default() }, needs, ..Gathered::default() })
    }

    /// What an input needs, as the history keeps it.
    pub(super) fn held(&self, id: &InputId) -> Vec<HeldArtifact> {
        let needs = self.needs.get(id).into_iter().flatten();
        let held = needs.filter_map(|path| {
            let needed = self.plan.artifacts.get(path)?;
            Some(HeldArtifact { path: path.clone(), sha256: needed.sha256, size: needed.size.unwrap_or(0) })
        });
        held.collect()
    }

    /// What inputs need that are not today's.
    pub(super) fn moved(&self) -> BTreeMap<InputId, Vec<HeldArtifact>> {
        let others = self.needs.keys().filter(|id| !self.orders.contains_key(*id));
        others.map(|id| (id.clone(), self.held(id))).collect()
    }

    /// Artifacts that go into the bundle.
    pub(super) fn shipped(&self) -> usize {
        self.plan.artifacts.values().filter(|needed| needed.bytes.is_some()).count()
    }
}

impl Station<'_> {
    /// Downloads what was `planned` and is not known to be sent. `memory` names the other inputs of the history, which
    /// share their channels with today's.
    pub(super) async fn toolchains(
        &self,
        options: &Options,
        planned: Gathered,
        memory: Option<&Memory>,
        sent: Option<&Base>,
    ) -> Result<Gathered, Error> {
        let mut gathered = planned;
        if !gathered.needs.is_empty() {
            let to_send =
                |path: &SafePath, sha256: &Sha256| sent.is_none_or(|base| !base.holds_artifact(path, *sha256));
            match &options.mode {
                Mode::Repair { .. } => self.what_is_there(options, &mut gathered, memory).await?,
                Mode::Full | Mode::Incremental { .. } => self.dist(options).fetch(&mut gathered.plan, &to_send).await?,
            }
            let sent = gathered.plan.artifacts.values().filter(|needed| needed.bytes.is_some());
            // rustup-init stands at two paths, and is downloaded and packed once.
            let sizes: BTreeMap<Sha256, u64> = sent.map(|one| (one.sha256, one.size.unwrap_or(0))).collect();
            let (count, bytes) = (event::rustup_artifacts(gathered.shipped() as u64), sizes.values().sum());
            self.sink.status("Gathered", format!("{count} ({})", event::size(bytes)));
            self.tell_of_others(&gathered);
        }
        Ok(gathered)
    }

    /// Says what comes along for inputs that are not today's.
    fn tell_of_others(&self, gathered: &Gathered) {
        let (today, others): (Vec<_>, Vec<_>) =
            gathered.needs.iter().partition(|(name, _)| gathered.orders.contains_key(*name));
        let today: BTreeSet<&SafePath> = today.into_iter().flat_map(|(_, paths)| paths).collect();
        let shipped = |path: &&SafePath| gathered.plan.artifacts.get(*path).is_some_and(|one| one.bytes.is_some());
        let theirs = |paths: &BTreeSet<SafePath>| paths.iter().filter(shipped).any(|path| !today.contains(path));
        let names: Vec<String> =
            others.iter().filter(|(_, paths)| theirs(paths)).map(|(name, _)| format!("`{name}`")).collect();
        let paths: BTreeSet<&SafePath> = others
            .iter()
            .flat_map(|(_, paths)| paths.iter())
            .filter(shipped)
            .filter(|path| !today.contains(path))
            .collect();
        if !paths.is_empty() && !gathered.orders.is_empty() {
            let count = event::rustup_artifacts(paths.len() as u64);
            let message = format!("{count} of them that only other inputs of the history need: {}", names.join(", "));
            self.sink.status("Including", message);
        }
    }

    /// Downloads what upstream still has of a repair list. What has moved on there may have other names that the history
    /// knows, such as the folder of its day.
    async fn what_is_there(
        &self,
        options: &Options,
        gathered: &mut Gathered,
        memory: Option<&Memory>,
    ) -> Result<(), Error> {
        let dist = self.dist(options);
        let plan = &mut gathered.plan;
        let refused = dist.fetch_what_is_there(plan, &|_, _| true).await?;
        let lacking: BTreeMap<&SafePath, Sha256> = plan
            .artifacts
            .iter()
            .filter(|(_, one)| one.bytes.is_none())
            .map(|(path, one)| (path, one.sha256))
            .collect();
        let mut elsewhere = Plan::default();
        for (path, sha256) in &lacking {
            let places = memory.map(|memory| memory.places(*sha256)).unwrap_or_default();
            for place in places.into_iter().filter(|place| place != *path) {
                elsewhere.artifacts.insert(place, Needed { sha256: *sha256, bytes: None, size: None });
            }
        }
        dist.fetch_what_is_there(&mut elsewhere, &|_, _| true).await?;
        let found: BTreeMap<Sha256, Needed> = elsewhere.artifacts.into_values().map(|one| (one.sha256, one)).collect();
        let gone: BTreeSet<&SafePath> = refused.absent.iter().map(|(path, _)| path).collect();
        let mut still = Vec::new();
        plan.artifacts.retain(|path, needed| {
            if needed.bytes.is_none()
                && let Some(found) = found.get(&needed.sha256)
            {
                needed.clone_from(found);
            }
            if needed.bytes.is_none() {
                let why = match moves(path) {
                    _ if gone.contains(path) => Why::Gone,
                    true => Why::MovedOn,
                    false => Why::Altered,
                };
                still.push(Lacking { path: path.clone(), why });
            }
            needed.bytes.is_some()
        });
        for paths in gathered.needs.values_mut() {
            paths.retain(|path| plan.artifacts.contains_key(path));
        }
        gathered.lacking = still;
        Ok(())
    }

    /// What today's inputs want, by their identity; that it is nothing is told.
    pub(super) fn orders(&self, options: &Options, inputs: &[resolve::Input]) -> BTreeMap<InputId, Order> {
        let order = |input: &resolve::Input| Some((input.id(), options.toolchains.order(input)?));
        let orders: BTreeMap<InputId, Order> =
            inputs.iter().filter(|_| !options.toolchains.leave).filter_map(order).collect();
        if orders.is_empty() && !options.toolchains.leave && !inputs.is_empty() {
            self.sink.status("Fetching", "crates alone, no toolchain".to_owned());
        }
        orders
    }

    /// Whether the history has other wishes beside today's inputs than it had when `before` was read.
    pub(super) fn has_changed(
        &self,
        options: &Options,
        inputs: &[resolve::Input],
        before: Option<&Memory>,
        now: &Memory,
    ) -> bool {
        let today: Vec<InputId> = inputs.iter().map(resolve::Input::id).collect();
        let others = |memory: &Memory| memory.other_orders(&today, &options.forget);
        before.is_some_and(|before| others(before) != others(now))
    }

    /// What is wanted, and the small texts that say so.
    pub(super) async fn planned(
        &self,
        options: &Options,
        orders: BTreeMap<InputId, Order>,
        inputs: &[resolve::Input],
        memory: Option<&Memory>,
        sent: Option<&Base>,
    ) -> Result<Gathered, Error> {
        if let Mode::Repair { list } = &options.mode {
            return match inputs.first() {
                Some(input) => Ok(Gathered::exactly(input.id(), list)?),
                None => Ok(Gathered::default()),
            };
        }
        let today: Vec<InputId> = inputs.iter().map(resolve::Input::id).collect();
        let others = memory.map(|memory| memory.other_orders(&today, &options.forget)).unwrap_or_default();
        // What others need was sent, unless the bundles that it was sent with were lost.
        let lost = sent.is_some_and(|base| !base.newest) && !others.is_empty();
        if options.toolchains.leave || orders.is_empty() && !lost {
            return Ok(Gathered { left: options.toolchains.leave, ..Gathered::default() });
        }
        let all: Vec<(InputId, Order)> = orders.clone().into_iter().chain(others).collect();
        let wanted: Vec<Order> = all.iter().map(|(_, order)| order.clone()).collect();
        let plan = self.dist(options).plan(&wanted).await.map_err(|error| match error.order(&wanted) {
            Some(number) if number >= orders.len() => {
                Error::OthersToolchains { input: all[number].0.to_string(), source: Box::new(error) }
            }
            Some(number) => {
                let name = &all[number].0;
                match place_of(inputs, name, &error) {
                    Some(place) => Error::Platforms { place, source: Box::new(error) },
                    None => options.toolchains.blamed(inputs, Some(name), error),
                }
            }
            None => options.toolchains.blamed(inputs, None, error),
        })?;
        self.sink.status("Resolved", format!("toolchains: {}", plan.toolchains.join(", ")));
        let needs = all.into_iter().map(|(id, _)| id).zip(plan.by_order.iter().cloned()).collect();
        Ok(Gathered { plan, orders, needs, ..Gathered::default() })
    }

    pub(super) fn dist(&self, options: &Options) -> Dist {
        Dist {
            client: self.downloads.client.clone(),
            base: options.toolchains.upstream.clone(),
            cache: self.surroundings.home.join("cache"),
            jobs: self.downloads.jobs,
            offline: self.downloads.offline,
            now: self.surroundings.now,
            sink: self.sink.clone(),
        }
    }
}

/// Where in the depends.toml of the input `id` the word stands that cannot be had, as `FILE:LINE:COLUMN`.
fn place_of(inputs: &[resolve::Input], id: &InputId, error: &gather::toolchains::Error) -> Option<String> {
    let (key, word) = error.word()?;
    let input = inputs.iter().find(|input| input.id() == *id)?;
    let resolve::Input::Depends(depends) = input else { return None };
    let text = depends::read_text(&depends.path).ok()?;
    let place = depends::place_in_platforms(&text, key, &word)?;
    Some(format!("{}:{place}", depends.path.display()))
}

/// Whether upstream may put other bytes at `path` in time: not into the folder of a day, nor into that of a version of
/// rustup.
fn moves(path: &SafePath) -> bool {
    let dated = path.components().nth(1).is_some_and(|folder| folder.parse::<Date>().is_ok());
    !dated && !path.as_str().starts_with("rustup/archive/")
}
