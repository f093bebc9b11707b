//! `Content-Encoding`: what libcurl would decode is decoded, and a digest decides what a download's is worth.

use super::*;
use crate::http::Taker;

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

fn named(encoding: &str, body: &[u8]) -> Act {
    Act::Send(reply(200, &format!("Content-Encoding: {encoding}\r\n"), body).into())
}

#[tokio::test]
async fn index_answers_are_decoded_whether_asked_for_or_not() {
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
        let server = Server::start(move |_, _| named(encoding, &body)).await;
        let answer = get(&server.url("/a")).await.unwrap_or_else(|e| panic!("{encoding}: {e}"));
        assert_eq!(&answer.body[..], &text[..], "{encoding}");
    }
    let bomb = deflated(&vec![b' '; 100_000], true);
    let server = Server::start(move |_, _| named("deflate", &bomb)).await;
    assert!(matches!(get(&server.url("/a")).await, Err(Error::TooLarge { limit: 1000, .. })));
}

#[tokio::test]
async fn an_unknown_encoding_is_named_with_header_and_address() {
    for encoding in ["br", "zstd", "gzip, br"] {
        let server = Server::start(move |_, _| named(encoding, b"whatever")).await;
        let url = server.url("/a");
        let target = Target::new();
        let errors = [
            get(&url).await.expect_err("not decoded"),
            download(&url, &target.path(), b"other", &|_| {}).await.expect_err("not decoded"),
        ];
        for error in errors {
            let text = told(&error);
            assert!(text.contains(&format!("`Content-Encoding: {encoding}`")) && text.contains(&url), "{text}");
        }
        assert_eq!(server.heads().len(), 2, "nothing is tried again");
    }
}

#[derive(Default)]
struct Seen {
    bytes: Vec<u8>,
    doubtful: Vec<bool>,
}

impl Taker for Seen {
    async fn begin(&mut self, _length: Option<u64>, doubtful: bool) -> io::Result<()> {
        self.doubtful.push(doubtful);
        self.bytes.clear();
        Ok(())
    }

    async fn take(&mut self, piece: Bytes) -> io::Result<()> {
        self.bytes.extend_from_slice(&piece);
        Ok(())
    }
}

#[tokio::test]
async fn the_digest_decides_whether_a_download_is_encoded_or_only_called_so() {
    let file = body();
    let cases = [
        // The compression is the file's own, as that of every crate is, or the encoding is no encoding at all.
        ("gzip", file.clone(), 1),
        ("br", file.clone(), 1),
        ("gzip", server::gzipped(&file), 2),
        ("deflate", deflated(&file, false), 2),
        ("deflate, gzip", server::gzipped(&deflated(&file, true)), 2),
    ];
    for (encoding, served, requests) in cases {
        let server = Server::start(move |_, _| named(encoding, &served)).await;
        let url = server.url("/a-1.0.0.crate");
        let (request, expected) = (Request::new(&url), Sha256::of(&file));
        let target = Target::new();
        let length = client().download(&request, &target.path(), expected, 300_000, &|_| {}).await;
        assert_eq!(length.unwrap_or_else(|e| panic!("{encoding}: {e}")), 200_000);
        assert!(target.content() == file && server.heads().len() == requests, "{encoding}");

        let target = Target::new();
        let length = client().resume(&request, &target.path(), expected, 300_000, &|_| {}).await;
        assert_eq!(length.unwrap_or_else(|e| panic!("{encoding}: {e}")), 200_000);
        assert!(target.content() == file, "{encoding}");

        let mut seen = Seen::default();
        let length = client().relay(&request, expected, 300_000, &mut seen).await;
        assert_eq!(length.unwrap_or_else(|e| panic!("{encoding}: {e}")), 200_000);
        assert!(seen.bytes == file && seen.doubtful == vec![true; requests], "{encoding}: {:?}", seen.doubtful);
    }
}

#[tokio::test]
async fn an_encoded_download_of_other_bytes_is_refused_and_a_bomb_is_bounded() {
    let encoded = server::gzipped(&body());
    let server = Server::start(move |_, _| named("gzip", &encoded)).await;
    let url = server.url("/a");
    let target = Target::new();
    let error = client().resume(&Request::new(&url), &target.path(), Sha256::of(b"x"), 300_000, &|_| {}).await;
    assert!(matches!(error, Err(Error::Checksum { actual, .. }) if actual == Sha256::of(&body())), "{error:?}");
    assert_eq!(target.content(), b"");
    let bomb = server::gzipped(&vec![0; 5_000_000]);
    let server = Server::start(move |_, _| named("gzip", &bomb)).await;
    let url = server.url("/a");
    let mut seen = Seen::default();
    let error = client().relay(&Request::new(&url), Sha256::of(b"x"), 100_000, &mut seen).await;
    assert!(matches!(error, Err(Error::TooLarge { limit: 100_000, .. })) && seen.bytes.len() <= 100_000, "{error:?}");
}

#[tokio::test]
async fn an_encoded_download_that_breaks_off_begins_anew() {
    let file = body();
    let encoded = server::gzipped(&file);
    let server = Server::start(move |head, n| {
        assert!(n < 2 || from(head).is_none(), "no part of what is decoded is asked for");
        match n {
            1 => {
                let whole = reply(200, "Content-Encoding: gzip\r\n", &encoded);
                Act::Send(whole[..whole.len() - 100].to_vec().into())
            }
            _ => named("gzip", &encoded),
        }
    })
    .await;
    let url = server.url("/a");
    let target = Target::new();
    let request = Request::new(&url);
    client().resume(&request, &target.path(), Sha256::of(&file), 300_000, &|_| {}).await.expect("whole");
    assert!(target.content() == file && server.heads().len() == 3);
}
