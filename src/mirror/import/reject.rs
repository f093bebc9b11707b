//! Rejects a bundle with problems.

use std::io::{self, Read};

use super::conflict_sources::ConflictSources;
use super::error::{Error, Problems};
use super::options::ImportOptions;
use super::report::begin_event;
use crate::bundle::format::{Entry, Manifest};
use crate::bundle::open::{Bundle, EntryVisitor, Problem};
use crate::event::{Event, Phase, Sink};
use crate::mirror::bundle_stager::StagedImport;
use crate::mirror::layout::Layout;

/// Returns an error for a bundle with problems.
pub(super) fn reject_invalid(
    layout: &Layout,
    manifest: &Manifest,
    problems: &[Problem],
    staged: &StagedImport,
    options: &ImportOptions,
) -> Result<(), Error> {
    let file = options.file_name.clone();
    if !problems.is_empty() {
        return Err(Error::Invalid { file, problems: Problems::summarize(problems) });
    }
    if !staged.unusable.is_empty() {
        return Err(Error::Invalid { file, problems: Problems::summarize(&staged.unusable) });
    }
    if !staged.conflicts.is_empty() {
        return Err(conflict_error(layout, manifest, staged, file)?);
    }
    Ok(())
}

/// The error about a bundle that contradicts the mirror.
fn conflict_error(layout: &Layout, manifest: &Manifest, staged: &StagedImport, file: String) -> Result<Error, Error> {
    let sources = ConflictSources::find(layout, staged, manifest, &file)?;
    let texts: Vec<&str> = staged.conflicts.iter().map(|refusal| refusal.text.as_str()).collect();
    let Problems(mut lines) = Problems::summarize(&texts);
    lines.extend(sources.sentences());
    Ok(Error::Conflicts { file, conflicts: Problems(lines), sources: Box::new(sources) })
}

/// Reads a bundle that relies on missing files. Returns the error about these files, or a graver one if the bundle is
/// damaged too: its base would not help, and it must be copied again.
pub(super) fn reject_damaged<R: Read>(
    bundle: Bundle<R>,
    missing: Error,
    options: &ImportOptions,
    sink: &dyn Sink,
) -> Result<Error, Error> {
    sink.event(begin_event(bundle.manifest()));
    let streamed = bundle.stream(&mut CheckingVisitor { sink });
    sink.event(Event::End { phase: Phase::Importing });
    let problems = streamed?.problems;
    if problems.is_empty() {
        return Ok(missing);
    }
    let Problems(mut lines) = Problems::summarize(&problems);
    lines.push(missing.to_string());
    Ok(Error::Invalid { file: options.file_name.clone(), problems: Problems(lines) })
}

/// Discards the entries; the bundle's reader checks them.
struct CheckingVisitor<'s> {
    sink: &'s dyn Sink,
}

impl EntryVisitor for CheckingVisitor<'_> {
    fn begin(&mut self, _: &Entry) -> io::Result<()> {
        Ok(())
    }

    fn data(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn end(&mut self, entry: &Entry, _: bool) -> io::Result<()> {
        self.sink.event(Event::Advance { phase: Phase::Importing, items: 1, bytes: entry.size });
        Ok(())
    }
}
