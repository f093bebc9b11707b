//! Decides which dist files of a bundle to commit, and in which order. Nothing moves back in time.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;

use jiff::Timestamp;

use super::incoming_dist_files::IncomingDistFiles;
use crate::bundle::format::{DistFileRecord, DistFileState};
use crate::digest::{HashingWriter, Sha256};
use crate::mirror::dist_files::{DistFile, DistFiles, MutableName, RUSTUP_RELEASE_PATH, parse_rustup_version};
use crate::mirror::existing_file::is_stored;
use crate::mirror::layout::Layout;
use crate::mirror::transaction::{Error, StagedFile, Staging, Transaction, failed};
use crate::safe_path::SafePath;
use crate::toolchain::{self, ChannelManifest, Date};

mod dropped_targets;

/// Where the bytes of a digest are that the bundle contained.
pub(in crate::mirror) enum DistFileSource {
    /// Staged, because the file at the entry's path did not have them.
    Staged(StagedFile),
    /// In this file of the mirror.
    Stored(PathBuf),
}

/// A stored file at an immutable path that the bundle has with another digest.
pub(in crate::mirror) struct ReplacedDistFile {
    pub(in crate::mirror) path: SafePath,
    /// The digest of the stored file and of its record.
    pub(in crate::mirror) stored: Sha256,
    /// The digest in the bundle.
    pub(in crate::mirror) stated: Sha256,
}

/// The dist files of a bundle to commit.
#[derive(Default)]
pub(in crate::mirror) struct DistPlan {
    /// Files to store, by path: a manifest precedes its digest, and all channels precede rustup's release.
    pub(in crate::mirror) files: BTreeMap<SafePath, StagedFile>,
    /// Signatures of the previous channel manifests.
    pub(in crate::mirror) removals: Vec<SafePath>,
    /// The record after the import.
    pub(in crate::mirror) after: DistFiles,
    /// Number and bytes of files that were not stored before.
    pub(in crate::mirror) added: (u64, u64),
    /// Files of the bundle that are skipped, because the mirror must have other content there.
    pub(in crate::mirror) skipped: Vec<SafePath>,
    /// Intact files at immutable paths that the plan replaces. The caller refuses this, unless nothing supports them.
    pub(in crate::mirror) replaced: Vec<ReplacedDistFile>,
    /// Unusable files.
    pub(in crate::mirror) unusable: Vec<String>,
    /// Warnings for the user.
    pub(in crate::mirror) warnings: Vec<String>,
}

impl DistPlan {
    /// Adds the planned changes to a transaction. `before` is the record before them.
    pub(in crate::mirror) fn stage(
        &self,
        layout: &Layout,
        tx: &mut Transaction<'_>,
        before: &DistFiles,
    ) -> Result<(), Error> {
        self.files.iter().try_for_each(|(path, staged)| tx.put(&path.below(layout.root()), *staged))?;
        self.removals.iter().try_for_each(|path| tx.delete(&path.below(layout.root())))?;
        match self.after == *before {
            true => Ok(()),
            false => tx.put_bytes(&layout.dist_files(), &self.after.render()),
        }
    }
}

/// The dist files that the bundle relies on and that are not stored.
pub(in crate::mirror) fn missing_dist_files(
    layout: &Layout,
    incoming: IncomingDistFiles,
    recorded: &DistFiles,
    verify_existing: bool,
) -> Result<Vec<SafePath>, Error> {
    let mut missing = Vec::new();
    let tree = StoredDistFiles { layout, recorded, verify_existing, duplicate_copies: RefCell::default() };
    for record in incoming.records.iter().filter(|record| record.state == DistFileState::Sent) {
        if !tree.contains(record)?
            && tree.duplicate_copy(record, incoming)?.is_none()
            && !tree.is_superseded(record, incoming)
        {
            missing.push(record.path.clone());
        }
    }
    Ok(missing)
}

/// Decides which of the dist files with staged `contents` to commit.
pub(in crate::mirror) fn plan_dist_files(
    layout: &Layout,
    staging: &mut Staging,
    incoming: IncomingDistFiles,
    contents: HashMap<Sha256, DistFileSource>,
    recorded: &DistFiles,
    verify_existing: bool,
    now: Timestamp,
) -> Result<DistPlan, Error> {
    let mut plan = DistPlan { after: recorded.clone(), ..DistPlan::default() };
    let tree = StoredDistFiles { layout, recorded, verify_existing, duplicate_copies: RefCell::default() };
    // A bundle may state an earlier time than its real one, and the local clock may be slow. A date counts as future
    // only if it is later than both.
    let now = now.max(incoming.created);
    let mut planner = Planner { stored: tree, staging, incoming, contents, used: BTreeSet::new(), now };
    let decisions = planner.decide_all(&mut plan)?;
    for record in incoming.records.iter().filter(|record| record.state != DistFileState::Kept) {
        let mutable_name = MutableName::from_path(&record.path);
        let stays_out = match mutable_name.as_ref().and_then(|moving| decisions.get(moving)) {
            Some(Decision::Discard) => true,
            // The file already has the recorded content, whatever the bundle contains beside it.
            Some(Decision::KeepStored)
                if record.state == DistFileState::Shipped && planner.stored.is_recorded(record) =>
            {
                false
            }
            // Files beside one channel manifest do not match another.
            Some(Decision::KeepStored) if matches!(&mutable_name, Some(MutableName::Channel(path)) if planner.find_record(path).is_some()) => {
                true
            }
            Some(Decision::KeepStored) => planner.stored.is_file(&record.path),
            _ => false,
        };
        if stays_out {
            if record.state == DistFileState::Shipped && !planner.stored.contains(record)? {
                plan.skipped.push(record.path.clone());
            }
            continue;
        }
        let read = incoming.read_time(record);
        if !planner.stored.contains(record)? {
            if mutable_name.is_none()
                && let Some(stored) = planner.stored.intact_digest(&record.path)?
            {
                plan.replaced.push(ReplacedDistFile { path: record.path.clone(), stored, stated: record.sha256 });
            }
            let staged = planner.stage_bytes(record)?;
            plan.files.insert(record.path.clone(), staged);
            plan.added = (plan.added.0 + 1, plan.added.1.saturating_add(record.size));
        }
        let before = recorded.0.get(&record.path).filter(|before| before.sha256 == record.sha256);
        let read = before.map_or(read, |before| before.read_at.max(read));
        plan.after.0.insert(record.path.clone(), DistFile { sha256: record.sha256, size: record.size, read_at: read });
    }
    for signature in planner.stale_signatures(&decisions) {
        plan.after.0.remove(&signature);
        if planner.stored.is_file(&signature) {
            plan.removals.push(signature);
        }
    }
    plan.warnings.extend(planner.dropped_targets(&decisions, &plan.after)?);
    if incoming.is_legacy {
        plan.warnings.extend(planner.legacy_warnings());
    }
    Ok(plan)
}

/// The decision about files that move together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    /// They are newer than the stored ones, or equal.
    Accept,
    /// The stored ones are newer.
    KeepStored,
    /// They are unusable and never stored.
    Discard,
}

/// The stored files.
struct StoredDistFiles<'a> {
    layout: &'a Layout,
    recorded: &'a DistFiles,
    verify_existing: bool,
    /// Cached results of searches for a digest, because a bundle may name one digest at very many paths.
    duplicate_copies: RefCell<HashMap<Sha256, Option<PathBuf>>>,
}

impl StoredDistFiles<'_> {
    fn absolute_path(&self, path: &SafePath) -> PathBuf {
        path.below(self.layout.root())
    }

    fn is_file(&self, path: &SafePath) -> bool {
        self.absolute_path(path).symlink_metadata().is_ok_and(|there| there.is_file())
    }

    /// Whether the mirror's record has the same digest at this path.
    fn is_recorded(&self, record: &DistFileRecord) -> bool {
        self.recorded.0.get(&record.path).is_some_and(|existing| existing.sha256 == record.sha256)
    }

    /// Whether the file at the path has the record's bytes. Unrecorded files are always hashed.
    fn contains(&self, record: &DistFileRecord) -> Result<bool, Error> {
        let path = self.absolute_path(&record.path);
        is_stored(&path, Some(record.size), &record.sha256, self.verify_existing || !self.is_recorded(record))
    }

    /// The recorded digest of the file at a path, if the file has it.
    fn intact_digest(&self, path: &SafePath) -> Result<Option<Sha256>, Error> {
        let Some(recorded) = self.recorded.0.get(path) else { return Ok(None) };
        let is_intact = is_stored(&self.absolute_path(path), Some(recorded.size), &recorded.sha256, true)?;
        Ok(is_intact.then_some(recorded.sha256))
    }

    /// Whether upstream has replaced the file since the bundle was made. Its bytes then no longer exist, and no later
    /// bundle needs them.
    fn is_superseded(&self, record: &DistFileRecord, incoming: IncomingDistFiles) -> bool {
        let leading: SafePath = match MutableName::from_path(&record.path) {
            Some(MutableName::Channel(path)) => path.parse().expect("it is a file's own path, or the beginning of one"),
            // A missing file is not newer.
            Some(MutableName::RustupRelease) if self.is_file(&record.path) => {
                RUSTUP_RELEASE_PATH.parse().expect("a plain path")
            }
            Some(MutableName::RustupRelease) | None => return false,
        };
        let Ok(at) = incoming.records.binary_search_by(|other| other.path.cmp(&leading)) else { return false };
        let (ours, existing) = (&incoming.records[at], self.recorded.0.get(&leading));
        existing.is_some_and(|existing| existing.sha256 != ours.sha256 && existing.read_at > incoming.read_time(ours))
            && self.is_file(&leading)
    }

    /// Another file with the record's bytes, if its own path does not have them: rustup itself exists at two paths.
    fn duplicate_copy(&self, record: &DistFileRecord, incoming: IncomingDistFiles) -> Result<Option<PathBuf>, Error> {
        if MutableName::from_path(&record.path).is_none() {
            return Ok(None);
        }
        if let Some(found) = self.duplicate_copies.borrow().get(&record.sha256) {
            return Ok(found.clone());
        }
        let mut found = None;
        for other in incoming.records.iter().filter(|other| other.sha256 == record.sha256) {
            if self.contains(other)? {
                found = Some(self.absolute_path(&other.path));
                break;
            }
        }
        self.duplicate_copies.borrow_mut().insert(record.sha256, found.clone());
        Ok(found)
    }
}

struct Planner<'a> {
    stored: StoredDistFiles<'a>,
    staging: &'a mut Staging,
    incoming: IncomingDistFiles<'a>,
    contents: HashMap<Sha256, DistFileSource>,
    /// Staged files that already have a path.
    used: BTreeSet<Sha256>,
    /// The latest acceptable time.
    now: Timestamp,
}

impl Planner<'_> {
    /// A staged file with the record's bytes, for this record alone.
    fn stage_bytes(&mut self, record: &DistFileRecord) -> Result<StagedFile, Error> {
        let from = match self.contents.get(&record.sha256) {
            Some(DistFileSource::Staged(staged)) if self.used.insert(record.sha256) => return Ok(*staged),
            // Its rename is only planned, so the staged file still exists.
            Some(DistFileSource::Staged(staged)) => self.staging.path(*staged),
            Some(DistFileSource::Stored(path)) => path.clone(),
            None => {
                let gone = || failed("read", &self.stored.absolute_path(&record.path))(io::ErrorKind::NotFound.into());
                self.stored.duplicate_copy(record, self.incoming)?.ok_or_else(gone)?
            }
        };
        let (staged, file) = self.staging.create()?;
        let mut out = HashingWriter::new(&file);
        let copied = File::open(&from).and_then(|mut file| io::copy(&mut file, &mut out)).and_then(|_| out.flush());
        copied.map_err(failed("copy", &from))?;
        if out.finish().0 != record.sha256 {
            return Err(failed("copy", &from)(io::Error::other("its bytes changed while they were copied")));
        }
        Ok(staged)
    }

    /// The bytes of a small file of the bundle. `None` if neither the bundle nor the mirror has them, or they exceed
    /// the size limit.
    fn read_small(&self, record: &DistFileRecord) -> Result<Option<Vec<u8>>, Error> {
        if record.size > toolchain::MAX_MANIFEST_SIZE as u64 {
            return Ok(None);
        }
        let path = match self.contents.get(&record.sha256) {
            Some(DistFileSource::Staged(staged)) => self.staging.path(*staged),
            Some(DistFileSource::Stored(path)) => path.clone(),
            None if self.stored.contains(record)? => self.stored.absolute_path(&record.path),
            // Another history's bundle has replaced a file that this one relies on; an immutable path may still have
            // the bytes.
            None => match self.stored.duplicate_copy(record, self.incoming)? {
                Some(memfd) => memfd,
                None => return Ok(None),
            },
        };
        fs::read(&path).map(Some).map_err(failed("read", &path))
    }

    fn find_record(&self, path: &str) -> Option<&DistFileRecord> {
        let records = self.incoming.records;
        let found = records.binary_search_by(|record| record.path.as_str().cmp(path)).ok().map(|at| &records[at]);
        found.filter(|record| record.state != DistFileState::Kept)
    }

    /// General warnings about rustup files in a bundle of frostmirror 1.x, in addition to those about single files.
    fn legacy_warnings(&self) -> Vec<String> {
        let has = |is: &dyn Fn(&str) -> bool| self.incoming.records.iter().any(|record| is(record.path.as_str()));
        let mut lacking = Vec::new();
        let programs = has(&|path| path.starts_with("rustup/dist/"));
        if programs && !has(&|path| path.starts_with("rustup/archive/")) {
            let what =
                "the bundle has rustup but no copy of it below `rustup/archive/`, from which rustup updates itself";
            lacking.push(what.to_owned());
        }
        let digests = |path: &str| path.starts_with("rustup/dist/") && path.ends_with(".sha256");
        if programs && !has(&digests) {
            let what = "the bundle has rustup without its `.sha256`, which installers need to verify it";
            lacking.push(what.to_owned());
        }
        let manifests = |path: &str| path.starts_with("dist/channel-rust-") && path.ends_with(".toml");
        if has(&|path| path.starts_with("dist/")) && !has(&manifests) {
            let what = "the bundle has toolchain components but no channel manifest, so rustup cannot find them";
            lacking.push(what.to_owned());
        }
        lacking
    }

    /// For each group of files that moves together, whether to take the bundle's files.
    fn decide_all(&self, plan: &mut DistPlan) -> Result<BTreeMap<MutableName, Decision>, Error> {
        let mut verdicts = BTreeMap::new();
        let mut dates: HashMap<Sha256, Option<Date>> = HashMap::new();
        for record in self.incoming.records.iter().filter(|record| record.state != DistFileState::Kept) {
            let Some(moving) = MutableName::from_path(&record.path).filter(|moving| !verdicts.contains_key(moving))
            else {
                continue;
            };
            let verdict = match &moving {
                MutableName::Channel(path) => self.decide_channel(path, &mut dates, plan)?,
                MutableName::RustupRelease => self.decide_release(record, plan)?,
            };
            verdicts.insert(moving, verdict);
        }
        plan.warnings.extend(self.future_date_warnings(&verdicts, &dates));
        Ok(verdicts)
    }

    /// Warnings about accepted files with a future date. The bundle is not rejected, because a clock may be wrong.
    fn future_date_warnings(
        &self,
        verdicts: &BTreeMap<MutableName, Decision>,
        dates: &HashMap<Sha256, Option<Date>>,
    ) -> Vec<String> {
        let mut ahead: BTreeMap<Date, Vec<String>> = BTreeMap::new();
        for (moving, verdict) in verdicts {
            let MutableName::Channel(path) = moving else { continue };
            let date = self.find_record(path).and_then(|record| *dates.get(&record.sha256)?);
            if let Some(date) = date.filter(|date| *verdict == Decision::Accept && date.is_in_the_future_of(self.now)) {
                ahead.entry(date).or_default().push(format!("`{path}`"));
            }
        }
        let message = |(date, paths): (Date, Vec<String>)| {
            let (paths, are) = (paths.join(", "), if paths.len() == 1 { "is" } else { "are" });
            format!(
                "{paths} {are} dated {date}, but the current date is {}: one of the two is wrong. An earlier date does not \
                 replace a later one. If the date is wrong, remove the file from the mirror, and import a bundle with the \
                 correct one",
                self.now.strftime("%Y-%m-%d")
            )
        };
        ahead.into_iter().map(message).collect()
    }

    fn decide_channel(
        &self,
        path: &str,
        dates: &mut HashMap<Sha256, Option<Date>>,
        plan: &mut DistPlan,
    ) -> Result<Decision, Error> {
        let Some(record) = self.find_record(path) else {
            let beside = ["sha256", "asc"].map(|end| self.find_record(&format!("{path}.{end}")));
            // A repair bundle contains only lost files.
            if !beside.into_iter().flatten().all(|record| self.stored.is_recorded(record)) {
                plan.warnings.push(format!("the bundle has a digest or a signature of `{path}` but not the file"));
            }
            return Ok(Decision::KeepStored);
        };
        let text = self.read_small(record)?;
        if text.is_none() && self.stored.is_superseded(record, self.incoming) {
            return Ok(Decision::KeepStored);
        }
        let date = dates.entry(record.sha256).or_insert_with(|| manifest_date(text.as_deref()));
        let Some(date) = *date else {
            return Ok(self.reject_unusable(format!("`{path}` is not a valid channel manifest"), plan));
        };
        let beside = self.find_record(&format!("{path}.sha256"));
        match beside {
            // The mirror must have both, and the bundle restores the lost one.
            None if self.stored.is_recorded(record)
                && self.stored.recorded.0.contains_key(&toolchain::digest_path(&record.path)) => {}
            None => {
                plan.warnings.push(format!("the bundle has `{path}` without its `.sha256`, so rustup does not use it"))
            }
            Some(digest) => {
                let says = match self.read_small(digest)? {
                    None if self.stored.is_superseded(digest, self.incoming) => return Ok(Decision::KeepStored),
                    says => says.unwrap_or_default(),
                };
                if says.get(..64) != Some(record.sha256.to_string().as_bytes()) {
                    let verdict = self.reject_unusable(format!("`{path}.sha256` does not match `{path}`"), plan);
                    if verdict == Decision::Discard {
                        return Ok(verdict);
                    }
                }
            }
        }
        if self.stored.contains(record)? {
            return Ok(Decision::Accept);
        }
        let Some((there, existing)) = self.read_stored(&record.path)? else {
            return Ok(Decision::Accept);
        };
        let held_date = if there.len() > toolchain::MAX_MANIFEST_SIZE { None } else { manifest_date(Some(&there)) };
        let actual = Sha256::of(&there);
        if record.sha256 == existing.sha256 && actual != existing.sha256 {
            // The file is corrupt, even if it may still parse.
            return Ok(Decision::Accept);
        }
        // A file that rustup does not use never replaces one that it uses. The record decides, because a corrupt digest
        // is no reason to move back.
        let digest = toolchain::digest_path(&record.path);
        let usable = self.stored.recorded.0.contains_key(&digest);
        let ours = (beside.is_some(), Some(date), self.incoming.read_time(record), record.sha256);
        let newer = ours > (usable, held_date, existing.read_at, existing.sha256);
        if let Some(held_date) =
            held_date.filter(|existing| !newer && date < *existing && existing.is_in_the_future_of(self.now))
        {
            plan.warnings.push(format!(
                "`{path}` of the mirror is dated {held_date} and stays, because the bundle's is dated {date}: if \
                 {held_date} is wrong, remove the file from the mirror and import the bundle again"
            ));
        }
        Ok(if newer { Decision::Accept } else { Decision::KeepStored })
    }

    fn decide_release(&self, record: &DistFileRecord, plan: &mut DistPlan) -> Result<Decision, Error> {
        let release: SafePath = RUSTUP_RELEASE_PATH.parse().expect("a plain path");
        let Some(stated) = self.find_record(RUSTUP_RELEASE_PATH) else {
            let records = self.incoming.records.iter().filter(|record| record.state != DistFileState::Kept);
            let mut rustup =
                records.filter(|record| MutableName::from_path(&record.path) == Some(MutableName::RustupRelease));
            if !rustup.all(|record| self.stored.is_recorded(record)) {
                let what = format!("the bundle has rustup but no `{RUSTUP_RELEASE_PATH}`, so rustup's updates fail");
                plan.warnings.push(what);
            }
            let existing = self.stored.recorded.0.get(&record.path);
            let newer = existing.is_none_or(|existing| existing.read_at < self.incoming.read_time(record));
            return Ok(if newer && !self.stored.is_file(&release) { Decision::Accept } else { Decision::KeepStored });
        };
        let text = self.read_small(stated)?;
        if text.is_none() && self.stored.is_superseded(stated, self.incoming) {
            return Ok(Decision::KeepStored);
        }
        let Some(version) = text.and_then(|text| parse_rustup_version(&text)) else {
            return Ok(
                self.reject_unusable(format!("`{RUSTUP_RELEASE_PATH}` does not state a version of rustup"), plan)
            );
        };
        let Some((there, existing)) = self.read_stored(&release)? else {
            return Ok(Decision::Accept);
        };
        let newer =
            (Some(version), self.incoming.read_time(stated)) >= (parse_rustup_version(&there), existing.read_at);
        Ok(if newer { Decision::Accept } else { Decision::KeepStored })
    }

    /// The decision for files that rustup cannot use. The bundle is rejected, except one of frostmirror 1.x, whose
    /// other files are stored.
    fn reject_unusable(&self, what: String, plan: &mut DistPlan) -> Decision {
        if !self.incoming.is_legacy {
            plan.unusable.push(what);
            return Decision::KeepStored;
        }
        plan.warnings.push(format!("{what}; it is skipped"));
        Decision::Discard
    }

    /// The bytes of a small file of the mirror, with its record.
    fn read_stored(&self, path: &SafePath) -> Result<Option<(Vec<u8>, DistFile)>, Error> {
        if !self.stored.is_file(path) {
            return Ok(None);
        }
        let path_on_disk = self.stored.absolute_path(path);
        let mut text = Vec::new();
        let file = File::open(&path_on_disk).map(|file| file.take(toolchain::MAX_MANIFEST_SIZE as u64 + 1));
        file.and_then(|mut file| file.read_to_end(&mut text)).map_err(failed("read", &path_on_disk))?;
        let unknown = || DistFile { sha256: Sha256::of(&text), size: text.len() as u64, read_at: Timestamp::MIN };
        let existing = self.stored.recorded.0.get(path).copied().unwrap_or_else(unknown);
        Ok(Some((text, existing)))
    }
}

fn manifest_date(text: Option<&[u8]>) -> Option<Date> {
    ChannelManifest::parse(text?).ok().map(|manifest| manifest.date())
}
