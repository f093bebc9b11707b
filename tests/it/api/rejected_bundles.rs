//! Bundles on a server that does not watch: imported on request, refused, retried, dismissed, deleted.

use std::fs;
use std::path::PathBuf;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::{Value, json};

use super::uploads::upload_file;
use super::{get_json, json_body, send, two_bundles, wait_for_job};
use crate::support::sandbox::{RunningServer, Sandbox};
use crate::support::server_fixture::RawReply;
use crate::support::wait;

const DAMAGED: &[u8] = b"this is no bundle";

/// A server of an empty mirror, and two bundles, the second of which builds on the first.
fn server_and_two_bundles(flags: &[&str]) -> (Sandbox, RunningServer, [PathBuf; 2]) {
    let sandbox = Sandbox::new();
    let bundles = two_bundles(&sandbox);
    let all = ["--mirror", "mirror", "--incoming", "incoming"].iter().chain(flags).copied().collect::<Vec<_>>();
    let serving = sandbox.serve(all);
    (sandbox, serving, bundles)
}

fn upload(serving: &RunningServer, name: &str, bytes: &[u8]) -> Value {
    let reply = upload_file(serving, &format!("{name}?import=true"), bytes);
    assert_eq!(reply.status, 201, "{}", reply.text());
    json_body(&reply)
}

/// What the job of this answer came to.
fn job_outcome(serving: &RunningServer, answer: &Value) -> Value {
    wait_for_job(serving, if answer["job"].is_object() { &answer["job"]["id"] } else { &answer["id"] })
}

fn post(serving: &RunningServer, path: &str) -> RawReply {
    send(serving, "POST", path, &[], "")
}

fn delete(serving: &RunningServer, path: &str) -> RawReply {
    send(serving, "DELETE", path, &[], "")
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|one| one["file"].as_str().unwrap()).collect()
}

#[test]
fn without_a_watcher_an_upload_is_imported_at_once() {
    let (sandbox, serving, [one, two]) = server_and_two_bundles(&[]);
    let (one, two) = (fs::read(one).unwrap(), fs::read(two).unwrap());
    // The second alone has no base: it stays, and is imported later.
    let waits = job_outcome(&serving, &upload(&serving, "two.pkg", &two));
    assert_eq!((&waits["kind"], &waits["state"]), (&json!("import"), &json!("failed")));
    assert!(waits["error"].as_str().unwrap().contains("one.pkg"), "{waits}");
    let hint = waits["hint"].as_str().unwrap();
    assert!(hint.contains("import `one.pkg`") && hint.contains("`cargo frostmirror fetch --base none`"), "{waits}");
    assert_eq!(names(&get_json(&serving, "/api/incoming")["files"]), ["two.pkg"]);
    let done = job_outcome(&serving, &upload(&serving, "one.pkg", &one));
    assert_eq!((&done["state"], &done["outcome"]["file"]), (&json!("done"), &json!("one.pkg")), "{done}");
    let reply = post(&serving, "/api/incoming/two.pkg/import");
    assert_eq!(reply.status, 202, "{}", reply.text());
    assert_eq!(job_outcome(&serving, &json_body(&reply))["state"], json!("done"));

    let incoming = get_json(&serving, "/api/incoming");
    assert_eq!((&incoming["files"], &incoming["done_total"]), (&json!([]), &json!(2)));
    assert_eq!(get_json(&serving, "/api/packages")["total"], json!(2));
    assert!(sandbox.path("incoming/done/two.pkg").is_file());
    let again = post(&serving, "/api/incoming/two.pkg/import");
    assert_eq!((again.status, json_body(&again)["hint"].is_string()), (404, true));
    // Without being told to, an upload lies there, and the answer says what to do.
    let lies = json_body(&upload_file(&serving, "third.pkg", &one));
    assert!(lies["job"].is_null() && lies["hint"].as_str().unwrap().contains("POST /api/incoming/third.pkg/import"));
    let metrics = crate::support::server_fixture::get(serving.url(), "/metrics", &[]).text();
    assert!(metrics.contains("frostmirror_imports_total{result=\"done\"} 2"), "{metrics}");
}

#[test]
fn a_rejected_bundle_can_be_retried_dismissed_and_deleted() {
    let (sandbox, serving, [one, _]) = server_and_two_bundles(&[]);
    let good = fs::read(one).unwrap();
    for _ in 0..2 {
        let failed = job_outcome(&serving, &upload(&serving, "one.pkg", DAMAGED));
        assert_eq!(failed["state"], json!("failed"));
        assert!(failed["hint"].as_str().unwrap().contains("failed/"), "{failed}");
    }
    job_outcome(&serving, &upload(&serving, "other.pkg", DAMAGED));
    let incoming = get_json(&serving, "/api/incoming");
    assert_eq!(names(&incoming["failed"]), ["one-2.pkg", "one.pkg", "other.pkg"]);
    assert_eq!((&incoming["failed_total"], &incoming["failed"][0]["has_file"]), (&json!(3), &json!(true)));
    assert!(incoming["failed"][0]["reason"].as_str().is_some_and(|reason| !reason.is_empty()));
    assert_eq!(get_json(&serving, "/api/status")["failed"], json!(3));

    // Retried as it is, it is refused again.
    let reply = post(&serving, "/api/incoming/failed/one-2.pkg/retry");
    assert_eq!((reply.status, &json_body(&reply)["file"]), (202, &json!("one.pkg")), "{}", reply.text());
    assert_eq!(job_outcome(&serving, &json_body(&reply))["state"], json!("failed"));
    assert_eq!(names(&get_json(&serving, "/api/incoming")["failed"]), ["one-2.pkg", "one.pkg", "other.pkg"]);

    // A good bundle of that name ends the alarm over both, and over no other.
    assert_eq!(job_outcome(&serving, &upload(&serving, "one.pkg", &good))["state"], json!("done"));
    let incoming = get_json(&serving, "/api/incoming");
    assert_eq!((names(&incoming["failed"]), &incoming["failed_total"]), (vec!["other.pkg"], &json!(1)));
    assert_eq!(names(&incoming["dismissed"]), ["one-2.pkg", "one.pkg"]);
    assert_eq!(post(&serving, "/api/incoming/failed/other.pkg/dismiss").status, 204);
    assert_eq!(get_json(&serving, "/api/incoming")["failed_total"], json!(0));
    assert_eq!(get_json(&serving, "/api/status")["problems"], json!([]));
    let status = sandbox.run(["status", "--mirror", "mirror"]).ok();
    assert!(!status.stdout.contains("other.pkg"), "{}", status.stdout);

    for name in ["one.pkg", "one-2.pkg", "other.pkg"] {
        assert_eq!(delete(&serving, &format!("/api/incoming/failed/{name}")).status, 204);
        assert_eq!(delete(&serving, &format!("/api/incoming/failed/{name}")).status, 404);
    }
    assert_eq!(fs::read_dir(sandbox.path("incoming/failed")).unwrap().count(), 0);
    assert_eq!(get_json(&serving, "/api/incoming")["dismissed"], json!([]));
}

#[test]
fn a_retried_bundle_is_imported_and_a_replaced_rejection_is_cleared() {
    let (sandbox, serving, [one, _]) = server_and_two_bundles(&["--watch-incoming"]);
    fs::create_dir_all(sandbox.path("incoming/failed")).unwrap();
    // Refused because of something that is over.
    fs::copy(&one, sandbox.path("incoming/failed/one.pkg")).unwrap();
    fs::write(sandbox.path("incoming/failed/one.pkg.reason.txt"), "why\n").unwrap();
    fs::write(sandbox.path("incoming/failed/one-2.pkg"), DAMAGED).unwrap();
    fs::write(sandbox.path("incoming/failed/one-2.pkg.reason.txt"), "why\n\nArrived as: one.pkg\n").unwrap();
    assert_eq!(get_json(&serving, "/api/incoming")["failed_total"], json!(2));
    let reply = post(&serving, "/api/incoming/failed/one.pkg/retry");
    let output = json_body(&reply);
    assert_eq!((reply.status, &output["watching"], output["job"].is_null()), (202, &json!(true), true));
    wait::until("the bundle is imported", || get_json(&serving, "/api/packages")["total"] == json!(1));
    wait::until("no failed bundle is counted", || get_json(&serving, "/api/incoming")["failed_total"] == json!(0));
    assert_eq!(names(&get_json(&serving, "/api/incoming")["dismissed"]), ["one-2.pkg"]);
    let refused = post(&serving, "/api/incoming/one.pkg/import");
    assert_eq!((refused.status, json_body(&refused)["hint"].is_string()), (409, true));
    wait::until("the status counts the failed bundles", || {
        let status = sandbox.run(["status", "--mirror", "mirror"]).ok();
        !status.stdout.contains("Failed: ")
    });
}

#[test]
fn a_good_bundle_that_the_verb_imports_from_elsewhere_ends_the_alarm() {
    for flags in [&[][..], &["--watch-incoming"]] {
        let (sandbox, serving, [one, two]) = server_and_two_bundles(flags);
        if flags.is_empty() {
            for name in ["one.pkg", "one.pkg", "other.pkg"] {
                job_outcome(&serving, &upload(&serving, name, DAMAGED));
            }
        } else {
            for (count, name) in [(1, "one.pkg"), (2, "one.pkg"), (3, "other.pkg")] {
                upload(&serving, name, DAMAGED);
                wait::until("the failed bundle is counted", || {
                    get_json(&serving, "/api/incoming")["failed_total"] == json!(count)
                });
            }
        }
        let status = || sandbox.run(["status", "--mirror", "mirror"]).ok().stdout;
        wait::until("the status counts the failed bundles", || status().contains("Failed bundles: 3\n"));

        // Another name ends no alarm; a bundle that is invalid itself does not either.
        sandbox
            .run(["import", "--mirror", "mirror", one.to_str().unwrap()])
            .ok()
            .stderr_has("Dismissed 2 invalid bundles named one.pkg");
        let incoming = get_json(&serving, "/api/incoming");
        assert_eq!((names(&incoming["failed"]), &incoming["failed_total"]), (vec!["other.pkg"], &json!(1)));
        assert_eq!(names(&incoming["dismissed"]), ["one-2.pkg", "one.pkg"]);
        wait::until("the status counts the failed bundles", || {
            status().contains("Failed bundles: 1\n") && !status().contains("Failed: one")
        });
        let run = sandbox.run(["import", "--mirror", "mirror", two.to_str().unwrap()]).ok();
        run.stderr_lacks("Dismissed");
        sandbox.write("else/other.pkg", DAMAGED);
        sandbox.run(["import", "--mirror", "mirror", "else/other.pkg"]).exits(4).stderr_lacks("Dismissed");
        assert_eq!(get_json(&serving, "/api/incoming")["failed_total"], json!(1));
        // One that is imported already is a good bundle, too.
        fs::copy(&one, sandbox.path("else/other.pkg")).unwrap();
        let run = sandbox.run(["import", "--mirror", "mirror", "else/other.pkg"]).ok();
        run.stderr_has("is already imported").stderr_has("Dismissed 1 invalid bundle named other.pkg");
        assert_eq!(get_json(&serving, "/api/status")["problems"], json!([]));
        assert_eq!(get_json(&serving, "/api/status")["failed"], json!(0));
        wait::until("the status counts the failed bundles", || status().contains("Failed bundles: 0\n"));
    }
}

#[test]
fn changes_need_write_access_and_an_existing_bundle() {
    let (sandbox, serving, [one, _]) = server_and_two_bundles(&[]);
    fs::create_dir_all(sandbox.path("incoming/failed")).unwrap();
    fs::create_dir_all(sandbox.path("incoming/exports")).unwrap();
    fs::copy(&one, sandbox.path("incoming/one.pkg")).unwrap();
    fs::copy(&one, sandbox.path("incoming/failed/bad.pkg")).unwrap();
    fs::write(sandbox.path("incoming/exports/snapshot-1.pkg"), "x").unwrap();
    sandbox.write("outside.pkg", "x");
    std::os::unix::fs::symlink("../../outside.pkg", sandbox.path("incoming/failed/link.pkg")).unwrap();
    std::os::unix::fs::symlink("../outside.pkg", sandbox.path("incoming/link.pkg")).unwrap();
    mknodat(CWD, sandbox.path("incoming/pipe.pkg"), FileType::Fifo, Mode::from(0o600), 0).unwrap();
    let before = sandbox.read_tree("incoming/failed");
    let routes = [
        ("POST", "/api/incoming/{}/import", "one.pkg"),
        ("POST", "/api/incoming/failed/{}/retry", "bad.pkg"),
        ("POST", "/api/incoming/failed/{}/dismiss", "bad.pkg"),
        ("DELETE", "/api/incoming/failed/{}", "bad.pkg"),
        ("DELETE", "/api/export/{}", "snapshot-1.pkg"),
    ];
    for (method, route, good) in routes {
        let path = route.replace("{}", good);
        for foreign in ["Origin: http://evil.example", "Sec-Fetch-Site: cross-site", "X-Forwarded-For: 10.0.0.1"] {
            assert_eq!(send(&serving, method, &path, &[foreign], "").status, 403, "{method} {path} {foreign}");
        }
        for name in [
            "none.pkg",
            "link.pkg",
            "pipe.pkg",
            "..%2f..%2foutside.pkg",
            "%2e%2e%2foutside.pkg",
            "failed%2fbad.pkg",
            "bad.pkg%00",
            "%ff.pkg",
            "bad.pkg.reason.txt",
            "exports%2fsnapshot-1.pkg",
        ] {
            let reply = send(&serving, method, &route.replace("{}", name), &[], "");
            // What is not UTF-8 is no path of the API at all.
            assert!([404, 400, 405].contains(&reply.status), "{method} {route} {name}: {}", reply.status);
        }
    }
    assert_eq!(sandbox.read_tree("incoming/failed"), before);
    assert!(sandbox.path("outside.pkg").is_file() && sandbox.path("incoming/exports/snapshot-1.pkg").is_file());
    for (method, route, good) in routes.into_iter().rev() {
        let status = send(&serving, method, &route.replace("{}", good), &[], "").status;
        let expected = if method == "DELETE" {
            204
        } else if good == "bad.pkg" {
            404
        } else {
            202
        };
        assert_eq!(status, expected, "{method} {route}");
    }
    assert!(!sandbox.path("incoming/failed/bad.pkg").exists());
    assert!(!sandbox.path("incoming/exports/snapshot-1.pkg").exists());
    // If a token is configured, it is required.
    let sandbox = Sandbox::new();
    let serving = sandbox.serve(["--mirror", "mirror", "--incoming", "incoming", "--admin-token", "0123456789abcdef"]);
    for (method, route, good) in routes {
        assert_eq!(send(&serving, method, &route.replace("{}", good), &[], "").status, 401, "{method} {route}");
    }
}

#[test]
fn a_bundle_that_may_still_be_arriving_is_not_rejected() {
    let (sandbox, serving, [one, _]) = server_and_two_bundles(&[]);
    let bytes = fs::read(one).unwrap();
    fs::create_dir_all(sandbox.path("incoming")).unwrap();
    fs::write(sandbox.path("incoming/one.pkg"), &bytes[..bytes.len() / 2]).unwrap();
    let half = json_body(&post(&serving, "/api/incoming/one.pkg/import"));
    let half = job_outcome(&serving, &half);
    assert!(half["hint"].as_str().unwrap().contains("may be incomplete"), "{half}");
    assert!(sandbox.path("incoming/one.pkg").is_file() && !sandbox.path("incoming/failed").exists());
    fs::write(sandbox.path("incoming/one.pkg"), &bytes).unwrap();
    let whole = json_body(&post(&serving, "/api/incoming/one.pkg/import"));
    assert_eq!(job_outcome(&serving, &whole)["state"], json!("done"));
}
