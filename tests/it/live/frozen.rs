//! Live mode switched off, collected, exported, redeployed: what was built through it is built from what is left.

use super::*;

#[test]
fn frozen_collected_shipped_and_built_elsewhere() {
    let live = Live::new();
    let (client, app) = (live.client(), app(&live));
    let target = live.sandbox.path("target");
    let build = ["build", "--locked", "--target-dir", target.to_str().unwrap()];
    client.lock(&app);
    client.cargo(&app, build).ok();
    live.await_placed(2);
    live.set(r#"{"proxy_mode": false}"#);
    live.sandbox.run(["gc", "--mirror", "mirror"]).ok();
    assert_eq!(live.placed().len(), 2, "what live mode brought is current");
    live.sandbox.run(["export", "snapshot", "--mirror", "mirror", "-o", "out"]).ok();
    let Live { sandbox, upstream, serving } = live;
    serving.stop();
    drop(upstream);

    let far = Sandbox::new();
    let bundle = fs::read_dir(sandbox.path("out")).unwrap().next().unwrap().unwrap().path();
    far.run(["import", "--mirror", "mirror", bundle.to_str().unwrap()]).ok();
    far.run(["gc", "--mirror", "mirror"]).ok();
    far.run(["verify", "--mirror", "mirror"]).ok();
    let serving = far.serve(["--mirror", "mirror"]);
    let offline = Client::of(&format!("{}/index/", serving.url()));
    offline.cargo(&app, build).ok();
    let offered = String::from_utf8(get(&format!("{}/index/le/af/leaf", serving.url())).body).unwrap();
    assert!(offered.contains("1.1.0") && !offered.contains("1.0.0"), "exactly what is held: {offered}");
}

#[test]
fn what_live_mode_brought_can_be_let_go() {
    let live = Live::new();
    assert_eq!(live.status_of("/crates/leaf-1.1.0.crate"), 200);
    live.await_placed(1);
    live.set(r#"{"proxy_mode": false}"#);
    live.sandbox.run(["gc", "--mirror", "mirror", "--forget", "live", "--grace", "0s"]).ok();
    assert!(live.placed().is_empty());
    assert_eq!(live.status_of("/index/le/af/leaf"), 404);
    live.audit().ok();
}

#[test]
fn an_import_and_a_request_for_the_same_crate_agree() {
    for round in 0..4 {
        let live = Live::new();
        live.sandbox.write("depends.toml", "[dependencies]\nleaf = \"1\"\n");
        live.sandbox.run(["fetch", "-o", "out"]).ok();
        let bundle = fs::read_dir(live.sandbox.path("out")).unwrap().next().unwrap().unwrap().path();
        let url = live.url("/crates/leaf-1.1.0.crate");
        let asking = std::thread::spawn(move || get(&url));
        std::thread::sleep(Duration::from_millis(15 * round));
        live.sandbox.run(["import", "--mirror", "mirror", bundle.to_str().unwrap()]).ok();
        let answer = asking.join().unwrap();
        assert_eq!(answer.status, 200);
        live.await_placed(1);
        assert_eq!(fs::read(live.sandbox.path("mirror/crates/leaf-1.1.0.crate")).unwrap(), answer.body);
        assert_eq!(live.held("le/af/leaf").lines().count(), 1, "one line");
        live.audit().ok();
    }
}

#[test]
fn switched_off_nothing_more_is_asked_for_and_what_is_under_way_is_broken_off() {
    use crate::support::upstream::Fault;
    let upstream = Upstream::start();
    upstream.publish(Crate::new("leaf", "1.1.0").weighing(300_000));
    let live = Live::before(upstream, "");
    let download = live.upstream.download_path("leaf", "1.1.0");
    live.upstream.always(&download, Fault::Slow(3_000, Duration::from_millis(100)));
    let url = live.url("/crates/leaf-1.1.0.crate");
    let asking = std::thread::spawn(move || std::panic::catch_unwind(|| get(&url).body.len()).unwrap_or(0));
    let until = Instant::now() + Duration::from_secs(60);
    while live.debris().is_empty() {
        assert!(Instant::now() < until);
    }
    live.set(r#"{"proxy_mode": false}"#);
    assert!(asking.join().unwrap() < 300_000, "the client got no whole file");
    while !live.debris().is_empty() {
        assert!(Instant::now() < until, "{:?}", live.debris());
    }
    live.await_told("switched off: what is held is all there is");
    let asked = live.upstream.requests().len();
    assert_eq!(live.status_of("/crates/leaf-1.1.0.crate"), 404);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(live.upstream.requests().len(), asked);
    assert!(live.placed().is_empty());
}
