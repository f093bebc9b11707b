//! A mirror into one bundle, with the histories that feed it and the configuration of its server.
//!
//! What the index lists is what is shipped: every line as it stands, every crate's file with its digest, which is taken
//! while it is packed, so that a file that has rotted stops the export by its name and is never given a new digest. What
//! the index does not list (a crate in its grace time, a stranger) stays behind, and is counted. Rustup artifacts come
//! along as they are on record.
//!
//! The histories come along as their newest bundles name them, so that a collection on the far side keeps what it keeps
//! here; what live mode brought is one more history, whose id the mirror made for it. Crates of the index that no bundle on record ever brought are kept here as strangers; in the snapshot they are
//! of a lineage whose id follows from them, so that two such lots do not displace each other.
//!
//! Nothing changes meanwhile: the export holds the lock of those who copy out.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::gc;
use super::head::each_file;
use super::holdings::{Holding, Holdings};
use super::import::Problems;
use super::layout::Layout;
use super::lock::ReadGuard;
use super::rebuild::REBUILT;
use super::store::{self, failed};
use crate::artifact::{Artifact, Bytes, Kind};
use crate::bundle::format::{
    BundleKind, Carried, CrateRecord, CrateState, Input, Lineage, MAX_NAMES, Manifest, short_id,
};
use crate::bundle::pack::{self, Plan, whole_seconds};
use crate::bundle::{open, verify};
use crate::crate_id::{CrateId, CrateName};
use crate::digest::Sha256;
use crate::durable::{self, checkpoint};
use crate::event::Sink;
use crate::safe_path::SafePath;
use crate::server_config::Brought;
use histories::Told;
use shelf::Shelf;

mod histories;
mod shelf;

/// Every checkpoint of an export, in the order in which it passes them.
pub const CHECKPOINTS: &[&str] = &["snapshot:locked", "snapshot:read", "snapshot:written", "snapshot:published"];

/// How to export.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder that the bundle is written into, made where it is not there.
    pub folder: PathBuf,
    /// The configuration that goes along.
    pub config: Vec<Brought>,
    /// The time that the bundle states and is named by.
    pub now: Timestamp,
}

/// A snapshot that was written.
#[derive(Debug)]
pub struct Exported {
    /// Its file.
    pub path: PathBuf,
    /// Bytes of it.
    pub size: u64,
    /// Digest of it.
    pub sha256: Sha256,
    /// What it says of itself.
    pub manifest: Manifest,
    /// Files in crates/ that the index does not name, which stay behind.
    pub left_behind: u64,
}

/// A mirror that cannot be exported. Nothing is left behind.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] gc::Error),
    /// The file system refused.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// Index, records and files do not agree.
    #[error("the mirror `{}` is damaged; nothing was written", root.display())]
    Damaged {
        /// The mirror.
        root: PathBuf,
        /// Everything that is wrong.
        #[source]
        problems: Problems,
    },
    /// The mirror is empty.
    #[error("the mirror `{}` lists no crate and has no toolchain", root.display())]
    Empty {
        /// The mirror.
        root: PathBuf,
    },
    /// A file no longer has its digest.
    #[error("`{}` has SHA-256 {actual}, and the one on record is {expected}; nothing was written", file.display())]
    Rotten {
        /// The file.
        file: PathBuf,
        /// What is on record.
        expected: Sha256,
        /// What it has.
        actual: Sha256,
    },
    /// It would become a file of the mirror.
    #[error("`{}` is in the mirror itself", folder.display())]
    InMirror {
        /// The folder that was given.
        folder: PathBuf,
    },
    /// The bundle could not be written.
    #[error(transparent)]
    Pack(pack::Error),
    /// What was written cannot be read.
    #[error("the snapshot that was written cannot be read")]
    Read(#[source] open::Error),
    /// What was written is not as it must be.
    #[error("the snapshot that was written does not verify")]
    Unsound {
        /// What is wrong.
        #[source]
        problems: Problems,
    },
}

impl ReadGuard {
    /// Writes a snapshot of the mirror, checks what was written, and gives it its name.
    ///
    /// # Errors
    /// Everything in [`Error`]; nothing is left in the folder then.
    pub fn snapshot(&self, options: Options, sink: &dyn Sink) -> Result<Exported, Error> {
        checkpoint("snapshot:locked");
        let Options { folder, config, now } = options;
        let above = folder.ancestors().find_map(|above| above.canonicalize().ok());
        if let (Some(above), Ok(root)) = (above, self.layout.root().canonicalize())
            && above.starts_with(root)
        {
            return Err(Error::InMirror { folder });
        }
        let (plan, left_behind) = plan(&self.layout, config, now)?;
        checkpoint("snapshot:read");
        durable::make_folder(&folder).map_err(failed("make the folder", &folder))?;
        let written = pack::write(plan, &folder, sink).map_err(of_pack)?;
        // The mirror is no 1.x bundle, so that nothing is unfolded.
        let verdict = verify::verify(written.path(), &folder, sink).map_err(Error::Read)?;
        if !verdict.problems.is_empty() {
            return Err(Error::Unsound { problems: Problems::of(&verdict.problems) });
        }
        checkpoint("snapshot:written");
        let (size, sha256) = (written.size, written.sha256);
        let path = written.publish(&|_| false).map_err(of_pack)?;
        checkpoint("snapshot:published");
        Ok(Exported { path, size, sha256, manifest: verdict.manifest, left_behind })
    }
}

fn of_pack(error: pack::Error) -> Error {
    match error {
        pack::Error::Changed { file, expected, actual, .. } => Error::Rotten { file, expected, actual },
        error => Error::Pack(error),
    }
}

/// What is to be packed, and how many files stay behind.
fn plan(layout: &Layout, config: Vec<Brought>, now: Timestamp) -> Result<(Plan, u64), Error> {
    let mut files = Vec::new();
    let holdings = Holdings::read::<store::Error>(layout, &mut |name, path, text| {
        files.push(index_file(name, path, text));
        Ok(())
    })?;
    if !holdings.problems.is_empty() {
        return Err(Error::Damaged { root: layout.root().to_owned(), problems: Problems::of(&holdings.problems) });
    }
    let mut told = Told::read(layout)?;
    let left_behind = left_behind(layout, &holdings)?;
    files.extend(holdings.held().map(|one| crate_file(layout, one)));
    files.extend(config.into_iter().map(|file| text_file(file.name, file.text.into_bytes(), Kind::Config)));

    let shelf = Shelf::read(layout)?;
    if !shelf.problems.is_empty() {
        return Err(Error::Damaged { root: layout.root().to_owned(), problems: Problems::of(&shelf.problems) });
    }
    told.add_live(layout, &shelf.held, now)?;
    if holdings.crates.is_empty() && shelf.held.0.is_empty() {
        return Err(Error::Empty { root: layout.root().to_owned() });
    }
    files.extend(shelf.files(layout));

    let newest_read = holdings.crates.iter().map(|one| one.read).max().unwrap_or(now);
    let mut table: BTreeMap<&CrateId, CrateRecord> = BTreeMap::new();
    for one in &holdings.crates {
        let id = &one.id;
        let known = told.crates.get(id);
        table.insert(
            id,
            CrateRecord {
                name: id.name.clone(),
                version: id.version.clone(),
                sha256: one.cksum,
                size: one.size.or(known.map(|known| known.size)).unwrap_or(0),
                state: if one.size.is_some() { CrateState::Shipped } else { CrateState::IndexOnly },
                yanked: one.yanked,
                read: (one.read != newest_read).then(|| whole_seconds(one.read)),
                description: known.and_then(|known| known.description.clone()),
                license: known.and_then(|known| known.license.clone()),
                repository: known.and_then(|known| known.repository.clone()),
            },
        );
    }
    // What is not held is only named, and a name that is spelled otherwise than one that is cannot be in one table with it.
    let folded = |text: &str| text.to_lowercase();
    let mut spelled: HashMap<String, CrateName> =
        table.keys().map(|id| (folded(id.name.as_str()), id.name.clone())).collect();
    let mut taken: HashSet<String> = table.keys().map(|id| folded(&id.file_name())).collect();
    for id in told.feeds.iter().flat_map(|feed| &feed.crates) {
        if let (false, Some(known)) = (table.contains_key(id), told.crates.get(id))
            && *spelled.entry(folded(id.name.as_str())).or_insert_with(|| id.name.clone()) == id.name
            && taken.insert(folded(&id.file_name()))
        {
            table.insert(id, CrateRecord { state: CrateState::Kept, read: None, ..known.clone() });
        }
    }
    let positions: HashMap<&CrateId, u32> = table.keys().copied().zip(0u32..).collect();
    let at = |ids: &BTreeSet<CrateId>| ids.iter().filter_map(|id| positions.get(id).copied()).collect::<Vec<u32>>();
    let artifacts = shelf.table(&told, newest_read);
    let places: HashMap<&SafePath, u32> = artifacts.iter().map(|record| &record.path).zip(0u32..).collect();
    let places = |paths: &BTreeSet<SafePath>| -> Vec<u32> {
        paths.iter().filter_map(|path| places.get(path).copied()).collect()
    };
    let input = |(input, ids, paths): &(Input, BTreeSet<CrateId>, BTreeSet<SafePath>)| Input {
        crates: at(ids),
        artifacts: places(paths),
        ..input.clone()
    };
    let carried = told.feeds.iter().filter(|feed| feed.id != REBUILT).map(|feed| Carried {
        bundle: feed.bundle.clone(),
        file: feed.file.clone(),
        created: feed.created.clone(),
        index_read: feed.index_read.clone(),
        lineage: Lineage {
            id: feed.id.clone(),
            sequence: feed.sequence,
            inputs: feed.inputs.iter().map(input).collect(),
        },
        crates: at(&feed.crates),
        artifacts: places(&feed.artifacts),
    });
    let carried = carried.collect();
    let lineage = unclaimed(&holdings, &shelf, &told, &at, &places);
    let plan = Plan {
        created: now,
        kind: BundleKind::Snapshot,
        repair: false,
        parent: None,
        lineage,
        carried,
        targets: told.targets.into_iter().take(MAX_NAMES).collect(),
        toolchains: shelf.held.toolchains().into_iter().take(MAX_NAMES).collect(),
        index_read: newest_read,
        crates: table.into_values().collect(),
        refreshed: Vec::new(),
        artifacts,
        files,
    };
    Ok((plan, left_behind))
}

/// What the mirror holds and no history claims, as a lineage.
fn unclaimed(
    holdings: &Holdings,
    shelf: &Shelf,
    told: &Told,
    at: &dyn Fn(&BTreeSet<CrateId>) -> Vec<u32>,
    places: &dyn Fn(&BTreeSet<SafePath>) -> Vec<u32>,
) -> Lineage {
    let held: BTreeMap<&CrateId, Sha256> = holdings.crates.iter().map(|one| (&one.id, one.cksum)).collect();
    let strangers = held.keys().copied().filter(|id| !told.crates.contains_key(*id)).cloned();
    let rebuilt = told.feeds.iter().filter(|feed| feed.id == REBUILT).flat_map(|feed| feed.crates.iter().cloned());
    let crates: BTreeSet<CrateId> = strangers.chain(rebuilt).collect();
    let mut text = String::new();
    for id in &crates {
        let digest = held.get(id).map(Sha256::to_string).unwrap_or_default();
        text.push_str(&format!("{id} {digest}\n"));
    }
    let strangers = shelf.held.0.keys().filter(|path| !told.artifacts.contains_key(*path)).cloned();
    let rebuilt = told.feeds.iter().filter(|feed| feed.id == REBUILT).flat_map(|feed| feed.artifacts.iter().cloned());
    let artifacts: BTreeSet<SafePath> = strangers.chain(rebuilt).collect();
    for path in &artifacts {
        let digest = shelf.held.0.get(path).map(|held| held.sha256.to_string()).unwrap_or_default();
        text.push_str(&format!("{path} {digest}\n"));
    }
    // A mirror that took in a snapshot of itself, or of one alike, has the lot as a history already.
    let own = short_id(&Sha256::of(text.as_bytes()));
    let mut feeds = told.feeds.iter();
    let known = feeds.any(|feed| feed.id == own && feed.crates == crates && feed.artifacts == artifacts);
    if known {
        text.clear();
    }
    let mut id = short_id(&Sha256::of(text.as_bytes()));
    while told.feeds.iter().any(|feed| feed.id == id) {
        id = short_id(&Sha256::of(id.as_bytes()));
    }
    let input = Input {
        name: "held by no history".to_owned(),
        roots: Vec::new(),
        crates: at(&crates),
        artifacts: places(&artifacts),
        left_out: Vec::new(),
    };
    let nothing = known || crates.is_empty() && artifacts.is_empty();
    let inputs = if nothing { Vec::new() } else { vec![input] };
    Lineage { id, sequence: 1, inputs }
}

/// How many files in crates/ the index does not name.
fn left_behind(layout: &Layout, holdings: &Holdings) -> Result<u64, store::Error> {
    let mut files = 0u64;
    each_file(&layout.crates(), 0, &mut |path| {
        files += u64::from(path.extension().is_some_and(|end| end == "crate"));
        Ok(())
    })?;
    Ok(files.saturating_sub(holdings.held().count() as u64))
}

fn crate_file(layout: &Layout, one: &Holding) -> (Artifact, Bytes) {
    let (path, size) = (one.id.crate_path(), one.size.unwrap_or(0));
    (Artifact { path, size, sha256: one.cksum, kind: Kind::Crate }, Bytes::File(layout.crate_file(&one.id)))
}

/// An index file that goes along, read again from disk while it is packed, or as lines where it is not in their form.
fn index_file(name: &CrateName, file: &Path, text: &str) -> (Artifact, Bytes) {
    let lines: String = text.lines().filter(|line| !line.is_empty()).flat_map(|line| [line, "\n"]).collect();
    let path = entry_path(&format!("index/{}", name.index_path()));
    let artifact = Artifact { path, size: lines.len() as u64, sha256: Sha256::of(lines.as_bytes()), kind: Kind::Index };
    let bytes = if lines == text { Bytes::File(file.to_owned()) } else { Bytes::Memory(lines.into_bytes()) };
    (artifact, bytes)
}

fn entry_path(path: &str) -> SafePath {
    path.parse().expect("index paths of parsed names and the names of configuration files are safe")
}

fn text_file(path: &str, bytes: Vec<u8>, kind: Kind) -> (Artifact, Bytes) {
    let artifact = Artifact { path: entry_path(path), size: bytes.len() as u64, sha256: Sha256::of(&bytes), kind };
    (artifact, Bytes::Memory(bytes))
}
