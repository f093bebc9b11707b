//! Imports a bundle into a mirror. The bundle is streamed, staged and verified completely. Only then are its files
//! committed, all or none.
//!
//! The steps:
//!
//! 1. Checks of the manifest alone: a missing base, a full disk.
//! 2. One pass over the payload. Crates are staged while the bundle's reader hashes them. A crate that is already
//!    stored is compared with its file instead, byte by byte. That detects corruption without hashing anything twice.
//!    Index files are merged in memory, one at a time, and staged.
//! 3. After any problem so far, staging is emptied and the mirror is unchanged.
//! 4. One [transaction](super::transaction): crates and components, index files, channels, the record in the ledger, the
//!    summary.

use std::collections::HashSet;
use std::io;

use super::bundle_stager::incoming_dist_files::IncomingDistFiles;
use super::bundle_stager::{ImportVisitor, LineInfo, dist_files};
use super::commit::{self, RecordState};
use super::disk;
use super::dist_files::DistFiles;
use super::existing_file::is_stored;
use super::guard::WriteGuard;
use super::index_link::{self, LinkState};
use super::ledger::{self, LostBundle, lost_records};
use super::line_conflict::ConflictJudge;
use super::lineages::LineageTip;
use super::pending_lines::PendingLines;
use super::stated_tips;
use super::summary::{Counts, LiveTotals, MirrorSummary, SummaryLoss};
use super::topo_sort::NameIds;
use super::transaction::{Transaction, failed};
use super::warnings::{ImportedFile, collect_warnings, lost_records_warning};
use crate::bundle::format::{CrateRecord, DistFileState, Manifest};
use crate::bundle::open::Bundle;
use crate::client_setup::BaseUrl;
use crate::crate_id::CrateId;
use crate::durable;
use crate::event::{self, Event, Phase, Sink};
use crate::index_line::RegistryConfig;
use crate::panics::set_current_object;
use crate::safe_path::SafePath;
use crate::units::pluralize;

mod conflict_sources;
mod dist_file_conflicts;
mod error;
mod line_info;
mod missing_base;
mod options;
mod reject;
mod report;

pub use conflict_sources::ConflictSources;
pub use error::{Error, Problems};
use line_info::{contradicted_crates, listed_crates, read_line_info, shipped_crates};
pub use missing_base::MissingBundles;
pub use options::ImportOptions;
use reject::{reject_damaged, reject_invalid};
pub use report::ImportReport;
pub(super) use report::restore_link;
use report::{begin_event, report_import, report_stored_files};

/// Maximum bytes that a file occupies in addition to its content, on common file systems.
const FILE_OVERHEAD: u64 = 4096;

impl WriteGuard {
    /// Imports a bundle whose manifest was read, all or nothing.
    ///
    /// # Errors
    /// Everything in [`Error`]; the mirror is then unchanged.
    pub fn import<R: io::Read>(
        &mut self,
        bundle: Bundle<R>,
        options: &ImportOptions,
        sink: &dyn Sink,
    ) -> Result<ImportReport, Error> {
        if let Some(loss) = SummaryLoss::find(&self.layout)? {
            return Err(loss.into());
        }
        // A repair always compares the files that it repairs, whatever the options trust.
        let verify_existing = options.verify_existing || bundle.manifest().repair;
        let mut tx = Transaction::begin(self, format!("the import of {}", options.file_name))?;
        // An unreadable record is rebuilt from the files that the bundle contains or relies on.
        let recorded = DistFiles::read(&self.layout)?.unwrap_or_default();
        let line_info = match self.check_manifest(bundle.manifest(), &recorded, verify_existing, options) {
            Ok(line_info) => line_info,
            Err(missing @ Error::MissingBase { .. }) => return Err(reject_damaged(bundle, missing, options, sink)?),
            Err(error) => return Err(error),
        };
        let pending_before = line_info.pending.clone();
        sink.event(begin_event(bundle.manifest()));
        let refreshed = bundle.manifest().refreshed_crates.iter().map(|one| one.name.as_str());
        let names =
            NameIds::from_names(bundle.manifest().crates.iter().map(|record| record.name.as_str()).chain(refreshed));
        let judge = ConflictJudge::of_bundle(&self.layout, &bundle.manifest().id, listed_crates(bundle.manifest()));
        let mut visitor = ImportVisitor::new(&self.layout, &mut tx, verify_existing, line_info, names, judge, sink);
        let streamed = bundle.stream(&mut visitor);
        sink.event(Event::End { phase: Phase::Importing });
        let mut received = visitor.finish();
        let streamed = match (streamed, received.failure.take()) {
            (_, Some(failure)) => return Err(Error::Store(failure)),
            (streamed, None) => streamed?,
        };
        reject_invalid(&self.layout, &streamed.manifest, &streamed.problems, &received, options)?;
        set_current_object("the rustup artifacts");
        let contents = std::mem::take(&mut received.dist_files);
        let dist_plan = dist_files::plan_dist_files(
            &self.layout,
            &mut tx.staging,
            IncomingDistFiles::of_bundle(&streamed.manifest),
            contents,
            &recorded,
            verify_existing,
            options.now,
        )?;
        received.unusable.extend(dist_plan.unusable.iter().cloned());
        received.warnings.extend(dist_plan.warnings.iter().cloned());
        reject_invalid(&self.layout, &streamed.manifest, &streamed.problems, &received, options)?;
        dist_file_conflicts::check(&self.layout, &streamed.manifest, &dist_plan.replaced, &options.file_name)?;
        let crates_staged = received.crates_new + received.crates_repaired;
        let repairs_anything = crates_staged > 0 || !received.index.is_empty() || !dist_plan.files.is_empty();
        if streamed.manifest.repair && !repairs_anything && !dist_plan.skipped.is_empty() {
            let (file, left) = (options.file_name.clone(), Problems::summarize(&dist_plan.skipped));
            return Err(Error::NothingRepaired { file, left });
        }
        let artifacts = streamed.manifest.dist_files_in(DistFileState::Shipped).count() as u64;
        let verified = event::format_contents(received.shipped, artifacts);
        sink.status("Verified", format!("{verified} of {}", options.file_name));
        set_current_object("the record of the import");

        let ledger_state = commit::LedgerState::read(&self.layout)?;
        if let Some(contradiction) = ledger_state.find_contradiction(&self.layout, &streamed.manifest)? {
            let file = options.file_name.clone();
            return Err(Error::FalseStatement { file, contradiction: Box::new(contradiction) });
        }
        let record_state = ledger_state.record_state(&self.layout, &streamed.manifest)?;
        let known = if tx.staging.counts_are_stale { None } else { MirrorSummary::read(&self.layout)? };
        // Without a summary, the records still show which warnings apply.
        let mut head = match &known {
            Some(head) => head.clone(),
            None => MirrorSummary {
                live: LiveTotals::read(&self.layout)?,
                ..ledger::derive_summary(&self.layout)?.unwrap_or_default()
            },
        };
        received.warnings.extend(stated_tips::correct_tips(&self.layout, &mut head, &streamed.manifest)?);
        let awaited = head.import_again.len();
        head.import_again.retain(|one| one.bundle != streamed.manifest.id);
        let is_awaited = head.import_again.len() < awaited;
        ledger_state.retract_statements(&self.layout, &mut head, &streamed.manifest, &record_state)?;
        let added = ledger_state.added_bundles(&self.layout, &head, &streamed.manifest, &record_state)?;
        let earlier = match &record_state {
            RecordState::Recorded(earlier) => Some(earlier),
            RecordState::Corrupt(_) | RecordState::Missing => None,
        };
        let imported_file =
            ImportedFile { head: &head, added: &added, earlier, file: &options.file_name, now: options.now };
        let warnings = collect_warnings(&self.layout, &streamed.manifest, &imported_file);
        received.warnings.extend(warnings.iter().cloned());
        let stated = MirrorSummary::read(&self.layout)?;
        let tip = LineageTip::from_manifest(&streamed.manifest, String::new());
        let returns = LostBundle::find(&self.layout, &head, &ledger_state.record_names, &tip)?.replaces_record();
        received.warnings.extend(lost_records_warning(
            stated.as_ref(),
            &ledger_state.record_names,
            &streamed.manifest.id,
            returns,
        ));
        let mut counts = match &known {
            Some(head) if !received.needs_recount() => head.counts,
            _ => {
                let shipped: HashSet<CrateId> = shipped_crates(&streamed.manifest).map(CrateRecord::id).collect();
                Counts::count_tree_with(&self.layout, &|id| shipped.contains(id))?
            }
        };
        (counts.dist_files, counts.dist_file_bytes) = dist_plan.after.count_and_bytes();
        let mut imported = ImportReport {
            id: streamed.manifest.id.clone(),
            crates: received.shipped,
            crates_new: received.crates_new,
            crates_repaired: received.crates_repaired,
            crates_replaced: received.crates_replaced,
            dist_files_new: dist_plan.added.0,
            bytes_new: received.bytes_new + dist_plan.added.1,
            index_changed: received.index.len() as u64,
            counts: counts.with_delta(&received.delta),
            already_imported: false,
            summary_rewritten: false,
            link: LinkState::Good,
            config: received.config,
            config_json: false,
        };
        received.index.put(&mut tx)?;
        dist_plan.stage(&self.layout, &mut tx, &recorded)?;
        if received.pending != pending_before {
            tx.put_bytes(&self.layout.pending_lines(), received.pending.render().as_bytes())?;
            sink.detail(
                "Deferred",
                format!("{} of crates that the mirror lacks", pluralize(received.pending.len(), "index line")),
            );
        }
        imported.config_json = self.stage_config(&mut tx, options.base_url.as_ref())?;
        head.toolchains = dist_plan.after.toolchain_names();
        let on_record =
            earlier.is_some() && ledger_state.new_histories(&self.layout, &head, &streamed.manifest).is_empty();
        imported.already_imported = on_record && tx.is_empty();
        imported.summary_rewritten = imported.already_imported && known.is_none();
        if !imported.already_imported || known.is_none() || is_awaited {
            if let RecordState::Corrupt(name) = &record_state {
                received.warnings.push(format!(
                    "the record `{name}` was damaged or altered: it was moved to .frostmirror/aside, and a new record of \
                     this bundle replaces it"
                ));
            }
            let (manifest, counts) = (streamed.manifest, imported.counts);
            let before = commit::Before { own: &record_state, known: &ledger_state, warnings };
            let commit =
                commit::prepare_commit(&self.layout, head, counts, manifest, before, options, &mut tx.staging)?;
            if let Some(what) = commit.summary.too_many_histories() {
                let (file, root) = (options.file_name.clone(), self.layout.root().to_owned());
                let snapshot = ledger::find_carrying_snapshot(&self.layout, &commit.summary)?;
                let has_doubtful = !commit.summary.contested.is_empty();
                return Err(Error::TooManyHistories { file, root, what, snapshot, has_doubtful });
            }
            for (name, staged) in commit.records {
                // The chain must show it if this record is lost too.
                if let Some(note) = lost_records::note_path(&self.layout, &name).filter(|note| note.exists()) {
                    tx.delete(&note)?;
                }
                tx.put(&self.layout.ledger().join(name), staged)?;
            }
            for (acceptance, tip) in &commit.acceptances {
                acceptance.stage_again(&self.layout, &mut tx, tip, options.now)?;
            }
            if let RecordState::Corrupt(name) = &record_state {
                tx.move_aside(&self.layout.ledger().join(name), name)?;
            }
            tx.put_bytes(&self.layout.summary(), &commit.summary.render())?;
            if index_link::link_state(&self.layout) == LinkState::Missing {
                tx.link_index()?;
            }
            tx.staging.counts_are_stale = false;
            let count = event::format_contents(crates_staged, imported.dist_files_new);
            tx.describe(format!("the import of {count} of {}", options.file_name));
            let stored = tx.added_files();
            tx.commit()?;
            report_stored_files(&stored, sink);
        }
        imported.link = restore_link(self, sink);
        report_import(&imported, &received.warnings, &options.file_name, &self.layout, sink);
        Ok(imported)
    }

    /// All checks before the payload is read. Returns what the manifest states about index lines.
    fn check_manifest(
        &self,
        manifest: &Manifest,
        recorded: &DistFiles,
        verify_existing: bool,
        options: &ImportOptions,
    ) -> Result<LineInfo, Error> {
        let file = || options.file_name.clone();
        let line_info = read_line_info(manifest, PendingLines::read(&self.layout)?, options)?;
        let mut missing: Vec<String> = Vec::new();
        for record in manifest.previously_sent_crates() {
            let id = record.id();
            let path = self.layout.crate_file(&id);
            let size = (record.size > 0).then_some(record.size);
            if !is_stored(&path, size, &record.sha256, verify_existing)? {
                missing.push(id.to_string());
            }
        }
        let artifacts = dist_files::missing_dist_files(
            &self.layout,
            IncomingDistFiles::of_bundle(manifest),
            recorded,
            verify_existing,
        )?;
        missing.extend(artifacts.iter().map(SafePath::to_string));
        if !missing.is_empty() {
            let bundles = Box::new(MissingBundles::find(&self.layout, manifest, &options.file_name, &missing)?);
            let first = missing.iter().take(5).map(String::as_str).collect::<Vec<_>>().join(", ");
            return Err(Error::MissingBase { file: file(), bundles, missing: missing.len(), first });
        }
        self.check_space(manifest, options)?;
        // Files whose size is trusted are compared all the same if no line confirms them.
        let contradicted = if verify_existing { HashSet::new() } else { contradicted_crates(&self.layout, manifest)? };
        Ok(LineInfo { contradicted, ..line_info })
    }

    fn check_space(&self, manifest: &Manifest, options: &ImportOptions) -> Result<(), Error> {
        let root = self.layout.root();
        // Sizes larger than their file are invalid, which the reader reports; they do not mean that the disk is full.
        let stored = manifest.blocks.iter().try_fold(0u64, |sum, block| sum.checked_add(block.stored_size()?));
        if options.bundle_length.is_some_and(|length| stored.is_none_or(|stored| stored > length)) {
            return Ok(());
        }
        let mut needed = 0u64;
        for entry in manifest.entries() {
            let is_stored = entry.path.below(root).metadata().is_ok_and(|there| there.len() == entry.size);
            if !is_stored {
                needed = needed.saturating_add(entry.size).saturating_add(FILE_OVERHEAD);
            }
        }
        let file = || options.file_name.clone();
        match durable::free_space(root).map_err(failed("ask for the free space of", root))? {
            Some(free) if free < needed => Err(Error::NoSpace { file: file(), root: root.to_owned(), needed, free }),
            _ => Ok(()),
        }
    }

    /// Stages `index/config.json` if its content changes. Returns whether it does.
    fn stage_config(&self, tx: &mut Transaction<'_>, base_url: Option<&BaseUrl>) -> Result<bool, Error> {
        let Some(base_url) = base_url else { return Ok(false) };
        let text = RegistryConfig::for_mirror(base_url.as_str()).render().into_bytes();
        let path = self.layout.index_config();
        let is_changed = disk::read_if_present(&path)?.is_none_or(|stored| stored != text);
        if is_changed {
            tx.put_bytes(&path, &text)?;
        }
        Ok(is_changed)
    }
}
