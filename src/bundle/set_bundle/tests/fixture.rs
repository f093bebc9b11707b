//! A lineage in memory, and bundles of it.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::error::Error as _;
use std::io::{self, Cursor, Read};

use jiff::Timestamp;

use super::super::entry_key::{EntryKey, split_registry};
use super::super::*;
use crate::bundle::entry_visitor::EntryVisitor;
use crate::bundle::format::{BundleKind, Entry, FormatVersion, HEADER_SIZE, Parent};
use crate::bundle::header::Header;
use crate::bundle::open_error::Error;
use crate::crate_id::CrateId;
use crate::digest::Sha256;
use crate::event::NullSink;
use crate::inputs::input_id::InputKind;
use crate::mirror_file::{FileKind, FileSource, MirrorFile};
use crate::sharded_set::{
    CrateKey, CrateRow, DigestList, FilePath, FileRow, Inputs, Registry, RegistryId, Row, ShardStore, build,
};

pub const URL: &str = "https://registry.example/index/";

/// Texts in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    texts: RefCell<HashMap<Sha256, Vec<u8>>>,
}

impl ShardStore for MemoryStore {
    fn open(&self, sha256: &Sha256) -> io::Result<Option<Box<dyn Read + '_>>> {
        let text = self.texts.borrow().get(sha256).cloned();
        Ok(text.map(|text| Box::new(Cursor::new(text)) as Box<dyn Read>))
    }

    fn write(&self, sha256: &Sha256, text: &[u8]) -> io::Result<()> {
        self.texts.borrow_mut().insert(*sha256, text.to_vec());
        Ok(())
    }
}

/// A crate or a file with its bytes.
#[derive(Clone, Debug)]
pub struct Item {
    pub row: Row,
    bytes: Vec<u8>,
    /// The index line of a crate.
    line: String,
}

impl Item {
    /// The item of a number with one of a few contents. Three numbers have one name, and every tenth is a file.
    pub fn new(number: u32, content: u8) -> Item {
        let bytes = format!("bytes of {number}, content {}", content / 3).repeat(3).into_bytes();
        let (sha256, size) = (Sha256::of(&bytes), bytes.len() as u64);
        let inputs = Inputs::new((1..=1 + u32::from(content % 2)).chain([4])).expect("valid");
        if number % 10 == 9 {
            let path = format!("dist/2026-01-{:02}/file-{number}.tar.xz", 1 + number % 28);
            let path = FilePath::try_from(path.parse::<crate::safe_path::SafePath>().expect("safe")).expect("valid");
            let row = Row::File(FileRow { path, sha256, size, introduced: 1, inputs });
            return Item { row, bytes, line: String::new() };
        }
        let id = CrateId::parse(&format!("crate-{}", number / 3), &format!("1.{}.0", number % 3)).expect("valid");
        let registry = match number / 3 % 7 {
            1 => Registry::Other(RegistryId::of_url(URL)),
            _ => Registry::CratesIo,
        };
        let is_yanked = content % 3 == 2;
        let line = format!(
            r#"{{"name":"{}","vers":"{}","deps":[],"cksum":"{sha256}","features":{{}},"yanked":{is_yanked}}}"#,
            id.name, id.version
        );
        let row = Row::Crate(CrateRow {
            key: CrateKey { registry, id },
            sha256,
            size,
            line_sha256: Sha256::of(line.as_bytes()),
            introduced: 1,
            inputs,
            is_index_only: number % 50 == 31,
            is_yanked,
        });
        Item { row, bytes, line }
    }
}

/// The sender's lineage.
pub struct World {
    pub items: BTreeMap<u32, Item>,
    pub list: DigestList,
    pub store: MemoryStore,
    folder: tempfile::TempDir,
}

impl World {
    pub fn new(numbers: impl IntoIterator<Item = u32>) -> World {
        let items = numbers.into_iter().map(|number| (number, Item::new(number, 0))).collect();
        let folder = tempfile::tempdir().expect("a folder");
        let mut world = World { items, list: DigestList::empty(), store: MemoryStore::default(), folder };
        world.update();
        world
    }

    /// Builds the set of the items.
    fn update(&mut self) {
        self.list = build(self.items.values().map(|item| item.row.clone()), &self.store).expect("valid");
    }

    /// The files of all items.
    pub fn files(&self) -> Vec<PackedFile> {
        packed_files(self.items.values())
    }

    /// A full bundle.
    pub fn full(&mut self) -> Vec<u8> {
        self.full_with(self.files())
    }

    /// A full bundle with these files in any order.
    pub fn full_with(&mut self, mut files: Vec<PackedFile>) -> Vec<u8> {
        self.update();
        sort(&mut files);
        let mut plan = plan(BundleKind::Full);
        plan.set = Some(PlannedSet { before: None, after: &self.list, store: &self.store });
        self.write(SetPackPlan { files: &files, ..plan })
    }

    /// A delta on `base` with the files of these items.
    pub fn delta(&mut self, base: &DigestList, shipped: impl IntoIterator<Item = u32>) -> Vec<u8> {
        self.update();
        let mut plan = plan(BundleKind::Delta);
        plan.parent = Some(Parent { id: "b".repeat(32), file: "base.pkg".to_owned() });
        let before = Some(base).filter(|base| base.rows() > 0);
        plan.set = Some(PlannedSet { before, after: &self.list, store: &self.store });
        let files = packed_files(shipped.into_iter().filter_map(|number| self.items.get(&number)));
        self.write(SetPackPlan { files: &files, ..plan })
    }

    /// A repair with the files of these items.
    pub fn repair(&mut self, shipped: impl IntoIterator<Item = u32>) -> Vec<u8> {
        let mut plan = plan(BundleKind::Full);
        plan.repair = true;
        let files = packed_files(shipped.into_iter().filter_map(|number| self.items.get(&number)));
        self.write(SetPackPlan { files: &files, ..plan })
    }

    fn write(&self, plan: SetPackPlan<'_>) -> Vec<u8> {
        let written = write(&plan, self.folder.path(), &NullSink).expect("a valid plan");
        let bytes = std::fs::read(written.path()).expect("a bundle");
        assert_eq!((written.size, written.sha256), (bytes.len() as u64, Sha256::of(&bytes)));
        bytes
    }
}

/// A plan without a set and files.
pub fn plan(kind: BundleKind) -> SetPackPlan<'static> {
    let input = |number: u32| NumberedInput {
        number,
        label: format!("app-{number}"),
        kind: InputKindName::Known(InputKind::Lockfile),
        roots: Vec::new(),
        skipped_packages: Vec::new(),
    };
    let lineage = SetLineage {
        id: "a".repeat(32),
        sequence: 3,
        previous: Some("c".repeat(32)),
        inputs: vec![input(1), input(2), input(4)],
    };
    SetPackPlan {
        created: Timestamp::UNIX_EPOCH,
        kind,
        repair: false,
        parent: None,
        targets: vec!["x86_64-unknown-linux-gnu".to_owned()],
        toolchains: Vec::new(),
        index_read: Timestamp::UNIX_EPOCH,
        lineage,
        fetched: vec![1, 2],
        registries: vec![RegistryRecord {
            id: RegistryId::of_url(URL).to_string(),
            url: URL.to_owned(),
            name: "corp".to_owned(),
        }],
        exceptions: Vec::new(),
        set: None,
        files: &NO_FILES,
    }
}

static NO_FILES: Vec<PackedFile> = Vec::new();

/// The files of items in the order of a bundle, with a configuration file.
pub fn packed_files<'i>(items: impl Iterator<Item = &'i Item>) -> Vec<PackedFile> {
    let mut files: Vec<PackedFile> = Vec::new();
    let mut lines: BTreeMap<(Registry, String), Vec<&str>> = BTreeMap::new();
    for item in items {
        let file = |path: String, kind| packed_file(&path, kind, item.bytes.clone());
        match &item.row {
            Row::Crate(row) => {
                let root = registry_root(row.key.registry);
                let name = (row.key.registry, row.key.id.name.to_string());
                lines.entry(name).or_default().push(&item.line);
                if !row.is_index_only {
                    let mut file = file(format!("{root}{}", row.key.id.crate_path()), FileKind::Crate);
                    file.details.license = Some("MIT".to_owned());
                    files.push(file);
                }
            }
            Row::File(row) => files.push(file(row.path.as_path().to_string(), FileKind::Dist)),
        }
    }
    for ((registry, name), lines) in lines {
        let id = CrateId::parse(&name, "0.0.0").expect("valid");
        let path = format!("{}index/{}", registry_root(registry), id.name.index_path());
        let text: String = lines.iter().flat_map(|line| [line, "\n"]).collect();
        files.push(packed_file(&path, FileKind::Index, text.into_bytes()));
    }
    files.push(packed_file("config.toml", FileKind::Config, b"[net]\n".to_vec()));
    sort(&mut files);
    files
}

/// Sorts by kind, and then in the order of the set.
fn sort(files: &mut [PackedFile]) {
    files.sort_by_cached_key(|file| {
        let (file, _) = &file.file;
        let entry = Entry { path: file.path.clone(), size: file.size, sha256: file.sha256, kind: file.kind };
        let (registry, path) = split_registry(&file.path).expect("valid");
        (file.kind, EntryKey::of(&entry, registry, path).expect("valid").sort_key())
    });
}

fn registry_root(registry: Registry) -> String {
    match registry {
        Registry::CratesIo => String::new(),
        Registry::Other(id) => format!("r/{id}/"),
    }
}

pub fn packed_file(path: &str, kind: FileKind, bytes: Vec<u8>) -> PackedFile {
    let path = path.parse().expect("safe");
    let file = MirrorFile { path, size: bytes.len() as u64, sha256: Sha256::of(&bytes), kind };
    PackedFile { file: (file, FileSource::Memory(bytes)), details: EntryDetails::default() }
}

/// Path and bytes of each file.
pub fn content(files: &[PackedFile]) -> Vec<(String, Vec<u8>)> {
    let content = files.iter().map(|file| match &file.file {
        (info, FileSource::Memory(bytes)) => (info.path.to_string(), bytes.clone()),
        (_, FileSource::File(_)) => panic!("all are in memory"),
    });
    content.collect()
}

/// Everything that a reader passes on.
#[derive(Default)]
pub struct Seen {
    pub files: Vec<(String, Vec<u8>)>,
    parts: usize,
    /// Paths of the part's entries that are to come.
    announced: Vec<String>,
}

impl EntryVisitor for Seen {
    fn begin(&mut self, entry: &Entry) -> io::Result<()> {
        assert_eq!(self.announced.pop().as_deref(), Some(entry.path.as_str()), "its table comes first");
        self.files.push((entry.path.to_string(), Vec::new()));
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.files.last_mut().expect("begun").1.extend_from_slice(bytes);
        Ok(())
    }

    fn end(&mut self, _: &Entry, _: bool) -> io::Result<()> {
        Ok(())
    }
}

impl PartVisitor for Seen {
    fn begin_part(&mut self, number: usize, blocks: &[PartBlock]) -> io::Result<()> {
        self.parts += 1;
        assert_eq!(number, self.parts);
        assert_eq!(self.announced, [""; 0], "the part before is complete");
        let paths = blocks.iter().flat_map(|part| &part.block.entries).map(|entry| entry.path.to_string());
        self.announced = paths.collect();
        self.announced.reverse();
        Ok(())
    }
}

pub fn read(reader: impl Read, base: Base<'_>, seen: &mut Seen) -> Result<SetReport, Error> {
    let (store, scratch) = (MemoryStore::default(), MemoryStore::default());
    SetBundle::open(reader, "x.pkg")?.read_set(base, &store, &scratch)?.stream(seen)
}

/// Everything that a reader reports.
pub fn problems(bytes: &[u8], base: Base<'_>) -> Vec<String> {
    match read(bytes, base, &mut Seen::default()) {
        Ok(report) => report.problems.iter().map(ToString::to_string).collect(),
        Err(error) => vec![error_chain(&error)],
    }
}

/// An error with its sources.
pub fn error_chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text
}

/// A bundle with another format version in its header.
pub fn with_format(bytes: &[u8], format: u32) -> Vec<u8> {
    let mut header = Header::parse(bytes[..HEADER_SIZE].try_into().expect("a header")).expect("valid");
    header.format = FormatVersion(format);
    [&header.to_bytes()[..], &bytes[HEADER_SIZE..]].concat()
}
