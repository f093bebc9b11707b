//! All that a person does with rustup, against any mirror that has the fake upstream's first releases.

use crate::support::dist::release::Release;
use crate::support::dist::{DistServer, LINUX, NIGHTLY, OLD_STABLE, STABLE, WASM};
use crate::support::rustup::{self, Rustup};

/// Installs, adds, checks and updates with nothing but the mirror at `base` (`http://…` or `file://…`). It must hold this
/// machine's version of rustup.
#[track_caller]
pub fn exercise_rustup(base: &str) {
    let rustup = Rustup::for_mirror(base);
    // From nothing: rustup itself and stable.
    rustup.init(["--default-toolchain", "stable"]).ok();
    let says = |toolchain: &str, version: &str| {
        let run = rustup.tool("rustc", [&format!("+{toolchain}") as &str, "-V"]).ok();
        assert!(run.stdout.starts_with(&format!("rustc {version} ")), "{}", run.describe());
    };
    says("stable", STABLE.0);
    // A pinned one, its alias, a dated nightly and a dated stable.
    let dated = [format!("nightly-{}", NIGHTLY.1), format!("stable-{}", OLD_STABLE.1)];
    for (name, version) in [
        (OLD_STABLE.0, OLD_STABLE.0),
        ("1.86", OLD_STABLE.0),
        ("1.95.0", STABLE.0),
        (&dated[0], NIGHTLY.0),
        (&dated[1], OLD_STABLE.0),
    ] {
        rustup.run(["toolchain", "install", name]).ok();
        says(name, version);
    }
    rustup.run(["toolchain", "install", "nightly", "--profile", "default", "-c", "miri"]).ok();
    rustup.tool("rustfmt", ["+nightly"]).ok().stdout_has(&format!("rustfmt {}", NIGHTLY.0));
    // A target and components later on.
    rustup.run(["target", "add", WASM]).ok();
    assert!(rustup.toolchain("stable").join(format!("lib/rustlib/{WASM}/lib/libstd.rlib")).is_file());
    rustup.run(["component", "add", "clippy", "rustfmt", "rust-src"]).ok();
    rustup.tool("cargo-clippy", [""; 0]).ok().stdout_has(STABLE.0);
    // A project's own file, which installs by itself what it names.
    let project = rustup.path("home/project");
    std::fs::create_dir(&project).unwrap();
    let file = format!("[toolchain]\nchannel = \"nightly-{}\"\ncomponents = [\"rust-analyzer\"]\n", NIGHTLY.1);
    std::fs::write(project.join("rust-toolchain.toml"), file).unwrap();
    let requested = rustup.process(rustup.path("cargo/bin/rustup")).args(["-v", "toolchain", "install"]);
    requested.cwd(&project).run().ok();
    assert!(rustup.toolchain(&dated[0]).join("bin/rust-analyzer").is_file());
    // Nothing is new.
    rustup.run(["check"]).ok().stdout_has("stable-x86_64-unknown-linux-gnu - up to date");
    let update = rustup.run(["update"]).ok();
    assert!(update.stdout.contains(&format!("stable-{LINUX} unchanged")), "{}", update.describe());
    rustup.run(["self", "update"]).ok();
    // What is not there is said to be missing.
    rustup.run(["toolchain", "install", "1.20.0"]).exits(1).stderr_has("1.20.0");
}

/// Upstream publishes a new stable and a new rustup, and `renew` brings them into the mirror of `rustup`'s.
#[track_caller]
pub fn update_to_new_release(rustup: &Rustup, dist: &DistServer, renew: impl Fn(&DistServer)) {
    rustup.run(["toolchain", "install", "stable"]).ok();
    dist.publish(&Release::stable("1.96.0", "2026-05-28"));
    dist.publish_rustup("9.9.10", &[LINUX], &rustup::local_binary());
    renew(dist);
    rustup.run(["check"]).exits(100).stdout_has("1.96.0").stdout_has("9.9.10");
    rustup.run(["update", "--no-self-update"]).ok();
    rustup.tool("rustc", ["+stable", "-V"]).ok().stdout_has("rustc 1.96.0");
    rustup.run(["self", "update"]).ok().stderr_has("9.9.10");
    rustup.tool("rustc", ["+stable", "-V"]).ok().stdout_has("rustc 1.96.0");
}
