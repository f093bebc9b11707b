//! What words find among names and descriptions, and the version that stands for a crate.

use std::cmp::Reverse;
use std::fs;

use schemars::JsonSchema;
use serde::Serialize;

use crate::index_line::IndexLine;
use crate::mirror::layout::Layout;

/// Bytes of all words together; a name has 64 at most.
const LONGEST: usize = 256;
/// How many words there may be.
const MOST_WORDS: usize = 16;

/// A crate as cargo's search shows it; the fields are those of crates.io as far as a mirror knows them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct Found {
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
pub(super) struct Words {
    /// All of them as one name.
    whole: String,
    each: Vec<String>,
}

/// How well a crate fits; the smallest is the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    /// It is called so.
    Named,
    /// Its name begins so.
    Begins,
    /// Its name has every word.
    Within,
    /// Name and description together have every word.
    Described,
}

impl Words {
    /// The words of a query; `None` where they are more than anybody would look for.
    pub(super) fn parse(query: &str) -> Option<Words> {
        // Cargo puts a plus between words, and then encodes that.
        let parts = query.split(|c: char| c.is_whitespace() || c == '+').filter(|part| !part.is_empty());
        let each: Vec<String> = parts.map(folded).collect();
        let fits = query.len() <= LONGEST && each.len() <= MOST_WORDS;
        fits.then(|| Words { whole: each.join("-"), each })
    }

    /// How a crate fits; `None` where it does not.
    pub(super) fn fit(&self, name: &str, description: Option<&str>) -> Option<Fit> {
        let name = folded(name);
        if name == self.whole {
            return Some(Fit::Named);
        }
        if name.starts_with(&self.whole) {
            return Some(Fit::Begins);
        }
        let mut others = self.each.iter().filter(|word| !name.contains(word.as_str())).peekable();
        if others.peek().is_none() {
            return Some(Fit::Within);
        }
        let description = folded(description?);
        others.all(|word| description.contains(word.as_str())).then_some(Fit::Described)
    }
}

/// A text as it is searched: hyphens and underscores are one, capital and small letters too.
pub(super) fn folded(text: &str) -> String {
    if !text.is_ascii() {
        return text.to_lowercase().replace('_', "-");
    }
    text.bytes().map(|byte| if byte == b'_' { '-' } else { byte.to_ascii_lowercase().into() }).collect()
}

/// The line that stands for a crate: of the highest version that is held and not yanked, a stable one before others. Where there
/// is none such, one that is yanked or whose file a platform filter left out is better than nothing.
pub(super) fn best<'l>(layout: &Layout, lines: &'l [IndexLine]) -> Option<&'l IndexLine> {
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
    fn names_come_before_descriptions() {
        let words = Words::parse("  Serde_JSON ").expect("words");
        assert_eq!(words.fit("serde-json", None), Some(Fit::Named));
        assert_eq!(words.fit("Serde_Json_path", None), Some(Fit::Begins));
        assert_eq!(words.fit("my-serde_json", None), Some(Fit::Within));
        assert_eq!(words.fit("other", Some("wraps SERDE_json")), Some(Fit::Described));
        assert_eq!(words.fit("other", None), None);
        let two = Words::parse("json+parser").expect("words");
        assert_eq!(two.fit("json-parser", None), Some(Fit::Named));
        assert_eq!(two.fit("parser-of-json", None), Some(Fit::Within));
        assert_eq!(two.fit("json", Some("a parser")), Some(Fit::Described));
        assert_eq!(two.fit("json", Some("a writer")), None);
        assert_eq!(Words::parse("").expect("no word").fit("any", None), Some(Fit::Begins));
        assert!(Words::parse(&"a".repeat(LONGEST + 1)).is_none() && Words::parse(&"a ".repeat(100)).is_none());
    }

    #[test]
    fn a_version_that_can_be_built_stands_for_the_crate() {
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
        let chosen = || best(&layout, &lines).expect("some").id.version.to_string();
        assert_eq!(chosen(), "1.0.0", "none is held");
        for (held, wanted) in [("1.2.0", "1.2.0"), ("2.0.0-rc.1", "2.0.0-rc.1"), ("0.9.0", "0.9.0"), ("1.0.0", "1.0.0")]
        {
            hold(held);
            assert_eq!(chosen(), wanted);
        }
        assert!(best(&layout, &[]).is_none());
    }
}
