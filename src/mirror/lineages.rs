//! The newest bundles of each lineage, and why one of them is doubtful.

use std::cmp::Ordering;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bundle::format::{BundleKind, Lineage, Manifest};
use crate::bundle::sanitize::sanitize_line;
use crate::bundle::sequence::{describe_bundle_number, is_time};
use crate::units::is_zero;

/// The newest bundle of one history.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LineageTip {
    /// The history.
    pub id: String,
    /// The number of its newest bundle.
    pub sequence: u64,
    /// The bundle.
    pub bundle: String,
    /// When the bundle was written.
    pub created: String,
    /// The name of its record in the ledger.
    pub record: String,
    /// The lowest number of the bundles that lead to this one, each of which is named by the next as its predecessor. Of an
    /// accepted bundle its own number.
    pub chain_start: u64,
    /// When the bundle with that number was written.
    pub chain_created: String,
    /// The id of the bundle before that number, as stated by the bundle with it. `None` if nothing precedes it: it is the
    /// history's first, or an administrator accepted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain_follows: Option<String>,
    /// The highest lower number in the mirror when this bundle was imported, if no chain of predecessors connects the two.
    /// Such a bundle is uncertain. Nothing is removed because of it until it is accepted, or until the chain is complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[serde(rename = "jumped_from")]
    pub gap_after: Option<u64>,
    /// The bundle's names of the history's inputs: the first few, each shortened, so that the summary stays small.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    pub inputs: Vec<String>,
    /// The number of further inputs.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(default)]
    pub more_inputs: u64,
}

/// The lineage of crates whose own records were lost. A bundle's lineage is 32 hexadecimal digits, and never this.
pub const REBUILT_LINEAGE: &str = "rebuilt";

/// Maximum number of input names of one history in a summary.
const MAX_INPUT_NAMES: usize = 4;

/// Maximum characters of each name.
const MAX_INPUT_NAME: usize = 80;

/// A bundle's id and number.
type TipKey = (String, u64);

/// Adds a bundle to those that may be their history's newest, and removes those that lead to a certain one by a chain of
/// predecessors. Only such a chain ends a doubt, because every sender of a bundle can choose its number and time. Bundles
/// that complete a chain may arrive in any order. `is_recorded`: the ledger has the bundle, names it as a
/// predecessor, or lost its record.
pub(super) fn add_contender(contenders: &mut Vec<LineageTip>, mut tip: LineageTip, is_recorded: bool) {
    // For the same bundle, the later record counts: its own record replaces a snapshot's statement about it.
    contenders.retain(|known| known.bundle != tip.bundle || known.sequence == tip.sequence);
    if let Some(known) = contenders.iter_mut().find(|known| known.bundle == tip.bundle) {
        tip.chain_start = known.chain_start;
        tip.chain_created = std::mem::take(&mut known.chain_created);
        tip.chain_follows = known.chain_follows.take();
        tip.gap_after = known.gap_after;
        *known = tip;
        return;
    }
    if !tip.is_counted() && contenders.iter().all(|known| !known.is_counted()) {
        if !contenders.iter().any(|known| known.is_certainly_later(&tip)) {
            contenders.retain(|known| !tip.is_certainly_later(known));
            contenders.push(tip);
        }
        return;
    }
    // One certain predecessor is enough.
    let predecessor_gap = contenders.iter().filter(|known| tip.follows(known)).map(|known| known.gap_after).min();
    let is_connected = predecessor_gap.is_some() || contenders.iter().any(|known| known.follows(&tip));
    let is_older = |known: &LineageTip| {
        known.is_certainly_later(&tip) || is_recorded && known.gap_after.is_none() && known.sequence > tip.sequence
    };
    if !is_connected && contenders.iter().any(is_older) {
        return;
    }
    if tip.starts_chain() {
        contenders.retain(|known| !tip.is_certainly_later(known));
    } else {
        tip.gap_after = predecessor_gap.unwrap_or_else(|| highest_lower_number(contenders, &tip).or(tip.gap_after));
    }
    let predecessor = contenders.iter().find(|known| known.gap_after.is_none() && tip.follows(known));
    let first = predecessor.unwrap_or(&tip).key();
    contenders.push(tip);
    join_chains(contenders, first);
}

/// Removes each certain bundle that others follow, beginning with `first`. The followers are certain too, and take over its
/// chain. No other certain bundle is followed.
fn join_chains(contenders: &mut Vec<LineageTip>, first: TipKey) {
    let mut changed = vec![first];
    while let Some(key) = changed.pop() {
        let is_followed = |known: &LineageTip| contenders.iter().any(|next| next.follows(known));
        let is_certain = |known: &LineageTip| known.gap_after.is_none() && known.key() == key;
        let Some(at) = contenders.iter().position(|known| is_certain(known) && is_followed(known)) else { continue };
        let before = contenders.swap_remove(at);
        for next in contenders.iter_mut().filter(|next| next.follows(&before)) {
            next.chain_start = before.chain_start;
            next.chain_created.clone_from(&before.chain_created);
            next.chain_follows.clone_from(&before.chain_follows);
            next.gap_after = None;
            changed.push(next.key());
        }
    }
}

/// The highest number of `contenders` below that of `tip`, if none of them is its predecessor.
pub(super) fn find_sequence_gap(contenders: &[LineageTip], tip: &LineageTip) -> Option<u64> {
    let is_connected = contenders.iter().any(|known| tip.follows(known));
    let is_counted = contenders.iter().any(LineageTip::is_counted);
    highest_lower_number(contenders, tip).filter(|_| is_counted && !is_connected && !tip.starts_chain())
}

fn highest_lower_number(contenders: &[LineageTip], tip: &LineageTip) -> Option<u64> {
    contenders.iter().map(|known| known.sequence).filter(|number| *number < tip.sequence).max()
}

/// Why the newest of these sorted bundles of one history is uncertain, one sentence each.
pub(super) fn doubts<'h>(contenders: impl IntoIterator<Item = &'h LineageTip>) -> Vec<String> {
    let mut doubts = Vec::new();
    let mut earlier: Vec<&LineageTip> = Vec::new();
    for one in contenders {
        let (number, before) = (one.sequence, earlier.last().copied());
        let is_preceding = |known: &&&LineageTip| Some(known.sequence) == one.chain_start.checked_sub(1);
        let other_predecessor = earlier.iter().rfind(is_preceding).filter(|known| !one.follows(known));
        let with_id = |tip: &LineageTip| format!("number {} (id {})", tip.sequence, sanitize_line(&tip.bundle));
        match (one.gap_after, before, other_predecessor) {
            (_, Some(before), _) if before.sequence == number => {
                let [first, second] = [before, one].map(|tip| sanitize_line(&tip.bundle));
                doubts
                    .push(format!("two different bundles have the number {number}, with the ids {first} and {second}"));
            }
            (Some(_), _, Some(preceding)) if one.names_predecessor(preceding) => {
                doubts.push(format!(
                    "bundle {} was written after {}, which follows it",
                    with_id(preceding),
                    with_id(one)
                ));
            }
            (Some(_), _, Some(preceding)) => {
                let named = one.chain_follows.as_deref().map_or_else(|| "none".into(), sanitize_line);
                doubts.push(format!(
                    "bundle {} does not follow bundle {}: the id that it states of its predecessor is {named}",
                    with_id(one),
                    with_id(preceding)
                ));
            }
            (Some(from), _, None) => {
                doubts.push(format!("bundle number {number} was imported when the highest number was {from}"));
            }
            (None, Some(before), _) if !one.is_counted() && !before.is_counted() => {
                let [before, one] = [before, one].map(|tip| describe_bundle_number(tip.sequence));
                doubts.push(format!("{before} was written after {one}"));
            }
            (None, Some(before), _) if before.sequence >= one.chain_start => {
                doubts.push(format!("bundle {} is none of the bundles before {}", with_id(before), with_id(one)));
            }
            (None, Some(before), _) => {
                let before = before.sequence;
                doubts.push(format!("no imported bundles connect bundle number {before} with number {number}"));
            }
            (None, None, _) => {}
        }
        earlier.push(one);
    }
    doubts
}

/// Sorts bundles of one history; the newest is the last.
pub(super) fn sort_contenders(contenders: &mut [LineageTip]) {
    contenders.sort_by(|a, b| (a.sequence, &a.created, &a.record).cmp(&(b.sequence, &b.created, &b.record)));
}

/// A bundle for users, such as "bundle number 2 (`two.pkg`, id 0a1b) of lineage 0c1d (app (Cargo.lock))".
pub(super) fn describe_bundle(tip: &LineageTip, file: &str) -> String {
    let (file, id) = (sanitize_line(file), sanitize_line(&tip.bundle));
    format!("{} (`{file}`, id {id}) of lineage {}", describe_bundle_number(tip.sequence), tip.id_and_inputs())
}

impl LineageTip {
    /// A bundle without a record and inputs. `id` and `sequence` are those of its history, and `previous` is the id of the
    /// bundle before it.
    pub(super) fn new(id: &str, sequence: u64, previous: Option<&str>, bundle: &str, created: &str) -> LineageTip {
        LineageTip {
            id: id.to_owned(),
            sequence,
            bundle: bundle.to_owned(),
            created: created.to_owned(),
            record: String::new(),
            chain_start: sequence,
            chain_created: created.to_owned(),
            chain_follows: previous.map(str::to_owned),
            gap_after: None,
            inputs: Vec::new(),
            more_inputs: 0,
        }
    }

    /// The bundle with this manifest, whose record is called `record`.
    pub(super) fn from_manifest(manifest: &Manifest, record: String) -> LineageTip {
        let lineage = match manifest.carried_histories.as_slice() {
            // The record of a history that a snapshot included.
            [carried] if manifest.kind != BundleKind::Snapshot => &carried.lineage,
            _ => &manifest.lineage,
        };
        let Lineage { id, sequence, previous, .. } = &manifest.lineage;
        LineageTip { record, ..LineageTip::new(id, *sequence, previous.as_deref(), &manifest.id, &manifest.created) }
            .with_inputs(lineage.inputs.iter().map(|input| input.name.as_str()))
    }

    /// The same with the names of its history's inputs.
    #[must_use]
    pub(super) fn with_inputs<'n>(mut self, names: impl ExactSizeIterator<Item = &'n str>) -> LineageTip {
        self.more_inputs = names.len().saturating_sub(MAX_INPUT_NAMES) as u64;
        self.inputs = names.take(MAX_INPUT_NAMES).map(shortened).collect();
        self
    }

    /// The names of its history's inputs for display, such as `app (Cargo.lock), web (depends.toml) and 2 more`; `None`
    /// if unknown.
    pub fn input_names(&self) -> Option<String> {
        if self.inputs.is_empty() {
            return None;
        }
        let names = self.inputs.iter().map(|name| sanitize_line(name)).collect::<Vec<_>>().join(", ");
        Some(if self.more_inputs > 0 { format!("{names} and {} more", self.more_inputs) } else { names })
    }

    /// The history's id with the names of its inputs in parentheses, if known.
    pub fn id_and_inputs(&self) -> String {
        let names = self.input_names().map(|names| format!(" ({names})")).unwrap_or_default();
        format!("{}{names}", sanitize_line(&self.id))
    }

    /// Whether the chain that leads to this bundle begins after `other`, and was not written before it.
    pub(super) fn follows(&self, other: &LineageTip) -> bool {
        self.names_predecessor(other)
            && self.chain_start.checked_sub(1) == Some(other.sequence)
            && self.chain_created >= other.created
    }

    /// Whether the chain that leads to this bundle names `other` as the one before it, whatever their numbers and times.
    pub(super) fn names_predecessor(&self, other: &LineageTip) -> bool {
        self.chain_follows.as_ref() == Some(&other.bundle)
    }

    /// Whether both are statements about the same bundle, and differ. An accepted bundle states no predecessor.
    pub(super) fn contradicts(&self, other: &LineageTip) -> bool {
        let differs = |one: &Option<String>, other: &Option<String>| one.is_some() && other.is_some() && one != other;
        self.bundle == other.bundle
            && (self.sequence != other.sequence
                || self.created != other.created
                || differs(&self.chain_follows, &other.chain_follows))
    }

    fn key(&self) -> TipKey {
        (self.bundle.clone(), self.sequence)
    }

    /// Whether the history numbers its bundles. The numbers of the others are times, or those of rebuilds.
    fn is_counted(&self) -> bool {
        !is_time(self.sequence) && self.id != REBUILT_LINEAGE
    }

    /// Whether the chain that leads to this bundle has a certain beginning: the history's first bundle, or an accepted one.
    fn starts_chain(&self) -> bool {
        self.gap_after.is_none() && self.is_counted() && self.chain_follows.is_none()
    }

    /// Whether this bundle is certainly later than `other`, which no chain connects with it. So is an accepted bundle, or the
    /// history's first one, if it has a higher number. Without numbers, the later time counts, if both times that the bundles
    /// state agree: after a clock was set back, nothing shows which bundle is right, and the files of both are kept.
    pub(super) fn is_certainly_later(&self, other: &LineageTip) -> bool {
        match self.is_counted() || other.is_counted() {
            false => {
                let order = (self.sequence.cmp(&other.sequence), self.created.cmp(&other.created));
                order.0.is_ge() && order.1.is_ge() && order != (Ordering::Equal, Ordering::Equal)
            }
            true => self.starts_chain() && self.chain_start > other.sequence,
        }
    }

    /// Makes this the bundle that its history starts with: an administrator accepted it.
    pub(super) fn accept(&mut self) {
        self.chain_start = self.sequence;
        self.chain_created.clone_from(&self.created);
        self.chain_follows = None;
        self.gap_after = None;
    }
}

fn shortened(name: &str) -> String {
    match name.char_indices().nth(MAX_INPUT_NAME) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}

#[cfg(test)]
impl LineageTip {
    /// A lineage whose newest bundle has this number.
    pub(in crate::mirror) fn for_test(id: &str, sequence: u64) -> LineageTip {
        LineageTip {
            id: id.to_owned(),
            sequence,
            bundle: format!("{id}{sequence}"),
            created: String::new(),
            record: String::new(),
            chain_start: sequence,
            chain_created: String::new(),
            chain_follows: sequence.checked_sub(1).filter(|number| *number > 0).map(|number| format!("{id}{number}")),
            gap_after: None,
            inputs: Vec::new(),
            more_inputs: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::bundle::sequence::FIRST_TIMESTAMP_SEQUENCE;

    #[test]
    fn a_head_keeps_few_and_short_names_of_inputs() {
        let none = LineageTip::for_test("a", 1);
        assert_eq!(none.input_names(), None);
        let two = none.clone().with_inputs(["app (Cargo.lock)", "w\u{1b}eb"].into_iter());
        assert_eq!((two.input_names().as_deref(), two.more_inputs), (Some("app (Cargo.lock), w\u{fffd}eb"), 0));
        let long = "é".repeat(5000);
        let names: Vec<&str> = std::iter::repeat_n(long.as_str(), 4096).collect();
        let many = none.with_inputs(names.into_iter());
        assert_eq!((many.inputs.len(), many.inputs[0].chars().count(), many.more_inputs), (4, 81, 4092));
        assert!(many.input_names().is_some_and(|names| names.ends_with("… and 4092 more")));
    }

    /// The remaining contenders of bundles imported in this order: their numbers, and the number before a gap.
    fn contenders(numbers: &[u64]) -> Vec<(u64, Option<u64>)> {
        let tips: Vec<LineageTip> = numbers.iter().map(|number| LineageTip::for_test("a", *number)).collect();
        sorted_contenders(&tips).iter().map(|one| (one.sequence, one.gap_after)).collect()
    }

    fn sorted_contenders(tips: &[LineageTip]) -> Vec<LineageTip> {
        let mut contenders = Vec::new();
        tips.iter().for_each(|tip| add_contender(&mut contenders, tip.clone(), false));
        sort_contenders(&mut contenders);
        contenders
    }

    /// The ids of the remaining contenders of these bundles, each given with its number and predecessor.
    fn remaining<'t>(tips: impl IntoIterator<Item = &'t (u64, &'t str, &'t str)>) -> Vec<String> {
        let of = |(sequence, bundle, previous): &(u64, &str, &str)| LineageTip {
            bundle: (*bundle).to_owned(),
            chain_follows: Some((*previous).to_owned()).filter(|id| !id.is_empty()),
            ..LineageTip::for_test("a", *sequence)
        };
        let tips: Vec<LineageTip> = tips.into_iter().map(of).collect();
        sorted_contenders(&tips).into_iter().map(|one| one.bundle).collect()
    }

    fn orders<T: Clone>(items: &[T]) -> Vec<Vec<T>> {
        let mut orders: Vec<Vec<T>> = vec![Vec::new()];
        for item in items {
            let insert = |order: Vec<T>| {
                (0..=order.len()).map(move |at| {
                    let mut longer = order.clone();
                    longer.insert(at, item.clone());
                    longer
                })
            };
            orders = orders.into_iter().flat_map(insert).collect();
        }
        orders
    }

    #[test]
    fn bundles_with_one_number_after_a_gap_are_named_by_their_ids() {
        let five = LineageTip::for_test("a", 5);
        let of = |bundle: &str| LineageTip { bundle: bundle.to_owned(), ..LineageTip::for_test("a", 7) };
        let contenders = sorted_contenders(&[five, of("x"), of("y")]);
        let gap = "bundle number 7 was imported when the highest number was 5";
        let rival = "two different bundles have the number 7, with the ids x and y";
        assert_eq!(doubts(&contenders), [gap, rival]);
    }

    #[test]
    fn a_bundle_after_a_sequence_gap_supersedes_nothing() {
        assert_eq!(contenders(&[1, 2, 3]), [(3, None)]);
        assert_eq!(contenders(&[5, 3]), [(3, None), (5, None)], "number 4 is missing, so number 3 may not lead to 5");
        assert_eq!(contenders(&[5, 4]), [(5, None)], "an older bundle that was imported later");
        assert_eq!(contenders(&[1, 3]), [(1, None), (3, Some(1))]);
        assert_eq!(contenders(&[1, 3, 3]), [(1, None), (3, Some(1))], "the same bundle again");
        assert_eq!(contenders(&[1, 3, 5]), [(1, None), (3, Some(1)), (5, Some(3))]);
        let uncertain = [(1, None), (3, Some(1)), (4, Some(1))];
        assert_eq!(contenders(&[1, 3, 4]), uncertain, "the next number does not resolve the gap");
        assert_eq!(contenders(&[1, 3, 4, 2]), [(4, None)], "the missing bundle was imported");
        assert_eq!(contenders(&[1, 3, 2]), [(3, None)], "the missing bundle was imported");
        assert_eq!(contenders(&[1, 4, 3, 2]), [(4, None)], "the missing bundles were imported in another order");
        assert_eq!(contenders(&[1, 6, 4, 3, 2]), [(4, None), (6, Some(1))], "number 5 is missing");
        let far = FIRST_TIMESTAMP_SEQUENCE - 1;
        assert_eq!(contenders(&[1, far, far - 1]), [(1, None), (far - 1, Some(1)), (far, Some(1))]);
        assert_eq!(contenders(&[1, u64::MAX, 2]), [(2, None), (u64::MAX, Some(1))]);
        assert_eq!(contenders(&[1, 1000, 2]), [(2, None), (1000, Some(1))]);
        assert_eq!(contenders(&[1, 1000, 998]), [(1, None), (998, Some(1)), (1000, Some(1))]);
        let (time, later) = (FIRST_TIMESTAMP_SEQUENCE + 5, FIRST_TIMESTAMP_SEQUENCE + 500);
        assert_eq!(contenders(&[time, later]), [(later, None)], "sequence numbers that are times have no gaps");
        assert_eq!(contenders(&[later, time]), [(later, None)], "sequence numbers that are times have no gaps");
        assert_eq!(contenders(&[1, time, later]), [(1, None), (time, Some(1)), (later, Some(time))]);
    }

    #[test]
    fn bundles_without_a_missing_number_leave_no_doubt_in_any_order_of_import() {
        let orders = orders(&[1, 2, 3, 4, 5, 6]);
        assert_eq!(orders.len(), 720);
        for order in orders {
            assert_eq!(contenders(&order), [(6, None)], "{order:?}");
        }
    }

    #[test]
    fn a_bundle_that_no_chain_connects_stays_a_contender_in_any_order_of_import() {
        let genuine = [(1, "g1", ""), (2, "g2", "g1"), (3, "g3", "g2"), (4, "g4", "g3")];
        for forged in [(3, "f", "x"), (4, "f", "x"), (2, "f", "g1"), (4, "f", "g2"), (1, "f", ""), (9, "f", "g4")] {
            let mut tips = genuine.to_vec();
            tips.push(forged);
            for order in orders(&tips) {
                let left: BTreeSet<String> = remaining(&order).into_iter().collect();
                assert_eq!(left, BTreeSet::from(["f".to_owned(), "g4".to_owned()]), "{order:?}");
            }
        }
    }

    #[test]
    fn a_fork_is_not_forgotten_when_one_of_its_branches_continues() {
        let tips = [(6, "a6", "a5"), (7, "a7", "a6"), (7, "b7", "a6"), (8, "b8", "b7"), (9, "b9", "b8")];
        for order in orders(&tips) {
            assert_eq!(remaining(&order), ["a7", "b9"], "{order:?}");
        }
    }

    #[test]
    fn a_forged_chain_does_not_end_the_doubt_about_a_bundle_after_a_gap() {
        // Number 5 is on its way. The forger of number 6 does not know its id.
        let tips = [(4, "g4", "g3"), (6, "f6", "x"), (5, "g5", "g4")];
        assert_eq!(remaining(&tips), ["g5", "f6"]);
        let contenders = remaining(&[(4, "g4", "g3"), (6, "f6", "x"), (5, "f5", "g4"), (5, "g5", "g4")]);
        assert_eq!(contenders, ["f5", "g5", "f6"]);
    }

    #[test]
    fn doubts_name_what_does_not_fit() {
        let of = |sequence, bundle: &str, previous: &str| LineageTip {
            bundle: bundle.to_owned(),
            chain_follows: Some(previous.to_owned()),
            ..LineageTip::for_test("a", sequence)
        };
        let told = |tips: &[LineageTip]| doubts(&sorted_contenders(tips));
        assert_eq!(
            told(&[of(4, "g4", "g3"), of(6, "f6", "x"), of(5, "g5", "g4")]),
            [
                "bundle number 6 (id f6) does not follow bundle number 5 (id g5): the id that it states of its predecessor is x"
            ]
        );
        assert_eq!(
            told(&[of(4, "g4", "g3"), of(5, "f5", "x")]),
            [
                "bundle number 5 (id f5) does not follow bundle number 4 (id g4): the id that it states of its predecessor is x"
            ]
        );
        assert_eq!(
            told(&[of(7, "a7", "a6"), of(7, "b7", "a6"), of(8, "b8", "b7")]),
            ["bundle number 7 (id a7) is none of the bundles before number 8 (id b8)"]
        );
        assert_eq!(
            told(&[of(5, "g5", "g4"), of(3, "g3", "g2")]),
            ["no imported bundles connect bundle number 3 with number 5"]
        );
        assert_eq!(told(&[of(5, "g5", "g4"), of(6, "g6", "g5"), of(4, "g4", "g3")]), Vec::<String>::new());
        let time = |created: &str, tip: LineageTip| LineageTip {
            created: created.to_owned(),
            chain_created: created.to_owned(),
            ..tip
        };
        assert_eq!(
            told(&[time("2", of(4, "g4", "g3")), time("1", of(5, "g5", "g4"))]),
            ["bundle number 4 (id g4) was written after number 5 (id g5), which follows it"]
        );
    }

    #[test]
    fn an_accepted_bundle_is_later_than_all_lower_numbers() {
        let mut accepted = LineageTip::for_test("a", 10);
        accepted.accept();
        let of = |number: u64| LineageTip::for_test("a", number);
        let left =
            |tips: &[LineageTip]| -> Vec<u64> { sorted_contenders(tips).iter().map(|one| one.sequence).collect() };
        assert_eq!(left(&[accepted.clone(), of(9), of(3)]), [10]);
        assert_eq!(left(&[accepted.clone(), of(11), of(3)]), [11]);
        let rival = LineageTip { bundle: "b".to_owned(), ..of(10) };
        assert_eq!(left(&[accepted.clone(), of(11), rival]), [10, 11]);
        assert_eq!(left(&[accepted, of(13)]), [10, 13]);
    }

    #[test]
    fn a_recorded_bundle_of_a_chain_is_no_contender_when_it_is_imported_again() {
        let mut contenders = sorted_contenders(&[1, 2, 3].map(|number| LineageTip::for_test("a", number)));
        add_contender(&mut contenders, LineageTip::for_test("a", 2), true);
        assert_eq!(contenders.iter().map(|one| one.sequence).collect::<Vec<_>>(), [3]);
        let forged = LineageTip { bundle: "f".to_owned(), ..LineageTip::for_test("a", 2) };
        add_contender(&mut contenders, forged, false);
        assert_eq!(contenders.len(), 2);
    }
}
