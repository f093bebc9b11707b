//! The lock of a workspace: its own if it fits, otherwise the lock that cargo resolves for a copy.

use std::path::Path;

use crate::fetch::error::Error;
use crate::fetch::resolve;
use crate::fetch::session::Session;
use crate::fetch::workspace::{self, LockFit, Workspace};
use crate::inputs::lockfile::Lockfile;

/// Returns the packages that `workspace` builds with. Dropping the future stops the cargo that it runs.
pub async fn read_or_resolve(workspace: &Workspace, session: &Session<'_>) -> Result<Lockfile, Error> {
    if let Some(own) = workspace::read_lockfile(workspace)?
        && session.resolver.skips_all_foreign(&own)
        && workspace.has_locked_requirements(&own)
    {
        let why = "cargo would read the git repositories and registries that are left out";
        return Ok(unchecked_lock(own, workspace, session, why));
    }
    let parent = &session.environment.scratch;
    let scratch = tempfile::Builder::new().prefix("workspace-").tempdir_in(parent);
    let scratch = scratch.map_err(|source| Error::Folder { path: parent.clone(), source })?;
    let run = async |folder: &Path, args: &[&str]| session.resolver.run_for_workspace(folder, args).await;
    let fitting =
        workspace::fitting_lock(workspace, &session.environment.env, scratch.path(), session.sink.as_ref(), run).await;
    let root = workspace.root.display();
    let fitting = match (fitting, session.resolver.upstream_failure()) {
        (Ok(fitting), _) => fitting,
        (Err(_), Some(failure)) => return Err(Error::Resolve(resolve::Error::Index(failure))),
        (Err(error @ (workspace::Error::Unresolved { .. } | workspace::Error::Unreachable { .. })), None) => {
            return match workspace::read_lockfile(workspace)? {
                // Cargo cannot read a git repository, or needs a token for another registry. The caller decides which
                // of these packages may be skipped. The rest is locked, and the user builds with it.
                // A source that does not answer now may answer later.
                Some(own) if !own.foreign.is_empty() && !session.resolver.skips_all_foreign(&own) => match error {
                    workspace::Error::Unreachable { root, stderr, .. } => {
                        Err(workspace::Error::Unreachable { root, stderr, packages: own.foreign }.into())
                    }
                    error => {
                        let why = format!("it names packages of git or of other registries: {error}");
                        Ok(unchecked_lock(own, workspace, session, &why))
                    }
                },
                Some(own) if !own.foreign.is_empty() => {
                    let why = format!("it names packages of git or of other registries: {error}");
                    Ok(unchecked_lock(own, workspace, session, &why))
                }
                Some(own) => {
                    let deleted = session.resolver.find_deleted_versions(&own).await?;
                    match error {
                        _ if deleted.has_archived => Ok(unchecked_lock(own, workspace, session, DELETED_UPSTREAM)),
                        workspace::Error::Unresolved { root, stderr, .. } => {
                            Err(workspace::Error::Unresolved { root, stderr, lost: deleted.lost }.into())
                        }
                        error => Err(error.into()),
                    }
                }
                None => Err(error.into()),
            };
        }
        (Err(error), None) => return Err(error.into()),
    };
    // Cargo updated to a version that upstream still has, but the user builds with the deleted one.
    if let (LockFit::Outdated { .. }, Some(own)) = (&fitting.fit, workspace::read_lockfile(workspace)?)
        && session.resolver.find_deleted_versions(&own).await?.has_archived
    {
        return Ok(unchecked_lock(own, workspace, session, DELETED_UPSTREAM));
    }
    let is_generated = matches!(fitting.fit, LockFit::Missing);
    match fitting.fit {
        LockFit::UpToDate => {}
        LockFit::Missing => session.sink.warning(format!(
            "`{root}` has no Cargo.lock; cargo resolved a copy of its manifests, and a build there may lock other \
             versions (`cargo generate-lockfile` fixes them)"
        )),
        LockFit::Outdated { added, removed } => session.sink.warning(format!(
            "the Cargo.lock of `{root}` does not fit its manifests; cargo updated a copy \
             (packages: {added} added, {removed} removed)"
        )),
    }
    Ok(Lockfile { path: workspace.root.join("Cargo.lock"), is_generated, ..fitting.lockfile })
}

/// Why cargo cannot check a lock with a version that upstream deleted and that an archive still has.
const DELETED_UPSTREAM: &str = "it names a version that upstream deleted";

/// A lock that the user builds with and that cargo cannot check.
fn unchecked_lock(own: Lockfile, workspace: &Workspace, session: &Session<'_>, why: &str) -> Lockfile {
    session.sink.warning(format!(
        "the Cargo.lock of `{}` is used unchanged, without a check against the manifests; {why}",
        workspace.root.display()
    ));
    own
}
