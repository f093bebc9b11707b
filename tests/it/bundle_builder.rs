//! Bundles made to measure, imported in this process, and the questions that every test asks of a mirror afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use frostmirror::bundle::format::{
    BundleKind, CrateRecord, CrateState, DistFileRecord, DistFileState, Input, Lineage, Manifest, Parent,
    RefreshedCrate,
};
use frostmirror::bundle::open::open_any;
use frostmirror::bundle::pack::{self, PackPlan};
use frostmirror::bundle::sequence::FIRST_TIMESTAMP_SEQUENCE;
use frostmirror::crate_id::CrateId;
use frostmirror::digest::Sha256;
use frostmirror::event::NullSink;
use frostmirror::index_line::IndexLine;
use frostmirror::mirror::import::{Error, ImportOptions, ImportReport};
use frostmirror::mirror::index_meta;
use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::lock::{Holder, lock_for_adding};
use frostmirror::mirror_file::{FileKind, FileSource, MirrorFile};
use jiff::Timestamp;

use crate::support::crates::{Crate, PackedCrate};
use crate::support::sandbox::read_tree;

/// The second that stands for time 0 in these tests.
const EPOCH: i64 = 1_790_000_000;

pub fn test_time(seconds: i64) -> Timestamp {
    Timestamp::from_second(EPOCH + seconds).unwrap()
}

/// A bundle to be written.
#[derive(Clone)]
pub struct BundleBuilder {
    lineage: String,
    sequence: u64,
    previous: Option<String>,
    created: i64,
    index_read: i64,
    kind: BundleKind,
    repair: bool,
    parent: Option<Parent>,
    crates: Vec<(PackedCrate, CrateState)>,
    refreshed: Vec<PackedCrate>,
    artifacts: BTreeMap<String, (Vec<u8>, DistFileState)>,
    descriptions: BTreeMap<String, String>,
}

impl BundleBuilder {
    /// The `sequence`th bundle of a history, made and read from the index at that second.
    pub fn new(lineage: &str, sequence: u64) -> BundleBuilder {
        let time = i64::try_from(sequence).unwrap_or(0);
        BundleBuilder {
            lineage: Sha256::of(lineage.as_bytes()).to_string()[..32].to_owned(),
            sequence,
            previous: None,
            created: time,
            index_read: time,
            kind: BundleKind::Full,
            repair: false,
            parent: None,
            crates: Vec::new(),
            refreshed: Vec::new(),
            artifacts: BTreeMap::new(),
            descriptions: BTreeMap::new(),
        }
    }

    /// The id that it states of the bundle before it. Without this: that of the bundle in the same folder that has the number
    /// before it, or one that no bundle has.
    pub fn previous(mut self, id: &str) -> BundleBuilder {
        self.previous = Some(id.to_owned());
        self
    }

    /// The id of its history.
    pub fn lineage(&self) -> &str {
        &self.lineage
    }

    /// The second at which the index was read, and the bundle made.
    pub fn read_at(mut self, seconds: i64) -> BundleBuilder {
        (self.index_read, self.created) = (seconds, seconds);
        self
    }

    pub fn parent(mut self, file: &str) -> BundleBuilder {
        self.kind = BundleKind::Delta;
        self.parent = Some(Parent { id: "0123456789abcdef0123456789abcdef".to_owned(), file: file.to_owned() });
        self
    }

    /// A delta on the bundle with this id.
    pub fn based_on(mut self, id: &str) -> BundleBuilder {
        self.kind = BundleKind::Delta;
        self.parent = Some(Parent { id: id.to_owned(), file: "base.pkg".to_owned() });
        self
    }

    /// It mends what a mirror has lost.
    pub fn repair(mut self) -> BundleBuilder {
        self.repair = true;
        self
    }

    pub fn ship(self, one: Crate) -> BundleBuilder {
        self.with_crate(one, CrateState::Shipped)
    }

    pub fn with_crate(mut self, one: Crate, state: CrateState) -> BundleBuilder {
        self.crates.push((one.pack(), state));
        self
    }

    /// It has the line of a crate of an earlier bundle, and not the crate.
    pub fn refresh(mut self, one: Crate) -> BundleBuilder {
        self.refreshed.push(one.pack());
        self
    }

    /// A rustup artifact with these bytes.
    pub fn dist_file(mut self, path: &str, content: impl AsRef<[u8]>, state: DistFileState) -> BundleBuilder {
        self.artifacts.insert(path.to_owned(), (content.as_ref().to_vec(), state));
        self
    }

    /// What the manifest says of every version of a crate.
    pub fn description(mut self, name: &str, text: &str) -> BundleBuilder {
        self.descriptions.insert(name.to_owned(), text.to_owned());
        self
    }

    /// Ships a crate of any bytes.
    pub fn ship_packed(mut self, packed: PackedCrate) -> BundleBuilder {
        self.crates.push((packed, CrateState::Shipped));
        self
    }

    /// Writes it as `name` into `folder`.
    pub fn write(mut self, folder: &Path, name: &str) -> PathBuf {
        let id = |packed: &PackedCrate| CrateId::parse(&packed.name, &packed.version).unwrap();
        self.crates.sort_by_key(|(packed, _)| id(packed));
        self.refreshed.sort_by_key(id);
        let mut records = Vec::new();
        let mut files = Vec::new();
        let mut index: BTreeMap<String, String> = BTreeMap::new();
        let mut refreshed = Vec::new();
        for packed in &self.refreshed {
            let CrateId { name, version } = id(packed);
            index.entry(format!("index/{}", name.index_path())).or_default().push_str(&format!("{}\n", packed.line));
            let yanked = packed.line.contains(r#""yanked":true"#);
            refreshed.push(RefreshedCrate { name, version, sha256: packed.cksum.parse().unwrap(), yanked });
        }
        for (packed, state) in &self.crates {
            let CrateId { name, version } = id(packed);
            if *state != CrateState::Kept {
                let text = index.entry(format!("index/{}", name.index_path())).or_default();
                text.push_str(&format!("{}\n", packed.line));
            }
            if *state == CrateState::Shipped {
                files.push(dist_file_content(id(packed).crate_path().as_str(), FileKind::Crate, packed.bytes.clone()));
            }
            records.push(CrateRecord {
                description: self.descriptions.get(name.as_str()).cloned(),
                name,
                version,
                sha256: packed.cksum.parse().unwrap(),
                size: packed.bytes.len() as u64,
                state: *state,
                yanked: packed.line.contains(r#""yanked":true"#),
                read_at: None,
                license: None,
                repository: None,
            });
        }
        files
            .extend(index.into_iter().map(|(path, text)| dist_file_content(&path, FileKind::Index, text.into_bytes())));
        let input = Input {
            name: "Cargo.lock".to_owned(),
            roots: Vec::new(),
            crates: (0..u32::try_from(records.len()).unwrap()).collect(),
            dist_files: (0..u32::try_from(self.artifacts.len()).unwrap()).collect(),
            skipped_packages: Vec::new(),
        };
        let mut artifacts = Vec::new();
        for (path, (content, state)) in self.artifacts {
            let kind = if path.starts_with("dist/") { FileKind::Dist } else { FileKind::Rustup };
            let (about, bytes) = dist_file_content(&path, kind, content);
            let (path, sha256, size) = (about.path.clone(), about.sha256, about.size);
            artifacts.push(DistFileRecord { path, sha256, size, state, read_at: None });
            if state == DistFileState::Shipped {
                files.push((about, bytes));
            }
        }
        let is_counted = (2..FIRST_TIMESTAMP_SEQUENCE).contains(&self.sequence);
        let previous = self.previous.or_else(|| Some(find_predecessor(folder, &self.lineage, self.sequence)));
        let previous = previous.filter(|_| is_counted);
        let plan = PackPlan {
            created: test_time(self.created),
            kind: self.kind,
            repair: self.repair,
            parent: self.parent,
            lineage: Lineage { id: self.lineage, sequence: self.sequence, previous, inputs: vec![input] },
            dist_files: artifacts,
            carried_histories: Vec::new(),
            refreshed_crates: refreshed,
            targets: Vec::new(),
            toolchains: Vec::new(),
            index_read: test_time(self.index_read),
            crates: records,
            files,
        };
        let written = pack::write(plan, folder, &NullSink).unwrap();
        let path = folder.join(name);
        fs::copy(written.path(), &path).unwrap();
        path
    }
}

/// The id of the bundle in `folder` that has the number before `sequence`, or one that no bundle has.
fn find_predecessor(folder: &Path, lineage: &str, sequence: u64) -> String {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let bundles = paths.into_iter().filter(|path| path.extension().is_some_and(|end| end == "pkg"));
    let manifests = bundles.filter_map(|path| {
        let reader: Box<dyn Read> = Box::new(File::open(path).ok()?);
        Some(open_any(reader, "x.pkg", folder).ok()?.manifest().clone())
    });
    let is_before = |manifest: &Manifest| {
        manifest.kind != BundleKind::Snapshot
            && manifest.lineage.id == lineage
            && manifest.lineage.sequence.checked_add(1) == Some(sequence)
    };
    let unknown = || Sha256::of(format!("{lineage} {sequence}").as_bytes()).to_string()[..32].to_owned();
    manifests.into_iter().find(is_before).map_or_else(unknown, |manifest| manifest.id)
}

fn dist_file_content(path: &str, kind: FileKind, bytes: Vec<u8>) -> (MirrorFile, FileSource) {
    let about = MirrorFile { path: path.parse().unwrap(), size: bytes.len() as u64, sha256: Sha256::of(&bytes), kind };
    (about, FileSource::Memory(bytes))
}

pub fn options(bundle: &Path) -> ImportOptions {
    ImportOptions {
        base_url: None,
        verify_existing: true,
        file_name: bundle.file_name().unwrap().to_string_lossy().into_owned(),
        bundle_length: Some(bundle.metadata().unwrap().len()),
        now: test_time(1000),
    }
}

pub fn test_holder() -> Holder {
    Holder { pid: 1, host: "here".to_owned(), verb: "test".to_owned(), since: "2026-01-01T00:00:00Z".to_owned() }
}

pub fn import(mirror: &Path, bundle: &Path) -> Result<ImportReport, Error> {
    import_with(mirror, bundle, &options(bundle))
}

pub fn import_with(mirror: &Path, bundle: &Path, options: &ImportOptions) -> Result<ImportReport, Error> {
    let reader = Box::new(File::open(bundle).unwrap());
    let opened = open_any(reader, &options.file_name, mirror.parent().unwrap())?;
    let mut guard = lock_for_adding(&Layout::new(mirror), Duration::ZERO, &test_holder(), &NullSink).unwrap();
    guard.import(opened, options, &NullSink)
}

/// What readers see of a mirror: every file but the private ones and the head, which tells the time of the import.
pub fn public_files(mirror: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut view = all_files(mirror);
    view.retain(|path, _| !path.starts_with(".frostmirror") && path != "manifest.json");
    view
}

/// Everything that a refused import must leave as it was: all but the lock and the empty staging folder.
pub fn all_files(mirror: &Path) -> BTreeMap<String, Vec<u8>> {
    let found = read_tree(mirror).into_iter();
    let mut found: BTreeMap<_, _> =
        found.map(|(path, bytes)| (path.into_os_string().into_string().unwrap(), bytes)).collect();
    found.remove(".frostmirror/lock");
    found
}

/// The invariant of every instant: each line of the index names a crate that is there with the line's digest, or is
/// recorded as index-only; and each dependency that it always has has an index file.
pub fn assert_consistent(mirror: &Path) {
    let layout = Layout::new(mirror);
    for (path, text) in all_files(mirror) {
        let Some(name) = path.strip_prefix("index/").filter(|name| !name.ends_with('/') && *name != "config.json")
        else {
            continue;
        };
        let text = String::from_utf8(text).unwrap();
        let records = fs::read_to_string(layout.index_meta().join(name)).unwrap_or_default();
        let left_out: BTreeSet<_> = index_meta::parse(&records)
            .into_iter()
            .filter(|record| record.index_only)
            .map(|record| record.version)
            .collect();
        assert_eq!(IndexLine::parse_file(&text).count(), text.lines().count(), "{path}");
        for line in IndexLine::parse_file(&text) {
            match fs::read(layout.crate_file(&line.id)) {
                Ok(bytes) => assert_eq!(Sha256::of(&bytes), line.cksum, "{}", line.id),
                Err(_) => assert!(left_out.contains(&line.id.version), "{} is listed and not there", line.id),
            }
            for dep in line.deps.iter().filter(|dep| !dep.dev && !dep.optional) {
                let file = layout.index_file(&dep.name.parse().unwrap());
                assert!(file.exists(), "{} needs {}, which the index lacks", line.id, dep.name);
            }
        }
    }
}
