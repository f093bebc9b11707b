//! The real rustup through a cold mirror, and then with live mode off and upstream gone.

use super::*;
use crate::rustup::user_workflow;
use crate::support::rustup::{self, Rustup};

/// A mirror in front of an upstream that has this machine's rustup.
fn with_local_rustup() -> LiveDistServer {
    let (version, bytes) = (rustup::local_version(), rustup::local_binary());
    let dist = DistServer::start();
    dist.publish_rustup(&version, &[LINUX], &bytes);
    LiveDistServer::in_front_of(dist, "proxy_ttl = \"1s\"\n")
}

#[test]
#[ignore = "needs rustup"]
fn rustup_installs_through_an_empty_mirror() {
    let live = with_local_rustup();
    user_workflow::exercise_rustup(live.serving.url());
    let rustup = Rustup::for_mirror(live.serving.url());
    rustup.init(["--default-toolchain", "stable"]).ok();
    user_workflow::update_to_new_release(&rustup, &live.dist, |_| wait_for_expiry());
    let figures = live.status();
    assert_eq!(
        (&figures["failures"], &figures["mismatches"], &figures["not_placed"]),
        (&0.into(), &0.into(), &0.into())
    );
    for request in live.dist.requests().iter().filter(|request| request.path.contains(".tar.")) {
        assert_eq!(live.dist.request_count(&request.path), 1, "{}", request.path);
    }
    live.sandbox.run(["verify", "--mirror", "mirror"]).ok();
}

#[test]
#[ignore = "needs rustup"]
fn an_installed_toolchain_can_be_installed_again_without_upstream() {
    let live = with_local_rustup();
    let install = |url: &str| {
        let rustup = Rustup::for_mirror(url);
        rustup.init(["--default-toolchain", "stable"]).ok();
        rustup.run(["target", "add", WASM]).ok();
        rustup.run(["component", "add", "clippy"]).ok();
        rustup.run(["toolchain", "install", &format!("nightly-{}", NIGHTLY.1)]).ok();
        rustup.run(["check"]).ok().stdout_has("up to date");
        rustup.run(["self", "update"]).ok();
        rustup.tool("rustc", ["-V"]).ok().stdout_has(&format!("rustc {}", STABLE.0));
        rustup
    };
    install(live.serving.url());
    live.wait_until("all is placed", || live.leftover_files() == 0);
    let LiveDistServer { sandbox, dist, serving } = live;
    serving.stop();
    drop(dist);
    // What live mode brought is current, and survives a collection.
    sandbox.run(["gc", "--mirror", "mirror", "--grace", "0s"]).ok();
    sandbox.run(["verify", "--mirror", "mirror"]).ok();
    let serving = sandbox.serve(["--mirror", "mirror"]);
    let rustup = install(serving.url());
    // Unrequested files are not stored.
    rustup.run(["component", "add", "rust-src"]).exits(1);
    rustup.run(["toolchain", "install", "beta"]).exits(1);
}
