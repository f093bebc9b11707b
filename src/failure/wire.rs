//! Errors of `http` and of cargo's configuration: class and hint.

use crate::gather::cargo_config;
use crate::http;

use super::{Class, Failure, class_of_io, hint_of_io};

/// Class and hint of an error that may lie below another.
pub(super) fn class_and_hint(error: &http::Error) -> (Class, Option<String>) {
    use http::Error;
    match error {
            Error::NotFound { .. } => (Class::Network, Some("upstream's index lists it, but upstream does not have it; is the `dl` of its config.json, or FROSTMIRROR_DL_URL, right?".to_owned())),
            Error::Status { status: 401 | 403, .. } => (Class::Network, Some("upstream wants a token: set CARGO_REGISTRIES_NAME_TOKEN, with the registry's name for NAME".to_owned())),
            Error::Status { status: 407, .. } => (Class::Network, Some("the proxy wants a name and a password: http://USER:PASSWORD@HOST:PORT".to_owned())),
            Error::Status { status: 429, .. } => (Class::Network, Some("upstream asks for patience; run the same command again later, what was downloaded is kept".to_owned())),
            Error::Status { .. } => (Class::Network, Some("run the same command again; what was downloaded is kept".to_owned())),
            Error::Transport { .. } => (Class::Network, Some("check the network and the proxy settings (http.proxy, HTTPS_PROXY, NO_PROXY), then run the same command again; what was downloaded is kept".to_owned())),
            Error::Certificate { .. } => (Class::Network, Some("if your network has its own authority, name its certificate in CARGO_HTTP_CAINFO or SSL_CERT_FILE".to_owned())),
            Error::TooLarge { .. } | Error::Encoding { .. } => (Class::Network, None),
            Error::Checksum { .. } => (Class::Integrity, Some("upstream, or something before it, sends other bytes than the index promises; do not use them".to_owned())),
            Error::Io { source, .. } => (class_of_io(source), hint_of_io(source)),
            Error::Address { .. } | Error::UserAgent { .. } | Error::Token { .. } => (Class::Input, None),
            Error::Proxy(_) => (Class::Input, Some("a proxy looks like http://USER:PASSWORD@HOST:PORT".to_owned())),
            Error::Tls(_) => (Class::Input, Some("http.cainfo and SSL_CERT_FILE name a file of certificates in PEM form".to_owned())),
            Error::Client(_) => (Class::Bug, None),
        }
}

impl From<http::Error> for Failure {
    fn from(error: http::Error) -> Failure {
        let (class, hint) = class_and_hint(&error);
        Failure {
            class,
            doing: None,
            cause: Box::new(error),
            hint,
        }
    }
}

impl From<cargo_config::Error> for Failure {
    fn from(error: cargo_config::Error) -> Failure {
        use cargo_config::Error;
        let (class, hint) = match &error {
            Error::Io { source, .. } => (class_of_io(source), hint_of_io(source)),
            Error::CredentialProvider { variable, .. } => {
                (Class::Input, Some(format!("put the token into {variable}")))
            }
            Error::Address { .. } => {
                (Class::Input, Some("an upstream is a sparse registry, as in https://HOST/PATH/".to_owned()))
            }
            Error::Toml { .. } | Error::Value { .. } | Error::IncludeCycle { .. } => {
                (Class::Input, Some("this is cargo's own configuration; `cargo` would stumble over it too".to_owned()))
            }
            Error::UnknownSource { .. } | Error::SourceCycle { .. } => {
                (Class::Input, Some("correct the file, or set FROSTMIRROR_REGISTRY_URL".to_owned()))
            }
        };
        let doing = match &error {
            Error::Io { .. } | Error::Toml { .. } | Error::Value { .. } | Error::IncludeCycle { .. } => {
                Some("could not read cargo's configuration".to_owned())
            }
            _ => None,
        };
        Failure { class, doing, cause: Box::new(error), hint }
    }
}
