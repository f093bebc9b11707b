//! Hostile requests.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::{json_body, send, server_with_bundles};
use crate::support::sandbox::Sandbox;
use crate::support::server_fixture::get;

/// What no answer may hold.
const SECRET: &str = "the-secret-of-another-folder";
/// Requests of one run.
const REQUESTS: u32 = 10_000;

/// Numbers that follow from a seed.
struct SeededRandom(u64);

impl SeededRandom {
    fn below(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % sides
    }

    fn pick<'l>(&mut self, list: &[&'l str]) -> &'l str {
        list[self.below(list.len())]
    }
}

const METHODS: &[&str] =
    &["GET", "GET", "GET", "GET", "HEAD", "POST", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW", "TRACE", "get"];
const ROUTES: &[&str] = &[
    "/",
    "/api",
    "/api/",
    "/api/status",
    "/api/packages",
    "/api/crates",
    "/api/crates/leaf",
    "/api/crates/",
    "/api/incoming",
    "/api/incoming/",
    "/api/incoming/a.pkg",
    "/api/gc",
    "/api/verify",
    "/api/export",
    "/api/export/download/",
    "/api/jobs",
    "/api/jobs/",
    "/api/jobs/1",
    "/api/login",
    "/api/logout",
    "/api/session",
    "/api/openapi.json",
    "/api/config",
    "/api/deps",
    "/index/",
    "/index/config.json",
    "/index/le/af/leaf",
    "/crates/",
    "/crates/leaf-1.0.0.crate",
    "/dist/",
    "/rustup/",
    "/setup",
    "/browse",
    "/packages",
    "/config",
    "/deps",
    "/assets/",
    "/healthz",
    "/metrics",
    "*",
    "",
];
const PIECES: &[&str] = &[
    "..",
    "../",
    "%2e%2e%2f",
    "%252e%252e%252f",
    "..%2f..%2fsecret.pkg",
    "..%5c",
    "/etc/passwd",
    "%2Fetc%2Fpasswd",
    "%00",
    "%0a",
    "%ff",
    "%c0%ae%c0%ae/",
    "%e2%80%ae",
    "a",
    ".pkg",
    "leaf",
    "//",
    "/./",
    ";",
    "%",
    "%2",
    "%zz",
    "\u{7f}",
    "snapshot-x.pkg",
    "secret",
    "secret.pkg",
    ".frostmirror/ledger",
    ".frostmirror%2fincoming.json",
    "%2efrostmirror/format",
    "manifest.json",
    "18446744073709551616",
    "-1",
    "+",
    "~",
    "{name}",
    "'\"<script>",
    "\\",
];
const QUERIES: &[&str] = &[
    "q=leaf",
    "q=",
    "q=%ff",
    "q=..%2f",
    "page=1",
    "page=0",
    "page=-1",
    "page=99999999999999999999",
    "per_page=100",
    "per_page=101",
    "dry_run=true",
    "dry_run=x",
    "dry_run=true&grace=9999999999d",
    "grace=0&dry_run",
    "forget=%00&dry_run=true",
    "a=b=c",
    "&&&",
    "=",
    "?",
    "check_revoke=false",
    "target=../x",
];
const HEADERS: &[&str] = &[
    "Origin: http://evil.example",
    "Origin: null",
    "Sec-Fetch-Site: cross-site",
    "Range: bytes=0-0",
    "Range: bytes=-1",
    "Range: bytes=5-1,x",
    "Range: bytes=99999999999999999999-",
    "If-None-Match: *",
    "If-Range: \"x\"",
    "If-Match: \"x\"",
    "If-Modified-Since: never",
    "Accept: text/html",
    "Accept-Encoding: gzip, br;q=x",
    "Content-Type: application/json",
    "Content-Type: text/plain",
    "Content-Type: application/json; charset=\u{e4}",
    "Content-Encoding: gzip",
    "Content-Range: bytes 0-1/2",
    "Authorization: Bearer x",
    "Authorization: Basic !!",
    "Authorization:",
    "Cookie: frostmirror-session-=x; a",
    "Cookie: ==;;",
    "X-Forwarded-For: 10.0.0.1",
    "X-Forwarded-Host: evil",
    "Forwarded: for=x",
    "Via: 1.1 x",
    "Expect: the unexpected",
    "Upgrade: h2c",
    "TE: trailers",
    "X-Long: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
];
const BODIES: &[&str] = &[
    "",
    "",
    "",
    "{}",
    "{",
    "[]",
    "null",
    "0",
    "{\"dry_run\":true}",
    "{\"dry_run\":1}",
    "{\"token\":\"x\"}",
    "{\"token\":null}",
    "{\"grace\":\"0\",\"dry_run\":true}",
    "{\"forget\":[\"\"],\"dry_run\":true}",
    "\u{0}\u{1}",
    "a=b",
    "{\"token\":\"x\",\"token\":\"y\"}",
];

fn random_request(dice: &mut SeededRandom) -> (bool, Vec<u8>) {
    let method = dice.pick(METHODS);
    let mut path = dice.pick(ROUTES).to_owned();
    for _ in 0..dice.below(4) {
        path.push_str(dice.pick(PIECES));
    }
    if dice.below(200) == 0 {
        path.push_str(&"a/".repeat(2000));
    }
    if !path.starts_with('/') && dice.below(4) > 0 {
        path.insert(0, '/');
    }
    if dice.below(3) == 0 {
        path = format!("{path}?{}", dice.pick(QUERIES));
    }
    let host = dice.pick(&["localhost", "localhost", "127.0.0.1:80", "mirror.test", "[::1]:1", "evil/..", "a b", ""]);
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n");
    for _ in 0..dice.below(4) {
        head.push_str(dice.pick(HEADERS));
        head.push_str("\r\n");
    }
    let text = dice.pick(BODIES);
    match dice.below(5) {
        0 => {
            head.push_str(&format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{text}\r\n0\r\n\r\n", text.len().max(1)))
        }
        _ => head.push_str(&format!("Content-Length: {}\r\n\r\n{text}", text.len())),
    }
    // An empty chunk is the last one, and its line has been spoilt on purpose above.
    (method == "HEAD", head.into_bytes())
}

/// A connection that is kept as long as the server keeps it.
struct KeptConnection {
    address: String,
    stream: Option<BufReader<TcpStream>>,
}

impl KeptConnection {
    /// Status and everything of an answer; `None` where the server hung up without one.
    fn request(&mut self, head: bool, request: &[u8]) -> Option<(u16, Vec<u8>)> {
        let address = &self.address;
        let stream = self.stream.get_or_insert_with(|| {
            let stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
            BufReader::new(stream)
        });
        let answered = stream.get_mut().write_all(request).ok().and_then(|()| read_response(stream, head));
        if answered.as_ref().is_none_or(|(_, _, stays)| !stays) {
            self.stream = None;
        }
        answered.map(|(status, all, _)| (status, all))
    }
}

fn read_response(stream: &mut BufReader<TcpStream>, head: bool) -> Option<(u16, Vec<u8>, bool)> {
    let mut all = Vec::new();
    let (mut length, mut stays) = (None, true);
    loop {
        let begin = all.len();
        if stream.read_until(b'\n', &mut all).ok()? == 0 {
            return None;
        }
        let line = String::from_utf8_lossy(&all[begin..]).trim().to_lowercase();
        if line.is_empty() {
            break;
        }
        length = line.strip_prefix("content-length:").map(|length| length.trim().parse::<usize>().unwrap()).or(length);
        stays &= line != "connection: close";
    }
    let status = String::from_utf8_lossy(&all).split(' ').nth(1)?.parse().ok()?;
    if !head && status != 304 && status >= 200 {
        let begin = all.len();
        all.resize(begin + length.unwrap_or(0), 0);
        stream.read_exact(&mut all[begin..]).ok()?;
    }
    Some((status, all, stays && status >= 200))
}

fn server_with_secret() -> (Sandbox, crate::support::sandbox::RunningServer) {
    let (sandbox, serving) = server_with_bundles(&["--incoming", "incoming", "--config-dir", "config"]);
    for path in ["secret", "secret.pkg", "config/secret", "mirror/.frostmirror/secret", "incoming/.secret.pkg"] {
        sandbox.write(path, SECRET);
    }
    (sandbox, serving)
}

#[test]
fn ten_thousand_random_requests_change_and_reveal_nothing() {
    let (sandbox, serving) = server_with_secret();
    let seed = 0x5eed_0ff0_57ed_u64;
    let mut dice = SeededRandom(seed);
    let address = serving.url().strip_prefix("http://").unwrap().to_owned();
    let mut lines: Vec<KeptConnection> =
        (0..4).map(|_| KeptConnection { address: address.clone(), stream: None }).collect();
    let mut answered = 0;
    for number in 0..REQUESTS {
        let (head, request) = random_request(&mut dice);
        let at = dice.below(lines.len());
        let Some((status, all)) = lines[at].request(head, &request) else { continue };
        answered += 1;
        let output = || format!("request {number} of seed {seed:#x}: {}", String::from_utf8_lossy(&request));
        assert!(status < 500, "{status} to {}", output());
        let text = String::from_utf8_lossy(&all);
        assert!(!text.contains(SECRET) && !text.contains("root:x:0"), "a secret to {}", output());
    }
    // A server that hangs up each time would pass otherwise.
    assert!(answered > REQUESTS * 9 / 10, "{answered} answers");
    assert_eq!(get(serving.url(), "/healthz", &[]).status, 200);
    let outside: Vec<_> =
        std::fs::read_dir(sandbox.path("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(
        outside.iter().all(|name| ["mirror", "made", "incoming", "config", "secret", "secret.pkg"]
            .iter()
            .any(|known| name == known)),
        "{outside:?}"
    );
    assert!(!serving.stop().stderr.contains("bug"));
}

#[test]
fn no_path_parameter_escapes_its_folder() {
    let (_sandbox, serving) = server_with_secret();
    let long = "a".repeat(3000);
    let places = [
        "..%2f..%2fsecret",
        "%2e%2e%2f%2e%2e%2fsecret",
        "%252e%252e%252fsecret",
        "%2Fetc%2Fpasswd",
        "..%5c..%5csecret",
        "%00",
        "secret%00.pkg",
        "%c0%ae%c0%ae%2fsecret",
        ".secret.pkg",
        ".",
        "%2e",
        "{name}",
        long.as_str(),
    ];
    for route in ["/api/crates/", "/api/jobs/", "/api/export/download/", "/api/incoming/", "/api/"] {
        for place in places {
            let reply = get(serving.url(), &format!("{route}{place}"), &[]);
            assert!([400, 404, 405].contains(&reply.status), "{route}{place}: {}", reply.status);
            assert!(!reply.text().contains(SECRET), "{route}{place}");
        }
    }
    for (method, path, kind, text, status) in [
        ("POST", "/api/login", "Content-Type: text/plain", "{\"token\":\"x\"}", 415),
        ("POST", "/api/login", "Content-Type: application/x-www-form-urlencoded", "token=x", 415),
        ("POST", "/api/gc", "Content-Type: multipart/form-data", "{\"dry_run\":true}", 415),
    ] {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\n{kind}\r\nContent-Length: {}\r\n\r\n{text}",
            text.len()
        );
        let reply = crate::support::server_fixture::RawConnection::connect(serving.url()).send(head).read_reply();
        assert_eq!((reply.status, json_body(&reply)["hint"].is_string()), (status, true), "{path} {kind}");
    }
    for path in ["/api/gc", "/api/login", "/api/verify", "/api/export", "/api/logout"] {
        assert_eq!(send(&serving, "POST", path, &[], &" ".repeat(1024 * 1024 + 1)).status, 413, "{path}");
    }
}
