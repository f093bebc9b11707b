//! Errors of the server's configuration: class and hint.

use super::{Class, Failure, class_of_io, hint_of_io};
use crate::server_config::{Error, edit, settings};

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        match error {
            Error::Read { ref source, .. } | Error::Write { ref source, .. } => {
                let (class, hint) = (class_of_io(source), hint_of_io(source));
                Failure { hint, ..Failure::new(class, error) }
            }
            Error::Toml { .. } => {
                Failure::new(Class::Input, error).hint("mend the file, or move it away, and run the same command again")
            }
            Error::Brought { .. } | Error::NoText { .. } => Failure::new(Class::Integrity, error),
        }
    }
}

impl From<settings::Error> for Failure {
    fn from(error: settings::Error) -> Failure {
        use settings::Error as E;
        match error {
            E::Read { ref source, .. } => {
                let (class, hint) = (class_of_io(source), hint_of_io(source));
                Failure { hint, ..Failure::new(class, error) }
            }
            E::TooLarge { .. } | E::Invalid { .. } => {
                Failure::new(Class::Input, error).hint("mend the file, or move it away, and run the same command again")
            }
            E::Fixed { .. } => Failure::new(Class::Input, error),
            E::Offline => Failure::new(Class::Input, error).hint(
                "decide for one: remove `--live`, FROSTMIRROR_PROXY_MODE or `proxy_mode`, or else `--offline`, \
                 FROSTMIRROR_OFFLINE or `offline`",
            ),
            E::Half { .. } => Failure::new(Class::Input, error)
                .hint("a certificate and its key belong together: give both, or neither"),
        }
    }
}

impl From<edit::Error> for Failure {
    fn from(error: edit::Error) -> Failure {
        use edit::Error as E;
        match error {
            E::Settings(error) => error.into(),
            E::Wrong(_) => Failure::new(Class::Input, error),
            E::Fixed { by, .. } => {
                Failure::new(Class::Input, error).hint(format!("start the server without {by}, and the file decides"))
            }
            E::OperatorOnly { key } => Failure::new(Class::Input, error)
                .hint(format!("change `{}` in frostmirror.toml on the server, and restart the server", key.name())),
            E::Changed { .. } => Failure::new(Class::Input, error).hint("look at it again, and repeat the change"),
            E::Write { ref source, .. } => {
                let hint = hint_of_io(source);
                Failure { hint, ..Failure::new(Class::Disk, error) }
            }
        }
    }
}
