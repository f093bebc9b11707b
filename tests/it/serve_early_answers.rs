//! Answers to requests whose body is still being sent: the client sees the answer, whatever it sends meanwhile.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::support::sandbox::{RunningServer, Sandbox};
use crate::support::tls::CertificateAuthority;

const ADMIN: &str = "admin-0123456789abcdef";
/// Less than the window that a client has before the server's settings arrive.
const SMALL: usize = 60_000;
/// More than the buffers of two sockets.
const LARGE: usize = 24 << 20;

/// The unread bytes of a body that the server discards at most.
const MAX_DISCARDED: usize = 64 << 20;

/// Requests that are answered before their body is read: method, path, token, status.
const REFUSED: &[(&str, &str, &str, u16)] = &[
    ("PUT", "/api/incoming/new.pkg", "wrong-0123456789abcdef", 401),
    ("PUT", "/api/incoming/taken.pkg", ADMIN, 409),
    ("PUT", "/api/incoming/name", ADMIN, 400),
    ("POST", "/api/deps", "wrong-0123456789abcdef", 401),
    ("POST", "/api/nothing", ADMIN, 404),
    ("POST", "/api/login", ADMIN, 413),
    ("PUT", "/api/v1/crates/new", ADMIN, 403),
    ("PUT", "/crates/leaf-1.0.0.crate", ADMIN, 405),
    ("GET", "/index/config.json", ADMIN, 200),
    ("GET", "/healthz", ADMIN, 200),
];

struct Scene {
    sandbox: Sandbox,
    server: RunningServer,
    tls: Option<Arc<ClientConfig>>,
}

impl Scene {
    fn new(tls: bool) -> Scene {
        let sandbox = Sandbox::new();
        sandbox.write("incoming/taken.pkg", "bundle");
        let mut args =
            vec!["--mirror", "mirror", "--incoming", "incoming", "--config-dir", "config", "--admin-token", ADMIN];
        let mut config = None;
        if tls {
            let authority = CertificateAuthority::new();
            let (certificate, key) = authority.issue(&["127.0.0.1", "localhost"]);
            sandbox.write("cert.pem", certificate);
            sandbox.write("key.pem", key);
            sandbox.write("ca.pem", authority.pem());
            args.extend(["--tls-cert", "cert.pem", "--tls-key", "key.pem"]);
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
            config = Some(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()));
        }
        let server = sandbox.serve(args);
        Scene { sandbox, server, tls: config }
    }

    fn tcp(&self) -> TcpStream {
        let stream = TcpStream::connect(self.server.url().split("//").nth(1).unwrap()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    /// A TLS connection that offers one protocol.
    fn tls(&self, protocol: &[u8]) -> StreamOwned<ClientConnection, TcpStream> {
        let mut config = ClientConfig::clone(self.tls.as_ref().unwrap());
        config.alpn_protocols = vec![protocol.to_vec()];
        let name = ServerName::try_from("localhost").unwrap();
        StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), self.tcp())
    }

    /// Sends the head and the body with curl, with a token; returns its output.
    fn curl(&self, protocol: &str, method: &str, path: &str, token: &str, size: usize) -> Output {
        let body = self.sandbox.write("body", vec![b'x'; size]);
        let mut curl = Command::new("curl");
        curl.args([
            "-sS",
            "--max-time",
            "120",
            protocol,
            "-X",
            method,
            "--write-out",
            "\n%{http_code}",
            "-H",
            "Expect:",
        ]);
        curl.arg("--cacert").arg(self.sandbox.path("ca.pem"));
        curl.arg("-H").arg(format!("Authorization: Bearer {token}")).arg("-T").arg(body);
        curl.arg(format!("{}{path}", self.server.url())).output().unwrap()
    }
}

/// Sends a whole request before it reads, as many HTTP/1.1 clients do. The status and the body of the answer.
fn send_before_reading(mut stream: impl Read + Write, method: &str, path: &str, token: &str) -> (u16, String) {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {LARGE}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let chunk = [b'x'; 64 * 1024];
    for _ in 0..LARGE / chunk.len() {
        stream.write_all(&chunk).unwrap();
    }
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[test]
fn http_1_clients_that_send_before_they_read_are_answered() {
    for tls in [false, true] {
        let scene = Scene::new(tls);
        for (method, path, token, status) in REFUSED {
            let (answered, body) = match tls {
                true => send_before_reading(scene.tls(b"http/1.1"), method, path, token),
                false => send_before_reading(scene.tcp(), method, path, token),
            };
            assert_eq!(answered, *status, "{method} {path}: {body}");
            assert!(!body.is_empty(), "{method} {path}");
        }
        assert!(!scene.sandbox.path("incoming/new.pkg").exists());
    }
}

fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let stream: u32 = u32::from(kind != SETTINGS);
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// The next frame of the request's stream: its kind, flags and payload.
fn next_frame(stream: &mut impl Read) -> (u8, u8, Vec<u8>) {
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        stream.read_exact(&mut payload).unwrap();
        if head[8] == 1 && [DATA, HEADERS, RST_STREAM].contains(&head[3]) {
            return (head[3], head[4], payload);
        }
    }
}

/// Header fields as HPACK literals.
fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        for text in [name, value] {
            bytes.push(u8::try_from(text.len()).unwrap());
            bytes.extend(text.as_bytes());
        }
    }
    bytes
}

#[test]
fn an_http_2_stream_ends_after_its_request_body_has_arrived() {
    let scene = Scene::new(true);
    for (method, path, token, _) in REFUSED {
        let mut stream = scene.tls(b"h2");
        let token = format!("Bearer {token}");
        let head = fields(&[
            (":method", method),
            (":scheme", "https"),
            (":authority", "localhost"),
            (":path", path),
            ("authorization", &token),
            ("content-type", "application/json"),
        ]);
        let start =
            [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(SETTINGS, 0, &[]), &frame(HEADERS, END_HEADERS, &head)];
        stream.write_all(&start.concat()).unwrap();
        for _ in 0..SMALL / 2 / 10_000 {
            stream.write_all(&frame(DATA, 0, &[b'x'; 10_000])).unwrap();
        }
        // The answer comes at once, and the stream stays open.
        let (kind, flags, _) = next_frame(&mut stream);
        assert_eq!((kind, flags & END_STREAM), (HEADERS, 0), "{method} {path}");
        let (kind, flags, body) = next_frame(&mut stream);
        assert_eq!((kind, flags & END_STREAM), (DATA, 0), "{method} {path}");
        assert!(!body.is_empty(), "{method} {path}");
        for _ in 0..SMALL / 2 / 10_000 {
            stream.write_all(&frame(DATA, 0, &[b'x'; 10_000])).unwrap();
        }
        stream.write_all(&frame(DATA, END_STREAM, &[])).unwrap();
        let (kind, flags, _) = next_frame(&mut stream);
        assert_eq!((kind, flags & END_STREAM), (DATA, END_STREAM), "{method} {path}");
    }
}

#[test]
fn an_http_2_success_states_no_length_while_the_request_body_is_unread() {
    let scene = Scene::new(true);
    let mut tls = ClientConfig::clone(scene.tls.as_ref().unwrap());
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let client = reqwest::Client::builder().no_proxy().tls_backend_preconfigured(tls).build().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (method, path, status) in [
        ("GET", "/healthz", 200),
        ("GET", "/index/config.json", 200),
        ("HEAD", "/healthz", 200),
        ("GET", "/crates/leaf-1.0.0.crate", 404),
        ("PUT", "/crates/leaf-1.0.0.crate", 405),
    ] {
        let (allow_rest, rest_allowed) = tokio::sync::oneshot::channel::<()>();
        let chunk = |_| Ok::<_, std::io::Error>(vec![b'x'; 64 * 1024]);
        let rest = futures_util::stream::once(async move {
            rest_allowed.await.expect("the head has arrived");
            futures_util::stream::iter((1..LARGE / (64 * 1024)).map(chunk))
        });
        let body = futures_util::stream::iter([chunk(0)]).chain(rest.flatten());
        let (head, text) = runtime.block_on(async {
            let request = client.request(method.parse().unwrap(), format!("{}{path}", scene.server.url()));
            let response = request.body(reqwest::Body::wrap_stream(body)).send().await.unwrap();
            allow_rest.send(()).unwrap();
            let head =
                (response.version(), response.status().as_u16(), response.headers().get("content-length").cloned());
            (head, response.text().await.unwrap())
        });
        let (version, answered, length) = head;
        assert_eq!((version, answered), (reqwest::Version::HTTP_2, status), "{method} {path}");
        // curl goes on sending after a success, and would stop reading after so many bytes.
        assert_eq!(length.is_none(), status == 200, "{method} {path}: {length:?}");
        assert_eq!(text.is_empty(), method == "HEAD", "{method} {path}: {text}");
    }
}

#[test]
#[ignore = "needs curl"]
fn curl_shows_the_answer_to_a_refused_upload() {
    let scene = Scene::new(true);
    for protocol in ["--http1.1", "--http2"] {
        for size in [1_000, 30_000, 100_000, LARGE, 4 * LARGE] {
            for (method, path, token, status) in REFUSED {
                let is_read = *path == "/api/login" && size < 5_000;
                if is_read {
                    continue;
                }
                let output = scene.curl(protocol, method, path, token, size);
                let text = String::from_utf8_lossy(&output.stdout);
                let shown =
                    format!("{protocol} {method} {path} {size}: {text}{}", String::from_utf8_lossy(&output.stderr));
                assert!(text.ends_with(&format!("\n{status}")), "{shown}");
                // After a success curl sends all of its body, and reports when the server takes no more of it.
                let is_cut_off = *status == 200 && size > MAX_DISCARDED;
                assert!(is_cut_off || output.status.success(), "{shown}");
            }
        }
    }
}
