//! Whatever is imported can be exported again, and what a bundle leaves on disk is a small factor of what came.

use std::fs;
use std::path::{Path, PathBuf};

use frostmirror::bundle::format::{
    BundleKind, CarriedHistory, Input, Lineage, MAX_CARRIED_HISTORIES, MAX_HISTORY_WEIGHT, MAX_INPUTS, MAX_NAMES,
    MAX_TEXT_LENGTH, short_id,
};
use frostmirror::digest::Sha256;
use frostmirror::mirror::import::Error;

use crate::bundle_builder::{all_files, import};
use crate::bundle_hostile::{assert_refused, small_bundle, streaming_problems};
use crate::delta::read_manifest;
use crate::support::forged_bundle::{FakeCrate, ForgedBundle};
use crate::support::sandbox::{Sandbox, read_tree};

fn id_of(text: &str) -> String {
    short_id(&Sha256::of(text.as_bytes()))
}

fn input(name: String) -> Input {
    Input { name, roots: Vec::new(), crates: vec![0], dist_files: Vec::new(), skipped_packages: Vec::new() }
}

/// Histories that a snapshot carries, each with one crate.
fn carried_histories(prefix: &str, count: usize) -> Vec<CarriedHistory> {
    let mut carried: Vec<CarriedHistory> = (0..count)
        .map(|n| CarriedHistory {
            bundle: id_of(&format!("{prefix} bundle {n}")),
            file: format!("{n}.pkg"),
            created: "2026-04-01T00:00:00Z".to_owned(),
            index_read: "2026-04-01T00:00:00Z".to_owned(),
            lineage: Lineage {
                id: id_of(&format!("{prefix} history {n}")),
                sequence: 1,
                previous: None,
                inputs: vec![input("n".repeat(200))],
            },
            crates: vec![0],
            dist_files: Vec::new(),
        })
        .collect();
    carried.sort_by(|a, b| (&a.lineage.id, &a.bundle).cmp(&(&b.lineage.id, &b.bundle)));
    carried
}

fn snapshot_of_histories(prefix: &str, count: usize) -> ForgedBundle {
    let mut forged = ForgedBundle::from_crates(&[FakeCrate::new("a", "1.0.0", 60)]);
    forged.manifest.kind = BundleKind::Snapshot;
    forged.manifest.lineage =
        Lineage { id: id_of(&format!("{prefix} own")), sequence: 1, previous: None, inputs: Vec::new() };
    forged.manifest.carried_histories = carried_histories(prefix, count);
    forged
}

fn write_forged(sandbox: &Sandbox, name: &str, forged: &ForgedBundle) -> PathBuf {
    sandbox.write(name, forged.bytes())
}

fn folder_size(folder: &Path) -> u64 {
    let files = read_tree(folder).into_iter().filter(|(path, _)| !path.ends_with("reserve"));
    files.map(|(_, bytes)| bytes.len() as u64).sum()
}

#[test]
fn a_mirror_with_the_maximum_of_histories_can_be_exported_and_accepts_no_more() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    let many = write_forged(&sandbox, "many.pkg", &snapshot_of_histories("one", MAX_CARRIED_HISTORIES - 1));
    import(&mirror, &many).unwrap();
    let (came, left) = (fs::metadata(&many).unwrap().len(), folder_size(&mirror.join(".frostmirror")));
    assert!(left < 40 * came, "{came} bytes became {left}");
    sandbox.run(["verify", "--mirror", "mirror"]).exits(0);
    let snapshot_of_it = sandbox.run(["export", "snapshot", "--mirror", "mirror", "-o", "out"]).ok();
    let again = sandbox.path("again");
    import(&again, &snapshot_of_it.path()).unwrap();
    sandbox.run(["verify", "--mirror", "again"]).exits(0);
    // Another history, and a snapshot of many.
    let before = all_files(&mirror);
    let other = write_forged(&sandbox, "other.pkg", &small_bundle());
    for bundle in [other, write_forged(&sandbox, "others.pkg", &snapshot_of_histories("two", MAX_CARRIED_HISTORIES))] {
        let refused = import(&mirror, &bundle).unwrap_err();
        assert!(matches!(&refused, Error::TooManyHistories { .. }), "{refused}");
        // The reserved space may grow with the mirror's lists.
        let after = all_files(&mirror);
        let is_changed = |path: &&String| before.get(*path) != after.get(*path) && *path != ".frostmirror/reserve";
        let differing: Vec<&String> = after.keys().filter(is_changed).collect();
        assert_eq!((differing, after.len()), (Vec::new(), before.len()));
    }
    // One that is known has its next bundle.
    let mut next = small_bundle();
    next.manifest.lineage.id = id_of("one history 7");
    next.manifest.lineage.sequence = 2;
    next.manifest.lineage.previous = Some(id_of("one bundle 7"));
    import(&mirror, &write_forged(&sandbox, "next.pkg", &next)).unwrap();
    sandbox.run(["export", "snapshot", "--mirror", "mirror", "-o", "out2"]).ok();
    // After one is forgotten, another fits.
    sandbox.run(["gc", "--mirror", "mirror", "--forget", &id_of("one history 8")]).ok();
    import(&mirror, &sandbox.path("other.pkg")).unwrap();
    sandbox.run(["gc", "--mirror", "mirror"]).ok();
    sandbox.run(["verify", "--mirror", "mirror"]).exits(0);
    // A false snapshot is rejected with all its histories.
    let mut third = small_bundle();
    third.manifest.lineage.id = id_of("third");
    let third = write_forged(&sandbox, "third.pkg", &third);
    let id = read_manifest(&many).id;
    let run = sandbox.run(["import", "third.pkg", "--mirror", "mirror"]).exits(4);
    let run = run.stderr_has("one snapshot brought 1021 of them: if it is false");
    run.stderr_has(&format!("gc --mirror {} --reject snapshot@{id}`", mirror.display()))
        .stderr_has("--forget LINEAGE`");
    sandbox.run(["gc", "--mirror", "mirror", "--reject", &format!("snapshot@{id}")]).ok();
    import(&mirror, &third).unwrap();
}

#[test]
fn a_history_at_its_limits_can_still_be_exported() {
    let sandbox = Sandbox::new();
    let with_inputs = |count: usize| {
        let mut forged = small_bundle();
        forged.manifest.lineage.inputs = (0..count).map(|n| input(format!("n{n}"))).collect();
        forged
    };
    let most = with_inputs(MAX_INPUTS);
    import(&sandbox.path("mirror"), &write_forged(&sandbox, "most.pkg", &most)).unwrap();
    sandbox.run(["export", "snapshot", "--mirror", "mirror", "-o", "out"]).ok();
    assert_refused(&with_inputs(MAX_INPUTS + 1).bytes(), &["more than 4096 inputs"]);

    // As many histories as the mirror can carry of the largest that there may be.
    let largest = |name: &str, bytes: u64| {
        let mut forged = small_bundle();
        forged.manifest.lineage.id = id_of(name);
        let count = bytes / 1036;
        let text = |n| format!("{}{}", Sha256::of(format!("{name} {n}").as_bytes()), "x".repeat(698));
        forged.manifest.lineage.inputs = (0..count).map(|n| input(text(n))).collect();
        forged
    };
    assert_refused(&largest("too large", MAX_HISTORY_WEIGHT + 20_000).bytes(), &["exceed the size limit of a mirror"]);
    let mut taken = 0;
    loop {
        let name = format!("large {taken}");
        let bundle = write_forged(&sandbox, "large.pkg", &largest(&name, MAX_HISTORY_WEIGHT - 20_000));
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
fn manifest_texts_have_length_limits() {
    let described = |length: usize| {
        small_bundle().bytes_with(|json| {
            let text = "d".repeat(length - 2);
            json.replacen(r#""state":"shipped""#, &format!(r#""state":"shipped","description":"{text}""#), 1)
        })
    };
    assert_eq!(streaming_problems(&described(MAX_TEXT_LENGTH)), [""; 0]);
    assert_refused(&described(MAX_TEXT_LENGTH + 1), &["a 1.0.0", "too long"]);
    let targets = |count: usize| {
        let mut forged = small_bundle();
        forged.manifest.targets = vec!["x86_64-unknown-linux-gnu".to_owned(); count];
        forged.bytes()
    };
    assert_eq!(streaming_problems(&targets(MAX_NAMES)), [""; 0]);
    assert_refused(&targets(MAX_NAMES + 1), &["too many or too long `targets`"]);
}

#[test]
fn table_rows_are_limited_by_the_bundle_size() {
    let rows = |count: usize| {
        small_bundle().bytes_with(|json| {
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
    assert_eq!(streaming_problems(&rows(4000)), [""; 0]);
    assert_refused(&rows(40_000), &["too many rows for its length"]);
}

#[test]
fn a_genuine_bundle_replaces_false_claims_of_a_snapshot() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    let genuine = small_bundle();
    let genuine_path = write_forged(&sandbox, "genuine.pkg", &genuine);
    let mut sealed = genuine.manifest.clone();
    sealed.assign_id();
    let mut false_one = snapshot_of_histories("false", 1);
    let carried = &mut false_one.manifest.carried_histories[0];
    (carried.bundle, carried.lineage.id) = (sealed.id.clone(), sealed.lineage.id.clone());
    carried.lineage.sequence = 900;
    carried.lineage.previous = Some(id_of("before"));
    import(&mirror, &write_forged(&sandbox, "false.pkg", &false_one)).unwrap();
    import(&mirror, &genuine_path).unwrap();
    sandbox.run(["verify", "--mirror", "mirror"]).exits(0);
    sandbox.run(["gc", "--mirror", "mirror", "--grace", "0"]).ok();
    sandbox.run(["verify", "--mirror", "mirror"]).exits(0);
    // The next genuine bundle is the newest.
    let mut next = small_bundle();
    next.manifest.lineage.sequence = 2;
    next.manifest.lineage.previous = Some(sealed.id);
    next.manifest.created = "2026-04-03T21:30:00Z".to_owned();
    import(&mirror, &write_forged(&sandbox, "next.pkg", &next)).unwrap();
    let head = sandbox.read("mirror/manifest.json");
    assert!(head.contains(r#""sequence": 2"#) && !head.contains("900"), "{head}");
    sandbox.run(["verify", "--mirror", "mirror"]).exits(0);
}

/// The bundle with this number; each names the one before it.
fn numbered_bundle(number: u64) -> ForgedBundle {
    let mut forged = small_bundle();
    forged.manifest.lineage.sequence = number;
    forged.manifest.lineage.previous = (number > 1).then(|| {
        let mut before = numbered_bundle(number - 1).manifest;
        before.assign_id();
        before.id
    });
    forged
}

#[test]
fn a_sequence_jump_and_an_older_bundle_are_reported() {
    let sandbox = Sandbox::new();
    for (sequence, reported) in [
        (5, None),
        (6, None),
        (9, Some("has the number 9 in its history, but the newest imported bundle has number 6")),
        (7, Some("has the number 7 in its history, which still has a doubtful bundle with the number 9")),
        (3, Some("has the number 3 in its history and is older than number 7")),
    ] {
        write_forged(&sandbox, "next.pkg", &numbered_bundle(sequence));
        let run = sandbox.run(["import", "next.pkg", "--mirror", "mirror"]).ok();
        match reported {
            Some(text) => run.stderr_has(text),
            None => run.stderr_lacks("has the number"),
        };
    }
    sandbox.run(["verify", "--mirror", "mirror"]).exits(0);
}
