//! Copies files of an older mirror or bundle into the download cache, if their digest is requested.
//!
//! The metadata of the mirror or the bundle is not trusted. Only the digest of a file's bytes counts, which upstream's
//! index gives and under which the cache stores the file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::bundle::format::Entry;
use crate::bundle::open::{EntryVisitor, open_any};
use crate::crate_id::CrateId;
use crate::digest::{HashingWriter, Sha256};
use crate::event::{self, Sink};
use crate::fetch::crate_cache::CrateCache;
use crate::fetch::error::Error;
use crate::mirror_file::FileKind;

/// Rejects sources that do not exist, cannot be read, or are folders without crates. A bundle is only opened later, since it
/// may be a pipe.
pub fn check_sources(sources: &[PathBuf]) -> Result<(), Error> {
    for source in sources {
        let unusable = |error| Error::Reuse { path: source.clone(), source: error };
        let metadata = source.metadata().map_err(unusable)?;
        if metadata.is_dir() {
            require_crates(source)?;
        } else if metadata.is_file() {
            File::open(source).map(drop).map_err(unusable)?;
        }
    }
    Ok(())
}

/// Adds the files of `wanted` to the cache that it lacks and that the sources have. `scratch` is for the uncompressed
/// form of 1.x bundles.
pub fn import_into_cache(
    cache: &CrateCache,
    sources: &[PathBuf],
    wanted: &BTreeMap<CrateId, Sha256>,
    scratch: &Path,
    sink: &dyn Sink,
) -> Result<(), Error> {
    let unusable = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Folder { path, source }
    };
    let mut missing = BTreeMap::new();
    for (id, digest) in wanted {
        if cache.verified_size(*digest).map_err(unusable(&cache.path(*digest)))?.is_none() {
            missing.insert(*digest, id);
        }
    }
    for source in sources {
        let before = missing.len();
        let mut bytes = 0;
        if source.is_dir() {
            require_crates(source)?;
            let mut found = BTreeSet::new();
            for (digest, id) in &missing {
                // A mirror, or a folder of crates.
                let name = id.file_name();
                for path in [source.join("crates").join(&name), source.join(&name)] {
                    if let Some(size) = cache.import_link(&path, *digest).map_err(unusable(&path))? {
                        bytes += size;
                        found.insert(*digest);
                        break;
                    }
                }
            }
            missing.retain(|digest, _| !found.contains(digest));
        } else {
            let name = source.display().to_string();
            let file = File::open(source).map_err(|error| Error::Reuse { path: source.clone(), source: error })?;
            let bundle = open_any(Box::new(file), &name, scratch)?;
            let mut picker = CacheFiller { cache, missing: &mut missing, partial: None, bytes: 0 };
            let streamed = bundle.stream(&mut picker)?;
            bytes = picker.bytes;
            if let Some(problem) = streamed.problems.first() {
                sink.warning(format!("`{name}` is damaged ({problem}); only its intact files were used"));
            }
        }
        let count = before - missing.len();
        let (source, bytes) = (source.display(), event::format_size(bytes));
        sink.status("Reused", format!("{} of `{source}` ({bytes})", event::format_crates(count as u64)));
    }
    Ok(())
}

/// Rejects a folder that is no mirror and has no crates.
fn require_crates(folder: &Path) -> Result<(), Error> {
    let is_crate = |entry: std::fs::DirEntry| entry.path().extension().is_some_and(|ending| ending == "crate");
    if folder.join("crates").is_dir() || std::fs::read_dir(folder).into_iter().flatten().flatten().any(is_crate) {
        return Ok(());
    }
    let error = "the folder has neither `crates/` nor a file `….crate`";
    let error = io::Error::new(io::ErrorKind::NotFound, error);
    Err(Error::Reuse { path: folder.to_owned(), source: error })
}

/// Stores the crates of a bundle whose digest is requested.
struct CacheFiller<'a, 'w> {
    cache: &'a CrateCache,
    missing: &'a mut BTreeMap<Sha256, &'w CrateId>,
    partial: Option<HashingWriter<NamedTempFile>>,
    bytes: u64,
}

impl EntryVisitor for CacheFiller<'_, '_> {
    fn begin(&mut self, entry: &Entry) -> io::Result<()> {
        let wanted = entry.kind == FileKind::Crate && self.missing.contains_key(&entry.sha256);
        self.partial = if wanted { Some(HashingWriter::new(self.cache.new_partial_file()?)) } else { None };
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.partial.as_mut().map_or(Ok(()), |partial| partial.write_all(bytes))
    }

    fn end(&mut self, entry: &Entry, good: bool) -> io::Result<()> {
        let Some(partial) = self.partial.take() else {
            return Ok(());
        };
        let (digest, length, file) = partial.finish();
        if good && digest == entry.sha256 {
            self.cache.insert(file, digest)?;
            self.missing.remove(&digest);
            self.bytes += length;
        }
        Ok(())
    }
}
