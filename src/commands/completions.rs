//! `completions`: a shell's completion script on stdout.

use clap_complete::Shell;

use super::Context;
use crate::error_report::Failure;

/// The long help: how each shell loads its script.
pub const ABOUT: &str = "\
Print a completion script for a shell. In bash, zsh and fish it completes `cargo frostmirror` and `cargo-frostmirror`, beside \
cargo's own completions. In the other shells it completes `cargo-frostmirror`.

bash: add this line to ~/.bashrc, after cargo's own completions:
    source <(cargo-frostmirror completions bash)

zsh: write the script to a folder, and add the folder to fpath in ~/.zshrc:
    mkdir -p ~/.zfunc
    cargo-frostmirror completions zsh > ~/.zfunc/_cargo-frostmirror
    echo 'fpath=(~/.zfunc $fpath); autoload -Uz compinit; compinit' >> ~/.zshrc

fish: fish reads this folder when it starts:
    mkdir -p ~/.config/fish/conf.d
    cargo-frostmirror completions fish > ~/.config/fish/conf.d/frostmirror.fish

PowerShell: add this line to $PROFILE:
    cargo-frostmirror completions powershell | Out-String | Invoke-Expression

elvish: add this line to ~/.config/elvish/rc.elv:
    eval (cargo-frostmirror completions elvish | slurp)";

/// Arguments of `completions`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Shell that reads the script
    pub shell: Shell,
}

/// Prints the script; `command` is the whole command line.
pub fn run(args: &Args, command: clap::Command, context: &Context) -> Result<(), Failure> {
    context.reporter.print_data(&script(args.shell, command));
    Ok(())
}

/// The completion script. It completes the program's own name, and in bash, zsh and fish also the subcommand of cargo.
pub fn script(shell: Shell, command: clap::Command) -> String {
    let mut bytes = Vec::new();
    let mut command = command.bin_name("cargo-frostmirror");
    clap_complete::generate(shell, &mut command, "cargo-frostmirror", &mut bytes);
    let script = String::from_utf8_lossy(&bytes).into_owned();
    match shell {
        // clap_complete 4.6 derives two different names from the hyphen, and would complete no verb's options.
        Shell::Bash => {
            let script = script.replace("cargo__subcmd__frostmirror", "cargo__frostmirror");
            // The function of cargo.bash calls clap's function.
            script.replace("complete -F _cargo__frostmirror ", "complete -F _cargo_frostmirror ")
                + include_str!("completions/cargo.bash")
        }
        Shell::Zsh => with_cargo_in_zsh(&script),
        Shell::Fish => script + &fish_values(&command) + include_str!("completions/cargo.fish"),
        _ => script,
    }
}

/// The values of arguments without an option, which clap_complete 4.6 leaves out in fish.
fn fish_values(command: &clap::Command) -> String {
    let mut lines = String::new();
    for verb in command.get_subcommands() {
        let values = verb.get_positionals().flat_map(|arg| arg.get_possible_values());
        let names: Vec<String> = values.map(|value| value.get_name().to_owned()).collect();
        if !names.is_empty() {
            lines += &format!(
                "complete -c cargo-frostmirror -n \"__fish_cargo_frostmirror_using_subcommand {}\" -f -a \"{}\"\n",
                verb.get_name(),
                names.join(" ")
            );
        }
    }
    lines
}

/// Renames clap's function, and replaces the lines that register it.
fn with_cargo_in_zsh(script: &str) -> String {
    let body = script.split_once("\nif [ \"$funcstack[1]\"").map_or(script, |(body, _)| body);
    let body = body.replacen("#compdef cargo-frostmirror", "#compdef cargo-frostmirror cargo", 1).replacen(
        "\n_cargo-frostmirror() {",
        "\n_cargo-frostmirror_verbs() {",
        1,
    );
    body + include_str!("completions/cargo.zsh")
}
