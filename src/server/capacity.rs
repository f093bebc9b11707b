//! How many clients the server takes.

use super::sendfile;

/// Maximum number of connections. Cargo opens at most two in each of its phases.
const MAX_CONNECTIONS: u64 = 4096;
/// File descriptors for everything but connections and files that are sent.
const RESERVED_DESCRIPTORS: u64 = 64;

/// How many clients the limit of open files allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Maximum number of connections.
    pub connections: usize,
    /// Files that may be open for responses.
    pub files: usize,
    /// The limit of open files; `None`: unlimited or unknown.
    pub limit: Option<u64>,
}

/// The capacity under this process's current limit of open files. Each connection needs a file descriptor, and may need
/// one for the file that it sends.
pub fn capacity() -> Capacity {
    let limit = open_file_limit();
    Capacity { limit: (limit < u64::MAX).then_some(limit), ..capacity_of(limit) }
}

fn capacity_of(limit: u64) -> Capacity {
    let left = limit.saturating_sub(RESERVED_DESCRIPTORS + sendfile::max_bodies(limit));
    let half = usize::try_from((left / 2).clamp(RESERVED_DESCRIPTORS, MAX_CONNECTIONS)).unwrap_or(usize::MAX);
    Capacity { connections: half, files: half, limit: None }
}

/// How many bodies may keep a file open.
#[cfg(unix)]
pub(super) fn max_memfd_bodies() -> u64 {
    sendfile::max_bodies(open_file_limit())
}

#[cfg(not(unix))]
pub(super) fn max_memfd_bodies() -> u64 {
    0
}

#[cfg(unix)]
fn open_file_limit() -> u64 {
    use rustix::process::{Resource, getrlimit};
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[cfg(not(unix))]
fn open_file_limit() -> u64 {
    u64::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_open_file_limit_bounds_connections_and_files() {
        for (limit, half) in [(10, 64), (300, 99), (1024, 416), (9472, 4096), (u64::MAX, 4096)] {
            let capacity = capacity_of(limit);
            assert_eq!((capacity.connections, capacity.files), (half, half), "{limit}");
        }
    }
}
