//! Makes `crates/index`, the link to the index.

use std::io;
use std::path::Path;

/// The target of the link, on every system that has links.
pub(in crate::mirror) const LINK_TARGET: &str = "../index";

/// Makes the link.
#[cfg(unix)]
pub(in crate::mirror) fn make_link(link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(LINK_TARGET, link)
}

/// Makes the link.
#[cfg(windows)]
pub(in crate::mirror) fn make_link(link: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_dir(LINK_TARGET, link)
}

/// File systems without links, and Windows without the privilege, return one of these errors.
pub(in crate::mirror) fn means_unsupported(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported)
}
