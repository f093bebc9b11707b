//! Local servers: one that misbehaves on purpose, one with TLS and HTTP/2, and a TLS proxy.

use std::io::Write as _;
use std::sync::Arc;

use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::*;

/// A server's reaction to a request.
pub(super) enum Action {
    /// Sends these bytes and closes the connection.
    Send(Bytes),
    /// Sends these bytes and then nothing more.
    SendThenHang(Bytes),
    /// Resets the connection.
    Reset,
    /// Sends a byte from time to time.
    Trickle,
    /// Answers after a while; counts the open requests, and their maximum.
    Slowly(&'static AtomicUsize, &'static AtomicUsize),
}

/// Returns a status for the head of a request, and a `Location` unless that is 200.
pub(super) type Redirecting = dyn Fn(&str) -> (u16, String) + Send + Sync;

/// The header of a body that error messages quote.
pub(super) const PLAIN: &str = "Content-Type: text/plain; charset=utf-8\r\n";

/// A complete response.
pub(super) fn reply(status: u16, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = match status {
        304 => String::new(),
        _ => format!("content-length: {}\r\n", body.len()),
    };
    let mut out = format!("HTTP/1.1 {status} X\r\nconnection: close\r\n{length}{headers}\r\n").into_bytes();
    out.extend_from_slice(body);
    out
}

pub(super) fn gzipped(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text).expect("to memory");
    encoder.finish().expect("to memory")
}

/// A server with scripted behavior; it ends with the test's runtime.
pub(super) struct Server {
    address: std::net::SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// `act` receives the head of each request and the number of earlier requests.
    pub(super) async fn start(act: impl Fn(&str, usize) -> Action + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
        let address = listener.local_addr().expect("address");
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (act, seen) = (Arc::new(act), Arc::clone(&heads));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("accept");
                let (act, seen) = (Arc::clone(&act), Arc::clone(&seen));
                tokio::spawn(async move {
                    let mut stream = BufReader::new(stream);
                    let Some(head) = read_head(&mut stream).await else {
                        return;
                    };
                    let number = {
                        let mut seen = seen.lock().expect("heads");
                        seen.push(head.clone());
                        seen.len() - 1
                    };
                    perform(act(&head, number), stream.into_inner()).await;
                });
            }
        });
        Server { address, heads }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The heads of all requests so far.
    pub(super) fn heads(&self) -> Vec<String> {
        self.heads.lock().expect("heads").clone()
    }
}

async fn read_head(stream: &mut (impl tokio::io::AsyncBufRead + Unpin)) -> Option<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    Some(head)
}

async fn perform(act: Action, mut stream: TcpStream) {
    // The client may have disconnected by now.
    match act {
        Action::Send(bytes) => {
            let gone = stream.write_all(&bytes).await.is_err();
            if !gone {
                stream.shutdown().await.ok();
            }
        }
        Action::SendThenHang(bytes) => {
            stream.write_all(&bytes).await.expect("the head is waited for");
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        Action::Reset => {
            stream.set_zero_linger().expect("an open socket");
        }
        Action::Trickle => {
            let mut gone = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.is_err();
            while !gone {
                tokio::time::sleep(Duration::from_millis(100)).await;
                gone = stream.write_all(b"x").await.is_err();
            }
        }
        Action::Slowly(in_flight, max_in_flight) => {
            max_in_flight.fetch_max(in_flight.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(50)).await;
            in_flight.fetch_sub(1, Ordering::SeqCst);
            stream.write_all(&reply(200, "", b"")).await.expect("the answer is waited for");
        }
    }
}

/// A server with its own certificate authority, for `localhost` and 127.0.0.1. It answers with the protocol's version.
pub(super) struct TlsServer {
    pub(super) authority: String,
    port: u16,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    heads: Mutex<Vec<String>>,
    connections: AtomicUsize,
    in_flight: AtomicUsize,
    max_in_flight: AtomicUsize,
}

impl TlsServer {
    pub(super) async fn start() -> TlsServer {
        TlsServer::serve(TlsServer::prepare(&[b"h2", b"http/1.1"]).await)
    }

    /// A server that presents `certificate`, which need not belong to `key`. There is no authority.
    pub(super) async fn start_with(certificate: &CertificateDer<'static>, key: &KeyPair) -> TlsServer {
        let protocols: &[&[u8]] = &[b"h2", b"http/1.1"];
        TlsServer::serve(TlsServer::listen(String::new(), certificate.clone(), key, protocols).await)
    }

    fn serve((tls, listener, acceptor): (TlsServer, TcpListener, TlsAcceptor)) -> TlsServer {
        let counts = Arc::clone(&tls.counts);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("accept");
                let (acceptor, counts) = (acceptor.clone(), Arc::clone(&counts));
                tokio::spawn(async move {
                    // A client that does not trust the certificate disconnects.
                    let Ok(stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    counts.connections.fetch_add(1, Ordering::SeqCst);
                    let service = hyper::service::service_fn(move |request| answer(request, Arc::clone(&counts)));
                    auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await.ok();
                });
            }
        });
        tls
    }

    /// A server that answers each head, over HTTP/1.1, with a status, and with a `Location` unless that is 200.
    pub(super) async fn start_redirecting(act: Arc<Redirecting>) -> TlsServer {
        let (tls, listener, acceptor) = TlsServer::prepare(&[b"http/1.1"]).await;
        let counts = Arc::clone(&tls.counts);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("accept");
                let (acceptor, counts, act) = (acceptor.clone(), Arc::clone(&counts), Arc::clone(&act));
                tokio::spawn(async move {
                    let mut stream = BufReader::new(acceptor.accept(stream).await.ok()?);
                    let head = read_head(&mut stream).await?;
                    let (status, location) = act(&head);
                    counts.heads.lock().expect("heads").push(head);
                    let headers = if status == 200 { String::new() } else { format!("Location: {location}\r\n") };
                    stream.write_all(&reply(status, &headers, b"end")).await.ok()?;
                    stream.shutdown().await.ok()
                });
            }
        });
        tls
    }

    /// A TLS proxy that opens tunnels.
    pub(super) async fn start_proxy() -> TlsServer {
        let (tls, listener, acceptor) = TlsServer::prepare(&[b"http/1.1"]).await;
        let counts = Arc::clone(&tls.counts);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("accept");
                let (acceptor, counts) = (acceptor.clone(), Arc::clone(&counts));
                tokio::spawn(async move {
                    let stream = acceptor.accept(stream).await.ok()?;
                    counts.connections.fetch_add(1, Ordering::SeqCst);
                    let mut stream = BufReader::new(stream);
                    let head = read_head(&mut stream).await?;
                    let target = head.strip_prefix("CONNECT ")?.split(' ').next()?.to_owned();
                    let mut upstream = TcpStream::connect(target).await.ok()?;
                    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.ok()?;
                    tokio::io::copy_bidirectional(&mut stream, &mut upstream).await.ok()
                });
            }
        });
        tls
    }

    async fn prepare(protocols: &[&[u8]]) -> (TlsServer, TcpListener, TlsAcceptor) {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate().expect("key");
        let authority = params.self_signed(&authority_key).expect("certificate").pem();
        let issuer = Issuer::new(params, authority_key);
        let key = KeyPair::generate().expect("key");
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let certificate = CertificateParams::new(names).expect("names").signed_by(&key, &issuer).expect("certificate");
        TlsServer::listen(authority, certificate.der().clone(), &key, protocols).await
    }

    async fn listen(
        authority: String,
        certificate: CertificateDer<'static>,
        key: &KeyPair,
        protocols: &[&[u8]],
    ) -> (TlsServer, TcpListener, TlsAcceptor) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
        let port = listener.local_addr().expect("address").port();
        let private = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let signer = rustls::crypto::ring::sign::any_supported_type(&private).expect("a key");
        // Without the check whether the key belongs to the certificate.
        let pair = SingleCertAndKey::from(CertifiedKey::new(vec![certificate], signer));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(pair));
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let tls = TlsServer { authority, port, counts: Arc::default() };
        (tls, listener, TlsAcceptor::from(Arc::new(config)))
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.port)
    }

    /// The heads of all requests so far, to a redirecting server.
    pub(super) fn heads(&self) -> Vec<String> {
        self.counts.heads.lock().expect("heads").clone()
    }

    /// Number of connections so far.
    pub(super) fn connections(&self) -> usize {
        self.counts.connections.load(Ordering::SeqCst)
    }

    /// Maximum number of concurrent requests.
    pub(super) fn max_in_flight(&self) -> usize {
        self.counts.max_in_flight.load(Ordering::SeqCst)
    }
}

async fn answer(
    request: hyper::Request<hyper::body::Incoming>,
    counts: Arc<Counts>,
) -> Result<hyper::Response<Full<Bytes>>, std::convert::Infallible> {
    counts.max_in_flight.fetch_max(counts.in_flight.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(30)).await;
    counts.in_flight.fetch_sub(1, Ordering::SeqCst);
    Ok(hyper::Response::new(Full::new(Bytes::from(format!("{:?}", request.version())))))
}
