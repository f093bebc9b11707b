//! What a client will probably request next. Cargo requests index files in waves, over two connections where it speaks
//! HTTP/1.1, and each wave, and each pair of crates, would cost a round trip to upstream.
//!
//! Index files are requested ahead as the dependencies of what was requested say. Crates are prefetched only if the client
//! requested their index files itself, if every build needs them, if nine of ten guesses were right so far, in the order in
//! which cargo requests them (`prefetch_graph`), and within a bound on what may be wasted (`prefetch_budget`). They wait
//! beside the mirror, and are only stored when a client requests them.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use semver::VersionReq;
use tokio::sync::Semaphore;

use super::figures::Figures;
use super::prefetch_budget::{PrefetchBudget, Reservation};
use super::prefetch_graph::PrefetchGraph;
use super::{Proxy, Running};
use crate::crate_id::{CrateId, CrateName};
use crate::gather::foresight::{self, Dependency, Wish};

/// Guesses that are looked up at a time.
const AT_ONCE: usize = 48;
/// Names that one request of a client for an index file allows to be looked up ahead. What an index names beyond that waits
/// for the client's next request: one request never causes thousands.
const NAMES_PER_REQUEST: usize = 48;
/// Guesses of one spell at most: an index that names ever more crates cannot keep us busy for ever.
const MOST: usize = 4000;
/// A spell of guesses ends when nobody has asked for anything for so long, and in any case after the longer time: what was
/// right for one client says little of the next one.
const SPELL: Duration = Duration::from_secs(30);
const LONGEST_SPELL: Duration = Duration::from_secs(300);

/// What was guessed lately.
pub(super) struct Ahead {
    spell: Mutex<Spell>,
    guessing: Arc<Semaphore>,
    pub(super) budget: Arc<PrefetchBudget>,
}

/// One session of requests that belong together.
#[derive(Default)]
struct Spell {
    began: Option<Instant>,
    last: Option<Instant>,
    wishes: HashSet<Wish>,
    /// Names that are looked up ahead, or that somebody asked for.
    names: HashSet<CrateName>,
    /// Names whose index file a client asked for.
    requested: HashSet<CrateName>,
    /// Queries for all versions of a name that the client requested before any dependency named it.
    roots: HashSet<CrateName>,
    /// How many more names may be looked up ahead.
    allowed: usize,
    /// Wishes for names that may not be looked up yet.
    waiting: VecDeque<Wish>,
    graph: PrefetchGraph,
}

impl Ahead {
    /// Nothing is guessed; what prefetches cost is counted in `figures`.
    pub(super) fn new(figures: Arc<Figures>) -> Ahead {
        Ahead {
            spell: Mutex::default(),
            guessing: Arc::new(Semaphore::new(AT_ONCE)),
            budget: PrefetchBudget::new(figures),
        }
    }

    fn spell(&self) -> MutexGuard<'_, Spell> {
        self.spell.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The present session, or a new one.
    fn spell_now(&self) -> MutexGuard<'_, Spell> {
        let mut spell = self.spell();
        let now = Instant::now();
        let is_old = spell.began.is_none_or(|began| now - began > LONGEST_SPELL);
        if is_old || spell.last.is_none_or(|last| now - last > SPELL) {
            *spell = Spell { began: Some(now), ..Spell::default() };
            self.budget.begin_session();
        }
        spell.last = Some(now);
        spell
    }

    /// A client asked for the index file of `name`; the wishes that are to be followed now.
    fn root(&self, name: &CrateName) -> Vec<Wish> {
        let mut spell = self.spell_now();
        // Anybody can make up names; none of them is remembered beyond what one spell may guess.
        if spell.wishes.len() >= MOST || spell.requested.len() >= MOST || !spell.requested.insert(name.clone()) {
            return Vec::new();
        }
        spell.allowed = NAMES_PER_REQUEST.saturating_add(spell.allowed).min(MOST);
        let mut now = Vec::new();
        if spell.names.insert(name.clone()) {
            let wish = Wish {
                name: name.clone(),
                req: VersionReq::STAR,
                features: Default::default(),
                default_features: true,
            };
            if spell.begin(&wish) {
                spell.roots.insert(name.clone());
                now.push(wish);
            }
        }
        let waiting = std::mem::take(&mut spell.waiting);
        spell.admit(waiting, &mut now);
        now
    }

    /// Wishes that another one led to; those that are to be followed now.
    fn led_to(&self, wishes: Vec<Wish>) -> Vec<Wish> {
        let mut spell = self.spell();
        let new: Vec<Wish> = wishes.into_iter().filter(|wish| spell.begin(wish)).collect();
        let mut now = Vec::new();
        spell.admit(new, &mut now);
        now
    }

    /// `wish` probably gets `id`, whose dependencies are these; `is_stored`: the mirror has it.
    fn add(&self, wish: Wish, id: CrateId, dependencies: Vec<Dependency>, is_stored: bool) {
        let mut spell = self.spell();
        let is_root = wish.req == VersionReq::STAR && spell.roots.contains(&wish.name);
        spell.graph.add(wish, id, dependencies, is_root, is_stored);
    }

    /// A client requested this crate, which is not stored.
    pub(super) fn request(&self, id: &CrateId) {
        self.spell_now().graph.request(id);
    }

    /// The crates to prefetch now, each with its room in the budget.
    pub(super) fn take_expected(&self) -> Vec<(CrateId, Reservation)> {
        let mut spell = self.spell();
        if !spell.graph.is_trusted() {
            return Vec::new();
        }
        let expected = spell.graph.expected(&spell.requested);
        let taken: Vec<_> = expected.into_iter().map_while(|id| Some((id, self.budget.reserve()?))).collect();
        for (id, _) in &taken {
            spell.graph.settle(id);
        }
        taken
    }
}

impl Spell {
    fn begin(&mut self, wish: &Wish) -> bool {
        self.wishes.len() < MOST && self.wishes.insert(wish.clone())
    }

    /// Adds those of `wishes` to `now` whose names are known or may be looked up; the others wait.
    fn admit(&mut self, wishes: impl IntoIterator<Item = Wish>, now: &mut Vec<Wish>) {
        for wish in wishes {
            if self.names.contains(&wish.name) {
                now.push(wish);
            } else if self.allowed > 0 {
                self.allowed -= 1;
                self.names.insert(wish.name.clone());
                now.push(wish);
            } else {
                self.waiting.push_back(wish);
            }
        }
    }
}

impl Proxy {
    /// Somebody asked for the index file of `name`: asks for those that he will probably ask for next.
    pub(super) fn foresee(self: &Arc<Self>, running: &Arc<Running>, name: &CrateName) {
        for wish in self.ahead.root(name) {
            self.follow_wish(Arc::clone(running), wish);
        }
    }

    fn follow_wish(self: &Arc<Self>, running: Arc<Running>, wish: Wish) {
        let proxy = Arc::clone(self);
        tokio::spawn(async move {
            let guessing = Arc::clone(&proxy.ahead.guessing);
            let known = {
                let Ok(_permit) = guessing.acquire().await else { return };
                // Whoever switches live mode off, or names another upstream, means this too.
                if !proxy.is_current(&running) {
                    return;
                }
                running.lines.of(&running.upstreams, &wish.name, running.settings.proxy_ttl, None).await
            };
            let Some(file) = known.ok().and_then(|known| known.file) else { return };
            let dependencies = foresight::next(&file, &wish);
            if let Some(version) = foresight::pick(&file, &wish) {
                let id = CrateId { name: wish.name.clone(), version };
                let is_stored = proxy.options.mirror.crate_file(&id).is_file();
                proxy.ahead.add(wish, id, dependencies.clone(), is_stored);
            }
            for next in proxy.ahead.led_to(dependencies.into_iter().map(|one| one.wish).collect()) {
                proxy.follow_wish(Arc::clone(&running), next);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ahead() -> Ahead {
        Ahead::new(Arc::default())
    }

    fn id(name: &str) -> CrateId {
        CrateId::parse(name, "1.0.0").expect("id")
    }

    #[test]
    fn guesses_are_followed_when_they_were_right_and_the_client_requested_the_names() {
        let ahead = ahead();
        let names = ["a", "b", "c", "d", "e", "f"];
        for name in names {
            for wish in ahead.root(&name.parse().expect("name")) {
                ahead.add(wish, id(name), Vec::new(), false);
            }
        }
        ahead.spell().requested.remove(&id("e").name);
        for name in ["a", "b"] {
            ahead.request(&id(name));
            assert!(ahead.take_expected().is_empty());
        }
        ahead.request(&id("c"));
        let taken = ahead.take_expected();
        assert_eq!(taken.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>(), [id("d"), id("f")]);
        assert!(ahead.take_expected().is_empty(), "each of them once");
    }

    #[test]
    fn made_up_names_are_not_remembered_without_end() {
        let ahead = ahead();
        for number in 0..MOST + 1_000 {
            let wishes = ahead.root(&format!("made-up-{number}").parse().expect("name"));
            assert_eq!(!wishes.is_empty(), number < MOST);
        }
        assert_eq!(ahead.spell().names.len(), MOST);
    }

    #[test]
    fn one_wish_stands_for_a_name_and_a_spell_ends() {
        let ahead = ahead();
        let name: CrateName = "a".parse().expect("name");
        let wish = ahead.root(&name).pop().expect("the first time");
        assert!(ahead.root(&name).is_empty() && ahead.led_to(vec![wish.clone()]).is_empty());
        let narrow = Wish { req: "^1".parse().expect("requirement"), ..wish };
        assert_eq!(ahead.led_to(vec![narrow.clone()]), [narrow]);
        ahead.spell().last = Instant::now().checked_sub(SPELL * 2);
        assert_eq!(ahead.root(&name).len(), 1);
    }

    #[test]
    fn each_request_allows_a_limited_number_of_names() {
        let ahead = ahead();
        let wish = |number: usize, req: &str| Wish {
            name: format!("dep-{number}").parse().expect("name"),
            req: req.parse().expect("requirement"),
            features: Default::default(),
            default_features: true,
        };
        assert_eq!(ahead.root(&"root".parse().expect("name")).len(), 1);
        let led = ahead.led_to((0..3_600).map(|number| wish(number, "^1")).collect());
        assert_eq!(led.len(), NAMES_PER_REQUEST);
        // Another requirement for a name that is known costs no request.
        assert_eq!(ahead.led_to(vec![wish(0, "^2")]).len(), 1);
        assert_eq!(ahead.led_to(vec![wish(3_000, "^2")]).len(), 0);
        // The same name again allows nothing more; another one does.
        assert_eq!(ahead.root(&"root".parse().expect("name")).len(), 0);
        assert_eq!(ahead.root(&"dep-0".parse().expect("name")).len(), NAMES_PER_REQUEST);
        assert_eq!(ahead.root(&"new".parse().expect("name")).len(), NAMES_PER_REQUEST + 1);
    }
}
