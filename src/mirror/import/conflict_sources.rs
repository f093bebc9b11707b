//! Names the bundles that brought the stored crates which a refused bundle contradicts. Either side may be the false one.

use std::collections::BTreeMap;

use crate::bundle::format::{BundleKind, CrateState, Manifest};
use crate::bundle::sanitize::sanitize_line;
use crate::crate_id::CrateId;
use crate::digest::Sha256;
use crate::mirror::layout::Layout;
use crate::mirror::ledger::{self, Reader};
use crate::mirror::line_conflict::Refusal;
use crate::mirror::lineages::{LineageTip, REBUILT_LINEAGE, describe_bundle};
use crate::mirror::live::LiveLineage;
use crate::mirror::retired;
use crate::mirror::transaction::Error;
use crate::units::{agree, pluralize};

/// Maximum number of bundles that a message names.
const MAX_NAMED: usize = 8;

/// Where the stored crates came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConflictSources {
    /// The bundles on record that state the stored checksums: their lineages, their ids and their descriptions.
    bundles: Vec<Source>,
    /// Whether live mode stored one of the crates from upstream.
    is_live: bool,
    /// The refused bundle, with its number, its id and its lineage.
    refused: String,
    /// The file of the refused bundle.
    file: String,
    /// Whether a stored crate may be the false one.
    is_undecided: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Source {
    lineage: String,
    bundle: String,
    description: String,
}

impl ConflictSources {
    /// Finds the bundles that state the stored checksums. `manifest` is that of the refused bundle in `file`.
    ///
    /// # Errors
    /// A file system operation failed.
    pub(super) fn find(
        layout: &Layout,
        refusals: &[Refusal],
        manifest: &Manifest,
        file: &str,
    ) -> Result<ConflictSources, Error> {
        let stored: BTreeMap<&CrateId, Sha256> =
            refusals.iter().filter_map(|one| one.stored.as_ref()).map(|(id, sha256)| (id, *sha256)).collect();
        let refused = match manifest.kind {
            BundleKind::Snapshot => {
                format!("the snapshot `{}`, id {}", sanitize_line(file), sanitize_line(&manifest.id))
            }
            BundleKind::Full | BundleKind::Delta => {
                describe_bundle(&LineageTip::from_manifest(manifest, String::new()), file)
            }
        };
        let mut found = ConflictSources {
            refused,
            file: sanitize_line(file),
            is_undecided: !stored.is_empty(),
            ..ConflictSources::default()
        };
        if stored.is_empty() {
            return Ok(found);
        }
        let notes = retired::read_retirements(layout)?;
        let mut reader = Reader::new(layout);
        for name in ledger::record_names(layout)? {
            let Some(record) = reader.read(&name)? else { continue };
            let stated = &record.manifest;
            let (lineage, number) = (stated.lineage.id.as_str(), ledger::record_number(&name).unwrap_or(0));
            // The records of a snapshot's histories state its content.
            let is_bundle = stated.kind != BundleKind::Snapshot && lineage != REBUILT_LINEAGE;
            if !is_bundle || stated.id == manifest.id || retired::is_retired(&notes, number, lineage) {
                continue;
            }
            // The import did not compare the crates of other inputs.
            let mut own = stated.crates.iter().filter(|one| one.state != CrateState::Kept);
            let is_known = found.bundles.iter().any(|known| known.bundle == stated.id);
            if !is_known && own.any(|one| stored.get(&one.id()) == Some(&one.sha256)) {
                found.bundles.push(Source {
                    lineage: lineage.to_owned(),
                    bundle: stated.id.clone(),
                    description: describe_bundle(&LineageTip::from_manifest(stated, name), &record.file),
                });
            }
        }
        let live = LiveLineage::read(layout)?;
        found.is_live = live.current().any(|record| {
            record.item.crate_id().and_then(|id| stored.get(id)).is_some_and(|sha256| *sha256 == record.sha256)
        });
        Ok(found)
    }

    /// Where both sides came from, one sentence each.
    pub(super) fn sentences(&self) -> Vec<String> {
        if !self.is_undecided {
            return Vec::new();
        }
        let named = self.bundles.iter().take(MAX_NAMED);
        let mut sentences: Vec<String> =
            named.map(|source| format!("{} has the stored crate", source.description)).collect();
        let others = self.bundles.len().saturating_sub(MAX_NAMED);
        if others > 0 {
            sentences.push(format!("{} {} it too", pluralize(others, "other bundle"), agree(others, "has", "have")));
        }
        if self.is_live {
            sentences.push("live mode stored it from upstream".to_owned());
        }
        if sentences.is_empty() {
            sentences.push("no import record shows which bundle brought the stored crate".to_owned());
        }
        sentences.push(format!(
            "{} contradicts it: one of the two is false, and the mirror cannot tell which",
            self.refused
        ));
        sentences
    }

    /// How to find out which side is false, and what to do then.
    pub fn hint(&self) -> String {
        let file = &self.file;
        if !self.is_undecided {
            return format!(
                "`{file}` was altered or is not from your sender: delete it, and compare its checksum with the sender's file"
            );
        }
        let check = "its Cargo.lock has the checksum of each crate, and `cargo frostmirror history` there lists the ids of its \
                     bundles";
        let rejections: Vec<String> = self
            .bundles
            .iter()
            .take(MAX_NAMED)
            .map(|one| format!(" --reject {}@{}", one.lineage, one.bundle))
            .collect();
        if rejections.is_empty() && !self.is_live {
            return format!(
                "run `cargo frostmirror verify --mirror DIR --rebuild-state`, which moves crates aside that no import on record \
                 added, and import `{file}` again. If that is refused too, compare with the sender: {check}. If `{file}` is \
                 false, delete it. If it is genuine, import your other bundles again, run `cargo frostmirror gc --mirror DIR \
                 --forget rebuilt`, and then import `{file}`"
            );
        }
        let (rejections, forget) = (rejections.concat(), if self.is_live { " --forget live" } else { "" });
        format!(
            "compare with the sender: {check}. If `{file}` is false, delete it. If the stored crate is false, run `cargo \
             frostmirror gc --mirror DIR{rejections}{forget}`, and import `{file}` again"
        )
    }
}
