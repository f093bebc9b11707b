//! Which toolchains of the mirror have less than rustup's own default profile: a bootstrap must ask for what is there.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use crate::channel::Profile;
use crate::client_config::SmallProfile;
use crate::mirror::layout::Layout;
use crate::mirror::offers::Offers;

/// What was found, and of which record of artifacts; it is looked for anew when that has changed.
#[derive(Default)]
pub(super) struct Profiles {
    known: Mutex<Option<(Stamp, Arc<Vec<SmallProfile>>)>>,
}

/// What tells one record from the next.
type Stamp = Option<(Option<SystemTime>, u64)>;

impl Profiles {
    /// What is so now, in the mirror at `root`. Whoever asks meanwhile waits: reading the manifests takes memory.
    pub(super) fn now(&self, root: &Path) -> Arc<Vec<SmallProfile>> {
        let layout = Layout::new(root);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let about = layout.artifacts().metadata().ok();
        let stamp = about.map(|about| (about.modified().ok(), about.len()));
        if let Some((of, found)) = known.as_ref()
            && *of == stamp
        {
            return Arc::clone(found);
        }
        let found = Arc::new(small_profiles(&Offers::read(&layout).unwrap_or_default()));
        *known = Some((stamp, Arc::clone(&found)));
        found
    }
}

fn small_profiles(offers: &Offers) -> Vec<SmallProfile> {
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
