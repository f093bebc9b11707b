//! Toolchains and rustup: what moves upstream, and what a manifest names.

use std::sync::Arc;

use super::Proxy;
use super::crates::Miss;
use crate::safe_path::SafePath;

/// Whether the file is another one from time to time: a channel's manifest that is not of one day, what rustup is updated to,
/// and what belongs to either.
pub fn moves(path: &SafePath) -> bool {
    let path = path.as_str();
    let channel = path.strip_prefix("dist/").is_some_and(|rest| !rest.contains('/'));
    channel || path == "rustup/release-stable.toml" || path.starts_with("rustup/dist/")
}

impl Proxy {
    /// Looks upstream for what has moved, where that was not done lately.
    pub async fn freshen(self: &Arc<Self>, _path: &SafePath) {}

    /// Has a file below dist/ or rustup/ fetched that is not held; `None` where live mode is off.
    pub async fn fetch_artifact(self: &Arc<Self>, _path: &SafePath) -> Option<Miss> {
        None
    }
}
