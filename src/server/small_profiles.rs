//! Toolchains whose stored components do not cover rustup's default profile: a bootstrap script must request a smaller
//! profile for them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use crate::client_setup::SmallProfile;
use crate::mirror::layout::Layout;
use crate::mirror::toolchains::AvailableToolchains;
use crate::toolchain::Profile;

/// The result, and the record of dist files that it was computed from. It is computed again when the record changes.
#[derive(Default)]
pub(super) struct SmallProfileCache {
    cached: Mutex<Option<(RecordStamp, Arc<Vec<SmallProfile>>)>>,
}

/// Identifies a version of the record.
type RecordStamp = Option<(Option<SystemTime>, u64)>;

impl SmallProfileCache {
    /// The current result for the mirror. Concurrent callers wait, because reading the manifests takes
    /// memory.
    pub(super) fn get(&self, layout: &Layout) -> Arc<Vec<SmallProfile>> {
        let mut known = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        let about = layout.dist_files().metadata().ok();
        let stamp = about.map(|about| (about.modified().ok(), about.len()));
        if let Some((of, found)) = known.as_ref()
            && *of == stamp
        {
            return Arc::clone(found);
        }
        let found = Arc::new(small_profiles(&AvailableToolchains::read(layout).unwrap_or_default()));
        *known = Some((stamp, Arc::clone(&found)));
        found
    }
}

fn small_profiles(offers: &AvailableToolchains) -> Vec<SmallProfile> {
    let mut small = Vec::new();
    for toolchain in &offers.toolchains {
        for (host, profile) in &toolchain.hosts {
            if let Some(profile) = profile.filter(|profile| *profile < Profile::default()) {
                small.extend(toolchain.names.iter().map(|name| SmallProfile {
                    toolchain: name.clone(),
                    host: host.clone(),
                    profile: profile.as_str(),
                }));
            }
        }
    }
    small
}
