//! Formats times, numbers and links for the pages.

use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// The unreserved characters of RFC 3986, which stay unencoded in a link.
const LINK_SAFE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A time in machine-readable and human-readable form.
pub(super) struct DisplayTime {
    /// RFC 3339, UTC; `None` if unknown.
    pub(super) iso: Option<String>,
    pub(super) text: String,
}

impl DisplayTime {
    pub(super) fn new(time: Timestamp) -> DisplayTime {
        DisplayTime {
            iso: Some(time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
            text: time.strftime("%Y-%m-%d %H:%M UTC").to_string(),
        }
    }

    /// Parses a recorded time; an invalid one counts as unknown.
    pub(super) fn parse(text: &str) -> DisplayTime {
        text.parse().map_or_else(|_| DisplayTime::placeholder("unknown"), DisplayTime::new)
    }

    /// No time, with a replacement text.
    pub(super) fn placeholder(text: &str) -> DisplayTime {
        DisplayTime { iso: None, text: text.to_owned() }
    }
}

pub(super) use crate::units::format_count;

/// A counted noun: `1 bundle`, `1,234 bundles`.
pub(super) fn format_quantity(number: u64, one: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {one}{plural}", format_count(number))
}

/// Encodes `text` as one component of a link's path or query.
pub(super) fn encode_component(text: &str) -> String {
    utf8_percent_encode(text, LINK_SAFE).to_string()
}

/// The position in a paginated list.
pub(super) struct Pager {
    pub(super) page: usize,
    pub(super) last: usize,
    /// The link to a page, without its number.
    pub(super) link: String,
    /// The fragment of the link.
    pub(super) anchor: &'static str,
    pub(super) label: &'static str,
    /// The labels of the links to the previous and the next page.
    pub(super) words: [&'static str; 2],
}

impl Pager {
    /// Paginates a list of `items`, `size` per page, at page `page` (from 1); an out-of-range page becomes the nearest one.
    pub(super) fn new(items: usize, size: usize, page: usize, link: String) -> Pager {
        let last = items.div_ceil(size).max(1);
        Pager { page: page.clamp(1, last), last, link, anchor: "", label: "Pages", words: ["Previous", "Next"] }
    }

    fn link_to(&self, page: usize) -> Option<String> {
        (1..=self.last).contains(&page).then(|| format!("{}{page}{}", self.link, self.anchor))
    }

    pub(super) fn before(&self) -> Option<String> {
        self.link_to(self.page - 1)
    }

    pub(super) fn after(&self) -> Option<String> {
        self.link_to(self.page + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_numbers() {
        let moment = DisplayTime::parse("2026-01-02T03:04:05Z");
        assert_eq!(moment.iso.as_deref(), Some("2026-01-02T03:04:05Z"));
        assert_eq!(moment.text, "2026-01-02 03:04 UTC");
        assert_eq!(DisplayTime::parse("<b>").text, "unknown");
        assert_eq!(
            (format_quantity(1, "bundle"), format_quantity(1234, "bundle")),
            ("1 bundle".to_owned(), "1,234 bundles".to_owned())
        );
        assert_eq!(encode_component("a+b/\"ü&"), "a%2Bb%2F%22%C3%BC%26");
    }

    #[test]
    fn the_pager_ends_with_the_list() {
        let pages = |page| Pager::new(101, 50, page, "?page=".to_owned());
        assert_eq!((pages(0).page, pages(9).page, pages(3).page), (1, 3, 3));
        assert_eq!((pages(1).before(), pages(1).after()), (None, Some("?page=2".to_owned())));
        assert_eq!(pages(3).after(), None);
        assert_eq!(Pager::new(0, 50, 1, String::new()).last, 1);
    }
}
