//! Finds the lineages that the options of a collection name.

use std::collections::BTreeSet;

use super::error::Error;
use super::live_records::LIVE_LINEAGE;
use super::needed_files::{LineageState, Lineages};
use crate::id_prefix::{MIN_ID_PREFIX, matches_id};

/// The ids of the lineages to retire.
pub(super) fn lineages_to_retire(
    lineages: &Lineages,
    given: &[String],
    has_live: bool,
) -> Result<BTreeSet<String>, Error> {
    let terms: Vec<String> = given.iter().filter(|word| !(has_live && *word == LIVE_LINEAGE)).cloned().collect();
    // A killed run may have retired the lineage already.
    with_newest(lineages, &terms, |word| lineages.retirements.iter().any(|note| matches_id(word, &note.lineage)))
}

/// The ids of the lineages whose newest bundle is accepted.
pub(super) fn lineages_to_accept(lineages: &Lineages, terms: &[String]) -> Result<BTreeSet<String>, Error> {
    with_newest(lineages, terms, |_| false)
}

/// The ids that match `terms`, each `LINEAGE` or `LINEAGE@BUNDLE`. The bundle must be the newest of the lineage. A lineage
/// that `is_gone` accepts may not exist.
fn with_newest(
    lineages: &Lineages,
    terms: &[String],
    is_gone: impl Fn(&str) -> bool,
) -> Result<BTreeSet<String>, Error> {
    let mut ids = BTreeSet::new();
    for word in terms {
        let (lineage, bundle) = word.split_once('@').map_or((word.as_str(), None), |(id, bundle)| (id, Some(bundle)));
        for id in resolve_lineages(lineages, &[lineage.to_owned()], &is_gone)? {
            let newest = lineages.by_id.get(&id).map_or("", |feed| feed.newest.bundle.as_str());
            if let Some(bundle) = bundle.filter(|bundle| !matches_id(bundle, newest)) {
                let (bundle, newest) = (bundle.to_owned(), newest.to_owned());
                return Err(Error::NotNewest { lineage: id, bundle, newest });
            }
            ids.insert(id);
        }
    }
    Ok(ids)
}

/// The ids that match `given`. Text that `is_gone` accepts may match no lineage.
pub(super) fn resolve_lineages(
    lineages: &Lineages,
    given: &[String],
    is_gone: impl Fn(&str) -> bool,
) -> Result<BTreeSet<String>, Error> {
    let mut ids = BTreeSet::new();
    for word in given {
        let known = |feed: &LineageState| feed.newest.id_and_inputs();
        let fitting: Vec<&LineageState> =
            lineages.by_id.values().filter(|feed| matches_id(word, &feed.newest.id)).collect();
        match fitting.as_slice() {
            [one] => drop(ids.insert(one.newest.id.clone())),
            [] if is_gone(word) => {}
            [] if word.len() < MIN_ID_PREFIX => {
                let matching = lineages.by_id.values().filter(|feed| feed.newest.id.starts_with(word.as_str()));
                return Err(Error::TooShort { word: word.clone(), matching: matching.map(known).collect() });
            }
            [] => {
                let known = lineages.by_id.values().map(known).collect();
                return Err(Error::NoLineage { word: word.clone(), known });
            }
            several => {
                let known = several.iter().map(|feed| known(feed)).collect();
                return Err(Error::Ambiguous { word: word.clone(), known });
            }
        }
    }
    Ok(ids)
}
