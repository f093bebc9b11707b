//! Collection: what goes, what stays, and in which order.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use frostmirror::event::Silent;
use frostmirror::mirror::gc::{Collected, Error, Options};
use frostmirror::mirror::head::Counts;
use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::lock::lock_for_collecting;
use frostmirror::mirror::{ledger, lines};

use crate::import_bundle::{assert_sound, at, everything, me};

mod building;
mod killed;
mod large;
mod projects;
mod random;
mod steps;

/// Collects at that second.
fn collect_at(mirror: &Path, second: i64, grace: u64) -> Collected {
    collect(mirror, second, grace, &[]).unwrap()
}

fn collect(mirror: &Path, second: i64, grace: u64, forget: &[&str]) -> Result<Collected, Error> {
    let forget = forget.iter().map(|word| (*word).to_owned()).collect();
    let options = Options { grace: Duration::from_secs(grace), forget, now: at(second) };
    let mut guard = lock_for_collecting(&Layout::new(mirror), Duration::ZERO, &me(), &Silent).unwrap();
    guard.plan(&options)?.execute(&Silent)
}

/// The crates whose files are there, and those that the index lists, both as `NAME-VERSION`.
fn held(mirror: &Path) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut files, mut listed) = (BTreeSet::new(), BTreeSet::new());
    for (path, text) in everything(mirror) {
        if let Some(name) = path.strip_prefix("crates/").and_then(|name| name.strip_suffix(".crate")) {
            files.insert(name.to_owned());
        } else if path.starts_with("index/") && !path.ends_with('/') && path != "index/config.json" {
            for line in String::from_utf8(text).unwrap().lines() {
                let line: serde_json::Value = serde_json::from_str(line).unwrap();
                listed.insert(format!("{}-{}", line["name"].as_str().unwrap(), line["vers"].as_str().unwrap()));
            }
        }
    }
    (files, listed)
}

/// Index, blobs and head agree, and nothing is left over that belongs to nothing.
fn assert_agreement(mirror: &Path) {
    assert_sound(mirror);
    let layout = Layout::new(mirror);
    let tree = everything(mirror);
    if let Some(head) = ledger::head(&layout).unwrap() {
        assert_eq!(head.counts, Counts::of_tree(&layout).unwrap());
        for lineage in &head.lineages {
            assert!(ledger::read(&layout, &lineage.record).unwrap().is_some(), "{lineage:?}");
        }
    }
    for path in tree.keys() {
        if let Some(folder) =
            path.strip_suffix('/').filter(|folder| folder.contains("index/") || folder.contains("lines/"))
        {
            assert!(tree.keys().any(|other| other.starts_with(path.as_str()) && other != path), "{folder} is empty");
        }
        if let Some(place) = path.strip_prefix(".frostmirror/lines/").filter(|place| !place.ends_with('/')) {
            let recorded: BTreeSet<_> = lines::parse(std::str::from_utf8(&tree[path]).unwrap())
                .into_iter()
                .map(|record| record.version)
                .collect();
            let text = std::str::from_utf8(&tree[&format!("index/{place}")]).unwrap();
            let listed: BTreeSet<_> =
                frostmirror::index_line::IndexLine::parse_file(text).map(|line| line.id.version).collect();
            assert_eq!(recorded, listed, "{place}");
        }
    }
}
