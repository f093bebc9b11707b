//! The order in which several bundles go into a mirror: that of their histories, whatever their files are called.

use std::cmp::Ordering;
use std::collections::HashMap;

use crate::bundle::format::Manifest;

/// What a bundle's manifest says of its place among others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The bundle.
    pub id: String,
    /// Its history.
    pub lineage: String,
    /// Its number in the history.
    pub sequence: u64,
    /// When it was written (RFC 3339, UTC).
    pub created: String,
    /// The bundle that it builds on.
    pub parent: Option<String>,
    /// The bundles whose place it takes: those that a snapshot brings along.
    pub stands_for: Vec<String>,
}

impl Place {
    /// The place that `manifest` states.
    pub fn of(manifest: &Manifest) -> Place {
        Place {
            id: manifest.id.clone(),
            lineage: manifest.lineage.id.clone(),
            sequence: manifest.lineage.sequence,
            created: manifest.created.clone(),
            parent: manifest.parent.as_ref().map(|parent| parent.id.clone()),
            stands_for: manifest.carried.iter().map(|one| one.bundle.clone()).collect(),
        }
    }

    fn within_lineage(&self, other: &Place) -> Ordering {
        (self.sequence, &self.created, &self.id).cmp(&(other.sequence, &other.created, &other.id))
    }
}

/// `bundles` in the order of import: one history after another, the one with the oldest bundle first; within it by
/// sequence; and whatever the numbers say, a bundle comes after the one that it builds on.
pub fn in_order<T>(bundles: Vec<(Place, T)>) -> Vec<T> {
    let mut begins: HashMap<String, String> = HashMap::new();
    for (place, _) in &bundles {
        let first = begins.entry(place.lineage.clone()).or_insert_with(|| place.created.clone());
        if place.created < *first {
            first.clone_from(&place.created);
        }
    }
    let mut sorted = bundles;
    sorted.sort_by(|(a, _), (b, _)| {
        let lineage = |place: &Place| (begins.get(&place.lineage).cloned(), place.lineage.clone());
        lineage(a).cmp(&lineage(b)).then_with(|| a.within_lineage(b))
    });
    after_parents(sorted)
}

/// Moves bundles behind the one that they build on; a circle, which no honest chain has, is cut where it is met.
fn after_parents<T>(sorted: Vec<(Place, T)>) -> Vec<T> {
    let (places, things): (Vec<Place>, Vec<T>) = sorted.into_iter().unzip();
    let by_id: HashMap<&str, usize> = places.iter().enumerate().map(|(at, place)| (place.id.as_str(), at)).collect();
    let stand_ins: HashMap<&str, usize> = places
        .iter()
        .enumerate()
        .flat_map(|(at, place)| place.stands_for.iter().map(move |id| (id.as_str(), at)))
        .collect();
    let parent = |at: usize| {
        let id = places[at].parent.as_deref()?;
        by_id.get(id).or_else(|| stand_ins.get(id)).copied()
    };
    let mut things: Vec<Option<T>> = things.into_iter().map(Some).collect();
    let mut met = vec![false; places.len()];
    let mut ordered = Vec::with_capacity(places.len());
    for first in 0..places.len() {
        let mut line = Vec::new();
        let mut next = Some(first);
        while let Some(at) = next.filter(|at| !met[*at]) {
            met[at] = true;
            line.push(at);
            next = parent(at);
        }
        ordered.extend(line.into_iter().rev().filter_map(|at| things[at].take()));
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(id: &str, lineage: &str, sequence: u64, created: &str, parent: Option<&str>) -> (Place, String) {
        let owned = str::to_owned;
        let place = Place {
            id: owned(id),
            lineage: owned(lineage),
            sequence,
            created: owned(created),
            parent: parent.map(owned),
            stands_for: Vec::new(),
        };
        (place, owned(id))
    }

    #[test]
    fn histories_follow_one_another_each_by_its_numbers() {
        let bundles = vec![
            place("b2", "b", 2, "2026-02", Some("b1")),
            place("a2", "a", 2, "2026-03", None),
            place("a10", "a", 10, "2026-04", Some("a2")),
            place("b1", "b", 1, "2026-01", None),
            place("a1", "a", 1, "2026-02", None),
        ];
        assert_eq!(in_order(bundles), ["b1", "b2", "a1", "a2", "a10"]);
    }

    #[test]
    fn a_delta_comes_after_its_parent_whatever_the_numbers_say() {
        let bundles = vec![
            place("delta", "a", 1, "2026-01", Some("middle")),
            place("other", "a", 2, "2026-01", None),
            place("middle", "b", 1, "2026-05", Some("base")),
            place("base", "b", 9, "2026-06", Some("elsewhere")),
        ];
        assert_eq!(in_order(bundles), ["base", "middle", "delta", "other"]);
    }

    #[test]
    fn a_delta_comes_after_the_snapshot_that_has_its_parent() {
        let (mut snapshot, name) = place("snapshot", "none", 1, "2026-09", None);
        snapshot.stands_for = vec!["middle".to_owned()];
        let delta = place("delta", "a", 7, "2026-01", Some("middle"));
        assert_eq!(in_order(vec![delta, (snapshot, name)]), ["snapshot", "delta"]);
    }

    #[test]
    fn a_circle_and_the_same_bundle_twice_lose_nothing() {
        let bundles = vec![
            place("x", "a", 1, "1", Some("y")),
            place("y", "a", 2, "2", Some("x")),
            place("x", "a", 1, "1", Some("y")),
            place("self", "a", 3, "3", Some("self")),
        ];
        let mut found = in_order(bundles);
        found.sort();
        assert_eq!(found, ["self", "x", "x", "y"]);
    }
}
