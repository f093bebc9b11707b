//! Classes and hints for the errors of `serve` and of client configuration.

use std::io::ErrorKind;

use super::network::SELF_SIGNED_COMMAND;
use super::{ErrorClass, Failure, class_and_hint_of_read, io_hint};
use crate::bounded_read;
use crate::client_setup;
use crate::server::auth::TokenError;
use crate::server::{Error, TlsError};

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let hint = match &error {
            Error::Address { .. } => {
                "give HOST:PORT, for example 127.0.0.1:8080, or port 0 for any free port".to_owned()
            }
            Error::Bind { address, source, owner } => match source.kind() {
                ErrorKind::AddrInUse => {
                    let owner = owner.as_ref().map_or_else(|| "another program".to_owned(), ToString::to_string);
                    format!("{owner} listens on port {}; stop it, or give another port with --bind", address.port())
                }
                ErrorKind::PermissionDenied => {
                    format!("port {} needs privileges; give a port above 1023 with --bind", address.port())
                }
                _ => "give an address of this machine with --bind; 0.0.0.0 means all addresses".to_owned(),
            },
        };
        Failure::new(ErrorClass::Input, error).hint(hint)
    }
}

impl From<TokenError> for Failure {
    fn from(error: TokenError) -> Failure {
        const MAKE: &str = "create one with `openssl rand -hex 32`";
        let (class, hint) = match &error {
            TokenError::Invalid { .. } | TokenError::Line { .. } => (ErrorClass::Input, MAKE.to_owned()),
            TokenError::Count { .. } => {
                (ErrorClass::Input, "write one token per line; the file of the admin token has exactly one".to_owned())
            }
            TokenError::Read(error) => {
                let (class, hint) = class_and_hint_of_read(error);
                (class, hint.unwrap_or_else(|| format!("check the path; {MAKE}")))
            }
            TokenError::NoReaderToken => {
                (ErrorClass::Input, format!("set `read_token_file` to a file with one token per line; {MAKE}"))
            }
        };
        Failure::new(class, error).hint(hint)
    }
}

impl From<TlsError> for Failure {
    fn from(error: TlsError) -> Failure {
        let hint: &str = match &error {
            TlsError::Read(bounded_read::Error::TooLarge { .. }) => "check that this is the file you meant",
            TlsError::Read(_) => {
                "the files of --tls-cert and --tls-key must be readable by the user that runs this server"
            }
            TlsError::Pem { .. } => {
                "PEM files have lines like `-----BEGIN CERTIFICATE-----`; convert others with `openssl x509` or `openssl pkey`"
            }
            TlsError::Certificate { .. } => &format!("create one with {SELF_SIGNED_COMMAND}"),
            TlsError::Pair { .. } => {
                "give the key of this certificate; if the file has several certificates, put the server's own first"
            }
        };
        Failure::new(ErrorClass::Input, error).hint(hint)
    }
}

impl From<client_setup::InvalidBaseUrl> for Failure {
    fn from(error: client_setup::InvalidBaseUrl) -> Failure {
        Failure::new(ErrorClass::Input, error)
            .hint("give the address of the server, for example http://mirror.example:8080")
    }
}

impl From<client_setup::Error> for Failure {
    fn from(error: client_setup::Error) -> Failure {
        use client_setup::Error as E;
        let (class, hint) = match &error {
            E::Read(error) => class_and_hint_of_read(error),
            E::Edit { .. } => {
                (ErrorClass::Input, Some("correct the file, which is unchanged, and run setup again".to_owned()))
            }
            E::InvalidRecord { path, .. } => (
                ErrorClass::Input,
                Some(format!("check `{}` for the previous settings, then delete it", path.display())),
            ),
            E::MissingRecord { .. } => (
                ErrorClass::Input,
                Some("remove [registries.frostmirror] and the replace-with of [source.crates-io] by hand".to_owned()),
            ),
            E::Write { source, .. } => (ErrorClass::Disk, io_hint(source)),
        };
        let failure = Failure::new(class, error);
        Failure { hint, ..failure }
    }
}
