//! `completions`: a shell's completion script on stdout.

use super::Context;
use crate::error_report::Failure;

/// Arguments of `completions`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell
    pub shell: clap_complete::Shell,
}

/// Prints the script; `command` is the whole command line.
pub fn run(args: &Args, command: clap::Command, context: &Context) -> Result<(), Failure> {
    context.reporter.print_data(&script(args.shell, command));
    Ok(())
}

/// The completion script for the binary `cargo-frostmirror`; cargo's own scripts have no hook for subcommands.
pub fn script(shell: clap_complete::Shell, command: clap::Command) -> String {
    let mut bytes = Vec::new();
    let mut command = command.bin_name("cargo-frostmirror");
    clap_complete::generate(shell, &mut command, "cargo-frostmirror", &mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}
