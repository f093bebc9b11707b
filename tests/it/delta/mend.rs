//! Mending a mirror, and using what an older one has.

use std::fs;

use frostmirror::bundle::format::{BundleKind, CrateState};

use super::{Near, assert_delta, in_state, manifest};
use crate::import_bundle::{assert_sound, everything, import, view};
use crate::support::crates::Packed;

const CRATES: [(&str, &str); 4] = [("a", "1.0.0"), ("b", "1.0.0"), ("c", "1.0.0"), ("d", "1.0.0")];

fn line_of(packed: &Packed) -> String {
    let Packed { name, version, cksum, .. } = packed;
    format!("{{\"kind\":\"crate\",\"name\":{name:?},\"version\":{version:?},\"sha256\":{cksum:?}}}\n")
}

fn packed(name: &str) -> Packed {
    crate::support::crates::Crate::new(name, "1.0.0").pack()
}

#[test]
fn a_repair_list_mends_a_rotten_mirror_and_says_nothing_new_of_the_lineage() {
    let near = Near::new(&CRATES);
    near.needs("depends.toml", &[("a", "1.0.0"), ("b", "1.0.0")]);
    let first = near.fetch(&["--incremental"]);
    let mirror = near.sandbox.path("mirror");
    import(&mirror, &first).unwrap();
    let good = view(&mirror);
    let rotten = mirror.join("crates/a-1.0.0.crate");
    let bytes = fs::read(&rotten).unwrap();
    fs::write(&rotten, vec![7; bytes.len()]).unwrap();
    // `d` is of another lineage, and was lost there.
    near.sandbox.write("list", line_of(&packed("a")) + "\n" + &line_of(&packed("d")));
    let mending = near.fetch(&["--from-list", "list"]);
    let said = manifest(&mending);
    assert_eq!((said.kind, said.parent.as_ref()), (BundleKind::Full, None));
    assert_eq!(in_state(&said, CrateState::Shipped), ["a 1.0.0", "d 1.0.0"]);
    assert_eq!(in_state(&said, CrateState::Kept), ["b 1.0.0"]);
    assert_eq!(said.lineage.inputs, manifest(&first).lineage.inputs);
    assert_eq!(said.lineage.sequence, 2);
    let told = near.sandbox.run(["inspect".as_ref(), mending.as_os_str()]).ok();
    told.stdout_has("Kind        repair: what a mirror has lost, and nothing else\n");
    near.sandbox
        .run(["import".as_ref(), mending.as_os_str(), "--mirror".as_ref(), mirror.as_os_str()])
        .ok()
        .stderr_has("Mended");
    assert_sound(&mirror);
    assert_eq!(fs::read(&rotten).unwrap(), bytes);
    assert!(good.iter().all(|(path, bytes)| view(&mirror).get(path) == Some(bytes)));
    // The next delta builds on the last bundle of the lineage, and on nothing that only the mending brought.
    near.fetch_nothing(&["--incremental"]);
    near.needs("depends.toml", &[("a", "1.0.0"), ("b", "1.0.0"), ("d", "1.0.0")]);
    let next = near.fetch(&["--incremental"]);
    let said = assert_delta(&next, &first, &["d 1.0.0"], &["a 1.0.0", "b 1.0.0"]);
    assert_eq!(said.lineage.sequence, 3);
}

#[test]
fn an_audits_list_is_fetched_imported_and_the_audit_is_clean() {
    let near = Near::new(&CRATES);
    near.needs("depends.toml", &CRATES);
    let first = near.fetch(&["--incremental"]);
    let mirror = near.sandbox.path("mirror");
    import(&mirror, &first).unwrap();
    let audit = |words: &[&str]| near.sandbox.run(["verify", "--mirror", "mirror"].iter().chain(words));
    assert_eq!(audit(&[]).ok().stdout, "OK -- 4 crates, 0 rustup artifacts\n");
    fs::write(mirror.join("crates/a-1.0.0.crate"), "rot").unwrap();
    fs::remove_file(mirror.join("crates/b-1.0.0.crate")).unwrap();
    fs::write(mirror.join("index/1/c"), "nonsense\n").unwrap();
    fs::remove_file(mirror.join("index/1/d")).unwrap();
    let said = audit(&["--repair-list", "list"]).exits(4).stderr_has("carry list out");
    for path in ["crates/a-1.0.0.crate", "crates/b-1.0.0.crate", "index/1/c", "index/1/d"] {
        assert!(said.stdout.contains(&format!("{path}: ")), "{}", said.told());
    }
    let mending = near.fetch(&["--from-list", "list"]);
    assert_eq!(in_state(&manifest(&mending), CrateState::Shipped), ["a 1.0.0", "b 1.0.0", "c 1.0.0", "d 1.0.0"]);
    import(&mirror, &mending).unwrap();
    assert_eq!(audit(&[]).ok().stdout, "OK -- 4 crates, 0 rustup artifacts\n");
    assert_sound(&mirror);
}

#[test]
fn a_repair_list_without_a_history_makes_one_that_has_sent_nothing() {
    let near = Near::new(&CRATES);
    near.sandbox.write("list", line_of(&packed("a")));
    let mending = near.process(&["fetch", "--from-list", "list"]).envs([("FROSTMIRROR_MODE", "incremental")]).run();
    assert!(manifest(&mending.ok().path()).lineage.inputs.is_empty());
    near.needs("depends.toml", &[("a", "1.0.0")]);
    let full = near.run(&["--incremental"]).ok().stderr_has("full one").path();
    assert_eq!(in_state(&manifest(&full), CrateState::Shipped), ["a 1.0.0"]);
}

#[test]
fn a_list_that_cannot_be_had_is_no_bundle() {
    let near = Near::new(&CRATES);
    let refused = |text: &str, code: i32, says: &str| {
        near.sandbox.write("list", text);
        near.run(&["--from-list", "list"]).exits(code).stderr_has(says);
    };
    let good = line_of(&packed("a"));
    refused(&good.replace("\"crate\"", "\"toolchain\""), 3, "`toolchain`");
    refused("a 1.0.0\n", 3, "line 1");
    refused(&good.replace("\"a\"", "\"none\""), 3, "none 1.0.0");
    refused(&good.replace(&packed("a").cksum, &packed("b").cksum), 4, "a 1.0.0");
    near.run(&["--from-list", "absent"]).exits(3).stderr_has("absent");
    near.run(&["--from-list", "list", "--incremental"]).exits(2);
    near.sandbox.write("list", "");
    let nothing = near.run(&["--from-list", "list"]).ok().stderr_has("names nothing");
    assert_eq!(nothing.stdout, "");
    assert!(!near.sandbox.path("output").exists());
}

#[test]
fn files_of_an_older_mirror_and_bundle_are_used_where_their_digest_is_right() {
    let near = Near::new(&CRATES);
    near.needs("depends.toml", &CRATES[..3]);
    let bundle = near.fetch(&[]);
    let mirror = near.sandbox.path("mirror");
    import(&mirror, &bundle).unwrap();
    let cache = near.sandbox.frostmirror_home().join("cache/crates");
    let path = |name: &str| near.upstream.download_path(name, "1.0.0");
    let again = |sources: &[&str]| {
        fs::remove_dir_all(&cache).unwrap();
        near.upstream.clear_log();
        let words: Vec<&str> = sources.iter().flat_map(|source| ["--reuse", source]).collect();
        let made = near.fetch(&words);
        near.sandbox.run(["verify".as_ref(), made.as_os_str()]).ok();
        let mut downloads = near.upstream.downloads();
        downloads.sort();
        downloads
    };
    near.needs("depends.toml", &CRATES);
    let bundle = bundle.to_str().unwrap();
    let before = everything(&mirror);
    assert_eq!(again(&["mirror"]), [path("d")]);
    assert_eq!(again(&[bundle]), [path("d")]);
    // A file with the right name and length and other bytes is none.
    let rotten = mirror.join("crates/a-1.0.0.crate");
    let good = fs::read(&rotten).unwrap();
    fs::write(&rotten, vec![7; good.len()]).unwrap();
    assert_eq!(again(&["mirror"]), [path("a"), path("d")]);
    fs::write(&rotten, good).unwrap();
    // Of a bundle that is damaged, what is whole is used.
    let mut bytes = fs::read(bundle).unwrap();
    let inside = packed("b").bytes;
    let place = bytes.windows(inside.len()).position(|window| window == inside).unwrap();
    bytes[place + inside.len() / 2] ^= 1;
    near.sandbox.write("damaged.pkg", bytes);
    assert_eq!(again(&["damaged.pkg"]), [path("b"), path("d")]);
    assert_eq!(again(&["damaged.pkg", "mirror"]), [path("d")]);
    near.run(&["--reuse", "absent"]).exits(3).stderr_has("absent");
    assert_eq!(everything(&mirror), before);
}
