//! The problems of a TOML file: collected, sorted by their position, and shown with their lines.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::path::Path;

use toml::de::DeTable;
use toml_edit::DocumentMut;

use super::excerpt::{SourceExcerpt, SourceText};
use super::toml_syntax;
use crate::line_column::LineColumn;
use crate::units::{agree, pluralize};

/// Maximum number of listed problems. Further ones are counted.
const MAX_PROBLEMS: usize = 20;

/// A problem of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The problem, and what to write instead.
    pub message: String,
    /// Its position and its line.
    pub excerpt: SourceExcerpt,
}

impl Problem {
    /// Its position.
    pub fn position(&self) -> LineColumn {
        self.excerpt.position
    }
}

impl fmt::Display for Problem {
    /// One line, without the source line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.position(), self.message)
    }
}

/// The problems of a file in the order of its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProblemList {
    /// The first problems.
    pub problems: Vec<Problem>,
    /// The number of further problems.
    pub omitted: usize,
}

impl ProblemList {
    /// One problem.
    pub fn single(text: &str, span: Range<usize>, message: impl Into<String>) -> ProblemList {
        let excerpt = SourceText::new(text).excerpt(span);
        ProblemList { problems: vec![Problem { message: message.into(), excerpt }], omitted: 0 }
    }

    /// Draws all problems as cargo does, for a message that begins with `error: `.
    pub fn draw(&self, path: &Path) -> String {
        let drawn = self.problems.iter().map(|one| format!("{}\n{}", one.message, one.excerpt.draw(path)));
        let mut blocks: Vec<String> = drawn.collect();
        match self.omitted {
            0 => {}
            more => {
                blocks.push(format!("{} {} not shown", pluralize(more, "more error"), agree(more, "is", "are")));
            }
        }
        blocks.join("\n\nerror: ")
    }
}

/// Collects the problems of a TOML text.
pub struct ProblemCollector<'t> {
    source: SourceText<'t>,
    syntax: Vec<(Range<usize>, String)>,
    /// Offsets at which lines with syntax errors begin. The values of such lines are guesses of the parser.
    guessed_lines: BTreeSet<usize>,
    /// Behind this offset, everything is a guess: for example, an array has no end.
    guessed_from: usize,
    problems: Vec<(Range<usize>, String)>,
}

impl<'t> ProblemCollector<'t> {
    /// A collector for the errors of the parser and for further problems. `describe_duplicate` gives what to write
    /// instead of a key that is set twice.
    pub fn new(text: &'t str, errors: &[toml::de::Error], describe_duplicate: fn(&str) -> &'static str) -> Self {
        let source = SourceText::new(text);
        let mut collector = ProblemCollector {
            source,
            syntax: Vec::new(),
            guessed_lines: BTreeSet::new(),
            guessed_from: usize::MAX,
            problems: Vec::new(),
        };
        let mut errors: Vec<(Range<usize>, &toml::de::Error)> =
            errors.iter().map(|error| (error.span().unwrap_or(0..0), error)).collect();
        errors.sort_by_key(|(span, _)| span.start);
        for (span, error) in errors {
            // Further errors of a line are mostly caused by the parser's recovery.
            if !collector.guessed_lines.insert(collector.line_start(span.start)) {
                continue;
            }
            let described = toml_syntax::describe(&collector.source, span.clone(), error.message(), describe_duplicate);
            collector.syntax.push(described);
            if toml_syntax::is_structural(error.message()) {
                collector.guessed_from = span.start;
                break;
            }
        }
        collector
    }

    /// The text.
    pub fn text(&self) -> &'t str {
        self.source.text()
    }

    /// Adds a problem of the text at `span`.
    pub fn add(&mut self, span: Range<usize>, message: impl Into<String>) {
        self.problems.push((span, message.into()));
    }

    /// Whether there is none so far.
    pub fn is_empty(&self) -> bool {
        self.syntax.is_empty() && self.problems.is_empty()
    }

    /// The problems, sorted.
    pub fn finish(mut self) -> ProblemList {
        let mut problems = std::mem::take(&mut self.problems);
        if !self.syntax.is_empty() {
            problems.retain(|(span, _)| {
                span.end <= self.guessed_from && !self.guessed_lines.contains(&self.line_start(span.start))
            });
        }
        problems.append(&mut self.syntax);
        problems.sort_by(|(one, one_message), (other, other_message)| {
            (one.start, one_message).cmp(&(other.start, other_message))
        });
        let omitted = problems.len().saturating_sub(MAX_PROBLEMS);
        problems.truncate(MAX_PROBLEMS);
        let problems = problems.into_iter();
        let problems =
            problems.map(|(span, message)| Problem { message, excerpt: self.source.excerpt(span) }).collect();
        ProblemList { problems, omitted }
    }

    fn line_start(&self, offset: usize) -> usize {
        let text = self.source.text().as_bytes();
        let before = text.get(..offset).unwrap_or(text);
        before.iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1)
    }
}

/// Parses a TOML text for an edit that keeps its comments.
///
/// # Errors
/// The problems of a text that is not TOML.
pub fn parse_document(text: &str) -> Result<DocumentMut, ProblemList> {
    text.parse::<DocumentMut>().map_err(|error| {
        let (_, errors) = DeTable::parse_recoverable(text);
        let mut problems = ProblemCollector::new(text, &errors, |_| "each key once");
        if problems.is_empty() {
            // Only the editor's parser rejects it.
            problems.add(error.span().unwrap_or(0..0), format!("invalid TOML: {}", error.message()));
        }
        problems.finish()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collect(text: &str) -> Vec<String> {
        let (root, errors) = DeTable::parse_recoverable(text);
        let mut collector = ProblemCollector::new(text, &errors, |_| "each key once");
        for (key, value) in root.get_ref().iter().filter(|(_, value)| !value.get_ref().is_str()) {
            collector.add(value.span(), format!("`{}` is not a string", key.get_ref()));
        }
        collector.finish().problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn syntax_errors_and_other_problems_are_sorted_together() {
        assert_eq!(
            collect("a = 1\nb = 1.0.2\nc = 'x'\nd = latest\nd = 'x'\ne = 2\n"),
            [
                "1:5: `a` is not a string",
                "2:5: versions must be quoted: `b = \"1.0.2\"`",
                "4:5: strings must be quoted: `d = \"latest\"`",
                "5:1: `d` is defined a second time; expected each key once",
                "6:5: `e` is not a string",
            ]
        );
    }

    #[test]
    fn nothing_behind_an_unclosed_value_is_reported() {
        assert_eq!(
            collect("a = 1\nb = [ 'x'\nc = 2\nd = 3\n"),
            ["1:5: `a` is not a string", "3:1: invalid TOML: missing comma between array elements; expected `,`"]
        );
        assert_eq!(collect("a = 'x'\n[b\nc = 2\n"), ["2:3: invalid TOML: unclosed table; expected `]`"]);
    }

    #[test]
    fn every_problem_is_drawn_as_an_error_of_its_own() {
        let text = "a = 1\nb = 2\n";
        let mut collector = ProblemCollector::new(text, &[], |_| "");
        collector.add(10..11, "second");
        collector.add(4..5, "first");
        let list = ProblemList { omitted: 3, ..collector.finish() };
        assert_eq!(
            list.draw(Path::new("a.toml")),
            "first\n --> a.toml:1:5\n  |\n1 | a = 1\n  |     ^\n\nerror: second\n --> a.toml:2:5\n  |\n2 | b = 2\n  |     ^\n\n\
             error: 3 more errors are not shown"
        );
    }
}
