//! What is wrong with a bundle, as the cause of a refusal.

use super::{Error, ImportOptions};
use crate::bundle::open::Problem;
use crate::mirror::stager::StagedImport;

/// Several problems as one cause: the first ones, one a line.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct Problems(pub Vec<String>);

/// Problems that a failure names; the rest is counted.
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

/// Refuses a bundle of which something was found that cannot be.
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
