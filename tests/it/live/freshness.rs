//! How fresh the index is: upstream's lines within the time that is set, held ones whatever upstream does.

use super::*;
use crate::support::upstream::Fault;
use crate::support::wait;

const LEAF: &str = "/index/le/af/leaf";

/// With index files that are asked about again each time.
fn with_zero_ttl() -> LiveServer {
    let upstream = Upstream::start();
    publish_crates(&upstream);
    LiveServer::in_front_of(upstream, "proxy_ttl = \"0s\"\n")
}

#[test]
fn within_the_ttl_upstream_is_not_requested_again() {
    let live = LiveServer::new();
    let first = live.get(LEAF);
    live.upstream.publish(Crate::new("leaf", "1.2.0"));
    assert_eq!(live.get(LEAF).body, first.body);
    assert_eq!(live.upstream.request_count(LEAF), 1);
    assert_eq!(live.status()["index_requests"], 1);

    // A request for a version that the copy lacks refreshes a copy that is older than two seconds.
    wait::until("the new version is served", || live.status_of("/crates/leaf-1.2.0.crate") == 200);
    assert!(live.text(LEAF).contains("1.2.0"));
}

#[test]
fn after_the_ttl_the_index_file_is_revalidated() {
    let live = with_zero_ttl();
    live.text(LEAF);
    live.text(LEAF);
    let seen = live.upstream.requests_to(LEAF);
    assert_eq!(seen.iter().map(|one| one.status).collect::<Vec<_>>(), [200, 304], "{seen:?}");
    live.upstream.publish(Crate::new("leaf", "1.2.0"));
    assert!(live.text(LEAF).contains("1.2.0"));

    // And so after a restart, which does not fetch what it has.
    let live = live.restart();
    live.upstream.clear_log();
    assert!(live.text(LEAF).contains("1.2.0"));
    assert_eq!(live.upstream.requests_to(LEAF)[0].status, 304);
}

#[test]
fn our_own_etag_is_answered_without_upstream() {
    let live = LiveServer::new();
    let answer = live.get(LEAF);
    let tag = answer.head.lines().find_map(|line| line.strip_prefix("etag: ")).expect("a tag").to_owned();
    let request_count = live.upstream.requests().len();
    assert_eq!(send_request("GET", &live.url(LEAF), &[("If-None-Match", &tag)]).status, 304);
    assert_eq!(live.upstream.requests().len(), request_count);
    let zipped = send_request("GET", &live.url(LEAF), &[("Accept-Encoding", "gzip")]);
    assert!(zipped.status == 200 && zipped.head.contains("vary: Accept-Encoding"), "{}", zipped.head);
}

#[test]
fn a_yank_is_mirrored_and_remains_after_live_mode_is_off() {
    let live = with_zero_ttl();
    assert_eq!(live.status_of("/crates/leaf-1.1.0.crate"), 200);
    live.wait_for_stored_crates(1);
    assert!(live.stored_index_file("le/af/leaf").contains("\"yanked\":false"));
    live.upstream.yank("leaf", "1.1.0", true);
    let offered = live.text(LEAF);
    assert_eq!(offered.lines().filter(|line| line.contains("\"yanked\":true")).count(), 1, "{offered}");
    wait::until_with(
        "the yank is stored",
        || live.stored_index_file("le/af/leaf"),
        || live.stored_index_file("le/af/leaf").contains("\"yanked\":true"),
    );
    live.verify().ok();
}

#[test]
fn stored_index_files_are_served_while_upstream_is_down() {
    let live = with_zero_ttl();
    let fresh = live.text(LEAF);
    assert_eq!(live.status_of("/crates/leaf-1.1.0.crate"), 200);
    live.wait_for_stored_crates(1);
    for fault in [Fault::Status(500), Fault::Reset] {
        live.upstream.fault_always(LEAF, fault.clone());
        live.upstream.fault_always("/index/ot/he/other", fault);
        assert_eq!(live.text(LEAF), fresh, "the copy");
        let answer = live.get("/index/ot/he/other");
        assert!([502, 503].contains(&answer.status), "{}", answer.status);
    }
    assert!(live.status()["stale"].as_u64() > Some(0), "{}", live.status());

    // The copy outlives the process; if it is lost, the stored versions are available.
    let live = live.restart();
    assert_eq!(live.text(LEAF), fresh);
    let live = {
        fs::remove_dir_all(live.sandbox.path("mirror/.frostmirror/live/index")).unwrap();
        live.restart()
    };
    let stored = live.text(LEAF);
    assert!(stored.contains("1.1.0") && !stored.contains("1.0.0"), "{stored}");
}

#[test]
fn a_hanging_upstream_does_not_delay_stored_index_files() {
    let live = with_zero_ttl();
    let fresh = live.text(LEAF);
    live.upstream.fault_always(LEAF, Fault::Hang);
    let began = Instant::now();
    assert_eq!(live.text(LEAF), fresh);
    let first = began.elapsed();
    assert!(first < Duration::from_secs(20), "{first:?}");
    // The next one does not wait again.
    let began = Instant::now();
    assert_eq!(live.text(LEAF), fresh);
    assert!(began.elapsed() < first / 2, "{:?} after {first:?}", began.elapsed());
}

#[test]
fn a_missing_crate_is_cached_for_a_short_time() {
    let live = LiveServer::new();
    for _ in 0..3 {
        assert_eq!(live.status_of("/index/no/su/nosuch"), 404);
    }
    assert_eq!(live.upstream.request_count("/index/no/su/nosuch"), 1);
    assert!(!live.sandbox.path("mirror/.frostmirror/live/index").join("no").exists());
    // Cargo looks for the other spelling of a name.
    let app = Project::new("app").dep("Mid-Case", "0.3").write(&live.sandbox.path("app"));
    live.client().cargo(&app, ["generate-lockfile"]).exits(101).stderr_has("Mid-Case");
}

#[test]
fn stored_crates_removed_upstream_are_still_served() {
    let live = with_zero_ttl();
    assert_eq!(live.status_of("/crates/leaf-1.1.0.crate"), 200);
    live.wait_for_stored_crates(1);
    live.upstream.set_index("le/af/leaf", "");
    assert!(live.text(LEAF).contains("1.1.0"));
    live.upstream.fault_always(LEAF, Fault::Status(404));
    assert!(live.text(LEAF).contains("1.1.0"));
}
