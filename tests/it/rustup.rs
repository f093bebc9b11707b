//! The real rustup with our fake upstream and with our mirrors.

use crate::support::dist::{Dist, LINUX, NIGHTLY, STABLE, WASM};
use crate::support::rustup::{self, Rustup};

#[test]
fn the_fake_upstream_is_one_that_rustup_takes_for_real() {
    let dist = Dist::start();
    let Some(rustup) = Rustup::at(dist.url()) else { return };
    dist.publish_rustup(&rustup::version().unwrap(), &[LINUX], b"never asked for");
    rustup.init(["--default-toolchain", "stable"]).ok().stderr_lacks("missing parent");
    rustup.tool("rustc", ["-V"]).ok().stdout_has(&format!("rustc {}", STABLE.0));
    rustup.run(["toolchain", "install", "1.86", "--profile", "default", "-t", WASM, "-c", "rust-src"]).ok();
    assert!(rustup.toolchain("1.86").join("lib/rustlib/src/rust/library/std/src/lib.rs").is_file());
    rustup.run(["toolchain", "install", &format!("nightly-{}", NIGHTLY.1), "-c", "miri"]).ok();
    let archives = |ending: &str| dist.requests().iter().filter(|seen| seen.path.ends_with(ending)).count();
    assert!(archives(".tar.xz") > 10 && archives(".tar.gz") == 0, "rustup prefers xz");
}
