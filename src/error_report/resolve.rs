//! Classes and hints for the errors of resolution, downloads and history.

use std::sync::Arc;

use super::{
    ErrorClass, Failure, NO_CARGO_HINT, hint_for_cargo_system_error, hint_for_unstarted_cargo, io_class, io_hint,
    network,
};
use crate::crate_id::Version;
use crate::env::is_missing_toolchain;
use crate::fetch::resolve::{MissingVersion, UnresolvedEntry};
use crate::fetch::{cargo, crate_downloader, history, index_snapshot, packaged_lock, resolve};
use crate::id_prefix::MIN_ID_PREFIX;
use crate::inputs::lockfile::skip_options;

/// Hint for failures that may not occur in a second run.
const RETRY_HINT: &str = "run the same command again; downloaded files are kept";

impl From<resolve::Error> for Failure {
    fn from(error: resolve::Error) -> Failure {
        use resolve::Error;
        const DOING: &str = "could not resolve the dependencies";
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
            Error::Unresolvable { ref unresolved, ref missing } => {
                let hint = unresolved_hint(unresolved, missing);
                (ErrorClass::Input, hint)
            }
            Error::MissingVersions { ref missing } => (
                ErrorClass::Input,
                match missing.iter().any(|one| one.has_checksum) {
                    true => format!("choose a version that the index has; for a version that upstream deleted, {}", resolve::REUSE_HINT),
                    false => "choose a version that the index has; for a version that upstream deleted, use `cargo frostmirror fetch --lockfile Cargo.lock --reuse MIRROR` with a Cargo.lock that states its checksum, and a mirror or bundle that has it".to_owned(),
                },
            ),
            Error::ChecksumMismatch { .. } => (
                ErrorClass::Integrity,
                "this file or upstream was altered; compare both with crates.io before you trust either".to_owned(),
            ),
            Error::ForeignPackages { ref foreign, .. } => (
                ErrorClass::Input,
                format!(
                    "exclude them with `{}`; the importing side then needs another source for them",
                    skip_options(foreign).join(" ")
                ),
            ),
        };
        let names_lines = error.names_lines();
        let failure = Failure::new(class, error).hint(hint);
        if names_lines { failure } else { failure.context(DOING) }
    }
}

/// The hint for a `--crate` or for entries of depends.toml.
fn unresolved_hint(unresolved: &[UnresolvedEntry], missing: &[MissingVersion]) -> String {
    let ([one], []) = (unresolved, missing) else {
        return "correct these lines; `cargo info NAME@VERSION` shows the features of a version".to_owned();
    };
    let UnresolvedEntry { entry, package, location, versions, .. } = one;
    if let ([yanked, ..], true) = (versions.yanked.as_slice(), one.has_no_matching_version()) {
        return yanked_hint(package.as_str(), &yanked.to_string(), versions.newest.first(), location.is_some());
    }
    if one.is_unknown_crate() {
        return format!("check the name, for example with `cargo search {package}`");
    }
    if location.is_some() {
        if one.has_no_matching_version() {
            return "change the line to a version that the index has".to_owned();
        }
        return format!("correct the line; `cargo info {package}@VERSION` shows the features of a version");
    }
    let (name, req) = entry.split_once('@').unwrap_or((entry, ""));
    if !req.is_empty() && one.has_no_matching_version() {
        return format!("choose a version that the index has, or omit `@{req}` for the newest");
    }
    format!("try another version with `--crate {name}@VERSION`")
}

/// The hint for a request that only yanked versions match.
fn yanked_hint(package: &str, yanked: &str, other: Option<&Version>, is_in_depends: bool) -> String {
    let reason = "cargo uses a yanked version only if a Cargo.lock names it";
    let carry = match is_in_depends {
        true => format!("to carry it for such a lock, write `{package} = \"{yanked}\"` under `[locked]` instead"),
        false => "to carry it for such a lock, run `cargo frostmirror fetch --lockfile Cargo.lock`".to_owned(),
    };
    let choose = match (other, is_in_depends) {
        (None, _) => String::new(),
        (Some(other), true) => format!("; otherwise change the line, for example to `{package} = \"{other}\"`"),
        (Some(other), false) => format!("; otherwise choose another version, for example `--crate {package}@={other}`"),
    };
    format!("{reason}; {carry}{choose}")
}

impl From<cargo::Error> for Failure {
    fn from(error: cargo::Error) -> Failure {
        use cargo::Error;
        let context = "could not resolve the dependencies";
        match error {
            Error::Folder(source) => Failure::io("could not create a work folder for cargo", source),
            Error::System { ref source, ref stderr } => {
                let hint = hint_for_cargo_system_error(source, stderr);
                let failure = Failure::new(ErrorClass::Disk, error).context(context);
                Failure { hint, ..failure }
            }
            Error::UnknownVersion { ref output, .. } if is_missing_toolchain(output) => {
                Failure::new(ErrorClass::Input, error).context(context).hint(super::NO_TOOLCHAIN_HINT)
            }
            Error::Start { ref program, ref source } => {
                let hint = hint_for_unstarted_cargo(program, source);
                Failure::new(ErrorClass::Input, error).context(context).hint(hint)
            }
            Error::UnknownVersion { .. } => Failure::new(ErrorClass::Input, error).context(context).hint(NO_CARGO_HINT),
            Error::TooOld { .. } => Failure::new(ErrorClass::Input, error)
                .context(context)
                .hint("update it with `rustup update`, or set the variable CARGO to the path of another cargo"),
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
                    "a proxy that requires a login may answer like this; open the address with a browser or curl"
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
                Some("the `dl` of upstream's config.json points to local files; put the file there, or set FROSTMIRROR_DL_URL to an http address".to_owned()),
            ),
            Error::Unavailable(ref files) if !files.altered.is_empty() => {
                (ErrorClass::Integrity, Some("upstream, or a proxy before it, sent a file that does not match the index; do not use it".to_owned()))
            }
            Error::Unavailable(_) => (
                ErrorClass::Network,
                Some(format!("if upstream deleted a version, {}; if it lists files that it does not have, check the `dl` of its config.json, or FROSTMIRROR_DL_URL", resolve::REUSE_HINT)),
            ),
            Error::Network { ref source, .. } => {
                let (class, hint) = network::class_and_hint(source);
                (class, hint.or_else(|| Some(RETRY_HINT.to_owned())))
            }
            Error::Offline { .. } => (ErrorClass::Network, Some(network::offline_hint())),
        };
        let failure = Failure::new(class, error).context("could not download all required files");
        Failure { hint, ..failure }
    }
}

impl From<packaged_lock::Error> for Failure {
    fn from(error: packaged_lock::Error) -> Failure {
        // The bytes match the index, so upstream published a file that is not a valid crate.
        let class = match io_class(&error.source) {
            ErrorClass::Input => ErrorClass::Disk,
            _ => ErrorClass::Integrity,
        };
        Failure::new(class, error).context("could not read the Cargo.lock inside the crate")
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
                    "restore `{}` from a backup, or move it away to start a new lineage: the mirror then keeps both",
                    path.display()
                )),
            ),
            Error::UnsupportedFormat { newer: true, .. } => {
                (ErrorClass::Input, Some("install a newer version of cargo-frostmirror".to_owned()))
            }
            Error::UnsupportedFormat { path, .. } => (
                ErrorClass::Input,
                Some(format!("move `{}` away; the next bundle starts a new lineage", path.display())),
            ),
            Error::Conflict(_) => (
                ErrorClass::Integrity,
                Some("crates.io never changes a version; find the upstream that sent different bytes, and use a separate history for each upstream".to_owned()),
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
                    "`--label NAME` with a new name keeps both; `--label '{}'` declares the same project in another folder",
                    id.label
                )),
            ),
            Error::SameLabel { .. } => {
                (ErrorClass::Input, Some("fetch them in separate runs, one of them with `--label NAME`".to_owned()))
            }
            Error::LabelTaken { .. } => (ErrorClass::Input, Some("choose another label".to_owned())),
            Error::FetchedAndForgotten(_) => (ErrorClass::Input, Some("remove one of the two".to_owned())),
            Error::UnknownBundle { is_ambiguous: true, .. } => {
                (ErrorClass::Input, Some("give the path of the bundle's file, or its full ID".to_owned()))
            }
            Error::UnknownBundle { .. } => (
                ErrorClass::Input,
                Some(format!(
                    "give the last bundle before the first lost one, by its file, its ID or at least {MIN_ID_PREFIX} digits of it, or ship everything with `--base none`"
                )),
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
