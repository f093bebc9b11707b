//! A history that one process changes.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::ops::Deref;
use std::path::Path;
use std::time::Instant;

use super::records::{BundleRecord, InputRef, InputSet, REPAIR_KIND};
use super::{BundlePlan, Error, FILE_NAME, History, HistoryFile, all_crates};
use crate::digest::Sha256;
use crate::durable;
use crate::event::Sink;
use crate::index_line::IndexLine;
use crate::inputs::input_id::{InputId, InputKind, Label};
use crate::process_lock::{LOCK_POLL_INTERVAL, ProcessLock, REPORT_WAIT_AFTER};

/// An open history. It is locked: no other process changes it while this value exists.
#[derive(Debug)]
pub struct LockedHistory {
    history: History,
    _lock: ProcessLock,
}

impl LockedHistory {
    /// Opens the history in `folder` for `verb`, or creates one. Waits for another process that has it open, and reports
    /// the wait.
    ///
    /// # Errors
    /// An error of the history; an I/O error of the kind `Interrupted` if the wait was cancelled.
    pub fn open(folder: &Path, verb: &str, sink: &dyn Sink) -> Result<LockedHistory, Error> {
        let path = folder.join(FILE_NAME);
        let failed = |source| Error::Io { path: path.clone(), source };
        durable::make_folder(folder).map_err(failed)?;
        let lock = wait_for_lock(folder, verb, sink).map_err(failed)?;
        remove_partial_files(folder);
        Ok(LockedHistory { history: History::read(folder)?, _lock: lock })
    }

    /// Records the bundle of `plan`, with the index lines in it. Call it after the bundle was written and verified.
    pub fn record<'l>(
        &mut self,
        plan: &BundlePlan,
        lines: impl IntoIterator<Item = &'l IndexLine>,
        bundle: BundleRecord,
    ) -> Result<(), Error> {
        let mut state = self.state.clone();
        // A repair bundle does not change the lineage.
        state.has_forgotten_input &= bundle.kind == REPAIR_KIND;
        state.inputs.clone_from(&plan.inputs);
        state.bundles.push(bundle);
        let needed: HashSet<Sha256> = all_crates(&state.inputs).map(|crate_ref| crate_ref.sha256).collect();
        state.crate_metadata = plan
            .crate_metadata
            .iter()
            .filter(|(of, _)| needed.contains(of))
            .map(|(of, message)| (*of, message.clone()))
            .collect();
        self.write(state)?;
        self.history.record_lines(lines)
    }

    /// Records the time and the paths of this run's inputs, if nothing else is new.
    ///
    /// # Errors
    /// A file system error.
    pub fn update_inputs_read(&mut self, today: &[InputSet]) -> Result<(), Error> {
        let mut state = self.state.clone();
        for old in &mut state.inputs {
            if let Some(new) = today.iter().find(|new| new.id == old.id) {
                old.fetched.clone_from(&new.fetched);
                old.path.clone_from(&new.path);
            }
        }
        if state.inputs == self.state.inputs { Ok(()) } else { self.write(state) }
    }

    /// Removes the input with the user's name `name`. The next bundle omits crates that only it needs.
    ///
    /// # Errors
    /// [`Error::UnknownInput`], [`Error::AmbiguousInput`], or a file system error.
    pub fn forget(&mut self, name: &InputRef) -> Result<InputId, Error> {
        let id = self.find_input(name)?.id.clone();
        let mut state = self.state.clone();
        state.inputs.retain(|input| input.id != id);
        state.has_forgotten_input = true;
        self.write(state)?;
        Ok(id)
    }

    /// Changes the label of the input with the user's name `name`. Returns both identities, the old one first.
    ///
    /// # Errors
    /// [`Error::UnknownInput`], [`Error::AmbiguousInput`], [`Error::LabelTaken`], or a file system error.
    pub fn relabel(&mut self, name: &InputRef, label: &Label) -> Result<(InputId, InputId), Error> {
        let old = self.find_input(name)?.id.clone();
        let kind = if old.kind == InputKind::Crate { InputKind::LabelledCrate } else { old.kind };
        let new = InputId { label: label.to_string(), kind };
        if self.state.inputs.iter().any(|input| input.id == new) && new != old {
            return Err(Error::LabelTaken { path: self.path.clone(), id: new });
        }
        let mut state = self.state.clone();
        state.inputs.iter_mut().filter(|input| input.id == old).for_each(|input| input.id = new.clone());
        state.inputs.sort_by(|a, b| a.id.cmp(&b.id));
        self.write(state)?;
        Ok((old, new))
    }

    fn write(&mut self, state: HistoryFile) -> Result<(), Error> {
        let failed = |source| Error::Io { path: self.path.clone(), source };
        let mut text = serde_json::to_vec_pretty(&state).map_err(|error| failed(error.into()))?;
        text.push(b'\n');
        durable::write(&self.path, &text).map_err(failed)?;
        self.history.state = state;
        Ok(())
    }
}

impl Deref for LockedHistory {
    type Target = History;

    fn deref(&self) -> &History {
        &self.history
    }
}

fn wait_for_lock(folder: &Path, verb: &str, sink: &dyn Sink) -> io::Result<ProcessLock> {
    let path = folder.join("lock");
    let (began, mut reported) = (Instant::now(), false);
    loop {
        let owner = match ProcessLock::try_lock(&path, verb)? {
            Ok(lock) => return Ok(lock),
            Err(owner) => owner,
        };
        // By then, the other process has written who it is.
        if !reported && began.elapsed() >= REPORT_WAIT_AFTER {
            reported = true;
            sink.status("Blocking", format!("waiting for {owner}, which uses the history `{}`", folder.display()));
        }
        if sink.is_cancelled() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        std::thread::sleep(LOCK_POLL_INTERVAL);
    }
}

/// Removes partial files of a killed process. The caller holds the lock.
fn remove_partial_files(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(".part-")) {
            let _stays = fs::remove_file(entry.path()).is_err();
        }
    }
}
