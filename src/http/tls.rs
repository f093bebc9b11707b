//! The trusted certificate authorities. If `http.cainfo` is set, only its own count. Otherwise `SSL_CERT_FILE` and
//! `SSL_CERT_DIR` each replace the system's file or folder of authorities, as in cargo's own TLS library.
//!
//! In one way OpenSSL, and thus cargo, accepts more than rustls: a server may present a certificate that the user
//! configured as trusted, whatever it says about certificate authorities and its issuer. `openssl req -x509`
//! makes such certificates: they say `CA:TRUE`. [`Trust`] accepts them too, byte for byte, with every other check.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme,
    SupportedProtocolVersion,
};

use super::settings::{Settings, TlsVersion, TlsVersions};
use super::tls_error::CertificateFault;
use crate::x509::{self, Validity};

/// TLS settings that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidTls {
    /// A certificate file that cannot be read.
    #[error("could not read the certificates in `{path}`: {reason}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The cause.
        reason: String,
    },
    /// A certificate file without a usable certificate.
    #[error("there is no usable certificate (PEM) in `{path}`")]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// The library rejected the settings.
    #[error("TLS cannot be set up")]
    Rustls(#[from] rustls::Error),
}

/// The client's TLS configuration.
pub(super) fn build_config(settings: &Settings) -> Result<ClientConfig, InvalidTls> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let proxies = settings.proxy.tls_hosts();
    let verifier = Verifier {
        upstream: upstream_trust(settings)?,
        proxy: match &settings.proxy_cainfo {
            Some(cainfo) if !proxies.is_empty() => Some(Trust::of_file(cainfo)?),
            _ => None,
        },
        proxies,
        algorithms: provider.signature_verification_algorithms,
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(protocol_versions(settings.tls))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = match settings.multiplexing {
        true => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        false => vec![b"http/1.1".to_vec()],
    };
    Ok(config)
}

fn protocol_versions(versions: TlsVersions) -> &'static [&'static SupportedProtocolVersion] {
    static BOTH: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];
    static ONLY_13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];
    static ONLY_12: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
    match (versions.oldest, versions.newest) {
        (TlsVersion::Tls13, _) => ONLY_13,
        (TlsVersion::Tls12, TlsVersion::Tls12) => ONLY_12,
        (TlsVersion::Tls12, TlsVersion::Tls13) => BOTH,
    }
}

fn upstream_trust(settings: &Settings) -> Result<Trust, InvalidTls> {
    if let Some(cainfo) = &settings.cainfo {
        return Trust::of_file(cainfo);
    }
    // A missing file or folder is ignored, as in cargo.
    let file = settings.cert_file.as_deref().filter(|path| path.exists());
    let dirs: Vec<&Path> = settings.cert_dirs.iter().map(PathBuf::as_path).filter(|path| path.is_dir()).collect();
    let mut configured = Vec::new();
    if let Some(file) = file {
        configured.extend(read_certificates(file)?);
    }
    for dir in &dirs {
        configured.extend(rustls_native_certs::load_certs_from_paths(None, Some(dir)).certs);
    }
    let mut system = Vec::new();
    if file.is_none() {
        system.extend(rustls_native_certs::load_native_certs().certs);
    } else if dirs.is_empty() {
        system
            .extend(system_folders().flat_map(|dir| rustls_native_certs::load_certs_from_paths(None, Some(dir)).certs));
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(configured.iter().cloned().chain(system));
    Ok(Trust { roots, configured })
}

/// The system's folders of certificate authorities, which are used in addition to `SSL_CERT_FILE`.
#[cfg(all(unix, not(target_os = "macos")))]
fn system_folders() -> impl Iterator<Item = &'static Path> {
    openssl_probe::candidate_cert_dirs()
}

/// The system's folders of certificate authorities; this system has none.
#[cfg(not(all(unix, not(target_os = "macos"))))]
fn system_folders() -> impl Iterator<Item = &'static Path> {
    std::iter::empty()
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, InvalidTls> {
    let found = rustls_native_certs::load_certs_from_paths(Some(path), None);
    if !found.certs.is_empty() {
        return Ok(found.certs);
    }
    match found.errors.first() {
        Some(error) => {
            let reason = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
            Err(InvalidTls::Unreadable { path: path.to_owned(), reason })
        }
        None => Err(InvalidTls::NoCertificate { path: path.to_owned() }),
    }
}

/// The certificates that are trusted.
#[derive(Debug)]
struct Trust {
    /// The certificate authorities.
    roots: RootCertStore,
    /// The certificates in files and folders that the user configured. A server may present one of them itself.
    configured: Vec<CertificateDer<'static>>,
}

impl Trust {
    /// Trusts only the certificates in a file.
    fn of_file(path: &Path) -> Result<Trust, InvalidTls> {
        let configured = read_certificates(path)?;
        let mut roots = RootCertStore::empty();
        match roots.add_parsable_certificates(configured.iter().cloned()) {
            (0, _) => Err(InvalidTls::NoCertificate { path: path.to_owned() }),
            _ => Ok(Trust { roots, configured }),
        }
    }

    /// Whether the certificate identifies this server now.
    fn verify(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> Result<(), rustls::Error> {
        let by_authority = || {
            let parsed = ParsedCertificate::try_from(certificate)?;
            verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, intermediates, now, algorithms.all)?;
            verify_server_name(&parsed, name)
        };
        match by_authority() {
            Err(rustls::Error::InvalidCertificate(_)) if self.is_configured(certificate) => {
                verify_configured(certificate, name, now)
            }
            other => other,
        }
    }

    fn is_configured(&self, certificate: &CertificateDer<'_>) -> bool {
        self.configured.iter().any(|configured| configured.as_ref() == certificate.as_ref())
    }
}

/// Whether a certificate that the user trusts identifies this server now. It needs no signature of an authority. The
/// caller checks that the server has its key.
fn verify_configured(
    certificate: &CertificateDer<'_>,
    name: &ServerName<'_>,
    now: UnixTime,
) -> Result<(), rustls::Error> {
    let parsed = ParsedCertificate::try_from(certificate)?;
    let validity = Validity::of(certificate).ok_or(CertificateError::BadEncoding)?;
    let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if seconds < validity.from.as_second() {
        let not_before = unix_time(validity.from.as_second());
        return Err(CertificateError::NotValidYetContext { time: now, not_before }.into());
    }
    if seconds > validity.to.as_second() {
        let not_after = unix_time(validity.to.as_second());
        return Err(CertificateError::ExpiredContext { time: now, not_after }.into());
    }
    if !x509::may_identify_server(certificate).ok_or(CertificateError::BadEncoding)? {
        return Err(CertificateError::InvalidPurpose.into());
    }
    verify_server_name(&parsed, name)
}

/// Seconds since 1970; earlier times count as 1970.
fn unix_time(seconds: i64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(seconds).unwrap_or_default()))
}

/// Verifies proxies with their own certificate authorities, if there are any, and other servers with those for upstream.
#[derive(Debug)]
struct Verifier {
    upstream: Trust,
    proxy: Option<Trust>,
    proxies: Vec<String>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let name = server_name.to_str();
        let is_proxy = self.proxies.iter().any(|host| host.trim_matches(['[', ']']).eq_ignore_ascii_case(&name));
        let trust = self.proxy.as_ref().filter(|_| is_proxy).unwrap_or(&self.upstream);
        match trust.verify(end_entity, intermediates, server_name, now, &self.algorithms) {
            Ok(()) => Ok(ServerCertVerified::assertion()),
            Err(error) => Err(with_fault(error, end_entity)),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Names the fault of `certificate` if the library's error has no variant for it.
fn with_fault(error: rustls::Error, certificate: &CertificateDer<'_>) -> rustls::Error {
    let rustls::Error::InvalidCertificate(CertificateError::Other(_)) = error else { return error };
    let fault = if x509::is_before_version_3(certificate) {
        CertificateFault::OldVersion
    } else if x509::is_authority(certificate) {
        CertificateFault::IsAuthority
    } else {
        return error;
    };
    CertificateError::Other(OtherError(Arc::new(fault))).into()
}
