//! Popular bodies are sent with sendfile(2): the same bytes, in the same order, and only while they are current.

use std::fs;
use std::thread::{self, sleep};
use std::time::Duration;

use crate::support::sandbox::{RunningServer, Sandbox};
use crate::support::server_fixture::{MirrorTree, RawConnection, get};

/// More than often.
const SENDFILE_REQUESTS: usize = 20;

fn noise(length: usize, seed: u8) -> Vec<u8> {
    (0u8..=250).cycle().map(|n| n ^ seed).take(length).collect()
}

fn start_server(files: &[(&str, &[u8])]) -> (Sandbox, MirrorTree, RunningServer) {
    // Only files that are old enough are cached.
    let sandbox = Sandbox::new().env("FROSTMIRROR_CLOCK_AHEAD", "1");
    let mirror = MirrorTree::at(sandbox.path("mirror"));
    for (path, bytes) in files {
        mirror.write_file(path, bytes);
    }
    let serving = sandbox.serve(["--mirror", "mirror"]);
    (sandbox, mirror, serving)
}

/// How many bodies the server has a second time.
fn memfd_body_count(serving: &RunningServer) -> usize {
    let files = fs::read_dir(format!("/proc/{}/fd", serving.running().pid())).unwrap();
    let targets = files.filter_map(|file| fs::read_link(file.unwrap().path()).ok());
    targets.filter(|target| target.to_string_lossy().starts_with("/memfd:frostmirror")).count()
}

#[test]
fn pipelined_responses_are_complete_and_in_order() {
    let (first, second, small) = (noise(300_000, 1), noise(20_000, 2), noise(100, 3));
    let (_sandbox, _mirror, serving) =
        start_server(&[("dist/first", &first), ("dist/second", &second), ("dist/small", &small)]);
    for _ in 0..SENDFILE_REQUESTS {
        for path in ["/dist/first", "/dist/second", "/dist/small"] {
            get(serving.url(), path, &[]);
        }
    }
    assert_eq!(memfd_body_count(&serving), 2, "the small one is not worth it");
    let mut wire = RawConnection::connect(serving.url());
    for _ in 0..SENDFILE_REQUESTS {
        // All at once: an answer may still be on its way when the next one is begun.
        wire.request("GET", "/dist/first", &[]).request("GET", "/dist/second", &["Range: bytes=5-19000"]);
        wire.request("HEAD", "/dist/first", &[]).request("GET", "/dist/small", &[]);
        wire.request("GET", "/dist/first", &["Range: bytes=200000-"]).request("GET", "/dist/second", &[]);
        assert!(wire.read_reply().body == first);
        assert!(wire.read_reply().body == second[5..=19_000]);
        assert_eq!(wire.read_head().header("content-length"), Some("300000"));
        assert!(wire.read_reply().body == small);
        assert!(wire.read_reply().body == first[200_000..]);
        assert!(wire.read_reply().body == second);
    }
}

#[test]
fn slow_clients_get_the_old_file_and_new_requests_the_new_one() {
    let (old, new) = (noise(500_000, 1), noise(500_000, 2));
    let (_sandbox, mirror, serving) = start_server(&[("dist/file", &old)]);
    for _ in 0..SENDFILE_REQUESTS {
        assert!(get(serving.url(), "/dist/file", &[]).body == old);
    }
    assert_eq!(memfd_body_count(&serving), 1);
    // More than the buffers of a connection take in; what was not begun when the file was replaced is the new one.
    let mut slow = RawConnection::connect(serving.url());
    for _ in 0..SENDFILE_REQUESTS {
        slow.request("GET", "/dist/file", &[]);
    }
    assert!(slow.read_reply().body == old);
    mirror.write_file("dist/file", &new);
    // The server compares a cached file with the disk once in a millisecond; no event marks that.
    sleep(Duration::from_millis(3));
    let others: Vec<_> = (0..4)
        .map(|_| {
            let url = serving.url().to_owned();
            thread::spawn(move || {
                (0..SENDFILE_REQUESTS).all(|_| get(&url, "/dist/file", &[]).body == noise(500_000, 2))
            })
        })
        .collect();
    assert!(others.into_iter().all(|other| other.join().unwrap()));
    let bodies: Vec<Vec<u8>> = (1..SENDFILE_REQUESTS).map(|_| slow.read_reply().body).collect();
    let turned = bodies.iter().position(|body| *body == new).expect("the new body was served before it was requested");
    assert!(bodies[..turned].iter().all(|body| *body == old) && bodies[turned..].iter().all(|body| *body == new));
    for _ in 0..SENDFILE_REQUESTS {
        assert!(get(serving.url(), "/dist/file", &[]).body == new);
    }
    assert_eq!(memfd_body_count(&serving), 1, "the old one is gone");
}
