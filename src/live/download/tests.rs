//! What clients of a running download see.

use super::*;
use futures_util::StreamExt as _;

/// The bytes that a client received, and whether its connection broke.
async fn read(download: &SharedDownload, begun: StartedDownload, start: u64, end: Option<u64>) -> (Vec<u8>, bool) {
    let mut pieces = std::pin::pin!(download.stream(begun, start, end));
    let mut bytes = Vec::new();
    while let Some(piece) = pieces.next().await {
        match piece {
            Ok(piece) => bytes.extend_from_slice(&piece),
            Err(_) => return (bytes, true),
        }
    }
    (bytes, false)
}

fn new_download() -> (tempfile::TempDir, SharedDownload, DownloadWriter) {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (download, download_writer) = SharedDownload::create(Layout::new(folder.path()));
    (folder, download, download_writer)
}

fn breaker() -> CircuitBreaker {
    CircuitBreaker::new("crates", &watch::channel(false).1, Arc::new(crate::event::NullSink))
}

fn body(seed: u8) -> Vec<u8> {
    (0..=250u8).map(|byte| byte ^ seed).cycle().take(300_000).collect()
}

async fn take(writer: &mut PartialFileSink<'_>, bytes: &[u8]) {
    for piece in bytes.chunks(10_000) {
        writer.write_chunk(Bytes::copy_from_slice(piece)).await.expect("taken");
    }
}

fn end(download_writer: &DownloadWriter, size: u64) {
    download_writer.progress.send_modify(|now| {
        now.readable = size;
        now.result = Some(Ok(size));
    });
}

#[tokio::test]
async fn a_repeated_body_continues_and_a_different_one_breaks_the_connection() {
    for (again, breaks) in [(body(0), false), (body(7), true), (body(0)[..70_000].to_vec(), true)] {
        let (_folder, download, download_writer) = new_download();
        let breaker = breaker();
        let mut writer = PartialFileSink::new(&download_writer, &breaker);
        writer.begin(None, false).await.expect("begun");
        take(&mut writer, &body(0)[..200_000]).await;
        let begun = download.wait_started().await.expect("begun");
        let (early, rest) = (begun.clone(), download.clone());
        let reading = tokio::spawn(async move { read(&rest, early, 0, None).await });
        tokio::task::yield_now().await;
        tokio::time::sleep(Duration::from_millis(20)).await;

        writer.begin(None, false).await.expect("begun again");
        take(&mut writer, &again).await;
        let size = again.len() as u64;
        let landed = writer.finish(size).await.expect("landed");
        end(&download_writer, size);
        assert!(std::fs::read(landed.file.path()).expect("file") == again);
        let (bytes, broke) = reading.await.expect("no panic");
        assert_eq!(broke, breaks, "{size}");
        assert!(broke || bytes == again);
        let now = download.wait_started().await.expect("begun");
        assert_eq!(read(&download, now, 0, None).await, (again, false));
    }
}

#[tokio::test]
async fn the_end_of_a_body_is_held_back_until_its_digest_matches() {
    let (_folder, download, download_writer) = new_download();
    let breaker = breaker();
    let mut writer = PartialFileSink::new(&download_writer, &breaker);
    writer.begin(Some(300_000), false).await.expect("begun");
    take(&mut writer, &body(0)).await;
    writer.flush_buffer().await.expect("written");
    let begun = download.wait_started().await.expect("begun");
    assert_eq!(begun.length, Some(300_000));
    let (reader, early) = (download.clone(), begun.clone());
    let reading = tokio::spawn(async move { read(&reader, early, 0, None).await });
    // A range has its own end.
    let reader = download.clone();
    let part = tokio::spawn(async move { read(&reader, begun, 1000, Some(2000)).await });
    tokio::time::sleep(Duration::from_millis(20)).await;
    let wrong = LiveError::bad_gateway("other bytes");
    download_writer.fail(wrong.clone());
    let (bytes, broke) = reading.await.expect("no panic");
    assert!(broke && bytes.len() < 300_000);
    let (bytes, broke) = part.await.expect("no panic");
    assert!(broke && bytes.len() < 1000);
    assert_eq!(download.wait_finished().await, Err(wrong.clone()));
    assert_eq!(download.wait_started().await.expect_err("over"), wrong);
    assert!(!download.is_aborted(), "it has an end");
}

#[tokio::test]
async fn a_held_body_is_invisible_until_it_is_verified() {
    let (_folder, download, download_writer) = new_download();
    let breaker = breaker();
    let mut writer = PartialFileSink::new(&download_writer, &breaker);
    writer.begin(Some(300_000), true).await.expect("begun");
    take(&mut writer, &body(0)).await;
    assert!(tokio::time::timeout(Duration::from_millis(20), download.wait_started()).await.is_err());
    writer.finish(300_000).await.expect("landed");
    end(&download_writer, 300_000);
    let begun = download.wait_started().await.expect("begun");
    assert_eq!(begun.length, Some(300_000));
    assert_eq!(read(&download, begun, 0, None).await, (body(0), false));
}

#[tokio::test]
async fn a_body_that_becomes_held_is_no_longer_delivered() {
    let (_folder, download, download_writer) = new_download();
    let breaker = breaker();
    let mut writer = PartialFileSink::new(&download_writer, &breaker);
    writer.begin(None, false).await.expect("begun");
    take(&mut writer, &body(0)[..200_000]).await;
    let begun = download.wait_started().await.expect("begun");
    let rest = download.clone();
    let reading = tokio::spawn(async move { read(&rest, begun, 0, None).await });
    writer.begin(None, true).await.expect("begun again");
    take(&mut writer, &body(7)).await;
    writer.flush_buffer().await.expect("written");
    download_writer.fail(LiveError::bad_gateway("other bytes"));
    let (bytes, broke) = reading.await.expect("no panic");
    assert!(broke && body(0).starts_with(&bytes));
}

#[tokio::test]
async fn a_download_whose_task_ended_is_aborted() {
    let (_folder, download, download_writer) = new_download();
    assert!(!download.is_aborted());
    drop(download_writer);
    assert!(download.is_aborted() && download.wait_started().await.is_err() && download.wait_finished().await.is_err());
}
