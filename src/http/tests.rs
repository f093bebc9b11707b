use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::*;
use crate::env::Env;
use crate::failure::Failure;

mod server;

use server::{Act, Server, reply};

/// As patient as a test can be.
fn settings() -> Settings {
    Settings {
        first_backoff: Duration::from_millis(2),
        low_speed_timeout: Duration::from_millis(1500),
        connect_timeout: Duration::from_millis(1500),
        ..Settings::default()
    }
}

fn client() -> Client {
    Client::new(&settings()).expect("client")
}

async fn get(url: &str) -> Result<Answer, Error> {
    client().get(&Request::new(url), 1000).await
}

fn code(error: Error) -> u8 {
    Failure::from(error).class.code()
}

struct Target {
    folder: tempfile::TempDir,
}

impl Target {
    fn new() -> Target {
        Target {
            folder: tempfile::tempdir().expect("temporary folder"),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("file")
    }

    fn content(&self) -> Vec<u8> {
        std::fs::read(self.path()).expect("downloaded file")
    }
}

async fn download(
    url: &str,
    into: &Path,
    expected: &[u8],
    progress: &(dyn Fn(u64) + Sync),
) -> Result<u64, Error> {
    client()
        .download(
            &Request::new(url),
            into,
            Sha256::of(expected),
            10_000_000,
            progress,
        )
        .await
}

#[tokio::test]
async fn an_answer_brings_body_and_validators() {
    let server = Server::start(|_, _| {
        Act::Send(
            reply(
                200,
                "ETag: \"a\"\r\nLast-Modified: Sat, 01 Aug 2026 00:00:00 GMT\r\n",
                b"text",
            )
            .into(),
        )
    })
    .await;
    let answer = get(&server.url("/config.json")).await.expect("answer");
    assert_eq!((answer.status, &answer.body[..]), (200, &b"text"[..]));
    assert_eq!(answer.etag.as_deref(), Some("\"a\""));
    assert_eq!(
        answer.last_modified.as_deref(),
        Some("Sat, 01 Aug 2026 00:00:00 GMT")
    );
    let head = server.heads().remove(0);
    assert!(head.contains("user-agent: cargo-frostmirror/"), "{head}");
    assert!(head.contains("accept-encoding: gzip"), "{head}");
}

#[tokio::test]
async fn validators_and_token_are_sent_and_304_has_no_body() {
    let server = Server::start(|_, _| Act::Send(reply(304, "", b"").into())).await;
    let token = Secret::new("tok");
    let url = server.url("/a");
    let request = Request {
        authorization: Some(&token),
        if_none_match: Some("\"a\""),
        if_modified_since: Some("then"),
        ..Request::new(&url)
    };
    let answer = client().get(&request, 10).await.expect("answer");
    assert_eq!((answer.status, answer.body.len()), (304, 0));
    let head = server.heads().remove(0);
    for line in [
        "authorization: tok",
        "if-none-match: \"a\"",
        "if-modified-since: then",
    ] {
        assert!(head.contains(line), "{head}");
    }
}

#[tokio::test]
async fn absence_is_an_answer_for_get_and_an_error_for_download_and_never_tried_again() {
    for status in [404, 410, 451] {
        let server = Server::start(move |_, _| {
            Act::Send(reply(status, "", b"not here: \x1b[31m<red>").into())
        })
        .await;
        let answer = get(&server.url("/a")).await.expect("an answer");
        assert_eq!((answer.status, answer.body.len()), (status, 0));
        let target = Target::new();
        let error = download(&server.url("/b"), &target.path(), b"x", &|_| {})
            .await
            .expect_err("absent");
        let text = error.to_string();
        assert!(
            text.contains("/b") && text.contains("not here: \\u{1b}[31m"),
            "{text}"
        );
        assert!(matches!(error, Error::NotFound { .. }), "{error}");
        assert_eq!(code(error), 5);
        assert_eq!(server.heads().len(), 2);
    }
}

#[tokio::test]
async fn two_server_errors_are_outlived_and_four_are_told() {
    let server = Server::start(|_, n| match n {
        0 | 1 => Act::Send(reply(500 + 3 * n as u16, "", b"oops").into()),
        _ => Act::Send(reply(200, "", b"fine").into()),
    })
    .await;
    assert_eq!(
        get(&server.url("/")).await.expect("answer").body,
        &b"fine"[..]
    );
    let server = Server::start(|_, _| Act::Send(reply(500, "", b"still broken").into())).await;
    let error = get(&server.url("/")).await.expect_err("500");
    assert_eq!(server.heads().len(), 4);
    let text = error.to_string();
    assert!(
        text.contains("HTTP 500 (tried 4 times): still broken"),
        "{text}"
    );
    assert_eq!(code(error), 5);
}

#[tokio::test]
async fn other_refusals_are_final_and_quoted_in_part() {
    let long = format!("no\u{202e}way {}", "x".repeat(100_000));
    let server = Server::start(move |_, _| Act::Send(reply(403, "", long.as_bytes()).into())).await;
    let error = get(&server.url("/").replace("http://", "http://user:secret@"))
        .await
        .expect_err("403");
    assert_eq!(server.heads().len(), 1);
    let text = error.to_string();
    assert!(
        text.contains("no\\u{202e}way xxx") && text.len() < 700,
        "{text}"
    );
    assert!(!text.contains("secret"), "{text}");
}

#[tokio::test]
async fn retry_after_is_obeyed_in_seconds_and_as_a_date() {
    for header in [
        "Retry-After: 1\r\n",
        "Date: Sat, 01 Aug 2026 00:00:00 GMT\r\nRetry-After: Sat, 01 Aug 2026 00:00:01 GMT\r\n",
    ] {
        let server = Server::start(move |_, n| match n {
            0 => Act::Send(reply(429, header, b"slower").into()),
            _ => Act::Send(reply(200, "", b"fine").into()),
        })
        .await;
        let start = Instant::now();
        get(&server.url("/")).await.expect("answer");
        assert!(start.elapsed() >= Duration::from_secs(1), "{header}");
    }
}

#[test]
fn a_pause_is_read_against_the_servers_clock_and_capped() {
    let mut headers = HeaderMap::new();
    headers.insert(
        header::RETRY_AFTER,
        HeaderValue::from_static("Sat, 01 Aug 2026 00:00:09 GMT"),
    );
    assert_eq!(failing::retry_after(&headers), None);
    headers.insert(
        header::DATE,
        HeaderValue::from_static("Sat, 01 Aug 2026 00:00:02 GMT"),
    );
    assert_eq!(failing::retry_after(&headers), Some(Duration::from_secs(7)));
    headers.insert(
        header::DATE,
        HeaderValue::from_static("Sat, 01 Aug 2026 00:01:02 GMT"),
    );
    assert_eq!(failing::retry_after(&headers), Some(Duration::ZERO));
    headers.insert(header::RETRY_AFTER, HeaderValue::from_static("soon"));
    assert_eq!(failing::retry_after(&headers), None);
}

#[tokio::test]
async fn truncated_reset_and_silent_bodies_are_tried_again_and_counted_once() {
    let body: Vec<u8> = (0..200_000u32).map(|n| n as u8).collect();
    let whole = reply(200, "", &body);
    let part = whole[..whole.len() - 50_000].to_vec();
    let quarter = whole[..50_000].to_vec();
    let server = Server::start(move |_, n| match n {
        0 => Act::Send(part.clone().into()),
        1 => Act::Reset,
        2 => Act::SendThenHang(quarter.clone().into()),
        _ => Act::Send(whole.clone().into()),
    })
    .await;
    let target = Target::new();
    let told = AtomicU64::new(0);
    let length = download(&server.url("/a.crate"), &target.path(), &body, &|n| {
        told.fetch_add(n, Ordering::Relaxed);
    })
    .await
    .expect("the fourth time");
    assert_eq!(length, 200_000);
    assert_eq!(told.load(Ordering::Relaxed), 200_000);
    assert!(target.content() == body);
    let heads = server.heads();
    assert_eq!(heads.len(), 4);
    assert!(
        heads[0].contains("accept-encoding: identity"),
        "{}",
        heads[0]
    );
}

#[tokio::test]
async fn lasting_faults_say_what_and_how_often() {
    let whole = reply(200, "", b"0123456789");
    let cut = whole[..whole.len() - 4].to_vec();
    let server = Server::start(move |_, _| Act::Send(cut.clone().into())).await;
    let error = get(&server.url("/a")).await.expect_err("truncated");
    assert_eq!(server.heads().len(), 4);
    let shown = Failure::from(error).to_string();
    assert!(shown.contains("/a (tried 4 times)"), "{shown}");
    assert!(
        shown.contains("the connection broke while the body came"),
        "{shown}"
    );

    let server = Server::start(|_, _| Act::SendThenHang(Bytes::new())).await;
    let quick = Settings {
        low_speed_timeout: Duration::from_millis(50),
        connect_timeout: Duration::from_millis(50),
        retries: 1,
        ..settings()
    };
    let client = Client::new(&quick).expect("client");
    let url = server.url("/a");
    let error = client
        .get(&Request::new(&url), 10)
        .await
        .expect_err("hangs");
    let shown = Failure::from(error).to_string();
    assert!(
        shown.contains("(tried 2 times)") && shown.contains("only 0 bytes"),
        "{shown}"
    );

    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("port");
    let url = format!("http://{}/a", free.local_addr().expect("address"));
    drop(free);
    let error = get(&url).await.expect_err("nobody there");
    let shown = Failure::from(error).to_string();
    assert!(
        shown.contains("could not connect") && shown.contains("refused"),
        "{shown}"
    );
}

#[tokio::test]
async fn a_trickle_is_too_slow() {
    let server = Server::start(|_, _| Act::Trickle).await;
    let quick = Settings {
        low_speed_timeout: Duration::from_secs(1),
        low_speed_limit: 1000,
        retries: 0,
        ..settings()
    };
    let client = Client::new(&quick).expect("client");
    let url = server.url("/a");
    let error = client.get(&Request::new(&url), 1_000_000).await;
    assert!(
        matches!(
            error,
            Err(Error::Transport {
                source: Fault::Slow { received: 1.., .. },
                ..
            })
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn wrong_bytes_are_final_unless_nobody_said_where_they_end() {
    let server = Server::start(|_, _| Act::Send(reply(200, "", b"evil").into())).await;
    let target = Target::new();
    let error = download(&server.url("/a"), &target.path(), b"good", &|_| {})
        .await
        .expect_err("wrong");
    assert!(matches!(&error, Error::Checksum { .. }), "{error}");
    assert_eq!((server.heads().len(), code(error)), (1, 4));

    let server = Server::start(|_, n| {
        let body = if n == 0 { "go" } else { "good" };
        Act::Send(format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{body}").into())
    })
    .await;
    let length = download(&server.url("/a"), &target.path(), b"good", &|_| {}).await;
    assert_eq!(length.expect("the second time"), 4);
    assert_eq!(target.content(), b"good");
}

#[tokio::test]
async fn a_crate_that_is_labelled_as_gzip_stays_as_it_is() {
    let body = server::gzipped(b"a crate");
    let whole = reply(200, "Content-Encoding: gzip\r\n", &body);
    let server = Server::start(move |_, _| Act::Send(whole.clone().into())).await;
    let target = Target::new();
    download(&server.url("/a"), &target.path(), &body, &|_| {})
        .await
        .expect("as it is");
    assert_eq!(target.content(), body);
}

#[tokio::test]
async fn index_text_is_unzipped_within_its_limit() {
    let server = Server::start(|head, _| {
        let body = match () {
            () if head.contains("/bomb") => server::gzipped(&vec![b'x'; 50_000_000]),
            () if head.contains("/cut") => server::gzipped(b"cut short")[..20].to_vec(),
            () => server::gzipped(b"lines"),
        };
        let encoding = if head.contains("/br") { "br" } else { "GZIP" };
        Act::Send(reply(200, &format!("Content-Encoding: {encoding}\r\n"), &body).into())
    })
    .await;
    assert_eq!(
        get(&server.url("/")).await.expect("answer").body,
        &b"lines"[..]
    );
    let client = client();
    let url = server.url("/bomb");
    let bomb = client.get(&Request::new(&url), 100_000).await;
    assert!(
        matches!(bomb, Err(Error::TooLarge { limit: 100_000, .. })),
        "{bomb:?}"
    );
    let cut = get(&server.url("/cut")).await;
    assert!(
        matches!(
            cut,
            Err(Error::Transport {
                attempts: 4,
                source: Fault::Undecodable(_),
                ..
            })
        ),
        "{cut:?}"
    );
    let brotli = get(&server.url("/br")).await;
    assert!(matches!(brotli, Err(Error::Encoding { .. })), "{brotli:?}");
}

#[tokio::test]
async fn limits_hold_with_and_without_an_announced_length() {
    let server = Server::start(|head, _| {
        Act::Send(if head.contains("/open") {
            format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(2000)).into()
        } else {
            reply(200, "", &[b'x'; 2000]).into()
        })
    })
    .await;
    for path in ["/", "/open"] {
        let url = server.url(path);
        let error = client().get(&Request::new(&url), 1999).await;
        assert!(
            matches!(error, Err(Error::TooLarge { limit: 1999, .. })),
            "{error:?}"
        );
        assert_eq!(
            client()
                .get(&Request::new(&url), 2000)
                .await
                .expect("fits")
                .body
                .len(),
            2000
        );
        let target = Target::new();
        let error = client()
            .download(
                &Request::new(&url),
                &target.path(),
                Sha256::of(b""),
                1999,
                &|_| {},
            )
            .await;
        assert!(matches!(error, Err(Error::TooLarge { .. })), "{error:?}");
    }
}

#[tokio::test]
async fn redirects_are_followed_within_reason_and_tokens_stay_home() {
    let other = Server::start(|_, _| Act::Send(reply(200, "", b"there").into())).await;
    let elsewhere = other.url("/there");
    let server = Server::start(move |head, _| {
        let location = match () {
            () if head.starts_with("GET /away") => elsewhere.clone(),
            () if head.starts_with("GET /here") => "/landed".to_owned(),
            () if head.starts_with("GET /landed") => {
                return Act::Send(reply(200, "", b"here").into());
            }
            () => "/again".to_owned(),
        };
        Act::Send(reply(302, &format!("Location: {location}\r\n"), b"").into())
    })
    .await;
    let token = Secret::new("tok");
    let body = async |path: &str| {
        let url = server.url(path);
        let request = Request {
            authorization: Some(&token),
            ..Request::new(&url)
        };
        client().get(&request, 100).await.map(|answer| answer.body)
    };
    assert_eq!(body("/away").await.expect("there"), &b"there"[..]);
    assert!(!other.heads()[0].contains("tok"), "{}", other.heads()[0]);
    assert_eq!(body("/here").await.expect("here"), &b"here"[..]);
    let heads = server.heads();
    assert!(heads.iter().all(|head| head.contains("authorization: tok")));
    let error = body("/round").await.expect_err("endless");
    assert!(
        Failure::from(error)
            .to_string()
            .contains("too many redirects")
    );
    assert!(server.heads().len() < 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_without_http2_gets_eight_requests_at_a_time() {
    static NOW: AtomicUsize = AtomicUsize::new(0);
    static MOST: AtomicUsize = AtomicUsize::new(0);
    let server = Server::start(|_, _| Act::Slowly(&NOW, &MOST)).await;
    let client = client();
    let url = server.url("/");
    let all = (0..40).map(|_| {
        let (client, url) = (client.clone(), url.clone());
        tokio::spawn(async move {
            let answer = client.get(&Request::new(&url), 100).await;
            answer.expect("answer");
        })
    });
    for task in all.collect::<Vec<_>>() {
        task.await.expect("task");
    }
    assert_eq!(MOST.load(Ordering::SeqCst), 8);
}

#[tokio::test]
async fn an_unwritable_file_is_named() {
    let server = Server::start(|_, _| Act::Send(reply(200, "", b"x").into())).await;
    let error = download(&server.url("/"), Path::new("/absent/file"), b"x", &|_| {})
        .await
        .expect_err("no folder");
    assert!(error.to_string().contains("/absent/file"), "{error}");
    assert!(matches!(error, Error::Io { .. }));
}

#[tokio::test]
async fn what_is_no_address_is_refused() {
    for url in ["file:///etc/passwd", "nothing", "http://"] {
        assert!(
            matches!(get(url).await, Err(Error::Address { .. })),
            "{url}"
        );
    }
    let token = Secret::new("two\nlines");
    let request = Request {
        authorization: Some(&token),
        ..Request::new("http://127.0.0.1:1/")
    };
    let error = client().get(&request, 1).await.expect_err("bad token");
    assert!(matches!(error, Error::Token { .. }));
    assert!(!format!("{request:?}{error}").contains("lines"));
}

// Proxies.

fn with_proxy(variables: &[(&str, &str)], configured: Option<&str>) -> Client {
    let mut settings = Settings {
        retries: 0,
        ..settings()
    };
    settings.proxy = ProxySettings::of_env(&Env::of(variables.iter().copied()));
    if let Some(url) = configured {
        settings.proxy.configure(url, "`http.proxy`");
    }
    Client::new(&settings).expect("client")
}

#[tokio::test]
async fn proxies_are_chosen_as_libcurl_does() {
    let direct = Server::start(|_, _| Act::Send(reply(200, "", b"direct").into())).await;
    let proxy = Server::start(|_, _| Act::Send(reply(200, "", b"proxied").into())).await;
    let here = proxy.url("");
    let bare = here.trim_start_matches("http://");
    let none = "http://127.0.0.1:1";
    let cases: &[(&[(&str, &str)], Option<&str>, &str)] = &[
        (&[], None, "direct"),
        (&[("http_proxy", &here)], None, "proxied"),
        (&[("http_proxy", bare)], None, "proxied"),
        (&[("HTTP_PROXY", &here)], None, "direct"),
        (&[("https_proxy", &here)], None, "direct"),
        (&[("ALL_PROXY", &here)], None, "proxied"),
        (
            &[("all_proxy", &here), ("ALL_PROXY", none)],
            None,
            "proxied",
        ),
        (
            &[("http_proxy", &here), ("all_proxy", none)],
            None,
            "proxied",
        ),
        (&[("http_proxy", none)], Some(&here), "proxied"),
        (&[("http_proxy", &here)], Some(""), "direct"),
        (
            &[("http_proxy", &here), ("no_proxy", "127.0.0.1")],
            None,
            "direct",
        ),
        (
            &[("NO_PROXY", "example.com 127.0.0.0/8")],
            Some(&here),
            "direct",
        ),
        (&[("NO_PROXY", "*")], Some(&here), "direct"),
        (
            &[("NO_PROXY", "*"), ("no_proxy", "example.com")],
            Some(&here),
            "proxied",
        ),
    ];
    for (variables, configured, expected) in cases {
        let client = with_proxy(variables, *configured);
        let url = direct.url("/a");
        let answer = client.get(&Request::new(&url), 100).await;
        let answer = answer.unwrap_or_else(|e| panic!("{variables:?} {configured:?}: {e:?}"));
        assert_eq!(
            answer.body,
            expected.as_bytes(),
            "{variables:?} {configured:?}"
        );
    }
    let head = proxy.heads().remove(0);
    assert!(
        head.starts_with(&format!("GET {}", direct.url("/a"))),
        "{head}"
    );
}

#[tokio::test]
async fn a_tunnel_is_asked_for_with_name_and_password() {
    let proxy = Server::start(|_, _| {
        Act::Send("HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n".into())
    })
    .await;
    let address = proxy.url("").replace("http://", "http://us%40er:secret@");
    let client = with_proxy(&[("HTTPS_PROXY", &address)], None);
    let error = client
        .get(&Request::new("https://crates.invalid/config.json"), 100)
        .await
        .expect_err("refused");
    let head = proxy.heads().remove(0);
    assert!(head.starts_with("CONNECT crates.invalid:443 "), "{head}");
    // us@er:secret
    assert!(
        head.to_lowercase()
            .contains("proxy-authorization: basic dxnazxi6c2vjcmv0"),
        "{head}"
    );
    let inside = format!("{error:?}");
    let shown = format!("{inside}{}", Failure::from(error));
    assert!(!shown.contains("secret"), "{shown}");
}

#[test]
fn a_proxy_that_cannot_be_used_is_named_without_its_password() {
    for (url, words) in [
        ("socks5://user:secret@h", "SOCKS"),
        ("ftp://user:secret@h", "not a valid"),
        ("http://user:secret@", "not a valid"),
    ] {
        let mut settings = settings();
        settings
            .proxy
            .configure(url, "`http.proxy` in `config.toml`");
        let error = Client::new(&settings).err().expect(url);
        let text = format!("{error}{error:?}");
        assert!(
            text.contains(words) && text.contains("config.toml"),
            "{text}"
        );
        assert!(!text.contains("secret"), "{text}");
        assert_eq!(code(error), 3);
    }
}

#[test]
fn settings_never_show_a_proxys_password() {
    let mut settings = settings();
    settings.proxy.configure("http://u:secret@h", "test");
    assert!(!format!("{settings:?}").contains("secret"));
}

// TLS and HTTP/2.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_authority_is_trusted_by_cainfo_and_http2_shares_one_connection() {
    let server = server::Tls::start().await;
    let folder = tempfile::tempdir().expect("temporary folder");
    let cainfo = folder.path().join("ca.pem");
    std::fs::write(&cainfo, &server.authority).expect("file");
    let trusting = Settings {
        cainfo: Some(cainfo.clone()),
        jobs: 20,
        ..settings()
    };
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
    assert!((9..=20).contains(&server.most()), "{}", server.most());

    // The environment's authorities serve as well, unless cainfo excludes them.
    let by_file = Settings {
        cert_file: Some(cainfo.clone()),
        multiplexing: false,
        ..settings()
    };
    let answer = Client::new(&by_file)
        .expect("client")
        .get(&Request::new(&url), 100)
        .await;
    assert_eq!(answer.expect("answer").body, &b"HTTP/1.1"[..]);

    let other = folder.path().join("other.pem");
    std::fs::write(&other, server::Tls::start().await.authority).expect("file");
    let excluded = Settings {
        cainfo: Some(other),
        cert_file: Some(cainfo),
        ..settings()
    };
    let error = Client::new(&excluded)
        .expect("client")
        .get(&Request::new(&url), 100)
        .await
        .expect_err("excluded");
    assert!(matches!(error, Error::Certificate { .. }), "{error:?}");
    assert_eq!(code(error), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tls_proxy_has_its_own_authority() {
    let upstream = server::Tls::start().await;
    let proxy = server::Tls::start_proxy().await;
    let folder = tempfile::tempdir().expect("temporary folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("file");
        Some(path)
    };
    let cainfo = file("upstream.pem", &upstream.authority);
    let proxy_cainfo = file("proxy.pem", &proxy.authority);
    // The proxy goes by another name than upstream, as proxies do.
    let address = proxy.url("").replace("localhost", "127.0.0.1");
    let mut right = Settings {
        cainfo: cainfo.clone(),
        proxy_cainfo: proxy_cainfo.clone(),
        retries: 0,
        ..settings()
    };
    right.proxy.configure(&address, "test");
    let url = upstream.url("/a");
    let answer = Client::new(&right)
        .expect("client")
        .get(&Request::new(&url), 100)
        .await;
    assert_eq!(answer.expect("through the proxy").body, &b"HTTP/2.0"[..]);
    assert_eq!(proxy.connections(), 1);
    for (cainfo, proxy_cainfo) in [(&cainfo, &cainfo), (&proxy_cainfo, &proxy_cainfo)] {
        let wrong = Settings {
            cainfo: cainfo.clone(),
            proxy_cainfo: proxy_cainfo.clone(),
            ..right.clone()
        };
        let answer = Client::new(&wrong)
            .expect("client")
            .get(&Request::new(&url), 100)
            .await;
        assert!(
            matches!(answer, Err(Error::Certificate { .. })),
            "{answer:?}"
        );
    }
}

#[test]
fn authorities_that_cannot_be_read_are_named() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "no certificate\n").expect("file");
    for path in [empty, folder.path().join("absent.pem")] {
        let settings = Settings {
            cainfo: Some(path.clone()),
            ..settings()
        };
        let error = Client::new(&settings).err().expect("no authorities");
        assert!(
            error
                .to_string()
                .contains(path.to_str().expect("UTF-8 path")),
            "{error}"
        );
        assert_eq!(code(error), 3);
    }
}
