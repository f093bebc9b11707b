//! The paths that a file names: by `use`, and in its code.

use super::source::Token;

/// Words that are no name of an item, even if they stand where a name could.
const KEYWORDS: &[&str] = &[
    "as", "async", "await", "break", "const", "continue", "dyn", "else", "enum", "extern", "false", "fn", "for", "if",
    "impl", "in", "let", "loop", "match", "mod", "move", "mut", "pub", "ref", "return", "static", "struct", "trait",
    "true", "type", "union", "unsafe", "use", "where", "while",
];

/// How a path came into the code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathKind {
    /// A `use` that gives this name to the file, and to others if it is `public`. `*` is the name of all that is there.
    Import { name: String, public: bool },
    /// Anything else.
    Mention,
}

/// A path, with the module inside of the file where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedPath {
    pub line: usize,
    /// The inline modules around it, outermost first.
    pub inside: Vec<String>,
    /// At least one.
    pub segments: Vec<String>,
    pub kind: PathKind,
}

impl NamedPath {
    /// The name that an import gives to the module around it.
    pub fn imported_name(&self) -> Option<&str> {
        match &self.kind {
            PathKind::Import { name, .. } => Some(name),
            PathKind::Mention => None,
        }
    }

    /// The module of the crate's root that a path in a file `depth` modules deep names, if it begins at the root.
    pub fn layer(&self, depth: usize) -> Option<&str> {
        let supers = self.segments.iter().take_while(|segment| *segment == "super").count();
        let root = if self.segments[0] == "crate" { 1 } else { supers };
        let is_from_root = self.segments[0] == "crate" || supers == depth + self.inside.len();
        self.segments.get(root).filter(|_| is_from_root).map(String::as_str)
    }
}

/// What a file names and what it defines.
#[derive(Default)]
struct Reader<'a> {
    tokens: &'a [Token],
    paths: Vec<NamedPath>,
    /// Items outside of functions: the inline modules around it, and the name.
    items: Vec<(Vec<String>, String)>,
}

/// Every path that the code names.
pub fn named_paths(tokens: &[Token]) -> Vec<NamedPath> {
    let mut reader = Reader { tokens, ..Reader::default() };
    reader.read();
    reader.paths
}

/// Every item that the code defines outside of functions: the inline modules around it, and its name.
pub fn defined_items(tokens: &[Token]) -> Vec<(Vec<String>, String)> {
    let mut reader = Reader { tokens, ..Reader::default() };
    reader.read();
    reader.items
}

impl Reader<'_> {
    fn text(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| token.text.as_str())
    }

    fn read(&mut self) {
        let mut inside: Vec<String> = Vec::new();
        // The depth of brackets at which each of these modules, and the file itself, has its items.
        let mut levels = vec![0];
        let (mut at, mut depth) = (0, 0);
        while at < self.tokens.len() {
            let before = if at == 0 { "" } else { self.text(at - 1) }.to_owned();
            let next = self.text(at + 1).to_owned();
            match self.text(at) {
                "{" | "(" | "[" => depth += 1,
                "}" | ")" | "]" => {
                    if levels.last() == Some(&depth) && levels.len() > 1 {
                        levels.pop();
                        inside.pop();
                    }
                    depth -= 1;
                }
                "mod" if self.text(at + 2) == "{" => {
                    inside.push(next);
                    levels.push(depth + 1);
                    at += 1;
                }
                "use" if next != "<" => {
                    let public = before == "pub" || (before == ")" && self.is_restricted_pub(at - 1));
                    at = self.read_use(at + 1, &inside, public, &[]);
                    continue;
                }
                "fn" | "struct" | "enum" | "trait" | "type" | "const" | "static" | "union"
                    if levels.last() == Some(&depth) && is_name(&next) =>
                {
                    self.items.push((inside.clone(), next));
                    at += 1;
                }
                "macro_rules" if next == "!" => {
                    self.items.push((inside.clone(), self.text(at + 2).to_owned()));
                    at += 2;
                }
                word if is_name(word) && ![".", "::", "let", "fn", "mut", "ref", "'"].contains(&before.as_str()) => {
                    at = self.read_mention(at, &inside);
                    continue;
                }
                _ => {}
            }
            at += 1;
        }
    }

    /// Whether the bracket at `end` closes a `pub(…)`.
    fn is_restricted_pub(&self, end: usize) -> bool {
        (0..end).rev().find(|at| self.text(*at) == "(").is_some_and(|at| at > 0 && self.text(at - 1) == "pub")
    }

    /// Reads one branch of a `use` up to `;`, `,` or the bracket that closes it, and returns the place behind it.
    fn read_use(&mut self, start: usize, inside: &[String], public: bool, prefix: &[String]) -> usize {
        let mut segments = prefix.to_vec();
        let mut at = start;
        let line = self.tokens.get(start).map_or(0, |token| token.line);
        let mut name = None;
        loop {
            match self.text(at) {
                "{" => {
                    at += 1;
                    while !["}", ""].contains(&self.text(at)) {
                        at = self.read_use(at, inside, public, &segments);
                        at += usize::from(self.text(at) == ",");
                    }
                    return at + 1;
                }
                "" | ";" | "," | "}" => break,
                "::" => {}
                "as" => {
                    name = Some(self.text(at + 1).to_owned());
                    at += 1;
                }
                "self" if !segments.is_empty() => {}
                word => segments.push(word.to_owned()),
            }
            at += 1;
        }
        let is_glob = segments.last().is_some_and(|last| last == "*");
        let name = name.or_else(|| segments.last().cloned());
        if is_glob {
            segments.pop();
        }
        if let Some(name) = name.filter(|_| !segments.is_empty()) {
            let kind = PathKind::Import { name, public };
            self.paths.push(NamedPath { line, inside: inside.to_vec(), segments, kind });
        }
        at
    }

    /// Reads a path in code and returns the place behind it.
    fn read_mention(&mut self, start: usize, inside: &[String]) -> usize {
        let mut segments = vec![self.text(start).to_owned()];
        let mut at = start + 1;
        while self.text(at) == "::" && is_name(self.text(at + 1)) {
            segments.push(self.text(at + 1).to_owned());
            at += 2;
        }
        // A lower-case word alone is a variable or a field, unless it is called.
        let is_type = segments[0].starts_with(char::is_uppercase);
        if segments.len() > 1 || is_type || ["(", "!"].contains(&self.text(at)) {
            let kind = PathKind::Mention;
            self.paths.push(NamedPath { line: self.tokens[start].line, inside: inside.to_vec(), segments, kind });
        }
        at
    }
}

fn is_name(word: &str) -> bool {
    word.starts_with(|first: char| first.is_alphabetic() || first == '_') && word != "_" && !KEYWORDS.contains(&word)
}
