//! The mirror's rustup artifacts, as a snapshot brings them along.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::histories::LedgerContents;
use crate::bundle::format::{DistFileRecord, DistFileState};
use crate::bundle::pack::format_time;
use crate::mirror::dist_files::DistFiles;
use crate::mirror::layout::Layout;
use crate::mirror::transaction;
use crate::mirror_file::{FileKind, FileSource, MirrorFile};

/// What is on record below dist/ and rustup/.
pub(super) struct DistFileInventory {
    pub(super) recorded: DistFiles,
    /// Everything that does not agree, one line each.
    pub(super) problems: Vec<String>,
}

impl DistFileInventory {
    /// Reads the record, and holds it against names and sizes of the files; their digests are taken while they are
    /// packed.
    pub(super) fn read(layout: &Layout) -> Result<DistFileInventory, transaction::Error> {
        let Some(recorded) = DistFiles::read(layout)? else {
            let problem =
                ".frostmirror/artifacts.json is damaged, so that nobody knows what dist/ and rustup/ must hold";
            return Ok(DistFileInventory { recorded: DistFiles::default(), problems: vec![problem.to_owned()] });
        };
        let mut problems = Vec::new();
        for (path, row) in &recorded.0 {
            match path.below(layout.root()).symlink_metadata() {
                Ok(there) if there.is_file() && there.len() == row.size => {}
                Ok(there) if there.is_file() => {
                    problems.push(format!("{path} has {} bytes, and {} are on record", there.len(), row.size));
                }
                Ok(_) => problems.push(format!("{path} is not a file")),
                Err(_) => problems.push(format!("{path} is missing, which is on record")),
            }
        }
        Ok(DistFileInventory { recorded, problems })
    }

    /// What is to be packed.
    pub(super) fn files(&self, layout: &Layout) -> impl Iterator<Item = (MirrorFile, FileSource)> {
        self.recorded.0.iter().filter_map(|(path, row)| {
            // An import places nothing elsewhere.
            let kind = FileKind::from_path(path)?;
            let about = MirrorFile { path: path.clone(), size: row.size, sha256: row.sha256, kind };
            Some((about, FileSource::File(path.below(layout.root()))))
        })
    }

    /// The table: what is held, and what a history names and is held no more.
    pub(super) fn table(&self, ledger_contents: &LedgerContents, index_read: Timestamp) -> Vec<DistFileRecord> {
        let recorded = self.recorded.0.iter().map(|(path, row)| DistFileRecord {
            path: path.clone(),
            sha256: row.sha256,
            size: row.size,
            state: DistFileState::Shipped,
            read_at: (row.read_at != index_read).then(|| format_time(row.read_at.max(Timestamp::UNIX_EPOCH))),
        });
        let named = ledger_contents
            .histories
            .iter()
            .flat_map(|feed| &feed.dist_files)
            .filter(|path| !self.recorded.0.contains_key(*path));
        let named = named.filter_map(|path| ledger_contents.dist_files.get(path));
        let mut table: Vec<DistFileRecord> = recorded.collect();
        // What is not held is only named, and not in one table with a path that it cannot be on one disk with.
        let mut taken: BTreeSet<String> = table.iter().map(|record| record.path.case_folded()).collect();
        for record in named {
            let folded = record.path.case_folded();
            let above = folded.match_indices('/').any(|(at, _)| taken.contains(&folded[..at]));
            let inside = format!("{folded}/");
            let below = taken.range(inside.clone()..).next().is_some_and(|next| next.starts_with(&inside));
            if !above && !below && taken.insert(folded) {
                table.push(DistFileRecord { state: DistFileState::Kept, read_at: None, ..record.clone() });
            }
        }
        table.sort_by(|a, b| a.path.cmp(&b.path));
        table
    }
}
