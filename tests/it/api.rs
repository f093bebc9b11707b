//! The console over HTTP: the API's manners, and who may write.

use std::fs;
use std::path::PathBuf;

use frostmirror::bundle::format::CrateState;
use serde_json::{Value, json};

use crate::bundle_builder::{BundleBuilder, import};
use crate::support::crates::Crate;
use crate::support::sandbox::{RunningServer, Sandbox};
use crate::support::server_fixture::{MirrorTree, RawConnection, RawReply, get};
use crate::support::wait;

mod gc_job;
mod faults;
mod hostile;
mod offline;
mod openapi;
mod queries;
mod rejected_bundles;
mod snapshots;
mod conditional_writes;
mod uploads;

/// Two bundles of one history, the second a delta.
pub fn two_bundles(sandbox: &Sandbox) -> [PathBuf; 2] {
    let folder = sandbox.path("made");
    fs::create_dir_all(&folder).unwrap();
    let first = BundleBuilder::new("one", 1).ship(Crate::new("leaf", "1.0.0")).ship(Crate::new("Under_Score", "0.1.0"));
    let second = BundleBuilder::new("one", 2)
        .parent("one.pkg")
        .with_crate(Crate::new("leaf", "1.0.0"), CrateState::Sent)
        .ship(Crate::new("leaf", "1.1.0").yanked())
        .with_crate(Crate::new("winonly", "1.0.0"), CrateState::IndexOnly);
    [first.write(&folder, "one.pkg"), second.write(&folder, "two.pkg")]
}

/// A server of a mirror with both bundles.
fn server_with_bundles(flags: &[&str]) -> (Sandbox, RunningServer) {
    let sandbox = Sandbox::new();
    for bundle in two_bundles(&sandbox) {
        import(&sandbox.path("mirror"), &bundle).unwrap();
    }
    let all = ["--mirror", "mirror"].iter().chain(flags).copied().collect::<Vec<_>>();
    let serving = sandbox.serve(all);
    (sandbox, serving)
}

/// What a GET answers, which is good.
fn get_json(serving: &RunningServer, path: &str) -> Value {
    let reply = get(serving.url(), path, &[]);
    assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    json_body(&reply)
}

fn start_server(flags: &[&str]) -> (Sandbox, MirrorTree, RunningServer) {
    let sandbox = Sandbox::new();
    let mirror = MirrorTree::at(sandbox.path("mirror"));
    mirror.add_crate(Crate::new("leaf", "1.0.0"));
    let all = ["--mirror", "mirror"].iter().chain(flags).copied().collect::<Vec<_>>();
    let serving = sandbox.serve(all);
    (sandbox, mirror, serving)
}

/// A request with a body from this machine, and nothing that a browser would add.
fn send(serving: &RunningServer, method: &str, path: &str, extra: &[&str], body: &str) -> RawReply {
    send_to_host("localhost", serving, method, path, extra, body)
}

/// The same to a server that is called by the name `host`.
fn send_to_host(host: &str, serving: &RunningServer, method: &str, path: &str, extra: &[&str], body: &str) -> RawReply {
    let lines: String = extra.iter().map(|line| format!("{line}\r\n")).collect();
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n");
    let mut wire = RawConnection::connect(serving.url());
    wire.send(format!("{head}Content-Type: application/json\r\n{lines}\r\n{body}")).read_reply()
}

fn json_body(reply: &RawReply) -> Value {
    serde_json::from_str(&reply.text()).unwrap_or_else(|error| panic!("{error}: {}", reply.text()))
}

#[test]
fn errors_are_json() {
    let (_sandbox, _mirror, serving) = start_server(&[]);
    for (method, path, status) in [
        ("GET", "/api/nothing", 404),
        ("DELETE", "/api/status", 405),
        ("GET", "/api/jobs/7", 404),
        ("GET", "/api/verify", 405),
    ] {
        let reply = send(&serving, method, path, &[], "");
        assert_eq!(reply.status, status, "{method} {path}");
        assert!(json_body(&reply)["error"].is_string(), "{method} {path}");
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
    }
    let reply = send(&serving, "POST", "/api/login", &[], "{");
    assert_eq!((reply.status, json_body(&reply)["hint"].is_string()), (400, true));
    let reply = send(&serving, "POST", "/api/login", &[], &" ".repeat(4 * 1024 + 1));
    assert_eq!(reply.status, 413, "what anybody may send is small");
    let reply = send(&serving, "POST", "/api/deps", &[], &" ".repeat(1024 * 1024 + 1));
    assert_eq!(reply.status, 413);
}

#[test]
fn the_token_is_required_and_never_revealed() {
    let token = "0123456789abcdef-token";
    let (_sandbox, _mirror, serving) = start_server(&["--admin-token", token]);
    let refused = send(&serving, "POST", "/api/verify", &[], "");
    assert_eq!(refused.status, 401);
    assert!(refused.header("www-authenticate").is_some());
    let wrong = send(&serving, "POST", "/api/verify", &["Authorization: Bearer 0123456789abcdef-tokem"], "");
    assert_eq!(wrong.status, 401);
    let right = format!("Authorization: Bearer {token}");
    assert_eq!(send(&serving, "POST", "/api/verify", &[&right, "Origin: http://evil.example"], "").status, 403);
    assert_eq!(send(&serving, "POST", "/api/verify", &[&right], "").status, 202);

    let login = send(&serving, "POST", "/api/login", &[], &json!({ "token": token }).to_string());
    assert_eq!(login.status, 200, "{}", login.text());
    let cookie = login.header("set-cookie").expect("a cookie").to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict") && !cookie.contains(token));
    let cookie = format!("Cookie: {}", cookie.split(';').next().unwrap());
    let session = |cookie: &str| json_body(&get(serving.url(), "/api/session", &[cookie]));
    assert_eq!(session(&cookie)["admin"], json!(true));
    assert_eq!(send(&serving, "POST", "/api/logout", &[&cookie], "").status, 200);
    assert_eq!(session(&cookie)["admin"], json!(false));
    let wrong = send(&serving, "POST", "/api/login", &[], &json!({ "token": "0123456789abcdef" }).to_string());
    assert_eq!(wrong.status, 403);
    assert!(!wrong.text().contains("0123456789abcdef"));
}

#[test]
fn without_a_token_only_localhost_may_write() {
    let (_sandbox, _mirror, serving) = start_server(&[]);
    assert_eq!(send(&serving, "POST", "/api/verify", &["X-Forwarded-For: 10.1.2.3"], "").status, 403);
    let rebound = send_to_host("evil.example", &serving, "POST", "/api/verify", &[], "");
    assert_eq!((rebound.status, json_body(&rebound)["hint"].is_string()), (403, true));
    assert_eq!(send(&serving, "POST", "/api/verify", &[], "").status, 202);
}

#[test]
fn verify_runs_as_a_job() {
    let (_sandbox, mirror, serving) = start_server(&[]);
    let started = json_body(&send(&serving, "POST", "/api/verify", &[], ""));
    assert_eq!(started["kind"], json!("verify"));
    let job = wait_for_job(&serving, &started["id"]);
    assert_eq!(job["state"], json!("done"), "{job}");
    mirror.write_file("crates/leaf-1.0.0.crate", b"other bytes");
    let job = wait_for_job(&serving, &json_body(&send(&serving, "POST", "/api/verify", &[], ""))["id"]);
    assert_eq!((&job["state"], &job["outcome"]["ok"]), (&json!("done"), &json!(false)), "{job}");
}

fn run_job(serving: &RunningServer, path: &str, extra: &[&str]) -> Value {
    wait_for_job(serving, &json_body(&send(serving, "POST", path, extra, ""))["id"])
}

#[test]
fn a_failed_audit_is_a_problem_until_a_later_audit_is_clean() {
    let sandbox = Sandbox::new();
    let [first, _] = two_bundles(&sandbox);
    // A delta would need the damaged crate.
    let second = BundleBuilder::new("other", 1).ship(Crate::new("quick", "1.0.0"));
    let second = second.write(&sandbox.path("made"), "other.pkg");
    import(&sandbox.path("mirror"), &first).unwrap();
    let serving = sandbox.serve(["--mirror", "mirror"]);
    let page = |path: &str| send(&serving, "GET", path, &["Accept: text/html"], "").text();
    let status = get_json(&serving, "/api/status");
    assert_eq!((&status["healthy"], &status["last_audit"]), (&json!(true), &Value::Null), "{status}");
    assert!(page("/packages").contains("No check has ended since the server started"));

    let path = sandbox.path("mirror/crates/leaf-1.0.0.crate");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, vec![b'x'; bytes.len()]).unwrap();
    assert_eq!(run_job(&serving, "/api/verify", &[])["outcome"]["problems_total"], json!(1));
    let status = get_json(&serving, "/api/status");
    assert_eq!((&status["healthy"], &status["last_audit"]["problems"]), (&json!(false), &json!(1)), "{status}");
    let audited = status["last_audit"]["finished"].as_str().unwrap().to_owned();
    assert_eq!(status["problems"], json!([format!("the audit of {audited} found 1 problem")]));
    assert!(get(serving.url(), "/metrics", &[]).text().contains("\nfrostmirror_last_audit_problems 1\n"));
    assert!(page("/").contains("The last check found 1 problem"));
    // The next job does not hide the result.
    assert_eq!(run_job(&serving, "/api/gc", &[])["state"], json!("done"));
    let packages = page("/packages");
    assert!(
        packages.contains("It found 1 problem.") && packages.contains("<li>crates/leaf-1.0.0.crate: "),
        "{packages}"
    );
    let command =
        format!("cargo frostmirror verify --mirror {} --repair-list repair.jsonl", sandbox.path("mirror").display());
    assert!(packages.contains(&format!("<code>{command}</code>")), "{packages}");

    import(&sandbox.path("mirror"), &second).unwrap();
    let status = get_json(&serving, "/api/status");
    let text = format!("the audit of {audited} before the import of `other.pkg` found 1 problem");
    assert_eq!(
        (&status["problems"], &status["last_audit"]["before"]),
        (&json!([text]), &json!("the import of `other.pkg`"))
    );
    assert!(page("/").contains(", before the import of `other.pkg`"));

    fs::write(&path, bytes).unwrap();
    assert_eq!(run_job(&serving, "/api/verify", &[])["outcome"]["ok"], json!(true));
    let status = get_json(&serving, "/api/status");
    assert_eq!((&status["healthy"], &status["problems"]), (&json!(true), &json!([])), "{status}");
    assert_eq!((&status["last_audit"]["problems"], &status["last_audit"]["before"]), (&json!(0), &Value::Null));
    assert!(get(serving.url(), "/metrics", &[]).text().contains("\nfrostmirror_last_audit_problems 0\n"));
    assert!(!page("/").contains("The last check found"));
}

#[test]
fn hints_have_the_path_of_the_mirror_for_administrators_only() {
    let token = "0123456789abcdef-token";
    let sandbox = Sandbox::new();
    let [first, _] = two_bundles(&sandbox);
    import(&sandbox.path("mirror"), &first).unwrap();
    let serving = sandbox.serve(["--mirror", "mirror", "--admin-token", token]);
    let admin = format!("Authorization: Bearer {token}");
    fs::remove_file(sandbox.path("mirror/crates/leaf-1.0.0.crate")).unwrap();
    run_job(&serving, "/api/verify", &[&admin]);
    let root = sandbox.path("mirror").display().to_string();
    let page = get(serving.url(), "/packages", &[]).text();
    assert!(page.contains("1 file must be fetched again") && page.contains("<code>--repair-list</code>"), "{page}");
    assert!(!page.contains("--mirror") && !page.contains(&root), "{page}");
    let page = get(serving.url(), "/packages", &[&admin]).text();
    assert!(page.contains(&format!("--mirror {root} --repair-list repair.jsonl")), "{page}");

    // An altered record stops the garbage collection. The hint of the error names a command.
    let records = fs::read_dir(sandbox.path("mirror/.frostmirror/ledger")).unwrap();
    for record in records {
        fs::write(record.unwrap().path(), "{}").unwrap();
    }
    let job = run_job(&serving, "/api/gc", &[&admin]);
    let hint = job["hint"].as_str().unwrap_or_else(|| panic!("{job}"));
    assert!(hint.contains("verify") && !hint.contains("--mirror "), "{hint}");
    assert!(hint.ends_with("; run it on the server, with `--mirror` and the mirror's folder"), "{hint}");
    let job = json_body(&get(serving.url(), &format!("/api/jobs/{}", job["id"]), &[&admin]));
    assert!(job["hint"].as_str().unwrap().contains(&format!("verify --mirror {root}")), "{job}");
}

#[test]
fn depends_toml_is_returned_as_stored() {
    let (sandbox, _mirror, serving) = start_server(&["--config-dir", "config"]);
    let file = sandbox.path("config/depends.toml");
    assert_eq!(json_body(&get(serving.url(), "/api/deps", &[])), json!({}));
    let wanted = json!({
        "dependencies": {
            "anyhow": "1",
            "tokio": { "version": "1", "features": ["net"], "default-features": false },
            "serde": ["=1.0.100", { "version": "1", "features": ["derive"] }],
            "2": { "axum": "0.6" },
        },
        "locked": { "itoa": "1.0.11", "syn": ["1.0.109", "2.0.90"] },
        "platforms": { "targets": ["x86_64-unknown-linux-gnu"], "toolchain": ["stable", "1.86.0"] },
    });
    let tried = send(&serving, "POST", "/api/deps?dry_run=true", &[], &wanted.to_string());
    assert_eq!((tried.status, file.exists()), (200, false), "{}", tried.text());
    assert_eq!(send(&serving, "POST", "/api/deps", &[], &wanted.to_string()).status, 200);
    let read = get(serving.url(), "/api/deps", &[]);
    assert_eq!(json_body(&read), wanted);

    // The operator edits the file by hand, and adds a comment.
    let text = format!("# ours\n{}", fs::read_to_string(&file).unwrap());
    fs::write(&file, &text).unwrap();
    let stale = format!("If-Match: {}", read.header("etag").unwrap());
    assert_eq!(send(&serving, "POST", "/api/deps", &[&stale], &wanted.to_string()).status, 412);
    let fresh = format!("If-Match: {}", get(serving.url(), "/api/deps", &[]).header("etag").unwrap());
    let same = json_body(&send(&serving, "POST", "/api/deps", &[&fresh], &wanted.to_string()));
    assert_eq!(same["changed"], json!(false));
    assert_eq!(get(serving.url(), "/api/deps?format=toml", &[]).text(), text);

    for bad in [
        json!({ "dependencies": { "anyhow": "no version" } }),
        json!({ "dependencies": { "anyhow": null } }),
        json!({ "dependencies": { "<script>": "1" } }),
        json!({ "surplus": {} }),
        json!({ "dependencies": { "anyhow": { "git": "https://example.org" } } }),
    ] {
        let reply = send(&serving, "POST", "/api/deps", &[], &bad.to_string());
        assert!(reply.status == 422 || reply.status == 400, "{bad}: {}", reply.status);
        assert!(json_body(&reply)["error"].is_string() && json_body(&reply)["hint"].is_string(), "{}", reply.text());
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), text, "what is refused changes nothing");
    // An error names the position and the line, and not the host's path.
    let host = sandbox.path("").display().to_string();
    let error_of = |reply: &RawReply| {
        let body = json_body(reply);
        assert!(reply.status == 422 && !reply.text().contains(&host), "{}", reply.text());
        assert!(!body["error"].as_str().unwrap().contains('\n') && body["hint"].is_string(), "{body}");
        body
    };
    let bad = json!({ "dependencies": { "anyhow": "1", "itoa": "no version", "serde": "one" } });
    let body = error_of(&send(&serving, "POST", "/api/deps?dry_run=true", &[], &bad.to_string()));
    let problems = body["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 2, "{body}");
    // In the order of the lines; the file has serde first.
    let first = &problems[1];
    assert_eq!(first["source"], json!("itoa = \"no version\""), "{body}");
    assert!(first["line"].as_u64() >= Some(2) && first["column"] == json!(8), "{body}");
    assert!(first["message"].as_str().unwrap().contains("`dependencies.itoa`"), "{body}");
    assert!(body["error"].as_str().unwrap().ends_with("; and 1 more problem"), "{body}");
    fs::write(&file, "[dependencies]\nanyhow = 1.0.2\nleaf = { token = \"hunter2\" \n").unwrap();
    for reply in [get(serving.url(), "/api/deps", &[]), send(&serving, "POST", "/api/deps", &[], "{}")] {
        let body = error_of(&reply);
        let first = &body["problems"][0];
        assert_eq!((&first["line"], &first["column"]), (&json!(2), &json!(10)), "{body}");
        assert_eq!(first["source"], json!("anyhow = 1.0.2"), "{body}");
        assert!(!reply.text().contains("hunter2"), "{}", reply.text());
    }
    fs::write(&file, &text).unwrap();

    // A link stays one: the file that it leads to is changed.
    #[cfg(unix)]
    {
        let real = sandbox.path("elsewhere.toml");
        fs::rename(&file, &real).unwrap();
        std::os::unix::fs::symlink(&real, &file).unwrap();
        let other = json!({ "dependencies": { "anyhow": "2" } });
        assert_eq!(send(&serving, "POST", "/api/deps", &[], &other.to_string()).status, 200);
        assert!(file.is_symlink() && fs::read_to_string(&real).unwrap().contains("anyhow = \"2\""));
    }
    assert_eq!(send(&serving, "POST", "/api/deps", &["Origin: null"], &wanted.to_string()).status, 403);
}

#[test]
fn settings_change_while_the_server_runs() {
    let (sandbox, _mirror, serving) = start_server(&["--config-dir", "config", "--watch-incoming"]);
    let file = sandbox.path("config/frostmirror.toml");
    fs::create_dir_all(sandbox.path("config")).unwrap();
    fs::write(&file, "# ours\nproxy_index_url = \"https://me:hunter22@up.example/\" # upstream\n").unwrap();
    let read = || json_body(&get(serving.url(), "/api/config", &[]));
    assert_eq!(read()["watch_incoming"]["fixed_by"], json!("--watch-incoming"));
    let post = |changes: Value| send(&serving, "POST", "/api/config", &[], &changes.to_string());

    // A base URL stands for a proxy, and no request behind one is local.
    let shut_out = post(json!({ "base_url": "https://rust.example/x" }));
    assert_eq!((shut_out.status, json_body(&shut_out)["hint"].is_string()), (422, true), "{}", shut_out.text());
    let token = "0123456789abcdef-token";
    fs::write(sandbox.path("config/admin"), token).unwrap();
    let written = post(json!({ "base_url": "https://rust.example/x", "admin_token_file": "admin", "min_age": "2d" }));
    assert_eq!(written.status, 200, "{}", written.text());
    assert_eq!(json_body(&written)["needs_restart"], json!([]));
    let config: Value = serde_json::from_slice(&get(serving.url(), "/index/config.json", &[]).body).unwrap();
    assert_eq!(config["api"], json!("https://rust.example/x"), "in effect at once");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.starts_with("# ours\nproxy_index_url = \"https://me:hunter22@up.example/\" # upstream\n"), "{text}");
    let masked = read()["proxy_index_url"]["value"].clone();
    assert!(!masked.to_string().contains("hunter22"), "{masked}");

    assert_eq!(post(json!({ "base_url": null })).status, 401);
    let right = format!("Authorization: Bearer {token}");
    let post = |changes: Value| send(&serving, "POST", "/api/config", &[&right], &changes.to_string()).status;
    assert_eq!(post(json!({ "admin_token_file": null })), 422, "no client could write");
    // A manual edit meanwhile would take effect too.
    fs::write(&file, format!("{text}auth_required = true\nread_token_file = 'nowhere'\n")).unwrap();
    assert_eq!(post(json!({ "min_age": "3d" })), 422);
    fs::write(&file, &text).unwrap();
    assert_eq!(post(json!({ "admin_token_file": null, "base_url": null })), 200);
}

#[test]
fn an_invalid_setting_is_refused() {
    let token = "0123456789abcdef-token";
    let flags = ["--config-dir", "config", "--base-url", "http://rust.example", "--admin-token", token];
    let (sandbox, _mirror, serving) = start_server(&flags);
    let right = format!("Authorization: Bearer {token}");
    let post = |changes: Value| send(&serving, "POST", "/api/config", &[&right], &changes.to_string());
    for (changes, status) in [
        (json!({ "base_url": "http://other.example" }), 409),
        (json!({ "bas_url": "http://other.example" }), 422),
        (json!({ "min_age": "soon" }), 422),
        (json!({ "watch_incoming": "yes" }), 422),
        (json!({ "admin_token_file": "/nowhere" }), 422),
        (json!({ "tls_cert": "nowhere" }), 422),
        (json!({ "tls_cert": "nowhere", "tls_key": "nowhere" }), 422),
        (json!([1]), 400),
    ] {
        let reply = post(changes.clone());
        assert_eq!(reply.status, status, "{changes}: {}", reply.text());
        assert!(json_body(&reply)["error"].is_string());
    }
    assert!(!sandbox.path("config/frostmirror.toml").exists());
    let kept = post(json!({ "proxy_index_url": "https://me:hunter22@up.example/" }));
    assert_eq!(kept.status, 200, "{}", kept.text());
    let shown = json_body(&get(serving.url(), "/api/config", &[]))["proxy_index_url"]["value"].clone();
    assert_eq!(json_body(&post(json!({ "proxy_index_url": shown })))["changed"], json!([]));
    assert!(fs::read_to_string(sandbox.path("config/frostmirror.toml")).unwrap().contains("hunter22"));
    assert_eq!(json_body(&post(json!({ "keep_failed_packages": false })))["changed"], json!(["keep_failed_packages"]));
}

/// The job when it is over.
fn wait_for_job(serving: &RunningServer, id: &Value) -> Value {
    wait::until_some(format!("the job {id} ends"), || {
        let job = json_body(&get(serving.url(), &format!("/api/jobs/{id}"), &[]));
        (job["state"] != json!("running")).then_some(job)
    })
}
