//! depends.toml as JSON, and JSON written back into it. The JSON has the structure of the file.
//!
//! Unchanged entries keep their bytes; a changed entry keeps its position and its comments. A comment on its own line
//! is never removed, even if the entry below it is: it may be for several entries.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value as Json};
use toml_edit::{Array, DocumentMut, InlineTable, Item, TableLike, Value};

use super::{DependsFile, Error};
use crate::diagnostics::{self, ProblemList};
use crate::toml_document::{append_lines, comments_above, new_table, prepend_lines, replace_value, to_text};

/// The tables of the file.
const TABLES: [&str; 3] = ["dependencies", "locked", "platforms"];

/// Why JSON cannot be written into a depends.toml.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The existing file is not TOML, so its content cannot be kept.
    #[error("{}", list.draw(path))]
    Toml {
        /// The file.
        path: PathBuf,
        /// The problems.
        list: ProblemList,
    },
    /// TOML does not allow such a value here.
    #[error("`{key}` is {what}")]
    Value {
        /// The key, with its parents.
        key: String,
        /// The error.
        what: &'static str,
    },
    /// The result would be an invalid depends.toml.
    #[error(transparent)]
    Depends(#[from] Error),
}

/// The content of a depends.toml as JSON.
///
/// # Errors
/// The text is not TOML.
pub fn to_json(text: &str, path: &Path) -> Result<Map<String, Json>, EditError> {
    Ok(table_to_json(parse_document(text, path)?.as_table()))
}

/// Edits `text` so that it has the content `wanted`, in the structure of [`to_json`]. An empty text means a missing
/// file.
///
/// # Errors
/// The text is not TOML, or the result is not a valid depends.toml: each problem has its position in the new text.
pub fn apply_json(text: &str, path: &Path, wanted: &Map<String, Json>) -> Result<String, EditError> {
    let mut document = parse_document(text, path)?;
    for (name, json) in wanted {
        let Json::Object(entries) = json else {
            return Err(EditError::Value { key: name.clone(), what: "no table" });
        };
        if !TABLES.contains(&name.as_str()) {
            return Err(EditError::Value {
                key: name.clone(),
                what: "none of `dependencies`, `locked` and `platforms`",
            });
        }
        let new = || Item::Table(new_table());
        let table = document.entry(name).or_insert_with(new);
        let table = table.as_table_like_mut();
        let table = table.ok_or_else(|| EditError::Value { key: name.clone(), what: "no table in the file" })?;
        let orphans = merge_table(table, entries, name)?;
        append_lines(&mut document, &orphans);
    }
    let existing_tables: Vec<String> = document.iter().map(|(name, _)| name.to_owned()).collect();
    for name in existing_tables.iter().filter(|name| !wanted.contains_key(*name)) {
        let mut orphans = comments_above(document.as_table(), name);
        if let Some(table) = document.get_mut(name).and_then(Item::as_table_like_mut) {
            orphans.push_str(&merge_table(table, &Map::new(), name)?);
        }
        document.remove(name);
        append_lines(&mut document, &orphans);
    }
    let mut after = to_text(&document, text);
    if text.is_empty() {
        after = after.trim_start().to_owned();
    }
    DependsFile::parse(&after, path)?;
    Ok(after)
}

fn parse_document(text: &str, path: &Path) -> Result<DocumentMut, EditError> {
    diagnostics::parse_document(text).map_err(|list| EditError::Toml { path: path.to_owned(), list })
}

/// Edits a table to the content `wanted`. Returns the comments without an entry below them.
pub(crate) fn merge_table(
    table: &mut dyn TableLike,
    wanted: &Map<String, Json>,
    parent: &str,
) -> Result<String, EditError> {
    let mut orphans = String::new();
    let existing_keys: Vec<String> = table.iter().map(|(key, _)| key.to_owned()).collect();
    for key in existing_keys {
        let at = format!("{parent}.{key}");
        let Some(json) = wanted.get(&key) else {
            orphans.push_str(&comments_above(table, &key));
            table.remove(&key);
            continue;
        };
        if !orphans.is_empty() {
            prepend_lines(table, &key, &std::mem::take(&mut orphans));
        }
        let Some(item) = table.get_mut(&key) else { continue };
        if item_to_json(item) == *json {
            continue;
        }
        match (item.as_table_like_mut(), json) {
            (Some(inner), Json::Object(entries)) => {
                // Comments inside a removed entry stay with the next entry.
                let is_less = inner.iter().any(|(key, _)| !entries.contains_key(key));
                orphans.push_str(&merge_table(inner, entries, &at)?);
                if let Some(inline) = item.as_inline_table_mut().filter(|_| is_less) {
                    // The space before the closing bracket was removed with the last entry.
                    inline.fmt();
                }
            }
            _ => {
                let value = json_to_value(json, &at)?;
                match item.as_value_mut() {
                    Some(old) => replace_value(old, value),
                    None => *item = Item::Value(value),
                }
            }
        }
    }
    for (key, json) in wanted {
        if table.contains_key(key) {
            continue;
        }
        let at = format!("{parent}.{key}");
        let is_group = parent == TABLES[0] && !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_digit());
        let item = match json {
            Json::Object(entries) if is_group => {
                let mut group = new_table();
                merge_table(&mut group, entries, &at)?;
                Item::Table(group)
            }
            _ => Item::Value(json_to_value(json, &at)?),
        };
        table.insert(key, item);
    }
    Ok(orphans)
}

pub(crate) fn item_to_json(item: &Item) -> Json {
    match item {
        Item::None => Json::Null,
        Item::Value(value) => value_to_json(value),
        Item::Table(table) => Json::Object(table_to_json(table)),
        Item::ArrayOfTables(tables) => tables.iter().map(|table| Json::Object(table_to_json(table))).collect(),
    }
}

fn table_to_json(table: &dyn TableLike) -> Map<String, Json> {
    table.iter().map(|(key, item)| (key.to_owned(), item_to_json(item))).collect()
}

fn value_to_json(value: &Value) -> Json {
    match value {
        Value::String(text) => Json::from(text.value().as_str()),
        Value::Integer(number) => Json::from(*number.value()),
        Value::Float(number) => Json::from(*number.value()),
        Value::Boolean(truth) => Json::from(*truth.value()),
        Value::Datetime(time) => Json::from(time.value().to_string()),
        Value::Array(list) => list.iter().map(value_to_json).collect(),
        Value::InlineTable(table) => Json::Object(table_to_json(table)),
    }
}

fn json_to_value(json: &Json, key: &str) -> Result<Value, EditError> {
    let wrong = |what| EditError::Value { key: key.to_owned(), what };
    Ok(match json {
        Json::Null => return Err(wrong("null, which TOML does not know; leave the key out to remove it")),
        Json::Bool(truth) => Value::from(*truth),
        Json::String(text) => Value::from(text.as_str()),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => Value::from(number),
            (None, Some(number)) => Value::from(number),
            (None, None) => return Err(wrong("a number that TOML does not know")),
        },
        Json::Array(items) => {
            let mut list = Array::new();
            for item in items {
                list.push(json_to_value(item, key)?);
            }
            Value::Array(list)
        }
        Json::Object(entries) => {
            let mut table = InlineTable::new();
            // JSON has no order; the version comes first by convention.
            let (first, rest): (Vec<_>, Vec<_>) = entries.iter().partition(|(name, _)| *name == "version");
            for (name, json) in first.into_iter().chain(rest) {
                table.insert(name, json_to_value(json, &format!("{key}.{name}"))?);
            }
            Value::InlineTable(table)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const FILE: &str = "# ours\n[dependencies]\n# keep\nanyhow = \"1\" # simple\n\
        tokio = { version = \"1\", features = [\"net\"] }   # extended\nserde = [\"=1.0.100\", { version = \"1\" }]\n\n\
        # second\n[dependencies.2]\naxum = \"0.6\"\n\n[locked]\nitoa = \"1.0.11\"\nsyn = [\"1.0.109\", \"2.0.90\"]\n\n\
        [platforms]\ntargets = [\"x86_64-unknown-linux-gnu\"]\ntoolchain = \"stable\"\n";

    fn path() -> &'static Path {
        Path::new("depends.toml")
    }

    fn edit(text: &str, wanted: &Json) -> Result<String, EditError> {
        apply_json(text, path(), wanted.as_object().expect("an object"))
    }

    fn read(text: &str) -> Json {
        Json::Object(to_json(text, path()).expect("TOML"))
    }

    #[test]
    fn an_unchanged_edit_keeps_the_file_byte_for_byte() {
        let json = read(FILE);
        assert_eq!(json["dependencies"]["2"]["axum"], json!("0.6"));
        assert_eq!(json["dependencies"]["serde"][1]["version"], json!("1"));
        assert_eq!(edit(FILE, &json).expect("good"), FILE);
        let windows = FILE.replace('\n', "\r\n");
        assert_eq!(edit(&windows, &read(&windows)).expect("good"), windows);
    }

    #[test]
    fn comments_survive_edits() {
        let mut json = read(FILE);
        json["dependencies"]["anyhow"] = json!("1.0.50");
        json["dependencies"]["tokio"]["features"] = json!(["net", "rt"]);
        json["dependencies"]["2"]["hyper"] = json!("1");
        json["locked"].as_object_mut().expect("table").remove("itoa");
        let after = edit(FILE, &json).expect("good");
        assert_eq!(read(&after), json);
        assert!(after.contains("# keep\nanyhow = \"1.0.50\" # simple\n"), "{after}");
        assert!(after.contains("features = [\"net\", \"rt\"] }   # extended"), "{after}");
        assert!(after.contains("[dependencies.2]\naxum = \"0.6\"\nhyper = \"1\"\n"), "{after}");
        json["dependencies"].as_object_mut().expect("table").remove("anyhow");
        let after = edit(&after, &json).expect("good");
        assert!(after.contains("# keep\ntokio"), "{after}");
        json["dependencies"].as_object_mut().expect("table").remove("2");
        let after = edit(&after, &json).expect("good");
        assert!(after.contains("# second\n") && !after.contains("axum"), "{after}");
        assert_eq!(read(&after), json);
    }

    #[test]
    fn an_absent_file_is_created_from_json() {
        let json = json!({ "dependencies": { "anyhow": "1", "2": { "axum": { "version": "0.6" } } }, "locked": { "itoa": "1.0.11" } });
        let text = edit("", &json).expect("good");
        assert_eq!(read(&text), json, "{text}");
        assert_eq!(
            text,
            "[dependencies]\nanyhow = \"1\"\n\n[dependencies.2]\naxum = { version = \"0.6\" }\n\n[locked]\nitoa = \"1.0.11\"\n"
        );
    }

    #[test]
    fn json_that_gives_an_invalid_depends_toml_is_refused() {
        for bad in [
            json!({ "dependencies": { "anyhow": null } }),
            json!({ "dependencies": "x" }),
            json!({ "strange": {} }),
            json!({ "dependencies": { "anyhow": "not a version" } }),
            json!({ "dependencies": { "any how": "1" } }),
            json!({ "dependencies": { "a\"]\n[locked]\nb = \"1": "1" } }),
            json!({ "dependencies": { "anyhow": { "git": "https://example.org" } } }),
            json!({ "locked": { "itoa": 1.5 } }),
        ] {
            assert!(edit(FILE, &bad).is_err(), "{bad}");
        }
    }
}
