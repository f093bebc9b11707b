//! Whatever is imported can be exported again, and what a bundle leaves on disk is a small factor of what came.

use std::fs;
use std::path::{Path, PathBuf};

use frostmirror::bundle::format::{
    BundleKind, Carried, Input, Lineage, MAX_CARRIED, MAX_HISTORY_WEIGHT, MAX_INPUTS, MAX_NAMES, MAX_TEXT, short_id,
};
use frostmirror::digest::Sha256;
use frostmirror::mirror::import::Error;

use crate::bundle_hostile::{refused, small, streamed};
use crate::import_bundle::{everything, import};
use crate::support::forge::{FakeCrate, Forged};
use crate::support::sandbox::{Sandbox, tree_of};

fn id(text: &str) -> String {
    short_id(&Sha256::of(text.as_bytes()))
}

fn input(name: String) -> Input {
    Input { name, roots: Vec::new(), crates: vec![0], artifacts: Vec::new(), left_out: Vec::new() }
}

/// Histories that a snapshot carries, each with one crate.
fn carried(prefix: &str, count: usize) -> Vec<Carried> {
    let mut carried: Vec<Carried> = (0..count)
        .map(|n| Carried {
            bundle: id(&format!("{prefix} bundle {n}")),
            file: format!("{n}.pkg"),
            created: "2026-04-01T00:00:00Z".to_owned(),
            index_read: "2026-04-01T00:00:00Z".to_owned(),
            lineage: Lineage {
                id: id(&format!("{prefix} history {n}")),
                sequence: 1,
                inputs: vec![input("n".repeat(200))],
            },
            crates: vec![0],
            artifacts: Vec::new(),
        })
        .collect();
    carried.sort_by(|a, b| (&a.lineage.id, &a.bundle).cmp(&(&b.lineage.id, &b.bundle)));
    carried
}

fn snapshot(prefix: &str, count: usize) -> Forged {
    let mut forged = Forged::of(&[FakeCrate::new("a", "1.0.0", 60)]);
    forged.manifest.kind = BundleKind::Snapshot;
    forged.manifest.lineage = Lineage { id: id(&format!("{prefix} own")), sequence: 1, inputs: Vec::new() };
    forged.manifest.carried = carried(prefix, count);
    forged
}

fn write(sandbox: &Sandbox, name: &str, forged: &Forged) -> PathBuf {
    sandbox.write(name, forged.bytes())
}

fn bytes_of(folder: &Path) -> u64 {
    tree_of(folder).values().map(|bytes| bytes.len() as u64).sum()
}

#[test]
fn a_mirror_of_the_most_histories_is_exported_and_takes_no_more() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    let many = write(&sandbox, "many.pkg", &snapshot("one", MAX_CARRIED - 1));
    import(&mirror, &many).unwrap();
    let (came, left) = (fs::metadata(&many).unwrap().len(), bytes_of(&mirror.join(".frostmirror")));
    assert!(left < 40 * came, "{came} bytes became {left}");
    sandbox.run(["verify", "--mirror", "mirror"]).exits(0);
    let snapshot_of_it = sandbox.run(["export", "snapshot", "--mirror", "mirror", "-o", "out"]).ok();
    let again = sandbox.path("again");
    import(&again, &snapshot_of_it.path()).unwrap();
    sandbox.run(["verify", "--mirror", "again"]).exits(0);
    // Another history, and a snapshot of many.
    let before = everything(&mirror);
    let other = write(&sandbox, "other.pkg", &small());
    for bundle in [other, write(&sandbox, "others.pkg", &snapshot("two", MAX_CARRIED))] {
        let refused = import(&mirror, &bundle).unwrap_err();
        assert!(matches!(&refused, Error::TooManyHistories { .. }), "{refused}");
        assert_eq!(everything(&mirror), before);
    }
    // One that is known has its next bundle.
    let mut next = small();
    next.manifest.lineage.id = id("one history 7");
    next.manifest.lineage.sequence = 2;
    import(&mirror, &write(&sandbox, "next.pkg", &next)).unwrap();
    sandbox.run(["export", "snapshot", "--mirror", "mirror", "-o", "out2"]).ok();
    // With one let go, there is room again.
    sandbox.run(["gc", "--mirror", "mirror", "--forget", &id("one history 8")]).ok();
    import(&mirror, &sandbox.path("other.pkg")).unwrap();
    sandbox.run(["gc", "--mirror", "mirror"]).ok();
    sandbox.run(["verify", "--mirror", "mirror"]).exits(0);
}

#[test]
fn one_history_has_bounds_at_which_a_snapshot_is_still_written() {
    let sandbox = Sandbox::new();
    let with_inputs = |count: usize| {
        let mut forged = small();
        forged.manifest.lineage.inputs = (0..count).map(|n| input(format!("n{n}"))).collect();
        forged
    };
    let most = with_inputs(MAX_INPUTS);
    import(&sandbox.path("mirror"), &write(&sandbox, "most.pkg", &most)).unwrap();
    sandbox.run(["export", "snapshot", "--mirror", "mirror", "-o", "out"]).ok();
    refused(&with_inputs(MAX_INPUTS + 1).bytes(), &["more inputs than one may have (4096)"]);

    // As many histories as the mirror can carry of the largest that there may be.
    let largest = |name: &str, bytes: u64| {
        let mut forged = small();
        forged.manifest.lineage.id = id(name);
        let count = bytes / 1036;
        let text = |n| format!("{}{}", Sha256::of(format!("{name} {n}").as_bytes()), "x".repeat(698));
        forged.manifest.lineage.inputs = (0..count).map(|n| input(text(n))).collect();
        forged
    };
    refused(&largest("too large", MAX_HISTORY_WEIGHT + 20_000).bytes(), &["larger than a mirror can carry on"]);
    let mut taken = 0;
    loop {
        let name = format!("large {taken}");
        let bundle = write(&sandbox, "large.pkg", &largest(&name, MAX_HISTORY_WEIGHT - 20_000));
        match import(&sandbox.path("large"), &bundle) {
            Ok(_) => taken += 1,
            Err(Error::TooManyHistories { .. }) => break,
            Err(error) => panic!("{error}"),
        }
    }
    assert!((6..12).contains(&taken), "{taken}");
    let run = sandbox.run(["export", "snapshot", "--mirror", "large", "-o", "out-large"]).ok();
    import(&sandbox.path("large again"), &run.path()).unwrap();
}

#[test]
fn texts_of_a_manifest_have_limits() {
    let described = |length: usize| {
        small().bytes_with(|json| {
            let text = "d".repeat(length - 2);
            json.replacen(r#""state":"shipped""#, &format!(r#""state":"shipped","description":"{text}""#), 1)
        })
    };
    assert_eq!(streamed(&described(MAX_TEXT)), [""; 0]);
    refused(&described(MAX_TEXT + 1), &["a 1.0.0", "longer description"]);
    let targets = |count: usize| {
        let mut forged = small();
        forged.manifest.targets = vec!["x86_64-unknown-linux-gnu".to_owned(); count];
        forged.bytes()
    };
    assert_eq!(streamed(&targets(MAX_NAMES)), [""; 0]);
    refused(&targets(MAX_NAMES + 1), &["names of targets"]);
}

#[test]
fn rows_are_backed_by_what_came() {
    let rows = |count: usize| {
        small().bytes_with(|json| {
            let row = |n: usize| {
                // Less than a digest, and enough for the ratio of plain to stored bytes.
                let digest = format!("{}{}", &Sha256::of(n.to_string().as_bytes()).to_string()[..16], "0".repeat(48));
                format!(r#",{{"name":"b{n:06}","version":"1.0.0","sha256":"{digest}","state":"kept"}}"#)
            };
            let rows: String = (0..count).map(row).collect();
            let at = json.find(r#"{"name":"bb""#).unwrap() - 1;
            format!("{}{rows}{}", &json[..at], &json[at..])
        })
    };
    assert_eq!(streamed(&rows(4000)), [""; 0]);
    refused(&rows(40_000), &["more rows than its length accounts for"]);
}

#[test]
fn what_a_snapshot_said_falsely_of_a_bundle_gives_way_to_the_bundle() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    let genuine = small();
    let genuine_path = write(&sandbox, "genuine.pkg", &genuine);
    let mut sealed = genuine.manifest.clone();
    sealed.seal();
    let mut false_one = snapshot("false", 1);
    let carried = &mut false_one.manifest.carried[0];
    (carried.bundle, carried.lineage.id) = (sealed.id.clone(), sealed.lineage.id.clone());
    carried.lineage.sequence = 900;
    import(&mirror, &write(&sandbox, "false.pkg", &false_one)).unwrap();
    import(&mirror, &genuine_path).unwrap();
    sandbox.run(["verify", "--mirror", "mirror"]).exits(0);
    sandbox.run(["gc", "--mirror", "mirror", "--grace", "0"]).ok();
    sandbox.run(["verify", "--mirror", "mirror"]).exits(0);
    // The next genuine bundle is the newest.
    let mut next = small();
    next.manifest.lineage.sequence = 2;
    next.manifest.created = "2026-04-03T21:30:00Z".to_owned();
    import(&mirror, &write(&sandbox, "next.pkg", &next)).unwrap();
    let head = sandbox.read("mirror/manifest.json");
    assert!(head.contains(r#""sequence": 2"#) && !head.contains("900"), "{head}");
    sandbox.run(["verify", "--mirror", "mirror"]).exits(0);
}

#[test]
fn a_jump_in_a_history_and_an_older_bundle_are_reported() {
    let sandbox = Sandbox::new();
    for (sequence, reported) in [
        (5, None),
        (6, None),
        (9, Some("has the number 9 in its history, and the newest bundle here has 6")),
        (7, Some("has the number 7 in its history and is older than number 9")),
    ] {
        let mut forged = small();
        forged.manifest.lineage.sequence = sequence;
        write(&sandbox, "next.pkg", &forged);
        let run = sandbox.run(["import", "next.pkg", "--mirror", "mirror"]).ok();
        match reported {
            Some(text) => run.stderr_has(text),
            None => run.stderr_lacks("has the number"),
        };
    }
    sandbox.run(["verify", "--mirror", "mirror"]).exits(0);
}
