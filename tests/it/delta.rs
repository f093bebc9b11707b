//! Weekly bundles: what was sent is not sent again, and the far side ends with the same mirror.

mod chain;
mod deleted;
mod inputs;
mod mend;
mod random;
mod refreshed;
mod told;

use std::cell::Cell;
use std::fs::File;
use std::path::{Path, PathBuf};

use frostmirror::bundle::format::{BundleKind, CrateState, Manifest};
use frostmirror::bundle::open::open_any;

use crate::journey::world::files_in;
use crate::support::run::{Process, Run};
use crate::support::sandbox::Sandbox;
use crate::support::upstream::Upstream;

/// A connected machine whose clock goes on by a minute with every command, and its upstream.
pub struct Near {
    pub upstream: Upstream,
    pub sandbox: Sandbox,
    clock: Cell<u64>,
}

impl Near {
    /// Upstream has these crates.
    pub fn new(crates: &[(&str, &str)]) -> Near {
        let upstream = Upstream::start();
        upstream.publish_all(crates);
        let sandbox = Sandbox::new().upstream(&upstream);
        Near { upstream, sandbox, clock: Cell::new(1_790_000_000) }
    }

    /// Writes a depends.toml of exactly these versions.
    pub fn needs(&self, file: &str, set: &[(&str, &str)]) {
        let mut text = "[locked]\n".to_owned();
        for name in set.iter().map(|(name, _)| *name).collect::<std::collections::BTreeSet<_>>() {
            let versions: Vec<&str> = set.iter().filter(|one| one.0 == name).map(|one| one.1).collect();
            text.push_str(&format!("{name} = {versions:?}\n"));
        }
        self.sandbox.write(file, text);
    }

    pub fn process(&self, words: &[&str]) -> Process {
        self.clock.set(self.clock.get() + 60);
        self.sandbox.process(words).envs([("SOURCE_DATE_EPOCH", self.clock.get().to_string())])
    }

    /// `fetch` with these words.
    #[track_caller]
    pub fn run(&self, words: &[&str]) -> Run {
        self.process(&[&["fetch"], words].concat()).run()
    }

    /// `fetch` with these words, and the bundle that it wrote.
    #[track_caller]
    pub fn fetch(&self, words: &[&str]) -> PathBuf {
        self.run(words).ok().path()
    }

    /// `fetch` with these words, which writes nothing and says so.
    #[track_caller]
    pub fn fetch_nothing(&self, words: &[&str]) {
        let before = files_in(&self.sandbox.path("output"));
        let run = self.run(words).ok().stderr_has("nothing new");
        assert_eq!(run.stdout, "");
        assert_eq!(files_in(&self.sandbox.path("output")), before);
    }
}

/// What a bundle says of itself.
pub fn manifest(bundle: &Path) -> Manifest {
    let file = Box::new(File::open(bundle).unwrap());
    open_any(file, "bundle", bundle.parent().unwrap()).unwrap().manifest().clone()
}

/// The crates of a manifest in that state, `name version`.
pub fn in_state(manifest: &Manifest, state: CrateState) -> Vec<String> {
    manifest.crates.iter().filter(|record| record.state == state).map(|record| record.id().to_string()).collect()
}

/// A bundle that is a delta on `parent`, with what it ships and what it relies on.
#[track_caller]
pub fn assert_delta(bundle: &Path, parent: &Path, shipped: &[&str], sent: &[&str]) -> Manifest {
    let (manifest, base) = (manifest(bundle), manifest(parent));
    assert_eq!(manifest.kind, BundleKind::Delta);
    let named = manifest.parent.as_ref().unwrap();
    assert_eq!(
        (named.id.as_str(), Some(named.file.as_str())),
        (base.id.as_str(), parent.file_name().unwrap().to_str())
    );
    assert_eq!(in_state(&manifest, CrateState::Shipped), shipped);
    assert_eq!(in_state(&manifest, CrateState::Sent), sent);
    assert_eq!(manifest.lineage.id, base.lineage.id);
    manifest
}
