//! Why a proxy refused a connection.
//!
//! The HTTP library reports a refused tunnel without the proxy's status (`TunnelError` of hyper-util is private, and its
//! text only distinguishes 407). So the status is read from the answer to a second CONNECT request.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::AUTHORIZATION;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Maximum number of bytes of a status line.
const MAX_STATUS_LINE: usize = 4096;
/// Timeout for the second CONNECT request.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The proxy answered, and refused to connect to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyRefusal {
    /// It requires a user name and password, or it rejected those that were sent.
    Credentials {
        /// 407; `None` for a SOCKS proxy.
        status: Option<u16>,
    },
    /// It answered with another status.
    Status(u16),
}

impl fmt::Display for ProxyRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProxyRefusal::Credentials { status } => {
                f.write_str("the proxy requires a valid user name and password")?;
                status.map_or(Ok(()), |status| write!(f, " (HTTP {status})"))
            }
            ProxyRefusal::Status(status) => {
                write!(f, "the proxy refused to connect to the server: it answered CONNECT with HTTP {status}")
            }
        }
    }
}

impl ProxyRefusal {
    /// The refusal of a request without a tunnel.
    pub(super) const PLAIN_407: ProxyRefusal = ProxyRefusal::Credentials { status: Some(407) };

    /// Whether another attempt may succeed without a change of the configuration.
    pub(super) fn is_temporary(self) -> bool {
        matches!(self, ProxyRefusal::Status(status) if status >= 500 || status == 408 || status == 429)
    }
}

/// The refusal behind the library's error with the text `root`, of a request of `target` through `proxy`; `None` for
/// every other error. `client` sends nothing here.
pub(super) async fn find_refusal(
    root: &str,
    proxy: &Url,
    target: &Url,
    tls: &Arc<ClientConfig>,
    client: &reqwest::Client,
) -> Option<ProxyRefusal> {
    match root {
        "tunnel error: proxy authorization required" => Some(ProxyRefusal::PLAIN_407),
        "tunnel error: unsuccessful" => {
            let status = timeout(TIMEOUT, connect_status(proxy, target, tls, client)).await.ok().flatten()?;
            match status {
                407 => Some(ProxyRefusal::PLAIN_407),
                status => (!(200..300).contains(&status)).then_some(ProxyRefusal::Status(status)),
            }
        }
        "SOCKS error: credentials not accepted" | "SOCKS error: server does not support user/pass authentication" => {
            Some(ProxyRefusal::Credentials { status: None })
        }
        _ => None,
    }
}

/// The status with which the proxy answers CONNECT.
async fn connect_status(proxy: &Url, target: &Url, tls: &Arc<ClientConfig>, client: &reqwest::Client) -> Option<u16> {
    let authority = format!("{}:{}", target.host_str()?, target.port_or_known_default()?);
    let mut request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n");
    if let Some(value) = basic_credentials(proxy, client) {
        request.push_str(&format!("Proxy-Authorization: {value}\r\n"));
    }
    request.push_str("\r\n");
    let host = proxy.host_str()?.trim_matches(['[', ']']);
    let stream = TcpStream::connect((host, proxy.port_or_known_default()?)).await.ok()?;
    match proxy.scheme() {
        "https" => {
            let name = ServerName::try_from(host.to_owned()).ok()?;
            let stream = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await.ok()?;
            status_of(stream, &request).await
        }
        "http" => status_of(stream, &request).await,
        _ => None,
    }
}

async fn status_of(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> Option<u16> {
    stream.write_all(request.as_bytes()).await.ok()?;
    stream.flush().await.ok()?;
    let mut line = Vec::new();
    while !line.contains(&b'\n') && line.len() < MAX_STATUS_LINE {
        if stream.read_buf(&mut line).await.ok()? == 0 {
            break;
        }
    }
    let line = String::from_utf8_lossy(&line).into_owned();
    let status = line.strip_prefix("HTTP/1.")?.split_ascii_whitespace().nth(1)?;
    status.parse().ok().filter(|status| (100..600).contains(status))
}

/// The value of the header with the user name and password of the URL, if it has any.
fn basic_credentials(proxy: &Url, client: &reqwest::Client) -> Option<String> {
    if proxy.username().is_empty() && proxy.password().is_none() {
        return None;
    }
    let decode = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    let mut bare = proxy.clone();
    bare.set_username("").and_then(|()| bare.set_password(None)).ok()?;
    // The library encodes the header in the same way for servers and for proxies.
    let request = client.get(bare).basic_auth(decode(proxy.username()), proxy.password().map(decode));
    Some(request.build().ok()?.headers().get(AUTHORIZATION)?.to_str().ok()?.to_owned())
}
