//! What upstream does.

use super::assert_failure;
use crate::end_to_end::fixture_registry::FixtureRegistry;
use crate::support::sandbox::Sandbox;
use crate::support::upstream::{Fault, Upstream};

fn sandbox(world: &FixtureRegistry) -> Sandbox {
    let sandbox = world.sandbox().env("CARGO_NET_RETRY", "0");
    sandbox.write("depends.toml", "[dependencies]\ngears = \"1\"\n");
    sandbox
}

#[test]
fn crate_download_failures() {
    let world = FixtureRegistry::new();
    let path = world.upstream.download_path("gears", "1.0.1");
    let meets = |name: &str, code: i32, fault: Fault| {
        world.upstream.fault_always(&path, fault);
        assert_failure(&sandbox(&world), name, code, &["fetch"]);
    };
    meets("fetch-crate-404", 5, Fault::Status(404));
    meets("fetch-crate-wrong-bytes", 4, Fault::WrongBytes);
    meets("fetch-crate-500", 5, Fault::StatusText(500, "the disk is on fire"));
    meets("fetch-crate-cut-off", 5, Fault::Truncated(30));
    world.upstream.fault_always(&world.upstream.download_path("codegen", "1.0.0"), Fault::WrongBytes);
    meets("fetch-crates-refused", 4, Fault::Status(410));
}

#[test]
fn index_failures() {
    let world = FixtureRegistry::new();
    let meets = |name: &str, path: &str, fault: Fault| {
        world.upstream.clear_faults();
        world.upstream.fault_always(path, fault);
        assert_failure(&sandbox(&world), name, 5, &["fetch"]);
    };
    meets("fetch-index-500", "/index/ge/ar/gears", Fault::Status(500));
    meets("fetch-index-403", "/index/ge/ar/gears", Fault::Status(403));
    meets("fetch-index-page", "/index/ge/ar/gears", Fault::Body(b"<html>Please log in</html>".to_vec()));
    meets("fetch-index-dependency-500", "/index/co/de/codegen", Fault::Status(500));
    meets("fetch-no-registry", "/index/config.json", Fault::Status(404));
    meets("fetch-registry-page", "/index/config.json", Fault::Body(b"<html>Please log in</html>".to_vec()));
    let sandbox = sandbox(&world);
    assert_failure(&sandbox, "fetch-offline-uncached", 5, &["fetch", "--offline"]);
    world.upstream.clear_faults();
    sandbox.run(["fetch", "--dry-run"]).ok();
    assert_failure(&sandbox, "fetch-offline-crates", 5, &["fetch", "--offline"]);
}

#[test]
fn connection_failures() {
    let world = FixtureRegistry::new();
    assert_failure(
        &sandbox(&world).env("FROSTMIRROR_REGISTRY_URL", "http://127.0.0.1:9/"),
        "fetch-upstream-down",
        5,
        &["fetch"],
    );
    let tls = Upstream::builder().tls().start();
    assert_failure(&sandbox(&world).env("FROSTMIRROR_REGISTRY_URL", &tls.index_url()), "fetch-stranger", 5, &["fetch"]);
    let locked = Upstream::builder().token("s3cret").start();
    assert_failure(&sandbox(&world).env("FROSTMIRROR_REGISTRY_URL", &locked.index_url()), "fetch-token", 5, &["fetch"]);
    let corp = sandbox(&world).without_env("FROSTMIRROR_REGISTRY_URL");
    let config = format!(
        "[source.crates-io]\nreplace-with = \"corp\"\n[registries.corp]\nindex = \"sparse+{}\"\n",
        locked.index_url()
    );
    std::fs::write(corp.cargo_home().join("config.toml"), config).unwrap();
    assert_failure(&corp, "fetch-token-of-a-name", 5, &["fetch"]);
    let corp = corp.env("CARGO_REGISTRIES_CORP_TOKEN", "wrong");
    assert_failure(&corp, "fetch-token-refused", 5, &["fetch"]);
    assert_failure(
        &sandbox(&world).env("http_proxy", "http://127.0.0.1:9").env("no_proxy", ""),
        "fetch-proxy-down",
        5,
        &["fetch"],
    );
}
