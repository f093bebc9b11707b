//! The table of routes as an OpenAPI 3.1 document; schemas come from the types of requests and responses.

use std::sync::Arc;

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::api;
use super::auth::RequiredAccess;
use super::request::WebRequest;
use super::response::{self, ErrorBody, HandlerResult};
use super::router::{RequestBody, Route};
use super::state::WebState;

/// The route of the document itself.
pub(super) fn route() -> Route {
    Route::get("/api/openapi.json", "This description of the API.", document).returns_other(200)
}

fn document(_: &Arc<WebState>, _: &WebRequest) -> HandlerResult {
    let mut routes = api::routes();
    routes.push(route());
    Ok(response::json(&describe(&routes)))
}

fn describe(routes: &[Route]) -> Value {
    // OpenAPI 3.1 uses JSON Schema unchanged.
    let mut generator = SchemaSettings::draft2020_12()
        .with(|settings| settings.definitions_path = "/components/schemas".into())
        .into_generator();
    let mut paths: Map<String, Value> = Map::new();
    let error_schema = generator.subschema_for::<ErrorBody>();
    for route in routes.iter().filter(|route| !route.is_page) {
        let operation = operation(route, &mut generator, error_schema.as_value());
        let methods = paths.entry(route.path).or_insert_with(|| json!({}));
        if let Some(methods) = methods.as_object_mut() {
            methods.insert(route.method.as_str().to_lowercase(), operation);
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "cargo-frostmirror",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The API of a mirror of crates and Rust toolchains.",
        },
        "paths": paths,
        "components": {
            "schemas": generator.take_definitions(true),
            "securitySchemes": { "admin": { "type": "http", "scheme": "bearer" } },
        },
    })
}

fn operation(route: &Route, generator: &mut SchemaGenerator, error_schema: &Value) -> Value {
    let mut parameters = Vec::new();
    for part in route.path.split('/') {
        if let Some(name) = part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            parameters.push(json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }));
        }
    }
    for (name, meaning) in &route.query {
        parameters.push(json!({
            "name": name, "in": "query", "required": false, "description": meaning, "schema": { "type": "string" },
        }));
    }
    let mut responses: Map<String, Value> = Map::new();
    for (status, shape) in &route.responses {
        let mut response = json!({ "description": "Success." });
        if let Some(shape) = shape {
            response["content"] = json!({ "application/json": { "schema": shape(generator) } });
        }
        responses.insert(status.to_string(), response);
    }
    let error_response = json!({
        "description": "The error and a hint.", "content": { "application/json": { "schema": error_schema } },
    });
    responses.insert("default".to_owned(), error_response);
    let mut operation = json!({ "summary": route.summary, "parameters": parameters, "responses": responses });
    match route.request_body {
        Some(RequestBody::Json { schema: shape, required }) => {
            let content = json!({ "application/json": { "schema": shape(generator) } });
            operation["requestBody"] = json!({ "required": required, "content": content });
        }
        Some(RequestBody::Bytes) => {
            let content = json!({ "application/octet-stream": {} });
            operation["requestBody"] = json!({ "required": true, "content": content });
        }
        None => {}
    }
    if route.access == RequiredAccess::Write {
        // Without a configured token, local clients need none.
        operation["security"] = json!([{ "admin": [] }, {}]);
    }
    operation
}
