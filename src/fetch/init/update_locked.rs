//! Updates `[locked]` in a depends.toml that users have edited: all other bytes stay unchanged.
//!
//! Unchanged entries stay as they are, with their comments; a changed entry keeps its position and its comments. A
//! comment on its own line is never removed, even if the entry below it is: it may be for several entries.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use toml_edit::{DocumentMut, Item, Table, Value};

use super::{Error, WorkspaceDependencies, parse_depends, versions_value};
use crate::crate_id::{CrateId, CrateName, Version};
use crate::inputs::depends::json_edit::{EditError, item_to_json, merge_table};
use crate::inputs::depends::{DependsFile, comment_on_left_out, without_left_out};
use crate::toml_document::{append_lines, new_table, prefix_of, to_text};

type LockedVersions = BTreeMap<CrateName, BTreeSet<Version>>;

/// Returns the text with its `[locked]` table updated from the seed's locks; `path` is used in errors.
pub fn update_locked(text: &str, path: &Path, seed: &WorkspaceDependencies) -> Result<String, Error> {
    let wrong = |what: String| Error::Edit { path: path.display().to_string(), what };
    // A file that is empty because nothing was locked can be updated too.
    let before = match parse_depends(text, path) {
        Ok(depends) => Some(depends),
        Err(_) if text.lines().all(is_blank_or_header) => None,
        Err(error) => return Err(error.into()),
    };
    let wanted = seed.locked.clone().unwrap_or_default();
    let mut document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| wrong(error.to_string()))?;

    let mut table = match document.remove("locked") {
        Some(Item::Table(table)) => table,
        Some(other) => other.into_table().unwrap_or_default(),
        None => new_table(),
    };
    table.set_dotted(false);
    table.set_implicit(false);
    let orphans = update_entries(&mut table, &wanted).map_err(|error| wrong(error.to_string()))?;
    update_skipped_comment(&mut table, seed);
    let position = table.position();
    document.insert("locked", Item::Table(table));
    if !orphans.is_empty() {
        insert_comments_after(&mut document, position, &orphans);
    }

    let after = to_text(&document, text);
    check_result(&after, path, before.as_ref(), &wanted).map_err(wrong)?;
    Ok(after)
}

/// A line that is valid and requests nothing.
fn is_blank_or_header(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with('#') || line == "[locked]" || line == "[dependencies]"
}

/// Everything else must be unchanged, and the locked set must be the requested one.
fn check_result(text: &str, path: &Path, before: Option<&DependsFile>, wanted: &LockedVersions) -> Result<(), String> {
    let ids: Vec<CrateId> = wanted
        .iter()
        .flat_map(|(name, versions)| {
            versions.iter().map(|version| CrateId { name: name.clone(), version: version.clone() })
        })
        .collect();
    if ids.is_empty() && before.is_none_or(|before| before.groups.is_empty() && before.platforms.is_none()) {
        return Ok(());
    }
    let after = parse_depends(text, path).map_err(|error| error.to_string())?;
    let same = match before {
        Some(before) => before.groups == after.groups && before.platforms == after.platforms,
        None => after.groups.is_empty() && after.platforms.is_none(),
    };
    if !same {
        return Err("a part other than `[locked]` changed".to_owned());
    }
    if after.locked == ids { Ok(()) } else { Err("`[locked]` has the wrong content".to_owned()) }
}

/// Sets the table to the requested versions; returns the comments without an entry below them.
fn update_entries(table: &mut Table, wanted: &LockedVersions) -> Result<String, EditError> {
    let is_sorted = table.iter().map(|(name, _)| name).is_sorted();
    let content = wanted.iter().map(|(name, versions)| {
        // The same versions in another form stay unchanged.
        let existing = table.get(name.as_str()).filter(|item| parse_versions(item).as_ref() == Some(versions));
        let json = existing.map_or_else(|| item_to_json(&Item::Value(versions_value(versions))), item_to_json);
        (name.to_string(), json)
    });
    let content = content.collect();
    let orphans = merge_table(table, &content, "locked")?;
    if is_sorted {
        table.sort_values();
    }
    Ok(orphans)
}

fn parse_versions(item: &Item) -> Option<BTreeSet<Version>> {
    match item.as_value()? {
        Value::String(text) => Some(BTreeSet::from([text.value().parse().ok()?])),
        Value::Array(array) => array.iter().map(|value| value.as_str()?.parse().ok()).collect(),
        _ => None,
    }
}

/// Updates the comment above `[locked]` that lists skipped packages.
fn update_skipped_comment(table: &mut Table, seed: &WorkspaceDependencies) {
    let prefix = prefix_of(table.decor());
    let kept = without_left_out(prefix);
    table.decor_mut().set_prefix(kept + &comment_on_left_out(&seed.skipped));
}

/// Inserts comments after the table at `position`: above the next table, otherwise at the end of the file.
fn insert_comments_after(document: &mut DocumentMut, position: Option<isize>, comments: &str) {
    let next = position.and_then(|position| {
        let mut positions = Vec::new();
        collect_table_positions(document.as_table(), &mut positions);
        positions.into_iter().filter(|other| *other > position).min()
    });
    let placed = next.is_some_and(|next| prepend_to_table(document.as_table_mut(), next, comments));
    if !placed {
        append_lines(document, comments);
    }
}

/// The positions of all tables with a header.
fn collect_table_positions(table: &Table, positions: &mut Vec<isize>) {
    for (_, item) in table.iter() {
        if let Some(table) = item.as_table() {
            if !table.is_implicit() && !table.is_dotted() {
                positions.extend(table.position());
            }
            collect_table_positions(table, positions);
        }
    }
}

fn prepend_to_table(table: &mut Table, position: isize, comments: &str) -> bool {
    for (_, item) in table.iter_mut() {
        let Some(table) = item.as_table_mut() else {
            continue;
        };
        if table.position() == Some(position) && !table.is_implicit() {
            let decor = table.decor_mut();
            decor.set_prefix([comments, prefix_of(decor)].concat());
            return true;
        }
        if prepend_to_table(table, position, comments) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seed(ids: &[(&str, &str)]) -> WorkspaceDependencies {
        let mut locked = LockedVersions::new();
        for (name, version) in ids {
            let id = CrateId::parse(name, version).expect("valid");
            locked.entry(id.name).or_default().insert(id.version);
        }
        WorkspaceDependencies { locked: Some(locked), ..WorkspaceDependencies::default() }
    }

    fn updated(text: &str, ids: &[(&str, &str)]) -> String {
        update_locked(text, Path::new("depends.toml"), &seed(ids)).expect(text)
    }

    #[test]
    fn every_form_of_the_locked_table_is_updated() {
        let ids = [("a", "1.0.0"), ("b", "1.0.0"), ("b", "2.0.0")];
        for (old, new) in [
            ("", "\n[locked]\na = \"1.0.0\"\nb = [\"1.0.0\", \"2.0.0\"]\n"),
            (
                "[dependencies]\nx = \"1\" # x\n",
                "[dependencies]\nx = \"1\" # x\n\n[locked]\na = \"1.0.0\"\nb = [\"1.0.0\", \"2.0.0\"]\n",
            ),
            ("locked.a = \"0.1.0\"\n", "[locked]\na = \"1.0.0\"\nb = [\"1.0.0\", \"2.0.0\"]\n"),
            ("locked = { a = \"0.1.0\" }\n", "[locked]\na = \"1.0.0\"\nb = [\"1.0.0\", \"2.0.0\"]\n"),
            // Not sorted: new entries go to the end.
            (
                "[locked]\nz = \"1.0.0\"\nb = \"1.0.0\" # b\n",
                "[locked]\nb = [\"1.0.0\", \"2.0.0\"] # b\na = \"1.0.0\"\n",
            ),
            // The same versions in another form stay unchanged.
            (
                "[locked]\nb = [\n  '2.0.0', # two\n  '1.0.0',\n]\na = ['1.0.0']\n",
                "[locked]\nb = [\n  '2.0.0', # two\n  '1.0.0',\n]\na = ['1.0.0']\n",
            ),
        ] {
            assert_eq!(updated(old, &ids), new, "{old}");
        }
    }

    #[test]
    fn comments_survive_removed_entries() {
        let old = "[locked]\n# one\na = \"1.0.0\"\n# two\nb = \"1.0.0\" # gone\n# end\n";
        assert_eq!(updated(old, &[("a", "1.0.0")]), "[locked]\n# one\na = \"1.0.0\"\n# two\n# end\n");
        let old = "[locked]\n# one\na = \"1.0.0\"\n# two\nb = \"1.0.0\"\n\n[dependencies.3]\nx = \"1\"\n";
        let new = "[locked]\nc = \"1.0.0\"\n# one\n# two\n\n[dependencies.3]\nx = \"1\"\n";
        assert_eq!(updated(old, &[("c", "1.0.0")]), new);
    }

    #[test]
    fn the_comment_on_skipped_packages_is_updated() {
        let foreign = |name: &str| crate::inputs::lockfile::ForeignPackage {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            source: crate::inputs::lockfile::ForeignSource::Git { url: "https://example.org/x".to_owned() },
            unused_patch: false,
        };
        let mut with = seed(&[("a", "1.0.0")]);
        with.skipped.insert(foreign("old"));
        let first = with.to_toml();
        assert!(first.contains("#   old 1.0.0 (git: https://example.org/x)\n[locked]"), "{first}");
        with.skipped = BTreeSet::from([foreign("new")]);
        let second = update_locked(&first, Path::new("depends.toml"), &with).expect("valid");
        assert_eq!(second, first.replace("   old ", "   new "));
        with.skipped.clear();
        let third = update_locked(&second, Path::new("depends.toml"), &with).expect("valid");
        assert!(!third.contains('('), "{third}");
    }

    #[test]
    fn an_invalid_file_is_refused() {
        for text in ["[locked]\na = 1\n", "[locked.a]\n", "[locked\n"] {
            assert!(matches!(update_locked(text, Path::new("x"), &seed(&[])), Err(Error::Depends(_))), "{text}");
        }
        assert_eq!(updated("# nothing yet\n[locked]\n", &[("a", "1.0.0")]), "# nothing yet\n[locked]\na = \"1.0.0\"\n");
        assert_eq!(updated("[locked]\na = \"1.0.0\"\n", &[]), "[locked]\n");
    }

    proptest! {
        #[test]
        fn any_locked_set_becomes_any_other(
            old in proptest::collection::btree_set(("[a-f]", 0u8..3), 1..9),
            new in proptest::collection::btree_set(("[a-f]", 0u8..3), 1..9),
            shuffled in any::<bool>(),
        ) {
            let ids = |set: &BTreeSet<(String, u8)>| -> Vec<(String, String)> {
                set.iter().map(|(name, major)| (name.clone(), format!("{major}.0.0"))).collect()
            };
            let (old, new) = (ids(&old), ids(&new));
            let borrowed = |ids: &'_ [(String, String)]| seed(&ids.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect::<Vec<_>>());
            let mut text = borrowed(&old).to_toml();
            if shuffled {
                // A comment above each entry, and the platforms first.
                let lines = text.lines().map(|line| if line.contains(" = ") { format!("# about {line}\n{line} # {line}\n") } else { format!("{line}\n") });
                text = format!("[platforms]\nprofile = \"minimal\"\n{}", lines.collect::<String>());
            }
            let after = update_locked(&text, Path::new("depends.toml"), &borrowed(&new)).expect("renewed");
            for line in text.lines().filter(|line| line.starts_with('#')) {
                prop_assert!(after.contains(line), "{line} is gone from {after}");
            }
            let read = DependsFile::parse(&after, Path::new("depends.toml")).expect("valid");
            let locked_ids: Vec<(String, String)> = read.locked.iter().map(|id| (id.name.to_string(), id.version.to_string())).collect();
            prop_assert_eq!(locked_ids, new);
            prop_assert_eq!(read.platforms.is_some(), shuffled);
        }
    }
}
