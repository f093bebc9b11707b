//! Snapshots over the API: built, listed, downloaded, and left alone by the watcher.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;

use super::{get_json, json_body, send, server_with_bundles, two_bundles, wait_for_job};
use crate::support::sandbox::Sandbox;
use crate::support::server_fixture::{get, head};
use crate::support::wait;

#[test]
fn a_snapshot_is_created_listed_and_downloaded() {
    let (sandbox, serving) = server_with_bundles(&["--incoming", "incoming", "--config-dir", "config"]);
    sandbox.write("config/frostmirror.toml", "targets = [\"x86_64-unknown-linux-gnu\"]\n");
    let started = send(&serving, "POST", "/api/export", &[], "");
    assert_eq!(started.status, 202, "{}", started.text());
    let job = wait_for_job(&serving, &json_body(&started)["id"]);
    assert_eq!(job["state"], json!("done"), "{job}");
    let name = job["outcome"]["file"].as_str().unwrap().to_owned();
    let listed = get_json(&serving, "/api/export")["snapshots"].clone();
    let whole = fs::read(sandbox.path("incoming/exports").join(&name)).unwrap();
    assert_eq!((&listed[0]["file"], &listed[0]["bytes"]), (&json!(name), &json!(whole.len())));
    assert_eq!(fs::read_dir(sandbox.path("incoming/exports")).unwrap().count(), 1);

    let path = format!("/api/export/download/{name}");
    let given = get(serving.url(), &path, &[]);
    assert_eq!((given.status, given.body == whole), (200, true));
    assert_eq!(given.header("content-disposition"), Some(format!("attachment; filename=\"{name}\"").as_str()));
    let etag = given.header("etag").unwrap().to_owned();
    let part = get(serving.url(), &path, &["Range: bytes=10-19", &format!("If-Range: {etag}")]);
    assert_eq!((part.status, part.body.as_slice()), (206, &whole[10..20]));
    let other = get(serving.url(), &path, &["Range: bytes=10-19", "If-Range: \"other\""]);
    assert_eq!((other.status, other.body.len()), (200, whole.len()));
    let only = head(serving.url(), &path, &[]);
    assert_eq!((only.status, only.header("content-length")), (200, Some(whole.len().to_string().as_str())));
    assert_eq!(get(serving.url(), &path, &[&format!("If-None-Match: {etag}")]).status, 304);
    assert_eq!(get(serving.url(), &path, &["Range: bytes=999999999-"]).status, 416);

    // It is what the verb would have written: another mirror takes it.
    let copy = sandbox.write("copy.pkg", &whole);
    sandbox.run(["verify", copy.to_str().unwrap()]).ok();
    let import = ["import", copy.to_str().unwrap(), "--mirror", "other", "--config-dir", "other-config"];
    sandbox.run(import).ok();
    assert!(sandbox.read("other-config/frostmirror.toml").contains("x86_64-unknown-linux-gnu"));

    let exports = sandbox.path("incoming/exports");
    fs::write(exports.join("other.pkg"), "other").unwrap();
    sandbox.write("secret", "secret");
    symlink(sandbox.path("secret"), exports.join("snapshot-link.pkg")).unwrap();
    for bad in [
        "other.pkg",
        "snapshot-link.pkg",
        "snapshot-none.pkg",
        "..%2f..%2fsecret",
        "snapshot-..%2f..%2fsecret.pkg",
        "snapshot-%00.pkg",
        "snapshot-%252e%252e.pkg",
        ".",
    ] {
        assert_eq!(get(serving.url(), &format!("/api/export/download/{bad}"), &[]).status, 404, "{bad}");
    }
    assert_eq!(get(serving.url(), &format!("/api/export/download/snapshot-{}.pkg", "a".repeat(5000)), &[]).status, 404);
}

#[test]
fn the_watcher_ignores_snapshots() {
    let sandbox = Sandbox::new();
    let [first, second] = two_bundles(&sandbox);
    let serving = sandbox.serve(["--mirror", "mirror", "--watch-incoming", "--incoming", "incoming"]);
    let upload = |name: &str, path: &std::path::Path| {
        let reply = super::uploads::upload_file(&serving, name, &fs::read(path).unwrap());
        assert_eq!((reply.status, &json_body(&reply)["watching"]), (201, &json!(true)), "{}", reply.text());
    };
    let imported = || get_json(&serving, "/api/packages")["total"].as_u64().unwrap();
    upload("one.pkg", &first);
    wait::until("the first bundle is imported", || imported() == 1);
    let job = json_body(&send(&serving, "POST", "/api/export", &[], ""));
    let job = wait_for_job(&serving, &job["id"]);
    assert_eq!(job["state"], json!("done"), "{job}");
    upload("two.pkg", &second);
    wait::until("the second bundle is imported", || imported() == 2);
    let bad = sandbox.write("bad.pkg", "no bundle");
    upload("bad.pkg", &bad);
    wait::until("the third bundle is refused", || get_json(&serving, "/api/incoming")["failed_total"] == json!(1));
    let incoming = get_json(&serving, "/api/incoming");
    assert_eq!((&incoming["failed"][0]["file"], &incoming["done_total"]), (&json!("bad.pkg"), &json!(2)));
    assert!(incoming["failed"][0]["reason"].as_str().is_some_and(|reason| !reason.is_empty()));
    assert_eq!(get_json(&serving, "/api/status")["healthy"], json!(false));
    let kinds: Vec<_> = get_json(&serving, "/api/packages")["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["kind"].clone())
        .collect();
    assert_eq!(kinds, ["delta", "full"]);
    assert!(sandbox.path("incoming/exports").join(job["outcome"]["file"].as_str().unwrap()).is_file());
}
