//! The table of rustup artifacts: the same bytes travel once, and a table that lies is refused by name.

use frostmirror::artifact::Kind;
use frostmirror::bundle::format::{ArtifactRecord, ArtifactState, BundleKind};
use frostmirror::bundle::open::{Bundle, Visitor};
use frostmirror::bundle::{format, pack};
use frostmirror::digest::Sha256;
use frostmirror::event::Silent;
use tempfile::tempdir;

use crate::bundle_hostile::{refused, streamed};
use crate::support::forge::{self, FakeCrate, Forged, entry};

const MANIFEST: &str = "dist/channel-rust-stable.toml";
const STD: &str = "dist/2026-04-16/rust-std-1.95.0-wasm32-unknown-unknown.tar.xz";

fn record(path: &str, content: &[u8]) -> ArtifactRecord {
    ArtifactRecord {
        path: path.parse().expect("safe"),
        sha256: Sha256::of(content),
        size: content.len() as u64,
        state: ArtifactState::Shipped,
        read: None,
    }
}

/// A good bundle with two artifacts, each an entry.
fn two() -> Forged {
    let mut forged = Forged::of(&[FakeCrate::new("a", "1.0.0", 60)]);
    let config = (forged.manifest.blocks.pop().expect("config"), forged.payload.pop().expect("config"));
    for (path, content) in [(STD, &b"std"[..]), (MANIFEST, b"toml")] {
        forged.stored(entry(path, Kind::Dist, content), content);
        forged.manifest.artifacts.push(record(path, content));
    }
    forged.manifest.blocks.push(config.0);
    forged.payload.push(config.1);
    forged
}

fn bent(bend: impl FnOnce(&mut Vec<ArtifactRecord>)) -> Vec<u8> {
    let mut forged = two();
    bend(&mut forged.manifest.artifacts);
    forged.bytes()
}

#[test]
fn a_good_table_is_read() {
    assert_eq!(streamed(&two().bytes()), Vec::<String>::new());
}

#[test]
fn a_table_that_lies_is_refused_by_name() {
    refused(&bent(|table| table.swap(0, 1)), &["manifest", "out of order"]);
    refused(&bent(|table| table.push(table[1].clone())), &["manifest", MANIFEST, "twice"]);
    refused(&bent(|table| table[0].state = ArtifactState::Sent), &["manifest", STD, "no delta"]);
    refused(&bent(|table| table[0].state = ArtifactState::Kept), &["manifest", STD, "states to be shipped"]);
    refused(&bent(|table| table[1].sha256 = Sha256::of(b"other")), &["manifest", MANIFEST, "states to be shipped"]);
    refused(&bent(|table| table[1].size = 5), &["manifest", MANIFEST, "states to be shipped"]);
    refused(&bent(|table| drop(table.pop())), &["manifest", MANIFEST, "states to be shipped"]);
    refused(&bent(|table| table[1].read = Some("2026-01-01T00:00:00Z".to_owned())), &["manifest", "no snapshot"]);
    refused(&bent(|table| table.push(record("rustup/x", b"nowhere"))), &["manifest", "rustup/x", "no entry"]);
    for path in ["crates/a-2.0.0.crate", "dist", "config.toml", "index/1/b", "etc/passwd"] {
        let table = |table: &mut Vec<ArtifactRecord>| {
            table.push(record(path, b"std"));
            table.sort_by(|a, b| a.path.cmp(&b.path));
        };
        refused(&bent(table), &["manifest", path, "no path of a rustup artifact"]);
    }
    refused(&bent(|table| table.insert(0, record("dist/.x/y", b"std"))), &["manifest", "hidden name"]);
    refused(
        &bent(|table| table.push(record("dist/channel-rust-stable.toml/x", b"std"))),
        &["below a path that is a file"],
    );
    refused(
        &bent(|table| table.insert(0, record("dist/2026-04-16/RUST-std-1.95.0-wasm32-unknown-unknown.tar.xz", b"std"))),
        &["only in case"],
    );
    for path in ["../x", "dist/../../x", "/dist/x", "dist//x", "dist\\x", "dist/x\\u0000", "dist/con:x"] {
        let bytes = two().bytes_with(|json| json.replace(&format!("\"{MANIFEST}\""), &format!("\"{path}\"")));
        refused(&bytes, &["manifest"]);
    }
    let mut forged = two();
    forged.manifest.lineage.inputs[0].artifacts = vec![0, 2];
    refused(&forged.bytes(), &["manifest", "positions beyond"]);
    forged.manifest.lineage.inputs[0].artifacts = vec![1, 0];
    refused(&forged.bytes(), &["manifest", "positions beyond"]);
}

/// What passes, by path.
#[derive(Default)]
struct Paths(Vec<String>);

impl Visitor for Paths {
    fn begin(&mut self, entry: &format::Entry) -> std::io::Result<()> {
        self.0.push(entry.path.to_string());
        Ok(())
    }

    fn data(&mut self, _bytes: &[u8]) -> std::io::Result<()> {
        Ok(())
    }

    fn end(&mut self, _entry: &format::Entry, good: bool) -> std::io::Result<()> {
        assert!(good);
        Ok(())
    }
}

#[test]
fn the_same_bytes_travel_once() {
    let folder = tempdir().expect("a folder");
    let mut plan = forge::plan(&[FakeCrate::new("a", "1.0.0", 60)], folder.path());
    for path in [
        "rustup/archive/1.29.0/x86_64-unknown-linux-gnu/rustup-init",
        "rustup/dist/x86_64-unknown-linux-gnu/rustup-init",
    ] {
        plan.files.push((
            frostmirror::artifact::Artifact {
                path: path.parse().expect("safe"),
                size: 7,
                sha256: Sha256::of(b"program"),
                kind: Kind::Rustup,
            },
            frostmirror::artifact::Bytes::Memory(b"program".to_vec()),
        ));
        plan.artifacts.push(record(path, b"program"));
    }
    let written = pack::write(plan, folder.path(), &Silent).expect("packed");
    assert_eq!((written.manifest.kind, written.manifest.artifacts.len()), (BundleKind::Full, 2));
    let path = written.publish(&|_| false).expect("published");
    let bundle = Bundle::open(std::fs::File::open(&path).expect("there"), "x.pkg").expect("good");
    let mut paths = Paths::default();
    assert!(bundle.stream(&mut paths).expect("good").problems.is_empty());
    let programs: Vec<&String> = paths.0.iter().filter(|path| path.starts_with("rustup/")).collect();
    assert_eq!(programs, ["rustup/archive/1.29.0/x86_64-unknown-linux-gnu/rustup-init"]);
}
