//! Bundles from a pipe: a stalled one blocks no other import, and an invalid one is not kept.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;

use crate::bundle_builder::{BundleBuilder, all_files, assert_consistent};
use crate::support::crates::Crate;
use crate::support::process::Process;
use crate::support::sandbox::{BINARY, Sandbox};

/// Two bundles of two lineages. Half of the first is more than a pipe buffers.
fn two_bundles() -> (Sandbox, PathBuf, Vec<u8>) {
    let sandbox = Sandbox::new();
    let piped = BundleBuilder::new("a", 1).ship(Crate::new("large", "1.0.0").with_extra_bytes(1_000_000));
    let bytes = fs::read(piped.write(&sandbox.path(""), "piped.pkg")).unwrap();
    assert!(bytes.len() > 500_000);
    BundleBuilder::new("b", 1).ship(Crate::new("other", "1.0.0")).write(&sandbox.path(""), "other.pkg");
    let mirror = sandbox.path("mirror");
    (sandbox, mirror, bytes)
}

fn start_import(sandbox: &Sandbox, word: &str) -> Child {
    Command::new(BINARY)
        .args(["import", word, "--mirror", "mirror"])
        .current_dir(sandbox.path(""))
        .env("FROSTMIRROR_HOME", sandbox.frostmirror_home())
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Names below the folder that are not the mirror's.
fn entries_beside_mirror(sandbox: &Sandbox) -> Vec<String> {
    let entries = fs::read_dir(sandbox.path("")).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = entries.map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_stalled_pipe_does_not_lock_the_mirror() {
    for word in ["-", "pipe"] {
        let (sandbox, mirror, bytes) = two_bundles();
        let fifo = sandbox.path("pipe");
        assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        let mut child = start_import(&sandbox, word);
        let mut pipe: Box<dyn Write> = match word {
            "-" => Box::new(child.stdin.take().unwrap()),
            _ => Box::new(File::options().write(true).open(&fifo).unwrap()),
        };
        // It returns when all but what the pipe buffers was read: header and manifest were taken long before.
        pipe.write_all(&bytes[..bytes.len() / 2]).unwrap();
        sandbox.run(["import", "other.pkg", "--mirror", "mirror", "--lock-timeout", "0"]).ok();
        assert!(child.try_wait().unwrap().is_none(), "{word}: it waits for the rest");
        pipe.write_all(&bytes[bytes.len() / 2..]).unwrap();
        drop(pipe);
        let ended = child.wait_with_output().unwrap();
        assert!(ended.status.success(), "{word}: {}", String::from_utf8_lossy(&ended.stderr));
        assert_consistent(&mirror);
        let paths = all_files(&mirror);
        assert!(
            paths.contains_key("crates/large/1.0.0/download") || paths.keys().any(|path| path.contains("large-1.0.0"))
        );
        assert!(paths.keys().any(|path| path.contains("other-1.0.0")));
    }
}

#[test]
fn a_killed_import_from_a_pipe_leaves_nothing() {
    let (sandbox, mirror, bytes) = two_bundles();
    sandbox.run(["import", "other.pkg", "--mirror", "mirror"]).ok();
    let (before, names) = (all_files(&mirror), entries_beside_mirror(&sandbox));
    let mut child = start_import(&sandbox, "-");
    child.stdin.as_mut().unwrap().write_all(&bytes[..bytes.len() / 2]).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(all_files(&mirror), before);
    assert_eq!(entries_beside_mirror(&sandbox), names);
}

/// Writes `first` and then zeros for as long as they are read; the bytes that were taken, and what the import said.
fn import_endless_stream(sandbox: &Sandbox, first: &[u8]) -> (u64, std::process::Output) {
    let mut child = start_import(sandbox, "-");
    let mut stdin = child.stdin.take().unwrap();
    let first = first.to_vec();
    let writing = thread::spawn(move || {
        let mut taken = 0u64;
        let zeros = vec![0; 65536];
        let mut next = &first[..];
        while taken < 1 << 30 && stdin.write_all(next).is_ok() {
            taken += next.len() as u64;
            next = &zeros;
        }
        taken
    });
    let output = child.wait_with_output().unwrap();
    (writing.join().unwrap(), output)
}

#[test]
fn an_endless_stream_is_refused_early() {
    let (sandbox, mirror, bytes) = two_bundles();
    let cut = bytes.len() / 2;
    let mut damaged = bytes.clone();
    damaged[40] ^= 1;
    for (first, most) in [(&b"no bundle"[..], 1 << 20), (&damaged[..cut], cut), (&bytes[..], bytes.len() + (1 << 20))] {
        let (taken, output) = import_endless_stream(&sandbox, first);
        assert!(taken <= most as u64 + (1 << 20), "{taken} bytes were taken");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(matches!(output.status.code(), Some(3 | 4)), "{text}");
        assert!(text.contains("standard input"), "{text}");
    }
    assert!(!mirror.join("index").exists(), "nothing of it is offered");
}

#[test]
fn a_full_disk_is_reported_and_nothing_is_left() {
    let (sandbox, mirror, bytes) = two_bundles();
    sandbox.run(["import", "other.pkg", "--mirror", "mirror"]).ok();
    let (before, names) = (all_files(&mirror), entries_beside_mirror(&sandbox));
    // Files may grow to 16 KiB: the write of the copy fails as it does on a full disk.
    let script = format!("trap '' XFSZ; ulimit -f 32; exec '{BINARY}' import - --mirror mirror");
    let run = Process::new("sh", &sandbox.path("")).args(["-c", &script]).stdin(&bytes).run().exits(7);
    run.stderr_has("could not store standard input in `");
    assert_eq!(all_files(&mirror), before);
    assert_eq!(entries_beside_mirror(&sandbox), names);
}
