//! Gzip, decoded within a limit: a few bytes can stand for very many.

use std::io::{self, Read};

use flate2::read::MultiGzDecoder;

/// The text that `body` stands for; `None` if it is longer than `limit` bytes.
pub(super) fn decode(body: &[u8], limit: u64) -> io::Result<Option<Vec<u8>>> {
    let mut text = Vec::new();
    MultiGzDecoder::new(body)
        .take(limit.saturating_add(1))
        .read_to_end(&mut text)?;
    Ok((text.len() as u64 <= limit).then_some(text))
}
