//! Shared by the parsers: the order of the file, and the list of its problems.

use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::Error;
use crate::crate_id::CrateName;
use crate::diagnostics::{ProblemCollector, closest_match, join_alternatives, quote, suggest_quotes};

pub(super) type Value<'i> = Spanned<DeValue<'i>>;
pub(super) type Key<'i> = Spanned<std::borrow::Cow<'i, str>>;

/// The problems so far.
pub(super) struct Problems<'t>(ProblemCollector<'t>);

impl<'t> Problems<'t> {
    pub(super) fn new(text: &'t str, errors: &[toml::de::Error], describe_duplicate: fn(&str) -> &'static str) -> Self {
        Problems(ProblemCollector::new(text, errors, describe_duplicate))
    }

    pub(super) fn add(&mut self, span: Range<usize>, what: String, expected: impl Into<String>) {
        self.0.add(span, format!("{what}; expected {}", expected.into()));
    }

    /// Adds a problem whose message says what to write instead.
    pub(super) fn add_message(&mut self, span: Range<usize>, message: impl Into<String>) {
        self.0.add(span, message);
    }

    pub(super) fn unknown_key(&mut self, span: Range<usize>, path: &str, name: &str, known: &[&str]) {
        let rest = match closest_match(name, known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("expected {}", join_alternatives(known)),
        };
        self.0.add(span, format!("unknown key {}; {rest}", quote(path)));
    }

    /// Adds a number that should be a string; returns whether `value` is one.
    pub(super) fn add_unquoted_number(&mut self, key: Option<&str>, value: &Value<'_>) -> bool {
        let is_number = matches!(value.get_ref(), DeValue::Integer(_) | DeValue::Float(_));
        if let Some(text) = self.0.text().get(value.span()).filter(|_| is_number) {
            self.0.add(value.span(), suggest_quotes(key, text));
        }
        is_number
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn into_error(self, path: &Path) -> Error {
        Error::Invalid { path: path.to_owned(), list: self.0.finish() }
    }
}

/// The table's pairs in the order of the file; the parser sorts them by name.
pub(super) fn in_file_order<'t, 'i>(table: &'t DeTable<'i>) -> Vec<(&'t Key<'i>, &'t Value<'i>)> {
    let mut pairs: Vec<_> = table.iter().collect();
    pairs.sort_by_key(|(key, _)| key.span().start);
    pairs
}

/// The canonical form of a name: crates.io allows only one name of each form.
pub(super) fn canonical_name(name: &CrateName) -> String {
    name.as_str().to_lowercase().replace('_', "-")
}
