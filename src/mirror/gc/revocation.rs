//! Finds what rejected bundles left in the mirror although other bundles need the same crate or path.
//!
//! Of two index lines, the one that was read later stays, and a channel never moves back. So a false bundle with a late
//! time replaces the content of genuine ones, and no collection removes it, because the genuine ones need it too. Once the
//! false bundle is rejected, its content gives way. Other bundles are those on record that are not rejected, and live mode.
//!
//! | the rejected bundle states | and the other bundles | then |
//! |---|---|---|
//! | an index line and the time in its record | do not state that time, or state another line with it | the record loses its time, and the next line replaces it |
//! | a refreshed line that waits for its crate, and its time | do not state that time | the line is dropped |
//! | a crate with the stored checksum, and contains it | do not state that checksum | the crate is removed with its line |
//! | a dist file with the stored digest, and contains it | do not state that digest | the file is removed |
//! | a mutable dist file with the stored digest | have the file with another digest | the file is removed |
//! | a dist file with the stored digest and time | state that digest with earlier times | the last of these times counts |
//!
//! A bundle brought only the files that it contains: its import proved that the mirror had the others. But a mutable path may
//! have received a copy of another file.
//!
//! The ledger states no digests of lines, and the replaced files no longer exist. So the bundles that have them must be
//! imported again, and the plan names them. Until then, each later plan names them too, because the record of such a line has
//! the time [`REVOKED`]. The plan also names the bundles of files that a collection removed because the false bundle did not name them:
//! the rejection makes them needed again.
//!
//! A record of a rebuild shows which files the mirror had then. So it counts as a statement about files that a rejected
//! bundle brought later, and not about lines. While bundles of lost records are missing, one of these may have brought the
//! content before. So only content gives way that another bundle on record, or live mode, has with another digest.
//!
//! A plan looks at all rejected records, not only at those of its own options. So the run after a kill completes the work.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jiff::Timestamp;

use super::error::Error;
use super::needed_files::{KeepSet, LineageState, Lineages};
use super::plan::Line;
use crate::bundle::format::{BundleKind, CrateState, DistFileState, Manifest};
use crate::crate_id::CrateId;
use crate::digest::Sha256;
use crate::mirror::disk;
use crate::mirror::dist_files::{DistFile, DistFiles, MutableName};
use crate::mirror::index_meta::{self, IndexLineMeta, REVOKED};
use crate::mirror::item::ItemId;
use crate::mirror::layout::Layout;
use crate::mirror::ledger::lost_records::Unrestored;
use crate::mirror::ledger::{self, Reader};
use crate::mirror::lineages::REBUILT_LINEAGE;
use crate::mirror::live::LiveLineage;
use crate::mirror::lost_items::find_missing_items;
use crate::mirror::pending_lines::PendingLines;
use crate::mirror::retired::{self, Scope};
use crate::mirror::summary::BundleToImport;
use crate::safe_path::SafePath;

/// What rejected bundles left, and how it gives way.
#[derive(Default)]
pub(super) struct Revocation {
    /// Files to remove at once, although other bundles need a crate or file of that name.
    pub(super) items: BTreeSet<ItemId>,
    /// Versions whose line records lose their time, by index path.
    pub(super) versions: BTreeMap<String, HashSet<String>>,
    /// The same versions, for display.
    pub(super) lines: Vec<Line>,
    /// The times of dist files that other bundles state too.
    pub(super) read_times: BTreeMap<SafePath, Timestamp>,
    /// The waiting lines without the dropped ones; `None` if unchanged.
    pub(super) pending_lines: Option<PendingLines>,
    /// The bundles to import again, in the order of their imports.
    pub(super) to_import: Vec<BundleToImport>,
    /// Files and crates with lines that something else needs and that no bundle on record restores.
    pub(super) unavailable: Vec<String>,
}

/// Stored content that a rejected bundle stated.
#[derive(Default)]
struct Candidates {
    lines: BTreeMap<CrateId, StoredLine>,
    crates: BTreeMap<CrateId, Sha256>,
    /// Whether a rejected bundle stated the recorded time too.
    dist_files: BTreeMap<SafePath, (DistFile, bool)>,
    waiting: BTreeMap<CrateId, Timestamp>,
    /// The lines of rejected bundles that an earlier run reset, with their checksums.
    reset: BTreeMap<CrateId, Sha256>,
    /// Needed files and crates with lines that the mirror had and lacks, with their digests.
    lost: BTreeMap<ItemId, Sha256>,
    /// The files that a rejected bundle brought, with the number of the first such record.
    brought: HashMap<ItemId, u64>,
    /// Whether bundles of lost records are missing, which may have brought the same files before.
    has_unrestored: bool,
}

/// A stored line whose time a rejected bundle stated.
struct StoredLine {
    /// The checksum that it states.
    sha256: Sha256,
    read_at: Timestamp,
    /// Whether a bundle stated another line with this time.
    has_rival: bool,
}

/// What the import of a bundle restores.
#[derive(Default)]
struct Restored {
    lines: u64,
    files: u64,
}

/// What a bundle that is not rejected, live mode or a rebuild states about a candidate.
struct Statement {
    sha256: Sha256,
    read_at: Timestamp,
    /// Whether the bundle has the index line of the crate.
    has_line: bool,
    /// Whether the bundle contains the file.
    has_file: bool,
    /// Its position among the bundles; `None` for live mode and a rebuild.
    bundle: Option<usize>,
}

/// The statements about each candidate, and the bundles that made them.
#[derive(Default)]
struct Statements {
    of_item: HashMap<ItemId, Vec<Statement>>,
    /// Each bundle, with the id of the snapshot that included it.
    bundles: Vec<(BundleToImport, Option<String>)>,
    /// The files and the lineages of the snapshots, by id.
    snapshots: HashMap<String, [String; 2]>,
}

impl Revocation {
    /// Finds what gives way, and removes these files from `needed`.
    pub(super) fn find(
        layout: &Layout,
        lineages: &Lineages,
        live: &LiveLineage,
        needed: &mut KeepSet,
    ) -> Result<Revocation, Error> {
        let candidates = Candidates::find(layout, lineages, needed)?;
        if candidates.is_empty() {
            return Ok(Revocation::default());
        }
        let statements = Statements::collect(layout, lineages, live, &candidates)?;
        let mut found = Revocation::default();
        let mut restored: BTreeMap<usize, Restored> = BTreeMap::new();
        found.revoke_files(&candidates, &statements, needed, &mut restored);
        found.revoke_lines(&candidates, &statements, needed, &mut restored);
        found.drop_waiting(layout, &candidates, &statements, &mut restored)?;
        found.add_unrestored(&candidates, &statements, &mut restored);
        found.to_import = statements.bundles_to_import(&restored);
        Ok(found)
    }

    fn revoke_files(
        &mut self,
        candidates: &Candidates,
        statements: &Statements,
        needed: &mut KeepSet,
        restored: &mut BTreeMap<usize, Restored>,
    ) {
        let crates = candidates.crates.iter().map(|(id, sha256)| (ItemId::Crate(id.clone()), *sha256));
        let files = candidates.dist_files.iter();
        let files = files.map(|(path, (file, _))| (ItemId::DistFile(path.clone()), file.sha256));
        for (item, sha256) in crates.chain(files) {
            let stated = statements.about(&item);
            let of_stored = stated.iter().filter(|one| one.sha256 == sha256);
            if let Some(latest) = of_stored.map(|one| one.read_at).max() {
                if let ItemId::DistFile(path) = &item
                    && let Some((file, true)) = candidates.dist_files.get(path)
                    && latest < file.read_at
                {
                    self.read_times.insert(path.clone(), latest);
                }
                continue;
            }
            // Other files are garbage like those of a forgotten lineage.
            if !needed.has_file(&item.key()) || !candidates.gives_way(&item, stated) {
                continue;
            }
            needed.remove_item(&item);
            match source_of_file(stated) {
                Some(Some(bundle)) => restored.entry(bundle).or_default().files += 1,
                Some(None) => {}
                None if stated.is_empty() => {}
                None => self.unavailable.push(item.to_string()),
            }
            self.items.insert(item);
        }
    }

    fn revoke_lines(
        &mut self,
        candidates: &Candidates,
        statements: &Statements,
        needed: &mut KeepSet,
        restored: &mut BTreeMap<usize, Restored>,
    ) {
        for (id, StoredLine { sha256, read_at, has_rival }) in &candidates.lines {
            let (path, version) = (id.name.index_path(), id.version.to_string());
            let item = ItemId::Crate(id.clone());
            let lines = statements.about(&item).iter().filter(|one| one.has_line && one.sha256 == *sha256);
            let is_stated = lines.clone().any(|one| one.read_at == *read_at);
            if is_stated && !has_rival || !needed.has_line(&path, &version) {
                continue;
            }
            match latest(lines) {
                Some(Statement { bundle: Some(bundle), .. }) => restored.entry(*bundle).or_default().lines += 1,
                Some(_) => {}
                None if statements.about(&item).is_empty() => {}
                None => self.unavailable.push(item.to_string()),
            }
            self.lines.push(Line { name: id.name.as_str().to_lowercase(), version: version.clone() });
            self.versions.entry(path).or_default().insert(version);
        }
    }

    fn drop_waiting(
        &mut self,
        layout: &Layout,
        candidates: &Candidates,
        statements: &Statements,
        restored: &mut BTreeMap<usize, Restored>,
    ) -> Result<(), Error> {
        if candidates.waiting.is_empty() {
            return Ok(());
        }
        let mut pending = PendingLines::read(layout)?;
        let before = pending.len();
        for (id, read_at) in &candidates.waiting {
            let item = ItemId::Crate(id.clone());
            let lines = statements.about(&item).iter().filter(|one| one.has_line);
            if lines.clone().any(|one| one.read_at == *read_at) {
                continue;
            }
            pending.remove(id);
            if let Some(Statement { bundle: Some(bundle), .. }) = latest(lines) {
                restored.entry(*bundle).or_default().lines += 1;
            }
        }
        self.pending_lines = (pending.len() < before).then_some(pending);
        Ok(())
    }
}

impl Revocation {
    /// Adds the bundles that restore what earlier runs reset or removed.
    fn add_unrestored(
        &mut self,
        candidates: &Candidates,
        statements: &Statements,
        restored: &mut BTreeMap<usize, Restored>,
    ) {
        for (id, sha256) in &candidates.reset {
            let lines = statements.about(&ItemId::Crate(id.clone())).iter();
            if let Some(Statement { bundle: Some(bundle), .. }) =
                latest(lines.filter(|one| one.has_line && one.sha256 == *sha256))
            {
                restored.entry(*bundle).or_default().lines += 1;
            }
        }
        for (item, sha256) in &candidates.lost {
            let files = statements.about(item).iter().filter(|one| one.has_file && one.sha256 == *sha256);
            match latest(files) {
                Some(Statement { bundle: Some(bundle), .. }) => restored.entry(*bundle).or_default().files += 1,
                Some(_) => {}
                None => self.unavailable.push(item.to_string()),
            }
        }
    }
}

/// The statement with the latest time; of several, that of the bundle imported last.
fn latest<'s>(statements: impl Iterator<Item = &'s Statement>) -> Option<&'s Statement> {
    statements.max_by_key(|one| (one.read_at, one.bundle))
}

/// The bundle whose import restores a file: it contains the file with the digest that was stated last. `None` if no bundle has
/// the file, `Some(None)` if only live mode does.
fn source_of_file(stated: &[Statement]) -> Option<Option<usize>> {
    let newest = latest(stated.iter())?;
    let with_file = || stated.iter().filter(|one| one.has_file);
    let source = latest(with_file().filter(|one| one.sha256 == newest.sha256)).or_else(|| latest(with_file()))?;
    Some(source.bundle)
}

impl Candidates {
    fn is_empty(&self) -> bool {
        let Candidates { lines, crates, dist_files, waiting, reset, lost, .. } = self;
        lines.is_empty()
            && crates.is_empty()
            && dist_files.is_empty()
            && waiting.is_empty()
            && reset.is_empty()
            && lost.is_empty()
    }

    /// Compares what the rejected records state with the stored content.
    fn find(layout: &Layout, lineages: &Lineages, needed: &mut KeepSet) -> Result<Candidates, Error> {
        let mut candidates = Candidates::default();
        let notes = &lineages.retirements;
        let rejected: HashSet<u64> = notes
            .iter()
            .filter_map(|note| if let Scope::Only(number) = note.scope { Some(number) } else { None })
            .collect();
        if rejected.is_empty() {
            return Ok(candidates);
        }
        // A confirmed run settled the losses before it.
        let lost = Unrestored::read(layout, retired::last_retirement(notes, REBUILT_LINEAGE))?;
        candidates.has_unrestored = !lost.is_empty() || lost.is_incomplete;
        let (recorded, pending) = (DistFiles::read(layout)?.unwrap_or_default(), PendingLines::read(layout)?);
        let mut reader = Reader::new(layout);
        for name in &lineages.record_names {
            let Some(number) = ledger::record_number(name).filter(|number| rejected.contains(number)) else { continue };
            let Some(record) = reader.read(name)? else { continue };
            if retired::is_rejected(notes, number, &record.manifest.lineage.id) {
                candidates.add_crates(layout, &record.manifest, number, &pending)?;
                candidates.add_dist_files(&record.manifest, number, &recorded);
            }
        }
        candidates.reset.retain(|id, _| needed.has_line(&id.name.index_path(), &id.version.to_string()));
        candidates.add_lost(layout, lineages, needed, &recorded)?;
        Ok(candidates)
    }

    /// Adds the crates of the record `number`.
    fn add_crates(
        &mut self,
        layout: &Layout,
        manifest: &Manifest,
        number: u64,
        pending: &PendingLines,
    ) -> Result<(), Error> {
        let named = named_crates(manifest).filter(|named| named.has_line);
        for Named { id, sha256, read_at, has_file, is_index_only, is_refreshed, .. } in named {
            // The record of the current line has the latest time, and others are of replaced lines.
            let records = read_line_records(layout, &id)?;
            let current = records.iter().map(|record| record.read_at).max();
            let mut of_crate = records.iter().filter(|record| record.cksum == sha256).peekable();
            let is_lone_line = || is_index_only && layout.crate_file(&id).symlink_metadata().is_err();
            let is_brought = has_file || is_lone_line();
            if of_crate.peek().is_some() && !is_refreshed && is_brought {
                self.crates.insert(id.clone(), sha256);
                self.add_brought(ItemId::Crate(id.clone()), number);
            }
            if current == Some(REVOKED) && of_crate.peek().is_some() {
                self.reset.insert(id.clone(), sha256);
            }
            if current == Some(read_at) && of_crate.any(|record| record.read_at == read_at) {
                let same_time = records.iter().filter(|record| record.read_at == read_at);
                let digests: BTreeSet<Sha256> = same_time.map(|record| record.line_sha256).collect();
                self.lines.insert(id.clone(), StoredLine { sha256, read_at, has_rival: digests.len() > 1 });
            }
            if is_refreshed && pending.get(&id).is_some_and(|(waiting, _)| waiting == read_at) {
                self.waiting.insert(id, read_at);
            }
        }
        Ok(())
    }

    /// Adds what the lineages need and the mirror lacks. A crate without a file may be index-only.
    fn add_lost(
        &mut self,
        layout: &Layout,
        lineages: &Lineages,
        needed: &KeepSet,
        recorded: &DistFiles,
    ) -> Result<(), Error> {
        let has_line = |id: &CrateId| read_line_records(layout, id).map_or(true, |records| !records.is_empty());
        let is_listed = |id: &CrateId| layout.crate_file(id).symlink_metadata().is_ok() || has_line(id);
        let records = lineages.by_id.values().flat_map(LineageState::records);
        let missing = find_missing_items(layout, records, &is_listed, Some(recorded))?;
        let lost = missing.lost.into_iter().filter(|lost| needed.has_file(&lost.item.key()));
        self.lost = lost.map(|lost| (lost.item, lost.sha256)).collect();
        Ok(())
    }

    /// Adds the dist files of the record `number`.
    fn add_dist_files(&mut self, manifest: &Manifest, number: u64, recorded: &DistFiles) {
        for stated in manifest.dist_files.iter().filter(|one| one.state != DistFileState::Kept) {
            let Some(file) = recorded.0.get(&stated.path).filter(|file| file.sha256 == stated.sha256) else { continue };
            let (_, has_time) = self.dist_files.entry(stated.path.clone()).or_insert((*file, false));
            *has_time |= parse_time(manifest.dist_file_read_at(stated)) == file.read_at;
            if stated.state == DistFileState::Shipped {
                self.add_brought(ItemId::DistFile(stated.path.clone()), number);
            }
        }
    }

    fn add_brought(&mut self, item: ItemId, number: u64) {
        let first = self.brought.entry(item).or_insert(number);
        *first = number.min(*first);
    }

    /// Whether the record `number` of a rebuild shows that the mirror had the file before rejected bundles brought it.
    fn is_later_than(&self, number: u64, item: &ItemId) -> bool {
        self.brought.get(item).is_none_or(|first| number < *first)
    }

    /// Whether a file that no other bundle states like this gives way. `stated` has other digests.
    fn gives_way(&self, item: &ItemId, stated: &[Statement]) -> bool {
        let is_restored = || stated.iter().any(|one| one.has_file);
        if self.brought.contains_key(item) {
            return !self.has_unrestored || is_restored();
        }
        matches!(item, ItemId::DistFile(path) if MutableName::from_path(path).is_some()) && is_restored()
    }

    fn has(&self, item: &ItemId) -> bool {
        match item {
            ItemId::Crate(id) => {
                self.crates.contains_key(id)
                    || self.lines.contains_key(id)
                    || self.waiting.contains_key(id)
                    || self.reset.contains_key(id)
                    || self.lost.contains_key(item)
            }
            ItemId::DistFile(path) => self.dist_files.contains_key(path) || self.lost.contains_key(item),
        }
    }
}

/// A crate that a bundle names.
struct Named {
    id: CrateId,
    sha256: Sha256,
    read_at: Timestamp,
    has_line: bool,
    has_file: bool,
    is_index_only: bool,
    is_refreshed: bool,
}

fn named_crates(manifest: &Manifest) -> impl Iterator<Item = Named> {
    let crates = manifest.crates.iter().map(|one| Named {
        id: one.id(),
        sha256: one.sha256,
        read_at: parse_time(manifest.line_read_at(one)),
        has_line: one.state != CrateState::Kept,
        has_file: one.state == CrateState::Shipped,
        is_index_only: one.state == CrateState::IndexOnly,
        is_refreshed: false,
    });
    let refreshed = manifest.refreshed_crates.iter().map(|one| Named {
        id: one.id(),
        sha256: one.sha256,
        read_at: parse_time(&manifest.index_read),
        has_line: true,
        has_file: false,
        is_index_only: false,
        is_refreshed: true,
    });
    crates.chain(refreshed)
}

/// The records of a version's line.
fn read_line_records(layout: &Layout, id: &CrateId) -> Result<Vec<IndexLineMeta>, Error> {
    let text = disk::read_text(&layout.index_meta_file(&id.name))?.unwrap_or_default();
    let mut records = index_meta::parse(&text);
    records.retain(|record| record.version == id.version);
    Ok(records)
}

/// A time in a record. The import of the bundle checked it.
fn parse_time(text: &str) -> Timestamp {
    text.parse().unwrap_or(Timestamp::MIN)
}

impl Statements {
    /// Collects what all other records and live mode state about the candidates.
    fn collect(
        layout: &Layout,
        lineages: &Lineages,
        live: &LiveLineage,
        candidates: &Candidates,
    ) -> Result<Statements, Error> {
        let mut statements = Statements::default();
        let mut reader = Reader::new(layout);
        for name in &lineages.record_names {
            let Some(record) = reader.read(name)? else { continue };
            let (manifest, number) = (&record.manifest, ledger::record_number(name).unwrap_or(0));
            let lineage = &manifest.lineage.id;
            if lineage == REBUILT_LINEAGE {
                statements.add_rebuilt(manifest, number, candidates);
                continue;
            }
            if retired::is_rejected(&lineages.retirements, number, lineage) {
                continue;
            }
            // The records of its histories state its content.
            if manifest.kind == BundleKind::Snapshot {
                statements.snapshots.insert(manifest.id.clone(), [record.file, lineage.clone()]);
                continue;
            }
            statements.add_record(manifest, candidates);
            let bundle = BundleToImport {
                lineage: lineage.clone(),
                sequence: Some(manifest.lineage.sequence),
                bundle: manifest.id.clone(),
                file: record.file,
                lines: 0,
                files: 0,
            };
            statements.bundles.push((bundle, record.snapshot_id));
        }
        for record in live.current() {
            let has_line = record.item.crate_id().is_some();
            let (sha256, read_at) = (record.sha256, record.read_at);
            let statement = Statement { sha256, read_at, has_line, has_file: true, bundle: None };
            statements.add(&record.item, statement, candidates);
        }
        Ok(statements)
    }

    fn add_record(&mut self, manifest: &Manifest, candidates: &Candidates) {
        let bundle = Some(self.bundles.len());
        for Named { id, sha256, read_at, has_line, has_file, .. } in named_crates(manifest) {
            self.add(&ItemId::Crate(id), Statement { sha256, read_at, has_line, has_file, bundle }, candidates);
        }
        for one in &manifest.dist_files {
            let (sha256, read_at) = (one.sha256, parse_time(manifest.dist_file_read_at(one)));
            let has_file = one.state == DistFileState::Shipped;
            let statement = Statement { sha256, read_at, has_line: false, has_file, bundle };
            self.add(&ItemId::DistFile(one.path.clone()), statement, candidates);
        }
    }

    /// Adds the files of the record `number` of a rebuild. No import restores them.
    fn add_rebuilt(&mut self, manifest: &Manifest, number: u64, candidates: &Candidates) {
        let crates = named_crates(manifest).map(|one| (ItemId::Crate(one.id), one.sha256, Timestamp::MIN));
        let files = manifest
            .dist_files
            .iter()
            .map(|one| (ItemId::DistFile(one.path.clone()), one.sha256, parse_time(manifest.dist_file_read_at(one))));
        for (item, sha256, read_at) in crates.chain(files) {
            if candidates.is_later_than(number, &item) {
                let statement = Statement { sha256, read_at, has_line: false, has_file: false, bundle: None };
                self.add(&item, statement, candidates);
            }
        }
    }

    fn about(&self, item: &ItemId) -> &[Statement] {
        self.of_item.get(item).map(Vec::as_slice).unwrap_or_default()
    }

    fn add(&mut self, item: &ItemId, statement: Statement, candidates: &Candidates) {
        if candidates.has(item) {
            self.of_item.entry(item.clone()).or_default().push(statement);
        }
    }

    /// The bundles that restore these numbers of lines and files. A history of a snapshot is imported with the snapshot.
    fn bundles_to_import(&self, restored: &BTreeMap<usize, Restored>) -> Vec<BundleToImport> {
        let mut all: Vec<BundleToImport> = Vec::new();
        for (at, Restored { lines, files }) in restored {
            let Some((bundle, snapshot_id)) = self.bundles.get(*at) else { continue };
            let snapshot = snapshot_id.as_ref().and_then(|id| Some((id, self.snapshots.get(id)?)));
            let bundle = match snapshot {
                Some((id, [file, lineage])) => BundleToImport {
                    lineage: lineage.clone(),
                    sequence: None,
                    bundle: id.clone(),
                    file: file.clone(),
                    ..bundle.clone()
                },
                None => bundle.clone(),
            };
            match all.iter_mut().find(|known| known.bundle == bundle.bundle) {
                Some(known) => (known.lines, known.files) = (known.lines + lines, known.files + files),
                None => all.push(BundleToImport { lines: *lines, files: *files, ..bundle }),
            }
        }
        all
    }
}
