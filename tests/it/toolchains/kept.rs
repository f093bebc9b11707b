//! A later fetch that requests no toolchain keeps those of earlier bundles; only an explicit flag drops them.

use std::path::Path;

use super::{assert_clean, connected_sandbox, fetch, import, inspect, paths_in_state};
use crate::end_to_end::fixture_registry::FixtureRegistry;
use crate::support::dist::release::Release;
use crate::support::dist::{DistServer, LINUX, STABLE, WINDOWS};
use crate::support::http_client;
use crate::support::sandbox::Sandbox;

fn collect_garbage(sandbox: &Sandbox) {
    sandbox.run(["gc", "--mirror", "mirror", "--grace", "0"]).ok();
}

/// The HTTP status codes of the channel manifest and of an archive of stable.
fn served_statuses(sandbox: &Sandbox) -> [u16; 2] {
    let server = sandbox.serve(["--mirror", "mirror"]);
    let rustc = Release::stable(STABLE.0, STABLE.1).archive_path("rustc", LINUX, "xz");
    ["/dist/channel-rust-stable.toml", &rustc].map(|path| http_client::get(&format!("{}{path}", server.url())).status)
}

fn assert_nothing_shipped_and_some_kept(sandbox: &Sandbox, bundle: &Path) {
    assert_eq!(paths_in_state(sandbox, bundle, "shipped"), Vec::<String>::new());
    let kept = paths_in_state(sandbox, bundle, "kept");
    assert!(kept.iter().any(|path| path == "dist/channel-rust-stable.toml"), "{kept:?}");
}

/// A mirror with stable for Linux, which only `--target` requested.
fn first_week(world: &FixtureRegistry, dist: &DistServer) -> Sandbox {
    let sandbox = connected_sandbox(world, dist);
    sandbox.write("depends.toml", "[dependencies]\nleaf = \"0.3\"\n");
    import(&sandbox, &fetch(&sandbox, &["--target", LINUX]));
    collect_garbage(&sandbox);
    assert_eq!(served_statuses(&sandbox), [200, 200]);
    sandbox
}

#[test]
fn a_later_fetch_without_target_keeps_the_toolchain() {
    let (world, dist) = (FixtureRegistry::new(), DistServer::start());
    let sandbox = first_week(&world, &dist);
    // Upstream's stable moves, and no new file of it is requested.
    dist.publish(&Release::stable("1.96.0", "2026-05-28"));
    let requests_before = dist.requests().len();
    let unchanged = sandbox.run(["fetch", "--incremental"]).ok();
    unchanged.stderr_has("nothing new").stderr_has("Keeping toolchains of earlier bundles").stderr_has("`stable`");
    sandbox.write("depends.toml", "[dependencies]\nleaf = \"0.3\"\nengine = \"1\"\n");
    for (args, output) in [(&["--incremental"][..], "delta"), (&[][..], "full")] {
        let run = sandbox.run([&["fetch", "-o", output][..], args].concat()).ok();
        let run = run.stderr_has("`--drop-toolchains` drops them").stderr_has("`--target TRIPLE` updates them");
        let bundle = sandbox.path(run.path());
        assert_nothing_shipped_and_some_kept(&sandbox, &bundle);
        import(&sandbox, &bundle);
        collect_garbage(&sandbox);
        assert_eq!(served_statuses(&sandbox), [200, 200], "{output}");
        assert_clean(&sandbox);
    }
    assert_eq!(dist.requests().len(), requests_before);

    // The same flag as in the first week updates the toolchain.
    let updated = fetch(&sandbox, &["--incremental", "--target", LINUX]);
    let shipped = paths_in_state(&sandbox, &updated, "shipped");
    assert!(shipped.iter().any(|path| path.contains("rustc-1.96.0")), "{shipped:?}");
    import(&sandbox, &updated);
    collect_garbage(&sandbox);
    assert_clean(&sandbox);
}

#[test]
fn drop_toolchains_drops_them_with_a_warning() {
    let (world, dist) = (FixtureRegistry::new(), DistServer::start());
    let sandbox = first_week(&world, &dist);
    sandbox.run(["fetch", "--drop-toolchains", "--no-toolchain"]).exits(2);
    sandbox.run(["fetch", "--drop-toolchains", "--target", LINUX]).exits(2);
    let run = sandbox.run(["fetch", "--incremental", "--drop-toolchains"]).ok();
    let run =
        run.stderr_has("warning: this bundle drops toolchains of earlier bundles: `stable` of").stderr_has("`gc`");
    let bundle = sandbox.path(run.path());
    assert!(inspect(&sandbox, &bundle)["artifacts"].as_array().is_none_or(Vec::is_empty));
    import(&sandbox, &bundle);
    collect_garbage(&sandbox);
    assert_eq!(served_statuses(&sandbox), [404, 404]);
    assert_clean(&sandbox);
    let after = sandbox.run(["fetch", "--incremental"]).ok();
    after.stderr_has("only crates, no toolchains").stderr_has("nothing new").stderr_lacks("warning");
}

#[test]
fn a_kept_toolchain_moves_with_a_channel_that_another_input_requests() {
    let (world, dist) = (FixtureRegistry::new(), DistServer::start());
    let sandbox = connected_sandbox(&world, &dist);
    sandbox.write("b.toml", "[dependencies]\nengine = \"1\"\n[platforms]\nprofile = \"minimal\"\n");
    import(&sandbox, &fetch(&sandbox, &["--crate", "leaf@0.3", "--target", WINDOWS]));
    dist.publish(&Release::stable("1.96.0", "2026-05-28"));
    let bundle = fetch(&sandbox, &["--crate", "leaf@0.3", "-c", "b.toml", "--incremental"]);
    let shipped = paths_in_state(&sandbox, &bundle, "shipped");
    for triple in [WINDOWS, LINUX] {
        assert!(shipped.iter().any(|path| path.contains(&format!("rustc-1.96.0-{triple}"))), "{triple}: {shipped:?}");
    }
    import(&sandbox, &bundle);
    collect_garbage(&sandbox);
    assert_clean(&sandbox);
}
