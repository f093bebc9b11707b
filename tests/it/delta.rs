//! Weekly bundles: what was sent is not sent again, and the far side ends with the same mirror.

mod chain;
mod deleted;
mod inputs;
mod repair;
mod random;
mod refreshed;
mod metadata;

use std::cell::Cell;
use std::fs::File;
use std::path::{Path, PathBuf};

use frostmirror::bundle::format::{BundleKind, CrateState, Manifest};
use frostmirror::bundle::open::open_any;

use crate::end_to_end::fixture_registry::files_below;
use crate::support::process::{Process, Run};
use crate::support::sandbox::Sandbox;
use crate::support::upstream::Upstream;

/// A connected machine whose clock goes on by a minute with every command, and its upstream.
pub struct ConnectedSide {
    pub upstream: Upstream,
    pub sandbox: Sandbox,
    clock: Cell<u64>,
}

impl ConnectedSide {
    /// Upstream has these crates.
    pub fn with_crates(crates: &[(&str, &str)]) -> ConnectedSide {
        let upstream = Upstream::start();
        upstream.publish_all(crates);
        let sandbox = Sandbox::new().upstream(&upstream);
        ConnectedSide { upstream, sandbox, clock: Cell::new(1_790_000_000) }
    }

    /// Writes a depends.toml of exactly these versions.
    pub fn write_depends(&self, file: &str, set: &[(&str, &str)]) {
        let mut text = "[locked]\n".to_owned();
        for name in set.iter().map(|(name, _)| *name).collect::<std::collections::BTreeSet<_>>() {
            let versions: Vec<&str> = set.iter().filter(|one| one.0 == name).map(|one| one.1).collect();
            text.push_str(&format!("{name} = {versions:?}\n"));
        }
        self.sandbox.write(file, text);
    }

    pub fn process(&self, args: &[&str]) -> Process {
        self.clock.set(self.clock.get() + 60);
        self.sandbox.process(args).envs([("SOURCE_DATE_EPOCH", self.clock.get().to_string())])
    }

    /// `fetch` with these words.
    #[track_caller]
    pub fn run_fetch(&self, args: &[&str]) -> Run {
        self.process(&[&["fetch"], args].concat()).run()
    }

    /// `fetch` with these words, and the bundle that it wrote.
    #[track_caller]
    pub fn fetch(&self, args: &[&str]) -> PathBuf {
        self.run_fetch(args).ok().path()
    }

    /// `fetch` with these words, which writes nothing and says so.
    #[track_caller]
    pub fn fetch_without_changes(&self, args: &[&str]) {
        let before = files_below(&self.sandbox.path("output"));
        let run = self.run_fetch(args).ok().stderr_has("nothing new");
        assert_eq!(run.stdout, "");
        assert_eq!(files_below(&self.sandbox.path("output")), before);
    }
}

/// A bundle's own manifest.
pub fn read_manifest(bundle: &Path) -> Manifest {
    let file = Box::new(File::open(bundle).unwrap());
    open_any(file, "bundle", bundle.parent().unwrap()).unwrap().manifest().clone()
}

/// The crates of a manifest in that state, `name version`.
pub fn crates_in_state(manifest: &Manifest, state: CrateState) -> Vec<String> {
    manifest.crates.iter().filter(|record| record.state == state).map(|record| record.id().to_string()).collect()
}

/// A bundle that is a delta on `parent`, with what it ships and what it relies on.
#[track_caller]
pub fn assert_delta(bundle: &Path, parent: &Path, shipped: &[&str], sent: &[&str]) -> Manifest {
    let (manifest, base) = (read_manifest(bundle), read_manifest(parent));
    assert_eq!(manifest.kind, BundleKind::Delta);
    let named = manifest.parent.as_ref().unwrap();
    assert_eq!(
        (named.id.as_str(), Some(named.file.as_str())),
        (base.id.as_str(), parent.file_name().unwrap().to_str())
    );
    assert_eq!(crates_in_state(&manifest, CrateState::Shipped), shipped);
    assert_eq!(crates_in_state(&manifest, CrateState::Sent), sent);
    assert_eq!(manifest.lineage.id, base.lineage.id);
    manifest
}
