//! What words find among names and descriptions, and the version that stands for a crate.

use std::cmp::Reverse;
use std::fs;

use schemars::JsonSchema;
use serde::Serialize;

use crate::index_line::IndexLine;
use crate::mirror::layout::Layout;

/// Bytes of all words together; a name has 64 at most.
const MAX_QUERY_BYTES: usize = 256;
/// How many words there may be.
const MAX_TERMS: usize = 16;

/// A crate as cargo's search shows it; the fields are those of crates.io as far as a mirror knows them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct SearchResult {
    /// Its name.
    pub(super) id: String,
    /// The same.
    pub(super) name: String,
    /// What it is, as the newest bundle that knows it says; on one line and shortened.
    pub(super) description: Option<String>,
    /// The version that is offered: the highest that is held and not yanked, a stable one before others.
    pub(super) max_version: String,
    /// The same, where that is a stable one.
    pub(super) max_stable_version: Option<String>,
    /// Whether it is called what was asked for.
    pub(super) exact_match: bool,
}

/// What is searched for.
#[derive(Debug)]
pub(super) struct SearchTerms {
    /// All of them as one name.
    joined: String,
    terms: Vec<String>,
}

/// How well a crate fits; the smallest is the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Relevance {
    /// It is called so.
    ExactName,
    /// Its name begins so.
    NamePrefix,
    /// Its name has every word.
    NameContains,
    /// Name and description together have every word.
    Description,
}

impl SearchTerms {
    /// The words of a query; `None` where they are more than anybody would look for.
    pub(super) fn parse(query: &str) -> Option<SearchTerms> {
        // Cargo puts a plus between words, and then encodes that.
        let parts = query.split(|c: char| c.is_whitespace() || c == '+').filter(|part| !part.is_empty());
        let each: Vec<String> = parts.map(normalize).collect();
        let fits = query.len() <= MAX_QUERY_BYTES && each.len() <= MAX_TERMS;
        fits.then(|| SearchTerms { joined: each.join("-"), terms: each })
    }

    /// How a crate fits; `None` where it does not.
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

/// A text as it is searched: hyphens and underscores are one, capital and small letters too.
pub(super) fn normalize(text: &str) -> String {
    if !text.is_ascii() {
        return text.to_lowercase().replace('_', "-");
    }
    text.bytes().map(|byte| if byte == b'_' { '-' } else { byte.to_ascii_lowercase().into() }).collect()
}

/// The line that stands for a crate: of the highest version that is held and not yanked, a stable one before others. Where there
/// is none such, one that is yanked or whose file a platform filter left out is better than nothing.
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
        let words = SearchTerms::parse("  Serde_JSON ").expect("words");
        assert_eq!(words.relevance("serde-json", None), Some(Relevance::ExactName));
        assert_eq!(words.relevance("Serde_Json_path", None), Some(Relevance::NamePrefix));
        assert_eq!(words.relevance("my-serde_json", None), Some(Relevance::NameContains));
        assert_eq!(words.relevance("other", Some("wraps SERDE_json")), Some(Relevance::Description));
        assert_eq!(words.relevance("other", None), None);
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
