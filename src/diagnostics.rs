//! Helpers for error messages: quoting of untrusted text, and suggestions of similar names.

use std::fmt;
use std::path::Path;

use toml::de::DeValue;

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

/// All problems of a file, one per line, each with the file's name and its position; then the number of further ones.
pub fn list_problems(path: &Path, problems: &[impl fmt::Display], more: usize) -> String {
    let mut lines: Vec<String> = problems.iter().map(|problem| format!("{}:{problem}", path.display())).collect();
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines.join("\n")
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
        let words = ["version", "features", "default-features", "package"];
        for (wrong, right) in [
            ("default_features", Some("default-features")),
            ("Version", Some("version")),
            ("verison", Some("version")),
            ("feature", Some("features")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(closest_match(wrong, &words), right, "{wrong}");
        }
        assert_eq!(closest_match(&"v".repeat(1 << 20), &words), None);
    }

    #[test]
    fn each_problem_is_listed_with_its_position() {
        let path = Path::new("a.toml");
        assert_eq!(list_problems(path, &["1:2: x", "3:4: y"], 0), "a.toml:1:2: x\na.toml:3:4: y");
        assert_eq!(list_problems(path, &["1:2: x"], 7), "a.toml:1:2: x\nand 7 more");
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
