//! The tokens of Rust files.

use std::fs;
use std::path::Path;

/// A file below src/.
pub struct SourceFile {
    /// Its path below src/, with `/`.
    pub name: String,
    pub text: String,
}

/// Every Rust file below src/, by name.
pub fn source_files() -> Vec<SourceFile> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![src.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(&src).unwrap().to_str().unwrap().replace('\\', "/");
                found.push(SourceFile { name, text: fs::read_to_string(&path).unwrap() });
            }
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

/// A word or one sign of code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub text: String,
    pub line: usize,
}

/// The code of a file: no comments, no content of strings. `::` is one token.
pub fn tokens(source: &str) -> Vec<Token> {
    let chars: Vec<char> = source.chars().collect();
    let at = |index: usize| chars.get(index).copied().unwrap_or('\0');
    let mut found = Vec::new();
    let (mut index, mut line) = (0, 1);
    while index < chars.len() {
        let start = index;
        let first_line = line;
        let mut text = String::new();
        match at(index) {
            '/' if at(index + 1) == '/' => index += count_chars(&chars[index..], |char| char != '\n'),
            '/' if at(index + 1) == '*' => index = end_of_comment(&chars, index),
            '"' => index = end_of_string(&chars, index),
            '\'' => index = end_of_quote(&chars, index),
            char if is_word(char) => {
                index += count_chars(&chars[index..], is_word);
                text = chars[start..index].iter().collect();
                let hashes = count_chars(&chars[index..], |char| char == '#');
                let is_string = at(index + hashes) == '"' && ["r", "br", "cr", "b", "c"].contains(&text.as_str());
                if is_string && text.contains('r') {
                    index = end_of_raw_string(&chars, index, hashes);
                    text.clear();
                } else if is_string && hashes == 0 {
                    index = end_of_string(&chars, index);
                    text.clear();
                }
            }
            ':' if at(index + 1) == ':' => {
                index += 2;
                text = "::".to_owned();
            }
            char => {
                index += 1;
                if !char.is_whitespace() {
                    text = char.to_string();
                }
            }
        }
        line += chars[start..index.min(chars.len())].iter().filter(|char| **char == '\n').count();
        if !text.is_empty() {
            found.push(Token { text, line: first_line });
        }
    }
    found
}

fn is_word(char: char) -> bool {
    char.is_alphanumeric() || char == '_'
}

fn count_chars(chars: &[char], counts: impl Fn(char) -> bool) -> usize {
    chars.iter().take_while(|char| counts(**char)).count()
}

/// Block comments nest.
fn end_of_comment(chars: &[char], start: usize) -> usize {
    let (mut index, mut depth) = (start + 2, 1);
    while depth > 0 && index < chars.len() {
        match (chars[index], chars.get(index + 1)) {
            ('/', Some('*')) => (index, depth) = (index + 2, depth + 1),
            ('*', Some('/')) => (index, depth) = (index + 2, depth - 1),
            _ => index += 1,
        }
    }
    index
}

fn end_of_string(chars: &[char], start: usize) -> usize {
    let mut index = start + 1;
    while index < chars.len() && chars[index] != '"' {
        index += if chars[index] == '\\' { 2 } else { 1 };
    }
    index + 1
}

fn end_of_raw_string(chars: &[char], start: usize, hashes: usize) -> usize {
    let mut index = start + hashes + 1;
    while index < chars.len() {
        index += 1;
        if chars[index - 1] == '"' && count_chars(&chars[index..], |char| char == '#') >= hashes {
            return index + hashes;
        }
    }
    index
}

/// A character or a lifetime begins with `'`.
fn end_of_quote(chars: &[char], start: usize) -> usize {
    if chars.get(start + 1) == Some(&'\\') {
        return start + 3 + count_chars(&chars[(start + 3).min(chars.len())..], |char| char != '\'') + 1;
    }
    if chars.get(start + 2) == Some(&'\'') { start + 3 } else { start + 1 }
}

/// The code without items that only tests compile: `#[cfg(test)]`, `#[cfg(all(test, …))]`.
pub fn without_tests(code: &[Token]) -> Vec<Token> {
    let text = |at: usize| code.get(at).map_or("", |token| token.text.as_str());
    let mut kept = Vec::new();
    let mut at = 0;
    while at < code.len() {
        let end =
            (text(at) == "#" && text(at + 1) == "[" && text(at + 2) == "cfg").then(|| end_of_brackets(code, at + 1));
        let Some(end) = end.filter(|end| {
            let inside: Vec<&str> = (at..*end).map(text).collect();
            inside.contains(&"test") && !inside.contains(&"not") && !inside.contains(&"any")
        }) else {
            // Attributes and macro patterns hold no code of their own.
            if text(at) == "#" && text(at + 1) == "[" {
                at = end_of_brackets(code, at + 1);
            } else {
                kept.push(code[at].clone());
                at += 1;
            }
            continue;
        };
        at = end;
        let mut depth = 0;
        while at < code.len() {
            let token = text(at);
            at += 1;
            match token {
                "{" | "(" | "[" => depth += 1,
                "}" | ")" | "]" => depth -= 1,
                _ => {}
            }
            if depth == 0 && (token == "}" || token == ";") {
                break;
            }
        }
    }
    kept
}

/// The place behind the bracket that closes the one at `start`.
fn end_of_brackets(code: &[Token], start: usize) -> usize {
    let mut depth = 0;
    for (at, token) in code.iter().enumerate().skip(start) {
        match token.text.as_str() {
            "[" => depth += 1,
            "]" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    code.len()
}
