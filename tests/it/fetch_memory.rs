//! What a fetch holds in memory does not grow with the text of the index.

use std::fs;
use std::time::Duration;

use crate::support::crates::Crate;
use crate::support::sandbox::Sandbox;
use crate::support::upstream::{Fault, Upstream};

/// Bytes of one index file.
const INDEX_FILE_BYTES: usize = 160 * 1024;
const CRATES: usize = 700;
/// Highest resident memory of the whole run, in MiB; the texts together are 109.
const MAX_PEAK_MIB: u64 = 110;

/// Highest resident memory of a living process in MiB (Linux: proc_pid_status(5), VmHWM).
fn peak_memory_of(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? / 1024)
}

#[test]
fn fetch_does_not_keep_all_index_texts_in_memory() {
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
        let mut text = String::with_capacity(INDEX_FILE_BYTES + 200);
        let mut minor = 0;
        while text.len() < INDEX_FILE_BYTES {
            text.push_str(&line(&format!("0.{minor}.0")));
            minor += 1;
        }
        text.push_str(&line("1.0.0"));
        upstream.fault_always(&format!("/index/la/rg/{name}"), Fault::Body(text.into_bytes()));
    }
    sandbox.write("Cargo.lock", lock);
    let running = sandbox.process(["fetch", "--lockfile", "Cargo.lock"]).start();
    let mut peak = 0;
    while !running.stderr().contains("Packed") {
        assert!(!running.stderr().contains("error"), "{}", running.stderr());
        peak = peak_memory_of(running.pid()).unwrap_or_default().max(peak);
        std::thread::sleep(Duration::from_millis(20));
    }
    running.wait(Duration::from_secs(60)).ok();
    assert!(peak > 10 && peak <= MAX_PEAK_MIB, "{peak} MiB");
}
