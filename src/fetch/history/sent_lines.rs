//! The index lines of every crate that was sent, as the mirror has them: one text file `lines`, sorted by name and
//! version. An unreadable line counts as never sent, and is sent again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use super::{BundlePlan, DeltaBase, Error, History, all_crates};
use crate::crate_id::CrateId;
use crate::digest::Sha256;
use crate::durable;
use crate::index_line::IndexLine;

impl History {
    /// Every crate that a bundle of the history introduced, even if no input needs it now.
    pub fn sent_crates(&self) -> BTreeMap<CrateId, Sha256> {
        let introduced = self.state.bundles.iter().flat_map(|bundle| &bundle.introduced);
        introduced.chain(all_crates(&self.state.inputs)).map(|one| (one.id.clone(), one.sha256)).collect()
    }

    /// The crates whose index lines changed after they were sent, and were updated by bundles after `base`; without a
    /// base, by any bundle.
    pub fn refreshed_since(&self, base: Option<&DeltaBase>) -> BTreeSet<CrateId> {
        let since = base.and_then(|base| base.bundle.as_ref()).map_or(0, |bundle| bundle.sequence);
        let after = self.state.bundles.iter().filter(|bundle| bundle.sequence > since);
        after.flat_map(|bundle| &bundle.refreshed).map(|sent| sent.id.clone()).collect()
    }

    /// The index lines as they were last sent.
    ///
    /// # Errors
    /// [`Error::Io`], except for a missing file.
    pub fn sent_lines(&self) -> Result<BTreeMap<CrateId, IndexLine>, Error> {
        let path = self.sent_lines_path();
        let bytes = durable::if_exists(fs::read(&path)).map_err(|source| Error::Io { path, source })?;
        Ok(IndexLine::parse_file(&String::from_utf8_lossy(&bytes.unwrap_or_default()))
            .map(|line| (line.id.clone(), line))
            .collect())
    }

    /// Adds the lines of a bundle.
    pub(super) fn record_lines<'l>(&self, new_lines: impl IntoIterator<Item = &'l IndexLine>) -> Result<(), Error> {
        let mut lines = self.sent_lines()?;
        let mut changed = false;
        for line in new_lines {
            if lines.get(&line.id).is_none_or(|known| known.raw != line.raw) {
                lines.insert(line.id.clone(), line.clone());
                changed = true;
            }
        }
        if !changed {
            return Ok(());
        }
        let text: String = lines.values().flat_map(|line| [line.raw.as_str(), "\n"]).collect();
        let path = self.sent_lines_path();
        durable::write(&path, text.as_bytes()).map_err(|source| Error::Io { path, source })
    }

    fn sent_lines_path(&self) -> PathBuf {
        self.path.with_file_name("lines")
    }
}

impl BundlePlan {
    /// Adds upstream's current lines for crates that the inputs of this run do not need and others do.
    pub fn update_yanked(&mut self, lines: &BTreeMap<CrateId, IndexLine>) {
        let stored = self.crates.values_mut().chain(self.inputs.iter_mut().flat_map(|input| &mut input.crates));
        for stored in stored {
            if let Some(line) = lines.get(&stored.id) {
                stored.yanked = line.yanked;
            }
        }
    }
}
