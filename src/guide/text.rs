//! Chapters as text for a terminal or a pager: wrapped, without markup that only a browser needs, with tables that fit.

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};

/// A table's last column is wrapped if at least this many columns of the screen are left for it.
const LAST_COLUMN: usize = 30;

/// Stands for a space at which no line is broken.
const FIXED_SPACE: char = '\u{a0}';

/// `markdown` as text of at most `width` columns. Code blocks are indented and never wrapped.
pub fn render(markdown: &str, width: usize) -> String {
    let mut page = Page { width, ..Page::default() };
    for event in Parser::new_ext(markdown, Options::ENABLE_TABLES) {
        page.event(event);
    }
    page.text.trim_start().replace(FIXED_SPACE, " ")
}

#[derive(Default)]
struct Page {
    text: String,
    width: usize,
    /// The inline text of the paragraph, heading or cell at work.
    inline: String,
    /// The lists at work, outermost first: the next number of an ordered one.
    lists: Vec<Option<u64>>,
    /// The mark of the item at work, until its first line is written.
    mark: Option<String>,
    in_code: bool,
    /// The rows of the table at work; the first is its head.
    rows: Vec<Vec<String>>,
}

impl Page {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Text(text) if self.in_code => {
                let indent = " ".repeat(4 + self.indent());
                for line in text.lines() {
                    self.text.push_str(format!("{indent}{line}").trim_end());
                    self.text.push('\n');
                }
            }
            Event::Text(text) => self.inline.push_str(&text),
            Event::Code(text) => self.inline.push_str(&format!("`{}`", text.replace(' ', "\u{a0}"))),
            Event::SoftBreak | Event::HardBreak => self.inline.push(' '),
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            _ => {}
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Paragraph | Tag::Heading { .. } => self.blank_line(),
            Tag::CodeBlock(_) => {
                self.flush();
                self.blank_line();
                self.in_code = true;
            }
            Tag::List(first) => {
                self.flush();
                if self.lists.is_empty() {
                    self.blank_line();
                }
                self.lists.push(first);
            }
            Tag::Item => {
                let mark = match self.lists.last_mut() {
                    Some(Some(number)) => {
                        *number += 1;
                        format!("{}. ", *number - 1)
                    }
                    _ => "- ".to_owned(),
                };
                self.mark = Some(mark);
            }
            Tag::Table(_) => self.blank_line(),
            Tag::TableHead | Tag::TableRow => self.rows.push(Vec::new()),
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Heading(level) => {
                let title = std::mem::take(&mut self.inline);
                let line = match level {
                    HeadingLevel::H1 => "=",
                    HeadingLevel::H2 => "-",
                    _ => "",
                };
                self.text.push_str(&format!("{title}\n"));
                if !line.is_empty() {
                    self.text.push_str(&format!("{}\n", line.repeat(columns(&title))));
                }
            }
            TagEnd::Paragraph | TagEnd::Item => self.flush(),
            TagEnd::List(_) => {
                self.lists.pop();
            }
            TagEnd::CodeBlock => self.in_code = false,
            TagEnd::TableCell => {
                let cell = std::mem::take(&mut self.inline);
                if let Some(row) = self.rows.last_mut() {
                    row.push(cell);
                }
            }
            TagEnd::Table => self.table(),
            _ => {}
        }
    }

    fn indent(&self) -> usize {
        2 * self.lists.len()
    }

    /// Writes the inline text, wrapped below its item's mark.
    fn flush(&mut self) {
        if self.inline.is_empty() {
            return;
        }
        let rest = " ".repeat(self.indent());
        let first = match self.mark.take() {
            Some(mark) => format!("{mark:>width$}", width = self.indent().max(columns(&mark))),
            None => rest.clone(),
        };
        let inline = std::mem::take(&mut self.inline);
        self.write_wrapped(&inline, &first, &rest);
    }

    fn write_wrapped(&mut self, inline: &str, first: &str, rest: &str) {
        let lines = wrap(inline, self.width.saturating_sub(columns(rest)));
        for (number, line) in lines.iter().enumerate() {
            self.text.push_str(if number == 0 { first } else { rest });
            self.text.push_str(line);
            self.text.push('\n');
        }
    }

    /// An empty line between blocks, but none between an item's mark and its text.
    fn blank_line(&mut self) {
        if self.mark.is_none() && !self.text.ends_with("\n\n") {
            self.text.push('\n');
        }
    }

    /// Writes the table in columns if they fit, else each row as a list of its cells under the first one.
    fn table(&mut self) {
        let rows = std::mem::take(&mut self.rows);
        let count = rows.iter().map(Vec::len).max().unwrap_or_default();
        let widest = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| columns(cell)).max();
        let widths: Vec<usize> = (0..count).filter_map(widest).collect();
        let Some((last, others)) = widths.split_last() else { return };
        let before: usize = others.iter().map(|width| width + 2).sum();
        if before + last.min(&LAST_COLUMN) > self.width {
            return self.records(&rows);
        }
        for (number, row) in rows.iter().enumerate() {
            let pad = |(cell, width): (&String, &usize)| format!("{cell}{}", " ".repeat(width + 2 - columns(cell)));
            let first: String = row.iter().zip(others).map(pad).collect();
            let text = row.get(others.len()).map(String::as_str).unwrap_or_default();
            self.write_wrapped(text, &first, &" ".repeat(before));
            if number == 0 {
                self.text.push_str(&"-".repeat(self.width.min(before + last)));
                self.text.push('\n');
            }
        }
    }

    fn records(&mut self, rows: &[Vec<String>]) {
        let Some((head, rows)) = rows.split_first() else { return };
        for row in rows {
            for (column, (cell, name)) in row.iter().zip(head).enumerate() {
                match column {
                    0 => self.write_wrapped(cell, "", ""),
                    _ => self.write_wrapped(&format!("{name}: {cell}"), "    ", "      "),
                }
            }
        }
    }
}

/// Breaks `text` at spaces into lines of at most `width` columns. A longer word has a line of its own.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let (mut lines, mut line) = (Vec::new(), String::new());
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        if !line.is_empty() && columns(&line) + 1 + columns(word) > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

fn columns(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::render;

    #[test]
    fn paragraphs_and_items_are_wrapped_and_code_is_not() {
        let text = render(
            "# Title\n\nOne two three\nfour `a b c`.\n\n- first **bold** item of words\n- second\n\n```console\n$ a long command --flag\n```\n",
            16,
        );
        let expected = "Title\n=====\n\nOne two three\nfour `a b c`.\n\n- first bold\n  item of words\n- second\n\n    $ a long command --flag\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_table_that_fits_has_columns_and_another_is_a_list() {
        let table = "| key | default | meaning |\n|---|---|---|\n| `a` | 1 | what it is |\n";
        let expected = "key  default  meaning\n------------------------\n`a`  1        what it is\n";
        assert_eq!(render(table, 60), expected);
        assert_eq!(render(table, 20), "`a`\n    default: 1\n    meaning: what\n      it is\n");
    }
}
