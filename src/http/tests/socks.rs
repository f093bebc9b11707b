//! SOCKS proxies: which of them resolve names, and how credentials are sent.

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// A SOCKS proxy that connects everything to one server, and records its requests.
struct SocksServer {
    port: u16,
    requests: Arc<Mutex<Vec<String>>>,
}

impl SocksServer {
    /// With `login`, other credentials are rejected.
    async fn start(server: &Server, login: Option<&'static str>) -> SocksServer {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
        let port = listener.local_addr().expect("address").port();
        let requested = Arc::new(Mutex::new(Vec::new()));
        let (seen, to) = (Arc::clone(&requested), server.url("").replace("http://", ""));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("accept");
                let (seen, to) = (Arc::clone(&seen), to.clone());
                tokio::spawn(async move {
                    // A client disconnects after a rejection.
                    serve(stream, &seen, &to, login).await.ok();
                });
            }
        });
        SocksServer { port, requests: requested }
    }

    fn url(&self, scheme: &str) -> String {
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut *self.requests.lock().expect("lock"))
    }
}

async fn text(stream: &mut TcpStream) -> io::Result<String> {
    let mut text = vec![0; usize::from(stream.read_u8().await?)];
    stream.read_exact(&mut text).await?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

async fn until_nul(stream: &mut TcpStream) -> io::Result<String> {
    let mut text = String::new();
    loop {
        match stream.read_u8().await? {
            0 => return Ok(text),
            byte => text.push(char::from(byte)),
        }
    }
}

async fn serve(mut stream: TcpStream, seen: &Mutex<Vec<String>>, to: &str, login: Option<&str>) -> io::Result<()> {
    let target = if stream.read_u8().await? == 4 {
        stream.read_u8().await?;
        let port = stream.read_u16().await?;
        let address = std::net::Ipv4Addr::from(stream.read_u32().await?);
        until_nul(&mut stream).await?;
        // An address like 0.0.0.1 says that a name follows (SOCKS 4a).
        let host = match address.octets() {
            [0, 0, 0, 1..=255] => format!("name {}", until_nul(&mut stream).await?),
            _ => format!("address {address}"),
        };
        stream.write_all(&[0, 0x5a, 0, 0, 0, 0, 0, 0]).await?;
        format!("{host}:{port}")
    } else {
        let methods = text(&mut stream).await?;
        let method = if login.is_some() { 2 } else { 0 };
        if !methods.as_bytes().contains(&method) {
            return stream.write_all(&[5, 0xff]).await;
        }
        stream.write_all(&[5, method]).await?;
        if let Some(login) = login {
            stream.read_u8().await?;
            let given = format!("{}:{}", text(&mut stream).await?, text(&mut stream).await?);
            stream.write_all(&[1, u8::from(given != login)]).await?;
            if given != login {
                return Ok(());
            }
        }
        let mut head = [0; 4];
        stream.read_exact(&mut head).await?;
        let host = match head[3] {
            1 => format!("address {}", std::net::Ipv4Addr::from(stream.read_u32().await?)),
            3 => format!("name {}", text(&mut stream).await?),
            _ => format!("address {}", std::net::Ipv6Addr::from(stream.read_u128().await?)),
        };
        let port = stream.read_u16().await?;
        stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
        format!("{host}:{port}")
    };
    seen.lock().expect("lock").push(target);
    let mut upstream = TcpStream::connect(to).await?;
    tokio::io::copy_bidirectional(&mut stream, &mut upstream).await?;
    Ok(())
}

fn client_with(variables: &[(&str, &str)]) -> Client {
    let mut settings = Settings { retries: 0, ..settings() };
    settings.proxy = ProxySettings::of_env(&Env::from_vars(variables.iter().copied()));
    Client::new(&settings).expect("client")
}

#[tokio::test]
async fn socks_versions_resolve_names_as_libcurl_does() {
    let server = Server::start(|_, _| Action::Send(reply(200, "", b"through").into())).await;
    let socks = SocksServer::start(&server, None).await;
    for (scheme, expected) in [
        ("socks4", "address 127.0.0.1:81"),
        ("socks", "address 127.0.0.1:81"),
        ("socks5", "address 127.0.0.1:81"),
        ("socks4a", "name localhost4.test:81"),
        ("socks5h", "name localhost4.test:81"),
    ] {
        let mut settings = Settings { retries: 0, ..settings() };
        settings.proxy.configure(&socks.url(scheme), "`http.proxy`");
        let lookup: crate::http::host_policy::Lookup =
            Arc::new(|_| Box::pin(async { Ok(vec![std::net::Ipv4Addr::LOCALHOST.into()]) }));
        let client = Client::with_lookup(&settings, lookup).expect("client");
        let answer = client.get(&Request::new("http://localhost4.test:81/a"), 100).await;
        assert_eq!(answer.unwrap_or_else(|e| panic!("{scheme}: {}", error_chain(&e))).body, &b"through"[..]);
        assert_eq!(socks.take_requests(), [expected], "{scheme}");
    }
    // For the server behind it, a SOCKS proxy is not visible as an HTTP proxy.
    assert!(server.heads().iter().all(|head| head.starts_with("GET /a HTTP/1.1")), "{:?}", server.heads());
}

#[tokio::test]
async fn environment_and_no_proxy_apply_to_socks() {
    let server = Server::start(|_, _| Action::Send(reply(200, "", b"there").into())).await;
    let socks = SocksServer::start(&server, None).await;
    let address = socks.url("socks5h");
    let cases: &[(&[(&str, &str)], usize)] = &[
        (&[("ALL_PROXY", &address)], 1),
        (&[("all_proxy", &address)], 1),
        (&[("http_proxy", &address)], 1),
        (&[("HTTP_PROXY", &address)], 0),
        (&[("ALL_PROXY", &address), ("no_proxy", "127.0.0.1")], 0),
        (&[("ALL_PROXY", &address), ("NO_PROXY", "127.0.0.0/8")], 0),
    ];
    for (variables, proxied) in cases {
        let url = server.url("/a");
        let answer = client_with(variables).get(&Request::new(&url), 100).await;
        assert_eq!(answer.unwrap_or_else(|e| panic!("{variables:?}: {}", error_chain(&e))).body, &b"there"[..]);
        assert_eq!(socks.take_requests().len(), *proxied, "{variables:?}");
    }
}

#[tokio::test]
async fn a_socks_proxy_gets_name_and_password_and_errors_show_neither() {
    let server = Server::start(|_, _| Action::Send(reply(200, "", b"there").into())).await;
    let socks = SocksServer::start(&server, Some("us@er:s3cr3t")).await;
    let right = socks.url("socks5h").replace("://", "://us%40er:s3cr3t@");
    let url = server.url("/a");
    let answer = client_with(&[("ALL_PROXY", &right)]).get(&Request::new(&url), 100).await;
    assert_eq!(answer.unwrap_or_else(|e| panic!("{}", error_chain(&e))).body, &b"there"[..]);
    for wrong in [right.replace("s3cr3t", "s3cr3tX"), socks.url("socks5h")] {
        let mut settings = Settings { retries: 2, ..settings() };
        settings.proxy = ProxySettings::of_env(&Env::from_vars([("ALL_PROXY", wrong.as_str())]));
        let client = Client::new(&settings).expect("client");
        let error = client.get(&Request::new(&url), 100).await.expect_err("refused");
        let shown = format!("{}{error:?}", error_chain(&error));
        assert!(!shown.contains("s3cr3t"), "{shown}");
        assert!(shown.contains("the proxy requires a valid user name and password"), "{shown}");
        assert!(matches!(error, Error::Transport { attempts: 1, .. }), "no retry helps: {shown}");
    }
}
