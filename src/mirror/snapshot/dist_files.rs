//! The mirror's dist files in a snapshot.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::histories::LedgerContents;
use crate::bundle::format::{DistFileRecord, DistFileState};
use crate::mirror::dist_files::DistFiles;
use crate::mirror::layout::Layout;
use crate::mirror::live::ItemId;
use crate::mirror::transaction;
use crate::mirror_file::{FileKind, FileSource, MirrorFile};
use crate::units::{format_time, pluralize};

/// The recorded files below dist/ and rustup/.
pub(super) struct DistFileInventory {
    pub(super) recorded: DistFiles,
    /// All contradictions, one line each.
    pub(super) problems: Vec<String>,
}

impl DistFileInventory {
    /// Reads the record, and compares it with names and sizes of the files. Their digests are computed while packing.
    pub(super) fn read(layout: &Layout) -> Result<DistFileInventory, transaction::Error> {
        let Some(recorded) = DistFiles::read(layout)? else {
            let problem =
                ".frostmirror/artifacts.json is damaged, so the expected content of dist/ and rustup/ is unknown";
            return Ok(DistFileInventory { recorded: DistFiles::default(), problems: vec![problem.to_owned()] });
        };
        let mut problems = Vec::new();
        for (path, row) in &recorded.0 {
            match path.below(layout.root()).symlink_metadata() {
                Ok(there) if there.is_file() && there.len() == row.size => {}
                Ok(there) if there.is_file() => {
                    problems.push(format!(
                        "{path} has {}, but its record states {}",
                        pluralize(there.len(), "byte"),
                        row.size
                    ));
                }
                Ok(_) => problems.push(format!("{path} is not a file")),
                Err(_) => problems.push(format!("{path} is missing, but is recorded as stored")),
            }
        }
        Ok(DistFileInventory { recorded, problems })
    }

    /// The files to pack.
    pub(super) fn files(&self, layout: &Layout) -> impl Iterator<Item = (MirrorFile, FileSource)> {
        self.recorded.0.iter().filter_map(|(path, row)| {
            // An import accepts no other paths.
            let kind = FileKind::from_path(path)?;
            let about = MirrorFile { path: path.clone(), size: row.size, sha256: row.sha256, kind };
            Some((about, FileSource::File(path.below(layout.root()))))
        })
    }

    /// The table: stored files, and files that a history names and that are no longer stored.
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
            .flat_map(|feed| feed.items.iter().filter_map(ItemId::dist_file_path))
            .filter(|path| !self.recorded.0.contains_key(*path));
        let named = named.filter_map(|path| ledger_contents.dist_files.get(path));
        let mut table: Vec<DistFileRecord> = recorded.collect();
        // Files that are not stored are only named. Their paths must not collide with another path of the table.
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
