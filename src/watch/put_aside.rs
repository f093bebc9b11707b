//! What becomes of a bundle that was refused: it goes to `failed/` with its reason, and from there where it is not kept.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::sync::atomic::Ordering;

use jiff::Timestamp;

use super::settle::Stamp;
use super::shelves::{ARRIVED_AS, Shelves};
use super::take::{shown, stamp_of};
use super::{Tally, first_line};
use crate::event::Sink;

/// A verdict over a bundle.
pub(super) struct Refusal<'a> {
    /// Its name in the incoming folder.
    pub(super) name: &'a OsStr,
    /// The file that was judged.
    pub(super) judged: Stamp,
    /// Why, in full; its first line is a summary.
    pub(super) reason: &'a str,
    /// Whether the bundle is kept in `failed/`.
    pub(super) keep: bool,
    /// When.
    pub(super) now: Timestamp,
}

/// Moves the bundle to `failed/`; `false` where somebody else took it away before.
///
/// # Errors
/// The file system's; the bundle is then where it was.
pub(super) fn put_aside(shelves: &Shelves, refusal: &Refusal<'_>, tally: &Tally, sink: &dyn Sink) -> io::Result<bool> {
    let Refusal { name, judged, reason, keep, now } = refusal;
    let when = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let Some(moved) = shelves.failed(name, &text(reason, &when, *keep, name))? else { return Ok(false) };
    tally.refused.fetch_add(1, Ordering::Relaxed);
    let line = first_line(reason);
    let is_judged = |about: &fs::Metadata| stamp_of(about) == *judged;
    let file = shown(&moved);
    if *keep {
        sink.warning(format!("{file} was refused, and is in failed/: {line}"));
    } else if let Err(error) = shelves.delete_failed(&moved, is_judged) {
        sink.warning(format!("{file} was refused, and could not be deleted in failed/: {error}"));
    } else {
        sink.warning(format!("{file} was refused; its reason is in failed/: {line}"));
    }
    Ok(true)
}

/// The text beside a refused bundle.
pub(super) fn text(reason: &str, when: &str, keep: bool, name: &OsStr) -> String {
    let then = if keep {
        "To retry, use the page Packages or move the bundle back to the incoming folder."
    } else {
        "To retry, bring the bundle again."
    };
    let reason = reason.trim_end();
    let mut text = format!("{reason}\n\nRefused at {when}; the mirror is unchanged. {then}\n");
    // Another text could not be read back.
    if let Some(name) = name.to_str().filter(|name| shown(OsStr::new(name)) == *name) {
        text.push_str(&format!("{ARRIVED_AS}{name}\n"));
    }
    text
}
