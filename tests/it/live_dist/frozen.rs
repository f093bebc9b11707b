//! The real rustup through a cold mirror, and then with live mode off and upstream gone.

use super::*;
use crate::rustup::walk;
use crate::support::rustup::{self, Rustup};

/// A mirror in front of an upstream that has this machine's rustup.
fn with_rustup() -> Shelf {
    let (version, bytes) = (rustup::version(), rustup::bytes());
    let dist = Dist::start();
    dist.publish_rustup(&version, &[LINUX], &bytes);
    Shelf::before(dist, "proxy_ttl = \"1s\"\n")
}

#[test]
#[ignore = "needs rustup"]
fn rustup_needs_nothing_but_a_cold_mirror() {
    let shelf = with_rustup();
    walk::everything(shelf.serving.url());
    let rustup = Rustup::at(shelf.serving.url());
    rustup.init(["--default-toolchain", "stable"]).ok();
    walk::moves_on(&rustup, &shelf.dist, |_| age());
    let figures = shelf.figures();
    assert_eq!(
        (&figures["failures"], &figures["mismatches"], &figures["not_placed"]),
        (&0.into(), &0.into(), &0.into())
    );
    for request in shelf.dist.requests().iter().filter(|request| request.path.contains(".tar.")) {
        assert_eq!(shelf.dist.count(&request.path), 1, "{}", request.path);
    }
    shelf.sandbox.run(["verify", "--mirror", "mirror"]).ok();
}

#[test]
#[ignore = "needs rustup"]
fn what_was_installed_once_is_installed_again_without_upstream() {
    let shelf = with_rustup();
    let install = |url: &str| {
        let rustup = Rustup::at(url);
        rustup.init(["--default-toolchain", "stable"]).ok();
        rustup.run(["target", "add", WASM]).ok();
        rustup.run(["component", "add", "clippy"]).ok();
        rustup.run(["toolchain", "install", &format!("nightly-{}", NIGHTLY.1)]).ok();
        rustup.run(["check"]).ok().stdout_has("up to date");
        rustup.run(["self", "update"]).ok();
        rustup.tool("rustc", ["-V"]).ok().stdout_has(&format!("rustc {}", STABLE.0));
        rustup
    };
    install(shelf.serving.url());
    shelf.until("all is placed", || shelf.debris() == 0);
    let Shelf { sandbox, dist, serving } = shelf;
    serving.stop();
    drop(dist);
    // What live mode brought is current, and survives a collection.
    sandbox.run(["gc", "--mirror", "mirror", "--grace", "0s"]).ok();
    sandbox.run(["verify", "--mirror", "mirror"]).ok();
    let serving = sandbox.serve(["--mirror", "mirror"]);
    let rustup = install(serving.url());
    // What nobody asked for is not there.
    rustup.run(["component", "add", "rust-src"]).exits(1);
    rustup.run(["toolchain", "install", "beta"]).exits(1);
}
