//! Collections over the API.

use std::fs;

use serde_json::json;

use super::{get_json, json_body, send, server_with_bundles, wait_for_job};
use crate::bundle_builder::{BundleBuilder, import};
use crate::support::crates::Crate;

#[test]
fn a_gc_plan_is_shown_and_then_run_as_a_job() {
    let (sandbox, serving) = server_with_bundles(&[]);
    let made = sandbox.path("made");
    let bundle = BundleBuilder::new("one", 3).ship(Crate::new("leaf", "2.0.0")).write(&made, "three.pkg");
    import(&sandbox.path("mirror"), &bundle).unwrap();
    let post = |path: &str, json: &str| send(&serving, "POST", path, &[], json);

    let plan = post("/api/gc?dry_run=true", "");
    assert_eq!(plan.status, 200, "{}", plan.text());
    let plan = json_body(&plan);
    assert_eq!((&plan["dry_run"], plan["lines"].as_array().unwrap().len()), (&json!(true), 4), "{plan}");
    assert_eq!(json_body(&post("/api/gc", r#"{"dry_run":true}"#))["lines"], plan["lines"]);
    assert!(
        sandbox.path("mirror/index/le/af/leaf").is_file()
            && fs::read_dir(sandbox.path("mirror/crates")).unwrap().count() == 5
    );
    let verb = sandbox.run(["gc", "--mirror", "mirror", "--dry-run", "--message-format", "json"]).ok();
    let line: serde_json::Value = serde_json::from_str(verb.stdout.lines().next().unwrap()).unwrap();
    assert_eq!((&line["lines"], &line["lineages"]), (&plan["lines"], &plan["lineages"]), "the verb says the same");

    for (path, text) in [
        ("/api/gc?dryrun=true", ""),
        ("/api/gc?dry_run=maybe", ""),
        ("/api/gc?grace=soon", ""),
        ("/api/gc", r#"{"dryrun":true}"#),
        ("/api/gc", "[1]"),
    ] {
        let reply = post(path, text);
        assert_eq!((reply.status, json_body(&reply)["error"].is_string()), (400, true), "{path} {text}");
    }
    assert_eq!(post("/api/gc?dry_run=true&forget=none", "").status, 422);

    let job = json_body(&post("/api/gc?grace=0", ""));
    let job = wait_for_job(&serving, &job["id"]);
    assert_eq!(
        (&job["kind"], &job["state"], &job["outcome"]["lines"]),
        (&json!("gc"), &json!("done"), &json!(4)),
        "{job}"
    );
    assert_eq!(fs::read_to_string(sandbox.path("mirror/index/le/af/leaf")).unwrap().lines().count(), 1);
    // A lineage that is let go takes everything with it.
    let lineage = BundleBuilder::new("one", 1).lineage().to_owned();
    let job = json_body(&post("/api/gc", &json!({ "grace": "0", "forget": [lineage] }).to_string()));
    let job = wait_for_job(&serving, &job["id"]);
    assert_eq!((&job["state"], &job["outcome"]["lines"]), (&json!("done"), &json!(1)), "{job}");
}

#[test]
fn a_doubtful_bundle_is_shown_and_accepted() {
    let (sandbox, serving) = server_with_bundles(&[]);
    let mirror = sandbox.path("mirror");
    let jump = BundleBuilder::new("one", 9).ship(Crate::new("forged", "1.0.0"));
    let lineage = jump.lineage().to_owned();
    assert_eq!(get_json(&serving, "/api/status")["problems"], json!([]));
    sandbox.run(["import", "--mirror", "mirror", jump.write(&sandbox.path("made"), "nine.pkg").to_str().unwrap()]).ok();

    // In every place that reports it.
    let reported = "bundle number 9 was imported when the highest number was 2";
    let status = get_json(&serving, "/api/status");
    let about = &status["lineages"][0];
    assert_eq!((&about["id"], &about["doubts"]), (&json!(lineage), &json!([reported])), "{status}");
    assert_eq!((&about["inputs"], &about["more_inputs"]), (&json!(["Cargo.lock"]), &json!(0)), "{status}");
    assert_eq!(
        status["problems"],
        json!([format!("the newest bundle of the history {lineage} is doubtful: {reported}")])
    );
    let newest = get_json(&serving, "/api/packages")["packages"][0].clone();
    assert!(
        newest["warnings"][0].as_str().unwrap().starts_with("nine.pkg has the number 9 in its history"),
        "{newest}"
    );
    let metrics = crate::support::server_fixture::get(serving.url(), "/metrics", &[]).text();
    assert!(metrics.contains("frostmirror_mirror_doubtful_histories 1\n"), "{metrics}");
    let verb = sandbox.run(["status", "--mirror", "mirror"]).ok();
    verb.stdout_has(&format!("Lineage {lineage} (Cargo.lock): bundle number 9 of "))
        .stdout_has(&format!("  Doubtful: {reported}\n"));

    // Without acceptance only that goes which number 2 made garbage, and an unknown history is refused.
    let post = |path: &str, json: &str| send(&serving, "POST", path, &[], json);
    let lines = json_body(&post("/api/gc?dry_run=true", ""))["lines"].clone();
    assert_eq!(lines, json!([{ "name": "under_score", "version": "0.1.0" }]));
    let another = format!("/api/gc?dry_run=true&accept={lineage}@ffffffff");
    for path in ["/api/gc?dry_run=true&accept=ffff", "/api/gc?dry_run=true&accept=", &another] {
        let refused = post(path, "");
        assert_eq!((refused.status, json_body(&refused)["error"].is_string()), (422, true), "{path}");
    }
    let by_query = json_body(&post(&format!("/api/gc?dry_run=true&accept={}", &lineage[..8]), ""));
    let by_body = json_body(&post("/api/gc", &json!({ "dry_run": true, "accept": [lineage] }).to_string()));
    for plan in [by_query, by_body] {
        assert_eq!(
            (&plan["lineages"][0]["accepted"], plan["lines"].as_array().unwrap().len()),
            (&json!(true), 4),
            "{plan}"
        );
    }
    assert!(!get_json(&serving, "/api/status")["problems"].as_array().unwrap().is_empty(), "a plan accepts nothing");

    // A forged bundle that arrived after the page was read is not accepted in place of the shown one.
    let seen = status["lineages"][0]["bundle"].as_str().unwrap();
    let forged =
        BundleBuilder::new("one", 99).ship(Crate::new("later", "1.0.0")).write(&sandbox.path("made"), "later.pkg");
    let accept = format!("/api/gc?grace=0&accept={lineage}@{seen}");
    let with_forged = |path: &str| {
        let copy = sandbox.path("copy");
        let copied = std::process::Command::new("cp").arg("-a").args([&mirror, &copy]).status().unwrap();
        assert!(copied.success());
        import(&copy, &forged).unwrap();
        sandbox.run(["gc", "--mirror", "copy", "--grace", "0", "--accept", path.split_once("accept=").unwrap().1])
    };
    with_forged(&accept).exits(3).stderr_has(&format!("the newest bundle of lineage `{lineage}` is ")).stderr_has(seen);
    let job = json_body(&post(&accept, ""));
    let job = wait_for_job(&serving, &job["id"]);
    assert_eq!((&job["state"], &job["outcome"]["lines"]), (&json!("done"), &json!(4)), "{job}");
    let status = get_json(&serving, "/api/status");
    assert_eq!((&status["problems"], &status["lineages"][0]["doubts"]), (&json!([]), &json!([])), "{status}");
    assert!(mirror.join("crates/forged-1.0.0.crate").is_file() && !mirror.join("crates/leaf-1.0.0.crate").exists());
    // The note of the import stays what it was: it says what was known then.
    assert_eq!(get_json(&serving, "/api/packages")["packages"][0]["warnings"], newest["warnings"]);
}

#[test]
fn a_false_bundle_is_rejected() {
    let (sandbox, serving) = server_with_bundles(&[]);
    let mirror = sandbox.path("mirror");
    let forged = BundleBuilder::new("one", 253_402_207_200).read_at(9).ship(Crate::new("forged", "1.0.0"));
    let lineage = forged.lineage().to_owned();
    import(&mirror, &forged.write(&sandbox.path("made"), "forged.pkg")).unwrap();
    let bundle = get_json(&serving, "/api/status")["lineages"][0]["bundle"].clone();
    let path = format!("/api/gc?grace=0&reject={lineage}@{}", bundle.as_str().unwrap());
    let post = |path: &str| send(&serving, "POST", path, &[], "");
    let refused = post(&format!("/api/gc?reject={lineage}"));
    assert_eq!((refused.status, json_body(&refused)["error"].is_string()), (202, false), "{}", refused.text());
    let job = wait_for_job(&serving, &json_body(&refused)["id"]);
    assert_eq!(job["state"], "failed", "{job}");
    let plan = json_body(&post(&format!("{path}&dry_run=true")));
    assert_eq!((&plan["rejected"][0]["bundle"], &plan["lineages"][0]["sequence"]), (&bundle, &json!(2)), "{plan}");
    assert!(mirror.join("crates/forged-1.0.0.crate").is_file(), "a plan rejects nothing");
    let job = wait_for_job(&serving, &json_body(&post(&path))["id"]);
    assert_eq!(job["state"], "done", "{job}");
    assert!(!mirror.join("crates/forged-1.0.0.crate").exists() && mirror.join("crates/leaf-1.0.0.crate").is_file());
    assert_eq!(get_json(&serving, "/api/status")["problems"], json!([]));
}

#[test]
fn only_who_may_write_accepts_a_bundle() {
    let token = "0123456789abcdef-token";
    let (sandbox, serving) = server_with_bundles(&["--admin-token", token]);
    let jump = BundleBuilder::new("one", 9).ship(Crate::new("forged", "1.0.0"));
    let path = format!("/api/gc?grace=0&accept={}", jump.lineage());
    import(&sandbox.path("mirror"), &jump.write(&sandbox.path("made"), "nine.pkg")).unwrap();
    assert_eq!(send(&serving, "POST", &path, &[], "").status, 401);
    assert_eq!(send(&serving, "POST", &path, &["Authorization: Bearer 0123456789abcdef-wrong"], "").status, 401);
    let doubts = get_json(&serving, "/api/status")["lineages"][0]["doubts"].clone();
    assert_eq!(doubts.as_array().unwrap().len(), 1, "{doubts}");
}
