//! A corporate proxy: CONNECT tunnels and plain requests, to loopback alone, with a map for made-up host names.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

/// One request to the proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyRequest {
    /// `CONNECT`, or the method of a plain request.
    pub method: String,
    /// `HOST:PORT`, or the address of a plain request.
    pub target: String,
    /// The value of `Proxy-Authorization`.
    pub authorization: Option<String>,
    /// What was answered: 200, 403 or 407.
    pub status: u16,
}

/// The proxy. It dies with this value.
pub struct ForwardProxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
}

struct Shared {
    /// `HOST:PORT` as the client says it, to where it really is.
    hosts: Mutex<HashMap<String, SocketAddr>>,
    credentials: Option<String>,
    log: Mutex<Vec<ProxyRequest>>,
}

impl ForwardProxy {
    /// A proxy for everybody.
    pub fn start() -> ForwardProxy {
        ForwardProxy::new(None)
    }

    /// A proxy that wants a name and a password.
    pub fn with_password(user: &str, password: &str) -> ForwardProxy {
        ForwardProxy::new(Some(format!("Basic {}", base64(format!("{user}:{password}").as_bytes()))))
    }

    fn new(credentials: Option<String>) -> ForwardProxy {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let addr = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { hosts: Mutex::default(), credentials, log: Mutex::default() });
        let service = Arc::clone(&shared);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&service);
                // How a connection ended shows at the client.
                tokio::spawn(async move { handle(stream, &shared).await.is_ok() });
            }
        });
        ForwardProxy { addr, shared, runtime: Some(runtime) }
    }

    /// Makes a made-up `HOST:PORT` lead to a server on loopback.
    pub fn map(&self, target: &str, addr: SocketAddr) {
        self.shared.hosts.lock().unwrap().insert(target.to_owned(), addr);
    }

    /// `http://127.0.0.1:PORT`, for `https_proxy` and the like.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The same with a name and a password inside.
    pub fn url_with(&self, user: &str, password: &str) -> String {
        format!("http://{user}:{password}@{}", self.addr)
    }

    /// Every request so far.
    pub fn requests(&self) -> Vec<ProxyRequest> {
        self.shared.log.lock().unwrap().clone()
    }
}

impl Drop for ForwardProxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn handle(mut client: TcpStream, shared: &Shared) -> io::Result<()> {
    let (head, rest) = read_head(&mut client).await?;
    let mut lines = head.lines();
    let mut args = lines.next().unwrap_or_default().split(' ').map(str::to_owned);
    let (method, target) = (args.next().unwrap_or_default(), args.next().unwrap_or_default());
    let headers: Vec<(&str, &str)> = lines.filter_map(|line| line.split_once(':')).collect();
    let header =
        |name: &str| headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim());
    let authorization = header("proxy-authorization").map(str::to_owned);
    let log = |status: u16| {
        let requested = ProxyRequest {
            method: method.clone(),
            target: target.clone(),
            authorization: authorization.clone(),
            status,
        };
        shared.log.lock().unwrap().push(requested);
    };
    if shared.credentials.is_some() && shared.credentials != authorization {
        log(407);
        let answer = "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"test\"\r\n";
        return client.write_all(format!("{answer}Content-Length: 0\r\nConnection: close\r\n\r\n").as_bytes()).await;
    }
    let (host, path) = match method.as_str() {
        "CONNECT" => (target.as_str(), ""),
        _ => {
            let rest = target.strip_prefix("http://").unwrap_or_default();
            rest.split_at(rest.find('/').unwrap_or(rest.len()))
        }
    };
    let Some(addr) = shared.find(host) else {
        log(403);
        return client.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
    };
    log(200);
    let mut server = TcpStream::connect(addr).await?;
    if method == "CONNECT" {
        client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    } else {
        // One request a connection, so that the next one is seen here too.
        let mut request = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        for (key, value) in &headers {
            let hop = ["connection", "proxy-connection", "proxy-authorization", "upgrade", "http2-settings"];
            if !hop.iter().any(|name| key.eq_ignore_ascii_case(name)) {
                request.push_str(&format!("{key}:{value}\r\n"));
            }
        }
        server.write_all(format!("{request}\r\n").as_bytes()).await?;
    }
    server.write_all(&rest).await?;
    copy_bidirectional(&mut client, &mut server).await.map(|_| ())
}

impl Shared {
    /// Mapped names, and loopback itself.
    fn find(&self, host: &str) -> Option<SocketAddr> {
        let mapped = self.hosts.lock().unwrap().get(host).copied();
        mapped.or_else(|| host.parse().ok().filter(|addr: &SocketAddr| addr.ip().is_loopback()))
    }
}

/// The request's head, and what came after it already.
async fn read_head(client: &mut TcpStream) -> io::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            return Ok((String::from_utf8_lossy(&bytes).into_owned(), rest));
        }
        if client.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = |chunk: &[u8]| -> String {
        let number = (0..3).fold(0, |number, at| number << 8 | usize::from(*chunk.get(at).unwrap_or(&0)));
        let digit = |at: usize| {
            if at > chunk.len() { '=' } else { char::from(DIGITS[number >> (18 - 6 * at) & 63]) }
        };
        (0..4).map(digit).collect()
    };
    bytes.chunks(3).map(digits).collect()
}
