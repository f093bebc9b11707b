//! Many at once: cargos of which one is killed, downloads by the hundred, unknown names, clients that are slow, an
//! index file that is large.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;

use rustix::process::Signal;

use super::*;
use crate::support::upstream::Fault;
use crate::support::wait;

#[test]
fn killing_one_cargo_does_not_affect_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = Upstream::builder().latency(Duration::from_millis(30)).start();
    let app = publish_workload(&upstream, 24, &folder.path().join("app"));
    upstream.fault_always("/api/*", Fault::Slow(8_000, Duration::from_millis(20)));
    let live = LiveServer::in_front_of(upstream, "");
    let clients: Vec<Client> = (0..5).map(|_| live.client()).collect();
    let mut running: Vec<_> =
        clients.iter().map(|client| client.process(&app, ["fetch", "--locked"]).start()).collect();
    wait::until("three downloads have begun", || live.upstream.downloads().len() >= 3);
    let victim = running.remove(0);
    victim.signal(Signal::KILL);
    assert_eq!(victim.wait(Duration::from_secs(60)).code, 137, "it was in the middle");
    for other in running {
        other.wait(Duration::from_secs(60)).ok();
    }
    live.client().cargo(&app, ["build", "--locked"]).ok();
    live.wait_for_stored_crates(24);
    for path in live.upstream.downloads() {
        assert_eq!(live.upstream.request_count(&path), 1, "{path}");
    }
    live.verify().ok();
}

#[test]
fn a_hundred_downloads_share_a_few_upstream_connections() {
    const FILES: usize = 100;
    let upstream = Upstream::builder().http1().latency(Duration::from_millis(60)).start();
    let packed: Vec<_> = (0..FILES)
        .map(|n| upstream.publish(Crate::new(&format!("many-{n:03}"), "1.0.0").with_extra_bytes(3_000)))
        .collect();
    let live = LiveServer::in_front_of(upstream, "");
    thread::scope(|scope| {
        for one in &packed {
            let url = live.url(&format!("/crates/{}-1.0.0.crate", one.name));
            scope.spawn(move || {
                let answer = get(&url);
                assert_eq!(answer.status, 200, "{url}: {}", String::from_utf8_lossy(&answer.body));
                assert!(answer.body == one.bytes, "{url}");
            });
        }
    });
    assert!(live.upstream.max_connections() <= 8, "{}", live.upstream.max_connections());
    assert_eq!(live.upstream.downloads().len(), FILES);
    live.wait_for_stored_crates(FILES);
    assert_eq!(live.status()["upstreams"][1]["state"], "good");
    live.verify().ok();
}

/// Resident memory of the server in KiB (Linux: proc_pid_status(5)).
fn resident_kib(live: &LiveServer) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/status", live.serving.running().pid())).unwrap();
    let line = text.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn made_up_crate_names_fill_neither_disk_nor_memory() {
    let live = LiveServer::new();
    assert_eq!(live.status_of("/crates/leaf-1.1.0.crate"), 200);
    live.wait_for_stored_crates(1);
    let server = live.serving.url();
    let invent = |names: std::ops::Range<usize>| {
        let names: Vec<usize> = names.collect();
        thread::scope(|scope| {
            for share in names.chunks(names.len() / 8) {
                scope.spawn(move || {
                    for n in share {
                        assert_eq!(get(&format!("{server}/index/in/ve/invented-{n}")).status, 404);
                        assert_eq!(get(&format!("{server}/crates/invented-{n}-1.0.0.crate")).status, 404);
                    }
                });
            }
        });
    };
    invent(0..800);
    let (disk, memory) = (live.sandbox.read_tree("mirror"), resident_kib(&live));
    invent(1_000..4_000);
    let grown = resident_kib(&live).saturating_sub(memory);
    assert!(grown < 12 * 1024, "{grown} KiB for 3,000 names");
    let now = live.sandbox.read_tree("mirror");
    assert_eq!(now.keys().collect::<Vec<_>>(), disk.keys().collect::<Vec<_>>());
    // Upstream received one request for each of them, and no other.
    assert_eq!(live.upstream.downloads().len(), 1);
    assert_eq!(live.upstream.request_count("/index/in/ve/invented-3999"), 1);
}

#[test]
fn a_slow_client_blocks_no_other_and_receives_everything() {
    let upstream = Upstream::start();
    let packed = upstream.publish(Crate::new("leaf", "1.1.0").with_extra_bytes(16_000_000));
    let live = LiveServer::in_front_of(upstream, "");
    let path = "/crates/leaf-1.1.0.crate";
    let host = live.serving.url().strip_prefix("http://").unwrap().to_owned();
    let mut slow = TcpStream::connect(&host).unwrap();
    write!(slow, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut got = vec![0; 4_000];
    slow.read_exact(&mut got).unwrap();
    // Others are not held up by it, nor is the file's way into the mirror.
    assert!(live.get(path).body == packed.bytes);
    live.wait_for_stored_crates(1);
    assert!(live.get(path).body == packed.bytes);
    let mut piece = vec![0; 512 * 1024];
    loop {
        let length = slow.read(&mut piece).unwrap();
        if length == 0 {
            break;
        }
        got.extend_from_slice(&piece[..length]);
        thread::sleep(Duration::from_millis(10));
    }
    let begin = got.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    assert!(got[begin..] == packed.bytes, "{} of {} bytes", got.len() - begin, packed.bytes.len());
    assert_eq!(live.upstream.downloads().len(), 1);
    live.verify().ok();
}

#[test]
fn an_index_file_of_5_mb_is_served_and_prefetched_from() {
    let upstream = Upstream::start();
    let packed = upstream.publish(Crate::new("leaf", "1.9.0"));
    let mut text = String::new();
    for version in 0.. {
        if text.len() > 5_000_000 {
            break;
        }
        text.push_str(&packed.line.replace("1.9.0", &format!("1.0.{version}")));
        text.push('\n');
    }
    text.push_str(&packed.line);
    text.push('\n');
    upstream.set_index("le/af/leaf", &text);
    let live = LiveServer::in_front_of(upstream, "");
    assert!(live.text("/index/le/af/leaf") == text);
    let app = Project::new("app").dep("leaf", "1").write(&live.sandbox.path("app"));
    let client = live.client();
    assert!(client.lock(&app).contains("version = \"1.9.0\""));
    client.cargo(&app, ["build", "--locked"]).ok();
    live.wait_for_stored_crates(1);
    assert_eq!(live.stored_index_file("le/af/leaf"), format!("{}\n", packed.line));
    assert!(live.text("/index/le/af/leaf").lines().count() == text.lines().count());
    assert_eq!(live.upstream.request_count("/index/le/af/leaf"), 1);
    live.verify().ok();
}

#[test]
fn index_files_up_to_16_mib_are_accepted() {
    let upstream = Upstream::start();
    for (name, length) in [("leaf", 16 << 20), ("twig", (16 << 20) + 1)] {
        let line = upstream.publish(Crate::new(name, "1.9.0")).line;
        let padding = " ".repeat(length - line.len() - 1);
        upstream.set_index(&format!("{}/{}/{name}", &name[..2], &name[2..]), &format!("{line}{padding}\n"));
    }
    let live = LiveServer::in_front_of(upstream, "");
    assert_eq!(live.text("/index/le/af/leaf").lines().count(), 1);
    live.sandbox.run(["fetch", "--crate", "leaf@1", "--no-toolchain"]).ok();
    let answer = live.get("/index/tw/ig/twig");
    assert_eq!(answer.status, 502);
    let output = String::from_utf8_lossy(&answer.body);
    assert!(output.contains("the index file of twig") && output.contains("is larger than 16777216 bytes"), "{output}");
    let refused = live.sandbox.run(["fetch", "--crate", "twig@1", "--no-toolchain"]).exits(5);
    refused.stderr_has("`twig`").stderr_has("is larger than 16777216 bytes");
}
