//! Classes and hints for the errors of `http` and of cargo's configuration.

use crate::http::proxy::UsedProxy;
use crate::http::{self, CertificateFault, ProxyRefusal, TransportError};
use crate::upstream::cargo_config;

use super::{ErrorClass, Failure, class_and_hint_of_read, io_class, io_hint};

/// The class and the hint for an error that may be wrapped in another.
pub(super) fn class_and_hint(error: &http::Error) -> (ErrorClass, Option<String>) {
    use http::Error;
    match error {
            Error::NotFound { .. } => (ErrorClass::Network, Some("upstream's index lists it, but upstream does not have it; check the `dl` of its config.json, or FROSTMIRROR_DL_URL".to_owned())),
            Error::Status { status: 401, .. } => (ErrorClass::Network, Some("upstream refused the request: the token is missing or wrong; set CARGO_REGISTRIES_NAME_TOKEN, with the registry's name for NAME. A token is sent only to the registry's own host, and never from https to http".to_owned())),
            Error::Status { status: 403, .. } => (ErrorClass::Network, Some("upstream refused the request: its policy blocks the file, or the token is missing or lacks the permission; ask the administrator of that registry. A token is set as CARGO_REGISTRIES_NAME_TOKEN, with the registry's name for NAME, and is sent only to the registry's own host".to_owned())),
            Error::Status { status: 429, .. } => (ErrorClass::Network, Some("upstream limits the request rate; run the same command again later; downloaded files are kept".to_owned())),
            Error::Status { .. } => (ErrorClass::Network, Some("run the same command again; downloaded files are kept".to_owned())),
            Error::Transport { proxy, source: TransportError::Proxy(refusal), .. } => {
                (ErrorClass::Network, Some(proxy_hint(*refusal, proxy.as_deref())))
            }
            Error::Transport { url, source, .. } if source.is_other_protocol() && url.starts_with("http://") => {
                (ErrorClass::Network, Some("the server does not answer with HTTP; it probably expects https: write https:// instead of http:// in the address".to_owned()))
            }
            Error::Transport { proxy: Some(proxy), .. } => (ErrorClass::Network, Some(format!("check that the proxy runs, or correct {}; NO_PROXY=HOST excludes a host from it. Then run the same command again; downloaded files are kept", proxy.origin))),
            Error::Transport { .. } => (ErrorClass::Network, Some("check the network and the proxy settings (http.proxy, HTTPS_PROXY, NO_PROXY), then run the same command again; downloaded files are kept".to_owned())),
            Error::Certificate { source, .. } => (ErrorClass::Network, Some(certificate_hint(source))),
            Error::TooLarge { .. } | Error::Encoding { .. } | Error::Redirect { .. } => (ErrorClass::Network, None),
            Error::ForbiddenHost { .. } => (ErrorClass::Network, Some("if that host belongs to your upstream, set it as FROSTMIRROR_DL_URL for `fetch`, or as `proxy_dl_url` for live mode".to_owned())),
            Error::DnsRebinding { .. } => (ErrorClass::Network, Some("if your network changed, restart the program".to_owned())),
            Error::Checksum { .. } => (ErrorClass::Integrity, Some("upstream, or a proxy before it, sent a file that does not match the index; do not use it".to_owned())),
            Error::Io { source, .. } | Error::Sink { source, .. } => (io_class(source), io_hint(source)),
            Error::Address { .. } | Error::UserAgent { .. } | Error::Token { .. } => (ErrorClass::Input, None),
            Error::Proxy(_) => (ErrorClass::Input, Some("write the proxy as http://USER:PASSWORD@HOST:PORT or socks5h://USER:PASSWORD@HOST:PORT".to_owned())),
            Error::Tls(_) => (ErrorClass::Input, Some("set http.cainfo or SSL_CERT_FILE to a file with certificates in PEM format".to_owned())),
            Error::Client(_) => (ErrorClass::Bug, None),
        }
}

/// The hint for a connection that the proxy refused.
fn proxy_hint(refusal: ProxyRefusal, proxy: Option<&UsedProxy>) -> String {
    let origin = proxy.map_or("`http.proxy` or HTTPS_PROXY", |proxy| &proxy.origin);
    match refusal {
        ProxyRefusal::Credentials { .. } if proxy.is_some_and(|proxy| proxy.has_credentials) => {
            format!("correct the user name and password in {origin}; encode special characters, such as `%40` for `@`")
        }
        ProxyRefusal::Credentials { status } => {
            let scheme = if status.is_some() { "http" } else { "socks5h" };
            format!("write the proxy's user name and password into {origin}: {scheme}://USER:PASSWORD@HOST:PORT")
        }
        ProxyRefusal::Status(403 | 405) => {
            "ask the proxy's operator to allow this host and port; NO_PROXY=HOST reaches a host without the proxy".to_owned()
        }
        ProxyRefusal::Status(status) if status >= 500 => {
            "the proxy could not reach the server; run the same command again later, or reach the host without the proxy by NO_PROXY=HOST".to_owned()
        }
        ProxyRefusal::Status(_) => format!("correct {origin}; NO_PROXY=HOST reaches a host without the proxy"),
    }
}

/// The hint for data that only the network has. More than one setting can forbid the network.
pub(super) fn offline_hint() -> String {
    "run it once with network access: without --offline, and without `net.offline` in cargo's configuration or CARGO_NET_OFFLINE"
        .to_owned()
}

/// Makes a certificate that every client accepts once it is configured as trusted. Without `CA:FALSE`, only cargo, curl and
/// this program accept it; without the subjectAltName, only curl does.
pub(super) const SELF_SIGNED_COMMAND: &str = "`openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 365 -subj /CN=NAME -addext \
     subjectAltName=DNS:NAME -addext basicConstraints=critical,CA:FALSE`, with the server's name for NAME";

/// The hint for a rejected certificate. A configured authority does not help against a wrong time or name.
pub(super) fn certificate_hint(fault: &CertificateFault) -> String {
    let text = match fault {
        CertificateFault::UnknownIssuer | CertificateFault::BadSignature => {
            "if your network has its own certificate authority, set its certificate in CARGO_HTTP_CAINFO or SSL_CERT_FILE"
        }
        CertificateFault::IsAuthority => {
            return format!(
                "if you trust this certificate, set CARGO_HTTP_CAINFO or SSL_CERT_FILE to a file that contains it; or the \
                 server's operator makes another: {SELF_SIGNED_COMMAND}"
            );
        }
        CertificateFault::Expired { .. } => {
            "the server's operator must renew the certificate; if the certificate is not expired, the clock of this machine is wrong: check `date`"
        }
        CertificateFault::NotValidYet { .. } => {
            "check the clock of this machine with `date`; if it is right, the server's certificate is not valid yet"
        }
        CertificateFault::WrongName { names, .. } if !names.is_empty() => {
            "use a name that is in the certificate, or ask the server's operator for a certificate with this name"
        }
        CertificateFault::Revoked => "the certificate was revoked: do not use the server, and ask its operator",
        CertificateFault::WrongName { .. }
        | CertificateFault::WrongPurpose
        | CertificateFault::UnsupportedAlgorithm
        | CertificateFault::OldVersion
        | CertificateFault::CriticalExtension
        | CertificateFault::Malformed
        | CertificateFault::Unacceptable => {
            return format!(
                "ask the server's operator for another certificate, for example from {SELF_SIGNED_COMMAND}"
            );
        }
    };
    text.to_owned()
}

impl From<http::Error> for Failure {
    fn from(error: http::Error) -> Failure {
        let (class, hint) = class_and_hint(&error);
        Failure { class, context: None, cause: Box::new(error), hint }
    }
}

impl From<cargo_config::Error> for Failure {
    fn from(error: cargo_config::Error) -> Failure {
        use cargo_config::Error;
        let (class, hint) = match &error {
            Error::Read(error) => class_and_hint_of_read(error),
            Error::CredentialProvider { variable, .. } => {
                (ErrorClass::Input, Some(format!("set {variable} to the token")))
            }
            Error::InvalidAddress { .. } => (
                ErrorClass::Input,
                Some("use a sparse registry as upstream, for example https://HOST/PATH/".to_owned()),
            ),
            Error::UnsupportedPart { .. } => (
                ErrorClass::Input,
                Some("use the address of a sparse registry alone, for example https://HOST/PATH/".to_owned()),
            ),
            Error::Toml { .. } | Error::InvalidValue { .. } | Error::IncludeCycle { .. } => (
                ErrorClass::Input,
                Some("correct the file; it is cargo's own configuration, and `cargo` rejects it too".to_owned()),
            ),
            Error::UnknownSource { .. } | Error::SourceCycle { .. } => {
                (ErrorClass::Input, Some("correct the file, or set FROSTMIRROR_REGISTRY_URL".to_owned()))
            }
        };
        let context = match &error {
            Error::Read(_) | Error::Toml { .. } | Error::InvalidValue { .. } | Error::IncludeCycle { .. } => {
                Some("could not read cargo's configuration".to_owned())
            }
            _ => None,
        };
        Failure { class, context, cause: Box::new(error), hint }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounded_read;
    use crate::diagnostics::ProblemList;
    use crate::digest::Sha256;

    fn code(failure: impl Into<Failure>) -> u8 {
        failure.into().class.code()
    }

    #[test]
    fn the_hint_matches_the_certificate_error() {
        let hint = |source: CertificateFault| {
            let (class, hint) = class_and_hint(&http::Error::Certificate { url: "https://h/".to_owned(), source });
            assert_eq!(class, ErrorClass::Network);
            hint.expect("a hint")
        };
        assert!(hint(CertificateFault::Expired { not_after: None }).contains("must renew"));
        assert!(hint(CertificateFault::NotValidYet { not_before: None }).contains("check the clock of this machine"));
        assert!(hint(CertificateFault::UnknownIssuer).contains("CARGO_HTTP_CAINFO"));
        let wrong_name = |names: &[&str]| CertificateFault::WrongName {
            host: "h".to_owned(),
            names: names.iter().map(|&name| name.to_owned()).collect(),
        };
        assert!(hint(wrong_name(&["a"])).contains("a name that is in the certificate"));
        assert!(hint(wrong_name(&[])).contains("-addext subjectAltName=DNS:NAME"));
        assert!(hint(CertificateFault::IsAuthority).contains("-addext basicConstraints=critical,CA:FALSE"));
        assert!(hint(CertificateFault::IsAuthority).contains("set CARGO_HTTP_CAINFO or SSL_CERT_FILE"));
    }

    #[test]
    fn upstream_failures_are_network_errors_and_wrong_bytes_are_not() {
        let url = || "https://h/a.crate".to_owned();
        let status = |status| http::Error::Status { url: url(), status, body: String::new(), attempts: 1 };
        let absent = http::Error::NotFound { url: url(), status: 404, body: String::new() };
        assert_eq!(code(absent), 5);
        for number in [401, 403, 429, 500] {
            assert_eq!(code(status(number)), 5);
        }
        assert!(Failure::from(status(401)).hint.is_some_and(|hint| hint.contains("CARGO_REGISTRIES_NAME_TOKEN")));
        let (expected, actual) = (Sha256::of(b"good"), Sha256::of(b"evil"));
        assert_eq!(code(http::Error::Checksum { url: url(), expected, actual }), 4);
        assert_eq!(code(http::Error::Address { url: url() }), 3);
        let full = || std::io::Error::from(std::io::ErrorKind::StorageFull);
        assert_eq!(code(http::Error::Io { path: "a".into(), source: full() }), 7);
    }

    #[test]
    fn the_hint_for_a_missing_token_names_the_variable() {
        let failure = Failure::from(cargo_config::Error::CredentialProvider {
            registry: "corp".to_owned(),
            provider: "cargo:libsecret".to_owned(),
            variable: "CARGO_REGISTRIES_CORP_TOKEN".to_owned(),
        });
        assert_eq!(failure.class.code(), 3);
        assert!(failure.hint.is_some_and(|hint| hint.contains("CARGO_REGISTRIES_CORP_TOKEN")));
    }

    #[test]
    fn a_non_utf8_configuration_is_an_input_error() {
        let list = ProblemList::single("[net]\n", 6..6, "the next byte is not UTF-8");
        assert_eq!(
            code(cargo_config::Error::from(bounded_read::Error::NotUtf8 { path: "config.toml".into(), list })),
            3
        );
    }
}
