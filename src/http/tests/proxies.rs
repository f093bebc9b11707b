//! Connections to a server: proxies, certificate authorities, HTTP/2.

use super::*;

fn with_proxy(variables: &[(&str, &str)], configured: Option<&str>) -> Client {
    let mut settings = Settings { retries: 0, ..settings() };
    settings.proxy = ProxySettings::of_env(&Env::from_vars(variables.iter().copied()));
    if let Some(url) = configured {
        settings.proxy.configure(url, "`http.proxy`");
    }
    Client::new(&settings).expect("client")
}

#[tokio::test]
async fn proxies_are_chosen_as_libcurl_does() {
    let direct = Server::start(|_, _| Action::Send(reply(200, "", b"direct").into())).await;
    let proxy = Server::start(|_, _| Action::Send(reply(200, "", b"proxied").into())).await;
    let here = proxy.url("");
    let bare = here.trim_start_matches("http://");
    let none = "http://127.0.0.1:1";
    type Case<'a> = (&'a [(&'a str, &'a str)], Option<&'a str>, &'a str);
    let cases: &[Case<'_>] = &[
        (&[], None, "direct"),
        (&[("http_proxy", &here)], None, "proxied"),
        (&[("http_proxy", bare)], None, "proxied"),
        (&[("HTTP_PROXY", &here)], None, "direct"),
        (&[("https_proxy", &here)], None, "direct"),
        (&[("ALL_PROXY", &here)], None, "proxied"),
        (&[("all_proxy", &here), ("ALL_PROXY", none)], None, "proxied"),
        (&[("http_proxy", &here), ("all_proxy", none)], None, "proxied"),
        (&[("http_proxy", none)], Some(&here), "proxied"),
        (&[("http_proxy", &here)], Some(""), "direct"),
        (&[("http_proxy", &here), ("no_proxy", "127.0.0.1")], None, "direct"),
        (&[("NO_PROXY", "example.com 127.0.0.0/8")], Some(&here), "direct"),
        (&[("NO_PROXY", "*")], Some(&here), "direct"),
        (&[("NO_PROXY", "*"), ("no_proxy", "example.com")], Some(&here), "proxied"),
    ];
    for (variables, configured, expected) in cases {
        let client = with_proxy(variables, *configured);
        let url = direct.url("/a");
        let answer = client.get(&Request::new(&url), 100).await;
        let answer = answer.unwrap_or_else(|e| panic!("{variables:?} {configured:?}: {e:?}"));
        assert_eq!(answer.body, expected.as_bytes(), "{variables:?} {configured:?}");
    }
    let head = proxy.heads().remove(0);
    assert!(head.starts_with(&format!("GET {}", direct.url("/a"))), "{head}");
}

#[tokio::test]
async fn connect_requests_carry_the_proxy_credentials() {
    let proxy = Server::start(|_, _| {
        Action::Send("HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n".into())
    })
    .await;
    let address = proxy.url("").replace("http://", "http://us%40er:secret@");
    let client = with_proxy(&[("HTTPS_PROXY", &address)], None);
    let error = client.get(&Request::new("https://crates.invalid/config.json"), 100).await.expect_err("refused");
    let head = proxy.heads().remove(0);
    assert!(head.starts_with("CONNECT crates.invalid:443 "), "{head}");
    // us@er:secret
    assert!(head.to_lowercase().contains("proxy-authorization: basic dxnazxi6c2vjcmv0"), "{head}");
    let inside = format!("{error:?}");
    let shown = format!("{inside}{}", error_chain(&error));
    assert!(!shown.contains("secret"), "{shown}");
    assert!(shown.contains("the proxy requires a valid user name and password (HTTP 407)"), "{shown}");
}

/// The error of a request through a proxy, and its number of attempts.
async fn refused(proxy: &str, url: &str, cainfo: Option<PathBuf>) -> (String, u32) {
    let mut settings = Settings { retries: 2, cainfo, ..settings() };
    settings.proxy.configure(proxy, "`http.proxy`");
    let error = Client::new(&settings).expect("client").get(&Request::new(url), 100).await.expect_err("refused");
    let Error::Transport { attempts, proxy: Some(proxy), .. } = &error else { panic!("{error:?}") };
    assert_eq!((proxy.has_credentials, proxy.origin.as_str()), (true, "`http.proxy`"));
    (error_chain(&error), *attempts)
}

#[tokio::test]
async fn the_status_of_a_refused_tunnel_is_named_and_only_temporary_ones_are_retried() {
    for (status, attempts) in [(407, 1), (403, 1), (405, 1), (502, 3), (503, 3), (429, 3)] {
        let proxy = Server::start(move |_, _| Action::Send(reply(status, "", b"<html>").into())).await;
        let address = proxy.url("").replace("http://", "http://us%40er:secret@");
        let (shown, tried) = refused(&address, "https://crates.invalid/config.json", None).await;
        assert!(shown.contains(&format!("HTTP {status}")) && !shown.contains("secret"), "{shown}");
        assert_eq!(tried, attempts, "{status}");
        for head in proxy.heads() {
            assert!(head.starts_with("CONNECT crates.invalid:443 "), "{head}");
            assert!(head.to_lowercase().contains("proxy-authorization: basic dxnazxi6c2vjcmv0"), "{head}");
        }
    }
    // A plain request gets the answer as its response.
    let proxy = Server::start(|_, _| Action::Send(reply(407, "", b"<html>").into())).await;
    let address = proxy.url("").replace("http://", "http://user:secret@");
    let (shown, tried) = refused(&address, "http://crates.invalid/config.json", None).await;
    assert!(shown.contains("user name and password (HTTP 407)") && !shown.contains("html"), "{shown}");
    assert_eq!((tried, proxy.heads().len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_status_of_a_tunnel_that_a_tls_proxy_refuses_is_named() {
    let proxy = server::TlsServer::start_redirecting(Arc::new(|_| (403, String::new()))).await;
    let folder = tempfile::tempdir().expect("temporary folder");
    let cainfo = folder.path().join("ca.pem");
    std::fs::write(&cainfo, &proxy.authority).expect("file");
    let address = proxy.url("").replace("https://", "https://user:secret@");
    let (shown, tried) = refused(&address, "https://crates.invalid/config.json", Some(cainfo)).await;
    assert!(shown.contains("it answered CONNECT with HTTP 403"), "{shown}");
    assert_eq!((tried, proxy.heads().len()), (1, 2));
}

#[tokio::test]
async fn a_proxy_that_is_no_http_server_is_a_transport_error() {
    for answer in ["nonsense\r\n\r\n", "HTTP/1.1 99 X\r\n\r\n", ""] {
        let proxy = Server::start(move |_, _| Action::Send(answer.into())).await;
        let address = proxy.url("").replace("http://", "http://user:secret@");
        let (shown, tried) = refused(&address, "https://crates.invalid/config.json", None).await;
        assert!(shown.contains("tunnel error"), "{answer:?}: {shown}");
        assert_eq!(tried, 3);
    }
}

#[test]
fn errors_about_a_proxy_hide_its_password() {
    for (url, terms) in [
        ("socks4://user:secret@h", "only send to a SOCKS5 proxy"),
        ("ftp://user:secret@h", "not a valid"),
        ("http://user:secret@", "not a valid"),
    ] {
        let mut settings = settings();
        settings.proxy.configure(url, "`http.proxy` in `config.toml`");
        let error = Client::new(&settings).err().expect(url);
        let text = format!("{error}{error:?}");
        assert!(text.contains(terms) && text.contains("config.toml"), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }
}

#[test]
fn debug_output_hides_a_proxys_password() {
    let mut settings = settings();
    settings.proxy.configure("http://u:secret@h", "test");
    assert!(!format!("{settings:?}").contains("secret"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_authority_is_trusted_by_cainfo_and_http2_shares_one_connection() {
    let server = server::TlsServer::start().await;
    let folder = tempfile::tempdir().expect("temporary folder");
    let cainfo = folder.path().join("ca.pem");
    std::fs::write(&cainfo, &server.authority).expect("file");
    let trusting = Settings { cainfo: Some(cainfo.clone()), jobs: 20, ..settings() };
    let client = Client::new(&trusting).expect("client");
    let url = server.url("/a");
    let all = (0..60).map(|_| {
        let (client, url) = (client.clone(), url.clone());
        tokio::spawn(async move {
            let answer = client.get(&Request::new(&url), 100).await;
            answer.expect("answer").body
        })
    });
    for task in all.collect::<Vec<_>>() {
        assert_eq!(task.await.expect("task"), &b"HTTP/2.0"[..]);
    }
    assert_eq!(server.connections(), 1);
    assert!((9..=20).contains(&server.max_in_flight()), "{}", server.max_in_flight());

    // The environment's certificate authorities are used too, unless cainfo excludes them.
    let by_file = Settings { cert_file: Some(cainfo.clone()), multiplexing: false, ..settings() };
    let answer = Client::new(&by_file).expect("client").get(&Request::new(&url), 100).await;
    assert_eq!(answer.expect("answer").body, &b"HTTP/1.1"[..]);

    let other = folder.path().join("other.pem");
    std::fs::write(&other, server::TlsServer::start().await.authority).expect("file");
    let excluded = Settings { cainfo: Some(other), cert_file: Some(cainfo), ..settings() };
    let error = Client::new(&excluded).expect("client").get(&Request::new(&url), 100).await.expect_err("excluded");
    assert!(matches!(error, Error::Certificate { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tls_proxy_has_its_own_authority() {
    let upstream = server::TlsServer::start().await;
    let proxy = server::TlsServer::start_proxy().await;
    let folder = tempfile::tempdir().expect("temporary folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("file");
        Some(path)
    };
    let cainfo = file("upstream.pem", &upstream.authority);
    let proxy_cainfo = file("proxy.pem", &proxy.authority);
    // The proxy has another name than upstream, as is usual.
    let address = proxy.url("").replace("localhost", "127.0.0.1");
    let mut right = Settings { cainfo: cainfo.clone(), proxy_cainfo: proxy_cainfo.clone(), retries: 0, ..settings() };
    right.proxy.configure(&address, "test");
    let url = upstream.url("/a");
    let answer = Client::new(&right).expect("client").get(&Request::new(&url), 100).await;
    assert_eq!(answer.expect("through the proxy").body, &b"HTTP/2.0"[..]);
    assert_eq!(proxy.connections(), 1);
    for (cainfo, proxy_cainfo) in [(&cainfo, &cainfo), (&proxy_cainfo, &proxy_cainfo)] {
        let wrong = Settings { cainfo: cainfo.clone(), proxy_cainfo: proxy_cainfo.clone(), ..right.clone() };
        let answer = Client::new(&wrong).expect("client").get(&Request::new(&url), 100).await;
        assert!(matches!(answer, Err(Error::Certificate { .. })), "{answer:?}");
    }
}

#[test]
fn errors_name_unreadable_certificate_files() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "no certificate\n").expect("file");
    for path in [empty, folder.path().join("absent.pem")] {
        let settings = Settings { cainfo: Some(path.clone()), ..settings() };
        let error = Client::new(&settings).err().expect("no authorities");
        assert!(error.to_string().contains(path.to_str().expect("UTF-8 path")), "{error}");
    }
}
