//! Why TLS failed, in plain words: the library's own texts contain names from its code.

use std::fmt;

use jiff::Timestamp;
use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, InconsistentKeys, InvalidMessage, PeerIncompatible};

use super::redact::sanitize_excerpt;
use crate::units::format_time;

/// Maximum number of shown names of a certificate.
const MAX_NAMES: usize = 8;

/// Why a certificate is not accepted. The subject of each text is the certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateFault {
    /// No trusted certificate authority signed it.
    UnknownIssuer,
    /// It says that it belongs to a certificate authority, which cannot be a server as well.
    IsAuthority,
    /// Its signature does not match the key of its issuer.
    BadSignature,
    /// Its signature or its key has an unsupported algorithm.
    UnsupportedAlgorithm,
    /// It has expired.
    Expired {
        /// The last moment of its validity period, if it can be read.
        not_after: Option<Timestamp>,
    },
    /// It is not valid yet.
    NotValidYet {
        /// The first moment of its validity period, if it can be read.
        not_before: Option<Timestamp>,
    },
    /// It is for other hosts.
    WrongName {
        /// The requested host; empty if it is unknown.
        host: String,
        /// The hosts of the certificate.
        names: Vec<String>,
    },
    /// It must not be used for a TLS server.
    WrongPurpose,
    /// It was revoked, or its revocation cannot be checked.
    Revoked,
    /// It is an X.509 certificate of version 1 or 2.
    OldVersion,
    /// It has a critical extension that is not supported.
    CriticalExtension,
    /// It cannot be read.
    Malformed,
    /// It, or one of its issuers, violates another rule.
    Unacceptable,
}

impl fmt::Display for CertificateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            CertificateFault::UnknownIssuer => "no trusted certificate authority signed it",
            CertificateFault::IsAuthority => {
                "it belongs to a certificate authority (CA:TRUE), so a server cannot use it unless exactly this certificate \
                 is trusted"
            }
            CertificateFault::BadSignature => "its signature does not match the key of its certificate authority",
            CertificateFault::UnsupportedAlgorithm => "its signature or its key has an algorithm that is not supported",
            CertificateFault::Expired { not_after: Some(time) } => {
                return write!(f, "it expired at {}", format_time(*time));
            }
            CertificateFault::Expired { not_after: None } => "it expired",
            CertificateFault::NotValidYet { not_before: Some(time) } => {
                return write!(f, "it is not valid before {}", format_time(*time));
            }
            CertificateFault::NotValidYet { not_before: None } => "it is not valid yet",
            CertificateFault::WrongName { host, names } => return write_wrong_name(f, host, names),
            CertificateFault::WrongPurpose => "its key usage does not permit TLS servers",
            CertificateFault::Revoked => "it was revoked, or its revocation cannot be checked",
            CertificateFault::OldVersion => {
                "it is an X.509 certificate of version 1 or 2, and clients accept only version 3"
            }
            CertificateFault::CriticalExtension => "it has a critical extension that is not supported",
            CertificateFault::Malformed => "it is not a valid X.509 certificate",
            CertificateFault::Unacceptable => "it, or the chain of its issuers, violates the rules of RFC 5280",
        };
        f.write_str(text)
    }
}

impl std::error::Error for CertificateFault {}

fn write_wrong_name(f: &mut fmt::Formatter<'_>, host: &str, names: &[String]) -> fmt::Result {
    let host = if host.is_empty() { "this host".to_owned() } else { format!("`{}`", sanitize_excerpt(host)) };
    if names.is_empty() {
        return write!(f, "it is not for {host}: it names no host in its subjectAltName");
    }
    let mut shown: Vec<String> =
        names.iter().take(MAX_NAMES).map(|name| format!("`{}`", sanitize_excerpt(name))).collect();
    if names.len() > MAX_NAMES {
        shown.push("…".to_owned());
    }
    write!(f, "it is for {}, and not for {host}", shown.join(", "))
}

impl From<&CertificateError> for CertificateFault {
    fn from(error: &CertificateError) -> CertificateFault {
        use CertificateError as E;
        match error {
            E::UnknownIssuer => CertificateFault::UnknownIssuer,
            E::BadSignature => CertificateFault::BadSignature,
            E::UnsupportedSignatureAlgorithmContext { .. }
            | E::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => CertificateFault::UnsupportedAlgorithm,
            E::Expired => CertificateFault::Expired { not_after: None },
            E::ExpiredContext { not_after, .. } => CertificateFault::Expired { not_after: timestamp(*not_after) },
            E::NotValidYet => CertificateFault::NotValidYet { not_before: None },
            E::NotValidYetContext { not_before, .. } => {
                CertificateFault::NotValidYet { not_before: timestamp(*not_before) }
            }
            E::NotValidForName => CertificateFault::WrongName { host: String::new(), names: Vec::new() },
            E::NotValidForNameContext { expected, presented } => CertificateFault::WrongName {
                host: expected.to_str().into_owned(),
                names: presented.iter().map(|name| plain_name(name).to_owned()).collect(),
            },
            E::InvalidPurpose | E::InvalidPurposeContext { .. } => CertificateFault::WrongPurpose,
            E::Revoked
            | E::UnknownRevocationStatus
            | E::ExpiredRevocationList
            | E::ExpiredRevocationListContext { .. }
            | E::InvalidOcspResponse => CertificateFault::Revoked,
            E::UnhandledCriticalExtension => CertificateFault::CriticalExtension,
            E::Other(other) => {
                other.0.downcast_ref::<CertificateFault>().cloned().unwrap_or(CertificateFault::Unacceptable)
            }
            E::BadEncoding => CertificateFault::Malformed,
            E::ApplicationVerificationFailure => CertificateFault::Unacceptable,
            // The library's deprecated variant of an unsupported algorithm.
            _ => CertificateFault::UnsupportedAlgorithm,
        }
    }
}

fn timestamp(time: UnixTime) -> Option<Timestamp> {
    Timestamp::from_second(i64::try_from(time.as_secs()).ok()?).ok()
}

/// The name in a text of the library such as `DnsName("mirror.example")`, `IpAddress(127.0.0.1)`.
fn plain_name(text: &str) -> &str {
    match text.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')) {
        Some(name) => name.trim_matches('"'),
        None => text,
    }
}

/// Why a connection failed, without the names of the library's code.
pub fn describe_tls_error(error: &rustls::Error) -> String {
    use rustls::Error as E;
    let text = match error {
        E::InvalidCertificate(error) => {
            return format!("the certificate is not trusted: {}", CertificateFault::from(error));
        }
        E::NoCertificatesPresented => "the server sent no certificate",
        E::AlertReceived(alert) => return describe_alert(*alert),
        E::InvalidMessage(InvalidMessage::InvalidContentType) => "the server's answer is not TLS; it may expect http",
        E::InvalidMessage(_) => "the server sent an invalid TLS message",
        E::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::SupportedVersionsExtensionRequired,
        ) => "the server supports no TLS version that is allowed here",
        E::PeerIncompatible(_) => "the server and this program have no common TLS method",
        E::PeerMisbehaved(_) | E::InappropriateMessage { .. } | E::InappropriateHandshakeMessage { .. } => {
            "the server violates the TLS protocol"
        }
        E::DecryptError | E::PeerSentOversizedRecord => "the server sent TLS data that cannot be decrypted",
        E::NoApplicationProtocol => "the server supports neither HTTP/1.1 nor HTTP/2",
        E::UnsupportedNameType => "the host of the URL cannot be used with TLS",
        E::InconsistentKeys(InconsistentKeys::KeyMismatch) => "the key belongs to another certificate",
        E::InconsistentKeys(_) => "the key cannot be compared with the certificate",
        E::FailedToGetCurrentTime => "the clock of this machine cannot be read",
        E::General(text) => return sanitize_excerpt(text),
        _ => "TLS failed",
    };
    text.to_owned()
}

/// The meaning of an alert of the server (RFC 8446, 6).
fn describe_alert(alert: AlertDescription) -> String {
    let text = match alert {
        AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity => {
            "the server and this program have no common TLS method"
        }
        AlertDescription::ProtocolVersion => "the server supports no TLS version that is allowed here",
        AlertDescription::UnrecognisedName => "the server has no certificate for this host",
        AlertDescription::NoApplicationProtocol => "the server supports neither HTTP/1.1 nor HTTP/2",
        AlertDescription::CertificateRequired => "the server requires a client certificate",
        AlertDescription::AccessDenied => "the server denies access",
        other => return format!("the server ended the connection with TLS alert {}", u8::from(other)),
    };
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use rustls::pki_types::ServerName;
    use rustls::{OtherError, PeerMisbehaved};

    use super::*;

    /// The text has no name of the library's code, such as `UnknownIssuer` or `Other(…)`.
    #[track_caller]
    fn assert_plain(text: &str, debug: &str) {
        let names = debug
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| word.starts_with(char::is_uppercase) && word.contains(char::is_lowercase));
        for name in names {
            assert!(!text.contains(name), "{name} in {text}");
        }
    }

    #[test]
    fn each_certificate_error_has_a_plain_text() {
        use CertificateError as E;
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let name = |presented: &[&str]| E::NotValidForNameContext {
            expected: ServerName::try_from("mirror.example").expect("name"),
            presented: presented.iter().map(|&name| name.to_owned()).collect(),
        };
        let own = E::Other(OtherError(Arc::new(CertificateFault::IsAuthority)));
        for (error, expected) in [
            (E::UnknownIssuer, "no trusted certificate authority"),
            (E::BadSignature, "signature does not match"),
            (E::Expired, "it expired"),
            (E::ExpiredContext { time: at(100), not_after: at(0) }, "it expired at 1970-01-01T00:00:00Z"),
            (E::NotValidYet, "not valid yet"),
            (E::NotValidYetContext { time: at(0), not_before: at(60) }, "not valid before 1970-01-01T00:01:00Z"),
            (E::NotValidForName, "it is not for this host"),
            (name(&[]), "it is not for `mirror.example`: it names no host"),
            (
                name(&["DnsName(\"a.example\")", "IpAddress(10.0.0.1)"]),
                "it is for `a.example`, `10.0.0.1`, and not for",
            ),
            (E::InvalidPurpose, "does not permit TLS servers"),
            (E::Revoked, "revoked"),
            (E::UnknownRevocationStatus, "revocation"),
            (E::UnhandledCriticalExtension, "critical extension"),
            (E::BadEncoding, "not a valid X.509 certificate"),
            (own, "belongs to a certificate authority (CA:TRUE)"),
            (E::Other(OtherError(Arc::new(fmt::Error))), "violates the rules of RFC 5280"),
        ] {
            let fault = CertificateFault::from(&error);
            assert!(fault.to_string().contains(expected), "{error:?}: {fault}");
            let debug = format!("{error:?}");
            assert_plain(&fault.to_string(), &debug);
            assert_plain(&describe_tls_error(&rustls::Error::InvalidCertificate(error)), &debug);
        }
    }

    #[test]
    fn a_hostile_name_of_a_certificate_is_escaped_and_many_are_cut() {
        let names = (0..100).map(|n| format!("a\u{1b}[31m{n}")).collect();
        let text = CertificateFault::WrongName { host: "h".to_owned(), names }.to_string();
        assert!(!text.contains('\u{1b}') && text.contains('…') && text.len() < 300, "{text}");
    }

    #[test]
    fn each_tls_error_has_a_plain_text() {
        use rustls::Error as E;
        for (error, expected) in [
            (E::AlertReceived(AlertDescription::HandshakeFailure), "no common TLS method"),
            (E::AlertReceived(AlertDescription::CertificateRequired), "requires a client certificate"),
            (E::AlertReceived(AlertDescription::InternalError), "TLS alert 80"),
            (E::InvalidMessage(InvalidMessage::InvalidContentType), "is not TLS"),
            (E::InvalidMessage(InvalidMessage::MissingKeyExchange), "invalid TLS message"),
            (E::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13), "no TLS version"),
            (E::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon), "no common TLS method"),
            (E::PeerMisbehaved(PeerMisbehaved::IllegalTlsInnerPlaintext), "violates the TLS protocol"),
            (E::InconsistentKeys(InconsistentKeys::KeyMismatch), "another certificate"),
            (E::DecryptError, "cannot be decrypted"),
        ] {
            let text = describe_tls_error(&error);
            assert!(text.contains(expected), "{error:?}: {text}");
            assert_plain(&text, &format!("{error:?}"));
        }
    }
}
