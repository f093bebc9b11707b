//! Exports a mirror into one bundle, with the histories that feed it and the configuration of its server.
//!
//! The snapshot contains what the index lists: every line verbatim, and every crate file with its digest. The digest is
//! computed while the file is packed. So a corrupt file stops the export with an error that names it, and never gets a
//! new digest. Files that the index does not list (a crate in its grace period, an unrecognized file) are left out and
//! counted. Recorded dist files are included. If the mirror lost something that a history needs, nothing is exported.
//!
//! Live mode's copies of upstream's index files contribute lines without crates, see [`super::unstored_lines`].
//!
//! The snapshot includes the histories as their newest bundles describe them, so that a collection of the other mirror
//! keeps the same files. Live mode's files are one more history, whose id the mirror created. Some crates of the index
//! were never in a bundle on record; this mirror keeps them as unrecognized. In the snapshot they have a lineage with
//! an id derived from them, so that two such sets do not replace each other.
//!
//! The export holds the shared lock, so the mirror does not change meanwhile.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::disk;
use super::export::CreatedParents;
use super::guard::ReadGuard;
use super::import::Problems;
use super::inventory::Inventory;
use super::item::{Item, ItemId};
use super::layout::Layout;
use super::lineages::REBUILT_LINEAGE;
use super::lost_items::find_missing_items;
use super::summary::SummaryLoss;
use super::transaction::{self, failed};
use super::unstored_lines::{MAX_LINES, UnstoredLines};
use crate::bundle::format::{BundleKind, CarriedHistory, Input, Lineage, MAX_NAMES, Manifest, short_id};
use crate::bundle::pack::{self, PackPlan};
use crate::bundle::verify;
use crate::config::SnapshotFile;
use crate::crate_id::{CrateId, CrateName};
use crate::digest::Sha256;
use crate::durable::{self, checkpoint};
use crate::event::Sink;
use crate::mirror_file::{FileKind, FileSource, MirrorFile};
use crate::safe_path::SafePath;
use crate::units::pluralize;
use histories::{LedgerContents, digest_lines};
use tables::Tables;

mod error;
mod histories;
mod tables;

pub use error::Error;

/// All checkpoints of an export, in order.
pub const CHECKPOINTS: &[&str] = &["snapshot:locked", "snapshot:read", "snapshot:written", "snapshot:published"];

/// Options of an export.
#[derive(Clone, Debug)]
pub struct Options {
    /// The output folder, created if it does not exist.
    pub folder: PathBuf,
    /// The configuration to include.
    pub config: Vec<SnapshotFile>,
    /// The time that the bundle states and that its name contains.
    pub now: Timestamp,
}

/// The written snapshot.
#[derive(Debug)]
pub struct SnapshotReport {
    /// Its file.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// Its digest.
    pub sha256: Sha256,
    /// Its manifest.
    pub manifest: Manifest,
    /// Files in crates/ that the index does not name, which are left out.
    pub unlisted_files: u64,
}

impl ReadGuard {
    /// Writes a snapshot of the mirror, verifies it, and gives it its final name.
    ///
    /// # Errors
    /// Everything in [`Error`]; the folder then has no new file.
    pub fn snapshot(&self, options: Options, sink: &dyn Sink) -> Result<SnapshotReport, Error> {
        checkpoint("snapshot:locked");
        let Options { folder, config, now } = options;
        let above = folder.ancestors().find_map(|above| above.canonicalize().ok());
        if let (Some(above), Ok(root)) = (above, self.layout.root().canonicalize())
            && above.starts_with(root)
        {
            return Err(Error::InMirror { folder });
        }
        if let Some(loss) = SummaryLoss::find(&self.layout)? {
            return Err(Error::SummaryLost(loss));
        }
        let (plan, unlisted_files) = build_plan(&self.layout, config, now, sink)?;
        checkpoint("snapshot:read");
        // Without a snapshot, the folders that this export created are removed.
        let mut created = CreatedParents::default();
        created.create_all(&folder).map_err(failed("make the folder", &folder))?;
        durable::make_folder(&folder).map_err(failed("make the folder", &folder))?;
        let written = pack::write(plan, &folder, sink).map_err(map_pack_error)?;
        // The mirror is no 1.x bundle, so the verification does not spool anything.
        let verdict = verify::verify(written.path(), &folder, sink).map_err(Error::Read)?;
        if !verdict.problems.is_empty() {
            return Err(Error::Invalid { problems: Problems::summarize(&verdict.problems) });
        }
        checkpoint("snapshot:written");
        let (size, sha256) = (written.size, written.sha256);
        let path = written.publish(&|_| false).map_err(map_pack_error)?;
        checkpoint("snapshot:published");
        Ok(SnapshotReport { path, size, sha256, manifest: verdict.manifest, unlisted_files })
    }
}

fn map_pack_error(error: pack::Error) -> Error {
    match error {
        pack::Error::FileChanged { file, expected, actual, .. } => Error::Corrupt { file, expected, actual },
        error => Error::Pack(error),
    }
}

/// The files to pack, and how many files are left out.
fn build_plan(
    layout: &Layout,
    config: Vec<SnapshotFile>,
    now: Timestamp,
    sink: &dyn Sink,
) -> Result<(PackPlan, u64), Error> {
    let mut index_files = BTreeMap::new();
    let mut inventory = Inventory::read::<transaction::Error>(layout, &mut |name, path, text| {
        index_files.insert(name.index_path(), index_entry(name, path, text));
        Ok(())
    })?;
    inventory.add_dist_files(layout)?;
    if !inventory.problems.is_empty() {
        return Err(Error::Damaged {
            root: layout.root().to_owned(),
            problems: Problems::summarize(&inventory.problems),
        });
    }
    let unlisted_files = count_unlisted_files(layout, &inventory)?;
    if inventory.crates.is_empty() && inventory.dist_files.0.is_empty() {
        return Err(Error::Empty { root: layout.root().to_owned() });
    }
    let (mut ledger_contents, live) = LedgerContents::read(layout)?;
    let named: HashSet<&CrateId> =
        ledger_contents.items().chain(live.current().map(|record| &record.item)).filter_map(ItemId::crate_id).collect();
    let unstored = UnstoredLines::find(layout, &inventory, &|id| named.contains(id), now)?;
    report_unstored_lines(&unstored, sink);
    ledger_contents.add_live_history(live, &unstored.crates, &inventory.dist_files, now);
    for (name, text) in unstored.files {
        let path = format!("index/{}", name.index_path());
        index_files.insert(name.index_path(), text_entry(&path, text.into_bytes(), FileKind::Index));
    }
    inventory.add_crates(unstored.crates);
    reject_lost_items(layout, &inventory, &ledger_contents)?;
    let mut files: Vec<(MirrorFile, FileSource)> = index_files.into_values().collect();
    files.extend(inventory.stored_items().filter_map(|item| file_entry(layout, item)));
    files.extend(config.into_iter().map(|file| text_entry(file.name, file.text.into_bytes(), FileKind::Config)));

    let newest_read = inventory.crates.iter().map(|one| one.read_at).max().unwrap_or(now);
    let tables = Tables::new(&inventory, &ledger_contents, newest_read);
    let at = tables.positions();
    let input = |(input, items): &(Input, BTreeSet<ItemId>)| {
        let [crates, dist_files] = at(items);
        Input { crates, dist_files, ..input.clone() }
    };
    let histories = ledger_contents.histories.iter().filter(|feed| feed.id != REBUILT_LINEAGE);
    let carried = histories.map(|feed| {
        let [crates, dist_files] = at(&feed.items);
        let inputs = feed.inputs.iter().map(input).collect();
        CarriedHistory {
            bundle: feed.bundle.clone(),
            file: feed.file.clone(),
            created: feed.created.clone(),
            index_read: feed.index_read.clone(),
            lineage: Lineage { id: feed.id.clone(), sequence: feed.sequence, previous: feed.previous.clone(), inputs },
            crates,
            dist_files,
        }
    });
    let carried = carried.collect();
    let lineage = unclaimed_lineage(&inventory, &ledger_contents, &at);
    let plan = PackPlan {
        created: now,
        kind: BundleKind::Snapshot,
        repair: false,
        parent: None,
        lineage,
        carried_histories: carried,
        targets: ledger_contents.targets.into_iter().take(MAX_NAMES).collect(),
        toolchains: inventory.dist_files.toolchain_names().into_iter().take(MAX_NAMES).collect(),
        index_read: newest_read,
        crates: tables.crates,
        refreshed_crates: Vec::new(),
        dist_files: tables.dist_files,
        files,
    };
    Ok((plan, unlisted_files))
}

/// Reports which index lines the snapshot has in addition to those of the mirror.
fn report_unstored_lines(unstored: &UnstoredLines, sink: &dyn Sink) {
    if !unstored.files.is_empty() {
        let names = pluralize(unstored.files.len(), "crate");
        sink.status(
            "Note",
            format!("the snapshot has index lines of {names} without the files, so that each Cargo.lock stays usable"),
        );
    }
    if unstored.incomplete > 0 {
        sink.warning(format!(
            "the snapshot lacks index lines of up to {}, because it has at most {MAX_LINES} lines without files: check each \
             Cargo.lock on the other side with `verify --mirror DIR --closure Cargo.lock`",
            pluralize(unstored.incomplete, "crate")
        ));
    }
}

/// Returns an error if the mirror lost something that a history needs: the snapshot would hide the loss.
fn reject_lost_items(layout: &Layout, inventory: &Inventory, ledger_contents: &LedgerContents) -> Result<(), Error> {
    let recorded = &inventory.dist_files;
    let is_listed = |id: &CrateId| inventory.crates.binary_search_by(|one| one.id.cmp(id)).is_ok();
    let is_stored = |item: &ItemId| match item {
        ItemId::Crate(id) => is_listed(id),
        ItemId::DistFile(path) => recorded.0.contains_key(path),
    };
    if ledger_contents.items().all(is_stored) {
        return Ok(());
    }
    let needed = ledger_contents.needed_records.iter().map(String::as_str);
    let lost = find_missing_items(layout, needed, &|id| Ok(is_listed(id)), Some(recorded))?.lost;
    if lost.is_empty() {
        return Ok(());
    }
    let problems: Vec<String> =
        lost.iter().map(|one| format!("{} is missing, but {} needs it", one.item, one.needed_by)).collect();
    Err(Error::Damaged { root: layout.root().to_owned(), problems: Problems::summarize(&problems) })
}

/// The content of the mirror that no history claims, as a lineage.
fn unclaimed_lineage(
    inventory: &Inventory,
    ledger_contents: &LedgerContents,
    at: &dyn Fn(&BTreeSet<ItemId>) -> [Vec<u32>; 2],
) -> Lineage {
    let stored: BTreeMap<ItemId, Sha256> = inventory.digests().collect();
    let rebuilt = ledger_contents.histories.iter().filter(|feed| feed.id == REBUILT_LINEAGE);
    let unrecognized = stored.keys().filter(|item| ledger_contents.digest(item).is_none());
    let items: BTreeSet<ItemId> = unrecognized.chain(rebuilt.flat_map(|feed| &feed.items)).cloned().collect();
    let mut text = digest_lines(&items, |item| stored.get(item).copied());
    // A mirror that imported a snapshot of itself, or an equal one, already has this set as a history.
    let own = short_id(&Sha256::of(text.as_bytes()));
    let known = ledger_contents.histories.iter().any(|feed| feed.id == own && feed.items == items);
    if known {
        text.clear();
    }
    let mut id = short_id(&Sha256::of(text.as_bytes()));
    while ledger_contents.histories.iter().any(|feed| feed.id == id) {
        id = short_id(&Sha256::of(id.as_bytes()));
    }
    let [crates, dist_files] = at(&items);
    let input = Input::new("not in any history", crates, dist_files);
    let nothing = known || items.is_empty();
    let inputs = if nothing { Vec::new() } else { vec![input] };
    Lineage { id, sequence: 1, previous: None, inputs }
}

/// The number of files in crates/ that the index does not name.
fn count_unlisted_files(layout: &Layout, inventory: &Inventory) -> Result<u64, transaction::Error> {
    let files = disk::crate_files(layout)?.count() as u64;
    Ok(files.saturating_sub(inventory.stored().count() as u64))
}

/// A stored file to pack. An import accepts only paths that have a kind.
fn file_entry(layout: &Layout, Item { id, sha256, size }: Item) -> Option<(MirrorFile, FileSource)> {
    let path = id.path();
    let kind = FileKind::from_path(&path)?;
    Some((MirrorFile { path, size, sha256, kind }, FileSource::File(id.file(layout))))
}

/// An index file to pack. It is read again from disk while packing, or stored as lines if it is not in their normal
/// form.
fn index_entry(name: &CrateName, file: &Path, text: &str) -> (MirrorFile, FileSource) {
    let lines: String = text.lines().filter(|line| !line.is_empty()).flat_map(|line| [line, "\n"]).collect();
    let path = entry_path(&format!("index/{}", name.index_path()));
    let artifact =
        MirrorFile { path, size: lines.len() as u64, sha256: Sha256::of(lines.as_bytes()), kind: FileKind::Index };
    let bytes = if lines == text { FileSource::File(file.to_owned()) } else { FileSource::Memory(lines.into_bytes()) };
    (artifact, bytes)
}

fn entry_path(path: &str) -> SafePath {
    path.parse().expect("index paths of parsed names and the names of configuration files are safe")
}

fn text_entry(path: &str, bytes: Vec<u8>, kind: FileKind) -> (MirrorFile, FileSource) {
    let artifact = MirrorFile { path: entry_path(path), size: bytes.len() as u64, sha256: Sha256::of(&bytes), kind };
    (artifact, FileSource::Memory(bytes))
}
