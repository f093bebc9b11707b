//! Text with stated lengths and digest: the sections of changes and the tables of parts.

use std::io::{self, Read};

use serde::{Deserialize, Serialize};

use super::super::brotli_stream::{self, BrotliFault, BrotliReader};
use super::super::format::{MAX_BLOCK_SIZE, MAX_STORED_BLOCK_SIZE, RATIO_ALLOWANCE};
use crate::digest::Sha256;

/// Maximum ratio of compression, beyond [`RATIO_ALLOWANCE`]. Rows that differ in a few bytes and have a thousand inputs each
/// reach several hundred.
pub const MAX_TEXT_RATIO: u64 = 10_000;

/// A brotli stream of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompressedText {
    /// Its plain size in bytes.
    pub plain: u64,
    /// Its stored size in bytes.
    pub stored: u64,
    /// The digest of its stored bytes.
    pub sha256: Sha256,
}

/// Damage of a compressed text. Each is the end of a sentence that names it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextFault {
    /// The file ends before its end.
    #[error("is incomplete: the file ends inside it")]
    Truncated,
    /// Its digest does not match.
    #[error("is damaged: its SHA-256 is {actual}, but the manifest states {expected}")]
    Digest {
        /// The digest in the manifest.
        expected: Sha256,
        /// The digest of its stored bytes.
        actual: Sha256,
    },
    /// The stored bytes have the stated digest, but are not such a stream.
    #[error("is invalid: {0}")]
    Stream(String),
}

impl TextFault {
    /// The fault inside an error of [`CompressedText::read`]; `None` if the error comes from the underlying reader.
    pub(super) fn from_io(error: &io::Error) -> Option<TextFault> {
        error.get_ref()?.downcast_ref().cloned()
    }
}

impl CompressedText {
    /// Whether the sizes are within the limits.
    pub(super) fn has_valid_sizes(&self) -> bool {
        (1..=MAX_BLOCK_SIZE).contains(&self.plain)
            && self.stored <= MAX_STORED_BLOCK_SIZE
            && self.plain <= self.stored.saturating_mul(MAX_TEXT_RATIO).saturating_add(RATIO_ALLOWANCE)
    }

    /// Compresses a text.
    pub(super) fn encode(text: &[u8]) -> io::Result<(CompressedText, Vec<u8>)> {
        let bytes = brotli_stream::encode(|writer| writer.write_all(text))?;
        let described =
            CompressedText { plain: text.len() as u64, stored: bytes.len() as u64, sha256: Sha256::of(&bytes) };
        Ok((described, bytes))
    }

    /// Reads the text, whose sizes are valid, and checks it.
    ///
    /// # Errors
    /// That of `reader`, or one that contains a [`TextFault`].
    pub(super) fn read(&self, reader: &mut dyn Read) -> io::Result<Vec<u8>> {
        let mut stream = BrotliReader::new(reader, self.stored, self.plain);
        let mut text = Vec::with_capacity(usize::try_from(self.plain.min(MAX_BLOCK_SIZE)).unwrap_or(0));
        let outcome = stream.read_to_end(&mut text).and_then(|_| stream.check_end());
        let fault = match outcome {
            Ok(()) => None,
            Err(error) => Some(BrotliFault::from_io(&error).ok_or(error)?),
        };
        let invalid = |fault| Err(io::Error::new(io::ErrorKind::InvalidData, fault));
        match (stream.drain()?, fault) {
            (None, _) => invalid(TextFault::Truncated),
            (Some(actual), _) if actual != self.sha256 => invalid(TextFault::Digest { expected: self.sha256, actual }),
            (Some(_), Some(fault)) => invalid(TextFault::Stream(fault.to_string())),
            (Some(_), None) => Ok(text),
        }
    }
}
