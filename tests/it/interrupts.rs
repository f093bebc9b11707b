//! Ctrl-C and SIGTERM in every phase: exit code 130, one message, and never the report of another fault.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::client::Project;
use crate::support::crates::Crate;
use crate::support::process::{Run, RunningProcess};
use crate::support::sandbox::Sandbox;
use crate::support::upstream::{Fault, Upstream};
use crate::support::wait;

const SIGNALS: [Signal; 2] = [Signal::INT, Signal::TERM];

/// Sends the signal as a terminal does: to our process and to the cargo that it runs.
#[track_caller]
fn interrupt(running: RunningProcess, signal: Signal) -> Run {
    running.signal_group(signal);
    let run = running.wait(Duration::from_secs(60)).exits(130);
    let errors: Vec<&str> = run.stderr.lines().filter(|line| line.contains("error")).collect();
    assert_eq!(errors, ["error: interrupted"], "{}", run.describe());
    for fault in ["could not", "warning", "Retrying", "cannot"] {
        assert!(!run.stderr.contains(fault), "{fault}: {}", run.describe());
    }
    run
}

#[test]
fn while_cargo_resolves() {
    let upstream = Upstream::start();
    upstream.publish_all(&[("leaf", "1.0.0")]);
    upstream.fault_always("/index/le/af/leaf", Fault::Hang);
    for signal in SIGNALS {
        // A depends.toml, and a workspace without a lock.
        let sandbox = Sandbox::new().upstream(&upstream);
        sandbox.write("depends.toml", "[dependencies]\nleaf = \"1\"\n");
        let app = Project::new("app").dep("leaf", "1").write(&sandbox.path("app"));
        for folder in [sandbox.path(""), app] {
            upstream.clear_log();
            let args =
                if folder.ends_with("app") { &["fetch", "--manifest-path", "Cargo.toml"][..] } else { &["fetch"] };
            let running = sandbox.process_in(&folder, args).start();
            wait::until("the index is read", || upstream.request_count("/index/le/af/leaf") > 0 && has_cargo(&sandbox));
            interrupt(running, signal);
        }
    }
}

/// Whether cargo has its home for a resolution.
fn has_cargo(sandbox: &Sandbox) -> bool {
    let files = crate::support::sandbox::read_tree(&sandbox.frostmirror_home().join("scratch"));
    files.keys().any(|path| path.ends_with("snapshot.toml"))
}

#[test]
fn when_the_signal_reaches_cargo_first() {
    let upstream = Upstream::start();
    upstream.publish_all(&[("leaf", "1.0.0")]);
    let sandbox = Sandbox::new().upstream(&upstream);
    sandbox.write("depends.toml", "[dependencies]\nleaf = \"1\"\n");
    // A cargo that is ended by the signal, which our process gets a little later.
    let script =
        "#!/bin/sh\ncase \"$*\" in *--version*) exec real-cargo --version;; esac\ntouch \"$0.ran\"\nkill -INT $$\n";
    let cargo = sandbox.path("bin/cargo");
    let real = crate::support::process::sysroot().join("bin/cargo");
    let script = script.replace("real-cargo", real.to_str().unwrap());
    crate::support::process::write_program(&cargo, script.as_bytes());
    let running = sandbox.process(["fetch"]).envs([("CARGO", &cargo)]).start();
    wait::until("cargo runs", || Path::new(&format!("{}.ran", cargo.display())).exists());
    interrupt(running, Signal::INT);
    // Without a signal to our process it is a failure of cargo, and named so.
    let run = sandbox.process(["fetch"]).envs([("CARGO", &cargo)]).run();
    assert_ne!(run.code, 130);
    run.stderr_has("cargo was ended by signal: 2");
}

#[test]
fn while_crates_are_downloaded() {
    let upstream = Upstream::start();
    upstream.publish_all(&[("leaf", "1.0.0")]);
    let path = upstream.download_path("leaf", "1.0.0");
    upstream.fault_always(&path, Fault::HangAfter(20));
    for signal in SIGNALS {
        for flags in [&[][..], &["-vv"]] {
            upstream.clear_log();
            let sandbox = Sandbox::new().upstream(&upstream);
            sandbox.write("depends.toml", "[locked]\nleaf = \"1.0.0\"\n");
            let running = sandbox.process(["fetch"]).args(flags).start();
            wait::until("the download has begun", || upstream.request_count(&path) > 0);
            interrupt(running, signal).stderr_has("downloaded files are kept");
        }
    }
}

#[test]
fn while_a_bundle_is_packed_and_verified() {
    let upstream = Upstream::start();
    let names = ["a", "b", "c", "d", "e", "f"];
    for name in names {
        upstream.publish(Crate::new(name, "1.0.0").with_extra_bytes(8_000_000));
    }
    let wanted: String = names.iter().map(|name| format!("{name} = \"1.0.0\"\n")).collect();
    for line in ["Packed crates/", "Verified crates/"] {
        let sandbox = Sandbox::new().upstream(&upstream);
        sandbox.write("depends.toml", format!("[locked]\n{wanted}"));
        let running = sandbox.process(["fetch", "-v"]).start();
        wait::until("the output contains the line", || running.stderr().contains(line));
        interrupt(running, Signal::INT);
        assert!(!sandbox.path("output/lineage.json").exists());
        assert_eq!(sandbox.read_tree("output").len(), 0);
    }
}

/// A mirror with a crate that takes long to read.
fn mirror_with_a_huge_crate(sandbox: &Sandbox, upstream: &Upstream) {
    sandbox.write("depends.toml", "[locked]\nleaf = \"1.0.0\"\n");
    upstream.publish_all(&[("leaf", "1.0.0")]);
    let bundle = sandbox.run(["fetch"]).ok().path();
    sandbox.run(["import", bundle.to_str().unwrap(), "--mirror", "mirror"]).ok();
    // Sparse on the disk.
    File::options().write(true).open(sandbox.path("mirror/crates/leaf-1.0.0.crate")).unwrap().set_len(1 << 38).unwrap();
}

#[test]
fn while_a_mirror_is_verified_or_exported() {
    let upstream = Upstream::start();
    let sandbox = Sandbox::new().upstream(&upstream);
    mirror_with_a_huge_crate(&sandbox, &upstream);
    for signal in SIGNALS {
        let running = sandbox.process(["verify", "--mirror", "mirror", "-v"]).start();
        wait::until("the work has begun", || running.stderr().contains("Verified index/le/af/leaf"));
        interrupt(running, signal);
        for form in ["local-registry", "vendor"] {
            let running = sandbox.process(["export", form, "out", "--mirror", "mirror"]).start();
            let has_begun = || {
                let entries = std::fs::read_dir(sandbox.path("")).unwrap().flatten();
                entries.into_iter().any(|entry| entry.file_name().to_string_lossy().starts_with(".frostmirror-export-"))
            };
            wait::until("the work has begun", has_begun);
            interrupt(running, signal).stderr_has("no partial files remain");
            wait::until("no temporary file is left", || !has_begun());
        }
    }
}

#[test]
fn while_a_bundle_is_imported() {
    for signal in SIGNALS {
        let sandbox = Sandbox::new();
        let fifo = sandbox.path("fifo");
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        let running = sandbox.process(["import", "fifo", "--mirror", "mirror"]).start();
        // This is open as soon as the import reads.
        let writing = File::options().write(true).open(&fifo).unwrap();
        interrupt(running, signal).stderr_has("each bundle is either completely imported or not at all");
        drop(writing);
    }
}
