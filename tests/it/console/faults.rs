//! What is wrong with the server itself: the client is told, and the operator too.

use std::fs;

use serde_json::json;

use super::{body, ended, filled, send, until};
use crate::support::crates::Crate;
use crate::support::published::{Published, get};
use crate::support::sandbox::Sandbox;

const ADMIN: &str = "admin-0123456789abcdef";
const READER: &str = "reader-0123456789abcdef";

#[test]
fn the_operator_is_told_of_what_the_server_cannot_do() {
    let sandbox = Sandbox::new();
    Published::at(sandbox.path("mirror")).hold(Crate::new("leaf", "1.0.0"));
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
    until("the report", || serving.running().stderr().contains("POST /api/config was answered with 500"));
    // A page with a fault of the server's is one too.
    let ledger = sandbox.path("mirror/.frostmirror/ledger");
    fs::create_dir_all(ledger.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink("ledger", ledger).unwrap();
    let page = get(serving.url(), "/packages", &["Accept: text/html"]);
    let told = serving.stop().stderr;
    assert_eq!(page.status, 507, "{told}");
    assert!(told.contains("the page /packages was answered with 507: could not list"), "{told}");
    assert_eq!(told.matches("was answered with").count(), 2, "what clients do wrong is theirs: {told}");
    assert!(told.contains("line 1 of") && told.contains("config/admin"), "why, and where: {told}");
    assert!(!told.contains(ADMIN) && !told.contains("very"), "{told}");
}

#[test]
fn a_job_that_fails_is_told_to_the_operator() {
    let (sandbox, serving) = filled(&[]);
    fs::write(sandbox.path("mirror/.frostmirror/format"), "99\n").unwrap();
    let begun = send(&serving, "POST", "/api/verify", &[], "");
    assert_eq!(begun.status, 202, "{}", begun.text());
    let job = ended(&serving, &body(&begun)["id"]);
    assert_eq!(job["state"], json!("failed"), "{job}");
    // A reader is told why, and the operator also where.
    let root = sandbox.path("").display().to_string();
    assert!(!job["error"].as_str().expect("why").contains(root.trim_end_matches('/')), "{job}");
    let told = |line: &str| line.contains("job 1 failed: ") && line.contains(root.trim_end_matches('/'));
    until("the report", || serving.running().stderr().lines().any(told));
}

#[test]
fn a_file_of_readers_that_has_gone_bad_is_told_once() {
    let sandbox = Sandbox::new();
    Published::at(sandbox.path("mirror")).hold(Crate::new("leaf", "1.0.0"));
    sandbox.write("config/frostmirror.toml", "auth_required = true\nread_token_file = 'readers'\n");
    sandbox.write("config/readers", READER);
    let serving = sandbox.serve(["--mirror", "mirror", "--config-dir", "config", "--admin-token", ADMIN]);
    let (reader, admin) = (format!("Authorization: {READER}"), format!("Authorization: Bearer {ADMIN}"));
    let status = |line: &str| get(serving.url(), "/api/status", &[line]);
    let dashboard = || get(serving.url(), "/", &[&admin, "Accept: text/html"]).text();
    assert_eq!(status(&reader).status, 200);
    assert_eq!(body(&status(&admin))["problems"], json!([]));
    assert!(!dashboard().contains("token is let in"));
    fs::write(sandbox.path("config/readers"), "a word too many on this line\n").unwrap();
    until("the closed door", || status(&reader).status == 401);
    let problems = body(&status(&admin))["problems"].clone();
    let problem = problems[0].as_str().expect("a problem");
    assert!(problem.contains("line 1 of") && problem.contains("readers`"), "{problem}");
    assert!(dashboard().contains("token is let in") && dashboard().contains("line 1 of"));
    for _ in 0..3 {
        std::thread::sleep(std::time::Duration::from_millis(1100));
        assert_eq!(status(&reader).status, 401, "it stays closed");
    }
    fs::write(sandbox.path("config/readers"), READER).unwrap();
    until("the open door", || status(&reader).status == 200);
    assert_eq!(body(&status(&admin))["problems"], json!([]));
    let told = serving.stop().stderr;
    assert_eq!(told.matches("no reader's token is let in").count(), 1, "{told}");
    assert_eq!(told.matches("is good again").count(), 1, "{told}");
    assert!(!told.contains("too many"), "what was written there may be a token: {told}");
}
