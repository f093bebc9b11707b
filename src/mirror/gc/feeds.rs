//! Who feeds the mirror, and what they need: read from the ledger's records alone, which never change.
//!
//! manifest.json says the same, but it can be old or lost, and nothing may be removed on its word. A record that cannot
//! be read might be the one that keeps a crate, so nothing is removed then either.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::fs;

use serde::Deserialize;

use super::Error;
use crate::bundle::format::{BundleKind, CrateRecord};
use crate::crate_id::{CrateId, CrateName};
use crate::mirror::forgotten::{self, Note};
use crate::mirror::head::{self, LineageHead};
use crate::mirror::layout::Layout;
use crate::mirror::ledger::{self, Reader, Record};
use crate::mirror::live;
use crate::mirror::rebuild::REBUILT;
use crate::mirror::store::failed;

/// What the ledger says, lineage by lineage.
pub(in crate::mirror) struct Feeds {
    /// Those that count, by id.
    pub(in crate::mirror) lineages: BTreeMap<String, Feed>,
    /// Those that were let go.
    pub(super) notes: Vec<Note>,
    /// The records' names, in the order of import.
    pub(in crate::mirror) names: Vec<String>,
    /// The number of the newest record.
    pub(super) newest: u64,
    /// When the newest import was done.
    pub(super) last_import: Option<String>,
}

/// A lineage's newest bundle.
pub(in crate::mirror) struct Feed {
    pub(in crate::mirror) head: LineageHead,
    /// The bundle's file.
    pub(in crate::mirror) file: String,
    /// When it was imported.
    pub(super) imported: String,
    /// Other bundles that may be the newest as well.
    pub(super) also: Vec<LineageHead>,
}

impl Feed {
    /// The records that say what the lineage needs.
    pub(in crate::mirror) fn records(&self) -> impl Iterator<Item = &str> {
        self.also.iter().map(|head| head.record.as_str()).chain([self.head.record.as_str()])
    }

    /// Why it is doubtful which bundle is the newest, one sentence each; nothing where it is not.
    pub(super) fn doubts(&self) -> Vec<String> {
        head::doubts(self.also.iter().chain([&self.head]))
    }

    /// Takes the newest bundle at its word.
    pub(super) fn accept(&mut self) {
        self.also.clear();
        self.head.jumped_from = None;
    }
}

/// The bundles of a lineage that may be its newest.
#[derive(Default)]
struct Contenders {
    heads: Vec<LineageHead>,
    /// The file of each and when it was imported, by its record.
    about: BTreeMap<String, [String; 2]>,
}

/// A record without its crates.
#[derive(Deserialize)]
struct Summary {
    imported: String,
    file: String,
    manifest: SummaryManifest,
}

#[derive(Deserialize)]
struct SummaryManifest {
    id: String,
    created: String,
    kind: BundleKind,
    lineage: SummaryLineage,
    #[serde(default)]
    carried: Vec<SummaryCarried>,
}

#[derive(Deserialize)]
struct SummaryCarried {
    lineage: SummaryLineage,
}

#[derive(Deserialize)]
struct SummaryLineage {
    id: String,
    sequence: u64,
    #[serde(default)]
    inputs: Vec<SummaryInput>,
}

#[derive(Deserialize)]
struct SummaryInput {
    name: String,
}

/// A record's crates and rustup artifacts, and nothing else of it.
#[derive(Deserialize)]
struct Named<'a> {
    /// The record whose tables this one refers to; that one is settled by itself.
    #[serde(default)]
    snapshot: Option<String>,
    #[serde(borrow)]
    manifest: NamedManifest<'a>,
}

#[derive(Deserialize)]
struct NamedManifest<'a> {
    #[serde(borrow)]
    crates: Vec<NamedCrate<'a>>,
    #[serde(borrow, default)]
    artifacts: Vec<NamedArtifact<'a>>,
}

#[derive(Deserialize)]
struct NamedArtifact<'a> {
    #[serde(borrow)]
    path: Cow<'a, str>,
}

#[derive(Deserialize)]
struct NamedCrate<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    version: Cow<'a, str>,
}

/// What stands in the tree: the names of crates' files and the paths of rustup artifacts, which have a `/`; and lines.
#[derive(Default)]
pub(super) struct Keys {
    files: HashSet<Box<str>>,
    lines: HashSet<Box<str>>,
    buffer: String,
}

impl Keys {
    pub(super) fn has_file(&self, file: &str) -> bool {
        self.files.contains(file)
    }

    pub(super) fn has_line(&mut self, place: &str, version: &str) -> bool {
        line_key(&mut self.buffer, place, version);
        self.lines.contains(self.buffer.as_str())
    }

    pub(super) fn add_file(&mut self, file: &str) {
        self.files.insert(file.into());
    }

    pub(super) fn add_line(&mut self, place: &str, version: &str) {
        line_key(&mut self.buffer, place, version);
        self.lines.insert(self.buffer.as_str().into());
    }

    /// Adds what live mode brought.
    pub(super) fn add_live(&mut self, record: &live::Record) {
        match &record.what {
            live::What::Crate(CrateId { name, version }) => {
                self.add_file(&format!("{name}-{version}.crate"));
                self.add_line(&name.index_path(), &version.to_string());
            }
            live::What::Artifact(path) => self.add_file(path.as_str()),
        }
    }

    /// Takes out what live mode brought.
    pub(super) fn settle_live(&mut self, record: &live::Record) {
        match &record.what {
            live::What::Crate(CrateId { name, version }) => {
                self.files.remove(format!("{name}-{version}.crate").as_str());
                line_key(&mut self.buffer, &name.index_path(), &version.to_string());
                self.lines.remove(self.buffer.as_str());
            }
            live::What::Artifact(path) => {
                self.files.remove(path.as_str());
            }
        }
    }

    /// Takes out what `record` names.
    fn settle(&mut self, record: &Named) {
        self.each(record, |keys, file, place, version| {
            keys.files.remove(file);
            line_key(&mut keys.buffer, place, version);
            keys.lines.remove(keys.buffer.as_str());
        });
        for NamedArtifact { path } in &record.manifest.artifacts {
            self.files.remove(&**path);
        }
    }

    fn add(&mut self, record: &Named) {
        self.each(record, |keys, file, place, version| {
            keys.add_file(file);
            keys.add_line(place, version);
        });
        for NamedArtifact { path } in &record.manifest.artifacts {
            self.add_file(path);
        }
    }

    fn each(&mut self, record: &Named, mut what: impl FnMut(&mut Keys, &str, &str, &str)) {
        for NamedCrate { name, version } in &record.manifest.crates {
            // Names were checked before the record was written.
            if let Ok(name) = name.parse::<CrateName>() {
                what(self, &format!("{name}-{version}.crate"), &name.index_path(), version);
            }
        }
    }
}

fn line_key(buffer: &mut String, place: &str, version: &str) {
    buffer.clear();
    buffer.push_str(place);
    buffer.push(' ');
    buffer.push_str(version);
}

impl Feeds {
    /// Reads every record of the ledger, one at a time.
    pub(in crate::mirror) fn read(layout: &Layout) -> Result<Feeds, Error> {
        let (names, notes) = (ledger::names(layout)?, forgotten::notes(layout)?);
        let newest = names.last().and_then(|name| ledger::sequence_of(name)).unwrap_or(0);
        let mut feeds = Feeds { lineages: BTreeMap::new(), notes, names, newest, last_import: None };
        let mut newest_of: BTreeMap<String, Contenders> = BTreeMap::new();
        for name in &feeds.names {
            let text = text_of(layout, name)?;
            let summary: Summary = parsed(layout, name, &text)?;
            let SummaryManifest { id: bundle, created, kind, lineage, carried } = summary.manifest;
            let SummaryLineage { id, sequence, inputs } = lineage;
            if id != REBUILT {
                feeds.last_import = Some(summary.imported.clone());
            }
            // What a snapshot keeps current stands in the records of the lineages that it brought along.
            if kind == BundleKind::Snapshot {
                continue;
            }
            if forgotten::covers(&feeds.notes, ledger::sequence_of(name).unwrap_or(0), &id) {
                continue;
            }
            let record = name.clone();
            let inputs = match carried.as_slice() {
                [carried] => &carried.lineage.inputs,
                _ => &inputs,
            };
            let (inputs, of_head) = (inputs.iter().map(|input| input.name.as_str()), id.clone());
            let head = LineageHead {
                id: of_head,
                sequence,
                bundle,
                created,
                record,
                jumped_from: None,
                inputs: Vec::new(),
                more_inputs: 0,
            }
            .with_inputs(inputs);
            let Contenders { heads, about } = newest_of.entry(id).or_default();
            head::add_contender(heads, head);
            about.insert(name.clone(), [summary.file, summary.imported]);
            about.retain(|record, _| heads.iter().any(|head| head.record == *record));
        }
        for (id, Contenders { heads: mut also, mut about }) in newest_of {
            head::sort(&mut also);
            if let Some(head) = also.pop() {
                let [file, imported] = about.remove(&head.record).unwrap_or_default();
                feeds.lineages.insert(id, Feed { head, file, imported, also });
            }
        }
        Ok(feeds)
    }

    /// Adds what a lineage's newest bundle names to `keys`, and counts its crates and its rustup artifacts; what others name that may be the newest is
    /// added too.
    pub(super) fn add_needs(reader: &mut Reader, feed: &Feed, keys: &mut Keys) -> Result<[u64; 2], Error> {
        for other in &feed.also {
            Feeds::add_record(reader, &other.record, keys)?;
        }
        Feeds::add_record(reader, &feed.head.record, keys)
    }

    fn add_record(reader: &mut Reader, name: &str, keys: &mut Keys) -> Result<[u64; 2], Error> {
        let text = text_of(reader.layout(), name)?;
        let record: Named = parsed(reader.layout(), name, &text)?;
        if record.snapshot.is_none() {
            keys.add(&record);
            return Ok([record.manifest.crates.len() as u64, record.manifest.artifacts.len() as u64]);
        }
        let Some(Record { manifest, .. }) = reader.read(name)? else {
            return Err(Error::LostRecord { record: record.snapshot.unwrap_or_default() });
        };
        for CrateRecord { name, version, .. } in &manifest.crates {
            keys.add_file(&format!("{name}-{version}.crate"));
            keys.add_line(&name.index_path(), &version.to_string());
        }
        manifest.artifacts.iter().for_each(|artifact| keys.add_file(artifact.path.as_str()));
        Ok([manifest.crates.len() as u64, manifest.artifacts.len() as u64])
    }

    /// Takes out of `keys` everything that any record names; what is left came with no bundle. Reads the newest records
    /// first, and no more of them than it must.
    pub(super) fn strangers(&self, layout: &Layout, mut keys: Keys) -> Result<Keys, Error> {
        for name in self.names.iter().rev() {
            if keys.files.is_empty() && keys.lines.is_empty() {
                break;
            }
            let text = text_of(layout, name)?;
            keys.settle(&parsed(layout, name, &text)?);
        }
        Ok(keys)
    }
}

fn text_of(layout: &Layout, name: &str) -> Result<Vec<u8>, Error> {
    let path = layout.ledger().join(name);
    Ok(fs::read(&path).map_err(failed("read", &path))?)
}

fn parsed<'a, T: Deserialize<'a>>(layout: &Layout, name: &str, text: &'a [u8]) -> Result<T, Error> {
    serde_json::from_slice(text).map_err(|source| Error::Record { path: layout.ledger().join(name), source })
}
