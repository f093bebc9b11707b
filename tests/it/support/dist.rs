//! A fake static.rust-lang.org on loopback: channels, component archives, and rustup itself. It is an [`Upstream`], so that
//! faults, latency and the log of requests (with their headers) are the same ones.
//!
//! ```ignore
//! let dist = DistServer::start();                                    // 1.86.0, 1.95.0 as stable, a nightly, rustup 9.9.9
//! dist.fault("/dist/channel-rust-stable.toml.sha256", [Fault::Status(404)]);
//! // … RUSTUP_DIST_SERVER = dist.url(), RUSTUP_UPDATE_ROOT = dist.update_root()
//! dist.publish(&Release::stable("1.96.0", "2026-05-28"));      // stable moves
//! ```

pub mod release;
mod tarball;

use std::fs;
use std::ops::Deref;
use std::path::Path;

use sha2::{Digest, Sha256};

pub use release::{Release, ReleaseFiles};

use super::crates::hex;
use super::upstream::{Builder, Fault, Upstream};

/// The host triple of what runs here.
pub const LINUX: &str = "x86_64-unknown-linux-gnu";
/// A host triple whose programs end in `.exe`.
pub const WINDOWS: &str = "x86_64-pc-windows-msvc";
/// A target that has rust-std and nothing else.
pub const WASM: &str = "wasm32-unknown-unknown";
/// The releases that are there from the start.
pub const OLD_STABLE: (&str, &str) = ("1.86.0", "2025-04-03");
/// What `stable` is at first.
pub const STABLE: (&str, &str) = ("1.95.0", "2026-04-16");
/// What `nightly` is at first.
pub const NIGHTLY: (&str, &str) = ("1.97.0-nightly", "2026-04-25");
/// The version of rustup that is there from the start; its programs are scripts.
pub const RUSTUP: &str = "9.9.9";

/// The server and what it holds. It dies with this value.
pub struct DistServer {
    upstream: Upstream,
}

impl Deref for DistServer {
    type Target = Upstream;

    fn deref(&self) -> &Upstream {
        &self.upstream
    }
}

impl DistServer {
    /// A server with the usual releases.
    pub fn start() -> DistServer {
        let dist = DistServer::with_builder(Upstream::builder());
        dist.publish(&Release::stable(OLD_STABLE.0, OLD_STABLE.1));
        dist.publish(&Release::stable(STABLE.0, STABLE.1));
        dist.publish(&Release::nightly(NIGHTLY.0, NIGHTLY.1));
        dist.publish_rustup(RUSTUP, &[LINUX, WINDOWS], b"#!/bin/sh\necho 'rustup-init 9.9.9 (fake)'\n");
        dist
    }

    /// A server (TLS, latency, …) that holds nothing yet.
    pub fn with_builder(builder: Builder) -> DistServer {
        DistServer { upstream: builder.start() }
    }

    /// What RUSTUP_DIST_SERVER is to be.
    pub fn url(&self) -> &str {
        self.base_url()
    }

    /// What RUSTUP_UPDATE_ROOT is to be.
    pub fn update_root(&self) -> String {
        format!("{}/rustup", self.base_url())
    }

    /// Publishes a release; its channel moves there.
    pub fn publish(&self, release: &Release) -> ReleaseFiles {
        let built = release.build();
        for (path, content) in &built.files {
            self.put_file(path, content.clone());
        }
        built
    }

    /// Publishes a release between two requests: the next one of `path` is still answered as it was, everything after
    /// that as it is then.
    pub fn publish_after(&self, path: &str, release: &Release) {
        self.fault(path, [Fault::PublishAfter(release.build().files.into_iter().collect())]);
    }

    /// Publishes a version of rustup for these host triples, each with the same program.
    pub fn publish_rustup(&self, version: &str, hosts: &[&str], program: &[u8]) {
        for host in hosts {
            let exe = if host.contains("windows") { ".exe" } else { "" };
            for folder in [format!("archive/{version}"), "dist".to_owned()] {
                let path = format!("/rustup/{folder}/{host}/rustup-init{exe}");
                self.put_file(&path, program);
                // Upstream writes the digests of rustup in this form, unlike those of Rust.
                self.put_file(
                    &format!("{path}.sha256"),
                    format!("{} *./rustup-init{exe}\n", hex(&Sha256::digest(program))),
                );
            }
        }
        self.put_file("/rustup/release-stable.toml", format!("schema-version = \"1\"\nversion = \"{version}\"\n"));
    }

    /// Writes everything that is published now into `folder`, as a mirror lies on disk.
    pub fn write_to(&self, folder: &Path) {
        for (path, content) in self.all_files() {
            let path = folder.join(path.trim_start_matches('/'));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
    }
}
