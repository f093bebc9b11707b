//! The user's guide: Markdown chapters compiled into the binary, because the offline side has no documentation site.
//!
//! HTML comments in a chapter are for tests: they mark a command block to run, or a table generated from the code.

mod text;

/// One chapter of the guide.
#[derive(Debug, Clone, Copy)]
pub struct Chapter {
    /// The name that `guide CHAPTER` takes.
    pub name: &'static str,
    /// The file: Markdown with the comments for tests. Its first line is the title.
    pub source: &'static str,
}

/// Every chapter, in reading order.
pub const CHAPTERS: &[Chapter] = &[
    Chapter { name: "fetching", source: include_str!("guide/fetching.md") },
    Chapter { name: "approving", source: include_str!("guide/approving.md") },
    Chapter { name: "operating", source: include_str!("guide/operating.md") },
    Chapter { name: "building", source: include_str!("guide/building.md") },
    Chapter { name: "live-mode", source: include_str!("guide/live-mode.md") },
    Chapter { name: "rest-api", source: include_str!("guide/rest-api.md") },
    Chapter { name: "reference", source: include_str!("guide/reference.md") },
    Chapter { name: "troubleshooting", source: include_str!("guide/troubleshooting.md") },
    Chapter { name: "glossary", source: include_str!("guide/glossary.md") },
];

impl Chapter {
    /// The chapter with this name.
    pub fn find(name: &str) -> Option<&'static Chapter> {
        CHAPTERS.iter().find(|chapter| chapter.name == name)
    }

    /// The title: the first line without its `#`.
    pub fn title(&self) -> &'static str {
        self.source.lines().next().unwrap_or_default().trim_start_matches('#').trim()
    }

    /// The chapter as Markdown, without the comments for tests.
    pub fn markdown(&self) -> String {
        let lines = self.source.lines().filter(|line| !line.starts_with("<!-- "));
        lines.flat_map(|line| [line, "\n"]).collect()
    }

    /// The chapter as text of at most `width` columns, for a terminal or a pager.
    pub fn text(&self, width: usize) -> String {
        text::render(&self.markdown(), width)
    }
}

#[cfg(test)]
mod tests {
    use super::CHAPTERS;

    #[test]
    fn every_chapter_begins_with_its_title() {
        for chapter in CHAPTERS {
            assert!(chapter.source.starts_with("# "), "{} has no title", chapter.name);
            assert!(!chapter.title().is_empty(), "{} has an empty title", chapter.name);
        }
    }

    #[test]
    fn every_file_of_the_guide_is_a_chapter() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/guide");
        let mut files: Vec<String> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        files.retain(|name| name.ends_with(".md"));
        files.sort();
        let mut chapters: Vec<String> = CHAPTERS.iter().map(|chapter| format!("{}.md", chapter.name)).collect();
        chapters.sort();
        assert_eq!(files, chapters);
    }
}
