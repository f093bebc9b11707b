//! The index entry that live mode offers for a crate: upstream's lines within the filters, and the stored lines. No
//! I/O.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;

use crate::config::Settings;
use crate::config::settings::CratePattern;
use crate::crate_id::{CrateId, CrateName, Version};
use crate::index_line::IndexLine;
use crate::upstream::index_file::IndexFile;

/// Filters for versions that live mode does not offer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct OfferFilter {
    min_age: Duration,
    allow: Option<Vec<CratePattern>>,
    deny: Vec<CratePattern>,
}

/// Why a version is excluded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Excluded {
    /// `deny` contains it.
    Denied,
    /// `allow` does not contain it.
    NotAllowed,
    /// It is younger than `min_age`, and will be offered from this time on.
    TooYoung(Timestamp),
}

/// An index entry as offered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct MergedIndex {
    pub(super) text: String,
    /// Upstream's lines of stored versions that differ from the stored lines and are compatible with them.
    pub(super) updates: Vec<IndexLine>,
    /// Stored versions for which upstream has another digest or other dependencies; the stored lines are kept.
    pub(super) conflicts: Vec<CrateId>,
}

impl OfferFilter {
    /// The filters in the settings.
    pub(super) fn of(settings: &Settings) -> OfferFilter {
        OfferFilter { min_age: settings.min_age, allow: settings.allow.clone(), deny: settings.deny.clone() }
    }

    /// Why a version that is not stored is excluded; `None`: it is offered.
    pub(super) fn exclusion_of(
        &self,
        name: &CrateName,
        version: &Version,
        line: &str,
        now: Timestamp,
    ) -> Option<Excluded> {
        let names = |list: &[CratePattern]| list.iter().any(|pattern| pattern.matches(name, version));
        if names(&self.deny) {
            return Some(Excluded::Denied);
        }
        if self.allow.as_deref().is_some_and(|allow| !names(allow)) {
            return Some(Excluded::NotAllowed);
        }
        if self.min_age.is_zero() {
            return None;
        }
        // A line without a publication time passes; `serve` says so at its start.
        let old_enough = publication_time(line)?.checked_add(self.min_age).unwrap_or(Timestamp::MAX);
        (old_enough > now).then_some(Excluded::TooYoung(old_enough))
    }
}

/// The publication time of an index line, if it states one.
fn publication_time(line: &str) -> Option<Timestamp> {
    #[derive(Deserialize)]
    struct Published {
        pubtime: Option<String>,
    }
    serde_json::from_str::<Published>(line).ok()?.pubtime?.parse().ok()
}

/// Merges upstream's lines within the filters, including those of stored versions, with the stored lines that upstream
/// lacks, which follow them. For a version on both sides, upstream's line is newer (it may be yanked by now). It is
/// used unless it contradicts the stored line, whose crate is in the mirror.
pub(super) fn merge(upstream: &IndexFile, stored: &str, limits: &OfferFilter, now: Timestamp) -> MergedIndex {
    let mut stored_lines: BTreeMap<Version, IndexLine> =
        IndexLine::parse_file(stored).map(|line| (line.id.version.clone(), line)).collect();
    let mut offer =
        MergedIndex { text: String::with_capacity(upstream.text().len() + stored.len() / 8), ..MergedIndex::default() };
    let mut put = |line: &str| {
        offer.text.push_str(line);
        offer.text.push('\n');
    };
    for head in upstream.versions() {
        let line = upstream.line_text(head);
        match stored_lines.remove(&head.version) {
            Some(existing) if existing.raw == line => put(line),
            Some(existing) => match IndexLine::parse(line) {
                Ok(newer) if newer.id == existing.id && existing.is_consistent_with(&newer) => {
                    put(line);
                    offer.updates.push(newer);
                }
                _ => {
                    put(&existing.raw);
                    offer.conflicts.push(existing.id);
                }
            },
            None => {
                // A line with an invalid name is left to cargo; no client can request its crate by that name.
                let passes =
                    crate_name(line).is_none_or(|name| limits.exclusion_of(&name, &head.version, line, now).is_none());
                if passes {
                    put(line);
                }
            }
        }
    }
    stored_lines.values().for_each(|line| put(&line.raw));
    offer
}

fn crate_name(line: &str) -> Option<CrateName> {
    #[derive(Deserialize)]
    struct Named {
        name: CrateName,
    }
    serde_json::from_str::<Named>(line).ok().map(|named| named.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Sha256;

    fn line(version: &str, extra: &str) -> String {
        let cksum = Sha256::of(version.as_bytes());
        format!(r#"{{"name":"a","vers":"{version}","deps":[],"cksum":"{cksum}","features":{{}}{extra}}}"#)
    }

    fn now() -> Timestamp {
        "2026-06-10T00:00:00Z".parse().expect("time")
    }

    fn merged(upstream: &[String], existing: &[String], limits: &OfferFilter) -> MergedIndex {
        let text = |lines: &[String]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        merge(&IndexFile::new(text(upstream).as_bytes()), &text(existing), limits, now())
    }

    #[test]
    fn stored_and_upstream_lines_are_merged_and_upstream_yanks_win() {
        let yanked = line("1.0.0", r#","yanked":true"#);
        let existing = [line("1.0.0", ""), line("0.9.0", "")];
        let offer = merged(&[yanked.clone(), line("2.0.0", "")], &existing, &OfferFilter::default());
        let lines: Vec<&str> = offer.text.lines().collect();
        assert_eq!(lines, [yanked.as_str(), &line("2.0.0", ""), &line("0.9.0", "")]);
        assert_eq!(offer.updates.len(), 1);
        assert!(offer.updates[0].yanked && offer.conflicts.is_empty());
    }

    #[test]
    fn the_stored_line_wins_over_a_conflicting_upstream_line() {
        let other = line("1.0.0", "").replace(&Sha256::of(b"1.0.0").to_string(), &Sha256::of(b"other").to_string());
        let offer = merged(&[other], &[line("1.0.0", "")], &OfferFilter::default());
        assert_eq!(offer.text, format!("{}\n", line("1.0.0", "")));
        assert!(offer.updates.is_empty() && offer.conflicts.len() == 1);
    }

    #[test]
    fn limits_apply_only_to_versions_that_are_not_stored() {
        let patterns = |texts: &[&str]| texts.iter().map(|text| text.parse().expect("pattern")).collect::<Vec<_>>();
        let lines = ["1.0.0", "1.1.0", "2.0.0"].map(|version| line(version, ""));
        let versions = |offer: &MergedIndex| -> Vec<String> {
            IndexLine::parse_file(&offer.text).map(|line| line.id.version.to_string()).collect()
        };
        let deny = OfferFilter { deny: patterns(&["A@^1"]), ..OfferFilter::default() };
        assert_eq!(versions(&merged(&lines, &[], &deny)), ["2.0.0"]);
        assert_eq!(versions(&merged(&lines, &lines[..1], &deny)), ["1.0.0", "2.0.0"]);
        let allow = OfferFilter { allow: Some(patterns(&["a@=1.1.0", "b"])), ..OfferFilter::default() };
        assert_eq!(versions(&merged(&lines, &[], &allow)), ["1.1.0"]);
        let nothing = OfferFilter { allow: Some(Vec::new()), ..OfferFilter::default() };
        assert_eq!(merged(&lines, &[], &nothing).text, "");

        let young = OfferFilter { min_age: Duration::from_secs(7 * 24 * 60 * 60), ..OfferFilter::default() };
        let dated = |version: &str, date: &str| line(version, &format!(r#","pubtime":"{date}T00:00:00Z""#));
        let lines = [dated("1.0.0", "2026-06-03"), dated("1.1.0", "2026-06-04"), line("2.0.0", "")];
        assert_eq!(versions(&merged(&lines, &[], &young)), ["1.0.0", "2.0.0"]);
        assert_eq!(versions(&merged(&lines, &lines[1..2], &young)), ["1.0.0", "1.1.0", "2.0.0"]);
        let (name, version) = ("a".parse().expect("name"), "1.1.0".parse().expect("version"));
        let until = "2026-06-11T00:00:00Z".parse().expect("time");
        assert_eq!(young.exclusion_of(&name, &version, &lines[1], now()), Some(Excluded::TooYoung(until)));
    }

    #[test]
    fn unreadable_lines_are_left_out() {
        let upstream = IndexFile::new(format!("garbage\n\n{}\r\n", line("1.0.0", "")).as_bytes());
        let offer = merge(&upstream, "garbage too\n", &OfferFilter::default(), now());
        assert_eq!(offer.text, format!("{}\n", line("1.0.0", "")));
    }
}
