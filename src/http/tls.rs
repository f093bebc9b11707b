//! The trusted certificate authorities. If `http.cainfo` is set, only its own count. Otherwise `SSL_CERT_FILE` and
//! `SSL_CERT_DIR` each replace the system's file or folder of authorities, as in cargo's own TLS library.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme, SupportedProtocolVersion};

use super::settings::{Settings, TlsVersion, TlsVersions};

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
    /// The certificate authorities cannot be used.
    #[error("TLS cannot be set up")]
    Verifier(#[from] rustls::client::VerifierBuilderError),
}

/// The client's TLS configuration.
pub(super) fn build_config(settings: &Settings) -> Result<ClientConfig, InvalidTls> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(protocol_versions(settings.tls))?;
    let upstream = root_store(settings)?;
    let proxies = settings.proxy.tls_hosts();
    let mut config = match &settings.proxy_cainfo {
        Some(cainfo) if !proxies.is_empty() => {
            let verifier = PerHostVerifier {
                upstream: build_verifier(upstream, &provider)?,
                proxy: build_verifier(root_store_from_file(cainfo)?, &provider)?,
                proxies,
            };
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth()
        }
        _ => builder.with_root_certificates(upstream).with_no_client_auth(),
    };
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

fn root_store(settings: &Settings) -> Result<RootCertStore, InvalidTls> {
    if let Some(cainfo) = &settings.cainfo {
        return root_store_from_file(cainfo);
    }
    // A missing file or folder is ignored, as in cargo.
    let file = settings.cert_file.as_deref().filter(|path| path.exists());
    let dirs: Vec<&Path> = settings.cert_dirs.iter().map(PathBuf::as_path).filter(|path| path.is_dir()).collect();
    let mut certificates = Vec::new();
    if let Some(file) = file {
        certificates.extend(read_certificates(file)?);
    }
    for dir in &dirs {
        certificates.extend(rustls_native_certs::load_certs_from_paths(None, Some(dir)).certs);
    }
    if file.is_none() {
        certificates.extend(rustls_native_certs::load_native_certs().certs);
    } else if dirs.is_empty() {
        certificates
            .extend(system_folders().flat_map(|dir| rustls_native_certs::load_certs_from_paths(None, Some(dir)).certs));
    }
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(certificates);
    Ok(store)
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

fn root_store_from_file(path: &Path) -> Result<RootCertStore, InvalidTls> {
    let mut store = RootCertStore::empty();
    let (added, _) = store.add_parsable_certificates(read_certificates(path)?);
    if added == 0 { Err(InvalidTls::NoCertificate { path: path.to_owned() }) } else { Ok(store) }
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

fn build_verifier(
    roots: RootCertStore,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, InvalidTls> {
    Ok(WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build()?)
}

/// Verifies proxies with their own certificate authorities, and other servers with those for upstream.
#[derive(Debug)]
struct PerHostVerifier {
    upstream: Arc<WebPkiServerVerifier>,
    proxy: Arc<WebPkiServerVerifier>,
    proxies: Vec<String>,
}

impl ServerCertVerifier for PerHostVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let name = server_name.to_str();
        let is_proxy = self.proxies.iter().any(|host| host.trim_matches(['[', ']']).eq_ignore_ascii_case(&name));
        let verifier = if is_proxy { &self.proxy } else { &self.upstream };
        verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.upstream.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.upstream.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.upstream.supported_verify_schemes()
    }
}
