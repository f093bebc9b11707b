//! Colours for drawn excerpts, as in the messages of cargo.
//!
//! A message is plain text until it is printed, so that hostile text in it cannot bring control sequences. Only the
//! terminal adds the colours.

use anstyle::{AnsiColor, Style};

const GUTTER: Style = AnsiColor::BrightBlue.on_default().bold();
const MARK: Style = AnsiColor::BrightRed.on_default().bold();

/// Adds colours to the excerpts of a message: to line numbers, borders and carets.
pub fn highlight(message: &str) -> String {
    let mut shown = String::with_capacity(message.len());
    let mut is_excerpt = false;
    for line in message.split_inclusive('\n') {
        let text = line.strip_suffix('\n').unwrap_or(line);
        let colored = arrow(text).or_else(|| border(text).filter(|_| is_excerpt));
        is_excerpt = colored.is_some();
        shown.push_str(colored.as_deref().unwrap_or(text));
        shown.push_str(line.strip_prefix(text).unwrap_or_default());
    }
    shown
}

/// ` --> path:line:column`.
fn arrow(text: &str) -> Option<String> {
    let (indent, place) = text.split_once("--> ")?;
    indent.trim().is_empty().then(|| format!("{indent}{GUTTER}-->{GUTTER:#} {place}"))
}

/// `3 | source`, `  |`, or `  |    ^^^`.
fn border(text: &str) -> Option<String> {
    let (number, rest) = text.split_once('|')?;
    if !number.bytes().all(|byte| byte == b' ' || byte.is_ascii_digit()) {
        return None;
    }
    let marks = rest.trim_start_matches(' ');
    let is_marked = number.trim().is_empty() && !marks.is_empty() && marks.bytes().all(|byte| byte == b'^');
    let rest = match rest.strip_suffix(marks).filter(|_| is_marked) {
        Some(blanks) => format!("{blanks}{MARK}{marks}{MARK:#}"),
        None => rest.to_owned(),
    };
    Some(format!("{GUTTER}{number}|{GUTTER:#}{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

    /// Each visible character with the sequences that are in force.
    fn cells(text: &str) -> Vec<(char, String)> {
        let (mut cells, mut style) = (Vec::new(), String::new());
        let mut chars = text.chars();
        while let Some(char) = chars.next() {
            if char == '\u{1b}' {
                let sequence: String = chars.by_ref().skip(1).take_while(|char| *char != 'm').collect();
                if sequence == "0" { style.clear() } else { style.push_str(&format!("{sequence};")) }
            } else {
                // The style of a blank is invisible.
                cells.push((char, if char == ' ' || char == '\n' { String::new() } else { style.clone() }));
            }
        }
        cells
    }

    #[test]
    fn the_colors_are_those_of_the_styled_renderer() {
        for (line, number, span) in [("serde = 1.0 # x", 3, 8..11), ("a = | ^ 1", 120, 0..1)] {
            let snippet = || {
                let annotation = AnnotationKind::Primary.span(span.clone());
                let snippet = Snippet::source(line).path("a.toml:x").line_start(number).annotation(annotation);
                Group::with_level(Level::ERROR).element(snippet)
            };
            let plain = Renderer::plain().render(&[snippet()]);
            let styled = Renderer::styled().render(&[snippet()]);
            assert_eq!(cells(&highlight(&plain)), cells(&styled));
        }
    }

    #[test]
    fn only_excerpts_get_colors() {
        let plain = "could not read\n  | a table |\n3 | x\nCaused by:\n  a | b\n";
        assert_eq!(highlight(plain), plain);
        let message = "bad\n --> a:1:1\n  |\n1 | x\n  | ^\n\n  | no excerpt\n";
        let shown = highlight(message);
        assert_eq!(anstream::adapter::strip_str(&shown).to_string(), message);
        assert!(shown.ends_with("\n\n  | no excerpt\n"), "{shown:?}");
    }
}
