//! A server behind a reverse proxy that ends TLS, and one whose clients try to change what is here.

use std::fs;

use serde_json::Value;

use crate::support::client::{Client, Project};
use crate::support::crates::Crate;
use crate::support::http_client::send_request_with_body;
use crate::support::sandbox::{RunningServer, Sandbox};
use crate::support::server_fixture::{MirrorTree, RawConnection, get};

const ADMIN: &str = "admin-0123456789abcdef";
const FORWARDED: [&str; 2] = ["X-Forwarded-Proto: https", "X-Forwarded-Host: rust.corp.example"];

fn start_server(config: &str, args: &[&str]) -> (Sandbox, RunningServer) {
    let sandbox = Sandbox::new();
    MirrorTree::at(sandbox.path("mirror")).add_crate(Crate::new("leaf", "1.0.0"));
    fs::create_dir_all(sandbox.path("config")).unwrap();
    sandbox.write("config/frostmirror.toml", config);
    let serving = sandbox.serve(["--mirror", "mirror", "--config-dir", "config"].iter().chain(args));
    (sandbox, serving)
}

/// What config.json, cargo's configuration, the scripts and the page name.
#[track_caller]
fn assert_addresses(serving: &RunningServer, headers: &[&str], wanted: &str) {
    for (path, text) in [
        ("/index/config.json", format!("\"dl\":\"{wanted}/crates/")),
        ("/api/setup/cargo-config", format!("sparse+{wanted}/index/")),
        ("/api/setup/rustup-env.sh", format!("'{wanted}/rustup'")),
        ("/api/setup/rustup-env.ps1", format!("'{wanted}/rustup'")),
        ("/", format!("sparse+{wanted}/index/")),
        ("/setup", format!("For clients of <code>{wanted}</code>")),
    ] {
        let reply = get(serving.url(), path, headers);
        let output = reply.text().replace("\": \"", "\":\"");
        assert!(reply.status == 200 && output.contains(&text), "{path} lacks {text}: {output}");
    }
}

#[test]
fn a_trusted_proxy_sets_the_client_visible_address() {
    let (_sandbox, local) = start_server("trusted_proxies = ['127.0.0.1']\n", &[]);
    assert_addresses(&local, &FORWARDED, "https://rust.corp.example");
    assert_addresses(
        &local,
        &["Forwarded: for=10.1.1.1;proto=https;host=rust.corp.example"],
        "https://rust.corp.example",
    );
    // The Host that these requests have.
    for hostile in
        ["X-Forwarded-Host: a\"b", "X-Forwarded-Proto: javascript", "X-Forwarded-Host: evil/..", "Forwarded: ="]
    {
        assert_addresses(&local, &[hostile], "http://mirror.test");
    }
    assert!(!local.running().stderr().contains("not trusted"));
    // A proxy on this machine is trusted without that key, if a token is set.
    let (_sandbox, guarded) = start_server("", &["--admin-token", ADMIN]);
    assert_addresses(&guarded, &FORWARDED, "https://rust.corp.example");
    assert!(!guarded.running().stderr().contains("not trusted"));
    // What is set counts more.
    let (_sandbox, set) = start_server("base_url = 'https://set.example/m'\n", &[]);
    assert_addresses(&set, &FORWARDED, "https://set.example/m");
}

#[test]
fn without_a_token_a_local_proxy_sets_the_scheme_alone() {
    let (_sandbox, local) = start_server("", &[]);
    assert_addresses(&local, &["X-Forwarded-Proto: https"], "https://mirror.test");
    assert_addresses(&local, &["X-Forwarded-Proto: https", "X-Forwarded-Host: mirror.test"], "https://mirror.test");
    assert!(!local.running().stderr().contains("not trusted"));
    assert_addresses(&local, &FORWARDED, "https://mirror.test");
    assert_addresses(&local, &["Forwarded: proto=https;host=rust.corp.example"], "https://mirror.test");
    assert!(get(local.url(), "/setup", &FORWARDED).text().contains("The proxy at 127.0.0.1 is not trusted"));
    // No request through a proxy is local, whether the proxy is trusted or not.
    let url = format!("{}/api/verify", local.url());
    let (locals, remotes) = (
        send_request_with_body("POST", &url, &[], ""),
        send_request_with_body("POST", &url, &[("X-Forwarded-Proto", "https")], ""),
    );
    assert_eq!((locals.status, remotes.status), (202, 403));
    let output = local.stop().ok().stderr;
    assert_eq!(output.matches("the proxy at 127.0.0.1 is not trusted").count(), 1, "{output}");
    assert!(output.contains("clients get the address `https://mirror.test`"), "{output}");
}

#[test]
fn an_untrusted_proxy_is_logged_once_and_shown_on_the_setup_page() {
    let (_sandbox, other) = start_server("trusted_proxies = ['10.0.0.0/8']\n", &[]);
    for _ in 0..3 {
        assert_addresses(&other, &FORWARDED, "http://mirror.test");
    }
    let page = get(other.url(), "/setup", &FORWARDED).text();
    assert!(page.contains("The proxy at 127.0.0.1 is not trusted") && page.contains("base_url"), "{page}");
    assert!(!get(other.url(), "/setup", &[]).text().contains("is not trusted"));
    let output = other.stop().ok().stderr;
    assert_eq!(output.matches("the proxy at 127.0.0.1 is not trusted").count(), 1, "{output}");
    assert!(output.contains("`base_url`") && output.contains("`trusted_proxies`"), "{output}");
    // A trusted proxy is never a local client, whatever its headers say.
    let (_sandbox, named) = start_server("trusted_proxies = ['127.0.0.1']\n", &[]);
    assert_eq!(send_request_with_body("POST", &format!("{}/api/verify", named.url()), &[], "").status, 403);
}

#[test]
fn cargo_publish_shows_that_the_mirror_is_read_only() {
    let (sandbox, serving) = start_server("", &[]);
    let printed = sandbox.run(["setup", "--url", serving.url()]).ok().stdout;
    let client = Client::new().config(&printed).env("CARGO_REGISTRIES_FROSTMIRROR_TOKEN", "0123456789abcdef");
    let app = Project::new("mine").write(&sandbox.path("mine"));
    let manifest = app.join("Cargo.toml");
    let text = fs::read_to_string(&manifest).unwrap();
    let described = text.replace("[package]\n", "[package]\nlicense = \"MIT\"\ndescription = \"x\"\n");
    fs::write(&manifest, described).unwrap();
    let args = ["publish", "--allow-dirty", "--no-verify", "--registry", "frostmirror"];
    client.cargo(&app, args).exits(101).stderr_has("this mirror is read-only: crates cannot be published here");
    let yank = |args: &[&str], output: &str| {
        let run = client.cargo(&app, args.iter().chain(&["--registry", "frostmirror"])).exits(101).stderr_has(output);
        let lines = run.stderr.lines().filter(|line| !line.trim().is_empty()).count();
        assert!(lines <= 8, "{}", run.describe());
    };
    yank(&["yank", "leaf@1.0.0"], "this mirror is read-only: versions cannot be yanked here");
    yank(&["yank", "--undo", "leaf@1.0.0"], "this mirror is read-only: versions cannot be un-yanked here");
    yank(&["owner", "--list", "leaf"], "this mirror is read-only: it has no crate owners");
    // A rejected search has cargo's error form too; other routes keep their own.
    let form = |path: &str| serde_json::from_str::<Value>(&get(serving.url(), path, &[]).text()).unwrap();
    let long = "a".repeat(3000);
    assert!(form(&format!("/api/v1/crates?q={long}"))["errors"][0]["detail"].is_string());
    assert!(form("/api/v1/nothing/here")["errors"][0]["detail"].is_string());
    assert!(form("/api/nothing")["error"].is_string());
}

#[test]
fn failed_logins_are_throttled() {
    let (_sandbox, serving) = start_server("", &["--admin-token", ADMIN]);
    let login = |token: &str| {
        let body = format!("{{\"token\":\"{token}\"}}");
        let headers = ["Content-Type: application/json".to_owned(), format!("Content-Length: {}", body.len())];
        let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
        RawConnection::connect(serving.url()).request("POST", "/api/login", &headers).send(&body).read_reply()
    };
    assert_eq!(login(ADMIN).status, 200);
    let wrong: Vec<u16> = (0..20).map(|n| login(&format!("wrong-0123456789ab{n:02}")).status).collect();
    assert!(wrong.starts_with(&[403; 10]) && wrong.contains(&429), "{wrong:?}");
    let refused = login(ADMIN);
    assert_eq!(refused.status, 429, "not even the right one is looked at");
    assert!(refused.header("retry-after").is_some_and(|seconds| seconds.parse::<u64>().is_ok()));
    let bearer = format!("Authorization: Bearer {ADMIN}");
    let write = RawConnection::connect(serving.url())
        .request("POST", "/api/verify", &["Content-Length: 0", &bearer])
        .read_reply();
    assert_eq!(write.status, 429, "a header is no way around the limit");
}

#[test]
fn wrong_bearer_tokens_are_throttled() {
    let (_sandbox, serving) = start_server("", &["--admin-token", ADMIN]);
    let verify = |token: &str, other: &str| {
        let bearer = format!("Authorization: Bearer {token}");
        let headers = ["Content-Length: 0", &bearer, other];
        RawConnection::connect(serving.url()).request("POST", "/api/verify", &headers).read_reply()
    };
    // A client that keeps its expired token makes no guesses, and does not block others behind the same address.
    for _ in 0..20 {
        assert_eq!(verify("expired-0123456789", "X-None: 1").status, 401);
    }
    // The job of an earlier request may still run.
    let is_accepted = |status: u16| [202, 409].contains(&status);
    assert!(is_accepted(verify(ADMIN, "X-None: 1").status));
    let wrong: Vec<u16> = (0..20).map(|n| verify(&format!("guess-0123456789-{n}"), "X-None: 1").status).collect();
    assert!(wrong.starts_with(&[401; 9]) && wrong.contains(&429), "{wrong:?}");
    let refused = verify(ADMIN, "X-None: 1");
    assert_eq!(refused.status, 429, "not even the right one is looked at");
    let seconds = refused.header("retry-after").and_then(|seconds| seconds.parse::<u64>().ok());
    assert!(seconds.is_some_and(|seconds| (1..=60).contains(&seconds)), "{seconds:?}");
    assert!(refused.text().contains("too many wrong tokens from this address"), "{}", refused.text());
    // Without the header, everything open stays open; with it, the right token shows no more than a wrong one.
    assert_eq!(get(serving.url(), "/api/status", &[]).status, 200);
    let bearer = format!("Authorization: Bearer {ADMIN}");
    let session = get(serving.url(), "/api/session", &[&bearer]);
    assert!(session.status == 200 && session.text().contains("\"admin\": false"), "{}", session.text());
    // A client of a trusted proxy is not affected by another one, and cannot choose its address.
    assert!(is_accepted(verify(ADMIN, "X-Forwarded-For: 192.0.2.1").status));
    for n in 0..10 {
        let spoofed = format!("X-Forwarded-For: 198.51.100.{n}, 192.0.2.2");
        assert_eq!(verify(&format!("wrong-0123456789-{n}"), &spoofed).status, 401);
    }
    assert_eq!(verify(ADMIN, "Forwarded: for=192.0.2.2").status, 429);
}

#[test]
fn a_token_of_another_service_blocks_no_login() {
    let (_sandbox, serving) = start_server("", &["--admin-token", ADMIN]);
    for _ in 0..15 {
        let page = get(serving.url(), "/", &["Accept: text/html", "Authorization: Bearer of.a.single.sign.on"]);
        assert_eq!(page.status, 200);
    }
    let bearer = format!("Authorization: Bearer {ADMIN}");
    assert!(get(serving.url(), "/api/session", &[&bearer]).text().contains("\"admin\": true"));
    // Guesses on a public page count.
    for n in 0..10 {
        get(serving.url(), "/api/session", &[&format!("Authorization: Bearer wrong-0123456789{n}")]);
    }
    assert!(get(serving.url(), "/api/session", &[&bearer]).text().contains("\"admin\": false"));
}
