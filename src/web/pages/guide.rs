//! The Guide page: the chapters of the user's guide.

use std::sync::Arc;

use askama::Template;
use hyper::StatusCode;
use pulldown_cmark::{CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use super::frame::{Frame, render_page};
use crate::guide::{CHAPTERS, Chapter};
use crate::web::request::WebRequest;
use crate::web::response::{ApiError, HandlerResult};
use crate::web::state::WebState;

#[derive(Template)]
#[template(path = "guide.html")]
struct GuidePage {
    frame: Frame,
    chapters: &'static [Chapter],
    current: &'static str,
    /// The chapter as HTML; `None` for the list of chapters.
    text: Option<String>,
}

pub(super) fn show(state: &Arc<WebState>, request: &WebRequest) -> HandlerResult {
    render_page("/guide", state, request, |frame| {
        let Some(name) = request.query_value("chapter") else {
            return Ok(GuidePage { frame, chapters: CHAPTERS, current: "", text: None });
        };
        let chapter = Chapter::find(name).ok_or_else(|| {
            ApiError::new(StatusCode::NOT_FOUND, "the guide has no such chapter")
                .with_hint("Open Guide in the navigation above to list the chapters.")
        })?;
        Ok(GuidePage {
            frame,
            chapters: CHAPTERS,
            current: chapter.name,
            text: Some(render_markdown(&chapter.markdown())),
        })
    })
}

/// Renders the chapter as HTML. The name of another chapter becomes a link. Headings move down one level, because the page
/// has its own title. Tables and code blocks are named after the heading above them, and scroll on their own, also by
/// keyboard. Raw HTML is shown as text.
fn render_markdown(markdown: &str) -> String {
    let lower = |level: HeadingLevel| HeadingLevel::try_from(level as usize + 1).unwrap_or(HeadingLevel::H6);
    let (mut heading, mut in_heading) = (String::new(), false);
    let mut names_chapter = false;
    // Two examples under one heading get different names.
    let mut examples = 0;
    let events = Parser::new_ext(markdown, Options::ENABLE_TABLES).flat_map(|event| match event {
        Event::Start(Tag::Heading { level, id, classes, attrs }) => {
            (heading, in_heading) = (String::new(), true);
            vec![Event::Start(Tag::Heading { level: lower(level), id, classes, attrs })]
        }
        Event::End(TagEnd::Heading(level)) => {
            in_heading = false;
            vec![Event::End(TagEnd::Heading(lower(level)))]
        }
        Event::Start(Tag::CodeBlock(_)) => {
            examples += 1;
            let name = escaped(&format!("{heading}: example {examples}"));
            let start = format!("<pre tabindex=\"0\" role=\"region\" aria-label=\"{name}\"><code>");
            vec![Event::Html(CowStr::from(start))]
        }
        Event::Html(text) | Event::InlineHtml(text) => vec![Event::Text(text)],
        Event::Start(Tag::Table(_)) => vec![Event::Html(CowStr::from(table_start(&heading)))],
        end @ Event::End(TagEnd::Table) => vec![end, Event::Html(CowStr::Borrowed("</div>\n"))],
        Event::Code(name) if names_chapter && Chapter::find(&name).is_some() => {
            let link = format!("<a href=\"./guide?chapter={name}\">{name}</a>");
            vec![Event::InlineHtml(CowStr::from(link))]
        }
        other => {
            if let (true, Event::Text(text) | Event::Code(text)) = (in_heading, &other) {
                heading.push_str(text);
            }
            // "the chapter `NAME`" becomes a link; a line may end between the two words.
            names_chapter = match &other {
                Event::Text(text) => text.trim_end().ends_with("chapter"),
                Event::SoftBreak => names_chapter,
                _ => false,
            };
            vec![other]
        }
    });
    let mut html = String::new();
    pulldown_cmark::html::push_html(&mut html, events);
    html
}

/// Escapes `text` for an attribute in double quotes.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    pulldown_cmark::html::push_html(&mut escaped, std::iter::once(Event::Text(CowStr::Borrowed(text))));
    escaped.replace('"', "&quot;")
}

fn table_start(name: &str) -> String {
    let name = escaped(name);
    format!(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{name}\">\n<table aria-label=\"{name}\">\n"
    )
}

#[cfg(test)]
mod tests {
    use super::render_markdown;

    #[test]
    fn raw_html_is_shown_as_text() {
        let page = render_markdown("# Title\n\n<script>alert(1)</script> and <b>bold</b>\n");
        assert!(page.contains("<h2>Title</h2>"), "{page}");
        assert!(!page.contains("<script>") && !page.contains("<b>"), "{page}");
    }

    #[test]
    fn a_code_block_has_a_name_of_its_own() {
        let page = render_markdown("# Title\n\n## Go\n\n```console\n$ a\n```\n\n```console\n$ b\n```\n");
        assert!(page.contains("aria-label=\"Go: example 1\"><code>$ a\n</code></pre>"), "{page}");
        assert!(page.contains("aria-label=\"Go: example 2\"><code>$ b\n</code></pre>"), "{page}");
    }

    #[test]
    fn the_name_of_a_chapter_is_a_link() {
        let page = render_markdown(
            "# Title\n\nSee the chapter `operating`, not `operating` or the chapter\n`glossary`, nor chapter `x`.\n",
        );
        assert_eq!(page.matches("<a href=").count(), 2, "{page}");
        assert!(page.contains("<a href=\"./guide?chapter=glossary\">glossary</a>"), "{page}");
    }

    #[test]
    fn a_table_bears_the_name_of_its_heading() {
        let page = render_markdown("# Title\n\n## Keys & \"values\"\n\n| a | b |\n|---|---|\n| 1 | 2 |\n");
        assert!(page.contains("<table aria-label=\"Keys &amp; &quot;values&quot;\">"), "{page}");
        assert!(page.contains("<td>1</td>") && page.contains("</tbody></table>\n</div>"), "{page}");
    }
}
