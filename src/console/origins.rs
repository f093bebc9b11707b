//! Which bundle brought a crate, the first one on record that shipped its file; and what a crate is, as the newest bundle says
//! that knows it.
//!
//! All records together may have gigabytes. They are read once, in the background, each as it comes; whoever asks waits a
//! moment and is told what is known by then. A digest of name and version stands for a crate, so that a million of them
//! take less than a book.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use super::background::Background;
use super::imports::Record;
use crate::bundle::format::CrateState;
use crate::bundle::shown::shown;
use crate::crate_id::Version;
use crate::mirror::layout::Layout;
use crate::mirror::ledger;
use crate::mirror::live::{self, Follower};

/// What stands for a bundle's file where live mode brought a crate.
pub(super) const LIVE: &str = "(live mode)";
/// Crates whose bundle is remembered; of later ones it is not known.
const MOST: usize = 4_000_000;
/// Bytes of all descriptions that are remembered; those of all crates of crates.io have half of it.
const MOST_TEXT: usize = 48 * 1024 * 1024;
/// What a description takes beside its text and its name.
const OVERHEAD: usize = 64;

/// What is known by now.
#[derive(Clone, Default)]
pub(super) struct Origins(Background<Known>);

#[derive(Default)]
struct Known {
    /// The secret that keeps the makers of bundles from choosing names that are taken for each other.
    secret: RandomState,
    /// Records that were read.
    read: HashSet<String>,
    /// What was read of live mode's.
    live: Follower,
    /// The files of the bundles, in the order in which they were read.
    files: Vec<Arc<str>>,
    /// The bundle of each crate.
    brought: HashMap<u64, u32>,
    /// What each crate is.
    descriptions: Arc<Descriptions>,
}

/// What crates are, by their names in small letters.
#[derive(Clone, Default)]
pub(super) struct Descriptions {
    texts: HashMap<Box<str>, Box<str>>,
    bytes: usize,
}

/// Which bundle brought which crate, as far as is known.
pub(super) struct View<'o> {
    origins: &'o Origins,
    /// Whether every record was read.
    pub(super) complete: bool,
}

impl Origins {
    /// What is known after a moment; whatever is not read by then is read in the background.
    pub(super) fn view(&self, layout: &Layout) -> View<'_> {
        let names = ledger::names(layout).unwrap_or_default();
        let (asked, layout) = (layout.clone(), layout.clone());
        let read = move |background: &Background<Known>| read(background, &layout);
        let whole = |known: &Known| names.iter().all(|name| known.read.contains(name)) && !known.live.is_behind(&asked);
        let (_, complete) = self.0.after_a_moment("origins", whole, read);
        View { origins: self, complete }
    }
}

/// Reads what was not read yet, the oldest first.
fn read(background: &Background<Known>, layout: &Layout) {
    for name in ledger::names(layout).unwrap_or_default() {
        if background.look().read.contains(&name) {
            continue;
        }
        let text = fs::read(layout.ledger().join(&name)).unwrap_or_default();
        let record = Record::parse(&text);
        background.learn(|known| {
            if let Some(record) = &record {
                known.describe(record);
                known.add(record);
            }
            // One that cannot be read is not tried again: the audit speaks of it.
            known.read.insert(name);
        });
    }
    // Whoever asks meanwhile is not kept waiting.
    let mut live = std::mem::take(&mut background.look().live);
    let news = live.news(layout).unwrap_or_default();
    background.learn(|known| {
        known.add_live(&news);
        known.live = live;
    });
}

impl Known {
    fn add(&mut self, record: &Record<'_>) {
        let Ok(bundle) = u32::try_from(self.files.len()) else { return };
        self.files.push(record.file().into());
        for one in record.manifest.crates.iter().filter(|one| one.state == CrateState::Shipped) {
            if self.brought.len() >= MOST {
                return;
            }
            let key = self.key(one.name, one.version);
            self.brought.entry(key).or_insert(bundle);
        }
    }

    /// Adds what live mode placed since.
    fn add_live(&mut self, news: &[live::Record]) {
        let known = self.files.iter().position(|file| **file == *LIVE);
        let Ok(bundle) = u32::try_from(known.unwrap_or(self.files.len())) else { return };
        if known.is_none() && !news.is_empty() {
            self.files.push(LIVE.into());
        }
        let mut texts = Vec::new();
        for live::Record { what, description, .. } in news {
            let live::What::Crate(id) = what else { continue };
            if self.brought.len() < MOST {
                let key = self.key(id.name.as_str(), &id.version.to_string());
                self.brought.entry(key).or_insert(bundle);
            }
            texts.extend(description.as_deref().map(|text| (id.name.as_str(), id.version.clone(), text)));
        }
        self.put_newest(texts.into_iter());
    }

    /// What this record says stands for what the ones before it said; of several versions, the highest speaks.
    fn describe(&mut self, record: &Record<'_>) {
        let texts = record.manifest.crates.iter().filter_map(|one| {
            let text = one.description.as_deref()?;
            Some((one.name, one.version.parse::<Version>().ok()?, text))
        });
        self.put_newest(texts);
    }

    fn put_newest<'t>(&mut self, texts: impl Iterator<Item = (&'t str, Version, &'t str)>) {
        let mut newest: HashMap<String, (Version, &str)> = HashMap::new();
        for (name, version, text) in texts.filter(|(_, _, text)| !text.trim().is_empty()) {
            let name = name.to_ascii_lowercase();
            if newest.get(&name).is_none_or(|(known, _)| *known < version) {
                newest.insert(name, (version, text));
            }
        }
        if newest.is_empty() {
            return;
        }
        // Who is reading them meanwhile keeps what was known before.
        let known = Arc::make_mut(&mut self.descriptions);
        for (name, (_, text)) in newest {
            known.put(name, text);
        }
    }

    fn key(&self, name: &str, version: &str) -> u64 {
        self.secret.hash_one((name, version))
    }
}

impl Descriptions {
    /// What a crate is; its name in small letters.
    pub(super) fn of(&self, name: &str) -> Option<&str> {
        self.texts.get(name).map(|text| &**text)
    }

    fn put(&mut self, name: String, text: &str) {
        // Whoever made a bundle chose its texts: one line each, and nothing in it that acts on a terminal.
        let text = shown(text.split_whitespace().collect::<Vec<_>>().join(" ").as_str());
        let weight = |text: &str| text.len() + name.len() + OVERHEAD;
        let before = self.texts.get(name.as_str()).map_or(0, |known| weight(known));
        let bytes = self.bytes - before + weight(&text);
        if bytes <= MOST_TEXT {
            self.bytes = bytes;
            self.texts.insert(name.into(), text.into());
        }
    }
}

impl View<'_> {
    /// What crates are.
    pub(super) fn descriptions(&self) -> Arc<Descriptions> {
        Arc::clone(&self.origins.0.look().descriptions)
    }

    /// The file of the bundle that brought a crate.
    pub(super) fn of(&self, name: &str, version: &str) -> Option<Arc<str>> {
        let known = self.origins.0.look();
        let bundle = known.brought.get(&known.key(name, version))?;
        known.files.get(*bundle as usize).cloned()
    }
}
