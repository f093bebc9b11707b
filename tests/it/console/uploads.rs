//! Bundles that are uploaded: whole or not at all, by plain names, and never over what is there.

use std::fs;

use frostmirror::digest::Sha256;
use rustix::process::Signal;
use serde_json::json;

use super::{body, read, serving, until};
use crate::support::published::{Reply, Wire};
use crate::support::sandbox::{BINARY, Sandbox, Serving};

/// Uploads these bytes.
pub(super) fn put(serving: &Serving, name: &str, bytes: &[u8]) -> Reply {
    let mut wire = begun(serving, name, bytes.len());
    wire.send(bytes).reply()
}

/// An upload of which only the head is sent.
fn begun(serving: &Serving, name: &str, length: usize) -> Wire {
    let mut wire = Wire::to(serving.url());
    wire.send(format!("PUT /api/incoming/{name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n"));
    wire
}

fn world() -> (Sandbox, Serving) {
    let (sandbox, _mirror, serving) = serving(&["--incoming", "incoming"]);
    (sandbox, serving)
}

fn names(sandbox: &Sandbox) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(sandbox.path("incoming"))
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn an_upload_appears_when_it_is_whole() {
    let (sandbox, serving) = world();
    let bytes: Vec<u8> = (0..3_000_000u32).map(|number| number.to_le_bytes()[1]).collect();
    let reply = put(&serving, "big.pkg", &bytes);
    assert_eq!(reply.status, 201, "{}", reply.text());
    let told = body(&reply);
    assert_eq!((&told["bytes"], &told["sha256"]), (&json!(bytes.len()), &json!(Sha256::of(&bytes).to_string())));
    assert!(told["hint"].as_str().is_some_and(|hint| hint.contains("--watch-incoming")));
    assert!(fs::read(sandbox.path("incoming/big.pkg")).unwrap() == bytes);
    let listed = read(&serving, "/api/incoming")["files"].clone();
    assert_eq!((&listed[0]["file"], &listed[0]["bytes"]), (&json!("big.pkg"), &json!(bytes.len())));
    let again = put(&serving, "big.pkg", b"other");
    assert_eq!((again.status, body(&again)["hint"].is_string()), (409, true));
    assert_eq!(put(&serving, "empty.pkg", b"").status, 400);

    // Without a length, and only after the server has said that it wants it.
    let mut wire = Wire::to(serving.url());
    let head = "PUT /api/incoming/chunked.pkg HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n";
    assert_eq!(wire.send(head).head().status, 100);
    assert_eq!(wire.send("3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n").reply().status, 201);
    assert_eq!(sandbox.read("incoming/chunked.pkg"), "onetwo");
    // What is refused is not even sent.
    let reply = wire.send(head).reply();
    assert_eq!(reply.status, 409);
    assert_eq!(names(&sandbox), ["big.pkg", "chunked.pkg"]);
}

#[test]
fn only_plain_names_are_taken() {
    let (sandbox, serving) = world();
    let long = format!("{}.pkg", "a".repeat(200));
    for name in [
        "a.txt",
        "a.PKG",
        ".a.pkg",
        ".pkg",
        "..%2fa.pkg",
        "%2e%2e%2f%2e%2e%2fa.pkg",
        "..%5ca.pkg",
        "a%00.pkg",
        "a%0a.pkg",
        "a%1b.pkg",
        "%2Ftmp%2Fa.pkg",
        "%e2%80%ae.pkg",
        "%20a.pkg",
        &long,
    ] {
        let reply = put(&serving, name, b"bytes");
        assert_eq!((reply.status, body(&reply)["error"].is_string()), (400, true), "{name}");
    }
    // What is encoded twice is a plain name with a percent sign.
    assert_eq!(put(&serving, "%252e%252e%252fa.pkg", b"bytes").status, 201);
    assert_eq!(names(&sandbox), ["%2e%2e%2fa.pkg"]);
    for path in ["/api/incoming/../a.pkg", "/api/incoming/a/b.pkg", "/api/incoming/%ff.pkg"] {
        let head = format!("PUT {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx");
        let status = Wire::to(serving.url()).send(head).reply().status;
        assert!((400..500).contains(&status), "{path}: {status}");
    }
    let refused = |extra: &str| {
        let head =
            format!("PUT /api/incoming/a.pkg HTTP/1.1\r\nHost: localhost\r\n{extra}\r\nContent-Length: 5\r\n\r\nbytes");
        Wire::to(serving.url()).send(head).reply().status
    };
    assert_eq!(refused("Content-Encoding: gzip"), 415);
    assert_eq!(refused("Content-Range: bytes 0-4/10"), 415);
    assert_eq!(refused("Origin: http://evil.example"), 403);
    let mut wire = begun(&serving, "huge.pkg", 1 << 60);
    assert_eq!(wire.reply().status, 507);
    assert_eq!(names(&sandbox), ["%2e%2e%2fa.pkg"]);
}

#[test]
fn nothing_is_left_of_what_breaks_off() {
    let (sandbox, serving) = world();
    let unfinished = |sandbox: &Sandbox| names(sandbox).iter().filter(|name| name.starts_with(".upload-")).count();
    let mut wires: Vec<Wire> = (0..4).map(|number| begun(&serving, &format!("{number}.pkg"), 1000)).collect();
    for wire in &mut wires {
        wire.send("beginning");
    }
    until("four uploads", || unfinished(&sandbox) == 4);
    assert_eq!(read(&serving, "/api/incoming")["files"], json!([]));
    let fifth = put(&serving, "fifth.pkg", b"bytes");
    assert_eq!((fifth.status, body(&fifth)["hint"].is_string()), (429, true));
    drop(wires);
    until("the end of what broke off", || names(&sandbox).is_empty());
    assert_eq!(put(&serving, "fifth.pkg", b"bytes").status, 201);

    let mut wire = begun(&serving, "killed.pkg", 1000);
    wire.send("beginning");
    until("an upload", || unfinished(&sandbox) == 1);
    // Another server on the same folder does not take it for abandoned.
    let other = sandbox.serve(["--mirror", "mirror", "--incoming", "incoming"]);
    assert_eq!(unfinished(&sandbox), 1);
    drop(other);
    serving.running().signal(Signal::KILL);
    drop(serving);
    assert_eq!(unfinished(&sandbox), 1);
    let _again = sandbox.serve(["--mirror", "mirror", "--incoming", "incoming"]);
    assert_eq!(names(&sandbox), ["fifth.pkg"]);
}

#[test]
fn a_disk_that_takes_no_more_leaves_nothing_behind() {
    let sandbox = Sandbox::new();
    // No file may have more than a mebibyte; without the signal's own end, writing more is an error as on a full disk.
    let words = "trap '' XFSZ; ulimit -f 2048; exec \"$@\"";
    let serve = [BINARY, "serve", "--bind", "127.0.0.1:0", "--mirror", "mirror", "--incoming", "incoming"];
    let process = sandbox.process_of("sh", ["-c", words, "sh"].iter().chain(&serve));
    let serving = Serving::of(process);
    // Nothing is announced, so that nothing is known before it is too late.
    let mut wire = Wire::to(serving.url());
    let head = "PUT /api/incoming/big.pkg HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    wire.send(head);
    let piece = vec![b'x'; 1_000_000];
    for _ in 0..3 {
        wire.send(format!("{:x}\r\n", piece.len())).send(&piece[..]).send("\r\n");
    }
    let reply = wire.send("0\r\n\r\n").reply();
    assert_eq!((reply.status, body(&reply)["hint"].is_string()), (507, true), "{}", reply.text());
    until("an empty folder", || names(&sandbox).is_empty());
    until("a word of it in the log", || serving.running().stderr().contains("was answered with 507"));
    assert_eq!(put(&serving, "small.pkg", &piece[..500_000]).status, 201, "it goes on");
    assert_eq!(names(&sandbox), ["small.pkg"]);
}
