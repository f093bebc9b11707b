//! The server under load, while the mirror changes, and at its end.

use std::fs;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::crates::Crate;
use crate::support::published::{Published, Wire, get};
use crate::support::run::Run;
use crate::support::sandbox::{Sandbox, Serving};

/// More than the buffers of a connection on loopback take in.
const LARGE: usize = 24 << 20;

fn serving() -> (Sandbox, Published, Serving) {
    let sandbox = Sandbox::new();
    let mirror = Published::at(sandbox.path("mirror"));
    let serving = sandbox.serve(["--mirror", "mirror"]);
    (sandbox, mirror, serving)
}

fn noise(length: usize, seed: u8) -> Vec<u8> {
    (0u8..=250).cycle().map(|n| n ^ seed).take(length).collect()
}

#[test]
fn an_import_is_served_at_once() {
    let (sandbox, mirror, serving) = serving();
    assert!(!sandbox.path("mirror").exists());
    assert_eq!(get(serving.url(), "/index/al/ph/alpha", &[]).status, 404);
    assert_eq!(get(serving.url(), "/index/config.json", &[]).status, 200);
    assert_eq!(get(serving.url(), "/crates/alpha-1.0.0.crate", &[]).status, 404);
    fs::create_dir(sandbox.path("mirror")).unwrap();
    assert_eq!(get(serving.url(), "/index/al/ph/alpha", &[]).status, 404);
    for version in ["1.0.0", "1.0.1", "1.0.2"] {
        let packed = mirror.hold(Crate::new("alpha", version));
        let index = get(serving.url(), "/index/al/ph/alpha", &["Accept-Encoding: identity"]).text();
        assert!(index.ends_with(&format!("{}\n", packed.line)), "{index}");
        assert!(get(serving.url(), &format!("/crates/alpha-{version}.crate"), &[]).body == packed.bytes);
    }
    fs::remove_file(sandbox.path("mirror/index/al/ph/alpha")).unwrap();
    assert_eq!(get(serving.url(), "/index/al/ph/alpha", &[]).status, 404, "nothing is served from memory");
}

#[test]
fn a_file_that_is_replaced_while_it_is_sent_stays_the_one_it_was() {
    let (_sandbox, mirror, serving) = serving();
    mirror.put("dist/large", &noise(LARGE, 1));
    let mut wire = Wire::to(serving.url());
    let head = wire.request("GET", "/dist/large", &[]).head();
    assert_eq!(head.header("content-length"), Some(LARGE.to_string().as_str()));
    mirror.put("dist/large", &noise(LARGE, 2));
    assert!(wire.read(LARGE) == noise(LARGE, 1));
    let second = wire.request("GET", "/dist/large", &[]).reply();
    assert!(second.body == noise(LARGE, 2) && second.header("etag") != head.header("etag"));
    fs::remove_file(mirror.root().join("dist/large")).unwrap();
    assert_eq!(wire.request("GET", "/dist/large", &[]).reply().status, 404);
}

#[test]
fn slow_clients_hold_nobody_up() {
    let (_sandbox, mirror, serving) = serving();
    mirror.put("dist/large", &noise(LARGE, 3));
    mirror.hold(Crate::new("alpha", "1.0.0"));
    // Some read nothing of what they asked for, some never finish asking, some say nothing at all.
    let mut lazy: Vec<Wire> = (0..100).map(|_| Wire::to(serving.url())).collect();
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
    assert_eq!(lazy[0].head().status, 200);
    assert!(lazy[0].read(LARGE) == noise(LARGE, 3));
    assert_eq!(lazy[1].send("x\r\n\r\n").reply().status, 200);
}

#[test]
fn many_at_once_all_get_what_they_asked_for() {
    let (_sandbox, mirror, serving) = serving();
    let names: Vec<String> = (0..20).map(|n| format!("crate{n}")).collect();
    let packed: Vec<Vec<u8>> = names
        .iter()
        .enumerate()
        .map(|(n, name)| mirror.hold(Crate::new(name, "1.0.0").weighing(n * 9_000)).bytes)
        .collect();
    let url = serving.url();
    thread::scope(|scope| {
        for client in 0..40 {
            let (names, packed) = (&names, &packed);
            scope.spawn(move || {
                let mut wire = Wire::to(url);
                for round in 0..25 {
                    let n = (client * 7 + round * 3) % names.len();
                    let reply = wire.request("GET", &format!("/crates/{}-1.0.0.crate", names[n]), &[]).reply();
                    assert!(reply.status == 200 && reply.body == packed[n], "{} {}", names[n], reply.status);
                    let path = format!("/index/cr/at/{}", names[n]);
                    let index = wire.request("GET", &path, &["Accept-Encoding: identity"]).reply().text();
                    assert!(index.contains(&format!("{:?}", names[n])), "{index}");
                }
            });
        }
    });
}

/// Asks a server to end while a client is in the middle of a large file; the client, which goes on reading.
fn ending(signal: Signal) -> (Sandbox, Serving, Wire) {
    let (sandbox, mirror, serving) = serving();
    mirror.put("dist/large", &noise(LARGE, 4));
    let mut wire = Wire::to(serving.url());
    assert_eq!(wire.request("GET", "/dist/large", &[]).head().status, 200);
    assert!(wire.read(1000) == noise(1000, 4));
    serving.running().signal(signal);
    let until = Instant::now() + Duration::from_secs(60);
    let address = serving.url().trim_start_matches("http://").to_owned();
    while TcpStream::connect(&address).is_ok() {
        assert!(Instant::now() < until, "nothing more is accepted");
        thread::sleep(Duration::from_millis(10));
    }
    (sandbox, serving, wire)
}

#[test]
fn what_is_in_flight_is_finished() {
    for signal in [Signal::TERM, Signal::INT] {
        let (_sandbox, serving, mut wire) = ending(signal);
        assert!(wire.read(LARGE - 1000) == noise(LARGE, 4)[1000..]);
        assert!(wire.rest().is_empty(), "the connection is closed after it");
        let run = ended(serving);
        assert_eq!(run.code, 0, "{}", run.told());
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let (_sandbox, serving, mut wire) = ending(Signal::TERM);
    let begun = Instant::now();
    serving.running().signal(Signal::INT);
    let run = ended(serving);
    assert_eq!(run.code, 130, "{}", run.told());
    assert!(begun.elapsed() < Duration::from_secs(25));
    assert!(wire.rest().len() < LARGE - 1000);
}

#[test]
fn idle_connections_do_not_delay_the_end() {
    let (_sandbox, _mirror, serving) = serving();
    let mut idle = Wire::to(serving.url());
    assert_eq!(idle.request("GET", "/index/config.json", &[]).reply().status, 200);
    let _fresh = Wire::to(serving.url());
    let begun = Instant::now();
    serving.stop().ok().stdout_has("listening on http://127.0.0.1:");
    assert!(begun.elapsed() < Duration::from_secs(25));
    assert!(idle.rest().is_empty());
}

#[test]
fn an_address_that_is_not_to_be_had() {
    let (sandbox, _mirror, serving) = serving();
    let taken = serving.url().trim_start_matches("http://");
    let incoming = ["serve", "--bind", taken, "--incoming", "in"];
    sandbox.run(incoming).exits(3).stderr_has("`--incoming` without `--watch-incoming`");
    sandbox.run(incoming.iter().chain(&["--watch-incoming"])).exits(3).stderr_lacks("of no use");
    sandbox.run(["serve", "--bind", taken]).exits(3).stderr_has("already in use").stderr_has("hint:");
    for bad in ["nonsense", "127.0.0.1", "127.0.0.1:99999", "192.0.2.1:0", ""] {
        sandbox.run(["serve", "--bind", bad]).exits(3).stderr_has("hint:");
    }
    let by_variable = sandbox.process(["serve", "-q"]).envs([
        ("FROSTMIRROR_BIND", "127.0.0.1:0"),
        ("FROSTMIRROR_MIRROR", "elsewhere"),
        ("FROSTMIRROR_BASE_URL", "http://named:1"),
    ]);
    let by_variable = Serving::of(by_variable);
    Published::at(sandbox.path("elsewhere")).put("manifest.json", b"{\"here\":1}");
    assert_eq!(get(by_variable.url(), "/manifest.json", &[]).text(), "{\"here\":1}");
    assert!(get(by_variable.url(), "/index/config.json", &[]).text().contains("http://named:1/crates/"));
}

fn ended(serving: Serving) -> Run {
    serving.end(Duration::from_secs(60))
}
