//! Certificates that the user trusts directly: a server may present one of them, with any issuer, if everything else is
//! right.

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rcgen::{SerialNumber, date_time_ymd};
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::server::TlsServer;
use super::*;

/// A certificate as `openssl req -x509` makes it: signed by itself, for localhost, and an authority.
struct OwnAuthority {
    der: CertificateDer<'static>,
    pem: String,
    key: KeyPair,
}

impl OwnAuthority {
    fn new(change: impl FnOnce(&mut CertificateParams)) -> OwnAuthority {
        OwnAuthority::with_key(KeyPair::generate().expect("key"), change)
    }

    fn with_key(key: KeyPair, change: impl FnOnce(&mut CertificateParams)) -> OwnAuthority {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        change(&mut params);
        let certificate = params.self_signed(&key).expect("certificate");
        OwnAuthority { der: certificate.der().clone(), pem: certificate.pem(), key }
    }
}

/// Requests a page of a server that presents `certificate`, with the certificates of `trusted` as `http.cainfo`.
async fn request(
    server: &TlsServer,
    trusted: &str,
    change: impl FnOnce(&mut Settings, PathBuf),
) -> Result<Response, Error> {
    let folder = tempfile::tempdir().expect("temporary folder");
    let file = folder.path().join("trusted.pem");
    std::fs::write(&file, trusted).expect("file");
    let mut settings = Settings { retries: 0, ..settings() };
    change(&mut settings, file);
    Client::new(&settings)?.get(&Request::new(&server.url("/a")), 100).await
}

fn as_cainfo(settings: &mut Settings, file: PathBuf) {
    settings.cainfo = Some(file);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_may_present_a_configured_authority_itself() {
    let own = OwnAuthority::new(|_| {});
    let server = TlsServer::start_with(&own.der, &own.key).await;
    let others = OwnAuthority::new(|_| {}).pem + &own.pem;
    let is_accepted = |answer: Result<Response, Error>| {
        assert_eq!(answer.unwrap_or_else(|error| panic!("{}", error_chain(&error))).status, 200);
    };
    is_accepted(request(&server, &own.pem, as_cainfo).await);
    is_accepted(request(&server, &others, as_cainfo).await);
    is_accepted(request(&server, &own.pem, |settings, file| settings.cert_file = Some(file)).await);
    for version in [TlsVersion::Tls12, TlsVersion::Tls13] {
        let only = TlsVersions { oldest: version, newest: version };
        is_accepted(
            request(&server, &own.pem, |settings, file| {
                (settings.cainfo, settings.tls) = (Some(file), only);
            })
            .await,
        );
    }
    // A server's certificate that another authority signed, without that authority.
    let issuer =
        Issuer::new(CertificateParams::new(Vec::new()).expect("parameters"), KeyPair::generate().expect("key"));
    let key = KeyPair::generate().expect("key");
    let leaf = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name").signed_by(&key, &issuer);
    let leaf = leaf.expect("certificate");
    let server = TlsServer::start_with(leaf.der(), &key).await;
    is_accepted(request(&server, &leaf.pem(), as_cainfo).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configured_certificate_is_checked_like_any_other() {
    let fault = async |own: &OwnAuthority, trusted: &str| {
        let server = TlsServer::start_with(&own.der, &own.key).await;
        match request(&server, trusted, as_cainfo).await {
            Err(Error::Certificate { source, .. }) => source,
            other => panic!("{other:?}"),
        }
    };
    let other = OwnAuthority::new(|_| {});
    let own = OwnAuthority::new(|_| {});
    assert_eq!(fault(&own, &other.pem).await, CertificateFault::IsAuthority, "not configured");
    let copied = OwnAuthority::with_key(KeyPair::try_from(&own.key.serialize_der()[..]).expect("key"), |params| {
        params.serial_number = Some(SerialNumber::from(7u64));
    });
    assert_eq!(fault(&own, &copied.pem).await, CertificateFault::IsAuthority, "not the same bytes");
    let expired = OwnAuthority::new(|params| params.not_after = date_time_ymd(2020, 1, 1));
    assert!(matches!(fault(&expired, &expired.pem).await, CertificateFault::Expired { not_after: Some(_) }));
    let early = OwnAuthority::new(|params| params.not_before = date_time_ymd(2999, 1, 1));
    assert!(matches!(fault(&early, &early.pem).await, CertificateFault::NotValidYet { not_before: Some(_) }));
    let elsewhere = OwnAuthority::new(|params| {
        params.subject_alt_names =
            CertificateParams::new(vec!["mirror.example".to_owned()]).expect("name").subject_alt_names;
    });
    let names = vec!["mirror.example".to_owned()];
    assert_eq!(
        fault(&elsewhere, &elsewhere.pem).await,
        CertificateFault::WrongName { host: "localhost".to_owned(), names }
    );
    let for_clients =
        OwnAuthority::new(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]);
    assert_eq!(fault(&for_clients, &for_clients.pem).await, CertificateFault::WrongPurpose);
    let only_signs = OwnAuthority::new(|params| params.key_usages = vec![KeyUsagePurpose::KeyCertSign]);
    assert_eq!(fault(&only_signs, &only_signs.pem).await, CertificateFault::WrongPurpose);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_the_key_of_a_configured_certificate_is_refused() {
    let own = OwnAuthority::new(|_| {});
    let impostor = TlsServer::start_with(&own.der, &KeyPair::generate().expect("key")).await;
    for version in [TlsVersion::Tls12, TlsVersion::Tls13] {
        let only = TlsVersions { oldest: version, newest: version };
        let answer = request(&impostor, &own.pem, |settings, file| {
            (settings.cainfo, settings.tls) = (Some(file), only);
        });
        match answer.await {
            Err(Error::Certificate { source, .. }) => assert_eq!(source, CertificateFault::BadSignature),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_server_without_tls_is_described_in_plain_words() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
    let url = format!("https://{}/a", listener.local_addr().expect("address"));
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await?;
        let _client_hello = stream.read(&mut [0; 1024]).await?;
        stream.write_all(&reply(400, "", b"no TLS here")).await?;
        stream.shutdown().await
    });
    let client = Client::new(&Settings { retries: 0, ..settings() }).expect("client");
    let error = client.get(&Request::new(&url), 100).await.expect_err("no TLS");
    assert!(error_chain(&error).contains("the server's answer is not TLS"), "{}", error_chain(&error));
}
