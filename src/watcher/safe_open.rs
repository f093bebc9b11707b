//! Files of the incoming folder are opened without waiting for anybody and without following links.
//!
//! Whoever may write into the folder may replace a file between two looks at it. What was opened is therefore what is
//! asked: a pipe would hold the watcher until somebody writes into it, and a link would have it read any file that this
//! server may read.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

/// Opens the regular file at `path` for reading.
///
/// # Errors
/// The file system's, and that there is no regular file: a folder, a link, a pipe, a device.
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
            // An open that waits would wait for ever.
            thread::spawn(move || opened.send(open_regular(&path).is_err()));
            assert_eq!(result.recv_timeout(Duration::from_secs(30)), Ok(true), "{name}");
        }
    }
}
