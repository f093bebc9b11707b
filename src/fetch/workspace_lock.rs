//! The lock of a workspace: its own where it fits, else what cargo makes of a copy.

use std::path::Path;

use super::{Error, Station};
use crate::gather::lockfile::Lockfile;
use crate::gather::resolve;
use crate::gather::workspace::{self, Fit, Workspace};

/// The packages that `found` builds with. Dropping the future ends the cargo that it runs.
pub async fn of(found: &Workspace, station: &Station<'_>) -> Result<Lockfile, Error> {
    let parent = &station.surroundings.scratch;
    let scratch = tempfile::Builder::new().prefix("workspace-").tempdir_in(parent);
    let scratch = scratch.map_err(|source| Error::Folder { path: parent.clone(), source })?;
    let run = async |folder: &Path, args: &[&str]| station.resolver.run_for_workspace(folder, args).await;
    let fitting =
        workspace::fitting_lock(found, &station.surroundings.env, scratch.path(), station.sink.as_ref(), run).await;
    let root = found.root.display();
    let fitting = match (fitting, station.resolver.upstream_failure()) {
        (Ok(fitting), _) => fitting,
        (Err(_), Some(failure)) => return Err(Error::Resolve(resolve::Error::Index(failure))),
        (Err(error @ (workspace::Error::Unresolved { .. } | workspace::Error::Unreachable { .. })), None) => {
            return match workspace::lock(found)? {
                // Cargo cannot look at a git repository, or wants a token for another registry. What of them may be left out
                // is for the caller to say; the rest is locked, and is what the user builds with.
                Some(own) if !own.foreign.is_empty() => {
                    let why = format!("it names packages of git or of other registries: {error}");
                    Ok(as_it_stands(own, found, station, &why))
                }
                Some(own) if station.resolver.names_deleted(&own).await? => {
                    Ok(as_it_stands(own, found, station, DELETED))
                }
                _ => Err(error.into()),
            };
        }
        (Err(error), None) => return Err(error.into()),
    };
    // Cargo moved on to a version that upstream still has; the user builds with the deleted one.
    if let (Fit::Outdated { .. }, Some(own)) = (&fitting.fit, workspace::lock(found)?)
        && station.resolver.names_deleted(&own).await?
    {
        return Ok(as_it_stands(own, found, station, DELETED));
    }
    match fitting.fit {
        Fit::AsItStands => {}
        Fit::Missing => station.sink.warning(format!(
            "`{root}` has no Cargo.lock; cargo resolved a copy of its manifests, and a build there may lock other \
             versions (`cargo generate-lockfile` settles them)"
        )),
        Fit::Outdated { added, removed } => station.sink.warning(format!(
            "the Cargo.lock of `{root}` does not fit its manifests; cargo brought a copy up to date \
             (packages: {added} added, {removed} removed)"
        )),
    }
    Ok(Lockfile { path: found.root.join("Cargo.lock"), ..fitting.lockfile })
}

/// Why cargo cannot check a lock that names a version which upstream deleted and which is remembered.
const DELETED: &str = "it names a version that upstream deleted";

/// A lock that the user builds with and that cargo cannot check.
fn as_it_stands(own: Lockfile, found: &Workspace, station: &Station<'_>, why: &str) -> Lockfile {
    station.sink.warning(format!(
        "the Cargo.lock of `{}` is taken as it stands, and whether it fits the manifests is not known; {why}",
        found.root.display()
    ));
    own
}
