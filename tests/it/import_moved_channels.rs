//! Channels that move in a mirror: the reported changes, and the files that are dropped with the old release.

use std::fs;
use std::path::Path;

use frostmirror::bundle::format::DistFileState::{Sent, Shipped};
use frostmirror::digest::Sha256;

use crate::bundle_builder::{BundleBuilder, public_files};
use crate::import_dist_files::{HOST, channel_manifest, full_bundle, read_text};
use crate::support::crates::Crate;
use crate::support::dist::WINDOWS;
use crate::support::process::Run;
use crate::support::sandbox::Sandbox;

fn import(sandbox: &Sandbox, file: &str) -> Run {
    sandbox.run(["import", file, "--mirror", "mirror"]).ok()
}

const STABLE: &str = "dist/channel-rust-stable.toml";

#[test]
fn a_channel_dated_in_the_future_is_reported_and_can_be_replaced() {
    let sandbox = Sandbox::new();
    let (folder, mirror) = (sandbox.path(""), sandbox.path("mirror"));
    // The time that these bundles state is long before their releases, as SOURCE_DATE_EPOCH may make it.
    full_bundle("a", 1, "2026-04-16", "1.95.0", "1.29.0").write(&folder, "now.pkg");
    full_bundle("a", 2, "2099-01-01", "1.99.0", "1.29.0").write(&folder, "ahead.pkg");
    let good = import(&sandbox, "now.pkg");
    assert!(!good.stderr.contains(" dated "), "{}", good.stderr);
    let output = import(&sandbox, "ahead.pkg");
    output.stderr_has(&format!("`{STABLE}`")).stderr_has("dated 2099-01-01");
    // What the warning says is how it is put right.
    import(&sandbox, "now.pkg").stderr_has(&format!("`{STABLE}` of the mirror is dated 2099-01-01 and stays"));
    assert_eq!(read_text(&mirror, STABLE), channel_manifest("2099-01-01", "1.99.0"));
    fs::remove_file(mirror.join(STABLE)).unwrap();
    import(&sandbox, "now.pkg");
    assert_eq!(read_text(&mirror, STABLE), channel_manifest("2026-04-16", "1.95.0"));
    sandbox.run(["verify", "--mirror", "mirror"]).ok();
}

/// `whole`, and a release of another target with its own rustup.
fn full_bundle_with_windows(make: BundleBuilder, date: &str, release: &str, version: &str) -> BundleBuilder {
    let path = format!("dist/{date}/cargo-{release}-{WINDOWS}.tar.xz");
    let archived = format!("rustup/archive/{version}/{WINDOWS}/rustup-init.exe");
    make.dist_file(&path, "windows", Shipped).dist_file(&archived, "rustup.exe", Shipped)
}

#[test]
fn a_target_dropped_by_a_moved_channel_is_reported() {
    let sandbox = Sandbox::new();
    let folder = sandbox.path("");
    full_bundle_with_windows(full_bundle("a", 1, "2026-03-05", "1.94.0", "1.28.2"), "2026-03-05", "1.94.0", "1.28.2")
        .write(&folder, "a.pkg");
    // Another history, which wants Linux alone.
    full_bundle("b", 1, "2026-04-16", "1.95.0", "1.29.0").read_at(9).write(&folder, "b.pkg");
    let output = import(&sandbox, "a.pkg");
    assert!(!output.stderr.contains("moves"), "{}", output.stderr);
    let output = import(&sandbox, "b.pkg");
    let output = output.stderr_has(&format!("`{STABLE}` moves from the release of 2026-03-05 to that of 2026-04-16"));
    let output = output.stderr_has(&format!("for `{WINDOWS}`")).stderr_has("rustup moves from 1.28.2 to 1.29.0");
    assert!(!output.stderr.contains(HOST), "{}", output.stderr);
    let again = import(&sandbox, "b.pkg");
    assert!(!again.stderr.contains("moves"), "{}", again.stderr);
    // With the missing file, the next move drops no target.
    let all = full_bundle_with_windows(
        full_bundle("a", 2, "2026-05-28", "1.96.0", "1.30.0"),
        "2026-05-28",
        "1.96.0",
        "1.30.0",
    )
    .read_at(20);
    all.write(&folder, "all.pkg");
    let output = import(&sandbox, "all.pkg");
    assert!(!output.stderr.contains("moves"), "{}", output.stderr);
}

#[test]
fn an_old_signature_does_not_stay_beside_a_new_manifest() {
    let sandbox = Sandbox::new();
    let (folder, mirror) = (sandbox.path(""), sandbox.path("mirror"));
    let signature = format!("{STABLE}.asc");
    let signed = full_bundle("a", 1, "2026-03-05", "1.94.0", "1.28.2").dist_file(&signature, "of 1.94.0", Shipped);
    let old = ["dist/2026-03-05/channel-rust-stable.toml.asc", "dist/channel-rust-1.94.0.toml.asc"];
    let signed = old.iter().fold(signed, |signed, path| signed.dist_file(path, "of 1.94.0", Shipped));
    signed.write(&folder, "signed.pkg");
    full_bundle("b", 1, "2026-04-16", "1.95.0", "1.29.0").read_at(9).write(&folder, "plain.pkg");
    import(&sandbox, "signed.pkg");
    assert_eq!(read_text(&mirror, &signature), "of 1.94.0");
    import(&sandbox, "plain.pkg");
    assert!(!mirror.join(&signature).exists(), "it signs another manifest");
    assert_eq!(old.map(|path| read_text(&mirror, path)), ["of 1.94.0"; 2], "whose own names keep it");
    sandbox.run(["verify", "--mirror", "mirror"]).ok();
    let before = public_files(&mirror);
    import(&sandbox, "signed.pkg");
    assert_eq!(public_files(&mirror), before);
    sandbox.run(["verify", "--mirror", "mirror"]).ok();
    // A rebuild of the record does not report it as missing either.
    fs::remove_file(mirror.join(".frostmirror/artifacts.json")).unwrap();
    sandbox.run(["verify", "--mirror", "mirror", "--rebuild-state"]).ok();
    sandbox.run(["verify", "--mirror", "mirror"]).ok();
}

#[test]
fn importing_an_old_delta_again_changes_nothing() {
    let sandbox = Sandbox::new();
    let (folder, mirror) = (sandbox.path(""), sandbox.path("mirror"));
    full_bundle("a", 1, "2026-03-05", "1.94.0", "1.28.2").write(&folder, "one.pkg");
    let (release, text_of) =
        ("schema-version = \"1\"\nversion = \"1.28.2\"\n", channel_manifest("2026-03-05", "1.94.0"));
    let digest = format!("{}  channel\n", Sha256::of(text_of.as_bytes()));
    let program = "rustup 1.28.2";
    let delta = BundleBuilder::new("a", 2).parent("one.pkg").ship(Crate::new("b", "1.0.0"));
    let delta = delta.dist_file("rustup/release-stable.toml", release, Sent);
    let delta = delta.dist_file(&format!("rustup/dist/{HOST}/rustup-init"), program, Sent);
    let delta = delta.dist_file(STABLE, &text_of, Sent).dist_file(&format!("{STABLE}.sha256"), &digest, Sent);
    delta.write(&folder, "two.pkg");
    let three = full_bundle("a", 3, "2026-04-16", "1.95.0", "1.29.0").ship(Crate::new("b", "1.0.0"));
    three.write(&folder, "three.pkg");
    for file in ["one.pkg", "two.pkg", "three.pkg"] {
        import(&sandbox, file);
    }
    // No other name has these bytes now.
    let args = ["gc", "--mirror", "mirror", "--grace", "0"];
    sandbox.run(args).ok();
    assert!(!mirror.join("dist/channel-rust-1.94.0.toml").exists());
    let before = public_files(&mirror);
    import(&sandbox, "two.pkg").stderr_has("Unchanged");
    assert_eq!(public_files(&mirror), before);
    sandbox.run(["verify", "--mirror", "mirror"]).ok();
    // Where nothing came yet, or what is there is older, it is missing.
    let delta = write_delta_without_base(&folder);
    sandbox.run(["import", delta, "--mirror", "mirror"]).exits(4).stderr_has("release-stable.toml");
    sandbox.run(["import", "two.pkg", "--mirror", "empty"]).exits(4).stderr_has("files that the mirror lacks");
}

/// A delta on a bundle that never came.
fn write_delta_without_base(folder: &Path) -> &'static str {
    let delta = BundleBuilder::new("a", 5).parent("four.pkg").ship(Crate::new("c", "1.0.0"));
    delta.dist_file("rustup/release-stable.toml", "version = \"1.30.0\"\n", Sent).write(folder, "five.pkg");
    "five.pkg"
}
