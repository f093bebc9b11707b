//! Arguments of `verify`.

use std::path::PathBuf;

/// Arguments of `verify`.
#[derive(Debug, clap::Args)]
#[command(override_usage = "cargo frostmirror verify [OPTIONS] <FILE|--mirror <DIR>>")]
pub struct Args {
    /// Bundles to check
    ///
    /// Bundles to check. With `--closure` they form a chain: a full bundle and its deltas.
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Mirror to audit
    ///
    /// Mirror to audit: every file, index line and record is checked. With FILE and `--closure`, it is the mirror that the
    /// bundles extend.
    #[arg(long, value_name = "DIR")]
    pub mirror: Option<PathBuf>,
    /// Cargo.lock to check: can the bundles or the mirror build it?
    ///
    /// Cargo.lock to check: can the bundles or the mirror build it? Every missing package is listed.
    #[arg(long, value_name = "LOCKFILE")]
    pub closure: Option<PathBuf>,
    /// Write the files to fetch again, for `fetch --from-list`
    ///
    /// Write a list of the mirror's missing and damaged files, for `fetch --from-list` on the connected side.
    #[arg(long, value_name = "FILE", requires = "mirror", conflicts_with_all = ["files", "closure"])]
    pub repair_list: Option<PathBuf>,
    /// Rebuild lost or damaged records from the mirror's files
    ///
    /// Rebuild a lost or damaged manifest.json, ledger or index line record from the mirror's files, as far as these prove
    /// it.
    #[arg(long, requires = "mirror", conflicts_with_all = ["files", "closure"])]
    pub rebuild_state: bool,
    /// Seconds to wait for the mirror's lock
    ///
    /// Seconds to wait for another process that changes the mirror. After that time the exit code is 6.
    #[arg(long, value_name = "SECS", default_value_t = 60, requires = "mirror")]
    pub lock_timeout: u64,
}
