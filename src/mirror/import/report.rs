//! Reports the progress and the result of an import.

use super::{ImportReport, Step};
use crate::bundle::format::Manifest;
use crate::event::{self, Event, Phase, Sink};
use crate::mirror::index_link::{self, LinkState};
use crate::mirror::layout::Layout;

/// The event that states how much there is to read.
pub(super) fn begin_event(manifest: &Manifest) -> Event {
    let (items, bytes) =
        manifest.entries().fold((0, 0u64), |(n, bytes), entry| (n + 1, bytes.saturating_add(entry.size)));
    Event::Begin { phase: Phase::Importing, items, bytes }
}

/// Names each file that the import added or changed.
pub(super) fn report_stored_files(layout: &Layout, steps: &[Step], sink: &dyn Sink) {
    for step in steps {
        let verb = if step.root == layout.index() { "Merged" } else { "Stored" };
        for rename in &step.renames {
            let path = step.root.join(&*rename.path);
            if path.starts_with(layout.private()) || path == layout.summary() {
                continue;
            }
            sink.detail(verb, path.strip_prefix(layout.root()).unwrap_or(&path).display().to_string());
        }
    }
}

/// Restores `crates/index`. The import is committed by now, so a failure is only a warning.
pub(in crate::mirror) fn restore_link(layout: &Layout, sink: &dyn Sink) -> LinkState {
    let path = layout.index_link();
    let shown = path.display();
    let restored = match index_link::restore(layout) {
        Ok(restored) => restored,
        Err(error) => {
            sink.warning(format!(
                "the import is complete, but the link `{shown}` could not be restored: {error}: {}",
                error.source
            ));
            return index_link::link_state(layout);
        }
    };
    if restored.state == LinkState::Unsupported {
        sink.warning(format!(
            "this file system does not support the link `{shown}`, so cargo's local-registry does not find the index; \
             use `cargo frostmirror serve`"
        ));
    } else if let Some(aside) = &restored.moved_to {
        sink.warning(format!(
            "`{shown}` was a folder with content that the index lacks; the link is restored, and the folder was moved to `{}`",
            aside.display()
        ));
    } else if !matches!(restored.previous, LinkState::Good | LinkState::Missing) {
        sink.warning(format!("`{shown}` was {}; the link to ../index is restored", restored.previous));
    }
    restored.state
}

/// Reports the result.
pub(super) fn report_import(
    imported: &ImportReport,
    warnings: &[String],
    file: &str,
    layout: &Layout,
    sink: &dyn Sink,
) {
    for note in warnings {
        sink.warning(layout.fill_in(note));
    }
    let ImportReport { crates_new, crates_repaired: crates_mended, crates_completed, dist_files_completed, .. } =
        imported;
    if crates_completed + dist_files_completed > 0 {
        let count = event::format_contents(*crates_completed, *dist_files_completed);
        sink.status("Completed", format!("an interrupted import, which had already stored {count} of {file}"));
    }
    if imported.already_imported {
        sink.status("Unchanged", format!("{file} is already imported, and nothing changed"));
        return;
    }
    let count = event::format_contents(
        crates_new + crates_mended + crates_completed,
        imported.dist_files_new + dist_files_completed,
    );
    let size = event::format_size(imported.bytes_new);
    let size = if crates_completed + dist_files_completed > 0 { format!("{size} in this run") } else { size };
    sink.status("Imported", format!("{count} ({size}) of {file}"));
    if *crates_mended > 0 {
        sink.status("Repaired", format!("{} whose file was corrupt", event::format_crates(*crates_mended)));
    }
}
