//! Addresses as they may be shown: without credentials, without control characters.

/// Characters of an upstream's own words that are shown at most.
pub(super) const MAX_EXCERPT_CHARS: usize = 512;

/// `url` without the user's name, password and query (which may hold a signature), for messages.
pub fn redact_url(url: &str) -> String {
    match reqwest::Url::parse(url) {
        Ok(mut url) if url.has_host() => {
            // These fail only for addresses without a host, which have no credentials either.
            let cleared = url.set_username("").and_then(|()| url.set_password(None));
            url.set_query(None);
            url.set_fragment(None);
            if cleared.is_ok() { url.into() } else { "(an address)".to_owned() }
        }
        _ => sanitize_excerpt(url.rsplit_once('@').map_or(url, |(_, rest)| rest)),
    }
}

/// At most 512 characters of what somebody else wrote, control characters escaped, blanks at the ends cut.
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
