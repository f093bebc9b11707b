//! What a second look at live mode found: who may make whom believe what, and what goes on after a switch-off.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use super::*;
use crate::support::upstream::Fault;
use crate::support::wait;

/// A project with so many crates, each of which depends on the one before.
fn publish_chain(upstream: &Upstream, length: usize) {
    upstream.publish(Crate::new("link0", "1.0.0"));
    for number in 1..length {
        upstream.publish(Crate::new(&format!("link{number}"), "1.0.0").dep(&format!("link{}", number - 1), "^1"));
    }
}

/// A count when it has not grown for more than a second. No event marks the end of the prefetch, so its silence is the
/// condition; a slow machine can only make the count larger.
#[track_caller]
fn settled(count: impl Fn() -> usize) -> usize {
    let until = Instant::now() + Duration::from_secs(60);
    let mut last = count();
    loop {
        std::thread::sleep(Duration::from_millis(1200));
        match count() {
            now if now == last => return now,
            now => last = now,
        }
        assert!(Instant::now() < until, "{last}, and it still grows");
    }
}

#[test]
fn the_answer_to_our_own_via_header_is_not_cached_for_others() {
    let live = LiveServer::with_clock_ahead();
    assert_eq!(live.status_of("/crates/leaf-1.1.0.crate"), 200);
    live.wait_for_stored_crates(1);
    let head = live.get("/index/config.json").head;
    let via = head.lines().find_map(|line| line.to_lowercase().strip_prefix("via: ").map(str::to_owned));
    let via = via.expect("the mirror sends a Via header");
    for _ in 0..2 {
        let own = send_request("GET", &live.url("/index/le/af/leaf"), &[("Via", &via)]);
        let own = String::from_utf8(own.body).unwrap();
        assert!(own.contains("\"1.1.0\"") && !own.contains("\"1.0.0\""), "only the stored version is listed: {own}");
    }
    let text = live.text("/index/le/af/leaf");
    assert!(text.contains("\"1.0.0\""), "another client is offered what upstream has: {text}");
}

#[test]
fn a_download_with_a_wrong_checksum_never_completes() {
    let upstream = Upstream::start();
    upstream.publish(Crate::new("leaf", "1.1.0").with_extra_bytes(300_000));
    let text = upstream.index_text("leaf");
    let at = text.find("\"cksum\":\"").expect("a digest") + 9;
    let wrong = format!("{}{}{}", &text[..at], "ab".repeat(32), &text[at + 64..]);
    upstream.set_index("le/af/leaf", &wrong);
    let live = LiveServer::in_front_of(upstream, "");
    let download = live.upstream.download_path("leaf", "1.1.0");
    live.upstream.fault_always(&download, Fault::Slow(60_000, Duration::from_millis(200)));
    let url = live.url("/crates/leaf-1.1.0.crate");
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: {host}\r\nRange: bytes=100-2099\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut bytes = Vec::new();
    // A connection that is broken off may be reset.
    let _ended = stream.read_to_end(&mut bytes);
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a head") + 4;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    assert!(head.starts_with("HTTP/1.1 206 ") && head.to_lowercase().contains("content-length: 2000"), "{head}");
    assert!(bytes.len() - end < 2000, "a whole part of a crate with another digest was given");
    wait::until("the mismatch is counted", || live.status()["mismatches"] == 1);
}

#[test]
fn an_http_1_0_client_detects_wrong_bytes_without_a_length() {
    // A registry whose downloads are of other bytes than its index says, and of no announced length.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let dl = format!("http://{}/{{crate}}/{{version}}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _request = stream.read(&mut [0; 4096]);
            let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
            let chunk = format!("{:x}\r\n{}\r\n", 100_000, "x".repeat(100_000));
            let _sent = write!(stream, "{head}{chunk}");
            std::thread::sleep(Duration::from_millis(300));
            let _ended = write!(stream, "0\r\n\r\n");
        }
    });
    let upstream = Upstream::builder().dl(&dl).start();
    publish_crates(&upstream);
    let live = LiveServer::in_front_of(upstream, "");
    let url = live.url("/crates/leaf-1.1.0.crate");
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    write!(stream, "GET /{path} HTTP/1.0\r\nHost: {host}\r\n\r\n").unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(500)]).into_owned();
    assert!(text.starts_with("HTTP/1.0 502 "), "{} bytes: {text}", bytes.len());
    wait::until("the mismatch is counted", || live.status()["mismatches"] == 1);
}

#[test]
fn switching_off_stops_index_prefetch() {
    let upstream = Upstream::builder().latency(Duration::from_millis(100)).start();
    publish_chain(&upstream, 60);
    let live = LiveServer::in_front_of(upstream, "");
    assert_eq!(live.status_of("/index/li/nk/link59"), 200);
    wait::until("index files are prefetched", || live.upstream.requests().len() > 4);
    live.change_settings(r#"{"proxy_mode": false}"#);
    // What is under way ends, and nothing follows it.
    let request_count = settled(|| live.upstream.requests().len());
    assert!(request_count < 55, "the guesses were not at their end anyway");
}

#[test]
fn switching_off_stops_crate_prefetch() {
    let upstream = Upstream::builder().latency(Duration::from_millis(200)).start();
    let mut root = Crate::new("root", "1.0.0");
    for number in 0..100 {
        upstream.publish(Crate::new(&format!("link{number}"), "1.0.0"));
        root = root.dep(&format!("link{number}"), "^1");
    }
    upstream.publish(root);
    let live = LiveServer::in_front_of(upstream, "");
    assert_eq!(live.status_of("/index/ro/ot/root"), 200);
    for number in 0..100 {
        let name = format!("link{number}");
        assert_eq!(live.status_of(&format!("/index/{}", crate::support::crates::index_path(&name))), 200);
    }
    // No event shows that the server has processed its last answers.
    std::thread::sleep(Duration::from_millis(500));
    for name in ["root", "link0", "link1"] {
        assert_eq!(live.status_of(&format!("/crates/{name}-1.0.0.crate")), 200);
    }
    live.change_settings(r#"{"proxy_mode": false}"#);
    let request_count = settled(|| live.upstream.downloads().len());
    assert!((4..70).contains(&request_count), "{request_count} crates were asked for, most of them after the end");
}

#[test]
fn prefetched_crates_are_hidden_by_the_deny_list() {
    let upstream = Upstream::start();
    publish_chain(&upstream, 8);
    let live = LiveServer::in_front_of(upstream, "");
    for number in (0..8).rev() {
        assert_eq!(live.status_of(&format!("/index/li/nk/link{number}")), 200);
    }
    for number in [7, 6, 5] {
        assert_eq!(live.status_of(&format!("/crates/link{number}-1.0.0.crate")), 200);
    }
    wait::until("crates are prefetched", || live.upstream.downloads().len() == 8);
    live.change_settings(r#"{"deny": ["link0"]}"#);
    let answer = live.get("/crates/link0-1.0.0.crate");
    assert_eq!(answer.status, 404, "{}", answer.head);
    assert!(String::from_utf8_lossy(&answer.body).contains("its setting `deny` excludes it"));
    assert_eq!(live.status_of("/crates/link1-1.0.0.crate"), 200);
    assert_eq!(live.upstream.request_count(&live.upstream.download_path("link1", "1.0.0")), 1, "it had come already");
}

#[test]
fn a_recovering_upstream_closes_the_breaker_for_all_requests() {
    let upstream = Upstream::start();
    upstream.publish(Crate::new("leaf", "1.1.0").with_extra_bytes(300_000));
    upstream.publish(Crate::new("other", "0.1.0"));
    let live = LiveServer::in_front_of(upstream, "");
    let download = live.upstream.download_path("leaf", "1.1.0");
    live.upstream.fault_always(&download, Fault::Status(500));
    wait::until("the upstream of crates counts as down", || {
        live.status_of("/crates/leaf-1.1.0.crate");
        live.status()["upstreams"][1]["state"] == "down"
    });
    live.upstream.clear_faults();
    live.upstream.fault_always(&download, Fault::Slow(20_000, Duration::from_millis(300)));
    // Any request after the cooldown of five seconds would be the probe, so that nothing else shows its end.
    std::thread::sleep(Duration::from_millis(5500));
    let request_count = live.upstream.request_count(&download);
    let url = live.url("/crates/leaf-1.1.0.crate");
    let large = std::thread::spawn(move || get(&url).status);
    wait::until("the large download has begun", || live.upstream.request_count(&download) > request_count);
    let answer = live.get("/crates/other-0.1.0.crate");
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    assert_eq!(large.join().unwrap(), 200);
}

#[test]
fn a_full_disk_is_not_visible_to_clients() {
    let live = LiveServer::new();
    let folder = live.sandbox.path("mirror/.frostmirror/live");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("partial"), "in the way").unwrap();
    let answer = live.get("/crates/leaf-1.1.0.crate");
    assert_eq!(answer.status, 507);
    let body = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(body.contains("could not store leaf 1.1.0") && !body.contains("frostmirror"), "{body}");
    wait::until("the log names the partial files", || live.serving.running().stderr().contains("partial"));
}
