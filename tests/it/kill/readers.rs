//! Who reads meanwhile: the real cargo, and a client that compares every current file with what it must be.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::ScopedJoinHandle;
use std::time::Duration;

use frostmirror::digest::Sha256;

use super::victims::kept_crate_name;
use crate::support::client::{Client, Project};
use crate::support::sandbox::Sandbox;
use crate::support::server_fixture::RawConnection;

/// What is served before, while and after.
pub struct ServedFiles {
    /// Lines by the path of their index file.
    lines: BTreeMap<String, BTreeSet<String>>,
    /// Crates by their path.
    crates: BTreeMap<String, Vec<u8>>,
    /// Whether a line may disappear after it was read and before its crate is requested.
    lines_may_disappear: bool,
}

/// Two projects with their locks: one needs every name, the other is small enough to be built all the time.
pub struct Projects {
    wide: PathBuf,
    small: PathBuf,
    /// `config.toml` of a client, with `[URL]` for the server's address.
    config: String,
}

/// Readers at work.
pub struct Readers<'scope> {
    threads: Vec<(ScopedJoinHandle<'scope, ()>, &'scope PassCounters)>,
}

/// The passes of one reader.
#[derive(Default)]
struct PassCounters {
    started: AtomicU64,
    completed: AtomicU64,
    files_read: AtomicU64,
}

/// Ends the readers, also where what goes on beside them panics.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl ServedFiles {
    /// What two states of a mirror have in common.
    pub fn common_to(
        before: &BTreeMap<String, Vec<u8>>,
        after: &BTreeMap<String, Vec<u8>>,
        lines_go: bool,
    ) -> ServedFiles {
        let (mut lines, mut crates) = (BTreeMap::new(), BTreeMap::new());
        for (path, old) in before.iter().filter(|(path, _)| !path.ends_with('/')) {
            let Some(new) = after.get(path) else { continue };
            if path.starts_with("crates/") && path != "crates/index" {
                assert_eq!(old, new, "{path}");
                crates.insert(path.clone(), old.clone());
            } else if path.starts_with("index/") && path != "index/config.json" {
                lines.insert(path.clone(), line_set(old).intersection(&line_set(new)).cloned().collect());
            }
        }
        assert!(!crates.is_empty() && !lines.is_empty());
        ServedFiles { lines, crates, lines_may_disappear: lines_go }
    }

    /// Reads everything over one connection; how many files that were.
    fn verify_served(&self, url: &str) -> u64 {
        let mut wire = RawConnection::connect(url);
        let mut files = 1;
        let config = wire.request("GET", "/index/config.json", &[]).read_reply();
        assert!(config.status == 200 && config.text().contains("\"dl\""), "{config:?}");
        let mut others = BTreeMap::new();
        for (path, expected) in &self.lines {
            let answer = wire.request("GET", &format!("/{path}"), &[]).read_reply();
            assert_eq!(answer.status, 200, "/{path}");
            let there = line_set(&answer.body);
            assert!(expected.is_subset(&there), "/{path} lacks lines of what is current: {there:?}");
            for line in there.difference(expected) {
                let line: serde_json::Value = serde_json::from_str(line).expect("whole lines");
                let text = |key: &str| line[key].as_str().unwrap().to_owned();
                others.insert(format!("crates/{}-{}.crate", text("name"), text("vers")), text("cksum"));
            }
            files += 1;
        }
        for (path, expected) in &self.crates {
            let answer = wire.request("GET", &format!("/{path}"), &[]).read_reply();
            assert_eq!(answer.status, 200, "/{path}");
            assert!(answer.body == *expected, "/{path} has wrong bytes");
            files += 1;
        }
        // What comes or goes is right as long as it is there.
        for (path, cksum) in others.iter().filter(|(path, _)| !self.crates.contains_key(*path)) {
            let answer = wire.request("GET", &format!("/{path}"), &[]).read_reply();
            match answer.status {
                200 => assert_eq!(Sha256::of(&answer.body).to_string(), *cksum, "/{path}"),
                404 => assert!(self.lines_may_disappear, "/{path} is listed and not there"),
                status => panic!("/{path}: {status}"),
            }
            files += 1;
        }
        files
    }
}

fn line_set(text: &[u8]) -> BTreeSet<String> {
    String::from_utf8_lossy(text).lines().map(str::to_owned).collect()
}

impl Projects {
    /// Projects on what `prepared` and every other mirror here has, locked by cargo.
    pub fn create(sandbox: &Sandbox, prepared: &Path, names: usize) -> Projects {
        let config = sandbox
            .run(["setup", "--offline", "--url", "http://localhost:1"])
            .ok()
            .stdout
            .replace("http://localhost:1", "[URL]");
        let serving = sandbox.serve(["--mirror".as_ref(), prepared.as_os_str()]);
        let make = |name: &str, count: usize| {
            let project = (0..count).fold(Project::new(name), |project, n| project.dep(&kept_crate_name(n), "=1.0.0"));
            let folder = project.write(&sandbox.path(name));
            client(&config, serving.url()).lock(&folder);
            folder
        };
        Projects { wide: make("wide", names), small: make("small", 3), config }
    }

    /// One run of cargo, in a clean home.
    fn run_cargo(&self, url: &str, builds: bool) {
        let client = client(&self.config, url);
        if !builds {
            client.cargo(&self.wide, ["fetch", "--locked", "--quiet"]).ok();
            return;
        }
        let target = self.small.join("target");
        if target.exists() {
            fs::remove_dir_all(&target).unwrap();
        }
        client.cargo(&self.small, ["build", "--locked", "--quiet"]).ok();
    }
}

fn client(config: &str, url: &str) -> Client {
    assert!(config.contains("[URL]"));
    Client::new().config(&config.replace("[URL]", url))
}

impl Readers<'_> {
    /// Runs `work` while everybody reads from the server at `url`: from before it begins until each has read everything
    /// once more after it. Gives what it gives, the runs of cargo, and the files that our own client read.
    pub fn run_during<T>(
        url: &str,
        current: &ServedFiles,
        projects: &Projects,
        work: impl FnOnce(&Readers) -> (Duration, T),
    ) -> (Duration, T, [u64; 2]) {
        let (stop, passes) = (AtomicBool::new(false), [PassCounters::default(), PassCounters::default()]);
        let [cargo, own] = &passes;
        let worked = std::thread::scope(|scope| {
            let stopper = StopOnDrop(&stop);
            let building = scope.spawn(|| {
                cargo.run_until_stopped(&stop, |n| {
                    projects.run_cargo(url, n % 2 == 0);
                    0
                })
            });
            let reading = scope.spawn(|| own.run_until_stopped(&stop, |_| current.verify_served(url)));
            let readers = Readers { threads: vec![(building, cargo), (reading, own)] };
            let worked = work(&readers);
            readers.wait_for_pass();
            drop(stopper);
            for (one, _) in readers.threads {
                one.join().unwrap();
            }
            worked
        });
        let counted = [cargo.completed.load(Ordering::SeqCst), own.files_read.load(Ordering::SeqCst)];
        (worked.0, worked.1, counted)
    }

    /// Waits until each has begun a pass from now on and ended it; fails where one of them failed.
    pub fn wait_for_pass(&self) {
        let begun: Vec<u64> = self.threads.iter().map(|(_, passes)| passes.started.load(Ordering::SeqCst)).collect();
        for ((one, passes), begun) in self.threads.iter().zip(begun) {
            while passes.completed.load(Ordering::SeqCst) <= begun {
                assert!(!one.is_finished(), "a reader failed");
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    }
}

impl PassCounters {
    fn run_until_stopped(&self, stop: &AtomicBool, pass: impl Fn(u64) -> u64) {
        while !stop.load(Ordering::SeqCst) {
            let n = self.started.fetch_add(1, Ordering::SeqCst);
            self.files_read.fetch_add(pass(n), Ordering::SeqCst);
            self.completed.fetch_add(1, Ordering::SeqCst);
        }
    }
}
