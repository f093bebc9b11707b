//! The dependency graph that a client's lockfile probably contains, according to index files, and the order in which
//! the client will request its crates.
//!
//! Cargo requests crates in one of two orders. `cargo build` sorts by name and version; `cargo fetch` walks the graph,
//! beginning with the last dependency. The client's requests show which of the two it is. A build skips what it does
//! not need (dev-dependencies, other platforms, weak features), and so do the predictions.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use crate::crate_id::{CrateId, CrateName, Version};
use crate::upstream::prefetch::{Condition, Dependency, DependencyQuery};

/// Number of remembered requests. If sorted requests are past a crate by more than this, the client skipped it.
const RECENT: usize = 8;
/// Maximum number of remembered edges: an index that names ever more dependencies is not kept in memory.
const EDGES: usize = 20_000;
/// Number of predicted requests before predictions are used, and how many of ten must have been right.
const JUDGED: u32 = 3;
const OF_TEN: u32 = 9;

/// The graph of one session.
#[derive(Debug, Default)]
pub(super) struct PrefetchGraph {
    nodes: Vec<Node>,
    by_id: BTreeMap<CrateId, usize>,
    queries: HashMap<DependencyQuery, usize>,
    /// The node that each query probably selects.
    selected: Vec<Option<usize>>,
    /// Nodes whose index file the client requested before any dependency named them: probably direct dependencies. Which
    /// version their project wants is not known.
    roots: BTreeSet<usize>,
    /// Conditions under which the client has requested crates.
    shown: HashSet<Condition>,
    recent: VecDeque<CrateId>,
    edges: usize,
    /// Number of requested crates with a prediction for their name, and of correct predictions.
    judged: u32,
    right: u32,
    /// Number of consecutive requests, and of those in sorted order.
    pairs: u32,
    sorted: u32,
}

#[derive(Debug)]
struct Node {
    id: CrateId,
    /// The condition and the query of each dependency.
    dependencies: Vec<(Option<Condition>, usize)>,
    /// The client requested it or a compatible version instead, or the mirror has it.
    requested: bool,
    /// It was prefetched, or a prefetch was tried.
    settled: bool,
}

impl PrefetchGraph {
    /// Adds the crate `id` with its dependencies, which `query` probably selects. `is_root`: no known dependency leads
    /// there. `is_stored`: the mirror has the crate, so no request for it will be seen.
    pub(super) fn add(
        &mut self,
        query: DependencyQuery,
        id: CrateId,
        dependencies: Vec<Dependency>,
        is_root: bool,
        is_stored: bool,
    ) {
        let place = *self.by_id.entry(id.clone()).or_insert(self.nodes.len());
        if place == self.nodes.len() {
            self.nodes.push(Node { id, dependencies: Vec::new(), requested: false, settled: false });
        }
        let query = self.query(query);
        self.selected[query] = Some(place);
        if is_root {
            self.roots.insert(place);
        }
        self.nodes[place].requested |= is_stored;
        for Dependency { query, condition } in dependencies {
            if self.edges >= EDGES {
                break;
            }
            let edge = (condition, self.query(query));
            if !self.nodes[place].dependencies.contains(&edge) {
                self.nodes[place].dependencies.push(edge);
                self.edges += 1;
            }
        }
    }

    fn query(&mut self, query: DependencyQuery) -> usize {
        let query = *self.queries.entry(query).or_insert(self.selected.len());
        if query == self.selected.len() {
            self.selected.push(None);
        }
        query
    }

    /// Records that the client requested a crate that is not stored.
    pub(super) fn request(&mut self, id: &CrateId) {
        self.learn_condition(id);
        let versions: Vec<usize> = self.versions(&id.name).collect();
        if !versions.is_empty() {
            self.judged += 1;
            self.right += u32::from(self.by_id.contains_key(id));
        }
        // A lockfile has one version of each compatible range.
        for place in versions {
            let node = &mut self.nodes[place];
            node.requested |= are_compatible(&node.id.version, &id.version);
        }
        if let Some(last) = self.recent.back() {
            self.pairs += 1;
            self.sorted += u32::from(last < id);
        }
        if self.recent.len() >= RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(id.clone());
    }

    /// Records that a prefetch of the crate begins.
    pub(super) fn settle(&mut self, id: &CrateId) {
        if let Some(place) = self.by_id.get(id) {
            self.nodes[*place].settled = true;
        }
    }

    /// Whether enough predictions were right to use them.
    pub(super) fn is_trusted(&self) -> bool {
        self.judged >= JUDGED && self.right * 10 >= self.judged * OF_TEN
    }

    /// Crates that the client will probably request next, the next one first; only those for whose names it requested the
    /// index file itself.
    pub(super) fn expected(&self, requested_names: &HashSet<CrateName>) -> Vec<CrateId> {
        let reachable = self.reachable();
        let order: Vec<usize> = match self.is_sorted() {
            true => {
                let after = |id: &CrateId| self.recent.back().is_none_or(|last| id > last);
                self.by_id.iter().filter(|(id, _)| after(id)).map(|(_, place)| *place).collect()
            }
            false => self.walk(),
        };
        let is_open = |place: usize| {
            let node = &self.nodes[place];
            reachable[place]
                && !node.requested
                && !node.settled
                && requested_names.contains(&node.id.name)
                && !self.has_lower_version(&node.id, &reachable)
        };
        order.into_iter().filter(|place| is_open(*place)).map(|place| self.nodes[place].id.clone()).collect()
    }

    fn is_sorted(&self) -> bool {
        self.pairs + 1 >= JUDGED && self.sorted * 10 >= self.pairs * 9
    }

    /// For each node, whether a build probably needs it. It must be reachable from the roots or from requested crates.
    /// The path must not contain a condition that the client has not shown, or a crate that the client skipped.
    fn reachable(&self) -> Vec<bool> {
        let passed = self.recent.iter().min().filter(|_| self.is_sorted() && self.recent.len() == RECENT);
        let mut reachable = vec![false; self.nodes.len()];
        let requested = (0..self.nodes.len()).filter(|place| self.nodes[*place].requested);
        let mut todo: Vec<usize> = self.certain_roots().chain(requested).collect();
        while let Some(place) = todo.pop() {
            let node = &self.nodes[place];
            let is_skipped = !node.requested && passed.is_some_and(|passed| node.id < *passed);
            if !reachable[place] && !is_skipped {
                reachable[place] = true;
                todo.extend(self.needed(node));
            }
        }
        reachable
    }

    /// The order of `cargo fetch`, starting after the last request and wrapping around.
    fn walk(&self) -> Vec<usize> {
        let mut order = Vec::new();
        let mut seen = vec![false; self.nodes.len()];
        // The roots are walked first, from the last to the first; nodes reached only from requested crates follow.
        let requested = (0..self.nodes.len()).filter(|place| self.nodes[*place].requested);
        let mut todo: Vec<usize> = requested.collect();
        let mut roots: Vec<usize> = self.certain_roots().collect();
        roots.sort_by(|a, b| self.nodes[*a].id.cmp(&self.nodes[*b].id));
        todo.extend(roots);
        while let Some(place) = todo.pop() {
            if std::mem::replace(&mut seen[place], true) {
                continue;
            }
            order.push(place);
            let next: BTreeMap<&CrateId, usize> =
                self.needed(&self.nodes[place]).map(|next| (&self.nodes[next].id, next)).collect();
            todo.extend(next.into_values());
        }
        let known = self.recent.iter().rev().filter_map(|id| self.by_id.get(id));
        if let Some(last) = known.filter_map(|last| order.iter().position(|place| place == last)).next() {
            order.rotate_left(last + 1);
        }
        order
    }

    /// Roots for which no dependency requires another version than the newest.
    fn certain_roots(&self) -> impl Iterator<Item = usize> {
        self.roots.iter().copied().filter(|root| self.versions(&self.nodes[*root].id.name).count() == 1)
    }

    fn needed(&self, node: &Node) -> impl Iterator<Item = usize> {
        let holds = |condition: Option<Condition>| condition.is_none_or(|condition| self.shown.contains(&condition));
        let needed = node.dependencies.iter().filter(move |(condition, _)| holds(*condition));
        needed.filter_map(|(_, query)| self.selected[*query])
    }

    /// Among compatible versions, a lockfile has the one that satisfies all requirements: the lowest of those selected.
    fn has_lower_version(&self, id: &CrateId, reachable: &[bool]) -> bool {
        self.versions(&id.name).filter(|place| reachable[*place]).any(|place| {
            let other = &self.nodes[place].id.version;
            *other < id.version && are_compatible(other, &id.version)
        })
    }

    /// If a crate is needed only under one condition, a request for it shows that the client meets that condition.
    fn learn_condition(&mut self, id: &CrateId) {
        let Some(place) = self.by_id.get(id).copied() else { return };
        let reachable = self.reachable();
        if reachable[place] {
            return;
        }
        let parents = self.nodes.iter().zip(&reachable).filter(|(_, reachable)| **reachable);
        let edges = parents.flat_map(|(parent, _)| &parent.dependencies);
        let leading = edges.filter(|(_, query)| self.selected[*query] == Some(place));
        let conditions: HashSet<Condition> = leading.filter_map(|(condition, _)| *condition).collect();
        match conditions.into_iter().collect::<Vec<_>>()[..] {
            // In a build, another dependency needs the crate: builds skip dependencies of other weak features.
            [Condition::WeakFeature] if self.pairs + 1 < JUDGED || self.is_sorted() => {}
            [condition] => _ = self.shown.insert(condition),
            _ => {}
        }
    }

    fn versions(&self, name: &CrateName) -> impl Iterator<Item = usize> {
        let first = CrateId { name: name.clone(), version: Version::new(0, 0, 0) };
        let name = name.clone();
        self.by_id.range(first..).take_while(move |(id, _)| id.name == name).map(|(_, place)| *place)
    }
}

/// Whether a caret requirement on either version accepts the other one.
fn are_compatible(a: &Version, b: &Version) -> bool {
    // The first number that is not zero determines the range.
    let range = |version: &Version| match (version.major, version.minor) {
        (0, 0) => (0, 0, version.patch),
        (0, minor) => (0, minor, 0),
        (major, _) => (major, 0, 0),
    };
    range(a) == range(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> CrateId {
        let (name, version) = text.split_once(' ').unwrap_or((text, "1.0.0"));
        CrateId::parse(name, version).expect("id")
    }

    fn query(name: &str, req: &str) -> DependencyQuery {
        DependencyQuery {
            name: name.parse().expect("name"),
            req: req.parse().expect("requirement"),
            features: BTreeSet::new(),
            default_features: true,
        }
    }

    /// A graph of crates with the names of their dependencies. `name@platform` is a dependency for one platform only.
    /// Crates that no other one names are roots.
    fn graph(crates: &[(&str, &[&str])]) -> (PrefetchGraph, HashSet<CrateName>) {
        let mut graph = PrefetchGraph::default();
        let is_root =
            |name: &str| !crates.iter().any(|(_, deps)| deps.iter().any(|dep| dep.split('@').next() == Some(name)));
        for (name, dependencies) in crates {
            let dependencies = dependencies.iter().map(|dependency| {
                let (name, platform) = dependency.split_once('@').unwrap_or((dependency, ""));
                let condition = (!platform.is_empty()).then(|| Condition::platform(platform));
                Dependency { query: query(name, "^1"), condition }
            });
            graph.add(query(name, "^1"), id(name), dependencies.collect(), is_root(name), false);
        }
        let names = graph.by_id.keys().map(|id| id.name.clone()).collect();
        (graph, names)
    }

    fn expected((graph, names): &(PrefetchGraph, HashSet<CrateName>)) -> Vec<String> {
        graph.expected(names).into_iter().map(|id| id.name.to_string()).collect()
    }

    /// Crates a to h; c and its dependencies x and y are only for tests, so they are not built.
    const CRATES: &[(&str, &[&str])] = &[
        ("a", &["b", "g"]),
        ("b", &["d"]),
        ("c", &["x", "y", "b"]),
        ("d", &[]),
        ("e", &["f", "w@cfg(windows)"]),
        ("f", &[]),
        ("g", &["h"]),
        ("h", &[]),
        ("w", &["z"]),
        ("x", &[]),
        ("y", &[]),
        ("z", &[]),
    ];

    #[test]
    fn builds_request_crates_in_sorted_order() {
        let mut graph = graph(CRATES);
        for name in ["a", "b", "d"] {
            graph.0.request(&id(name));
        }
        assert!(graph.0.is_trusted());
        assert_eq!(expected(&graph), ["e", "f", "g", "h", "x", "y"]);
        // Each only once.
        graph.0.settle(&id("f"));
        assert_eq!(expected(&graph), ["e", "g", "h", "x", "y"]);
        // The build skipped c, so it does not need x and y.
        for name in ["e", "f", "g", "h", "i", "j", "k", "l"] {
            graph.0.request(&id(name));
        }
        assert!(expected(&graph).is_empty());
    }

    #[test]
    fn fetches_request_crates_by_a_walk_from_the_last_dependency() {
        let mut graph = graph(CRATES);
        for name in ["e", "f", "c"] {
            graph.0.request(&id(name));
        }
        assert_eq!(expected(&graph), ["y", "x", "b", "d", "a", "g", "h"]);
        graph.0.request(&id("y"));
        assert_eq!(expected(&graph), ["x", "b", "d", "a", "g", "h"]);
    }

    #[test]
    fn what_is_for_one_platform_waits_until_the_client_wants_such() {
        let crates: &[(&str, &[&str])] = &[
            (
                "a",
                &[
                    "b",
                    "win@cfg(windows)",
                    "mac@cfg(macos)",
                    "other@cfg(windows)",
                    "both@cfg(windows)",
                    "both@cfg(macos)",
                ],
            ),
            ("b", &[]),
            ("both", &[]),
            ("mac", &[]),
            ("other", &["under"]),
            ("under", &[]),
            ("win", &[]),
        ];
        let mut graph = graph(crates);
        assert_eq!(expected(&graph), ["a", "b"]);
        graph.0.request(&id("both"));
        graph.0.request(&id("a"));
        assert_eq!(expected(&graph), ["b"], "either platform is possible");
        graph.0.request(&id("win"));
        assert_eq!(expected(&graph), ["other", "under", "b"]);
    }

    #[test]
    fn other_versions_than_the_guessed_ones_end_the_trust() {
        let mut graph = graph(CRATES);
        for name in ["a", "b", "d 1.0.1", "e", "f", "g", "h", "w", "x"] {
            graph.0.request(&id(name));
            assert!(!graph.0.is_trusted(), "{name}");
        }
        // A name without a prediction proves nothing.
        graph.0.request(&id("unknown"));
        assert!(!graph.0.is_trusted());
        graph.0.request(&id("y"));
        assert!(graph.0.is_trusted(), "nine of ten");
    }

    #[test]
    fn of_compatible_versions_the_lowest_is_expected_and_of_a_doubtful_root_none() {
        let mut graph = PrefetchGraph::default();
        let names: HashSet<CrateName> = ["a", "b"].map(|name| name.parse().expect("name")).into();
        let dependency = |req| Dependency { query: query("b", req), condition: None };
        graph.add(
            query("a", "*"),
            id("a"),
            vec![dependency("^1"), dependency("=1.2.0"), dependency("^2")],
            true,
            false,
        );
        graph.add(query("b", "*"), id("b 3.0.0"), Vec::new(), true, false);
        assert_eq!(graph.expected(&names).len(), 2, "the newest of each");
        graph.add(query("b", "^1"), id("b 1.9.0"), Vec::new(), false, false);
        graph.add(query("b", "=1.2.0"), id("b 1.2.0"), Vec::new(), false, false);
        graph.add(query("b", "^2"), id("b 2.0.0"), Vec::new(), false, false);
        graph.request(&id("a"));
        assert_eq!(graph.expected(&names), [id("b 2.0.0"), id("b 1.2.0")]);
        // The client has another version of the same range.
        graph.request(&id("b 1.3.0"));
        assert_eq!(graph.expected(&names), [id("b 2.0.0")]);
        assert_eq!(graph.expected(&HashSet::new()), [], "the client requested no index file");
    }

    #[test]
    fn stored_crates_are_not_expected_and_lead_on() {
        let mut graph = PrefetchGraph::default();
        let to = |name| vec![Dependency { query: query(name, "^1"), condition: None }];
        graph.add(query("a", "*"), id("a"), to("b"), true, false);
        graph.add(query("b", "^1"), id("b"), to("c"), false, true);
        graph.add(query("c", "^1"), id("c"), to("a"), false, false);
        let names = graph.by_id.keys().map(|id| id.name.clone()).collect();
        assert_eq!(graph.expected(&names), [id("a"), id("c")]);
    }

    #[test]
    fn versions_are_compatible_as_cargo_says() {
        for (a, b, compatible) in [
            ("1.0.0", "1.9.0", true),
            ("1.0.0", "2.0.0", false),
            ("0.3.1", "0.3.7", true),
            ("0.3.1", "0.4.0", false),
            ("0.3.1", "1.3.1", false),
            ("0.0.1", "0.0.1", true),
            ("0.0.1", "0.0.2", false),
        ] {
            let version = |text: &str| text.parse::<Version>().expect("version");
            assert_eq!(are_compatible(&version(a), &version(b)), compatible, "{a} {b}");
        }
    }
}
