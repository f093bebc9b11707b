//! The Dependencies page: the contents of depends.toml as tables and as text. The page's module turns the tables into an
//! editor.

use std::path::Path;
use std::sync::Arc;

use askama::Template;
use serde_json::{Map, Value};

use super::frame::{Frame, render_page};
use crate::config::DEPENDS;
use crate::error_report::Failure;
use crate::inputs::depends::json_edit;
use crate::inputs::depends::{DependsFile, Error};
use crate::web::api::deps::{read_depends, visible_text};
use crate::web::request::WebRequest;
use crate::web::response::{HandlerResult, etag_of};
use crate::web::state::WebState;

#[derive(Template)]
#[template(path = "deps.html")]
struct DependsPage {
    frame: Frame,
    write_denied: Option<&'static str>,
    /// The path of the file, even if it does not exist.
    path: String,
    there: bool,
    text: String,
    etag: String,
    /// The editor's initial data; `None` if the file is not valid TOML and cannot be edited here.
    json: Option<String>,
    problems: Vec<String>,
    groups: Vec<CrateGroup>,
    locked: Option<Vec<(String, String)>>,
    platforms: Option<Vec<(String, String)>>,
    /// Unknown tables and keys.
    unknown: Vec<(String, String)>,
}

/// Crates that are resolved together.
struct CrateGroup {
    id: String,
    title: String,
    rows: Vec<RequirementRow>,
}

/// A requirement of a crate.
struct RequirementRow {
    name: String,
    version: String,
    features: String,
    defaults: &'static str,
    package: String,
}

pub(super) fn show(state: &Arc<WebState>, request: &WebRequest) -> HandlerResult {
    render_page("/deps", state, request, |frame| {
        let (path, text) = read_depends(state)?;
        let there = text.is_some();
        let text = visible_text(state, request, text.unwrap_or_default());
        let mut tables = json_edit::to_json(&text, &path).ok();
        let json = tables.as_ref().map(|tables| Value::Object(tables.clone()).to_string());
        let mut take = |name| tables.as_mut().and_then(|tables| tables.remove(name));
        let (dependencies, locked, platforms) = (take("dependencies"), take("locked"), take("platforms"));
        Ok(DependsPage {
            write_denied: frame.write_denied(),
            frame,
            there,
            etag: etag_of(&text),
            problems: if there { problems(&text, &path) } else { Vec::new() },
            json,
            groups: groups(dependencies.as_ref()),
            locked: locked.as_ref().map(pairs),
            platforms: platforms.as_ref().map(pairs),
            unknown: pairs(&Value::Object(tables.unwrap_or_default())),
            path: if request.is_admin(state) { path.display().to_string() } else { DEPENDS.to_owned() },
            text,
        })
    })
}

/// Why `fetch` would refuse the file.
fn problems(text: &str, path: &Path) -> Vec<String> {
    match DependsFile::parse(text, path) {
        Ok(_) => Vec::new(),
        Err(Error::Invalid { list, .. }) => list.problems.iter().map(|problem| format!("Line {problem}")).collect(),
        Err(error) => vec![Failure::from(error).one_line()],
    }
}

fn groups(dependencies: Option<&Value>) -> Vec<CrateGroup> {
    let none = Map::new();
    let all = dependencies.and_then(Value::as_object).unwrap_or(&none);
    let is_number = |key: &str| !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_digit());
    let (numbered, own): (Vec<_>, Vec<_>) = all.iter().partition(|(key, _)| is_number(key));
    let mut groups = Vec::new();
    if !own.is_empty() {
        let rows = own.into_iter().flat_map(|(name, value)| rows(name, value)).collect();
        groups.push(CrateGroup { id: "group".to_owned(), title: "Crates".to_owned(), rows });
    }
    groups.extend(numbered.into_iter().map(|(number, value)| CrateGroup {
        id: format!("group-{number}"),
        title: format!("Crates of group {number}"),
        rows: value.as_object().into_iter().flatten().flat_map(|(name, value)| rows(name, value)).collect(),
    }));
    groups
}

fn rows(name: &str, value: &Value) -> Vec<RequirementRow> {
    let list = match value {
        Value::Array(list) => list.as_slice(),
        one => std::slice::from_ref(one),
    };
    let row = |value: &Value| {
        let of = |key| value.get(key).map(format_value).unwrap_or_default();
        RequirementRow {
            name: name.to_owned(),
            version: if value.is_object() { of("version") } else { format_value(value) },
            features: of("features"),
            defaults: if value.get("default-features") == Some(&Value::Bool(false)) { "no" } else { "yes" },
            package: of("package"),
        }
    };
    list.iter().map(row).collect()
}

/// Keys and values of a table; another type is one value without a key.
fn pairs(table: &Value) -> Vec<(String, String)> {
    match table {
        Value::Object(table) => table.iter().map(|(key, value)| (key.clone(), format_value(value))).collect(),
        other => vec![("–".to_owned(), format_value(other))],
    }
}

/// Formats a value.
fn format_value(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().map(format_value).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}
