//! Checks whether a crate's licence is an SPDX licence expression, by its grammar (SPDX specification 2.3, annex D).
//!
//! The list of identifiers is not checked: `MIT OR NoSuchLicence` is an expression. Cargo's older `MIT/Apache-2.0` is not.

/// Maximum length of an expression in bytes; the longest real ones have some hundreds.
const MAX_LENGTH: usize = 4096;

/// Whether `text` is an SPDX licence expression.
pub(super) fn is_expression(text: &str) -> bool {
    if text.len() > MAX_LENGTH {
        return false;
    }
    // Without recursion: hostile text may nest parentheses to any depth.
    let mut depth = 0usize;
    let mut state = ParseState::Operand;
    for token in tokens(text) {
        state = match (state, token) {
            (ParseState::Operand, "(") => {
                depth += 1;
                ParseState::Operand
            }
            (ParseState::Operand, id) if is_license(id) => ParseState::License,
            (ParseState::License, "WITH") => ParseState::Exception,
            (ParseState::Exception, id) if is_id(id) && !is_operator(id) => ParseState::Operator,
            (ParseState::License | ParseState::Operator, "AND" | "OR") => ParseState::Operand,
            (ParseState::License | ParseState::Operator, ")") if depth > 0 => {
                depth -= 1;
                ParseState::Operator
            }
            _ => return false,
        };
    }
    depth == 0 && matches!(state, ParseState::License | ParseState::Operator)
}

/// The next expected token.
#[derive(Clone, Copy)]
enum ParseState {
    /// A licence or an opening parenthesis.
    Operand,
    /// As below, or `WITH`, after a licence.
    License,
    /// An exception, after `WITH`.
    Exception,
    /// `AND`, `OR`, a closing parenthesis, or the end.
    Operator,
}

/// Splits parentheses from the text between them.
fn tokens(text: &str) -> impl Iterator<Item = &str> {
    text.split(' ').flat_map(|word| word.split_inclusive(['(', ')'])).flat_map(|piece| {
        let cut = piece.len() - usize::from(piece.ends_with(['(', ')']));
        [&piece[..cut], &piece[cut..]].into_iter().filter(|token| !token.is_empty())
    })
}

fn is_license(token: &str) -> bool {
    if is_operator(token) {
        return false;
    }
    let reference = |text: &str| text.strip_prefix("LicenseRef-").is_some_and(is_id);
    match token.split_once(':') {
        Some((document, license)) => document.strip_prefix("DocumentRef-").is_some_and(is_id) && reference(license),
        None => is_id(token.strip_suffix('+').unwrap_or(token)),
    }
}

fn is_id(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
}

fn is_operator(token: &str) -> bool {
    ["AND", "OR", "WITH"].iter().any(|word| token.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_spdx_expressions_are_accepted() {
        for good in [
            "MIT",
            "MIT OR Apache-2.0",
            "Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "((MIT))",
            "GPL-2.0+",
            "LicenseRef-ours AND DocumentRef-spdx.1:LicenseRef-2",
        ] {
            assert!(is_expression(good), "{good}");
        }
        for bad in [
            "",
            " ",
            "MIT/Apache-2.0",
            "file: LICENSE",
            "MIT Apache-2.0",
            "MIT OR",
            "OR MIT",
            "AND",
            "(MIT",
            "MIT)",
            "()",
            "(MIT) MIT",
            "MIT WITH",
            "MIT WITH (x)",
            "(MIT) WITH x",
            "MIT WITH x WITH y",
            "MIT or Apache-2.0",
            "GPL+2",
            "x:LicenseRef-1",
            "MIT\nOR ISC",
            "MIT\u{202e}",
            "Lizenz für alle",
        ] {
            assert!(!is_expression(bad), "{bad}");
        }
        assert!(!is_expression(&"(".repeat(4000)));
        assert!(!is_expression(&format!("MIT{}", " OR MIT".repeat(1000))));
    }
}
