//! What an import says while it runs, and of what it did.

use super::Imported;
use crate::bundle::format::Manifest;
use crate::event::{self, Event, Phase, Sink};
use crate::mirror::layout::Layout;
use crate::mirror::link::{self, LinkState};

/// How much there is to read.
pub(super) fn begin(manifest: &Manifest) -> Event {
    let (items, bytes) =
        manifest.entries().fold((0, 0u64), |(n, bytes), entry| (n + 1, bytes.saturating_add(entry.size)));
    Event::Begin { phase: Phase::Importing, items, bytes }
}

/// Puts `crates/index` right. What was placed is placed by now, so that a failure is a warning.
pub(in crate::mirror) fn restore_link(layout: &Layout, sink: &dyn Sink) -> LinkState {
    let path = layout.index_link();
    let shown = path.display();
    let restored = match link::restore(layout) {
        Ok(restored) => restored,
        Err(error) => {
            sink.warning(format!("all is placed, but `{shown}` could not be made a link: {error}: {}", error.source));
            return link::link_state(layout);
        }
    };
    if restored.state == LinkState::NoLinks {
        sink.warning(format!(
            "`{shown}` cannot be a link on this file system, so cargo's local-registry does not see the index; \
             use `cargo frostmirror serve`"
        ));
    } else if let Some(aside) = &restored.aside {
        sink.warning(format!(
            "`{shown}` was a folder with content that the index lacks; it is a link again, and the folder is kept as `{}`",
            aside.display()
        ));
    } else if !matches!(restored.before, LinkState::Good | LinkState::Missing) {
        sink.warning(format!("`{shown}` was {}; it is a link to ../index again", restored.before));
    }
    restored.state
}

/// What came of it.
pub(super) fn report(imported: &Imported, notes: &[String], file: &str, sink: &dyn Sink) {
    for note in notes {
        sink.warning(note.clone());
    }
    let Imported { crates_new, crates_mended, .. } = imported;
    if imported.already {
        sink.status("Unchanged", format!("{file} is already imported"));
        return;
    }
    let count = event::contents(crates_new + crates_mended, imported.artifacts_new);
    sink.status("Imported", format!("{count} ({}) of {file}", event::size(imported.bytes_new)));
    if *crates_mended > 0 {
        sink.status("Mended", format!("{} whose file no longer had its digest", event::crates(*crates_mended)));
    }
}
