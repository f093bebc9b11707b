//! Several runs on one FROSTMIRROR_HOME: what a killed one leaves is removed, and living ones share what they download.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::crates::Crate;
use crate::support::process::RunningProcess;
use crate::support::sandbox::{Sandbox, read_tree};
use crate::support::upstream::{Fault, Upstream};
use crate::support::wait;

const TIMEOUT: Duration = Duration::from_secs(60);

fn run_folders_in(base: &Path) -> Vec<PathBuf> {
    let is_run = |path: &PathBuf| path.is_dir() && path.file_name().unwrap().to_str().unwrap().starts_with("run-");
    fs::read_dir(base).into_iter().flatten().map(|entry| entry.unwrap().path()).filter(is_run).collect()
}

/// The names of all entries of the folders that have a folder for each run.
fn names_in_bases(sandbox: &Sandbox) -> Vec<String> {
    let bases = ["scratch", "cache/tmp"].map(|base| sandbox.frostmirror_home().join(base));
    let entries = bases.iter().flat_map(|base| fs::read_dir(base).unwrap());
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// A file that another process, so to speak, has locked.
fn lock_as_pid_4711(path: &Path) -> File {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, "4711").unwrap();
    let file = File::options().append(true).open(path).unwrap();
    file.lock().unwrap();
    file
}

fn publish_and_lock(upstream: &Upstream, names: &[&str], weight: usize) -> String {
    let mut lock = "version = 4\n".to_owned();
    for name in names {
        let cksum = upstream.publish(Crate::new(name, "1.0.0").with_extra_bytes(weight)).cksum;
        lock.push_str(&format!(
            "\n[[package]]\nname = \"{name}\"\nversion = \"1.0.0\"\n\
             source = \"registry+https://github.com/rust-lang/crates.io-index\"\nchecksum = \"{cksum}\"\n"
        ));
    }
    lock
}

#[test]
fn leftovers_of_a_killed_fetch_are_removed_and_those_of_a_running_one_kept() {
    let upstream = Upstream::start();
    upstream.publish_all(&[("a", "1.0.0"), ("slow", "1.0.0")]);
    upstream.fault_always("/index/sl/ow/slow", Fault::Hang);
    let sandbox = Sandbox::new().upstream(&upstream);
    sandbox.write("slow.toml", "[dependencies]\nslow = \"1\"\n");
    sandbox.write("depends.toml", "[dependencies]\na = \"1\"\n");
    let home = sandbox.frostmirror_home();
    let bases = [home.join("scratch"), home.join("cache/tmp")];
    let started = |others: &[PathBuf]| -> (RunningProcess, Vec<PathBuf>) {
        let running = sandbox.process(["fetch", "-c", "slow.toml"]).start();
        let own = || -> Vec<PathBuf> {
            bases.iter().flat_map(|base| run_folders_in(base)).filter(|path| !others.contains(path)).collect()
        };
        // Cargo's home is in one of them.
        let is_busy = || own().iter().any(|path| read_tree(path).keys().any(|path| path.ends_with("snapshot.toml")));
        wait::until("the fetch has its run folders and is busy", || own().len() == bases.len() && is_busy());
        (running, own())
    };
    let (living, stays) = started(&[]);
    let (killed, goes) = started(&stays);
    killed.signal(Signal::KILL);
    drop(killed);
    assert!(goes.iter().all(|path| path.is_dir()), "nothing cleans up after a kill");
    // The cargo that it ran ends a little later.
    wait::until("the leftovers are removed", || {
        sandbox.run(["fetch"]).ok();
        goes.iter().all(|path| !path.exists())
    });
    assert!(stays.iter().all(|path| path.is_dir()), "{stays:?}");
    living.terminate().exits(130);
    // What was in progress when it ended may stay until the next fetch.
    sandbox.run(["fetch"]).ok();
    assert_eq!(names_in_bases(&sandbox), ["lock", "lock"]);
    assert_eq!(fs::read_dir(sandbox.root().join("tmp")).unwrap().count(), 0, "nothing goes to TMPDIR");
}

#[test]
fn a_finished_run_leaves_no_temporary_files() {
    let upstream = Upstream::start();
    let names: Vec<String> = (0..20).map(|n| format!("crate{n}")).collect();
    for name in &names {
        upstream.publish(Crate::new(name, "1.0.0"));
    }
    // Index files of such crates are still being requested when the run ends.
    upstream.publish(names.iter().fold(Crate::new("root", "1.0.0"), |root, name| root.dep(name, "1")));
    let sandbox = Sandbox::new().upstream(&upstream);
    sandbox.write("depends.toml", "[dependencies]\nroot = \"1\"\n");
    sandbox.write("bad.toml", "[dependencies]\nroot = \"7\"\n");
    for _ in 0..5 {
        sandbox.run(["fetch"]).ok();
        assert_eq!(names_in_bases(&sandbox), ["lock", "lock"]);
        sandbox.run(["fetch", "--dry-run"]).ok();
        assert_eq!(names_in_bases(&sandbox), ["lock", "lock"]);
        sandbox.run(["fetch", "-c", "bad.toml"]).exits(3);
        assert_eq!(names_in_bases(&sandbox), ["lock", "lock"]);
    }
}

#[test]
fn a_download_by_another_process_is_awaited_and_its_pid_named() {
    let upstream = Upstream::start();
    let sandbox = Sandbox::new().upstream(&upstream);
    let text = publish_and_lock(&upstream, &["a"], 2_000);
    sandbox.write("Cargo.lock", &text);
    let cksum = text.rsplit("checksum = \"").next().unwrap().trim_end().trim_end_matches('"');
    let tmp = sandbox.frostmirror_home().join("cache/tmp");
    let lock = lock_as_pid_4711(&tmp.join(format!("{cksum}.lock")));
    let running = sandbox.process(["fetch", "--lockfile", "Cargo.lock"]).start();
    wait::until("the wait is reported", || {
        running.stderr().contains("Blocking waiting for the process with pid 4711, which downloads a 1.0.0")
    });
    assert_eq!(upstream.downloads(), [""; 0]);
    // That process brings nothing: this one downloads it then.
    drop(lock);
    running.wait(TIMEOUT).ok();
    assert_eq!(upstream.downloads(), [upstream.download_path("a", "1.0.0")]);
}

#[test]
fn concurrent_fetches_download_each_crate_once_and_are_both_recorded() {
    let upstream = Upstream::start();
    let sandbox = Sandbox::new().upstream(&upstream);
    let names: Vec<String> = (0..12).map(|n| format!("crate{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    sandbox.write("one/Cargo.lock", publish_and_lock(&upstream, &names, 20_000));
    sandbox.write("two/Cargo.lock", publish_and_lock(&upstream, &names[3..], 20_000));
    for name in &names {
        upstream.fault_always(&upstream.download_path(name, "1.0.0"), Fault::Delayed(Duration::from_millis(1500)));
    }
    let fetch = |folder: &str| {
        let lock = format!("{folder}/Cargo.lock");
        sandbox.process(["fetch", "-o", folder, "--lockfile", &lock]).start()
    };
    let both = [fetch("one"), fetch("two")];
    let bundles = both.map(|running| running.wait(TIMEOUT).ok().path());
    for name in &names {
        assert_eq!(upstream.request_count(&upstream.download_path(name, "1.0.0")), 1, "{name}");
    }
    for bundle in &bundles {
        sandbox.run(["verify", bundle.to_str().unwrap()]).ok();
    }
    let state = fs::read(sandbox.frostmirror_home().join("history/lineage.json")).unwrap();
    let state: Value = serde_json::from_slice(&state).unwrap();
    assert_eq!((state["bundles"].as_array().unwrap().len(), state["inputs"].as_array().unwrap().len()), (2, 2));
}

#[test]
fn the_process_that_locks_the_history_is_named() {
    let upstream = Upstream::start();
    upstream.publish_all(&[("a", "1.0.0")]);
    let sandbox = Sandbox::new().upstream(&upstream);
    sandbox.write("depends.toml", "[dependencies]\na = \"1\"\n");
    for args in [&["fetch"][..], &["fetch", "--incremental"]] {
        let lock = lock_as_pid_4711(&sandbox.frostmirror_home().join("history/lock"));
        let running = sandbox.process(args).start();
        wait::until("the wait is reported", || {
            running.stderr().contains("waiting for the process with pid 4711, which uses the history")
        });
        drop(lock);
        running.wait(TIMEOUT).ok();
    }
    let _held = lock_as_pid_4711(&sandbox.frostmirror_home().join("history/lock"));
    let running = sandbox.process(["fetch", "--incremental"]).start();
    wait::until("the wait is reported", || running.stderr().contains("4711"));
    running.terminate().exits(130);
}
