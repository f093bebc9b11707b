//! The newest bundles of each lineage, and why one of them is doubtful.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bundle::format::{BundleKind, Manifest};
use crate::bundle::sanitize::sanitize_line;
use crate::bundle::sequence::FIRST_TIMESTAMP_SEQUENCE;
use crate::units::is_zero;

/// The newest bundle of one history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    /// The highest lower number in the mirror when this bundle was imported, if numbers between them were missing. Such
    /// a bundle is uncertain. Nothing is removed because of it until it is accepted, or until the missing bundles are
    /// imported.
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

/// Adds a bundle to those that may be their history's newest, unless one of them is certainly later. A bundle with a
/// gap before its number does not displace others, see [`LineageTip::gap_after`]. The gap is found, or is the one that
/// the bundle's record states. A bundle whose predecessor is uncertain inherits the gap.
pub(super) fn add_contender(contenders: &mut Vec<LineageTip>, mut lineage: LineageTip) {
    let again = contenders.iter().find(|known| (&known.bundle, known.sequence) == (&lineage.bundle, lineage.sequence));
    lineage.gap_after = match again {
        Some(known) => known.gap_after,
        None => find_sequence_gap(contenders, &lineage)
            .or_else(|| inherited_gap(contenders, &lineage))
            .or(lineage.gap_after),
    };
    if lineage.gap_after.is_none() {
        resolve_following_gaps(contenders, lineage.sequence);
    }
    // For the same bundle, the later record counts.
    contenders.retain(|known| known.bundle != lineage.bundle);
    contenders.push(lineage);
    let undoubted: Vec<LineageTip> = contenders.iter().filter(|one| one.gap_after.is_none()).cloned().collect();
    contenders.retain(|known| !undoubted.iter().any(|one| one.bundle != known.bundle && known.is_superseded_by(one)));
}

/// Resolves the gap before the number after `sequence`, whose bundle has no gap, and before the numbers that follow it
/// without a gap. Bundles that fill a gap may arrive in any order.
fn resolve_following_gaps(contenders: &mut [LineageTip], sequence: u64) {
    let mut number = sequence;
    while let Some(next) = number.checked_add(1) {
        let mut is_imported = false;
        for known in contenders.iter_mut().filter(|known| known.sequence == next) {
            (known.gap_after, is_imported) = (None, true);
        }
        if !is_imported {
            return;
        }
        number = next;
    }
}

/// The gap before the bundle's predecessor, if that is uncertain.
fn inherited_gap(contenders: &[LineageTip], lineage: &LineageTip) -> Option<u64> {
    let before = lineage.sequence.checked_sub(1)?;
    let mut predecessors = contenders.iter().filter(|known| known.sequence == before).peekable();
    predecessors.peek()?;
    // One certain predecessor is enough: this bundle may follow it.
    predecessors.map(|known| known.gap_after).min().flatten()
}

/// The number after which a gap precedes the bundle's number.
pub(super) fn find_sequence_gap(contenders: &[LineageTip], lineage: &LineageTip) -> Option<u64> {
    let counted = contenders.iter().any(|known| known.sequence < FIRST_TIMESTAMP_SEQUENCE);
    let lower = contenders.iter().map(|known| known.sequence).filter(|number| *number < lineage.sequence);
    lower.max().filter(|before| counted && lineage.sequence - before > 1)
}

/// Why the newest of these sorted bundles of one history is uncertain, one sentence each.
pub(super) fn doubts<'h>(contenders: impl IntoIterator<Item = &'h LineageTip>) -> Vec<String> {
    let mut doubts = Vec::new();
    let mut before: Option<&LineageTip> = None;
    for one in contenders {
        let number = one.sequence;
        match (one.gap_after, before) {
            (_, Some(before)) if before.sequence == number => {
                let [first, second] = [before, one].map(|tip| sanitize_line(&tip.bundle));
                doubts
                    .push(format!("two different bundles have the number {number}, with the ids {first} and {second}"));
            }
            (Some(from), _) => {
                doubts.push(format!("bundle number {number} was imported when the highest number was {from}"));
            }
            (None, Some(before)) if before.created > one.created => {
                doubts.push(format!("bundle number {} was written after number {number}", before.sequence));
            }
            _ => {}
        }
        before = Some(one);
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
    format!("bundle number {} (`{file}`, id {id}) of lineage {}", tip.sequence, tip.id_and_inputs())
}

impl LineageTip {
    /// The bundle with this manifest, whose record is called `record`.
    pub(super) fn from_manifest(manifest: &Manifest, record: String) -> LineageTip {
        let lineage = match manifest.carried_histories.as_slice() {
            // The record of a history that a snapshot included.
            [carried] if manifest.kind != BundleKind::Snapshot => &carried.lineage,
            _ => &manifest.lineage,
        };
        LineageTip {
            id: manifest.lineage.id.clone(),
            sequence: manifest.lineage.sequence,
            bundle: manifest.id.clone(),
            created: manifest.created.clone(),
            record,
            gap_after: None,
            inputs: Vec::new(),
            more_inputs: 0,
        }
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

    /// Whether `other` is certainly later than this bundle: it has the higher number, and was not written before. A
    /// history restored from a backup assigns some numbers twice. Then neither number nor time shows which bundle is
    /// right. The same happens after a clock was set back. The files of both are kept.
    ///
    /// For the same bundle, the later record counts: its own record replaces a snapshot's statement about it.
    pub(super) fn is_superseded_by(&self, other: &LineageTip) -> bool {
        self.bundle == other.bundle || self.sequence < other.sequence && self.created <= other.created
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
            gap_after: None,
            inputs: Vec::new(),
            more_inputs: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let mut contenders = Vec::new();
        numbers.iter().for_each(|number| add_contender(&mut contenders, LineageTip::for_test("a", *number)));
        sort_contenders(&mut contenders);
        contenders.iter().map(|one| (one.sequence, one.gap_after)).collect()
    }

    #[test]
    fn bundles_with_one_number_after_a_gap_are_named_by_their_ids() {
        let mut contenders = Vec::new();
        add_contender(&mut contenders, LineageTip::for_test("a", 5));
        for bundle in ["x", "y"] {
            add_contender(&mut contenders, LineageTip { bundle: bundle.to_owned(), ..LineageTip::for_test("a", 7) });
        }
        sort_contenders(&mut contenders);
        let gap = "bundle number 7 was imported when the highest number was 5";
        let rival = "two different bundles have the number 7, with the ids x and y";
        assert_eq!(doubts(&contenders), [gap, rival]);
    }

    #[test]
    fn a_bundle_after_a_sequence_gap_supersedes_nothing() {
        assert_eq!(contenders(&[1, 2, 3]), [(3, None)]);
        assert_eq!(contenders(&[5, 3]), [(5, None)], "an older bundle that was imported later");
        assert_eq!(contenders(&[1, 3]), [(1, None), (3, Some(1))]);
        assert_eq!(contenders(&[1, 3, 3]), [(1, None), (3, Some(1))], "the same bundle again");
        assert_eq!(contenders(&[1, 3, 5]), [(1, None), (3, Some(1)), (5, Some(3))]);
        let uncertain = [(1, None), (3, Some(1)), (4, Some(1))];
        assert_eq!(contenders(&[1, 3, 4]), uncertain, "the next number does not resolve the gap");
        assert_eq!(contenders(&[1, 3, 4, 2]), [(4, None)], "the missing bundle was imported");
        assert_eq!(contenders(&[1, 3, 2]), [(3, None)], "the missing bundle was imported");
        assert_eq!(contenders(&[1, 4, 3, 2]), [(4, None)], "the missing bundles were imported in another order");
        assert_eq!(contenders(&[1, 6, 4, 3, 2]), [(4, None), (6, Some(1))], "number 5 is missing");
        assert_eq!(contenders(&[1, u64::MAX, u64::MAX - 1]), [(1, None), (u64::MAX - 1, Some(1)), (u64::MAX, Some(1))]);
        assert_eq!(contenders(&[1, 1000, 2]), [(2, None), (1000, Some(1))]);
        assert_eq!(contenders(&[1, 1000, 998]), [(1, None), (998, Some(1)), (1000, Some(1))]);
        let (time, later) = (FIRST_TIMESTAMP_SEQUENCE + 5, FIRST_TIMESTAMP_SEQUENCE + 500);
        assert_eq!(contenders(&[time, later]), [(later, None)], "sequence numbers that are times have no gaps");
        assert_eq!(contenders(&[1, time, later]), [(1, None), (time, Some(1)), (later, Some(time))]);
    }

    #[test]
    fn bundles_without_a_missing_number_leave_no_doubt_in_any_order_of_import() {
        let mut orders: Vec<Vec<u64>> = vec![Vec::new()];
        for number in 1..=6 {
            let insert = |order: Vec<u64>| {
                (0..=order.len()).map(move |at| {
                    let mut longer = order.clone();
                    longer.insert(at, number);
                    longer
                })
            };
            orders = orders.into_iter().flat_map(insert).collect();
        }
        assert_eq!(orders.len(), 720);
        for order in orders {
            assert_eq!(contenders(&order), [(6, None)], "{order:?}");
        }
    }
}
