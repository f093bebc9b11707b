//! A fake's answer from a stored file: whole, or the requested range.

use bytes::Bytes;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};
use sha2::{Digest, Sha256};

use super::crates::hex;

/// The file or a part of it, with an entity tag; 416 for a range that begins behind its end.
pub fn range_response(content: &Bytes, headers: &HeaderMap) -> Response<Bytes> {
    let whole = content.len();
    // Enough to tell versions of a file apart, and cheap for large ones.
    let start = &content[..whole.min(1 << 16)];
    let etag = format!("\"{whole:x}-{}\"", &hex(&Sha256::digest(start))[..24]);
    let outdated = headers.get(header::IF_RANGE).is_some_and(|known| known != etag.as_str());
    let requested = headers.get(header::RANGE).filter(|_| !outdated).and_then(|range| parse_range(range, whole));
    let mut answer = match requested {
        None => Response::new(content.clone()),
        Some((first, last)) if first < whole && first <= last => {
            let mut answer = Response::new(content.slice(first..=last.min(whole - 1)));
            *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
            insert_header(
                &mut answer,
                header::CONTENT_RANGE,
                &format!("bytes {first}-{}/{whole}", last.min(whole - 1)),
            );
            answer
        }
        Some(_) => {
            let mut answer = Response::new(Bytes::new());
            *answer.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            insert_header(&mut answer, header::CONTENT_RANGE, &format!("bytes */{whole}"));
            answer
        }
    };
    insert_header(&mut answer, header::ETAG, &etag);
    insert_header(&mut answer, header::ACCEPT_RANGES, "bytes");
    answer
}

/// First and last byte of `bytes=N-` or `bytes=N-M`; other forms are as if they were not there, which is allowed.
fn parse_range(range: &HeaderValue, whole: usize) -> Option<(usize, usize)> {
    let (first, last) = range.to_str().ok()?.strip_prefix("bytes=")?.split_once('-')?;
    let last = if last.is_empty() { whole.saturating_sub(1) } else { last.parse().ok()? };
    Some((first.parse().ok()?, last))
}

fn insert_header(answer: &mut Response<Bytes>, name: header::HeaderName, value: &str) {
    answer.headers_mut().insert(name, HeaderValue::from_str(value).unwrap());
}
