//! Errors of `gather`: class and hint.

use std::sync::Arc;

use super::{Class, Failure, class_of_io, hint_of_io, wire};
use crate::gather::resolve::Unresolved;
use crate::gather::{cargo, download, history, index, packaged_lock, resolve};

/// For whatever a second run may do better.
const AGAIN: &str = "run the same command again; what was downloaded is kept";

/// For entries of depends.toml that cargo cannot resolve.
const ENTRY: &str = "correct the entry; `cargo add --dry-run NAME@REQ` tries one out";

impl From<resolve::Error> for Failure {
    fn from(error: resolve::Error) -> Failure {
        use resolve::Error;
        const DOING: &str = "could not resolve what is needed";
        let (class, hint) = match error {
            Error::Cargo(error) => return error.into(),
            Error::Index(error) => return error.into(),
            Error::Lockfile(error) => return error.into(),
            Error::Download(error) => return (*error).into(),
            Error::PackagedLock(error) => return error.into(),
            Error::Loopback(source) => {
                return Failure::io("could not serve the index to cargo on 127.0.0.1", source);
            }
            Error::Scratch(source) => {
                return Failure::io("could not prepare a scratch project for cargo", source);
            }
            Error::Unresolvable { ref unresolved } => {
                let hint = hint_of_unresolved(unresolved);
                return Failure::new(Class::Input, error).doing(DOING).hint(hint);
            }
            Error::NoVersion { .. } => (
                Class::Input,
                "name a version that the index has; one that upstream deleted is taken with `cargo frostmirror fetch --reuse MIRROR` from a mirror or bundle that has it",
            ),
            Error::Mismatch { .. } => (
                Class::Integrity,
                "either the lock or the upstream was altered; compare with crates.io before you trust one of them",
            ),
            Error::Foreign { .. } => (
                Class::Input,
                "leave them out with --skip-git and --skip-registry NAME; the far side must then have them by other means",
            ),
        };
        Failure::new(class, error).doing(DOING).hint(hint)
    }
}

/// What to check of a `--crate`, else of an entry of depends.toml.
fn hint_of_unresolved(unresolved: &[Unresolved]) -> String {
    let [Unresolved { entry, input, words }] = unresolved else { return ENTRY.to_owned() };
    if !input.starts_with("--crate ") {
        return ENTRY.to_owned();
    }
    let (name, req) = entry.split_once('@').unwrap_or((entry, ""));
    if words.contains(&format!("no matching package named `{name}` found")) {
        return format!("check the name, for example with `cargo search {name}`");
    }
    if !req.is_empty() && words.contains(&format!("for the requirement `{name} =")) {
        return format!("name a version that the index has, or leave `@{req}` away for the newest");
    }
    format!("if another version resolves, name it with `--crate {name}@VERSION`")
}

impl From<cargo::Error> for Failure {
    fn from(error: cargo::Error) -> Failure {
        use cargo::Error;
        let doing = "could not resolve what is needed";
        match error {
            Error::Folder(source) => Failure::io("could not make a folder for cargo to work in", source),
            Error::NoVersion { ref said, .. } if said.contains("is not installed") => {
                Failure::new(Class::Input, error).doing(doing).hint(super::NO_TOOLCHAIN)
            }
            Error::Start { .. } | Error::NoVersion { .. } => Failure::new(Class::Input, error)
                .doing(doing)
                .hint("install Rust with rustup, or name a cargo in the variable CARGO"),
            Error::TooOld { .. } => Failure::new(Class::Input, error)
                .doing(doing)
                .hint("update it with `rustup update`, or name another cargo in the variable CARGO"),
        }
    }
}

impl From<Arc<index::Error>> for Failure {
    fn from(error: Arc<index::Error>) -> Failure {
        use index::Error;
        let (class, hint) = match error.as_ref() {
            Error::Fetch { source, .. } => wire::class_and_hint(source),
            Error::NoToken { variable: Some(variable), .. } => {
                (Class::Network, Some(format!("set {variable}, or log in with `cargo login`")))
            }
            Error::TokenProgram { .. } => (
                Class::Input,
                Some("run the program by hand: it must print the token as one line and succeed".to_owned()),
            ),
            Error::CargoOnly { variable: Some(variable), .. } => {
                (Class::Input, Some(format!("set {variable} to the token for this run")))
            }
            Error::NoToken { variable: None, .. } | Error::CargoOnly { variable: None, .. } => {
                let hint = "give the registry a name in cargo's configuration ([registries.NAME] index = …), and set CARGO_REGISTRIES_NAME_TOKEN";
                (Class::Network, Some(hint.to_owned()))
            }
            Error::NoIndexFile { .. } => (
                Class::Network,
                Some(
                    "a proxy that wants you to log in answers like this; ask for the address with a browser or curl"
                        .to_owned(),
                ),
            ),
            Error::NoConfig { .. } | Error::Config { .. } => (
                Class::Network,
                Some(
                    "check FROSTMIRROR_REGISTRY_URL, or the replacement of crates.io in cargo's configuration"
                        .to_owned(),
                ),
            ),
            Error::Uncached { .. } => (Class::Network, Some(wire::hint_offline())),
            Error::Spool { source, .. } => (Class::Disk, hint_of_io(source)),
            Error::BrokenOff { .. } => (Class::Bug, None),
        };
        let failure = Failure::new(class, error).doing("could not read the index");
        Failure { hint, ..failure }
    }
}

impl From<download::Error> for Failure {
    fn from(error: download::Error) -> Failure {
        use download::Error;
        let (class, hint) = match error {
            Error::Index(error) => return error.into(),
            Error::Cache { id, source } => return Failure::io(format!("could not use the download cache for {id}"), source),
            Error::File { .. } => (
                Class::Input,
                Some("the `dl` of upstream's config.json names files of this machine; put the file there, or set FROSTMIRROR_DL_URL to an http address".to_owned()),
            ),
            Error::Refused { ref altered, .. } if !altered.is_empty() => {
                (Class::Integrity, Some("upstream, or something before it, sends other bytes than the index promises; do not use them".to_owned()))
            }
            Error::Refused { .. } => (
                Class::Network,
                Some("upstream's index lists what upstream does not have; is the `dl` of its config.json, or FROSTMIRROR_DL_URL, right? A file that upstream deleted is taken with `cargo frostmirror fetch --reuse MIRROR` from a mirror or bundle that has it".to_owned()),
            ),
            Error::Network { ref source, .. } => {
                let (class, hint) = wire::class_and_hint(source);
                (class, hint.or_else(|| Some(AGAIN.to_owned())))
            }
            Error::Offline { .. } => (Class::Network, Some(wire::hint_offline())),
        };
        let failure = Failure::new(class, error).doing("could not download everything that is needed");
        Failure { hint, ..failure }
    }
}

impl From<packaged_lock::Error> for Failure {
    fn from(error: packaged_lock::Error) -> Failure {
        // Its bytes are what the index promises: it is upstream that published something else than a crate.
        let class = match class_of_io(&error.source) {
            Class::Input => Class::Disk,
            _ => Class::Integrity,
        };
        Failure::new(class, error).doing("could not read the lock that is packaged with the crate")
    }
}

impl From<history::Error> for Failure {
    fn from(error: history::Error) -> Failure {
        use history::Error;
        let (class, hint) = match &error {
            Error::Io { source, .. } if source.kind() == std::io::ErrorKind::Interrupted => (Class::Interrupted, None),
            Error::Io { source, .. } => (Class::Disk, hint_of_io(source)),
            Error::Damaged { path, .. } => (
                Class::Input,
                Some(format!(
                    "restore `{}` from a backup, or move it away to begin a new lineage: the far side will then keep both",
                    path.display()
                )),
            ),
            Error::OtherFormat { newer: true, .. } => {
                (Class::Input, Some("update cargo-frostmirror: `cargo install cargo-frostmirror`".to_owned()))
            }
            Error::OtherFormat { path, .. } => (
                Class::Input,
                Some(format!("move `{}` away; the next bundle begins a new lineage", path.display())),
            ),
            Error::Conflict(_) => (
                Class::Integrity,
                Some("crates.io never changes a version; find out which upstream gave the other bytes, and use one history for each upstream".to_owned()),
            ),
            Error::UnknownInput { .. } => {
                (Class::Input, Some("`cargo frostmirror history` lists the inputs".to_owned()))
            }
            Error::AmbiguousInput { .. } => {
                (Class::Input, Some("give the whole name in quotes, as listed here".to_owned()))
            }
            Error::SameLabel { id, together: false, .. } => (
                Class::Input,
                Some(format!(
                    "`--label NAME` with a name of its own keeps both; `--label '{}'` says that this is the same project in another folder",
                    id.label
                )),
            ),
            Error::SameLabel { .. } => {
                (Class::Input, Some("fetch them one after the other, one of them with `--label NAME`".to_owned()))
            }
            Error::LabelTaken { .. } => (Class::Input, Some("choose another label".to_owned())),
            Error::FetchedAndForgotten(_) => (Class::Input, Some("leave one of the two out".to_owned())),
            Error::UnknownBundle { several: true, .. } => {
                (Class::Input, Some("name the bundle's file where it is, or its id".to_owned()))
            }
            Error::UnknownBundle { .. } => (
                Class::Input,
                Some("name the newest bundle that arrived; FROSTMIRROR_HISTORY names another history; without `--base` and `--incremental` the bundle is a full one".to_owned()),
            ),
        };
        let failure = Failure::new(class, error).doing("could not use the history");
        Failure { hint, ..failure }
    }
}
