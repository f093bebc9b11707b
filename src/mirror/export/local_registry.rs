//! For cargo's `local-registry`: `NAME-VERSION.crate` in one folder, and `index/` beside them.
//!
//! A hard link is safe against the mirror's own doings, which replaces files by rename and never writes into one; the
//! link then keeps the old bytes. Whatever else writes into a linked file changes both. Index files change with every
//! import, and are copies.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::target::Target;
use super::{Error, Exported, for_each, go_on, holdings, missing, rotten, written};
use crate::digest::Hasher;
use crate::durable::checkpoint;
use crate::event::Sink;
use crate::mirror::holdings::Holding;
use crate::mirror::layout::Layout;
use crate::mirror::store::failed;

/// See [`ReadGuard::export_local_registry`](crate::mirror::lock::ReadGuard::export_local_registry).
pub(super) fn export(layout: &Layout, folder: &Path, sink: &dyn Sink) -> Result<Exported, Error> {
    let target = Target::begin(folder, layout)?;
    let index = target.path().join("index");
    // Cargo wants the folder, though nothing may be in it.
    fs::create_dir(&index).map_err(written(&index))?;
    let holdings = holdings(layout, sink, &mut |name, text| {
        let path = index.join(name.index_path());
        let made = path.parent().map_or(Ok(()), fs::create_dir_all);
        made.and_then(|()| fs::write(&path, text)).map_err(written(&path))
    })?;
    checkpoint("export:read");
    let linked = AtomicU64::new(0);
    let no_links: Mutex<Option<String>> = Mutex::default();
    let bytes = for_each(&holdings.held().collect::<Vec<_>>(), sink, |held, buffer| {
        let (from, to) = (layout.crate_file(&held.id), target.path().join(held.id.file_name()));
        match fs::hard_link(&from, &to) {
            Ok(()) => {
                linked.fetch_add(1, Ordering::Relaxed);
                checked(held, &from, None, buffer, sink)
            }
            Err(refused) => {
                let mut first = no_links.lock().unwrap_or_else(PoisonError::into_inner);
                first.get_or_insert_with(|| refused.to_string());
                drop(first);
                checked(held, &from, Some(&to), buffer, sink)
            }
        }
    })?;
    Ok(Exported {
        folder: target.place(sink)?,
        crates: holdings.held().count() as u64,
        bytes,
        index_only: (holdings.crates.len() - holdings.held().count()) as u64,
        linked: linked.into_inner(),
        no_links: no_links.into_inner().unwrap_or_else(PoisonError::into_inner),
        left_out: Vec::new(),
        twins: Vec::new(),
    })
}

/// Hashes the crate's file, and copies it on the way if it is not linked.
fn checked(held: &Holding, from: &Path, to: Option<&Path>, buffer: &mut [u8], sink: &dyn Sink) -> Result<u64, Error> {
    let mut file = match File::open(from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(missing(held)),
        file => file.map_err(failed("read", from))?,
    };
    let mut copy = match to {
        Some(to) => Some((to, File::create_new(to).map_err(written(to))?)),
        None => None,
    };
    let mut hasher = Hasher::new();
    let mut length = 0;
    loop {
        go_on(sink)?;
        let n = match file.read(buffer) {
            Ok(0) => break,
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed("read", from)(error).into()),
        };
        hasher.update(&buffer[..n]);
        length += n as u64;
        if let Some((to, copy)) = &mut copy {
            copy.write_all(&buffer[..n]).map_err(written(to))?;
        }
    }
    let actual = hasher.finish();
    if actual == held.cksum { Ok(length) } else { Err(rotten(held, actual)) }
}
