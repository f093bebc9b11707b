//! The lock of a workspace: its own where it fits, else what cargo makes of a copy.

use std::path::PathBuf;
use std::sync::Arc;

use super::{Error, Options};
use crate::event::Sink;
use crate::gather::lockfile::Lockfile;
use crate::gather::resolve::{self, Resolver};
use crate::gather::workspace::{self, Fit, Workspace};

/// The packages that `found` builds with.
pub async fn of(
    found: &Workspace,
    options: &Options,
    resolver: &Resolver,
    sink: &Arc<dyn Sink>,
) -> Result<Lockfile, Error> {
    let scratch = tempfile::Builder::new()
        .prefix("workspace-")
        .tempdir_in(&options.scratch)
        .map_err(|source| Error::Folder { path: options.scratch.clone(), source })?;
    // Cargo runs to its end on this thread while its index is served from the others.
    let fitting = tokio::task::block_in_place(|| {
        workspace::fitting_lock(found, &options.env, scratch.path(), &|folder, args| {
            resolver.run_for_workspace(folder, args)
        })
    });
    let fitting = fitting.map_err(|error| match resolver.upstream_failure() {
        Some(failure) => Error::Resolve(resolve::Error::Index(failure)),
        None => Error::Workspace(error),
    })?;
    let lock: PathBuf = found.root.join("Cargo.lock");
    match fitting.fit {
        Fit::AsItStands => {}
        Fit::Missing => sink.warning(format!(
            "`{}` has no Cargo.lock; cargo resolved a copy of its manifests, and the build may lock other versions (run `cargo generate-lockfile` to fix them)",
            found.root.display()
        )),
        Fit::Outdated { added, removed } => sink.warning(format!(
            "`{}` does not fit the manifests; cargo mended a copy of it ({added} packages added, {removed} no longer needed)",
            lock.display()
        )),
    }
    Ok(Lockfile { path: lock, ..fitting.lockfile })
}
