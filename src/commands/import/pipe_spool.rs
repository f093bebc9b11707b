//! Spools a bundle from a pipe into a file, so that a stalled pipe does not lock the mirror.
//!
//! The file has no name: it disappears with its process.

use std::fs::File;
use std::io::{self, Read, Seek as _, Write as _};
use std::path::Path;

use crate::bundle::open::{Bundle, open_any};
use crate::durable;
use crate::error_report::{ErrorClass, Failure};
use crate::panics::catch_panic;
use crate::units::pluralize;

/// A bundle with a read and validated manifest.
pub(super) struct OpenedBundle {
    pub(super) bundle: Bundle<Box<dyn Read>>,
    /// The file size in bytes, if known.
    pub(super) file_length: Option<u64>,
}

/// Reads one bundle from `pipe` into a file on the disk of `folder`, and opens it. Header and manifest are checked as they
/// arrive, so that invalid input is refused early. An endless stream is cut at the size in the manifest.
///
/// # Errors
/// The pipe cannot be read, the bundle is invalid, or the disk is too full.
pub(super) fn spool_pipe(pipe: impl Read, name: &str, folder: &Path) -> Result<OpenedBundle, Failure> {
    let refused = |source| Failure::io(format!("could not store {name} in `{}`", folder.display()), source);
    let file = tempfile::tempfile_in(folder).map_err(refused)?;
    let mut tee = TeeReader { pipe, file, bytes_written: 0, write_error: None };
    let opened = catch_panic(|| open_any(Box::new(&mut tee), name, folder).map(|bundle| bundle.file_length()));
    let length = match opened? {
        Ok(length) => length,
        Err(error) => return Err(tee.write_error.take().map_or_else(|| error.into(), refused)),
    };
    // One more byte shows whether data follows the bundle.
    let left = length.unwrap_or(u64::MAX).saturating_add(1).saturating_sub(tee.bytes_written);
    if let Some(length) = length
        && let Some(free) = durable::free_space(folder).map_err(refused)?
        && free < length.saturating_sub(tee.bytes_written)
    {
        let folder = folder.display();
        let why = format!("{name} needs {}, and the disk of `{folder}` has {free} free", pluralize(length, "byte"));
        return Err(Failure::new(ErrorClass::Disk, why)
            .hint("free some space on that disk, or write the bundle to a file on another disk and import that file"));
    }
    if let Err(error) = io::copy(&mut (&mut tee).take(left), &mut io::sink()) {
        let reading = |source| Failure::io(format!("could not read {name}"), source);
        return Err(tee.write_error.take().map_or_else(|| reading(error), refused));
    }
    let TeeReader { mut file, bytes_written: kept, .. } = tee;
    file.rewind().map_err(refused)?;
    let bundle = catch_panic(|| open_any(Box::new(file), name, folder))??;
    Ok(OpenedBundle { bundle, file_length: Some(kept) })
}

/// Copies all bytes that are read from the pipe into the file.
struct TeeReader<R> {
    pipe: R,
    file: File,
    /// Bytes in the file.
    bytes_written: u64,
    /// The write error, if a read failed because of it.
    write_error: Option<io::Error>,
}

impl<R: Read> Read for TeeReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.pipe.read(buffer)?;
        if let Err(error) = self.file.write_all(buffer.get(..read).unwrap_or_default()) {
            self.write_error = Some(error);
            return Err(io::Error::other("the copy of the pipe could not be written"));
        }
        self.bytes_written += read as u64;
        Ok(read)
    }
}
