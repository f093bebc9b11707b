//! What the server answers from memory is what it answers from the disk, and no older.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use crate::support::crates::Crate;
use crate::support::sandbox::{RunningServer, Sandbox};
use crate::support::server_fixture::{MirrorTree, RawConnection, RawReply, get};

/// Files that are younger than this are read for each answer.
const CACHEABLE_AGE: Duration = Duration::from_millis(2300);
/// What is in memory is compared with the disk in each millisecond.
const REVALIDATION_TIME: Duration = Duration::from_millis(3);

fn start_server() -> (Sandbox, MirrorTree, RunningServer) {
    let sandbox = Sandbox::new();
    let mirror = MirrorTree::at(sandbox.path("mirror"));
    for n in 0..40 {
        mirror.add_crate(Crate::new("alpha", &format!("1.0.{n}")));
    }
    mirror.add_crate(Crate::new("big", "1.0.0").with_extra_bytes(300_000));
    mirror.write_file("dist/channel-rust-stable.toml", b"manifest-version = \"2\"\n");
    let serving = sandbox.serve(["--mirror", "mirror"]);
    (sandbox, mirror, serving)
}

/// Like [`start_server`], but the clock is ahead: files count as old enough for the cache at once.
fn start_caching_server() -> (Sandbox, MirrorTree, RunningServer) {
    let (sandbox, mirror, _serving) = start_server();
    let sandbox = sandbox.env("FROSTMIRROR_CLOCK_AHEAD", "1");
    let serving = sandbox.serve(["--mirror", "mirror"]);
    (sandbox, mirror, serving)
}

/// Status, headers but for the time of day, and body.
fn comparable_reply(mut reply: RawReply) -> (u16, Vec<(String, String)>, Vec<u8>) {
    reply.headers.retain(|(name, _)| name != "date");
    reply.headers.sort();
    (reply.status, reply.headers, reply.body)
}

#[test]
fn cached_and_uncached_responses_are_identical() {
    let (_sandbox, _mirror, serving) = start_server();
    let paths = [
        "/index/al/ph/alpha",
        "/crates/alpha-1.0.0.crate",
        "/crates/alpha/1.0.0/download",
        "/crates/big-1.0.0.crate",
        "/dist/channel-rust-stable.toml",
    ];
    let every = || {
        let mut answers = Vec::new();
        let mut wire = RawConnection::connect(serving.url());
        for path in paths {
            let first = get(serving.url(), path, &[]);
            let gzipped = get(serving.url(), path, &["Accept-Encoding: gzip"]);
            let tag = first.header("etag").unwrap().to_owned();
            let zipped_tag = gzipped.header("etag").unwrap().to_owned();
            let date = first.header("last-modified").unwrap().to_owned();
            answers.extend([comparable_reply(first), comparable_reply(gzipped)]);
            for headers in [
                vec![format!("If-None-Match: {tag}")],
                vec![format!("If-None-Match: W/{tag}, \"x\""), "Accept-Encoding: gzip".to_owned()],
                vec![format!("If-None-Match: {zipped_tag}"), "Accept-Encoding: gzip".to_owned()],
                vec!["If-None-Match: \"x\"".to_owned()],
                vec![format!("If-Modified-Since: {date}")],
                vec!["If-Match: \"x\"".to_owned()],
                vec!["If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT".to_owned()],
                vec!["Range: bytes=2-11".to_owned()],
                vec!["Range: bytes=-4".to_owned(), format!("If-Range: {tag}")],
                vec!["Range: bytes=-4".to_owned(), "If-Range: \"x\"".to_owned()],
                vec!["Range: bytes=0-1".to_owned(), "Accept-Encoding: gzip".to_owned()],
                vec!["Range: bytes=9999999-".to_owned()],
            ] {
                let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
                answers.push(comparable_reply(wire.request("GET", path, &headers).read_reply()));
                answers.push(comparable_reply(wire.request("HEAD", path, &headers).read_head()));
            }
        }
        answers
    };
    let from_disk = every();
    sleep(CACHEABLE_AGE);
    let read_once = every();
    let from_memory = every();
    for (n, disk) in from_disk.iter().enumerate() {
        assert!(*disk == read_once[n] && *disk == from_memory[n], "{n}: {:?} {:?}", disk.1, from_memory[n].1);
    }
    let statuses: Vec<u16> = from_disk.iter().map(|answer| answer.0).collect();
    for status in [200, 206, 304, 412, 416] {
        assert!(statuses.contains(&status), "{status}");
    }
    // A Host that is none is refused in front of memory too.
    let mut wire = RawConnection::connect(serving.url());
    wire.send("GET /crates/alpha-1.0.0.crate HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n");
    assert_eq!(wire.read_reply().status, 400);
}

#[test]
fn replaced_and_removed_files_are_no_longer_served_from_the_cache() {
    let (_sandbox, mirror, serving) = start_caching_server();
    let mut wire = RawConnection::connect(serving.url());
    let mut ask = |path: &str| wire.request("GET", path, &["Accept-Encoding: identity"]).read_reply();
    for path in ["/index/al/ph/alpha", "/index/bi/g/big", "/crates/alpha-1.0.0.crate", "/dist/channel-rust-stable.toml"]
    {
        ask(path);
        ask(path);
    }
    let packed = mirror.add_crate(Crate::new("alpha", "2.0.0"));
    sleep(REVALIDATION_TIME);
    assert!(ask("/index/al/ph/alpha").text().ends_with(&format!("{}\n", packed.line)));
    mirror.write_file("dist/channel-rust-stable.toml", b"manifest-version = \"3\"\n");
    fs::remove_file(mirror.root().join("crates/alpha-1.0.0.crate")).unwrap();
    sleep(REVALIDATION_TIME);
    assert_eq!(ask("/dist/channel-rust-stable.toml").text(), "manifest-version = \"3\"\n");
    assert_eq!(ask("/crates/alpha-1.0.0.crate").status, 404);
    assert_eq!(ask("/crates/alpha-1.0.1.crate").status, 200);
    // The whole tree gives place to another one.
    fs::rename(mirror.root(), mirror.root().with_extension("old")).unwrap();
    sleep(REVALIDATION_TIME);
    assert_eq!(ask("/crates/alpha-1.0.1.crate").status, 404);
    fs::rename(mirror.root().with_extension("old"), mirror.root()).unwrap();
    sleep(REVALIDATION_TIME);
    assert_eq!(ask("/crates/alpha-1.0.1.crate").status, 200);
}

#[test]
fn after_a_new_version_was_served_no_older_file_is_served() {
    let (_sandbox, mirror, serving) = start_server();
    mirror.add_crate(Crate::new("beta", "1.0.0"));
    // With the real clock: files replaced within one step of the file system's clock must not be cached.
    sleep(CACHEABLE_AGE);
    let mut wire = RawConnection::connect(serving.url());
    // An import places what is depended on first. Who saw the dependent's new line sees the other one too, at once.
    for n in 0..300 {
        let text = |wire: &mut RawConnection, path: &str| {
            wire.request("GET", path, &["Accept-Encoding: identity"]).read_reply().text()
        };
        text(&mut wire, "/index/al/ph/alpha");
        let (on, by) = (format!("alpha {n}\n"), format!("beta {n}\n"));
        mirror.write_file("index/al/ph/alpha", on.as_bytes());
        mirror.write_file("index/be/ta/beta", by.as_bytes());
        if text(&mut wire, "/index/be/ta/beta") == by {
            assert_eq!(text(&mut wire, "/index/al/ph/alpha"), on);
        }
        if n == 150 {
            sleep(CACHEABLE_AGE);
        }
    }
}
