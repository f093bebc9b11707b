//! Slow upstreams: downloads that nobody waits for, downloads that hold connections, and lookups ahead without end.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use super::*;
use crate::support::upstream::Fault;

/// A client that asks for `path`, and is still there.
fn client(live: &Live, path: &str) -> TcpStream {
    let host = live.serving.url().strip_prefix("http://").unwrap().to_owned();
    let mut stream = TcpStream::connect(&host).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    stream
}

/// An upstream without HTTP/2 whose downloads never come to an end: 300 bytes each second.
fn slow(crates: usize) -> Upstream {
    let upstream = Upstream::builder().http1().start();
    for number in 0..crates {
        upstream.publish(Crate::new(&format!("slow-{number}"), "1.0.0").weighing(1_000_000));
        upstream.publish(Crate::new(&format!("quick-{number}"), "1.0.0"));
    }
    upstream.always("/api/*", Fault::Slow(300, Duration::from_secs(1)));
    upstream
}

#[track_caller]
fn until(what: &str, within: Duration, is: impl Fn() -> bool) {
    let end = Instant::now() + within;
    while !is() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn slow_downloads_hold_up_no_index_request_and_end_when_their_clients_leave() {
    let live = Live::before(slow(12), "");
    let clients: Vec<TcpStream> =
        (0..12).map(|number| client(&live, &format!("/crates/slow-{number}-1.0.0.crate"))).collect();
    until("the downloads have begun", Duration::from_secs(60), || live.upstream.most_connections() >= 6);
    until("six are under way", Duration::from_secs(60), || live.upstream.downloads().len() == 6);
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
    until("abandoned", Duration::from_secs(60), || live.figures()["abandoned"] == 11);
    let figures = live.figures();
    assert_eq!(figures["failures"], 0, "{figures}");
    assert_ne!(figures["upstreams"][1]["state"], "down", "{figures}");
    stays.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut piece = [0; 64];
    assert!(stays.read(&mut piece).unwrap() > 0, "its bytes still come");
    // The connections are free again, and what was abandoned comes anew.
    live.upstream.heal();
    assert_eq!(live.status_of("/crates/slow-5-1.0.0.crate"), 200);
    until("nothing is left of the others", Duration::from_secs(60), || live.debris().len() <= 1);
}

#[test]
fn a_download_whose_rest_is_about_to_come_is_finished_without_its_client() {
    let upstream = Upstream::builder().http1().start();
    let packed = upstream.publish(Crate::new("near", "1.0.0").weighing(400_000));
    // All but the end comes at once; the end comes after longer than an abandoned download lasts by itself.
    upstream.always("/api/*", Fault::Slow(packed.bytes.len() / 15, Duration::from_secs(1)));
    let live = Live::before(upstream, "");
    let gone = client(&live, "/crates/near-1.0.0.crate");
    until("it has begun", Duration::from_secs(60), || live.upstream.downloads().len() == 1);
    drop(gone);
    live.await_placed(1);
    assert_eq!((live.figures()["abandoned"].as_u64(), live.upstream.downloads().len()), (Some(0), 1));
}

#[test]
fn one_index_request_causes_a_bounded_number_of_them_upstream() {
    let upstream = Upstream::start();
    let mut root = Crate::new("root", "1.0.0");
    for number in 0..1_000 {
        upstream.publish(Crate::new(&format!("dep-{number}"), "1.0.0"));
        root = root.dep(&format!("dep-{number}"), "^1");
    }
    upstream.publish(root);
    let live = Live::before(upstream, "");
    let looked_up = || live.upstream.requests().iter().filter(|seen| seen.path.starts_with("/index/de/p-/")).count();
    assert_eq!(live.status_of("/index/ro/ot/root"), 200);
    until("names are looked up ahead", Duration::from_secs(30), || looked_up() >= 48);
    // Whatever was to come of it has been asked for by the time that other requests are answered.
    for _ in 0..20 {
        assert_eq!(live.status_of("/index/ro/ot/root"), 200);
    }
    assert_eq!(looked_up(), 48);
    // Who asks for one of them goes on, and so do the lookups.
    assert_eq!(live.status_of("/index/de/p-/dep-999"), 200);
    until("more are looked up", Duration::from_secs(30), || looked_up() >= 96);
    assert!(looked_up() <= 97, "{}", looked_up());
}
