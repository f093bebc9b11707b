//! `cargo xtask gen`: completions and man pages, made by the binary itself and committed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{TaskResult, cargo, output, repository_root, run, target_dir};

/// Shells, and what their scripts are called where the shells look for them.
const SHELLS: &[(&str, &str)] = &[
    ("bash", "cargo-frostmirror.bash"),
    ("zsh", "_cargo-frostmirror"),
    ("fish", "cargo-frostmirror.fish"),
    ("powershell", "_cargo-frostmirror.ps1"),
    ("elvish", "cargo-frostmirror.elv"),
];

/// Writes the files, and removes files that are no longer generated.
pub fn write_files() -> TaskResult {
    let fresh = generate()?;
    let folder = committed_folder();
    for path in read_files(&folder)?.keys().filter(|path| !fresh.contains_key(*path)) {
        fs::remove_file(folder.join(path)).map_err(|error| io_message(&folder.join(path), &error))?;
        eprintln!("removed {}", path.display());
    }
    for (path, content) in &fresh {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap_or(&folder)).map_err(|error| io_message(&path, &error))?;
        fs::write(&path, content).map_err(|error| io_message(&path, &error))?;
    }
    eprintln!("wrote {} files into {}", fresh.len(), folder.display());
    Ok(())
}

/// Compares the committed files with what would be written.
pub fn check_files() -> TaskResult {
    let fresh = generate()?;
    let stored = read_files(&committed_folder())?;
    let mut problems = Vec::new();
    for (path, content) in &fresh {
        match stored.get(path) {
            None => problems.push(format!("completions/{} is missing", path.display())),
            Some(old) if old != content => problems.push(format!("completions/{} is out of date", path.display())),
            Some(_) => {}
        }
    }
    let left = stored.keys().filter(|path| !fresh.contains_key(*path));
    problems.extend(left.map(|path| format!("completions/{} is no longer made", path.display())));
    if problems.is_empty() {
        return Ok(());
    }
    Err(format!("{}\nrefresh them with: cargo xtask gen", problems.join("\n")))
}

fn committed_folder() -> PathBuf {
    repository_root().join("completions")
}

/// Every file, by its path below completions/.
fn generate() -> Result<BTreeMap<PathBuf, Vec<u8>>, String> {
    // With a test among what is built, features are those of `cargo test`, and nothing is built a second time.
    run(&mut cargo(&["build", "--quiet", "--locked", "--bin", "cargo-frostmirror", "--test", "layers"]))?;
    let binary = target_dir().join("debug").join(format!("cargo-frostmirror{}", std::env::consts::EXE_SUFFIX));
    // Without an environment, so that nothing of this machine gets into the text.
    let tool = || {
        let mut command = Command::new(&binary);
        command.env_clear();
        command
    };
    let mut files = BTreeMap::new();
    for (shell, file) in SHELLS {
        files.insert(PathBuf::from(file), output(tool().args(["completions", shell]))?);
    }
    let folder = target_dir().join("gen-man");
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|error| io_message(&folder, &error))?;
    }
    run(tool().args(["--quiet", "man"]).arg(&folder))?;
    files.extend(read_files(&folder)?.into_iter().map(|(path, content)| (Path::new("man").join(path), content)));
    Ok(files)
}

/// Every file below `folder`; none where it is not there.
fn read_files(folder: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>, String> {
    let mut files = BTreeMap::new();
    let mut waiting = vec![folder.to_path_buf()];
    while let Some(next) = waiting.pop().filter(|next| next.is_dir()) {
        for entry in fs::read_dir(&next).map_err(|error| io_message(&next, &error))? {
            let path = entry.map_err(|error| io_message(&next, &error))?.path();
            if path.is_dir() {
                waiting.push(path);
                continue;
            }
            let content = fs::read(&path).map_err(|error| io_message(&path, &error))?;
            files.insert(path.strip_prefix(folder).unwrap_or(&path).to_path_buf(), content);
        }
    }
    Ok(files)
}

fn io_message(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}
