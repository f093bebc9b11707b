//! What each crate of a bundle's set says of itself, also where the bundle does not ship it: whoever approves a delta
//! wants to know what licence a crate had that it replaces.

use std::path::{Path, PathBuf};

use super::FetchPlan;
use crate::bundle::package_metadata::{PackageMetadata, read_all_metadata};
use crate::crate_id::CrateId;
use crate::gather::crate_cache::CrateCache;
use crate::gather::history::{BundlePlan, CrateMetadata};

/// Adds what the history does not remember: from the files that were gathered, and from the cache below `home`, which
/// may have what was sent when the histories did not remember it yet.
pub(super) fn fill(plan: &mut BundlePlan, gathered: &FetchPlan, home: &Path) {
    // It was open before in this run; without it some texts are missing.
    let cache = CrateCache::open(&home.join("cache")).ok();
    let mut files: Vec<(CrateId, PathBuf)> = Vec::new();
    let mut digests = Vec::new();
    for (id, held) in plan.crates.iter().filter(|(_, held)| !plan.crate_metadata.contains_key(&held.sha256)) {
        let gathered = gathered.files.get(id).map(|file| file.path.clone());
        let cached = || cache.as_ref().filter(|cache| matches!(cache.verified_size(held.sha256), Ok(Some(_))));
        if let Some(path) = gathered.or_else(|| Some(cached()?.path(held.sha256))) {
            files.push((id.clone(), path));
            digests.push(held.sha256);
        }
    }
    for (digest, about) in digests.into_iter().zip(read_all_metadata(&files)) {
        if let Some(PackageMetadata { description, license, repository }) = about {
            plan.crate_metadata.insert(digest, CrateMetadata { description, license, repository });
        }
    }
}
