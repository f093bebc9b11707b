//! What an import leaves on record: its records in the ledger, of which the last is the commit, and the head after them.
//!
//! A bundle of a history has one record. A snapshot has one for each history that it brings along and of which no bundle
//! as new is known, with the crates of that history alone, as if its newest bundle had been imported; then its own,
//! which names all that it brought and makes nothing current.

use super::forgotten;
use super::head::{Counts, Head, LineageHead};
use super::import::ImportOptions;
use super::layout::Layout;
use super::ledger::{self, Record};
use super::store::Error;
use crate::bundle::format::{ArtifactRecord, BundleKind, Carried, CrateRecord, Input, Lineage, Manifest};

/// What is to be written when everything else is in place.
pub(super) struct Commit {
    /// The head afterwards.
    pub(super) head: Head,
    /// New records with their names, in the order in which they are to appear.
    pub(super) records: Vec<(String, Record)>,
}

/// A bundle's own record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Own {
    /// It is there.
    There,
    /// It is there under this name, and says nothing any more; the bundle is what it was of.
    Rotten(String),
    /// There is none.
    Missing,
}

/// Whether the bundle is on record among `names`. A record that does not count any more, because its lineage was let
/// go, is as good as none.
pub(super) fn own(layout: &Layout, names: &[String], manifest: &Manifest) -> Result<Own, Error> {
    let notes = forgotten::notes(layout)?;
    let recorded = ledger::name_of(names, &manifest.id).filter(|name| {
        let number = ledger::sequence_of(name).unwrap_or(0);
        !forgotten::covers(&notes, number, &manifest.lineage.id)
    });
    let Some(name) = recorded else {
        return Ok(Own::Missing);
    };
    let record = ledger::read(layout, name)?;
    let is_sound = record.is_some_and(|record| record.manifest.id == manifest.id);
    Ok(if is_sound { Own::There } else { Own::Rotten(name.to_owned()) })
}

/// The histories of a snapshot of which `head` knows no bundle that is as new; what no history claims counts as one.
pub(super) fn news<'m>(head: &Head, manifest: &'m Manifest) -> Vec<Feed<'m>> {
    if manifest.kind != BundleKind::Snapshot {
        return Vec::new();
    }
    let inputs = &manifest.lineage.inputs;
    let unclaimed = inputs.iter().any(|input| !input.crates.is_empty() || !input.artifacts.is_empty());
    let carried = manifest.carried.iter().map(Feed::Carried).chain(unclaimed.then_some(Feed::Unclaimed(manifest)));
    carried.filter(|feed| !head.knows(&feed.lineage_head(String::new()))).collect()
}

/// One history of a snapshot.
#[derive(Clone, Copy)]
pub(super) enum Feed<'m> {
    /// One that feeds the mirror which the snapshot is of.
    Carried(&'m Carried),
    /// What that mirror holds for no history.
    Unclaimed(&'m Manifest),
}

impl Feed<'_> {
    fn lineage_head(&self, record: String) -> LineageHead {
        let (lineage, bundle, created) = match self {
            Feed::Carried(one) => (&one.lineage, &one.bundle, &one.created),
            // It changes with its crates, so that it is its own bundle.
            Feed::Unclaimed(snapshot) => (&snapshot.lineage, &snapshot.lineage.id, &snapshot.created),
        };
        LineageHead {
            id: lineage.id.clone(),
            sequence: lineage.sequence,
            bundle: bundle.clone(),
            created: created.clone(),
            record,
        }
    }

    /// The manifest of its newest bundle, as far as it is known.
    fn manifest(&self, snapshot: &Manifest) -> Manifest {
        let (positions, files, lineage, index_read) = match self {
            Feed::Carried(one) => (one.crates.clone(), one.artifacts.clone(), &one.lineage, &one.index_read),
            Feed::Unclaimed(_) => {
                let inputs = &snapshot.lineage.inputs;
                let crates = united(inputs.iter().map(|input| &input.crates));
                let files = united(inputs.iter().map(|input| &input.artifacts));
                (crates, files, &snapshot.lineage, &snapshot.index_read)
            }
        };
        let LineageHead { bundle, created, .. } = self.lineage_head(String::new());
        // Positions were checked when the bundle was opened; those of inputs that the bundle itself left out fall away.
        let crates = positions.iter().map(|at| CrateRecord { read: None, ..snapshot.crates[*at as usize].clone() });
        let artifacts = files.iter().map(|at| {
            let record = &snapshot.artifacts[*at as usize];
            let read = snapshot.artifact_read(record);
            // What a rebuild makes of the record must be what the import makes of the snapshot.
            ArtifactRecord { read: (read != index_read).then(|| read.to_owned()), ..record.clone() }
        });
        let inputs = lineage.inputs.iter().map(|input| Input {
            name: input.name.clone(),
            roots: input.roots.clone(),
            crates: places(&positions, &input.crates),
            artifacts: places(&files, &input.artifacts),
        });
        Manifest {
            id: bundle,
            format: snapshot.format,
            tool: snapshot.tool.clone(),
            created,
            kind: BundleKind::Full,
            parent: None,
            targets: snapshot.targets.clone(),
            toolchains: snapshot.toolchains.clone(),
            index_read: index_read.clone(),
            crates: crates.collect(),
            artifacts: artifacts.collect(),
            lineage: Lineage { id: lineage.id.clone(), sequence: lineage.sequence, inputs: inputs.collect() },
            carried: Vec::new(),
            blocks: Vec::new(),
        }
    }

    fn file(&self, snapshot: &str) -> String {
        match self {
            Feed::Carried(one) => one.file.clone(),
            Feed::Unclaimed(_) => snapshot.to_owned(),
        }
    }
}

/// All positions of several lists, ascending.
fn united<'l>(lists: impl Iterator<Item = &'l Vec<u32>>) -> Vec<u32> {
    let mut all: Vec<u32> = lists.flatten().copied().collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Where each of `wanted` is in `all`, which is ascending; one that is not there falls away.
fn places(all: &[u32], wanted: &[u32]) -> Vec<u32> {
    let place = |at: &u32| all.binary_search(at).ok().and_then(|at| u32::try_from(at).ok());
    wanted.iter().filter_map(place).collect()
}

/// The records of a bundle of which `own` is known, beside those called `names`, and the head after them.
pub(super) fn prepare(
    head: Head,
    counts: Counts,
    manifest: Manifest,
    own: &Own,
    names: &[String],
    options: &ImportOptions,
) -> Commit {
    let imported = options.now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let mut head = head.with(counts);
    let mut names = names.to_vec();
    let mut records = Vec::new();
    let carried: Vec<(LineageHead, String, Manifest)> = news(&head, &manifest)
        .into_iter()
        .map(|feed| (feed.lineage_head(String::new()), feed.file(&options.file_name), feed.manifest(&manifest)))
        .collect();
    for (lineage, file, manifest) in carried {
        let name = ledger::next_name(&names, &manifest.id);
        head = head.after(&imported, LineageHead { record: name.clone(), ..lineage });
        names.push(name.clone());
        records.push((name, Record { imported: imported.clone(), file, head: head.clone(), manifest }));
    }
    if *own != Own::There || !records.is_empty() {
        let name = match own {
            Own::Rotten(name) => name.clone(),
            Own::There | Own::Missing => ledger::next_name(&names, &manifest.id),
        };
        let lineage = LineageHead {
            id: manifest.lineage.id.clone(),
            sequence: manifest.lineage.sequence,
            bundle: manifest.id.clone(),
            created: manifest.created.clone(),
            record: name.clone(),
        };
        head = match manifest.kind {
            BundleKind::Snapshot => head.recorded(&imported),
            BundleKind::Full | BundleKind::Delta => head.after(&imported, lineage),
        };
        if matches!(own, Own::Rotten(_)) {
            // It was counted before.
            head.imports = names.len() as u64;
        }
        let manifest = Manifest { blocks: Vec::new(), ..manifest };
        records.push((name, Record { imported, file: options.file_name.clone(), head: head.clone(), manifest }));
    }
    Commit { head, records }
}
