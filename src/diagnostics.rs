//! Helpers for error messages: quoting of untrusted text, suggestions of similar names, and source lines with carets.

use std::path::Path;

use toml::de::DeValue;

mod excerpt;
mod highlight;
mod problems;
mod toml_syntax;

pub use excerpt::{SourceExcerpt, SourceLocation, SourceText};
pub use highlight::highlight;
pub use problems::{Problem, ProblemCollector, ProblemList, parse_document};
pub use toml_syntax::suggest_quotes;

/// `text` in backquotes, without control characters and no longer than a line.
pub fn quote(text: &str) -> String {
    let mut short: String = text.chars().take(80).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("`{}`", escape_control(&short))
}

/// `text` without control characters.
pub fn escape_control(text: &str) -> String {
    text.escape_debug().to_string().replace("\\\"", "\"").replace("\\'", "'")
}

/// A path for a POSIX shell, in quotes if it needs them.
pub fn shell_quote(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+,:@%".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text;
    }
    format!("'{}'", escape_control(&text).replace('\'', "'\\''"))
}

/// `a`, `b` or `c`.
pub fn join_alternatives(candidates: &[&str]) -> String {
    let quoted: Vec<String> = candidates.iter().map(|word| format!("`{word}`")).collect();
    match quoted.as_slice() {
        [] => "nothing".to_owned(),
        [only] => only.clone(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}

/// The known name that `wrong` was probably meant to be, if one is similar.
pub fn closest_match<'w>(unknown: &str, candidates: &[&'w str]) -> Option<&'w str> {
    // A typo is never several times as long as the known key, and the comparison is quadratic.
    if unknown.len() > 64 {
        return None;
    }
    let fold = |word: &str| word.to_lowercase().replace('_', "-");
    let folded = fold(unknown);
    candidates
        .iter()
        .map(|word| (strsim::osa_distance(&folded, &fold(word)), *word))
        .filter(|(distance, word)| *distance <= (word.len() / 3).max(1))
        .min()
        .map(|(_, word)| word)
}

/// A suggestion such as ` (did you mean `version`?)`, or an empty text.
pub fn did_you_mean(unknown: &str, candidates: &[&str]) -> String {
    closest_match(unknown, candidates).map(|near| format!(" (did you mean `{near}`?)")).unwrap_or_default()
}

/// The kind of a value, with its article.
pub fn describe_value_kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_matches_are_suggested_and_distant_ones_are_not() {
        let terms = ["version", "features", "default-features", "package"];
        for (wrong, right) in [
            ("default_features", Some("default-features")),
            ("Version", Some("version")),
            ("verison", Some("version")),
            ("feature", Some("features")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(closest_match(wrong, &terms), right, "{wrong}");
        }
        assert_eq!(closest_match(&"v".repeat(1 << 20), &terms), None);
    }

    #[test]
    fn a_suggestion_is_empty_without_a_close_match() {
        assert_eq!(
            (did_you_mean("verison", &["version"]), did_you_mean("x", &["version"])),
            (" (did you mean `version`?)".to_owned(), String::new())
        );
    }

    #[test]
    fn control_characters_in_quoted_text_are_escaped() {
        assert_eq!(quote("a\u{1b}[31m\n"), "`a\\u{1b}[31m\\n`");
        assert_eq!(quote(r#"it's "so""#), r#"`it's "so"`"#);
        assert!(quote(&"x".repeat(1000)).chars().count() < 100);
    }
}
