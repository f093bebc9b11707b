//! Slow upstreams: downloads without clients, downloads that hold connections, and endless prefetching.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use super::*;
use crate::support::upstream::Fault;
use crate::support::wait;

/// A client that asks for `path`, and is still there.
fn connect_and_request(live: &LiveServer, path: &str) -> TcpStream {
    let host = live.serving.url().strip_prefix("http://").unwrap().to_owned();
    let mut stream = TcpStream::connect(&host).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    stream
}

/// An upstream without HTTP/2 whose downloads never come to an end: 300 bytes each second.
fn with_endless_downloads(crates: usize) -> Upstream {
    let upstream = Upstream::builder().http1().start();
    for number in 0..crates {
        upstream.publish(Crate::new(&format!("slow-{number}"), "1.0.0").with_extra_bytes(1_000_000));
        upstream.publish(Crate::new(&format!("quick-{number}"), "1.0.0"));
    }
    upstream.fault_always("/api/*", Fault::Slow(300, Duration::from_secs(1)));
    upstream
}

#[test]
fn slow_downloads_block_no_index_request_and_end_when_clients_disconnect() {
    let live = LiveServer::in_front_of(with_endless_downloads(12), "");
    let clients: Vec<TcpStream> =
        (0..12).map(|number| connect_and_request(&live, &format!("/crates/slow-{number}-1.0.0.crate"))).collect();
    wait::until("the downloads have begun", || live.upstream.max_connections() >= 6);
    wait::until("six downloads have begun", || live.upstream.downloads().len() == 6);
    let began = Instant::now();
    for number in 0..12 {
        assert_eq!(live.status_of(&format!("/index/qu/ic/quick-{number}")), 200);
    }
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    assert_eq!(live.upstream.downloads().len(), 6, "the others wait for their turn");
    // One of them stays: its download goes on.
    let mut clients = clients.into_iter();
    let mut stays = clients.next().unwrap();
    drop(clients);
    wait::until("eleven downloads are abandoned", || live.status()["abandoned"] == 11);
    let figures = live.status();
    assert_eq!(figures["failures"], 0, "{figures}");
    assert_ne!(figures["upstreams"][1]["state"], "down", "{figures}");
    stays.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut piece = [0; 64];
    assert!(stays.read(&mut piece).unwrap() > 0, "its bytes still come");
    // The connections are free again, and the abandoned file is fetched again.
    live.upstream.clear_faults();
    assert_eq!(live.status_of("/crates/slow-5-1.0.0.crate"), 200);
    wait::until("the abandoned downloads leave no partial file", || live.leftover_files().len() <= 1);
}

#[test]
fn a_nearly_finished_download_completes_without_its_client() {
    let upstream = Upstream::builder().http1().start();
    let packed = upstream.publish(Crate::new("near", "1.0.0").with_extra_bytes(400_000));
    // All but the end comes at once; the end comes after longer than an abandoned download lasts by itself.
    upstream.fault_always("/api/*", Fault::Slow(packed.bytes.len() / 15, Duration::from_secs(1)));
    let live = LiveServer::in_front_of(upstream, "");
    let gone = connect_and_request(&live, "/crates/near-1.0.0.crate");
    wait::until("the download has begun", || live.upstream.downloads().len() == 1);
    drop(gone);
    live.wait_for_stored_crates(1);
    assert_eq!((live.status()["abandoned"].as_u64(), live.upstream.downloads().len()), (Some(0), 1));
}

#[test]
fn one_index_request_causes_a_bounded_number_of_upstream_requests() {
    let upstream = Upstream::start();
    let mut root = Crate::new("root", "1.0.0");
    for number in 0..1_000 {
        upstream.publish(Crate::new(&format!("dep-{number}"), "1.0.0"));
        root = root.dep(&format!("dep-{number}"), "^1");
    }
    upstream.publish(root);
    let live = LiveServer::in_front_of(upstream, "");
    let looked_up = || live.upstream.requests().iter().filter(|seen| seen.path.starts_with("/index/de/p-/")).count();
    assert_eq!(live.status_of("/index/ro/ot/root"), 200);
    wait::until("48 index files are prefetched", || looked_up() >= 48);
    // Whatever was to come of it has been asked for by the time that other requests are answered.
    for _ in 0..20 {
        assert_eq!(live.status_of("/index/ro/ot/root"), 200);
    }
    assert_eq!(looked_up(), 48);
    // Who asks for one of them goes on, and so do the lookups.
    assert_eq!(live.status_of("/index/de/p-/dep-999"), 200);
    wait::until("96 index files are prefetched", || looked_up() >= 96);
    assert!(looked_up() <= 97, "{}", looked_up());
}
