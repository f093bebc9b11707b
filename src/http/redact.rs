//! URLs and texts prepared for display: without credentials and control characters.

/// Maximum number of characters that are shown of an upstream's text.
const MAX_EXCERPT_CHARS: usize = 512;

/// Maximum number of characters that are shown of the first line of an upstream's text.
const MAX_LINE_CHARS: usize = 200;

/// `url` without user name, password and query (which may contain a signature), for messages.
pub fn redact_url(url: &str) -> String {
    match reqwest::Url::parse(url) {
        Ok(mut url) if url.has_host() => {
            // These fail only for URLs without a host, which have no credentials either.
            let cleared = url.set_username("").and_then(|()| url.set_password(None));
            url.set_query(None);
            url.set_fragment(None);
            if cleared.is_ok() { url.into() } else { "(an address)".to_owned() }
        }
        _ => {
            let url = url.split(['?', '#']).next().unwrap_or(url);
            sanitize_excerpt(url.rsplit_once('@').map_or(url, |(_, rest)| rest))
        }
    }
}

/// `text` with every URL in it reduced as by [`redact_url`]: other programs print URLs with credentials.
pub fn redact_urls(text: &str) -> String {
    let ends_url =
        |c: char| c.is_whitespace() || matches!(c, '`' | '\'' | '"' | '<' | '>' | '(' | ')' | '|' | '{' | '}');
    let is_scheme = |c: char| c.is_ascii_alphanumeric() || c == '+' || c == '-';
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        let text_before = before.trim_end_matches(is_scheme);
        let scheme = before.strip_prefix(text_before).unwrap_or_default();
        let text_after = after.trim_start_matches(|c| !ends_url(c));
        let url = format!("{scheme}://{}", after.strip_suffix(text_after).unwrap_or(after));
        out.push_str(text_before);
        out.push_str(&if url.contains(['@', '?']) { redact_url(&url) } else { url });
        rest = text_after;
    }
    out.push_str(rest);
    out
}

/// The first line of an untrusted text, cut after 200 characters, with control characters escaped.
pub(super) fn first_line(text: &str) -> String {
    let line = text.trim_start().lines().next().unwrap_or_default().trim_end();
    let shown: String = line.chars().take(MAX_LINE_CHARS).collect();
    let cut = if shown.len() < line.len() { "…" } else { "" };
    format!("{}{cut}", sanitize_excerpt(&shown))
}

/// At most 512 characters of an untrusted text, with control characters escaped and whitespace at the ends removed.
pub(super) fn sanitize_excerpt(text: &str) -> String {
    let mut out = String::new();
    for c in text.trim().chars().take(MAX_EXCERPT_CHARS) {
        match c {
            '\n' | ' ' => out.push(c),
            c if c.is_control() || is_invisible_or_bidi(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

/// Characters that change the direction or the look of the text around them.
fn is_invisible_or_bidi(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_short_line_of_an_untrusted_text_is_shown() {
        assert_eq!(first_line("\n no such crate \nsecond line"), "no such crate");
        assert_eq!(first_line("a\u{1b}[2Jb\tc"), "a\\u{1b}[2Jb\\u{9}c");
        assert_eq!(first_line(&"ä".repeat(201)), format!("{}…", "ä".repeat(200)));
        assert_eq!(first_line(&"ä".repeat(200)), "ä".repeat(200));
    }

    #[test]
    fn urls_in_a_text_lose_their_secrets() {
        for (text, shown) in [
            (
                "    Updating git repository `https://me:pa%20ss@host/a?token=x#y`",
                "    Updating git repository `https://host/a`",
            ),
            (
                "fetch ssh://git@host/a and sparse+https://u:p@h/i/ failed",
                "fetch ssh://host/a and sparse+https://h/i/ failed",
            ),
            ("https://h/plain stays, as does a@b", "https://h/plain stays, as does a@b"),
            ("ä https://x:secret@h", "ä https://h/"),
            ("no url", "no url"),
        ] {
            assert_eq!(redact_urls(text), shown);
            assert!(!redact_urls(text).contains("secret"));
        }
    }
}
