//! A faulty dist server: no client gets wrong bytes as good ones, none are stored, and stored files are still served.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use rustix::process::Signal;

use super::*;

/// A request whose answer is still unread.
fn send_request(live: &LiveDistServer, path: &str) -> TcpStream {
    let url = live.url(path);
    let rest = url.strip_prefix("http://").unwrap();
    let (host, path) = rest.split_at(rest.find('/').unwrap());
    let mut stream = TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    stream
}

/// The body of an answer, and how many bytes were announced.
fn body_and_content_length(live: &LiveDistServer, path: &str) -> (Vec<u8>, Option<usize>) {
    let mut bytes = Vec::new();
    // A connection that is broken off may be reset.
    let _ended = send_request(live, path).read_to_end(&mut bytes);
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(bytes.len());
    let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
    let announced = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    (bytes.get(end + 4..).unwrap_or_default().to_vec(), announced)
}

#[test]
fn a_component_with_wrong_bytes_is_aborted_and_not_stored() {
    let (live, release) = LiveDistServer::with_large_rustc();
    let path = release.archive_path("rustc", LINUX, "xz");
    live.dist.fault_always(&path, Fault::WrongBytes);
    let (body, announced) = body_and_content_length(&live, &path);
    assert!(announced.is_none_or(|announced| body.len() < announced), "a whole body was given");
    live.wait_until("a mismatch is counted", || live.status()["mismatches"] == 1);
    live.wait_until("nothing is left", || live.leftover_files() == 0);
    assert!(!live.stored_path(&path).exists());
    live.dist.clear_faults();
    live.assert_same_as_upstream(&path);
}

#[test]
fn an_interrupted_component_download_resumes() {
    let (live, release) = LiveDistServer::with_large_rustc();
    let path = release.archive_path("rustc", LINUX, "xz");
    live.dist.fault(&path, [Fault::Truncated(100_000)]);
    live.assert_same_as_upstream(&path);
    let seen = live.dist.requests_to(&path);
    assert_eq!(seen.len(), 2);
    assert!(seen[1].header("range").is_some_and(|range| range.starts_with("bytes=")), "{:?}", seen[1]);
    live.wait_for_stored_file(&path);
    assert_eq!(live.dist.request_count(&path), 2);
}

#[test]
fn a_component_missing_upstream_is_a_404_and_requested_once() {
    let (live, release) = LiveDistServer::with_large_rustc();
    let path = release.archive_path("cargo", LINUX, "xz");
    live.dist.remove_file(&path);
    for _ in 0..3 {
        assert_eq!(live.get(&path).status, 404);
    }
    assert_eq!(live.dist.request_count(&path), 1);
    assert_eq!((&live.status()["failures"], &live.status()["mismatches"]), (&0.into(), &0.into()));
}

#[test]
fn a_release_published_between_digest_and_manifest_is_consistent() {
    // Nothing is held.
    let live = LiveDistServer::new();
    live.dist.publish_after(DIGEST, &Release::stable("1.96.0", "2026-05-28"));
    live.assert_same_as_upstream(DIGEST);
    live.assert_same_as_upstream(MANIFEST);
    // Something is.
    live.dist.publish_after(DIGEST, &Release::stable("1.97.0", "2026-07-09"));
    wait_for_expiry();
    for _ in 0..2 {
        let (digest, manifest) = (live.get(DIGEST), live.get(MANIFEST));
        assert!(digest_matches(&digest, &manifest));
        wait_for_expiry();
    }
    live.assert_same_as_upstream(MANIFEST);
    // What never comes to belong together is not passed on.
    let wrong = Fault::Body(format!("{}  x\n", "0".repeat(64)).into_bytes());
    live.dist.fault_always(DIGEST, wrong.clone());
    live.dist.fault_always("/dist/channel-rust-nightly.toml.sha256", wrong);
    wait_for_expiry();
    let (digest, manifest) = (live.get(DIGEST), live.get(MANIFEST));
    assert!(digest_matches(&digest, &manifest));
    assert!(live.status()["stale"].as_u64() > Some(0));
    let answer = live.get("/dist/channel-rust-nightly.toml");
    assert_eq!(answer.status, 502, "{}", String::from_utf8_lossy(&answer.body));
    assert!(!live.stored_path("/dist/channel-rust-nightly.toml").exists());
}

#[test]
fn a_rustup_release_published_between_digest_and_binary_is_consistent() {
    let live = LiveDistServer::new();
    let path = format!("/rustup/dist/{LINUX}/rustup-init");
    let newer = DistServer::with_builder(Upstream::builder());
    newer.publish_rustup("9.9.10", &[LINUX], b"#!/bin/sh\necho 'a newer one'\n");
    let files = newer.all_files().into_iter().map(|(path, content)| (path, content.to_vec())).collect();
    live.dist.fault(&format!("{path}.sha256"), [Fault::PublishAfter(files)]);
    live.assert_same_as_upstream(&path);
    live.assert_same_as_upstream(&format!("{path}.sha256"));
    live.assert_same_as_upstream("/rustup/release-stable.toml");
    // Bytes that stay wrong are not kept, and the older ones go on.
    let stored = live.get(&path).body;
    live.dist.publish_rustup("9.9.11", &[LINUX], b"#!/bin/sh\necho 'the newest'\n");
    live.dist.fault_always(&path, Fault::WrongBytes);
    wait_for_expiry();
    assert_eq!(live.get(&path).body, stored);
    assert_eq!(live.get(&format!("{path}.sha256")).body, newer.file(&format!("{path}.sha256")).unwrap());
    assert_eq!(live.status()["mismatches"], 1);
    live.wait_until("nothing is left", || live.leftover_files() == 0);
    live.dist.clear_faults();
    // An older copy serves for some seconds before upstream is asked again.
    let digest = format!("{path}.sha256");
    wait::until("the newest digest is served", || {
        Some(live.get(&digest).body.as_slice()) == live.dist.file(&digest).as_deref()
    });
    live.assert_same_as_upstream(&format!("{path}.sha256"));
    live.assert_same_as_upstream(&path);
}

#[test]
fn invalid_and_future_manifests_are_refused() {
    let live = LiveDistServer::in_front_of(DistServer::start(), "");
    for text in ["<html>welcome</html>".to_owned(), Release::stable("9.0.0", "2999-01-01").build().manifest] {
        live.dist.put_file("/dist/channel-rust-beta.toml", text.clone());
        live.dist.put_file("/dist/channel-rust-beta.toml.sha256", hex(&Sha256::digest(&text)));
        let answer = live.get("/dist/channel-rust-beta.toml.sha256");
        assert_eq!(answer.status, 502, "{}", String::from_utf8_lossy(&answer.body));
    }
    assert!(!live.stored_path("/dist/channel-rust-beta.toml").exists());
}

#[test]
fn a_failing_or_slow_upstream_does_not_delay_stored_files() {
    let live = LiveDistServer::new();
    let (digest, manifest) = (live.get(DIGEST), live.get(MANIFEST));
    assert!(digest_matches(&digest, &manifest));
    live.dist.fault_always("/dist/*", Fault::Hang);
    wait_for_expiry();
    let begun = Instant::now();
    assert_eq!(live.get(DIGEST).body, digest.body);
    let first = begun.elapsed();
    assert!(first < Duration::from_secs(20), "{first:?}");
    assert_eq!(live.get(MANIFEST).body, manifest.body);
    assert!(begun.elapsed() - first < first / 2, "only the first one waits");
    live.dist.clear_faults();
    let LiveDistServer { sandbox, dist, serving } = live;
    let url = dist.url().to_owned();
    drop(dist);
    wait_for_expiry();
    let begun = Instant::now();
    for _ in 0..5 {
        assert_eq!(get(&format!("{}{MANIFEST}", serving.url())).body, manifest.body);
    }
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    let status: Value = serde_json::from_slice(&get(&format!("{}/api/status", serving.url())).body).unwrap();
    assert!(status["live"]["stale"].as_u64() > Some(1), "{status}");
    // A missing file is unavailable, which is not reported as absent.
    let answer = get(&format!("{}/dist/channel-rust-nightly.toml.sha256", serving.url()));
    assert!([502, 503].contains(&answer.status), "{}", answer.head);
    assert!(!sandbox.path("mirror/dist/channel-rust-nightly.toml").exists(), "{url}");
}

#[test]
fn upstream_credentials_are_never_revealed() {
    let dist = DistServer::start();
    let sandbox = Sandbox::new().upstream(&dist);
    let url = dist.url().replace("http://", "http://me:hunter2@");
    let sandbox = sandbox.env("FROSTMIRROR_DIST_URL", &url);
    sandbox.write("config/frostmirror.toml", "");
    let serving = start_live(&sandbox);
    let at = |path: &str| get(&format!("{}{path}", serving.url()));
    assert_eq!(at(MANIFEST).status, 200);
    assert!(dist.requests().iter().all(|request| request.header("authorization").is_some()));
    dist.fault_always("/dist/*", Fault::Status(500));
    let component = Release::stable(STABLE.0, STABLE.1).archive_path("rustc", LINUX, "xz");
    let mut output = String::new();
    for path in ["/dist/channel-rust-beta.toml", "/dist/channel-rust-nightly.toml.sha256", &component, "/api/status"] {
        output += &String::from_utf8_lossy(&at(path).body);
    }
    let run = serving.stop();
    output += &run.stdout;
    output += &run.stderr;
    assert!(output.contains("500") && !output.contains("hunter2"), "{output}");
}

#[test]
fn a_download_continues_without_its_client() {
    let (live, release) = LiveDistServer::with_large_rustc();
    let path = release.archive_path("rustc", LINUX, "xz");
    live.dist.fault(&path, [Fault::Slow(50_000, Duration::from_millis(50))]);
    let client = send_request(&live, &path);
    live.wait_until("upstream is asked", || live.dist.request_count(&path) == 1);
    drop(client);
    live.wait_for_stored_file(&path);
    live.assert_same_as_upstream(&path);
    assert_eq!(live.dist.request_count(&path), 1);
    // The same of what is placed as a whole.
    live.dist.publish(&Release::nightly(NIGHTLY.0, NIGHTLY.1));
    live.dist.fault("/dist/channel-rust-nightly.toml", [Fault::Delayed(Duration::from_millis(500))]);
    let client = send_request(&live, "/dist/channel-rust-nightly.toml.sha256");
    live.wait_until("upstream is asked", || live.dist.request_count("/dist/channel-rust-nightly.toml") == 1);
    drop(client);
    live.wait_for_stored_file("/dist/channel-rust-nightly.toml.sha256");
}

#[test]
fn a_killed_server_leaves_no_partial_files() {
    let (live, release) = LiveDistServer::with_large_rustc();
    let path = release.archive_path("rustc", LINUX, "xz");
    live.dist.fault_always(&path, Fault::Slow(20_000, Duration::from_millis(100)));
    let client = send_request(&live, &path);
    live.wait_until("some of it has arrived", || {
        let folder = fs::read_dir(live.sandbox.path("mirror/.frostmirror/live/partial"));
        folder.into_iter().flatten().any(|file| file.unwrap().metadata().is_ok_and(|about| about.len() > 60_000))
    });
    live.serving.running().signal(Signal::KILL);
    drop(client);
    let LiveDistServer { sandbox, dist, serving } = live;
    serving.wait(Duration::from_secs(60));
    let dated = sandbox.read_tree("mirror/dist");
    assert!(dated.keys().all(|path| !path.to_str().unwrap().contains(".tar.")), "{:?}", dated.keys());
    sandbox.run(["verify", "--mirror", "mirror"]).ok();
    dist.clear_faults();
    let live = LiveDistServer { serving: start_live(&sandbox), sandbox, dist };
    live.wait_until("leftover files are removed", || live.leftover_files() == 0);
    live.assert_same_as_upstream(&path);
    live.wait_for_stored_file(&path);
    live.sandbox.run(["verify", "--mirror", "mirror"]).ok();
}
