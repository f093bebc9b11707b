//! Opens files of the incoming folder without blocking and without following links.
//!
//! Users who can write to the folder may replace a file between two checks, so the checks apply to the opened file. A
//! pipe would block the watcher until a writer opens it. A link would make the watcher read any file that this server
//! can read.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

/// Opens the regular file at `path` for reading.
///
/// # Errors
/// A file system operation failed, or the path is not a regular file but a folder, link, pipe or device.
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    without_waiting(&mut options);
    let file = options.open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a regular file")) }
}

#[cfg(unix)]
fn without_waiting(options: &mut OpenOptions) {
    use std::os::unix::fs::OpenOptionsExt;

    use rustix::fs::OFlags;

    let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::NOCTTY;
    options.custom_flags(flags.bits().cast_signed());
}

#[cfg(not(unix))]
fn without_waiting(_: &mut OpenOptions) {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs;
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_regular_files_are_opened_and_pipes_do_not_block() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = |name: &str| folder.path().join(name);
        fs::write(path("file"), "x").expect("write");
        fs::create_dir(path("folder")).expect("folder");
        std::os::unix::fs::symlink("file", path("link")).expect("link");
        let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::from(0o600));
        rustix::fs::mknodat(rustix::fs::CWD, path("pipe"), kind, mode, 0).expect("a pipe");
        open_regular(&path("file")).expect("a file");
        for name in ["folder", "link", "pipe", "none"] {
            let (opened, result) = mpsc::channel();
            let path = path(name);
            // A blocking open would never return.
            thread::spawn(move || opened.send(open_regular(&path).is_err()));
            assert_eq!(result.recv_timeout(Duration::from_secs(30)), Ok(true), "{name}");
        }
    }
}
