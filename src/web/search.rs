//! Searches names and descriptions, and selects a crate's displayed version.

use std::cmp::Reverse;
use std::fs;

use schemars::JsonSchema;
use serde::Serialize;

use crate::index_line::IndexLine;
use crate::mirror::layout::Layout;

/// Maximum size of a query in bytes; a name has at most 64.
const MAX_QUERY_BYTES: usize = 256;
/// Maximum number of search terms.
const MAX_TERMS: usize = 16;

/// A crate in a search result; the fields are those of crates.io as far as the mirror knows them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct SearchResult {
    /// Its name.
    pub(super) id: String,
    /// The same.
    pub(super) name: String,
    /// The description, from the newest bundle that has one; one line, shortened.
    pub(super) description: Option<String>,
    /// The displayed version: the highest stored version that is not yanked, stable versions first.
    pub(super) max_version: String,
    /// The same if it is stable, else null.
    pub(super) max_stable_version: Option<String>,
    /// Whether the name equals the query.
    pub(super) exact_match: bool,
}

/// A parsed query.
#[derive(Debug)]
pub(super) struct SearchTerms {
    /// All terms joined as one name.
    joined: String,
    terms: Vec<String>,
}

/// The rank of a match; smaller is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Relevance {
    /// The name equals the query.
    ExactName,
    /// The name starts with the query.
    NamePrefix,
    /// The name contains every term.
    NameContains,
    /// Name and description together contain every term.
    Description,
}

impl SearchTerms {
    /// Parses the terms of a query; `None` if it is too long.
    pub(super) fn parse(query: &str) -> Option<SearchTerms> {
        // Cargo joins the terms with plus signs, and then encodes these.
        let parts = query.split(|c: char| c.is_whitespace() || c == '+').filter(|part| !part.is_empty());
        let each: Vec<String> = parts.map(normalize).collect();
        let fits = query.len() <= MAX_QUERY_BYTES && each.len() <= MAX_TERMS;
        fits.then(|| SearchTerms { joined: each.join("-"), terms: each })
    }

    /// The rank of a crate, or `None` if it does not match.
    pub(super) fn relevance(&self, name: &str, description: Option<&str>) -> Option<Relevance> {
        let name = normalize(name);
        if name == self.joined {
            return Some(Relevance::ExactName);
        }
        if name.starts_with(&self.joined) {
            return Some(Relevance::NamePrefix);
        }
        let mut others = self.terms.iter().filter(|word| !name.contains(word.as_str())).peekable();
        if others.peek().is_none() {
            return Some(Relevance::NameContains);
        }
        let description = normalize(description?);
        others.all(|word| description.contains(word.as_str())).then_some(Relevance::Description)
    }
}

/// Normalizes a text for search: `-` equals `_`, and case is ignored.
pub(super) fn normalize(text: &str) -> String {
    if !text.is_ascii() {
        return text.to_lowercase().replace('_', "-");
    }
    text.bytes().map(|byte| if byte == b'_' { '-' } else { byte.to_ascii_lowercase().into() }).collect()
}

/// The index line of the displayed version: the highest stored one that is not yanked, stable versions first. If there is
/// none, a yanked version or one that a platform filter left out is used.
pub(super) fn best_version<'l>(layout: &Layout, lines: &'l [IndexLine]) -> Option<&'l IndexLine> {
    let mut order: Vec<&IndexLine> = lines.iter().collect();
    order.sort_by_key(|line| (line.yanked, !line.id.version.pre.is_empty(), Reverse(&line.id.version)));
    let is_held =
        |line: &IndexLine| fs::symlink_metadata(layout.crate_file(&line.id)).is_ok_and(|about| about.is_file());
    order.iter().find(|line| is_held(line)).or(order.first()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_matches_rank_before_description_matches() {
        let args = SearchTerms::parse("  Serde_JSON ").expect("words");
        assert_eq!(args.relevance("serde-json", None), Some(Relevance::ExactName));
        assert_eq!(args.relevance("Serde_Json_path", None), Some(Relevance::NamePrefix));
        assert_eq!(args.relevance("my-serde_json", None), Some(Relevance::NameContains));
        assert_eq!(args.relevance("other", Some("wraps SERDE_json")), Some(Relevance::Description));
        assert_eq!(args.relevance("other", None), None);
        let two = SearchTerms::parse("json+parser").expect("words");
        assert_eq!(two.relevance("json-parser", None), Some(Relevance::ExactName));
        assert_eq!(two.relevance("parser-of-json", None), Some(Relevance::NameContains));
        assert_eq!(two.relevance("json", Some("a parser")), Some(Relevance::Description));
        assert_eq!(two.relevance("json", Some("a writer")), None);
        assert_eq!(SearchTerms::parse("").expect("no word").relevance("any", None), Some(Relevance::NamePrefix));
        assert!(
            SearchTerms::parse(&"a".repeat(MAX_QUERY_BYTES + 1)).is_none()
                && SearchTerms::parse(&"a ".repeat(100)).is_none()
        );
    }

    #[test]
    fn the_best_version_is_stored_and_not_yanked() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let layout = Layout::new(folder.path());
        fs::create_dir_all(folder.path().join("crates")).expect("folder");
        let line = |version: &str, yanked: bool| {
            let cksum = crate::digest::Sha256::of(b"");
            let text = format!(
                r#"{{"name":"a","vers":"{version}","deps":[],"cksum":"{cksum}","features":{{}},"yanked":{yanked}}}"#
            );
            IndexLine::parse_file(&text).next().expect("a line")
        };
        let hold =
            |version: &str| fs::write(folder.path().join(format!("crates/a-{version}.crate")), "").expect("write");
        let lines = [line("0.9.0", false), line("1.0.0", false), line("1.2.0", true), line("2.0.0-rc.1", false)];
        let chosen = || best_version(&layout, &lines).expect("some").id.version.to_string();
        assert_eq!(chosen(), "1.0.0", "none is held");
        for (stored, wanted) in
            [("1.2.0", "1.2.0"), ("2.0.0-rc.1", "2.0.0-rc.1"), ("0.9.0", "0.9.0"), ("1.0.0", "1.0.0")]
        {
            hold(stored);
            assert_eq!(chosen(), wanted);
        }
        assert!(best_version(&layout, &[]).is_none());
    }
}
