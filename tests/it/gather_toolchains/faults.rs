//! Archives that are absent, wrong, cut short, slow, or broken off; and what is kept of them.

use std::time::Instant;

use super::*;

/// A release whose rustc takes more than one attempt.
fn heavy() -> (Bench, String) {
    let release = Release::stable(STABLE.0, STABLE.1).weighing(3 << 20);
    let bench = Bench::new();
    bench.dist.publish(&release);
    (bench, release.archive_path("rustc", LINUX, "xz"))
}

/// Begins of the ranges that were asked for; `None` for the whole.
fn ranges(bench: &Bench, path: &str) -> Vec<Option<usize>> {
    let gets = bench.dist.seen(path).into_iter().filter(|seen| seen.method == "GET");
    let begin = |range: &str| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok();
    gets.map(|seen| seen.header("range").map(|range| begin(range).unwrap())).collect()
}

/// What the part of `path` holds after a run that failed.
fn part(bench: &Bench, path: &str) -> PathBuf {
    bench.parts().join(Sha256::of(&bench.dist.held(path).unwrap()).to_string())
}

#[test]
fn an_interruption_costs_what_had_not_come() {
    let (bench, path) = heavy();
    // The first request asks for the length.
    bench.dist.fault(&path, [Fault::Fine, Fault::Truncated(1 << 20), Fault::Reset, Fault::ResetAfter(1 << 20)]);
    let plan = bench.fetch(&[minimal()]).unwrap();
    is_upstreams(&bench, &plan);
    let ranges = ranges(&bench, &path);
    assert_eq!(ranges.len(), 4);
    assert_eq!(ranges[..3], [None, Some(1 << 20), Some(1 << 20)]);
    assert!(ranges[3] >= Some(1 << 20), "{ranges:?}");
    let [announced, told] = bench.heard.downloading();
    assert_eq!(announced, told);
    assert_eq!(count(&bench.parts()), 0);
}

#[test]
fn the_next_run_goes_on_where_one_was_killed() {
    let (bench, path) = heavy();
    let whole = bench.dist.held(&path).unwrap();
    bench.dist.always(&path, Fault::HangAfter(1 << 20));
    let downloader = bench.downloader();
    run(async {
        let mut plan = downloader.plan(&[minimal()]).await.unwrap();
        let fetching = downloader.fetch(&mut plan, &|_, _| true);
        let begun = async {
            while !fs::metadata(part(&bench, &path)).is_ok_and(|about| about.len() > 0) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::select! {
            fetched = fetching => panic!("it ended: {:?}", fetched.is_ok()),
            begun = tokio::time::timeout(Duration::from_secs(60), begun) => begun.expect("a part is written"),
        }
    });
    // What a process that is killed leaves of it is any number of its first bytes.
    assert!(part(&bench, &path).exists());
    fs::write(part(&bench, &path), &whole[..1_234_567]).unwrap();
    bench.dist.heal();
    bench.dist.clear_log();
    is_upstreams(&bench, &bench.fetch(&[minimal()]).unwrap());
    assert_eq!(ranges(&bench, &path), [Some(1_234_567)]);
    assert_eq!(count(&bench.parts()), 0);
}

#[test]
fn what_a_part_holds_is_not_believed() {
    for content in [&[b'x'; 5000][..], &[b'x'; 9 << 20]] {
        let (bench, path) = heavy();
        fs::create_dir_all(bench.parts()).unwrap();
        fs::write(part(&bench, &path), content).unwrap();
        is_upstreams(&bench, &bench.fetch(&[minimal()]).unwrap());
        assert_eq!(ranges(&bench, &path), [Some(content.len()), None]);
    }
}

#[test]
fn an_upstream_without_ranges_gives_the_whole_again() {
    let (bench, path) = heavy();
    bench.dist.fault(&path, [Fault::Fine, Fault::Truncated(1 << 20), Fault::NoRange]);
    is_upstreams(&bench, &bench.fetch(&[minimal()]).unwrap());
    assert_eq!(ranges(&bench, &path), [None, Some(1 << 20)]);
}

#[test]
fn slow_is_not_wrong_and_silence_is() {
    let (bench, path) = heavy();
    bench.dist.fault(&path, [Fault::Fine, Fault::Slow(1 << 18, Duration::from_millis(30))]);
    is_upstreams(&bench, &bench.fetch(&[minimal()]).unwrap());
    assert_eq!(ranges(&bench, &path), [None]);
    let (bench, path) = heavy();
    bench.dist.fault(&path, [Fault::Fine, Fault::HangAfter(1 << 20)]);
    let begun = Instant::now();
    is_upstreams(&bench, &bench.fetch(&[minimal()]).unwrap());
    assert_eq!(ranges(&bench, &path), [None, Some(1 << 20)]);
    assert!(begun.elapsed() < Duration::from_secs(60));
}

#[test]
fn absent_and_wrong_archives_are_all_named() {
    let bench = Bench::new();
    let release = Release::stable(STABLE.0, STABLE.1);
    let path = |package: &str| release.archive_path(package, LINUX, "xz");
    bench.dist.take_away(&path("cargo"));
    let failure = fails(bench.fetch(&[minimal()]), 5, &path("cargo"));
    assert!(failure.hint.is_some_and(|hint| hint.contains("complete mirror")));
    let bench = Bench::new();
    bench.dist.take_away(&path("cargo"));
    bench.dist.always(&path("rustc"), Fault::WrongBytes);
    let failure = fails(bench.fetch(&[minimal()]), 4, &path("cargo"));
    assert!(failure.to_string().contains(&path("rustc")), "{failure}");
    // The others had come, and the wrong ones are not gone on with.
    assert_eq!(fs::metadata(part(&bench, &path("rustc"))).unwrap().len(), 0);
    bench.dist.heal();
    bench.dist.publish(&release);
    bench.dist.clear_log();
    is_upstreams(&bench, &bench.fetch(&[minimal()]).unwrap());
    assert_eq!(ranges(&bench, &path("rustc")), [None]);
    assert_eq!(ranges(&bench, &path("rust-std")), []);
}

#[test]
fn the_installer_is_checked_against_its_own_digest() {
    let bench = Bench::new();
    bench.dist.put(&format!("/rustup/archive/{RUSTUP}/{LINUX}/rustup-init"), "#!/bin/sh\necho evil\n");
    fails(bench.fetch(&[minimal()]), 4, "rustup-init");
}

#[test]
fn at_most_so_many_at_a_time() {
    let bench = Bench::new();
    bench.dist.set_latency(Duration::from_millis(30));
    let all = order(&["stable", "nightly"], &[LINUX, WINDOWS, WASM], Profile::Default, &["rust-src"]);
    let downloader = Downloader { jobs: 2, ..bench.downloader() };
    run(async {
        let mut plan = downloader.plan(&[all]).await.unwrap();
        bench.dist.clear_log();
        downloader.fetch(&mut plan, &|_, _| true).await.unwrap();
    });
    assert_eq!(bench.dist.most_requests(), 2);
}

#[test]
fn two_processes_bring_each_file_once() {
    let (bench, path) = heavy();
    bench.dist.fault(&path, [Fault::Fine, Fault::Slow(1 << 18, Duration::from_millis(30))]);
    std::thread::scope(|scope| {
        let fetches: Vec<_> = (0..3).map(|_| scope.spawn(|| bench.fetch(&[minimal()]).unwrap())).collect();
        fetches.into_iter().for_each(|fetch| is_upstreams(&bench, &fetch.join().unwrap()));
    });
    assert_eq!(ranges(&bench, &path), [None]);
}

#[test]
fn a_cache_that_cannot_be_written_to_is_named() {
    let bench = Bench::new();
    let cache = bench.folder.path().join("cache");
    fs::create_dir(&cache).unwrap();
    fs::write(cache.join("dist"), b"a file").unwrap();
    let failure = fails(bench.fetch(&[minimal()]), 7, &cache.join("dist").display().to_string());
    assert!(failure.hint.is_some());
    // A part that cannot be a file.
    let (bench, path) = heavy();
    fs::create_dir_all(part(&bench, &path)).unwrap();
    fails(bench.fetch(&[minimal()]), 7, &part(&bench, &path).display().to_string());
}
