//! A dist server that misbehaves: nobody is given bad bytes for good, nothing bad is kept, and what is held goes on.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use rustix::process::Signal;

use super::*;

/// A request whose answer nobody has read yet.
fn asked(shelf: &Shelf, path: &str) -> TcpStream {
    let url = shelf.url(path);
    let rest = url.strip_prefix("http://").unwrap();
    let (host, path) = rest.split_at(rest.find('/').unwrap());
    let mut stream = TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    stream
}

/// The body of an answer, and how many bytes were announced.
fn raw(shelf: &Shelf, path: &str) -> (Vec<u8>, Option<usize>) {
    let mut bytes = Vec::new();
    // A connection that is broken off may be reset.
    let _ended = asked(shelf, path).read_to_end(&mut bytes);
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(bytes.len());
    let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
    let announced = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    (bytes.get(end + 4..).unwrap_or_default().to_vec(), announced)
}

#[test]
fn a_component_with_wrong_bytes_breaks_off_and_is_not_kept() {
    let (shelf, release) = Shelf::large();
    let path = release.archive_path("rustc", LINUX, "xz");
    shelf.dist.always(&path, Fault::WrongBytes);
    let (body, announced) = raw(&shelf, &path);
    assert!(announced.is_none_or(|announced| body.len() < announced), "a whole body was given");
    shelf.until("a mismatch is counted", || shelf.figures()["mismatches"] == 1);
    shelf.until("nothing is left", || shelf.debris() == 0);
    assert!(!shelf.file(&path).exists());
    shelf.dist.heal();
    shelf.is_as_upstream(&path);
}

#[test]
fn a_component_that_breaks_off_goes_on_where_it_was() {
    let (shelf, release) = Shelf::large();
    let path = release.archive_path("rustc", LINUX, "xz");
    shelf.dist.fault(&path, [Fault::Truncated(100_000)]);
    shelf.is_as_upstream(&path);
    let seen = shelf.dist.seen(&path);
    assert_eq!(seen.len(), 2);
    assert!(seen[1].header("range").is_some_and(|range| range.starts_with("bytes=")), "{:?}", seen[1]);
    shelf.await_placed(&path);
    assert_eq!(shelf.dist.count(&path), 2);
}

#[test]
fn a_component_that_upstream_lost_is_absent_and_asked_for_once() {
    let (shelf, release) = Shelf::large();
    let path = release.archive_path("cargo", LINUX, "xz");
    shelf.dist.take_away(&path);
    for _ in 0..3 {
        assert_eq!(shelf.get(&path).status, 404);
    }
    assert_eq!(shelf.dist.count(&path), 1);
    assert_eq!((&shelf.figures()["failures"], &shelf.figures()["mismatches"]), (&0.into(), &0.into()));
}

#[test]
fn upstream_publishes_between_a_digest_and_its_manifest() {
    // Nothing is held.
    let shelf = Shelf::new();
    shelf.dist.publish_after(DIGEST, &Release::stable("1.96.0", "2026-05-28"));
    shelf.is_as_upstream(DIGEST);
    shelf.is_as_upstream(MANIFEST);
    // Something is.
    shelf.dist.publish_after(DIGEST, &Release::stable("1.97.0", "2026-07-09"));
    age();
    for _ in 0..2 {
        let (digest, manifest) = (shelf.get(DIGEST), shelf.get(MANIFEST));
        assert!(fits(&digest, &manifest));
        age();
    }
    shelf.is_as_upstream(MANIFEST);
    // What never comes to belong together is not passed on.
    let wrong = Fault::Body(format!("{}  x\n", "0".repeat(64)).into_bytes());
    shelf.dist.always(DIGEST, wrong.clone());
    shelf.dist.always("/dist/channel-rust-nightly.toml.sha256", wrong);
    age();
    let (digest, manifest) = (shelf.get(DIGEST), shelf.get(MANIFEST));
    assert!(fits(&digest, &manifest));
    assert!(shelf.figures()["stale"].as_u64() > Some(0));
    let answer = shelf.get("/dist/channel-rust-nightly.toml");
    assert_eq!(answer.status, 502, "{}", String::from_utf8_lossy(&answer.body));
    assert!(!shelf.file("/dist/channel-rust-nightly.toml").exists());
}

#[test]
fn upstream_publishes_rustup_between_its_digest_and_itself() {
    let shelf = Shelf::new();
    let path = format!("/rustup/dist/{LINUX}/rustup-init");
    let newer = Dist::empty(Upstream::builder());
    newer.publish_rustup("9.9.10", &[LINUX], b"#!/bin/sh\necho 'a newer one'\n");
    let files = newer.all_held().into_iter().map(|(path, content)| (path, content.to_vec())).collect();
    shelf.dist.fault(&format!("{path}.sha256"), [Fault::Republished(files)]);
    shelf.is_as_upstream(&path);
    shelf.is_as_upstream(&format!("{path}.sha256"));
    shelf.is_as_upstream("/rustup/release-stable.toml");
    // Bytes that stay wrong are not kept, and the older ones go on.
    let held = shelf.get(&path).body;
    shelf.dist.publish_rustup("9.9.11", &[LINUX], b"#!/bin/sh\necho 'the newest'\n");
    shelf.dist.always(&path, Fault::WrongBytes);
    age();
    assert_eq!(shelf.get(&path).body, held);
    assert_eq!(shelf.get(&format!("{path}.sha256")).body, newer.held(&format!("{path}.sha256")).unwrap());
    assert_eq!(shelf.figures()["mismatches"], 1);
    shelf.until("nothing is left", || shelf.debris() == 0);
    shelf.dist.heal();
    // An older copy serves for some seconds before upstream is asked again.
    std::thread::sleep(Duration::from_secs(6));
    shelf.is_as_upstream(&format!("{path}.sha256"));
    shelf.is_as_upstream(&path);
}

#[test]
fn what_is_no_manifest_or_of_no_day_yet_is_refused() {
    let shelf = Shelf::before(Dist::start(), "");
    for text in ["<html>welcome</html>".to_owned(), Release::stable("9.0.0", "2999-01-01").build().manifest] {
        shelf.dist.put("/dist/channel-rust-beta.toml", text.clone());
        shelf.dist.put("/dist/channel-rust-beta.toml.sha256", hex(&Sha256::digest(&text)));
        let answer = shelf.get("/dist/channel-rust-beta.toml.sha256");
        assert_eq!(answer.status, 502, "{}", String::from_utf8_lossy(&answer.body));
    }
    assert!(!shelf.file("/dist/channel-rust-beta.toml").exists());
}

#[test]
fn an_upstream_that_is_down_or_slow_holds_up_nobody_who_has_a_copy() {
    let shelf = Shelf::new();
    let (digest, manifest) = (shelf.get(DIGEST), shelf.get(MANIFEST));
    assert!(fits(&digest, &manifest));
    shelf.dist.always("/dist/*", Fault::Hang);
    age();
    let begun = Instant::now();
    assert_eq!(shelf.get(DIGEST).body, digest.body);
    let first = begun.elapsed();
    assert!(first < Duration::from_secs(20), "{first:?}");
    assert_eq!(shelf.get(MANIFEST).body, manifest.body);
    assert!(begun.elapsed() - first < first / 2, "only the first one waits");
    shelf.dist.heal();
    let Shelf { sandbox, dist, serving } = shelf;
    let url = dist.url().to_owned();
    drop(dist);
    age();
    let begun = Instant::now();
    for _ in 0..5 {
        assert_eq!(get(&format!("{}{MANIFEST}", serving.url())).body, manifest.body);
    }
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    let status: Value = serde_json::from_slice(&get(&format!("{}/api/status", serving.url())).body).unwrap();
    assert!(status["live"]["stale"].as_u64() > Some(1), "{status}");
    // What is not held cannot be had, and nobody is told that it does not exist.
    let answer = get(&format!("{}/dist/channel-rust-nightly.toml.sha256", serving.url()));
    assert!([502, 503].contains(&answer.status), "{}", answer.head);
    assert!(!sandbox.path("mirror/dist/channel-rust-nightly.toml").exists(), "{url}");
}

#[test]
fn credentials_of_upstream_are_told_to_nobody() {
    let dist = Dist::start();
    let sandbox = Sandbox::new().upstream(&dist);
    let url = dist.url().replace("http://", "http://me:hunter2@");
    let sandbox = sandbox.env("FROSTMIRROR_DIST_URL", &url);
    sandbox.write("config/frostmirror.toml", "");
    let serving = start(&sandbox);
    let at = |path: &str| get(&format!("{}{path}", serving.url()));
    assert_eq!(at(MANIFEST).status, 200);
    assert!(dist.requests().iter().all(|request| request.header("authorization").is_some()));
    dist.always("/dist/*", Fault::Status(500));
    let component = Release::stable(STABLE.0, STABLE.1).archive_path("rustc", LINUX, "xz");
    let mut told = String::new();
    for path in ["/dist/channel-rust-beta.toml", "/dist/channel-rust-nightly.toml.sha256", &component, "/api/status"] {
        told += &String::from_utf8_lossy(&at(path).body);
    }
    let run = serving.stop();
    told += &run.stdout;
    told += &run.stderr;
    assert!(told.contains("500") && !told.contains("hunter2"), "{told}");
}

#[test]
fn a_download_goes_on_when_its_client_has_gone() {
    let (shelf, release) = Shelf::large();
    let path = release.archive_path("rustc", LINUX, "xz");
    shelf.dist.fault(&path, [Fault::Slow(50_000, Duration::from_millis(50))]);
    let client = asked(&shelf, &path);
    shelf.until("upstream is asked", || shelf.dist.count(&path) == 1);
    drop(client);
    shelf.await_placed(&path);
    shelf.is_as_upstream(&path);
    assert_eq!(shelf.dist.count(&path), 1);
    // The same of what is placed as a whole.
    shelf.dist.publish(&Release::nightly(NIGHTLY.0, NIGHTLY.1));
    shelf.dist.fault("/dist/channel-rust-nightly.toml", [Fault::Late(Duration::from_millis(500))]);
    let client = asked(&shelf, "/dist/channel-rust-nightly.toml.sha256");
    shelf.until("upstream is asked", || shelf.dist.count("/dist/channel-rust-nightly.toml") == 1);
    drop(client);
    shelf.await_placed("/dist/channel-rust-nightly.toml.sha256");
}

#[test]
fn a_server_that_is_killed_leaves_nothing_half_done() {
    let (shelf, release) = Shelf::large();
    let path = release.archive_path("rustc", LINUX, "xz");
    shelf.dist.always(&path, Fault::Slow(20_000, Duration::from_millis(100)));
    let client = asked(&shelf, &path);
    shelf.until("some of it has come", || {
        let folder = fs::read_dir(shelf.sandbox.path("mirror/.frostmirror/live/partial"));
        folder.into_iter().flatten().any(|file| file.unwrap().metadata().is_ok_and(|about| about.len() > 60_000))
    });
    shelf.serving.running().signal(Signal::KILL);
    drop(client);
    let Shelf { sandbox, dist, serving } = shelf;
    serving.end(Duration::from_secs(60));
    let dated = sandbox.snapshot("mirror/dist");
    assert!(dated.keys().all(|path| !path.to_str().unwrap().contains(".tar.")), "{:?}", dated.keys());
    sandbox.run(["verify", "--mirror", "mirror"]).ok();
    dist.heal();
    let shelf = Shelf { serving: start(&sandbox), sandbox, dist };
    shelf.until("what is left is removed", || shelf.debris() == 0);
    shelf.is_as_upstream(&path);
    shelf.await_placed(&path);
    shelf.sandbox.run(["verify", "--mirror", "mirror"]).ok();
}
