//! `--format cyclonedx`: what CycloneDX 1.5's schema requires, and that nothing is claimed that a manifest does not say.

use std::collections::BTreeSet;
use std::fs;

use frostmirror::bundle::format::CrateState;
use serde_json::{Value, json};

use crate::inspect_and_diff::{set_metadata, write_forged};
use crate::support::forged_bundle::FakeCrate;
use crate::support::sandbox::Sandbox;

fn sbom_document(sandbox: &Sandbox, args: &[&str]) -> Value {
    let run = sandbox.run(args.iter().chain(&["--format", "cyclonedx"])).ok();
    let document = serde_json::from_str(&run.stdout).unwrap();
    assert_valid(&document);
    document
}

/// The parts of the schema that this tool's documents touch: required keys, no others, patterns, enumerations,
/// references that are unique.
fn assert_valid(document: &Value) {
    let keys = ["$schema", "bomFormat", "components", "metadata", "serialNumber", "specVersion", "version"];
    assert_keys(document, &keys, &[]);
    assert_eq!((&document["bomFormat"], &document["specVersion"]), (&"CycloneDX".into(), &"1.5".into()));
    assert_eq!(document["version"], 1);
    let serial = document["serialNumber"].as_str().unwrap().strip_prefix("urn:uuid:").unwrap();
    let lengths: Vec<usize> = serial.split('-').map(str::len).collect();
    assert_eq!(lengths, [8, 4, 4, 4, 12], "{serial}");
    assert!(serial.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-')), "{serial}");

    let metadata = &document["metadata"];
    assert_keys(metadata, &["component", "properties", "timestamp", "tools"], &[]);
    assert!(metadata["timestamp"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
    assert_eq!(metadata["tools"]["components"][0]["name"], "cargo-frostmirror");
    assert_eq!(metadata["tools"]["components"][0]["type"], "application");
    assert_properties(&metadata["properties"]);
    assert_keys(&metadata["component"], &["bom-ref", "name", "type", "version"], &[]);

    let mut references = BTreeSet::from([metadata["component"]["bom-ref"].as_str().unwrap()]);
    for component in document["components"].as_array().unwrap() {
        let optional = ["description", "externalReferences", "licenses", "purl", "version"];
        assert_keys(component, &["bom-ref", "hashes", "name", "properties", "type"], &optional);
        let reference = component["bom-ref"].as_str().unwrap();
        assert!(!reference.is_empty() && references.insert(reference), "{reference} is there twice");
        assert!(["library", "file"].contains(&component["type"].as_str().unwrap()));
        let hash = &component["hashes"][0];
        assert_keys(hash, &["alg", "content"], &[]);
        assert_eq!(hash["alg"], "SHA-256");
        let content = hash["content"].as_str().unwrap();
        assert!(content.len() == 64 && content.bytes().all(|byte| byte.is_ascii_hexdigit()), "{content}");
        assert_properties(&component["properties"]);
        for license in component["licenses"].as_array().into_iter().flatten() {
            match license.get("expression") {
                Some(expression) => assert!(license.as_object().unwrap().len() == 1 && expression.is_string()),
                None => assert_keys(&license["license"], &["name"], &[]),
            }
        }
        assert!(component["licenses"].as_array().is_none_or(|licenses| licenses.len() == 1), "an expression is alone");
        for reference in component["externalReferences"].as_array().into_iter().flatten() {
            assert_keys(reference, &["type", "url"], &[]);
            let url = reference["url"].as_str().unwrap();
            assert!(url.bytes().all(|byte| byte.is_ascii_graphic()), "{url}");
        }
    }
}

#[track_caller]
fn assert_keys(object: &Value, required: &[&str], optional: &[&str]) {
    let found: BTreeSet<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
    let required: BTreeSet<&str> = required.iter().copied().collect();
    assert!(required.is_subset(&found), "{object} lacks a key of {required:?}");
    assert!(found.difference(&required).all(|key| optional.contains(key)), "{object} has an unknown key");
}

#[track_caller]
fn assert_properties(properties: &Value) {
    for property in properties.as_array().unwrap() {
        assert_keys(property, &["name", "value"], &[]);
        assert!(property["name"].as_str().unwrap().starts_with("cargo-frostmirror:"));
        assert!(property["value"].is_string(), "{property}");
    }
}

fn property_values<'v>(of: &'v Value, name: &str) -> Vec<&'v str> {
    let properties = of["properties"].as_array().unwrap().iter();
    let named = properties.filter(|property| property["name"] == format!("cargo-frostmirror:{name}"));
    named.map(|property| property["value"].as_str().unwrap()).collect()
}

#[test]
fn a_bundle_has_a_valid_sbom() {
    let sandbox = Sandbox::new();
    let crates = [("a", "1.0.0+b.1", 10), ("a", "1.0.0", 20), ("b", "1.0.0", 30), ("c", "1.0.0", 40)];
    write_forged(&sandbox, "x.pkg", &crates, |manifest| {
        let about = [
            ("a 1.0.0", Some("MIT OR Apache-2.0"), Some("https://git.example/a")),
            ("a 1.0.0+b.1", Some("MIT/Apache-2.0"), Some("git@git.example:a.git")),
            ("b 1.0.0", Some("file: LICENSE\u{202e}"), Some("https://h/\u{1b}]8;;")),
        ];
        set_metadata(manifest, &about);
        manifest.crates[2].description = Some("says \"b\"".to_owned());
        manifest.crates[3].state = CrateState::IndexOnly;
        manifest.crates[3].yanked = true;
    });
    let document = sbom_document(&sandbox, &["inspect", "x.pkg"]);
    assert_eq!(document["metadata"]["timestamp"], "2026-04-02T21:30:00Z");
    assert_eq!(document["metadata"]["component"]["name"], "x.pkg");
    let components = document["components"].as_array().unwrap();
    let purls: Vec<&str> = components.iter().map(|component| component["purl"].as_str().unwrap()).collect();
    let expected = ["pkg:cargo/a@1.0.0", "pkg:cargo/a@1.0.0%2Bb.1", "pkg:cargo/b@1.0.0", "pkg:cargo/c@1.0.0"];
    assert_eq!(purls, expected);
    let first = json!({
        "type": "library",
        "bom-ref": "pkg:cargo/a@1.0.0",
        "name": "a",
        "version": "1.0.0",
        "hashes": [{"alg": "SHA-256", "content": FakeCrate::new("a", "1.0.0", 20).sha256()}],
        "licenses": [{"expression": "MIT OR Apache-2.0"}],
        "purl": "pkg:cargo/a@1.0.0",
        "externalReferences": [{"type": "vcs", "url": "https://git.example/a"}],
        "properties": [
            {"name": "cargo-frostmirror:state", "value": "shipped"},
            {"name": "cargo-frostmirror:size", "value": "20"},
        ],
    });
    assert_eq!(components[0], first);
    assert_eq!(components[1]["licenses"], json!([{"license": {"name": "MIT/Apache-2.0"}}]));
    assert_eq!(property_values(&components[1], "repository"), ["git@git.example:a.git"]);
    assert_eq!(components[2]["licenses"], json!([{"license": {"name": "file: LICENSE\u{202e}"}}]));
    assert_eq!(components[2]["description"], "says \"b\"");
    assert_eq!(components[2].get("externalReferences"), None);
    assert_eq!(
        (property_values(&components[3], "state"), property_values(&components[3], "yanked")),
        (vec!["index-only"], vec!["true"])
    );
    assert_eq!(components[3].get("licenses"), None);
}

#[test]
fn the_sbom_and_its_serial_number_depend_only_on_the_bundle() {
    let sandbox = Sandbox::new();
    write_forged(&sandbox, "x.pkg", &[("a", "1.0.0", 10)], |_| {});
    write_forged(&sandbox, "y.pkg", &[("a", "1.0.0", 11)], |_| {});
    let x = sbom_document(&sandbox, &["inspect", "x.pkg"]);
    assert_eq!(x, sbom_document(&sandbox, &["inspect", "x.pkg"]));
    let numbers =
        [x, sbom_document(&sandbox, &["inspect", "y.pkg"]), sbom_document(&sandbox, &["diff", "x.pkg", "y.pkg"])]
            .map(|document| document["serialNumber"].to_string());
    assert_eq!(BTreeSet::from(numbers).len(), 3);
}

#[test]
fn the_sbom_of_a_diff_lists_added_crates() {
    let sandbox = Sandbox::new();
    write_forged(&sandbox, "old.pkg", &[("a", "1.0.0", 10), ("b", "1.0.0", 10), ("c", "1.0.0", 10)], |_| {});
    write_forged(&sandbox, "new.pkg", &[("a", "1.0.1", 10), ("b", "1.0.0", 10), ("d", "1.0.0+x", 10)], |manifest| {
        manifest.crates[1].yanked = true;
    });
    let comparison = sbom_document(&sandbox, &["diff", "old.pkg", "new.pkg"]);
    let components = comparison["components"].as_array().unwrap();
    let changes: Vec<_> =
        components.iter().map(|one| (one["purl"].as_str().unwrap(), property_values(one, "change"))).collect();
    assert_eq!(changes, [("pkg:cargo/a@1.0.1", vec!["updated"]), ("pkg:cargo/d@1.0.0%2Bx", vec!["added"])]);
    let metadata = &comparison["metadata"];
    assert_eq!(property_values(metadata, "removed"), ["pkg:cargo/c@1.0.0", "pkg:cargo/a@1.0.0"]);
    assert_eq!(property_values(metadata, "changed:yanked"), ["pkg:cargo/b@1.0.0"]);
    let old = sbom_document(&sandbox, &["inspect", "old.pkg"]);
    assert_eq!(property_values(metadata, "compared-with"), property_values(&old["metadata"], "bundle"));
    assert_eq!(sbom_document(&sandbox, &["diff", "new.pkg", "new.pkg"])["components"], json!([]));
}

#[test]
fn a_legacy_bundle_has_an_sbom() {
    let sandbox = Sandbox::new();
    fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/bundles/frostmirror-1.0.0.pkg"), sandbox.path("old.pkg"))
        .unwrap();
    let document = sbom_document(&sandbox, &["inspect", "old.pkg"]);
    assert_eq!(document["components"].as_array().unwrap().len(), 2);
    assert_eq!(property_values(&document["metadata"], "written-by"), ["frostmirror 1.x"]);
    let run = sandbox.run(["inspect", "old.pkg", "--format", "cyclonedx", "--message-format", "json"]).ok();
    let first: Value = serde_json::from_str(run.stdout.lines().next().unwrap()).unwrap();
    assert_eq!((&first["reason"], &first["sbom"]), (&"sbom".into(), &document));
}
