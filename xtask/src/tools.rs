//! Programs that tests need and that no Rust toolchain brings: installed with apt where that is possible.

use std::path::Path;
use std::process::Command;

use crate::{TaskResult, output, run};

/// A program and Debian's package of it.
const APT_PACKAGES: &[(&str, &str)] = &[
    // The pages are tried in a real browser.
    ("chromium", "chromium"),
    ("chromedriver", "chromium-driver"),
    // The server is tried behind a real proxy.
    ("nginx", "nginx"),
    // The scripts that clients run are looked through.
    ("shellcheck", "shellcheck"),
];

/// Installs what is missing.
pub fn install_missing() -> TaskResult {
    let missing: Vec<&str> =
        APT_PACKAGES.iter().filter(|(program, _)| !is_installed(program)).map(|(_, package)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let command = format!("apt-get update && apt-get install --no-install-recommends {}", missing.join(" "));
    let me = output(Command::new("id").arg("-u"))?;
    if !is_installed("apt-get") || me.trim_ascii() != b"0" {
        // The tests that need them are named when the others run.
        eprintln!(
            "xtask: tests need {}, which only root installs here, with apt-get:\n    {command}",
            missing.join(", ")
        );
        return Ok(());
    }
    let by_hand = |why: &str| format!("{why}; install the programs by hand:\n    {command}");
    eprintln!("xtask: installing {}", missing.join(", "));
    // The lists of a new machine are empty; of an old one they name versions that are gone.
    run(&mut apt(&["update", "--quiet"]))?;
    run(apt(&["install", "--yes", "--quiet", "--no-install-recommends"]).args(&missing))
        .map_err(|problem| by_hand(&problem))
}

fn apt(args: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").args(args);
    command
}

/// Whether the program is on the PATH, or where Debian keeps servers.
pub fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = std::env::split_paths(&path);
    folders.any(|folder| folder.join(program).is_file()) || Path::new("/usr/sbin").join(program).is_file()
}
