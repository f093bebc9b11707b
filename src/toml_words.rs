//! The words in which problems are told: quoting what a stranger wrote, and naming what is near it.

use toml::de::DeValue;

/// `text` in backquotes, without control characters and no longer than a line.
pub fn quote(text: &str) -> String {
    let mut short: String = text.chars().take(80).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("`{}`", plain(&short))
}

/// `text` without control characters.
pub fn plain(text: &str) -> String {
    text.escape_debug().to_string().replace("\\\"", "\"").replace("\\'", "'")
}

/// `a`, `b` or `c`.
pub fn one_of(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.as_slice() {
        [] => "nothing".to_owned(),
        [only] => only.clone(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}

/// The word that `wrong` was most likely meant to be, where one is near.
pub fn nearest<'w>(wrong: &str, words: &[&'w str]) -> Option<&'w str> {
    // Nobody mistypes a known key into something several times as long, and the comparison is quadratic.
    if wrong.len() > 64 {
        return None;
    }
    let fold = |word: &str| word.to_lowercase().replace('_', "-");
    let folded = fold(wrong);
    words
        .iter()
        .map(|word| (strsim::osa_distance(&folded, &fold(word)), *word))
        .filter(|(distance, word)| *distance <= (word.len() / 3).max(1))
        .min()
        .map(|(_, word)| word)
}

/// What kind of value this is, with its article.
pub fn kind(value: &DeValue<'_>) -> &'static str {
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
    fn near_words_are_found_and_far_ones_are_not() {
        let words = ["version", "features", "default-features", "package"];
        for (wrong, right) in [
            ("default_features", Some("default-features")),
            ("Version", Some("version")),
            ("verison", Some("version")),
            ("feature", Some("features")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(wrong, &words), right, "{wrong}");
        }
        assert_eq!(nearest(&"v".repeat(1 << 20), &words), None);
    }

    #[test]
    fn what_a_stranger_wrote_cannot_steer_the_terminal() {
        assert_eq!(quote("a\u{1b}[31m\n"), "`a\\u{1b}[31m\\n`");
        assert_eq!(quote(r#"it's "so""#), r#"`it's "so"`"#);
        assert!(quote(&"x".repeat(1000)).chars().count() < 100);
    }
}
