//! The user's guide: Markdown chapters that are compiled in, because behind the gap there is no documentation site.

/// One chapter of the guide.
#[derive(Debug, Clone, Copy)]
pub struct Chapter {
    /// The name that `guide CHAPTER` takes.
    pub name: &'static str,
    /// The text as Markdown. Its first line is the title.
    pub markdown: &'static str,
}

/// Every chapter, in reading order.
pub const CHAPTERS: &[Chapter] = &[
    Chapter { name: "fetching", markdown: include_str!("guide/fetching.md") },
    Chapter { name: "approving", markdown: include_str!("guide/approving.md") },
    Chapter { name: "operating", markdown: include_str!("guide/operating.md") },
    Chapter { name: "building", markdown: include_str!("guide/building.md") },
    Chapter { name: "live-mode", markdown: include_str!("guide/live-mode.md") },
    Chapter { name: "rest-api", markdown: include_str!("guide/rest-api.md") },
    Chapter { name: "reference", markdown: include_str!("guide/reference.md") },
    Chapter { name: "troubleshooting", markdown: include_str!("guide/troubleshooting.md") },
    Chapter { name: "glossary", markdown: include_str!("guide/glossary.md") },
];

impl Chapter {
    /// The chapter with this name.
    pub fn find(name: &str) -> Option<&'static Chapter> {
        CHAPTERS.iter().find(|chapter| chapter.name == name)
    }

    /// The title: the first line without its `#`.
    pub fn title(&self) -> &'static str {
        self.markdown.lines().next().unwrap_or_default().trim_start_matches('#').trim()
    }
}

#[cfg(test)]
mod tests {
    use super::CHAPTERS;

    #[test]
    fn every_chapter_begins_with_its_title() {
        for chapter in CHAPTERS {
            assert!(chapter.markdown.starts_with("# "), "{} has no title", chapter.name);
            assert!(!chapter.title().is_empty(), "{} has an empty title", chapter.name);
        }
    }

    #[test]
    fn every_file_of_the_guide_is_a_chapter() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/guide");
        let mut files: Vec<String> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        files.sort();
        let mut chapters: Vec<String> = CHAPTERS.iter().map(|chapter| format!("{}.md", chapter.name)).collect();
        chapters.sort();
        assert_eq!(files, chapters);
    }
}
