//! What a user reads: the help of every verb under both spellings, completions, man pages.
//!
//! Refresh the snapshots with `SNAPSHOTS=overwrite cargo test --test it help`, the generated files with
//! `cargo xtask gen`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use snapbox::Data;
use snapbox::data::DataFormat;

use crate::support::process::Process;
use crate::support::sandbox::Sandbox;

fn verbs() -> Vec<String> {
    let command = frostmirror::cli::command();
    command.get_subcommands().map(|verb| verb.get_name().to_owned()).collect()
}

/// The forms of verbs that have some, each with its verb.
fn subverbs() -> Vec<(String, String)> {
    let command = frostmirror::cli::command();
    let forms = command
        .get_subcommands()
        .flat_map(|verb| verb.get_subcommands().map(|form| (verb.get_name().to_owned(), form.get_name().to_owned())));
    forms.collect()
}

fn manifest_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Compares with tests/it/snapshots/help/NAME.txt, or writes it where SNAPSHOTS is `overwrite`.
#[track_caller]
fn assert_snapshot(name: &str, actual: &str) {
    let path = manifest_dir().join("tests/it/snapshots/help").join(format!("{name}.txt"));
    let expected = Data::read_from(&path, Some(DataFormat::Text));
    snapbox::Assert::new().action_env("SNAPSHOTS").eq(actual, expected.raw());
}

/// Runs `words` under both spellings; what both print.
#[track_caller]
fn help_text(sandbox: &Sandbox, args: &[&str]) -> String {
    let direct = sandbox.run(args).ok();
    let through_cargo = sandbox.run(["frostmirror"].iter().chain(args)).ok();
    assert_eq!(direct.stderr, "");
    assert_eq!(direct.stdout, through_cargo.stdout);
    direct.stdout
}

#[test]
fn every_help_text_matches_its_snapshot_and_ends_with_exit_codes() {
    let sandbox = Sandbox::new();
    let verbs = verbs();
    assert!(verbs.len() > 10);
    let mut expected = BTreeSet::new();
    let forms = subverbs();
    let asked = verbs.iter().map(|verb| vec![verb.as_str()]);
    let asked = asked.chain(forms.iter().map(|(verb, form)| vec![verb.as_str(), form.as_str()])).chain([Vec::new()]);
    for verb in asked {
        let name = if verb.is_empty() { "cargo-frostmirror".to_owned() } else { verb.join("-") };
        let args = |flag| verb.iter().copied().chain([flag]).collect::<Vec<_>>();
        let long = help_text(&sandbox, &args("--help"));
        assert!(long.trim_end().ends_with(frostmirror::error_report::EXIT_CODES), "{name} --help:\n{long}");
        assert_snapshot(&name, &long);
        assert_snapshot(&format!("{name}-h"), &help_text(&sandbox, &args("-h")));
        expected.extend([format!("{name}.txt"), format!("{name}-h.txt")]);
    }
    let folder = fs::read_dir(manifest_dir().join("tests/it/snapshots/help")).unwrap();
    let found: BTreeSet<String> = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(found, expected, "a snapshot of a verb that is gone");
}

#[test]
fn help_does_not_show_environment_values() {
    let secret = "do-not-print-this";
    let names =
        ["FROSTMIRROR_MODE", "FROSTMIRROR_OUTPUT", "FROSTMIRROR_BASE_URL", "FROSTMIRROR_BIND", "FROSTMIRROR_MIRROR"];
    let sandbox = names.iter().fold(Sandbox::new(), |sandbox, name| sandbox.env(name, secret));
    for verb in verbs() {
        let text = help_text(&sandbox, &[&verb, "--help"]);
        assert!(!text.contains(secret), "{text}");
    }
}

#[test]
fn help_works_as_a_cargo_subcommand() {
    let sandbox = Sandbox::new();
    for (args, flag) in [(&["help", "fetch"][..], &["fetch", "--help"][..]), (&["help"], &["--help"])] {
        assert_eq!(sandbox.run(args).ok().stdout, help_text(&sandbox, flag));
    }
    let nested = ["help", "export", "snapshot"];
    assert_eq!(sandbox.run(nested).ok().stdout, sandbox.run(["export", "snapshot", "--help"]).ok().stdout);
}

#[test]
fn invalid_arguments_exit_with_2() {
    let sandbox = Sandbox::new();
    for args in [
        &["nonsense"][..],
        &["help", "nonsense"],
        &["fetch", "--nonsense"],
        &[],
        &["completions"],
        &["completions", "tcsh"],
    ] {
        let run = sandbox.run(args).exits(2);
        assert_eq!(run.stdout, "", "{args:?}");
        assert!(!run.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn the_version_is_the_package_version() {
    let run = Sandbox::new().run(["--version"]).ok();
    assert_eq!(run.line(), concat!("cargo-frostmirror ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn completions_match_the_committed_files() {
    let sandbox = Sandbox::new();
    let shells = [
        ("bash", "cargo-frostmirror.bash"),
        ("zsh", "_cargo-frostmirror"),
        ("fish", "cargo-frostmirror.fish"),
        ("powershell", "_cargo-frostmirror.ps1"),
        ("elvish", "cargo-frostmirror.elv"),
    ];
    for (shell, file) in shells {
        let committed = fs::read_to_string(manifest_dir().join("completions").join(file)).unwrap();
        let fresh = sandbox.run(["completions", shell]).ok().stdout;
        assert!(fresh == committed, "completions/{file} is out of date; refresh it with: cargo xtask gen");
    }
}

#[test]
fn man_pages_match_the_committed_files() {
    let sandbox = Sandbox::new();
    sandbox.run(["man", "pages"]).ok();
    let files = |folder: PathBuf| -> Vec<(String, String)> {
        let read = |path: PathBuf| {
            (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(&path).unwrap())
        };
        let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| read(entry.unwrap().path())).collect();
        files.sort();
        files
    };
    let fresh = files(sandbox.path("pages"));
    assert_eq!(fresh.len(), verbs().len() + subverbs().len() + 1);
    let committed = files(manifest_dir().join("completions/man"));
    assert!(fresh == committed, "completions/man is out of date; refresh it with: cargo xtask gen");
    let first = sandbox.run(["man"]).ok().stdout;
    assert_eq!(Some(&first), fresh.iter().find(|(name, _)| name == "cargo-frostmirror.1").map(|(_, page)| page));
}

#[test]
fn bash_completes_a_verb() {
    let sandbox = Sandbox::new();
    sandbox.write("script", sandbox.run(["completions", "bash"]).ok().stdout);
    let ask = "source ./script; COMP_WORDS=(cargo-frostmirror verif); COMP_CWORD=1; \
               _cargo__frostmirror cargo-frostmirror verif cargo-frostmirror; echo \"${COMPREPLY[@]}\"";
    let run = Process::new("bash", &sandbox.path("")).args(["--noprofile", "--norc", "-c", ask]).run().ok();
    assert_eq!(run.line(), "verify");
}
