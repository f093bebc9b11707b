//! Request headers, and the meaning of response headers.

use super::*;

#[tokio::test]
async fn a_response_has_body_and_validators() {
    let server = Server::start(|_, _| {
        Action::Send(reply(200, "ETag: \"a\"\r\nLast-Modified: Sat, 01 Aug 2026 00:00:00 GMT\r\n", b"text").into())
    })
    .await;
    let answer = get(&server.url("/config.json")).await.expect("answer");
    assert_eq!((answer.status, &answer.body[..]), (200, &b"text"[..]));
    assert_eq!(answer.etag.as_deref(), Some("\"a\""));
    assert_eq!(answer.last_modified.as_deref(), Some("Sat, 01 Aug 2026 00:00:00 GMT"));
    let head = server.heads().remove(0);
    assert!(head.contains("user-agent: cargo-frostmirror/"), "{head}");
    assert!(head.contains("accept-encoding: gzip"), "{head}");
}

#[tokio::test]
async fn validators_and_token_are_sent_and_304_has_no_body() {
    let server = Server::start(|_, _| Action::Send(reply(304, "", b"").into())).await;
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
    for line in ["authorization: tok", "if-none-match: \"a\"", "if-modified-since: then"] {
        assert!(head.contains(line), "{head}");
    }
}

#[tokio::test]
async fn not_found_is_a_response_for_get_an_error_for_download_and_never_retried() {
    for status in [404, 410, 451] {
        let server = Server::start(move |_, _| {
            Action::Send(reply(status, PLAIN, b"not here: \x1b[31m<red>\nsecond line").into())
        })
        .await;
        let answer = get(&server.url("/a")).await.expect("an answer");
        assert_eq!((answer.status, answer.body.len()), (status, 0));
        let target = DownloadTarget::new();
        let error = download(&server.url("/b"), &target.path(), b"x", &|_| {}).await.expect_err("absent");
        let text = error.to_string();
        assert!(text.contains("/b") && text.ends_with("not here: \\u{1b}[31m<red>"), "{text}");
        assert!(matches!(error, Error::NotFound { .. }), "{error}");
        assert_eq!(server.heads().len(), 2);
    }
}

#[tokio::test]
async fn two_server_errors_are_retried_and_four_are_reported() {
    let server = Server::start(|_, n| match n {
        0 => Action::Send(reply(500, "", b"oops").into()),
        1 => Action::Send(reply(503, "", b"oops").into()),
        _ => Action::Send(reply(200, "", b"fine").into()),
    })
    .await;
    assert_eq!(get(&server.url("/")).await.expect("answer").body, &b"fine"[..]);
    let server = Server::start(|_, _| Action::Send(reply(500, PLAIN, b"still broken").into())).await;
    let error = get(&server.url("/")).await.expect_err("500");
    assert_eq!(server.heads().len(), 4);
    let text = error.to_string();
    assert!(text.contains("HTTP 500 (tried 4 times): still broken"), "{text}");
}

#[tokio::test]
async fn other_error_statuses_are_final_and_quoted_in_part() {
    let long = format!("no\u{202e}way {}", "x".repeat(100_000));
    let server = Server::start(move |_, _| Action::Send(reply(403, PLAIN, long.as_bytes()).into())).await;
    let error = get(&server.url("/").replace("http://", "http://user:secret@")).await.expect_err("403");
    assert_eq!(server.heads().len(), 1);
    let text = error.to_string();
    assert!(text.contains("no\\u{202e}way xxx") && text.len() < 300, "{text}");
    assert!(!text.contains("secret"), "{text}");
}

#[tokio::test]
async fn error_pages_are_not_quoted() {
    for kind in ["", "Content-Type: text/html\r\n", "Content-Type: text/plain\r\nContent-Encoding: gzip\r\n"] {
        for status in [403, 404, 500] {
            let server = Server::start(move |_, _| Action::Send(reply(status, kind, b"<html>oops").into())).await;
            let target = DownloadTarget::new();
            let error = download(&server.url("/b"), &target.path(), b"x", &|_| {}).await.expect_err("refused");
            let text = error_chain(&error);
            assert!(text.contains(&format!("HTTP {status}")) && !text.contains("oops"), "{text}");
        }
    }
}

#[tokio::test]
async fn retry_after_is_honored_in_seconds_and_as_a_date() {
    for header in
        ["Retry-After: 1\r\n", "Date: Sat, 01 Aug 2026 00:00:00 GMT\r\nRetry-After: Sat, 01 Aug 2026 00:00:01 GMT\r\n"]
    {
        let server = Server::start(move |_, n| match n {
            0 => Action::Send(reply(429, header, b"slower").into()),
            _ => Action::Send(reply(200, "", b"fine").into()),
        })
        .await;
        let start = Instant::now();
        get(&server.url("/")).await.expect("answer");
        assert!(start.elapsed() >= Duration::from_secs(1), "{header}");
    }
}

#[test]
fn retry_after_dates_use_the_servers_clock_and_are_capped() {
    let mut headers = HeaderMap::new();
    headers.insert(header::RETRY_AFTER, HeaderValue::from_static("Sat, 01 Aug 2026 00:00:09 GMT"));
    assert_eq!(retry::retry_after(&headers), None);
    headers.insert(header::DATE, HeaderValue::from_static("Sat, 01 Aug 2026 00:00:02 GMT"));
    assert_eq!(retry::retry_after(&headers), Some(Duration::from_secs(7)));
    headers.insert(header::DATE, HeaderValue::from_static("Sat, 01 Aug 2026 00:01:02 GMT"));
    assert_eq!(retry::retry_after(&headers), Some(Duration::ZERO));
    headers.insert(header::RETRY_AFTER, HeaderValue::from_static("soon"));
    assert_eq!(retry::retry_after(&headers), None);
}
