//! The least recently used of what live mode brought go when there is more of it than is wanted.
//!
//! Nothing waits for a grace time here: a client that asks for what is gone is a miss, and it is fetched again. What the
//! newest bundle of any lineage names is neither counted nor touched.

use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;

use super::feeds::{Feeds, Keys};
use super::living::LiveWork;
use super::{Change, Error, Item, Line, Plan, Reader, Work, carry_out, tree};
use crate::channel::Named;
use crate::event::Sink;
use crate::mirror::artifacts::Artifacts;
use crate::mirror::head::{Counts, Head};
use crate::mirror::layout::Layout;
use crate::mirror::ledger;
use crate::mirror::live::{self, Record, What};
use crate::mirror::lock::CollectGuard;
use crate::mirror::store::was_torn;
use crate::safe_path::SafePath;

/// What an eviction came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evicted {
    /// Crates that are gone.
    pub crates: u64,
    /// Rustup artifacts that are gone.
    pub artifacts: u64,
    /// Bytes of both.
    pub bytes: u64,
    /// Bytes of what live mode brought, and no lineage needs, that are left.
    pub left: u64,
}

impl CollectGuard {
    /// Removes the least recently used of what live mode brought where it is more than `cap` bytes, until it is at most
    /// nine tenths of that. `used` says when a file was last asked for, by its path below the mirror's root
    /// (`crates/NAME-VERSION.crate`, `dist/…`); one that it does not name was used when it was placed. Of rustup artifacts
    /// only components go.
    ///
    /// # Errors
    /// A record of the ledger that cannot be read: it might be the one that keeps a crate. The file system's.
    pub fn evict_live(
        &mut self,
        cap: u64,
        used: &BTreeMap<String, Timestamp>,
        now: Timestamp,
        sink: &dyn Sink,
    ) -> Result<Evicted, Error> {
        evict(&self.layout, cap, used, now, sink)
    }
}

fn evict(
    layout: &Layout,
    cap: u64,
    used: &BTreeMap<String, Timestamp>,
    now: Timestamp,
    sink: &dyn Sink,
) -> Result<Evicted, Error> {
    let all = live::figures(layout)?.bytes;
    if all <= cap {
        return Ok(Evicted { left: all, ..Evicted::default() });
    }
    let current = live::records(layout)?;
    let needed = needed(layout)?;
    let spare: Vec<&Record> = current.iter().filter(|record| !needed.has_file(&key(record))).collect();
    let mut left = live::figures_of(spare.iter().copied()).bytes;
    if left <= cap {
        return Ok(Evicted { left, ..Evicted::default() });
    }
    // Where nobody can tell what is held, nothing of it goes.
    let shelf = Artifacts::read(layout)?;
    let is_on_record = |path: &SafePath| shelf.as_ref().is_some_and(|shelf| shelf.0.contains_key(path));
    let is_removable = |record: &&&Record| match &record.what {
        What::Crate(_) => true,
        What::Artifact(path) => matches!(Named::of(path), Some(Named::Component { .. })) && is_on_record(path),
    };
    let mut order: Vec<(Timestamp, &Record)> = spare
        .iter()
        .filter(is_removable)
        .map(|record| (used.get(record.path().as_str()).copied().unwrap_or(record.placed), *record))
        .collect();
    // Of those of one batch that nobody asked for again the larger goes first.
    order.sort_by(|(a, one), (b, other)| (a, other.size, &one.what).cmp(&(b, one.size, &other.what)));
    let aim = cap - cap / 10;
    let mut goes: Vec<Record> = Vec::new();
    for (_, record) in order {
        if left <= aim {
            break;
        }
        left = left.saturating_sub(record.size);
        goes.push(record.clone());
    }
    let forgotten = live::forgotten(layout)?;
    let plan = plan(layout, current, forgotten, &goes, shelf, now)?;
    let collected = carry_out::execute(layout, plan, sink)?;
    Ok(Evicted { crates: collected.crates, artifacts: collected.artifacts, bytes: collected.bytes, left })
}

/// What the newest bundles of all lineages name.
fn needed(layout: &Layout) -> Result<Keys, Error> {
    let feeds = Feeds::read(layout)?;
    let said = Head::read_file(layout)?;
    let mut lost = said.iter().flat_map(|head| &head.lineages).filter(|lineage| !feeds.names.contains(&lineage.record));
    if let Some(lineage) = lost.next() {
        return Err(Error::LostRecord { record: lineage.record.clone() });
    }
    let mut needed = Keys::default();
    let mut reader = Reader::of(layout);
    for feed in feeds.lineages.values() {
        Feeds::add_needs(&mut reader, feed, &mut needed)?;
    }
    Ok(needed)
}

/// As a collection knows the file.
fn key(record: &Record) -> String {
    match &record.what {
        What::Crate(id) => id.file_name(),
        What::Artifact(path) => path.to_string(),
    }
}

fn plan(
    layout: &Layout,
    current: Vec<Record>,
    forgotten: Vec<Record>,
    goes: &[Record],
    shelf: Option<Artifacts>,
    now: Timestamp,
) -> Result<Plan, Error> {
    let mut places: BTreeMap<String, HashSet<String>> = BTreeMap::new();
    let (mut lines, mut crates, mut components) = (Vec::new(), Vec::new(), Vec::new());
    let mut after = shelf.clone();
    for record in goes {
        let about = record.path().below(layout.root()).symlink_metadata().ok().filter(|about| about.is_file());
        let item = about.map(|about| Item { file: key(record), size: about.len() });
        match &record.what {
            What::Crate(id) => {
                places.entry(id.name.index_path()).or_default().insert(id.version.to_string());
                lines.push(Line { name: id.name.as_str().to_lowercase(), version: id.version.to_string() });
                crates.extend(item);
            }
            What::Artifact(path) => {
                if let Some(after) = &mut after {
                    after.0.remove(path);
                }
                components.extend(item);
            }
        }
    }
    let (mut index, mut records) = (Vec::new(), Vec::new());
    let (mut folders, mut names_gone) = (Vec::new(), 0);
    for (place, versions) in places {
        let text = tree::read(&layout.index().join(&place))?;
        let stays = |line: &[u8]| tree::version_of(line).is_none_or(|version| !versions.contains(&*version));
        names_gone += u64::from(!text.is_empty() && !tree::lines(&text).any(stays));
        for root in [layout.index(), layout.lines()] {
            let above = root.join(&place);
            folders.extend(above.ancestors().skip(1).take_while(|folder| *folder != root).map(|one| one.to_owned()));
        }
        let change = |versions: &HashSet<String>| Change { place: place.clone(), versions: versions.clone() };
        if !text.is_empty() {
            index.push(change(&versions));
        }
        if layout.lines().join(&place).exists() {
            records.push(change(&versions));
        }
    }
    let parents = components.iter().filter_map(|item| layout.root().join(&item.file).parent().map(ToOwned::to_owned));
    let mut artifact_folders: Vec<_> = parents.collect();
    for folders in [&mut folders, &mut artifact_folders] {
        // What is inside comes first.
        folders.sort_by(|a, b| b.cmp(a));
        folders.dedup();
    }
    let known = Head::read_file(layout)?.filter(|_| !was_torn(layout));
    let base = match known {
        Some(head) => head,
        None => ledger::newest_head(layout)?.unwrap_or_default().with(Counts::of_tree(layout)?),
    };
    let sum = |items: &[Item]| items.iter().map(|item| item.size).sum::<u64>();
    let mut head = base;
    let mut counts = Counts {
        crates: head.counts.crates.saturating_sub(names_gone),
        versions: head.counts.versions.saturating_sub(crates.len() as u64),
        bytes: head.counts.bytes.saturating_sub(sum(&crates)),
        ..head.counts
    };
    if let Some(after) = &after {
        (counts.artifacts, counts.artifact_bytes) = after.counts();
        head.toolchains = after.toolchains();
    }
    let head = head.with(counts);
    let goes: HashSet<What> = goes.iter().map(|record| record.what.clone()).collect();
    Ok(Plan {
        lineages: Vec::new(),
        live: None,
        lines,
        crates,
        waiting: Vec::new(),
        names: Vec::new(),
        components,
        components_waiting: Vec::new(),
        strangers: Vec::new(),
        counts,
        work: Work {
            index,
            records,
            folders,
            artifact_folders,
            artifacts: after.filter(|after| shelf.as_ref() != Some(after)),
            forget: Vec::new(),
            accept: Vec::new(),
            live: LiveWork::of_eviction(current, forgotten, goes),
            newest_record: 0,
            removals: None,
            removals_after: None,
            head: Some(head),
            now,
        },
    })
}
