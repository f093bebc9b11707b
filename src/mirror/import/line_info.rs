//! What is known about the index lines of a bundle before they are read.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;

use super::error::Error;
use super::options::ImportOptions;
use crate::bundle::format::{CrateRecord, CrateState, Manifest, RefreshedCrate};
use crate::crate_id::{CrateId, CrateName};
use crate::mirror::bundle_stager::LineInfo;
use crate::mirror::disk;
use crate::mirror::index_meta::{self, IndexLineMeta};
use crate::mirror::layout::Layout;
use crate::mirror::pending_lines::PendingLines;
use crate::safe_path::SafePath;

/// Reads from the manifest the properties of the index lines that follow.
pub(super) fn read_line_info(
    manifest: &Manifest,
    pending: PendingLines,
    options: &ImportOptions,
) -> Result<LineInfo, Error> {
    let time = |text: &str| {
        let no_time = |_| Error::InvalidTime { file: options.file_name.clone(), text: text.chars().take(80).collect() };
        text.parse::<Timestamp>().map_err(no_time)
    };
    let left_out = manifest.crates.iter().filter(|record| record.state == CrateState::IndexOnly);
    let mut reads = HashMap::new();
    for record in &manifest.crates {
        if let Some(read) = &record.read_at {
            reads.insert(record.id(), time(read)?);
        }
    }
    Ok(LineInfo {
        read_at: time(&manifest.index_read)?,
        read_at_by_crate: reads,
        index_only: left_out.map(CrateRecord::id).collect(),
        refreshed: manifest.refreshed_crates.iter().map(RefreshedCrate::id).collect(),
        pending,
        contradicted: HashSet::new(),
    })
}

/// The crates whose index lines are in the bundle.
pub(super) fn listed_crates(manifest: &Manifest) -> HashSet<CrateId> {
    let own = manifest.crates.iter().filter(|record| record.state != CrateState::Kept).map(CrateRecord::id);
    own.chain(manifest.refreshed_crates.iter().map(RefreshedCrate::id)).collect()
}

/// The crates whose files are in the bundle.
pub(super) fn shipped_crates(manifest: &Manifest) -> impl Iterator<Item = &CrateRecord> {
    manifest.crates.iter().filter(|record| record.state == CrateState::Shipped)
}

/// The crates of the bundle whose checksum no stored line has, or whose stored lines have others too. A file of such a
/// crate proves nothing: a collection that removed the line of a false crate keeps the file for a while.
pub(super) fn contradicted_crates(layout: &Layout, manifest: &Manifest) -> Result<HashSet<SafePath>, Error> {
    let mut contradicted = HashSet::new();
    let mut last: Option<(&CrateName, Vec<IndexLineMeta>)> = None;
    for record in shipped_crates(manifest) {
        if last.as_ref().is_none_or(|(name, _)| **name != record.name) {
            let text = disk::read_text(&layout.index_meta_file(&record.name))?;
            last = Some((&record.name, index_meta::parse(&text.unwrap_or_default())));
        }
        let records = last.iter().flat_map(|(_, records)| records);
        let mut of_version = records.filter(|stored| stored.version == record.version).peekable();
        let is_recorded = of_version.peek().is_some();
        if !is_recorded || of_version.any(|stored| stored.cksum != record.sha256) {
            contradicted.insert(record.id().crate_path());
        }
    }
    Ok(contradicted)
}
