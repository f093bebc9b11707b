//! Gives renamed import records their names back. manifest.json and each record state the name and the digest of an earlier
//! record, so they show which name belongs to the content of a file.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::super::guard::WriteGuard;
use super::super::ledger::{self, ChainFaultKind, chain, lost_records, record_number};
use super::super::summary::MirrorSummary;
use super::super::transaction::{Error, Transaction};

/// Renames each file whose content belongs to a record that is missing or whose file is false. A false file of that name is
/// moved to `.frostmirror/aside/`. `what` names the change in messages. Returns the restored names.
pub(super) fn restore(guard: &WriteGuard, what: &str) -> Result<Vec<String>, Error> {
    let layout = guard.layout();
    let path = |name: &str| -> PathBuf { layout.ledger().join(name) };
    let stated = MirrorSummary::read(layout)?.and_then(|summary| summary.newest_record);
    let faults = chain::read_faults(layout, stated.as_ref())?;
    let is_false = |name: &str| faults.iter().any(|fault| fault.record == name);
    // The files with the contents of records, by the right names.
    let mut files: BTreeMap<&str, &str> = BTreeMap::new();
    for fault in &faults {
        let ChainFaultKind::Copied { of } = &fault.kind else { continue };
        // The name is the text of another file.
        let is_name = record_number(of).is_some() && !of.contains(['/', '\\']);
        let is_wanted = is_false(of) || path(of).symlink_metadata().is_err();
        if is_name && is_wanted && ledger::read_checked_header(layout, &fault.record)?.is_some() {
            files.entry(of).or_insert(&fault.record);
        }
    }
    let mut tx = Transaction::begin(guard, what)?;
    let mut staged = Vec::new();
    for (right, file) in &files {
        staged.push((path(right), tx.staging.hard_link(&path(file))?));
    }
    for (right, file) in &files {
        if !files.contains_key(file) {
            tx.delete(&path(file))?;
        }
        let has_own_name = !files.values().any(|other| other == right);
        if has_own_name && path(right).symlink_metadata().is_ok() {
            tx.move_aside(&path(right), right)?;
        }
        if let Some(note) = lost_records::note_path(layout, right).filter(|note| note.exists()) {
            tx.delete(&note)?;
        }
    }
    for (path, staged) in staged {
        tx.put(&path, staged)?;
    }
    tx.commit()?;
    Ok(files.into_keys().map(str::to_owned).collect())
}
