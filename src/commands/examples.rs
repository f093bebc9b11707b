//! The examples of the help and the man pages: commands that run as printed.

/// One example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Example {
    /// What the command does.
    pub about: &'static str,
    /// The command line, for a POSIX shell.
    pub command: &'static str,
}

const fn example(about: &'static str, command: &'static str) -> Example {
    Example { about, command }
}

/// The examples of a verb, or of a verb and its subcommand; those of the program for an empty path.
pub fn examples_of(path: &[&str]) -> &'static [Example] {
    match path {
        [] => PROGRAM,
        ["init"] => INIT,
        ["fetch"] => FETCH,
        ["verify"] => VERIFY,
        ["inspect"] => INSPECT,
        ["diff"] => DIFF,
        ["import"] => IMPORT,
        ["serve"] => SERVE,
        ["up"] => UP,
        ["status"] => STATUS,
        ["list"] => LIST,
        ["gc"] => GC,
        ["history"] => HISTORY,
        ["history", "list"] => HISTORY_LIST,
        ["history", "forget"] => HISTORY_FORGET,
        ["history", "label"] => HISTORY_LABEL,
        ["export"] => EXPORT,
        ["export", "snapshot"] => EXPORT_SNAPSHOT,
        ["export", "local-registry"] => EXPORT_LOCAL_REGISTRY,
        ["export", "vendor"] => EXPORT_VENDOR,
        ["setup"] => SETUP,
        ["guide"] => GUIDE,
        ["completions"] => COMPLETIONS,
        ["man"] => MAN,
        ["help"] => HELP,
        _ => &[],
    }
}

const PROGRAM: &[Example] = &[
    example("Online, pack what a project needs into one bundle:", "cargo frostmirror fetch"),
    example("Offline, import the bundle:", "cargo-frostmirror import 20260402-2130-crates.pkg"),
    example("Serve the mirror:", "cargo-frostmirror serve"),
    example(
        "On a machine that builds, make cargo use it:",
        "cargo-frostmirror setup --url http://localhost:8080 --write",
    ),
];

const INIT: &[Example] = &[
    example("List the exact versions of this workspace's Cargo.lock:", "cargo frostmirror init"),
    example("Update `[locked]` after `cargo update`:", "cargo frostmirror init --update"),
    example(
        "List the requirements of two workspaces' members:",
        "cargo frostmirror init --from direct --manifest-path a/Cargo.toml \\\n    --manifest-path b/Cargo.toml -o team.toml",
    ),
];

const FETCH: &[Example] = &[
    example("Fetch this project's dependencies:", "cargo frostmirror fetch"),
    example("Fetch a tool:", "cargo frostmirror fetch --crate ripgrep@14"),
    example("Fetch only what is new since the last bundle:", "cargo frostmirror fetch --incremental"),
    example("Fetch stable Rust for a platform too:", "cargo frostmirror fetch --target x86_64-unknown-linux-gnu"),
];

const VERIFY: &[Example] = &[
    example("Check a bundle:", "cargo-frostmirror verify 20260402-2130-crates.pkg"),
    example(
        "Check whether a project builds from it:",
        "cargo-frostmirror verify 20260402-2130-crates.pkg --closure Cargo.lock",
    ),
    example(
        "Audit a mirror, and list what must be fetched again:",
        "cargo-frostmirror verify --mirror /srv/mirror --repair-list repair.json",
    ),
];

const INSPECT: &[Example] = &[
    example("Show what a bundle declares:", "cargo-frostmirror inspect 20260402-2130-crates.pkg"),
    example(
        "Write a software bill of materials:",
        "cargo-frostmirror inspect 20260402-2130-crates.pkg \\\n    --format cyclonedx > sbom.json",
    ),
];

const DIFF: &[Example] = &[
    example("Show what a newer bundle adds, updates and removes:", "cargo-frostmirror diff old.pkg new.pkg"),
    example(
        "Write a bill of materials of the added packages:",
        "cargo-frostmirror diff old.pkg new.pkg --format cyclonedx > added.json",
    ),
];

const IMPORT: &[Example] = &[
    example("Import a bundle into the default mirror:", "cargo-frostmirror import 20260402-2130-crates.pkg"),
    example("Import all bundles of a stick:", "cargo-frostmirror import /media/stick --mirror /srv/mirror"),
    example("Import from standard input:", "cargo-frostmirror import - < 20260402-2130-crates.pkg"),
];

const SERVE: &[Example] = &[
    example("Serve a mirror behind the gap:", "cargo-frostmirror serve --mirror /srv/mirror --offline"),
    example(
        "Import every bundle that is copied to a folder:",
        "cargo-frostmirror serve --watch-incoming --incoming /srv/incoming",
    ),
    example("Serve as a caching mirror on a network:", "cargo-frostmirror serve --live"),
    example(
        "Serve over HTTPS, and allow writes with a token:",
        "cargo-frostmirror serve --tls-cert cert.pem --tls-key key.pem \\\n    --admin-token-file admin-token",
    ),
];

const UP: &[Example] = &[
    example("Mirror this project on this machine:", "cargo frostmirror up"),
    example("Serve again without a network:", "cargo frostmirror up --offline"),
];

const STATUS: &[Example] = &[
    example("Show the default mirror:", "cargo-frostmirror status"),
    example("Show another one as JSON:", "cargo-frostmirror status --mirror /srv/mirror --message-format json"),
];

const LIST: &[Example] = &[
    example("List the crates of the default mirror:", "cargo-frostmirror list"),
    example("List the crates of a bundle:", "cargo-frostmirror list 20260402-2130-crates.pkg"),
];

const GC: &[Example] = &[
    example("Print what would be removed:", "cargo-frostmirror gc --dry-run"),
    example("Remove it:", "cargo-frostmirror gc"),
    example("Remove what live mode fetched:", "cargo-frostmirror gc --forget live"),
];

const HISTORY: &[Example] = &[
    example("List inputs and bundles:", "cargo frostmirror history"),
    example("Forget an input:", "cargo frostmirror history forget web"),
    example("Use the history of another mirror:", "FROSTMIRROR_HISTORY=/srv/site-b cargo frostmirror history"),
];

const HISTORY_LIST: &[Example] = &[
    example("List inputs and bundles:", "cargo frostmirror history list"),
    example("Print them as JSON:", "cargo frostmirror history list --message-format json"),
];

const HISTORY_FORGET: &[Example] = &[
    example("Forget an input by its label:", "cargo frostmirror history forget web"),
    example("Forget one of two inputs with the same label:", "cargo frostmirror history forget 'web (Cargo.lock)'"),
];

const HISTORY_LABEL: &[Example] = &[
    example("Rename an input:", "cargo frostmirror history label checkout-4711 web"),
    example(
        "Rename one of two inputs with the same label:",
        "cargo frostmirror history label 'checkout-4711 (Cargo.lock)' web",
    ),
];

const EXPORT: &[Example] = &[
    example("Copy the mirror and its settings to a stick:", "cargo-frostmirror export snapshot -o /media/stick"),
    example("Write a local registry:", "cargo-frostmirror export local-registry registry"),
    example("Unpack all crates as `cargo vendor` does:", "cargo-frostmirror export vendor vendor"),
];

const EXPORT_SNAPSHOT: &[Example] = &[
    example("Write a snapshot to a stick:", "cargo-frostmirror export snapshot -o /media/stick"),
    example(
        "Write a snapshot of another mirror and its settings:",
        "cargo-frostmirror export snapshot --mirror /srv/mirror \\\n    --config-dir /srv/config",
    ),
];

const EXPORT_LOCAL_REGISTRY: &[Example] = &[
    example("Write a local registry:", "cargo-frostmirror export local-registry registry"),
    example(
        "Write one from another mirror, and keep cargo's configuration:",
        "cargo-frostmirror export local-registry registry --mirror /srv/mirror \\\n    > config.toml",
    ),
];

const EXPORT_VENDOR: &[Example] = &[
    example("Unpack all crates:", "cargo-frostmirror export vendor vendor"),
    example(
        "Unpack those of another mirror, and keep cargo's configuration:",
        "cargo-frostmirror export vendor vendor --mirror /srv/mirror > config.toml",
    ),
];

const SETUP: &[Example] = &[
    example("Print the configuration for a server:", "cargo-frostmirror setup --url http://mirror.example:8080"),
    example("Write cargo's part of it:", "cargo-frostmirror setup --url http://mirror.example:8080 --write"),
    example("Set rustup's variables in this shell:", "eval \"$(cargo-frostmirror setup --env sh)\""),
    example("Use a mirror on this disk, without a server:", "cargo-frostmirror setup --local --write"),
];

const GUIDE: &[Example] = &[
    example("List the chapters:", "cargo frostmirror guide"),
    example("Read one:", "cargo frostmirror guide fetching | less"),
];

const COMPLETIONS: &[Example] = &[
    example("Load the script into the running bash:", "source <(cargo-frostmirror completions bash)"),
    example("Load the script into the running fish:", "cargo-frostmirror completions fish | source"),
];

const MAN: &[Example] = &[
    example("Read the page of the program:", "cargo frostmirror man | man -l -"),
    example("Install all pages for this user:", "cargo frostmirror man ~/.local/share/man/man1"),
];

const HELP: &[Example] = &[
    example("Print the help of `fetch`:", "cargo frostmirror help fetch"),
    example("Print the meaning of the exit codes:", "cargo frostmirror help exit-codes"),
];
