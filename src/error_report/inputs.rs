//! Classes and hints for the errors of the user's files: `depends.toml`, `Cargo.lock` and workspaces.

use std::io;
use std::path::Path;

use super::{
    ErrorClass, Failure, class_and_hint_of_read, hint_for_cargo_system_error, hint_for_unstarted_cargo, io_class,
    io_hint,
};
use crate::bounded_read;
use crate::diagnostics::shell_quote;
use crate::env::is_missing_toolchain;
use crate::fetch::init;
use crate::fetch::resolve::REUSE_HINT;
use crate::fetch::workspace;
use crate::inputs::depends;
use crate::inputs::lockfile::{self, skip_options};

/// The class and the hint for a user's file that cannot be read. A wrong file type is an input error, not a disk error.
fn class_and_hint_of_unreadable(source: &io::Error) -> (ErrorClass, Option<String>) {
    match source.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::IsADirectory => (ErrorClass::Input, None),
        _ => (io_class(source), io_hint(source)),
    }
}

/// Names the file that the user probably meant.
fn hint_for_unreadable_depends(path: &Path, source: &io::Error) -> String {
    let file = |name: &str| {
        Some(path.join(name)).filter(|file| source.kind() == io::ErrorKind::IsADirectory && file.is_file())
    };
    if let Some(file) = file("depends.toml") {
        return format!("give the file in that folder: `-c {}`", shell_quote(&file));
    }
    if let Some(file) = file("Cargo.toml") {
        return format!("for the project in that folder, use `--manifest-path {}` instead of `-c`", shell_quote(&file));
    }
    "check the path; `cargo frostmirror init`, run in a cargo project, writes a depends.toml".to_owned()
}

/// The command for a file of cargo that was given as a depends.toml. Cargo reads a manifest only under its own name.
fn hint_for_other_kind(path: &Path, kind: depends::OtherKind) -> String {
    let fetch = |flag: &str, path: &Path| format!("`cargo frostmirror fetch {flag} {}`", shell_quote(path));
    let manifest = path.with_file_name("Cargo.toml");
    match kind {
        depends::OtherKind::Lockfile => format!("{} fetches what it needs", fetch("--lockfile", path)),
        depends::OtherKind::Manifest if *path == *manifest => {
            format!("{} fetches what it needs", fetch("--manifest-path", path))
        }
        depends::OtherKind::Manifest if manifest.exists() => format!(
            "remove it, and run {}, which fetches what the manifest beside it needs; or list crates below \
             `[dependencies]` alone",
            fetch("--manifest-path", &manifest)
        ),
        depends::OtherKind::Manifest => {
            format!("rename it to Cargo.toml; {} then fetches what it needs", fetch("--manifest-path", &manifest))
        }
    }
}

/// Names the lock in a folder that was given as a lock.
fn hint_for_lock_folder(folder: &Path) -> String {
    let lock = folder.join("Cargo.lock");
    if lock.is_file() {
        return format!("give the file in that folder: {}", shell_quote(&lock));
    }
    match folder.join("Cargo.toml").is_file() {
        true => "that folder has no Cargo.lock; `cargo generate-lockfile`, run there, writes it".to_owned(),
        false => "check the path; that folder has no Cargo.lock".to_owned(),
    }
}

fn disk_hint(source: &io::Error) -> String {
    io_hint(source).unwrap_or_else(|| "check the disk of FROSTMIRROR_HOME".to_owned())
}

impl From<depends::Error> for Failure {
    fn from(error: depends::Error) -> Failure {
        let (class, hint) = match &error {
            depends::Error::Read(bounded_read::Error::Io { path, source }) => {
                let (class, hint) = class_and_hint_of_unreadable(source);
                (class, hint.or_else(|| Some(hint_for_unreadable_depends(path, source))))
            }
            depends::Error::Read(
                error @ (bounded_read::Error::TooLarge { .. } | bounded_read::Error::Binary { .. }),
            ) => class_and_hint_of_read(error),
            // The problems name the file, and say what to write instead.
            depends::Error::Read(bounded_read::Error::NotUtf8 { .. }) | depends::Error::Invalid { .. } => {
                return Failure::new(ErrorClass::Input, error).hint("correct the file, and run the same command again");
            }
            depends::Error::OtherKind { path, kind } => (ErrorClass::Input, Some(hint_for_other_kind(path, *kind))),
        };
        let failure = Failure::new(class, error).context("could not use the list of dependencies");
        Failure { hint, ..failure }
    }
}

impl From<lockfile::Error> for Failure {
    fn from(error: lockfile::Error) -> Failure {
        let (class, hint) = match &error {
            lockfile::Error::Read(bounded_read::Error::Io { path, source }) => {
                let (class, hint) = class_and_hint_of_unreadable(source);
                let hint = hint.or_else(|| {
                    if source.kind() == io::ErrorKind::IsADirectory {
                        return Some(hint_for_lock_folder(path));
                    }
                    Some("check the path; if there is no lock yet, `cargo generate-lockfile` in the workspace writes it".to_owned())
                });
                (class, hint)
            }
            lockfile::Error::NewerFormat { .. } => {
                (ErrorClass::Input, Some("install a newer version of cargo-frostmirror".to_owned()))
            }
            lockfile::Error::Read(error @ (bounded_read::Error::TooLarge { .. } | bounded_read::Error::Binary { .. })) => {
                class_and_hint_of_read(error)
            }
            lockfile::Error::IsDepends { path } => (
                ErrorClass::Input,
                Some(format!("`cargo frostmirror fetch -c {}` fetches what it lists", shell_quote(path))),
            ),
            lockfile::Error::IsManifest { .. } => (
                ErrorClass::Input,
                Some(
                    "give the Cargo.lock beside the manifest of the workspace; `cargo generate-lockfile` writes it"
                        .to_owned(),
                ),
            ),
            // The problems name the file and show its lines.
            lockfile::Error::Read(bounded_read::Error::NotUtf8 { .. }) | lockfile::Error::Syntax { .. } => {
                return Failure::new(ErrorClass::Input, error).hint("restore the file from version control, or delete it and run `cargo generate-lockfile` in the workspace");
            }
            lockfile::Error::MissingChecksum { .. } => (
                ErrorClass::Input,
                Some(
                    "without a checksum the download cannot be checked; remove the entry and run `cargo update --workspace`"
                        .to_owned(),
                ),
            ),
            lockfile::Error::InvalidPackage { .. }
            | lockfile::Error::InvalidChecksum { .. }
            | lockfile::Error::ConflictingChecksums { .. } => {
                (ErrorClass::Input, Some("cargo does not write such an entry; restore the file from version control".to_owned()))
            }
        };
        let failure = Failure::new(class, error).context("could not use the lock file");
        Failure { hint, ..failure }
    }
}

impl From<workspace::Error> for Failure {
    fn from(error: workspace::Error) -> Failure {
        use workspace::Error;
        let error = match error {
            Error::Lockfile(inner) => return inner.into(),
            other => other,
        };
        let (class, hint) = match &error {
            // `Lockfile` is handled above.
            Error::Lockfile(_) => (ErrorClass::Input, "`cargo generate-lockfile` in the workspace writes one".to_owned()),
            Error::MissingManifest(_) => (ErrorClass::Input, "give the path of a Cargo.toml".to_owned()),
            Error::System { source, stderr, .. } => (
                ErrorClass::Disk,
                hint_for_cargo_system_error(source, stderr).unwrap_or_else(|| disk_hint(source)),
            ),
            // The scratch folder of cargo could not be written.
            Error::CargoNotStarted { source, .. }
                if matches!(
                    source.kind(),
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::ReadOnlyFilesystem
                ) =>
            {
                (ErrorClass::Disk, disk_hint(source))
            }
            Error::CargoNotStarted { cargo, source } => (ErrorClass::Input, hint_for_unstarted_cargo(cargo, source)),
            Error::InvalidManifest { stderr, .. } if is_missing_toolchain(stderr) => {
                (ErrorClass::Input, super::NO_TOOLCHAIN_HINT.to_owned())
            }
            Error::InvalidManifest { manifest, .. } if manifest.file_name().is_none_or(|name| name != "Cargo.toml") => {
                (ErrorClass::Input, "give the path of a Cargo.toml; `--lockfile` takes a Cargo.lock".to_owned())
            }
            Error::InvalidManifest { .. } => {
                (ErrorClass::Input, "correct the manifest until `cargo metadata` accepts it".to_owned())
            }
            Error::Metadata { .. } => {
                (ErrorClass::Input, "this cargo may be too old; 1.70 or a later one is needed".to_owned())
            }
            Error::Copy { source, .. } => {
                let (class, hint) = class_and_hint_of_unreadable(source);
                (
                    class,
                    hint.unwrap_or_else(|| "check the file, and that FROSTMIRROR_HOME is writable".to_owned()),
                )
            }
            Error::ChecksumMismatch { .. } => (ErrorClass::Integrity, "Cargo.lock or upstream was altered: restore Cargo.lock from version control; if it is the same there, compare the checksum with crates.io before you trust either".to_owned()),
            Error::Unreachable { packages, .. } if packages.is_empty() => (
                ErrorClass::Network,
                "check the address and the network; or run `cargo generate-lockfile` on a machine that reaches the source, and use that Cargo.lock: with it, `cargo frostmirror fetch --skip-git` can exclude git packages".to_owned(),
            ),
            Error::Unreachable { packages, .. } => (
                ErrorClass::Network,
                format!(
                    "check the address and the network; or exclude these packages with `cargo frostmirror fetch {}`: the importing \
                     side then needs another source for them",
                    skip_options(packages).join(" ")
                ),
            ),
            Error::Unresolved { lost, .. } if !lost.is_empty() => (
                ErrorClass::Input,
                format!("for a version that upstream deleted, {REUSE_HINT}; to build with another version, run `cargo update {}` in the workspace, and the same command again", lost.iter().map(|id| format!("{}@{}", id.name, id.version)).collect::<Vec<_>>().join(" ")),
            ),
            Error::Unresolved { .. } => (
                ErrorClass::Input,
                "correct the manifest or cargo's configuration as cargo's message says; when `cargo update --workspace` succeeds in the workspace, run the same command again".to_owned(),
            ),
        };
        Failure::new(class, error).context("could not use the workspace").hint(hint)
    }
}

impl From<init::Error> for Failure {
    fn from(error: init::Error) -> Failure {
        match error {
            init::Error::Depends(error) => error.into(),
            init::Error::Edit { .. } => Failure::new(ErrorClass::Bug, error)
                .context("could not update the list of dependencies")
                .hint("the file is unchanged; please report this with the file"),
        }
    }
}

impl From<init::InvalidDependency> for Failure {
    fn from(error: init::InvalidDependency) -> Failure {
        Failure::new(ErrorClass::Input, error)
            .context("could not use the workspace")
            .hint("correct the member's Cargo.toml")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hint_for_a_manifest_names_a_path_that_cargo_accepts() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = |name: &str| folder.path().join(name);
        let hint = |name: &str, kind| hint_for_other_kind(&path(name), kind);
        let manifest = format!("--manifest-path {}`", shell_quote(&path("Cargo.toml")));
        assert!(hint("Cargo.toml", depends::OtherKind::Manifest).contains(&manifest));
        let renamed = hint("depends.toml", depends::OtherKind::Manifest);
        assert!(renamed.starts_with("rename it to Cargo.toml") && renamed.contains(&manifest), "{renamed}");
        std::fs::write(path("Cargo.toml"), "").expect("write");
        let beside = hint("depends.toml", depends::OtherKind::Manifest);
        assert!(beside.starts_with("remove it") && beside.contains(&manifest), "{beside}");
        assert!(hint("depends.toml", depends::OtherKind::Lockfile).contains("depends.toml"));
    }
}
