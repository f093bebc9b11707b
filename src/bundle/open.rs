//! Opens a bundle of this format, or one of frostmirror 1.x.

use std::io::{self, Read};
use std::path::Path;

use super::format::MAGIC;
use super::header::{read_up_to, resembles_magic};
use super::legacy;

pub use super::entry_visitor::{EntryVisitor, NullVisitor};
pub use super::invalid_manifest::InvalidManifest;
pub use super::legacy::LegacyError;
pub use super::open_error::Error;
pub use super::problem::{LineFault, Problem};
pub use super::reader::{Bundle, StreamReport};

/// Opens a bundle, or one of frostmirror 1.x, which is decompressed into an unnamed file in `spool`.
pub fn open_any<'r>(
    mut reader: Box<dyn Read + 'r>,
    name: &str,
    spool: &Path,
) -> Result<Bundle<Box<dyn Read + 'r>>, Error> {
    let mut start = [0; MAGIC.len()];
    let filled = read_up_to(&mut reader, &mut start).map_err(|source| Error::Io { name: name.to_owned(), source })?;
    let whole = io::Cursor::new(start).take(filled as u64).chain(reader);
    // An empty file is a bundle whose copy never began.
    if filled == 0 || resembles_magic(&start[..filled]) {
        Bundle::open(Box::new(whole), name)
    } else {
        legacy::open(whole, name, spool)
    }
}

/// Whether a file that is not the expected one is a bundle, by its first bytes or by its name, as those of 1.x have no
/// fixed first bytes.
pub fn resembles_bundle(path: &Path, start: &[u8]) -> bool {
    // A PNG has most of these bytes too.
    start.starts_with(&MAGIC) || path.extension().is_some_and(|extension| extension == "pkg")
}

/// Whether a file with this beginning is a bundle, possibly damaged.
pub(super) fn is_native(mut reader: impl Read) -> io::Result<bool> {
    let mut start = [0; MAGIC.len()];
    let filled = read_up_to(&mut reader, &mut start)?;
    Ok(filled == 0 || resembles_magic(&start[..filled]))
}
