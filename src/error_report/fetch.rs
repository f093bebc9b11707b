//! Classes and hints for the errors of `fetch`. Most of them come from the layers below.

use super::{ErrorClass, Failure, class_and_hint_of_read, io_class};
use crate::bounded_read;
use crate::fetch::{Error, Reason, repair_list};

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        match error {
            Error::CargoConfig(error) => error.into(),
            Error::Http(error) => error.into(),
            Error::Cargo(error) => error.into(),
            Error::Lockfile(error) => error.into(),
            Error::Workspace(error) => error.into(),
            Error::RepairList(error) => error.into(),
            Error::Resolve(error) => error.into(),
            Error::Download(error) => error.into(),
            Error::History(error) => error.into(),
            Error::Pack(error) => error.into(),
            Error::UnreadableBundle(error) => error.into(),
            Error::InvalidBundle(_) => Failure::new(ErrorClass::Integrity, error)
                .context("could not write a bundle")
                .hint("no partial files remain; check the disk, and run the same command again"),
            Error::NoCrates(_) => Failure::new(ErrorClass::Input, error)
                .context("found nothing to mirror, and wrote no bundle")
                .hint("if that is not what you expect, check that this is the project or the file you meant"),
            Error::Toolchains(error) => (*error).into(),
            Error::Platforms { location, source } => {
                let failure = Failure::from(*source);
                let context = failure.context.as_deref().unwrap_or("could not fetch the toolchains");
                Failure { context: Some(format!("{context}\n{location}")), ..failure }
            }
            Error::PinnedToolchain { toolchain_file: pin, toolchain, source } => {
                let failure = Failure::from(*source);
                let context = failure.context.as_deref().unwrap_or("could not download the toolchains");
                let context = format!("{context}, which `{}` requests", pin.display());
                let before = failure.hint.as_ref().map_or_else(String::new, |hint| format!("{hint}; or "));
                let hint = format!(
                    "{before}exclude toolchains with `--no-toolchain`: the importing side then needs another source for \
                     `rustup toolchain install {toolchain}`"
                );
                Failure { context: Some(context), hint: Some(hint), ..failure }
            }
            Error::OtherInputToolchains { input, source } => with_other_input(&input, Failure::from(*source)),
            Error::ToolchainsMissingFromBase(_) => Failure::new(ErrorClass::Input, error)
                .context("could not create a bundle on that base")
                .hint("omit `--no-toolchain`: the toolchains of the lost bundle must be sent again"),
            Error::Unavailable(ref lacking) => {
                let altered = lacking.iter().any(|one| one.reason == Reason::Altered);
                let (class, hint) = match altered {
                    true => (
                        ErrorClass::Integrity,
                        "immutable files were altered by upstream or by a proxy before it: do not trust them; set FROSTMIRROR_DIST_URL to another mirror",
                    ),
                    false => (
                        ErrorClass::Network,
                        "`cargo frostmirror fetch --base none` ships the current files of upstream: import that bundle too, and check with `verify --mirror`",
                    ),
                };
                Failure::new(class, error).context("could not fetch every file of the repair list").hint(hint)
            }
            Error::UnknownRegistry(_) => Failure::new(ErrorClass::Input, error)
                .context("could not exclude a registry")
                .hint("give its name in `[registries]`, or the address of its index"),
            Error::Reuse { ref source, .. } => Failure::new(io_class(source), error)
                .context("could not use the source given with `--reuse`")
                .hint("give the folder of a mirror, or the file of a bundle"),
            Error::Output { path, source } => {
                let failure = Failure::io(format!("could not write to `{}`", path.display()), source);
                failure.hint("give a writable folder with `-o DIR`, or with FROSTMIRROR_OUTPUT")
            }
            Error::Folder { path, source } => Failure::io(format!("could not use `{}`", path.display()), source),
            Error::Worker(_) => Failure::new(ErrorClass::Bug, error),
        }
    }
}

/// Describes `failure` as caused by another input of the history.
fn with_other_input(input: &str, failure: Failure) -> Failure {
    let Failure { class, context, cause, hint } = failure;
    let context = context.unwrap_or_else(|| "could not fetch the toolchains".to_owned());
    let context = format!(
        "{context} for `{input}`, an input of the history that this run does not fetch but updates with its channels"
    );
    // The hint would look like a hint about the inputs of this run.
    let before = hint.filter(|_| class != ErrorClass::Input).map_or_else(String::new, |hint| format!("{hint}; or "));
    let hint = format!(
        "{before}fetch `{input}` too, with targets and toolchains that upstream provides, or retire it with `--forget '{input}'`"
    );
    Failure { class, context: Some(context), cause, hint: Some(hint) }
}

impl From<repair_list::Error> for Failure {
    fn from(error: repair_list::Error) -> Failure {
        use repair_list::Error;
        let hint = match &error {
            Error::Read(cause)
                if cause.io_kind() != Some(std::io::ErrorKind::IsADirectory)
                    && class_and_hint_of_read(cause).0 == ErrorClass::Disk =>
            {
                let hint = class_and_hint_of_read(cause).1;
                return Failure { hint, ..Failure::new(ErrorClass::Disk, error) };
            }
            Error::Read(cause @ bounded_read::Error::Binary { .. }) => {
                let (class, hint) = class_and_hint_of_read(cause);
                return Failure { hint, ..Failure::new(class, error) }.context("could not read the repair list");
            }
            Error::UnknownKind { .. } => "a newer version wrote the list; install a newer version of cargo-frostmirror",
            Error::Read(_) => "give the repair list that `cargo frostmirror verify --repair-list FILE` wrote",
            _ => "each line must be {\"kind\":\"crate\",\"name\":…,\"version\":…,\"sha256\":…}",
        };
        Failure::new(ErrorClass::Input, error).context("could not read the repair list").hint(hint)
    }
}
