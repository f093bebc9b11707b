//! A bundle with a set is written and read with neither the set nor the list of its files in memory.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::Command;

use frostmirror::bundle::format::{BundleKind, Parent};
use frostmirror::bundle::open::NullVisitor;
use frostmirror::bundle::set_bundle::{
    Base, EntryDetails, FileList, InputKindName, NumberedInput, PackedFile, PlannedSet, SetBundle, SetLineage,
    SetPackPlan, write,
};
use frostmirror::crate_id::CrateId;
use frostmirror::digest::Sha256;
use frostmirror::event::NullSink;
use frostmirror::inputs::input_id::InputKind;
use frostmirror::mirror_file::{FileKind, FileSource, MirrorFile};
use frostmirror::sharded_set::{Builder, CrateKey, CrateRow, DigestList, Inputs, Key, Registry, Row, ShardStore};
use jiff::Timestamp;
use tempfile::tempdir;

/// In the environment of a child process: the number of crates.
const COUNT: &str = "FROSTMIRROR_TEST_CRATES";
/// In its environment, if it writes a delta.
const IS_DELTA: &str = "FROSTMIRROR_TEST_DELTA";
/// In its environment: the file for its result.
const RESULT: &str = "FROSTMIRROR_TEST_RESULT";

/// Shards in a folder.
struct FolderStore(PathBuf);

impl ShardStore for FolderStore {
    fn open(&self, sha256: &Sha256) -> io::Result<Option<Box<dyn Read + '_>>> {
        match File::open(self.0.join(sha256.to_string())) {
            Ok(file) => Ok(Some(Box::new(file))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn write(&self, sha256: &Sha256, text: &[u8]) -> io::Result<()> {
        fs::write(self.0.join(sha256.to_string()), text)
    }
}

/// One version each of many names, by number in the order of a set.
struct Crates(Vec<u32>);

fn id(number: u32) -> CrateId {
    CrateId::parse(&format!("crate-{number}"), "1.0.0").expect("valid")
}

fn crate_key(number: u32) -> CrateKey {
    CrateKey { registry: Registry::CratesIo, id: id(number) }
}

fn bytes(number: u32) -> Vec<u8> {
    format!("the bytes of {number}").into_bytes()
}

fn line(number: u32) -> String {
    let (id, cksum) = (id(number), Sha256::of(&bytes(number)));
    format!(
        r#"{{"name":"{}","vers":"{}","deps":[],"cksum":"{cksum}","features":{{}},"yanked":false}}"#,
        id.name, id.version
    )
}

fn row(number: u32) -> Row {
    let bytes = bytes(number);
    Row::Crate(CrateRow {
        key: crate_key(number),
        sha256: Sha256::of(&bytes),
        size: bytes.len() as u64,
        line_sha256: Sha256::of(line(number).as_bytes()),
        introduced: 1,
        inputs: Inputs::new([1]).expect("valid"),
        is_index_only: false,
        is_yanked: false,
    })
}

fn packed(path: String, kind: FileKind, bytes: Vec<u8>) -> PackedFile {
    let path = path.parse().expect("safe");
    let file = MirrorFile { path, size: bytes.len() as u64, sha256: Sha256::of(&bytes), kind };
    PackedFile { file: (file, FileSource::Memory(bytes)), details: EntryDetails::default() }
}

impl FileList for Crates {
    fn files(&self) -> Box<dyn Iterator<Item = io::Result<PackedFile>> + '_> {
        let crates =
            self.0.iter().map(|number| packed(id(*number).crate_path().to_string(), FileKind::Crate, bytes(*number)));
        let index = self.0.iter().map(|number| {
            let path = format!("index/{}", id(*number).name.index_path());
            packed(path, FileKind::Index, format!("{}\n", line(*number)).into_bytes())
        });
        Box::new(crates.chain(index).map(Ok))
    }
}

/// The set of these crates.
fn set(numbers: &[u32], store: &FolderStore) -> DigestList {
    let mut builder = Builder::new(numbers.len() as u64, store);
    for number in numbers {
        builder.push(row(*number)).expect("in order");
    }
    builder.finish().expect("valid")
}

/// Writes and reads a full bundle, or a delta that adds nearly all rows, and returns the number of parts.
fn round_trip(kind: BundleKind, count: u32, folder: &Path) -> usize {
    let stores = ["sender", "receiver", "scratch"].map(|name| {
        fs::create_dir(folder.join(name)).expect("a folder");
        FolderStore(folder.join(name))
    });
    let [sender, receiver, scratch] = &stores;
    let mut numbers: Vec<u32> = (0..count).collect();
    numbers.sort_by_cached_key(|number| Key::Crate(crate_key(*number)).sort_key().shard(32));
    let (before, after) = (set(&[count], sender), set(&numbers, sender));
    let input = NumberedInput {
        number: 1,
        label: "app".to_owned(),
        kind: InputKindName::Known(InputKind::Lockfile),
        roots: Vec::new(),
        skipped_packages: Vec::new(),
    };
    let files = Crates(numbers);
    let is_delta = kind == BundleKind::Delta;
    let plan = SetPackPlan {
        created: Timestamp::UNIX_EPOCH,
        kind,
        repair: false,
        parent: is_delta.then(|| Parent { id: "b".repeat(32), file: "base.pkg".to_owned() }),
        targets: Vec::new(),
        toolchains: Vec::new(),
        index_read: Timestamp::UNIX_EPOCH,
        lineage: SetLineage { id: "a".repeat(32), sequence: 1, previous: None, inputs: vec![input] },
        fetched: vec![1],
        registries: Vec::new(),
        exceptions: Vec::new(),
        set: Some(PlannedSet { before: is_delta.then_some(&before), after: &after, store: sender }),
        files: &files,
    };
    let written = write(&plan, folder, &NullSink).expect("a valid plan");
    let bundle = SetBundle::open(File::open(written.path()).expect("a bundle"), "x.pkg").expect("valid");
    let content = bundle.read_set(Base::Unknown, receiver, scratch).expect("valid changes");
    let report = content.stream(&mut NullVisitor).expect("readable");
    assert_eq!(report.problems, []);
    assert_eq!(report.set, (!is_delta).then_some(after));
    report.manifest.parts.len()
}

/// Peak memory of this process in KiB.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("its status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its peak");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn memory_stays_below_64_mib() {
    let folder = tempdir().expect("a folder");
    if let Ok(count) = std::env::var(COUNT) {
        let kind = if std::env::var_os(IS_DELTA).is_some() { BundleKind::Delta } else { BundleKind::Full };
        let parts = round_trip(kind, count.parse().expect("a number"), folder.path());
        let result = std::env::var_os(RESULT).expect("a path");
        fs::write(result, format!("{parts} {}", peak_memory())).expect("a file");
        return;
    }
    let run = |kind: BundleKind, count: u32| {
        let name = "set_bundle_memory::memory_stays_below_64_mib";
        let result = folder.path().join(format!("{kind}-{count}"));
        let mut command = Command::new(std::env::current_exe().expect("its path"));
        command.args(["--exact", name]).env(COUNT, count.to_string()).env(RESULT, &result);
        if kind == BundleKind::Delta {
            command.env(IS_DELTA, "1");
        }
        let child = command.output().expect("a child");
        let text = fs::read_to_string(result).unwrap_or_else(|error| panic!("{error}: {child:?}"));
        let (parts, peak) = text.split_once(' ').expect("two figures");
        (parts.parse::<u64>().expect("a number"), peak.parse::<u64>().expect("a number"))
    };
    let (_, baseline) = run(BundleKind::Full, 10);
    let (parts, full) = run(BundleKind::Full, 50_000);
    // In one shard, the added rows would be too large.
    let (_, delta) = run(BundleKind::Delta, 30_000);
    assert!(parts > 5, "{parts}");
    // A list of all entries and files would need more.
    for peak in [full, delta] {
        assert!(peak < baseline + 64 * 1024, "{peak} KiB, where ten crates take {baseline} KiB");
    }
}
