//! Cargo's own API: search, info, add and install with `--registry frostmirror`, against what was fetched and imported.

use std::fs;

use serde_json::{Value, json};

use crate::bundle_builder::{BundleBuilder, import};
use crate::live_store::store_crates;
use crate::support::client::{Client, Project};
use crate::support::crates::Crate;
use crate::support::sandbox::{RunningServer, Sandbox};
use crate::support::server_fixture::get;
use crate::support::upstream::Upstream;

/// What a search answers.
fn search(serving: &RunningServer, query: &str) -> Value {
    let reply = get(serving.url(), &format!("/api/v1/crates?{query}"), &[]);
    assert_eq!(reply.status, 200, "{}", reply.text());
    serde_json::from_str(&reply.text()).unwrap()
}

fn result_names(answer: &Value) -> Vec<&str> {
    answer["crates"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect()
}

#[test]
fn cargo_search_info_add_and_install_work() {
    let upstream = Upstream::start();
    upstream.publish(Crate::new("frost-leaf", "1.0.0").description("Leaves of ice").license("MIT"));
    let tool = Crate::new("frost_tool", "0.9.0").description("A program that prints").license("MIT");
    upstream.publish(tool.dep("frost-leaf", "^1").bin("fn main() { println!(\"from the mirror\"); }"));
    let sandbox = Sandbox::new().upstream(&upstream);
    sandbox.write("depends.toml", "[dependencies]\nfrost_tool = \"0.9\"\n");
    let bundle = sandbox.run(["fetch"]).ok().path();
    sandbox.run(["import", bundle.to_str().unwrap(), "--mirror", "mirror"]).ok();
    let serving = sandbox.serve(["--mirror", "mirror"]);
    let client = Client::new().config(&sandbox.run(["setup", "--url", serving.url()]).ok().stdout);
    let app = Project::new("app").main("fn main() {}\n").write(&sandbox.path("app"));
    let on_the_mirror = |args: &[&str]| {
        let args = args.iter().copied().chain(["--registry", "frostmirror"]);
        client.cargo(&app, args)
    };

    let found = on_the_mirror(&["search", "frost"]).ok();
    assert!(
        found.stdout.contains("frost-leaf = \"1.0.0\"") && found.stdout.contains("# Leaves of ice"),
        "{}",
        found.describe()
    );
    assert!(found.stdout.contains("frost_tool = \"0.9.0\"") && found.stdout.contains("# A program that prints"));
    on_the_mirror(&["search", "ice"]).ok().stdout_has("frost-leaf = ").stdout_lacks("frost_tool");
    let first = on_the_mirror(&["search", "--limit", "1", "FROST-TOOL"]).ok();
    assert!(first.stdout.starts_with("frost_tool = \"0.9.0\""), "{}", first.describe());
    on_the_mirror(&["search", "program", "prints"]).ok().stdout_has("frost_tool");
    on_the_mirror(&["search", "nothing-of-that"]).ok().stdout_lacks("frost");

    on_the_mirror(&["info", "frost_tool"]).ok().stdout_has("A program that prints").stdout_has("version: 0.9.0");
    on_the_mirror(&["add", "frost-leaf"]).ok();
    let manifest = fs::read_to_string(app.join("Cargo.toml")).unwrap();
    assert!(manifest.contains("frost-leaf") && manifest.contains("registry = \"frostmirror\""), "{manifest}");
    client.cargo(&app, ["build"]).ok();
    let root = sandbox.path("installed");
    on_the_mirror(&["install", "frost_tool", "--root", root.to_str().unwrap()]).ok();
    let ran = crate::support::process::Process::new(root.join("bin/frost_tool"), &sandbox.path("")).run().ok();
    assert_eq!(ran.line(), "from the mirror");
}

#[test]
fn searching_a_protected_mirror_needs_a_token() {
    let sandbox = Sandbox::new();
    fs::create_dir_all(sandbox.path("made")).unwrap();
    let bundle = BundleBuilder::new("one", 1).ship(Crate::new("leaf", "1.0.0")).description("leaf", "Green");
    import(&sandbox.path("mirror"), &bundle.write(&sandbox.path("made"), "one.pkg")).unwrap();
    sandbox.write("config/frostmirror.toml", "auth_required = true\nread_token_file = 'readers'\n");
    sandbox.write("config/readers", "reader-0123456789abcdef\n");
    let serving = sandbox.serve(["--mirror", "mirror", "--config-dir", "config"]);
    let setup = get(serving.url(), "/api/setup/cargo-config", &[]).text().replace("http://mirror.test", serving.url());
    let app = Project::new("app").write(&sandbox.path("app"));
    let args = ["search", "leaf", "--registry", "frostmirror"];
    let anonymous = get(serving.url(), "/api/v1/crates?q=leaf", &[]);
    assert!(anonymous.status == 401 && !anonymous.text().contains("Green"), "{}", anonymous.text());
    Client::new().config(&setup).cargo(&app, args).exits(101);
    let reader = Client::new().config(&setup).env("CARGO_REGISTRIES_FROSTMIRROR_TOKEN", "reader-0123456789abcdef");
    reader.cargo(&app, args).ok().stdout_has("leaf = \"1.0.0\"").stdout_has("# Green");
}

#[test]
fn the_best_match_is_first_and_shows_its_newest_version() {
    let sandbox = Sandbox::new();
    fs::create_dir_all(sandbox.path("made")).unwrap();
    let first = BundleBuilder::new("one", 1)
        .ship(Crate::new("json", "1.0.0"))
        .ship(Crate::new("json", "1.1.0").yanked())
        .ship(Crate::new("json", "2.0.0-rc.1"))
        .ship(Crate::new("json-path", "0.1.0"))
        .ship(Crate::new("my_json", "0.1.0"))
        .ship(Crate::new("other", "0.1.0"))
        .description("json", "the old text")
        .description("other", "Reads JSON\n  and writes it");
    let second = BundleBuilder::new("two", 1).ship(Crate::new("json", "0.9.0")).description("json", "the new text");
    let third = BundleBuilder::new("three", 1).ship(Crate::new("json", "0.8.0"));
    let mirror = sandbox.path("mirror");
    import(&mirror, &first.write(&sandbox.path("made"), "one.pkg")).unwrap();
    let serving = sandbox.serve(["--mirror", "mirror"]);
    let found = search(&serving, "q=json");
    assert_eq!(result_names(&found), ["json", "json-path", "my_json", "other"]);
    let json = &found["crates"][0];
    assert_eq!((&json["max_version"], &json["max_stable_version"]), (&json!("1.0.0"), &json!("1.0.0")));
    assert_eq!((&json["exact_match"], &json["description"]), (&json!(true), &json!("the old text")));
    assert_eq!(found["crates"][1]["description"], json!(null));
    assert_eq!(found["crates"][3]["description"], json!("Reads JSON and writes it"));
    // What is imported is known at once; a bundle that says nothing takes nothing away.
    import(&mirror, &second.write(&sandbox.path("made"), "two.pkg")).unwrap();
    import(&mirror, &third.write(&sandbox.path("made"), "three.pkg")).unwrap();
    assert_eq!(search(&serving, "q=json&per_page=1")["crates"][0]["description"], json!("the new text"));

    let stored = get(serving.url(), "/api/crates/json", &[]).text();
    assert!(stored.contains("\"description\": \"the new text\""), "{stored}");
    let existing = get(serving.url(), "/api/crates?q=other", &[]).text();
    assert!(existing.contains("\"description\": \"Reads JSON and writes it\""), "{existing}");
    let page = |query: &str| get(serving.url(), &format!("/browse?{query}"), &["Accept: text/html"]).text();
    assert!(page("crate=json").contains(">the new text<") && page("q=other").contains(">Reads JSON and writes it<"));

    assert_eq!(result_names(&search(&serving, "q=My-JSON")), ["my_json"]);
    assert_eq!(result_names(&search(&serving, "q=writes+reads")), ["other"]);
    let one = search(&serving, "q=json&per_page=1&page=2");
    assert_eq!((result_names(&one), &one["meta"]["total"]), (vec!["json-path"], &json!(4)));
    assert_eq!(search(&serving, "")["meta"]["total"], json!(4));
    for query in ["q=json&per_page=101", "q=json&per_page=0", "q=json&page=x", &format!("q={}", "a".repeat(300))] {
        assert_eq!(get(serving.url(), &format!("/api/v1/crates?{query}"), &[]).status, 400, "{query}");
    }
    for query in ["q=%1b%5b2J", "q=%ff", "q=../..", "q=%00", "q=.*"] {
        assert_eq!(get(serving.url(), &format!("/api/v1/crates?{query}"), &[]).status, 200, "{query}");
    }
}

#[test]
fn a_hostile_description_is_sanitized() {
    let sandbox = Sandbox::new();
    fs::create_dir_all(sandbox.path("made")).unwrap();
    // As long as a manifest allows; digests, since a manifest that shrinks by too much is refused.
    let digest = |number: u32| frostmirror::digest::Sha256::of(&number.to_le_bytes()).to_string();
    let huge: String = (0..28).map(|number| format!("evil {} ", digest(number))).collect();
    assert!((1_900..2_048).contains(&huge.len()));
    let bundle = BundleBuilder::new("one", 1)
        .ship(Crate::new("evil", "1.0.0"))
        .ship(Crate::new("huge", "1.0.0"))
        .description("evil", "\u{1b}[2J\u{1b}]0;title\u{7}\u{9b}31m\u{202e}txt\r\nfake = \"1.0.0\"    # second line")
        .description("huge", &huge);
    import(&sandbox.path("mirror"), &bundle.write(&sandbox.path("made"), "one.pkg")).unwrap();
    let serving = sandbox.serve(["--mirror", "mirror"]);
    let client = Client::new().config(&sandbox.run(["setup", "--url", serving.url()]).ok().stdout);
    let app = Project::new("app").write(&sandbox.path("app"));
    let found = client.cargo(&app, ["search", "evil", "--registry", "frostmirror"]).ok();
    assert_eq!(found.stdout.lines().filter(|line| line.contains(" = \"1.0.0\"")).count(), 2, "{}", found.describe());
    assert!(found.stdout.lines().all(|line| !line.starts_with("fake")), "{}", found.describe());
    let acts = |text: &str| text.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}');
    assert!(!acts(&found.stdout), "{:?}", found.stdout);
    let reply = get(serving.url(), "/api/v1/crates?q=evil", &[]);
    assert!(reply.body.len() < 5000, "{}", reply.body.len());
    let page = get(serving.url(), "/browse", &["Accept: text/html"]);
    assert!(!acts(&page.text()) && page.body.len() < 20_000, "{}", page.text());
}

#[test]
fn crates_from_live_mode_are_found_at_once_and_labeled() {
    let sandbox = Sandbox::new();
    fs::create_dir_all(sandbox.path("made")).unwrap();
    let mirror = sandbox.path("mirror");
    let one = BundleBuilder::new("one", 1).ship(Crate::new("json", "1.0.0")).description("json", "the bundle's text");
    import(&mirror, &one.write(&sandbox.path("made"), "one.pkg")).unwrap();
    store_crates(&mirror, &[Crate::new("first", "1.0.0").description("reads json")], 2000);
    let serving = sandbox.serve(["--mirror", "mirror"]);
    assert_eq!(result_names(&search(&serving, "q=json")), ["json", "first"]);
    for (name, text) in [("second", "writes json"), ("third", "checks json")] {
        store_crates(&mirror, &[Crate::new(name, "1.0.0").description(text)], 3000);
        let found = search(&serving, &format!("q={name}"));
        assert_eq!(found["crates"][0]["description"], json!(text));
    }
    let listed = get(serving.url(), "/api/crates/third", &[]).text();
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed["versions"][0]["bundle"], json!("(live mode)"), "{listed}");
}
