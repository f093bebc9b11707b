//! Edits a `frostmirror.toml` and keeps its comments, its order and all unrelated keys; text in, text out. The parser of the
//! server's start has parsed the result.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value as Json};
use toml_edit::{Array, DocumentMut, Item, Value};

use super::overrides::Source;
use super::settings::{self, InvalidValue, Key, ParsedFile, describe_unknown_key};
use crate::toml_document::{append_lines, comments_above, prepend_lines, replace_value};

/// The reason why a change was not made; the file is unchanged.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The key or the value is invalid.
    #[error("{0}")]
    InvalidValue(String),
    /// A flag or the environment fixes the key.
    #[error("`{}` is fixed by {overridden_by}", key.name())]
    Overridden {
        /// The key.
        key: Key,
        /// The flag or variable that fixes it.
        overridden_by: Source,
    },
    /// Only the operator may change the key, see [`Key::is_operator_only`].
    #[error("`{}` cannot be changed over the network", key.name())]
    OperatorOnly {
        /// The key.
        key: Key,
    },
    /// The file is unreadable, or the keys conflict.
    #[error(transparent)]
    Settings(#[from] settings::Error),
    /// Another process changed the file in the meantime.
    #[error("`{}` was changed by another process", path.display())]
    ConcurrentChange {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be written.
    #[error("could not write `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// An edited text.
#[derive(Debug)]
pub(super) struct EditedFile {
    pub(super) text: String,
    /// The settings of the text.
    pub(super) parsed: ParsedFile,
}

/// Applies `changes` to `text`, whose settings are `before`. A value that is already set keeps its formatting.
pub(super) fn apply_changes(
    text: &str,
    path: &Path,
    before: &ParsedFile,
    changes: &Map<String, Json>,
) -> Result<EditedFile, Error> {
    // `before` comes from a parser with better messages for invalid TOML.
    let mut document: DocumentMut = text
        .parse()
        .map_err(|_| Error::InvalidValue("the file cannot be edited, because it is not TOML".to_owned()))?;
    for (name, json) in changes {
        let key =
            Key::from_name(name).ok_or_else(|| Error::InvalidValue(describe_unknown_key(name, json.is_object())))?;
        if key.is_operator_only() {
            let unchanged = match json {
                Json::Null => !before.keys.contains(&key),
                json => before.settings.unmasked_json(key) == *json,
            };
            if unchanged {
                continue;
            }
            return Err(Error::OperatorOnly { key });
        }
        if json.is_null() {
            remove_key(&mut document, name);
            continue;
        }
        let is_masked_secret =
            before.settings.upstream(key).is_some_and(|url| url.has_secret() && *json == url.masked());
        if is_masked_secret {
            continue;
        }
        let value = toml_value(name, json).map_err(|wrong| Error::InvalidValue(wrong.to_string()))?;
        let parsed = ParsedFile::parse(&format!("{name} = {value}\n"), path).map_err(without_position)?;
        if parsed.settings.unmasked_json(key) != before.settings.unmasked_json(key) {
            set_value(&mut document, name, value);
        }
    }
    let text = document.to_string();
    let given = ParsedFile::parse(&text, path)?;
    Ok(EditedFile { text, parsed: given })
}

/// Sets keys to validated values. A value that is already set keeps its formatting.
pub(super) fn set_keys(document: &mut DocumentMut, changes: &Map<String, Json>) {
    let value_at = |document: &DocumentMut, name: &str| {
        let text = document.get(name).and_then(Item::as_value)?.to_string();
        let given = ParsedFile::parse(&format!("{name} = {}", text.trim()), Path::new("")).ok()?;
        Some(given.settings.masked_json(Key::from_name(name)?))
    };
    for (name, json) in changes {
        if value_at(document, name).as_ref() == Some(json) {
            continue;
        }
        if document.get(name).is_some_and(|item| !item.is_value()) {
            document.remove(name);
        }
        if let Ok(value) = toml_value(name, json) {
            set_value(document, name, value);
        }
    }
}

/// Validates a value that is not in a file yet.
fn without_position(error: settings::Error) -> Error {
    match error {
        settings::Error::Invalid { mut list, .. } if list.problems.len() == 1 => {
            Error::InvalidValue(list.problems.remove(0).message)
        }
        error => Error::Settings(error),
    }
}

fn toml_value(name: &str, json: &Json) -> Result<Value, InvalidValue> {
    let expected = "a string, a whole number, true, false, null, or a list of strings";
    let wrong = |what: &str| InvalidValue::new(format!("`{name}` is {what}"), expected);
    match json {
        Json::String(text) => Ok(text.as_str().into()),
        Json::Bool(value) => Ok((*value).into()),
        Json::Number(number) => {
            number.as_i64().map(Value::from).ok_or_else(|| wrong("a number that is too large or not whole"))
        }
        Json::Array(list) => {
            let items =
                list.iter().map(|one| one.as_str().ok_or_else(|| wrong("a list with values that are not strings")));
            Ok(Value::Array(items.collect::<Result<Array, InvalidValue>>()?))
        }
        Json::Null => Err(wrong("null in a list")),
        Json::Object(_) => Err(wrong("an object")),
    }
}

fn set_value(document: &mut DocumentMut, name: &str, value: Value) {
    match document.get_mut(name).and_then(Item::as_value_mut) {
        Some(existing) => {
            if let (Some(existing), Some(wanted)) = (existing.as_array_mut(), value.as_array())
                && extend_array(existing, wanted)
            {
                return;
            }
            replace_value(existing, value);
        }
        None => {
            // Comments at the end of the file stay above added keys.
            let end = document.trailing().as_str().unwrap_or_default().to_owned();
            document.insert(name, Item::Value(value));
            if !end.trim().is_empty() {
                document.set_trailing("");
                let end = if end.ends_with('\n') { end } else { end + "\n" };
                prepend_lines(document.as_table_mut(), name, &end);
            }
        }
    }
}

/// Edits the list `there` into the list `wanted` and keeps the comments of the remaining items; returns `false` if the order
/// differs.
fn extend_array(existing: &mut Array, wanted: &Array) -> bool {
    let strings = |list: &Array| list.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect::<Vec<_>>();
    let (before, wanted) = (strings(existing), strings(wanted));
    let kept: Vec<&String> = before.iter().filter(|word| wanted.contains(word)).collect();
    if kept.is_empty() || before.len() != existing.len() || !wanted.iter().take(kept.len()).eq(kept.iter().copied()) {
        return false;
    }
    let added = wanted[kept.len()..].to_vec();
    existing.retain(|one| one.as_str().is_some_and(|word| wanted.iter().any(|wanted| wanted == word)));
    // A list with one item per line keeps that style.
    let last = existing.iter().last().and_then(|one| one.decor().prefix()).and_then(|prefix| prefix.as_str());
    let blank = last.and_then(|prefix| prefix.rfind('\n').map(|at| prefix[at..].to_owned()));
    for word in added {
        // A comment after the last comma belongs to the item before it.
        let end = existing.trailing().as_str().unwrap_or_default().to_owned();
        let (beside, end) = end.split_at(end.rfind('\n').unwrap_or(0));
        let blank = blank.as_deref().unwrap_or(if existing.is_empty() { "" } else { " " });
        existing.push_formatted(Value::from(word).decorated(format!("{beside}{blank}"), ""));
        existing.set_trailing(end);
    }
    true
}

/// Removes a key; the comments above it stay.
fn remove_key(document: &mut DocumentMut, name: &str) {
    let next = document.iter().skip_while(|(key, _)| *key != name).nth(1).map(|(key, _)| key.to_owned());
    let above = comments_above(document.as_table(), name);
    document.remove(name);
    match next {
        Some(next) => prepend_lines(document.as_table_mut(), &next, &above),
        None => append_lines(document, &above),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const FILE: &str = "# ours\n\n# where\nbind = '0.0.0.0:1' # all\n# what\ntargets = [\n  # big\n  'a-b',\n  'c-d', # small\n]\n\
                        proxy_index_url = 'https://me:hunter2@h/' # theirs\n# the end\n";

    fn edit(text: &str, changes: Json) -> Result<String, Error> {
        let path = Path::new("/config/frostmirror.toml");
        let before = ParsedFile::parse(text, path).expect("a good file");
        apply_changes(text, path, &before, changes.as_object().expect("an object")).map(|edited| edited.text)
    }

    #[test]
    fn unchanged_masked_values_change_nothing() {
        let before = ParsedFile::parse(FILE, Path::new("/config/frostmirror.toml")).expect("good").settings;
        let all: Map<String, Json> =
            Key::ALL.into_iter().map(|key| (key.name().to_owned(), before.masked_json(key))).collect();
        assert!(!format!("{all:?}").contains("hunter2"));
        assert_eq!(edit(FILE, Json::Object(all)).expect("nothing"), FILE);
        assert_eq!(edit("", json!({})).expect("nothing"), "");
    }

    #[test]
    fn comments_and_order_are_kept() {
        let text = edit(
            FILE,
            json!({
                "bind": "127.0.0.1:2", "targets": ["c-d", "e-f"], "watch_incoming": true, "proxy_ttl": "1h"
            }),
        );
        assert_eq!(
            text.expect("edited"),
            "# ours\n\n# where\nbind = \"127.0.0.1:2\" # all\n# what\ntargets = [\n  'c-d', # small\n  \"e-f\",\n]\n\
             proxy_index_url = 'https://me:hunter2@h/' # theirs\n# the end\nproxy_ttl = \"1h\"\nwatch_incoming = true\n"
        );
        let text = edit(FILE, json!({ "bind": null, "proxy_index_url": null, "toolchain": null }));
        assert_eq!(
            text.expect("edited"),
            "# ours\n\n# where\n# what\ntargets = [\n  # big\n  'a-b',\n  'c-d', # small\n]\n# the end\n"
        );
        assert_eq!(
            edit("targets = ['a-b', 'c-d']\n", json!({ "targets": ["c-d", "a-b"] })).expect("edited"),
            "targets = [\"c-d\", \"a-b\"]\n"
        );
        assert_eq!(edit("deny = ['a']\n", json!({ "deny": ["a", "b@1"] })).expect("edited"), "deny = ['a', \"b@1\"]\n");
        assert_eq!(
            edit("# only this", json!({ "proxy_mode": true })).expect("edited"),
            "# only this\nproxy_mode = true\n"
        );
    }

    #[test]
    fn unknown_keys_and_invalid_values_are_rejected_with_the_expected_form() {
        for (changes, said) in [
            (json!({ "bnd": "a:1" }), "unknown key `bnd`; did you mean `bind`?"),
            (json!({ "bnd": null }), "unknown key `bnd`"),
            (json!({ "bind": 1 }), "`bind` is an integer; expected HOST:PORT"),
            (json!({ "bind": { "port": 1 } }), "`bind` is an object; expected a string"),
            (json!({ "proxy_cache_max": 1.5 }), "not whole"),
            (json!({ "proxy_cache_max": u64::MAX }), "too large"),
            (json!({ "targets": ["a-b", null] }), "a list with values that are not strings"),
            (
                json!({ "proxy_index_url": "https://me:***@elsewhere/" }),
                "`proxy_index_url` contains the mask `***` instead of the secret",
            ),
            (json!({ "base_url": "x\" \nbind = \"" }), "`base_url` has the invalid value `x"),
        ] {
            let error = edit(FILE, changes).expect_err("refused").to_string();
            assert!(error.contains(said) && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn offline_cannot_be_changed() {
        for (file, changes) in [
            ("offline = true\n", json!({ "offline": false })),
            ("offline = true\n", json!({ "offline": null })),
            ("offline = true\n", json!({ "offline": "no" })),
            ("offline = false\n", json!({ "offline": null, "bind": "a:1" })),
            ("", json!({ "offline": true })),
        ] {
            let error = edit(file, changes.clone()).expect_err("refused");
            assert!(matches!(error, Error::OperatorOnly { key: Key::Offline }), "{changes}: {error}");
        }
        // A client that sends all settings back unchanged must change nothing.
        for (file, changes) in [
            ("offline = true\n", json!({ "offline": true })),
            ("offline = false\n", json!({ "offline": false })),
            ("", json!({ "offline": false })),
            ("", json!({ "offline": null })),
        ] {
            assert_eq!(edit(file, changes).expect("unchanged"), file);
        }
    }

    #[test]
    fn a_new_secret_replaces_the_old_one() {
        let text = edit(FILE, json!({ "proxy_index_url": "https://me:new@h/" })).expect("edited");
        assert!(text.contains("proxy_index_url = \"https://me:new@h/\" # theirs"), "{text}");
    }
}
