//! Decodes `Content-Encoding` within a limit, because a few bytes can expand to very many.
//!
//! Cargo's libcurl decodes the encodings that it was built for, `gzip` and `deflate`, even without a request for them
//! (libcurl, content_encoding.c). So does this client; every other encoding is an error that names it.

use std::io::{self, Read as _, Write};

use flate2::bufread::ZlibDecoder;
use flate2::read::MultiGzDecoder;
use flate2::{Decompress, write};
use reqwest::header::{self, HeaderMap};

/// Maximum number of nested encodings, as in libcurl.
const MAX_CODINGS: usize = 5;

/// Bytes that are decoded at a time; they expand to at most about a megabyte.
const DECODE_SLICE: usize = 1024;

/// One encoding of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ContentCoding {
    Gzip,
    /// With zlib's header, or without it as some servers send it.
    Deflate,
}

/// The encodings in the headers, in the order in which they were applied.
///
/// # Errors
///
/// The header's value, if it contains an unsupported encoding, or too many.
pub(super) fn parse_content_encoding(headers: &HeaderMap) -> Result<Vec<ContentCoding>, String> {
    let mut codings = Vec::new();
    for value in headers.get_all(header::CONTENT_ENCODING) {
        let value = String::from_utf8_lossy(value.as_bytes());
        for name in value.split(',') {
            match name.trim().to_ascii_lowercase().as_str() {
                "" | "identity" | "none" => {}
                "gzip" | "x-gzip" => codings.push(ContentCoding::Gzip),
                "deflate" => codings.push(ContentCoding::Deflate),
                _ => return Err(value.into_owned()),
            }
        }
        if codings.len() > MAX_CODINGS {
            return Err(value.into_owned());
        }
    }
    Ok(codings)
}

/// Decodes `body`; `None` if the result is longer than `limit` bytes. A truncated body is an error.
pub(super) fn decode(body: &[u8], codings: &[ContentCoding], limit: u64) -> io::Result<Option<Vec<u8>>> {
    let mut text = None;
    for coding in codings.iter().rev() {
        let encoded = text.as_deref().unwrap_or(body);
        let (mut decoded, max_bytes) = (Vec::new(), limit.saturating_add(1));
        match coding {
            ContentCoding::Gzip => MultiGzDecoder::new(encoded).take(max_bytes).read_to_end(&mut decoded)?,
            ContentCoding::Deflate => {
                let decoder = ZlibDecoder::new_with_decompress(encoded, Decompress::new(is_zlib(encoded)));
                decoder.take(max_bytes).read_to_end(&mut decoded)?
            }
        };
        if decoded.len() as u64 > limit {
            return Ok(None);
        }
        text = Some(decoded);
    }
    Ok(Some(text.unwrap_or_else(|| body.to_vec())))
}

/// Whether a deflated body begins with zlib's header (RFC 1950, 2.2).
fn is_zlib(body: &[u8]) -> bool {
    matches!(*body, [method, flags, ..] if method & 0x0f == 8 && u16::from_be_bytes([method, flags]) % 31 == 0)
}

/// Decodes a body chunk by chunk.
pub(super) struct Decoder {
    /// The first stage receives the chunks.
    stages: Vec<Stage>,
}

enum Stage {
    Gzip(write::MultiGzDecoder<Vec<u8>>),
    /// The first two bytes decide the format.
    Unknown(Vec<u8>),
    /// With zlib's header or without it.
    Deflate(write::ZlibDecoder<Vec<u8>>),
}

impl Decoder {
    pub(super) fn new(codings: &[ContentCoding]) -> Decoder {
        let stage = |coding: &ContentCoding| match coding {
            ContentCoding::Gzip => Stage::Gzip(write::MultiGzDecoder::new(Vec::new())),
            ContentCoding::Deflate => Stage::Unknown(Vec::new()),
        };
        Decoder { stages: codings.iter().rev().map(stage).collect() }
    }

    /// Decodes the next chunk, with at most `limit` bytes of output. `None`: there is more.
    pub(super) fn decode(&mut self, piece: &[u8], limit: u64) -> io::Result<Option<Vec<u8>>> {
        let mut decoded = Vec::new();
        for slice in piece.chunks(DECODE_SLICE) {
            let mut text = slice.to_vec();
            for stage in &mut self.stages {
                // The output of a stage may be large, and would be larger after the next one.
                let mut out = Vec::new();
                for slice in text.chunks(DECODE_SLICE) {
                    out.append(&mut stage.feed(slice)?);
                    if out.len() as u64 > limit {
                        return Ok(None);
                    }
                }
                text = out;
            }
            decoded.append(&mut text);
            if decoded.len() as u64 > limit {
                return Ok(None);
            }
        }
        Ok(Some(decoded))
    }

    /// Returns the rest of the output at the end of the body. Only a digest shows whether the body was complete.
    pub(super) fn finish(&mut self) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        for stage in &mut self.stages {
            let mut out = stage.feed(&text)?;
            out.append(&mut stage.finish()?);
            text = out;
        }
        Ok(text)
    }
}

impl Stage {
    fn feed(&mut self, piece: &[u8]) -> io::Result<Vec<u8>> {
        if let Stage::Unknown(begin) = self {
            begin.extend_from_slice(piece);
            if begin.len() < 2 {
                return Ok(Vec::new());
            }
            let begin = std::mem::take(begin);
            let format = Decompress::new(is_zlib(&begin));
            *self = Stage::Deflate(write::ZlibDecoder::new_with_decompress(Vec::new(), format));
            return self.feed(&begin);
        }
        match self {
            Stage::Gzip(decoder) => {
                decoder.write_all(piece)?;
                Ok(std::mem::take(decoder.get_mut()))
            }
            Stage::Deflate(decoder) => {
                decoder.write_all(piece)?;
                Ok(std::mem::take(decoder.get_mut()))
            }
            Stage::Unknown(_) => Ok(Vec::new()),
        }
    }

    fn finish(&mut self) -> io::Result<Vec<u8>> {
        match self {
            Stage::Gzip(decoder) => {
                decoder.try_finish()?;
                Ok(std::mem::take(decoder.get_mut()))
            }
            Stage::Deflate(decoder) => {
                decoder.try_finish()?;
                Ok(std::mem::take(decoder.get_mut()))
            }
            Stage::Unknown(_) => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use reqwest::header::HeaderValue;

    fn encoded(text: &[u8], how: &str) -> Vec<u8> {
        let (out, level) = (Vec::new(), Compression::fast());
        match how {
            "gzip" => {
                let mut encoder = write::GzEncoder::new(out, level);
                encoder.write_all(text).and_then(|()| encoder.finish())
            }
            "deflate" => {
                let mut encoder = write::ZlibEncoder::new(out, level);
                encoder.write_all(text).and_then(|()| encoder.finish())
            }
            _ => {
                let mut encoder = write::DeflateEncoder::new(out, level);
                encoder.write_all(text).and_then(|()| encoder.finish())
            }
        }
        .expect("to memory")
    }

    fn codings_of(values: &[&'static str]) -> Result<Vec<ContentCoding>, String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::CONTENT_ENCODING, HeaderValue::from_static(value));
        }
        parse_content_encoding(&headers)
    }

    #[test]
    fn only_codings_that_libcurl_decodes_are_accepted() {
        use ContentCoding::{Deflate, Gzip};
        assert_eq!(codings_of(&[]), Ok(vec![]));
        assert_eq!(codings_of(&["identity, none,"]), Ok(vec![]));
        assert_eq!(codings_of(&["GZIP"]), Ok(vec![Gzip]));
        assert_eq!(codings_of(&["x-gzip, deflate", "gzip"]), Ok(vec![Gzip, Deflate, Gzip]));
        for unknown in ["br", "zstd", "gzip, br", "compress"] {
            assert_eq!(codings_of(&[unknown]), Err(unknown.to_owned()));
        }
        assert!(codings_of(&["gzip,gzip,gzip,gzip,gzip,gzip"]).is_err());
    }

    #[test]
    fn bodies_are_decoded_at_once_and_in_chunks() {
        let text: Vec<u8> = (0..=255u8).cycle().take(100_000).collect();
        let cases = [
            (vec![ContentCoding::Gzip], encoded(&text, "gzip")),
            (vec![ContentCoding::Deflate], encoded(&text, "deflate")),
            (vec![ContentCoding::Deflate], encoded(&text, "raw")),
            (vec![ContentCoding::Gzip, ContentCoding::Deflate], encoded(&encoded(&text, "gzip"), "deflate")),
        ];
        for (codings, body) in cases {
            assert_eq!(decode(&body, &codings, 100_000).expect("whole").as_deref(), Some(&text[..]));
            assert_eq!(decode(&body, &codings, 99_999).expect("whole"), None);
            for size in [1, 7, 5000, body.len()] {
                let mut decoder = Decoder::new(&codings);
                let mut decoded = Vec::new();
                for piece in body.chunks(size) {
                    decoded.extend(decoder.decode(piece, 100_000).expect("good").expect("within the limit"));
                }
                decoded.extend(decoder.finish().expect("its end"));
                assert!(decoded == text, "{codings:?} in pieces of {size}");
            }
            assert!(decode(&body[..body.len() - 3], &codings, 100_000).is_err(), "{codings:?}");
        }
    }

    #[test]
    fn a_decompression_bomb_stays_within_the_limit() {
        let bomb = encoded(&vec![0; 50_000_000], "gzip");
        let twice = encoded(&bomb, "gzip");
        assert_eq!(decode(&bomb, &[ContentCoding::Gzip], 1_000_000).expect("whole"), None);
        let mut decoder = Decoder::new(&[ContentCoding::Gzip, ContentCoding::Gzip]);
        assert_eq!(decoder.decode(&twice, 1_000_000).expect("good"), None);
    }
}
