//! The mirror's rustup artifacts, as a snapshot brings them along.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::histories::Told;
use crate::artifact::{Artifact, Bytes, Kind};
use crate::bundle::format::{ArtifactRecord, ArtifactState};
use crate::bundle::pack::whole_seconds;
use crate::mirror::artifacts::Artifacts;
use crate::mirror::layout::Layout;
use crate::mirror::store;

/// What is on record below dist/ and rustup/.
pub(super) struct Shelf {
    pub(super) held: Artifacts,
    /// Everything that does not agree, one line each.
    pub(super) problems: Vec<String>,
}

impl Shelf {
    /// Reads the record, and holds it against names and sizes of the files; their digests are taken while they are
    /// packed.
    pub(super) fn read(layout: &Layout) -> Result<Shelf, store::Error> {
        let Some(held) = Artifacts::read(layout)? else {
            let problem =
                ".frostmirror/artifacts.json is damaged, so that nobody knows what dist/ and rustup/ must hold";
            return Ok(Shelf { held: Artifacts::default(), problems: vec![problem.to_owned()] });
        };
        let mut problems = Vec::new();
        for (path, row) in &held.0 {
            match path.below(layout.root()).symlink_metadata() {
                Ok(there) if there.is_file() && there.len() == row.size => {}
                Ok(there) if there.is_file() => {
                    problems.push(format!("{path} has {} bytes, and {} are on record", there.len(), row.size));
                }
                Ok(_) => problems.push(format!("{path} is not a file")),
                Err(_) => problems.push(format!("{path} is missing, which is on record")),
            }
        }
        Ok(Shelf { held, problems })
    }

    /// What is to be packed.
    pub(super) fn files(&self, layout: &Layout) -> impl Iterator<Item = (Artifact, Bytes)> {
        self.held.0.iter().filter_map(|(path, row)| {
            // An import places nothing elsewhere.
            let kind = Kind::of_path(path)?;
            let about = Artifact { path: path.clone(), size: row.size, sha256: row.sha256, kind };
            Some((about, Bytes::File(path.below(layout.root()))))
        })
    }

    /// The table: what is held, and what a history names and is held no more.
    pub(super) fn table(&self, told: &Told, index_read: Timestamp) -> Vec<ArtifactRecord> {
        let held = self.held.0.iter().map(|(path, row)| ArtifactRecord {
            path: path.clone(),
            sha256: row.sha256,
            size: row.size,
            state: ArtifactState::Shipped,
            read: (row.read != index_read).then(|| whole_seconds(row.read.max(Timestamp::UNIX_EPOCH))),
        });
        let named = told.feeds.iter().flat_map(|feed| &feed.artifacts).filter(|path| !self.held.0.contains_key(*path));
        let named = named.filter_map(|path| told.artifacts.get(path));
        let mut table: Vec<ArtifactRecord> = held.collect();
        // What is not held is only named, and not in one table with a path that it cannot be on one disk with.
        let mut taken: BTreeSet<String> = table.iter().map(|record| record.path.folded()).collect();
        for record in named {
            let folded = record.path.folded();
            let above = folded.match_indices('/').any(|(at, _)| taken.contains(&folded[..at]));
            let inside = format!("{folded}/");
            let below = taken.range(inside.clone()..).next().is_some_and(|next| next.starts_with(&inside));
            if !above && !below && taken.insert(folded) {
                table.push(ArtifactRecord { state: ArtifactState::Kept, read: None, ..record.clone() });
            }
        }
        table.sort_by(|a, b| a.path.cmp(&b.path));
        table
    }
}
