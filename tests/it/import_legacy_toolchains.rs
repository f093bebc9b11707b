//! Toolchains in bundles of frostmirror 1.x: what is sound is placed, and what rustup lacks is named.

use std::fs;

use frostmirror::digest::Sha256;

use crate::bundle_builder::{import, public_files};
use crate::bundle_legacy::with_toolchain;
use crate::import_dist_files::{HOST, channel_manifest, component_content, full_bundle, toolchains};
use crate::support::sandbox::Sandbox;

const STABLE: &str = "dist/channel-rust-stable.toml";

fn toolchain_files() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("rustup/dist/x86_64-unknown-linux-gnu/rustup-init", b"rustup 1.28.2".to_vec()),
        (STABLE, channel_manifest("2026-03-05", "1.94.0").into_bytes()),
        (
            "dist/2026-03-05/cargo-1.94.0-x86_64-unknown-linux-gnu.tar.xz",
            component_content("2026-03-05", "1.94.0").into_bytes(),
        ),
    ]
}

#[test]
fn legacy_toolchain_files_are_stored_and_missing_ones_named() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.path("old.pkg"), with_toolchain(&toolchain_files())).unwrap();
    sandbox.run(["verify", "old.pkg"]).ok().stdout_has("OK -- 1 crate, 3 rustup artifacts\n");
    let run = sandbox.run(["import", "old.pkg", "--mirror", "mirror"]).ok();
    run.stderr_has("`dist/channel-rust-stable.toml` without its `.sha256`")
        .stderr_has("no `rustup/release-stable.toml`")
        .stderr_has("no copy of it below `rustup/archive/`")
        .stderr_has("without its `.sha256`, which installers need to verify it");
    let mirror = sandbox.path("mirror");
    for (path, bytes) in toolchain_files() {
        assert_eq!(fs::read(mirror.join(path)).unwrap(), bytes, "{path}");
    }
    assert_eq!(toolchains(&mirror), ["stable"]);
    sandbox.run(["verify", "--mirror", "mirror"]).ok();
    // A bundle of ours makes it whole.
    let whole = full_bundle("a", 1, "2026-04-16", "1.95.0", "1.29.0").write(&sandbox.path(""), "new.pkg");
    import(&mirror, &whole).unwrap();
    assert_eq!(toolchains(&mirror), ["stable (1.95.0)"]);
    // And the old one takes nothing back.
    let before = public_files(&mirror);
    import(&mirror, &sandbox.path("old.pkg")).unwrap();
    assert_eq!(public_files(&mirror), before);
}

#[test]
fn an_invalid_manifest_is_left_out_and_the_rest_imported() {
    let sandbox = Sandbox::new();
    let mut bent = toolchain_files();
    bent[1].1 = b"no manifest".to_vec();
    fs::write(sandbox.path("old.pkg"), with_toolchain(&bent)).unwrap();
    let run = sandbox.run(["import", "old.pkg", "--mirror", "mirror"]).ok();
    run.stderr_has("`dist/channel-rust-stable.toml` is not a valid channel manifest; it is skipped");
    let mirror = sandbox.path("mirror");
    assert!(!mirror.join(STABLE).exists());
    assert!(mirror.join(format!("dist/2026-03-05/cargo-1.94.0-{HOST}.tar.xz")).exists());
    sandbox.run(["verify", "--mirror", "mirror"]).ok().stdout_has("OK -- 1 crate, 2 rustup artifacts\n");

    // Nor is one that does not fit its digest, whatever was there before stays.
    let mut bent = toolchain_files();
    bent.push(("dist/channel-rust-stable.toml.sha256", format!("{}  x\n", Sha256::of(b"other")).into_bytes()));
    fs::write(sandbox.path("unfit.pkg"), with_toolchain(&bent)).unwrap();
    let run = sandbox.run(["import", "unfit.pkg", "--mirror", "mirror"]).ok();
    run.stderr_has("`dist/channel-rust-stable.toml.sha256` does not match `dist/channel-rust-stable.toml`; it is");
    assert!(!mirror.join(STABLE).exists() && !mirror.join("dist/channel-rust-stable.toml.sha256").exists());
}

#[test]
fn components_without_a_manifest_are_reported() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.path("old.pkg"), with_toolchain(&toolchain_files()[2..])).unwrap();
    let run = sandbox.run(["import", "old.pkg", "--mirror", "mirror"]).ok();
    let run = run.stderr_has("no channel manifest, so rustup cannot find them");
    assert!(!run.stderr.contains("the bundle has rustup "), "{}", run.describe());
}

#[test]
fn a_digest_mismatch_refuses_the_whole_bundle() {
    let sandbox = Sandbox::new();
    let mut bytes = with_toolchain(&toolchain_files());
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs::write(sandbox.path("old.pkg"), bytes).unwrap();
    sandbox.run(["import", "old.pkg", "--mirror", "mirror"]).exits(4);
    assert!(!sandbox.path("mirror/dist").exists());
}
