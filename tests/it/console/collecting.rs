//! Collections over the API.

use std::fs;

use serde_json::json;

use super::{body, ended, filled, send};
use crate::import_bundle::{Make, import};
use crate::support::crates::Crate;

#[test]
fn a_collection_is_shown_first_and_done_as_a_job() {
    let (sandbox, serving) = filled(&[]);
    let made = sandbox.path("made");
    let bundle = Make::new("one", 3).ship(Crate::new("leaf", "2.0.0")).write(&made, "three.pkg");
    import(&sandbox.path("mirror"), &bundle).unwrap();
    let post = |path: &str, json: &str| send(&serving, "POST", path, &[], json);

    let plan = post("/api/gc?dry_run=true", "");
    assert_eq!(plan.status, 200, "{}", plan.text());
    let plan = body(&plan);
    assert_eq!((&plan["dry_run"], plan["lines"].as_array().unwrap().len()), (&json!(true), 4), "{plan}");
    assert_eq!(body(&post("/api/gc", r#"{"dry_run":true}"#))["lines"], plan["lines"]);
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
        assert_eq!((reply.status, body(&reply)["error"].is_string()), (400, true), "{path} {text}");
    }
    assert_eq!(post("/api/gc?dry_run=true&forget=none", "").status, 422);

    let job = body(&post("/api/gc?grace=0", ""));
    let job = ended(&serving, &job["id"]);
    assert_eq!(
        (&job["kind"], &job["state"], &job["outcome"]["lines"]),
        (&json!("gc"), &json!("done"), &json!(4)),
        "{job}"
    );
    assert_eq!(fs::read_to_string(sandbox.path("mirror/index/le/af/leaf")).unwrap().lines().count(), 1);
    // A lineage that is let go takes everything with it.
    let lineage = Make::new("one", 1).lineage().to_owned();
    let job = body(&post("/api/gc", &json!({ "grace": "0", "forget": [lineage] }).to_string()));
    let job = ended(&serving, &job["id"]);
    assert_eq!((&job["state"], &job["outcome"]["lines"]), (&json!("done"), &json!(1)), "{job}");
}
