//! Texts of index files that are not in use, in one unnamed temporary file. The index of several thousand crates has
//! well over 100 MB of text, of which a run needs a few lines.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::upstream::index_file::IndexFile;

/// The file of all texts.
#[derive(Debug)]
pub struct IndexSpool {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// `None`: there is no file, and texts stay in memory.
    file: Option<File>,
    end: u64,
}

/// The text of one index file, in memory or on disk.
#[derive(Debug)]
pub enum SpooledText {
    /// In memory, because writing to disk failed.
    Memory(Arc<IndexFile>),
    /// On disk.
    Disk {
        /// Its offset in bytes.
        start: u64,
        /// Its size in bytes.
        length: usize,
        /// The text that is currently in use.
        loaded: Mutex<Weak<IndexFile>>,
    },
}

impl IndexSpool {
    /// Creates a spool in `folder`. If no file can be created there, texts stay in memory.
    pub fn new(folder: &Path) -> IndexSpool {
        IndexSpool { inner: Mutex::new(Inner { file: tempfile::tempfile_in(folder).ok(), end: 0 }) }
    }

    /// Adds a text.
    pub fn put(&self, file: Arc<IndexFile>) -> SpooledText {
        let text = file.text();
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let start = inner.end;
        let Some(spool) = &mut inner.file else { return SpooledText::Memory(file) };
        let written = spool.seek(SeekFrom::Start(start)).and_then(|_| spool.write_all(text.as_bytes()));
        if written.is_err() {
            return SpooledText::Memory(file);
        }
        inner.end += text.len() as u64;
        SpooledText::Disk { start, length: text.len(), loaded: Mutex::new(Arc::downgrade(&file)) }
    }

    /// The index file of that text.
    ///
    /// # Errors
    /// A file system error.
    pub fn get(&self, text: &SpooledText) -> io::Result<Arc<IndexFile>> {
        let (start, length, open) = match text {
            SpooledText::Memory(file) => return Ok(Arc::clone(file)),
            SpooledText::Disk { start, length, loaded: open } => (*start, *length, open),
        };
        let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = open.upgrade() {
            return Ok(file);
        }
        let mut bytes = vec![0; length];
        {
            let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(spool) = &mut inner.file else { return Err(io::ErrorKind::NotFound.into()) };
            spool.seek(SeekFrom::Start(start))?;
            spool.read_exact(&mut bytes)?;
        }
        let file = Arc::new(IndexFile::new(&bytes));
        *open = Arc::downgrade(&file);
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_released_text_is_read_back_from_the_spool() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let spool = IndexSpool::new(folder.path());
        let texts = ["{\"vers\":\"1.0.0\"}\n", "", "\u{fffd}ä\n"];
        let put: Vec<SpooledText> =
            texts.iter().map(|text| spool.put(Arc::new(IndexFile::new(text.as_bytes())))).collect();
        for (text, spooled) in texts.iter().zip(&put).rev() {
            assert!(matches!(spooled, SpooledText::Disk { .. }));
            let file = spool.get(spooled).expect("read");
            assert_eq!(file.text(), *text);
            assert!(Arc::ptr_eq(&file, &spool.get(spooled).expect("read")), "read once while it is in use");
        }
    }

    #[test]
    fn without_a_disk_texts_stay_in_memory() {
        let spool = IndexSpool::new(Path::new("/nowhere/at/all"));
        let put = spool.put(Arc::new(IndexFile::new(b"x\n")));
        assert_eq!(spool.get(&put).expect("in memory").text(), "x\n");
    }
}
