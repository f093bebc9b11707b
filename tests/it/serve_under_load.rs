//! The server under load, while the mirror changes, and at its end.

use std::fs;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::crates::Crate;
use crate::support::process::Run;
use crate::support::sandbox::{RunningServer, Sandbox};
use crate::support::server_fixture::{MirrorTree, RawConnection, get};
use crate::support::wait;

/// More than the buffers of a connection on loopback take in.
const LARGE: usize = 24 << 20;

fn start_server() -> (Sandbox, MirrorTree, RunningServer) {
    let sandbox = Sandbox::new();
    let mirror = MirrorTree::at(sandbox.path("mirror"));
    let serving = sandbox.serve(["--mirror", "mirror"]);
    (sandbox, mirror, serving)
}

fn noise(length: usize, seed: u8) -> Vec<u8> {
    (0u8..=250).cycle().map(|n| n ^ seed).take(length).collect()
}

#[test]
fn imported_crates_are_served_at_once() {
    let (sandbox, mirror, serving) = start_server();
    assert!(!sandbox.path("mirror").exists());
    assert_eq!(get(serving.url(), "/index/al/ph/alpha", &[]).status, 404);
    assert_eq!(get(serving.url(), "/index/config.json", &[]).status, 200);
    assert_eq!(get(serving.url(), "/crates/alpha-1.0.0.crate", &[]).status, 404);
    fs::create_dir(sandbox.path("mirror")).unwrap();
    assert_eq!(get(serving.url(), "/index/al/ph/alpha", &[]).status, 404);
    for version in ["1.0.0", "1.0.1", "1.0.2"] {
        let packed = mirror.add_crate(Crate::new("alpha", version));
        let index = get(serving.url(), "/index/al/ph/alpha", &["Accept-Encoding: identity"]).text();
        assert!(index.ends_with(&format!("{}\n", packed.line)), "{index}");
        assert!(get(serving.url(), &format!("/crates/alpha-{version}.crate"), &[]).body == packed.bytes);
    }
    fs::remove_file(sandbox.path("mirror/index/al/ph/alpha")).unwrap();
    assert_eq!(get(serving.url(), "/index/al/ph/alpha", &[]).status, 404, "nothing is served from memory");
}

#[test]
fn a_file_replaced_during_a_download_is_sent_unchanged() {
    let (_sandbox, mirror, serving) = start_server();
    mirror.write_file("dist/large", &noise(LARGE, 1));
    let mut wire = RawConnection::connect(serving.url());
    let head = wire.request("GET", "/dist/large", &[]).read_head();
    assert_eq!(head.header("content-length"), Some(LARGE.to_string().as_str()));
    mirror.write_file("dist/large", &noise(LARGE, 2));
    assert!(wire.read_bytes(LARGE) == noise(LARGE, 1));
    let second = wire.request("GET", "/dist/large", &[]).read_reply();
    assert!(second.body == noise(LARGE, 2) && second.header("etag") != head.header("etag"));
    fs::remove_file(mirror.root().join("dist/large")).unwrap();
    assert_eq!(wire.request("GET", "/dist/large", &[]).read_reply().status, 404);
}

#[test]
fn slow_clients_do_not_block_others() {
    let (_sandbox, mirror, serving) = start_server();
    mirror.write_file("dist/large", &noise(LARGE, 3));
    mirror.add_crate(Crate::new("alpha", "1.0.0"));
    // Some read nothing of what they asked for, some never finish asking, some say nothing at all.
    let mut lazy: Vec<RawConnection> = (0..100).map(|_| RawConnection::connect(serving.url())).collect();
    for (n, wire) in lazy.iter_mut().enumerate() {
        match n % 3 {
            0 => drop(wire.request("GET", "/dist/large", &[])),
            1 => drop(wire.send("GET /index/al/ph/alpha HTTP/1.1\r\nHost: a\r\nX-Slow: ")),
            _ => {}
        }
    }
    let begun = Instant::now();
    for _ in 0..50 {
        assert_eq!(get(serving.url(), "/crates/alpha-1.0.0.crate", &[]).status, 200);
    }
    assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());
    // One of the slow ones wakes up and gets all of it.
    assert_eq!(lazy[0].read_head().status, 200);
    assert!(lazy[0].read_bytes(LARGE) == noise(LARGE, 3));
    assert_eq!(lazy[1].send("x\r\n\r\n").read_reply().status, 200);
}

#[test]
fn many_concurrent_requests_are_all_answered_correctly() {
    let (_sandbox, mirror, serving) = start_server();
    let names: Vec<String> = (0..20).map(|n| format!("crate{n}")).collect();
    let packed: Vec<Vec<u8>> = names
        .iter()
        .enumerate()
        .map(|(n, name)| mirror.add_crate(Crate::new(name, "1.0.0").with_extra_bytes(n * 9_000)).bytes)
        .collect();
    let url = serving.url();
    thread::scope(|scope| {
        for client in 0..40 {
            let (names, packed) = (&names, &packed);
            scope.spawn(move || {
                let mut wire = RawConnection::connect(url);
                for round in 0..25 {
                    let n = (client * 7 + round * 3) % names.len();
                    let reply = wire.request("GET", &format!("/crates/{}-1.0.0.crate", names[n]), &[]).read_reply();
                    assert!(reply.status == 200 && reply.body == packed[n], "{} {}", names[n], reply.status);
                    let path = format!("/index/cr/at/{}", names[n]);
                    let index = wire.request("GET", &path, &["Accept-Encoding: identity"]).read_reply().text();
                    assert!(index.contains(&format!("{:?}", names[n])), "{index}");
                }
            });
        }
    });
}

/// Asks a server to end while a client is in the middle of a large file; the client, which goes on reading.
fn server_shutting_down(signal: Signal) -> (Sandbox, RunningServer, RawConnection) {
    let (sandbox, mirror, serving) = start_server();
    mirror.write_file("dist/large", &noise(LARGE, 4));
    let mut wire = RawConnection::connect(serving.url());
    assert_eq!(wire.request("GET", "/dist/large", &[]).read_head().status, 200);
    assert!(wire.read_bytes(1000) == noise(1000, 4));
    serving.running().signal(signal);
    let address = serving.url().trim_start_matches("http://").to_owned();
    wait::until("the server accepts no new connection", || TcpStream::connect(&address).is_err());
    (sandbox, serving, wire)
}

#[test]
fn shutdown_finishes_running_downloads() {
    for signal in [Signal::TERM, Signal::INT] {
        let (_sandbox, serving, mut wire) = server_shutting_down(signal);
        assert!(wire.read_bytes(LARGE - 1000) == noise(LARGE, 4)[1000..]);
        assert!(wire.read_to_end().is_empty(), "the connection is closed after it");
        let run = wait_for_exit(serving);
        assert_eq!(run.code, 0, "{}", run.describe());
    }
}

#[test]
fn a_second_signal_stops_the_server_at_once() {
    let (_sandbox, serving, mut wire) = server_shutting_down(Signal::TERM);
    let begun = Instant::now();
    serving.running().signal(Signal::INT);
    let run = wait_for_exit(serving);
    assert_eq!(run.code, 130, "{}", run.describe());
    assert!(begun.elapsed() < Duration::from_secs(25));
    assert!(wire.read_to_end().len() < LARGE - 1000);
}

#[test]
fn idle_connections_do_not_delay_shutdown() {
    let (_sandbox, _mirror, serving) = start_server();
    let mut idle = RawConnection::connect(serving.url());
    assert_eq!(idle.request("GET", "/index/config.json", &[]).read_reply().status, 200);
    let _fresh = RawConnection::connect(serving.url());
    let begun = Instant::now();
    serving.stop().ok().stdout_has("listening on http://127.0.0.1:");
    assert!(begun.elapsed() < Duration::from_secs(25));
    assert!(idle.read_to_end().is_empty());
}

#[test]
fn an_unusable_bind_address_is_an_input_error() {
    let (sandbox, _mirror, serving) = start_server();
    let taken = serving.url().trim_start_matches("http://");
    let incoming = ["serve", "--bind", taken, "--incoming", "in"];
    sandbox.run(incoming).exits(3).stderr_has("`--incoming` without `--watch-incoming`");
    sandbox.run(incoming.iter().chain(&["--watch-incoming"])).exits(3).stderr_lacks("of no use");
    sandbox
        .run(["serve", "--bind", taken])
        .exits(3)
        .stderr_has("already in use")
        .stderr_has("hint: `cargo-frostmirror` with pid");
    for bad in ["nonsense", "127.0.0.1", "127.0.0.1:99999", "192.0.2.1:0", ""] {
        sandbox.run(["serve", "--bind", bad]).exits(3).stderr_has("hint:");
    }
    let by_variable = sandbox.process(["serve", "-q"]).envs([
        ("FROSTMIRROR_BIND", "127.0.0.1:0"),
        ("FROSTMIRROR_MIRROR", "elsewhere"),
        ("FROSTMIRROR_BASE_URL", "http://named:1"),
    ]);
    let by_variable = RunningServer::start(by_variable);
    MirrorTree::at(sandbox.path("elsewhere")).write_file("manifest.json", b"{\"here\":1}");
    assert_eq!(get(by_variable.url(), "/manifest.json", &[]).text(), "{\"here\":1}");
    assert!(get(by_variable.url(), "/index/config.json", &[]).text().contains("http://named:1/crates/"));
}

fn wait_for_exit(serving: RunningServer) -> Run {
    serving.wait(Duration::from_secs(60))
}
