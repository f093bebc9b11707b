//! Decides conflicts between stored index lines and new ones of a bundle or of upstream. A stored line that nothing proves, or
//! that is proven to be false, gives way; otherwise the new one is refused.
//!
//! | the two lines have | the stored one gives way if |
//! |---|---|
//! | other checksums | import records state the new checksum and not the stored one |
//! | | no import record states any, the stored line has no valid record, and the crate's file has other bytes |
//! | other dependencies | the Cargo.toml in the crate contradicts it, and not the new line |
//! | | the crate does not decide, and its line has no valid record |
//! | | the crate does not decide, and the bundle is on record as the only one that has the crate |

use std::collections::{BTreeSet, HashMap, HashSet};

use super::crate_sources::CrateSources;
use super::index_merge::{Conflict, NewLine, StoredIndexFile};
use super::layout::Layout;
use super::ledger;
use super::packaged_manifest::PackagedManifest;
use super::transaction::Error;
use crate::bundle::sanitize::sanitize_line;
use crate::crate_id::{CrateId, Version};
use crate::digest::Sha256;
use crate::index_line::IndexLine;

/// Decides conflicts. Reads the ledger at the first one that needs it.
pub(super) struct ConflictJudge<'l> {
    layout: &'l Layout,
    /// Where the new lines come from: `the bundle's` or `upstream's`.
    origin: &'static str,
    /// The id of the bundle whose lines are new.
    bundle: Option<String>,
    /// The crates whose lines are in that bundle.
    crates: HashSet<CrateId>,
    /// The sources of these crates. Read at the first conflict that needs them.
    sources: Option<CrateSources>,
    /// See [`ledger::recorded_digests`].
    recorded_digests: Option<HashMap<CrateId, BTreeSet<Sha256>>>,
}

/// The decision about a conflict.
pub(super) enum Decision {
    /// The new line replaces the stored one. Contains a warning.
    Replace(String),
    /// The new line is refused.
    Refuse(Refusal),
}

/// Why a new line is refused.
pub(super) struct Refusal {
    /// The conflict, one sentence without a full stop.
    pub(super) text: String,
    /// The stored crate with its checksum, if the bundle that brought it may be the false one.
    pub(super) stored: Option<(CrateId, Sha256)>,
}

impl Refusal {
    /// A refusal that concerns no other bundle.
    pub(super) fn new(text: String) -> Refusal {
        Refusal { text, stored: None }
    }
}

/// How the Cargo.toml of a crate contradicts the stored line and the new one.
#[derive(Default)]
struct Contradictions {
    stored: Option<String>,
    incoming: Option<String>,
}

impl<'l> ConflictJudge<'l> {
    /// A judge of new lines from `origin`, which is `the bundle's` or `upstream's`.
    pub(super) fn new(layout: &'l Layout, origin: &'static str) -> ConflictJudge<'l> {
        ConflictJudge { layout, origin, bundle: None, crates: HashSet::new(), sources: None, recorded_digests: None }
    }

    /// A judge of the lines of the bundle with this id, which has lines of `crates`.
    pub(super) fn of_bundle(layout: &'l Layout, bundle: &str, crates: HashSet<CrateId>) -> ConflictJudge<'l> {
        ConflictJudge { bundle: Some(bundle.to_owned()), crates, ..ConflictJudge::new(layout, "the bundle's") }
    }

    /// The sources of the bundle's crates, if a decision needed them.
    pub(super) fn into_sources(self) -> Option<CrateSources> {
        self.sources
    }

    /// Decides a conflict between `stored` and `incoming`. A stored line that gives way is removed from `stored`, or its
    /// version is added to `false_lines`.
    ///
    /// # Errors
    /// A file system operation failed.
    pub(super) fn decide(
        &mut self,
        conflict: &Conflict,
        stored: &mut StoredIndexFile,
        incoming: &[NewLine],
        false_lines: &mut BTreeSet<Version>,
    ) -> Result<Decision, Error> {
        let origin = self.origin;
        match conflict {
            // The bundle has two lines for the version.
            Conflict::Checksum { id, .. } if !stored.has_version(&id.version) => {
                Ok(Decision::Refuse(Refusal::new(conflict.to_string())))
            }
            Conflict::Checksum { id, held, incoming } => {
                // The stored line, its record and the file may have been altered alike.
                let warning = if self.is_proven(id, *incoming, *held)? {
                    format!(
                        "the mirror's index stated another checksum of {id} than the import records; {origin} line \
                         replaces it"
                    )
                } else if self.is_unsupported(id, *held, stored)? {
                    format!(
                        "the mirror's index stated a checksum of {id} that no import record and no stored file confirms; \
                         {origin} line replaces it"
                    )
                } else {
                    let (text, stored) = (conflict.to_string(), Some((id.clone(), *held)));
                    return Ok(Decision::Refuse(Refusal { text, stored }));
                };
                stored.remove_version(&id.version);
                Ok(Decision::Replace(warning))
            }
            Conflict::Dependencies { id } => self.decide_dependencies(id, stored, incoming, false_lines),
            Conflict::Name { .. } => Ok(Decision::Refuse(Refusal::new(conflict.to_string()))),
        }
    }

    fn decide_dependencies(
        &mut self,
        id: &CrateId,
        stored: &StoredIndexFile,
        incoming: &[NewLine],
        false_lines: &mut BTreeSet<Version>,
    ) -> Result<Decision, Error> {
        let (conflict, origin) = (Conflict::Dependencies { id: id.clone() }.to_string(), self.origin);
        let stored_line = IndexLine::find_version(&stored.text, &id.name, &id.version);
        let new_line = incoming.iter().map(|new| &new.line).find(|line| line.id == *id);
        let (Some(stored_line), Some(new_line)) = (stored_line, new_line) else {
            return Ok(Decision::Refuse(Refusal::new(conflict)));
        };
        let Contradictions { stored: of_stored, incoming: of_incoming } =
            self.find_contradictions(&stored_line, new_line);
        let difference = describe_difference(&stored_line, new_line);
        let warning = match (of_stored, of_incoming) {
            (Some(contradiction), None) => format!(
                "the stored index line of {id} was false: {contradiction}; {origin} line replaces it ({difference})"
            ),
            (None, Some(contradiction)) => {
                let text = format!("{origin} index line of {id} is false: {contradiction}");
                return Ok(Decision::Refuse(Refusal::new(text)));
            }
            _ if !stored.is_attested(&id.version) => format!(
                "no bundle on record stated the stored index line of {id}, which has other dependencies than the new one; \
                 {origin} line replaces it ({difference})"
            ),
            _ if self.is_only_source(id)? => format!(
                "the stored index line of {id} was altered after its import, because the bundle is the only one on record that \
                 has the crate; {origin} line replaces it ({difference})"
            ),
            _ => {
                let text = format!("{conflict} ({difference})");
                return Ok(Decision::Refuse(Refusal { text, stored: Some((id.clone(), stored_line.cksum)) }));
            }
        };
        Ok(match false_lines.insert(id.version.clone()) {
            true => Decision::Replace(warning),
            false => Decision::Refuse(Refusal::new(conflict)),
        })
    }

    /// Compares both lines with the crate. Both state the same checksum.
    fn find_contradictions(&self, stored: &IndexLine, incoming: &IndexLine) -> Contradictions {
        let path = self.layout.crate_file(&stored.id);
        let is_genuine = Sha256::of_file(&path).is_ok_and(|(sha256, _)| sha256 == stored.cksum);
        match is_genuine.then(|| PackagedManifest::read(&stored.id, &path)).flatten() {
            Some(manifest) => Contradictions {
                stored: manifest.find_contradiction(&stored.raw),
                incoming: manifest.find_contradiction(&incoming.raw),
            },
            None => Contradictions::default(),
        }
    }

    /// Whether the import records state the new checksum of a crate, and not the stored one.
    fn is_proven(&mut self, id: &CrateId, sha256: Sha256, stored: Sha256) -> Result<bool, Error> {
        Ok(self.known_digests(id)?.is_some_and(|known| known.contains(&sha256) && !known.contains(&stored)))
    }

    /// Whether no import record states a checksum of the crate, and neither the record of the line nor the crate's file confirms
    /// the stored one.
    fn is_unsupported(&mut self, id: &CrateId, sha256: Sha256, stored: &StoredIndexFile) -> Result<bool, Error> {
        if self.known_digests(id)?.is_some() || stored.is_attested(&id.version) {
            return Ok(false);
        }
        Ok(!Sha256::of_file(&self.layout.crate_file(id)).is_ok_and(|(actual, _)| actual == sha256))
    }

    /// Whether import records state the crate for this bundle, and for no other one or live mode.
    fn is_only_source(&mut self, id: &CrateId) -> Result<bool, Error> {
        let Some(bundle) = &self.bundle else { return Ok(false) };
        let sources = match &mut self.sources {
            Some(sources) => sources,
            empty => empty.insert(CrateSources::read(self.layout, |id| self.crates.contains(id))?),
        };
        Ok(sources.is_only_source(bundle, id))
    }

    fn known_digests(&mut self, id: &CrateId) -> Result<Option<&BTreeSet<Sha256>>, Error> {
        if self.recorded_digests.is_none() {
            self.recorded_digests = Some(ledger::recorded_digests(self.layout)?);
        }
        Ok(self.recorded_digests.as_ref().and_then(|digests| digests.get(id)))
    }
}

/// The dependencies that only one of the lines has, such as "differing dependencies of the stored line: `evil ^1`; of the new one: none".
fn describe_difference(stored: &IndexLine, incoming: &IndexLine) -> String {
    const MAX_NAMED: usize = 3;
    let only = |line: &IndexLine, other: &IndexLine| {
        let differing: Vec<String> = line
            .deps
            .iter()
            .filter(|one| !other.deps.contains(one))
            .map(|one| format!("`{}`", sanitize_line(&format!("{} {}", one.name, one.req))))
            .collect();
        let more = if differing.len() > MAX_NAMED { " and more" } else { "" };
        match differing.as_slice() {
            [] => "none".to_owned(),
            all => format!("{}{more}", all.iter().take(MAX_NAMED).cloned().collect::<Vec<_>>().join(", ")),
        }
    };
    let (of_stored, of_incoming) = (only(stored, incoming), only(incoming, stored));
    match (of_stored.as_str(), of_incoming.as_str()) {
        ("none", "none") => "the same dependencies with other properties".to_owned(),
        _ => format!("differing dependencies of the stored line: {of_stored}; of the new one: {of_incoming}"),
    }
}
