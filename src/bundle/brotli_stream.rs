//! Brotli streams with known stored and plain lengths; more input or output than that is an error.
//!
//! The decoder refuses the "large window" extension, which the library's reader accepts. With it, twenty bytes could request
//! a gigabyte. The window is at most the standard's 16 MiB, and grows only with the output.

use std::io::{self, Read, Write};

use brotli::enc::StandardAlloc;
use brotli::{BrotliDecompressStream, BrotliResult, BrotliState, CompressorWriter};

use crate::digest::{BUFFER_SIZE, Hasher, Sha256};

/// Compression quality: index text shrinks eightfold. The next two levels gain one percent each, and each doubles the
/// encoder's memory (8 MiB at this level).
const QUALITY: u32 = 7;
/// Window size of the encoder as a power of two: 4 MiB, a whole group.
const WINDOW: u32 = 22;

/// An error in a compressed block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BrotliFault {
    /// The file ends before the stored length.
    #[error("the file ends inside it")]
    Truncated,
    /// The decoder rejects the data.
    #[error("it is not valid brotli")]
    Malformed,
    /// The stream ends before the stated plain length.
    #[error("it decodes to fewer bytes than stated")]
    TooShort,
    /// The stream is longer than the stated plain length.
    #[error("it decodes to more bytes than stated")]
    TooLong,
    /// Stored bytes follow the end of the stream.
    #[error("bytes follow the end of its brotli stream")]
    TrailingBytes,
}

impl BrotliFault {
    /// The fault inside an error of [`BrotliReader`]'s reader; `None` if the error comes from the underlying reader.
    pub(super) fn from_io(error: &io::Error) -> Option<BrotliFault> {
        error.get_ref()?.downcast_ref().copied()
    }
}

type DecoderState = BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>;

/// The decompressed side of a block.
pub(super) struct BrotliReader<R> {
    source: R,
    /// Stored bytes that are not yet read from the source.
    stored_remaining: u64,
    /// Plain bytes that are not yet returned.
    plain_remaining: u64,
    /// Whether the length is unknown: the stream extends to the source's end.
    has_unknown_length: bool,
    hasher: Hasher,
    input: Vec<u8>,
    start: usize,
    end: usize,
    state: Box<DecoderState>,
}

impl<R: Read> BrotliReader<R> {
    /// Decodes the next `stored` bytes of `source` to exactly `plain` bytes.
    pub(super) fn new(source: R, stored: u64, plain: u64) -> BrotliReader<R> {
        let alloc = StandardAlloc::default;
        BrotliReader {
            source,
            stored_remaining: stored,
            plain_remaining: plain,
            has_unknown_length: false,
            hasher: Hasher::new(),
            input: vec![0; BUFFER_SIZE],
            start: 0,
            end: 0,
            state: Box::new(DecoderState::new_strict(alloc(), alloc(), alloc())),
        }
    }

    /// Decodes all of `source`; the caller limits it by [`BrotliReader::taken`].
    pub(super) fn with_unknown_length(source: R) -> BrotliReader<R> {
        BrotliReader { has_unknown_length: true, ..BrotliReader::new(source, u64::MAX, u64::MAX) }
    }

    /// Stored bytes that the decoder has consumed.
    pub(super) fn stored_bytes_consumed(&self) -> u64 {
        u64::MAX - self.stored_remaining - (self.end - self.start) as u64
    }

    /// Declares a stream of unknown length complete: no plain byte may follow.
    pub(super) fn expect_end(&mut self) {
        self.plain_remaining = 0;
    }

    /// Checks that stored and plain bytes both end at their stated lengths.
    pub(super) fn check_end(&mut self) -> io::Result<()> {
        if self.plain_remaining > 0 {
            return Err(into_io_error(BrotliFault::TooShort));
        }
        let mut surplus = [0; 1];
        loop {
            let (written, result) = self.decode_step(&mut surplus);
            match result {
                _ if written > 0 => return Err(into_io_error(BrotliFault::TooLong)),
                BrotliResult::ResultSuccess if self.start < self.end => {
                    return Err(into_io_error(BrotliFault::TrailingBytes));
                }
                BrotliResult::ResultSuccess if self.has_unknown_length => {
                    return if self.load_input()? == 0 {
                        Ok(())
                    } else {
                        Err(into_io_error(BrotliFault::TrailingBytes))
                    };
                }
                BrotliResult::ResultSuccess if self.stored_remaining > 0 => {
                    return Err(into_io_error(BrotliFault::TrailingBytes));
                }
                BrotliResult::ResultSuccess => return Ok(()),
                BrotliResult::NeedsMoreInput => self.refill()?,
                BrotliResult::NeedsMoreOutput => return Err(into_io_error(BrotliFault::TooLong)),
                BrotliResult::ResultFailure => return Err(into_io_error(BrotliFault::Malformed)),
            }
        }
    }

    /// Reads the remaining stored bytes, so that the source is positioned after them. Returns the digest of all stored
    /// bytes, or `None` if the source ends too early.
    pub(super) fn drain(mut self) -> io::Result<Option<Sha256>> {
        while self.stored_remaining > 0 {
            if self.load_input()? == 0 {
                return Ok(None);
            }
        }
        Ok(Some(self.hasher.finish()))
    }

    fn decode_step(&mut self, out: &mut [u8]) -> (usize, BrotliResult) {
        let mut available_in = self.end - self.start;
        let mut available_out = out.len();
        let (mut written, mut total) = (0, 0);
        let result = BrotliDecompressStream(
            &mut available_in,
            &mut self.start,
            &self.input[..self.end],
            &mut available_out,
            &mut written,
            out,
            &mut total,
            &mut self.state,
        );
        (written, result)
    }

    fn refill(&mut self) -> io::Result<()> {
        if self.stored_remaining == 0 {
            return Err(into_io_error(BrotliFault::Malformed));
        }
        match self.load_input()? {
            0 => Err(into_io_error(BrotliFault::Truncated)),
            _ => Ok(()),
        }
    }

    /// Refills the input buffer, which the decoder has consumed.
    fn load_input(&mut self) -> io::Result<usize> {
        let space = usize::try_from(self.stored_remaining).unwrap_or(BUFFER_SIZE).min(BUFFER_SIZE);
        loop {
            match self.source.read(&mut self.input[..space]) {
                Ok(n) => {
                    self.hasher.update(&self.input[..n]);
                    self.stored_remaining -= n as u64;
                    (self.start, self.end) = (0, n);
                    return Ok(n);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }
}

impl<R: Read> Read for BrotliReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let space = usize::try_from(self.plain_remaining).unwrap_or(usize::MAX).min(buffer.len());
        if space == 0 {
            return Ok(0);
        }
        loop {
            let (written, result) = self.decode_step(&mut buffer[..space]);
            if written > 0 {
                self.plain_remaining -= written as u64;
                return Ok(written);
            }
            match result {
                BrotliResult::NeedsMoreInput => self.refill()?,
                BrotliResult::ResultSuccess => return Err(into_io_error(BrotliFault::TooShort)),
                BrotliResult::NeedsMoreOutput | BrotliResult::ResultFailure => {
                    return Err(into_io_error(BrotliFault::Malformed));
                }
            }
        }
    }
}

fn into_io_error(fault: BrotliFault) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, fault)
}

/// Compresses the output of `fill`. The same input always gives the same output.
pub(super) fn encode(fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<Vec<u8>> {
    let mut encoder = CompressorWriter::new(Vec::new(), BUFFER_SIZE, QUALITY, WINDOW);
    fill(&mut encoder)?;
    // The output goes into memory, so that the final flush cannot fail.
    Ok(encoder.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(plain: &[u8]) -> Vec<u8> {
        encode(|writer| writer.write_all(plain)).expect("into memory")
    }

    fn decode(stored: &[u8], stated: u64, plain: u64) -> Result<Vec<u8>, BrotliFault> {
        let mut reader = BrotliReader::new(stored, stated, plain);
        let mut bytes = Vec::new();
        reader
            .read_to_end(&mut bytes)
            .and_then(|_| reader.check_end())
            .map_err(|e| BrotliFault::from_io(&e).expect("a fault"))?;
        Ok(bytes)
    }

    #[test]
    fn decoding_yields_exactly_the_encoded_bytes() {
        let plain: Vec<u8> = (0..200_000u32).flat_map(|n| (n % 977).to_le_bytes()).collect();
        let stored = encoded(&plain);
        let (s, p) = (stored.len() as u64, plain.len() as u64);
        assert_eq!(decode(&stored, s, p), Ok(plain));
        assert_eq!(decode(&stored, s, p + 1), Err(BrotliFault::TooShort));
        assert_eq!(decode(&stored, s, p - 1), Err(BrotliFault::TooLong));
        assert_eq!(decode(&stored, s - 1, p), Err(BrotliFault::Malformed));
        assert_eq!(decode(&stored[..stored.len() - 1], s, p), Err(BrotliFault::Truncated));
        let mut longer = stored.clone();
        longer.push(0);
        assert_eq!(decode(&longer, s + 1, p), Err(BrotliFault::TrailingBytes));
        assert_eq!(decode(&encoded(b""), 1, 0), Ok(Vec::new()));
    }

    #[test]
    fn a_large_window_is_refused() {
        // `0x11` announces the extension; the next six bits are the window size.
        let stored = [0x11, 0x1e, 0x03, 0, 0, 0];
        assert_eq!(decode(&stored, 6, 100), Err(BrotliFault::Malformed));
    }

    #[test]
    fn draining_leaves_the_source_after_the_stored_bytes() {
        let stored = encoded(b"some text");
        let mut file: &[u8] = &[&stored[..], b"next"].concat();
        let plain = BrotliReader::new(&mut file, stored.len() as u64, 9);
        assert_eq!(plain.drain().expect("memory"), Some(Sha256::of(&stored)));
        assert_eq!(file, b"next");
    }
}
