//! The client against local servers that misbehave on purpose.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::*;
use crate::digest::Sha256;
use crate::env::Env;
use crate::error_chain::causes;

mod responses;
mod bodies;
mod certificates;
mod redirects;
mod encodings;
mod chunk_sink;
mod resume;
mod proxies;
mod server;
mod socks;
mod host_policy;

use server::{Action, PLAIN, Server, reply};

/// Short timeouts and waits for tests.
fn settings() -> Settings {
    Settings {
        first_backoff: Duration::from_millis(2),
        low_speed_timeout: Duration::from_millis(1500),
        connect_timeout: Duration::from_millis(1500),
        ..Settings::default()
    }
}

fn client() -> Client {
    Client::new(&settings()).expect("client")
}

async fn get(url: &str) -> Result<Response, Error> {
    client().get(&Request::new(url), 1000).await
}

/// The error and its causes, one per line, as the user sees them.
fn error_chain(error: &Error) -> String {
    causes(error).map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

struct DownloadTarget {
    folder: tempfile::TempDir,
}

impl DownloadTarget {
    fn new() -> DownloadTarget {
        DownloadTarget { folder: tempfile::tempdir().expect("temporary folder") }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("file")
    }

    fn content(&self) -> Vec<u8> {
        std::fs::read(self.path()).expect("downloaded file")
    }
}

async fn download(url: &str, into: &Path, expected: &[u8], progress: &(dyn Fn(u64) + Sync)) -> Result<u64, Error> {
    client().download(&Request::new(url), into, Sha256::of(expected), 10_000_000, progress).await
}

/// A body large enough to be interrupted.
fn body() -> Vec<u8> {
    (0..=249u8).cycle().take(200_000).collect()
}

/// The rest of `body` from `from` on, as a server with range support sends it.
fn range_response(body: &[u8], from: usize) -> Vec<u8> {
    let range = format!("Content-Range: bytes {from}-{}/{}\r\n", body.len() - 1, body.len());
    reply(206, &range, &body[from..])
}

/// The first byte that a request asks for in its Range header.
fn range_start(head: &str) -> Option<usize> {
    let range = head.lines().find_map(|line| line.strip_prefix("range: bytes="))?;
    range.strip_suffix('-')?.parse().ok()
}
