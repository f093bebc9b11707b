//! Errors of `gather`: class and hint.

use std::sync::Arc;

use super::{ErrorClass, Failure, io_class, io_hint, network};
use crate::gather::resolve::UnresolvedEntry;
use crate::gather::{cargo, crate_downloader, history, index_snapshot, packaged_lock, resolve};

/// For whatever a second run may do better.
const RETRY_HINT: &str = "run the same command again; what was downloaded is kept";

/// For entries of depends.toml that cargo cannot resolve.
const CORRECT_ENTRY_HINT: &str = "correct the entry; `cargo add --dry-run NAME@REQ` tries one out";

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
            Error::LocalRegistry(source) => {
                return Failure::io("could not serve the index to cargo on 127.0.0.1", source);
            }
            Error::Scratch(source) => {
                return Failure::io("could not prepare a scratch project for cargo", source);
            }
            Error::Unresolvable { ref unresolved } => {
                let hint = unresolved_hint(unresolved);
                return Failure::new(ErrorClass::Input, error).context(DOING).hint(hint);
            }
            Error::MissingVersions { .. } => (
                ErrorClass::Input,
                "name a version that the index has; one that upstream deleted is taken with `cargo frostmirror fetch --reuse MIRROR` from a mirror or bundle that has it",
            ),
            Error::ChecksumMismatch { .. } => (
                ErrorClass::Integrity,
                "either the lock or the upstream was altered; compare with crates.io before you trust one of them",
            ),
            Error::ForeignPackages { .. } => (
                ErrorClass::Input,
                "leave them out with --skip-git and --skip-registry NAME; the far side must then have them by other means",
            ),
        };
        Failure::new(class, error).context(DOING).hint(hint)
    }
}

/// What to check of a `--crate`, else of an entry of depends.toml.
fn unresolved_hint(unresolved: &[UnresolvedEntry]) -> String {
    let [UnresolvedEntry { entry, input, message }] = unresolved else { return CORRECT_ENTRY_HINT.to_owned() };
    if !input.starts_with("--crate ") {
        return CORRECT_ENTRY_HINT.to_owned();
    }
    let (name, req) = entry.split_once('@').unwrap_or((entry, ""));
    if message.contains(&format!("no matching package named `{name}` found")) {
        return format!("check the name, for example with `cargo search {name}`");
    }
    if !req.is_empty() && message.contains(&format!("for the requirement `{name} =")) {
        return format!("name a version that the index has, or leave `@{req}` away for the newest");
    }
    format!("if another version resolves, name it with `--crate {name}@VERSION`")
}

impl From<cargo::Error> for Failure {
    fn from(error: cargo::Error) -> Failure {
        use cargo::Error;
        let context = "could not resolve what is needed";
        match error {
            Error::Folder(source) => Failure::io("could not make a folder for cargo to work in", source),
            Error::System { ref source, .. } => {
                let hint = io_hint(source);
                let failure = Failure::new(ErrorClass::Disk, error).context(context);
                Failure { hint, ..failure }
            }
            Error::UnknownVersion { ref output, .. } if output.contains("is not installed") => {
                Failure::new(ErrorClass::Input, error).context(context).hint(super::NO_TOOLCHAIN_HINT)
            }
            Error::Start { .. } | Error::UnknownVersion { .. } => Failure::new(ErrorClass::Input, error)
                .context(context)
                .hint("install Rust with rustup, or name a cargo in the variable CARGO"),
            Error::TooOld { .. } => Failure::new(ErrorClass::Input, error)
                .context(context)
                .hint("update it with `rustup update`, or name another cargo in the variable CARGO"),
        }
    }
}

impl From<Arc<index_snapshot::Error>> for Failure {
    fn from(error: Arc<index_snapshot::Error>) -> Failure {
        use index_snapshot::Error;
        let (class, hint) = match error.as_ref() {
            Error::Fetch { source, .. } => network::class_and_hint(source),
            Error::MissingToken { variable: Some(variable), .. } => {
                (ErrorClass::Network, Some(format!("set {variable}, or log in with `cargo login`")))
            }
            Error::TokenProgram { .. } => (
                ErrorClass::Input,
                Some("run the program by hand: it must print the token as one line and succeed".to_owned()),
            ),
            Error::CargoOnly { variable: Some(variable), .. } => {
                (ErrorClass::Input, Some(format!("set {variable} to the token for this run")))
            }
            Error::MissingToken { variable: None, .. } | Error::CargoOnly { variable: None, .. } => {
                let hint = "give the registry a name in cargo's configuration ([registries.NAME] index = …), and set CARGO_REGISTRIES_NAME_TOKEN";
                (ErrorClass::Network, Some(hint.to_owned()))
            }
            Error::NotAnIndexFile { .. } => (
                ErrorClass::Network,
                Some(
                    "a proxy that wants you to log in answers like this; ask for the address with a browser or curl"
                        .to_owned(),
                ),
            ),
            Error::MissingConfig { .. } | Error::InvalidConfig { .. } => (
                ErrorClass::Network,
                Some(
                    "check FROSTMIRROR_REGISTRY_URL, or the replacement of crates.io in cargo's configuration"
                        .to_owned(),
                ),
            ),
            Error::NotCached { .. } => (ErrorClass::Network, Some(network::offline_hint())),
            Error::Spool { source, .. } => (ErrorClass::Disk, io_hint(source)),
            Error::Aborted { .. } => (ErrorClass::Bug, None),
        };
        let failure = Failure::new(class, error).context("could not read the index");
        Failure { hint, ..failure }
    }
}

impl From<crate_downloader::Error> for Failure {
    fn from(error: crate_downloader::Error) -> Failure {
        use crate_downloader::Error;
        let (class, hint) = match error {
            Error::Index(error) => return error.into(),
            Error::Cache { id, source } => return Failure::io(format!("could not use the download cache for {id}"), source),
            Error::File { .. } => (
                ErrorClass::Input,
                Some("the `dl` of upstream's config.json names files of this machine; put the file there, or set FROSTMIRROR_DL_URL to an http address".to_owned()),
            ),
            Error::Unavailable { ref altered, .. } if !altered.is_empty() => {
                (ErrorClass::Integrity, Some("upstream, or something before it, sends other bytes than the index promises; do not use them".to_owned()))
            }
            Error::Unavailable { .. } => (
                ErrorClass::Network,
                Some("upstream's index lists what upstream does not have; is the `dl` of its config.json, or FROSTMIRROR_DL_URL, right? A file that upstream deleted is taken with `cargo frostmirror fetch --reuse MIRROR` from a mirror or bundle that has it".to_owned()),
            ),
            Error::Network { ref source, .. } => {
                let (class, hint) = network::class_and_hint(source);
                (class, hint.or_else(|| Some(RETRY_HINT.to_owned())))
            }
            Error::Offline { .. } => (ErrorClass::Network, Some(network::offline_hint())),
        };
        let failure = Failure::new(class, error).context("could not download everything that is needed");
        Failure { hint, ..failure }
    }
}

impl From<packaged_lock::Error> for Failure {
    fn from(error: packaged_lock::Error) -> Failure {
        // Its bytes are what the index promises: it is upstream that published something else than a crate.
        let class = match io_class(&error.source) {
            ErrorClass::Input => ErrorClass::Disk,
            _ => ErrorClass::Integrity,
        };
        Failure::new(class, error).context("could not read the lock that is packaged with the crate")
    }
}

impl From<history::Error> for Failure {
    fn from(error: history::Error) -> Failure {
        use history::Error;
        let (class, hint) = match &error {
            Error::Io { source, .. } if source.kind() == std::io::ErrorKind::Interrupted => (ErrorClass::Interrupted, None),
            Error::Io { source, .. } => (ErrorClass::Disk, io_hint(source)),
            Error::Damaged { path, .. } => (
                ErrorClass::Input,
                Some(format!(
                    "restore `{}` from a backup, or move it away to begin a new lineage: the far side will then keep both",
                    path.display()
                )),
            ),
            Error::UnsupportedFormat { newer: true, .. } => {
                (ErrorClass::Input, Some("update cargo-frostmirror: `cargo install cargo-frostmirror`".to_owned()))
            }
            Error::UnsupportedFormat { path, .. } => (
                ErrorClass::Input,
                Some(format!("move `{}` away; the next bundle begins a new lineage", path.display())),
            ),
            Error::Conflict(_) => (
                ErrorClass::Integrity,
                Some("crates.io never changes a version; find out which upstream gave the other bytes, and use one history for each upstream".to_owned()),
            ),
            Error::UnknownInput { .. } => {
                (ErrorClass::Input, Some("`cargo frostmirror history` lists the inputs".to_owned()))
            }
            Error::AmbiguousInput { .. } => {
                (ErrorClass::Input, Some("give the whole name in quotes, as listed here".to_owned()))
            }
            Error::SameLabel { id, together: false, .. } => (
                ErrorClass::Input,
                Some(format!(
                    "`--label NAME` with a name of its own keeps both; `--label '{}'` says that this is the same project in another folder",
                    id.label
                )),
            ),
            Error::SameLabel { .. } => {
                (ErrorClass::Input, Some("fetch them one after the other, one of them with `--label NAME`".to_owned()))
            }
            Error::LabelTaken { .. } => (ErrorClass::Input, Some("choose another label".to_owned())),
            Error::FetchedAndForgotten(_) => (ErrorClass::Input, Some("leave one of the two out".to_owned())),
            Error::UnknownBundle { is_ambiguous: true, .. } => {
                (ErrorClass::Input, Some("name the bundle's file where it is, or its id".to_owned()))
            }
            Error::UnknownBundle { .. } => (
                ErrorClass::Input,
                Some("name the newest bundle that arrived; FROSTMIRROR_HISTORY names another history; without `--base` and `--incremental` the bundle is a full one".to_owned()),
            ),
        };
        let failure = Failure::new(class, error).context("could not use the history");
        Failure { hint, ..failure }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_under_cargo_is_a_disk_error() {
        let source = std::io::ErrorKind::StorageFull.into();
        let error = cargo::Error::System { stderr: "failed to write `Cargo.lock`".to_owned(), source };
        let failure = Failure::from(resolve::Error::from(error));
        assert_eq!(failure.class, ErrorClass::Disk);
        let hint = failure.hint.expect("a full disk has a hint");
        assert!(hint.contains("free some space"), "{hint}");
    }
}
