//! Reports the progress and the result of an import.

use crate::bundle::format::Manifest;
use crate::config::SnapshotFile;
use crate::event::{self, Event, Phase, Sink};
use crate::mirror::guard::WriteGuard;
use crate::mirror::index_link::{self, LinkState};
use crate::mirror::layout::Layout;
use crate::mirror::summary::Counts;
use crate::safe_path::SafePath;
use crate::units::pluralize;

/// The result of an import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportReport {
    /// The bundle's id.
    pub id: String,
    /// Crates in the bundle.
    pub crates: u64,
    /// Crates that the mirror did not have.
    pub crates_new: u64,
    /// Stored crates whose file had other bytes.
    pub crates_repaired: u64,
    /// Those of them whose file was of another bundle, or was altered together with its index line.
    pub crates_replaced: u64,
    /// Dist files that the mirror did not have.
    pub dist_files_new: u64,
    /// Bytes of the crates and dist files that were added.
    pub bytes_new: u64,
    /// Index files that changed.
    pub index_changed: u64,
    /// The content of the mirror after the import.
    pub counts: Counts,
    /// The bundle was already recorded, and all its content was stored.
    pub already_imported: bool,
    /// Whether manifest.json was written again, although nothing else changed: a killed collection had left wrong counts.
    pub summary_rewritten: bool,
    /// The state of `crates/index` after the import.
    pub link: LinkState,
    /// A snapshot's configuration; the import does not install it.
    pub config: Vec<SnapshotFile>,
    /// Whether `index/config.json` was written.
    pub config_json: bool,
}

/// The event that states how much there is to read.
pub(super) fn begin_event(manifest: &Manifest) -> Event {
    let (items, bytes) =
        manifest.entries().fold((0, 0u64), |(n, bytes), entry| (n + 1, bytes.saturating_add(entry.size)));
    Event::Begin { phase: Phase::Importing, items, bytes }
}

/// Names each file that the import added or changed.
pub(super) fn report_stored_files(paths: &[SafePath], sink: &dyn Sink) {
    for path in paths.iter().map(SafePath::as_str) {
        match path {
            "manifest.json" => {}
            _ if path.starts_with(".frostmirror/") => {}
            _ if path.starts_with("index/") => sink.detail("Merged", path.to_owned()),
            _ => sink.detail("Stored", path.to_owned()),
        }
    }
}

/// Restores `crates/index`. The import is committed by now, so a failure is only a warning.
pub(in crate::mirror) fn restore_link(guard: &WriteGuard, sink: &dyn Sink) -> LinkState {
    let layout = guard.layout();
    let path = layout.index_link();
    let shown = path.display();
    let restored = match index_link::restore(guard) {
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
    let ImportReport { crates_new, crates_repaired: crates_mended, .. } = imported;
    if imported.already_imported {
        match imported.summary_rewritten {
            true => sink.status("Restored", format!("manifest.json of the mirror; {file} was imported before")),
            false => sink.status("Unchanged", format!("{file} is already imported, and nothing changed")),
        }
        return;
    }
    let (files, index_files) = (crates_new + crates_mended + imported.dist_files_new, imported.index_changed);
    if files > 0 {
        let count = event::format_contents(crates_new + crates_mended, imported.dist_files_new);
        sink.status("Imported", format!("{count} ({}) of {file}", event::format_size(imported.bytes_new)));
    } else if index_files > 0 {
        let count = pluralize(index_files, "index file");
        sink.status("Imported", format!("{file}: it changed {count}; its crates were already stored"));
    } else {
        sink.status("Imported", format!("the record of {file}; its content was already stored"));
    }
    let corrupt = crates_mended.saturating_sub(imported.crates_replaced);
    if corrupt > 0 {
        sink.status("Repaired", format!("{} whose file was corrupt", event::format_crates(corrupt)));
    }
    if imported.crates_replaced > 0 {
        let count = event::format_crates(imported.crates_replaced);
        sink.status("Replaced", format!("{count} whose stored file came from another bundle or was altered"));
    }
}
