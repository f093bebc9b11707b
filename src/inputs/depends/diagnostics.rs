//! Shared by the parsers: the order of the file, and the list of its problems.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Error, Problem};
use crate::crate_id::CrateName;
use crate::diagnostics::{did_you_mean, join_alternatives, quote};
use crate::line_column::LineColumn;

/// Maximum number of listed problems. Further ones are only counted, because each position costs a scan of the text.
pub(super) const MAX_PROBLEMS: usize = 20;

pub(super) type Value<'i> = Spanned<DeValue<'i>>;
pub(super) type Key<'i> = Spanned<std::borrow::Cow<'i, str>>;

/// The problems so far, by their byte offset in the text.
#[derive(Default)]
pub(super) struct Problems(Vec<(usize, String, String)>);

impl Problems {
    pub(super) fn add(&mut self, offset: usize, what: String, expected: impl Into<String>) {
        self.0.push((offset, what, expected.into()));
    }

    pub(super) fn unknown_key(&mut self, offset: usize, path: &str, name: &str, known: &[&str]) {
        let near = did_you_mean(name, known);
        self.add(offset, format!("unknown key {}", quote(path)), join_alternatives(known) + &near);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn into_error(mut self, text: &str, path: &Path) -> Error {
        self.0.sort();
        let omitted = self.0.len().saturating_sub(MAX_PROBLEMS);
        let reported = self.0.into_iter().take(MAX_PROBLEMS);
        let problems = reported.map(|(offset, what, expected)| Problem {
            position: LineColumn::from_offset(text, offset),
            what,
            expected,
        });
        Error::Invalid { path: path.to_owned(), problems: problems.collect(), omitted }
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
