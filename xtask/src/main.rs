//! Chores of this repository: `cargo xtask VERB`. Std alone, so that it builds in a moment.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

mod ci;
mod dist;
mod generated;
mod needs;
mod tools;

const HELP: &str = "\
Chores of this repository

Usage: cargo xtask VERB

Verbs:
  ci             everything that must hold: formatting, lints, docs, generated files, all tests
  test [ARGS]    all tests whose tools are on this machine; ARGS go to `cargo test`
  bench [ROWS]   a table of medians and ratios; rows: lock depends memory big toolchain mirror serve live kill
                 network; fuzz (a million mutated bundles) runs only where it is named
  gen [--check]  write completions and man pages, or check that the committed ones are up to date
  dist [--target TRIPLE]
                 a release archive with its checksum, in target/dist";

/// What a chore ends with: nothing, or a sentence about what is wrong.
type TaskResult = Result<(), String>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments.as_slice() {
        [] | ["help" | "-h" | "--help"] | [_, "-h" | "--help", ..] => {
            println!("{HELP}");
            Ok(())
        }
        ["ci"] => ci::run_all(),
        ["test", rest @ ..] => ci::test(rest),
        ["bench", rest @ ..] => run(cargo(&["bench", "--quiet", "--bench", "bench", "--"]).args(rest)),
        ["gen"] => generated::write_files(),
        ["gen", "--check"] => generated::check_files(),
        ["dist"] => dist::run_for(None),
        ["dist", "--target", target] => dist::run_for(Some(target)),
        other => Err(format!("`{}` is no chore\n\n{HELP}", other.join(" "))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("xtask: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// The repository's folder.
fn repository_root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_path_buf()
}

/// Where cargo builds: this program lies in `debug` below it, whatever the user's configuration says.
fn target_dir() -> PathBuf {
    let own = std::env::current_exe().ok();
    own.and_then(|path| Some(path.parent()?.parent()?.to_path_buf()))
        .unwrap_or_else(|| repository_root().join("target"))
}

/// The cargo that runs this, in the repository's folder.
fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(repository_root()).args(args);
    // `cargo run` describes this package to us; ring's build script would see that and be rebuilt each time.
    for (name, _) in std::env::vars_os() {
        let ours = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"];
        if name.to_str().is_some_and(|name| ours.iter().any(|start| name.starts_with(start))) {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a command to its end; anything but success is a problem that shows the command.
fn run(command: &mut Command) -> TaskResult {
    let status = command.status().map_err(|error| format!("could not start {}: {error}", command_line(command)))?;
    if status.success() { Ok(()) } else { Err(format!("{} failed ({status})", command_line(command))) }
}

/// Runs a command and takes what it prints.
fn output(command: &mut Command) -> Result<Vec<u8>, String> {
    let output = command.output().map_err(|error| format!("could not start {}: {error}", command_line(command)))?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        let text = String::from_utf8_lossy(&output.stderr);
        Err(format!("{} failed ({}): {text}", command_line(command), output.status))
    }
}

/// The command's words, without the environment that `Debug` shows.
fn command_line(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy();
    let args = command.get_args().map(|arg| format!(" {}", arg.to_string_lossy()));
    format!("`{program}{}`", args.collect::<String>())
}
