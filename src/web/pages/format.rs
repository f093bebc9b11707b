//! Formats times, numbers and links for the pages.

use std::fmt;

use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::units::{format_time, plural_of};

/// The unreserved characters of RFC 3986, which stay unencoded in a link.
const LINK_SAFE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A time as an HTML element, for machines and people; or a fixed text if there is none.
pub(super) enum DisplayTime {
    Known(Timestamp),
    Missing(&'static str),
}

impl DisplayTime {
    /// Parses a recorded time; an invalid one counts as unknown.
    pub(super) fn parse(text: &str) -> DisplayTime {
        text.parse().map_or(DisplayTime::Missing("unknown"), DisplayTime::Known)
    }

    /// The time for people.
    pub(super) fn text(&self) -> String {
        match self {
            DisplayTime::Known(time) => time.strftime("%Y-%m-%d %H:%M UTC").to_string(),
            DisplayTime::Missing(text) => (*text).to_owned(),
        }
    }
}

impl fmt::Display for DisplayTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DisplayTime::Known(time) => {
                let iso = format_time(*time);
                write!(f, "<time datetime=\"{iso}\">{}</time>", self.text())
            }
            DisplayTime::Missing(text) => f.write_str(text),
        }
    }
}

/// It is written by this program alone, and has no text of others.
impl askama::filters::HtmlSafe for DisplayTime {}

pub(super) use crate::units::format_count;

/// A counted noun: `1 bundle`, `1,234 bundles`.
pub(super) fn format_quantity(number: u64, one: &str) -> String {
    format!("{} {}", format_count(number), plural_of(number, one))
}

/// Encodes `text` as one component of a link's path or query.
pub(super) fn encode_component(text: &str) -> String {
    utf8_percent_encode(text, LINK_SAFE).to_string()
}

/// The filters of the templates.
pub(super) mod filters {
    use askama::{Result, Values, filter_fn};

    use super::DisplayTime;

    /// A number, or a reference to it, as templates pass it.
    pub(in crate::web::pages) trait Number {
        fn number(&self) -> u64;
    }

    impl Number for u64 {
        fn number(&self) -> u64 {
            *self
        }
    }

    impl Number for usize {
        fn number(&self) -> u64 {
            *self as u64
        }
    }

    impl<N: Number> Number for &N {
        fn number(&self) -> u64 {
            (**self).number()
        }
    }

    #[filter_fn]
    pub(in crate::web::pages) fn size(bytes: impl Number, _: &dyn Values) -> Result<String> {
        Ok(crate::event::format_size(bytes.number()))
    }

    #[filter_fn]
    pub(in crate::web::pages) fn count(number: impl Number, _: &dyn Values) -> Result<String> {
        Ok(super::format_count(number.number()))
    }

    #[filter_fn]
    pub(in crate::web::pages) fn quantity(number: impl Number, _: &dyn Values, one: &str) -> Result<String> {
        Ok(super::format_quantity(number.number(), one))
    }

    #[filter_fn]
    pub(in crate::web::pages) fn time(text: impl AsRef<str>, _: &dyn Values) -> Result<DisplayTime> {
        Ok(DisplayTime::parse(text.as_ref()))
    }

    #[filter_fn]
    pub(in crate::web::pages) fn component(text: impl AsRef<str>, _: &dyn Values) -> Result<String> {
        Ok(super::encode_component(text.as_ref()))
    }

    #[filter_fn]
    pub(in crate::web::pages) fn sentence(text: impl AsRef<str>, _: &dyn Values) -> Result<String> {
        Ok(super::sentence(text.as_ref()))
    }
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
    pub(super) labels: [&'static str; 2],
}

impl Pager {
    /// Paginates a list of `items`, `size` per page, at page `page` (from 1); an out-of-range page becomes the nearest one.
    pub(super) fn new(items: usize, size: usize, page: usize, link: String) -> Pager {
        let last = items.div_ceil(size).max(1);
        Pager { page: page.clamp(1, last), last, link, anchor: "", label: "Pages", labels: ["Previous", "Next"] }
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

/// An error's message as a page shows it, with a capital letter and a full stop. A name at its start, such as
/// `manifest.json` or `crates.io`, stays as it is.
pub(super) fn sentence(text: &str) -> String {
    let word = text.split_whitespace().next().unwrap_or_default();
    let is_name = word.trim_end_matches([':', ',', '.', '!', '?']).contains(['.', '/', '_', ':']);
    let mut chars = text.chars();
    let first: String =
        chars.next().map(|c| if is_name { c.into() } else { c.to_uppercase().collect() }).unwrap_or_default();
    let end = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{end}", chars.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_numbers() {
        let shown = "<time datetime=\"2026-01-02T03:04:05Z\">2026-01-02 03:04 UTC</time>";
        assert_eq!(DisplayTime::parse("2026-01-02T03:04:05Z").to_string(), shown);
        assert_eq!(DisplayTime::parse("<b>").to_string(), "unknown");
        assert_eq!(
            (format_quantity(1, "bundle"), format_quantity(1234, "bundle")),
            ("1 bundle".to_owned(), "1,234 bundles".to_owned())
        );
        assert_eq!(encode_component("a+b/\"ü&"), "a%2Bb%2F%22%C3%BC%26");
    }

    #[test]
    fn sentences_begin_with_a_capital_letter_unless_they_begin_with_a_name() {
        for (text, expected) in [
            ("the disk is full", "The disk is full."),
            ("error: no space!", "Error: no space!"),
            ("manifest.json is damaged", "manifest.json is damaged."),
            ("crates.io does not answer", "crates.io does not answer."),
            ("base_url is invalid", "base_url is invalid."),
            ("", "."),
        ] {
            assert_eq!(sentence(text), expected);
        }
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
