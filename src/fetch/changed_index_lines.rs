//! Updates the index lines of crates that earlier bundles brought. The mirror has these crates and needs the changes,
//! even if no current input needs them.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream::{self, StreamExt as _};

use crate::crate_id::{CrateId, CrateName};
use crate::digest::Sha256;
use crate::event;
use crate::fetch::error::Error;
use crate::fetch::history::{CrateRef, DeltaBase, History};
use crate::fetch::index_snapshot;
use crate::fetch::resolve::{self, Resolution};
use crate::fetch::session::Session;
use crate::index_line::IndexLine;

/// Maximum number of concurrent requests for index files.
const MAX_CONCURRENT_INDEX_FILES: usize = 128;

/// Index lines of crates that were sent before.
#[derive(Default)]
pub(super) struct RefreshedLines {
    /// Lines to send for crates that the inputs of this run do not need.
    pub(super) lines: BTreeMap<CrateId, IndexLine>,
    /// The crates whose lines changed since they were sent, including crates that the inputs of this run need.
    pub(super) changed: Vec<CrateRef>,
}

/// Compares the current lines of upstream with the lines that were sent.
struct Comparison<'k> {
    known: &'k BTreeMap<CrateId, IndexLine>,
    refreshed: RefreshedLines,
    /// Crates whose line now contradicts the line that was sent.
    contradictions: BTreeSet<CrateId>,
}

impl Comparison<'_> {
    /// Returns whether `line` differs from the line that was sent, and records the change. `None` if the two contradict
    /// each other.
    fn changes(&mut self, id: &CrateId, sha256: Sha256, line: &IndexLine) -> Option<bool> {
        let before = self.known.get(id);
        if line.cksum != sha256 || before.is_some_and(|before| !before.is_consistent_with(line)) {
            return None;
        }
        let changed = before.is_none_or(|before| before.raw != line.raw);
        if changed {
            self.refreshed.changed.push(CrateRef::from(line));
        }
        Some(changed)
    }
}

impl Session<'_> {
    /// Reads upstream's index for every crate that the history sent. Names that this run did not read are requested
    /// conditionally; without network, their cached files are used. Each index file is dropped after its lines were
    /// compared, because the files of a long history are large.
    pub(super) async fn refresh_lines(
        &self,
        history: &History,
        base: Option<&DeltaBase>,
        resolved: &Resolution,
    ) -> Result<RefreshedLines, Error> {
        let (sent, sent_lines) = (history.sent_crates(), history.sent_lines()?);
        let refreshed_since_base = history.refreshed_since(base);
        let mut comparison =
            Comparison { known: &sent_lines, refreshed: RefreshedLines::default(), contradictions: BTreeSet::new() };
        let mut others: BTreeMap<&CrateName, Vec<(&CrateId, Sha256)>> = BTreeMap::new();
        for (id, sha256) in &sent {
            match resolved.crates.get(id) {
                // The bundle has its line already.
                Some(planned) => {
                    let _changed = comparison.changes(id, *sha256, &planned.line);
                }
                None => others.entry(&id.name).or_default().push((id, *sha256)),
            }
        }
        let index = &self.downloads.index;
        let asking = stream::iter(others).map(|(name, ids)| async move { (ids, index.file(name).await) });
        let mut asking = asking.buffer_unordered(MAX_CONCURRENT_INDEX_FILES);
        while let Some((ids, file)) = asking.next().await {
            let file = match file {
                Ok(Some(file)) => file,
                Ok(None) => continue,
                Err(error) if matches!(*error, index_snapshot::Error::NotCached { .. }) => continue,
                Err(error) => return Err(resolve::Error::Index(error).into()),
            };
            for (id, sha256) in ids {
                // A version that upstream deleted keeps the line that was sent.
                let Some(line) = file.find_line(&id.name, &id.version) else { continue };
                match comparison.changes(id, sha256, &line) {
                    Some(changed) if changed || refreshed_since_base.contains(id) => {
                        comparison.refreshed.lines.insert(id.clone(), line);
                    }
                    Some(_) => {}
                    None => {
                        comparison.contradictions.insert(id.clone());
                    }
                }
            }
        }
        for id in &comparison.contradictions {
            self.sink.warning(format!(
                "upstream's index now gives {id} another checksum or other dependencies than when it was sent; published \
                 versions never change, so its new line is not sent"
            ));
        }
        let mut refreshed = comparison.refreshed;
        refreshed.changed.sort_by(|a, b| a.id.cmp(&b.id));
        self.report_refreshed(&refreshed, &sent_lines);
        Ok(refreshed)
    }

    /// Reports the versions that upstream yanked or restored.
    fn report_refreshed(&self, refreshed: &RefreshedLines, sent_lines: &BTreeMap<CrateId, IndexLine>) {
        let changed = refreshed.changed.iter().filter_map(|sent| {
            let id = &sent.id;
            let line = refreshed.lines.get(id)?;
            Some(match (sent_lines.get(id).map(|before| before.yanked), line.yanked) {
                (Some(false), true) => format!("{id} (yanked)"),
                (Some(true), false) => format!("{id} (no longer yanked)"),
                _ => id.to_string(),
            })
        });
        let changed: Vec<String> = changed.collect();
        if !changed.is_empty() {
            let all = event::format_crates(changed.len() as u64);
            let names = changed.join(", ");
            self.sink.status("Refreshed", format!("index lines of {all} sent before: {names}"));
        }
    }
}
