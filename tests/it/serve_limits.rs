//! What a client may ask of the server: headers, bodies, connections.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::support::crates::Crate;
use crate::support::sandbox::{BINARY, RunningServer, Sandbox};
use crate::support::server_fixture::{MirrorTree, RawConnection, get};

fn start_server() -> (Sandbox, MirrorTree, RunningServer) {
    let sandbox = Sandbox::new();
    let mirror = MirrorTree::at(sandbox.path("mirror"));
    mirror.add_crate(Crate::new("alpha", "1.0.0"));
    let serving = sandbox.serve(["--mirror", "mirror"]);
    (sandbox, mirror, serving)
}

#[test]
fn header_size_and_count_are_limited() {
    let (_sandbox, _mirror, serving) = start_server();
    let path = "/index/al/ph/alpha";
    let many = |count: usize| (0..count).map(|n| format!("X-{n}: y\r\n")).collect::<String>();
    let requested = |more: &str| {
        let mut wire = RawConnection::connect(serving.url());
        wire.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n{more}Connection: close\r\n\r\n"));
        wire.read_head().status
    };
    assert_eq!(requested(&many(90)), 200);
    assert_eq!(requested(&many(200)), 431);
    assert_eq!(requested(&format!("X-Long: {}\r\n", "a".repeat(8_000))), 200);
    assert_eq!(requested(&format!("X-Long: {}\r\n", "a".repeat(200_000))), 431);
    // A line that never ends is not read for ever.
    let mut wire = RawConnection::connect(serving.url());
    wire.send(format!("GET /{}", "a".repeat(66_000)));
    let output = String::from_utf8_lossy(&wire.read_to_end()).into_owned();
    assert!(output.starts_with("HTTP/1.1 4"), "{output}");
    assert_eq!(get(serving.url(), path, &[]).status, 200);
}

#[test]
fn unexpected_request_bodies_are_discarded_or_refused() {
    let (_sandbox, _mirror, serving) = start_server();
    let mut wire = RawConnection::connect(serving.url());
    wire.send("GET /index/al/ph/alpha HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(wire.read_reply().status, 200);
    wire.send("GET /index/al/ph/alpha HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n");
    assert_eq!(wire.read_reply().status, 200);
    assert_eq!(wire.request("GET", "/healthz", &[]).read_reply().text(), "ok\n");
    // One that would go on for long: it is answered, and then nothing more is read.
    for method in ["GET", "POST"] {
        let address = serving.url().trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(60))).unwrap();
        let head = format!("{method} /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut sent = 0;
        let piece = [0; 64 * 1024];
        while let Ok(more @ 1..) = stream.write(&piece) {
            sent += more;
            assert!(sent < 200 << 20, "{method}: the server goes on reading");
        }
    }
    assert_eq!(get(serving.url(), "/healthz", &[]).status, 200);
}

#[test]
fn unfinished_requests_give_way_to_complete_ones() {
    let sandbox = Sandbox::new();
    MirrorTree::at(sandbox.path("mirror")).add_crate(Crate::new("alpha", "1.0.0"));
    // Descriptors for some hundred connections, and three times as many that want one.
    let script = format!("ulimit -n 300; exec {BINARY} serve -q --bind 127.0.0.1:0 --mirror mirror");
    let serving = RunningServer::start(sandbox.other_program("sh", ["-c", script.as_str()]));
    let address = serving.url().trim_start_matches("http://").to_owned();
    let mut kept = RawConnection::connect(serving.url());
    let half_open: Vec<TcpStream> = (0..400)
        .map(|n| {
            let mut stream = TcpStream::connect(&address).unwrap();
            if n % 2 == 0 {
                stream.write_all(b"GET /index/al/ph/alpha HTTP/1.1\r\nHost: a\r\nX-Slow: ").unwrap();
            }
            stream
        })
        .collect();
    let begun = Instant::now();
    for _ in 0..20 {
        assert_eq!(get(serving.url(), "/crates/alpha-1.0.0.crate", &[]).status, 200);
    }
    assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());
    // The first one was of no use for longest.
    assert!(kept.read_to_end().is_empty());
    drop(half_open);
}

#[test]
fn idle_connections_do_not_block_active_ones() {
    const IDLE: usize = 2000;
    const ACTIVE: usize = 200;
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < 4096) {
        limit.current = Some(limit.maximum.map_or(4096, |most| most.min(4096)));
        setrlimit(Resource::Nofile, limit).unwrap();
    }
    let (_sandbox, _mirror, serving) = start_server();
    let address = serving.url().trim_start_matches("http://").to_owned();
    let ask = |stream: &mut TcpStream| {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let mut output = [0; 512];
        let length = stream.read(&mut output).unwrap();
        assert!(output[..length].starts_with(b"HTTP/1.1 200 OK\r\n"));
    };
    let mut idle: Vec<TcpStream> = (0..IDLE)
        .map(|_| {
            let mut stream = TcpStream::connect(&address).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
            ask(&mut stream);
            stream
        })
        .collect();
    let url = serving.url();
    thread::scope(|scope| {
        for _ in 0..ACTIVE {
            scope.spawn(move || {
                let mut wire = RawConnection::connect(url);
                for _ in 0..20 {
                    assert_eq!(wire.request("GET", "/index/al/ph/alpha", &[]).read_reply().status, 200);
                    assert_eq!(wire.request("GET", "/crates/alpha-1.0.0.crate", &[]).read_reply().status, 200);
                }
            });
        }
    });
    idle.iter_mut().for_each(ask);
}

#[test]
fn a_file_in_place_of_a_folder_is_refused() {
    let sandbox = Sandbox::new();
    sandbox.write("one.pkg", "");
    for flag in ["--mirror", "--incoming", "--config-dir"] {
        let run = sandbox.run(["serve", "--bind", "127.0.0.1:0", flag, "one.pkg"]).exits(3);
        run.stderr_has("one.pkg` is not a folder").stderr_has("hint: give");
    }
    for verb in ["gc", "list", "status"] {
        sandbox.run([verb, "--mirror", "one.pkg"]).exits(3).stderr_has("is not a folder").stderr_has("`inspect`");
    }
}
