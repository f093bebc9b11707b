//! Errors of `fetch`, the journey: mostly those of the rooms on its way.

use super::{Class, Failure, class_of_io, hint_of_io};
use crate::fetch::{Error, Why, repair_list};

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
            Error::Unreadable(error) => error.into(),
            Error::Unsound(_) => Failure::new(Class::Integrity, error)
                .doing("could not write a bundle")
                .hint("nothing was left behind; check the disk, and run the same command again"),
            Error::Nothing(_) => Failure::new(Class::Input, error)
                .doing("found nothing to mirror, and wrote no bundle")
                .hint("if that is not what you expect, check that this is the project or the file you meant"),
            Error::Toolchains(error) => (*error).into(),
            Error::Platforms { place, source } => {
                let failure = Failure::from(*source);
                let doing = failure.doing.as_deref().unwrap_or("could not have the toolchains");
                Failure { doing: Some(format!("{place}: {doing}")), ..failure }
            }
            Error::Pinned { pin, toolchain, source } => {
                let failure = Failure::from(*source);
                let doing = failure.doing.as_deref().unwrap_or("could not download the toolchains");
                let doing = format!("{doing}, which `{}` asks for", pin.display());
                let before = failure.hint.as_ref().map_or_else(String::new, |hint| format!("{hint}; or "));
                let hint = format!(
                    "{before}leave it out with `--no-toolchain`: the other side then needs another source for \
                     `rustup toolchain install {toolchain}`"
                );
                Failure { doing: Some(doing), hint: Some(hint), ..failure }
            }
            Error::OthersToolchains { input, source } => of_another(&input, Failure::from(*source)),
            Error::ToolchainsOwed(_) => Failure::new(Class::Input, error)
                .doing("could not make a bundle on that base")
                .hint("leave `--no-toolchain` away: what was lost must be sent again, or the far side waits for it in vain"),
            Error::Lacking(ref lacking) => {
                let altered = lacking.iter().any(|one| one.why == Why::Altered);
                let (class, hint) = match altered {
                    true => (Class::Integrity, "what never changes upstream was altered there, or by something before it: do not trust it; the rest may be had from another mirror with FROSTMIRROR_DIST_URL"),
                    false => (Class::Network, "`cargo frostmirror fetch` brings what upstream has in place of it: import that bundle too, and check with `verify --mirror`"),
                };
                Failure::new(class, error).doing("could not bring everything that is to be repaired").hint(hint)
            }
            Error::UnknownRegistry(_) => Failure::new(Class::Input, error)
                .doing("could not leave a registry out")
                .hint("give the name that it has in `[registries]`, or the address of its index"),
            Error::Reuse { ref source, .. } => Failure::new(class_of_io(source), error)
                .doing("could not use what `--reuse` names")
                .hint("it is the folder of a mirror, or the file of a bundle"),
            Error::Output { path, source } => {
                let failure = Failure::io(format!("could not write to `{}`", path.display()), source);
                failure.hint("give a folder that can be written to with `-o DIR`, or with FROSTMIRROR_OUTPUT")
            }
            Error::Folder { path, source } => Failure::io(format!("could not use `{}`", path.display()), source),
            Error::Worker(_) => Failure::new(Class::Bug, error),
        }
    }
}

/// What another input of the history wants came to `failure`.
fn of_another(input: &str, failure: Failure) -> Failure {
    let Failure { class, doing, cause, hint } = failure;
    let doing = doing.unwrap_or_else(|| "could not have the toolchains".to_owned());
    let doing = format!(
        "{doing} for `{input}`, which is not fetched now but is an input of the history, and moves along with its channels"
    );
    // What to correct in an input that is not fetched now would be read as a hint about today's.
    let before = hint.filter(|_| class != Class::Input).map_or_else(String::new, |hint| format!("{hint}; or "));
    let hint = format!(
        "{before}fetch `{input}` too, with targets and toolchains that upstream has, or retire it with `--forget '{input}'`"
    );
    Failure { class, doing: Some(doing), cause, hint: Some(hint) }
}

impl From<repair_list::Error> for Failure {
    fn from(error: repair_list::Error) -> Failure {
        use repair_list::Error;
        let hint = match &error {
            Error::Read { source, .. } if class_of_io(source) == Class::Disk => {
                let hint = hint_of_io(source);
                return Failure { hint, ..Failure::new(Class::Disk, error) };
            }
            Error::Kind { .. } => {
                "a later version wrote it; update cargo-frostmirror: `cargo install cargo-frostmirror`"
            }
            Error::Read { .. } => "name the file that lists what the mirror has lost",
            _ => "each line is {\"kind\":\"crate\",\"name\":…,\"version\":…,\"sha256\":…}",
        };
        Failure::new(Class::Input, error).doing("could not read what is to be repaired").hint(hint)
    }
}
