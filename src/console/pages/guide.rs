//! Guide: the chapters of the user's guide as pages.

use std::sync::Arc;

use askama::Template;
use hyper::StatusCode;
use pulldown_cmark::{CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use super::{Frame, page};
use crate::console::answer::{Outcome, Refusal};
use crate::console::asked::Asked;
use crate::console::state::State;
use crate::guide::{CHAPTERS, Chapter};

/// Wide tables scroll by themselves, also by keyboard.
const SCROLLS: &str = "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Table\">\n";

#[derive(Template)]
#[template(path = "guide.html")]
struct Guide {
    frame: Frame,
    chapters: &'static [Chapter],
    current: &'static str,
    /// The chapter as HTML; `None` on the list of chapters.
    text: Option<String>,
}

pub(super) fn show(state: &Arc<State>, asked: &Asked) -> Outcome {
    page("/guide", state, asked, |frame| {
        let Some(name) = asked.value("chapter") else {
            return Ok(Guide { frame, chapters: CHAPTERS, current: "", text: None });
        };
        let chapter = Chapter::find(name).ok_or_else(|| {
            Refusal::new(StatusCode::NOT_FOUND, "the guide has no such chapter")
                .hint("Guide, in the navigation above, lists the chapters.")
        })?;
        Ok(Guide { frame, chapters: CHAPTERS, current: chapter.name, text: Some(html(chapter.markdown)) })
    })
}

/// The chapter as HTML. Headings move down one level, because the page has a title of its own. Raw HTML is shown as text.
fn html(markdown: &str) -> String {
    let lower = |level: HeadingLevel| HeadingLevel::try_from(level as usize + 1).unwrap_or(HeadingLevel::H6);
    let own = |text: &'static str| Event::Html(CowStr::Borrowed(text));
    let events = Parser::new_ext(markdown, Options::ENABLE_TABLES).flat_map(|event| match event {
        Event::Start(Tag::Heading { level, id, classes, attrs }) => {
            vec![Event::Start(Tag::Heading { level: lower(level), id, classes, attrs })]
        }
        Event::End(TagEnd::Heading(level)) => vec![Event::End(TagEnd::Heading(lower(level)))],
        Event::Html(text) | Event::InlineHtml(text) => vec![Event::Text(text)],
        start @ Event::Start(Tag::Table(_)) => vec![own(SCROLLS), start],
        end @ Event::End(TagEnd::Table) => vec![end, own("</div>\n")],
        other => vec![other],
    });
    let mut html = String::new();
    pulldown_cmark::html::push_html(&mut html, events);
    html
}

#[cfg(test)]
mod tests {
    use super::html;

    #[test]
    fn raw_html_is_shown_as_text() {
        let page = html("# Title\n\n<script>alert(1)</script> and <b>bold</b>\n");
        assert!(page.contains("<h2>Title</h2>"), "{page}");
        assert!(!page.contains("<script>") && !page.contains("<b>"), "{page}");
    }
}
