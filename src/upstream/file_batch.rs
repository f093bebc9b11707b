//! Many files at a time: looked up in a cache, or downloaded.

use std::fmt::Display;
use std::future::Future;

use futures_util::stream::{self, StreamExt as _};

use crate::digest::Sha256;
use crate::http;
use crate::units::pluralize;

/// Files that upstream lacks or has with other bytes, each with the response.
#[derive(Debug)]
pub struct UnavailableFiles<K> {
    /// The file does not exist.
    pub absent: Vec<(K, http::Error)>,
    /// The file has another digest.
    pub altered: Vec<(K, http::Error)>,
}

impl<K> Default for UnavailableFiles<K> {
    fn default() -> UnavailableFiles<K> {
        UnavailableFiles { absent: Vec::new(), altered: Vec::new() }
    }
}

impl<K> UnavailableFiles<K> {
    /// Whether upstream has every file.
    pub fn is_empty(&self) -> bool {
        self.absent.is_empty() && self.altered.is_empty()
    }

    /// One line for each file; `kind` is the singular.
    pub(crate) fn describe(&self, kind: &str, line: impl Fn(&K, &http::Error) -> String) -> String {
        let lines: Vec<String> = self.altered.iter().chain(&self.absent).map(|(key, error)| line(key, error)).collect();
        match lines.len() {
            1 => lines.concat(),
            count => format!("{} are unavailable:\n{}", pluralize(count, kind), lines.join("\n")),
        }
    }
}

/// That these files are not cached and cannot be downloaded; `kind` is the singular.
pub(crate) fn describe_uncached(kind: &str, files: &[impl Display]) -> String {
    let names: Vec<String> = files.iter().map(ToString::to_string).collect();
    let count = match names.len() {
        1 => format!("1 {kind} is"),
        count => format!("{} are", pluralize(count, kind)),
    };
    format!("{count} not in the cache, and network access is forbidden:\n{}", names.join("\n"))
}

/// Looks up each of `keys` on blocking threads, which may hash files.
///
/// # Errors
/// The first error of `look_up`.
pub async fn find_cached<K, T, E>(
    keys: impl IntoIterator<Item = K>,
    look_up: impl Fn(K) -> Result<Option<T>, E> + Clone + Send + 'static,
) -> Result<Vec<T>, E>
where
    K: Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let keys: Vec<K> = keys.into_iter().collect();
    let running = stream::iter(keys).map(|key| {
        let look_up = look_up.clone();
        tokio::task::spawn_blocking(move || look_up(key))
    });
    let mut running = running.buffer_unordered(threads);
    let mut found = Vec::new();
    while let Some(ended) = running.next().await {
        match ended {
            Ok(looked_up) => found.extend(looked_up?),
            Err(ended) if ended.is_panic() => std::panic::resume_unwind(ended.into_panic()),
            // The program ends.
            Err(_) => {}
        }
    }
    Ok(found)
}

/// Downloads `files`, each with its expected digest, with `download`, at most `jobs` at a time. All files that upstream
/// refuses are collected.
///
/// # Errors
/// The first error of `download` stops the other downloads; so does another HTTP error, which `http_error` converts.
pub async fn download_all<K: Clone + Ord, T, E, F>(
    files: impl IntoIterator<Item = (K, Sha256)>,
    jobs: usize,
    download: impl Fn(K, Sha256) -> F,
    http_error: impl Fn(K, http::Error) -> E,
) -> Result<(Vec<(K, Sha256, T)>, UnavailableFiles<K>), E>
where
    F: Future<Output = Result<Result<T, http::Error>, E>>,
{
    let running = stream::iter(files).map(|(key, digest)| {
        let downloading = download(key.clone(), digest);
        async move { (key, digest, downloading.await) }
    });
    let mut running = std::pin::pin!(running.buffer_unordered(jobs.max(1)));
    let (mut done, mut unavailable) = (Vec::new(), UnavailableFiles::default());
    // Leaving this loop early drops the stream, which stops every download.
    while let Some((key, digest, outcome)) = running.next().await {
        match outcome? {
            Ok(file) => done.push((key, digest, file)),
            Err(error @ http::Error::NotFound { .. }) => unavailable.absent.push((key, error)),
            Err(error @ http::Error::Checksum { .. }) => unavailable.altered.push((key, error)),
            Err(error) => return Err(http_error(key, error)),
        }
    }
    for refused in [&mut unavailable.absent, &mut unavailable.altered] {
        refused.sort_by(|(one, _), (other, _)| one.cmp(other));
    }
    Ok((done, unavailable))
}
