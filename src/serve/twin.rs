//! Bytes in memory that are in an open file too, so that the system can send them from there without copying them.
//!
//! A connection is told the twin of each answer. Where what it is to send lies within the twin's bytes, as their address
//! says, the same part of the file is sent instead; all else, and what the system refuses, is written as ever. So nothing
//! but the speed changes, and secured connections, whose bytes are others, go by as before.

use std::fs::File;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;

/// Bodies below this many bytes are copied as quickly.
pub(super) const WORTH: usize = 16 * 1024;

/// Bytes, and an open file that begins with them.
pub(super) struct Twin {
    /// The file.
    pub file: File,
    body: Bytes,
}

impl Twin {
    /// These bytes of that file.
    pub fn new(file: File, body: Bytes) -> Twin {
        Twin { file, body }
    }

    /// Where in the file a slice is that lies within the bytes, be it their very memory.
    pub fn place(&self, slice: &[u8]) -> Option<Range<u64>> {
        let offset = (slice.as_ptr() as usize).checked_sub(self.body.as_ptr() as usize)?;
        let end = offset.checked_add(slice.len()).filter(|end| *end <= self.body.len())?;
        Some(offset as u64..end as u64)
    }
}

/// The twin of the answer that a connection sends now. It is not kept from going: a client that idles holds no memory.
#[derive(Default)]
pub(super) struct Sending(Mutex<Option<Weak<Twin>>>);

impl Sending {
    /// From now on it is this one.
    pub fn set(&self, twin: Option<Arc<Twin>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = twin.as_ref().map(Arc::downgrade);
    }

    /// It, if it is still there.
    pub fn get(&self) -> Option<Arc<Twin>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref()?.upgrade()
    }
}
