//! What a client will probably ask for next. Cargo asks for index files in waves, over two connections where it speaks
//! HTTP/1.1, and each wave, and each pair of crates, would cost a round trip to upstream.
//!
//! Index files are asked for ahead as the dependencies of what was asked for say. Crates are only fetched ahead when what the
//! client asks for is what was guessed (the newest versions that fit, which is what a lock file has that was made lately);
//! they wait beside the mirror, and are placed only when somebody does ask for them.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use semver::VersionReq;
use tokio::sync::Semaphore;

use super::{Proxy, Running};
use crate::crate_id::{CrateId, CrateName};
use crate::gather::foresight::{self, Wish};

/// Guesses that are looked up at a time.
const AT_ONCE: usize = 48;
/// Crates that are fetched ahead at a time.
const FETCHED_AT_ONCE: usize = 32;
/// Names that one request of a client for an index file allows to be looked up ahead. What an index names beyond that waits
/// for the client's next request: one request never causes thousands.
const NAMES_PER_REQUEST: usize = 48;
/// Guesses of one spell at most: an index that names ever more crates cannot keep us busy for ever.
const MOST: usize = 4000;
/// A spell of guesses ends when nobody has asked for anything for so long, and in any case after the longer time: what was
/// right for one client says little of the next one.
const SPELL: Duration = Duration::from_secs(30);
const LONGEST_SPELL: Duration = Duration::from_secs(300);
/// Crates that must have been asked for before guesses are trusted, and how many of ten must have been right.
const PROVEN: u32 = 3;
const OF_TEN: u32 = 7;

/// What was guessed lately.
pub(super) struct Ahead {
    spell: Mutex<Spell>,
    guessing: Arc<Semaphore>,
    pub(super) fetching: Arc<Semaphore>,
}

#[derive(Default)]
struct Spell {
    began: Option<Instant>,
    last: Option<Instant>,
    wishes: HashSet<Wish>,
    /// Names that are looked up ahead, or that somebody asked for.
    names: HashSet<CrateName>,
    /// Names whose index file a client asked for.
    requested: HashSet<CrateName>,
    /// How many more names may be looked up ahead.
    allowed: usize,
    /// Wishes for names that may not be looked up yet.
    waiting: VecDeque<Wish>,
    /// The crates that the wishes will probably get, and whether they were fetched ahead, or asked for.
    picks: HashMap<CrateId, bool>,
    asked: u32,
    right: u32,
}

impl Default for Ahead {
    fn default() -> Ahead {
        Ahead {
            spell: Mutex::default(),
            guessing: Arc::new(Semaphore::new(AT_ONCE)),
            fetching: Arc::new(Semaphore::new(FETCHED_AT_ONCE)),
        }
    }
}

impl Ahead {
    fn spell(&self) -> MutexGuard<'_, Spell> {
        self.spell.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A client asked for the index file of `name`; the wishes that are to be followed now.
    fn root(&self, name: &CrateName) -> Vec<Wish> {
        let mut spell = self.spell();
        let now = Instant::now();
        let is_old = spell.began.is_none_or(|began| now - began > LONGEST_SPELL);
        if is_old || spell.last.is_none_or(|last| now - last > SPELL) {
            *spell = Spell { began: Some(now), ..Spell::default() };
        }
        spell.last = Some(now);
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

    fn pick(&self, id: CrateId) {
        self.spell().picks.entry(id).or_insert(false);
    }

    /// Somebody asked for this crate, which is not held; the crates to be fetched ahead now.
    pub(super) fn asked(&self, id: &CrateId) -> Vec<CrateId> {
        let mut spell = self.spell();
        spell.asked += 1;
        if let Some(taken) = spell.picks.get_mut(id) {
            *taken = true;
            spell.right += 1;
        }
        if spell.asked < PROVEN || spell.right * 10 < spell.asked * OF_TEN {
            return Vec::new();
        }
        let guessed = spell.picks.iter_mut().filter(|(_, taken)| !**taken);
        guessed
            .map(|(id, taken)| {
                *taken = true;
                id.clone()
            })
            .collect()
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
            if let Some(version) = foresight::pick(&file, &wish) {
                proxy.ahead.pick(CrateId { name: wish.name.clone(), version });
            }
            for next in proxy.ahead.led_to(foresight::next(&file, &wish)) {
                proxy.follow_wish(Arc::clone(&running), next);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> CrateId {
        CrateId::parse(name, "1.0.0").expect("id")
    }

    #[test]
    fn guesses_are_trusted_when_they_were_right() {
        let ahead = Ahead::default();
        for name in ["a", "b", "c", "d", "e"] {
            ahead.pick(id(name));
        }
        assert!(ahead.asked(&id("a")).is_empty() && ahead.asked(&id("b")).is_empty());
        let mut guessed = ahead.asked(&id("c"));
        guessed.sort();
        assert_eq!(guessed, [id("d"), id("e")]);
        assert!(ahead.asked(&id("d")).is_empty(), "each of them once");

        let wrong = Ahead::default();
        for name in ["a", "b"] {
            wrong.pick(id(name));
        }
        for other in ["x", "y", "z", "a"] {
            assert!(wrong.asked(&id(other)).is_empty());
        }
    }

    #[test]
    fn made_up_names_are_not_remembered_without_end() {
        let ahead = Ahead::default();
        for number in 0..MOST + 1_000 {
            let wishes = ahead.root(&format!("made-up-{number}").parse().expect("name"));
            assert_eq!(!wishes.is_empty(), number < MOST);
        }
        assert_eq!(ahead.spell().names.len(), MOST);
    }

    #[test]
    fn one_wish_stands_for_a_name_and_a_spell_ends() {
        let ahead = Ahead::default();
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
        let ahead = Ahead::default();
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
