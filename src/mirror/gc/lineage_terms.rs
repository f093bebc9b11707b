//! Finds the lineages that the options of a collection name.

use std::collections::{BTreeMap, BTreeSet};

use super::error::Error;
use super::live_records::LIVE_LINEAGE;
use super::needed_files::{LineageState, Lineages};
use crate::bundle::sequence::is_time;
use crate::id_prefix::{MIN_ID_PREFIX, matches_id};
use crate::mirror::layout::Layout;
use crate::mirror::ledger;
use crate::mirror::lineages::LineageTip;
use crate::mirror::live::LIVE_INPUT;

/// The options that name lineages.
pub(super) const FORGET: &str = "--forget";
pub(super) const ACCEPT: &str = "--accept";
pub(super) const REJECT: &str = "--reject";

/// A value of an option: a lineage, or a lineage with a bundle.
#[derive(Clone, Copy)]
pub(super) struct Term<'t> {
    option: &'static str,
    value: &'t str,
    pub(super) lineage: &'t str,
    pub(super) bundle: Option<&'t str>,
}

impl<'t> Term<'t> {
    pub(super) fn parse(option: &'static str, value: &'t str) -> Term<'t> {
        let (lineage, bundle) = value.split_once('@').map_or((value, None), |(id, bundle)| (id, Some(bundle)));
        Term { option, value, lineage, bundle }
    }
}

/// The ids of the lineages to retire. `live` names none of them.
pub(super) fn lineages_to_retire(
    lineages: &Lineages,
    live_id: Option<&str>,
    given: &[String],
) -> Result<BTreeSet<String>, Error> {
    let is_live = |value: &&String| *value == LIVE_LINEAGE;
    if live_id.is_none()
        && let Some(value) = given.iter().find(is_live)
    {
        return Err(Error::NoLiveFiles { value: value.clone(), imported: live_lineages_of_snapshots(lineages) });
    }
    let terms = given.iter().filter(|value| !is_live(value)).map(|value| Term::parse(FORGET, value));
    // A killed run may have retired the lineage already.
    let is_retired = |word: &str| lineages.retirements.iter().any(|note| matches_id(word, &note.lineage));
    with_newest(lineages, live_id, terms, is_retired)
}

/// The ids of the lineages whose newest bundle is accepted, each with the other bundles that are confirmed with it. Those need not be
/// the newest, but the newest must be given too.
pub(super) fn lineages_to_accept(
    layout: &Layout,
    lineages: &Lineages,
    live_id: Option<&str>,
    given: &[String],
) -> Result<BTreeMap<String, BTreeSet<String>>, Error> {
    let terms = || given.iter().map(|value| Term::parse(ACCEPT, value));
    let mut accepted: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut confirmed = Vec::new();
    for term in terms() {
        match with_newest(lineages, live_id, [term].into_iter(), |_| false) {
            Err(Error::NotNewest { lineage, bundle, newest }) => confirmed.push((lineage, bundle, newest)),
            ids => accepted.extend(ids?.into_iter().map(|id| (id, BTreeSet::new()))),
        }
    }
    for (lineage, bundle, newest) in confirmed {
        let all = ledger::read_bundles_of_lineage(layout, &lineage)?;
        let ids: BTreeSet<String> =
            all.into_iter().filter(|one| matches_id(&bundle, &one.id)).map(|one| one.id).collect();
        match accepted.get_mut(&lineage) {
            Some(known) if ids.len() == 1 => known.extend(ids),
            Some(_) if ids.is_empty() => return Err(Error::NoBundle { lineage, bundle }),
            Some(_) => {
                return Err(Error::AmbiguousBundle { lineage, bundle, matching: ids.into_iter().collect() });
            }
            None => return Err(Error::NotNewest { lineage, bundle, newest }),
        }
    }
    Ok(accepted)
}

/// Live lineages of other mirrors. A snapshot numbers them by time.
fn live_lineages_of_snapshots(lineages: &Lineages) -> Vec<LineageTip> {
    let tips = lineages.by_id.values().map(|state| &state.newest);
    tips.filter(|tip| is_time(tip.sequence) && tip.inputs == [LIVE_INPUT]).cloned().collect()
}

/// The ids that match these terms. A bundle must be the newest of its lineage. A lineage that `is_gone` accepts may not
/// exist.
fn with_newest<'t>(
    lineages: &Lineages,
    live_id: Option<&str>,
    terms: impl Iterator<Item = Term<'t>>,
    is_gone: impl Fn(&str) -> bool,
) -> Result<BTreeSet<String>, Error> {
    let mut ids = BTreeSet::new();
    for term in terms {
        let Some(id) = resolve_lineage(lineages, live_id, term, &is_gone)? else { continue };
        let newest = lineages.by_id.get(&id).map_or("", |feed| feed.newest.bundle.as_str());
        if let Some(bundle) = term.bundle.filter(|bundle| !matches_id(bundle, newest)) {
            let (bundle, newest) = (bundle.to_owned(), newest.to_owned());
            return Err(Error::NotNewest { lineage: id, bundle, newest });
        }
        ids.insert(id);
    }
    Ok(ids)
}

/// The id of the lineage that the term names; `None` if there is none and `is_gone` accepts the text.
pub(super) fn resolve_lineage(
    lineages: &Lineages,
    live_id: Option<&str>,
    term: Term,
    is_gone: impl Fn(&str) -> bool,
) -> Result<Option<String>, Error> {
    let Term { option, lineage: word, .. } = term;
    let (value, word_text) = (term.value.to_owned(), word.to_owned());
    let describe = |feed: &LineageState| feed.newest.id_and_inputs();
    let matching: Vec<&LineageState> =
        lineages.by_id.values().filter(|feed| matches_id(word, &feed.newest.id)).collect();
    match matching.as_slice() {
        [one] => Ok(Some(one.newest.id.clone())),
        [] if is_gone(word) => Ok(None),
        [] if word == LIVE_LINEAGE => Err(Error::LiveHasNoBundle { option, value }),
        [] if live_id.is_some_and(|id| matches_id(word, id)) => {
            Err(Error::OwnLiveLineage { option, value, word: word_text })
        }
        [] if word.len() < MIN_ID_PREFIX && !lineages.by_id.is_empty() => {
            let matching = lineages.by_id.values().filter(|feed| feed.newest.id.starts_with(word));
            Err(Error::TooShort { word: word_text, matching: matching.map(describe).collect() })
        }
        [] => {
            let known = lineages.by_id.values().map(describe).collect();
            Err(Error::NoLineage { option, value, word: word_text, known })
        }
        several => {
            let known = several.iter().map(|feed| describe(feed)).collect();
            Err(Error::Ambiguous { word: word_text, known })
        }
    }
}
