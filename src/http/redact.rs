//! URLs and texts prepared for display: without credentials and control characters.

/// Maximum number of characters that are shown of an upstream's text.
pub(super) const MAX_EXCERPT_CHARS: usize = 512;

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
        _ => sanitize_excerpt(url.rsplit_once('@').map_or(url, |(_, rest)| rest)),
    }
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
