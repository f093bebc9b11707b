//! Checks every dist file against its record, and the record against the ledger.

use super::context::AuditContext;
use super::file_state::{self, FileState};
use super::metadata::Metadata;
use super::problem::{Fault, Problem, Repairs};
use crate::digest::Sha256;
use crate::event::Sink;
use crate::mirror::dist_files::{DistFile, MutableName};
use crate::mirror::item::ItemId;
use crate::parallel;
use crate::safe_path::SafePath;

/// The result for all dist files.
#[derive(Default)]
pub(super) struct DistFileResults {
    /// The state of each recorded file that the ledger does not contradict.
    pub(super) states: Vec<(ItemId, FileState)>,
    /// Files that must be fetched again.
    pub(super) repairs: Repairs,
    pub(super) problems: Vec<Problem>,
}

/// Hashes the recorded files, and reports files without a record.
pub(super) fn check_all(context: &AuditContext<'_>, sink: &dyn Sink) -> DistFileResults {
    let AuditContext { metadata, listing, .. } = context;
    let mut results = DistFileResults::default();
    let Some(recorded) = &metadata.dist_files else {
        // Without the record no expected digest is known.
        results.problems.push(Problem::new(".frostmirror/artifacts.json", Fault::DistFileRecords));
        return results;
    };
    let rows: Vec<_> = recorded.0.iter().map(|(path, row)| (ItemId::DistFile(path.clone()), path, row)).collect();
    let states = parallel::map(&rows, parallel::thread_count(), |(item, path, row), buffer| {
        let before = context.before.get(path.as_str()).and_then(|states| Some(&states.first()?.1));
        // The result of a stopped audit is not used.
        let expected = Some(row.sha256).filter(|_| !sink.is_cancelled());
        file_state::check(context.layout, item, expected, before, sink, buffer)
    });
    for ((item, path, row), state) in rows.into_iter().zip(states) {
        let fault = match (contradicting_digest(metadata, path, row), &state) {
            (Some(expected), _) => Some((Fault::LedgerDistFile { expected }, expected)),
            (None, FileState::Invalid { expected, .. })
                if !listing.dist_files.contains(path.as_str())
                    && item.file(context.layout).symlink_metadata().is_err() =>
            {
                Some((Fault::MissingDistFile, *expected))
            }
            (None, FileState::Invalid { expected, fault, .. }) => Some((fault.clone(), *expected)),
            (None, FileState::Valid { .. } | FileState::Unlisted { .. }) => None,
        };
        if let Some((fault, expected)) = fault {
            results.problems.push(Problem::new(path.as_str(), fault));
            // An interrupted command changes files before their record. Its completion is needed first.
            if !context.interrupted {
                results.repairs.insert(item, expected);
            }
        } else {
            results.states.push((item, state));
        }
    }
    // A linked folder has no `/`; each recorded file in it is a problem already.
    for path in listing.dist_files.iter().filter(|path| path.contains('/')) {
        if !path.parse::<SafePath>().is_ok_and(|path| recorded.0.contains_key(&path)) {
            results.problems.push(Problem::new(path, Fault::Unrecognized));
        }
    }
    if !context.interrupted {
        let fault = if context.is_complete { Fault::Unrecognized } else { Fault::DistFileRecordUnknown };
        let unknown = recorded.0.keys().filter(|path| !metadata.dist_file_digests.contains_key(*path));
        results.problems.extend(unknown.map(|path| Problem::new(path.as_str(), fault.clone())));
    }
    results
}

/// The digest that the import records state for a file, if they contradict the record of dist files. The digest of a
/// file that upstream replaces may be in a lost record.
fn contradicting_digest(metadata: &Metadata, path: &SafePath, stored: &DistFile) -> Option<Sha256> {
    let digests = metadata.dist_file_digests.get(path)?;
    let is_named = digests.iter().any(|named| named.sha256 == stored.sha256);
    let is_certain = metadata.was_always_complete() || MutableName::from_path(path).is_none();
    let latest = digests.iter().max_by_key(|named| named.read_at).map(|named| named.sha256);
    latest.filter(|_| !is_named && is_certain)
}
