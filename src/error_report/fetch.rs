//! Errors of `fetch`, the journey: mostly those of the rooms on its way.

use super::{ErrorClass, Failure, io_class, io_hint};
use crate::fetch::{Error, Reason, repair_list};

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        match error {
            Error::CargoConfig(error) => error.into(),
            Error::Http(error) => error.into(),
            Error::Cargo(error) => error.into(),
            Error::Depends(error) => error.into(),
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
                .hint("nothing was left behind; check the disk, and run the same command again"),
            Error::NoCrates(_) => Failure::new(ErrorClass::Input, error)
                .context("found nothing to mirror, and wrote no bundle")
                .hint("if that is not what you expect, check that this is the project or the file you meant"),
            Error::Toolchains(error) => (*error).into(),
            Error::Platforms { location: place, source } => {
                let failure = Failure::from(*source);
                let context = failure.context.as_deref().unwrap_or("could not have the toolchains");
                Failure { context: Some(format!("{place}: {context}")), ..failure }
            }
            Error::PinnedToolchain { toolchain_file: pin, toolchain, source } => {
                let failure = Failure::from(*source);
                let context = failure.context.as_deref().unwrap_or("could not download the toolchains");
                let context = format!("{context}, which `{}` asks for", pin.display());
                let before = failure.hint.as_ref().map_or_else(String::new, |hint| format!("{hint}; or "));
                let hint = format!(
                    "{before}leave it out with `--no-toolchain`: the other side then needs another source for \
                     `rustup toolchain install {toolchain}`"
                );
                Failure { context: Some(context), hint: Some(hint), ..failure }
            }
            Error::OtherInputToolchains { input, source } => with_other_input(&input, Failure::from(*source)),
            Error::ToolchainsMissingFromBase(_) => Failure::new(ErrorClass::Input, error)
                .context("could not make a bundle on that base")
                .hint("leave `--no-toolchain` away: what was lost must be sent again, or the far side waits for it in vain"),
            Error::Unavailable(ref lacking) => {
                let altered = lacking.iter().any(|one| one.reason == Reason::Altered);
                let (class, hint) = match altered {
                    true => (ErrorClass::Integrity, "what never changes upstream was altered there, or by something before it: do not trust it; the rest may be had from another mirror with FROSTMIRROR_DIST_URL"),
                    false => (ErrorClass::Network, "`cargo frostmirror fetch` brings what upstream has in place of it: import that bundle too, and check with `verify --mirror`"),
                };
                Failure::new(class, error).context("could not bring everything that is to be repaired").hint(hint)
            }
            Error::UnknownRegistry(_) => Failure::new(ErrorClass::Input, error)
                .context("could not leave a registry out")
                .hint("give the name that it has in `[registries]`, or the address of its index"),
            Error::Reuse { ref source, .. } => Failure::new(io_class(source), error)
                .context("could not use what `--reuse` names")
                .hint("it is the folder of a mirror, or the file of a bundle"),
            Error::Output { path, source } => {
                let failure = Failure::io(format!("could not write to `{}`", path.display()), source);
                failure.hint("give a folder that can be written to with `-o DIR`, or with FROSTMIRROR_OUTPUT")
            }
            Error::Folder { path, source } => Failure::io(format!("could not use `{}`", path.display()), source),
            Error::Worker(_) => Failure::new(ErrorClass::Bug, error),
        }
    }
}

/// What another input of the history wants came to `failure`.
fn with_other_input(input: &str, failure: Failure) -> Failure {
    let Failure { class, context, cause, hint } = failure;
    let context = context.unwrap_or_else(|| "could not have the toolchains".to_owned());
    let context = format!(
        "{context} for `{input}`, which is not fetched now but is an input of the history, and moves along with its channels"
    );
    // What to correct in an input that is not fetched now would be read as a hint about today's.
    let before = hint.filter(|_| class != ErrorClass::Input).map_or_else(String::new, |hint| format!("{hint}; or "));
    let hint = format!(
        "{before}fetch `{input}` too, with targets and toolchains that upstream has, or retire it with `--forget '{input}'`"
    );
    Failure { class, context: Some(context), cause, hint: Some(hint) }
}

impl From<repair_list::Error> for Failure {
    fn from(error: repair_list::Error) -> Failure {
        use repair_list::Error;
        let hint = match &error {
            Error::Read { source, .. } if io_class(source) == ErrorClass::Disk => {
                let hint = io_hint(source);
                return Failure { hint, ..Failure::new(ErrorClass::Disk, error) };
            }
            Error::UnknownKind { .. } => {
                "a later version wrote it; update cargo-frostmirror: `cargo install cargo-frostmirror`"
            }
            Error::Read { .. } => "name the file that lists what the mirror has lost",
            _ => "each line is {\"kind\":\"crate\",\"name\":…,\"version\":…,\"sha256\":…}",
        };
        Failure::new(ErrorClass::Input, error).context("could not read what is to be repaired").hint(hint)
    }
}
