//! The API's description is true: every route of it is asked, and what it answers is what the description says.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use frostmirror::event::NullSink;
use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::lock::{WriteGuard, lock_for_adding};
use serde_json::{Map, Value, json};

use super::{json_body, server_with_bundles, wait_for_job};
use crate::bundle_builder::test_holder;
use crate::support::sandbox::{RunningServer, Sandbox};
use crate::support::server_fixture::{RawConnection, RawReply};

const OLD_SNAPSHOT: &str = "snapshot-20000101-0000.pkg";
const TOKEN: &str = "0123456789abcdef-token";

/// What a request of a route needs beside the route: values of its open places by the route, and bodies.
struct SampleRequests {
    snapshot: String,
}

impl SampleRequests {
    fn fill_path(&self, method: &str, route: &str) -> String {
        let place = match (method, route) {
            (_, "/api/jobs/{id}") => "1",
            (_, "/api/crates/{name}") => "leaf",
            ("put", "/api/incoming/{filename}") => "uploaded.pkg",
            (_, "/api/export/download/{filename}") => &self.snapshot,
            (_, "/api/export/{filename}") => OLD_SNAPSHOT,
            (_, "/api/incoming/{filename}/import") => "lying.pkg",
            (_, "/api/incoming/failed/{filename}") => "deleted.pkg",
            (_, "/api/incoming/failed/{filename}/dismiss") => "dismissed.pkg",
            (_, "/api/incoming/failed/{filename}/retry") => "retried.pkg",
            _ => "",
        };
        let parts = route.split('/').map(|part| if part.starts_with('{') { place } else { part });
        let path = parts.collect::<Vec<_>>().join("/");
        assert!(!route.contains('{') || !place.is_empty(), "give the open place of {method} {route} a sample");
        path
    }

    /// The body of a good request. A route that has none here takes what a GET of it gives.
    fn sample_body(&self, serving: &RunningServer, operation: &Value, route: &str) -> Option<String> {
        let content = operation["requestBody"]["content"].as_object()?;
        match (route, content.contains_key("application/json")) {
            (_, false) => Some("bytes".to_owned()),
            ("/api/login", _) => Some(json!({ "token": TOKEN }).to_string()),
            ("/api/deps", _) => Some(json!({ "dependencies": { "leaf": "1" } }).to_string()),
            ("/api/config", _) => Some(json!({ "keep_failed_packages": false }).to_string()),
            _ if operation["requestBody"]["required"] != json!(true) => None,
            (route, _) => {
                let stored = admin_request(serving, "get", route, None);
                assert_eq!(stored.status, 200, "give the body of {route} a sample");
                Some(stored.text())
            }
        }
    }
}

/// A request by the admin.
fn admin_request(serving: &RunningServer, method: &str, path: &str, body: Option<&str>) -> RawReply {
    let (method, text) = (method.to_uppercase(), body.unwrap_or_default());
    let kind = if body.is_some() { "Content-Type: application/json\r\n" } else { "" };
    let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n{kind}");
    let mut wire = RawConnection::connect(serving.url());
    wire.send(format!("{head}Content-Length: {}\r\nConnection: close\r\n\r\n{text}", text.len()));
    if method == "HEAD" { wire.read_head() } else { wire.read_reply() }
}

/// A job that waits for the mirror, which is held until the guard is dropped.
fn start_waiting_job(sandbox: &Sandbox, serving: &RunningServer) -> (String, WriteGuard) {
    let layout = Layout::new(sandbox.path("mirror"));
    let guard = lock_for_adding(&layout, Duration::ZERO, &test_holder(), &NullSink).unwrap();
    let job = json_body(&admin_request(serving, "post", "/api/gc", None));
    (job["id"].to_string(), guard)
}

/// Every operation of the document, what changes something first.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let mut operations = Vec::new();
    for (route, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            operations.push((method.clone(), route.clone(), operation.clone()));
        }
    }
    operations.sort_by_key(|(method, route, _)| (method == "get", route.clone()));
    operations
}

/// Holds a value against a schema of the document; what the schema does not name is wrong too.
fn assert_matches_schema(document: &Value, schema: &Value, value: &Value, what: &str) {
    let whole = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "allOf": [schema], "unevaluatedProperties": false, "components": document["components"],
    });
    let validator = jsonschema::validator_for(&whole).unwrap_or_else(|error| panic!("{what}: {error}"));
    let errors: Vec<String> =
        validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{what}: {errors:#?}\n{value:#}");
}

/// Holds an answer against what an operation documents.
fn assert_documented(document: &Value, operation: &Value, reply: &RawReply, what: &str) {
    let documented = &operation["responses"][reply.status.to_string()];
    assert!(documented.is_object(), "{what} answers {}, which is not documented: {}", reply.status, reply.text());
    let schema = &documented["content"]["application/json"]["schema"];
    if schema.is_object() {
        assert_eq!(reply.header("content-type"), Some("application/json"), "{what}");
        assert_matches_schema(document, schema, &json_body(reply), what);
    }
}

#[test]
fn every_route_responds_as_documented() {
    let (sandbox, serving) = server_with_bundles(&["--admin-token", TOKEN, "--incoming", "incoming"]);
    let document = admin_request(&serving, "get", "/api/openapi.json", None);
    let document = json_body(&document);
    let job = json_body(&admin_request(&serving, "post", "/api/export", None));
    let snapshot = wait_for_job(&serving, &job["id"])["outcome"]["file"].as_str().unwrap().to_owned();
    let samples = SampleRequests { snapshot };
    fs::create_dir(sandbox.path("incoming/failed")).unwrap();
    for name in ["exports/snapshot-20000101-0000", "lying", "failed/deleted", "failed/dismissed", "failed/retried"] {
        fs::copy(sandbox.path("made/one.pkg"), sandbox.path(format!("incoming/{name}.pkg"))).unwrap();
    }
    let operations = operations(&document);
    assert!(operations.len() > 15, "{}", operations.len());
    let refusal =
        document["paths"]["/api/status"]["get"]["responses"]["default"]["content"]["application/json"]["schema"]
            .clone();
    assert!(refusal.is_object());
    for (method, route, operation) in &operations {
        let what = format!("{method} {route}");
        let waits = route.ends_with("/stop").then(|| start_waiting_job(&sandbox, &serving));
        let path = match &waits {
            Some((id, _)) => route.replace("{id}", id),
            None => samples.fill_path(method, route),
        };
        let text = samples.sample_body(&serving, operation, route);
        let reply = admin_request(&serving, method, &path, text.as_deref());
        assert_documented(&document, operation, &reply, &what);
        if reply.status == 202 {
            let output = json_body(&reply);
            let job =
                wait_for_job(&serving, if output["job"].is_object() { &output["job"]["id"] } else { &output["id"] });
            let state = if waits.is_some() { "stopped" } else { "done" };
            assert_eq!(job["state"], json!(state), "{what}: {job}");
        }
        if method == "get" {
            let head = admin_request(&serving, "head", &path, None);
            assert_eq!(
                (head.status, head.header("content-type")),
                (reply.status, reply.header("content-type")),
                "{what}"
            );
        }
        for (name, value) in &reply.headers {
            assert!(name != "x-content-type-options" || value == "nosniff", "{what}");
        }
        let refused = admin_request(&serving, "patch", &path, None);
        assert_eq!(refused.status, 405, "{what}");
        assert!(refused.header("allow").is_some_and(|allow| allow.contains(&method.to_uppercase())), "{what}");
        assert_matches_schema(&document, &refusal, &json_body(&refused), &what);
        if let Some(security) = operation["security"].as_array() {
            assert!(security.contains(&json!({ "admin": [] })), "{what}");
            let length = text.as_ref().map_or(0, String::len);
            let head =
                format!("{} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n", method.to_uppercase());
            let text = text.unwrap_or_default();
            let reply = RawConnection::connect(serving.url())
                .send(format!("{head}Connection: close\r\n\r\n{text}"))
                .read_reply();
            assert_eq!(reply.status, 401, "{what} without the token");
            assert_matches_schema(&document, &refusal, &json_body(&reply), &what);
        }
    }
    // Answers that a route has besides the first one.
    let document_of = |method: &str, route: &str| document["paths"][route][method].clone();
    let plan = admin_request(&serving, "post", "/api/gc?dry_run=true", None);
    assert_eq!(plan.status, 200);
    assert_documented(&document, &document_of("post", "/api/gc"), &plan, "a plan");
    let job = document_of("get", "/api/jobs/{id}");
    assert_documented(&document, &job, &admin_request(&serving, "get", "/api/jobs/1", None), "a job that is done");
    for (method, path, text, status) in [
        ("post", "/api/login", Some("{"), 400),
        ("post", "/api/login", Some("{\"token\":\"wrong\"}"), 403),
        ("get", "/api/jobs/x", None, 404),
        ("get", "/api/crates/none", None, 404),
        ("get", "/api/crates?page=x", None, 400),
        ("put", "/api/incoming/x", Some("bytes"), 400),
        ("get", "/api/nothing", None, 404),
        ("get", "/api/export/download/none", None, 404),
    ] {
        let reply = admin_request(&serving, method, path, text);
        assert_eq!(reply.status, status, "{method} {path}");
        assert_matches_schema(&document, &refusal, &json_body(&reply), path);
    }
}

#[test]
fn the_openapi_document_is_valid() {
    let (_sandbox, _mirror, serving) = super::start_server(&[]);
    let document = json_body(&admin_request(&serving, "get", "/api/openapi.json", None));
    assert_eq!(document["openapi"], json!("3.1.0"));
    for key in ["title", "version"] {
        assert!(document["info"][key].as_str().is_some_and(|text| !text.is_empty()), "{key}");
    }
    for (method, route, operation) in operations(&document) {
        let what = format!("{method} {route}");
        assert!(route.starts_with('/') && ["get", "put", "post", "delete"].contains(&method.as_str()), "{what}");
        assert!(operation["summary"].as_str().is_some_and(|text| text.ends_with('.')), "{what} has no sentence");
        let parameters = operation["parameters"].as_array().unwrap();
        let of = |place: &str| -> BTreeSet<&str> {
            let at = parameters.iter().filter(|parameter| parameter["in"] == json!(place));
            at.map(|parameter| parameter["name"].as_str().unwrap()).collect()
        };
        let open = route.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        assert_eq!(of("path"), open.collect::<BTreeSet<_>>(), "{what}");
        assert_eq!(
            of("path").len() + of("query").len(),
            parameters.len(),
            "{what} has a parameter twice, or elsewhere"
        );
        for parameter in parameters {
            assert!(parameter["schema"].is_object(), "{what}");
            assert_eq!(parameter["required"], json!(parameter["in"] == json!("path")), "{what}");
        }
        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.contains_key("default") && responses.keys().any(|status| status.starts_with('2')), "{what}");
        assert!(responses.values().all(|response| response["description"].is_string()), "{what}");
        for requirement in operation["security"].as_array().into_iter().flatten() {
            for scheme in requirement.as_object().unwrap().keys() {
                assert!(document["components"]["securitySchemes"][scheme].is_object(), "{what}");
            }
        }
    }
    assert_references(&document, &document);
    let schemas: &Map<String, Value> = document["components"]["schemas"].as_object().unwrap();
    for (name, schema) in schemas {
        assert!(jsonschema::draft202012::meta::is_valid(schema), "{name}");
    }
}

/// Every `$ref` leads somewhere in the document.
fn assert_references(document: &Value, part: &Value) {
    match part {
        Value::Object(fields) => {
            if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
                let pointer = reference.strip_prefix('#').unwrap_or_else(|| panic!("{reference} leads elsewhere"));
                assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
            }
            fields.values().for_each(|part| assert_references(document, part));
        }
        Value::Array(parts) => parts.iter().for_each(|part| assert_references(document, part)),
        _ => {}
    }
}
