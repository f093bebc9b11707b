//! TLS: a certificate and its key from PEM files, reloaded when the files change.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use hyper::header::{HeaderMap, HeaderValue, STRICT_TRANSPORT_SECURITY};
use jiff::Timestamp;
use rustls::ServerConfig;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::bounded_read::{self, SizeLimit};
use crate::event::Sink;
use crate::file_stamp::FileStamp;
use crate::http::{CertificateFault, describe_tls_error};
use crate::x509;
pub use crate::x509::Validity;

/// How often the files are checked.
pub(super) const RELOAD_INTERVAL: Duration = Duration::from_secs(2);
/// The limit for a PEM file; no chain or key is that long.
const PEM_LIMIT: SizeLimit = SizeLimit { max: 1 << 20, kind: "a PEM file" };

/// The server's certificate and key.
pub struct Tls {
    files: PemFiles,
    config: RwLock<Arc<ServerConfig>>,
    /// The validity period of the certificate; `None` if it cannot be read.
    validity: RwLock<Option<Validity>>,
    /// The period of the last warning, and whether it had expired, so that the warning is not repeated every few
    /// seconds.
    warned: Mutex<Option<(Validity, bool)>>,
    /// The stamps of the files when they were last read, with or without success.
    stamps: RwLock<[Option<FileStamp>; 2]>,
}

struct PemFiles {
    certificate: PathBuf,
    key: PathBuf,
}

/// A certificate or key that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or is too large.
    #[error(transparent)]
    Read(#[from] bounded_read::Error),
    /// A file does not contain a certificate or key.
    #[error("`{}` contains no {wanted} in PEM format", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What the file should contain.
        wanted: &'static str,
        /// The parse error.
        source: pem::Error,
    },
    /// The certificate cannot be used.
    #[error("the certificate in `{}` cannot be used: {reason}", path.display())]
    Certificate {
        /// The certificate file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The certificate and the key do not match, or are of an unsupported kind.
    #[error("the key in `{}` cannot be used with the certificate in `{}`: {reason}", key.display(), certificate.display())]
    Pair {
        /// The certificate file.
        certificate: PathBuf,
        /// The key file.
        key: PathBuf,
        /// Why.
        reason: String,
    },
}

/// Sets HSTS: browsers use only TLS for this host from now on, so that an attacker on the network cannot downgrade
/// them. Browsers that do not trust the certificate ignore the header.
pub(super) fn set_hsts(headers: &mut HeaderMap) {
    headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=2592000"));
}

impl Tls {
    /// Loads a certificate (with its intermediate certificates) and its key.
    ///
    /// # Errors A file cannot be read or has other content; the key does not match the certificate.
    pub fn load(certificate: &Path, key: &Path) -> Result<Tls, Error> {
        let files = PemFiles { certificate: certificate.to_owned(), key: key.to_owned() };
        // Taken before the read: a file that changes during the read is read again.
        let seen = files.stamps();
        let (config, validity) = files.read()?;
        Ok(Tls {
            files,
            config: RwLock::new(config),
            validity: RwLock::new(validity),
            warned: Mutex::new(None),
            stamps: RwLock::new(seen),
        })
    }

    /// The validity period of the current certificate; `None` if it cannot be read.
    pub fn validity(&self) -> Option<Validity> {
        *self.validity.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Warns once if clients reject the certificate because of its validity period.
    pub fn check_dates(&self, sink: &dyn Sink, now: Timestamp) {
        let Some(validity) = self.validity() else { return };
        let is_past = now > validity.to;
        let text = validity.fault(now);
        let fault = text.as_ref().map(|_| (validity, is_past));
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(text), true) = (text, *warned != fault) {
            let file = self.files.certificate.display();
            let then = match is_past {
                true => "renew it and replace the files; the server reloads them",
                false => "check the clock of this machine, or use the certificate later",
            };
            sink.warning(format!("{text}, so clients reject the connection (`{file}`): {then}"));
        }
        *warned = fault;
    }

    /// An acceptor with the current certificate.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Reloads a changed pair. An invalid one (it may be half written) keeps the old pair in use, and is reported once.
    /// Call it where blocking is allowed.
    pub(super) fn reload_if_changed(&self, sink: &dyn Sink, time: Timestamp) {
        let now = self.files.stamps();
        self.check_dates(sink, time);
        if *self.stamps.read().unwrap_or_else(PoisonError::into_inner) == now {
            return;
        }
        match self.files.read() {
            Ok((config, validity)) => {
                *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
                *self.validity.write().unwrap_or_else(PoisonError::into_inner) = validity;
                self.check_dates(sink, time);
            }
            Err(error) => {
                let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
                sink.warning(format!("the new certificate is invalid, so the old one stays in use: {error}{cause}"));
            }
        }
        *self.stamps.write().unwrap_or_else(PoisonError::into_inner) = now;
    }
}

impl PemFiles {
    fn stamps(&self) -> [Option<FileStamp>; 2] {
        [&self.certificate, &self.key].map(|path| FileStamp::read(path).ok().flatten())
    }

    fn read(&self) -> Result<(Arc<ServerConfig>, Option<Validity>), Error> {
        let PemFiles { certificate, key } = self;
        let invalid = |path: &Path, wanted| {
            let path = path.to_owned();
            move |source| Error::Pem { path, wanted, source }
        };
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&PEM_LIMIT.read_regular(certificate)?).collect();
        let chain = chain.and_then(|chain| if chain.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(chain) });
        let chain = chain.map_err(invalid(certificate, "certificate"))?;
        // Clients check the other certificates of the chain too, but may know another path to a root.
        let validity = chain.first().and_then(|own| Validity::of(own));
        let private =
            PrivateKeyDer::from_pem_slice(&PEM_LIMIT.read_regular(key)?).map_err(invalid(key, "private key"))?;
        if chain.first().is_some_and(|own| x509::is_before_version_3(own)) {
            let reason = CertificateFault::OldVersion.to_string();
            return Err(Error::Certificate { path: certificate.clone(), reason });
        }
        let pair = |error| match error {
            rustls::Error::InvalidCertificate(error) => {
                let reason = CertificateFault::from(&error).to_string();
                Error::Certificate { path: certificate.clone(), reason }
            }
            error => {
                let reason = describe_tls_error(&error);
                Error::Pair { certificate: certificate.clone(), key: key.clone(), reason }
            }
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(pair)?
            .with_no_client_auth()
            .with_single_cert(chain, private)
            .map_err(pair)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok((Arc::new(config), validity))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    use rcgen::{CertifiedKey, generate_simple_self_signed};

    struct Pair {
        folder: tempfile::TempDir,
    }

    impl Pair {
        fn put(&self, name: &str, text: &str) -> PathBuf {
            // A replacement by rename, as recommended: the new file has another inode.
            let path = self.folder.path().join(name);
            fs::write(path.with_extension("new"), text).expect("write");
            fs::rename(path.with_extension("new"), &path).expect("rename");
            path
        }
    }

    fn new_pair() -> (String, String) {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).expect("a pair");
        (cert.pem(), signing_key.serialize_pem())
    }

    #[derive(Default)]
    struct WarningRecorder(Mutex<Vec<String>>);

    impl Sink for WarningRecorder {
        fn event(&self, event: crate::event::Event) {
            if let crate::event::Event::Warning(text) = event {
                self.0.lock().expect("lock").push(text);
            }
        }
    }

    #[test]
    fn mismatched_and_invalid_certificates_are_rejected() {
        let pair = Pair { folder: tempfile::tempdir().expect("folder") };
        let ((cert, key), (other, _)) = (new_pair(), new_pair());
        let (cert, key, other) = (pair.put("cert", &cert), pair.put("key", &key), pair.put("other", &other));
        let nothing = pair.put("nothing", "no PEM\n");
        assert!(Tls::load(&cert, &key).is_ok());
        assert!(matches!(Tls::load(&other, &key), Err(Error::Pair { .. })));
        assert!(matches!(Tls::load(&nothing, &key), Err(Error::Pem { wanted: "certificate", .. })));
        assert!(matches!(Tls::load(&cert, &nothing), Err(Error::Pem { wanted: "private key", .. })));
        assert!(matches!(Tls::load(&key, &cert), Err(Error::Pem { .. })), "one for the other");
        assert!(matches!(Tls::load(&pair.folder.path().join("none"), &key), Err(Error::Read(_))));
    }

    fn now() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().expect("a time")
    }

    #[test]
    fn an_invalid_certificate_is_warned_of_once_and_a_renewed_one_again() {
        let dated = |from: i32, to: i32| {
            let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
            (params.not_before, params.not_after) = (rcgen::date_time_ymd(from, 1, 1), rcgen::date_time_ymd(to, 1, 1));
            let key = rcgen::KeyPair::generate().expect("a key");
            (params.self_signed(&key).expect("a certificate").pem(), key.serialize_pem())
        };
        let pair = Pair { folder: tempfile::tempdir().expect("folder") };
        let put = |(cert, key): (String, String)| (pair.put("cert", &cert), pair.put("key", &key));
        let (cert, key) = put(dated(2020, 2021));
        let tls = Tls::load(&cert, &key).expect("a pair");
        let heard = WarningRecorder::default();
        let reported = || std::mem::take(&mut *heard.0.lock().expect("lock"));
        tls.check_dates(&heard, now());
        tls.reload_if_changed(&heard, now());
        let expired = reported();
        assert_eq!(expired.len(), 1, "{expired:?}");
        assert!(
            expired[0].contains("expired at 2021-01-01T00:00:00Z") && expired[0].contains("renew it"),
            "{expired:?}"
        );
        put(dated(2020, 2030));
        tls.reload_if_changed(&heard, now());
        assert_eq!(reported(), [""; 0]);
        put(dated(2028, 2030));
        tls.reload_if_changed(&heard, now());
        tls.reload_if_changed(&heard, now());
        let early = reported();
        assert_eq!(early.len(), 1, "{early:?}");
        assert!(early[0].contains("not valid before 2028-01-01T00:00:00Z") && early[0].contains("clock"), "{early:?}");
        // A valid certificate expires while the server runs.
        tls.reload_if_changed(&heard, "2029-01-01T00:00:00Z".parse().expect("a time"));
        assert_eq!(reported(), [""; 0]);
        tls.reload_if_changed(&heard, "2031-01-01T00:00:00Z".parse().expect("a time"));
        assert_eq!(reported().len(), 1);
    }

    #[test]
    fn an_invalid_new_pair_keeps_the_old_one() {
        let pair = Pair { folder: tempfile::tempdir().expect("folder") };
        let (cert, key) = new_pair();
        let (cert, key) = (pair.put("cert", &cert), pair.put("key", &key));
        let tls = Tls::load(&cert, &key).expect("a pair");
        let heard = WarningRecorder::default();
        let config = || Arc::clone(&tls.config.read().expect("lock"));
        let first = config();
        tls.reload_if_changed(&heard, now());
        assert!(Arc::ptr_eq(&first, &config()));
        let (next_cert, next_key) = new_pair();
        pair.put("cert", &next_cert);
        tls.reload_if_changed(&heard, now());
        tls.reload_if_changed(&heard, now());
        assert!(Arc::ptr_eq(&first, &config()));
        let reported = heard.0.lock().expect("lock").clone();
        assert!(reported.len() == 1 && reported[0].contains("the old one stays"), "{reported:?}");
        pair.put("key", &next_key);
        tls.reload_if_changed(&heard, now());
        assert!(!Arc::ptr_eq(&first, &config()));
        assert_eq!(heard.0.lock().expect("lock").len(), 1);
    }
}
