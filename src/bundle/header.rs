//! The header, the first 96 bytes: the file type, the tool's version, and the manifest's digest.

use std::io::{self, Read};

use super::format::{FormatVersion, HEADER_SIZE, MAGIC, MANIFEST_RATIO, RATIO_ALLOWANCE};
use super::open_error::Error;
use crate::digest::Sha256;

const CHECKSUM_OFFSET: usize = 84;

/// The header. Every format version keeps this structure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) format: FormatVersion,
    /// Version of the tool that wrote the bundle.
    pub(super) tool: String,
    /// Length of the stored manifest in bytes.
    pub(super) stored_size: u64,
    /// Length of the plain manifest in bytes.
    pub(super) plain_size: u64,
    /// Digest of the stored manifest.
    pub(super) sha256: Sha256,
}

impl Header {
    /// Serializes the header. A version that is too long for its field is truncated; it is only displayed.
    pub(super) fn to_bytes(&self) -> [u8; HEADER_SIZE] {
        let mut bytes = [0; HEADER_SIZE];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&self.format.0.to_le_bytes());
        for (byte, letter) in bytes[12..36].iter_mut().zip(self.tool.bytes()) {
            *byte = letter;
        }
        bytes[36..44].copy_from_slice(&self.stored_size.to_le_bytes());
        bytes[44..52].copy_from_slice(&self.plain_size.to_le_bytes());
        bytes[52..CHECKSUM_OFFSET].copy_from_slice(self.sha256.as_bytes());
        let check = Sha256::of(&bytes[..CHECKSUM_OFFSET]);
        bytes[CHECKSUM_OFFSET..].copy_from_slice(&check.as_bytes()[..HEADER_SIZE - CHECKSUM_OFFSET]);
        bytes
    }

    /// Parses the header; an error is a fragment of a sentence.
    pub(super) fn parse(bytes: &[u8; HEADER_SIZE]) -> Result<Header, &'static str> {
        let check = Sha256::of(&bytes[..CHECKSUM_OFFSET]);
        if bytes[CHECKSUM_OFFSET..] != check.as_bytes()[..HEADER_SIZE - CHECKSUM_OFFSET] {
            return Err("its checksum does not match");
        }
        if bytes[..8] != MAGIC {
            return Err("its first bytes are damaged");
        }
        let tool =
            std::str::from_utf8(&bytes[12..36]).map_err(|_| "the tool's version is not text")?.trim_end_matches('\0');
        if !tool.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("the tool's version is not text");
        }
        Ok(Header {
            format: FormatVersion(u32::from_le_bytes(to_array(&bytes[8..12]))),
            tool: tool.to_owned(),
            stored_size: u64::from_le_bytes(to_array(&bytes[36..44])),
            plain_size: u64::from_le_bytes(to_array(&bytes[44..52])),
            sha256: Sha256::from_bytes(to_array(&bytes[52..CHECKSUM_OFFSET])),
        })
    }

    /// Whether the lengths are within the limits of a format version whose manifests have at most `max` bytes.
    pub(super) fn check_lengths(&self, max: u64) -> Result<(), &'static str> {
        if self.plain_size > max || self.stored_size > max {
            return Err("the manifest is too long");
        }
        if self.plain_size > self.stored_size.saturating_mul(MANIFEST_RATIO).saturating_add(RATIO_ALLOWANCE) {
            return Err("the manifest's compression ratio is too high");
        }
        Ok(())
    }
}

/// Reads the header of a file that `name` names in errors. The caller checks version and lengths.
pub(super) fn read(reader: &mut impl Read, name: &str) -> Result<Header, Error> {
    let mut bytes = [0; HEADER_SIZE];
    let filled = read_up_to(reader, &mut bytes).map_err(|source| Error::Io { name: name.to_owned(), source })?;
    if !resembles_magic(&bytes[..filled.min(MAGIC.len())]) {
        return Err(match filled {
            0 => damaged(name, "the file is empty"),
            _ => Error::NotABundle { name: name.to_owned() },
        });
    }
    if filled < HEADER_SIZE {
        return Err(damaged(name, "the file ends inside it"));
    }
    Header::parse(&bytes).map_err(|fault| damaged(name, fault))
}

/// The error of a damaged header.
pub(super) fn damaged(name: &str, fault: &str) -> Error {
    Error::CorruptHeader { name: name.to_owned(), fault: fault.to_owned() }
}

/// Whether a file that begins with `bytes` is probably a bundle, possibly damaged. Two arbitrary texts share fewer than four
/// of eight bytes.
pub(super) fn resembles_magic(bytes: &[u8]) -> bool {
    bytes.iter().zip(MAGIC).filter(|(byte, magic)| **byte == *magic).count() >= 4
}

/// Reads until `buffer` is full or the reader ends; returns the number of bytes read.
pub(super) fn read_up_to(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

fn to_array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(bytes);
    array
}

#[cfg(test)]
mod tests {
    use super::super::format::MAX_MANIFEST_SIZE;
    use super::*;

    #[test]
    fn a_header_round_trips_and_every_flipped_bit_is_detected() {
        let header = Header {
            format: FormatVersion(7),
            tool: "1.2.3-rc.1".to_owned(),
            stored_size: 5,
            plain_size: 9,
            sha256: Sha256::of(b"x"),
        };
        let bytes = header.to_bytes();
        assert_eq!(Header::parse(&bytes), Ok(header));
        for bit in 0..HEADER_SIZE * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::parse(&flipped).is_err(), "bit {bit}");
            assert!(resembles_magic(&flipped[..8]));
        }
    }

    #[test]
    fn lengths_are_limited_before_anything_is_read() {
        let of = |stored, plain| {
            Header {
                format: FormatVersion(1),
                tool: String::new(),
                stored_size: stored,
                plain_size: plain,
                sha256: Sha256::of(b""),
            }
            .check_lengths(MAX_MANIFEST_SIZE)
        };
        assert_eq!(of(1000, 3000), Ok(()));
        assert!(of(1000, 1_000_000).is_err());
        assert!(of(u64::MAX, 1).is_err());
        assert!(of(1, u64::MAX).is_err());
        assert!(of(MAX_MANIFEST_SIZE, MAX_MANIFEST_SIZE + 1).is_err());
    }
}
