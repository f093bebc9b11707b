//! What `cargo xtask bench` runs: how fast and how small, as ratios of alternating runs in one sitting.
//!
//! Each row runs ours and the other side in turn, after one warm-up that is not counted, in fresh folders, at least
//! seven times. Printed are medians, the spread of the ratio pair by pair, and the goal. A ratio whose spread crosses
//! its goal decides nothing; a tool that is absent is a row that says so. The row `fuzz` takes long, and runs only where
//! it is named. The rows `mirror` print every figure for three
//! sizes of a mirror too, as a table at the end; their goals concern the largest.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a panic ends a bench, and its table is what it is for")]

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bench_rows::measure::hermetic;

mod bench_rows {
    pub mod large_bundle;
    pub mod generated_crates;
    pub mod fetch;
    pub mod fuzz;
    pub mod scaling;
    pub mod live;
    pub mod measure;
    pub mod memory;
    pub mod mirror;
    pub mod server_process;
    pub mod serve;
    pub mod toolchain;
}
#[allow(dead_code, reason = "a tool box that the tests share")]
mod support {
    pub mod client;
    pub mod crates;
    pub mod dist;
    pub mod forged_bundle;
    pub mod server_fixture;
    pub mod range_response;
    pub mod process;
    pub mod sandbox;
    pub mod resettable_stream;
    pub mod tls;
    pub mod upstream;
}
#[allow(dead_code, reason = "a tool box that the tests share")]
mod bundle_builder;
#[allow(dead_code, unused_imports, reason = "tests, of which the makers of bundles are used")]
mod bundle_legacy;
#[allow(dead_code, unused_imports, reason = "tests, of which the makers of bundles are used")]
mod import_dist_files;
#[allow(dead_code, reason = "its tests are not in a bench")]
mod fuzz;
mod kill;
mod bench_kill;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// The names of the rows.
const ROWS: &[&str] =
    &["lock", "depends", "memory", "big", "toolchain", "mirror", "serve", "live", "kill", "fuzz", "network"];

/// Runs the rows whose name contains one of the words given; all of them but `fuzz` if there is none.
fn main() -> Outcome<()> {
    let filters: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let bench = Bench {
        ours: env!("CARGO_BIN_EXE_cargo-frostmirror").into(),
        work: tempfile::tempdir()?,
        folders: Cell::new(0),
    };
    if let Some(unknown) = filters.iter().find(|filter| ROWS.iter().all(|name| !name.contains(filter.as_str()))) {
        return Err(format!("no row is named `{unknown}`; rows: {}", ROWS.join(" ")).into());
    }
    let wanted = |name: &str| filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str()));
    println!("{:<44} {:>10} {:>10} {:>8} {:>17} {:>6}", "row", "ours", "other", "ratio", "spread", "goal");
    if wanted("lock") {
        bench.locks()?;
    }
    if wanted("depends") {
        bench.depends()?;
    }
    if wanted("memory") {
        bench.memory()?;
    }
    if wanted("big") {
        bench.large_bundle()?;
    }
    if wanted("toolchain") {
        bench.toolchains()?;
    }
    if wanted("mirror") {
        bench.mirrors()?;
    }
    if wanted("serve") {
        bench.serving()?;
    }
    if wanted("live") {
        bench.live()?;
    }
    if wanted("kill") {
        bench_kill::run_kills();
    }
    if filters.iter().any(|filter| filter == "fuzz") {
        bench_rows::fuzz::run_fuzz()?;
    }
    if wanted("network") {
        bench.network(Path::new(env!("CARGO_MANIFEST_DIR")))?;
    }
    Ok(())
}

struct Bench {
    ours: PathBuf,
    work: tempfile::TempDir,
    folders: Cell<u32>,
}

impl Bench {
    fn path(&self, name: &str) -> PathBuf {
        self.work.path().join(name)
    }

    /// An empty folder that no earlier round used. What earlier rounds left is deleted at the end of all of them: ext4
    /// passes over the inodes of files that were deleted in the last minutes, and creating files beside them is slow.
    fn fresh_folder(&self, name: &str) -> Outcome<PathBuf> {
        let number = self.folders.get();
        self.folders.set(number + 1);
        let path = self.path(&format!("{name}-{number}"));
        fs::create_dir_all(&path)?;
        Ok(path)
    }

    fn frostmirror(&self, home: &Path) -> Command {
        let mut command = Command::new(&self.ours);
        hermetic(&mut command, home);
        command.env("FROSTMIRROR_HOME", home.join("state"));
        command
    }
}
