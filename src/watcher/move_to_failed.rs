//! Moves a rejected bundle to `failed/` with its reason, and deletes it there if the settings say so.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::sync::atomic::Ordering;

use jiff::Timestamp;

use super::counters::ImportCounters;
use super::file_state::FileStamp;
use super::import_file::{display_name, file_stamp};
use super::processed::{ARRIVED_AS, ProcessedFolders};
use crate::event::Sink;
use crate::units::format_time;

/// The rejection of a bundle.
pub(super) struct Rejection<'a> {
    /// Its name in the incoming folder.
    pub(super) name: &'a OsStr,
    /// The stamp of the rejected file.
    pub(super) checked_stamp: FileStamp,
    /// The full reason; its first line is a summary.
    pub(super) reason: &'a str,
    /// Whether to keep the bundle in `failed/`.
    pub(super) keeps_file: bool,
    /// The time of the rejection.
    pub(super) now: Timestamp,
}

/// Moves the bundle to `failed/`. Returns `false` if another process moved it away before.
///
/// # Errors
/// A file system operation failed; the bundle is then unchanged.
pub(super) fn reject_bundle(
    processed_folders: &ProcessedFolders,
    refusal: &Rejection<'_>,
    tally: &ImportCounters,
    sink: &dyn Sink,
) -> io::Result<bool> {
    let Rejection { name, checked_stamp, reason, keeps_file: keep, now } = refusal;
    let when = format_time(*now);
    let Some(moved) = processed_folders.move_to_failed(name, &reason_text(reason, &when, *keep, name))? else {
        return Ok(false);
    };
    tally.rejected.fetch_add(1, Ordering::Relaxed);
    let line = first_line(reason);
    let is_checked_file = |about: &fs::Metadata| file_stamp(about) == *checked_stamp;
    let file = display_name(&moved);
    if *keep {
        sink.warning(format!("{file} was rejected and moved to failed/: {line}"));
    } else if let Err(error) = processed_folders.delete_failed(&moved, is_checked_file) {
        sink.warning(format!("{file} was rejected, but could not be deleted in failed/: {error}"));
    } else {
        sink.warning(format!("{file} was rejected and deleted; its reason is in failed/: {line}"));
    }
    Ok(true)
}

/// The text of the reason file.
pub(super) fn reason_text(reason: &str, when: &str, keep: bool, name: &OsStr) -> String {
    let then = if keep {
        "To retry, use the Packages page, or move the bundle back to the incoming folder."
    } else {
        "To retry, copy the bundle to the incoming folder again."
    };
    let reason = reason.trim_end();
    let mut text = format!("{reason}\n\nRejected at {when}; the mirror is unchanged. {then}\n");
    // Any other name could not be parsed from the text.
    if let Some(name) = name.to_str().filter(|name| display_name(OsStr::new(name)) == *name) {
        text.push_str(&format!("{ARRIVED_AS}{name}\n"));
    }
    text
}

pub(super) fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
