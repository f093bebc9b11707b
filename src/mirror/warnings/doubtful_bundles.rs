//! Warnings about bundles whose number or time makes the newest bundle of their history doubtful.
//!
//! A bundle arrives alone, or in a snapshot with the newest bundles of other histories. Each warning says what to check,
//! and which commands accept or reject the bundle.

use crate::bundle::sequence::{describe_number, is_time};
use crate::mirror::lineages::{LineageTip, add_contender, doubts, find_sequence_gap, sort_contenders};
use crate::mirror::summary::MirrorSummary;

/// A bundle that an import adds to its history.
pub(in crate::mirror) struct AddedBundle {
    /// The bundle.
    pub(in crate::mirror) tip: LineageTip,
    /// Whether the ledger has it, or names it as a predecessor, see [`add_contender`].
    pub(in crate::mirror) is_recorded: bool,
}

/// How the sender's list shows which bundles are genuine; an id follows.
const CHECK: &str =
    "`cargo frostmirror history` on the sender's machine lists the ids of its bundles. If the list does not have";

/// All warnings about `added`, which are in `file` and are imported in this order. `head` is the mirror's summary before
/// the import. `find_duplicate` returns the id of another bundle on record with the number of a bundle; it may be slow.
pub(super) fn doubtful_bundle_warnings(
    head: &MirrorSummary,
    added: &[AddedBundle],
    file: &str,
    is_snapshot: bool,
    find_duplicate: impl Fn(&LineageTip) -> Option<String>,
) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut later: Vec<LineageTip> = Vec::new();
    for AddedBundle { tip, is_recorded } in added {
        let known = if later.first().is_some_and(|known| known.id == tip.id) {
            later
        } else {
            head.contenders(&tip.id).cloned().collect()
        };
        if known.iter().any(|known| known.bundle == tip.bundle) {
            later = known;
            continue;
        }
        let intro = match is_snapshot {
            false => format!("{file} has the {} in its history", describe_number(tip.sequence)),
            true => format!(
                "{file} has the bundle {}, which has the {} in the history {}",
                tip.bundle,
                describe_number(tip.sequence),
                tip.id_and_inputs()
            ),
        };
        let mut after = known.clone();
        add_contender(&mut after, tip.clone(), *is_recorded);
        sort_contenders(&mut after);
        warnings
            .extend(warning(&known, &after, tip, *is_recorded, &find_duplicate).map(|text| format!("{intro}{text}")));
        later = after;
    }
    warnings
}

/// The rest of the sentence about the bundle `own`. `known` are the bundles that may be the newest before its import, and
/// `after` those after it, sorted.
///
/// Each number is assigned once, so a number that arrives after a higher one was assigned twice, unless a chain of
/// predecessors connects the two. A bundle after a gap is uncertain, so it proves nothing about this bundle. An expected
/// bundle is one of those that lead to the newest one.
fn warning(
    known: &[LineageTip],
    after: &[LineageTip],
    own: &LineageTip,
    is_expected: bool,
    find_duplicate: impl Fn(&LineageTip) -> Option<String>,
) -> Option<String> {
    let LineageTip { id, sequence: number, bundle, .. } = own;
    let noun = if is_time(*number) { "time" } else { "number" };
    let is_newest = after.last().is_some_and(|newest| newest.bundle == *bundle);
    if let Some(before) = find_sequence_gap(known, own) {
        let preceding = known.iter().find(|known| known.sequence == before && before.checked_add(1) == Some(*number));
        let why = match preceding {
            Some(other) if own.names_predecessor(other) => format!(
                " and follows number {before}, but was written before it: a clock was wrong, or one of the two is not from that \
                 history. Until you decide, `gc` removes nothing because of it"
            ),
            Some(LineageTip { bundle: other, .. }) => format!(
                ", but does not follow the imported bundle {other} with the number {before}: the id that it states of its \
                 predecessor is {}. One of the two is not from that history, the history was restored from an older copy, \
                 or it is used for two destinations. Until you decide, `gc` removes nothing because of it",
                own.chain_follows.as_deref().unwrap_or("none")
            ),
            None => format!(
                ", but the newest imported bundle has {}: the bundles between them are missing, or this one is not \
                 from that history. Import the missing bundles first. Until you decide, or the missing bundles arrive, `gc` removes nothing because of it",
                describe_number(before)
            ),
        };
        let check_preceding = preceding.map_or_else(String::new, |other| {
            format!("; if it does not have the id {} of number {before}, {}", other.bundle, reject(id, &other.bundle))
        });
        return Some(format!(
            "{why}. {CHECK} the id {bundle}, {}{check_preceding}; {}",
            reject(id, bundle),
            if is_newest {
                format!(
                    "otherwise, also after a `cargo frostmirror fetch --base`, accept it with {}",
                    accept(id, bundle)
                )
            } else {
                "otherwise `cargo frostmirror gc --mirror DIR --dry-run` shows which bundle to decide about first"
                    .to_owned()
            }
        ));
    }
    if let Some(other) = known.iter().find(|other| other.sequence == *number) {
        return Some(format!(
            ", but another bundle with that {noun} was imported: the history was restored from an older copy, is used for two \
             destinations, or one of the two is not from it. `gc` keeps every file that either needs until you decide. {CHECK} \
             the id {bundle} (this one), {}; if it does not have the id {}, {}. {}",
            reject(id, bundle),
            other.bundle,
            reject(id, &other.bundle),
            if_both(id)
        ));
    }
    let own_after = after.iter().find(|tip| tip.bundle == *bundle);
    if let Some(gap) = own_after.and_then(|tip| tip.gap_after) {
        return Some(format!(
            ", and follows bundles that were imported when the highest number was {gap}: it is as doubtful as they are. `gc` keeps \
             every file that any of them needs. {CHECK} the id {bundle}, {}; otherwise {}",
            reject(id, bundle),
            if is_newest {
                format!("accept it with {}", accept(id, bundle))
            } else {
                "`cargo frostmirror gc --mirror DIR --dry-run` shows which bundle to decide about first".to_owned()
            }
        ));
    }
    if is_expected {
        return None;
    }
    let newest = sorted(known).into_iter().rfind(|known| known.gap_after.is_none());
    if let Some(newest) = newest.filter(|newest| newest.sequence > *number) {
        let (later, other) = (describe_number(newest.sequence), &newest.bundle);
        let check_own = format!("{CHECK} the id {bundle} (this one), {}", reject(id, bundle));
        let check_newest = format!("if it does not have the id {other} of {later}, {}", reject(id, other));
        if let Some(duplicate) = find_duplicate(own) {
            return Some(format!(
                ", but another bundle with that {noun} was imported: the history was restored from an older copy, is used for two \
                 destinations, or one of the two is not from it. `gc` keeps every file that it or {later} needs until you \
                 decide. {check_own}; if it does not have the id {duplicate}, {}. {}",
                reject(id, &duplicate),
                if_both(id)
            ));
        }
        return Some(if own_after.is_none() {
            format!(
                " and is older than {later}, which was imported before: its crates are added, and {later} stays \
                 the newest. {check_own}; {check_newest}"
            )
        } else if own.created <= newest.created {
            format!(
                " and is older than {later}, which was imported before, but no imported bundles connect the two. \
                 Import the bundles between them first. `gc` keeps every file that either needs until the missing bundles \
                 arrive, or you decide. {check_own}; {check_newest}. \
                 If it has both, accept {later} with {}",
                accept(id, other)
            )
        } else {
            format!(
                " and was written after {later}: one of the two is not from that history, the history was restored \
                 from an older copy, or it is used for two destinations. `gc` keeps every file that either needs. {check_own}; \
                 {check_newest}. {}",
                if_both(id)
            )
        });
    }
    // This bundle may have filled a gap.
    if let Some(doubtful) = after.iter().find(|tip| tip.gap_after.is_some() && tip.sequence > *number) {
        let (sequence, other) = (describe_number(doubtful.sequence), &doubtful.bundle);
        return Some(format!(
            ", which still has a doubtful bundle with the {sequence}: `gc` keeps every file that either needs. {CHECK} the id {other} \
             of {sequence}, {}",
            reject(id, other)
        ));
    }
    let (newest, reasons) = (after.last()?, doubts(after));
    if reasons.is_empty() {
        return None;
    }
    let candidates: Vec<String> = after
        .iter()
        .map(|tip| format!("the id {} of {}, {}", tip.bundle, describe_number(tip.sequence), reject(id, &tip.bundle)))
        .collect();
    Some(format!(
        ", whose newest bundle is doubtful: {}. `gc` keeps every file that any of its candidates needs. {CHECK} {}; if it has all of \
         them, accept {} with {}",
        reasons.join("; "),
        candidates.join("; if it does not have "),
        describe_number(newest.sequence),
        accept(id, &newest.bundle)
    ))
}

fn sorted(contenders: &[LineageTip]) -> Vec<LineageTip> {
    let mut sorted = contenders.to_vec();
    sort_contenders(&mut sorted);
    sorted
}

/// What to do if the sender wrote both of two bundles that exclude each other.
fn if_both(lineage: &str) -> String {
    format!(
        "If it has both, start a new history with FROSTMIRROR_HISTORY, fetch every input, and retire this one with \
         `cargo frostmirror gc --mirror DIR --forget {lineage}`"
    )
}

fn reject(lineage: &str, bundle: &str) -> String {
    format!("reject it with `cargo frostmirror gc --mirror DIR --reject {lineage}@{bundle}`")
}

fn accept(lineage: &str, bundle: &str) -> String {
    format!("`cargo frostmirror gc --mirror DIR --accept {lineage}@{bundle}`")
}
