//! Receives what a bundle contains.

use std::io;

use super::format::Entry;

/// Receives a bundle's entries in a streaming pass. A returned error stops the pass.
///
/// Each entry gives one `begin`, any number of `data`, and one `end`. If the file ends early, the remaining entries never
/// begin.
pub trait EntryVisitor {
    /// An entry begins.
    fn begin(&mut self, entry: &Entry) -> io::Result<()>;
    /// The next bytes of its content, at most 64 KiB.
    fn data(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// The entry ends; `good`: its size and digest match.
    fn end(&mut self, entry: &Entry, good: bool) -> io::Result<()>;
}

/// A visitor that ignores all entries.
pub struct NullVisitor;

impl EntryVisitor for NullVisitor {
    fn begin(&mut self, _: &Entry) -> io::Result<()> {
        Ok(())
    }

    fn data(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn end(&mut self, _: &Entry, _: bool) -> io::Result<()> {
        Ok(())
    }
}
