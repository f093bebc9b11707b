//! What the API tells of a mirror: its history, its crates, its state.

use std::fs;

use serde_json::json;

use super::{get_json, json_body, send, server_with_bundles, start_server};
use crate::bundle_builder::{BundleBuilder, import};
use crate::support::crates::Crate;
use crate::support::sandbox::Sandbox;
use crate::support::server_fixture::get;

#[test]
fn the_import_history_is_paginated() {
    let (sandbox, serving) = server_with_bundles(&[]);
    let all = get_json(&serving, "/api/packages");
    assert_eq!((&all["total"], all["packages"].as_array().unwrap().len()), (&json!(2), 2));
    let newest = get_json(&serving, "/api/packages?per_page=1")["packages"].clone();
    let [newest] = newest.as_array().unwrap().as_slice() else { panic!("{newest}") };
    assert_eq!((&newest["number"], &newest["file"], &newest["kind"]), (&json!(2), &json!("two.pkg"), &json!("delta")));
    assert_eq!((&newest["current"], &newest["parent"]["file"]), (&json!(true), &json!("one.pkg")));
    assert_eq!((&newest["crates"], &newest["crates_shipped"]), (&json!(3), &json!(1)));
    let first = get_json(&serving, "/api/packages?per_page=1&page=2")["packages"][0].clone();
    assert_eq!((&first["file"], &first["current"], &first["sequence"]), (&json!("one.pkg"), &json!(false), &json!(1)));
    assert_eq!(first["lineage"], newest["lineage"]);
    assert_eq!(get_json(&serving, "/api/packages?page=3&per_page=1")["packages"], json!([]));

    // A record that has rotted is an import all the same, of which nothing more is known.
    let ledger = sandbox.path("mirror/.frostmirror/ledger");
    let mut records: Vec<_> = fs::read_dir(ledger).unwrap().map(|entry| entry.unwrap().path()).collect();
    records.sort();
    fs::write(&records[0], "{").unwrap();
    assert_eq!(get_json(&serving, "/api/packages")["packages"][1], json!({ "number": 1, "current": false }));
    let bundle =
        BundleBuilder::new("two", 1).ship(Crate::new("later", "1.0.0")).write(&sandbox.path("made"), "three.pkg");
    import(&sandbox.path("mirror"), &bundle).unwrap();
    assert_eq!(get_json(&serving, "/api/packages")["packages"][0]["file"], json!("three.pkg"));
}

#[test]
fn crates_and_charts_name_records_that_cannot_be_read() {
    let (sandbox, serving) = server_with_bundles(&[]);
    let ledger = sandbox.path("mirror/.frostmirror/ledger");
    let mut records: Vec<_> = fs::read_dir(ledger).unwrap().map(|entry| entry.unwrap().path()).collect();
    records.sort();
    fs::write(&records[0], "{").unwrap();
    let problem = "1 import record could not be read";
    for path in ["/api/crates", "/api/crates/leaf"] {
        assert_eq!(get_json(&serving, path)["bundles_problem"], json!(problem), "{path}");
    }
    for path in ["/browse", "/browse?crate=leaf", "/"] {
        let text = get(serving.url(), path, &["Accept: text/html"]).text();
        assert!(text.contains(problem), "{path}: {text}");
    }
}

#[test]
fn stored_crates_are_found() {
    let (sandbox, serving) = server_with_bundles(&[]);
    let all = get_json(&serving, "/api/crates");
    let names: Vec<&str> = all["crates"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(
        (names.as_slice(), &all["bundles_known"]),
        (["leaf", "Under_Score", "winonly"].as_slice(), &json!(true))
    );
    let leaf = get_json(&serving, "/api/crates/leaf");
    let [newest, oldest] = leaf["versions"].as_array().unwrap().as_slice() else { panic!("{leaf}") };
    assert_eq!(
        (&newest["version"], &newest["yanked"], &newest["bundle"]),
        (&json!("1.1.0"), &json!(true), &json!("two.pkg"))
    );
    assert_eq!(
        (&oldest["version"], &oldest["yanked"], &oldest["bundle"]),
        (&json!("1.0.0"), &json!(false), &json!("one.pkg"))
    );
    let file = fs::read(sandbox.path("mirror/crates/leaf-1.0.0.crate")).unwrap();
    assert_eq!(oldest["bytes"], json!(file.len()));
    assert_eq!(oldest["sha256"], json!(frostmirror::digest::Sha256::of(&file).to_string()));
    let windows = get_json(&serving, "/api/crates/winonly")["versions"][0].clone();
    assert_eq!((&windows["index_only"], &windows["bytes"]), (&json!(true), &json!(null)));

    let found = |query: &str| get_json(&serving, &format!("/api/crates?{query}"))["total"].clone();
    assert_eq!(
        (found("q=EA"), found("q=under-s"), found("q=none"), found("q=%2e%2e%2f")),
        (json!(1), json!(1), json!(0), json!(0))
    );
    assert_eq!(get_json(&serving, "/api/crates?per_page=1&page=3")["crates"][0]["name"], json!("winonly"));
    for path in ["/api/crates?page=0", "/api/crates?per_page=101", "/api/packages?page=x", "/api/crates?per_page=0"] {
        let reply = get(serving.url(), path, &[]);
        assert_eq!((reply.status, json_body(&reply)["error"].is_string()), (400, true), "{path}");
    }
    for path in
        ["/api/crates/none", "/api/crates/..%2f..%2fmanifest.json", "/api/crates/%00", "/api/crates/config.json"]
    {
        assert_eq!(get(serving.url(), path, &[]).status, 404, "{path}");
    }
    // An import is seen at once: it replaces the mirror's head.
    let bundle =
        BundleBuilder::new("two", 1).ship(Crate::new("later", "1.0.0")).write(&sandbox.path("made"), "three.pkg");
    import(&sandbox.path("mirror"), &bundle).unwrap();
    assert_eq!(found("q=later"), json!(1));
    assert_eq!(get_json(&serving, "/api/crates/later")["versions"][0]["bundle"], json!("three.pkg"));
}

#[test]
fn the_versions_of_a_crate_are_paginated() {
    let (_sandbox, mirror, serving) = start_server(&[]);
    for minor in 0..130 {
        mirror.add_crate(Crate::new("many", &format!("1.{minor}.0")));
    }
    let part = |query: &str| get_json(&serving, &format!("/api/crates/many{query}"));
    let names = |part: &serde_json::Value| -> Vec<String> {
        part["versions"].as_array().unwrap().iter().map(|one| one["version"].as_str().unwrap().to_owned()).collect()
    };
    let expected: Vec<String> = (0..130).rev().map(|minor| format!("1.{minor}.0")).collect();
    let (first, second) = (part(""), part("?page=2"));
    assert_eq!((&first["versions_total"], &first["page"], &first["per_page"]), (&json!(130), &json!(1), &json!(100)));
    assert_eq!([names(&first), names(&second)].concat(), expected);
    assert_eq!((&first["bytes"], first["bytes"].as_u64() > Some(1000)), (&second["bytes"], true));
    assert_eq!(names(&part("?per_page=7&page=19")), &expected[126..]);
    assert_eq!(names(&part("?page=3")), Vec::<String>::new());
    for query in ["?page=0", "?per_page=101", "?page=x"] {
        assert_eq!(get(serving.url(), &format!("/api/crates/many{query}"), &[]).status, 400, "{query}");
    }
    // The page for people has them too; past the end is the end.
    let page =
        |number: &str| get(serving.url(), &format!("/browse?crate=many&page={number}"), &["Accept: text/html"]).text();
    assert!(page("1").contains(">1.129.0<") && page("1").contains("rel=\"next\"") && !page("1").contains(">1.79.0<"));
    assert!(page("3").contains(">1.0.0<") && page("99").contains("Page 3 of 3") && page("99").contains(">1.0.0<"));
}

#[test]
fn status_lists_what_needs_attention() {
    let (sandbox, serving) = server_with_bundles(&[]);
    let status = get_json(&serving, "/api/status");
    assert_eq!((&status["healthy"], &status["imports"], &status["watching"]), (&json!(true), &json!(2), &json!(false)));
    assert_eq!((&status["crates"], &status["names"], &status["index_link"]), (&json!(3), &json!(3), &json!("good")));
    assert_eq!(status["lineages"][0]["sequence"], json!(2));
    fs::remove_file(sandbox.path("mirror/crates/index")).unwrap();
    fs::create_dir(sandbox.path("mirror/crates/index")).unwrap();
    let status = get_json(&serving, "/api/status");
    assert_eq!((&status["healthy"], status["problems"].as_array().unwrap().len()), (&json!(false), 1));
}

#[test]
fn a_missing_mirror_is_shown_as_empty() {
    let sandbox = Sandbox::new();
    let serving = sandbox.serve(["--mirror", "none"]);
    for path in ["/api/packages", "/api/crates"] {
        assert_eq!(get_json(&serving, path)["total"], json!(0), "{path}");
    }
    assert_eq!(get_json(&serving, "/api/status")["last_import"], json!("never"));
    assert_eq!(get_json(&serving, "/api/incoming")["files"], json!([]));
    assert_eq!(get_json(&serving, "/api/export")["snapshots"], json!([]));
    assert_eq!(send(&serving, "POST", "/api/gc?dry_run=true", &[], "").status, 422);
}

#[test]
fn a_mirror_without_records_is_described_from_its_files() {
    let (_sandbox, _mirror, serving) = start_server(&[]);
    let leaf = get_json(&serving, "/api/crates?q=leaf")["crates"][0].clone();
    assert_eq!((&leaf["versions_total"], &leaf["versions"][0]["bundle"]), (&json!(1), &json!(null)));
    assert_eq!(get_json(&serving, "/api/packages")["total"], json!(0));
}

/// What only the administrator needs to know: where things are on the host, and credentials in depends.toml.
#[test]
fn readers_see_neither_host_paths_nor_credentials() {
    let token = "0123456789abcdef-admin";
    let sandbox = Sandbox::new();
    sandbox.write("config/admin", token);
    sandbox.write(
        "config/frostmirror.toml",
        "admin_token_file = \"admin\"\nproxy_index_url = \"https://me:hunter2@up.example/\"\n",
    );
    let depends = "# https://me:hunter2@git.example\n[dependencies]\nleaf = { version = \"1\", token = \"hunter2\" }\n";
    sandbox.write("config/depends.toml", depends);
    sandbox.write("incoming/failed/a.pkg", "bad");
    let secret = sandbox.path("incoming/a.pkg");
    sandbox.write(
        "incoming/failed/a.pkg.reason.txt",
        format!("could not read `{}` and `/srv/hidden/b`\n", secret.display()),
    );
    let serving = sandbox.serve(["--mirror", "mirror", "--incoming", "incoming", "--config-dir", "config"]);
    let root = sandbox.path("").display().to_string();
    let root = root.trim_end_matches('/');
    let bearer = format!("Authorization: Bearer {token}");
    let paths = [
        "/api/config",
        "/api/incoming",
        "/api/deps",
        "/api/deps?format=toml",
        "/api/jobs",
        "/api/status",
        "/",
        "/deps",
        "/config",
        "/packages",
    ];
    for path in paths {
        let reader = get(serving.url(), path, &["Accept: text/html"]).text();
        for hidden in [root, "hunter2", "/srv/hidden"] {
            assert!(!reader.contains(hidden), "{path} shows {hidden} to readers: {reader}");
        }
    }
    let admin = |path: &str| get(serving.url(), path, &[bearer.as_str()]).text();
    assert!(admin("/api/config").contains("admin") && admin("/api/incoming").contains(root));
    assert!(admin("/api/deps").contains("hunter2"));
    assert_eq!(get_json(&serving, "/api/config")["admin_token_file"]["value"], "***");
    assert_eq!(get_json(&serving, "/api/deps")["dependencies"]["leaf"]["token"], "***");
    assert!(get_json(&serving, "/api/incoming")["failed"][0]["reason"].as_str().unwrap().contains("could not read"));
}
