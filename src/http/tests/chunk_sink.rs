//! Downloads to a sink: what the sink receives from interrupted attempts.

use super::*;
use crate::http::ChunkSink;

#[derive(Default)]
struct RecordingSink {
    begins: Vec<Option<u64>>,
    bytes: Vec<u8>,
    full: bool,
}

impl ChunkSink for RecordingSink {
    async fn begin(&mut self, length: Option<u64>, _doubtful: bool) -> io::Result<()> {
        self.begins.push(length);
        self.bytes.clear();
        Ok(())
    }

    async fn write_chunk(&mut self, piece: Bytes) -> io::Result<()> {
        self.bytes.extend_from_slice(&piece);
        if self.full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

async fn download_to(server: &Server, expected: &[u8], seen: &mut RecordingSink) -> Result<u64, Error> {
    let url = server.url("/a-1.0.0.crate");
    client().download_to_sink(&Request::new(&url), Sha256::of(expected), 1_000_000, seen).await
}

#[tokio::test]
async fn an_interrupted_download_resumes_without_a_restart() {
    let whole = body();
    let served = whole.clone();
    let server = Server::start(move |head, n| match n {
        0 => Action::Send(reply(200, "", &served)[..70_000].to_vec().into()),
        _ => Action::Send(range_response(&served, range_start(head).expect("a range")).into()),
    })
    .await;
    let mut seen = RecordingSink::default();
    assert_eq!(download_to(&server, &whole, &mut seen).await.expect("whole"), 200_000);
    assert!(seen.bytes == whole && seen.begins == [Some(200_000)], "{:?}", seen.begins);
}

#[tokio::test]
async fn without_range_support_the_download_restarts() {
    let whole = body();
    let served = whole.clone();
    let server = Server::start(move |_, n| match n {
        0 => Action::Send(reply(200, "", &served)[..70_000].to_vec().into()),
        1 => Action::Send(reply(416, "", b"").into()),
        _ => Action::Send(reply(200, "", &served).into()),
    })
    .await;
    let mut seen = RecordingSink::default();
    download_to(&server, &whole, &mut seen).await.expect("whole");
    assert!(seen.bytes == whole && seen.begins == [Some(200_000), Some(200_000)], "{:?}", seen.begins);
}

#[tokio::test]
async fn mismatches_oversized_bodies_and_full_disks_are_final() {
    let served = body();
    let server = Server::start(move |_, _| Action::Send(reply(200, "", &served).into())).await;
    let mut seen = RecordingSink::default();
    let error = download_to(&server, b"other", &mut seen).await.expect_err("other bytes");
    assert!(matches!(error, Error::Checksum { .. }) && server.heads().len() == 1, "{error}");
    let url = server.url("/a-1.0.0.crate");
    let small = client().download_to_sink(&Request::new(&url), Sha256::of(&body()), 1000, &mut seen).await;
    assert!(matches!(small, Err(Error::TooLarge { limit: 1000, .. })));
    seen.full = true;
    let error = download_to(&server, &body(), &mut seen).await.expect_err("a full disk");
    assert!(matches!(error, Error::Sink { .. }), "{error}");
    assert_eq!(server.heads().len(), 3, "nothing is tried again");
}
