//! Edits of a config.toml that keep its comments, its order, and all that they do not concern; text in, text out.

use serde::{Deserialize, Serialize};
use toml_edit::{DocumentMut, InlineTable, Item, Table, Value};

use super::{NAME, Setting};

/// Stands above the first table that an edit adds.
const MARKER: &str = "# Added by `cargo frostmirror setup`; `cargo frostmirror setup --undo` takes it back.";

/// Why a configuration could not be edited.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// It is no TOML.
    #[error(transparent)]
    Toml(#[from] toml_edit::TomlError),
    /// Something else stands where a table or a value is needed.
    #[error("`{0}` is not what cargo expects there")]
    Shape(String),
    /// The edit did not come out as meant; a fault of ours, found before anything is written.
    #[error("`{0}` cannot be set in a file of this shape")]
    Unsound(String),
}

/// One key that an edit changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The key's path, outermost first.
    pub key: Vec<String>,
    /// The value before, as TOML; `None`: there was none.
    pub was: Option<String>,
    /// The value after, as TOML; `None`: it was taken away.
    pub wrote: Option<String>,
    /// The tables, outermost first, that had to be made for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<Vec<String>>,
}

impl Change {
    /// The key as it is written in TOML.
    pub fn dotted(&self) -> String {
        self.key.join(".")
    }
}

/// Whether `text` says all of `settings` already, and nothing that contradicts them.
pub(super) fn holds(text: &str, settings: &[Setting]) -> Result<bool, EditError> {
    let document: DocumentMut = text.parse()?;
    let said = settings.iter().all(|s| says(&document, s));
    Ok(said && contradictions(&document, settings).is_empty())
}

/// `text` with `settings` in it, and what was changed.
pub(super) fn merge(text: &str, settings: &[Setting]) -> Result<(String, Vec<Change>), EditError> {
    let mut document: DocumentMut = text.parse()?;
    let mut changes = Vec::new();
    for key in contradictions(&document, settings) {
        let was = raw(&document, &key);
        remove(&mut document, &key);
        changes.push(Change { key, was, wrote: None, tables: Vec::new() });
    }
    for setting in settings {
        let key: Vec<String> = setting.key.iter().map(|part| (*part).to_owned()).collect();
        if !says(&document, setting) {
            let was = raw(&document, &key);
            let wrote = plain(&setting.value);
            let marked = changes.iter().any(|change: &Change| !change.tables.is_empty());
            let tables = set(&mut document, &key, setting.value.clone())?;
            if let (false, Some(table)) = (marked, tables.last()) {
                mark(&mut document, table);
            }
            changes.push(Change { key, was, wrote: Some(wrote), tables });
        }
    }
    let merged = document.to_string();
    match holds(&merged, settings) {
        Ok(true) => Ok((merged, changes)),
        _ => Err(EditError::Unsound(changes.last().map(Change::dotted).unwrap_or_default())),
    }
}

/// `text` with `changes` taken back. Keys whose value is no longer what was written stay; they are named.
pub(super) fn restore(text: &str, changes: &[Change]) -> Result<(String, Vec<String>), EditError> {
    let mut document: DocumentMut = text.parse()?;
    let mut kept = Vec::new();
    for change in changes.iter().rev() {
        let now = raw(&document, &change.key);
        if now == change.was {
            continue;
        }
        if now != change.wrote {
            kept.push(change.dotted());
            continue;
        }
        match &change.was {
            Some(was) => {
                set(&mut document, &change.key, was.parse::<Value>()?)?;
            }
            None => remove(&mut document, &change.key),
        }
        for table in change.tables.iter().rev() {
            if item(document.as_item(), table).and_then(Item::as_table_like).is_some_and(|t| t.is_empty()) {
                remove(&mut document, table);
            }
        }
    }
    // The marker may stand above another table by now, where someone put one between it and ours.
    let restored = document.to_string();
    Ok((restored.split_inclusive('\n').filter(|line| line.trim_end() != MARKER).collect(), kept))
}

/// The value of a key as TOML without the blanks around it; `None` where there is none.
fn raw<K: AsRef<str>>(document: &DocumentMut, key: &[K]) -> Option<String> {
    item(document.as_item(), key).and_then(Item::as_value).map(plain)
}

/// Whether the key has the value, whichever way that is quoted.
fn says(document: &DocumentMut, setting: &Setting) -> bool {
    let Some(held) = item(document.as_item(), setting.key).and_then(Item::as_value) else { return false };
    match (held, &setting.value) {
        (Value::String(held), Value::String(wanted)) => held.value() == wanted.value(),
        (held, wanted) => plain(held) == plain(wanted),
    }
}

fn plain(value: &Value) -> String {
    value.clone().decorated("", "").to_string()
}

fn item<'a, K: AsRef<str>>(root: &'a Item, key: &[K]) -> Option<&'a Item> {
    key.iter().try_fold(root, |item, part| item.as_table_like()?.get(part.as_ref()))
}

/// Keys that must not stand beside `settings`: one name must not be both a registry and a source.
fn contradictions(document: &DocumentMut, settings: &[Setting]) -> Vec<Vec<String>> {
    let registry = settings.iter().any(|setting| setting.key[0] == "registries");
    let keys_of = |table: [&str; 2]| -> Vec<Vec<String>> {
        let held = item(document.as_item(), &table).and_then(Item::as_table_like);
        let names = held.into_iter().flat_map(|held| held.iter());
        names.map(|(name, _)| [table[0], table[1], name].map(str::to_owned).to_vec()).collect()
    };
    if registry {
        keys_of(["source", NAME])
    } else {
        keys_of(["registries", NAME]).into_iter().filter(|key| key[2] == "index").collect()
    }
}

/// Sets a key, in the style of the tables around it; gives the tables that had to be made.
fn set(document: &mut DocumentMut, key: &[String], value: Value) -> Result<Vec<Vec<String>>, EditError> {
    let shape = || EditError::Shape(key.join("."));
    let (name, parents) = key.split_last().ok_or_else(shape)?;
    let mut made = Vec::new();
    let mut here = document.as_item_mut();
    for (depth, part) in parents.iter().enumerate() {
        let fresh = match &*here {
            Item::Value(Value::InlineTable(_)) => Item::Value(InlineTable::new().into()),
            Item::Table(parent) => {
                let mut table = Table::new();
                table.set_dotted(parent.is_dotted());
                table.set_implicit(depth + 1 < parents.len());
                Item::Table(table)
            }
            _ => return Err(shape()),
        };
        let table = here.as_table_like_mut().ok_or_else(shape)?;
        if table.get(part).is_none() {
            table.insert(part, fresh);
            made.push(key[..=depth].to_vec());
        }
        here = table.get_mut(part).ok_or_else(shape)?;
    }
    let table = here.as_table_like_mut().ok_or_else(shape)?;
    match table.get_mut(name) {
        Some(Item::Value(old)) => {
            let decor = old.decor().clone();
            *old = value;
            *old.decor_mut() = decor;
        }
        Some(Item::None) | None => {
            table.insert(name, Item::Value(value));
        }
        Some(_) => return Err(shape()),
    }
    Ok(made)
}

/// Takes a key or a table away. Comments that stood above it move to the end of the file: they are not ours to drop.
fn remove<K: AsRef<str>>(document: &mut DocumentMut, key: &[K]) {
    let Some((name, parents)) = key.split_last() else { return };
    let found = parents.iter().try_fold(document.as_item_mut(), |item, part| item.get_mut(part.as_ref()));
    let Some(table) = found.and_then(Item::as_table_like_mut) else { return };
    let mut above = String::new();
    if let Some(prefix) = table.key(name.as_ref()).and_then(|key| key.leaf_decor().prefix()?.as_str()) {
        above.push_str(prefix);
    }
    let removed = table.remove(name.as_ref());
    let decor = removed.as_ref().and_then(Item::as_table).map(Table::decor);
    if let Some(prefix) = decor.and_then(|decor| decor.prefix()?.as_str()) {
        above.push_str(prefix);
    }
    let comments: Vec<&str> = above.lines().filter(|line| line.contains('#') && *line != MARKER).collect();
    if !comments.is_empty() {
        let end = document.trailing().as_str().unwrap_or_default();
        let end = format!("{end}{}\n", comments.join("\n"));
        document.set_trailing(end);
    }
}

/// Says above a table whose it is.
fn mark(document: &mut DocumentMut, path: &[String]) {
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
    use crate::client_config::{BaseUrl, Client, Place};

    fn server() -> Vec<Setting> {
        Client::of_server(BaseUrl::parse("http://m:1").expect("url")).settings()
    }

    fn folder() -> Vec<Setting> {
        let mut client = Client::of_server(BaseUrl::parse("http://m:1").expect("url"));
        client.place = Place::Folder("/m".into());
        client.ca = Some("/ca.pem".into());
        client.check_revoke = Some(false);
        client.settings()
    }

    /// Shapes in which people write their configuration.
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
    fn every_shape_takes_both_forms_and_gives_them_back() {
        for text in SHAPES {
            for settings in [server(), folder()] {
                let (merged, changes) = merge(text, &settings).expect(text);
                assert!(holds(&merged, &settings).expect("TOML"), "{merged}");
                let (again, none) = merge(&merged, &settings).expect("merge");
                assert_eq!((again.as_str(), none.len()), (merged.as_str(), 0));
                let (back, kept) = restore(&merged, &changes).expect("restore");
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
    fn both_forms_never_stand_together() {
        let (merged, _) = merge(SHAPES[9], &server()).expect("merge");
        assert!(!merged.contains("[source.frostmirror]\nregistry"), "{merged}");
        let (merged, _) = merge(SHAPES[8], &folder()).expect("merge");
        let read: toml::Table = merged.parse().expect("TOML");
        let registry = read["registries"]["frostmirror"].as_table().expect("table");
        assert_eq!(registry.keys().collect::<Vec<_>>(), ["token"], "the token is not ours");
    }

    #[test]
    fn what_was_edited_afterwards_stays() {
        let (merged, changes) = merge(SHAPES[3], &server()).expect("merge");
        let edited = merged.replace("[registries.frostmirror]", "[net]\nretry = 9\n\n# mine\n[registries.frostmirror]");
        let (back, kept) = restore(&edited, &changes).expect("restore");
        assert!(kept.is_empty() && back.contains("retry = 9") && back.contains("# mine"), "{back}");
        assert!(back.contains("replace-with = 'corp' # ours") && !back.contains("frostmirror"), "{back}");

        let edited = merged.replace("\"frostmirror\"", "\"other\"");
        let (back, kept) = restore(&edited, &changes).expect("restore");
        assert_eq!(kept, ["source.crates-io.replace-with"]);
        assert!(back.contains("replace-with = \"other\""), "{back}");
    }

    #[test]
    fn shapes_that_cargo_refuses_are_refused() {
        for text in ["source = 1\n", "[[source.crates-io]]\n", "[source.crates-io.replace-with]\nx = 1\n", "[broken"] {
            assert!(merge(text, &server()).is_err(), "{text}");
        }
    }
}
