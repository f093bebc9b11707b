//! Sorts dependencies before their dependents, so that a reader between two renames can resolve everything that it
//! sees.

use std::collections::HashMap;

/// Numbers for crate names, because a bundle names each crate many times. Only the bundle's own crates have a number;
/// other dependencies are not sorted, and need none.
#[derive(Debug, Default)]
pub struct NameIds(HashMap<Box<str>, u32>);

impl NameIds {
    /// Assigns numbers to these names.
    pub fn from_names<'n>(crates: impl Iterator<Item = &'n str>) -> NameIds {
        let mut names = NameIds::default();
        for name in crates {
            // A bundle's manifest is too short to name more crates than that.
            let next = u32::try_from(names.0.len()).unwrap_or(u32::MAX);
            names.0.entry(name.to_lowercase().into()).or_insert(next);
        }
        names
    }

    /// The number of `name`, which is case-insensitive.
    pub fn id(&self, name: &str) -> Option<u32> {
        self.0.get(&*name.to_lowercase()).copied()
    }
}

/// An index file to change.
#[derive(Debug)]
pub struct Node {
    /// The number of the crate's name.
    pub id: u32,
    /// The numbers of the crates that its new lines depend on.
    pub dependencies: Box<[u32]>,
}

/// The positions of `nodes` in an order in which each follows its dependencies. Cycles are cut anywhere, unknown names
/// are ignored, and nodes without dependencies keep their order.
pub fn dependencies_first(nodes: &[Node]) -> Vec<usize> {
    let positions: HashMap<u32, usize> = nodes.iter().enumerate().map(|(at, node)| (node.id, at)).collect();
    let needs = |at: usize, n: usize| -> Option<Option<usize>> {
        let name = nodes[at].dependencies.get(n)?;
        Some(positions.get(name).copied())
    };
    let mut order = Vec::with_capacity(nodes.len());
    let mut seen = vec![false; nodes.len()];
    // An explicit stack, because a hostile bundle may chain its crates deeper than a thread's stack.
    let mut path: Vec<(usize, usize)> = Vec::new();
    for start in 0..nodes.len() {
        if !std::mem::replace(&mut seen[start], true) {
            path.push((start, 0));
        }
        while let Some((at, next)) = path.last_mut() {
            let at = *at;
            match needs(at, *next) {
                None => {
                    order.push(at);
                    path.pop();
                }
                Some(need) => {
                    *next += 1;
                    if let Some(need) = need.filter(|need| !std::mem::replace(&mut seen[*need], true)) {
                        path.push((need, 0));
                    }
                }
            }
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn node(names: &NameIds, name: &str, needs: &[&str]) -> Node {
        let name = names.id(name).expect("the graph contains the crate");
        Node { id: name, dependencies: needs.iter().filter_map(|need| names.id(need)).collect() }
    }

    #[test]
    fn dependencies_come_first_and_cycles_terminate() {
        let names = NameIds::from_names(["a", "b", "c", "d"].into_iter());
        let graph: [(&str, &[&str]); 4] = [("a", &["B", "x"]), ("b", &["c"]), ("c", &["a"]), ("d", &[])];
        let graph = graph.map(|(name, needs)| node(&names, name, needs));
        assert_eq!(dependencies_first(&graph), [2, 1, 0, 3]);
    }

    #[test]
    fn a_long_chain_needs_no_deep_stack() {
        let chain: Vec<Node> = (0..200_000).map(|n| Node { id: n, dependencies: Box::new([n + 1]) }).collect();
        assert_eq!(dependencies_first(&chain).first(), Some(&199_999));
    }

    proptest! {
        #[test]
        fn without_cycles_every_need_comes_first(edges in proptest::collection::vec((0u32..20, 0u32..20), 0..60)) {
            let edges: Vec<(u32, u32)> = edges.into_iter().filter(|(a, b)| a != b).map(|(a, b)| (a.max(b), a.min(b))).collect();
            let graph: Vec<Node> = (0..20)
                .map(|name| Node { id: name, dependencies: edges.iter().filter(|(from, _)| *from == name).map(|(_, to)| *to).collect() })
                .collect();
            let order = dependencies_first(&graph);
            let place = |name: u32| order.iter().position(|at| graph[*at].id == name).expect("all are there");
            for (from, to) in edges {
                prop_assert!(place(to) < place(from));
            }
        }
    }
}
