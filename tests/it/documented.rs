//! README.md and the guide are true: their commands run as printed, and their tables are those of the code.
//!
//! A comment above each `console` block says what becomes of it. `<!-- run -->`: its commands run, in the order of the
//! document, on one machine with a fake upstream, and print what the document shows, apart from numbers and folders.
//! `<!-- not run: REASON -->`: they do not. Refresh the tables with `SNAPSHOTS=overwrite cargo test --test it documented`.

use std::fs;
use std::path::{Path, PathBuf};

use frostmirror::config::{Key, Settings};
use frostmirror::env::VARIABLES;
use frostmirror::guide::CHAPTERS;
use serde_json::Value;

use crate::end_to_end::fixture_registry::FixtureRegistry;
use crate::support::client::Project;
use crate::support::crates::Crate;
use crate::support::dist::{DistServer, LINUX};
use crate::support::process::{Run, sysroot};
use crate::support::rustup;
use crate::support::sandbox::{BINARY, RunningServer, Sandbox};

const OLDER: (&str, &str) = ("20260326-2130-crates.pkg", "1774560600");
const NEWER: (&str, &str) = ("20260402-2130-crates.pkg", "1775165400");
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

fn read_document(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A `console` block.
struct ConsoleBlock {
    /// The line before it.
    mark: String,
    /// Each command with the lines that it prints.
    commands: Vec<(String, Vec<String>)>,
}

fn console_blocks(text: &str) -> Vec<ConsoleBlock> {
    let lines: Vec<&str> = text.lines().collect();
    let starts = (0..lines.len()).filter(|at| lines[*at] == "```console");
    let block = |start: usize| {
        let mut commands: Vec<(String, Vec<String>)> = Vec::new();
        for line in lines[start + 1..].iter().take_while(|line| **line != "```") {
            match (line.strip_prefix("$ "), commands.last_mut()) {
                (Some(command), _) => commands.push((command.to_owned(), Vec::new())),
                (None, Some((_, printed))) => printed.push((*line).to_owned()),
                (None, None) => panic!("a block begins with `{line}`, which is no command"),
            }
        }
        ConsoleBlock { mark: lines[start - 1].to_owned(), commands }
    };
    starts.map(block).collect()
}

#[test]
fn every_command_block_is_run_or_says_why_not() {
    let readme = fs::read_to_string(read_document("README.md")).unwrap();
    let documents = CHAPTERS.iter().map(|chapter| (chapter.name, chapter.source)).chain([("README.md", &*readme)]);
    for (name, text) in documents {
        let blocks = console_blocks(text);
        for ConsoleBlock { mark, commands } in &blocks {
            let reason = mark.strip_prefix("<!-- not run: ").and_then(|rest| rest.strip_suffix(" -->"));
            let marked = mark == "<!-- run -->" || reason.is_some_and(|reason| reason.len() > 10);
            assert!(marked, "{name}: no mark above the block of `{}`", commands[0].0);
        }
        let marks = text.lines().filter(|line| *line == "<!-- run -->" || line.starts_with("<!-- not run"));
        assert_eq!(marks.count(), blocks.len(), "{name}: a mark without a block");
    }
}

/// A machine on which a document's commands run. It is on both sides of the gap.
struct DocumentMachine {
    // The fake upstream runs as long as the machine.
    _world: FixtureRegistry,
    _dist: DistServer,
    sandbox: Sandbox,
    servers: Vec<RunningServer>,
    /// File names of the document, and those of the machine.
    names: Vec<(String, String)>,
    /// Variables that earlier commands set.
    variables: String,
}

impl DocumentMachine {
    /// A project with a Cargo.lock, and an upstream.
    fn new() -> DocumentMachine {
        let mut world = FixtureRegistry::new();
        world.publish(Crate::new("serde_json", "1.0.149").description("JSON"));
        world.publish(Crate::new("ripgrep", "14.1.1").bin("fn main() {}"));
        let dist = DistServer::start();
        // Only chapters that run it need it.
        if rustup::found().is_some() {
            dist.publish_rustup(&rustup::local_version(), &[LINUX], &rustup::local_binary());
        }
        let sandbox = world.sandbox();
        let programs = Path::new(BINARY).parent().unwrap();
        let path = [sysroot().join("bin"), programs.to_owned(), sandbox.cargo_home().join("bin")];
        let path = path.map(|folder| folder.to_str().unwrap().to_owned()).join(":");
        let rustup_home = sandbox.path("rustup").to_str().unwrap().to_owned();
        let variables = [
            ("PATH", &*format!("{path}:/usr/bin:/bin")),
            ("RUSTUP_HOME", &rustup_home),
            ("RUSTUP_INIT_SKIP_PATH_CHECK", "yes"),
            ("RUSTUP_INIT_SKIP_SUDO_CHECK", "yes"),
            ("RUSTUP_IO_THREADS", "1"),
            ("FROSTMIRROR_DIST_URL", dist.url()),
            ("FROSTMIRROR_BIND", "127.0.0.1:0"),
            ("FROSTMIRROR_ADMIN_TOKEN", TOKEN),
        ];
        let sandbox = variables.iter().fold(sandbox, |sandbox, (name, value)| sandbox.env(name, value));
        let project = Project::new("app").dep("serde_json", "1").main("fn main() {}");
        let lock = world.lockfile_of(&project);
        project.lockfile(&lock).write(&sandbox.path(""));
        for path in ["admin-token", "etc/admin-token", "stick/.keep"] {
            sandbox.write(path, TOKEN);
        }
        DocumentMachine {
            _world: world,
            _dist: dist,
            sandbox,
            servers: Vec::new(),
            names: Vec::new(),
            variables: String::new(),
        }
    }

    /// The same with two bundles, both in the current folder and on the stick, and the older one imported.
    fn with_bundles() -> DocumentMachine {
        let machine = DocumentMachine::new();
        let platforms = "\n[platforms]\ntargets = ['x86_64-unknown-linux-gnu', 'wasm32-unknown-unknown']\n\
                         toolchain = ['stable', '1.86.0', 'nightly-2026-04-25']\ncomponents = ['rust-src']\n";
        for ((name, date), last) in [(OLDER, "leaf = '0.3'"), (NEWER, "ripgrep = '14'")] {
            let list = format!("[dependencies]\nserde_json = '1'\n{last}\n{platforms}");
            machine.sandbox.write("depends.toml", list);
            let fetch = machine.sandbox.process(["fetch"]).envs([("SOURCE_DATE_EPOCH", date)]);
            let bundle = fetch.run().ok().path();
            assert!(bundle.ends_with(name), "{}", bundle.display());
            fs::copy(&bundle, machine.sandbox.path(name)).unwrap();
            fs::copy(&bundle, machine.sandbox.path("stick").join(name)).unwrap();
        }
        machine.sandbox.run(["import", OLDER.0]).ok();
        machine
    }

    /// The same with everything imported and served.
    fn serving() -> DocumentMachine {
        let mut machine = DocumentMachine::with_bundles();
        machine.sandbox.run(["import", NEWER.0]).ok();
        let mirror = machine.sandbox.frostmirror_home().join("mirror");
        std::os::unix::fs::symlink(mirror, machine.sandbox.path("stick/mirror")).unwrap();
        machine.servers.push(machine.sandbox.serve::<&str>([]));
        machine
    }

    /// Runs the commands of a document's blocks.
    fn run(mut self, text: &str) {
        let run = console_blocks(text).into_iter().filter(|block| block.mark == "<!-- run -->");
        let mut count = 0;
        for (command, printed) in run.flat_map(|block| block.commands) {
            self.command(&command, &printed);
            count += 1;
        }
        assert!(count > 0, "nothing was run");
    }

    fn command(&mut self, command: &str, printed: &[String]) {
        let line = self.localize(command);
        let shell = |line: &str| {
            let before = "set -euo pipefail; unset RUSTUP_TOOLCHAIN; if [ -f ~/.profile ]; then . ~/.profile; fi";
            self.sandbox.other_program("bash", ["-c", &format!("{before}\n{}{line}", self.variables)])
        };
        if let Some(server) = line.strip_suffix(" &") {
            let serving = RunningServer::start(shell(&format!("exec {server}")));
            assert_eq!(printed, ["listening on http://0.0.0.0:8080"], "{command}");
            self.servers.push(serving);
            return;
        }
        let run: Run = shell(&line).run().ok();
        let name = command.split_once('=').map(|(name, _)| name);
        if name.is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_lowercase())) {
            self.variables.push_str(&format!("{line}\n"));
        }
        let actual: Vec<String> = run.stdout.lines().map(normalize).collect();
        for expected in printed {
            assert!(
                actual.contains(&normalize(expected)),
                "`{command}` does not print `{expected}` but\n{}",
                run.stdout
            );
        }
        if let (Some(shown), [own]) =
            (printed.first().filter(|line| line.ends_with(".pkg")), &*run.stdout.lines().collect::<Vec<_>>())
        {
            // The file is carried.
            let name = |path: &str| Path::new(path).file_name().unwrap().to_str().unwrap().to_owned();
            fs::copy(own, self.sandbox.path(name(own))).unwrap();
            self.names.retain(|(known, _)| *known != name(shown));
            self.names.push((name(shown), name(own)));
        }
    }

    /// A command with this machine's folders, files and addresses.
    fn localize(&self, command: &str) -> String {
        let mut line = command.to_owned();
        let mirror = self.sandbox.frostmirror_home().join("mirror");
        for (shown, own) in [
            ("/srv/frostmirror/mirror", mirror),
            ("/media", self.sandbox.path("")),
            ("/etc/frostmirror", self.sandbox.path("etc")),
        ] {
            line = line.replace(shown, own.to_str().unwrap().trim_end_matches('/'));
        }
        for (shown, own) in &self.names {
            line = line.replace(shown, own);
        }
        if let Some(server) = self.servers.last() {
            for shown in ["http://mirror.example:8080", "http://localhost:8080"] {
                line = line.replace(shown, server.url());
            }
        }
        line
    }
}

/// A printed line without what differs from machine to machine: folders, numbers and units.
fn normalize(line: &str) -> String {
    let word = |word: &str| {
        let word = word.rsplit('/').next().unwrap_or_default().trim_matches(['(', ')']);
        match word {
            word if word.bytes().any(|byte| byte.is_ascii_digit()) => "#".to_owned(),
            "KiB" | "MiB" | "GiB" => "B".to_owned(),
            word => word.trim_end_matches(',').trim_end_matches('s').to_owned(),
        }
    };
    line.split_whitespace().map(word).collect::<Vec<_>>().join(" ")
}

/// Runs a chapter on a machine.
fn chapter(name: &str, machine: DocumentMachine) {
    machine.run(CHAPTERS.iter().find(|chapter| chapter.name == name).expect("a chapter").source);
}

#[test]
#[ignore = "needs rustup"]
fn commands_of_the_readme_run_as_printed() {
    DocumentMachine::new().run(&fs::read_to_string(read_document("README.md")).unwrap());
}

#[test]
fn commands_of_fetching_run_as_printed() {
    chapter("fetching", DocumentMachine::new());
}

#[test]
fn commands_of_approving_run_as_printed() {
    chapter("approving", DocumentMachine::with_bundles());
}

#[test]
fn commands_of_operating_run_as_printed() {
    chapter("operating", DocumentMachine::with_bundles());
}

#[test]
#[ignore = "needs rustup"]
fn commands_of_building_run_as_printed() {
    chapter("building", DocumentMachine::serving());
}

#[test]
fn commands_of_live_mode_run_as_printed() {
    chapter("live-mode", DocumentMachine::serving());
}

#[test]
fn commands_of_rest_api_run_as_printed() {
    chapter("rest-api", DocumentMachine::serving());
}

#[test]
fn the_readme_lists_every_verb_and_chapter() {
    let readme = fs::read_to_string(read_document("README.md")).unwrap();
    let names =
        frostmirror::cli::command().get_subcommands().map(|verb| format!("`{}`", verb.get_name())).collect::<Vec<_>>();
    let chapters = CHAPTERS.iter().map(|chapter| format!("[{0}](src/guide/{0}.md)", chapter.name));
    for name in names.into_iter().chain(chapters) {
        assert!(readme.lines().any(|line| line.starts_with(&format!("| {name} |"))), "README.md has no row for {name}");
    }
    assert!(readme.lines().count() <= 250);
}

#[test]
fn reference_tables_match_the_code() {
    let path = read_document("src/guide/reference.md");
    let mut text = fs::read_to_string(&path).unwrap();
    for (name, table) in
        [("settings", settings_table()), ("variables", variables_table()), ("exit codes", exit_code_table())]
    {
        let begin = format!("<!-- generated: {name} -->\n");
        let start = text.find(&begin).unwrap_or_else(|| panic!("{begin}")) + begin.len();
        let end = start + text[start..].find("<!-- end -->").unwrap();
        text.replace_range(start..end, &table);
    }
    snapbox::Assert::new()
        .action_env("SNAPSHOTS")
        .eq(&text, snapbox::Data::read_from(&path, Some(snapbox::data::DataFormat::Text)).raw());
}

fn settings_table() -> String {
    let defaults = Settings::default();
    let row = |key: Key| {
        let default = match defaults.masked_json(key) {
            Value::Null => key.without().to_owned(),
            Value::Array(list) if list.is_empty() => key.without().to_owned(),
            _ if key == Key::ProxyIndexUrl => "crates.io".to_owned(),
            value => format!("`{value}`"),
        };
        format!("| `{}` | {default} | {} |\n", key.name(), key.about())
    };
    format!("| key | default | meaning |\n|---|---|---|\n{}", Key::ALL.map(row).concat())
}

fn variables_table() -> String {
    let row = |one: &frostmirror::env::Variable| {
        format!("| {} | {} | {} | {} |\n", one.name, one.verbs, one.about, one.default)
    };
    let rows: String = VARIABLES.iter().map(row).collect();
    format!("| variable | used by | meaning | default |\n|---|---|---|---|\n{rows}")
}

fn exit_code_table() -> String {
    let row = |(code, meaning): (u8, &str)| format!("| {code} | {meaning} |\n");
    let rows: String = frostmirror::error_report::exit_codes().map(row).collect();
    format!("| code | meaning |\n|---|---|\n{rows}")
}

/// Variables that only debug builds read, for tests.
const TEST_ONLY_VARIABLES: [&str; 3] =
    ["FROSTMIRROR_CLOCK_AHEAD", "FROSTMIRROR_CRASH_AT", "FROSTMIRROR_STALLED_AFTER_MS"];

#[test]
fn every_environment_variable_is_documented() {
    let mut waiting = vec![read_document("src")];
    let mut found = Vec::new();
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let literals = text.split('"').filter(|word| word.starts_with("FROSTMIRROR_"));
            let names = literals.filter(|word| word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'));
            found.extend(names.map(str::to_owned));
        }
    }
    found.retain(|name| !TEST_ONLY_VARIABLES.contains(&name.as_str()));
    assert!(found.len() > 20);
    for name in found {
        assert!(VARIABLES.iter().any(|variable| variable.name == name), "{name} is not in env::VARIABLES");
    }
}
