//! Which crates of a batch are placed, and what index files become of their lines.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;

use super::place::{Batch, Refused};
use super::{Arrival, Renewal, What};
use crate::crate_id::{CrateId, CrateName};
use crate::digest::Sha256;
use crate::event::Sink;
use crate::index_line::IndexLine;
use crate::mirror::head::Growth;
use crate::mirror::index::{self, Held, Incoming, Merged};
use crate::mirror::layout::Layout;
use crate::mirror::lines;
use crate::mirror::order::{Names, Node, dependencies_first};
use crate::mirror::receive::read_text;
use crate::mirror::store::{Error, Move, Staging, failed};

/// What was staged of a batch's crates and lines.
#[derive(Default)]
pub(super) struct Arrived<'b> {
    /// Crates to be placed.
    pub(super) crates: Vec<Move>,
    /// Line records to be placed.
    pub(super) lines: Vec<Move>,
    /// Index files to be placed, in this order.
    pub(super) index: Vec<Move>,
    /// Those that will be on record.
    pub(super) accepted: Vec<&'b Arrival>,
    /// The renewals that something comes of.
    pub(super) renewed: Vec<&'b Renewal>,
    /// How many of the accepted ones were held.
    pub(super) held: u64,
    /// What is left out, and why.
    pub(super) refused: Vec<Refused>,
    /// What the tree gains.
    pub(super) grown: Growth,
    /// The crates whose index files change.
    pub(super) names: Vec<CrateName>,
    /// Index, records and files did not agree before, so that what comes back is not new.
    pub(super) brings_back: bool,
    brought: u64,
    changed: Vec<Changed>,
}

/// An index file that changes.
struct Changed {
    name: CrateName,
    needs: Vec<String>,
    moved: Move,
}

/// What is at a crate's place.
#[derive(Clone, Copy, PartialEq, Eq)]
enum There {
    Nothing,
    /// The same bytes.
    Same,
    /// Other bytes, this many, or a link.
    Other(u64),
}

/// Stages what is to be placed of the batch's crates and lines.
pub(super) fn sort<'b>(
    layout: &Layout,
    staging: &mut Staging,
    batch: &'b Batch,
    sink: &dyn Sink,
) -> Result<Arrived<'b>, Error> {
    let mut by_place: BTreeMap<String, (Vec<&Arrival>, Vec<&Renewal>)> = BTreeMap::new();
    let mut arrived = Arrived::default();
    let mut seen: BTreeSet<&CrateId> = BTreeSet::new();
    for arrival in &batch.arrivals {
        if arrival.line.id != arrival.id || arrival.line.cksum != arrival.sha256 {
            arrived.refuse(&arrival.id, "its index line is not of these bytes");
        } else if seen.insert(&arrival.id) {
            by_place.entry(arrival.id.name.index_path()).or_default().0.push(arrival);
        }
    }
    for renewal in &batch.renewals {
        by_place.entry(renewal.line.id.name.index_path()).or_default().1.push(renewal);
    }
    for (place, (arrivals, renewals)) in by_place {
        arrived.one_name(layout, staging, &place, arrivals, renewals, sink)?;
    }
    arrived.brings_back |= arrived.grown.versions != arrived.brought;
    let names = Names::of(arrived.changed.iter().map(|one| one.name.as_str()));
    let numbered = |one: &Changed| Node {
        name: names.number(one.name.as_str()).unwrap_or(u32::MAX),
        needs: one.needs.iter().filter_map(|need| names.number(need)).collect(),
    };
    let nodes: Vec<Node> = arrived.changed.iter().map(numbered).collect();
    let mut changed: Vec<Option<Changed>> = std::mem::take(&mut arrived.changed).into_iter().map(Some).collect();
    for at in dependencies_first(&nodes) {
        if let Some(Changed { name, moved, .. }) = changed[at].take() {
            arrived.index.push(moved);
            arrived.names.push(name);
        }
    }
    Ok(arrived)
}

impl<'b> Arrived<'b> {
    fn refuse(&mut self, id: &CrateId, why: impl Into<String>) {
        self.refused.push(Refused { what: What::Crate(id.clone()), why: why.into() });
    }

    /// Merges the lines of one index file, and stages its crates.
    fn one_name(
        &mut self,
        layout: &Layout,
        staging: &mut Staging,
        place: &str,
        arrivals: Vec<&'b Arrival>,
        renewals: Vec<&'b Renewal>,
        sink: &dyn Sink,
    ) -> Result<(), Error> {
        let (index_path, records_path) = (layout.index().join(place), layout.lines().join(place));
        let (text, records) = (read_text(&index_path)?, read_text(&records_path)?);
        let held = Held {
            text: text.clone().unwrap_or_default(),
            records: lines::parse(records.as_deref().unwrap_or_default()),
        };
        let mut there: Vec<(&'b Arrival, There)> = Vec::new();
        for arrival in arrivals {
            match what_is_there(layout, arrival)? {
                Ok(found) => there.push((arrival, found)),
                Err(why) => self.refuse(&arrival.id, why),
            }
        }
        let is_wanted = |renewal: &&Renewal| {
            let id = &renewal.line.id;
            let is_arriving = there.iter().any(|(arrival, _)| arrival.id == *id);
            let is_held = || layout.crate_file(id).symlink_metadata().is_ok_and(|about| about.is_file());
            !is_arriving && IndexLine::find(&held.text, &id.name, &id.version).is_some() && is_held()
        };
        let renewals: Vec<&Renewal> = renewals.into_iter().filter(is_wanted).collect();
        let mut incoming: Vec<Incoming> = Vec::new();
        let mut merged = None;
        let mut try_with = |incoming: &mut Vec<Incoming>, one: Incoming| -> Result<(), String> {
            incoming.push(one);
            match index::merge(&held, incoming.clone()) {
                Ok(whole) => merged = Some(whole),
                Err(conflict) => {
                    incoming.pop();
                    return Err(conflict.to_string());
                }
            }
            Ok(())
        };
        // One after the other, so that the one that contradicts is left out and no other.
        let mut sound = Vec::new();
        for (arrival, found) in there {
            let one = Incoming { line: arrival.line.clone(), read: arrival.read, index_only: false, refresh: false };
            match try_with(&mut incoming, one) {
                Ok(()) => sound.push((arrival, found)),
                Err(why) => self.refuse(&arrival.id, why),
            }
        }
        let mut renewed = Vec::new();
        for renewal in renewals {
            let one = Incoming { line: renewal.line.clone(), read: renewal.read, index_only: false, refresh: false };
            match try_with(&mut incoming, one) {
                Ok(()) => renewed.push(renewal),
                Err(why) => sink.detail(format!("upstream's new line of {} is not taken: {why}", renewal.line.id)),
            }
        }
        let Some(merged) = merged else { return Ok(()) };
        for (arrival, found) in sound {
            self.stage_crate(layout, staging, arrival, found)?;
        }
        let changes = merged.text != held.text;
        if changes {
            let is_news = |renewal: &&Renewal| !held.text.lines().any(|line| line == renewal.line.raw);
            self.renewed.extend(renewed.into_iter().filter(is_news));
        }
        if merged.damaged > 0 {
            let index = index_path.display();
            sink.warning(format!("{} lines of `{index}` were damaged; they are dropped or replaced", merged.damaged));
        }
        self.stage_lines(staging, place, &held, [text.is_some(), records.is_some()], merged, &incoming)
    }

    fn stage_crate(
        &mut self,
        layout: &Layout,
        staging: &mut Staging,
        arrival: &'b Arrival,
        found: There,
    ) -> Result<(), Error> {
        self.accepted.push(arrival);
        if found == There::Same {
            self.held += 1;
            return Ok(());
        }
        let staged = staging.adopt(&arrival.file)?;
        let place = arrival.id.file_name();
        let replaces = layout.crates().join(&place).symlink_metadata().is_ok();
        self.crates.push(Move { staged, place: place.into(), replaces });
        self.grown.bytes += arrival.size;
        match found {
            There::Other(length) => {
                self.grown.bytes_replaced += length;
                // Its length on record may be another than the one that it had.
                self.brings_back = true;
            }
            There::Nothing | There::Same => self.grown.versions += 1,
        }
        Ok(())
    }

    fn stage_lines(
        &mut self,
        staging: &mut Staging,
        place: &str,
        held: &Held,
        [text_there, records_there]: [bool; 2],
        merged: Merged,
        incoming: &[Incoming],
    ) -> Result<(), Error> {
        self.brought += merged.brought as u64;
        self.brings_back |= records_there && !text_there;
        let changes = merged.text != held.text;
        // A record of a line that was replaced before may linger; it does no harm, and is no reason to write.
        if changes || !merged.records.iter().all(|record| held.records.contains(record)) {
            let staged = staging.write(lines::render(&merged.records).as_bytes())?;
            self.lines.push(Move { staged, place: place.into(), replaces: records_there });
        }
        if let (true, Some(first)) = (changes, incoming.first()) {
            let staged = staging.write(merged.text.as_bytes())?;
            let moved = Move { staged, place: place.into(), replaces: text_there };
            self.changed.push(Changed { name: first.line.id.name.clone(), needs: merged.needs, moved });
            self.grown.crates += u64::from(!text_there);
        }
        Ok(())
    }
}

/// What is at the place of an arrival, or why it cannot be placed.
fn what_is_there(layout: &Layout, arrival: &Arrival) -> Result<Result<There, String>, Error> {
    let path = layout.crate_file(&arrival.id);
    let found = match path.symlink_metadata() {
        Err(e) if e.kind() == io::ErrorKind::NotFound || e.kind() == io::ErrorKind::NotADirectory => There::Nothing,
        Err(source) => return Err(failed("read", &path)(source)),
        Ok(about) if about.is_dir() => return Ok(Err(format!("`{}` is a folder", path.display()))),
        Ok(about) if !about.is_file() || about.len() != arrival.size => There::Other(about.len()),
        Ok(about) => match Sha256::of_file(&path).map_err(failed("read", &path))? {
            (sha256, _) if sha256 == arrival.sha256 => There::Same,
            _ => There::Other(about.len()),
        },
    };
    if found == There::Same {
        return Ok(Ok(found));
    }
    Ok(match is_whole(&arrival.file, arrival.size) {
        true => Ok(found),
        false => Err("its file is gone or has another length than it arrived with".to_owned()),
    })
}

/// Whether the file that arrived is there with the length that it arrived with.
pub(super) fn is_whole(file: &std::path::Path, size: u64) -> bool {
    fs::symlink_metadata(file).is_ok_and(|about| about.is_file() && about.len() == size)
}
