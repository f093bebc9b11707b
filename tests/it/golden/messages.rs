//! Messages for machines: the JSON lines and documents of every verb, and the server's log.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use frostmirror::bundle::format::CrateState;
use serde_json::Value;

use super::assert_form;
use super::text::{indented, normal, shape};
use crate::bundle_builder::BundleBuilder;
use crate::import_dist_files::full_bundle;
use crate::support::crates::Crate;
use crate::support::dist::release::Release;
use crate::support::dist::{DistServer, LINUX, RUSTUP};
use crate::support::sandbox::Sandbox;
use crate::support::server_fixture::RawConnection;
use crate::support::upstream::Upstream;

/// The commands that were run, each with the shapes of what it printed.
#[derive(Default)]
struct Printed(String);

impl Printed {
    /// Runs a command, whose stdout is JSON lines.
    #[track_caller]
    fn lines_of(&mut self, sandbox: &Sandbox, code: i32, terms: &[&str]) {
        let run = sandbox.run(terms.iter().copied().chain(["--message-format", "json"])).exits(code);
        assert_eq!(run.stderr, "", "{}", run.describe());
        self.add(sandbox, terms, &run.stdout);
    }

    /// The shapes of lines, each once: how often and in which order steps are reported is not part of the form.
    fn add(&mut self, sandbox: &Sandbox, terms: &[&str], lines: &str) {
        let shapes: BTreeSet<String> = lines.lines().map(|line| shape(&json(line))).collect();
        writeln!(self.0, "$ {}", normal(&sandbox.redact(&terms.join(" ")))).unwrap();
        shapes.iter().for_each(|shape| writeln!(self.0, "{shape}").unwrap());
    }
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// An upstream with a toolchain, and a machine that is connected to it.
fn connected() -> (Upstream, DistServer, Sandbox) {
    let (upstream, dist) = (Upstream::start(), DistServer::with_builder(Upstream::builder()));
    upstream.publish(Crate::new("leaf", "1.0.0"));
    dist.publish(&Release::stable("1.95.0", "2026-04-16").hosts(&[LINUX]).cross_targets(&[]));
    dist.publish_rustup(RUSTUP, &[LINUX], b"#!/bin/sh\n");
    let sandbox = Sandbox::new().upstream(&upstream).env("FROSTMIRROR_DIST_URL", dist.url());
    let platforms = format!("[platforms]\ntargets = [\"{LINUX}\"]\ntoolchain = \"stable\"\nprofile = \"minimal\"\n");
    sandbox.write("depends.toml", format!("[locked]\nleaf = \"1.0.0\"\n\n{platforms}"));
    let git = "git+http://127.0.0.1:9/far#0123456789012345678901234567890123456789";
    let registry = "registry+https://github.com/rust-lang/crates.io-index";
    let cksum = Crate::new("leaf", "1.0.0").pack().cksum;
    let lock = format!(
        "version = 4\n\n[[package]]\nname = \"app\"\nversion = \"0.1.0\"\ndependencies = [\n \"far\",\n \"leaf\",\n]\n\n\
         [[package]]\nname = \"far\"\nversion = \"1.0.0\"\nsource = \"{git}\"\n\n\
         [[package]]\nname = \"leaf\"\nversion = \"1.0.0\"\nsource = \"{registry}\"\nchecksum = \"{cksum}\"\n"
    );
    sandbox.write("app/Cargo.lock", lock);
    (upstream, dist, sandbox)
}

#[test]
fn messages_of_the_fetching_side_keep_their_form() {
    let (_upstream, _dist, sandbox) = connected();
    let mut printed = Printed::default();
    for (code, terms) in [
        (0, &["fetch", "--dry-run"][..]),
        (0, &["fetch", "-v", "-o", "out"]),
        (0, &["fetch", "--incremental"]),
        (0, &["fetch", "--lockfile", "app/Cargo.lock", "--skip-git", "-o", "out"]),
        (3, &["fetch", "--config", "none.toml"]),
        (0, &["history"]),
        (0, &["history", "label", "app (Cargo.lock)", "other"]),
        (0, &["history", "forget", "other"]),
    ] {
        printed.lines_of(&sandbox, code, terms);
    }
    assert_form("messages-fetching", &printed.0);
}

#[test]
fn messages_of_the_mirrors_side_keep_their_form() {
    let sandbox = Sandbox::new();
    let folder = sandbox.path("");
    let about = |version: &str| Crate::new("leaf", version);
    full_bundle("a", 1, "2026-04-16", "1.95.0", "1.29.0").write(&folder, "toolchain.pkg");
    BundleBuilder::new("b", 1).ship(about("1.0.0")).ship(Crate::new("same", "1.0.0")).write(&folder, "one.pkg");
    let two = BundleBuilder::new("b", 2)
        .read_at(9)
        .parent("one.pkg")
        .ship(about("1.1.0").yanked())
        .description("leaf", "what");
    let two = two.with_crate(Crate::new("same", "1.0.0").yanked(), CrateState::Sent);
    two.with_crate(Crate::new("winonly", "1.0.0"), CrateState::IndexOnly).write(&folder, "two.pkg");
    sandbox.write("no.pkg", "no bundle");
    let cksum = Crate::new("winonly", "1.0.0").pack().cksum;
    let registry = "registry+https://github.com/rust-lang/crates.io-index";
    let lock = |name: &str| {
        let package = |more: &str| format!("[[package]]\nname = \"{name}\"\nversion = \"1.0.0\"\n{more}\n");
        format!("version = 4\n\n{}", package(&format!("source = \"{registry}\"\nchecksum = \"{cksum}\"\n")))
    };
    sandbox.write("covered.lock", lock("winonly"));
    sandbox.write("uncovered.lock", lock("absent"));
    let mut printed = Printed::default();
    for (code, terms) in [
        (0, &["verify", "one.pkg"][..]),
        (4, &["verify", "one.pkg", "no.pkg"]),
        (0, &["verify", "one.pkg", "two.pkg", "--closure", "covered.lock"]),
        (4, &["verify", "one.pkg", "--closure", "uncovered.lock"]),
        (0, &["inspect", "two.pkg"]),
        (0, &["inspect", "two.pkg", "--format", "cyclonedx"]),
        (0, &["diff", "one.pkg", "two.pkg"]),
        (0, &["diff", "one.pkg", "two.pkg", "--format", "cyclonedx"]),
        (0, &["list", "toolchain.pkg"]),
        (3, &["status", "--mirror", "mirror"]),
        (0, &["import", "--mirror", "mirror", "toolchain.pkg", "one.pkg", "two.pkg"]),
        (0, &["status", "--mirror", "mirror"]),
        (0, &["list", "--mirror", "mirror"]),
        (0, &["verify", "--mirror", "mirror"]),
        (0, &["gc", "--mirror", "mirror", "--dry-run"]),
        (0, &["export", "vendor", "vendor", "--mirror", "mirror"]),
        (0, &["export", "local-registry", "registry", "--mirror", "mirror"]),
        (0, &["export", "snapshot", "-o", "snapshots", "--mirror", "mirror"]),
    ] {
        printed.lines_of(&sandbox, code, terms);
    }
    // Something to repair, something that nothing names, and something to collect.
    fs::write(sandbox.path("mirror/crates/leaf-1.1.0.crate"), "rotten").unwrap();
    fs::write(sandbox.path("mirror/crates/stranger"), "stranger").unwrap();
    fs::remove_file(sandbox.path("mirror/rustup/release-stable.toml")).unwrap();
    printed.lines_of(&sandbox, 4, &["verify", "--mirror", "mirror", "--repair-list", "list"]);
    let repair_list: String = sandbox.read("list").lines().map(|line| normal(&indented(line))).collect();
    let history = BundleBuilder::new("a", 1).lineage().to_owned();
    for terms in [&["gc", "--mirror", "mirror", "--dry-run"][..], &["gc", "--mirror", "mirror", "--forget", &history]] {
        printed.lines_of(&sandbox, 0, terms);
    }
    // Documents, with their keys in full.
    for terms in [&["inspect", "two.pkg", "--format", "json"][..], &["diff", "one.pkg", "two.pkg", "--format", "json"]]
    {
        let document = sandbox.run(terms).ok().stdout;
        let terms = normal(&terms.join(" "));
        writeln!(printed.0, "$ {terms}\n{}", normal(&indented(&document))).unwrap();
    }
    printed.0.push_str(&format!("# The repair list\n{repair_list}"));
    assert_form("messages-mirror", &printed.0);
}

#[test]
fn the_servers_log_keeps_its_form() {
    let sandbox = Sandbox::new();
    let bundle = BundleBuilder::new("b", 1).ship(Crate::new("leaf", "1.0.0")).write(&sandbox.path(""), "one.pkg");
    sandbox.run(["import", "--mirror", "mirror", bundle.to_str().unwrap()]).ok();
    let serving = sandbox.serve(["--mirror", "mirror", "--log-format", "json"]);
    RawConnection::connect(serving.url()).request("GET", "/index/le/af/leaf", &["User-Agent: cargo"]).read_reply();
    let log = serving.stop().ok().stderr;
    // The key of the settings' file, and a failure with its hint.
    sandbox.write("config/frostmirror.toml", "log_format = 'json'\nbind = 'nowhere.invalid:1'\n");
    let failed = sandbox.run(["serve", "--config-dir", "config", "--mirror", "mirror"]).stderr;
    let mut printed = Printed::default();
    printed.add(&sandbox, &["serve", "--log-format", "json"], &log);
    printed.add(&sandbox, &["serve", "--bind", "nowhere.invalid:1"], &failed);
    assert_form("log", &printed.0);
}
