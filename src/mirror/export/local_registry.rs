//! Exports cargo's `local-registry`: `NAME-VERSION.crate` files in one folder, with `index/` beside them.
//!
//! The mirror never writes into an existing file but replaces files by rename, so a hard link keeps the old bytes. Any
//! other program that writes into a linked file changes both. Index files change with every import, so they are copied.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

use super::crates::{check_stopped, corrupt_crate, for_each_crate, missing_crate, read_inventory};
use super::error::{Error, write_failed};
use super::output_dir::OutputDir;
use super::report::ExportReport;
use crate::crate_id::CrateName;
use crate::digest::Hasher;
use crate::durable::checkpoint;
use crate::event::Sink;
use crate::mirror::inventory::InventoryEntry;
use crate::mirror::layout::Layout;
use crate::mirror::transaction::failed;
use crate::mirror::unstored_lines::UnstoredLines;

/// See [`ReadGuard::export_local_registry`](crate::mirror::lock::ReadGuard::export_local_registry).
pub(super) fn export(layout: &Layout, folder: &Path, sink: &dyn Sink) -> Result<ExportReport, Error> {
    let target = OutputDir::create(folder, layout)?;
    let index = target.path().join("index");
    // Cargo requires the folder, even if it is empty.
    fs::create_dir(&index).map_err(write_failed(&index))?;
    let write_index_file = |name: &CrateName, text: &str| {
        let path = index.join(name.index_path());
        let made = path.parent().map_or(Ok(()), fs::create_dir_all);
        made.and_then(|()| fs::write(&path, text)).map_err(write_failed(&path))
    };
    let mut inventory = read_inventory(layout, sink, &mut |name, text| write_index_file(name, text))?;
    let unstored = UnstoredLines::find(layout, &inventory, &|_| false, Timestamp::UNIX_EPOCH)?;
    for (name, text) in &unstored.files {
        write_index_file(name, text)?;
    }
    inventory.add_crates(unstored.crates);
    checkpoint("export:read");
    let linked = AtomicU64::new(0);
    let link_failure: Mutex<Option<String>> = Mutex::default();
    let bytes = for_each_crate(&inventory.stored().collect::<Vec<_>>(), sink, |existing, buffer| {
        let (from, to) = (layout.crate_file(&existing.id), target.path().join(existing.id.file_name()));
        match fs::hard_link(&from, &to) {
            Ok(()) => {
                linked.fetch_add(1, Ordering::Relaxed);
                hash_and_copy(existing, &from, None, buffer, sink)
            }
            Err(refused) => {
                let mut first = link_failure.lock().unwrap_or_else(PoisonError::into_inner);
                first.get_or_insert_with(|| refused.to_string());
                drop(first);
                hash_and_copy(existing, &from, Some(&to), buffer, sink)
            }
        }
    })?;
    Ok(ExportReport {
        folder: target.publish(sink)?,
        crates: inventory.stored().count() as u64,
        bytes,
        index_only: (inventory.crates.len() - inventory.stored().count()) as u64,
        hard_linked: linked.into_inner(),
        link_failure: link_failure.into_inner().unwrap_or_else(PoisonError::into_inner),
        skipped: Vec::new(),
        case_conflicts: Vec::new(),
    })
}

/// Hashes the crate's file, and copies it in the same pass if it is not linked.
fn hash_and_copy(
    entry: &InventoryEntry,
    from: &Path,
    to: Option<&Path>,
    buffer: &mut [u8],
    sink: &dyn Sink,
) -> Result<u64, Error> {
    let mut file = match File::open(from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(missing_crate(entry)),
        file => file.map_err(failed("read", from))?,
    };
    let mut copy = match to {
        Some(to) => Some((to, File::create_new(to).map_err(write_failed(to))?)),
        None => None,
    };
    let mut hasher = Hasher::new();
    let mut length = 0;
    loop {
        check_stopped(sink)?;
        let n = match file.read(buffer) {
            Ok(0) => break,
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed("read", from)(error).into()),
        };
        hasher.update(&buffer[..n]);
        length += n as u64;
        if let Some((to, copy)) = &mut copy {
            copy.write_all(&buffer[..n]).map_err(write_failed(to))?;
        }
    }
    let actual = hasher.finish();
    if actual == entry.cksum { Ok(length) } else { Err(corrupt_crate(entry, actual)) }
}
