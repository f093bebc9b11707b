//! The server behind a real nginx: with a path prefix, and with everybody looking like a user of this machine.

use serde_json::{Value, json};

use crate::support::client::{Client, Project};
use crate::support::crates::Crate;
use crate::support::nginx::Nginx;
use crate::support::sandbox::Sandbox;
use crate::support::server_fixture::{MirrorTree, RawConnection, RawReply, get};

const TOKEN: &str = "0123456789abcdef-admin";

fn mirror() -> (Sandbox, MirrorTree) {
    let sandbox = Sandbox::new();
    let mirror = MirrorTree::at(sandbox.path("mirror"));
    mirror.add_crate(Crate::new("leaf", "1.0.0"));
    (sandbox, mirror)
}

/// A write, as a program sends it to the address that nginx has.
fn post(url: &str, path: &str, extra: &str) -> RawReply {
    let host = url.trim_start_matches("http://");
    let head = format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n{extra}\r\n");
    RawConnection::connect(url).send(head).read_reply()
}

#[test]
#[ignore = "needs nginx"]
fn behind_a_proxy_writing_needs_a_token() {
    let (sandbox, _mirror) = mirror();
    let alone = sandbox.serve(["--mirror", "mirror"]);
    let hint = |reply: &RawReply| serde_json::from_slice::<Value>(&reply.body).unwrap()["hint"].is_string();
    // As nginx does by itself, as it is usually told to, and with what it may add.
    for lines in [
        String::new(),
        "proxy_set_header Host $host;".to_owned(),
        "proxy_set_header Host $http_host; proxy_http_version 1.1;".to_owned(),
        "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_http_version 1.1;".to_owned(),
    ] {
        let server = format!("location / {{ proxy_pass {}; {lines} }}", alone.url());
        let nginx = Nginx::start(&server);
        let named = lines.contains("http_host");
        // If the Host is passed on, the requested name decides.
        let extra = if named { "X-Real-IP: 10.0.0.1\r\n" } else { "" };
        let reply = post(nginx.url(), "/api/verify", extra);
        assert_eq!((reply.status, hint(&reply)), (403, true), "{lines}: {}", reply.text());
    }

    let flags = ["--mirror", "mirror", "--base-url", "http://rust.example", "--admin-token", TOKEN];
    let guarded = sandbox.serve(flags);
    let nginx = Nginx::start(&format!("location / {{ proxy_pass {}; }}", guarded.url()));
    assert_eq!(post(nginx.url(), "/api/verify", "").status, 401);
    assert_eq!(post(nginx.url(), "/api/verify", &format!("Authorization: Bearer {TOKEN}\r\n")).status, 202);
    let unguarded = sandbox.serve(["--mirror", "mirror", "--base-url", "http://rust.example"]);
    let direct = post(unguarded.url(), "/api/verify", "");
    assert_eq!((direct.status, hint(&direct)), (403, true), "a base URL stands for a proxy: {}", direct.text());
}

#[test]
#[ignore = "needs nginx"]
fn everything_works_below_a_path_prefix() {
    let (sandbox, mirror) = mirror();
    mirror.add_crate(Crate::new("tool", "0.9.0").dep("leaf", "^1").bin("fn main() {}"));
    let mut serving = None;
    let nginx = Nginx::start_with(|url| {
        let own = sandbox.serve(["--mirror", "mirror", "--base-url", &format!("{url}/rust/")]);
        let lines = format!("location /rust/ {{ proxy_pass {}/; }}", own.url());
        serving = Some(own);
        lines
    });
    let base = format!("{}/rust/", nginx.url());
    let printed = sandbox.run(["setup", "--url", &base]).ok().stdout;
    let client = Client::new().config(&printed);
    let app =
        Project::new("app").dep("tool", "0.9").dep("leaf", "1").main("fn main() {}\n").write(&sandbox.path("app"));
    client.cargo(&app, ["fetch"]).ok();
    let config: Value = serde_json::from_slice(&get(nginx.url(), "/rust/index/config.json", &[]).body).unwrap();
    assert_eq!(config["api"], json!(base.trim_end_matches('/')));
    for path in ["/rust/", "/rust/assets/style.css", "/rust/api/status"] {
        assert_eq!(get(nginx.url(), path, &["Accept: text/html"]).status, 200, "{path}");
    }
    drop(serving);
}
