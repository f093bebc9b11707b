//! How fresh the index is: upstream's lines within the time that is set, held ones whatever upstream does.

use super::*;
use crate::support::upstream::Fault;

const LEAF: &str = "/index/le/af/leaf";

/// With index files that are asked about again each time.
fn anew() -> Live {
    let upstream = Upstream::start();
    publish(&upstream);
    Live::before(upstream, "proxy_ttl = \"0s\"\n")
}

#[test]
fn within_its_time_upstream_is_not_asked_again() {
    let live = Live::new();
    let first = live.get(LEAF);
    live.upstream.publish(Crate::new("leaf", "1.2.0"));
    assert_eq!(live.get(LEAF).body, first.body);
    assert_eq!(live.upstream.count(LEAF), 1);
    assert_eq!(live.figures()["index_requests"], 1);

    // A client that knows of more than the copy does: the copy is asked about once more.
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(live.status_of("/crates/leaf-1.2.0.crate"), 200);
    assert!(live.text(LEAF).contains("1.2.0"));
}

#[test]
fn afterwards_it_is_asked_whether_something_has_changed() {
    let live = anew();
    live.text(LEAF);
    live.text(LEAF);
    let seen = live.upstream.seen(LEAF);
    assert_eq!(seen.iter().map(|one| one.status).collect::<Vec<_>>(), [200, 304], "{seen:?}");
    live.upstream.publish(Crate::new("leaf", "1.2.0"));
    assert!(live.text(LEAF).contains("1.2.0"));

    // And so after a restart, which does not fetch what it has.
    let live = live.restart();
    live.upstream.clear_log();
    assert!(live.text(LEAF).contains("1.2.0"));
    assert_eq!(live.upstream.seen(LEAF)[0].status, 304);
}

#[test]
fn our_own_tag_answers_for_itself() {
    let live = Live::new();
    let answer = live.get(LEAF);
    let tag = answer.head.lines().find_map(|line| line.strip_prefix("etag: ")).expect("a tag").to_owned();
    let asked = live.upstream.requests().len();
    assert_eq!(ask("GET", &live.url(LEAF), &[("If-None-Match", &tag)]).status, 304);
    assert_eq!(live.upstream.requests().len(), asked);
    let zipped = ask("GET", &live.url(LEAF), &[("Accept-Encoding", "gzip")]);
    assert!(zipped.status == 200 && zipped.head.contains("vary: Accept-Encoding"), "{}", zipped.head);
}

#[test]
fn a_yanked_version_is_known_here_and_stays_so_when_frozen() {
    let live = anew();
    assert_eq!(live.status_of("/crates/leaf-1.1.0.crate"), 200);
    live.await_placed(1);
    assert!(live.held("le/af/leaf").contains("\"yanked\":false"));
    live.upstream.yank("leaf", "1.1.0", true);
    let offered = live.text(LEAF);
    assert_eq!(offered.lines().filter(|line| line.contains("\"yanked\":true")).count(), 1, "{offered}");
    let until = Instant::now() + Duration::from_secs(60);
    while !live.held("le/af/leaf").contains("\"yanked\":true") {
        assert!(Instant::now() < until, "{}", live.held("le/af/leaf"));
        std::thread::sleep(Duration::from_millis(20));
    }
    live.audit().ok();
}

#[test]
fn an_upstream_that_is_down_is_covered_for() {
    let live = anew();
    let fresh = live.text(LEAF);
    assert_eq!(live.status_of("/crates/leaf-1.1.0.crate"), 200);
    live.await_placed(1);
    for fault in [Fault::Status(500), Fault::Reset] {
        live.upstream.always(LEAF, fault.clone());
        live.upstream.always("/index/ot/he/other", fault);
        assert_eq!(live.text(LEAF), fresh, "the copy");
        let answer = live.get("/index/ot/he/other");
        assert!([502, 503].contains(&answer.status), "{}", answer.status);
    }
    assert!(live.figures()["stale"].as_u64() > Some(0), "{}", live.figures());

    // The copy outlives the process, and where it is lost, what is held is offered.
    let live = live.restart();
    assert_eq!(live.text(LEAF), fresh);
    let live = {
        fs::remove_dir_all(live.sandbox.path("mirror/.frostmirror/live/index")).unwrap();
        live.restart()
    };
    let held = live.text(LEAF);
    assert!(held.contains("1.1.0") && !held.contains("1.0.0"), "{held}");
}

#[test]
fn a_hanging_upstream_holds_nobody_up_who_has_a_copy() {
    let live = anew();
    let fresh = live.text(LEAF);
    live.upstream.always(LEAF, Fault::Hang);
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
fn an_absent_crate_is_remembered_for_a_short_time() {
    let live = Live::new();
    for _ in 0..3 {
        assert_eq!(live.status_of("/index/no/su/nosuch"), 404);
    }
    assert_eq!(live.upstream.count("/index/no/su/nosuch"), 1);
    assert!(!live.sandbox.path("mirror/.frostmirror/live/index").join("no").exists());
    // Cargo looks for the other spelling of a name.
    let app = Project::new("app").dep("Mid-Case", "0.3").write(&live.sandbox.path("app"));
    live.client().cargo(&app, ["generate-lockfile"]).exits(101).stderr_has("Mid-Case");
}

#[test]
fn what_is_held_and_gone_upstream_is_still_offered() {
    let live = anew();
    assert_eq!(live.status_of("/crates/leaf-1.1.0.crate"), 200);
    live.await_placed(1);
    live.upstream.set_index("le/af/leaf", "");
    assert!(live.text(LEAF).contains("1.1.0"));
    live.upstream.always(LEAF, Fault::Status(404));
    assert!(live.text(LEAF).contains("1.1.0"));
}
