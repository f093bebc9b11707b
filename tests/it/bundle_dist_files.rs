//! The table of rustup artifacts: the same bytes travel once, and a table that lies is refused by name.

use frostmirror::bundle::format::{BundleKind, DistFileRecord, DistFileState};
use frostmirror::bundle::open::{Bundle, EntryVisitor};
use frostmirror::bundle::{format, pack};
use frostmirror::digest::Sha256;
use frostmirror::event::NullSink;
use frostmirror::mirror_file::FileKind;
use tempfile::tempdir;

use crate::bundle_hostile::{assert_refused, streaming_problems};
use crate::support::forged_bundle::{self, FakeCrate, ForgedBundle, entry};

const MANIFEST: &str = "dist/channel-rust-stable.toml";
const STD: &str = "dist/2026-04-16/rust-std-1.95.0-wasm32-unknown-unknown.tar.xz";

fn dist_record(path: &str, content: &[u8]) -> DistFileRecord {
    DistFileRecord {
        path: path.parse().expect("safe"),
        sha256: Sha256::of(content),
        size: content.len() as u64,
        state: DistFileState::Shipped,
        read_at: None,
    }
}

/// A good bundle with two artifacts, each an entry.
fn two_dist_files() -> ForgedBundle {
    let mut forged = ForgedBundle::from_crates(&[FakeCrate::new("a", "1.0.0", 60)]);
    let config = (forged.manifest.blocks.pop().expect("config"), forged.payload.pop().expect("config"));
    for (path, content) in [(STD, &b"std"[..]), (MANIFEST, b"toml")] {
        forged.add_stored_block(entry(path, FileKind::Dist, content), content);
        forged.manifest.dist_files.push(dist_record(path, content));
    }
    forged.manifest.blocks.push(config.0);
    forged.payload.push(config.1);
    forged
}

fn bundle_with_modified_table(bend: impl FnOnce(&mut Vec<DistFileRecord>)) -> Vec<u8> {
    let mut forged = two_dist_files();
    bend(&mut forged.manifest.dist_files);
    forged.bytes()
}

#[test]
fn a_valid_dist_file_table_is_read() {
    assert_eq!(streaming_problems(&two_dist_files().bytes()), Vec::<String>::new());
}

#[test]
fn an_invalid_dist_file_table_is_refused_with_the_reason() {
    assert_refused(&bundle_with_modified_table(|table| table.swap(0, 1)), &["manifest", "out of order"]);
    assert_refused(
        &bundle_with_modified_table(|table| table.push(table[1].clone())),
        &["manifest", MANIFEST, "duplicated"],
    );
    assert_refused(
        &bundle_with_modified_table(|table| table[0].state = DistFileState::Sent),
        &["manifest", STD, "not a delta"],
    );
    assert_refused(
        &bundle_with_modified_table(|table| table[0].state = DistFileState::Kept),
        &["manifest", STD, "no matching row as shipped"],
    );
    assert_refused(
        &bundle_with_modified_table(|table| table[1].sha256 = Sha256::of(b"other")),
        &["manifest", MANIFEST, "no matching row as shipped"],
    );
    assert_refused(
        &bundle_with_modified_table(|table| table[1].size = 5),
        &["manifest", MANIFEST, "no matching row as shipped"],
    );
    assert_refused(
        &bundle_with_modified_table(|table| drop(table.pop())),
        &["manifest", MANIFEST, "no matching row as shipped"],
    );
    assert_refused(
        &bundle_with_modified_table(|table| table[1].read_at = Some("2026-01-01T00:00:00Z".to_owned())),
        &["manifest", "not a snapshot"],
    );
    assert_refused(
        &bundle_with_modified_table(|table| table.push(dist_record("rustup/x", b"nowhere"))),
        &["manifest", "rustup/x", "no entry"],
    );
    for path in ["crates/a-2.0.0.crate", "dist", "config.toml", "index/1/b", "etc/passwd"] {
        let table = |table: &mut Vec<DistFileRecord>| {
            table.push(dist_record(path, b"std"));
            table.sort_by(|a, b| a.path.cmp(&b.path));
        };
        assert_refused(&bundle_with_modified_table(table), &["manifest", path, "not a path of a rustup artifact"]);
    }
    assert_refused(
        &bundle_with_modified_table(|table| table.insert(0, dist_record("dist/.x/y", b"std"))),
        &["manifest", "hidden name"],
    );
    assert_refused(
        &bundle_with_modified_table(|table| table.push(dist_record("dist/channel-rust-stable.toml/x", b"std"))),
        &["below a path that is a file"],
    );
    assert_refused(
        &bundle_with_modified_table(|table| {
            table.insert(0, dist_record("dist/2026-04-16/RUST-std-1.95.0-wasm32-unknown-unknown.tar.xz", b"std"))
        }),
        &["only in case"],
    );
    for path in ["../x", "dist/../../x", "/dist/x", "dist//x", "dist\\x", "dist/x\\u0000", "dist/con:x"] {
        let bytes =
            two_dist_files().bytes_with(|json| json.replace(&format!("\"{MANIFEST}\""), &format!("\"{path}\"")));
        assert_refused(&bytes, &["manifest"]);
    }
    let mut forged = two_dist_files();
    forged.manifest.lineage.inputs[0].dist_files = vec![0, 2];
    assert_refused(&forged.bytes(), &["manifest", "row numbers"]);
    forged.manifest.lineage.inputs[0].dist_files = vec![1, 0];
    assert_refused(&forged.bytes(), &["manifest", "row numbers"]);
}

/// What passes, by path.
#[derive(Default)]
struct PathCollector(Vec<String>);

impl EntryVisitor for PathCollector {
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
fn identical_dist_files_are_shipped_once() {
    let folder = tempdir().expect("a folder");
    let mut plan = forged_bundle::bundle_plan(&[FakeCrate::new("a", "1.0.0", 60)], folder.path());
    for path in [
        "rustup/archive/1.29.0/x86_64-unknown-linux-gnu/rustup-init",
        "rustup/dist/x86_64-unknown-linux-gnu/rustup-init",
    ] {
        plan.files.push((
            frostmirror::mirror_file::MirrorFile {
                path: path.parse().expect("safe"),
                size: 7,
                sha256: Sha256::of(b"program"),
                kind: FileKind::Rustup,
            },
            frostmirror::mirror_file::FileSource::Memory(b"program".to_vec()),
        ));
        plan.dist_files.push(dist_record(path, b"program"));
    }
    let written = pack::write(plan, folder.path(), &NullSink).expect("packed");
    assert_eq!((written.manifest.kind, written.manifest.dist_files.len()), (BundleKind::Full, 2));
    let path = written.publish(&|_| false).expect("published");
    let bundle = Bundle::open(std::fs::File::open(&path).expect("there"), "x.pkg").expect("good");
    let mut paths = PathCollector::default();
    assert!(bundle.stream(&mut paths).expect("good").problems.is_empty());
    let programs: Vec<&String> = paths.0.iter().filter(|path| path.starts_with("rustup/")).collect();
    assert_eq!(programs, ["rustup/archive/1.29.0/x86_64-unknown-linux-gnu/rustup-init"]);
}
