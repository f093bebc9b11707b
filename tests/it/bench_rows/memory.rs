//! The rows `memory`: what `fetch` holds in memory of a set as large as the largest real Cargo.lock that was tried.

use std::fs;

use super::fetch::{LOCK_HEAD, lock_entry, replacement};
use super::measure::{peak_memory, verdict};
use crate::support::crates::{Crate, index_path};
use crate::support::upstream::Upstream;
use crate::{Bench, Outcome};

/// Packages of that lock.
const CRATES: usize = 3_653;
/// Versions that each index file lists. With their dependencies they come to 30 kB, as on average in such a lock.
const VERSIONS: usize = 40;
/// Bytes of a crate, which cannot be compressed.
const CRATE_BYTES: usize = 8_000;
/// MiB at most.
const MAX_PEAK_MIB: f64 = 150.0;

impl Bench {
    /// The whole set with cold caches; then a delta with one crate, for which every index line that was sent is held against
    /// upstream's.
    pub fn memory(&self) -> Outcome<()> {
        let upstream = Upstream::builder().tls().start();
        let home = self.fresh_folder("memory")?;
        let ca = home.join("ca.pem");
        fs::write(&ca, upstream.ca_pem())?;
        fs::write(home.join("config.toml"), replacement(&upstream.index_url(), &format!("[http]\ncainfo = {ca:?}\n")))?;
        fs::write(home.join("Cargo.lock"), publish(&upstream))?;
        let fetch = |args: &[&str]| {
            let mut command = self.frostmirror(&home);
            command.arg("fetch").args(args).arg("-o").arg(home.join("out"));
            command
        };
        self.peak("fetch of 3,653 crates: peak", fetch(&["--lockfile", "Cargo.lock"]))?;
        upstream.yank(&crate_name(7), "1.0.0", true);
        self.peak("delta of 1 crate on 3,653 sent: peak", fetch(&["--incremental", "--crate", &crate_name(CRATES - 1)]))
    }

    fn peak(&self, row: &str, mut command: std::process::Command) -> Outcome<()> {
        let peak = peak_memory(&mut command)?;
        println!("{row:<44} {peak:>7.0} MiB {:>39} {MAX_PEAK_MIB:>6} {}", "", verdict(peak, peak, Some(MAX_PEAK_MIB)));
        Ok(())
    }
}

fn crate_name(n: usize) -> String {
    format!("wide-{n:04}")
}

/// Publishes the crates and gives their lock.
fn publish(upstream: &Upstream) -> String {
    let mut lock = LOCK_HEAD.to_owned();
    for n in 0..CRATES {
        let deps: Vec<String> = (1..6).map(|k| n + k * 31).filter(|n| *n < CRATES).map(crate_name).collect();
        let item = Crate::new(&crate_name(n), "1.0.0").with_extra_bytes(CRATE_BYTES);
        let packed = upstream.publish(deps.iter().fold(item, |item, dep| item.dep(dep, "^1")));
        let older = (0..VERSIONS).map(|minor| packed.line.replace("\"1.0.0\"", &format!("\"0.{minor}.0\"")) + "\n");
        let text = format!("{}{}\n", older.collect::<String>(), packed.line);
        upstream.set_index(&index_path(&crate_name(n)), &text);
        lock.push_str(&lock_entry(&crate_name(n), &packed.cksum, &[]));
    }
    lock
}
