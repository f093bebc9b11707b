//! `Content-Encoding`: bodies are decoded as in libcurl, and a digest decides which form of a download is right.

use super::*;
use crate::http::ChunkSink;

fn deflated(text: &[u8], zlib: bool) -> Vec<u8> {
    use std::io::Write as _;
    let level = flate2::Compression::default();
    if zlib {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), level);
        encoder.write_all(text).and_then(|()| encoder.finish()).expect("to memory")
    } else {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), level);
        encoder.write_all(text).and_then(|()| encoder.finish()).expect("to memory")
    }
}

fn encoded_response(encoding: &str, body: &[u8]) -> Action {
    Action::Send(reply(200, &format!("Content-Encoding: {encoding}\r\n"), body).into())
}

#[tokio::test]
async fn index_responses_are_decoded_even_if_not_requested() {
    let text = b"{\"name\":\"a\"}\n".repeat(50);
    let cases = [
        ("gzip", server::gzipped(&text)),
        ("X-GZip", server::gzipped(&text)),
        ("deflate", deflated(&text, true)),
        ("deflate", deflated(&text, false)),
        ("gzip, deflate", deflated(&server::gzipped(&text), true)),
        ("identity", text.clone()),
    ];
    for (encoding, body) in cases {
        let server = Server::start(move |_, _| encoded_response(encoding, &body)).await;
        let answer = get(&server.url("/a")).await.unwrap_or_else(|e| panic!("{encoding}: {e}"));
        assert_eq!(&answer.body[..], &text[..], "{encoding}");
    }
    let bomb = deflated(&vec![b' '; 100_000], true);
    let server = Server::start(move |_, _| encoded_response("deflate", &bomb)).await;
    assert!(matches!(get(&server.url("/a")).await, Err(Error::TooLarge { limit: 1000, .. })));
}

#[tokio::test]
async fn an_unknown_encoding_is_named_with_header_and_address() {
    for encoding in ["br", "zstd", "gzip, br"] {
        let server = Server::start(move |_, _| encoded_response(encoding, b"whatever")).await;
        let url = server.url("/a");
        let target = DownloadTarget::new();
        let errors = [
            get(&url).await.expect_err("not decoded"),
            download(&url, &target.path(), b"other", &|_| {}).await.expect_err("not decoded"),
        ];
        for error in errors {
            let text = error_chain(&error);
            assert!(text.contains(&format!("`Content-Encoding: {encoding}`")) && text.contains(&url), "{text}");
        }
        assert_eq!(server.heads().len(), 2, "nothing is tried again");
    }
}

#[derive(Default)]
struct RecordingSink {
    bytes: Vec<u8>,
    hold_until_verified: Vec<bool>,
}

impl ChunkSink for RecordingSink {
    async fn begin(&mut self, _length: Option<u64>, hold_until_verified: bool) -> io::Result<()> {
        self.hold_until_verified.push(hold_until_verified);
        self.bytes.clear();
        Ok(())
    }

    async fn write_chunk(&mut self, piece: Bytes) -> io::Result<()> {
        self.bytes.extend_from_slice(&piece);
        Ok(())
    }
}

#[tokio::test]
async fn the_digest_decides_whether_a_download_is_decoded() {
    let file = body();
    let cases = [
        // The compression is the file's own, as with every crate, or the body is not encoded at all.
        ("gzip", file.clone(), 1),
        ("br", file.clone(), 1),
        ("gzip", server::gzipped(&file), 2),
        ("deflate", deflated(&file, false), 2),
        ("deflate, gzip", server::gzipped(&deflated(&file, true)), 2),
    ];
    for (encoding, served, requests) in cases {
        let server = Server::start(move |_, _| encoded_response(encoding, &served)).await;
        let url = server.url("/a-1.0.0.crate");
        let (request, expected) = (Request::new(&url), Sha256::of(&file));
        let target = DownloadTarget::new();
        let length = client().download(&request, &target.path(), expected, 300_000, &|_| {}).await;
        assert_eq!(length.unwrap_or_else(|e| panic!("{encoding}: {e}")), 200_000);
        assert!(target.content() == file && server.heads().len() == requests, "{encoding}");

        let mut seen = RecordingSink::default();
        let length = client().download_to_sink(&request, expected, 300_000, &mut seen).await;
        assert_eq!(length.unwrap_or_else(|e| panic!("{encoding}: {e}")), 200_000);
        assert!(
            seen.bytes == file && seen.hold_until_verified == vec![true; requests],
            "{encoding}: {:?}",
            seen.hold_until_verified
        );
    }
}

#[tokio::test]
async fn an_encoded_download_of_other_bytes_is_refused_and_a_bomb_is_bounded() {
    let encoded = server::gzipped(&body());
    let server = Server::start(move |_, _| encoded_response("gzip", &encoded)).await;
    let url = server.url("/a");
    let target = DownloadTarget::new();
    let error = client().download(&Request::new(&url), &target.path(), Sha256::of(b"x"), 300_000, &|_| {}).await;
    assert!(matches!(error, Err(Error::Checksum { actual, .. }) if actual == Sha256::of(&body())), "{error:?}");
    assert_eq!(target.content(), b"");
    let bomb = server::gzipped(&vec![0; 5_000_000]);
    let server = Server::start(move |_, _| encoded_response("gzip", &bomb)).await;
    let url = server.url("/a");
    let mut seen = RecordingSink::default();
    let error = client().download_to_sink(&Request::new(&url), Sha256::of(b"x"), 100_000, &mut seen).await;
    assert!(matches!(error, Err(Error::TooLarge { limit: 100_000, .. })) && seen.bytes.len() <= 100_000, "{error:?}");
}

#[tokio::test]
async fn an_interrupted_encoded_download_restarts() {
    let file = body();
    let encoded = server::gzipped(&file);
    let server = Server::start(move |head, n| {
        assert!(n < 2 || range_start(head).is_none(), "no range of a decoded body is requested");
        match n {
            1 => {
                let whole = reply(200, "Content-Encoding: gzip\r\n", &encoded);
                Action::Send(whole[..whole.len() - 100].to_vec().into())
            }
            _ => encoded_response("gzip", &encoded),
        }
    })
    .await;
    let url = server.url("/a");
    let target = DownloadTarget::new();
    let request = Request::new(&url);
    client().download(&request, &target.path(), Sha256::of(&file), 300_000, &|_| {}).await.expect("whole");
    assert!(target.content() == file && server.heads().len() == 3);
}
