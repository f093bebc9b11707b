//! What upstream says now of crates that earlier bundles brought: the far side has them, and must hear of it, whether or
//! not anybody needs them today.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream::{self, StreamExt as _};

use super::{Error, Station};
use crate::crate_id::{CrateId, CrateName};
use crate::event;
use crate::gather::history::{Base, Memory, Sent};
use crate::gather::index;
use crate::gather::resolve::{self, Resolved};
use crate::index_line::IndexLine;

/// Index files that are requested at a time.
const FILES: usize = 128;

/// Index lines of crates that were sent before.
#[derive(Default)]
pub(super) struct Refreshed {
    /// Lines to send of crates that today's inputs do not need.
    pub(super) lines: BTreeMap<CrateId, IndexLine>,
    /// The crates whose lines are others than when they were last sent; those that today's inputs need too.
    pub(super) changed: Vec<Sent>,
}

impl Station<'_> {
    /// Reads upstream's index for every crate that the history has sent. The names that this run did not read are asked
    /// for conditionally; without network, what the cache has of them counts.
    pub(super) async fn refresh(
        &self,
        history: &Memory,
        base: Option<&Base>,
        resolved: &Resolved,
    ) -> Result<Refreshed, Error> {
        let (sent, known) = (history.sent(), history.lines()?);
        let owed = history.refreshed_since(base);
        let names: BTreeSet<&CrateName> =
            sent.keys().filter(|id| !resolved.crates.contains_key(*id)).map(|id| &id.name).collect();
        let index = &self.downloads.index;
        let asking = stream::iter(names).map(|name| async move { (name, index.file(name).await) });
        let mut asking = asking.buffer_unordered(FILES);
        let mut files = BTreeMap::new();
        while let Some((name, file)) = asking.next().await {
            match file {
                Ok(file) => drop(files.insert(name, file)),
                Err(error) if matches!(*error, index::Error::Uncached { .. }) => {}
                Err(error) => return Err(resolve::Error::Index(error).into()),
            }
        }
        let mut refreshed = Refreshed::default();
        for (id, sha256) in &sent {
            let line = match resolved.crates.get(id) {
                Some(line) => line.clone(),
                // A version that upstream deleted keeps the line that was sent.
                None => match files.get(&id.name).and_then(|file| file.as_ref()?.find(&id.name, &id.version)) {
                    Some(line) => line,
                    None => continue,
                },
            };
            let before = known.get(id);
            if line.cksum != *sha256 || before.is_some_and(|before| !before.agrees_with(&line)) {
                if !resolved.crates.contains_key(id) {
                    self.sink.warning(format!(
                        "upstream's index now gives {id} another checksum or other dependencies than when it was sent; \
                         published versions never change, so its new line is not sent"
                    ));
                }
                continue;
            }
            let changed = before.is_none_or(|before| before.raw != line.raw);
            if changed {
                refreshed.changed.push(Sent { name: id.name.clone(), version: id.version.clone(), sha256: *sha256 });
            }
            if (changed || owed.contains(id)) && !resolved.crates.contains_key(id) {
                refreshed.lines.insert(id.clone(), line);
            }
        }
        self.tell_refreshed(&refreshed, &known);
        Ok(refreshed)
    }

    /// Names the versions that upstream withdrew or brought back.
    fn tell_refreshed(&self, refreshed: &Refreshed, known: &BTreeMap<CrateId, IndexLine>) {
        let changed = refreshed.changed.iter().filter_map(|sent| {
            let id = CrateId { name: sent.name.clone(), version: sent.version.clone() };
            let line = refreshed.lines.get(&id)?;
            Some(match (known.get(&id).map(|before| before.yanked), line.yanked) {
                (Some(false), true) => format!("{id} (yanked)"),
                (Some(true), false) => format!("{id} (no longer yanked)"),
                _ => id.to_string(),
            })
        });
        let changed: Vec<String> = changed.collect();
        if !changed.is_empty() {
            let all = event::crates(changed.len() as u64);
            let names = changed.join(", ");
            self.sink.status("Refreshed", format!("index lines of {all} that was sent before: {names}"));
        }
    }
}
