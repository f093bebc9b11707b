//! Predicts what a client will request next. Cargo requests index files in waves, over two connections with HTTP/1.1.
//! Each wave, and each pair of crates, would cost a round trip to upstream.
//!
//! Index files are prefetched along the dependencies of requested ones. Crates are prefetched only if all of these
//! hold: the client requested their index files itself; every build needs them; nine of ten predictions were right so
//! far. They are prefetched in the order in which cargo requests them (`prefetch_graph`), and within a limit for waste
//! (`prefetch_budget`). They wait beside the mirror, and are only stored when a client requests them.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use semver::VersionReq;
use tokio::sync::Semaphore;

use super::metrics::LiveMetrics;
use super::prefetch_budget::{PrefetchBudget, Reservation};
use super::prefetch_graph::PrefetchGraph;
use crate::crate_id::{CrateId, CrateName};
use crate::upstream::prefetch::{Dependency, DependencyQuery};

/// Maximum number of concurrent predicted lookups.
const MAX_CONCURRENT_LOOKUPS: usize = 48;
/// Number of names that one client request for an index file allows to be looked up ahead. Further names in an index
/// wait for the client's next request: one request never causes thousands.
const NAMES_PER_REQUEST: usize = 48;
/// Maximum number of queries in one session: an index that names ever more crates cannot cause endless work.
const MAX_QUERIES: usize = 4000;
/// A session ends when no request arrived for the shorter time, and in any case after the longer time: predictions for
/// one client do not apply to the next one.
const SESSION_IDLE_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_SESSION_AGE: Duration = Duration::from_secs(300);

/// The state of the predictions.
pub(super) struct Prefetcher {
    session: Mutex<PrefetchSession>,
    pub(super) lookup_permits: Arc<Semaphore>,
    pub(super) budget: Arc<PrefetchBudget>,
}

/// One session of related requests.
#[derive(Default)]
struct PrefetchSession {
    started: Option<Instant>,
    last_request: Option<Instant>,
    queries: HashSet<DependencyQuery>,
    /// Names that are looked up ahead, or that a client requested.
    known_names: HashSet<CrateName>,
    /// Names whose index file a client requested.
    requested: HashSet<CrateName>,
    /// Queries for all versions of a name that the client requested before any dependency named it.
    roots: HashSet<CrateName>,
    /// How many more names may be looked up ahead.
    name_budget: usize,
    /// Queries for names that may not be looked up yet.
    pending: VecDeque<DependencyQuery>,
    graph: PrefetchGraph,
}

impl Prefetcher {
    /// An empty prefetcher. The cost of prefetches is counted in `figures`.
    pub(super) fn new(figures: Arc<LiveMetrics>) -> Prefetcher {
        Prefetcher {
            session: Mutex::default(),
            lookup_permits: Arc::new(Semaphore::new(MAX_CONCURRENT_LOOKUPS)),
            budget: PrefetchBudget::new(figures),
        }
    }

    fn session(&self) -> MutexGuard<'_, PrefetchSession> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The current session, or a new one.
    fn spell_now(&self) -> MutexGuard<'_, PrefetchSession> {
        let mut prefetch_session = self.session();
        let now = Instant::now();
        let is_old = prefetch_session.started.is_none_or(|began| now - began > MAX_SESSION_AGE);
        if is_old || prefetch_session.last_request.is_none_or(|last| now - last > SESSION_IDLE_TIMEOUT) {
            *prefetch_session = PrefetchSession { started: Some(now), ..PrefetchSession::default() };
            self.budget.begin_session();
        }
        prefetch_session.last_request = Some(now);
        prefetch_session
    }

    /// Records that a client requested the index file of `name`; returns the queries to follow now.
    pub(super) fn record_index_request(&self, name: &CrateName) -> Vec<DependencyQuery> {
        let mut prefetch_session = self.spell_now();
        // Clients can invent names; none is remembered beyond the limit of a session.
        if prefetch_session.queries.len() >= MAX_QUERIES
            || prefetch_session.requested.len() >= MAX_QUERIES
            || !prefetch_session.requested.insert(name.clone())
        {
            return Vec::new();
        }
        prefetch_session.name_budget = NAMES_PER_REQUEST.saturating_add(prefetch_session.name_budget).min(MAX_QUERIES);
        let mut now = Vec::new();
        if prefetch_session.known_names.insert(name.clone()) {
            let query = DependencyQuery {
                name: name.clone(),
                req: VersionReq::STAR,
                features: Default::default(),
                default_features: true,
            };
            if prefetch_session.insert(&query) {
                prefetch_session.roots.insert(name.clone());
                now.push(query);
            }
        }
        let waiting = std::mem::take(&mut prefetch_session.pending);
        prefetch_session.admit(waiting, &mut now);
        now
    }

    /// Adds queries that another one led to; returns those to follow now.
    pub(super) fn enqueue(&self, queries: Vec<DependencyQuery>) -> Vec<DependencyQuery> {
        let mut prefetch_session = self.session();
        let new: Vec<DependencyQuery> = queries.into_iter().filter(|query| prefetch_session.insert(query)).collect();
        let mut due = Vec::new();
        prefetch_session.admit(new, &mut due);
        due
    }

    /// Records that `query` probably selects `id`, with these dependencies; `is_stored`: the mirror has it.
    pub(super) fn add(&self, query: DependencyQuery, id: CrateId, dependencies: Vec<Dependency>, is_stored: bool) {
        let mut prefetch_session = self.session();
        let is_root = query.req == VersionReq::STAR && prefetch_session.roots.contains(&query.name);
        prefetch_session.graph.add(query, id, dependencies, is_root, is_stored);
    }

    /// A client requested this crate, which is not stored.
    pub(super) fn request(&self, id: &CrateId) {
        self.spell_now().graph.request(id);
    }

    /// The crates to prefetch now, each with its space in the budget.
    pub(super) fn take_expected(&self) -> Vec<(CrateId, Reservation)> {
        let mut prefetch_session = self.session();
        if !prefetch_session.graph.is_trusted() {
            return Vec::new();
        }
        let expected = prefetch_session.graph.expected(&prefetch_session.requested);
        let taken: Vec<_> = expected.into_iter().map_while(|id| Some((id, self.budget.reserve()?))).collect();
        for (id, _) in &taken {
            prefetch_session.graph.settle(id);
        }
        taken
    }
}

impl PrefetchSession {
    fn insert(&mut self, query: &DependencyQuery) -> bool {
        self.queries.len() < MAX_QUERIES && self.queries.insert(query.clone())
    }

    /// Adds those of `queries` to the due ones whose names are known or may be looked up; the others wait.
    fn admit(&mut self, queries: impl IntoIterator<Item = DependencyQuery>, due: &mut Vec<DependencyQuery>) {
        for query in queries {
            if self.known_names.contains(&query.name) {
                due.push(query);
            } else if self.name_budget > 0 {
                self.name_budget -= 1;
                self.known_names.insert(query.name.clone());
                due.push(query);
            } else {
                self.pending.push_back(query);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ahead() -> Prefetcher {
        Prefetcher::new(Arc::default())
    }

    fn id(name: &str) -> CrateId {
        CrateId::parse(name, "1.0.0").expect("id")
    }

    #[test]
    fn guesses_are_followed_when_they_were_right_and_the_client_requested_the_names() {
        let ahead = ahead();
        let names = ["a", "b", "c", "d", "e", "f"];
        for name in names {
            for query in ahead.record_index_request(&name.parse().expect("name")) {
                ahead.add(query, id(name), Vec::new(), false);
            }
        }
        ahead.session().requested.remove(&id("e").name);
        for name in ["a", "b"] {
            ahead.request(&id(name));
            assert!(ahead.take_expected().is_empty());
        }
        ahead.request(&id("c"));
        let taken = ahead.take_expected();
        assert_eq!(taken.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>(), [id("d"), id("f")]);
        assert!(ahead.take_expected().is_empty(), "each only once");
    }

    #[test]
    fn the_number_of_remembered_names_is_bounded() {
        let ahead = ahead();
        for number in 0..MAX_QUERIES + 1_000 {
            let requests = ahead.record_index_request(&format!("made-up-{number}").parse().expect("name"));
            assert_eq!(!requests.is_empty(), number < MAX_QUERIES);
        }
        assert_eq!(ahead.session().known_names.len(), MAX_QUERIES);
    }

    #[test]
    fn repeated_queries_are_ignored_until_the_session_expires() {
        let ahead = ahead();
        let name: CrateName = "a".parse().expect("name");
        let query = ahead.record_index_request(&name).pop().expect("the first time");
        assert!(ahead.record_index_request(&name).is_empty() && ahead.enqueue(vec![query.clone()]).is_empty());
        let narrow = DependencyQuery { req: "^1".parse().expect("requirement"), ..query };
        assert_eq!(ahead.enqueue(vec![narrow.clone()]), [narrow]);
        ahead.session().last_request = Instant::now().checked_sub(SESSION_IDLE_TIMEOUT * 2);
        assert_eq!(ahead.record_index_request(&name).len(), 1);
    }

    #[test]
    fn each_index_request_allows_a_limited_number_of_lookups() {
        let ahead = ahead();
        let query = |number: usize, req: &str| DependencyQuery {
            name: format!("dep-{number}").parse().expect("name"),
            req: req.parse().expect("requirement"),
            features: Default::default(),
            default_features: true,
        };
        assert_eq!(ahead.record_index_request(&"root".parse().expect("name")).len(), 1);
        let led = ahead.enqueue((0..3_600).map(|number| query(number, "^1")).collect());
        assert_eq!(led.len(), NAMES_PER_REQUEST);
        // Another requirement for a known name costs no request.
        assert_eq!(ahead.enqueue(vec![query(0, "^2")]).len(), 1);
        assert_eq!(ahead.enqueue(vec![query(3_000, "^2")]).len(), 0);
        // The same name again allows no further lookups; another name does.
        assert_eq!(ahead.record_index_request(&"root".parse().expect("name")).len(), 0);
        assert_eq!(ahead.record_index_request(&"dep-0".parse().expect("name")).len(), NAMES_PER_REQUEST);
        assert_eq!(ahead.record_index_request(&"new".parse().expect("name")).len(), NAMES_PER_REQUEST + 1);
    }
}
