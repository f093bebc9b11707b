//! What an import leaves on record: its records in the ledger, of which the last is the commit, and the head after them.
//!
//! A bundle of a history has one record. A snapshot has one for each history that it brings along and of which no bundle
//! as new is known, with the crates of that history alone, as if its newest bundle had been imported; then its own,
//! which names all that it brought and makes nothing current.

use super::forgotten::{self, Note};
use super::head::{Counts, Head, HistorySize, LineageHead};
use super::import::ImportOptions;
use super::layout::Layout;
use super::ledger::{self, Record};
use super::store::{Error, Staged, Staging};
use crate::bundle::format::{
    ArtifactRecord, BundleKind, Carried, CrateRecord, Input, Lineage, Manifest, history_weight,
};
use crate::crate_id::CrateId;
use crate::safe_path::SafePath;

/// What is to be written when everything else is in place.
pub(super) struct Commit {
    /// The head afterwards.
    pub(super) head: Head,
    /// New records by their names, in the order in which they are to appear, as they were written to staging.
    pub(super) records: Vec<(String, Staged)>,
}

/// What is known of a bundle before it is committed.
pub(super) struct Before<'k> {
    /// The bundle's own record.
    pub(super) own: &'k Own,
    /// What is on record already.
    pub(super) known: &'k Known,
    /// What the import warns of, one sentence each.
    pub(super) warnings: Vec<String>,
}

/// What is on record already.
pub(super) struct Known {
    /// The records' names.
    pub(super) names: Vec<String>,
    notes: Vec<Note>,
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

impl Known {
    /// Lists the ledger.
    pub(super) fn read(layout: &Layout) -> Result<Known, Error> {
        Ok(Known { names: ledger::names(layout)?, notes: forgotten::notes(layout)? })
    }

    /// The name of a bundle's record. One that does not count any more, because its lineage was let go, is as good as
    /// none.
    fn name_of(&self, bundle: &str, lineage: &str) -> Option<&str> {
        ledger::name_of(&self.names, bundle).filter(|name| {
            let number = ledger::sequence_of(name).unwrap_or(0);
            !forgotten::covers(&self.notes, number, lineage)
        })
    }

    /// Whether the bundle is on record.
    pub(super) fn own(&self, layout: &Layout, manifest: &Manifest) -> Result<Own, Error> {
        let Some(name) = self.name_of(&manifest.id, &manifest.lineage.id) else {
            return Ok(Own::Missing);
        };
        Ok(match ledger::read(layout, name)?.filter(|record| record.manifest.id == manifest.id) {
            Some(record) if is_of(&record.manifest, manifest) => Own::There,
            // What a snapshot said of the bundle is not what it says itself.
            Some(_) => Own::Missing,
            None => Own::Rotten(name.to_owned()),
        })
    }

    /// What of a snapshot's histories is neither on record nor older, beyond doubt, than what `head` knows; what no
    /// history claims counts as one. Where numbers and times disagree, a collection keeps what either needs, as it does
    /// when such a bundle is imported itself.
    pub(super) fn news<'m>(&self, head: &Head, manifest: &'m Manifest) -> Vec<Feed<'m>> {
        if manifest.kind != BundleKind::Snapshot {
            return Vec::new();
        }
        let mut inputs = manifest.lineage.inputs.iter();
        let unclaimed = inputs.any(|input| !input.crates.is_empty() || !input.artifacts.is_empty());
        let carried = manifest.carried.iter().map(Feed::Carried).chain(unclaimed.then_some(Feed::Unclaimed(manifest)));
        let is_news = |feed: &Feed| {
            let lineage = feed.lineage_head(String::new());
            self.name_of(&lineage.bundle, &lineage.id).is_none() && !head.supersedes(&lineage)
        };
        let mut news: Vec<Feed> = carried.filter(is_news).collect();
        // Whether a number jumps depends on those that came before it.
        news.sort_by_cached_key(|feed| {
            let LineageHead { id, sequence, created, .. } = feed.lineage_head(String::new());
            (matches!(feed, Feed::Unclaimed(_)), id, sequence, created)
        });
        news
    }
}

/// Whether a record, of which nobody checked that it follows from its id, says what the bundle with that id says.
fn is_of(recorded: &Manifest, manifest: &Manifest) -> bool {
    let of = |manifest: &Manifest| (manifest.lineage.id.clone(), manifest.lineage.sequence, manifest.created.clone());
    let ids = |manifest: &Manifest| manifest.crates.iter().map(CrateRecord::id).collect::<Vec<CrateId>>();
    let paths = |manifest: &Manifest| manifest.artifacts.iter().map(|one| one.path.clone()).collect::<Vec<SafePath>>();
    of(recorded) == of(manifest) && ids(recorded) == ids(manifest) && paths(recorded) == paths(manifest)
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
            jumped_from: None,
            inputs: Vec::new(),
            more_inputs: 0,
        }
        .with_inputs(lineage.inputs.iter().map(|input| input.name.as_str()))
    }

    /// As a snapshot carries it.
    fn carried(&self) -> Carried {
        match self {
            Feed::Carried(one) => Carried::clone(one),
            Feed::Unclaimed(snapshot) => {
                let inputs = &snapshot.lineage.inputs;
                Carried {
                    bundle: snapshot.lineage.id.clone(),
                    file: String::new(),
                    created: snapshot.created.clone(),
                    index_read: snapshot.index_read.clone(),
                    lineage: snapshot.lineage.clone(),
                    crates: united(inputs.iter().map(|input| &input.crates)),
                    artifacts: united(inputs.iter().map(|input| &input.artifacts)),
                }
            }
        }
    }

    fn file(&self, snapshot: &str) -> String {
        match self {
            Feed::Carried(one) => one.file.clone(),
            Feed::Unclaimed(_) => snapshot.to_owned(),
        }
    }
}

/// What is recorded of a history that a snapshot brought along: everything but the tables, which stand in the snapshot's
/// own record. Targets and toolchains do too.
fn recorded(carried: Carried, snapshot: &Manifest) -> Manifest {
    Manifest {
        id: carried.bundle.clone(),
        format: snapshot.format,
        tool: snapshot.tool.clone(),
        created: carried.created.clone(),
        kind: BundleKind::Full,
        repair: false,
        parent: None,
        targets: Vec::new(),
        toolchains: Vec::new(),
        index_read: carried.index_read.clone(),
        crates: Vec::new(),
        artifacts: Vec::new(),
        lineage: Lineage { inputs: Vec::new(), ..carried.lineage.clone() },
        carried: vec![carried],
        refreshed: Vec::new(),
        blocks: Vec::new(),
    }
}

/// The manifest of a history's newest bundle, as far as a snapshot that carries it says it. `None` where a position is
/// beyond the snapshot's tables, which no bundle can bring about.
pub(super) fn carried_manifest(carried: &Carried, snapshot: &Manifest) -> Option<Manifest> {
    let (positions, files) = (&carried.crates, &carried.artifacts);
    // The snapshot's own record has the descriptions of crates, once.
    let crates = positions.iter().map(|at| {
        let CrateRecord { name, version, sha256, size, state, yanked, .. } = snapshot.crates.get(*at as usize)?;
        let (name, version) = (name.clone(), version.clone());
        let (sha256, size, state, yanked) = (*sha256, *size, *state, *yanked);
        let (read, description, license, repository) = (None, None, None, None);
        Some(CrateRecord { name, version, sha256, size, state, yanked, read, description, license, repository })
    });
    let artifacts = files.iter().map(|at| {
        let record = snapshot.artifacts.get(*at as usize)?;
        let read = snapshot.artifact_read(record);
        // What a rebuild makes of the record must be what the import makes of the snapshot.
        Some(ArtifactRecord { read: (*read != carried.index_read).then(|| read.to_owned()), ..record.clone() })
    });
    // Positions of inputs that the bundle itself left out fall away.
    let inputs = carried.lineage.inputs.iter().map(|input| Input {
        name: input.name.clone(),
        roots: input.roots.clone(),
        crates: places(positions, &input.crates),
        artifacts: places(files, &input.artifacts),
        left_out: input.left_out.clone(),
    });
    let Lineage { id, sequence, .. } = &carried.lineage;
    let lineage = Lineage { id: id.clone(), sequence: *sequence, inputs: inputs.collect() };
    let manifest = recorded(carried.clone(), snapshot);
    Some(Manifest {
        crates: crates.collect::<Option<_>>()?,
        artifacts: artifacts.collect::<Option<_>>()?,
        lineage,
        carried: Vec::new(),
        ..manifest
    })
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

/// Writes the records of a bundle to staging, one at a time: a snapshot
/// may bring many. And the head after them.
pub(super) fn prepare(
    head: Head,
    counts: Counts,
    manifest: Manifest,
    before: Before,
    options: &ImportOptions,
    staging: &mut Staging,
) -> Result<Commit, Error> {
    let Before { own, known, warnings } = before;
    let imported = options.now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let mut head = head.with(counts);
    let mut names = known.names.clone();
    let mut records = Vec::new();
    let news = known.news(&head, &manifest);
    for feed in news {
        let lineage = feed.lineage_head(String::new());
        let name = ledger::next_name(&names, &lineage.bundle);
        let (file, carried) = (feed.file(&options.file_name), feed.carried());
        let rows = (carried.crates.len() + carried.artifacts.len()) as u64;
        let size = HistorySize { weight: history_weight(&carried.lineage, &file, rows), rows };
        head = head.after(&imported, LineageHead { record: name.clone(), ..lineage }, size);
        names.push(name.clone());
        let snapshot = Some(manifest.id.clone());
        let manifest = recorded(carried, &manifest);
        let (imported, head) = (imported.clone(), head.tip());
        let record = Record { imported, file, head, snapshot, warnings: Vec::new(), manifest };
        records.push((name, staging.write(&record.render())?));
    }
    if *own != Own::There || !records.is_empty() {
        let name = match own {
            Own::Rotten(name) => name.clone(),
            Own::There | Own::Missing => ledger::next_name(&names, &manifest.id),
        };
        head = match manifest.kind {
            BundleKind::Snapshot => head.recorded(&imported),
            BundleKind::Full | BundleKind::Delta => {
                let size = HistorySize::of(&manifest, &options.file_name);
                head.after(&imported, LineageHead::of(&manifest, name.clone()), size)
            }
        };
        if matches!(own, Own::Rotten(_)) {
            // It was counted before.
            head.imports = names.len() as u64;
        }
        let manifest = Manifest { blocks: Vec::new(), ..manifest };
        let (file, head) = (options.file_name.clone(), head.tip());
        let record = Record { imported, file, head, snapshot: None, warnings, manifest };
        records.push((name, staging.write(&record.render())?));
    }
    Ok(Commit { head, records })
}
