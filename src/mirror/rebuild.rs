//! Lost state, made anew from what is on disk: the records of lines and of rustup artifacts, the ledger, the head.
//!
//! Nothing is believed because it is there. A line gets a record only where its crate's file has the digest that the line
//! states, and the ledger does not say otherwise; what does not fit stays as it is and is told. So a damaged file is
//! never given a new digest to fit it.
//!
//! The record of rustup artifacts is derived from the ledger, which has every digest that a path ever had. It is made anew
//! where it is lost. A file that the ledger does not name any more comes back where upstream's digests beside it prove it:
//! a channel manifest by its `.sha256`, a component by its channel manifest. The signature of a proven channel manifest stays
//! where it looks like one; any other signature is moved aside. Any other file is left a stranger.
//!
//! What cannot be known is said to be unknown. A line whose record was lost counts as read before all others, so that
//! any bundle's line of that version takes its place. When imports were done is not made up: the head's `last_import` is
//! that of the newest record that can still be read, or absent.
//!
//! Of a lost record nobody knows which lineage it was of, or what was current in it. A collection keeps what the newest
//! record of each lineage names; so every crate of the index that no such record names, and every rustup artifact likewise, is put into a record of a lineage
//! called [`REBUILT_LINEAGE`], which no bundle can belong to, and stays until that lineage is forgotten. Crates whose file is
//! damaged or missing are in it too: they are current, and only wait to be mended.
//!
//! Records that cannot be read, and these signatures, are moved to `.frostmirror/aside/`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use jiff::Timestamp;

use super::audit::{Audit, CrateFileState, Metadata, Pass, RecordMatch};
use super::dist_files::{DistFiles, MutableName};
use super::import::{self, Step, apply_steps};
use super::index_link;
use super::index_meta::{self, IndexLineMeta};
use super::layout::Layout;
use super::ledger::{self, Reader, Record};
use super::live;
use super::lock::AddGuard;
use super::summary::{Counts, HistorySize, LineageTip, MirrorSummary};
use super::transaction::{self, Rename, Staging, failed};
use crate::bundle::format::{
    BundleKind, CrateRecord, CrateState, DistFileRecord, DistFileState, FormatVersion, Input, Lineage, Manifest,
};
use crate::bundle::pack::format_time;
use crate::crate_id::CrateId;
use crate::digest::Sha256;
use crate::durable;
use crate::event::Sink;
use crate::safe_path::SafePath;

mod verified_files;

/// The lineage of crates whose own records were lost. A bundle's lineage is 32 hexadecimal digits, and never this.
pub const REBUILT_LINEAGE: &str = "rebuilt";

/// Every checkpoint of a rebuild, in the order in which one that has everything to do passes them.
pub const CHECKPOINTS: &[&str] = &[
    "rebuild:lines-half",
    "rebuild:lines",
    "rebuild:record-half",
    "rebuild:record",
    "rebuild:head-half",
    "rebuild:head",
    "rebuild:aside",
];

/// The checkpoints that it passes beside these, after `rebuild:lines`, where the record of rustup artifacts was lost.
pub const DIST_FILE_CHECKPOINTS: &[&str] = &["rebuild:artifacts-half", "rebuild:artifacts"];

/// What was made anew.
#[derive(Debug)]
pub struct RebuildReport {
    /// Lines that have a record again.
    pub lines: u64,
    /// Rustup artifacts that are on record again, where that record was lost.
    pub dist_files: Option<u64>,
    /// Crates that are kept by a record of [`REBUILT_LINEAGE`] that was written now.
    pub kept_crates: Option<u64>,
    /// Rustup artifacts that are kept by it.
    pub kept_dist_files: u64,
    /// Records of imports that could not be read, and were moved aside.
    pub records_moved_aside: u64,
    /// Signatures of channel manifests that nothing vouches for, and that were moved aside.
    pub signatures_aside: Vec<SafePath>,
    /// Whether something of live mode's records was wrong, and was written anew.
    pub live_rewritten: bool,
    /// Whether `manifest.json` was written.
    pub summary_rewritten: bool,
    /// What is still wrong.
    pub audit: Audit,
}

impl AddGuard {
    /// Makes lost or damaged records anew, as far as the files prove them, and audits what is then there.
    ///
    /// # Errors
    /// The file system's; what was placed is then taken back.
    pub fn rebuild(&mut self, now: Timestamp, sink: &dyn Sink) -> Result<RebuildReport, import::Error> {
        let layout = self.layout.clone();
        let pass = Pass::run(&layout, &Default::default(), sink)?;
        if sink.is_cancelled() {
            return Err(import::Error::Stopped);
        }
        let mut staging = Staging::begin(&layout)?;
        let (line_moves, lines) = stage_index_meta(&pass, &mut staging)?;
        let mut steps = vec![Step::new("rebuild:lines", layout.index_meta(), line_moves)];

        let (mut head, lost) = verified_summary(&pass.metadata, ledger::derive_summary(&layout)?);
        let current = CurrentItems::read(&head, &layout)?;
        let recorded = pass.metadata.dist_files.as_ref().filter(|_| layout.dist_files().symlink_metadata().is_ok());
        let restored = recorded.is_none().then(|| rebuild_dist_files(&pass.metadata, &current, &layout));
        // A mirror without any needs no such record.
        let restored = restored.filter(|all| pass.metadata.dist_files.is_none() || !all.0.is_empty());
        if let Some(artifacts) = &restored {
            let replaces = layout.dist_files().symlink_metadata().is_ok();
            let moved = Rename { staged: staging.write(&artifacts.render())?, path: "artifacts.json".into(), replaces };
            steps.push(Step::new("rebuild:artifacts", layout.private(), vec![moved]));
        }
        let is_restored = restored.is_some();
        let artifacts = restored.or_else(|| pass.metadata.dist_files.clone()).unwrap_or_default();
        let unnamed = unreferenced_crates(&pass, &current);
        let unnamed_artifacts = unreferenced_dist_files(&artifacts, &current);
        // What no record at all names came with one that is gone.
        let lost = lost
            || !pass.metadata.damaged_live_lines.is_empty()
            || unnamed.iter().any(|one| !pass.metadata.crates.contains_key(&one.id()))
            || unnamed_artifacts.iter().any(|one| !pass.metadata.dist_file_digests.contains_key(&one.path));
        let (mut kept, mut kept_artifacts) = (None, 0);
        head.imports = pass.metadata.records.len() as u64;
        head.toolchains = artifacts.toolchain_names();
        let (count, bytes) = artifacts.count_and_bytes();
        head = head.with_counts(Counts { dist_files: count, dist_file_bytes: bytes, ..pass.counts });
        if lost && !(unnamed.is_empty() && unnamed_artifacts.is_empty()) {
            kept = Some(unnamed.len() as u64);
            kept_artifacts = unnamed_artifacts.len() as u64;
            let names = ledger::record_names(&layout)?;
            let record = make_rebuilt_record(&mut head, unnamed, unnamed_artifacts, &names, &pass.metadata, now);
            let name = ledger::next_record_name(&names, &record.manifest.id);
            let moved = Rename { staged: staging.write(&record.render())?, path: name.into(), replaces: false };
            steps.push(Step::new("rebuild:record", layout.ledger(), vec![moved]));
        }
        let head_written = pass.metadata.summary.as_ref() != Some(&head);
        if head_written {
            let replaces = layout.summary().symlink_metadata().is_ok();
            let moved = Rename { staged: staging.write(&head.render())?, path: "manifest.json".into(), replaces };
            steps.push(Step::new("rebuild:head", layout.root().to_owned(), vec![moved]));
        }
        // Also where nothing is to be placed: what a killed import left has been counted now.
        apply_steps(&mut staging, &steps)?;
        let live = layout.live().is_dir() && live::repair(&layout)?;
        drop(staging);
        for name in &pass.metadata.unreadable {
            self.move_record_aside(&layout.ledger().join(name), name)?;
        }
        // What is served must be on record, and nobody can check a signature here.
        let mut signatures_aside = if is_restored { verified_files::signatures(&layout) } else { Vec::new() };
        signatures_aside.retain(|path| !artifacts.0.contains_key(path));
        for path in &signatures_aside {
            self.move_record_aside(&path.below(layout.root()), &path.as_str().replace('/', "-"))?;
        }
        durable::checkpoint("rebuild:aside");
        index_link::restore(&layout)?;
        let aside = pass.metadata.unreadable.len() as u64;
        let restored_count = is_restored.then_some(count);
        let audit = pass.into_audit();
        let audit = self.audit_again(&audit, sink).map_err(|error| match error {
            super::audit::Error::Store(error) => import::Error::Store(error),
            // It was a mirror of a known layout when the lock was taken.
            other => import::Error::Store(failed("audit", layout.root())(std::io::Error::other(other))),
        })?;
        Ok(RebuildReport {
            lines,
            dist_files: restored_count,
            kept_crates: kept,
            kept_dist_files: kept_artifacts,
            records_moved_aside: aside,
            signatures_aside,
            live_rewritten: live,
            summary_rewritten: head_written,
            audit,
        })
    }

    /// Moves a file into `.frostmirror/aside/`, as `name` or with a number behind it.
    fn move_record_aside(&self, from: &Path, name: &str) -> Result<(), transaction::Error> {
        let folder = self.layout.moved_aside();
        durable::make_folder(&folder).map_err(failed("make the folder", &folder))?;
        let mut to = folder.join(name);
        let mut number = 1;
        while to.symlink_metadata().is_ok() {
            to = folder.join(format!("{name}.{number}"));
            number += 1;
        }
        fs::rename(from, &to).map_err(failed("move", from))?;
        let left = from.parent().unwrap_or(from);
        durable::sync_folder(left).map_err(failed("sync", left))
    }
}

/// Stages the records of lines that lack one and are proven; and how many lines that are.
fn stage_index_meta(pass: &Pass, staging: &mut Staging) -> Result<(Vec<Rename>, u64), transaction::Error> {
    let mut renames = Vec::new();
    let mut count = 0;
    for name in &pass.index_states {
        let mut records = name.records.clone();
        for line in name.lines.iter().filter(|line| line.record_match == RecordMatch::Unrecorded) {
            let index_only = match name.crate_file(&line.id) {
                Some(CrateFileState::Valid { .. }) => false,
                None if pass.metadata.is_index_only(&line.id) => true,
                _ => continue,
            };
            count += 1;
            records.push(IndexLineMeta {
                version: line.id.version.clone(),
                read_at: Timestamp::MIN,
                cksum: line.cksum,
                line_sha256: line.digest,
                index_only,
            });
        }
        if records.len() == name.records.len() && !name.records_damaged {
            continue;
        }
        records.sort_by(|a, b| a.version.cmp(&b.version));
        let staged = staging.write(index_meta::render(&records).as_bytes())?;
        renames.push(Rename { staged, path: name.path.as_str().into(), replaces: name.records_exist });
    }
    Ok((renames, count))
}

/// The head as far as the ledger bears it out, and whether records are known to be gone.
fn verified_summary(metadata: &Metadata, copy: Option<MirrorSummary>) -> (MirrorSummary, bool) {
    let newest = metadata.newest_records();
    let base = metadata.summary.clone().or(copy).unwrap_or_default();
    let records = metadata.records.len() as u64;
    let mut lost = !metadata.unreadable.is_empty() || base.imports != records;
    let mut lineages = Vec::new();
    for lineage in &base.lineages {
        lost |= !metadata.has_record(&lineage.record);
        // The newest of the lineage that can still be read.
        lineages.extend(newest.get(lineage.id.as_str()).map(|newest| LineageTip::clone(newest)));
    }
    // Where the head is lost, the copy that serves instead is the newest record's, and knows of all.
    if metadata.summary.is_some() {
        lineages.extend(metadata.lineages_missing_from_summary().cloned());
        lineages.sort_by(|a, b| a.id.cmp(&b.id));
    }
    (MirrorSummary { lineages, ..base }, lost)
}

/// What the newest records of the lineages name, and what live mode brought.
#[derive(Default)]
struct CurrentItems {
    crates: BTreeSet<CrateId>,
    dist_files: BTreeSet<SafePath>,
}

impl CurrentItems {
    fn read(head: &MirrorSummary, layout: &Layout) -> Result<CurrentItems, transaction::Error> {
        let mut current = CurrentItems::default();
        for record in live::read_records(layout)? {
            match record.item {
                live::ItemId::Crate(id) => drop(current.crates.insert(id)),
                live::ItemId::DistFile(path) => drop(current.dist_files.insert(path)),
            }
        }
        let mut reader = Reader::new(layout);
        for lineage in head.lineages.iter().chain(&head.contested).filter(|lineage| lineage.id != REBUILT_LINEAGE) {
            if let Some(record) = reader.read(&lineage.record)? {
                current.crates.extend(record.manifest.crates.iter().map(CrateRecord::id));
                current.dist_files.extend(record.manifest.dist_files.into_iter().map(|artifact| artifact.path));
            }
        }
        Ok(current)
    }
}

/// The record of rustup artifacts, from the ledger and the files: what is there with a digest that the ledger has for its
/// path; what is current and is not there as it must be, with the latest digest, so that it can be mended; and what the
/// ledger does not name and upstream's digests beside it prove.
fn rebuild_dist_files(metadata: &Metadata, current: &CurrentItems, layout: &Layout) -> DistFiles {
    let mut artifacts = DistFiles(verified_files::find_verified(layout));
    // Where the ledger knows a path it decides, but for one that moves: what it knows may be older than what is there. A
    // signature that the ledger contradicts may be damaged, which nothing else would show.
    let is_signature = |path: &SafePath| path.as_str().ends_with(".toml.asc");
    artifacts.0.retain(|path, _| {
        !metadata.dist_file_digests.contains_key(path) || MutableName::from_path(path).is_some() && !is_signature(path)
    });
    for (path, digests) in &metadata.dist_file_digests {
        let file = path.below(layout.root());
        let is_ours = !file.ancestors().take_while(|above| *above != layout.root()).any(Path::is_symlink);
        let found = Some(&file).filter(|file| is_ours && file.is_file()).and_then(|file| Sha256::of_file(file).ok());
        let there = digests.iter().find(|held| found == Some((held.sha256, held.size)));
        // A signature goes when its channel moves on without one, and nobody misses it.
        let is_missed = current.dist_files.contains(path) && !is_signature(path);
        let latest = digests.iter().max_by_key(|held| held.read_at).filter(|_| is_missed);
        match there {
            Some(held) => drop(artifacts.0.insert(path.clone(), *held)),
            None if artifacts.0.contains_key(path) => {}
            None => artifacts.0.extend(latest.map(|held| (path.clone(), *held))),
        }
    }
    artifacts
}

/// Every rustup artifact on record that the newest record of no lineage names.
fn unreferenced_dist_files(artifacts: &DistFiles, current: &CurrentItems) -> Vec<DistFileRecord> {
    let unreferenced = artifacts.0.iter().filter(|(path, _)| !current.dist_files.contains(*path));
    unreferenced
        .map(|(path, held)| DistFileRecord {
            path: path.clone(),
            sha256: held.sha256,
            size: held.size,
            state: DistFileState::Shipped,
            read_at: Some(format_time(held.read_at.max(Timestamp::UNIX_EPOCH))),
        })
        .collect()
}

/// Every crate of the index that the newest record of no lineage names.
fn unreferenced_crates(pass: &Pass, current: &CurrentItems) -> Vec<CrateRecord> {
    let known = pass.index_states.iter().flat_map(|name| name.expected_lines().map(move |line| (name, line)));
    let mut unnamed: Vec<CrateRecord> = known
        .filter(|(_, line)| !current.crates.contains(&line.id))
        .map(|(name, line)| {
            let (size, left_out) = match name.crate_file(&line.id) {
                Some(CrateFileState::Valid { length, .. }) => (*length, false),
                Some(_) => (0, false),
                None => (0, line.index_only || pass.metadata.is_index_only(&line.id)),
            };
            let CrateId { name, version } = line.id.clone();
            CrateRecord {
                name,
                version,
                sha256: line.cksum,
                size,
                state: if left_out { CrateState::IndexOnly } else { CrateState::Shipped },
                yanked: false,
                read_at: None,
                description: None,
                license: None,
                repository: None,
            }
        })
        .collect();
    unnamed.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    unnamed
}

/// A record that keeps `crates` and `artifacts`, with `head` as it is from then on.
fn make_rebuilt_record(
    head: &mut MirrorSummary,
    crates: Vec<CrateRecord>,
    artifacts: Vec<DistFileRecord>,
    names: &[String],
    metadata: &Metadata,
    now: Timestamp,
) -> Record {
    let now = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let sequence = metadata.newest_records().get(REBUILT_LINEAGE).map_or(1, |newest| newest.sequence.saturating_add(1));
    let input = Input {
        name: "what was on disk when lost records were rebuilt".to_owned(),
        roots: Vec::new(),
        crates: (0u32..).zip(&crates).map(|(at, _)| at).collect(),
        dist_files: (0u32..).zip(&artifacts).map(|(at, _)| at).collect(),
        skipped_packages: Vec::new(),
    };
    let mut manifest = Manifest {
        id: String::new(),
        format: FormatVersion::CURRENT,
        tool: format!("cargo-frostmirror {}", env!("CARGO_PKG_VERSION")),
        created: now.clone(),
        kind: BundleKind::Full,
        repair: false,
        parent: None,
        targets: Vec::new(),
        toolchains: Vec::new(),
        dist_files: artifacts,
        // Nobody knows: before all others.
        index_read: Timestamp::UNIX_EPOCH.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        crates,
        lineage: Lineage { id: REBUILT_LINEAGE.to_owned(), sequence, inputs: vec![input] },
        carried_histories: Vec::new(),
        refreshed_crates: Vec::new(),
        blocks: Vec::new(),
    };
    manifest.assign_id();
    let lineage = LineageTip::from_manifest(&manifest, ledger::next_record_name(names, &manifest.id));
    // It counts as a record of the ledger, but not as an import: when the last one was is as known as before.
    let last_import = head.last_import.take();
    let size = HistorySize::from_manifest(&manifest, "(rebuilt)");
    *head = MirrorSummary { last_import, ..std::mem::take(head).with_import(&now, lineage, size) };
    Record {
        imported_at: now,
        file: "(rebuilt)".to_owned(),
        totals: head.totals(),
        snapshot_id: None,
        warnings: Vec::new(),
        manifest,
    }
}
