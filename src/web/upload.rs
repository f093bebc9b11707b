//! Receives an uploaded bundle: streams it to a hidden file beside its final path, which the watcher ignores, and renames
//! the complete file.
//!
//! | failure | effect |
//! |---|---|
//! | the connection breaks, or the client is too slow | the file is removed |
//! | the disk is full, before or during the upload | 507, and the file is removed |
//! | the name exists | 409; the existing file stays |
//! | the server is killed | the file stays, unlocked, until the next start removes it |

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::body::Body;
use tempfile::NamedTempFile;
use tokio::time::timeout;

use super::response::ApiError;
use crate::bundle::file_name::is_bundle_file_name;
use crate::bundle::sanitize::sanitize_line;
use crate::digest::{Hasher, Sha256};
use crate::durable;
use crate::error_report::{ErrorClass, Failure};
use crate::units::pluralize;
use crate::watcher::safe_open::open_regular;

/// Maximum number of concurrent uploads.
pub(super) const MAX_CONCURRENT_UPLOADS: usize = 4;
/// Maximum name length in bytes; leaves space for suffixes of the watcher.
const MAX_NAME_BYTES: usize = 200;
/// The prefix and suffix of an unfinished upload's hidden name.
const PART_NAME: (&str, &str) = (".upload-", ".part");
/// The size of the write buffer in bytes.
const WRITE_CHUNK: usize = 1024 * 1024;

/// The minimum speed of a client.
#[derive(Clone, Copy, Debug)]
pub(super) struct MinRate {
    /// How long a client may send less than `least`.
    pub(super) window: Duration,
    /// The minimum number of bytes in that time, unless the upload ends.
    pub(super) min_bytes: u64,
}

impl Default for MinRate {
    fn default() -> MinRate {
        MinRate { window: Duration::from_secs(60), min_bytes: 64 * 1024 }
    }
}

/// The upload's parameters.
#[derive(Clone, Debug)]
pub(super) struct UploadRequest {
    /// The incoming folder.
    pub(super) folder: PathBuf,
    /// Whether a missing folder is created.
    pub(super) creates_folder: bool,
    /// The final file name; see [`is_valid_name`].
    pub(super) name: String,
    /// The announced size in bytes.
    pub(super) length: Option<u64>,
}

/// The received file.
#[derive(Debug)]
pub(super) struct ReceivedUpload {
    /// Its size in bytes.
    pub(super) bytes: u64,
    /// Its SHA-256.
    pub(super) sha256: Sha256,
}

/// Whether a file of this name may be uploaded.
pub(super) fn is_valid_name(name: &str) -> bool {
    name.len() <= MAX_NAME_BYTES
        && is_bundle_file_name(OsStr::new(name))
        && !name.contains(['/', '\\', ':'])
        && name.trim() == name
        // Control characters and invisible characters would be displayed differently.
        && sanitize_line(name) == name
}

/// Receives a bundle.
///
/// # Errors
/// A client error or a file system error; the partial file is removed.
pub(super) async fn receive<B>(
    mut body: B,
    request: UploadRequest,
    min_rate: MinRate,
) -> Result<ReceivedUpload, ApiError>
where
    B: Body<Data = Bytes> + Unpin,
{
    let begin = request.clone();
    let mut part = run_blocking(move || PartialUpload::create(&begin)).await?;
    let mut buffer = Vec::new();
    let (mut window_start, mut received_bytes) = (Instant::now(), 0u64);
    loop {
        let frame = timeout(min_rate.window, body.frame()).await.map_err(|_| upload_stalled())?;
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|_| body_interrupted())?;
        let Ok(data) = frame.into_data() else { continue };
        received_bytes += data.len() as u64;
        if window_start.elapsed() >= min_rate.window {
            if received_bytes < min_rate.min_bytes {
                return Err(upload_stalled());
            }
            (window_start, received_bytes) = (Instant::now(), 0);
        }
        buffer.extend_from_slice(&data);
        if buffer.len() >= WRITE_CHUNK {
            let chunk = std::mem::take(&mut buffer);
            part = run_blocking(move || part.write(&chunk)).await?;
            // A slow disk does not count against the client's speed.
            window_start = Instant::now();
        }
    }
    run_blocking(move || part.write(&buffer)?.finish(&request)).await
}

/// Runs work that may wait for a disk on a blocking thread.
async fn run_blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(Failure::new(ErrorClass::Bug, "a bug ended the upload").into()))
}

fn upload_stalled() -> ApiError {
    ApiError::new(StatusCode::REQUEST_TIMEOUT, "the upload stalled").with_hint("send it again")
}

fn body_interrupted() -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, "the request body is incomplete").with_hint("send it again")
}

fn name_taken(name: &str) -> ApiError {
    ApiError::new(StatusCode::CONFLICT, format!("a file `{name}` already exists in the incoming folder"))
        .with_hint("send it again when that file is imported, or use another name")
}

fn no_space(needed: u64, free: u64) -> ApiError {
    let error = format!("the bundle has {}, and the incoming folder's disk has {free} free", pluralize(needed, "byte"));
    ApiError::new(StatusCode::INSUFFICIENT_STORAGE, error).with_hint("free some space on that disk, then send it again")
}

/// An unfinished upload; dropping it removes its file.
struct PartialUpload {
    file: NamedTempFile,
    hasher: Hasher,
    bytes: u64,
}

impl PartialUpload {
    fn create(request: &UploadRequest) -> Result<PartialUpload, ApiError> {
        let UploadRequest { folder, creates_folder: make_folder, name, length } = request;
        if *make_folder {
            durable::make_folder(folder)
                .map_err(|error| Failure::io(format!("could not create the folder `{}`", folder.display()), error))?;
        } else if !folder.is_dir() {
            let error = format!("the incoming folder `{}` does not exist", folder.display());
            return Err(
                ApiError::new(StatusCode::SERVICE_UNAVAILABLE, error).with_hint("check that its disk is mounted")
            );
        }
        if folder.join(name).symlink_metadata().is_ok() {
            return Err(name_taken(name));
        }
        let failed = |error| Failure::io(format!("could not write into `{}`", folder.display()), error);
        let free = durable::free_space(folder).map_err(failed)?;
        if let (Some(needed), Some(free)) = (*length, free)
            && needed > free
        {
            return Err(no_space(needed, free));
        }
        let file =
            tempfile::Builder::new().prefix(PART_NAME.0).suffix(PART_NAME.1).tempfile_in(folder).map_err(failed)?;
        // The lock shows a second server's start that the upload is running. Without lock support, a recent modification
        // time does.
        let _unlocked = file.as_file().try_lock().is_err();
        Ok(PartialUpload { file, hasher: Hasher::new(), bytes: 0 })
    }

    fn write(mut self, chunk: &[u8]) -> Result<PartialUpload, ApiError> {
        let written = self.file.as_file_mut().write_all(chunk);
        written.map_err(|error| Failure::io("could not write the uploaded bundle", error))?;
        self.hasher.update(chunk);
        self.bytes += chunk.len() as u64;
        Ok(self)
    }

    fn finish(self, request: &UploadRequest) -> Result<ReceivedUpload, ApiError> {
        let PartialUpload { file, hasher, bytes } = self;
        if bytes == 0 {
            return Err(ApiError::new(StatusCode::BAD_REQUEST, "the request body is empty")
                .with_hint("send the bundle's bytes"));
        }
        let failed = |error| Failure::io("could not write the uploaded bundle", error);
        file.as_file().sync_all().and_then(|()| durable::make_public(file.path())).map_err(failed)?;
        match file.persist_noclobber(request.folder.join(&request.name)) {
            Ok(_) => {}
            Err(lost) if lost.error.kind() == io::ErrorKind::AlreadyExists => return Err(name_taken(&request.name)),
            Err(lost) => return Err(failed(lost.error).into()),
        }
        durable::sync_folder(&request.folder).map_err(failed)?;
        Ok(ReceivedUpload { bytes, sha256: hasher.finish() })
    }
}

/// Removes unfinished uploads of a killed server from `folder`.
pub(super) fn remove_leftovers(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let is_part = name.to_str().is_some_and(|name| name.starts_with(PART_NAME.0) && name.ends_with(PART_NAME.1));
        if is_part && entry.file_type().is_ok_and(|kind| kind.is_file()) {
            let abandoned = open_regular(&entry.path()).is_ok_and(|file| file.try_lock().is_ok());
            // A file that cannot be removed is hidden and harmless.
            let _left = abandoned && fs::remove_file(entry.path()).is_err();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;
    use futures_util::stream;
    use http_body_util::StreamBody;
    use hyper::body::Frame;

    fn request(folder: &Path, name: &str) -> UploadRequest {
        UploadRequest { folder: folder.to_owned(), creates_folder: true, name: name.to_owned(), length: None }
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("folder");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    fn body(pieces: Vec<Result<&'static [u8], io::Error>>) -> impl Body<Data = Bytes, Error = io::Error> + Unpin {
        let frames = pieces.into_iter().map(|piece| piece.map(|bytes| Frame::data(Bytes::from_static(bytes))));
        StreamBody::new(stream::iter(frames))
    }

    #[tokio::test]
    async fn an_upload_appears_complete_or_not_at_all() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let incoming = folder.path().join("incoming");
        let pace = MinRate::default();
        let received =
            receive(body(vec![Ok(b"one"), Ok(b"two")]), request(&incoming, "a.pkg"), pace).await.expect("whole");
        assert_eq!((received.bytes, received.sha256), (6, Sha256::of(b"onetwo")));
        assert_eq!(fs::read(incoming.join("a.pkg")).expect("there"), b"onetwo");
        let again = receive(body(vec![Ok(b"x")]), request(&incoming, "a.pkg"), pace).await.expect_err("taken");
        assert_eq!(again.status, StatusCode::CONFLICT);
        let lost = io::Error::from(io::ErrorKind::ConnectionReset);
        let lost =
            receive(body(vec![Ok(b"x"), Err(lost)]), request(&incoming, "b.pkg"), pace).await.expect_err("broken");
        assert_eq!(lost.status, StatusCode::BAD_REQUEST);
        let empty = receive(body(vec![]), request(&incoming, "b.pkg"), pace).await.expect_err("empty");
        assert_eq!(empty.status, StatusCode::BAD_REQUEST);
        let huge = UploadRequest { length: Some(u64::MAX), ..request(&incoming, "b.pkg") };
        let huge = receive(body(vec![Ok(b"x")]), huge, pace).await.expect_err("no space");
        assert_eq!(huge.status, StatusCode::INSUFFICIENT_STORAGE);
        let absent = UploadRequest { creates_folder: false, ..request(&folder.path().join("none"), "b.pkg") };
        let absent = receive(body(vec![Ok(b"x")]), absent, pace).await.expect_err("no folder");
        assert_eq!(absent.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(names(&incoming), ["a.pkg"]);
    }

    #[tokio::test]
    async fn a_stalled_upload_is_aborted() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let pace = MinRate { window: Duration::from_millis(40), min_bytes: 1000 };
        let silent = StreamBody::new(stream::pending::<Result<Frame<Bytes>, io::Error>>());
        let refused = receive(silent, request(folder.path(), "a.pkg"), pace).await.expect_err("silent");
        assert_eq!(refused.status, StatusCode::REQUEST_TIMEOUT);
        let drops = Box::pin(stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(15)).await;
            Some((Ok::<_, io::Error>(Frame::data(Bytes::from_static(b"x"))), ()))
        }));
        let refused = receive(StreamBody::new(drops), request(folder.path(), "a.pkg"), pace).await.expect_err("slow");
        assert_eq!(refused.status, StatusCode::REQUEST_TIMEOUT);
        assert_eq!(names(folder.path()), Vec::<String>::new());
    }

    #[test]
    fn abandoned_parts_are_removed() {
        let folder = tempfile::tempdir().expect("temporary folder");
        for name in [".upload-a.part", ".upload-b.part", ".other", "a.pkg"] {
            fs::write(folder.path().join(name), "text").expect("write");
        }
        let locked = File::open(folder.path().join(".upload-b.part")).expect("open");
        locked.try_lock().expect("locked");
        remove_leftovers(folder.path());
        assert_eq!(names(folder.path()), [".other", ".upload-b.part", "a.pkg"]);
        remove_leftovers(&folder.path().join("none"));
    }

    #[test]
    fn only_plain_file_names_are_valid() {
        for good in ["a.pkg", "20260402-2130-crates.pkg", "with space.pkg", "grün.pkg"] {
            assert!(is_valid_name(good), "{good}");
        }
        let long = format!("{}.pkg", "a".repeat(MAX_NAME_BYTES));
        for bad in [
            "", ".pkg", ".a.pkg", "a", "../a.pkg", "a/b.pkg", "a\\b.pkg", "c:a.pkg", "a\0.pkg", "a\n.pkg", " a.pkg",
            &long,
        ] {
            assert!(!is_valid_name(bad), "{bad:?}");
        }
        assert!(!is_valid_name("a\u{202e}gkp.pkg"));
    }
}
