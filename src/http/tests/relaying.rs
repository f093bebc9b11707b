//! Downloads that are passed on: what a taker sees of attempts that break off.

use super::*;
use crate::http::Taker;

#[derive(Default)]
struct Seen {
    begins: Vec<Option<u64>>,
    bytes: Vec<u8>,
    full: bool,
}

impl Taker for Seen {
    async fn begin(&mut self, length: Option<u64>, _doubtful: bool) -> io::Result<()> {
        self.begins.push(length);
        self.bytes.clear();
        Ok(())
    }

    async fn take(&mut self, piece: Bytes) -> io::Result<()> {
        self.bytes.extend_from_slice(&piece);
        if self.full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

async fn relay(server: &Server, expected: &[u8], seen: &mut Seen) -> Result<u64, Error> {
    let url = server.url("/a-1.0.0.crate");
    client().relay(&Request::new(&url), Sha256::of(expected), 1_000_000, seen).await
}

#[tokio::test]
async fn what_breaks_off_goes_on_without_a_new_beginning() {
    let whole = body();
    let served = whole.clone();
    let server = Server::start(move |head, n| match n {
        0 => Act::Send(reply(200, "", &served)[..70_000].to_vec().into()),
        _ => Act::Send(rest(&served, from(head).expect("a range")).into()),
    })
    .await;
    let mut seen = Seen::default();
    assert_eq!(relay(&server, &whole, &mut seen).await.expect("whole"), 200_000);
    assert!(seen.bytes == whole && seen.begins == [Some(200_000)], "{:?}", seen.begins);
}

#[tokio::test]
async fn where_there_are_no_parts_everything_begins_anew() {
    let whole = body();
    let served = whole.clone();
    let server = Server::start(move |_, n| match n {
        0 => Act::Send(reply(200, "", &served)[..70_000].to_vec().into()),
        1 => Act::Send(reply(416, "", b"").into()),
        _ => Act::Send(reply(200, "", &served).into()),
    })
    .await;
    let mut seen = Seen::default();
    relay(&server, &whole, &mut seen).await.expect("whole");
    assert!(seen.bytes == whole && seen.begins == [Some(200_000), Some(200_000)], "{:?}", seen.begins);
}

#[tokio::test]
async fn other_bytes_a_large_body_and_a_full_disk_are_final() {
    let served = body();
    let server = Server::start(move |_, _| Act::Send(reply(200, "", &served).into())).await;
    let mut seen = Seen::default();
    let error = relay(&server, b"other", &mut seen).await.expect_err("other bytes");
    assert!(matches!(error, Error::Checksum { .. }) && server.heads().len() == 1, "{error}");
    let url = server.url("/a-1.0.0.crate");
    let small = client().relay(&Request::new(&url), Sha256::of(&body()), 1000, &mut seen).await;
    assert!(matches!(small, Err(Error::TooLarge { limit: 1000, .. })));
    seen.full = true;
    let error = relay(&server, &body(), &mut seen).await.expect_err("a full disk");
    assert!(matches!(error, Error::Taken { .. }), "{error}");
    assert_eq!(server.heads().len(), 3, "nothing is tried again");
}
