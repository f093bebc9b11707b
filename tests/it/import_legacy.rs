//! Toolchains in bundles of frostmirror 1.x: what is sound is placed, and what rustup lacks is named.

use std::fs;

use frostmirror::digest::Sha256;

use crate::bundle_legacy::with_toolchain;
use crate::import_artifacts::{HOST, channel, component, toolchains, whole};
use crate::import_bundle::{import, view};
use crate::support::sandbox::Sandbox;

const STABLE: &str = "dist/channel-rust-stable.toml";

fn files() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("rustup/dist/x86_64-unknown-linux-gnu/rustup-init", b"rustup 1.28.2".to_vec()),
        (STABLE, channel("2026-03-05", "1.94.0").into_bytes()),
        (
            "dist/2026-03-05/cargo-1.94.0-x86_64-unknown-linux-gnu.tar.xz",
            component("2026-03-05", "1.94.0").into_bytes(),
        ),
    ]
}

#[test]
fn what_is_there_is_placed_and_what_is_missing_is_named() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.path("old.pkg"), with_toolchain(&files())).unwrap();
    sandbox.run(["verify", "old.pkg"]).ok().stdout_has("OK -- 1 crates, 3 rustup artifacts\n");
    let run = sandbox.run(["import", "old.pkg", "--mirror", "mirror"]).ok();
    run.stderr_has("`dist/channel-rust-stable.toml` came without its `.sha256`")
        .stderr_has("no `rustup/release-stable.toml`")
        .stderr_has("no copy of it below `rustup/archive/`")
        .stderr_has("without its `.sha256`, by which installers check it");
    let mirror = sandbox.path("mirror");
    for (path, bytes) in files() {
        assert_eq!(fs::read(mirror.join(path)).unwrap(), bytes, "{path}");
    }
    assert_eq!(toolchains(&mirror), ["stable"]);
    sandbox.run(["verify", "--mirror", "mirror"]).ok();
    // A bundle of ours makes it whole.
    let whole = whole("a", 1, "2026-04-16", "1.95.0", "1.29.0").write(&sandbox.path(""), "new.pkg");
    import(&mirror, &whole).unwrap();
    assert_eq!(toolchains(&mirror), ["stable (1.95.0)"]);
    // And the old one takes nothing back.
    let before = view(&mirror);
    import(&mirror, &sandbox.path("old.pkg")).unwrap();
    assert_eq!(view(&mirror), before);
}

#[test]
fn a_manifest_that_is_none_is_left_out_and_the_rest_comes() {
    let sandbox = Sandbox::new();
    let mut bent = files();
    bent[1].1 = b"no manifest".to_vec();
    fs::write(sandbox.path("old.pkg"), with_toolchain(&bent)).unwrap();
    let run = sandbox.run(["import", "old.pkg", "--mirror", "mirror"]).ok();
    run.stderr_has("`dist/channel-rust-stable.toml` is no channel manifest; it is left out");
    let mirror = sandbox.path("mirror");
    assert!(!mirror.join(STABLE).exists());
    assert!(mirror.join(format!("dist/2026-03-05/cargo-1.94.0-{HOST}.tar.xz")).exists());
    sandbox.run(["verify", "--mirror", "mirror"]).ok().stdout_has("OK -- 1 crates, 2 rustup artifacts\n");

    // Nor is one that does not fit its digest, whatever was there before stays.
    let mut bent = files();
    bent.push(("dist/channel-rust-stable.toml.sha256", format!("{}  x\n", Sha256::of(b"other")).into_bytes()));
    fs::write(sandbox.path("unfit.pkg"), with_toolchain(&bent)).unwrap();
    let run = sandbox.run(["import", "unfit.pkg", "--mirror", "mirror"]).ok();
    run.stderr_has(
        "`dist/channel-rust-stable.toml.sha256` is not the digest of `dist/channel-rust-stable.toml`; it is",
    );
    assert!(!mirror.join(STABLE).exists() && !mirror.join("dist/channel-rust-stable.toml.sha256").exists());
}

#[test]
fn components_alone_are_told_to_lack_their_manifest() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.path("old.pkg"), with_toolchain(&files()[2..])).unwrap();
    let run = sandbox.run(["import", "old.pkg", "--mirror", "mirror"]).ok();
    let run = run.stderr_has("no channel manifest, without which rustup cannot find them");
    assert!(!run.stderr.contains("rustup itself"), "{}", run.told());
}

#[test]
fn bytes_that_are_not_as_stated_refuse_the_whole() {
    let sandbox = Sandbox::new();
    let mut bytes = with_toolchain(&files());
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs::write(sandbox.path("old.pkg"), bytes).unwrap();
    sandbox.run(["import", "old.pkg", "--mirror", "mirror"]).exits(4);
    assert!(!sandbox.path("mirror/dist").exists());
}
