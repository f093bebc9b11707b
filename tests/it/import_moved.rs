//! Channels that move in a mirror: what is told of it, and what does not stay beside them.

use std::fs;

use crate::import_artifacts::{channel, text, whole};
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
    assert!(!good.stderr.contains("dated"), "{}", good.stderr);
    let said = import(&sandbox, "ahead.pkg");
    said.stderr_has(&format!("`{STABLE}`")).stderr_has("dated 2099-01-01");
    // What the warning says is how it is put right.
    let late = import(&sandbox, "now.pkg");
    assert!(!late.stderr.contains("dated"), "{}", late.stderr);
    assert_eq!(text(&mirror, STABLE), channel("2099-01-01", "1.99.0"));
    fs::remove_file(mirror.join(STABLE)).unwrap();
    import(&sandbox, "now.pkg");
    assert_eq!(text(&mirror, STABLE), channel("2026-04-16", "1.95.0"));
    sandbox.run(["verify", "--mirror", "mirror"]).ok();
}
