//! Files: bundles, the folders of the fetching side, and a mirror's private files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use frostmirror::bundle::format::{CrateState, DistFileState};
use frostmirror::event::NullSink;
use frostmirror::mirror::gc;
use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::lock::{lock_for_collecting, lock_for_reading};
use frostmirror::mirror::snapshot::Options;
use frostmirror::mirror::watcher_state::{self, WatcherState};
use sha2::{Digest, Sha256};

use super::assert_form;
use super::text::{indented, normal};
use crate::bundle_builder::{BundleBuilder, import, test_holder, test_time};
use crate::crash::victims::kill_live_batch;
use crate::import_dist_files::{HOST, component_content, full_bundle};
use crate::live_store::{adding, import_base, store_crates};
use crate::support::crates::Crate;
use crate::support::dist::release::Release;
use crate::support::dist::{DistServer, LINUX, RUSTUP};
use crate::support::sandbox::{Sandbox, read_tree};
use crate::support::upstream::Upstream;

/// Header and plain manifest of a bundle.
pub fn bundle_text(bundle: &Path) -> String {
    let bytes = fs::read(bundle).unwrap();
    let number = |at: usize| usize::try_from(u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())).unwrap();
    let stored = &bytes[96..96 + number(36)];
    let mut plain = String::new();
    brotli::Decompressor::new(stored, 4096).read_to_string(&mut plain).unwrap();
    assert_eq!(plain.len(), number(44));
    assert_eq!(bytes[52..84], Sha256::digest(stored)[..]);
    assert_eq!(bytes[84..96], Sha256::digest(&bytes[..84])[..12]);
    // The id covers the rest of the text.
    let (before, id, after) = (&plain[..7], &plain[7..39], &plain[39..]);
    let digest = crate::support::crates::hex(&Sha256::digest(format!("{before}{}{after}", "0".repeat(32))));
    assert_eq!(id, &digest[..32]);
    let tool = String::from_utf8(bytes[12..36].to_vec()).unwrap();
    format!("{:02x?} {:?} {:?}\n{}", &bytes[..8], &bytes[8..12], tool.trim_end_matches('\0'), indented(&plain))
}

/// Every file below `top` whose path `is_wanted`; the content of those with a name of their own. A digest stands for all
/// files that are called by theirs.
fn tree_text(top: &Path, is_wanted: impl Fn(&str) -> bool) -> String {
    let mut files: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, bytes) in read_tree(top) {
        let path = path.to_str().unwrap().to_owned();
        let name = normal(&path);
        if !is_wanted(&path) {
            continue;
        }
        let content = match String::from_utf8(bytes) {
            Ok(text) if !name.contains("[SHA256]") && !text.contains('\0') => content_text(&text),
            _ => String::new(),
        };
        files.entry(name).or_default().insert(content);
    }
    let files = files.into_iter().map(|(name, contents)| {
        let contents: String = contents.into_iter().collect();
        format!("== {name}\n{contents}")
    });
    files.collect()
}

/// Lines of JSON are indented. Index lines, whose form is cargo's, are not.
fn content_text(text: &str) -> String {
    let lines = text.lines().map(|line| match line.starts_with("{\"") && !line.starts_with("{\"name\":\"") {
        true => indented(line),
        false => format!("{line}\n"),
    });
    match text.starts_with("{\n") {
        true => indented(text),
        false => lines.collect(),
    }
}

/// A connected machine: crates with all that a manifest can say of them, a toolchain, and an upstream of its own.
struct Near {
    upstream: Upstream,
    _dist: DistServer,
    sandbox: Sandbox,
    clock: u64,
}

impl Near {
    fn new() -> Near {
        let (upstream, dist) = (Upstream::start(), DistServer::with_builder(Upstream::builder()));
        let about = |version: &str| {
            let one = Crate::new("about", version).description("Says \"what\" it is.").license("MIT OR Apache-2.0");
            one.repository("https://git.example/about")
        };
        for item in [
            about("1.0.0"),
            about("1.1.0").dep("leaf", "^1"),
            Crate::new("leaf", "1.0.0"),
            Crate::new("yanked", "1.0.0").yanked(),
        ] {
            upstream.publish(item);
        }
        dist.publish(&Release::stable("1.95.0", "2026-04-16").hosts(&[LINUX]).cross_targets(&[]));
        dist.publish_rustup(RUSTUP, &[LINUX], b"#!/bin/sh\n");
        let sandbox = Sandbox::new().upstream(&upstream).env("FROSTMIRROR_DIST_URL", dist.url());
        Near { upstream, _dist: dist, sandbox, clock: 1_790_000_000 }
    }

    fn needs(&self, version: &str) {
        let platforms =
            format!("[platforms]\ntargets = [\"{LINUX}\"]\ntoolchain = \"stable\"\nprofile = \"minimal\"\n");
        self.sandbox.write("depends.toml", format!("[locked]\nabout = \"{version}\"\n\n{platforms}"));
    }

    /// Runs a verb a minute later than the one before.
    fn run(&mut self, terms: &[&str]) -> crate::support::process::Run {
        self.clock += 60;
        let process = self.sandbox.process(terms).envs([("SOURCE_DATE_EPOCH", self.clock.to_string())]);
        process.run().ok()
    }

    /// A lock that needs a yanked version, and a package of git that cannot be fetched.
    fn write_lock(&self) {
        let registry = "registry+https://github.com/rust-lang/crates.io-index";
        let cksum = Crate::new("yanked", "1.0.0").yanked().pack().cksum;
        let git = "git+http://127.0.0.1:9/far#0123456789012345678901234567890123456789";
        self.sandbox.write(
            "app/Cargo.lock",
            format!(
                "version = 4\n\n[[package]]\nname = \"app\"\nversion = \"0.1.0\"\ndependencies = [\n \"far\",\n \"yanked\",\n]\n\n\
                 [[package]]\nname = \"far\"\nversion = \"1.0.0\"\nsource = \"{git}\"\n\n\
                 [[package]]\nname = \"yanked\"\nversion = \"1.0.0\"\nsource = \"{registry}\"\nchecksum = \"{cksum}\"\n"
            ),
        );
    }
}

#[test]
fn bundles_and_the_fetching_side_keep_their_form() {
    let mut near = Near::new();
    near.needs("1.0.0");
    near.run(&["fetch"]);
    near.write_lock();
    let full = near.run(&["fetch", "--lockfile", "app/Cargo.lock", "--skip-git", "-o", "out"]).path();
    near.upstream.yank("about", "1.0.0", true);
    near.needs("1.1.0");
    let delta = near.run(&["fetch", "--incremental", "-o", "out"]).path();
    let one_crate = near.run(&["fetch", "--crate", "leaf@1", "--incremental", "-o", "out"]).path();
    let cksum = Crate::new("leaf", "1.0.0").pack().cksum;
    let line = format!("{{\"kind\":\"crate\",\"name\":\"leaf\",\"version\":\"1.0.0\",\"sha256\":\"{cksum}\"}}\n");
    near.sandbox.write("list", line);
    let repair = near.run(&["fetch", "--from-list", "list", "-o", "out"]).path();
    near.run(&["history", "forget", "leaf@1"]);
    let mut text = String::new();
    for (title, bundle) in [("full", full), ("delta", delta), ("delta of a crate", one_crate), ("repair", repair)] {
        text.push_str(&format!("== {title}\n{}", bundle_text(&near.sandbox.path(bundle))));
    }
    // What a process works in may outlive it for a while.
    let is_lasting = |path: &str| !path.contains("/run-");
    let redacted = |text: &str| normal(&near.sandbox.redact(text));
    assert_form("bundles", &redacted(&text));
    assert_form("fetching-side", &redacted(&tree_text(&near.sandbox.frostmirror_home(), is_lasting)));
}

/// A mirror with every kind of record, and the file of a batch of live mode that was killed.
fn mirror_of_everything(folder: &Path) -> (PathBuf, String) {
    let mirror = folder.join("mirror");
    import_base(folder, &mirror);
    kill_live_batch(&mirror, "commit:3");
    let killed = tree_text(&mirror.join(".frostmirror"), |path| path == "journal" || path == "holder");
    drop(adding(&mirror));
    store_crates(
        &mirror,
        &[Crate::new("told", "1.0.0").description("what").license("MIT").repository("https://a")],
        30,
    );
    let toolchain = full_bundle("b", 1, "2026-03-05", "1.94.0", "1.28.2").description("a", "what");
    import(&mirror, &toolchain.write(folder, "toolchain.pkg")).unwrap();
    let index_only = BundleBuilder::new("c", 1).read_at(40).ship(Crate::new("left", "1.0.0"));
    let index_only = index_only.with_crate(Crate::new("winonly", "1.0.0"), CrateState::IndexOnly);
    import(&mirror, &index_only.write(folder, "index-only.pkg")).unwrap();
    let delta = BundleBuilder::new("d", 1).read_at(50).ship(Crate::new("first", "1.0.0"));
    import(&mirror, &delta.write(folder, "first.pkg")).unwrap();
    let delta = BundleBuilder::new("d", 2).read_at(51).parent("first.pkg").ship(Crate::new("second", "1.0.0"));
    let delta = delta.with_crate(Crate::new("first", "1.0.0"), CrateState::Kept);
    let delta = delta.dist_file(
        &format!("dist/2026-03-05/cargo-1.94.0-{HOST}.tar.xz"),
        component_content("2026-03-05", "1.94.0"),
        DistFileState::Sent,
    );
    import(&mirror, &delta.write(folder, "second.pkg")).unwrap();
    (mirror, killed)
}

#[test]
fn a_mirrors_files_keep_their_form() {
    let folder = tempfile::tempdir().unwrap();
    let (mirror, killed) = mirror_of_everything(folder.path());
    let layout = Layout::new(&mirror);
    let bundle = |file: &str, hint: Option<&str>| watcher_state::PendingBundle {
        file: file.to_owned(),
        reason: "why".to_owned(),
        hint: hint.map(str::to_owned),
    };
    let incoming = WatcherState {
        folder: "/incoming".into(),
        problem: Some("why".to_owned()),
        is_polling: true,
        done: 1,
        arriving: vec![bundle("arriving.pkg", None)],
        waiting: vec![bundle("waiting.pkg", Some("what next"))],
        failed: vec![bundle("failed.pkg", None)],
        failed_count: 1,
    };
    incoming.save(&layout).unwrap();
    // A collection that forgets histories and what live mode brought, and waits before it removes files.
    let ids = ["b", "c"].map(|name| BundleBuilder::new(name, 1).lineage().to_owned());
    let forget = [ids[0].as_str(), ids[1].as_str(), "live"];
    crate::gc::collect(&mirror, 100, 100_000, &forget).unwrap();
    // A bundle whose number jumps leaves a doubt, until it is accepted.
    let jump = BundleBuilder::new("d", 1000).read_at(60).ship(Crate::new("jump", "1.0.0"));
    import(&mirror, &jump.write(folder.path(), "jump.pkg")).unwrap();
    store_crates(&mirror, &[Crate::new("again", "1.0.0")], 120);
    let head = fs::read_to_string(layout.summary()).unwrap();
    let is_wanted =
        |path: &str| (path.starts_with(".frostmirror/") || path == "manifest.json") && !path.ends_with("/reserve");
    let tree = tree_text(&mirror, is_wanted);
    let accept = vec![BundleBuilder::new("d", 1).lineage().to_owned()];
    let options =
        gc::Options { grace: Duration::ZERO, retire: Vec::new(), accept, reject: Vec::new(), now: test_time(200) };
    let mut guard = lock_for_collecting(&layout, Duration::ZERO, &test_holder(), &NullSink).unwrap();
    guard.plan(&options).unwrap().execute(&NullSink).unwrap();
    drop(guard);
    let accepted = tree_text(&layout.ledger(), |path| path.ends_with(".accepted"));
    assert!(head.contains("\"contested\""), "{head}");
    let text =
        format!("# Killed while live mode was placing\n{killed}# The mirror\n{tree}# An accepted bundle\n{accepted}");
    assert_form("mirror", &normal(&text));
}

#[test]
fn a_snapshot_keeps_its_form() {
    let folder = tempfile::tempdir().unwrap();
    let (mirror, _) = mirror_of_everything(folder.path());
    // A crate that is listed, and that no history claims.
    let unclaimed = BundleBuilder::new("e", 1).read_at(70).ship(Crate::new("unclaimed", "1.0.0"));
    import(&mirror, &unclaimed.write(folder.path(), "unclaimed.pkg")).unwrap();
    crate::gc::collect(&mirror, 100, 100_000, &[BundleBuilder::new("e", 1).lineage()]).unwrap();
    // Histories are sorted by their ids, and that of live mode is random.
    let layout = Layout::new(&mirror);
    let live_records = fs::read_to_string(layout.live_records()).unwrap();
    let (_random, records) = live_records.split_once('\n').unwrap();
    fs::write(layout.live_records(), format!("{{\"lineage\":\"{}\"}}\n{records}", "f".repeat(32))).unwrap();
    let guard = lock_for_reading(&layout, Duration::ZERO, &test_holder(), &NullSink).unwrap();
    let options = Options { folder: folder.path().join("out"), config: Vec::new(), now: test_time(5000) };
    let exported = guard.snapshot(options, &NullSink).unwrap();
    // The record of a history that a snapshot brought along refers to the snapshot's.
    let far = folder.path().join("far");
    import(&far, &exported.path).unwrap();
    let records = tree_text(&Layout::new(&far).ledger(), |path| path.starts_with("00000002-"));
    assert!(records.contains("\"snapshot\""), "{records}");
    assert_form("snapshot", &normal(&format!("{}# A carried record\n{records}", bundle_text(&exported.path))));
}

#[test]
fn the_record_of_a_changed_cargo_configuration_keeps_its_form() {
    let sandbox = Sandbox::new();
    let config = sandbox.cargo_home().join("config.toml");
    fs::write(config, "[source.crates-io]\nreplace-with = \"other\"\n[source.other]\nregistry = \"https://a\"\n")
        .unwrap();
    sandbox.run(["setup", "--write", "--offline", "--url", "http://mirror.example"]).ok();
    assert_form("setup", &normal(&tree_text(&sandbox.cargo_home(), |_| true)));
}
