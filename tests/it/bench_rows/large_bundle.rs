//! Rows `big`: a bundle of 1 GiB.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use super::fetch::{LOCK_HEAD, lock_entry};
use super::measure::{alternate, peak_memory, timed};
use crate::support::crates::Crate;
use crate::support::upstream::Upstream;
use crate::{Bench, Outcome};

const CRATE_COUNT: usize = 4_000;
const CRATE_BYTES: usize = 1024 * 1024 * 1024 / CRATE_COUNT;

impl Bench {
    /// A bundle of 1 GiB: pack, verify, import, and what they hold in memory.
    pub fn large_bundle(&self) -> Outcome<()> {
        let upstream = Upstream::start();
        let mut lock = LOCK_HEAD.to_owned();
        for n in 0..CRATE_COUNT {
            let name = format!("big-{n:04}");
            let packed = upstream.publish(Crate::new(&name, "1.0.0").with_extra_bytes(CRATE_BYTES));
            lock.push_str(&lock_entry(&name, &packed.cksum, &[]));
        }
        let home = self.fresh_folder("big")?;
        fs::write(home.join("Cargo.lock"), lock)?;
        let mut command = self.frostmirror(&home);
        command.args(["fetch", "--lockfile"]).arg(home.join("Cargo.lock")).arg("-o").arg(home.join("out"));
        command.env("FROSTMIRROR_REGISTRY_URL", upstream.index_url());
        let peak = peak_memory(&mut command)?;
        println!("{:<44} {:>7.0} MiB {:>39} {:>6}", "fetch and pack of 1 GiB, 4,000 crates: peak", peak, "", 100);
        drop(upstream);
        let bundle = fs::read_dir(home.join("out"))?.next().ok_or("no bundle was written")??.path();

        let verify = |bench: &Bench| {
            let mut command = bench.frostmirror(&home);
            command.arg("verify").arg(&bundle);
            command
        };
        alternate(
            || timed(&mut verify(self)),
            || timed(Command::new("openssl").args(["dgst", "-sha256"]).arg(&bundle)),
        )?
        .print("verify of 1 GiB / openssl dgst -sha256", Some(1.0));
        println!("{:<44} {:>7.0} MiB {:>39} {:>6}", "verify of 1 GiB: peak", peak_memory(&mut verify(self))?, "", 100);

        let import = |bench: &Bench, mirror: &Path| {
            let mut command = bench.frostmirror(&home);
            command.arg("import").arg(&bundle).arg("--mirror").arg(mirror);
            command
        };
        alternate(
            || {
                let mirror = self.fresh_folder("mirror")?;
                let started = Instant::now();
                timed(&mut import(self, &mirror))?;
                timed(Command::new("sync").arg("-f").arg(&mirror))?;
                Ok(started.elapsed().as_secs_f64())
            },
            || {
                let copy = self.fresh_folder("copy")?;
                let started = Instant::now();
                timed(Command::new("cp").arg(&bundle).arg(copy.join("copy.pkg")))?;
                timed(Command::new("sync").arg("-f").arg(&copy))?;
                timed(Command::new("openssl").args(["dgst", "-sha256"]).arg(&bundle))?;
                Ok(started.elapsed().as_secs_f64())
            },
        )?
        .print("import of 1 GiB / cp + openssl, synced", Some(2.0));
        let mirror = self.fresh_folder("mirror")?;
        println!(
            "{:<44} {:>7.0} MiB {:>39} {:>6}",
            "import of 1 GiB: peak",
            peak_memory(&mut import(self, &mirror))?,
            "",
            100
        );
        Ok(())
    }
}
