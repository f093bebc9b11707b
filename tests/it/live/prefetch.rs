//! Prefetching: index files of dependencies, and crates after right guesses; unrequested crates are not stored.

use crate::support::wait;
use std::collections::BTreeSet;

use super::*;

/// A project with so many crates, each of which depends on the one before.
fn publish_chain(upstream: &Upstream, length: usize) {
    upstream.publish(Crate::new("link0", "1.0.0"));
    for number in 1..length {
        upstream.publish(Crate::new(&format!("link{number}"), "1.0.0").dep(&format!("link{}", number - 1), "^1"));
    }
}

#[test]
fn index_files_are_prefetched_before_cargo_requests_them() {
    let upstream = Upstream::start();
    publish_chain(&upstream, 12);
    let live = LiveServer::in_front_of(upstream, "");
    assert_eq!(live.status_of("/index/li/nk/link11"), 200);
    wait::until("the last index file of the chain is prefetched", || {
        live.upstream.request_count("/index/li/nk/link0") > 0
    });
    assert!(live.stored_files().is_empty() && live.upstream.downloads().is_empty(), "no crate was requested");
}

#[test]
fn crates_are_prefetched_after_successful_predictions() {
    let upstream = Upstream::start();
    publish_chain(&upstream, 12);
    let live = LiveServer::in_front_of(upstream, "");
    let app = Project::new("app").dep("link11", "1").write(&live.sandbox.path("app"));
    let client = live.client();
    client.lock(&app);
    client.cargo(&app, ["fetch", "--locked"]).ok();
    live.wait_for_stored_crates(12);
    let figures = live.status();
    assert!(figures["ahead_used"].as_u64() > Some(0), "{figures}");
    for path in live.upstream.downloads() {
        assert_eq!(live.upstream.request_count(&path), 1, "{path}");
    }
    live.verify().ok();
}

/// A project of 120 crates of 4 to 250 kB, some with a dependency for Windows of which large crates are a part.
fn publish_for_windows(upstream: &Upstream) -> Project {
    let parts = ["gnu", "msvc", "gnullvm"];
    for part in parts {
        upstream.publish(Crate::new(&format!("windows-{part}"), "1.0.0").with_extra_bytes(200_000));
    }
    let windows = parts.iter().fold(Crate::new("windows-all", "1.0.0").with_extra_bytes(150_000), |all, part| {
        all.dep(&format!("windows-{part}"), "^1").target(&format!("cfg(target_env = \"{part}\")"))
    });
    upstream.publish(windows);
    let name = |n: usize| format!("{}part-{n:03}", char::from(b"kqbxfmd"[n % 7]));
    let mut project = Project::new("app");
    for n in 0..120 {
        let mut item = Crate::new(&name(n), "1.0.0").with_extra_bytes(4_000 + n * 7919 % 61 * (n % 11 + 1) * 300);
        for below in BTreeSet::from([n / 2, n / 3]).into_iter().filter(|below| *below < n) {
            item = item.dep(&name(below), "^1");
        }
        if n % 5 == 0 {
            item = item.dep("windows-all", "^1").target("cfg(windows)");
        }
        upstream.publish(item);
        if n >= 60 {
            project = project.dep(&name(n), "1");
        }
    }
    project
}

/// What is prefetched and not used is at most half a megabyte and a tenth of what is used.
#[track_caller]
fn within_the_bound(figures: &Value) {
    let figure = |name: &str| figures[name].as_u64().unwrap();
    // The figures are read one after the other.
    let unused = figure("fetched_ahead_bytes").saturating_sub(figure("ahead_used_bytes"));
    let bound = 512 * 1024 + figure("crates_used_bytes") / 10;
    assert!(unused.max(figure("ahead_wasted_bytes")) <= bound, "{figures}");
}

#[test]
fn what_a_build_fetches_ahead_in_vain_stays_within_the_bound() {
    for verb in [&["tree", "--locked", "--target", "x86_64-unknown-linux-gnu"][..], &["fetch", "--locked"]] {
        let upstream = Upstream::builder().http1().latency(Duration::from_millis(10)).start();
        let project = publish_for_windows(&upstream);
        let live = LiveServer::in_front_of(upstream, "");
        let app = project.write(&live.sandbox.path("app"));
        Client::with_index(&live.upstream.index_url()).lock(&app);
        live.upstream.clear_log();
        let client = live.client();
        std::thread::scope(|scope| {
            let run = scope.spawn(|| client.cargo(&app, verb).ok());
            while !run.is_finished() {
                within_the_bound(&live.status());
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let is_build = verb[0] == "tree";
        live.wait_for_stored_crates(if is_build { 120 } else { 124 });
        let figures = live.status();
        within_the_bound(&figures);
        assert!(figures["ahead_used"].as_u64() > Some(20), "{figures}");
        if is_build {
            let windows = live.upstream.downloads().iter().filter(|path| path.contains("/windows-")).count();
            assert_eq!(windows, 0, "{figures}");
        }
        let metrics = live.text("/metrics");
        for (name, key) in [
            ("live_ahead_total", "fetched_ahead"),
            ("live_ahead_used_bytes_total", "ahead_used_bytes"),
            ("live_ahead_wasted_bytes_total", "ahead_wasted_bytes"),
        ] {
            let line = format!("\nfrostmirror_{name} {}\n", figures[key]);
            assert!(metrics.contains(&line), "{line}: {metrics}");
        }
        let dashboard = send_request("GET", &live.url("/"), &[("Accept", "text/html")]);
        assert!(String::from_utf8_lossy(&dashboard.body).contains("Prefetched"));
    }
}

#[test]
fn with_an_old_lock_guesses_are_wrong_and_not_followed() {
    let upstream = Upstream::builder().latency(Duration::from_millis(5)).start();
    let folder = tempfile::tempdir().unwrap();
    let app = publish_workload(&upstream, 60, folder.path());
    for n in 0..60 {
        // Every third crate has a newer version than the lock.
        if n % 3 == 0 {
            upstream.publish(Crate::new(&workload_crate_name(n), "1.1.0").with_extra_bytes(100_000));
        }
    }
    let live = LiveServer::in_front_of(upstream, "");
    live.client().cargo(&app, ["fetch", "--locked"]).ok();
    live.wait_for_stored_crates(60);
    let figures = live.status();
    within_the_bound(&figures);
    assert!(live.stored_files().iter().all(|name| name.ends_with("-1.0.0.crate")), "{:?}", live.stored_files());
    let newer = live.upstream.downloads().iter().filter(|path| path.contains("/1.1.0/")).count();
    assert!(newer <= 5, "{newer} newer versions were fetched; {figures}");
}

#[test]
fn a_prefetch_that_is_too_large_is_given_up_at_its_length_and_comes_when_it_is_requested() {
    let upstream = Upstream::start();
    upstream.publish(Crate::new("link0", "1.0.0").with_extra_bytes(3_000_000));
    for number in 1..6 {
        upstream.publish(Crate::new(&format!("link{number}"), "1.0.0").dep(&format!("link{}", number - 1), "^1"));
    }
    let live = LiveServer::in_front_of(upstream, "");
    for number in (0..6).rev() {
        assert_eq!(live.status_of(&format!("/index/li/nk/link{number}")), 200);
    }
    for number in [5, 4, 3, 2, 1] {
        assert_eq!(live.status_of(&format!("/crates/link{number}-1.0.0.crate")), 200);
    }
    wait::until_with(
        "one prefetched crate is counted as wasted",
        || live.status(),
        || live.status()["ahead_wasted"] == 1,
    );
    let figures = live.status();
    within_the_bound(&figures);
    assert!(figures["fetched_bytes"].as_u64() < Some(100_000), "{figures}");
    assert_eq!((&figures["failures"], &figures["abandoned"]), (&0.into(), &0.into()), "{figures}");
    assert!(live.get("/crates/link0-1.0.0.crate").body.len() > 3_000_000);
    live.wait_for_stored_crates(6);
    within_the_bound(&live.status());
}

#[test]
fn unrequested_prefetched_crates_are_not_stored() {
    let upstream = Upstream::start();
    publish_chain(&upstream, 8);
    let live = LiveServer::in_front_of(upstream, "");
    for number in (0..8).rev() {
        assert_eq!(live.status_of(&format!("/index/li/nk/link{number}")), 200);
    }
    for number in [7, 6, 5] {
        assert_eq!(live.status_of(&format!("/crates/link{number}-1.0.0.crate")), 200);
    }
    wait::until_with(
        "all crates are downloaded",
        || format!("{:?}", live.upstream.downloads()),
        || live.upstream.downloads().len() >= 8,
    );
    wait::until_with(
        "the requested crates are stored",
        || format!("{:?}", live.stored_files()),
        || live.stored_files().len() >= 3,
    );
    assert_eq!(live.stored_files().len(), 3, "{:?}", live.stored_files());
    let live = live.restart();
    wait::until_with(
        "no partial file is left",
        || format!("{:?}", live.leftover_files()),
        || live.leftover_files().is_empty(),
    );
    assert_eq!(live.stored_files().len(), 3);
    live.verify().ok();
}
