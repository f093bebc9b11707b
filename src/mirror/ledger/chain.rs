//! The chain of import records: every record states the digest of its own content and names its predecessor, and
//! manifest.json names the newest record. So a record that was altered, replaced, removed or inserted is detected.
//! [`crate::mirror::layout`] describes the format.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;

use serde::Deserialize;

use super::record_file::{read_checked_header, read_first_line};
use super::record_header::RecordHeader;
use super::record_name::{RecordRef, bundle_of_record, contains_bundle, record_names, record_number, stray_names};
use super::{lost_records, seal};
use crate::digest::Sha256;
use crate::mirror::layout::Layout;
use crate::mirror::retired;
use crate::mirror::transaction::{Error, failed};

/// A record of the ledger as a part of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::mirror) struct ChainLink {
    /// The name of the record's file.
    pub(in crate::mirror) name: String,
    /// The digest of its content and its predecessor; `None` if the record is damaged.
    pub(in crate::mirror) seal: Option<(Sha256, Option<RecordRef>)>,
    /// The record whose content this one has, if that is another record's.
    pub(in crate::mirror) copy_of: Option<String>,
}

/// A contradiction between the chain and the ledger.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::mirror) struct ChainFault {
    /// The name of the record.
    pub(in crate::mirror) record: String,
    /// What is wrong with it.
    pub(in crate::mirror) kind: ChainFaultKind,
}

/// What is wrong with a record of the chain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum ChainFaultKind {
    /// The content does not have the digest that the record states.
    #[error("is damaged or was altered: its content does not have the digest that it states")]
    Altered,
    /// Another file names the record with another digest.
    #[error("was replaced: {by} states another digest of it")]
    Replaced {
        /// The file that names it.
        by: String,
    },
    /// The file has the content of another record.
    #[error("is not genuine: it has the content of {of}; the file was copied, renamed or overwritten")]
    Copied {
        /// The record with that content.
        of: String,
    },
    /// The record is missing.
    #[error("is missing, but {by} names it")]
    Missing {
        /// The file that names it.
        by: String,
    },
    /// The record after it names another predecessor.
    #[error("was added later: {by}, the next record, does not name it")]
    Inserted {
        /// The next record.
        by: String,
    },
    /// The record names another predecessor than the certain record before it.
    #[error("was added later: it does not name {before}, the record before it")]
    Unlinked {
        /// The record before it.
        before: String,
    },
}

/// Checks the records of a ledger, in the order of import, against each other and against the newest record that
/// manifest.json names. `lost` are the records that a rebuild reported as lost, or that a collection removed.
///
/// A record whose content is false accuses no other record. If two records contradict each other, the one that a later
/// record or manifest.json names with its digest is the right one.
pub(in crate::mirror) fn check(
    links: &[ChainLink],
    newest: Option<&RecordRef>,
    lost: &BTreeSet<String>,
) -> Vec<ChainFault> {
    let names: Vec<String> = links.iter().map(|link| link.name.clone()).collect();
    let by_name: HashMap<&str, &ChainLink> = links.iter().map(|link| (link.name.as_str(), link)).collect();
    // The first fault of a record is enough to distrust it.
    let mut faults: BTreeMap<String, ChainFaultKind> = BTreeMap::new();
    for link in links {
        if link.seal.is_none() {
            faults.insert(link.name.clone(), ChainFaultKind::Altered);
        } else if let Some(of) = &link.copy_of {
            faults.insert(link.name.clone(), ChainFaultKind::Copied { of: of.clone() });
        }
    }
    let mut confirmed: HashSet<&str> = HashSet::new();
    // From the newest record to the oldest, because manifest.json and each record name an earlier one.
    let statements = newest.map(|named| ("manifest.json", named));
    let of_records = links.iter().rev().filter_map(|link| {
        let (_, previous) = link.seal.as_ref()?;
        Some((link.name.as_str(), previous.as_ref()?))
    });
    for (by, named) in statements.into_iter().chain(of_records) {
        if faults.contains_key(by) {
            continue;
        }
        let by = by.to_owned();
        match by_name.get(named.record.as_str()) {
            // The same bundle may have been imported again.
            None if lost.contains(&named.record) || is_bundle_recorded(&names, &named.record) => {}
            None => {
                faults.entry(named.record.clone()).or_insert(ChainFaultKind::Missing { by });
            }
            Some(ChainLink { name, seal: Some((sha256, _)), .. }) if *sha256 == named.sha256 => {
                confirmed.insert(name);
            }
            Some(ChainLink { name, seal: Some(_), .. }) if !confirmed.contains(name.as_str()) => {
                faults.entry(name.clone()).or_insert(ChainFaultKind::Replaced { by });
            }
            Some(_) => {}
        }
    }
    let mut before: Option<&ChainLink> = None;
    for link in links {
        let Some((_, previous)) = &link.seal else { continue };
        // A predecessor that is lost or damaged now hides which record came before it.
        let names_other = previous.as_ref().is_none_or(|named| {
            before.is_some_and(|before| before.name != named.record)
                && by_name.get(named.record.as_str()).is_some_and(|known| known.seal.is_some())
        });
        if let Some(before) = before.filter(|_| names_other && !faults.contains_key(&link.name)) {
            let (record, kind) = if confirmed.contains(before.name.as_str()) && !confirmed.contains(link.name.as_str())
            {
                (&link.name, ChainFaultKind::Unlinked { before: before.name.clone() })
            } else {
                (&before.name, ChainFaultKind::Inserted { by: link.name.clone() })
            };
            faults.entry(record.clone()).or_insert(kind);
        }
        before = Some(link);
    }
    faults.into_iter().map(|(record, kind)| ChainFault { record, kind }).collect()
}

/// Whether another record of the same bundle exists.
fn is_bundle_recorded(names: &[String], record: &str) -> bool {
    bundle_of_record(record).is_some_and(|bundle| contains_bundle(names, bundle))
}

/// The predecessor of a new record `name`: the newest valid record. If manifest.json names a later record, which is
/// damaged or lost, then that one, so that the loss stays visible.
pub(in crate::mirror) fn predecessor(
    layout: &Layout,
    names: &[String],
    stated: Option<&RecordRef>,
    name: &str,
) -> Result<Option<RecordRef>, Error> {
    let last = names.last().map_or("", String::as_str);
    if let Some(stated) = stated.filter(|stated| stated.record.as_str() >= last && stated.record != name) {
        return Ok(Some(stated.clone()));
    }
    for record in names.iter().rev().filter(|record| *record != name) {
        if let Some((_, sha256)) = read_checked_header(layout, record)? {
            return Ok(Some(RecordRef { record: record.clone(), sha256 }));
        }
    }
    Ok(None)
}

/// Whether a record with this end of its name is missing, although another file names it.
pub(in crate::mirror) fn is_record_missing(
    layout: &Layout,
    newest: Option<&RecordRef>,
    name_end: &str,
) -> Result<bool, Error> {
    let is_missing = |fault: &ChainFault| matches!(fault.kind, ChainFaultKind::Missing { .. });
    Ok(read_faults(layout, newest)?.iter().any(|fault| is_missing(fault) && fault.record.ends_with(name_end)))
}

/// The faults of the mirror's chain, as far as the first lines of the records and manifest.json show them. Whether a
/// record's manifest is intact is only known after [`super::read_checked_header`].
pub(in crate::mirror) fn read_faults(layout: &Layout, newest: Option<&RecordRef>) -> Result<Vec<ChainFault>, Error> {
    read_faults_after(layout, newest, &[], None)
}

/// The faults of the mirror's chain, like [`read_faults`], as they will be without the records `removed` and with the
/// record `added`, which `newest` may name.
pub(in crate::mirror) fn read_faults_after(
    layout: &Layout,
    newest: Option<&RecordRef>,
    removed: &[String],
    added: Option<ChainLink>,
) -> Result<Vec<ChainFault>, Error> {
    let mut links = Vec::new();
    // A renamed record has its content still, whatever its name is.
    let strays: BTreeSet<String> = stray_names(layout)?.into_iter().collect();
    let renamed = strays.iter().filter(|name| record_number(name).is_some()).cloned();
    let mut names: Vec<String> = record_names(layout)?.into_iter().chain(renamed).collect();
    names.sort_unstable();
    for name in names.into_iter().filter(|name| !removed.contains(name)) {
        let path = layout.ledger().join(&name);
        let line = match read_first_line(&path) {
            // The record may be intact, and another user can read it.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(failed("read", &path)(error)),
            read => read,
        };
        // On a disk error, the file is as useless as a damaged record.
        let seal = line.ok().and_then(|(line, _)| parse_first_line(&line));
        if seal.is_some() || !strays.contains(&name) {
            links.push(ChainLink { seal, name, copy_of: None });
        }
    }
    find_copies(layout, &mut links, newest);
    links.extend(added);
    let mut expected = lost_records::read_names(layout)?;
    let notes = retired::read_retirements(layout)?;
    // The records of a rejected snapshot, which a collection removed.
    let previous = links.iter().filter_map(|link| link.seal.as_ref()?.1.as_ref());
    let is_dropped = |name: &&String| record_number(name).is_some_and(|number| retired::is_dropped(&notes, number));
    expected.extend(previous.chain(newest).map(|named| &named.record).filter(is_dropped).cloned());
    Ok(check(&links, newest, &expected))
}

/// Marks files that have the content of another record, because they were copied, renamed or overwritten. That record may
/// exist, or manifest.json or another record states its name with the digest of this content.
fn find_copies(layout: &Layout, links: &mut [ChainLink], newest: Option<&RecordRef>) {
    let of_records = links.iter().filter_map(|link| link.seal.as_ref()?.1.as_ref());
    let mut stated: HashMap<Sha256, BTreeSet<String>> = HashMap::new();
    for named in newest.into_iter().chain(of_records) {
        stated.entry(named.sha256).or_default().insert(named.record.clone());
    }
    let mut with_content: HashMap<Sha256, Vec<&ChainLink>> = HashMap::new();
    for link in links.iter() {
        if let Some((sha256, _)) = link.seal {
            with_content.entry(sha256).or_default().push(link);
        }
    }
    let mut right_names: HashMap<Sha256, String> = HashMap::new();
    for (sha256, files) in with_content {
        let right = match stated.get(&sha256) {
            Some(names) => files.iter().map(|file| &file.name).find(|name| names.contains(*name)).or(names.first()),
            None if files.len() == 1 => None,
            None => likeliest_name(layout, &files),
        };
        right_names.extend(right.map(|name| (sha256, name.clone())));
    }
    for link in links {
        let Some((sha256, _)) = &link.seal else { continue };
        link.copy_of = right_names.get(sha256).filter(|right| **right != link.name).cloned();
    }
}

/// The name among those of `files`, which have the same content, that fits the content: the bundle's id is in it, and its
/// number follows that of the record before it.
fn likeliest_name<'l>(layout: &Layout, files: &[&'l ChainLink]) -> Option<&'l String> {
    let is_genuine = |link: &&&ChainLink| {
        read_bundle_id(layout, &link.name).is_some_and(|id| link.name.ends_with(&format!("-{id}.json")))
    };
    let distance = |link: &&&ChainLink| {
        let previous =
            link.seal.as_ref().and_then(|(_, previous)| record_number(&previous.as_ref()?.record)).unwrap_or(0);
        record_number(&link.name).unwrap_or(0).checked_sub(previous + 1).unwrap_or(u64::MAX)
    };
    files.iter().filter(is_genuine).min_by_key(distance).map(|link| &link.name)
}

/// The id of the bundle in a record, whose digest may be wrong; `None` if the record cannot be read.
fn read_bundle_id(layout: &Layout, name: &str) -> Option<String> {
    let (line, _) = read_first_line(&layout.ledger().join(name)).ok()?;
    Some(serde_json::from_slice::<RecordHeader>(&line).ok()?.bundle.id)
}

/// The digest of a record's first line and the predecessor that it states; `None` if it has another digest.
fn parse_first_line(line: &[u8]) -> Option<(Sha256, Option<RecordRef>)> {
    #[derive(Deserialize)]
    struct Predecessor {
        #[serde(default)]
        previous: Option<RecordRef>,
    }
    let sha256 = seal::RECORD.check(line)?;
    Some((sha256, serde_json::from_slice::<Predecessor>(line).ok()?.previous))
}

#[cfg(test)]
mod tests {
    use serde::Serialize;

    use super::*;

    fn name(number: u8) -> String {
        format!("{number:08}-b{number}.json")
    }

    fn reference(number: u8) -> RecordRef {
        RecordRef { record: name(number), sha256: Sha256::of(&[number]) }
    }

    /// Records of these numbers, each with the number of its predecessor.
    fn chain(records: &[(u8, Option<u8>)]) -> Vec<ChainLink> {
        let link = |(number, previous): &(u8, Option<u8>)| ChainLink {
            name: name(*number),
            seal: Some((Sha256::of(&[*number]), previous.map(reference))),
            copy_of: None,
        };
        records.iter().map(link).collect()
    }

    fn faults(links: &[ChainLink], newest: u8) -> Vec<(String, ChainFaultKind)> {
        let found = check(links, Some(&reference(newest)), &BTreeSet::new());
        found.into_iter().map(|fault| (fault.record, fault.kind)).collect()
    }

    #[test]
    fn an_intact_chain_has_no_fault() {
        let links = chain(&[(1, None), (2, Some(1)), (3, Some(2))]);
        assert_eq!(faults(&links, 3), []);
        // A killed import wrote the record and not manifest.json.
        assert_eq!(faults(&links, 2), []);
        assert_eq!(check(&[], None, &BTreeSet::new()), []);
    }

    #[test]
    fn every_change_of_a_chain_is_found() {
        let good = chain(&[(1, None), (2, Some(1)), (3, Some(2))]);
        for number in 1..=3 {
            let mut links = good.clone();
            links[usize::from(number) - 1].seal = None;
            assert_eq!(faults(&links, 3), [(name(number), ChainFaultKind::Altered)]);
            let mut links = good.clone();
            links[usize::from(number) - 1].seal.as_mut().expect("valid").0 = Sha256::of(b"forged");
            let by = if number == 3 { "manifest.json".to_owned() } else { name(number + 1) };
            assert_eq!(faults(&links, 3), [(name(number), ChainFaultKind::Replaced { by: by.clone() })]);
            let mut links = good.clone();
            links.remove(usize::from(number) - 1);
            assert_eq!(faults(&links, 3), [(name(number), ChainFaultKind::Missing { by })]);
            let lost = BTreeSet::from([name(number)]);
            assert_eq!(check(&links, Some(&reference(3)), &lost), []);
        }
        let links = chain(&[(1, None), (2, Some(1)), (3, Some(1))]);
        assert_eq!(faults(&links, 3), [(name(2), ChainFaultKind::Inserted { by: name(3) })]);
        let links = chain(&[(1, None), (2, None)]);
        assert_eq!(faults(&links, 2), [(name(1), ChainFaultKind::Inserted { by: name(2) })]);
    }

    #[test]
    fn a_false_record_accuses_no_other() {
        let intact = chain(&[(1, None), (2, Some(1)), (3, Some(2)), (4, Some(3))]);
        for (false_record, copied) in [(4, 3), (4, 2), (3, 2), (3, 4), (2, 1), (2, 4), (1, 3)] {
            let mut links = intact.clone();
            links[false_record - 1].seal = intact[copied - 1].seal.clone();
            let found = faults(&links, 4);
            assert_eq!(found.len(), 1, "{false_record} has the content of {copied}: {found:?}");
            assert_eq!(found[0].0, links[false_record - 1].name);
            assert!(matches!(found[0].1, ChainFaultKind::Replaced { .. }), "{found:?}");
        }
        // A record after the newest one that manifest.json names.
        let links = chain(&[(1, None), (2, Some(1)), (3, Some(1))]);
        assert_eq!(faults(&links, 2), [(name(3), ChainFaultKind::Unlinked { before: name(2) })]);
    }

    #[test]
    fn a_lost_record_whose_bundle_was_imported_again_is_no_fault() {
        let mut links = chain(&[(1, None), (3, Some(2)), (4, Some(3))]);
        links[2].name = "00000004-b2.json".to_owned();
        let newest = RecordRef { record: links[2].name.clone(), sha256: Sha256::of(&[4]) };
        assert_eq!(check(&links, Some(&newest), &BTreeSet::new()), []);
    }

    #[test]
    fn the_first_line_of_a_record_states_its_digest_and_predecessor() {
        #[derive(Serialize)]
        struct Fields {
            #[serde(skip_serializing_if = "Option::is_none")]
            previous: Option<RecordRef>,
            a: u64,
        }
        let (text, sha256) = seal::RECORD.render(&Fields { previous: None, a: 1 });
        assert_eq!(parse_first_line(&text), Some((sha256, None)));
        let (text, sha256) = seal::RECORD.render(&Fields { previous: Some(reference(7)), a: 1 });
        assert_eq!(parse_first_line(&text), Some((sha256, Some(reference(7)))));
        assert_eq!(parse_first_line(&text[..text.len() - 1]), None);
    }
}
