//! Bundles that are uploaded: whole or not at all, by plain names, and never over what is there.

use std::fs;

use frostmirror::digest::Sha256;
use rustix::process::Signal;
use serde_json::json;

use super::{get_json, json_body, start_server};
use crate::support::sandbox::{BINARY, RunningServer, Sandbox};
use crate::support::server_fixture::{RawConnection, RawReply};
use crate::support::wait;

/// Uploads these bytes.
pub(super) fn upload_file(serving: &RunningServer, name: &str, bytes: &[u8]) -> RawReply {
    let mut wire = begin_upload(serving, name, bytes.len());
    wire.send(bytes).read_reply()
}

/// An upload of which only the head is sent.
fn begin_upload(serving: &RunningServer, name: &str, length: usize) -> RawConnection {
    let mut wire = RawConnection::connect(serving.url());
    wire.send(format!("PUT /api/incoming/{name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n"));
    wire
}

fn start_upload_server() -> (Sandbox, RunningServer) {
    let (sandbox, _mirror, serving) = start_server(&["--incoming", "incoming"]);
    (sandbox, serving)
}

fn incoming_names(sandbox: &Sandbox) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(sandbox.path("incoming"))
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn an_upload_appears_only_when_complete() {
    let (sandbox, serving) = start_upload_server();
    let bytes: Vec<u8> = (0..3_000_000u32).map(|number| number.to_le_bytes()[1]).collect();
    let reply = upload_file(&serving, "big.pkg", &bytes);
    assert_eq!(reply.status, 201, "{}", reply.text());
    let output = json_body(&reply);
    assert_eq!((&output["bytes"], &output["sha256"]), (&json!(bytes.len()), &json!(Sha256::of(&bytes).to_string())));
    assert!(output["hint"].as_str().is_some_and(|hint| hint.contains("--watch-incoming")));
    assert!(fs::read(sandbox.path("incoming/big.pkg")).unwrap() == bytes);
    let listed = get_json(&serving, "/api/incoming")["files"].clone();
    assert_eq!((&listed[0]["file"], &listed[0]["bytes"]), (&json!("big.pkg"), &json!(bytes.len())));
    let again = upload_file(&serving, "big.pkg", b"other");
    assert_eq!((again.status, json_body(&again)["hint"].is_string()), (409, true));
    assert_eq!(upload_file(&serving, "empty.pkg", b"").status, 400);

    // Without a length, and only after the server has said that it wants it.
    let mut wire = RawConnection::connect(serving.url());
    let head = "PUT /api/incoming/chunked.pkg HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n";
    assert_eq!(wire.send(head).read_head().status, 100);
    assert_eq!(wire.send("3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n").read_reply().status, 201);
    assert_eq!(sandbox.read("incoming/chunked.pkg"), "onetwo");
    // What is refused is not even sent.
    let reply = wire.send(head).read_reply();
    assert_eq!(reply.status, 409);
    assert_eq!(incoming_names(&sandbox), ["big.pkg", "chunked.pkg"]);
}

#[test]
fn only_plain_file_names_are_accepted() {
    let (sandbox, serving) = start_upload_server();
    let long = format!("{}.pkg", "a".repeat(200));
    for name in [
        "a.txt",
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
        let reply = upload_file(&serving, name, b"bytes");
        assert_eq!((reply.status, json_body(&reply)["error"].is_string()), (400, true), "{name}");
    }
    // What is encoded twice is a plain name with a percent sign.
    assert_eq!(upload_file(&serving, "%252e%252e%252fa.pkg", b"bytes").status, 201);
    assert_eq!(incoming_names(&sandbox), ["%2e%2e%2fa.pkg"]);
    for path in ["/api/incoming/../a.pkg", "/api/incoming/a/b.pkg", "/api/incoming/%ff.pkg"] {
        let head = format!("PUT {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx");
        let status = RawConnection::connect(serving.url()).send(head).read_reply().status;
        assert!((400..500).contains(&status), "{path}: {status}");
    }
    let refused = |extra: &str| {
        let head =
            format!("PUT /api/incoming/a.pkg HTTP/1.1\r\nHost: localhost\r\n{extra}\r\nContent-Length: 5\r\n\r\nbytes");
        RawConnection::connect(serving.url()).send(head).read_reply().status
    };
    assert_eq!(refused("Content-Encoding: gzip"), 415);
    assert_eq!(refused("Content-Range: bytes 0-4/10"), 415);
    assert_eq!(refused("Origin: http://evil.example"), 403);
    let mut wire = begin_upload(&serving, "huge.pkg", 1 << 60);
    assert_eq!(wire.read_reply().status, 507);
    assert_eq!(incoming_names(&sandbox), ["%2e%2e%2fa.pkg"]);
}

#[test]
fn an_interrupted_upload_leaves_nothing() {
    let (sandbox, serving) = start_upload_server();
    let unfinished =
        |sandbox: &Sandbox| incoming_names(sandbox).iter().filter(|name| name.starts_with(".upload-")).count();
    let mut wires: Vec<RawConnection> =
        (0..4).map(|number| begin_upload(&serving, &format!("{number}.pkg"), 1000)).collect();
    for wire in &mut wires {
        wire.send("beginning");
    }
    wait::until("four uploads have begun", || unfinished(&sandbox) == 4);
    assert_eq!(get_json(&serving, "/api/incoming")["files"], json!([]));
    let fifth = upload_file(&serving, "fifth.pkg", b"bytes");
    assert_eq!((fifth.status, json_body(&fifth)["hint"].is_string()), (429, true));
    drop(wires);
    wait::until("broken uploads are removed", || incoming_names(&sandbox).is_empty());
    assert_eq!(upload_file(&serving, "fifth.pkg", b"bytes").status, 201);

    let mut wire = begin_upload(&serving, "killed.pkg", 1000);
    wire.send("beginning");
    wait::until("an upload has begun", || unfinished(&sandbox) == 1);
    // Another server on the same folder does not take it for abandoned.
    let other = sandbox.serve(["--mirror", "mirror", "--incoming", "incoming"]);
    assert_eq!(unfinished(&sandbox), 1);
    drop(other);
    serving.running().signal(Signal::KILL);
    drop(serving);
    assert_eq!(unfinished(&sandbox), 1);
    let _again = sandbox.serve(["--mirror", "mirror", "--incoming", "incoming"]);
    assert_eq!(incoming_names(&sandbox), ["fifth.pkg"]);
}

#[test]
fn an_upload_to_a_full_disk_leaves_nothing() {
    let sandbox = Sandbox::new();
    // No file may have more than a mebibyte; without the signal's own end, writing more is an error as on a full disk.
    let script = "trap '' XFSZ; ulimit -f 2048; exec \"$@\"";
    let serve = [BINARY, "serve", "--bind", "127.0.0.1:0", "--mirror", "mirror", "--incoming", "incoming"];
    let process = sandbox.other_program("sh", ["-c", script, "sh"].iter().chain(&serve));
    let serving = RunningServer::start(process);
    // Nothing is announced, so that nothing is known before it is too late.
    let mut wire = RawConnection::connect(serving.url());
    let head = "PUT /api/incoming/big.pkg HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    wire.send(head);
    let piece = vec![b'x'; 1_000_000];
    for _ in 0..3 {
        wire.send(format!("{:x}\r\n", piece.len())).send(&piece[..]).send("\r\n");
    }
    let reply = wire.send("0\r\n\r\n").read_reply();
    assert_eq!((reply.status, json_body(&reply)["hint"].is_string()), (507, true), "{}", reply.text());
    wait::until("the incoming folder is empty", || incoming_names(&sandbox).is_empty());
    wait::until("the log reports the full disk", || serving.running().stderr().contains("was answered with 507"));
    assert_eq!(upload_file(&serving, "small.pkg", &piece[..500_000]).status, 201, "it goes on");
    assert_eq!(incoming_names(&sandbox), ["small.pkg"]);
}
