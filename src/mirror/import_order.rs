//! The order in which several bundles are imported. It follows their histories and ignores their file names.

use std::cmp::Ordering;
use std::collections::HashMap;

use crate::bundle::format::Manifest;

/// The position of a bundle among others, from its manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundlePosition {
    /// The bundle.
    pub id: String,
    /// Its history.
    pub lineage: String,
    /// Its number in the history.
    pub sequence: u64,
    /// When it was written (RFC 3339, UTC).
    pub created: String,
    /// Its base.
    pub parent: Option<String>,
    /// The bundles that a snapshot includes and stands for.
    pub included_bundles: Vec<String>,
}

impl BundlePosition {
    /// The position that `manifest` states.
    pub fn from_manifest(manifest: &Manifest) -> BundlePosition {
        BundlePosition {
            id: manifest.id.clone(),
            lineage: manifest.lineage.id.clone(),
            sequence: manifest.lineage.sequence,
            created: manifest.created.clone(),
            parent: manifest.parent.as_ref().map(|parent| parent.id.clone()),
            included_bundles: manifest.carried_histories.iter().map(|one| one.bundle.clone()).collect(),
        }
    }

    fn cmp_within_lineage(&self, other: &BundlePosition) -> Ordering {
        (self.sequence, &self.created, &self.id).cmp(&(other.sequence, &other.created, &other.id))
    }
}

/// `bundles` in the order of import: one history after another, the one with the oldest bundle first. Within a history,
/// by sequence. A bundle always follows its base, whatever the numbers say.
pub fn sort_for_import<T>(bundles: Vec<(BundlePosition, T)>) -> Vec<T> {
    let mut first_created: HashMap<String, String> = HashMap::new();
    for (position, _) in &bundles {
        let first = first_created.entry(position.lineage.clone()).or_insert_with(|| position.created.clone());
        if position.created < *first {
            first.clone_from(&position.created);
        }
    }
    let mut sorted = bundles;
    sorted.sort_by(|(a, _), (b, _)| {
        let lineage = |place: &BundlePosition| (first_created.get(&place.lineage).cloned(), place.lineage.clone());
        lineage(a).cmp(&lineage(b)).then_with(|| a.cmp_within_lineage(b))
    });
    move_after_parents(sorted)
}

/// Moves bundles behind their base. A cycle, which valid chains do not have, is cut where it is found.
fn move_after_parents<T>(sorted: Vec<(BundlePosition, T)>) -> Vec<T> {
    let (positions, things): (Vec<BundlePosition>, Vec<T>) = sorted.into_iter().unzip();
    let by_id: HashMap<&str, usize> = positions.iter().enumerate().map(|(at, place)| (place.id.as_str(), at)).collect();
    let including: HashMap<&str, usize> = positions
        .iter()
        .enumerate()
        .flat_map(|(at, place)| place.included_bundles.iter().map(move |id| (id.as_str(), at)))
        .collect();
    let parent = |at: usize| {
        let id = positions[at].parent.as_deref()?;
        by_id.get(id).or_else(|| including.get(id)).copied()
    };
    let mut things: Vec<Option<T>> = things.into_iter().map(Some).collect();
    let mut met = vec![false; positions.len()];
    let mut ordered = Vec::with_capacity(positions.len());
    for first in 0..positions.len() {
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

    fn position(
        id: &str,
        lineage: &str,
        sequence: u64,
        created: &str,
        parent: Option<&str>,
    ) -> (BundlePosition, String) {
        let owned = str::to_owned;
        let place = BundlePosition {
            id: owned(id),
            lineage: owned(lineage),
            sequence,
            created: owned(created),
            parent: parent.map(owned),
            included_bundles: Vec::new(),
        };
        (place, owned(id))
    }

    #[test]
    fn lineages_are_imported_one_after_another_by_sequence() {
        let bundles = vec![
            position("b2", "b", 2, "2026-02", Some("b1")),
            position("a2", "a", 2, "2026-03", None),
            position("a10", "a", 10, "2026-04", Some("a2")),
            position("b1", "b", 1, "2026-01", None),
            position("a1", "a", 1, "2026-02", None),
        ];
        assert_eq!(sort_for_import(bundles), ["b1", "b2", "a1", "a2", "a10"]);
    }

    #[test]
    fn a_delta_comes_after_its_parent_whatever_the_numbers_say() {
        let bundles = vec![
            position("delta", "a", 1, "2026-01", Some("middle")),
            position("other", "a", 2, "2026-01", None),
            position("middle", "b", 1, "2026-05", Some("base")),
            position("base", "b", 9, "2026-06", Some("elsewhere")),
        ];
        assert_eq!(sort_for_import(bundles), ["base", "middle", "delta", "other"]);
    }

    #[test]
    fn a_delta_comes_after_the_snapshot_that_includes_its_parent() {
        let (mut snapshot, name) = position("snapshot", "none", 1, "2026-09", None);
        snapshot.included_bundles = vec!["middle".to_owned()];
        let delta = position("delta", "a", 7, "2026-01", Some("middle"));
        assert_eq!(sort_for_import(vec![delta, (snapshot, name)]), ["snapshot", "delta"]);
    }

    #[test]
    fn cycles_and_duplicates_lose_no_bundle() {
        let bundles = vec![
            position("x", "a", 1, "1", Some("y")),
            position("y", "a", 2, "2", Some("x")),
            position("x", "a", 1, "1", Some("y")),
            position("self", "a", 3, "3", Some("self")),
        ];
        let mut found = sort_for_import(bundles);
        found.sort();
        assert_eq!(found, ["self", "x", "x", "y"]);
    }
}
