//! What live mode offers of a crate: upstream's lines as far as the limits let them pass, beside those that are held. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;

use crate::crate_id::{CrateId, CrateName, Version};
use crate::gather::index_file::IndexFile;
use crate::index_line::IndexLine;
use crate::server_config::Settings;
use crate::server_config::settings::CratePattern;

/// What live mode does not offer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Limits {
    min_age: Duration,
    allow: Option<Vec<CratePattern>>,
    deny: Vec<CratePattern>,
}

/// Why a version is not offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Withheld {
    /// `deny` names it.
    Denied,
    /// `allow` does not name it.
    NotAllowed,
    /// It is younger than `min_age`, and will be offered from then on.
    TooYoung(Timestamp),
}

/// An index file as it is offered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Offer {
    /// Its text.
    pub(super) text: String,
    /// Upstream's lines of held versions that differ from the held ones, and do not contradict them.
    pub(super) renewed: Vec<IndexLine>,
    /// Held versions of which upstream has another digest or other dependencies; the held lines stay.
    pub(super) contradicted: Vec<CrateId>,
}

impl Limits {
    /// Those that the settings name.
    pub(super) fn of(settings: &Settings) -> Limits {
        Limits { min_age: settings.min_age, allow: settings.allow.clone(), deny: settings.deny.clone() }
    }

    /// Why a version that is not held is not offered; `None`: it is.
    pub(super) fn withhold(&self, name: &CrateName, version: &Version, line: &str, now: Timestamp) -> Option<Withheld> {
        let names = |list: &[CratePattern]| list.iter().any(|pattern| pattern.fits(name, version));
        if names(&self.deny) {
            return Some(Withheld::Denied);
        }
        if self.allow.as_deref().is_some_and(|allow| !names(allow)) {
            return Some(Withheld::NotAllowed);
        }
        if self.min_age.is_zero() {
            return None;
        }
        // A line without the time of its publication passes; who sets a least age is told so.
        let old_enough = published(line)?.checked_add(self.min_age).unwrap_or(Timestamp::MAX);
        (old_enough > now).then_some(Withheld::TooYoung(old_enough))
    }
}

/// When the version of an index line was published, where the line says so.
fn published(line: &str) -> Option<Timestamp> {
    #[derive(Deserialize)]
    struct Published {
        pubtime: Option<String>,
    }
    serde_json::from_str::<Published>(line).ok()?.pubtime?.parse().ok()
}

/// Upstream's lines that the limits let pass, each held version's among them, and after them the held lines that upstream
/// lacks. Of a version that both have, upstream's line is the newer one (it may be yanked by now), unless it contradicts the
/// held one, whose crate is here.
pub(super) fn offer(upstream: &IndexFile, held: &str, limits: &Limits, now: Timestamp) -> Offer {
    let mut held_lines: BTreeMap<Version, IndexLine> =
        IndexLine::parse_file(held).map(|line| (line.id.version.clone(), line)).collect();
    let mut offer = Offer { text: String::with_capacity(upstream.text().len() + held.len() / 8), ..Offer::default() };
    let mut put = |line: &str| {
        offer.text.push_str(line);
        offer.text.push('\n');
    };
    for head in upstream.heads() {
        let line = upstream.line(head);
        match held_lines.remove(&head.version) {
            Some(held) if held.raw == line => put(line),
            Some(held) => match IndexLine::parse(line) {
                Ok(newer) if newer.id == held.id && held.agrees_with(&newer) => {
                    put(line);
                    offer.renewed.push(newer);
                }
                _ => {
                    put(&held.raw);
                    offer.contradicted.push(held.id);
                }
            },
            None => {
                // A line whose name cannot be read is cargo's to judge; by its name nobody could ask for its crate.
                let passes =
                    name_of(line).is_none_or(|name| limits.withhold(&name, &head.version, line, now).is_none());
                if passes {
                    put(line);
                }
            }
        }
    }
    held_lines.values().for_each(|line| put(&line.raw));
    offer
}

fn name_of(line: &str) -> Option<CrateName> {
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

    fn offered(upstream: &[String], held: &[String], limits: &Limits) -> Offer {
        let text = |lines: &[String]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        offer(&IndexFile::new(text(upstream).as_bytes()), &text(held), limits, now())
    }

    #[test]
    fn both_are_offered_and_upstream_knows_what_is_yanked() {
        let yanked = line("1.0.0", r#","yanked":true"#);
        let held = [line("1.0.0", ""), line("0.9.0", "")];
        let offer = offered(&[yanked.clone(), line("2.0.0", "")], &held, &Limits::default());
        let lines: Vec<&str> = offer.text.lines().collect();
        assert_eq!(lines, [yanked.as_str(), &line("2.0.0", ""), &line("0.9.0", "")]);
        assert_eq!(offer.renewed.len(), 1);
        assert!(offer.renewed[0].yanked && offer.contradicted.is_empty());
    }

    #[test]
    fn what_is_held_stands_against_another_word() {
        let other = line("1.0.0", "").replace(&Sha256::of(b"1.0.0").to_string(), &Sha256::of(b"other").to_string());
        let offer = offered(&[other], &[line("1.0.0", "")], &Limits::default());
        assert_eq!(offer.text, format!("{}\n", line("1.0.0", "")));
        assert!(offer.renewed.is_empty() && offer.contradicted.len() == 1);
    }

    #[test]
    fn limits_are_for_what_is_not_held() {
        let patterns = |texts: &[&str]| texts.iter().map(|text| text.parse().expect("pattern")).collect::<Vec<_>>();
        let lines = ["1.0.0", "1.1.0", "2.0.0"].map(|version| line(version, ""));
        let versions = |offer: &Offer| -> Vec<String> {
            IndexLine::parse_file(&offer.text).map(|line| line.id.version.to_string()).collect()
        };
        let deny = Limits { deny: patterns(&["A@^1"]), ..Limits::default() };
        assert_eq!(versions(&offered(&lines, &[], &deny)), ["2.0.0"]);
        assert_eq!(versions(&offered(&lines, &lines[..1], &deny)), ["1.0.0", "2.0.0"]);
        let allow = Limits { allow: Some(patterns(&["a@=1.1.0", "b"])), ..Limits::default() };
        assert_eq!(versions(&offered(&lines, &[], &allow)), ["1.1.0"]);
        let nothing = Limits { allow: Some(Vec::new()), ..Limits::default() };
        assert_eq!(offered(&lines, &[], &nothing).text, "");

        let young = Limits { min_age: Duration::from_secs(7 * 24 * 60 * 60), ..Limits::default() };
        let dated = |version: &str, date: &str| line(version, &format!(r#","pubtime":"{date}T00:00:00Z""#));
        let lines = [dated("1.0.0", "2026-06-03"), dated("1.1.0", "2026-06-04"), line("2.0.0", "")];
        assert_eq!(versions(&offered(&lines, &[], &young)), ["1.0.0", "2.0.0"]);
        assert_eq!(versions(&offered(&lines, &lines[1..2], &young)), ["1.0.0", "1.1.0", "2.0.0"]);
        let (name, version) = ("a".parse().expect("name"), "1.1.0".parse().expect("version"));
        let until = "2026-06-11T00:00:00Z".parse().expect("time");
        assert_eq!(young.withhold(&name, &version, &lines[1], now()), Some(Withheld::TooYoung(until)));
    }

    #[test]
    fn what_no_one_can_read_is_left_out() {
        let upstream = IndexFile::new(format!("garbage\n\n{}\r\n", line("1.0.0", "")).as_bytes());
        let offer = offer(&upstream, "garbage too\n", &Limits::default(), now());
        assert_eq!(offer.text, format!("{}\n", line("1.0.0", "")));
    }
}
