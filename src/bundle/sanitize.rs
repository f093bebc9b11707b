//! Sanitizes texts of a manifest for display. The sender of a bundle chose them, so they must not control a terminal,
//! reverse text direction, hide characters, or push the rest of a page out of view.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::units::{self, pluralize};

/// The replacement for invisible and control characters.
const REPLACEMENT: char = '\u{fffd}';
/// Maximum number of characters of a text on its own line.
const MAX_CHARS: usize = 200;
/// Maximum column width in characters; a longer cell only shifts its own row.
const MAX_COLUMN_WIDTH: usize = 40;

/// `text` on one line: control and invisible characters are replaced, and long texts are shortened.
pub fn sanitize_line(text: &str) -> String {
    sanitize_to_length(text, MAX_CHARS)
}

/// Like [`sanitize_line`], with at most `max_chars` characters.
pub fn sanitize_to_length(text: &str, max_chars: usize) -> String {
    let mut out = String::new();
    for (count, character) in text.chars().enumerate() {
        if count == max_chars {
            out.push('…');
            break;
        }
        out.push(if is_unsafe_character(character) { REPLACEMENT } else { character });
    }
    out
}

/// `text` with its line breaks: other control and invisible characters are replaced.
pub fn sanitize_lines(text: &str) -> String {
    let shown = |c: char| if c != '\n' && is_unsafe_character(c) { REPLACEMENT } else { c };
    text.chars().map(shown).collect()
}

/// Control characters, line and paragraph separators, direction marks, characters that renderers may omit
/// (`Default_Ignorable_Code_Point`), interlinear annotations, and private use characters.
fn is_unsafe_character(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{2800}' | '\u{3164}' | '\u{e000}'..='\u{f8ff}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{10ffff}')
}

/// Escapes such characters in a JSON document: it parses to the same value and is safe on a terminal.
///
/// Outside of strings, a document has only line breaks and spaces, which stay.
pub fn escape_json(document: &str) -> Cow<'_, str> {
    let is_unsafe = |character: char| character != '\n' && is_unsafe_character(character);
    if !document.contains(is_unsafe) {
        return Cow::Borrowed(document);
    }
    let mut out = String::with_capacity(document.len() + 64);
    for character in document.chars() {
        if is_unsafe(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}").expect("writing to memory cannot fail");
            }
        } else {
            out.push(character);
        }
    }
    Cow::Owned(out)
}

/// A readable size such as `12.10 KiB`; whole bytes below one KiB.
pub fn format_size(bytes: u64) -> String {
    units::approximate_size(bytes, 2)
}

/// A readable size, followed by the exact number of bytes.
pub fn format_exact_size(bytes: u64) -> String {
    let exact = pluralize(bytes, "byte");
    if bytes < 1024 { exact } else { format!("{} ({exact})", format_size(bytes)) }
}

/// Rows of sanitized cells in aligned columns.
#[derive(Default)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Adds a row.
    pub(super) fn add_row<const N: usize>(&mut self, cells: [&str; N]) {
        self.rows.push(cells.iter().map(|cell| sanitize_line(cell)).collect());
    }

    /// Writes the rows with an indent of two spaces. Sizes are right-aligned; an empty column is omitted.
    pub(super) fn write(&self, out: &mut String) {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let length = |cell: &String| cell.chars().count();
        let widths: Vec<Option<usize>> = (0..columns)
            .map(|at| {
                let cells = self.rows.iter().filter_map(|row| row.get(at)).map(length).filter(|length| *length > 0);
                cells.map(|length| if length <= MAX_COLUMN_WIDTH { length } else { 0 }).max()
            })
            .collect();
        for row in &self.rows {
            let mut line = String::from(" ");
            for (cell, width) in row.iter().zip(&widths) {
                let Some(width) = width else { continue };
                let padding = " ".repeat(width.saturating_sub(length(cell)));
                let (before, after) = if is_size(cell) { (padding.as_str(), "") } else { ("", padding.as_str()) };
                line.extend([" ", before, cell, after, " "]);
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
    }
}

fn is_size(cell: &str) -> bool {
    cell.starts_with(|first: char| first.is_ascii_digit()) && (cell.ends_with(" B") || cell.ends_with("iB"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_and_invisible_characters_are_replaced() {
        assert_eq!(sanitize_line("MIT OR Apache-2.0, ü, 日本"), "MIT OR Apache-2.0, ü, 日本");
        let hostile = "a\u{1b}[2J\n\r\t\0\u{7f}\u{9b}\u{202e}\u{2066}\u{200b}\u{feff}\u{e0041}\u{2028}b";
        assert_eq!(sanitize_line(hostile), format!("a{REPLACEMENT}[2J{}b", REPLACEMENT.to_string().repeat(12)));
        assert_eq!(sanitize_lines("a\n\u{202e}b\tü"), format!("a\n{REPLACEMENT}b{REPLACEMENT}ü"));
        let long = sanitize_line(&"x".repeat(5000));
        assert_eq!((long.chars().count(), long.ends_with("x…")), (201, true));
    }

    #[test]
    fn escaped_json_parses_to_the_same_value() {
        let hostile = "\u{7f}\u{9b}31m\u{202e}\u{e0041}\u{10ffff}ü\n";
        let document = serde_json::to_string_pretty(&[hostile]).expect("JSON");
        let harmless = escape_json(&document);
        assert!(!harmless.contains(['\u{7f}', '\u{9b}', '\u{202e}', '\u{e0041}', '\u{10ffff}']), "{harmless}");
        assert_eq!(serde_json::from_str::<[String; 1]>(&harmless).expect("JSON"), [hostile]);
        assert!(matches!(escape_json("{\n  \"a\": 1\n}"), Cow::Borrowed(_)));
    }

    #[test]
    fn sizes_are_rounded_or_exact() {
        let sizes = [0, 1023, 1024, 1536, 1024 * 1024 - 1, 45_231_872, u64::MAX];
        assert_eq!(
            sizes.map(format_size),
            ["0 B", "1023 B", "1.00 KiB", "1.50 KiB", "1.00 MiB", "43.14 MiB", "16.00 EiB"]
        );
        assert_eq!(format_exact_size(12), "12 bytes");
        assert_eq!(format_exact_size(2048), "2.00 KiB (2048 bytes)");
    }

    #[test]
    fn columns_are_aligned_and_a_long_cell_shifts_only_its_row() {
        let mut table = Table::default();
        table.add_row(["a", "1 B", "", "MIT"]);
        table.add_row(["long-name", "1023.0 KiB", "", "x"]);
        table.add_row([&"y".repeat(50), "2 B", "", ""]);
        let mut out = String::new();
        table.write(&mut out);
        let third = format!("  {}         2 B\n", "y".repeat(50));
        assert_eq!(out, format!("  a                 1 B  MIT\n  long-name  1023.0 KiB  x\n{third}"));
    }
}
