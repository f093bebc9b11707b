//! The sandbox itself: nothing hangs, nothing leaks in, and what was started ends.

use std::time::{Duration, Instant};

use crate::support::process::Process;
use crate::support::sandbox::Sandbox;
use crate::support::wait;

fn shell(sandbox: &Sandbox, script: &str) -> Process {
    Process::new("sh", &sandbox.path("")).args(["-c", script])
}

#[test]
fn a_hanging_process_is_killed_with_its_children() {
    let sandbox = Sandbox::new();
    let start = Instant::now();
    let hanging =
        shell(&sandbox, "echo begun; sleep 300 & echo $! > child; sleep 300").timeout(Duration::from_millis(300));
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| hanging.run())).unwrap_err();
    let message = panic.downcast_ref::<String>().unwrap();
    assert!(message.contains("was still running after 300ms") && message.contains("begun"), "{message}");
    assert!(start.elapsed() < Duration::from_secs(30));
    // A killed orphan may stay a zombie until it is reaped.
    let state = format!("grep -q 'State:.[^ZX]' /proc/{}/status", sandbox.read("child").trim());
    wait::until("the child process has ended", || shell(&sandbox, &state).run().code != 0);
}

#[test]
fn the_environment_is_isolated() {
    let sandbox = Sandbox::new();
    let printed = shell(&sandbox, "env").run().ok().stdout;
    let names: Vec<&str> = printed.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    let known = ["PATH", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN", "LANG", "PWD", "SHLVL", "_", "OLDPWD"];
    let strange: Vec<&&str> = names.iter().filter(|name| !known.contains(name)).collect();
    assert!(strange.is_empty(), "{strange:?}");
}

#[test]
fn paths_and_ports_are_redacted() {
    let sandbox = Sandbox::new();
    let text = format!("at {} on 127.0.0.1:4711/index, 127.0.0.1: no", sandbox.path("x").display());
    assert_eq!(sandbox.redact(&text), "at [ROOT]/desk/x on 127.0.0.1:[PORT]/index, 127.0.0.1: no");
}

#[test]
fn a_death_by_signal_gives_the_exit_code_of_a_shell() {
    let sandbox = Sandbox::new();
    assert_eq!(shell(&sandbox, "kill -9 $$").run().code, 137);
    assert_eq!(shell(&sandbox, "cat; exit 3").stdin(b"given").run().exits(3).stdout, "given");
}
