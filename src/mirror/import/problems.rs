//! What is wrong with a bundle, as the cause of a refusal.

use super::{Error, ImportOptions};
use crate::bundle::open::Problem;
use crate::mirror::receive::Received;

/// Several problems as one cause: the first ones, one a line.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct Problems(pub Vec<String>);

/// Problems that a failure names; the rest is counted.
const NAMED: usize = 20;

impl Problems {
    pub(in crate::mirror) fn of<T: ToString>(all: &[T]) -> Problems {
        let mut lines: Vec<String> = all.iter().take(NAMED).map(ToString::to_string).collect();
        if all.len() > NAMED {
            lines.push(format!("and {} more", all.len() - NAMED));
        }
        Problems(lines)
    }
}

/// Refuses a bundle of which something was found that cannot be.
pub(super) fn refuse_bad(problems: &[Problem], received: &Received, options: &ImportOptions) -> Result<(), Error> {
    let file = options.file_name.clone();
    if !problems.is_empty() {
        return Err(Error::Bad { file, problems: Problems::of(problems) });
    }
    if !received.unusable.is_empty() {
        return Err(Error::Bad { file, problems: Problems::of(&received.unusable) });
    }
    if !received.conflicts.is_empty() {
        return Err(Error::Conflicts { file, conflicts: Problems::of(&received.conflicts) });
    }
    Ok(())
}
