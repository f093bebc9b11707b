//! What a fetch holds in memory does not grow with the text of the index.

use std::fs;
use std::time::Duration;

use crate::support::crates::Crate;
use crate::support::sandbox::Sandbox;
use crate::support::upstream::{Fault, Upstream};

/// Bytes of one index file.
const TEXT: usize = 160 * 1024;
const CRATES: usize = 700;
/// Highest resident memory of the whole run, in MiB; the texts together are 109.
const MOST: u64 = 110;

/// Highest resident memory of a living process in MiB (Linux: proc_pid_status(5), VmHWM).
fn peak_of(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? / 1024)
}

#[test]
fn the_texts_of_the_index_are_not_all_in_memory() {
    let upstream = Upstream::start();
    let sandbox = Sandbox::new().upstream(&upstream);
    let mut lock = "version = 4\n".to_owned();
    for n in 0..CRATES {
        let name = format!("large{n:03}");
        let cksum = upstream.publish(Crate::new(&name, "1.0.0")).cksum;
        lock.push_str(&format!(
            "\n[[package]]\nname = \"{name}\"\nversion = \"1.0.0\"\n\
             source = \"registry+https://github.com/rust-lang/crates.io-index\"\nchecksum = \"{cksum}\"\n"
        ));
        let line = |version: &str| {
            format!(
                "{{\"name\":\"{name}\",\"vers\":\"{version}\",\"deps\":[],\"cksum\":\"{cksum}\",\"features\":{{}},\"yanked\":false}}\n"
            )
        };
        let mut text = String::with_capacity(TEXT + 200);
        let mut minor = 0;
        while text.len() < TEXT {
            text.push_str(&line(&format!("0.{minor}.0")));
            minor += 1;
        }
        text.push_str(&line("1.0.0"));
        upstream.always(&format!("/index/la/rg/{name}"), Fault::Body(text.into_bytes()));
    }
    sandbox.write("Cargo.lock", lock);
    let running = sandbox.process(["fetch", "--lockfile", "Cargo.lock"]).start();
    let mut peak = 0;
    while !running.stderr().contains("Packed") {
        assert!(!running.stderr().contains("error"), "{}", running.stderr());
        peak = peak_of(running.pid()).unwrap_or_default().max(peak);
        std::thread::sleep(Duration::from_millis(20));
    }
    running.wait(Duration::from_secs(60)).ok();
    assert!(peak > 10 && peak <= MOST, "{peak} MiB");
}
