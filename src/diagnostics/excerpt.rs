//! A line of a text file with a caret, drawn as cargo and rustc draw it.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::escape_control;
use crate::credentials::redact_credentials;
use crate::line_column::LineColumn;

/// Maximum number of bytes before a span in a line that is shown. A line of a real file is shorter.
const MAX_BYTES_BEFORE: usize = 2000;
/// Maximum number of bytes shown from the beginning of the span.
const MAX_BYTES_AFTER: usize = 500;

/// A text file whose lines may be shown.
pub struct SourceText<'t> {
    text: &'t str,
    /// `None`: no line has credentials.
    redacted: Option<String>,
}

/// A part of a text file: its position, and its line. Hostile content is harmless: control characters and characters
/// that change the direction of text are replaced, and a long line is cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceExcerpt {
    /// The beginning of the part.
    pub position: LineColumn,
    /// The line; `None` if it has credentials or is too long.
    line: Option<String>,
    /// The part, as bytes of the line.
    span: Range<usize>,
}

/// An excerpt with the path of its file. `Display` draws it, without a line break at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceLocation {
    /// The file.
    pub path: PathBuf,
    /// The part of the file.
    pub excerpt: SourceExcerpt,
}

impl<'t> SourceText<'t> {
    /// Prepares excerpts of `text`.
    pub fn new(text: &'t str) -> SourceText<'t> {
        let redacted = redact_credentials(text);
        SourceText { text, redacted: (redacted != text).then_some(redacted) }
    }

    /// The text.
    pub fn text(&self) -> &'t str {
        self.text
    }

    /// The part of the text with these bytes. Only its first line counts.
    pub fn excerpt(&self, span: Range<usize>) -> SourceExcerpt {
        let text = self.text;
        let start = text.floor_char_boundary(span.start.min(text.len()));
        let position = LineColumn::from_offset(text, start);
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |newline| start + newline);
        let end = text.floor_char_boundary(span.end.clamp(start, line_end));
        let shown_end = text.ceil_char_boundary(line_end.min(start + MAX_BYTES_AFTER));
        let is_shown =
            start - line_start <= MAX_BYTES_BEFORE && !self.has_credentials(position.line, line_start..line_end);
        SourceExcerpt {
            position,
            line: is_shown.then(|| text[line_start..shown_end].trim_end_matches('\r').to_owned()),
            span: start - line_start..end.min(shown_end) - line_start,
        }
    }

    /// Whether the excerpt of this part hides its line, because the line has credentials.
    pub fn hides_line_at(&self, offset: usize) -> bool {
        let start = self.text.floor_char_boundary(offset.min(self.text.len()));
        let line_start = self.text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = self.text[start..].find('\n').map_or(self.text.len(), |newline| start + newline);
        self.has_credentials(LineColumn::from_offset(self.text, start).line, line_start..line_end)
    }

    /// Redaction keeps line breaks, so the lines have the same numbers.
    fn has_credentials(&self, number: usize, line: Range<usize>) -> bool {
        let Some(redacted) = &self.redacted else { return false };
        redacted.split('\n').nth(number - 1) != self.text.get(line)
    }
}

impl SourceExcerpt {
    /// The line, without control characters; `None` if it has credentials or is too long.
    pub fn source_line(&self) -> Option<String> {
        self.line.as_deref().map(escape_control)
    }

    /// The position as ` --> path:line:column`, and the line with a caret below.
    pub fn draw(&self, path: &Path) -> String {
        let path = escape_control(&path.display().to_string());
        let Some(line) = &self.line else { return format!(" --> {path}:{}", self.position) };
        let annotation = AnnotationKind::Primary.span(self.span.clone());
        let snippet = Snippet::source(line).path(path).line_start(self.position.line).annotation(annotation);
        let drawn = Renderer::plain().render(&[Group::with_level(Level::ERROR).element(snippet)]);
        // The renderer leaves control characters above U+007F.
        drawn.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
    }
}

impl fmt::Display for SourceLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.excerpt.draw(&self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn draw(text: &str, part: &str) -> String {
        let start = text.find(part).expect("the part");
        SourceText::new(text).excerpt(start..start + part.len()).draw(Path::new("a.toml"))
    }

    #[test]
    fn a_line_is_drawn_with_carets_below_the_part() {
        assert_eq!(
            draw("[dependencies]\n\nserde = 1.0 # x\r\n", "1.0"),
            " --> a.toml:3:9\n  |\n3 | serde = 1.0 # x\n  |         ^^^"
        );
    }

    #[test]
    fn carets_align_below_tabs_and_wide_characters() {
        assert_eq!(draw("日本\t= 1.0\n", "1.0"), " --> a.toml:1:6\n  |\n1 | 日本    = 1.0\n  |           ^^^");
    }

    #[test]
    fn control_characters_cannot_reach_the_terminal() {
        let shown = draw("a = '\u{1b}[31m\u{202e}\u{7f}\u{9b}' 1.0\n", "1.0");
        assert!(!shown.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'), "{shown:?}");
        let path = SourceText::new("x").excerpt(0..1).draw(Path::new("a\u{1b}[31m\nb"));
        assert!(!path.contains('\u{1b}') && path.contains("a\\u{1b}[31m\\nb:1:1"), "{path:?}");
    }

    #[test]
    fn long_lines_are_cut() {
        let text = format!("a = [{}1.0{}]\n", "'x', ".repeat(100), ", 'y'".repeat(100_000));
        let shown = draw(&text, "1.0");
        assert!(shown.contains(" 1.0,") && shown.len() < 1000, "{shown}");
        let text = format!("a = [{}1.0]\n", "'x', ".repeat(100_000));
        assert_eq!(draw(&text, "1.0"), " --> a.toml:1:500006");
    }

    #[test]
    fn a_line_with_credentials_is_not_shown() {
        for text in ["url = https://me:hunter2@host/", "a_token = hunter2", "password = '''\nhunter2\n'''\n"] {
            let source = SourceText::new(text);
            for start in 0..text.len() {
                let shown = source.excerpt(start..text.len()).draw(Path::new("a.toml"));
                assert!(!shown.contains("hunter2"), "{shown}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_part_of_any_text_is_drawn(text in "\\PC{0,40}|[\\x00-\\x7f\u{202e}日é]{0,40}", start in 0_usize..60, length in 0_usize..60) {
            let shown = SourceText::new(&text).excerpt(start..start + length).draw(Path::new("a.toml"));
            prop_assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
        }
    }
}
