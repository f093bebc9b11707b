//! Classes and hints for the errors of the server's configuration.

use super::{ErrorClass, Failure, class_and_hint_of_read, io_class, io_hint};
use crate::bounded_read;
use crate::config::{Error, edit, settings};

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        match error {
            Error::Read(ref cause) => {
                let (class, hint) = class_and_hint_of_read(cause);
                Failure { hint, ..Failure::new(class, error) }
            }
            Error::Write { ref source, .. } => {
                let (class, hint) = (io_class(source), io_hint(source));
                Failure { hint, ..Failure::new(class, error) }
            }
            Error::Toml { .. } => Failure::new(ErrorClass::Input, error)
                .hint("correct the file, or move it away, and run the same command again"),
            Error::SnapshotToml { .. } | Error::NotText { .. } => Failure::new(ErrorClass::Integrity, error),
        }
    }
}

impl From<settings::Error> for Failure {
    fn from(error: settings::Error) -> Failure {
        use settings::Error as E;
        match error {
            E::Read(bounded_read::Error::Io { ref source, .. }) => {
                let (class, hint) = (io_class(source), io_hint(source));
                Failure { hint, ..Failure::new(class, error) }
            }
            E::Read(_) | E::Invalid { .. } => Failure::new(ErrorClass::Input, error)
                .hint("correct the file, or move it away, and run the same command again"),
            E::InvalidOverride { .. } => Failure::new(ErrorClass::Input, error),
            E::Offline => Failure::new(ErrorClass::Input, error).hint(
                "choose one: remove `--live`, FROSTMIRROR_PROXY_MODE or `proxy_mode`, or else `--offline`, \
                 FROSTMIRROR_OFFLINE or `offline`",
            ),
            E::IncompletePair { .. } => {
                Failure::new(ErrorClass::Input, error).hint("give both the certificate and its key, or neither")
            }
        }
    }
}

impl From<edit::Error> for Failure {
    fn from(error: edit::Error) -> Failure {
        use edit::Error as E;
        match error {
            E::Settings(error) => error.into(),
            E::InvalidValue(_) => Failure::new(ErrorClass::Input, error),
            E::Overridden { overridden_by: by, .. } => Failure::new(ErrorClass::Input, error)
                .hint(format!("start the server without {by} to use the value in the file")),
            E::OperatorOnly { key } => Failure::new(ErrorClass::Input, error)
                .hint(format!("change `{}` in frostmirror.toml on the server, and restart the server", key.name())),
            E::ConcurrentChange { .. } => {
                Failure::new(ErrorClass::Input, error).hint("reload the settings, and repeat the change")
            }
            E::Write { ref source, .. } => {
                let hint = io_hint(source);
                Failure { hint, ..Failure::new(ErrorClass::Disk, error) }
            }
        }
    }
}
