//! What the server answers programs with: the API, the index's configuration, and metrics.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::Value;

use super::assert_form;
use super::text::shape;
use crate::api::two_bundles;
use crate::bundle_builder::import;
use crate::support::sandbox::{RunningServer, Sandbox};
use crate::support::server_fixture::get;

fn serving(sandbox: &Sandbox, flags: &[&str]) -> RunningServer {
    for bundle in two_bundles(sandbox) {
        import(&sandbox.path("mirror"), &bundle).unwrap();
    }
    sandbox.serve(["--mirror", "mirror", "--incoming", "incoming"].iter().chain(flags))
}

fn read(serving: &RunningServer, path: &str) -> Value {
    serde_json::from_str(&get(serving.url(), path, &[]).text()).unwrap()
}

/// The schemas of a document as `name: type` lines, without names of Rust types and without texts for people.
struct Schemas<'d> {
    document: &'d Value,
    text: String,
    /// Where each referenced schema was written first.
    written: BTreeMap<&'d str, String>,
}

impl<'d> Schemas<'d> {
    fn add(&mut self, schema: &'d Value, name: &str, place: &str, depth: usize) {
        let indent = "  ".repeat(depth);
        let place = format!("{place} {name}");
        let schema = match schema["$ref"].as_str() {
            Some(reference) => {
                let schema = self.document.pointer(reference.trim_start_matches('#')).unwrap();
                let is_object = schema["properties"].is_object();
                if let Some(first) = self.written.get(reference).filter(|_| is_object) {
                    writeln!(self.text, "{indent}{name}: as `{first}`").unwrap();
                    return;
                }
                self.written.insert(reference, place.clone());
                schema
            }
            None => schema,
        };
        let kind = match (&schema["type"], schema.get("const"), schema.get("enum")) {
            (_, Some(word), _) => word.to_string(),
            (_, _, Some(terms)) => terms.to_string(),
            (Value::String(kind), ..) => kind.clone(),
            (Value::Array(kinds), ..) => kinds.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
            _ => "any of".to_owned(),
        };
        writeln!(self.text, "{indent}{name}: {kind}").unwrap();
        let required = schema["required"].as_array().into_iter().flatten();
        let required: BTreeSet<&str> = required.filter_map(Value::as_str).collect();
        for (key, value) in schema["properties"].as_object().into_iter().flatten() {
            let mark = if required.contains(key.as_str()) { "" } else { "?" };
            self.add(value, &format!("{key}{mark}"), &place, depth + 1);
        }
        for (key, name) in [("items", "[]"), ("additionalProperties", "{}")] {
            if let Some(value) = schema.get(key).filter(|value| value.is_object()) {
                self.add(value, name, &place, depth + 1);
            }
        }
        for key in ["anyOf", "oneOf", "allOf"] {
            for value in schema[key].as_array().into_iter().flatten() {
                self.add(value, key, &place, depth + 1);
            }
        }
    }
}

#[test]
fn the_api_keeps_its_form() {
    let sandbox = Sandbox::new();
    let serving = serving(&sandbox, &["--config-dir", "config"]);
    let document = read(&serving, "/api/openapi.json");
    let mut schemas = Schemas { document: &document, text: String::new(), written: BTreeMap::new() };
    for (route, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let place = format!("{} {route}", method.to_uppercase());
            let parameters = operation["parameters"].as_array().unwrap().iter();
            let names = parameters.map(|one| format!("{} {}", one["in"].as_str().unwrap(), one["name"]));
            writeln!(schemas.text, "{place} ({})", names.collect::<Vec<_>>().join(", ")).unwrap();
            for (kind, content) in operation["requestBody"]["content"].as_object().into_iter().flatten() {
                schemas.add(&content["schema"], &format!("takes {kind}"), &place, 1);
            }
            for (status, response) in operation["responses"].as_object().unwrap() {
                let schema = &response["content"]["application/json"]["schema"];
                if schema.is_object() && status != "default" {
                    schemas.add(schema, status, &place, 1);
                }
            }
        }
    }
    let refusal = &document["paths"]["/api/status"]["get"]["responses"]["default"]["content"]["application/json"];
    schemas.add(&refusal["schema"], "every refusal", "", 0);
    let mut text = schemas.text;
    // What schemas leave open.
    for (key, value) in read(&serving, "/api/config").as_object().unwrap() {
        writeln!(text, "GET /api/config, {key}: {}", shape(&value["default"])).unwrap();
    }
    writeln!(text, "GET /index/config.json {}", shape(&read(&serving, "/index/config.json"))).unwrap();
    assert_form("api", &text);
}

#[test]
fn metrics_keep_their_names() {
    let sandbox = Sandbox::new();
    let serving = serving(&sandbox, &["--watch-incoming", "--live"]);
    for path in ["/index/le/af/leaf", "/crates/leaf-1.0.0.crate", "/index/config.json", "/api/status", "/healthz", "/x"]
    {
        get(serving.url(), path, &[]);
    }
    let text = get(serving.url(), "/metrics", &[]).text();
    let names = text.lines().filter_map(|line| match line.strip_prefix('#') {
        Some(comment) => comment.trim_start().starts_with("TYPE ").then(|| line.to_owned()),
        None => Some(line.rsplit_once(' ')?.0.to_owned()),
    });
    let names: Vec<String> = names.collect();
    assert_form("metrics", &(names.join("\n") + "\n").replace(env!("CARGO_PKG_VERSION"), "[VERSION]"));
}
