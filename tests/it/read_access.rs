//! A mirror that only those read who have a token: the real cargo with one and without, and what stays open.

use serde_json::{Value, json};

use crate::support::client::{Client, Project};
use crate::support::crates::Crate;
use crate::support::sandbox::{RunningServer, Sandbox};
use crate::support::server_fixture::{MirrorTree, RawConnection, RawReply, get};
use crate::support::wait;

const READER: &str = "reader-0123456789abcdef";
const ADMIN: &str = "admin-0123456789abcdef";

fn closed_server() -> (Sandbox, RunningServer) {
    let sandbox = Sandbox::new();
    let mirror = MirrorTree::at(sandbox.path("mirror"));
    mirror.add_crate(Crate::new("leaf", "1.0.0"));
    mirror.write_file("dist/channel-rust-stable.toml", b"x = 1\n");
    sandbox.write("config/frostmirror.toml", "auth_required = true\nread_token_file = 'readers'\n");
    sandbox.write("config/readers", format!("# team\n{READER}\n"));
    let serving = sandbox.serve(["--mirror", "mirror", "--config-dir", "config", "--admin-token", ADMIN]);
    (sandbox, serving)
}

#[test]
fn cargo_needs_a_token_and_says_so_without_one() {
    let (sandbox, serving) = closed_server();
    let setup = get(serving.url(), "/api/setup/cargo-config", &[]).text();
    // The page names the Host that was asked.
    let setup = setup.replace("http://mirror.test", serving.url());
    let app = Project::new("app").dep("leaf", "1").main("fn main() {}\n").write(&sandbox.path("app"));
    let anonymous = Client::new().config(&setup);
    anonymous.cargo(&app, ["fetch"]).exits(101).stderr_has("cargo login --registry frostmirror");
    for token in [READER, ADMIN] {
        let client = Client::new().config(&setup).env("CARGO_REGISTRIES_FROSTMIRROR_TOKEN", token);
        client.cargo(&app, ["fetch"]).ok();
    }
    let logged_in = Client::new().config(&setup);
    logged_in.cargo(&app, ["login", "--registry", "frostmirror", READER]).ok();
    logged_in.cargo(&app, ["fetch"]).ok();
    let wrong = Client::new().config(&setup).env("CARGO_REGISTRIES_FROSTMIRROR_TOKEN", "reader-0123456789abcdeg");
    wrong.cargo(&app, ["fetch"]).exits(101);

    // The setup page decides where clients send their token.
    let line = "credential-provider = \"cargo:token\"";
    let admin = format!("Authorization: Bearer {ADMIN}");
    let page = get(serving.url(), "/setup", &[&admin]).text();
    assert!(page.contains("credential-provider") && page.contains("--auth-required"), "{page}");
    let printed = sandbox.run(["setup", "--url", serving.url(), "--auth-required"]).ok().stdout_has(line);
    let written = Client::new().config(&printed.stdout).env("CARGO_REGISTRIES_FROSTMIRROR_TOKEN", READER);
    written.cargo(&app, ["fetch"]).ok();
    sandbox.run(["setup", "--url", serving.url()]).ok().stdout_lacks("credential-provider");
}

#[test]
fn only_toolchains_health_and_setup_are_readable_without_a_token() {
    let (sandbox, serving) = closed_server();
    let with = |path: &str, lines: &[&str]| get(serving.url(), path, lines).status;
    for open in
        ["/dist/channel-rust-stable.toml", "/healthz", "/rustup-init.sh", "/api/setup/rustup-env.sh", "/api/session"]
    {
        assert_eq!(with(open, &[]), 200, "{open}");
    }
    let shut = [
        "/index/config.json",
        "/index/le/af/leaf",
        "/crates/leaf-1.0.0.crate",
        "/api/status",
        "/api/deps",
        "/manifest.json",
    ];
    for shut in shut {
        assert_eq!(with(shut, &[]), 401, "{shut}");
        // The cache does not give a reader's answer to a client without a token.
        for line in [format!("Authorization: {READER}"), format!("Authorization: Bearer {ADMIN}")] {
            let status = with(shut, &[&line]);
            assert!(status == 200 || status == 404, "{shut}: {status}");
        }
        assert_eq!(with(shut, &[]), 401, "{shut}");
        assert_eq!(with(shut, &["Authorization: Bearer reader-0123456789abcdeg"]), 401, "{shut}");
    }
    // A proxy must not cache a reader's answer for other clients, neither from the disk nor from memory.
    for _ in 0..2 {
        let kept = get(serving.url(), "/crates/leaf-1.0.0.crate", &[&format!("Authorization: {READER}")]);
        let output = kept.header("cache-control").expect("said");
        assert!(output.contains("private") && !output.contains("public"), "{output}");
    }
    let config = get(serving.url(), "/index/config.json", &[&format!("Authorization: {READER}")]);
    let config: Value = serde_json::from_slice(&config.body).unwrap();
    assert_eq!(config["auth-required"], json!(true));

    // A token that is taken back counts no more a moment later.
    sandbox.write("config/readers", "# comment\nother-0123456789abcdef\n");
    wait::until("the removed token is refused", || {
        with("/index/config.json", &[&format!("Authorization: {READER}")]) == 401
    });
}

#[test]
fn wrong_read_tokens_are_throttled_and_sessions_are_not() {
    let (_sandbox, serving) = closed_server();
    let (_, cookie) = log_in(&serving, READER);
    let with = |path: &str, line: &str| get(serving.url(), path, &[line]);
    let right = format!("Authorization: {READER}");
    for _ in 0..40 {
        assert_eq!(with("/index/le/af/leaf", &right).status, 200, "a right token never counts");
        assert_eq!(with("/index/le/af/leaf", "X-None: 1").status, 401, "no token is no wrong token");
    }
    let wrong = "Authorization: reader-expired-456789";
    for _ in 0..20 {
        assert_eq!(with("/index/le/af/leaf", wrong).status, 401, "the same token again is no new guess");
        assert_eq!(with("/index/le/af/leaf", &right).status, 200);
    }
    let guess = |n: u32| format!("Authorization: reader-guess-456789-{n}");
    let statuses: Vec<u16> = (0..20).map(|n| with("/index/le/af/leaf", &guess(n)).status).collect();
    assert!(statuses.starts_with(&[401; 9]) && statuses.contains(&429), "{statuses:?}");
    for path in ["/index/le/af/leaf", "/index/config.json", "/crates/leaf-1.0.0.crate", "/api/status", "/browse"] {
        let refused = with(path, &right);
        assert_eq!((refused.status, refused.header("retry-after").is_some()), (429, true), "{path}");
        assert!(refused.text().to_lowercase().contains("too many wrong tokens"), "{path}: {}", refused.text());
        let status = with(path, &cookie).status;
        assert_eq!(status, 200, "{path}: a session is no guess");
        assert_eq!(with(path, "X-None: 1").status, 401, "{path}");
    }
    assert_eq!(with("/dist/channel-rust-stable.toml", wrong).status, 200, "open files stay open");
    assert_eq!(with("/healthz", wrong).status, 200);
}

#[test]
fn incomplete_auth_settings_are_refused_at_start() {
    let sandbox = Sandbox::new();
    let args = ["serve", "--bind", "127.0.0.1:0", "--mirror", "mirror", "--config-dir", "config"];
    sandbox.write("config/frostmirror.toml", "auth_required = true\n");
    sandbox.run(args).exits(3).stderr_has("read_token_file");
    sandbox.write("config/frostmirror.toml", "auth_required = true\nread_token_file = 'readers'\n");
    sandbox.run(args).exits(3).stderr_has("readers`");
    sandbox.write("config/readers", "short\n");
    sandbox.run(args).exits(3).stderr_has("line 1 of");
    sandbox.write("config/frostmirror.toml", "admin_token_file = 'none'\n");
    sandbox.run(args).exits(3).stderr_has("none`");
}

#[cfg(unix)]
#[test]
fn a_secret_that_every_user_can_read_is_warned_of() {
    use std::os::unix::fs::PermissionsExt;
    let sandbox = Sandbox::new();
    let path = sandbox.write("the token", "admin-0123456789abcdef\n");
    for (mode, is_open) in [(0o644, true), (0o604, true), (0o640, false), (0o600, false)] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let serving = sandbox.serve(["--mirror", "mirror", "--admin-token-file", "the token"]);
        let run = serving.stop();
        let warning = format!("access the admin token in `{0}`: run `chmod o-rwx '{0}'`", path.display());
        match is_open {
            true => run.stderr_has(&warning),
            false => run.stderr_lacks("chmod"),
        };
    }
}

/// Logs in on the pages; the answer, and the line that a browser sends afterwards.
fn log_in(serving: &RunningServer, token: &str) -> (RawReply, String) {
    let body = json!({ "token": token }).to_string();
    let head = "POST /api/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json";
    let mut wire = RawConnection::connect(serving.url());
    let login = wire.send(format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len())).read_reply();
    let cookie = login.header("set-cookie").unwrap_or_default().split(';').next().unwrap_or_default();
    let cookie = format!("Cookie: {cookie}");
    (login, cookie)
}

#[test]
fn a_logged_in_reader_can_read_and_not_write() {
    let (sandbox, serving) = closed_server();
    let (login, cookie) = log_in(&serving, READER);
    let about: Value = serde_json::from_slice(&login.body).expect("JSON");
    assert_eq!(about, json!({ "admin": false, "reads": true, "token_configured": true }));
    let with = |path: &str| get(serving.url(), path, &[&cookie, "Accept: text/html"]);
    for path in ["/", "/packages", "/browse", "/deps", "/config", "/setup", "/index/le/af/leaf", "/api/status"] {
        assert_eq!(with(path).status, 200, "{path}");
    }
    let page = with("/packages").text();
    assert!(page.contains("Logged in, read only") && page.contains("data-admin=\"false\""), "{page}");
    assert!(page.contains("id=\"login\"") && page.contains("id=\"logout\""), "who has the admin token too goes on");
    let post = |path: &str, lines: &str| {
        RawConnection::connect(serving.url())
            .send(format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{lines}Content-Length: 0\r\n\r\n"))
            .read_reply()
    };
    assert_eq!(post("/api/verify", &format!("{cookie}\r\n")).status, 401, "reading is all");
    assert_eq!(post("/api/logout", &format!("{cookie}\r\n")).status, 200);
    assert_eq!(with("/browse").status, 401);

    // A removed token is refused like an unknown one.
    let (_, cookie) = log_in(&serving, READER);
    let with = |path: &str| get(serving.url(), path, &[&cookie]).status;
    assert_eq!(with("/api/status"), 200);
    let (login, _) = log_in(&serving, "reader-0123456789abcdeg");
    assert_eq!((login.status, login.header("set-cookie")), (403, None));
    assert!(login.text().contains("neither the admin token nor a read token"), "{}", login.text());
    sandbox.write("config/readers", "reader-another-0123456789\n");
    wait::until("the session of the removed token is refused", || with("/api/status") == 401);
}

#[test]
fn a_reader_token_cannot_log_in_when_reading_is_open() {
    let sandbox = Sandbox::new();
    MirrorTree::at(sandbox.path("mirror")).add_crate(Crate::new("leaf", "1.0.0"));
    sandbox.write("config/frostmirror.toml", "read_token_file = 'readers'\n");
    sandbox.write("config/readers", READER);
    let serving = sandbox.serve(["--mirror", "mirror", "--config-dir", "config", "--admin-token", ADMIN]);
    let (login, _) = log_in(&serving, READER);
    assert_eq!(login.status, 403);
    assert!(login.text().contains("wrong token: it is not the admin token"), "{}", login.text());
    assert_eq!(log_in(&serving, ADMIN).0.status, 200);
}

#[test]
fn a_session_ends_when_its_token_is_replaced() {
    let sandbox = Sandbox::new();
    MirrorTree::at(sandbox.path("mirror")).add_crate(Crate::new("leaf", "1.0.0"));
    sandbox.write("config/frostmirror.toml", "auth_required = true\nadmin_token_file = 'admin'\n");
    sandbox.write("config/admin", ADMIN);
    let serving = sandbox.serve(["--mirror", "mirror", "--config-dir", "config"]);
    let (_, cookie) = log_in(&serving, ADMIN);
    let with = |path: &str| get(serving.url(), path, &[&cookie]).status;
    assert_eq!((with("/index/le/af/leaf"), with("/api/status")), (200, 200));
    sandbox.write("config/admin", "admin-0123456789abcdeg");
    assert_eq!((with("/index/le/af/leaf"), with("/api/status")), (401, 401));
    std::fs::remove_file(sandbox.path("config/admin")).expect("removed");
    assert_eq!((with("/index/le/af/leaf"), with("/api/status")), (401, 401));
}
