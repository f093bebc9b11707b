//! What is asked for ahead: index files as dependencies say, crates where guesses were right; none is kept that nobody asks for.

use super::*;

/// A project with so many crates, each of which depends on the one before.
fn chain(upstream: &Upstream, length: usize) {
    upstream.publish(Crate::new("link0", "1.0.0"));
    for number in 1..length {
        upstream.publish(Crate::new(&format!("link{number}"), "1.0.0").dep(&format!("link{}", number - 1), "^1"));
    }
}

#[test]
fn index_files_are_there_before_cargo_asks_for_them() {
    let upstream = Upstream::start();
    chain(&upstream, 12);
    let live = Live::before(upstream, "");
    assert_eq!(live.status_of("/index/li/nk/link11"), 200);
    let until = Instant::now() + Duration::from_secs(60);
    while live.upstream.count("/index/li/nk/link0") == 0 {
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(live.placed().is_empty() && live.upstream.downloads().is_empty(), "no crate was asked for");
}

#[test]
fn crates_come_ahead_where_guesses_were_right() {
    let upstream = Upstream::start();
    chain(&upstream, 12);
    let live = Live::before(upstream, "");
    let app = Project::new("app").dep("link11", "1").write(&live.sandbox.path("app"));
    let client = live.client();
    client.lock(&app);
    client.cargo(&app, ["fetch", "--locked"]).ok();
    live.await_placed(12);
    let figures = live.figures();
    assert!(figures["ahead_used"].as_u64() > Some(0), "{figures}");
    for path in live.upstream.downloads() {
        assert_eq!(live.upstream.count(&path), 1, "{path}");
    }
    live.audit().ok();
}

#[test]
fn what_nobody_asks_for_is_not_kept() {
    let upstream = Upstream::start();
    chain(&upstream, 8);
    let live = Live::before(upstream, "");
    assert_eq!(live.status_of("/index/li/nk/link7"), 200);
    let until = Instant::now() + Duration::from_secs(60);
    while live.upstream.count("/index/li/nk/link0") == 0 {
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(10));
    }
    for number in [7, 6, 5] {
        assert_eq!(live.status_of(&format!("/crates/link{number}-1.0.0.crate")), 200);
    }
    let until = Instant::now() + Duration::from_secs(60);
    while live.upstream.downloads().len() < 8 {
        assert!(Instant::now() < until, "{:?}", live.upstream.downloads());
        std::thread::sleep(Duration::from_millis(10));
    }
    while live.placed().len() < 3 {
        assert!(Instant::now() < until);
    }
    assert_eq!(live.placed().len(), 3, "{:?}", live.placed());
    let live = live.restart();
    let until = Instant::now() + Duration::from_secs(60);
    while !live.debris().is_empty() {
        assert!(Instant::now() < until, "{:?}", live.debris());
    }
    assert_eq!(live.placed().len(), 3);
    live.audit().ok();
}
