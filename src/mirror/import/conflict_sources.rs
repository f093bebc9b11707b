//! Names the bundles that brought the stored crates or dist files which a refused bundle contradicts. Either side may be
//! false.

use std::collections::BTreeMap;

use crate::bundle::format::{BundleKind, Manifest};
use crate::bundle::sanitize::sanitize_line;
use crate::crate_id::CrateId;
use crate::digest::Sha256;
use crate::mirror::bundle_stager::StagedImport;
use crate::mirror::crate_sources::{BundleSource, CrateSources};
use crate::mirror::layout::Layout;
use crate::mirror::lineages::{LineageTip, describe_bundle};
use crate::mirror::transaction::Error;
use crate::safe_path::SafePath;
use crate::units::{agree, pluralize};

/// Maximum number of bundles that a message names.
const MAX_NAMED: usize = 8;

/// Where the stored crates or dist files came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConflictSources {
    /// The bundles on record that state the stored checksums: their lineages, their ids and their descriptions.
    bundles: Vec<BundleSource>,
    /// Whether live mode stored one of the crates from upstream.
    is_live: bool,
    /// The refused bundle, with its number, its id and its lineage.
    refused: String,
    /// The file of the refused bundle.
    file: String,
    /// Whether a stored crate or dist file may be the false one.
    is_undecided: bool,
    /// The first refused dist file, if the bundle contradicts dist files.
    dist_file: Option<SafePath>,
}

impl ConflictSources {
    /// Finds the bundles that state the stored checksums. `manifest` is that of the refused bundle in `file`.
    ///
    /// # Errors
    /// A file system operation failed.
    pub(super) fn find(
        layout: &Layout,
        staged: &StagedImport,
        manifest: &Manifest,
        file: &str,
    ) -> Result<ConflictSources, Error> {
        let stored: BTreeMap<&CrateId, Sha256> =
            staged.conflicts.iter().filter_map(|one| one.stored.as_ref()).map(|(id, sha256)| (id, *sha256)).collect();
        let mut found = ConflictSources {
            refused: describe_refused(manifest, file),
            file: sanitize_line(file),
            is_undecided: !stored.is_empty(),
            ..ConflictSources::default()
        };
        if stored.is_empty() {
            return Ok(found);
        }
        let read;
        let sources = match &staged.crate_sources {
            Some(sources) => sources,
            None => {
                read = CrateSources::read(layout, |id| stored.contains_key(id))?;
                &read
            }
        };
        let crates = || stored.iter().map(|(id, sha256)| (*id, *sha256));
        // The records of a snapshot's histories state its content.
        let is_other_bundle = |source: &&BundleSource| !source.is_snapshot && source.bundle != manifest.id;
        found.bundles = sources.bundles_of(crates()).filter(is_other_bundle).cloned().collect();
        found.is_live = sources.is_live(crates());
        Ok(found)
    }

    /// The sources of dist files, the first of which is `first`: `bundles`, and live mode if `is_live`.
    pub(super) fn of_dist_files(
        manifest: &Manifest,
        file: &str,
        bundles: Vec<BundleSource>,
        is_live: bool,
        first: &SafePath,
    ) -> ConflictSources {
        ConflictSources {
            bundles,
            is_live,
            refused: describe_refused(manifest, file),
            file: sanitize_line(file),
            is_undecided: true,
            dist_file: Some(first.clone()),
        }
    }

    /// What the two sides contradict each other about.
    fn noun(&self) -> &'static str {
        if self.dist_file.is_some() { "file" } else { "crate" }
    }

    /// Where both sides came from, one sentence each.
    pub(super) fn sentences(&self) -> Vec<String> {
        if !self.is_undecided {
            return Vec::new();
        }
        let (named, noun) = (self.bundles.iter().take(MAX_NAMED), self.noun());
        let mut sentences: Vec<String> =
            named.map(|source| format!("{} has the stored {noun}", source.description)).collect();
        let others = self.bundles.len().saturating_sub(MAX_NAMED);
        if others > 0 {
            sentences.push(format!("{} {} it too", pluralize(others, "other bundle"), agree(others, "has", "have")));
        }
        if self.is_live {
            sentences.push("live mode stored it from upstream".to_owned());
        }
        if sentences.is_empty() {
            sentences.push(format!("no import record shows which bundle brought the stored {noun}"));
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
        let digests = match self.dist_file {
            Some(_) => "the file that upstream offers has the right digest",
            None => "its Cargo.lock has the checksum of each crate",
        };
        let check = format!("{digests}, and `cargo frostmirror history` there lists the ids of its bundles");
        let rejections: Vec<String> = self
            .bundles
            .iter()
            .take(MAX_NAMED)
            .map(|one| format!(" --reject {}@{}", one.lineage, one.bundle))
            .collect();
        if rejections.is_empty()
            && !self.is_live
            && let Some(path) = &self.dist_file
        {
            return format!(
                "compare with the sender: {check}. If `{file}` is false, delete it. If the stored file is false, remove \
                 `DIR/{path}`, and import `{file}` again"
            );
        }
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
            "compare with the sender: {check}. If `{file}` is false, delete it. If the stored {} is false, run `cargo \
             frostmirror gc --mirror DIR{rejections}{forget}`, and import `{file}` again",
            self.noun()
        )
    }
}

/// The refused bundle for users.
fn describe_refused(manifest: &Manifest, file: &str) -> String {
    match manifest.kind {
        BundleKind::Snapshot => format!("the snapshot `{}`, id {}", sanitize_line(file), sanitize_line(&manifest.id)),
        BundleKind::Full | BundleKind::Delta => {
            describe_bundle(&LineageTip::from_manifest(manifest, String::new()), file)
        }
    }
}
