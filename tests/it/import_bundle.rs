//! Bundles made to measure, imported in this process, and the questions that every test asks of a mirror afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use frostmirror::artifact::{Artifact, Bytes, Kind};
use frostmirror::bundle::format::{
    ArtifactRecord, ArtifactState, BundleKind, CrateRecord, CrateState, Input, Lineage, Parent, Refreshed,
};
use frostmirror::bundle::open::open_any;
use frostmirror::bundle::pack::{self, Plan};
use frostmirror::crate_id::CrateId;
use frostmirror::digest::Sha256;
use frostmirror::event::Silent;
use frostmirror::index_line::IndexLine;
use frostmirror::mirror::import::{Error, ImportOptions, Imported};
use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::lines;
use frostmirror::mirror::lock::{Holder, lock_for_adding};
use jiff::Timestamp;

use crate::support::crates::{Crate, Packed};
use crate::support::sandbox::tree_of;

/// The second that stands for time 0 in these tests.
const EPOCH: i64 = 1_790_000_000;

pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(EPOCH + seconds).unwrap()
}

/// A bundle to be written.
#[derive(Clone)]
pub struct Make {
    lineage: String,
    sequence: u64,
    created: i64,
    read: i64,
    kind: BundleKind,
    repair: bool,
    parent: Option<Parent>,
    crates: Vec<(Packed, CrateState)>,
    refreshed: Vec<Packed>,
    artifacts: BTreeMap<String, (Vec<u8>, ArtifactState)>,
    descriptions: BTreeMap<String, String>,
}

impl Make {
    /// The `sequence`th bundle of a history, made and read from the index at that second.
    pub fn new(lineage: &str, sequence: u64) -> Make {
        let time = i64::try_from(sequence).unwrap();
        Make {
            lineage: Sha256::of(lineage.as_bytes()).to_string()[..32].to_owned(),
            sequence,
            created: time,
            read: time,
            kind: BundleKind::Full,
            repair: false,
            parent: None,
            crates: Vec::new(),
            refreshed: Vec::new(),
            artifacts: BTreeMap::new(),
            descriptions: BTreeMap::new(),
        }
    }

    /// The id of its history.
    pub fn lineage(&self) -> &str {
        &self.lineage
    }

    /// The second at which the index was read, and the bundle made.
    pub fn read(mut self, seconds: i64) -> Make {
        (self.read, self.created) = (seconds, seconds);
        self
    }

    pub fn parent(mut self, file: &str) -> Make {
        self.kind = BundleKind::Delta;
        self.parent = Some(Parent { id: "0123456789abcdef0123456789abcdef".to_owned(), file: file.to_owned() });
        self
    }

    /// It mends what a mirror has lost.
    pub fn repair(mut self) -> Make {
        self.repair = true;
        self
    }

    pub fn ship(self, one: Crate) -> Make {
        self.with(one, CrateState::Shipped)
    }

    pub fn with(mut self, one: Crate, state: CrateState) -> Make {
        self.crates.push((one.pack(), state));
        self
    }

    /// It has the line of a crate of an earlier bundle, and not the crate.
    pub fn refresh(mut self, one: Crate) -> Make {
        self.refreshed.push(one.pack());
        self
    }

    /// A rustup artifact with these bytes.
    pub fn artifact(mut self, path: &str, content: impl AsRef<[u8]>, state: ArtifactState) -> Make {
        self.artifacts.insert(path.to_owned(), (content.as_ref().to_vec(), state));
        self
    }

    /// What the manifest says of every version of a crate.
    pub fn described(mut self, name: &str, text: &str) -> Make {
        self.descriptions.insert(name.to_owned(), text.to_owned());
        self
    }

    /// Ships a crate of any bytes.
    pub fn ship_packed(mut self, packed: Packed) -> Make {
        self.crates.push((packed, CrateState::Shipped));
        self
    }

    /// Writes it as `name` into `folder`.
    pub fn write(mut self, folder: &Path, name: &str) -> PathBuf {
        let id = |packed: &Packed| CrateId::parse(&packed.name, &packed.version).unwrap();
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
            refreshed.push(Refreshed { name, version, sha256: packed.cksum.parse().unwrap(), yanked });
        }
        for (packed, state) in &self.crates {
            let CrateId { name, version } = id(packed);
            if *state != CrateState::Kept {
                let text = index.entry(format!("index/{}", name.index_path())).or_default();
                text.push_str(&format!("{}\n", packed.line));
            }
            if *state == CrateState::Shipped {
                files.push(artifact(id(packed).crate_path().as_str(), Kind::Crate, packed.bytes.clone()));
            }
            records.push(CrateRecord {
                description: self.descriptions.get(name.as_str()).cloned(),
                name,
                version,
                sha256: packed.cksum.parse().unwrap(),
                size: packed.bytes.len() as u64,
                state: *state,
                yanked: packed.line.contains(r#""yanked":true"#),
                read: None,
                license: None,
                repository: None,
            });
        }
        files.extend(index.into_iter().map(|(path, text)| artifact(&path, Kind::Index, text.into_bytes())));
        let input = Input {
            name: "Cargo.lock".to_owned(),
            roots: Vec::new(),
            crates: (0..u32::try_from(records.len()).unwrap()).collect(),
            artifacts: (0..u32::try_from(self.artifacts.len()).unwrap()).collect(),
            left_out: Vec::new(),
        };
        let mut artifacts = Vec::new();
        for (path, (content, state)) in self.artifacts {
            let kind = if path.starts_with("dist/") { Kind::Dist } else { Kind::Rustup };
            let (about, bytes) = artifact(&path, kind, content);
            let (path, sha256, size) = (about.path.clone(), about.sha256, about.size);
            artifacts.push(ArtifactRecord { path, sha256, size, state, read: None });
            if state == ArtifactState::Shipped {
                files.push((about, bytes));
            }
        }
        let plan = Plan {
            created: at(self.created),
            kind: self.kind,
            repair: self.repair,
            parent: self.parent,
            lineage: Lineage { id: self.lineage, sequence: self.sequence, inputs: vec![input] },
            artifacts,
            carried: Vec::new(),
            refreshed,
            targets: Vec::new(),
            toolchains: Vec::new(),
            index_read: at(self.read),
            crates: records,
            files,
        };
        let written = pack::write(plan, folder, &Silent).unwrap();
        let path = folder.join(name);
        fs::copy(written.path(), &path).unwrap();
        path
    }
}

fn artifact(path: &str, kind: Kind, bytes: Vec<u8>) -> (Artifact, Bytes) {
    let about = Artifact { path: path.parse().unwrap(), size: bytes.len() as u64, sha256: Sha256::of(&bytes), kind };
    (about, Bytes::Memory(bytes))
}

pub fn options(bundle: &Path) -> ImportOptions {
    ImportOptions {
        base_url: None,
        rehash_held: true,
        file_name: bundle.file_name().unwrap().to_string_lossy().into_owned(),
        length: Some(bundle.metadata().unwrap().len()),
        now: at(1000),
    }
}

pub fn me() -> Holder {
    Holder { pid: 1, host: "here".to_owned(), verb: "test".to_owned(), since: "2026-01-01T00:00:00Z".to_owned() }
}

pub fn import(mirror: &Path, bundle: &Path) -> Result<Imported, Error> {
    import_with(mirror, bundle, &options(bundle))
}

pub fn import_with(mirror: &Path, bundle: &Path, options: &ImportOptions) -> Result<Imported, Error> {
    let reader = Box::new(File::open(bundle).unwrap());
    let opened = open_any(reader, &options.file_name, mirror.parent().unwrap())?;
    let mut guard = lock_for_adding(&Layout::new(mirror), Duration::ZERO, &me(), &Silent).unwrap();
    guard.import(opened, options, &Silent)
}

/// What readers see of a mirror: every file but the private ones and the head, which tells the time of the import.
pub fn view(mirror: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut view = everything(mirror);
    view.retain(|path, _| !path.starts_with(".frostmirror") && path != "manifest.json");
    view
}

/// Everything that a refused import must leave as it was: all but the lock and the empty staging folder.
pub fn everything(mirror: &Path) -> BTreeMap<String, Vec<u8>> {
    let found = tree_of(mirror).into_iter();
    let mut found: BTreeMap<_, _> =
        found.map(|(path, bytes)| (path.into_os_string().into_string().unwrap(), bytes)).collect();
    found.remove(".frostmirror/lock");
    found
}

/// The invariant of every instant: each line of the index names a crate that is there with the line's digest, or is
/// recorded as index-only; and each dependency that it always has has an index file.
pub fn assert_sound(mirror: &Path) {
    let layout = Layout::new(mirror);
    for (path, text) in everything(mirror) {
        let Some(name) = path.strip_prefix("index/").filter(|name| !name.ends_with('/') && *name != "config.json")
        else {
            continue;
        };
        let text = String::from_utf8(text).unwrap();
        let records = fs::read_to_string(layout.lines().join(name)).unwrap_or_default();
        let left_out: BTreeSet<_> = lines::parse(&records)
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
