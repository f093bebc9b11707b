//! Removes credentials from a text before it is shown or stored elsewhere.
//!
//! The rules are deliberately strict: a value that only looks like a secret is hidden too. Known harmless values stay, such
//! as version requirements, since a crate may be called `token`.

/// The replacement of a secret.
const HIDDEN: &str = "***";
/// Parts of key names whose values are secret, in lower case and without `-` and `_`.
const SECRET_NAME_PARTS: &[&str] =
    &["token", "password", "passwd", "passphrase", "secret", "credential", "apikey", "privatekey", "signature", "auth"];

/// Removes user names and passwords from all URLs in a text. `ssh://git@host` keeps its name, because it has no password and
/// needs the name.
pub fn strip_logins(text: &str) -> String {
    let mut stripped = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        stripped.push_str(before);
        let ends = |c: char| c.is_whitespace() || "/?#\\\"'`<>,;()[]{}".contains(c);
        let authority = &after[..after.find(ends).unwrap_or(after.len())];
        let login = authority.rfind('@').map_or("", |at| &authority[..=at]);
        let keeps = before.ends_with("ssh://") && !login.contains(':');
        rest = if keeps { after } else { &after[login.len()..] };
    }
    stripped.push_str(rest);
    stripped
}

/// Removes the credentials from `text`, which is TOML or damaged TOML. These are user names and passwords in URLs, values of
/// keys and query parameters with secret-sounding names, and `Bearer` and `Basic` credentials. Line breaks stay, and TOML
/// stays valid.
pub fn redact_credentials(text: &str) -> String {
    let plain = strip_logins(text);
    let mut out = String::with_capacity(plain.len());
    let mut rest = plain.as_str();
    while let Some(begin) = rest.find(is_name_char) {
        let (before, name_on) = rest.split_at(begin);
        let (name, after) = name_on.split_at(name_on.find(|c| !is_name_char(c)).unwrap_or(name_on.len()));
        out.push_str(before);
        out.push_str(name);
        rest = after;
        if matches!(name.to_ascii_lowercase().as_str(), "bearer" | "basic") {
            let value = rest.trim_start_matches(' ');
            let length = value.find(|c: char| c.is_whitespace() || "\"'`,;".contains(c)).unwrap_or(value.len());
            if value.len() < rest.len() && length > 0 {
                out.push(' ');
                out.push_str(HIDDEN);
                rest = &value[length..];
            }
        } else if is_secret_name(name) {
            let in_query = before.ends_with(['?', '&', ';']);
            rest = hide_value(rest, in_query, &mut out);
        }
    }
    out.push_str(rest);
    out
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_')
}

fn is_secret_name(name: &str) -> bool {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    SECRET_NAME_PARTS.iter().any(|secret| plain.contains(secret))
}

/// Writes the separator between a name and its value, and hides the value; returns the rest.
fn hide_value<'t>(after: &'t str, in_query: bool, out: &mut String) -> &'t str {
    let value = after.trim_start_matches(['"', '\'']).trim_start_matches([' ', '\t']);
    let Some(value) = value.strip_prefix(['=', ':']).filter(|value| !value.starts_with("//")) else { return after };
    let value = if in_query { value } else { value.trim_start_matches([' ', '\t']) };
    let (end, harmless) = value_extent(value, in_query);
    if harmless || end == 0 {
        return after;
    }
    out.push_str(&after[..after.len() - value.len()]);
    out.push_str(&if in_query { HIDDEN.to_owned() } else { format!("\"{HIDDEN}\"") });
    // A multi-line text keeps its line breaks, so that line numbers stay correct.
    let lines = value[..end].matches('\n').count();
    if lines > 0 {
        out.push_str(&"\n".repeat(lines));
    }
    &value[end..]
}

/// The end of a value, and whether it is harmless.
fn value_extent(value: &str, in_query: bool) -> (usize, bool) {
    if in_query {
        let end = value.find(|c: char| c.is_whitespace() || "&#\"'`<>".contains(c)).unwrap_or(value.len());
        return (end, false);
    }
    for quote in ["\"\"\"", "'''"] {
        if value.starts_with(quote) {
            return (quoted_end(value, quote), false);
        }
    }
    match value.chars().next() {
        Some(quote @ ('"' | '\'')) => {
            let line = value.find('\n').unwrap_or(value.len());
            let end = quoted_end(value, quote.encode_utf8(&mut [0; 4])).min(line);
            (end, is_requirement(value[..end].trim_matches(quote)))
        }
        // The keys of a table are checked one by one.
        Some('{') | None => (0, true),
        Some('[') => {
            let end = array_end(value);
            let texts = value[..end].split(['"', '\'']).skip(1).step_by(2);
            (end, value[..end].contains('{') || texts.into_iter().all(is_requirement))
        }
        Some(_) => {
            let is_scheme =
                |scheme: &&&str| value.get(..scheme.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(scheme));
            let scheme = ["bearer ", "basic "].iter().find(is_scheme).map_or(0, |scheme| scheme.len());
            let ends = |c: char| c.is_whitespace() || ",}]\"'`".contains(c);
            let end = value[scheme..].find(ends).map_or(value.len(), |at| scheme + at);
            (end, matches!(&value[..end], "true" | "false"))
        }
    }
}

/// The end of the quoted text at the beginning, including its last quote. A backslash escapes only between double quotes.
fn quoted_end(value: &str, quote: &str) -> usize {
    let mut at = quote.len();
    while let Some(rest) = value.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with(quote) {
            return at + quote.len();
        }
        let mut chars = rest.chars();
        let escapes = chars.next().is_some_and(|first| {
            at += first.len_utf8();
            first == '\\' && quote.starts_with('"')
        });
        if escapes {
            at += chars.next().map_or(0, char::len_utf8);
        }
    }
    value.len()
}

/// The end of the array at the beginning, including its bracket. Brackets in quoted texts are ignored.
fn array_end(value: &str) -> usize {
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(next) = value.get(at..).and_then(|rest| rest.chars().next()) {
        match next {
            '"' | '\'' => {
                at += quoted_end(value.get(at..).unwrap_or_default(), next.encode_utf8(&mut [0; 4]));
                continue;
            }
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += next.len_utf8();
        if depth == 0 {
            return at;
        }
    }
    value.len()
}

fn is_requirement(text: &str) -> bool {
    semver::VersionReq::parse(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_brackets_within_a_secret_do_not_end_it() {
        let text = r#"password = "be\"fore ZZZ"
tokens = ["a]b ZZZ", ["ZZZ"]]
secret = '''
it's ] ZZZ
'''
api_key = 'back\' # stays
"#;
        let shown = redact_credentials(text);
        assert!(!shown.contains("ZZZ") && shown.contains("# stays"), "{shown}");
        assert_eq!(shown.lines().count(), text.lines().count(), "{shown}");
    }

    #[test]
    fn credentials_are_redacted_and_toml_stays_valid() {
        let text = r#"
# registry https://me:hunter2@host/index, token = hunter2
# curl -H "Authorization: Bearer hunter2" 'https://host/x?access_token=hunter2&b=1'
[dependencies]
one = { version = "1", registry = "https://hunter2@host/", token = "hunter2" }
two = { git = "https://host/x.git?private_token=hunter2", password = 'hunter2' }
"api-key" = "hunter2"
auth_token = """
hunter2
"""
secrets = ["hunter2", "1"]
passphrase = 12345
"#;
        let plain = redact_credentials(text);
        assert!(!plain.contains("hunter2") && !plain.contains("12345"), "{plain}");
        let table: toml::Table = plain.parse().unwrap_or_else(|error| panic!("{error}: {plain}"));
        assert_eq!(table["dependencies"]["one"]["version"].as_str(), Some("1"));
        assert_eq!(plain.lines().count(), text.lines().count());
        assert!(plain.contains("?access_token=***&b=1"), "{plain}");
    }

    #[test]
    fn harmless_text_is_unchanged() {
        let text = r#"# Authors, tokens and secrets; see https://host/token
[dependencies]
token = "1"
oauth2 = { version = "4", features = ["native-tls"], default-features = false }
password-hash = ["0.4", "=0.5.0"]
ssh = { git = "ssh://git@host/x.git" }
[dependencies.2]
tokenizers = ">=0.19, <0.21"
"#;
        assert_eq!(redact_credentials(text), text);
    }
}
