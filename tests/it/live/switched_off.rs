//! Live mode switched off, collected, exported, redeployed: what was built through it is built from what is left.

use super::*;
use crate::support::wait;

#[test]
fn a_live_mirror_can_be_switched_off_collected_exported_and_built_from() {
    let live = LiveServer::new();
    let (client, app) = (live.client(), write_app(&live));
    let target = live.sandbox.path("target");
    let build = ["build", "--locked", "--target-dir", target.to_str().unwrap()];
    client.lock(&app);
    client.cargo(&app, build).ok();
    live.wait_for_stored_crates(2);
    live.change_settings(r#"{"proxy_mode": false}"#);
    live.sandbox.run(["gc", "--mirror", "mirror"]).ok();
    assert_eq!(live.stored_files().len(), 2, "what live mode brought is current");
    live.sandbox.run(["export", "snapshot", "--mirror", "mirror", "-o", "out"]).ok();
    let LiveServer { sandbox, upstream, serving } = live;
    serving.stop();
    drop(upstream);

    let far = Sandbox::new();
    let bundle = fs::read_dir(sandbox.path("out")).unwrap().next().unwrap().unwrap().path();
    far.run(["import", "--mirror", "mirror", bundle.to_str().unwrap()]).ok();
    far.run(["gc", "--mirror", "mirror"]).ok();
    far.run(["verify", "--mirror", "mirror"]).ok();
    let serving = far.serve(["--mirror", "mirror"]);
    let offline = Client::with_index(&format!("{}/index/", serving.url()));
    offline.cargo(&app, build).ok();
    let offered = String::from_utf8(get(&format!("{}/index/le/af/leaf", serving.url())).body).unwrap();
    let yanked: Vec<bool> = offered.lines().map(|line| line.contains(r#""yanked":true"#)).collect();
    assert_eq!(yanked, [true, false], "only the stored version can be selected: {offered}");
}

#[test]
fn crates_from_live_mode_can_be_forgotten() {
    let live = LiveServer::new();
    assert_eq!(live.status_of("/crates/leaf-1.1.0.crate"), 200);
    live.wait_for_stored_crates(1);
    live.change_settings(r#"{"proxy_mode": false}"#);
    live.sandbox.run(["gc", "--mirror", "mirror", "--forget", "live", "--grace", "0s"]).ok();
    assert!(live.stored_files().is_empty());
    assert_eq!(live.status_of("/index/le/af/leaf"), 404);
    live.verify().ok();
}

#[test]
fn an_import_and_a_request_for_the_same_crate_give_one_state() {
    for round in 0..4 {
        let live = LiveServer::new();
        live.sandbox.write("depends.toml", "[dependencies]\nleaf = \"1\"\n");
        live.sandbox.run(["fetch", "-o", "out"]).ok();
        let bundle = fs::read_dir(live.sandbox.path("out")).unwrap().next().unwrap().unwrap().path();
        let url = live.url("/crates/leaf-1.1.0.crate");
        let asking = std::thread::spawn(move || get(&url));
        std::thread::sleep(Duration::from_millis(15 * round));
        live.sandbox.run(["import", "--mirror", "mirror", bundle.to_str().unwrap()]).ok();
        let answer = asking.join().unwrap();
        assert_eq!(answer.status, 200);
        live.wait_for_stored_crates(1);
        assert_eq!(fs::read(live.sandbox.path("mirror/crates/leaf-1.1.0.crate")).unwrap(), answer.body);
        assert_eq!(live.stored_index_file("le/af/leaf").lines().count(), 1, "one line");
        live.verify().ok();
    }
}

#[test]
fn switching_off_stops_requests_and_aborts_running_downloads() {
    use crate::support::upstream::Fault;
    let upstream = Upstream::start();
    upstream.publish(Crate::new("leaf", "1.1.0").with_extra_bytes(300_000));
    let live = LiveServer::in_front_of(upstream, "");
    let download = live.upstream.download_path("leaf", "1.1.0");
    live.upstream.fault_always(&download, Fault::Slow(3_000, Duration::from_millis(100)));
    let url = live.url("/crates/leaf-1.1.0.crate");
    let asking = std::thread::spawn(move || std::panic::catch_unwind(|| get(&url).body.len()).unwrap_or(0));
    wait::until("the download has begun", || !live.leftover_files().is_empty());
    live.change_settings(r#"{"proxy_mode": false}"#);
    assert!(asking.join().unwrap() < 300_000, "the client got no whole file");
    wait::until_with(
        "no partial file is left",
        || format!("{:?}", live.leftover_files()),
        || live.leftover_files().is_empty(),
    );
    live.wait_for_log("switched off: only stored files are served");
    let request_count = live.upstream.requests().len();
    assert_eq!(live.status_of("/crates/leaf-1.1.0.crate"), 404);
    // No later event proves that no request follows.
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(live.upstream.requests().len(), request_count);
    assert!(live.stored_files().is_empty());
}
