//! Positions in a text, as editors count them.

use std::fmt;

/// A line and a column, both from 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LineColumn {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl LineColumn {
    /// The position of the byte at `offset`; the text's end if `offset` is larger.
    pub fn from_offset(text: &str, offset: usize) -> LineColumn {
        let before = &text.as_bytes()[..offset.min(text.len())];
        let line_start = before.iter().rposition(|&b| b == b'\n').map_or(0, |newline| newline + 1);
        LineColumn {
            line: 1 + before.iter().filter(|&&b| b == b'\n').count(),
            column: 1 + String::from_utf8_lossy(&before[line_start..]).chars().count(),
        }
    }
}

impl fmt::Display for LineColumn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_start_at_one_and_columns_count_characters() {
        for (text, offset, line, column) in [
            ("", 0, 1, 1),
            ("", 9, 1, 1),
            ("ab\ncd", 4, 2, 2),
            ("é = 1", 3, 1, 3),
            ("a\n", 2, 2, 1),
            ("a\n\nb", 3, 3, 1),
        ] {
            assert_eq!(LineColumn::from_offset(text, offset), LineColumn { line, column }, "{text:?} {offset}");
        }
    }
}
