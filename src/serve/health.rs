//! Whether the server can do its work: whether the mirror's folder can be read.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// How long a look at the folder may take; a network file system that is gone may never answer.
const WITHIN: Duration = Duration::from_secs(5);

/// Looks at the mirror's folder: whether it is there and lets itself be listed. The words are for anybody, and name no path.
pub(super) async fn of(mirror: PathBuf) -> Result<(), &'static str> {
    match timeout(WITHIN, spawn_blocking(move || look(mirror))).await {
        Ok(Ok(looked)) => looked,
        Ok(Err(_)) => Err("the mirror's folder could not be looked at\n"),
        Err(_) => Err("the mirror's folder does not answer\n"),
    }
}

fn look(mirror: PathBuf) -> Result<(), &'static str> {
    let first = fs::read_dir(mirror).and_then(|mut entries| entries.next().transpose());
    first.map(drop).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => "the mirror's folder is not there\n",
        io::ErrorKind::PermissionDenied => "the mirror's folder may not be read\n",
        _ => "the mirror's folder cannot be read\n",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_that_is_there_is_good() {
        let folder = tempfile::tempdir().expect("temporary folder");
        assert_eq!(of(folder.path().to_owned()).await, Ok(()));
        assert!(of(folder.path().join("none")).await.is_err());
        fs::write(folder.path().join("file"), "").expect("write");
        assert!(of(folder.path().join("file")).await.is_err());
    }
}
