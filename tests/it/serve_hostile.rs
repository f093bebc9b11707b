//! Clients of HTTP/2 that ask for much and take nothing: what they cost, and that others are served meanwhile.
#![cfg(target_os = "linux")]

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::support::sandbox::{BINARY, RunningServer, Sandbox};
use crate::support::server_fixture::MirrorTree;
use crate::support::tls::CertificateAuthority;
use crate::support::wait;

/// Requests at one time on one connection.
const STREAMS: u32 = 128;
const LARGE: usize = 2 << 20;
const SMALL: usize = 300_000;
/// All copies of popular files in memory have at most so many bytes.
const MAX_COPIED_BYTES: usize = 16 << 20;

struct HostileClients {
    sandbox: Sandbox,
    serving: RunningServer,
    tls: Arc<ClientConfig>,
}

impl HostileClients {
    /// A server with TLS that may open so many files, one large file, and many that are small enough to be kept in memory.
    fn new(open_files: u32) -> HostileClients {
        HostileClients::within(Sandbox::new(), open_files)
    }

    fn within(sandbox: Sandbox, open_files: u32) -> HostileClients {
        let authority = CertificateAuthority::new();
        let mirror = MirrorTree::at(sandbox.path("mirror"));
        mirror.write_file("dist/2026-04-16/large.tar.xz", &vec![7; LARGE]);
        for n in 0..STREAMS {
            mirror.write_file(&small_path(n)[1..], &vec![u8::try_from(n).unwrap(); SMALL]);
        }
        let (certificate, key) = authority.issue(&["127.0.0.1", "localhost"]);
        sandbox.write("cert.pem", certificate);
        sandbox.write("key.pem", key);
        let terms = "serve --bind 127.0.0.1:0 --mirror mirror --tls-cert cert.pem --tls-key key.pem";
        let script = format!("ulimit -n {open_files}; exec {BINARY} {terms}");
        let serving = RunningServer::start(sandbox.other_program("sh", ["-c", script.as_str()]));
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"h2".to_vec()];
        HostileClients { sandbox, serving, tls: Arc::new(tls) }
    }

    fn connect(&self) -> StreamOwned<ClientConnection, TcpStream> {
        let address = self.serving.url().trim_start_matches("https://");
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(60))).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        StreamOwned::new(ClientConnection::new(Arc::clone(&self.tls), name).unwrap(), stream)
    }

    /// A connection that asks for all of `paths` in turn, with a window of so many bytes for each answer.
    fn connect_without_reading(
        &self,
        window: u32,
        paths: impl Fn(u32) -> String,
    ) -> StreamOwned<ClientConnection, TcpStream> {
        let mut stream = self.connect();
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        let [a, b, c, d] = window.to_be_bytes();
        bytes.extend(frame(4, 0, 0, &[0, 4, a, b, c, d]));
        for n in 0..STREAMS {
            bytes.extend(frame(1, 5, 1 + 2 * n, &get_request_head(&paths(n))));
        }
        stream.write_all(&bytes).unwrap();
        stream
    }

    /// How long an honest client, over HTTP/1.1 or 2 as it comes, takes for the large file.
    fn time_honest_download(&self) -> Duration {
        let begun = Instant::now();
        let mut tls = ClientConfig::clone(&self.tls);
        tls.alpn_protocols.push(b"http/1.1".to_vec());
        let client = reqwest::Client::builder().no_proxy().tls_backend_preconfigured(tls).build().unwrap();
        let url = format!("{}/dist/2026-04-16/large.tar.xz", self.serving.url());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let bytes = runtime.block_on(async { client.get(url).send().await?.error_for_status()?.bytes().await });
        assert_eq!(bytes.expect("an answer").len(), LARGE);
        begun.elapsed()
    }

    /// What the server has open.
    fn descriptors(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(format!("/proc/{}/fd", self.serving.running().pid())).unwrap();
        files.filter_map(|file| fs::read_link(file.ok()?.path()).ok()).collect()
    }

    /// Number of open files and connections, without the copies of popular files in memory.
    fn open_files(&self) -> usize {
        self.descriptors().iter().filter(|path| !is_memory_copy(path)).count()
    }

    /// Number of copies of popular files in memory, which the server keeps for the next clients.
    fn memory_copies(&self) -> usize {
        self.descriptors().iter().filter(|path| is_memory_copy(path)).count()
    }

    /// Whether the server has a file of this name open.
    fn has_open(&self, name: &str) -> bool {
        self.descriptors().iter().any(|path| path.ends_with(name))
    }

    /// MiB that the server has in memory.
    fn memory_mib(&self) -> usize {
        let text = fs::read_to_string(format!("/proc/{}/status", self.serving.running().pid())).unwrap();
        let line = text.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() / 1024
    }
}

fn is_memory_copy(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().starts_with(b"/memfd:")
}

fn small_path(n: u32) -> String {
    format!("/dist/2026-04-16/small-{n}.tar.xz")
}

fn large_path(_: u32) -> String {
    "/dist/2026-04-16/large.tar.xz".to_owned()
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The head of a GET, as literals, so that the HPACK table does not grow.
fn get_request_head(path: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in [(":method", "GET"), (":scheme", "https"), (":authority", "localhost"), (":path", path)] {
        bytes.push(0);
        for text in [name, value] {
            bytes.push(u8::try_from(text.len()).unwrap());
            bytes.extend(text.as_bytes());
        }
    }
    bytes
}

fn ping(stream: &mut impl Write) -> bool {
    stream.write_all(&frame(6, 0, 0, b"12345678")).is_ok()
}

#[test]
fn nine_connections_that_never_read_do_not_block_others() {
    let scene = HostileClients::new(1024);
    let before = scene.open_files();
    let mut hostile: Vec<_> = (0..9).map(|_| scene.connect_without_reading(0, large_path)).collect();
    // A connection opens files up to its limit; further requests open none.
    wait::until("files are opened", || scene.open_files() > before + 9);
    for _ in 0..10 {
        hostile.iter_mut().for_each(|stream| assert!(ping(stream)));
        let files = scene.open_files() - before;
        // One for each connection and eight for the files of each; and what is being read, or was closed a moment ago.
        assert!(files <= 9 * 9 + 64, "{files} files are open");
        assert!(scene.time_honest_download() < Duration::from_secs(30));
    }
    drop(hostile);
    wait::until("the files are closed again", || scene.open_files() <= before + 2);
}

#[test]
fn memory_for_clients_that_never_read_is_bounded() {
    let scene = HostileClients::new(4096);
    scene.time_honest_download();
    let (files, memory) = (scene.open_files(), scene.memory_mib());
    // Each may hold a megabyte, and all together 64; each asks for 38 or 256.
    let mut hostile: Vec<_> = (0..100)
        .map(|n| match n % 2 {
            0 => scene.connect_without_reading(0, small_path),
            _ => scene.connect_without_reading(65_535, large_path),
        })
        .collect();
    let ended = |hostile: &mut Vec<StreamOwned<ClientConnection, TcpStream>>| {
        hostile.retain_mut(|stream| {
            stream.sock.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
            // The server drains the received bytes, and requests no more.
            ping(stream) && is_open(stream)
        });
        100 - hostile.len()
    };
    let mut count = 0;
    wait::until("those that hold the most are ended", || {
        count = ended(&mut hostile);
        assert!(scene.time_honest_download() < Duration::from_secs(30));
        count >= 20
    });
    let taken = scene.memory_mib().saturating_sub(memory);
    assert!(taken < 320, "{taken} MiB");
    assert!(scene.open_files() - files < 1200, "{}", scene.open_files());
    drop(hostile);
    wait::until_with(
        "the files are closed again",
        || format!("{:#?}", scene.descriptors()),
        || scene.open_files() <= files + 2,
    );
    assert!(scene.memory_copies() * SMALL <= MAX_COPIED_BYTES, "{} copies", scene.memory_copies());
    scene.time_honest_download();
}

/// Reads frames from the server until one of this kind for this stream comes, and answers with signs of life.
fn await_frame(stream: &mut StreamOwned<ClientConnection, TcpStream>, kind: u8, number: u32) {
    let begun = Instant::now();
    stream.sock.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let (mut bytes, mut piece) = (Vec::new(), [0; 16_384]);
    loop {
        assert!(begun.elapsed() < Duration::from_secs(30), "no frame of kind {kind} came");
        assert!(ping(stream), "the connection lives");
        match stream.read(&mut piece) {
            Ok(0) => panic!("the connection ended without a frame of kind {kind}"),
            Ok(read) => bytes.extend_from_slice(&piece[..read]),
            Err(error) => assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}"),
        }
        while bytes.len() >= 9 {
            let length = usize::try_from(u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]])).unwrap();
            if bytes.len() < 9 + length {
                break;
            }
            let of = u32::from_be_bytes([bytes[5], bytes[6], bytes[7], bytes[8]]);
            if (bytes[3], of) == (kind, number) {
                return;
            }
            bytes.drain(..9 + length);
        }
    }
}

#[test]
fn an_answer_whose_client_takes_nothing_ends_after_the_stall_timeout() {
    const STALL: Duration = Duration::from_millis(2500);
    let milliseconds = STALL.as_millis().to_string();
    let scene = HostileClients::within(Sandbox::new().env("FROSTMIRROR_STALLED_AFTER_MS", &milliseconds), 1024);
    MirrorTree::at(scene.sandbox.path("mirror")).write_file("dist/2026-04-16/huge.tar.xz", &vec![7; 32 << 20]);
    scene.time_honest_download();

    // HTTP/2, with PINGs all the while: the server resets the stream.
    let mut stalled = scene.connect_without_reading(0, large_path);
    let begun = Instant::now();
    await_frame(&mut stalled, 3, 1);
    assert!(begun.elapsed() >= STALL - Duration::from_millis(100), "{:?}", begun.elapsed());
    drop(stalled);

    // HTTP/1.1: the server ends the connection. The client reads nothing, and what is on its way fits into no buffer.
    let mut silent = scene.connect();
    let mut tls = ClientConfig::clone(&scene.tls);
    tls.alpn_protocols.clear();
    silent.conn = ClientConnection::new(Arc::new(tls), ServerName::try_from("localhost").unwrap()).unwrap();
    let begun = Instant::now();
    silent.write_all(b"GET /dist/2026-04-16/huge.tar.xz HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    wait::until("the file is open", || scene.has_open("huge.tar.xz"));
    wait::until("the file is closed", || !scene.has_open("huge.tar.xz"));
    assert!(begun.elapsed() >= STALL - Duration::from_millis(100), "{:?}", begun.elapsed());
    // A client that reads is served completely meanwhile.
    scene.time_honest_download();
}

/// Whether the server still talks to this client.
fn is_open(stream: &mut StreamOwned<ClientConnection, TcpStream>) -> bool {
    let mut bytes = [0; 65_536];
    loop {
        match stream.sock.read(&mut bytes) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        }
    }
}
