//! Channels that move in a mirror: what is told of it, and what does not stay beside them.

use std::fs;
use std::path::Path;

use frostmirror::bundle::format::ArtifactState::{Sent, Shipped};
use frostmirror::digest::Sha256;

use crate::import_artifacts::{HOST, channel, text, whole};
use crate::import_bundle::{Make, view};
use crate::support::crates::Crate;
use crate::support::dist::WINDOWS;
use crate::support::run::Run;
use crate::support::sandbox::Sandbox;

fn import(sandbox: &Sandbox, file: &str) -> Run {
    sandbox.run(["import", file, "--mirror", "mirror"]).ok()
}

const STABLE: &str = "dist/channel-rust-stable.toml";

#[test]
fn a_channel_of_a_day_to_come_is_told_of_and_can_be_replaced() {
    let sandbox = Sandbox::new();
    let (folder, mirror) = (sandbox.path(""), sandbox.path("mirror"));
    // The time that these bundles state is long before their releases, as SOURCE_DATE_EPOCH may make it.
    whole("a", 1, "2026-04-16", "1.95.0", "1.29.0").write(&folder, "now.pkg");
    whole("a", 2, "2099-01-01", "1.99.0", "1.29.0").write(&folder, "ahead.pkg");
    let good = import(&sandbox, "now.pkg");
    assert!(!good.stderr.contains(" dated "), "{}", good.stderr);
    let said = import(&sandbox, "ahead.pkg");
    said.stderr_has(&format!("`{STABLE}`")).stderr_has("dated 2099-01-01");
    // What the warning says is how it is put right.
    import(&sandbox, "now.pkg").stderr_has(&format!("`{STABLE}` stays, which is dated 2099-01-01"));
    assert_eq!(text(&mirror, STABLE), channel("2099-01-01", "1.99.0"));
    fs::remove_file(mirror.join(STABLE)).unwrap();
    import(&sandbox, "now.pkg");
    assert_eq!(text(&mirror, STABLE), channel("2026-04-16", "1.95.0"));
    sandbox.run(["verify", "--mirror", "mirror"]).ok();
}

/// `whole`, and a release of another target with its own rustup.
fn for_windows(make: Make, date: &str, release: &str, version: &str) -> Make {
    let path = format!("dist/{date}/cargo-{release}-{WINDOWS}.tar.xz");
    let archived = format!("rustup/archive/{version}/{WINDOWS}/rustup-init.exe");
    make.artifact(&path, "windows", Shipped).artifact(&archived, "rustup.exe", Shipped)
}

#[test]
fn a_target_that_a_channel_leaves_behind_is_told_of() {
    let sandbox = Sandbox::new();
    let folder = sandbox.path("");
    for_windows(whole("a", 1, "2026-03-05", "1.94.0", "1.28.2"), "2026-03-05", "1.94.0", "1.28.2")
        .write(&folder, "a.pkg");
    // Another history, which wants Linux alone.
    whole("b", 1, "2026-04-16", "1.95.0", "1.29.0").read(9).write(&folder, "b.pkg");
    let said = import(&sandbox, "a.pkg");
    assert!(!said.stderr.contains("moves"), "{}", said.stderr);
    let said = import(&sandbox, "b.pkg");
    let said = said.stderr_has(&format!("`{STABLE}` moves from the release of 2026-03-05 to that of 2026-04-16"));
    let said = said.stderr_has(&format!("for `{WINDOWS}`")).stderr_has("rustup moves from 1.28.2 to 1.29.0");
    assert!(!said.stderr.contains(HOST), "{}", said.stderr);
    let again = import(&sandbox, "b.pkg");
    assert!(!again.stderr.contains("moves"), "{}", again.stderr);
    // With what was missing, the next move leaves nobody behind.
    let all = for_windows(whole("a", 2, "2026-05-28", "1.96.0", "1.30.0"), "2026-05-28", "1.96.0", "1.30.0").read(20);
    all.write(&folder, "all.pkg");
    let said = import(&sandbox, "all.pkg");
    assert!(!said.stderr.contains("moves"), "{}", said.stderr);
}

#[test]
fn a_signature_of_the_release_before_does_not_stay_beside_the_next() {
    let sandbox = Sandbox::new();
    let (folder, mirror) = (sandbox.path(""), sandbox.path("mirror"));
    let signature = format!("{STABLE}.asc");
    let signed = whole("a", 1, "2026-03-05", "1.94.0", "1.28.2").artifact(&signature, "of 1.94.0", Shipped);
    let old = ["dist/2026-03-05/channel-rust-stable.toml.asc", "dist/channel-rust-1.94.0.toml.asc"];
    let signed = old.iter().fold(signed, |signed, path| signed.artifact(path, "of 1.94.0", Shipped));
    signed.write(&folder, "signed.pkg");
    whole("b", 1, "2026-04-16", "1.95.0", "1.29.0").read(9).write(&folder, "plain.pkg");
    import(&sandbox, "signed.pkg");
    assert_eq!(text(&mirror, &signature), "of 1.94.0");
    import(&sandbox, "plain.pkg");
    assert!(!mirror.join(&signature).exists(), "it signs another manifest");
    assert_eq!(old.map(|path| text(&mirror, path)), ["of 1.94.0"; 2], "whose own names keep it");
    sandbox.run(["verify", "--mirror", "mirror"]).ok();
    let before = view(&mirror);
    import(&sandbox, "signed.pkg");
    assert_eq!(view(&mirror), before);
    sandbox.run(["verify", "--mirror", "mirror"]).ok();
    // Nor is it missed where the record of all this is made anew.
    fs::remove_file(mirror.join(".frostmirror/artifacts.json")).unwrap();
    sandbox.run(["verify", "--mirror", "mirror", "--rebuild-state"]).ok();
    sandbox.run(["verify", "--mirror", "mirror"]).ok();
}

#[test]
fn a_delta_that_is_imported_once_more_after_all_has_moved_on_changes_nothing() {
    let sandbox = Sandbox::new();
    let (folder, mirror) = (sandbox.path(""), sandbox.path("mirror"));
    whole("a", 1, "2026-03-05", "1.94.0", "1.28.2").write(&folder, "one.pkg");
    let (release, text_of) = ("schema-version = \"1\"\nversion = \"1.28.2\"\n", channel("2026-03-05", "1.94.0"));
    let digest = format!("{}  channel\n", Sha256::of(text_of.as_bytes()));
    let program = "rustup 1.28.2";
    let delta = Make::new("a", 2).parent("one.pkg").ship(Crate::new("b", "1.0.0"));
    let delta = delta.artifact("rustup/release-stable.toml", release, Sent);
    let delta = delta.artifact(&format!("rustup/dist/{HOST}/rustup-init"), program, Sent);
    let delta = delta.artifact(STABLE, &text_of, Sent).artifact(&format!("{STABLE}.sha256"), &digest, Sent);
    delta.write(&folder, "two.pkg");
    let three = whole("a", 3, "2026-04-16", "1.95.0", "1.29.0").ship(Crate::new("b", "1.0.0"));
    three.write(&folder, "three.pkg");
    for file in ["one.pkg", "two.pkg", "three.pkg"] {
        import(&sandbox, file);
    }
    // No other name has these bytes any more.
    let words = ["gc", "--mirror", "mirror", "--grace", "0"];
    sandbox.run(words).ok();
    assert!(!mirror.join("dist/channel-rust-1.94.0.toml").exists());
    let before = view(&mirror);
    import(&sandbox, "two.pkg").stderr_has("Unchanged");
    assert_eq!(view(&mirror), before);
    sandbox.run(["verify", "--mirror", "mirror"]).ok();
    // Where nothing came yet, or what is there is older, it is missing.
    let delta = delta_of_the_next(&folder);
    sandbox.run(["import", delta, "--mirror", "mirror"]).exits(4).stderr_has("release-stable.toml");
    sandbox.run(["import", "two.pkg", "--mirror", "empty"]).exits(4).stderr_has("are not held");
}

/// A delta on a bundle that never came.
fn delta_of_the_next(folder: &Path) -> &'static str {
    let delta = Make::new("a", 5).parent("four.pkg").ship(Crate::new("c", "1.0.0"));
    delta.artifact("rustup/release-stable.toml", "version = \"1.30.0\"\n", Sent).write(folder, "five.pkg");
    "five.pkg"
}
