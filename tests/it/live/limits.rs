//! What live mode does not offer: young versions, crates that are not allowed, denied crates.

use crate::support::wait;
use jiff::{Timestamp, ToSpan};

use super::*;

fn date_days_ago(days_ago: i64) -> String {
    let then = Timestamp::now().checked_sub((days_ago * 24).hours()).unwrap();
    then.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn with_dated_versions() -> Upstream {
    let upstream = Upstream::start();
    upstream.publish(Crate::new("leaf", "1.0.0").pubtime(&date_days_ago(30)));
    upstream.publish(Crate::new("leaf", "1.1.0").pubtime(&date_days_ago(1)));
    upstream.publish(Crate::new("undated", "1.0.0"));
    upstream
}

#[test]
fn too_recent_versions_are_hidden_and_cargo_picks_an_older_one() {
    let live = LiveServer::in_front_of(with_dated_versions(), "min_age = \"7d\"\n");
    live.wait_for_log("a version without one is available at once");
    let app = Project::new("app").dep("leaf", "1").dep("undated", "1").write(&live.sandbox.path("app"));
    let client = live.client();
    assert!(client.lock(&app).contains("name = \"leaf\"\nversion = \"1.0.0\""));
    client.cargo(&app, ["fetch", "--locked"]).ok();
    let answer = live.get("/crates/leaf-1.1.0.crate");
    assert_eq!(answer.status, 404);
    assert!(String::from_utf8_lossy(&answer.body).contains("`min_age`"), "{:?}", answer.body);
    assert!(live.upstream.downloads().iter().all(|path| !path.contains("1.1.0")));

    // Changed while it runs.
    live.change_settings(r#"{"min_age": "0s"}"#);
    assert!(live.text("/index/le/af/leaf").contains("1.1.0"));
    assert_eq!(live.status_of("/crates/leaf-1.1.0.crate"), 200);
    live.wait_for_stored_crates(3);
    // Stored files stay available, whatever is set later.
    live.change_settings(r#"{"min_age": "7d"}"#);
    assert!(live.text("/index/le/af/leaf").contains("1.1.0"));
}

#[test]
fn allow_and_deny_lists_filter_crates() {
    let upstream = Upstream::start();
    publish_crates(&upstream);
    let live = LiveServer::in_front_of(upstream, "allow = [\"leaf@^1\", \"mid-case\"]\ndeny = [\"leaf@=1.1.0\"]\n");
    let text = live.text("/index/le/af/leaf");
    assert!(text.contains("1.0.0") && !text.contains("1.1.0"), "{text}");
    assert_eq!(live.status_of("/index/mi/d_/mid_case"), 200);
    let left_out = live.get("/index/ot/he/other");
    assert_eq!(left_out.status, 404);
    assert!(String::from_utf8_lossy(&left_out.body).contains("`allow`, `deny` or `min_age`"), "{:?}", left_out.body);
    for (path, why) in [
        ("/crates/leaf-1.1.0.crate", "its setting `deny` excludes it"),
        ("/crates/other/0.1.0/download", "its setting `allow` does not list it"),
    ] {
        let answer = live.get(path);
        assert_eq!(answer.status, 404);
        assert!(String::from_utf8_lossy(&answer.body).contains(why), "{path}: {:?}", answer.body);
    }
    assert!(live.upstream.downloads().is_empty());
    assert_eq!(live.status_of("/crates/leaf-1.0.0.crate"), 200);
}

#[test]
fn least_recently_used_crates_are_evicted_at_the_size_limit() {
    let upstream = Upstream::start();
    for name in ["one", "two", "three", "four"] {
        upstream.publish(Crate::new(name, "1.0.0").with_extra_bytes(100_000));
    }
    upstream.publish(Crate::new("imported", "1.0.0").with_extra_bytes(100_000));
    let live = LiveServer::in_front_of(upstream, "proxy_cache_max = 350000\n");
    live.sandbox.write("depends.toml", "[dependencies]\nimported = \"1\"\n");
    live.sandbox.run(["fetch", "-o", "out"]).ok();
    let bundle = fs::read_dir(live.sandbox.path("out")).unwrap().next().unwrap().unwrap().path();
    live.sandbox.run(["import", "--mirror", "mirror", bundle.to_str().unwrap()]).ok();
    let fetch = |name: &str| assert_eq!(live.status_of(&format!("/crates/{name}-1.0.0.crate")), 200, "{name}");
    for (count, name) in (2..).zip(["one", "two", "three"]) {
        fetch(name);
        live.wait_for_stored_crates(count);
    }
    fetch("imported");
    fetch("one");
    fetch("four");
    wait::until_with(
        "the least recently used crate is removed",
        || format!("{:?} {}", live.stored_files(), live.serving.running().stderr()),
        || live.stored_files() == ["four-1.0.0.crate", "imported-1.0.0.crate", "one-1.0.0.crate", "three-1.0.0.crate"],
    );
    live.verify().ok();
    // What went is fetched again.
    fetch("two");
    assert_eq!(live.upstream.request_count(&live.upstream.download_path("two", "1.0.0")), 2);
}
