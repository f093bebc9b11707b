//! `cargo xtask dist`: a release archive and its checksum, named as cargo-binstall expects (Cargo.toml's
//! `package.metadata.binstall` says the same).

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::{TaskResult, cargo, output, repository_root, run, target_dir};

/// What goes along with the binary.
const EXTRA_FILES: &[&str] = &["README.md", "CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE", "completions"];

/// Builds for `triple` (this machine where it is `None`) and packs.
pub fn run_for(triple: Option<&str>) -> TaskResult {
    let host = host_triple()?;
    let triple = triple.unwrap_or(&host);
    if triple.contains("windows") {
        return Err("archives for Windows are not made yet".to_owned());
    }
    run(&mut cargo(&["build", "--release", "--locked", "--bin", "cargo-frostmirror", "--target", triple]))?;
    let name = format!("cargo-frostmirror-{triple}-v{}", package_version()?);
    let dist = target_dir().join("dist");
    let stage = dist.join(&name);
    if stage.exists() {
        fs::remove_dir_all(&stage).map_err(|error| format!("{}: {error}", stage.display()))?;
    }
    fs::create_dir_all(&stage).map_err(|error| format!("{}: {error}", stage.display()))?;
    let binary = target_dir().join(triple).join("release/cargo-frostmirror");
    run(Command::new("cp").args(["-p", "--"]).arg(&binary).arg(&stage))?;
    for companion in EXTRA_FILES {
        run(Command::new("cp").args(["-R", "--"]).arg(repository_root().join(companion)).arg(&stage))?;
    }
    let archive = format!("{name}.tgz");
    run(Command::new("tar").current_dir(&dist).args(["-czf", &archive, &name]))?;
    fs::remove_dir_all(&stage).map_err(|error| format!("{}: {error}", stage.display()))?;
    let checksum = checksum(&dist, &archive)?;
    let path = dist.join(format!("{archive}.sha256"));
    fs::write(&path, checksum).map_err(|error| format!("{}: {error}", path.display()))?;
    println!("{}\n{}", dist.join(&archive).display(), path.display());
    Ok(())
}

/// The line that `sha256sum --check` reads.
fn checksum(folder: &Path, file: &str) -> Result<Vec<u8>, String> {
    let linux = output(Command::new("sha256sum").current_dir(folder).arg(file));
    linux.or_else(|_| output(Command::new("shasum").current_dir(folder).args(["-a", "256", file])))
}

fn host_triple() -> Result<String, String> {
    let text = output(Command::new("rustc").arg("-vV"))?;
    let text = String::from_utf8_lossy(&text);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| "`rustc -vV` names no host".to_owned())
}

fn package_version() -> Result<String, String> {
    let path = repository_root().join("Cargo.toml");
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let version = text.lines().find_map(|line| line.strip_prefix("version = \"")?.strip_suffix('"'));
    version.map(str::to_owned).ok_or_else(|| format!("{} has no version", path.display()))
}
