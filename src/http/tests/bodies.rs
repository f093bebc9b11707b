//! Response bodies: complete, truncated, wrong, too large, compressed; and their concurrency.

use super::*;

#[tokio::test]
async fn broken_bodies_are_retried_and_their_bytes_counted_once() {
    let body: Vec<u8> = (0..=249u8).cycle().take(200_000).collect();
    let whole = reply(200, "", &body);
    let part = whole[..whole.len() - 50_000].to_vec();
    let quarter = whole[..50_000].to_vec();
    let server = Server::start(move |_, n| match n {
        0 => Action::Send(part.clone().into()),
        1 => Action::Reset,
        2 => Action::SendThenHang(quarter.clone().into()),
        _ => Action::Send(whole.clone().into()),
    })
    .await;
    let target = DownloadTarget::new();
    let reported = AtomicU64::new(0);
    let length = download(&server.url("/a.crate"), &target.path(), &body, &|n| {
        reported.fetch_add(n, Ordering::Relaxed);
    })
    .await
    .expect("the fourth time");
    assert_eq!(length, 200_000);
    assert_eq!(reported.load(Ordering::Relaxed), 200_000);
    assert!(target.content() == body);
    let heads = server.heads();
    assert_eq!(heads.len(), 4);
    assert!(heads[0].contains("accept-encoding: identity"), "{}", heads[0]);
}

#[tokio::test]
async fn permanent_failures_report_cause_and_attempts() {
    let whole = reply(200, "", b"0123456789");
    let cut = whole[..whole.len() - 4].to_vec();
    let server = Server::start(move |_, _| Action::Send(cut.clone().into())).await;
    let error = get(&server.url("/a")).await.expect_err("truncated");
    assert_eq!(server.heads().len(), 4);
    let shown = error_chain(&error);
    assert!(shown.contains("/a (tried 4 times)"), "{shown}");
    assert!(shown.contains("the connection broke during the response body"), "{shown}");

    let server = Server::start(|_, _| Action::SendThenHang(Bytes::new())).await;
    let quick = Settings { low_speed_timeout: Duration::from_millis(50), retries: 1, ..settings() };
    let client = Client::new(&quick).expect("client");
    let url = server.url("/a");
    let error = client.get(&Request::new(&url), 10).await.expect_err("hangs");
    let shown = error_chain(&error);
    assert!(shown.contains("(tried 2 times)") && shown.contains("only 0 bytes"), "{shown}");

    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("port");
    let url = format!("http://{}/a", free.local_addr().expect("address"));
    drop(free);
    let error = get(&url).await.expect_err("no server");
    let shown = error_chain(&error);
    assert!(shown.contains("could not connect") && shown.contains("refused"), "{shown}");
}

#[tokio::test]
async fn a_trickle_is_too_slow() {
    let server = Server::start(|_, _| Action::Trickle).await;
    let quick = Settings { low_speed_timeout: Duration::from_secs(1), low_speed_limit: 1000, retries: 0, ..settings() };
    let client = Client::new(&quick).expect("client");
    let url = server.url("/a");
    let error = client.get(&Request::new(&url), 1_000_000).await;
    assert!(
        matches!(error, Err(Error::Transport { source: TransportError::Slow { received: 1.., .. }, .. })),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_checksum_mismatch_is_retried_only_without_a_known_length() {
    let server = Server::start(|_, _| Action::Send(reply(200, "", b"evil").into())).await;
    let target = DownloadTarget::new();
    let error = download(&server.url("/a"), &target.path(), b"good", &|_| {}).await.expect_err("wrong");
    assert!(matches!(&error, Error::Checksum { .. }), "{error}");
    assert_eq!(server.heads().len(), 1);

    let server = Server::start(|_, n| {
        let body = if n == 0 { "go" } else { "good" };
        Action::Send(format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{body}").into())
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
    let server = Server::start(move |_, _| Action::Send(whole.clone().into())).await;
    let target = DownloadTarget::new();
    download(&server.url("/a"), &target.path(), &body, &|_| {}).await.expect("as it is");
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
        Action::Send(reply(200, &format!("Content-Encoding: {encoding}\r\n"), &body).into())
    })
    .await;
    assert_eq!(get(&server.url("/")).await.expect("answer").body, &b"lines"[..]);
    let client = client();
    let url = server.url("/bomb");
    let bomb = client.get(&Request::new(&url), 100_000).await;
    assert!(matches!(bomb, Err(Error::TooLarge { limit: 100_000, .. })), "{bomb:?}");
    let cut = get(&server.url("/cut")).await;
    assert!(
        matches!(cut, Err(Error::Transport { attempts: 4, source: TransportError::Undecodable(_), .. })),
        "{cut:?}"
    );
    let brotli = get(&server.url("/br")).await;
    assert!(matches!(brotli, Err(Error::Encoding { .. })), "{brotli:?}");
}

#[tokio::test]
async fn limits_hold_with_and_without_an_announced_length() {
    let server = Server::start(|head, _| {
        Action::Send(if head.contains("/open") {
            format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(2000)).into()
        } else {
            reply(200, "", &[b'x'; 2000]).into()
        })
    })
    .await;
    for path in ["/", "/open"] {
        let url = server.url(path);
        let error = client().get(&Request::new(&url), 1999).await;
        assert!(matches!(error, Err(Error::TooLarge { limit: 1999, .. })), "{error:?}");
        assert_eq!(client().get(&Request::new(&url), 2000).await.expect("fits").body.len(), 2000);
        let target = DownloadTarget::new();
        let error = client().download(&Request::new(&url), &target.path(), Sha256::of(b""), 1999, &|_| {}).await;
        assert!(matches!(error, Err(Error::TooLarge { .. })), "{error:?}");
    }
}

#[tokio::test]
async fn only_large_bodies_wait_for_the_body_limit() {
    const MIB: usize = 1 << 20;
    let server = Server::start(|head, _| {
        let body = vec![b'x'; if head.contains("/large") { MIB + 1 } else { MIB }];
        Action::Send(if head.contains("/zipped") {
            reply(200, "Content-Encoding: gzip\r\n", &server::gzipped(&body)).into()
        } else {
            reply(200, "", &body).into()
        })
    })
    .await;
    let (client, large_bodies) = (client(), LargeBodyLimit::new(2));
    let ask =
        async |path: &str| client.get_with_body_limit(&Request::new(&server.url(path)), 1 << 24, &large_bodies).await;
    for path in ["/large", "/zipped/large"] {
        let first = ask("/large").await.expect("there is space");
        let second = ask("/zipped/large").await.expect("there is space");
        let mut third = std::pin::pin!(ask(path));
        let waits = tokio::time::timeout(Duration::from_millis(300), &mut third).await;
        assert!(waits.is_err(), "{path}: {waits:?}");
        for small in ["/small", "/zipped/small"] {
            assert_eq!(ask(small).await.expect("it needs none").body.len(), MIB);
        }
        let clone = second.clone();
        drop(second);
        let waits = tokio::time::timeout(Duration::from_millis(100), &mut third).await;
        assert!(waits.is_err(), "{path}: a clone keeps the space; {waits:?}");
        drop(clone);
        assert_eq!(third.await.expect("there is space again").body.len(), MIB + 1);
        drop(first);
    }
}

#[tokio::test]
async fn redirects_are_bounded_and_tokens_stay_with_their_origin() {
    let other = Server::start(|_, _| Action::Send(reply(200, "", b"there").into())).await;
    let elsewhere = other.url("/there");
    let server = Server::start(move |head, _| {
        let location = match () {
            () if head.starts_with("GET /away") => elsewhere.clone(),
            () if head.starts_with("GET /here") => "/landed".to_owned(),
            () if head.starts_with("GET /landed") => {
                return Action::Send(reply(200, "", b"here").into());
            }
            () => "/again".to_owned(),
        };
        Action::Send(reply(302, &format!("Location: {location}\r\n"), b"").into())
    })
    .await;
    let token = Secret::new("tok");
    let body = async |path: &str| {
        let url = server.url(path);
        let request = Request { authorization: Some(&token), ..Request::new(&url) };
        client().get(&request, 100).await.map(|answer| answer.body)
    };
    assert_eq!(body("/away").await.expect("there"), &b"there"[..]);
    assert!(!other.heads()[0].contains("tok"), "{}", other.heads()[0]);
    assert_eq!(body("/here").await.expect("here"), &b"here"[..]);
    let heads = server.heads();
    assert!(heads.iter().all(|head| head.contains("authorization: tok")));
    let error = body("/round").await.expect_err("endless");
    assert!(error_chain(&error).contains("which creates a redirect loop"), "{}", error_chain(&error));
    assert_eq!(server.heads().len(), heads.len() + 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_without_http2_gets_eight_requests_at_a_time() {
    static NOW: AtomicUsize = AtomicUsize::new(0);
    static MOST: AtomicUsize = AtomicUsize::new(0);
    let server = Server::start(|_, _| Action::Slowly(&NOW, &MOST)).await;
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

#[test]
fn request_futures_are_send() {
    fn is_send<T: Send>(_: T) {}
    let (client, request) = (client(), Request::new("http://127.0.0.1:1/"));
    is_send(client.get(&request, 1));
    is_send(client.download(&request, Path::new("file"), Sha256::of(b""), 1, &|_| {}));
}

#[tokio::test]
async fn an_unwritable_file_is_named() {
    let server = Server::start(|_, _| Action::Send(reply(200, "", b"x").into())).await;
    let error = download(&server.url("/"), Path::new("/absent/file"), b"x", &|_| {}).await.expect_err("no folder");
    assert!(error.to_string().contains("/absent/file"), "{error}");
    assert!(matches!(error, Error::Io { .. }));
}

#[tokio::test]
async fn invalid_urls_are_rejected() {
    for url in ["file:///etc/passwd", "nothing", "http://"] {
        assert!(matches!(get(url).await, Err(Error::Address { .. })), "{url}");
    }
    let token = Secret::new("two\nlines");
    let request = Request { authorization: Some(&token), ..Request::new("http://127.0.0.1:1/") };
    let error = client().get(&request, 1).await.expect_err("bad token");
    assert!(matches!(error, Error::Token { .. }));
    assert!(!format!("{request:?}{error}").contains("lines"));
}
