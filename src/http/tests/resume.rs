//! Resumed downloads: the requests, and the handling of unexpected responses.

use super::*;

async fn resume(server: &Server, target: &DownloadTarget, expected: &[u8], reported: &AtomicU64) -> Result<u64, Error> {
    let url = server.url("/a.tar.xz");
    let progress = |bytes| {
        reported.fetch_add(bytes, Ordering::Relaxed);
    };
    client().download(&Request::new(&url), &target.path(), Sha256::of(expected), 10_000_000, &progress).await
}

#[tokio::test]
async fn every_attempt_requests_only_the_remaining_range() {
    let body = body();
    let whole = body.clone();
    let server = Server::start(move |head, n| match n {
        0 => Action::Send(reply(200, "", &whole)[..70_000].to_vec().into()),
        1 => Action::Reset,
        2 => {
            Action::SendThenHang(range_response(&whole, range_start(head).expect("a range"))[..30_000].to_vec().into())
        }
        _ => Action::Send(range_response(&whole, range_start(head).expect("a range")).into()),
    })
    .await;
    let (target, reported) = (DownloadTarget::new(), AtomicU64::new(0));
    assert_eq!(resume(&server, &target, &body, &reported).await.expect("the fourth time"), 200_000);
    assert!(target.content() == body);
    assert_eq!(reported.load(Ordering::Relaxed), 200_000);
    let begins: Vec<_> = server.heads().iter().map(|head| range_start(head)).collect();
    assert_eq!(begins[0], None);
    assert!(begins[1] > Some(60_000) && begins[1] == begins[2], "{begins:?}");
    assert!(begins[3] > Some(80_000), "{begins:?}");
}

#[tokio::test]
async fn a_partial_file_of_a_killed_process_is_completed() {
    let body = body();
    let whole = body.clone();
    let server =
        Server::start(move |head, _| Action::Send(range_response(&whole, range_start(head).expect("a range")).into()))
            .await;
    let (target, reported) = (DownloadTarget::new(), AtomicU64::new(0));
    std::fs::write(target.path(), &body[..123_456]).expect("part");
    assert_eq!(resume(&server, &target, &body, &reported).await.expect("the rest"), 200_000);
    assert!(target.content() == body);
    assert_eq!(reported.load(Ordering::Relaxed), 200_000);
    // The file is complete already, so no request is sent.
    assert_eq!(resume(&server, &target, &body, &reported).await.expect("at once"), 200_000);
    let begins: Vec<_> = server.heads().iter().map(|head| range_start(head)).collect();
    assert_eq!(begins, [Some(123_456)]);
}

#[tokio::test]
async fn without_range_support_the_whole_file_is_downloaded() {
    let body = body();
    for refusal in [
        reply(416, "Content-Range: bytes */200000\r\n", b""),
        reply(206, "Content-Range: bytes 0-199999/200000\r\n", &body),
        reply(206, "Content-Range: bytes 5000-9999/200000\r\n", &body[5000..10_000]),
        reply(206, "Content-Range: bytes 5000-199999/*\r\n", &body[5000..]),
        reply(206, "", &body[5000..]),
        reply(200, "", &body),
    ] {
        let whole = reply(200, "", &body);
        let server = Server::start(move |head, _| {
            Action::Send(if range_start(head).is_some() { refusal.clone() } else { whole.clone() }.into())
        })
        .await;
        let (target, reported) = (DownloadTarget::new(), AtomicU64::new(0));
        std::fs::write(target.path(), &body[..5000]).expect("part");
        assert_eq!(resume(&server, &target, &body, &reported).await.expect("the whole"), 200_000);
        assert!(target.content() == body);
        assert_eq!(reported.load(Ordering::Relaxed), 200_000);
        assert!(server.heads().len() <= 2);
    }
}

#[tokio::test]
async fn a_damaged_partial_file_is_downloaded_again_and_mismatches_are_final() {
    let body = body();
    let whole = body.clone();
    let server = Server::start(move |head, _| {
        let answer = match range_start(head) {
            None => reply(200, "", &whole),
            Some(from) if from < whole.len() => range_response(&whole, from),
            Some(_) => reply(416, "", b""),
        };
        Action::Send(answer.into())
    })
    .await;
    let (target, reported) = (DownloadTarget::new(), AtomicU64::new(0));
    for part in [vec![b'x'; 5000], [body.clone(), body.clone()].concat()] {
        std::fs::write(target.path(), &part).expect("part");
        assert_eq!(resume(&server, &target, &body, &reported).await.expect("the whole"), 200_000);
        assert!(target.content() == body);
    }
    assert_eq!(server.heads().len(), 4);
    let server = Server::start(|_, _| Action::Send(reply(200, "", b"evil").into())).await;
    std::fs::write(target.path(), b"go").expect("part");
    let error = resume(&server, &target, b"good", &reported).await.expect_err("wrong");
    assert!(matches!(error, Error::Checksum { .. }), "{error}");
    assert_eq!(server.heads().len(), 1);
    assert_eq!(target.content(), b"");
}

#[tokio::test]
async fn only_attempts_without_progress_count_as_retries() {
    let body: Vec<u8> = (0..=249u8).cycle().take(9 << 20).collect();
    let whole = body.clone();
    let server = Server::start(move |head, _| {
        let begin = range_start(head).unwrap_or(0);
        let answer = if begin == 0 { reply(200, "", &whole) } else { range_response(&whole, begin) };
        Action::Send(answer[..answer.len().min(3 << 19)].to_vec().into())
    })
    .await;
    let (target, reported) = (DownloadTarget::new(), AtomicU64::new(0));
    assert_eq!(resume(&server, &target, &body, &reported).await.expect("piece by piece"), 9 << 20);
    assert!(server.heads().len() > 5);
    assert!(target.content() == body);

    let whole = body.clone();
    let server = Server::start(move |head, _| {
        let begin = range_start(head).unwrap_or(0);
        let answer = if begin == 0 { reply(200, "", &whole) } else { range_response(&whole, begin) };
        Action::Send(answer[..answer.len().min(5000)].to_vec().into())
    })
    .await;
    let target = DownloadTarget::new();
    let error = resume(&server, &target, &body, &reported).await.expect_err("crumbs");
    assert!(matches!(error, Error::Transport { attempts: 4, .. }), "{error}");
    assert_eq!(server.heads().len(), 4);
}

#[tokio::test]
async fn the_size_limit_includes_the_partial_file() {
    let body = body();
    let whole = body.clone();
    let server = Server::start(move |head, _| {
        Action::Send(
            range_start(head).map_or_else(|| reply(200, "", &whole), |from| range_response(&whole, from)).into(),
        )
    })
    .await;
    let target = DownloadTarget::new();
    let url = server.url("/a");
    for stored in [0, 150_000] {
        std::fs::write(target.path(), &body[..stored]).expect("part");
        let error = client().download(&Request::new(&url), &target.path(), Sha256::of(&body), 199_999, &|_| {}).await;
        assert!(matches!(error, Err(Error::TooLarge { limit: 199_999, .. })), "{error:?}");
    }
    let folder = DownloadTarget::new();
    std::fs::create_dir(folder.path()).expect("folder");
    let error = client().download(&Request::new(&url), &folder.path(), Sha256::of(&body), 1, &|_| {}).await;
    assert!(matches!(error, Err(Error::Io { .. })), "{error:?}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_partial_path_that_is_not_a_file_is_rejected() {
    let server = Server::start(|_, _| Action::Send(reply(200, "", &body()).into())).await;
    let (target, reported) = (DownloadTarget::new(), AtomicU64::new(0));
    std::os::unix::fs::symlink("/dev/zero", target.path()).expect("link");
    let error = resume(&server, &target, &body(), &reported).await.expect_err("endless");
    assert!(matches!(&error, Error::Io { path, .. } if *path == target.path()), "{error}");
    assert!(server.heads().is_empty());
}
