//! Moves crates aside that the import records contradict, and those that no import brought. The index line, its record
//! and the file of such a crate may agree with each other, so only the import records show that they are wrong. Also moves
//! index lines aside that contradict the Cargo.toml in their crate.

use std::collections::HashSet;

use super::super::audit::{FileState, IndexState, LineState, Pass, RecordMatch, Repairs};
use super::super::disk;
use super::super::guard::WriteGuard;
use super::super::index_meta;
use super::super::item::ItemId;
use super::super::layout::Layout;
use super::super::transaction::{self, Transaction, has_unfinished_work};
use crate::crate_id::{CrateId, Version};
use crate::index_line::IndexLine;

/// The crates that were moved aside.
#[derive(Debug, Default)]
pub struct UntrustedCrates {
    /// An import record states another checksum of them, which is given here.
    pub contradicted: Repairs,
    /// No import brought them.
    pub unknown: Vec<CrateId>,
    /// Their files are intact, but their index lines were false. Each with the checksum of the file.
    pub false_lines: Repairs,
}

impl UntrustedCrates {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.contradicted.is_empty() && self.unknown.is_empty() && self.false_lines.is_empty()
    }
}

/// Removes the lines of untrusted crates, the records of these lines, and the crates' files. The lines and the files are
/// kept in `.frostmirror/aside/`. A file with the digest of the import record stays. `what` names the change in messages.
pub(super) fn move_aside(guard: &WriteGuard, pass: &Pass, what: &str) -> Result<UntrustedCrates, transaction::Error> {
    let layout = guard.layout();
    let is_complete = pass.metadata.is_complete() && !has_unfinished_work(layout);
    let is_unknown = |line: &LineState| is_complete && !pass.metadata.crates.contains_key(&line.id);
    let mut untrusted = UntrustedCrates::default();
    let mut tx = Transaction::begin(guard, what)?;
    for state in &pass.index_states {
        let mut versions = HashSet::new();
        for line in &state.lines {
            let is_contradicted = line.record_match == RecordMatch::Contradicted;
            let has_false_line = line.record_match == RecordMatch::ContradictsCrate;
            if !is_contradicted && !has_false_line && !is_unknown(line) {
                continue;
            }
            versions.insert(line.id.version.clone());
            if has_false_line && !is_unknown(line) {
                untrusted.false_lines.insert(ItemId::Crate(line.id.clone()), line.cksum);
                continue;
            }
            let file = state.crate_file(&line.id);
            // The expected digest of a contradicted crate is that of the import record.
            let is_right = is_contradicted && matches!(file, Some(FileState::Valid { .. }));
            if file.is_some() && !is_right {
                tx.move_aside(&layout.crate_file(&line.id), &line.id.file_name())?;
            }
            match is_contradicted {
                true => drop(untrusted.contradicted.insert(ItemId::Crate(line.id.clone()), line.cksum)),
                false => untrusted.unknown.push(line.id.clone()),
            }
        }
        if !versions.is_empty() {
            remove_lines(layout, state, &versions, &mut tx)?;
        }
    }
    tx.commit()?;
    Ok(untrusted)
}

fn remove_lines(
    layout: &Layout,
    state: &IndexState,
    versions: &HashSet<Version>,
    tx: &mut Transaction<'_>,
) -> Result<(), transaction::Error> {
    let text = disk::read_text(&layout.index().join(&state.path))?.unwrap_or_default();
    let stays = |raw: &&str| !IndexLine::parse(raw).is_ok_and(|line| versions.contains(&line.id.version));
    for raw in text.lines().filter(|raw| !stays(raw)) {
        if let Ok(line) = IndexLine::parse(raw) {
            tx.copy_aside(&format!("{}.line", line.id.file_name()), format!("{raw}\n").as_bytes())?;
        }
    }
    let kept: String = text.lines().filter(stays).map(|raw| format!("{raw}\n")).collect();
    let records: Vec<_> = state.records.iter().filter(|record| !versions.contains(&record.version)).cloned().collect();
    for (root, text) in [(layout.index(), kept), (layout.index_meta(), index_meta::render(&records))] {
        let path = root.join(&state.path);
        if text.is_empty() {
            tx.delete(&path)?;
            path.ancestors().skip(1).take_while(|folder| *folder != root).for_each(|folder| tx.remove_folder(folder));
        } else {
            tx.put_reduced(&path, text.as_bytes())?;
        }
    }
    Ok(())
}
