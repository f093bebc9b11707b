//! Edits a config.toml and keeps its comments, its order and all unrelated keys; text in, text out.

use serde::{Deserialize, Serialize};
use toml_edit::{DocumentMut, InlineTable, Item, Table, Value};

use super::{CargoSetting, REGISTRY_NAME};
use crate::toml_document::{append_lines, comments_above, replace_value};

/// The comment above the first table that an edit adds.
const MARKER: &str = "# Added by `cargo frostmirror setup`; `cargo frostmirror setup --undo` removes it.";

/// The reason why a configuration could not be edited.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The text is not valid TOML.
    #[error(transparent)]
    Toml(#[from] toml_edit::TomlError),
    /// A table or value is needed where the text has something else.
    #[error("`{0}` has a type that cargo does not accept")]
    UnexpectedShape(String),
    /// The edited text does not have the intended values: a bug, detected before anything is written.
    #[error("`{0}` cannot be set without a change to other keys of the file")]
    MergeFailed(String),
}

/// A key that an edit changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The key's path, outermost first.
    pub key: Vec<String>,
    /// The previous value as TOML, or `None`.
    #[serde(rename = "was")]
    pub before: Option<String>,
    /// The new value as TOML, or `None` if the key was removed.
    #[serde(rename = "wrote")]
    pub after: Option<String>,
    /// The tables, outermost first, that the edit created for the key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<Vec<String>>,
}

impl Change {
    /// The key in TOML syntax.
    pub fn dotted(&self) -> String {
        self.key.join(".")
    }
}

/// Whether `text` already has all of `settings` and no conflicting key.
pub(super) fn is_applied(text: &str, settings: &[CargoSetting]) -> Result<bool, EditError> {
    let document: DocumentMut = text.parse()?;
    let said = settings.iter().all(|s| has_value(&document, s));
    Ok(said && conflicting_keys(&document, settings).is_empty())
}

/// Merges `settings` into `text`; returns the new text and the changes.
pub(super) fn merge(text: &str, settings: &[CargoSetting]) -> Result<(String, Vec<Change>), EditError> {
    let mut document: DocumentMut = text.parse()?;
    let mut changes = Vec::new();
    for key in conflicting_keys(&document, settings) {
        let before = value_text(&document, &key);
        remove_key(&mut document, &key);
        changes.push(Change { key, before, after: None, tables: Vec::new() });
    }
    for setting in settings {
        let key: Vec<String> = setting.key.iter().map(|part| (*part).to_owned()).collect();
        if !has_value(&document, setting) {
            let before = value_text(&document, &key);
            let after = undecorated(&setting.value);
            let marked = changes.iter().any(|change: &Change| !change.tables.is_empty());
            let tables = set_key(&mut document, &key, setting.value.clone())?;
            if let (false, Some(table)) = (marked, tables.last()) {
                add_marker(&mut document, table);
            }
            changes.push(Change { key, before, after: Some(after), tables });
        }
    }
    let merged = document.to_string();
    match is_applied(&merged, settings) {
        Ok(true) => Ok((merged, changes)),
        _ => Err(EditError::MergeFailed(changes.last().map(Change::dotted).unwrap_or_default())),
    }
}

/// Reverts `changes` in `text`. Keys whose value was edited since stay, and are returned.
pub(super) fn revert(text: &str, changes: &[Change]) -> Result<(String, Vec<String>), EditError> {
    let mut document: DocumentMut = text.parse()?;
    let mut kept = Vec::new();
    for change in changes.iter().rev() {
        let current = value_text(&document, &change.key);
        if current == change.before {
            continue;
        }
        if current != change.after {
            kept.push(change.dotted());
            continue;
        }
        match &change.before {
            Some(was) => {
                set_key(&mut document, &change.key, was.parse::<Value>()?)?;
            }
            None => remove_key(&mut document, &change.key),
        }
        for table in change.tables.iter().rev() {
            if find_item(document.as_item(), table).and_then(Item::as_table_like).is_some_and(|t| t.is_empty()) {
                remove_key(&mut document, table);
            }
        }
    }
    // The marker may be above another table now, if the user inserted one.
    let restored = document.to_string();
    Ok((restored.split_inclusive('\n').filter(|line| line.trim_end() != MARKER).collect(), kept))
}

/// The value of a key as trimmed TOML, or `None`.
fn value_text<K: AsRef<str>>(document: &DocumentMut, key: &[K]) -> Option<String> {
    find_item(document.as_item(), key).and_then(Item::as_value).map(undecorated)
}

/// Whether the key has the value, in any quoting style.
fn has_value(document: &DocumentMut, setting: &CargoSetting) -> bool {
    let Some(existing) = find_item(document.as_item(), setting.key).and_then(Item::as_value) else { return false };
    match (existing, &setting.value) {
        (Value::String(stored), Value::String(wanted)) => stored.value() == wanted.value(),
        (stored, wanted) => undecorated(stored) == undecorated(wanted),
    }
}

fn undecorated(value: &Value) -> String {
    value.clone().decorated("", "").to_string()
}

fn find_item<'a, K: AsRef<str>>(root: &'a Item, key: &[K]) -> Option<&'a Item> {
    key.iter().try_fold(root, |item, part| item.as_table_like()?.get(part.as_ref()))
}

/// Keys that conflict with `settings`: one name must not be both a registry and a source.
fn conflicting_keys(document: &DocumentMut, settings: &[CargoSetting]) -> Vec<Vec<String>> {
    let registry = settings.iter().any(|setting| setting.key[0] == "registries");
    let keys_of = |table: [&str; 2]| -> Vec<Vec<String>> {
        let table_items = find_item(document.as_item(), &table).and_then(Item::as_table_like);
        let names = table_items.into_iter().flat_map(|stored| stored.iter());
        names.map(|(name, _)| [table[0], table[1], name].map(str::to_owned).to_vec()).collect()
    };
    if registry {
        keys_of(["source", REGISTRY_NAME])
    } else {
        keys_of(["registries", REGISTRY_NAME]).into_iter().filter(|key| key[2] == "index").collect()
    }
}

/// Sets a key in the style of the surrounding tables; returns the tables that it created.
fn set_key(document: &mut DocumentMut, key: &[String], value: Value) -> Result<Vec<Vec<String>>, EditError> {
    let shape = || EditError::UnexpectedShape(key.join("."));
    let (name, parents) = key.split_last().ok_or_else(shape)?;
    let mut created = Vec::new();
    let mut current = document.as_item_mut();
    for (depth, part) in parents.iter().enumerate() {
        let fresh = match &*current {
            Item::Value(Value::InlineTable(_)) => Item::Value(InlineTable::new().into()),
            Item::Table(parent) => {
                let mut table = Table::new();
                table.set_dotted(parent.is_dotted());
                table.set_implicit(depth + 1 < parents.len());
                Item::Table(table)
            }
            _ => return Err(shape()),
        };
        let table = current.as_table_like_mut().ok_or_else(shape)?;
        if table.get(part).is_none() {
            table.insert(part, fresh);
            created.push(key[..=depth].to_vec());
        }
        current = table.get_mut(part).ok_or_else(shape)?;
    }
    let table = current.as_table_like_mut().ok_or_else(shape)?;
    match table.get_mut(name) {
        Some(Item::Value(old)) => replace_value(old, value),
        Some(Item::None) | None => {
            table.insert(name, Item::Value(value));
        }
        Some(_) => return Err(shape()),
    }
    Ok(created)
}

/// Removes a key or a table. Comments above it belong to the user, so they move to the end of the file.
fn remove_key<K: AsRef<str>>(document: &mut DocumentMut, key: &[K]) {
    let Some((name, parents)) = key.split_last() else { return };
    let found = parents.iter().try_fold(document.as_item_mut(), |item, part| item.get_mut(part.as_ref()));
    let Some(table) = found.and_then(Item::as_table_like_mut) else { return };
    let above = comments_above(table, name.as_ref());
    table.remove(name.as_ref());
    let kept: String = above.split_inclusive('\n').filter(|line| line.trim_end() != MARKER).collect();
    if kept.contains('#') {
        append_lines(document, &kept);
    }
}

/// Adds the marker comment above a table.
fn add_marker(document: &mut DocumentMut, path: &[String]) {
    let alone = document.as_table().len() == 1;
    let gap = if alone { "" } else { "\n" };
    let found = path.iter().try_fold(document.as_item_mut(), |item, part| item.get_mut(part.as_str()));
    if let Some(table) = found.and_then(Item::as_table_mut)
        && !table.is_dotted()
    {
        table.decor_mut().set_prefix(format!("{gap}{MARKER}\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client_setup::{BaseUrl, ClientSetup, MirrorLocation};

    fn server() -> Vec<CargoSetting> {
        ClientSetup::for_server(BaseUrl::parse("http://m:1").expect("url")).settings()
    }

    fn folder() -> Vec<CargoSetting> {
        let mut client = ClientSetup::for_server(BaseUrl::parse("http://m:1").expect("url"));
        client.location = MirrorLocation::Folder("/m".into());
        client.ca = Some("/ca.pem".into());
        client.check_revoke = Some(false);
        client.settings()
    }

    /// Shapes of real configuration files.
    const SHAPES: [&str; 12] = [
        "",
        "# only a comment\n",
        "[build]\njobs = 2 # few\n\n[net]\noffline = false\n# the end\n",
        "[source.crates-io]\nreplace-with = 'corp' # ours\n\n[source.corp]\nregistry = \"sparse+https://c/i/\"\n",
        "source.crates-io.replace-with = \"corp\"\nsource.corp.registry = \"sparse+https://c/i/\"\n[net]\nretry = 1\n",
        "[source]\ncrates-io = { replace-with = \"corp\" }\ncorp = { directory = \"/v\" }\n",
        "source = { crates-io = { replace-with = \"corp\" }, corp = { directory = \"/v\" } }\n",
        "[source]\ncrates-io.replace-with = \"corp\"\n\n[http]\ncainfo = \"/old.pem\"\n\n[registries.corp]\nindex = \"x\"\n",
        "[registries.frostmirror]\nindex = \"sparse+http://old/index/\"\ntoken = \"t\"\n",
        "[source.frostmirror]\nregistry = \"sparse+http://old/index/\"\n\n[alias]\nb = 'build'\n",
        "[http]\ncheck-revoke = true\n[source.crates-io]\n",
        "registries.corp.index = \"y\"\nhttp.timeout = 3\n",
    ];

    #[test]
    fn every_shape_accepts_both_forms_and_is_restored() {
        for text in SHAPES {
            for settings in [server(), folder()] {
                let (merged, changes) = merge(text, &settings).expect(text);
                assert!(is_applied(&merged, &settings).expect("TOML"), "{merged}");
                let (again, none) = merge(&merged, &settings).expect("merge");
                assert_eq!((again.as_str(), none.len()), (merged.as_str(), 0));
                let (back, kept) = revert(&merged, &changes).expect("restore");
                assert_eq!(kept, [""; 0]);
                let (old, new) =
                    (text.parse::<toml::Table>().expect("TOML"), back.parse::<toml::Table>().expect("TOML"));
                assert_eq!(old, new, "{text}\n-- merged\n{merged}\n-- back\n{back}");
                let comments = |text: &str| text.lines().filter(|line| line.contains('#')).count();
                assert_eq!(comments(text), comments(&back), "{back}");
            }
        }
    }

    #[test]
    fn the_two_forms_exclude_each_other() {
        let (merged, _) = merge(SHAPES[9], &server()).expect("merge");
        assert!(!merged.contains("[source.frostmirror]\nregistry"), "{merged}");
        let (merged, _) = merge(SHAPES[8], &folder()).expect("merge");
        let read: toml::Table = merged.parse().expect("TOML");
        let registry = read["registries"]["frostmirror"].as_table().expect("table");
        assert_eq!(registry.keys().collect::<Vec<_>>(), ["token"], "the token is not ours");
    }

    #[test]
    fn later_edits_are_kept() {
        let (merged, changes) = merge(SHAPES[3], &server()).expect("merge");
        let edited = merged.replace("[registries.frostmirror]", "[net]\nretry = 9\n\n# mine\n[registries.frostmirror]");
        let (back, kept) = revert(&edited, &changes).expect("restore");
        assert!(kept.is_empty() && back.contains("retry = 9") && back.contains("# mine"), "{back}");
        assert!(back.contains("replace-with = 'corp' # ours") && !back.contains("frostmirror"), "{back}");

        let edited = merged.replace("\"frostmirror\"", "\"other\"");
        let (back, kept) = revert(&edited, &changes).expect("restore");
        assert_eq!(kept, ["source.crates-io.replace-with"]);
        assert!(back.contains("replace-with = \"other\""), "{back}");
    }

    #[test]
    fn shapes_that_cargo_rejects_are_rejected() {
        for text in ["source = 1\n", "[[source.crates-io]]\n", "[source.crates-io.replace-with]\nx = 1\n", "[broken"] {
            assert!(merge(text, &server()).is_err(), "{text}");
        }
    }
}
