//! Durable writes: beside, sync, rename, sync the folder. And named places where a test may kill the process.
//!
//! One file after another costs an fsync each; a bundle's worth of files is staged first and made durable by one
//! [`sync_file_system`] (measured on 3,000 files: 0.4 s against 2 s and more).

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Variable that names the checkpoint at which a debug build dies at once, as if by SIGKILL.
pub const CHECKPOINT_VARIABLE: &str = "FROSTMIRROR_CRASH_AT";

/// A named place where a crash test may end the process. Does nothing in release builds.
pub fn checkpoint(name: &str) {
    if cfg!(debug_assertions) && std::env::var_os(CHECKPOINT_VARIABLE).as_deref() == Some(OsStr::new(name)) {
        std::process::abort();
    }
}

/// Writes `bytes` to `path` so that after a crash there is either the old file or the whole new one.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = folder_of(path);
    let mut file = tempfile::Builder::new().prefix(".part-").tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    make_public(file.path())?;
    file.persist(path).map_err(|e| e.error)?;
    sync_folder(folder)
}

/// Gives a file the permissions of an ordinary one; temporary files are made private.
#[cfg(unix)]
pub fn make_public(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644))
}

/// Gives a file the permissions of an ordinary one; on this system it has them.
#[cfg(not(unix))]
pub fn make_public(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Makes the names in `folder` durable. Does nothing where folders cannot be opened (Windows).
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// Makes everything that was written to the file system of `folder` durable, in one call.
#[cfg(target_os = "linux")]
pub fn sync_file_system(folder: &Path) -> io::Result<()> {
    rustix::fs::syncfs(File::open(folder)?)?;
    Ok(())
}

/// Makes every file below `folder` durable; this system cannot sync a file system in one call, so a pool does it.
#[cfg(not(target_os = "linux"))]
pub fn sync_file_system(folder: &Path) -> io::Result<()> {
    let mut files = Vec::new();
    collect(folder, &mut files)?;
    let workers = 16.min(files.len().max(1));
    let share = files.len().div_ceil(workers).max(1);
    std::thread::scope(|scope| {
        let running: Vec<_> = files
            .chunks(share)
            .map(|part| scope.spawn(move || part.iter().try_for_each(|path| File::open(path)?.sync_all())))
            .collect();
        running.into_iter().try_for_each(|worker| worker.join().unwrap_or_else(|_| Err(io::Error::other("a sync worker panicked"))))
    })
}

#[cfg(not(target_os = "linux"))]
fn collect(folder: &Path, files: &mut Vec<std::path::PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}

/// Makes `folder` and the folders above it; fine where they are there.
pub fn make_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_replaces_the_whole_file_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("state.json");
        for text in ["a longer first text", "second"] {
            write(&path, text.as_bytes()).expect("write");
            assert_eq!(fs::read_to_string(&path).expect("read"), text);
        }
        assert_eq!(fs::read_dir(folder.path()).expect("list").count(), 1);
        sync_file_system(folder.path()).expect("sync");
    }
}
