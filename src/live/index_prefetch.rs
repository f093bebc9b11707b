//! Fetches index files that a client will probably request next, see [`prefetch`](super::prefetch).

use std::sync::Arc;

use super::{ActiveState, LiveMirror};
use crate::crate_id::{CrateId, CrateName};
use crate::upstream::prefetch::{self, DependencyQuery};

impl LiveMirror {
    /// Records a client's request for the index file of `name`, and prefetches the index files that it will probably
    /// request next.
    pub(super) fn prefetch_index(self: &Arc<Self>, running: &Arc<ActiveState>, name: &CrateName) {
        for query in self.prefetcher.record_index_request(name) {
            self.follow_query(Arc::clone(running), query);
        }
    }

    fn follow_query(self: &Arc<Self>, running: Arc<ActiveState>, query: DependencyQuery) {
        let proxy = Arc::clone(self);
        tokio::spawn(async move {
            let guessing = Arc::clone(&proxy.prefetcher.lookup_permits);
            let known = {
                let Ok(_permit) = guessing.acquire().await else { return };
                // Disabling live mode, or changing its upstream, also stops prefetches.
                if !proxy.is_active(&running) {
                    return;
                }
                running.index_cache.get(&running.upstreams, &query.name, running.settings.proxy_ttl, None).await
            };
            let Some(file) = known.ok().and_then(|known| known.file) else { return };
            let dependencies = prefetch::dependencies_of(&file, &query);
            if let Some(version) = prefetch::select_version(&file, &query) {
                let id = CrateId { name: query.name.clone(), version };
                let is_stored = proxy.context.mirror.crate_file(&id).is_file();
                proxy.prefetcher.add(query, id, dependencies.clone(), is_stored);
            }
            for next in proxy.prefetcher.enqueue(dependencies.into_iter().map(|one| one.query).collect()) {
                proxy.follow_query(Arc::clone(&running), next);
            }
        });
    }
}
