//! Hostile snapshots.

use frostmirror::artifact::Kind;
use frostmirror::bundle::format::{BundleKind, Carried, CrateState, Input, Lineage};

use crate::bundle_hostile::{refused, small, streamed};
use crate::support::forge::{Forged, entry};

type Bend = fn(&mut Carried);

/// A small snapshot that brings one history along.
fn snapshot() -> Forged {
    let mut forged = small();
    forged.manifest.kind = BundleKind::Snapshot;
    forged.manifest.carried = vec![carried("a")];
    forged.group(
        &[("depends.toml".to_owned(), String::new()), ("frostmirror.toml".to_owned(), "bind = 1".to_owned())],
        Kind::Config,
    );
    forged
}

fn carried(digit: &str) -> Carried {
    Carried {
        bundle: digit.repeat(32),
        file: "one.pkg".to_owned(),
        created: "2026-01-01T00:00:00Z".to_owned(),
        index_read: "2026-01-01T00:00:00Z".to_owned(),
        lineage: Lineage { id: digit.repeat(32), sequence: 1, inputs: Vec::new() },
        crates: vec![0, 1],
        artifacts: Vec::new(),
    }
}

#[test]
fn what_only_a_snapshot_has_is_refused_elsewhere_and_held_to_rules_there() {
    assert_eq!(streamed(&snapshot().bytes()), Vec::<String>::new());
    let bent = |bend: &dyn Fn(&mut Forged)| {
        let mut forged = snapshot();
        bend(&mut forged);
        forged.bytes()
    };
    refused(&bent(&|f| f.manifest.kind = BundleKind::Full), &["brings histories along"]);
    let config = |f: &mut Forged| {
        f.manifest.kind = BundleKind::Full;
        f.manifest.carried.clear();
    };
    refused(&bent(&config), &["depends.toml", "only a snapshot"]);
    let read = |f: &mut Forged, text: &str| f.manifest.crates[1].read = Some(text.to_owned());
    refused(&bent(&|f| read(f, "yesterday")), &["bb 0.2.0", "`read`"]);
    let mut full = small();
    read(&mut full, "2026-01-01T00:00:00Z");
    refused(&full.bytes(), &["bb 0.2.0", "no snapshot"]);
    let lines: [(Bend, &str); 6] = [
        (|one| one.lineage.id = "rebuilt".to_owned(), "whose id is none"),
        (|one| one.bundle = "../../../../etc/passwd".to_owned(), "whose id is none"),
        (|one| one.created = "2026".to_owned(), "with a time"),
        (|one| one.crates = vec![0, 2], "not in its table"),
        (|one| one.crates = vec![1, 0], "out of order"),
        (
            |one| {
                one.lineage.inputs =
                    vec![Input { name: "in".to_owned(), roots: Vec::new(), crates: vec![9], artifacts: Vec::new() }]
            },
            "positions",
        ),
    ];
    for (bend, said) in lines {
        refused(&bent(&|f| bend(&mut f.manifest.carried[0])), &[said]);
    }
    refused(&bent(&|f| f.manifest.carried.push(carried("a"))), &["a history twice"]);
    refused(&bent(&|f| f.manifest.carried.insert(0, carried("b"))), &["out of order"]);
    refused(&bent(&|f| f.manifest.carried[0].lineage.id = f.manifest.lineage.id.clone()), &["a history twice"]);
    refused(&bent(&|f| f.manifest.crates[0].state = CrateState::Sent), &["a 1.0.0", "relied on"]);
    let large = "#".repeat(1024 * 1024 + 1);
    let mut forged = snapshot();
    forged.manifest.blocks.pop();
    forged.payload.pop();
    forged.stored(entry("frostmirror.toml", Kind::Config, large.as_bytes()), large.as_bytes());
    refused(&forged.bytes(), &["frostmirror.toml", "larger than a configuration file"]);
}
