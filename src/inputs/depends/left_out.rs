//! The comment that names the packages of a workspace which a depends.toml cannot list.
//!
//! `init` writes it, and `fetch` reads it: a bundle of that file is recorded as incomplete as long as the comment names a
//! package. Users may remove its lines.

use std::collections::BTreeSet;

use crate::inputs::lockfile::ForeignPackage;

/// The first line of the comment.
const HEADER: &str =
    "# Left out, because it is not from crates.io. The workspace does not build without it, and `fetch` warns of it:";
/// Begins each further line.
const LINE_PREFIX: &str = "#   ";

/// The comment with one line for each package, or nothing.
pub fn comment_on_left_out(packages: &BTreeSet<ForeignPackage>) -> String {
    if packages.is_empty() {
        return String::new();
    }
    let lines = packages.iter().map(|package| format!("{LINE_PREFIX}{package}\n"));
    format!("{HEADER}\n{}", lines.collect::<String>())
}

/// Whether each line of a text belongs to such a comment.
fn membership(text: &str) -> impl Iterator<Item = (&str, bool)> {
    let mut is_inside = false;
    text.split_inclusive('\n').map(move |line| {
        is_inside = line.trim_end() == HEADER || (is_inside && line.starts_with(LINE_PREFIX));
        (line, is_inside)
    })
}

/// A text without such comments.
pub fn without_left_out(text: &str) -> String {
    membership(text).filter(|(_, is_comment)| !is_comment).map(|(line, _)| line).collect()
}

/// The packages that such comments name.
pub(super) fn read(text: &str) -> Vec<ForeignPackage> {
    let lines = membership(text).filter(|(_, is_comment)| *is_comment);
    let names = lines.filter_map(|(line, _)| ForeignPackage::parse_line(line.strip_prefix(LINE_PREFIX)?.trim_end()));
    names.collect::<BTreeSet<_>>().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inputs::lockfile::ForeignSource;

    #[test]
    fn the_comment_is_read_back_and_removed() {
        let package = |name: &str| ForeignPackage {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            source: ForeignSource::Git { url: "https://h/a".to_owned() },
            unused_patch: false,
        };
        let packages = BTreeSet::from([package("a"), package("b")]);
        let text = format!("# ours\n{}#   \n[locked]\nc = \"1.0.0\"\n", comment_on_left_out(&packages));
        assert_eq!(read(&text), packages.into_iter().collect::<Vec<_>>());
        assert_eq!(read(&text.replace('\n', "\r\n")).len(), 2);
        assert_eq!(without_left_out(&text), "# ours\n[locked]\nc = \"1.0.0\"\n");
        assert_eq!(read("#   a 1.0.0 (git: https://h/a)\n"), [], "another comment");
        assert_eq!(comment_on_left_out(&BTreeSet::new()), "");
    }
}
