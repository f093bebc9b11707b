//! A bundle into a mirror: streamed, staged, checked whole, and only then placed, all or nothing.
//!
//! The steps, with a named checkpoint after each at which a test kills the process:
//!
//! 1. What the manifest alone can tell: a base that is not held, a full disk.
//! 2. One pass over the payload. Crates are staged while the bundle's reader hashes them; one that is held is compared
//!    with its file instead, byte by byte, which finds rot without hashing anything twice. Index files are merged in
//!    memory, one at a time, and staged.
//! 3. Any problem so far: staging is emptied, and the mirror is as it was.
//! 4. One sync; then renames: crates; the records of lines; index files, dependencies first. A failure here takes back
//!    what was renamed.
//! 5. The record in the ledger: the commit. Then the head, which can be derived.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::artifacts::Artifacts;
use super::commit::{self, Own};
use super::doubts::doubts;
use super::head::{Counts, Head};
use super::ledger;
use super::link::LinkState;
use super::lock::AddGuard;
use super::order::{Names, dependencies_first};
use super::pending_lines::PendingLines;
use super::receive::{Receiver, Told, artifacts};
use super::store::{self, Move, Placing, Removal, Staging, failed};
use crate::bundle::format::{ArtifactState, CrateRecord, CrateState, Manifest, Refreshed};
use crate::bundle::open::{self, Bundle};
use crate::client_config::BaseUrl;
use crate::digest::Sha256;
use crate::durable::{self, checkpoint};
use crate::event::{self, Event, Phase, Sink};
use crate::index_line::RegistryConfig;
use crate::panics::working_on;
use crate::safe_path::SafePath;
use crate::server_config::Brought;

mod problems;
mod telling;

pub use problems::Problems;
use problems::refuse_bad;
pub(super) use telling::restore_link;
use telling::{begin, report};

/// Every checkpoint of an import, in the order in which a first import with a base URL passes them.
pub const CHECKPOINTS: &[&str] = &[
    "import:locked",
    "import:staged",
    "import:synced",
    "import:crates-half",
    "import:crates",
    "import:lines-half",
    "import:lines",
    "import:index-half",
    "import:index",
    "import:config-half",
    "import:config",
    "import:record-half",
    "import:record",
    "import:head-half",
    "import:head",
    "import:link",
];

/// The checkpoints that an import passes beside these, after `import:index`, where it brings rustup artifacts.
pub const ARTIFACT_CHECKPOINTS: &[&str] = &[
    "import:components-half",
    "import:components",
    "import:channels-half",
    "import:channels",
    "import:artifacts-half",
    "import:artifacts",
];

/// The checkpoints that an import passes besides, after `import:index` and those of rustup artifacts, where refreshed
/// lines begin or end to wait for their crates.
pub const PENDING_CHECKPOINTS: &[&str] = &["import:pending-half", "import:pending"];

/// Bytes that one file takes beyond its content, at most, on common file systems.
const FILE_OVERHEAD: u64 = 4096;

/// How to import.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// Write `index/config.json` for this address.
    pub base_url: Option<BaseUrl>,
    /// Compare files that are held with what the bundle ships, and hash those that it relies on. Without it, their
    /// size is trusted.
    pub rehash_held: bool,
    /// The name of the bundle's file, for records and reports.
    pub file_name: String,
    /// The length of the bundle's file in bytes, where it is one.
    pub length: Option<u64>,
    /// The time of the import.
    pub now: Timestamp,
}

/// What an import did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The bundle's id.
    pub id: String,
    /// Crates that the bundle ships.
    pub crates: u64,
    /// Crates that the mirror did not hold.
    pub crates_new: u64,
    /// Crates whose file was held and had rotted.
    pub crates_mended: u64,
    /// Rustup artifacts that the mirror did not hold.
    pub artifacts_new: u64,
    /// Bytes of crates and rustup artifacts that were placed.
    pub bytes_new: u64,
    /// Index files that changed.
    pub index_changed: u64,
    /// What the mirror holds now.
    pub counts: Counts,
    /// The bundle was on record, and everything in it was held already.
    pub already: bool,
    /// What stands at `crates/index` now.
    pub link: LinkState,
    /// A snapshot's configuration, which is not the mirror's to put in place.
    pub config: Vec<Brought>,
    /// Whether `index/config.json` was written.
    pub config_json: bool,
}

/// An import that was refused or failed; the mirror is as it was.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It was broken off before anything was changed.
    #[error("stopped before anything was changed")]
    Stopped,
    /// The bundle cannot be read.
    #[error(transparent)]
    Open(#[from] open::Error),
    /// The bundle is damaged or lies.
    #[error("the bundle `{file}` is not good; nothing of it was imported")]
    Bad {
        /// The bundle's file.
        file: String,
        /// Everything that is wrong with it.
        #[source]
        problems: Problems,
    },
    /// The bundle contradicts what the mirror holds.
    #[error("the bundle `{file}` contradicts the mirror; nothing of it was imported")]
    Conflicts {
        /// The bundle's file.
        file: String,
        /// What cannot both be true.
        #[source]
        conflicts: Problems,
    },
    /// The bundle relies on crates or rustup artifacts that are not held.
    #[error("the bundle `{file}` builds on {}, and {missing} of the files that it relies on {} not held, first {first}", match parent { Some(parent) => format!("`{parent}`"), None => "an earlier one".to_owned() }, if *missing == 1 { "is" } else { "are" })]
    MissingBase {
        /// The bundle's file.
        file: String,
        /// The file that it builds on.
        parent: Option<String>,
        /// How many.
        missing: usize,
        /// The first few.
        first: String,
    },
    /// The bundle mends files, and none of them is one that the mirror is to have by now.
    #[error("the bundle `{file}` mends nothing here: the mirror has moved on from what it brings")]
    NothingMended {
        /// The bundle's file.
        file: String,
        /// What it brings.
        #[source]
        left: Problems,
    },
    /// A time in the manifest is none.
    #[error("the bundle `{file}` says that its index was read at `{text}`, which is no time")]
    Time {
        /// The bundle's file.
        file: String,
        /// What it says.
        text: String,
    },
    /// The disk has too little room.
    #[error("the bundle `{file}` needs {needed} bytes, and the disk of `{}` has {free} free", root.display())]
    NoSpace {
        /// The bundle's file.
        file: String,
        /// The mirror.
        root: PathBuf,
        /// Bytes.
        needed: u64,
        /// Bytes.
        free: u64,
    },
    /// With this bundle, the mirror could not be exported any more.
    #[error("with the bundle `{file}`, the mirror `{}` would have {what}, and no snapshot of it could be exported", root.display())]
    TooManyHistories {
        /// The bundle's file.
        file: String,
        /// The mirror.
        root: PathBuf,
        /// What is too much.
        what: &'static str,
    },
    /// The file system refused.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A step failed, and what was placed before it could not all be taken back.
    #[error("the import was not undone whole ({left})")]
    Torn {
        /// What could not be taken back.
        left: store::Error,
        /// The step that failed.
        source: store::Error,
    },
}

impl AddGuard {
    /// Imports a bundle whose manifest was read, all or nothing.
    ///
    /// # Errors
    /// Everything in [`Error`]; the mirror is then as it was.
    pub fn import<R: io::Read>(
        &mut self,
        bundle: Bundle<R>,
        options: &ImportOptions,
        sink: &dyn Sink,
    ) -> Result<Imported, Error> {
        checkpoint("import:locked");
        // What is to mend is held against what is there, whatever is trusted otherwise.
        let rehash = options.rehash_held || bundle.manifest().repair;
        let mut staging = Staging::begin(&self.layout)?;
        // What cannot be read is made anew from the files that the bundle brings or relies on.
        let held = Artifacts::read(&self.layout)?.unwrap_or_default();
        let told = self.before_payload(bundle.manifest(), &held, rehash, options)?;
        let pending_before = told.pending.clone();
        sink.event(begin(bundle.manifest()));
        let refreshed = bundle.manifest().refreshed.iter().map(|one| one.name.as_str());
        let names = Names::of(bundle.manifest().crates.iter().map(|record| record.name.as_str()).chain(refreshed));
        let mut receiver = Receiver::new(&self.layout, &mut staging, rehash, told, names, sink);
        let streamed = bundle.stream(&mut receiver);
        sink.event(Event::End { phase: Phase::Importing });
        let mut received = receiver.finish();
        let streamed = match (streamed, received.failure.take()) {
            (_, Some(failure)) => return Err(Error::Store(failure)),
            (streamed, None) => streamed?,
        };
        refuse_bad(&streamed.problems, &received, options)?;
        working_on("the rustup artifacts");
        let contents = std::mem::take(&mut received.artifacts);
        let settled =
            artifacts::settle(&self.layout, &mut staging, &streamed.manifest, contents, &held, rehash, options.now)?;
        received.unusable.extend(settled.unusable);
        received.notes.extend(settled.notes);
        refuse_bad(&streamed.problems, &received, options)?;
        let mends = !(received.crates.is_empty()
            && received.index.is_empty()
            && settled.components.is_empty()
            && settled.channels.is_empty());
        if streamed.manifest.repair && !mends && !settled.left.is_empty() {
            let (file, left) = (options.file_name.clone(), Problems::of(&settled.left));
            return Err(Error::NothingMended { file, left });
        }
        let artifacts = streamed.manifest.artifacts_in(ArtifactState::Shipped).count() as u64;
        let verified = event::contents(received.shipped, artifacts);
        sink.status("Verified", format!("{verified} of {}", options.file_name));
        checkpoint("import:staged");
        working_on("the record of the import");

        let on_ledger = commit::Known::read(&self.layout)?;
        let own = on_ledger.own(&self.layout, &streamed.manifest)?;
        let known = if staging.torn { None } else { Head::read_file(&self.layout)? };
        let head = known.as_ref();
        let warnings = doubts(&self.layout, head, &streamed.manifest, &options.file_name, options.now);
        received.notes.extend(warnings.iter().cloned());
        let mut counts = match &known {
            Some(head) if !received.brings_back() => head.counts,
            _ => Counts::of_tree(&self.layout)?,
        };
        (counts.artifacts, counts.artifact_bytes) = settled.after.counts();
        let mut imported = Imported {
            id: streamed.manifest.id.clone(),
            crates: received.shipped,
            crates_new: received.crates_new,
            crates_mended: received.crates_mended,
            artifacts_new: settled.new.0,
            bytes_new: received.bytes_new + settled.new.1,
            index_changed: received.index.len() as u64,
            counts: counts.after(&received.grown),
            already: false,
            link: LinkState::Good,
            config: received.config,
            config_json: false,
        };
        let order = dependencies_first(&received.nodes);
        let mut steps = vec![
            Step::new("import:crates", self.layout.crates(), received.crates),
            Step::new("import:lines", self.layout.lines(), received.lines),
            Step::new("import:index", self.layout.index(), sorted_by(received.index, &order)),
        ];
        if !settled.components.is_empty() {
            steps.push(Step::new("import:components", self.layout.root().to_owned(), settled.components));
        }
        if !settled.channels.is_empty() || !settled.removals.is_empty() {
            let step = Step::new("import:channels", self.layout.root().to_owned(), settled.channels);
            steps.push(Step { removals: settled.removals, ..step });
        }
        if settled.after != held {
            let replaces = self.layout.artifacts().symlink_metadata().is_ok();
            let moved =
                Move { staged: staging.write(&settled.after.render())?, place: "artifacts.json".into(), replaces };
            steps.push(Step::new("import:artifacts", self.layout.private(), vec![moved]));
        }
        if received.pending != pending_before {
            let replaces = self.layout.pending_lines().symlink_metadata().is_ok();
            let staged = staging.write(received.pending.render().as_bytes())?;
            let moved = Move { staged, place: "pending-lines".into(), replaces };
            steps.push(Step::new("import:pending", self.layout.private(), vec![moved]));
            sink.detail(format!("{} index lines wait for crates that are not in the mirror", received.pending.len()));
        }
        if let Some(config) = self.stage_config(&mut staging, options.base_url.as_ref())? {
            imported.config_json = true;
            steps.push(Step::new("import:config", self.layout.index(), vec![config]));
        }
        let mut head = match &known {
            Some(head) => head.clone(),
            None => ledger::newest_head(&self.layout)?.unwrap_or_default(),
        };
        head.toolchains = settled.after.toolchains();
        let on_record = own == Own::There && on_ledger.news(&head, &streamed.manifest).is_empty();
        imported.already = on_record && steps.iter().all(|step| step.moves.is_empty());
        if !imported.already || known.is_none() {
            if let Own::Rotten(name) = &own {
                received.notes.push(format!("the record `{name}` was damaged, and is written anew"));
            }
            let (manifest, counts) = (streamed.manifest, imported.counts);
            let before = commit::Before { own: &own, known: &on_ledger, warnings };
            let commit = commit::prepare(head, counts, manifest, before, options, &mut staging)?;
            if let Some(what) = commit.head.too_many_histories() {
                let (file, root) = (options.file_name.clone(), self.layout.root().to_owned());
                return Err(Error::TooManyHistories { file, root, what });
            }
            let moves: Vec<Move> = commit
                .records
                .into_iter()
                .map(|(name, staged)| {
                    let replaces = on_ledger.names.contains(&name);
                    Move { staged, place: name.into(), replaces }
                })
                .collect();
            let head = commit.head;
            if !moves.is_empty() {
                steps.push(Step::new("import:record", self.layout.ledger(), moves));
            }
            let replaces = self.layout.head().symlink_metadata().is_ok();
            let moved = Move { staged: staging.write(&head.render())?, place: "manifest.json".into(), replaces };
            steps.push(Step::new("import:head", self.layout.root().to_owned(), vec![moved]));
            place(&mut staging, &steps)?;
        }
        drop(staging);
        imported.link = restore_link(&self.layout, sink);
        checkpoint("import:link");
        report(&imported, &received.notes, &options.file_name, sink);
        Ok(imported)
    }

    /// Everything that can be refused before the payload is read. Returns what the manifest tells of index lines.
    fn before_payload(
        &self,
        manifest: &Manifest,
        held: &Artifacts,
        rehash: bool,
        options: &ImportOptions,
    ) -> Result<Told, Error> {
        let file = || options.file_name.clone();
        let told = told(manifest, PendingLines::read(&self.layout)?, options)?;
        let mut missing: Vec<String> = Vec::new();
        for record in manifest.relied_on() {
            let id = record.id();
            let path = self.layout.crate_file(&id);
            let size = (record.size > 0).then_some(record.size);
            if !is_held(&path, size, &record.sha256, rehash).map_err(failed("read", &path))? {
                missing.push(id.to_string());
            }
        }
        let artifacts = artifacts::missing(&self.layout, manifest, held, rehash)?;
        missing.extend(artifacts.iter().map(SafePath::to_string));
        if !missing.is_empty() {
            let parent = manifest.parent.as_ref().map(|parent| match parent.file == options.file_name {
                // Another folder's bundle of the same minute.
                true => format!("{} ({})", parent.file, parent.id.get(..8).unwrap_or(&parent.id)),
                false => parent.file.clone(),
            });
            let first = missing.iter().take(5).map(String::as_str).collect::<Vec<_>>().join(", ");
            return Err(Error::MissingBase { file: file(), parent, missing: missing.len(), first });
        }
        self.check_space(manifest, options)?;
        Ok(told)
    }

    fn check_space(&self, manifest: &Manifest, options: &ImportOptions) -> Result<(), Error> {
        let root = self.layout.root();
        // Sizes that exceed the file they are in are a lie, and the reader finds it; that is no full disk.
        let stored = manifest.blocks.iter().try_fold(0u64, |sum, block| sum.checked_add(block.stored_size()?));
        if options.length.is_some_and(|length| stored.is_none_or(|stored| stored > length)) {
            return Ok(());
        }
        let mut needed = 0u64;
        for entry in manifest.entries() {
            let held = entry.path.below(root).metadata().is_ok_and(|there| there.len() == entry.size);
            if !held {
                needed = needed.saturating_add(entry.size).saturating_add(FILE_OVERHEAD);
            }
        }
        let file = || options.file_name.clone();
        match durable::free_space(root).map_err(failed("ask for the free space of", root))? {
            Some(free) if free < needed => Err(Error::NoSpace { file: file(), root: root.to_owned(), needed, free }),
            _ => Ok(()),
        }
    }

    /// Stages `index/config.json` where it is to say something that it does not say yet.
    fn stage_config(&self, staging: &mut Staging, base_url: Option<&BaseUrl>) -> Result<Option<Move>, Error> {
        let Some(base_url) = base_url else {
            return Ok(None);
        };
        let text = RegistryConfig::of_mirror(base_url.as_str()).render().into_bytes();
        let path = self.layout.index_config();
        let there = match fs::read(&path) {
            Ok(there) => Some(there),
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(failed("read", &path)(source).into()),
        };
        if there.as_ref() == Some(&text) {
            return Ok(None);
        }
        Ok(Some(Move { staged: staging.write(&text)?, place: "config.json".into(), replaces: there.is_some() }))
    }
}

/// Files that are placed together.
pub(super) struct Step {
    /// The checkpoint after it.
    name: &'static str,
    root: PathBuf,
    /// What goes before the others come.
    removals: Vec<Removal>,
    moves: Vec<Move>,
}

impl Step {
    pub(super) fn new(name: &'static str, root: PathBuf, moves: Vec<Move>) -> Step {
        Step { name, root, removals: Vec::new(), moves }
    }
}

/// Renames everything into the tree, step by step; where that fails, takes it back.
pub(super) fn place(staging: &mut Staging, steps: &[Step]) -> Result<(), Error> {
    staging.sync()?;
    checkpoint("import:synced");
    staging.mark_placing()?;
    let mut placing = Placing::new(staging);
    let placed = catch_unwind(AssertUnwindSafe(|| {
        steps.iter().try_for_each(|step| {
            placing.remove(&step.root, &step.removals)?;
            placing.place(&step.root, &step.moves, &format!("{}-half", step.name))?;
            checkpoint(step.name);
            Ok(())
        })
    }));
    match placed {
        Ok(Ok(())) => {
            staging.torn = false;
            Ok(())
        }
        Err(panic) => {
            staging.torn = placing.take_back().is_err();
            resume_unwind(panic)
        }
        Ok(Err(source)) => match placing.take_back() {
            Ok(()) => Err(Error::Store(source)),
            Err(left) => {
                // The mark stays, so that the next import counts anew.
                staging.torn = true;
                Err(Error::Torn { left, source })
            }
        },
    }
}

/// Whether the file at `path` has this size and digest; the digest is trusted unless `rehash`.
pub(super) fn is_held(path: &Path, size: Option<u64>, sha256: &Sha256, rehash: bool) -> io::Result<bool> {
    // What is read through a link may be outside of the mirror, and is not served then.
    if path.symlink_metadata().is_ok_and(|there| !there.is_file()) {
        return Ok(false);
    }
    let file = match File::open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound || e.kind() == io::ErrorKind::NotADirectory => return Ok(false),
        file => file?,
    };
    let length = file.metadata()?.len();
    if size.is_some_and(|size| size != length) {
        return Ok(false);
    }
    Ok(!rehash || Sha256::of_reader(file)?.0 == *sha256)
}

/// What the manifest tells of the index lines that follow.
fn told(manifest: &Manifest, pending: PendingLines, options: &ImportOptions) -> Result<Told, Error> {
    let time = |text: &str| {
        let no_time = |_| Error::Time { file: options.file_name.clone(), text: text.chars().take(80).collect() };
        text.parse::<Timestamp>().map_err(no_time)
    };
    let left_out = manifest.crates.iter().filter(|record| record.state == CrateState::IndexOnly);
    let mut reads = HashMap::new();
    for record in &manifest.crates {
        if let Some(read) = &record.read {
            reads.insert(record.id(), time(read)?);
        }
    }
    Ok(Told {
        read: time(&manifest.index_read)?,
        reads,
        index_only: left_out.map(CrateRecord::id).collect(),
        refreshed: manifest.refreshed.iter().map(Refreshed::id).collect(),
        pending,
    })
}

/// `moves` in the order that `order` gives by position.
fn sorted_by(moves: Vec<Move>, order: &[usize]) -> Vec<Move> {
    let mut moves: Vec<Option<Move>> = moves.into_iter().map(Some).collect();
    order.iter().filter_map(|at| moves[*at].take()).collect()
}
