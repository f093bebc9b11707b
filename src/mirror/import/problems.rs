//! The problems of a bundle, as the cause of an error.

use super::{Error, ImportOptions};
use crate::bundle::open::Problem;
use crate::mirror::stager::StagedImport;

/// Several problems as one cause: the first ones, one per line.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct Problems(pub Vec<String>);

/// Maximum number of problems that an error lists; it counts the others.
const MAX_NAMED: usize = 20;

impl Problems {
    pub(in crate::mirror) fn summarize<T: ToString>(all: &[T]) -> Problems {
        let mut lines: Vec<String> = all.iter().take(MAX_NAMED).map(ToString::to_string).collect();
        if all.len() > MAX_NAMED {
            lines.push(format!("and {} more", all.len() - MAX_NAMED));
        }
        Problems(lines)
    }
}

/// Returns an error for a bundle with problems.
pub(super) fn reject_invalid(
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
        return Err(Error::Conflicts { file, conflicts: Problems::summarize(&staged.conflicts) });
    }
    Ok(())
}
