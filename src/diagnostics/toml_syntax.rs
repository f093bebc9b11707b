//! Describes the syntax errors of the TOML parser in words that say what to write instead.

use std::ops::Range;

use super::excerpt::SourceText;
use super::{escape_control, quote};

/// Maximum length of a value in a suggestion, in bytes.
const MAX_SUGGESTED_BYTES: usize = 100;

/// Beginnings of messages about a single value or a single line: the parser reads the next line correctly.
const LOCAL_ERRORS: &[&str] = &[
    "duplicate key",
    "string values must be quoted",
    "invalid ",
    "key with no value",
    "unexpected key or value, expected newline",
    "extra `=`",
];

/// Whether the parser may misread the lines after an error with this message.
pub(super) fn is_structural(message: &str) -> bool {
    !LOCAL_ERRORS.iter().any(|begin| message.starts_with(begin))
}

/// The part of the text that an error is about, and its description.
pub(super) fn describe(
    source: &SourceText<'_>,
    span: Range<usize>,
    message: &str,
    describe_duplicate: fn(&str) -> &'static str,
) -> (Range<usize>, String) {
    let text = source.text();
    if message == "duplicate key" {
        let key = text.get(span.clone()).unwrap_or_default();
        let description = format!("{} is defined a second time; expected {}", quote(key), describe_duplicate(key));
        return (span, description);
    }
    // For example `1.0.1`, which is not a number, and `^1`, which is no value at all.
    if is_about_a_value(message)
        && let Some((value, key)) = bare_value_at(text, span.start)
    {
        let is_hidden = source.hides_line_at(value.start);
        let description = suggest_quotes(key, if is_hidden { "…" } else { &text[value.clone()] });
        return (value, description);
    }
    let description = match message.split_once(", expected ") {
        _ if text.get(span.start..).is_none_or(|rest| {
            rest.trim_start_matches([' ', '\t', '\r']).starts_with('\n') || rest.trim().is_empty()
        }) && message.starts_with("string values must be quoted") =>
        {
            "invalid TOML: a value is missing".to_owned()
        }
        Some((what, expected)) => format!("invalid TOML: {what}; expected {expected}"),
        None => format!("invalid TOML: {message}"),
    };
    (span, description)
}

/// Says how to write the bare `value` as a string. A value such as `1.2` or `^1` is called a version.
pub fn suggest_quotes(key: Option<&str>, value: &str) -> String {
    let is_version = value.starts_with(|c: char| c.is_ascii_digit() || "^~=<>*".contains(c))
        && value.chars().all(|c| c.is_ascii_alphanumeric() || "^~=<>*.,+- ".contains(c))
        && !value.ends_with(|c: char| c.is_ascii_alphabetic());
    let kind = if is_version { "versions" } else { "strings" };
    let value = escape_control(value);
    match key {
        Some(key) => format!("{kind} must be quoted: `{} = \"{value}\"`", escape_control(key)),
        None => format!("{kind} must be quoted: `\"{value}\"`"),
    }
}

fn is_about_a_value(message: &str) -> bool {
    message.starts_with("string values must be quoted")
        || (message.starts_with("invalid ") && !message.contains("string"))
        || message.starts_with("unexpected key or value, expected newline")
        || message.starts_with("extra `=`")
}

/// The value without quotes that an error at `offset` is about, and its key if it stands before it.
fn bare_value_at(text: &str, offset: usize) -> Option<(Range<usize>, Option<&str>)> {
    let offset = text.floor_char_boundary(offset.min(text.len()));
    let line_start = text[..offset].rfind('\n').map_or(0, |newline| newline + 1);
    let line_end = text[offset..].find(['\r', '\n']).map_or(text.len(), |newline| offset + newline);
    let separator = text[line_start..offset].rfind(['=', ',', '[', '{']).map(|at| line_start + at)?;
    let is_pair = text[separator..].starts_with('=');
    let before = &text[line_start..separator];
    let key_start = before.rfind(['{', ',']).map_or(0, |at| at + 1);
    let key = before[key_start..].trim();
    // Outside of arrays and inline tables, the value may contain commas.
    let is_whole_line = is_pair && key_start == 0 && !before.contains(['"', '\'', '#']);
    let ends: &[char] = if is_whole_line { &['#'] } else { &[',', ']', '}', '#'] };
    let begin = separator + 1;
    let end = text[begin..line_end].find(ends).map_or(line_end, |at| begin + at);
    let value = text[begin..end].trim();
    let start = end - text[begin..end].trim_start().len();
    let is_range = is_whole_line && value.starts_with(['^', '~', '=', '<', '>']);
    let is_bare = value.contains(|c: char| c.is_alphanumeric() || c == '*')
        && value.len() <= MAX_SUGGESTED_BYTES
        && !value.contains(['"', '\'', '{', '}', '[', ']'])
        && (is_range || !value.contains(char::is_whitespace));
    let key = (is_pair && !key.is_empty() && key.len() <= MAX_SUGGESTED_BYTES).then_some(key);
    is_bare.then_some((start..start + value.len(), key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use toml::de::DeTable;

    /// The description of the first syntax error of a text, and the part that it is about.
    fn first(text: &str) -> (String, String) {
        let (_, errors) = DeTable::parse_recoverable(text);
        let error = errors.iter().min_by_key(|error| error.span().map(|span| span.start));
        let error = error.unwrap_or_else(|| panic!("valid: {text}"));
        let span = error.span().expect("a position");
        let (span, description) = describe(&SourceText::new(text), span, error.message(), |_| "each key once");
        (description, text[span].to_owned())
    }

    #[test]
    fn bare_values_are_suggested_in_quotes() {
        for (text, suggestion, value) in [
            ("anyhow = 1.0.1\n", "versions must be quoted: `anyhow = \"1.0.1\"`", "1.0.1"),
            ("a = ^1.2 # x\n", "versions must be quoted: `a = \"^1.2\"`", "^1.2"),
            ("a = >=1.0, <2\n", "versions must be quoted: `a = \">=1.0, <2\"`", ">=1.0, <2"),
            ("a = =1.0.3\n", "versions must be quoted: `a = \"=1.0.3\"`", "=1.0.3"),
            ("a = *\r\n", "versions must be quoted: `a = \"*\"`", "*"),
            ("a = { version = 1.0.2, features = [] }", "versions must be quoted: `version = \"1.0.2\"`", "1.0.2"),
            ("a = ['1', 1.0.2]", "versions must be quoted: `\"1.0.2\"`", "1.0.2"),
            ("toolchain = stable\n", "strings must be quoted: `toolchain = \"stable\"`", "stable"),
            ("targets = [a-b-c]\n", "strings must be quoted: `\"a-b-c\"`", "a-b-c"),
            ("bind = 0.0.0.0:8080\n", "strings must be quoted: `bind = \"0.0.0.0:8080\"`", "0.0.0.0:8080"),
            ("min_age = 5d\n", "strings must be quoted: `min_age = \"5d\"`", "5d"),
            ("proxy_dl_url = https://h/x\n", "strings must be quoted: `proxy_dl_url = \"https://h/x\"`", "https://h/x"),
        ] {
            assert_eq!(first(text), (suggestion.to_owned(), value.to_owned()), "{text}");
        }
    }

    #[test]
    fn other_errors_keep_the_message_of_the_parser() {
        assert_eq!(first("a = ['1' '2']").0, "invalid TOML: missing comma between array elements; expected `,`");
        assert_eq!(first("a =\n").0, "invalid TOML: a value is missing");
        assert_eq!(first("a = 'x\n").0, "invalid TOML: invalid literal string; expected `'`");
        assert!(first(&format!("a = {}\n", "1.2.".repeat(100))).0.starts_with("invalid TOML: "));
    }

    #[test]
    fn credentials_are_not_repeated() {
        let (description, _) = first("proxy_dl_url = https://me:hunter2@h/x\n");
        assert_eq!(description, "strings must be quoted: `proxy_dl_url = \"…\"`");
    }
}
