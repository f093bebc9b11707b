//! The package metadata of each crate of a bundle's set, including crates that the bundle does not ship: a reviewer of
//! a delta needs the licence of a replaced crate.

use std::path::{Path, PathBuf};

use crate::bundle::package_metadata::{PackageMetadata, read_all_metadata};
use crate::crate_id::CrateId;
use crate::event::Sink;
use crate::fetch::crate_cache::CrateCache;
use crate::fetch::fetch_plan::FetchPlan;
use crate::fetch::history::{BundlePlan, CrateMetadata};

/// Adds the metadata that the history lacks: from the downloaded files, and from the cache below `home`. The cache may
/// have crates that were sent before histories stored metadata.
pub(super) fn fill(plan: &mut BundlePlan, gathered: &FetchPlan, home: &Path, sink: &dyn Sink) {
    // The cache was opened before in this run. If it fails now, some metadata is missing.
    let cache = CrateCache::open(&home.join("cache"), sink).ok();
    let mut files: Vec<(CrateId, PathBuf)> = Vec::new();
    let mut digests = Vec::new();
    for (id, stored) in plan.crates.iter().filter(|(_, stored)| !plan.crate_metadata.contains_key(&stored.sha256)) {
        let gathered = gathered.resolution.crates.get(id).and_then(|planned| Some(planned.file.as_ref()?.path.clone()));
        let cached = || cache.as_ref().filter(|cache| matches!(cache.verified_size(stored.sha256), Ok(Some(_))));
        if let Some(path) = gathered.or_else(|| Some(cached()?.path(stored.sha256))) {
            files.push((id.clone(), path));
            digests.push(stored.sha256);
        }
    }
    for (digest, about) in digests.into_iter().zip(read_all_metadata(&files)) {
        if let Some(PackageMetadata { description, license, repository }) = about {
            plan.crate_metadata.insert(digest, CrateMetadata { description, license, repository });
        }
    }
}
