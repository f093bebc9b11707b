//! The client beside a kill: every index line names a served crate with its digest, and every channel names served components.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use frostmirror::digest::Sha256;
use frostmirror::index_line::IndexLine;

use crate::import_dist_files::HOST;
use crate::support::server_fixture::RawConnection;
use crate::support::wait;

/// The beginning of the URLs in channel manifests.
const UPSTREAM: &str = "https://static.rust-lang.org/";
/// The time between two passes.
const PAUSE: Duration = Duration::from_millis(2);
const RUSTUP_RELEASE: &str = "rustup/release-stable.toml";

/// The files of a mirror that a client reads first.
pub struct ServedFiles {
    /// Index files.
    index: BTreeSet<String>,
    /// Channel manifests, and rustup's release file.
    channels: BTreeSet<String>,
    /// Crates that a state lists and does not store with their digest: the damage that a command is to repair.
    damaged: BTreeSet<String>,
}

/// Ends the reader, also if the work beside it panics.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl ServedFiles {
    /// The files of these states of a mirror.
    pub fn of<const N: usize>(states: [&BTreeMap<String, Vec<u8>>; N]) -> ServedFiles {
        let mut found = ServedFiles { index: BTreeSet::new(), channels: BTreeSet::new(), damaged: BTreeSet::new() };
        for state in states {
            for (path, bytes) in state.iter().filter(|(path, _)| !path.ends_with('/')) {
                if path.starts_with("index/") && path != "index/config.json" {
                    found.index.insert(path.clone());
                    for line in lines_of(bytes) {
                        let file = line.id.crate_path().to_string();
                        if state.get(&file).is_none_or(|bytes| Sha256::of(bytes) != line.cksum) {
                            found.damaged.insert(file);
                        }
                    }
                } else if path == RUSTUP_RELEASE || path.starts_with("dist/") && path.ends_with(".toml") {
                    found.channels.insert(path.clone());
                }
            }
        }
        assert!(!found.index.is_empty());
        found
    }

    /// Reads again and again while `work` runs.
    pub fn read_during<T>(&self, url: &str, work: impl FnOnce() -> T) -> T {
        let (stop, passes) = (AtomicBool::new(false), AtomicU64::new(0));
        std::thread::scope(|scope| {
            let stopper = StopOnDrop(&stop);
            let reading = scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    self.read_all(url);
                    passes.fetch_add(1, Ordering::SeqCst);
                    // So that the reader does not take the processor from what it watches.
                    std::thread::sleep(PAUSE);
                }
            });
            wait::until("the first pass of the reader", || {
                assert!(!reading.is_finished(), "the reader failed");
                passes.load(Ordering::SeqCst) > 0
            });
            let result = work();
            drop(stopper);
            reading.join().unwrap();
            result
        })
    }

    /// Reads every index file and every channel, and what they name.
    pub fn read_all(&self, url: &str) {
        let mut wire = RawConnection::connect(url);
        for path in &self.index {
            for line in lines_of(&fetch(&mut wire, path).unwrap_or_default()) {
                let file = line.id.crate_path().to_string();
                if self.damaged.contains(&file) || is_served(&mut wire, &file, line.cksum) {
                    continue;
                }
                // A line is removed before its crate. So a reader who misses the crate no longer finds the line.
                let text = fetch(&mut wire, path).unwrap_or_default();
                let is_listed = lines_of(&text).iter().any(|other| other.id == line.id && other.cksum == line.cksum);
                assert!(!is_listed, "/{path} lists {}, but it is not served", line.id);
            }
        }
        for path in &self.channels {
            let Some(text) = fetch(&mut wire, path) else { continue };
            for (component, digest) in named_components(path, &text) {
                if !is_served(&mut wire, &component, digest) {
                    let now = fetch(&mut wire, path);
                    assert!(now.as_ref() != Some(&text), "/{path} names {component}, but it is not served");
                }
            }
        }
    }
}

fn lines_of(text: &[u8]) -> Vec<IndexLine> {
    IndexLine::parse_file(&String::from_utf8_lossy(text)).collect()
}

fn is_served(wire: &mut RawConnection, path: &str, digest: Sha256) -> bool {
    fetch(wire, path).is_some_and(|bytes| Sha256::of(&bytes) == digest)
}

/// The body of a response; `None` if there is no such file.
fn fetch(wire: &mut RawConnection, path: &str) -> Option<Vec<u8>> {
    let reply = wire.request("GET", &format!("/{path}"), &[]).read_reply();
    assert!([200, 404].contains(&reply.status), "/{path}: {}", reply.status);
    (reply.status == 200).then_some(reply.body)
}

/// The files for this host that a channel manifest or rustup's release file names, with their digests.
fn named_components(path: &str, text: &[u8]) -> Vec<(String, Sha256)> {
    let text: toml::Table = std::str::from_utf8(text).unwrap().parse().unwrap();
    if path == RUSTUP_RELEASE {
        let version = text["version"].as_str().unwrap();
        let digest = Sha256::of(format!("rustup {version}").as_bytes());
        return vec![(format!("rustup/archive/{version}/{HOST}/rustup-init"), digest)];
    }
    let target = &text["pkg"]["cargo"]["target"][HOST];
    let url = target["xz_url"].as_str().unwrap().strip_prefix(UPSTREAM).unwrap();
    vec![(url.to_owned(), target["xz_hash"].as_str().unwrap().parse().unwrap())]
}
