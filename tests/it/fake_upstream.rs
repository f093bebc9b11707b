//! The fake upstream itself: what it serves is what cargo and the downloader are to meet.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::client::{Client, Project};
use crate::support::crates::Crate;
use crate::support::forward_proxy::ForwardProxy;
use crate::support::sandbox::Sandbox;
use crate::support::upstream::{Fault, Upstream};

/// One request over a connection of its own; everything that came back, or how it broke.
fn raw_get(upstream: &Upstream, path: &str, headers: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(upstream.addr())?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[test]
fn index_lines_have_the_format_of_crates_io() {
    let upstream = Upstream::start();
    let packed = upstream.publish(
        Crate::new("Foo-bar", "1.2.3+meta")
            .dep("new", "^1")
            .package("old")
            .optional()
            .target("cfg(windows)")
            .kind("build")
            .no_default_features()
            .with_features(&["std"])
            .feature("a", &["dep:new"])
            .feature("b", &[])
            .yanked()
            .rust_version("1.60"),
    );
    let expected = format!(
        r#"{{"name":"Foo-bar","vers":"1.2.3+meta","deps":[{{"name":"new","req":"^1","features":["std"],"optional":true,"default_features":false,"target":"cfg(windows)","kind":"build","package":"old"}}],"cksum":"{}","features":{{"b":[]}},"features2":{{"a":["dep:new"]}},"yanked":true,"rust_version":"1.60","v":2}}"#,
        packed.cksum
    );
    assert_eq!(packed.line, expected);
    assert_eq!(upstream.index_text("foo-BAR"), expected + "\n");
    upstream.yank("Foo-bar", "1.2.3+meta", false);
    assert!(upstream.index_text("Foo-bar").contains("\"yanked\":false"));
}

#[test]
fn index_files_have_validators_and_support_304() {
    let upstream = Upstream::start();
    upstream.publish(Crate::new("serde", "1.0.0"));
    let first = raw_get(&upstream, "/index/se/rd/serde", "").unwrap();
    let header = |name: &str| first.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    let (etag, modified) = (header("etag:"), header("last-modified:"));
    let by_etag = raw_get(&upstream, "/index/se/rd/serde", &format!("If-None-Match: {etag}\r\n")).unwrap();
    assert!(by_etag.starts_with("HTTP/1.1 304"), "{by_etag}");
    let by_time = raw_get(&upstream, "/index/se/rd/serde", &format!("If-Modified-Since: {modified}\r\n")).unwrap();
    assert!(by_time.starts_with("HTTP/1.1 304"), "{by_time}");
    upstream.publish(Crate::new("serde", "1.0.1"));
    let after = raw_get(&upstream, "/index/se/rd/serde", &format!("If-None-Match: {etag}\r\n")).unwrap();
    assert!(after.starts_with("HTTP/1.1 200"), "{after}");
    assert!(raw_get(&upstream, "/index/se/rd/serdf", "").unwrap().starts_with("HTTP/1.1 404"));
}

#[test]
fn downloads_follow_dl_with_and_without_markers() {
    let upstream = Upstream::start();
    let packed = upstream.publish(Crate::new("ZZ", "1.0.0+z"));
    let ok = |path: &str| raw_get(&upstream, path, "").unwrap().starts_with("HTTP/1.1 200");
    assert_eq!(upstream.download_path("ZZ", "1.0.0+z"), "/api/v1/crates/ZZ/1.0.0+z/download");
    assert!(ok("/api/v1/crates/ZZ/1.0.0+z/download"));
    assert!(ok("/api/v1/crates/ZZ/1.0.0%2Bz/download"));
    upstream.set_dl("{base}/c/{prefix}/{lowerprefix}/{crate}-{version}/{sha256-checksum}");
    assert!(ok(&format!("/c/2/2/ZZ-1.0.0+z/{}", packed.cksum)));
    upstream.remove_crate_file("ZZ", "1.0.0+z");
    assert!(!ok(&format!("/c/2/2/ZZ-1.0.0+z/{}", packed.cksum)));
    assert_eq!(upstream.requests().iter().map(|seen| seen.status).collect::<Vec<_>>(), [200, 200, 200, 404]);
}

#[test]
fn scripted_faults_happen_in_order_and_end() {
    let upstream = Upstream::start();
    upstream.publish(Crate::new("a", "1.0.0"));
    let path = "/index/1/a";
    let right = raw_get(&upstream, path, "").unwrap();
    let script = [
        Fault::Status(500),
        Fault::TooManyRequests(2),
        Fault::Truncated(10),
        Fault::WrongBytes,
        Fault::Reset,
        Fault::ResetAfter(10),
        Fault::Pass,
    ];
    upstream.fault("/index/*", script);
    assert!(raw_get(&upstream, path, "").unwrap().starts_with("HTTP/1.1 500"));
    assert!(raw_get(&upstream, path, "").unwrap().contains("retry-after: 2"));
    let truncated = raw_get(&upstream, path, "").unwrap();
    assert!(truncated.ends_with("\r\n\r\n{\"name\":\"a"), "{truncated}");
    let wrong = raw_get(&upstream, path, "").unwrap();
    let length = |answer: &str| answer.lines().find(|line| line.starts_with("content-length")).map(str::to_owned);
    assert_eq!(length(&wrong), length(&right));
    assert!(!wrong.contains("{\"name\""), "{wrong}");
    let reset = raw_get(&upstream, path, "").unwrap_err();
    assert_eq!(reset.kind(), std::io::ErrorKind::ConnectionReset);
    let reset = raw_get(&upstream, path, "").unwrap_err();
    assert_eq!(reset.kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(raw_get(&upstream, path, "").unwrap().split("\r\n\r\n").nth(1), right.split("\r\n\r\n").nth(1));
    assert_eq!(upstream.request_count(path), 8);
}

#[test]
fn a_token_is_required_when_configured() {
    let upstream = Upstream::builder().token("secret").start();
    assert!(raw_get(&upstream, "/index/config.json", "").unwrap().starts_with("HTTP/1.1 401"));
    let config = raw_get(&upstream, "/index/config.json", "Authorization: secret\r\n").unwrap();
    assert!(config.contains("\"auth-required\":true"), "{config}");
}

#[test]
fn the_real_cargo_builds_from_it() {
    let upstream = Upstream::start();
    upstream.publish(Crate::new("leaf", "1.0.0").lib("pub fn leaf() -> u8 { 7 }"));
    upstream.publish(Crate::new("win", "0.3.0"));
    let middle = Crate::new("middle", "1.2.0").dep("twig", "^1").package("leaf").optional().dep("win", "0.3");
    let middle = middle.target("cfg(windows)").feature("full", &["dep:twig"]).license("MIT");
    upstream.publish(middle.lib("#[cfg(feature = \"full\")] pub fn seven() -> u8 { twig::leaf() }"));
    upstream.publish(Crate::new("tool", "2.0.0").bin("fn main() { println!(\"tool runs\"); }"));
    let sandbox = Sandbox::new();
    let client = Client::with_index(&upstream.index_url());
    let project =
        Project::new("app").dep_with("middle", "1", &["full"]).main("fn main() { assert_eq!(middle::seven(), 7) }");
    let project = project.write(&sandbox.path("app"));
    let lock = client.lock(&project);
    assert!(lock.contains("name = \"win\""), "{lock}");
    client.cargo(&project, ["run", "--locked"]).ok();
    let root = sandbox.path("installed");
    client.cargo(&project, ["install", "tool", "--root", root.to_str().unwrap()]).ok();
    assert!(root.join("bin/tool").exists());
    client.cargo(&project, ["add", "absent"]).exits(101).stderr_has("absent");
}

#[test]
fn the_real_cargo_works_with_tls_and_a_token() {
    let upstream = Upstream::builder().tls().token("sesame").start();
    upstream.publish(Crate::new("leaf", "1.0.0"));
    let sandbox = Sandbox::new();
    let ca = sandbox.write("ca.pem", upstream.ca_pem());
    let client = Client::with_index(&upstream.index_url())
        .env("CARGO_HTTP_CAINFO", ca.to_str().unwrap())
        .env("CARGO_REGISTRIES_UNDER_TEST_TOKEN", "sesame")
        .env("CARGO_REGISTRY_GLOBAL_CREDENTIAL_PROVIDERS", "cargo:token");
    let project = Project::new("app").dep("leaf", "1").write(&sandbox.path("app"));
    client.cargo(&project, ["fetch"]).ok();
    assert_eq!(upstream.downloads().len(), 1);
    assert!(upstream.requests().iter().any(|seen| seen.version == hyper::Version::HTTP_2));
}

#[test]
fn the_proxy_tunnels_to_made_up_hosts() {
    let upstream = Upstream::builder().tls().host("index.test").start();
    upstream.publish(Crate::new("leaf", "1.0.0"));
    let port = upstream.addr().port();
    let proxy = ForwardProxy::with_password("user", "word");
    proxy.map(&format!("index.test:{port}"), upstream.addr());
    let sandbox = Sandbox::new();
    let ca = sandbox.write("ca.pem", upstream.ca_pem());
    let project = Project::new("app").dep("leaf", "1").write(&sandbox.path("app"));
    let client = Client::with_index(&upstream.index_url()).env("CARGO_HTTP_CAINFO", ca.to_str().unwrap());
    let client = client.env("https_proxy", &proxy.url_with("user", "word"));
    client.cargo(&project, ["fetch"]).ok();
    let requested = proxy.requests().into_iter().find(|requested| requested.status == 200).unwrap();
    assert_eq!((requested.method.as_str(), requested.target), ("CONNECT", format!("index.test:{port}")));
    assert_eq!(requested.authorization.as_deref(), Some("Basic dXNlcjp3b3Jk"));
    client.clear_caches();
    client.env("https_proxy", &proxy.url()).cargo(&project, ["fetch"]).exits(101).stderr_has("407");
}

#[test]
fn the_proxy_forwards_plain_requests() {
    let upstream = Upstream::builder().host("plain.test").start();
    upstream.publish(Crate::new("leaf", "1.0.0"));
    let proxy = ForwardProxy::start();
    proxy.map(&format!("plain.test:{}", upstream.addr().port()), upstream.addr());
    let sandbox = Sandbox::new();
    let project = Project::new("app").dep("leaf", "1").write(&sandbox.path("app"));
    Client::with_index(&upstream.index_url()).env("http_proxy", &proxy.url()).cargo(&project, ["fetch"]).ok();
    assert_eq!(proxy.requests().len(), 3, "{:?}", proxy.requests());
}
