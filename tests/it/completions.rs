//! Completions in the real shells: a script of each shell loads ours and completes command lines, as the Tab key does.

use crate::support::process::sysroot;
use crate::support::sandbox::{BINARY, Sandbox};

use std::path::Path;

/// Command lines, and what their last word becomes.
const COMPLETED: &[(&str, &str)] = &[
    ("cargo-frostmirror fet", "fetch"),
    ("cargo-frostmirror fetch --dry", "--dry-run"),
    ("cargo frostmirror fet", "fetch"),
    ("cargo +stable frostmirror fetch --dry", "--dry-run"),
    ("cargo frostmirror fetch --no-toolchain --drop", "--drop-toolchains"),
    ("cargo frostmirror export ven", "vendor"),
    ("cargo frostmirror export local-registry --lo", "--lock-timeout"),
    ("cargo frostmirror inspect --format cyc", "cyclonedx"),
    ("cargo frostmirror help exit", "exit-codes"),
    ("cargo frostmirror guide oper", "operating"),
];

/// Cargo's own completions, which must work beside ours.
const COMPLETED_BY_CARGO: &[(&str, &str)] = &[("cargo buil", "build"), ("cargo build --releas", "--release")];

/// A machine with this shell's script in the file `script`, and our binary in PATH.
fn machine(shell: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("script", sandbox.run(["completions", shell]).ok().stdout);
    let programs = Path::new(BINARY).parent().unwrap();
    let path = [programs, &sysroot().join("bin")].map(|folder| folder.to_str().unwrap().to_owned()).join(":");
    sandbox.env("PATH", &format!("{path}:/usr/bin:/bin"))
}

/// Completes each line in a bash that has run `setup`.
#[track_caller]
fn assert_bash_completes(sandbox: &Sandbox, setup: &str, expected: &[&[(&str, &str)]]) {
    let press_tab = r#"press_tab() {
    COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
    local spec; spec=$(complete -p "$1") || return
    local name=${spec#* -F }; name=${name%% *}
    "$name" "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
    echo "${COMPREPLY[*]}"
}"#;
    for (line, completed) in expected.concat() {
        let script = format!("{setup}\n{press_tab}\npress_tab {line}");
        let run = sandbox.other_program("bash", ["--noprofile", "--norc", "-c", &script]).run().ok();
        assert_eq!(run.stdout.trim(), completed, "{line}\n{}", run.stderr);
    }
}

#[test]
#[ignore = "needs bash"]
fn bash_completes_the_program_and_the_subcommand_of_cargo() {
    let frostmirror = [("cargo frostm", "frostmirror")];
    assert_bash_completes(&machine("bash"), "source ./script", &[COMPLETED, &frostmirror]);
}

/// Types each line and Tab into an interactive bash that has run `setup`; bash itself splits the line into words.
#[track_caller]
fn assert_bash_types(sandbox: &Sandbox, setup: &str, expected: &[(&str, &str)]) {
    // The key ^T prints the line as it is edited.
    let report = r#"bind -x '"\C-t": printf "LINE<%s>\n" "$READLINE_LINE"; READLINE_LINE='"#;
    let lines: String = expected.iter().map(|(line, _)| format!("{line}\t\u{14}")).collect();
    let script = format!("PS1=; HISTFILE=; {setup}\nbind 'set bell-style none'\n{report}\n{lines}");
    let bash = sandbox.other_program("bash", ["--noprofile", "--norc", "-i"]).envs([("TERM", "dumb")]);
    let run = bash.stdin(script.as_bytes()).run().ok();
    let typed = run.stdout.split("LINE<").skip(1).filter_map(|rest| rest.split_once(">\n"));
    let typed: Vec<&str> = typed.map(|(line, _)| line.trim_end()).collect();
    assert_eq!(typed, expected.iter().map(|(_, typed)| *typed).collect::<Vec<_>>(), "{}", run.describe());
}

#[test]
#[ignore = "needs bash"]
fn bash_completes_a_value_behind_an_equals_sign() {
    let sandbox = machine("bash");
    sandbox.write("bundles/one.pkg", "");
    let expected = [
        ("cargo-frostmirror fetch --color=al", "cargo-frostmirror fetch --color=always"),
        ("cargo-frostmirror fetch --color al", "cargo-frostmirror fetch --color always"),
        ("cargo frostmirror fetch --color=al", "cargo frostmirror fetch --color=always"),
        ("cargo +stable frostmirror --message-format=js", "cargo +stable frostmirror --message-format=json"),
        ("cargo frostmirror inspect --format=cyc", "cargo frostmirror inspect --format=cyclonedx"),
        ("cargo frostmirror fetch --reuse=bund", "cargo frostmirror fetch --reuse=bundles"),
        ("cargo frostmirror fetch --incr", "cargo frostmirror fetch --incremental"),
    ];
    assert_bash_types(&sandbox, "source ./script", &expected);
    // Without the `=` in COMP_WORDBREAKS, the option and its value are one word.
    assert_bash_types(&sandbox, "source ./script; COMP_WORDBREAKS=${COMP_WORDBREAKS//=}", &expected[..5]);
    // The values are listed if several are possible, as after a space.
    let list = "press() { COMP_WORDS=(cargo frostmirror fetch --color =); COMP_CWORD=4; _cargo_frostmirror_of_cargo cargo '' --color; }";
    let script = format!("source ./script; {list}; press; echo \"${{COMPREPLY[*]}}\"");
    let run = sandbox.other_program("bash", ["--noprofile", "--norc", "-c", &script]).run().ok();
    assert_eq!(run.stdout.trim(), "auto always never", "{}", run.stderr);
}

#[test]
#[ignore = "needs bash"]
fn bash_leaves_the_rest_to_the_function_that_was_registered_for_cargo() {
    let setup = "own() { COMPREPLY=(own-$2); }; complete -o nosort -F own cargo; source ./script; source ./script";
    assert_bash_completes(&machine("bash"), setup, &[COMPLETED, &[("cargo buil", "own-buil")]]);
}

#[test]
#[ignore = "needs bash and bash-completion"]
fn bash_loads_cargos_own_completion_at_its_first_use() {
    let sandbox = machine("bash");
    let own = sysroot().join("etc/bash_completion.d/cargo");
    sandbox.write("data/bash-completion/completions/cargo", format!("source {}\n", own.display()));
    let data = sandbox.path("data");
    let sandbox = sandbox.env("XDG_DATA_HOME", data.to_str().unwrap());
    let setup = "source /usr/share/bash-completion/bash_completion; source ./script";
    assert_bash_completes(&sandbox, setup, &[COMPLETED, COMPLETED_BY_CARGO]);
}

/// Types each line and Tab into an interactive zsh that has run `setup`.
#[track_caller]
fn assert_zsh_completes(sandbox: &Sandbox, setup: &str, expected: &[&[(&str, &str)]]) {
    // The widget behind ^T prints the line as it is edited. `REA''DY` is printed without the quotes, so the echo differs.
    let script = r#"zmodload zsh/zpty
zpty shell zsh -f -i
for command in "PS1=" "setopt no_beep no_auto_list no_auto_menu" "$SETUP" \
    'report() { print -r -- "LINE<$BUFFER>"; BUFFER= }; zle -N report' \
    'bindkey "^T" report; bindkey "^I" complete-word' "print REA''DY"
do
    zpty -w shell "$command"
done
zpty -r shell output '*READY*' || exit 1
while read -r line; do
    zpty -w -n shell "$line"$'\t\x14'
    zpty -r shell output '*LINE<*>*' || exit 1
    print -r -- "${${output##*LINE<}%%>*}"
done
zpty -d shell"#;
    let expected = expected.concat();
    let lines: String = expected.iter().map(|(line, _)| format!("{line}\n")).collect();
    let zsh = sandbox.other_program("zsh", ["-f", "-c", script]).envs([("SETUP", setup), ("TERM", "dumb")]);
    let run = zsh.stdin(lines.as_bytes()).run().ok();
    // Zsh adds a space or the `=` of an option.
    let completed: Vec<&str> = run.stdout.lines().map(|line| line.trim_end_matches([' ', '='])).collect();
    let whole = |(line, last): &(&str, &str)| {
        let (before, _) = line.rsplit_once(' ').unwrap();
        format!("{before} {last}")
    };
    assert_eq!(completed, expected.iter().map(whole).collect::<Vec<_>>(), "{}", run.stderr);
}

/// Loads functions from these folders, as the lines of our help do.
fn zsh_setup(folders: &str) -> String {
    format!("fpath=({folders} $fpath); autoload -Uz compinit; compinit -u -D")
}

/// A machine with our script where zsh finds it, and cargo's own as rustup writes it.
fn zsh_machine() -> Sandbox {
    let sandbox = machine("zsh");
    sandbox.write("ours/_cargo-frostmirror", sandbox.read("script"));
    let own = sysroot().join("share/zsh/site-functions/_cargo");
    sandbox.write("cargos/_cargo", format!("#compdef cargo\nsource {}\n", own.display()));
    sandbox
}

#[test]
#[ignore = "needs zsh"]
fn zsh_completes_the_program_and_the_subcommand_of_cargo() {
    let frostmirror = [("cargo frostm", "frostmirror")];
    assert_zsh_completes(&zsh_machine(), &zsh_setup("$PWD/ours"), &[COMPLETED, &frostmirror]);
}

#[test]
#[ignore = "needs zsh"]
fn zsh_completes_beside_cargos_own_completion_in_any_order() {
    let sandbox = zsh_machine();
    for folders in ["$PWD/ours $PWD/cargos", "$PWD/cargos $PWD/ours"] {
        assert_zsh_completes(&sandbox, &zsh_setup(folders), &[COMPLETED, COMPLETED_BY_CARGO]);
    }
    let sourced = format!("{}; source ./script", zsh_setup("$PWD/cargos"));
    assert_zsh_completes(&sandbox, &sourced, &[COMPLETED, COMPLETED_BY_CARGO]);
}

#[test]
#[ignore = "needs fish"]
fn fish_completes_the_program_and_the_subcommand_of_cargo_beside_cargos_own() {
    let sandbox = machine("fish");
    let folder = sandbox.home().join(".config/fish/conf.d");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("frostmirror.fish"), sandbox.read("script")).unwrap();
    for (line, completed) in COMPLETED.iter().chain(COMPLETED_BY_CARGO).chain(&[("cargo frostm", "frostmirror")]) {
        let fish = sandbox.other_program("fish", ["-c", "complete -C \"$argv\"", line]);
        let run = fish.run().ok();
        let terms: Vec<&str> = run.stdout.lines().map(|line| line.split('\t').next().unwrap()).collect();
        assert_eq!(terms, [*completed], "{line}\n{}", run.stderr);
    }
}
