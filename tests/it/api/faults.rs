//! Faults of the server itself are reported to the client and to the operator.

use std::fs;

use serde_json::json;

use super::{json_body, send, server_with_bundles, wait_for_job};
use crate::support::crates::Crate;
use crate::support::sandbox::Sandbox;
use crate::support::server_fixture::{MirrorTree, get};
use crate::support::wait;

const ADMIN: &str = "admin-0123456789abcdef";
const READER: &str = "reader-0123456789abcdef";

#[test]
fn internal_errors_are_logged_for_the_operator() {
    let sandbox = Sandbox::new();
    MirrorTree::at(sandbox.path("mirror")).add_crate(Crate::new("leaf", "1.0.0"));
    sandbox.write("config/frostmirror.toml", "admin_token_file = 'admin'\n");
    sandbox.write("config/admin", ADMIN);
    let serving = sandbox.serve(["--mirror", "mirror", "--config-dir", "config"]);
    let bearer = format!("Authorization: Bearer {ADMIN}");
    assert_eq!(send(&serving, "POST", "/api/config", &[&bearer], "{\"nonsense\": 1}").status, 422);
    assert_eq!(send(&serving, "POST", "/api/config", &[], "{}").status, 401);
    fs::write(sandbox.path("config/admin"), "short").unwrap();
    let refused = send(&serving, "POST", "/api/config?secret=very", &[&bearer], "{}");
    assert_eq!(refused.status, 500);
    assert!(!refused.text().contains("config/admin"), "{}", refused.text());
    wait::until("the log reports the error", || {
        serving.running().stderr().contains("POST /api/config was answered with 500")
    });
    // A page with a fault of the server's is one too.
    let ledger = sandbox.path("mirror/.frostmirror/ledger");
    fs::create_dir_all(ledger.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink("ledger", ledger).unwrap();
    let page = get(serving.url(), "/packages", &["Accept: text/html"]);
    let output = serving.stop().stderr;
    assert_eq!(page.status, 507, "{output}");
    assert!(output.contains("the page /packages was answered with 507: could not list"), "{output}");
    assert_eq!(output.matches("was answered with").count(), 2, "what clients do wrong is theirs: {output}");
    assert!(output.contains("line 1 of") && output.contains("config/admin"), "why, and where: {output}");
    assert!(!output.contains(ADMIN) && !output.contains("very"), "{output}");
}

#[test]
fn a_failed_job_is_logged() {
    let (sandbox, serving) = server_with_bundles(&[]);
    fs::write(sandbox.path("mirror/.frostmirror/format"), "99\n").unwrap();
    let begun = send(&serving, "POST", "/api/verify", &[], "");
    assert_eq!(begun.status, 202, "{}", begun.text());
    let job = wait_for_job(&serving, &json_body(&begun)["id"]);
    assert_eq!(job["state"], json!("failed"), "{job}");
    // A reader sees the reason; the operator also sees the path.
    let root = sandbox.path("").display().to_string();
    assert!(!job["error"].as_str().expect("why").contains(root.trim_end_matches('/')), "{job}");
    let output = |line: &str| line.contains("job 1 failed: ") && line.contains(root.trim_end_matches('/'));
    wait::until("the log reports the error", || serving.running().stderr().lines().any(output));
}

#[test]
fn an_invalid_reader_token_file_is_logged_once() {
    let sandbox = Sandbox::new();
    MirrorTree::at(sandbox.path("mirror")).add_crate(Crate::new("leaf", "1.0.0"));
    sandbox.write("config/frostmirror.toml", "auth_required = true\nread_token_file = 'readers'\n");
    sandbox.write("config/readers", READER);
    let serving = sandbox.serve(["--mirror", "mirror", "--config-dir", "config", "--admin-token", ADMIN]);
    let (reader, admin) = (format!("Authorization: {READER}"), format!("Authorization: Bearer {ADMIN}"));
    let status = |line: &str| get(serving.url(), "/api/status", &[line]);
    let dashboard = || get(serving.url(), "/", &[&admin, "Accept: text/html"]).text();
    assert_eq!(status(&reader).status, 200);
    assert_eq!(json_body(&status(&admin))["problems"], json!([]));
    assert!(!dashboard().contains("read tokens cannot be used"));
    fs::write(sandbox.path("config/readers"), "a word too many on this line\n").unwrap();
    wait::until("the reader is refused", || status(&reader).status == 401);
    let problems = json_body(&status(&admin))["problems"].clone();
    let problem = problems[0].as_str().expect("a problem");
    assert!(problem.contains("line 1 of") && problem.contains("readers`"), "{problem}");
    assert!(dashboard().contains("read tokens cannot be used") && dashboard().contains("line 1 of"));
    for _ in 0..3 {
        // The token file is read again once a second; nothing shows that a repeated read failed.
        std::thread::sleep(std::time::Duration::from_millis(1100));
        assert_eq!(status(&reader).status, 401, "an unreadable token file refuses every reader");
    }
    fs::write(sandbox.path("config/readers"), READER).unwrap();
    wait::until("the reader is accepted", || status(&reader).status == 200);
    assert_eq!(json_body(&status(&admin))["problems"], json!([]));
    let output = serving.stop().stderr;
    assert_eq!(output.matches("no read token is accepted").count(), 1, "{output}");
    assert_eq!(output.matches("is valid again").count(), 1, "{output}");
    assert!(!output.contains("too many"), "what was written there may be a token: {output}");
}
