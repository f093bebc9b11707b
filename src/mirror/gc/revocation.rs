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
//! the time `REVOKED`, whatever became of the false bundle's record. If no bundle on record states a line, the plan names its
//! crate, because only the sender can restore it. The plan also names the bundles of files that a collection removed because the false bundle did not name them:
//! the rejection makes them needed again.
//!
//! A record of a rebuild shows which files the mirror had then. So it counts as a statement about files that a rejected
//! bundle brought later, and not about lines. While bundles of lost records are missing, one of these may have brought the
//! content before. So only content gives way that another bundle on record, or live mode, has with another digest.
//!
//! The record of a false bundle may be lost. Then nothing shows its content. So the run that rejects it, and each run before
//! the next import, revokes every needed line whose time no record and not live mode states.
//!
//! A plan looks at all rejected records, not only at those of its own options. So the run after a kill completes the work.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use jiff::Timestamp;

use super::candidates::{Candidates, RejectedSnapshot, StoredLine};
use super::error::Error;
use super::needed_files::{KeepSet, Lineages};
use super::plan::Line;
use super::statements::{Restored, Statement, Statements, latest};
use crate::mirror::dist_files::MutableName;
use crate::mirror::item::ItemId;
use crate::mirror::layout::Layout;
use crate::mirror::live::LiveLineage;
use crate::mirror::pending_lines::PendingLines;
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
    /// The rejected snapshots on record that no longer explain anything, except files that are still stored.
    pub(super) snapshots: Vec<RejectedSnapshot>,
}

impl Revocation {
    /// Finds what gives way, and removes these files from `needed`.
    pub(super) fn find(
        layout: &Layout,
        lineages: &Lineages,
        live: &LiveLineage,
        needed: &mut KeepSet,
    ) -> Result<Revocation, Error> {
        let mut candidates = Candidates::find(layout, lineages, live, needed)?;
        // A lost record may need what the snapshot states, and a dropped line is only known from it.
        let is_settled = !candidates.has_unrestored && candidates.waiting.is_empty() && candidates.dropped.is_empty();
        let snapshots = if is_settled { std::mem::take(&mut candidates.snapshots) } else { Vec::new() };
        if candidates.is_empty() {
            return Ok(Revocation { snapshots, ..Revocation::default() });
        }
        let statements = Statements::collect(layout, lineages, live, &candidates)?;
        let mut found = Revocation { snapshots, ..Revocation::default() };
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
            if !needed.has_file(&item.key()) || !gives_way(candidates, &item, stated) {
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
            self.restore_line(&item, latest(lines), restored);
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
            // Nothing needs the line of a crate that no bundle has.
            if let Some(Statement { bundle: Some(bundle), .. }) = latest(lines) {
                restored.entry(*bundle).or_default().lines += 1;
            }
        }
        self.pending_lines = (pending.len() < before).then_some(pending);
        Ok(())
    }

    /// Adds the bundle whose import restores a needed line, or the crate if no bundle does. Live mode does so by itself.
    fn restore_line(&mut self, item: &ItemId, source: Option<&Statement>, restored: &mut BTreeMap<usize, Restored>) {
        match source {
            Some(Statement { bundle: Some(bundle), .. }) => restored.entry(*bundle).or_default().lines += 1,
            Some(_) => {}
            None => self.unavailable.push(item.to_string()),
        }
    }

    /// Adds the bundles that restore what earlier runs reset or removed.
    fn add_unrestored(
        &mut self,
        candidates: &Candidates,
        statements: &Statements,
        restored: &mut BTreeMap<usize, Restored>,
    ) {
        for (id, sha256) in &candidates.reset {
            let item = ItemId::Crate(id.clone());
            let lines = statements.about(&item).iter().filter(|one| one.has_line && one.sha256 == *sha256);
            self.restore_line(&item, latest(lines), restored);
        }
        for id in &candidates.dropped {
            let lines = statements.about(&ItemId::Crate(id.clone())).iter().filter(|one| one.is_refreshed);
            if let Some(Statement { bundle: Some(bundle), .. }) = latest(lines) {
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

/// The bundle whose import restores a file: it contains the file with the digest that was stated last. `None` if no bundle has
/// the file, `Some(None)` if only live mode does.
fn source_of_file(stated: &[Statement]) -> Option<Option<usize>> {
    let newest = latest(stated.iter())?;
    let with_file = || stated.iter().filter(|one| one.has_file);
    let source = latest(with_file().filter(|one| one.sha256 == newest.sha256)).or_else(|| latest(with_file()))?;
    Some(source.bundle)
}

/// Whether a file that no other bundle states like this gives way. `stated` has other digests.
fn gives_way(candidates: &Candidates, item: &ItemId, stated: &[Statement]) -> bool {
    let is_restored = || stated.iter().any(|one| one.has_file);
    if candidates.brought.contains_key(item) {
        return !candidates.has_unrestored || is_restored();
    }
    matches!(item, ItemId::DistFile(path) if MutableName::from_path(path).is_some()) && is_restored()
}
