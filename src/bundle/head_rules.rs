//! The rules for the fields that manifests of all versions have.

use jiff::{SignedDuration, Timestamp};

use super::format::{
    BundleKind, FormatVersion, ID_DIGITS, Lineage, MAX_FILE_NAME_LENGTH, MAX_NAME_LENGTH, MAX_NAMES, Parent,
    json_length,
};
use super::invalid_manifest::InvalidManifest;
use super::sequence::{FIRST_TIMESTAMP_SEQUENCE, is_time as is_time_number, time_of};

/// The fields that manifests of all versions have.
pub(super) struct Head<'m> {
    pub(super) format: FormatVersion,
    pub(super) expected_format: FormatVersion,
    pub(super) id: &'m str,
    pub(super) tool: &'m str,
    pub(super) created: &'m str,
    pub(super) index_read: &'m str,
    pub(super) kind: BundleKind,
    pub(super) parent: Option<&'m Parent>,
    pub(super) targets: &'m Vec<String>,
    pub(super) toolchains: &'m Vec<String>,
    pub(super) lineage: LineagePosition<'m>,
}

/// The place of a bundle in its lineage.
#[derive(Clone, Copy)]
pub(super) struct LineagePosition<'m> {
    pub(super) id: &'m str,
    pub(super) sequence: u64,
    pub(super) previous: Option<&'m str>,
}

impl<'m> LineagePosition<'m> {
    pub(super) fn of(lineage: &'m Lineage) -> LineagePosition<'m> {
        LineagePosition { id: &lineage.id, sequence: lineage.sequence, previous: lineage.previous.as_deref() }
    }

    /// Whether it has a number. The first bundle of a history has number 1. Numbers that are times have no predecessor, so
    /// the greater numbers, which are no times, would have none either.
    pub(super) fn has_valid_number(self) -> bool {
        self.sequence > 0 && (!is_time_number(self.sequence) || time_of(self.sequence).is_some())
    }

    /// Whether it states the bundle before it, if its number shows that there is one.
    pub(super) fn has_valid_predecessor(self) -> bool {
        match self.previous {
            Some(id) => is_id(id) && (2..FIRST_TIMESTAMP_SEQUENCE).contains(&self.sequence),
            None => !(2..FIRST_TIMESTAMP_SEQUENCE).contains(&self.sequence),
        }
    }
}

/// Checks the fields that manifests of all versions have, among them texts that end up in records and in every snapshot.
pub(super) fn check_head(manifest: &Head<'_>) -> Result<(), InvalidManifest> {
    let are_names =
        |names: &[String]| names.len() <= MAX_NAMES && names.iter().all(|name| json_length(name) <= MAX_NAME_LENGTH);
    let rules = [
        (manifest.format == manifest.expected_format, "states a different format than the header"),
        (is_id(manifest.id), "has an invalid `id`: 32 lowercase hexadecimal digits are required"),
        (is_id(manifest.lineage.id), "has an invalid `lineage.id`: 32 lowercase hexadecimal digits are required"),
        (
            // The number of a snapshot's own lineage means nothing.
            manifest.kind == BundleKind::Snapshot || manifest.lineage.has_valid_number(),
            "has an invalid `lineage.sequence`: the first bundle of a history has number 1, and a number that is a time is before the year 10000",
        ),
        (
            manifest.kind == BundleKind::Snapshot || manifest.lineage.has_valid_predecessor(),
            "has an invalid `lineage.previous`: number 1 has none, and each later bundle states the id of the one before it",
        ),
        (is_time(manifest.created), "has an invalid `created`: a UTC time such as 2026-04-02T21:30:00Z is required"),
        (
            is_time(manifest.index_read),
            "has an invalid `index_read`: a UTC time such as 2026-04-02T21:30:00Z is required",
        ),
        (
            // A snapshot contains its mirror's times, including those of wrong clocks.
            manifest.kind == BundleKind::Snapshot || !is_read_after_writing(manifest.index_read, manifest.created),
            "has an `index_read` more than one day after its `created`",
        ),
        (manifest.parent.is_some() || manifest.kind != BundleKind::Delta, "is of a delta, but names no parent"),
        (manifest.parent.is_none() || manifest.kind == BundleKind::Delta, "names a parent, but is not of a delta"),
        (
            manifest.parent.is_none_or(|parent| is_id(&parent.id)),
            "has an invalid `parent.id`: 32 lowercase hexadecimal digits are required",
        ),
        (are_names(manifest.targets), "has too many or too long `targets`"),
        (are_names(manifest.toolchains), "has too many or too long `toolchains`"),
        (json_length(manifest.tool) <= MAX_NAME_LENGTH, "has a `tool` that is too long"),
        (
            manifest.parent.is_none_or(|parent| json_length(&parent.file) <= MAX_FILE_NAME_LENGTH),
            "has a `parent.file` that is too long",
        ),
    ];
    match rules.iter().find(|(holds, _)| !holds) {
        Some((_, rule)) => Err(InvalidManifest::Manifest(rule)),
        None => Ok(()),
    }
}

pub(super) fn is_id(text: &str) -> bool {
    text.len() == ID_DIGITS && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// `2026-04-02T21:30:00Z` and no other spelling, so that times sort as text.
pub(super) fn is_time(text: &str) -> bool {
    text.len() == 20 && text.parse::<Timestamp>().is_ok_and(|time| time.to_string() == text)
}

/// Whether the index time is more than a day after the bundle's creation. Such lines would override those of all later
/// bundles without a visible reason.
fn is_read_after_writing(read: &str, created: &str) -> bool {
    let (Ok(read), Ok(created)) = (read.parse::<Timestamp>(), created.parse::<Timestamp>()) else {
        return false;
    };
    read.duration_since(created) > SignedDuration::from_hours(24)
}
