//! A faulty upstream: no client gets wrong bytes as good ones, none are stored, and transient faults are retried.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use super::*;
use crate::support::upstream::Fault;
use crate::support::wait;

const LEAF: &str = "/crates/leaf-1.1.0.crate";

/// An upstream whose crate is large enough to break off in the middle.
fn with_large_crate() -> LiveServer {
    let upstream = Upstream::start();
    upstream.publish(Crate::new("leaf", "1.1.0").with_extra_bytes(300_000));
    LiveServer::in_front_of(upstream, "")
}

fn leaf_download_path(live: &LiveServer) -> String {
    live.upstream.download_path("leaf", "1.1.0")
}

/// The body of an answer, and how many bytes were announced.
pub(super) fn body_and_content_length(live: &LiveServer, path: &str) -> (Vec<u8>, Option<usize>) {
    let url = live.url(path);
    let rest = url.strip_prefix("http://").unwrap();
    let (host, path) = rest.split_at(rest.find('/').unwrap());
    let mut stream = TcpStream::connect(host).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut bytes = Vec::new();
    // A connection that is broken off may be reset.
    let _ended = stream.read_to_end(&mut bytes);
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(bytes.len());
    let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
    let announced = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    (bytes.get(end + 4..).unwrap_or_default().to_vec(), announced)
}

#[test]
fn transient_faults_are_retried() {
    for fault in [
        Fault::Status(500),
        Fault::Status(503),
        Fault::Reset,
        Fault::Truncated(100_000),
        Fault::ResetAfter(100_000),
        Fault::TooManyRequests(1),
    ] {
        let live = with_large_crate();
        live.upstream.fault(&leaf_download_path(&live), [fault.clone()]);
        let answer = live.get(LEAF);
        assert_eq!(answer.status, 200, "{fault:?}: {}", String::from_utf8_lossy(&answer.body));
        live.wait_for_stored_crates(1);
        assert!(live.get(LEAF).body == answer.body, "{fault:?}");
        live.verify().ok();
    }
}

#[test]
fn wrong_bytes_abort_the_response_and_are_not_stored() {
    for fault in [Fault::WrongBytes, Fault::Body(vec![7; 200_000])] {
        let live = with_large_crate();
        live.upstream.fault_always(&leaf_download_path(&live), fault.clone());
        let (body, announced) = body_and_content_length(&live, LEAF);
        assert!(announced.is_none_or(|announced| body.len() < announced), "{fault:?}: a whole body was given");
        wait::until_with("the mismatch is counted", || live.status(), || live.status()["mismatches"] == 1);
        assert!(
            live.stored_files().is_empty()
                && live.leftover_files().is_empty()
                && live.stored_index_file("le/af/leaf").is_empty()
        );
        live.serving.running().stderr().lines().find(|line| line.contains("leaf 1.1.0")).expect("a log line");

        live.upstream.clear_faults();
        assert_eq!(live.status_of(LEAF), 200);
        live.wait_for_stored_crates(1);
        live.verify().ok();
    }
}

#[test]
fn cargo_rejects_wrong_bytes_and_gets_the_right_ones_later() {
    let live = LiveServer::new();
    let (client, app) = (live.client().env("CARGO_NET_RETRY", "0"), write_app(&live));
    client.lock(&app);
    live.upstream.fault_always(&leaf_download_path(&live), Fault::WrongBytes);
    client.cargo(&app, ["fetch", "--locked"]).exits(101);
    live.upstream.clear_faults();
    client.cargo(&app, ["fetch", "--locked"]).ok();
}

#[test]
fn a_listed_crate_that_upstream_lacks_is_a_404_with_an_explanation() {
    for status in [404, 410] {
        let live = LiveServer::new();
        live.upstream.fault_always(&leaf_download_path(&live), Fault::Status(status));
        let answer = live.get(LEAF);
        assert_eq!(answer.status, 404);
        assert!(String::from_utf8_lossy(&answer.body).contains("upstream does not have leaf 1.1.0"));
        assert_eq!(live.status()["failures"], 0, "that is no failure");
        assert!(live.leftover_files().is_empty());
    }
}

#[test]
fn repeated_failures_open_the_circuit_breaker() {
    let live = LiveServer::new();
    live.upstream.fault_always(&leaf_download_path(&live), Fault::Status(500));
    let answer = live.get(LEAF);
    assert_eq!(answer.status, 502, "{}", String::from_utf8_lossy(&answer.body));
    for _ in 0..2 {
        assert!([502, 503].contains(&live.status_of(LEAF)));
    }
    let request_count = live.upstream.request_count(&leaf_download_path(&live));
    let answer = live.get(LEAF);
    assert_eq!(answer.status, 503);
    assert!(answer.head.to_lowercase().contains("\nretry-after: "), "{}", answer.head);
    assert_eq!(
        live.upstream.request_count(&leaf_download_path(&live)),
        request_count,
        "it is not asked while it is down"
    );
    assert_eq!(live.status()["upstreams"][1]["state"], "down");
    live.wait_for_log("the upstream of crates is down");
    // What is not down is not affected.
    assert_eq!(live.status_of("/index/ot/he/other"), 200);

    live.upstream.clear_faults();
    wait::until_with("the crate is served again", || live.status(), || live.status_of(LEAF) == 200);
    assert_eq!(live.status()["upstreams"][1]["state"], "good");
    live.wait_for_log("the upstream of crates answers again");
}

#[test]
fn a_slow_download_continues_while_bytes_arrive() {
    let live = with_large_crate();
    live.upstream.fault_always(&leaf_download_path(&live), Fault::Slow(30_000, Duration::from_millis(100)));
    let answer = live.get(LEAF);
    assert_eq!(answer.status, 200);
    live.wait_for_stored_crates(1);
    assert!(live.get(LEAF).body == answer.body);
}

#[test]
fn a_download_survives_the_disconnect_of_its_first_client() {
    let live = with_large_crate();
    live.upstream.fault_always(&leaf_download_path(&live), Fault::Slow(30_000, Duration::from_millis(100)));
    let url = live.url(LEAF);
    let host = url.strip_prefix("http://").unwrap().split('/').next().unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    write!(stream, "GET {LEAF} HTTP/1.1\r\nHost: {host}\r\n\r\n").unwrap();
    let mut some = [0; 1000];
    stream.read_exact(&mut some).unwrap();
    drop(stream);
    let answer = live.get(LEAF);
    assert_eq!(answer.status, 200);
    live.wait_for_stored_crates(1);
    assert_eq!(live.upstream.request_count(&leaf_download_path(&live)), 1);
    assert!(live.get(LEAF).body == answer.body);
}

#[test]
fn redirects_are_followed_and_content_encodings_refused() {
    let live = LiveServer::new();
    let other = Upstream::start();
    publish_crates(&other);
    let there = format!("{}{}", other.base_url(), other.download_path("leaf", "1.1.0"));
    live.upstream.fault_always(&leaf_download_path(&live), Fault::Redirect(there));
    assert_eq!(live.status_of(LEAF), 200);

    let gzipped = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(b"{\"name\":\"other\"").unwrap();
        encoder.finish().unwrap()
    };
    // Bytes that are no index file, whatever they are called.
    live.upstream.fault_always("/index/ot/he/other", Fault::Body(gzipped));
    assert_eq!(live.status_of("/index/ot/he/other"), 502);
    live.upstream.fault_always("/index/ot/he/other", Fault::Body(b"<html>log in</html>".to_vec()));
    let answer = live.get("/index/ot/he/other");
    assert_eq!(answer.status, 502);
    assert!(String::from_utf8_lossy(&answer.body).contains("is not an index file"), "{:?}", answer.body);
}

#[test]
fn a_killed_cargo_and_a_killed_server_leave_no_partial_files() {
    let live = with_large_crate();
    let app = Project::new("app").dep("leaf", "1").write(&live.sandbox.path("app"));
    let client = live.client();
    client.lock(&app);
    live.upstream.fault_always(&leaf_download_path(&live), Fault::Slow(10_000, Duration::from_millis(100)));
    let url = live.url(LEAF);
    let asking = std::thread::spawn(move || std::panic::catch_unwind(|| get(&url)).is_ok());
    wait::until("the download has begun", || !live.leftover_files().is_empty());
    live.serving.running().signal(rustix::process::Signal::KILL);
    let LiveServer { sandbox, upstream, serving } = live;
    serving.wait(Duration::from_secs(60));
    let _cut = asking.join();
    upstream.clear_faults();
    let serving = start_live(&sandbox);
    let live = LiveServer { sandbox, upstream, serving };
    assert!(live.stored_files().is_empty());
    live.client().cargo(&app, ["fetch", "--locked"]).ok();
    live.wait_for_stored_crates(1);
    live.verify().ok();
}
