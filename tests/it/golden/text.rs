//! Texts without what differs from run to run, and JSON in a form that can be reviewed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// `text` with placeholders for times, digests, ids, versions of this tool, and numbers of three and more digits.
pub fn normal(text: &str) -> String {
    let text = text.replace(env!("CARGO_PKG_VERSION"), "[VERSION]");
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    let mut before = ' ';
    while let Some(first) = rest.chars().next() {
        let token = token_of(rest);
        if token.is_empty() {
            out.push(first);
            rest = &rest[first.len_utf8()..];
            before = first;
            continue;
        }
        let follows = rest[token.len()..].chars().next().unwrap_or(' ');
        out.push_str(&placeholder(token, before, follows));
        rest = &rest[token.len()..];
        before = token.chars().last().unwrap_or(' ');
    }
    out
}

/// The time, or the run of letters and digits, that `text` begins with.
fn token_of(text: &str) -> &str {
    let time = time_length(text);
    if time > 0 {
        return &text[..time];
    }
    &text[..text.find(|char: char| !char.is_ascii_alphanumeric()).unwrap_or(text.len())]
}

/// The length of the RFC 3339 time in UTC that `text` begins with; 0 without one.
fn time_length(text: &str) -> usize {
    const SECONDS: &[u8] = b"dddd-dd-ddTdd:dd:dd";
    let bytes = text.as_bytes();
    let fits = |(form, byte): (&u8, &u8)| if *form == b'd' { byte.is_ascii_digit() } else { form == byte };
    if bytes.len() < SECONDS.len() || !SECONDS.iter().zip(bytes).all(fits) {
        return 0;
    }
    let rest = &text[SECONDS.len()..];
    let fraction = match rest.strip_prefix('.') {
        Some(digits) => 1 + digits.find(|char: char| !char.is_ascii_digit()).unwrap_or(digits.len()),
        None => 0,
    };
    match &rest[fraction..] {
        end if end.starts_with('Z') => SECONDS.len() + fraction + 1,
        end if end.starts_with("+00:00") => SECONDS.len() + fraction + 6,
        _ => 0,
    }
}

fn placeholder(token: &str, before: char, follows: char) -> String {
    let is_hex = token.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let is_number = token.bytes().all(|byte| byte.is_ascii_digit());
    if token.len() == 12 && follows == '.' {
        // A temporary file's.
        return "[RANDOM]".to_owned();
    }
    let stands_alone = !"-./_+".contains(before) && !"-./_+".contains(follows);
    match token.len() {
        _ if time_length(token) > 0 && token.contains('.') => "[TIME.FRACTION]".to_owned(),
        _ if time_length(token) > 0 => "[TIME]".to_owned(),
        64 if is_hex => "[SHA256]".to_owned(),
        32 if is_hex => "[ID]".to_owned(),
        16 if is_hex => "[HEX16]".to_owned(),
        3.. if is_number && stands_alone => "[N]".to_owned(),
        _ => token.to_owned(),
    }
}

/// A JSON text with a line for each value. The order of keys stays as it is.
pub fn indented(json: &str) -> String {
    let mut out = String::new();
    let mut depth = 0;
    let mut in_string = false;
    let mut chars = json.trim_end().chars().peekable();
    let break_line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.push_str(&"  ".repeat(depth));
    };
    while let Some(char) = chars.next() {
        match char {
            '\\' if in_string => {
                out.push(char);
                out.extend(chars.next());
            }
            '"' => {
                in_string = !in_string;
                out.push(char);
            }
            _ if in_string => out.push(char),
            '{' | '[' => {
                out.push(char);
                while chars.next_if(|next| next.is_whitespace()).is_some() {}
                if let Some(end) = chars.next_if(|next| matches!(next, '}' | ']')) {
                    out.push(end);
                } else {
                    depth += 1;
                    break_line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth -= 1;
                break_line(&mut out, depth);
                out.push(char);
            }
            ',' => {
                out.push(char);
                break_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            _ if char.is_whitespace() => {}
            _ => out.push(char),
        }
    }
    out.push('\n');
    out
}

/// Keys whose values are a fixed set of words, which are part of the form.
const WORDS: &[&str] = &["reason", "kind", "state", "form", "phase", "level", "profile", "encoding", "change", "type"];

/// The keys of a value and the types of what they hold, in one line of JSON-like text. Elements of a list that have one
/// shape are shown once.
pub fn shape(value: &Value) -> String {
    shape_of("", value)
}

fn shape_of(key: &str, value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "bool".to_owned(),
        Value::Number(number) if number.is_f64() => "fraction".to_owned(),
        Value::Number(_) => "number".to_owned(),
        Value::String(word) if WORDS.contains(&key) && !word.contains(' ') => format!("{word:?}"),
        Value::String(_) => "text".to_owned(),
        Value::Array(all) => {
            let shapes: BTreeSet<String> = all.iter().map(|one| shape_of(key, one)).collect();
            format!("[{}]", shapes.into_iter().collect::<Vec<_>>().join(" | "))
        }
        Value::Object(fields) => {
            let fields: BTreeMap<&String, &Value> = fields.iter().collect();
            let shapes = fields.into_iter().map(|(key, value)| format!("{key}: {}", shape_of(key, value)));
            format!("{{ {} }}", shapes.collect::<Vec<_>>().join(", "))
        }
    }
}
