//! The server's answers, byte by byte: paths, conditions, ranges, encodings, hosts.

use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;

use crate::support::crates::Crate;
use crate::support::sandbox::{BINARY, RunningServer, Sandbox};
use crate::support::server_fixture::{MirrorTree, RawConnection, RawReply, get, head};
use crate::support::wait;

const SECRET: &str = "unreadable content";

/// A mirror with a small crate, a big one, index text, and files around it that are none of anyone's business.
fn start_server() -> (Sandbox, MirrorTree, RunningServer) {
    let sandbox = Sandbox::new();
    let mirror = MirrorTree::at(sandbox.path("mirror"));
    for version in ["1.0.0", "1.0.1", "1.1.0", "2.0.0"] {
        mirror.add_crate(Crate::new("alpha", version));
    }
    mirror.add_crate(Crate::new("Inflector", "0.11.4"));
    mirror.add_crate(Crate::new("zz-sys", "1.0.0+zstd.1.5.5"));
    mirror.add_crate(Crate::new("big", "1.0.0").with_extra_bytes(300_000));
    mirror.write_file("dist/channel-rust-stable.toml", b"manifest-version = \"2\"\n");
    mirror.write_file("rustup/release-stable.toml", b"schema-version = \"1\"\n");
    mirror.write_file("manifest.json", b"{}\n");
    mirror.write_file(".frostmirror/ledger", SECRET.as_bytes());
    mirror.write_file("notes.txt", SECRET.as_bytes());
    let outside = sandbox.write("secret.txt", SECRET);
    symlink(&outside, mirror.root().join("dist/link.txt")).unwrap();
    symlink("../../", mirror.root().join("dist/up")).unwrap();
    symlink("../.frostmirror", mirror.root().join("dist/hidden")).unwrap();
    symlink("channel-rust-stable.toml", mirror.root().join("dist/inside.toml")).unwrap();
    let serving = sandbox.serve(["--mirror", "mirror"]);
    (sandbox, mirror, serving)
}

#[test]
fn hostile_paths_are_rejected() {
    let (sandbox, mirror, serving) = start_server();
    let secret = sandbox.path("secret.txt");
    let secret = secret.to_str().unwrap();
    let encoded = secret.replace('/', "%2F");
    let twice = secret.replace('/', "%252F");
    let mut paths: Vec<String> = Vec::new();
    for tree in ["index", "crates", "dist", "rustup", "rustup/dist", "index/al/ph", ""] {
        for hostile in [
            secret,
            &encoded,
            &twice,
            "../secret.txt",
            "../../secret.txt",
            "..%2Fsecret.txt",
            "%2e%2e/secret.txt",
            "%2E%2E%2fsecret.txt",
            "%252e%252e/secret.txt",
            "..%5Csecret.txt",
            "..\\secret.txt",
            "x/../../secret.txt",
            "./../secret.txt",
            "...//secret.txt",
            "%00",
            "secret.txt%00.crate",
            "%0d%0aX-Evil:1",
            "%ff%fe",
            ".frostmirror/ledger",
            "%2efrostmirror/ledger",
            "../.frostmirror/ledger",
            "../notes.txt",
            "up/secret.txt",
            "hidden/ledger",
            "link.txt",
            "C:%5Csecret.txt",
            "c:/secret.txt",
            "~/secret.txt",
            ".",
            "..",
            "",
        ] {
            paths.push(format!("/{tree}/{hostile}"));
            paths.push(format!("/{tree}//{hostile}"));
        }
    }
    let fixed = ["/notes.txt", "/.frostmirror/ledger", "/crates/index/al/ph/alpha", "/crates/index", "/config.toml"];
    paths.extend(fixed.map(str::to_owned));
    paths.extend(["/crates/alpha/%2e%2e/download", "/crates/%2F/1.0.0/download", "/etc/passwd"].map(str::to_owned));
    paths.push(format!("http://mirror.test{secret}"));
    paths.push(format!("/{}", "a/".repeat(3000)));
    paths.push(format!("/dist/{}", "a".repeat(3000)));
    let root = mirror.root().to_str().unwrap();
    for path in paths.iter().filter(|path| !path.trim_matches('/').is_empty()) {
        let reply = get(serving.url(), path, &["Connection: close"]);
        assert!([404, 400].contains(&reply.status), "{path}: {reply:?}");
        let output = format!("{:?} {}", reply.headers, reply.text());
        assert!(!output.contains(SECRET) && !output.contains(root) && !output.contains("evil"), "{path}: {output}");
    }
    // Paths that no client library would send.
    for line in
        ["GET .. HTTP/1.1", "GET secret.txt HTTP/1.1", "GET  / HTTP/1.1", "GET /\u{1} HTTP/1.1", "GET * HTTP/1.1"]
    {
        let reported = RawConnection::connect(serving.url())
            .send(format!("{line}\r\nHost: a\r\nConnection: close\r\n\r\n"))
            .read_to_end();
        let reported = String::from_utf8_lossy(&reported).into_owned();
        assert!(reported.starts_with("HTTP/1.1 4") && !reported.contains(SECRET), "{line}: {reported}");
    }
}

#[test]
fn equivalent_spellings_of_a_path_are_accepted() {
    let (_sandbox, mirror, serving) = start_server();
    let on_disk = |path: &str| fs::read(mirror.root().join(path)).unwrap();
    let odd = "crates/zz-sys-1.0.0+zstd.1.5.5.crate";
    for (requested, stored) in [
        ("/index/al/ph/alpha", "index/al/ph/alpha"),
        ("//index//al/ph//alpha", "index/al/ph/alpha"),
        ("/index/in/fl/inflector", "index/in/fl/inflector"),
        ("/crates/Inflector-0.11.4.crate", "crates/Inflector-0.11.4.crate"),
        ("/crates/Inflector/0.11.4/download", "crates/Inflector-0.11.4.crate"),
        ("/crates/zz-sys-1.0.0+zstd.1.5.5.crate", odd),
        ("/crates/zz-sys-1.0.0%2Bzstd.1.5.5.crate", odd),
        ("/crates/zz-sys-1.0.0%2bzstd.1.5.5.crate?query=is+ignored", odd),
        ("/crates/zz-sys/1.0.0+zstd.1.5.5/download", odd),
        ("/crates/zz%2Dsys/1.0.0%2Bzstd.1.5.5/download", odd),
        ("http://mirror.test/crates/big-1.0.0.crate", "crates/big-1.0.0.crate"),
        ("//dist/channel-rust-stable.toml", "dist/channel-rust-stable.toml"),
        ("/dist/inside.toml", "dist/channel-rust-stable.toml"),
        ("/rustup/release-stable.toml", "rustup/release-stable.toml"),
        ("/manifest.json", "manifest.json"),
    ] {
        let reply = get(serving.url(), requested, &[]);
        assert_eq!(reply.status, 200, "{requested}");
        assert!(reply.body == on_disk(stored), "{requested}");
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
    }
    for absent in
        ["/index/AL/PH/alpha", "/index/al/ph/Alpha", "/crates/zz-sys-1.0.0 zstd.1.5.5.crate", "/index/be/ta/beta"]
    {
        let absent = absent.replace(' ', "%20");
        assert_eq!(get(serving.url(), &absent, &[]).status, 404, "{absent}");
    }
    assert_eq!(get(serving.url(), "/healthz", &[]).text(), "ok\n");
    let front = get(serving.url(), "/", &[]);
    assert!(front.text().contains("index = \"sparse+http://mirror.test/index/\""), "{}", front.text());
}

#[test]
fn only_get_and_head_are_allowed() {
    let (_sandbox, mirror, serving) = start_server();
    let before = fs::read(mirror.root().join("manifest.json")).unwrap();
    for path in ["/index/al/ph/alpha", "/crates/alpha-1.0.0.crate", "/dist/x", "/manifest.json", "/", "/nothing"] {
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"] {
            let reply = RawConnection::connect(serving.url())
                .request(method, path, &["Content-Length: 2", ""])
                .send("{}")
                .read_reply();
            assert_eq!((reply.status, reply.header("allow")), (405, Some("GET, HEAD")), "{method} {path}");
        }
    }
    assert_eq!(fs::read(mirror.root().join("manifest.json")).unwrap(), before);
}

#[test]
fn conditional_requests_work_for_index_and_crates() {
    let (_sandbox, _mirror, serving) = start_server();
    for path in ["/index/al/ph/alpha", "/crates/alpha-1.0.0.crate", "/dist/channel-rust-stable.toml"] {
        let first = get(serving.url(), path, &[]);
        let etag = first.header("etag").unwrap().to_owned();
        let modified = first.header("last-modified").unwrap().to_owned();
        assert!(etag.starts_with('"') && etag.ends_with('"'), "a strong tag: {etag}");
        let old = "Sat, 01 Jan 2000 00:00:00 GMT";
        for (lines, status) in [
            (vec![format!("If-None-Match: {etag}")], 304),
            (vec![format!("If-None-Match: W/{etag}")], 304),
            (vec![format!("If-None-Match: \"x\", {etag}")], 304),
            (vec!["If-None-Match: \"x\"".to_owned(), format!("If-None-Match: {etag}")], 304),
            (vec!["If-None-Match: *".to_owned()], 304),
            (vec!["If-None-Match: \"x\"".to_owned()], 200),
            (vec![format!("If-Modified-Since: {modified}")], 304),
            (vec![format!("If-Modified-Since: {old}")], 200),
            (vec!["If-Modified-Since: once".to_owned()], 200),
            (vec!["If-None-Match: \"x\"".to_owned(), format!("If-Modified-Since: {modified}")], 200),
            (vec![format!("If-None-Match: {etag}"), format!("If-Modified-Since: {old}")], 304),
            (vec!["If-Match: \"x\"".to_owned()], 412),
            (vec![format!("If-Unmodified-Since: {old}")], 412),
        ] {
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let reply = get(serving.url(), path, &lines);
            assert_eq!(reply.status, status, "{path} {lines:?}");
            assert_eq!(reply.header("etag"), Some(etag.as_str()), "{path} {lines:?}");
            if status == 304 {
                assert!(reply.body.is_empty() && reply.header("last-modified").is_some());
                assert_eq!(head(serving.url(), path, &lines).status, 304);
            }
        }
    }
}

#[test]
fn the_etag_of_an_index_file_depends_on_its_content() {
    let (_sandbox, mirror, serving) = start_server();
    let tag = || get(serving.url(), "/index/al/ph/alpha", &[]).header("etag").unwrap().to_owned();
    let first = tag();
    let text = fs::read(mirror.root().join("index/al/ph/alpha")).unwrap();
    mirror.write_file("index/al/ph/alpha", &text);
    assert_eq!(tag(), first, "the same bytes in another file");
    mirror.add_crate(Crate::new("alpha", "3.0.0"));
    assert_ne!(tag(), first);
    mirror.write_file("index/al/ph/alpha", &text);
    assert_eq!(tag(), first);
}

#[test]
fn index_files_are_compressed_on_request() {
    let (_sandbox, mirror, serving) = start_server();
    let path = "/index/al/ph/alpha";
    let text = fs::read(mirror.root().join("index/al/ph/alpha")).unwrap();
    let plain = get(serving.url(), path, &[]);
    let zipped = get(serving.url(), path, &["Accept-Encoding: deflate, gzip"]);
    assert_eq!(zipped.header("content-encoding"), Some("gzip"));
    assert!(zipped.body.len() < text.len());
    let mut unzipped = Vec::new();
    flate2::read::GzDecoder::new(&zipped.body[..]).read_to_end(&mut unzipped).unwrap();
    assert!(unzipped == text && plain.body == text);
    let tags = [plain.header("etag").unwrap(), zipped.header("etag").unwrap()];
    assert_ne!(tags[0], tags[1]);
    for reply in [&plain, &zipped] {
        assert_eq!(reply.header("vary"), Some("Accept-Encoding"));
        assert_eq!(reply.header("content-type"), Some("text/plain; charset=utf-8"));
    }
    for tag in tags {
        let again = get(serving.url(), path, &["Accept-Encoding: gzip", &format!("If-None-Match: {tag}")]);
        assert_eq!((again.status, again.header("etag")), (304, Some(tag)));
        assert_eq!(again.header("vary"), Some("Accept-Encoding"));
    }
    // Who does not take gzip now has no use for the tag of the gzipped form.
    assert_eq!(get(serving.url(), path, &[&format!("If-None-Match: {}", tags[1])]).status, 200);
    for refused in ["identity", "gzip;q=0", "gzip;q=0, *", "br", "*;q=0"] {
        let reply = get(serving.url(), path, &[&format!("Accept-Encoding: {refused}")]);
        assert_eq!((reply.header("content-encoding"), &reply.body), (None, &text), "{refused}");
    }
    let small = get(serving.url(), "/index/in/fl/inflector", &["Accept-Encoding: gzip"]);
    assert_eq!((small.header("content-encoding"), small.header("vary")), (None, Some("Accept-Encoding")));
    for opaque in ["/crates/big-1.0.0.crate", "/crates/alpha-1.0.0.crate", "/dist/channel-rust-stable.toml"] {
        let reply = get(serving.url(), opaque, &["Accept-Encoding: gzip, deflate, br, *"]);
        assert_eq!((reply.status, reply.header("content-encoding")), (200, None), "{opaque}");
    }
    assert_eq!(
        get(serving.url(), "/crates/big-1.0.0.crate", &[]).header("content-type"),
        Some("application/octet-stream")
    );
}

#[test]
fn range_and_head_requests_work() {
    let (_sandbox, mirror, serving) = start_server();
    let path = "/crates/big-1.0.0.crate";
    let bytes = fs::read(mirror.root().join("crates/big-1.0.0.crate")).unwrap();
    let size = bytes.len();
    let whole = get(serving.url(), path, &[]);
    let etag = whole.header("etag").unwrap().to_owned();
    let modified = whole.header("last-modified").unwrap().to_owned();
    assert!(whole.body == bytes && whole.header("accept-ranges") == Some("bytes"));
    for (range, from, to) in [
        ("0-0".to_owned(), 0, 1),
        ("10-99999".to_owned(), 10, 100_000),
        (format!("{}-", size - 7), size - 7, size),
        ("5-99999999999".to_owned(), 5, size),
        ("-70000".to_owned(), size - 70_000, size),
        ("-99999999".to_owned(), 0, size),
    ] {
        let reply = get(serving.url(), path, &[&format!("Range: bytes={range}")]);
        assert_eq!(reply.status, 206, "{range}");
        assert_eq!(reply.header("content-range"), Some(format!("bytes {from}-{}/{size}", to - 1).as_str()));
        assert!(reply.body == bytes[from..to], "{range}");
        assert_eq!(reply.header("etag"), Some(etag.as_str()));
    }
    for range in ["bytes=0-1,5-6", "bytes=9-3", "bytes=x", "items=0-1"] {
        let reply = get(serving.url(), path, &[&format!("Range: {range}")]);
        assert!(reply.status == 200 && reply.body == bytes, "{range}");
    }
    for range in [format!("{size}-"), "99999999-".to_owned(), "-0".to_owned()] {
        let reply = get(serving.url(), path, &[&format!("Range: bytes={range}")]);
        let output = reply.header("content-range").map(str::to_owned);
        assert_eq!((reply.status, output), (416, Some(format!("bytes */{size}"))), "{range}");
    }
    for (condition, status) in [
        (etag.as_str(), 206),
        (&format!("W/{etag}"), 200),
        ("\"x\"", 200),
        (&modified, 206),
        ("Sat, 01 Jan 2000 00:00:00 GMT", 200),
    ] {
        let reply = get(serving.url(), path, &["Range: bytes=1-2", &format!("If-Range: {condition}")]);
        assert_eq!(reply.status, status, "{condition}");
    }
    let not_modified = get(serving.url(), path, &["Range: bytes=1-2", &format!("If-None-Match: {etag}")]);
    assert_eq!(not_modified.status, 304, "preconditions come before ranges");
    for path in [path, "/index/al/ph/alpha", "/index/config.json", "/", "/healthz", "/manifest.json"] {
        let (get, head) = (get(serving.url(), path, &[]), head(serving.url(), path, &["Range: bytes=0-0"]));
        let without_date =
            |reply: &RawReply| reply.headers.iter().filter(|h| h.0 != "date").cloned().collect::<Vec<_>>();
        assert_eq!((head.status, without_date(&head)), (200, without_date(&get)), "{path}");
    }
    // After a HEAD there is no body, and the connection goes on.
    let mut wire = RawConnection::connect(serving.url());
    wire.request("HEAD", path, &[]).read_head();
    assert!(wire.request("GET", path, &[]).read_reply().body == bytes);
}

#[test]
fn config_json_is_built_from_the_request_host() {
    let (sandbox, _mirror, serving) = start_server();
    let ask = |lines: &str| {
        RawConnection::connect(serving.url()).send(format!("GET /index/config.json {lines}\r\n\r\n")).read_reply()
    };
    let dl = |reply: &RawReply| {
        let config: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
        let api = config["api"].as_str().unwrap().to_owned();
        assert_eq!(config["dl"], format!("{api}/crates/{{crate}}-{{version}}.crate"));
        api
    };
    for host in ["mirror.test", "mirror.test:8080", "10.0.0.1", "[::1]:80", "a_b-c.d", "MIRROR"] {
        assert_eq!(dl(&ask(&format!("HTTP/1.1\r\nHost: {host}"))), format!("http://{host}"));
    }
    let long = "a".repeat(300);
    for host in [
        "", "a b", "a/b", "a/../b", "a\"b", "a{crate}", "a\\b", "user@a", "a?b", "a#b", "a:b", "a:", "a:70000", "a,b",
        "[::1", "<script>", "a%0d%0a", "\u{e4}", &long,
    ] {
        let reply = ask(&format!("HTTP/1.1\r\nHost: {host}"));
        assert_eq!(reply.status, 400, "{host}: {}", reply.text());
        assert!(host.len() < 3 || !reply.text().contains(host), "not repeated: {host}");
    }
    assert_eq!(ask("HTTP/1.1").status, 400, "HTTP/1.1 needs a Host");
    assert_eq!(ask("HTTP/1.1\r\nHost: a\r\nHost: b").status, 400);
    assert_eq!(dl(&ask("HTTP/1.0")), serving.url());
    assert_eq!(dl(&ask("HTTP/1.0\r\nHost: old")), "http://old");
    let forwarded = "HTTP/1.1\r\nHost: a\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Proto: https\r\nForwarded: host=evil";
    assert_eq!(dl(&ask(forwarded)), "https://a", "without a token, a proxy on this machine sets the scheme alone");
    sandbox.write("untrusting/frostmirror.toml", "trusted_proxies = []\n");
    let untrusting = sandbox.serve(["--mirror", "mirror", "--config-dir", "untrusting"]);
    let reply = RawConnection::connect(untrusting.url())
        .send(format!("GET /index/config.json {forwarded}\r\n\r\n"))
        .read_reply();
    assert_eq!(dl(&reply), "http://a");
    let absolute =
        RawConnection::connect(serving.url()).request("GET", "http://other:1/index/config.json", &[]).read_reply();
    assert_eq!(dl(&absolute), "http://other:1", "the request line's own host comes first");

    let fixed = sandbox.serve(["--mirror", "mirror", "--base-url", "https://rust.example/crates/"]);
    let reply = get(fixed.url(), "/index/config.json", &["X-Forwarded-Host: evil"]);
    assert_eq!(dl(&reply), "https://rust.example/crates");
    assert!(get(fixed.url(), "/", &[]).text().contains("sparse+https://rust.example/crates/index/"));
    for bad in ["rust.example", "ftp://x", "http://a b", "http://a/{crate}"] {
        sandbox.run(["serve", "--base-url", bad]).exits(3).stderr_has("hint:");
    }
}

#[test]
fn cargo_requests_get_http_1_1_responses_with_a_length() {
    let (_sandbox, _mirror, serving) = start_server();
    let mut wire = RawConnection::connect(serving.url());
    let h2c = ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAQAAAAIAAAAA"];
    for path in ["/crates/alpha-1.0.0.crate", "/index/al/ph/alpha", "/crates/alpha-1.0.1.crate"] {
        let output = wire.request("GET", path, &h2c).read_once();
        let start = String::from_utf8_lossy(&output[..40.min(output.len())]).into_owned();
        assert!(output.starts_with(b"HTTP/1.1 200 OK\r\n"), "{start}");
        let head = output.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        let lines = String::from_utf8_lossy(&output[..head]).to_ascii_lowercase();
        let length: usize =
            lines.split_once("content-length: ").unwrap().1.split_once('\r').unwrap().0.parse().unwrap();
        assert_eq!(output.len(), head + length, "head and body leave in one write: {path}");
        assert!(!lines.contains("upgrade"), "{lines}");
    }
    let preface = RawConnection::connect(serving.url()).send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").read_to_end();
    assert!(!preface.starts_with(b"HTTP/1.1 2"));
}

#[test]
fn only_a_missing_crate_has_a_404_body_with_a_hint() {
    let (sandbox, _mirror, serving) = start_server();
    for path in ["/crates/itoa-1.0.11.crate", "/crates/itoa/1.0.11/download"] {
        let reply = get(serving.url(), path, &[]);
        assert_eq!((reply.status, reply.header("content-type")), (404, Some("text/plain; charset=utf-8")));
        let text = reply.text();
        assert!(
            text.starts_with("itoa 1.0.11 is not in this mirror; on the connected side add `itoa = \"1.0.11\"`"),
            "{text}"
        );
        assert!(text.len() < 512 && reply.header("cache-control") == Some("no-cache"));
    }
    for path in ["/index/it/oa/itoa", "/dist/x", "/x", "/crates/%3Cscript%3E.crate"] {
        let reply = get(serving.url(), path, &[]);
        assert_eq!((reply.status, reply.text().as_str()), (404, "not in this mirror\n"), "{path}");
    }
    drop(sandbox);
}

#[test]
fn an_unreadable_file_is_a_500_and_is_logged() {
    use std::os::unix::fs::PermissionsExt;
    let (sandbox, mirror, serving) = start_server();
    drop(serving);
    let args = ["serve", "--bind", "127.0.0.1:0", "--mirror", "mirror"];
    // Root reads every file, unless it gives up the right to.
    let without_rights = ["--bounding-set=-dac_override,-dac_read_search", BINARY];
    let process = match rustix::process::getuid().is_root() {
        true => sandbox.other_program("setpriv", without_rights).args(args),
        false => sandbox.process(args),
    };
    let serving = RunningServer::start(process);
    let path = mirror.write_file("dist/private", b"x");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    let reply = get(serving.url(), "/dist/private", &[]);
    assert!(reply.status == 500 && !reply.text().contains(mirror.root().to_str().unwrap()));
    wait::until_with(
        "the log names the file",
        || serving.running().stderr(),
        || serving.running().stderr().contains("dist/private"),
    );
}
