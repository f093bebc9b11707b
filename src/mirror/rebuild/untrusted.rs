//! Moves crates aside that the import records contradict, and those that no import brought. The index line, its record
//! and the file of such a crate may agree with each other, so only the import records show that they are wrong.

use std::collections::HashSet;

use super::super::audit::{CrateFileState, IndexState, LineState, Pass, RecordMatch};
use super::super::import::{self, Step, apply_steps};
use super::super::index_meta;
use super::super::layout::Layout;
use super::super::stager::read_text;
use super::super::transaction::{self, Removal, Rename, Staging, has_unfinished_work};
use crate::crate_id::{CrateId, Version};
use crate::index_line::IndexLine;

/// The crates that were moved aside.
#[derive(Debug, Default)]
pub struct UntrustedCrates {
    /// An import record states another checksum of them.
    pub contradicted: Vec<CrateId>,
    /// No import brought them.
    pub unknown: Vec<CrateId>,
}

impl UntrustedCrates {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.contradicted.is_empty() && self.unknown.is_empty()
    }
}

/// Removes the lines of untrusted crates, then the records of these lines, then the crates' files, which are kept in
/// `.frostmirror/aside/`. A file with the digest of the import record stays.
pub(super) fn move_aside(
    layout: &Layout,
    pass: &Pass,
    staging: &mut Staging,
) -> Result<UntrustedCrates, import::Error> {
    let is_complete = pass.metadata.is_complete() && !has_unfinished_work(layout);
    let is_unknown = |line: &LineState| is_complete && !pass.metadata.crates.contains_key(&line.id);
    let mut untrusted = UntrustedCrates::default();
    let mut index = Step::new("rebuild:untrusted-index", layout.index(), Vec::new());
    let mut lines = Step::new("rebuild:untrusted-lines", layout.index_meta(), Vec::new());
    let mut aside = Step::new("rebuild:untrusted-aside", layout.moved_aside(), Vec::new());
    let mut crates = Step::new("rebuild:untrusted-crates", layout.crates(), Vec::new());
    for state in &pass.index_states {
        let mut versions = HashSet::new();
        for line in &state.lines {
            let is_contradicted = line.record_match == RecordMatch::Contradicted;
            if !is_contradicted && !is_unknown(line) {
                continue;
            }
            versions.insert(line.id.version.clone());
            let file = state.crate_file(&line.id);
            // The expected digest of a contradicted crate is that of the import record.
            let is_right = is_contradicted && matches!(file, Some(CrateFileState::Valid { .. }));
            if file.is_some() && !is_right {
                let name = line.id.file_name();
                let staged = staging.hard_link(&layout.crate_file(&line.id))?;
                aside.renames.push(Rename { staged, path: free_name(layout, &name).into(), replaces: false });
                crates.removals.push(removal(staging, &name)?);
            }
            let list = if is_contradicted { &mut untrusted.contradicted } else { &mut untrusted.unknown };
            list.push(line.id.clone());
        }
        if !versions.is_empty() {
            remove_lines(layout, state, &versions, [&mut index, &mut lines], staging)?;
        }
    }
    if !untrusted.is_empty() {
        apply_steps(staging, &[index, lines, aside, crates])?;
    }
    Ok(untrusted)
}

fn remove_lines(
    layout: &Layout,
    state: &IndexState,
    versions: &HashSet<Version>,
    [index, lines]: [&mut Step; 2],
    staging: &mut Staging,
) -> Result<(), transaction::Error> {
    let text = read_text(&layout.index().join(&state.path))?.unwrap_or_default();
    let stays = |raw: &&str| !IndexLine::parse(raw).is_ok_and(|line| versions.contains(&line.id.version));
    let kept: String = text.lines().filter(stays).map(|raw| format!("{raw}\n")).collect();
    let records: Vec<_> = state.records.iter().filter(|record| !versions.contains(&record.version)).cloned().collect();
    let records_text = index_meta::render(&records);
    for (step, text, exists) in [(index, kept, true), (lines, records_text, state.records_exist)] {
        if !text.is_empty() {
            let staged = staging.write(text.as_bytes())?;
            step.renames.push(Rename { staged, path: state.path.as_str().into(), replaces: exists });
        } else if exists {
            step.removals.push(removal(staging, &state.path)?);
        }
    }
    Ok(())
}

fn removal(staging: &mut Staging, path: &str) -> Result<Removal, transaction::Error> {
    let (staged, _) = staging.create()?;
    Ok(Removal { staged, path: path.into() })
}

/// `name`, or with a number appended if `.frostmirror/aside/` has that name.
pub(super) fn free_name(layout: &Layout, name: &str) -> String {
    let is_free = |name: &String| layout.moved_aside().join(name).symlink_metadata().is_err();
    let numbered = (1..).map(|number: u64| format!("{name}.{number}"));
    std::iter::once(name.to_owned()).chain(numbered).find(is_free).unwrap_or_default()
}
