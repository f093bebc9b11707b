//! Edits of TOML files that users write: comments, line breaks and the format of unchanged parts are kept.

use toml_edit::{Decor, DocumentMut, Item, RawString, Table, TableLike, Value};

/// The text of a document that was parsed from `original`, with its line breaks: the editor writes `\n`.
pub fn to_text(document: &DocumentMut, original: &str) -> String {
    let text = document.to_string();
    if original.contains("\r\n") && !original.replace("\r\n", "").contains('\n') {
        return text.replace("\r\n", "\n").replace('\n', "\r\n");
    }
    text
}

/// An empty table with a header, after an empty line.
pub fn new_table() -> Table {
    let mut table = Table::new();
    table.decor_mut().set_prefix("\n");
    table
}

/// Replaces a value; the comment after it stays.
pub fn replace_value(old: &mut Value, mut new: Value) {
    *new.decor_mut() = old.decor().clone();
    *old = new;
}

/// The text before a key, a value or a header.
pub fn prefix_of(decor: &Decor) -> &str {
    decor.prefix().and_then(RawString::as_str).unwrap_or_default()
}

/// The lines above an entry or the header of a table, if they have a comment.
pub fn comments_above(table: &dyn TableLike, key: &str) -> String {
    let of_key = table.key(key).map_or("", |key| prefix_of(key.leaf_decor()));
    let of_header = table.get(key).and_then(Item::as_table).map_or("", |table| prefix_of(table.decor()));
    let text = [of_key, of_header].concat();
    // The rest is the indentation of the entry.
    let lines = text.rsplit_once('\n').map_or("", |(lines, _)| lines);
    if lines.contains('#') { format!("{lines}\n") } else { String::new() }
}

/// Inserts whole lines above an entry or the header of a table.
pub fn prepend_lines(table: &mut dyn TableLike, key: &str, lines: &str) {
    if let Some(inner) = table.get_mut(key).and_then(Item::as_table_mut) {
        let decor = inner.decor_mut();
        decor.set_prefix([lines, prefix_of(decor)].concat());
    } else if let Some(mut key) = table.key_mut(key) {
        let decor = key.leaf_decor_mut();
        decor.set_prefix([lines, prefix_of(decor)].concat());
    }
}

/// Inserts whole lines after the last entry, above comments at the end of the file.
pub fn append_lines(document: &mut DocumentMut, lines: &str) {
    if !lines.is_empty() {
        let end = document.trailing().as_str().unwrap_or_default();
        document.set_trailing([lines, end].concat());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# a\n\n  # b\n  key = 'x' # c\nplain = 1\n\n# d\n[table]\n# end";

    #[test]
    fn comments_move_with_their_lines() {
        let mut document: DocumentMut = TEXT.parse().expect("TOML");
        assert_eq!(comments_above(document.as_table(), "key"), "# a\n\n  # b\n");
        assert_eq!(comments_above(document.as_table(), "plain"), "");
        assert_eq!(comments_above(document.as_table(), "table"), "\n# d\n");
        assert_eq!(comments_above(document.as_table(), "absent"), "");
        prepend_lines(document.as_table_mut(), "plain", "# e\n");
        prepend_lines(document.as_table_mut(), "table", "# f\n");
        append_lines(&mut document, "# g\n");
        replace_value(document["key"].as_value_mut().expect("value"), 2.into());
        assert_eq!(
            to_text(&document, TEXT),
            "# a\n\n  # b\n  key = 2 # c\n# e\nplain = 1\n# f\n\n# d\n[table]\n# g\n# end"
        );
    }

    #[test]
    fn line_breaks_are_those_of_the_original() {
        for (original, expected) in [("a = 1\r\n", "a = 1\r\n"), ("a = 1\n", "a = 1\n"), ("a = 1", "a = 1\n")] {
            let document: DocumentMut = original.parse().expect("TOML");
            assert_eq!(to_text(&document, original), expected);
        }
    }
}
