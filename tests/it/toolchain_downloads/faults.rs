//! Archives that are absent, wrong, cut short, slow, or broken off; and what is kept of them.

use std::time::Instant;

use super::*;

/// A release whose rustc takes more than one attempt.
fn with_large_rustc() -> (DownloadFixture, String) {
    let release = Release::stable(STABLE.0, STABLE.1).with_extra_bytes(3 << 20);
    let bench = DownloadFixture::new();
    bench.dist.publish(&release);
    (bench, release.archive_path("rustc", LINUX, "xz"))
}

/// Begins of the ranges that were asked for; `None` for the whole.
fn requested_ranges(bench: &DownloadFixture, path: &str) -> Vec<Option<usize>> {
    let gets = bench.dist.requests_to(path).into_iter().filter(|seen| seen.method == "GET");
    let begin = |range: &str| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok();
    gets.map(|seen| seen.header("range").map(|range| begin(range).unwrap())).collect()
}

/// What the part of `path` holds after a run that failed.
fn partial_file_after_failure(bench: &DownloadFixture, path: &str) -> PathBuf {
    bench.partial_folder().join(Sha256::of(&bench.dist.file(path).unwrap()).to_string())
}

#[test]
fn an_interrupted_download_resumes() {
    let (bench, path) = with_large_rustc();
    // The first request asks for the length.
    bench.dist.fault(&path, [Fault::Pass, Fault::Truncated(1 << 20), Fault::Reset, Fault::ResetAfter(1 << 20)]);
    let plan = bench.fetch(&[minimal_stable()]).unwrap();
    assert_matches_upstream(&bench, &plan);
    let ranges = requested_ranges(&bench, &path);
    assert_eq!(ranges.len(), 4);
    assert_eq!(ranges[..3], [None, Some(1 << 20), Some(1 << 20)]);
    assert!(ranges[3] >= Some(1 << 20), "{ranges:?}");
    let [announced, reported] = bench.events.announced_and_done();
    assert_eq!(announced, reported);
    assert_eq!(count_files(&bench.partial_folder()), 0);
}

#[test]
fn the_next_run_resumes_a_killed_download() {
    let (bench, path) = with_large_rustc();
    let whole = bench.dist.file(&path).unwrap();
    bench.dist.fault_always(&path, Fault::HangAfter(1 << 20));
    let downloader = bench.downloader();
    block_on(async {
        let mut plan = downloader.plan(&[minimal_stable()]).await.unwrap();
        let fetching = downloader.fetch(&mut plan, &|_, _| true);
        let begun = async {
            while !fs::metadata(partial_file_after_failure(&bench, &path)).is_ok_and(|about| about.len() > 0) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::select! {
            fetched = fetching => panic!("it ended: {:?}", fetched.is_ok()),
            begun = tokio::time::timeout(Duration::from_secs(60), begun) => begun.expect("a part is written"),
        }
    });
    // What a process that is killed leaves of it is any number of its first bytes.
    assert!(partial_file_after_failure(&bench, &path).exists());
    fs::write(partial_file_after_failure(&bench, &path), &whole[..1_234_567]).unwrap();
    bench.dist.clear_faults();
    bench.dist.clear_log();
    assert_matches_upstream(&bench, &bench.fetch(&[minimal_stable()]).unwrap());
    assert_eq!(requested_ranges(&bench, &path), [Some(1_234_567)]);
    assert_eq!(count_files(&bench.partial_folder()), 0);
}

#[test]
fn a_corrupt_partial_file_is_discarded() {
    for content in [&[b'x'; 5000][..], &[b'x'; 9 << 20]] {
        let (bench, path) = with_large_rustc();
        fs::create_dir_all(bench.partial_folder()).unwrap();
        fs::write(partial_file_after_failure(&bench, &path), content).unwrap();
        assert_matches_upstream(&bench, &bench.fetch(&[minimal_stable()]).unwrap());
        assert_eq!(requested_ranges(&bench, &path), [Some(content.len()), None]);
    }
}

#[test]
fn without_range_support_the_whole_file_is_downloaded_again() {
    let (bench, path) = with_large_rustc();
    bench.dist.fault(&path, [Fault::Pass, Fault::Truncated(1 << 20), Fault::IgnoreRange]);
    assert_matches_upstream(&bench, &bench.fetch(&[minimal_stable()]).unwrap());
    assert_eq!(requested_ranges(&bench, &path), [None, Some(1 << 20)]);
}

#[test]
fn slow_downloads_continue_and_stalled_ones_time_out() {
    let (bench, path) = with_large_rustc();
    bench.dist.fault(&path, [Fault::Pass, Fault::Slow(1 << 18, Duration::from_millis(30))]);
    assert_matches_upstream(&bench, &bench.fetch(&[minimal_stable()]).unwrap());
    assert_eq!(requested_ranges(&bench, &path), [None]);
    let (bench, path) = with_large_rustc();
    bench.dist.fault(&path, [Fault::Pass, Fault::HangAfter(1 << 20)]);
    let begun = Instant::now();
    assert_matches_upstream(&bench, &bench.fetch(&[minimal_stable()]).unwrap());
    assert_eq!(requested_ranges(&bench, &path), [None, Some(1 << 20)]);
    assert!(begun.elapsed() < Duration::from_secs(60));
}

#[test]
fn all_missing_and_corrupt_archives_are_reported() {
    let bench = DownloadFixture::new();
    let release = Release::stable(STABLE.0, STABLE.1);
    let path = |package: &str| release.archive_path(package, LINUX, "xz");
    bench.dist.remove_file(&path("cargo"));
    let failure = assert_failure(bench.fetch(&[minimal_stable()]), 5, &path("cargo"));
    assert!(failure.hint.is_some_and(|hint| hint.contains("complete mirror")));
    let bench = DownloadFixture::new();
    bench.dist.remove_file(&path("cargo"));
    bench.dist.fault_always(&path("rustc"), Fault::WrongBytes);
    let failure = assert_failure(bench.fetch(&[minimal_stable()]), 4, &path("cargo"));
    assert!(failure.to_string().contains(&path("rustc")), "{failure}");
    // The others had come, and the wrong ones are not gone on with.
    assert_eq!(fs::metadata(partial_file_after_failure(&bench, &path("rustc"))).unwrap().len(), 0);
    bench.dist.clear_faults();
    bench.dist.publish(&release);
    bench.dist.clear_log();
    assert_matches_upstream(&bench, &bench.fetch(&[minimal_stable()]).unwrap());
    assert_eq!(requested_ranges(&bench, &path("rustc")), [None]);
    assert_eq!(requested_ranges(&bench, &path("rust-std")), []);
}

#[test]
fn rustup_init_is_checked_against_its_digest() {
    let bench = DownloadFixture::new();
    bench.dist.put_file(&format!("/rustup/archive/{RUSTUP}/{LINUX}/rustup-init"), "#!/bin/sh\necho evil\n");
    assert_failure(bench.fetch(&[minimal_stable()]), 4, "rustup-init");
}

#[test]
fn concurrent_downloads_are_limited() {
    let bench = DownloadFixture::new();
    bench.dist.set_latency(Duration::from_millis(30));
    let all = toolchain_request(&["stable", "nightly"], &[LINUX, WINDOWS, WASM], Profile::Default, &["rust-src"]);
    let downloader = Downloader { jobs: 2, ..bench.downloader() };
    block_on(async {
        let mut plan = downloader.plan(&[all]).await.unwrap();
        bench.dist.clear_log();
        downloader.fetch(&mut plan, &|_, _| true).await.unwrap();
    });
    assert_eq!(bench.dist.max_concurrent_requests(), 2);
}

#[test]
fn two_processes_download_each_file_once() {
    let (bench, path) = with_large_rustc();
    bench.dist.fault(&path, [Fault::Pass, Fault::Slow(1 << 18, Duration::from_millis(30))]);
    std::thread::scope(|scope| {
        let fetches: Vec<_> = (0..3).map(|_| scope.spawn(|| bench.fetch(&[minimal_stable()]).unwrap())).collect();
        fetches.into_iter().for_each(|fetch| assert_matches_upstream(&bench, &fetch.join().unwrap()));
    });
    assert_eq!(requested_ranges(&bench, &path), [None]);
}

#[test]
fn an_unwritable_cache_is_named() {
    let bench = DownloadFixture::new();
    let cache = bench.folder.path().join("cache");
    fs::create_dir(&cache).unwrap();
    fs::write(cache.join("dist"), b"a file").unwrap();
    let failure = assert_failure(bench.fetch(&[minimal_stable()]), 7, &cache.join("dist").display().to_string());
    assert!(failure.hint.is_some());
    // A part that cannot be a file.
    let (bench, path) = with_large_rustc();
    fs::create_dir_all(partial_file_after_failure(&bench, &path)).unwrap();
    assert_failure(
        bench.fetch(&[minimal_stable()]),
        7,
        &partial_file_after_failure(&bench, &path).display().to_string(),
    );
}
