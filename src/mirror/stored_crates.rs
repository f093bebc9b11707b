//! Lists the stored crates from the index files and their records, without access to `.crate` files.

use std::fs;

use super::disk;
use super::index_meta;
use super::layout::Layout;
use super::transaction::Error;
use crate::crate_id::CrateId;
use crate::digest::Sha256;
use crate::index_line::IndexLine;

/// A stored crate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StoredCrate {
    /// The crate.
    pub id: CrateId,
    /// Whether its index line says that it is yanked.
    pub yanked: bool,
}

/// Every crate that the index names and whose file is stored, by name and version. Skips lines that are invalid or in
/// another crate's file.
///
/// # Errors
/// A file system operation failed.
pub fn list_stored_crates(layout: &Layout) -> Result<Vec<StoredCrate>, Error> {
    let mut stored = Vec::new();
    for path in disk::index_files(layout)? {
        let path = layout.index().join(path);
        // Other entries of the folder need not be text.
        let Some(bytes) = disk::read_if_present(&path)? else { continue };
        let text = String::from_utf8_lossy(&bytes);
        let lines = IndexLine::parse_file(&text).filter(|line| layout.index_file(&line.id.name) == path);
        let mut lines: Vec<IndexLine> = lines.collect();
        if let Some(first) = lines.first() {
            // A mirror that was copied without its dot folder has no records, so no line is known to be index-only.
            let records = fs::read_to_string(layout.index_meta_file(&first.id.name)).unwrap_or_default();
            let left_out: Vec<Sha256> = index_meta::parse(&records)
                .iter()
                .filter(|record| record.index_only)
                .map(|record| record.line_sha256)
                .collect();
            lines.retain(|line| !left_out.contains(&Sha256::of(line.raw.as_bytes())));
        }
        stored.extend(lines.into_iter().map(|line| StoredCrate { id: line.id, yanked: line.yanked }));
    }
    stored.sort_unstable();
    stored.dedup_by(|one, other| one.id == other.id);
    Ok(stored)
}
