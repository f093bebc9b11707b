//! The user's guide, as the verb prints it and as the pages show it.

use frostmirror::guide::CHAPTERS;

use crate::support::sandbox::Sandbox;
use crate::support::server_fixture::{MirrorTree, get};

#[test]
fn guide_prints_the_list_of_chapters_and_each_chapter() {
    let sandbox = Sandbox::new();
    let list = sandbox.run(["guide"]).ok().stdout;
    for chapter in CHAPTERS {
        assert!(list.lines().any(|line| line.starts_with(chapter.name) && line.ends_with(chapter.title())), "{list}");
        let text = sandbox.run(["guide", chapter.name]).ok().stdout;
        assert!(text.starts_with(chapter.title()) && !text.contains("<!--"), "{text}");
        // Only commands and files are as wide as they are.
        let wide = |line: &&str| line.chars().count() > 80 && !line.starts_with("    ");
        assert_eq!(text.lines().find(wide), None, "{}", chapter.name);
    }
}

#[test]
fn an_unknown_chapter_is_a_usage_error_that_lists_the_chapters() {
    Sandbox::new().run(["guide", "nonsense"]).exits(2).stderr_has("fetching");
}

#[test]
fn every_chapter_has_a_page_and_an_unknown_one_is_404() {
    let sandbox = Sandbox::new();
    let mirror = MirrorTree::at(sandbox.path("mirror"));
    mirror.add_crate(crate::support::crates::Crate::new("leaf", "1.0.0"));
    let serving = sandbox.serve(["--mirror", "mirror", "--incoming", "incoming"]);
    let accept = ["Accept: text/html"];
    let list = get(serving.url(), "/guide", &accept).text();
    for chapter in CHAPTERS {
        assert!(list.contains(&format!("./guide?chapter={}", chapter.name)), "{list}");
        let page = get(serving.url(), &format!("/guide?chapter={}", chapter.name), &accept);
        assert_eq!(page.status, 200);
        assert!(page.text().contains(&format!("<h2>{}</h2>", chapter.title())), "{}", page.text());
    }
    assert_eq!(get(serving.url(), "/guide?chapter=nonsense", &accept).status, 404);
}
