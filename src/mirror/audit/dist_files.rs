//! Checks every dist file against its recorded digest.

use std::path::Path;

use super::crate_file::hash_file;
use super::listing::Listing;
use super::metadata::Metadata;
use super::problem::{Fault, Problem};
use crate::digest::Sha256;
use crate::event::{Event, Phase, Sink};
use crate::mirror::dist_files::{DistFile, MutableName};
use crate::mirror::layout::Layout;
use crate::parallel;
use crate::safe_path::SafePath;

/// The result for all dist files.
#[derive(Default)]
pub(super) struct DistFileResults {
    /// Number of valid files.
    pub(super) valid: u64,
    /// Files that must be fetched again.
    pub(super) repairs: Vec<(SafePath, Sha256)>,
    pub(super) problems: Vec<Problem>,
}

/// Hashes the recorded files, and reports files without a record.
pub(super) fn check_all(
    layout: &Layout,
    metadata: &Metadata,
    listing: &Listing,
    interrupted: bool,
    sink: &dyn Sink,
) -> DistFileResults {
    let mut verdict = DistFileResults::default();
    let Some(artifacts) = &metadata.dist_files else {
        // Without the record no expected digest is known.
        verdict.problems.push(Problem::new(".frostmirror/artifacts.json", Fault::DistFileRecords));
        return verdict;
    };
    let rows: Vec<_> = artifacts.0.iter().collect();
    let found = parallel::map(&rows, parallel::thread_count(), |(path, stored), buffer| {
        let file = path.below(layout.root());
        if sink.is_cancelled() {
            return Err("the check was stopped".to_owned());
        }
        let found = if is_behind_link(layout, &file) {
            Err("it is behind a link, which the server does not follow".to_owned())
        } else {
            hash_file(&file, buffer).map_err(|error| error.to_string())
        };
        if found.as_ref().is_ok_and(|(sha256, _)| *sha256 == stored.sha256) {
            sink.detail("Verified", path.to_string());
        }
        sink.event(Event::Advance { phase: Phase::Verifying, items: 1, bytes: stored.size });
        found
    });
    for ((path, stored), found) in rows.into_iter().zip(found) {
        let expected = stored.sha256;
        if let Some(expected) = contradicting_digest(metadata, path, stored) {
            verdict.problems.push(Problem::new(path.as_str(), Fault::LedgerDistFile { expected }));
            verdict.repairs.push((path.clone(), expected));
            continue;
        }
        let fault = match found {
            Ok((sha256, _)) if sha256 == expected => {
                verdict.valid += 1;
                continue;
            }
            Ok((actual, _)) => Fault::Digest { expected, actual },
            Err(_) if !listing.dist_files.contains(path.as_str()) => Fault::MissingDistFile,
            Err(why) => Fault::Unreadable { why },
        };
        verdict.problems.push(Problem::new(path.as_str(), fault));
        verdict.repairs.push((path.clone(), expected));
    }
    for path in &listing.dist_files {
        let known = path.parse::<SafePath>().is_ok_and(|path| artifacts.0.contains_key(&path));
        if !known {
            verdict.problems.push(Problem::new(path, Fault::Unrecognized));
        }
    }
    if metadata.is_complete() && !interrupted {
        let unknown = artifacts.0.keys().filter(|path| !metadata.dist_file_digests.contains_key(*path));
        verdict.problems.extend(unknown.map(|path| Problem::new(path.as_str(), Fault::Unrecognized)));
    }
    verdict
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

/// Whether a link leads to the file. A link may point outside of the mirror, so the server does not follow it.
fn is_behind_link(layout: &Layout, file: &Path) -> bool {
    let inside = file.ancestors().take_while(|path| *path != layout.root());
    inside.into_iter().any(Path::is_symlink)
}
