//! Mending a mirror, and using what an older one has.

use std::fs;

use frostmirror::bundle::format::{BundleKind, CrateState};

use super::{ConnectedSide, assert_delta, crates_in_state, read_manifest};
use crate::bundle_builder::{all_files, assert_consistent, import, public_files};
use crate::support::crates::PackedCrate;

const CRATES: [(&str, &str); 4] = [("a", "1.0.0"), ("b", "1.0.0"), ("c", "1.0.0"), ("d", "1.0.0")];

fn repair_list_line(packed: &PackedCrate) -> String {
    let PackedCrate { name, version, cksum, .. } = packed;
    format!("{{\"kind\":\"crate\",\"name\":{name:?},\"version\":{version:?},\"sha256\":{cksum:?}}}\n")
}

fn packed_crate(name: &str) -> PackedCrate {
    crate::support::crates::Crate::new(name, "1.0.0").pack()
}

#[test]
fn a_repair_bundle_fixes_a_corrupt_mirror_without_advancing_the_lineage() {
    let near = ConnectedSide::with_crates(&CRATES);
    near.write_depends("depends.toml", &[("a", "1.0.0"), ("b", "1.0.0")]);
    let first = near.fetch(&["--incremental"]);
    let mirror = near.sandbox.path("mirror");
    import(&mirror, &first).unwrap();
    let good = public_files(&mirror);
    let rotten = mirror.join("crates/a-1.0.0.crate");
    let bytes = fs::read(&rotten).unwrap();
    fs::write(&rotten, vec![7; bytes.len()]).unwrap();
    // `d` is of another lineage, and was lost there.
    near.sandbox.write("list", repair_list_line(&packed_crate("a")) + "\n" + &repair_list_line(&packed_crate("d")));
    let mending = near.fetch(&["--from-list", "list"]);
    let contents = read_manifest(&mending);
    assert_eq!((contents.kind, contents.parent.as_ref()), (BundleKind::Full, None));
    assert_eq!(crates_in_state(&contents, CrateState::Shipped), ["a 1.0.0", "d 1.0.0"]);
    assert_eq!(crates_in_state(&contents, CrateState::Kept), ["b 1.0.0"]);
    assert_eq!(contents.lineage.inputs, read_manifest(&first).lineage.inputs);
    assert_eq!(contents.lineage.sequence, 2);
    let output = near.sandbox.run(["inspect".as_ref(), mending.as_os_str()]).ok();
    output.stdout_has("Kind        repair: only files that a mirror has lost\n");
    near.sandbox
        .run(["import".as_ref(), mending.as_os_str(), "--mirror".as_ref(), mirror.as_os_str()])
        .ok()
        .stderr_has("Repaired");
    assert_consistent(&mirror);
    assert_eq!(fs::read(&rotten).unwrap(), bytes);
    assert!(good.iter().all(|(path, bytes)| public_files(&mirror).get(path) == Some(bytes)));
    // The next delta builds on the last bundle of the lineage, and on nothing that only the mending brought.
    near.fetch_without_changes(&["--incremental"]);
    near.write_depends("depends.toml", &[("a", "1.0.0"), ("b", "1.0.0"), ("d", "1.0.0")]);
    let next = near.fetch(&["--incremental"]);
    let contents = assert_delta(&next, &first, &["d 1.0.0"], &["a 1.0.0", "b 1.0.0"]);
    assert_eq!(contents.lineage.sequence, 3);
}

#[test]
fn a_repair_list_from_verify_is_fetched_and_imported() {
    let near = ConnectedSide::with_crates(&CRATES);
    near.write_depends("depends.toml", &CRATES);
    let first = near.fetch(&["--incremental"]);
    let mirror = near.sandbox.path("mirror");
    import(&mirror, &first).unwrap();
    let audit = |args: &[&str]| near.sandbox.run(["verify", "--mirror", "mirror"].iter().chain(args));
    assert_eq!(audit(&[]).ok().stdout, "OK -- 4 crates, 0 rustup artifacts\n");
    fs::write(mirror.join("crates/a-1.0.0.crate"), "rot").unwrap();
    fs::remove_file(mirror.join("crates/b-1.0.0.crate")).unwrap();
    fs::write(mirror.join("index/1/c"), "nonsense\n").unwrap();
    fs::remove_file(mirror.join("index/1/d")).unwrap();
    let output = audit(&["--repair-list", "list"]).exits(4).stderr_has("carry list to the connected side");
    for path in ["crates/a-1.0.0.crate", "crates/b-1.0.0.crate", "index/1/c", "index/1/d"] {
        assert!(output.stdout.contains(&format!("{path}: ")), "{}", output.describe());
    }
    let mending = near.fetch(&["--from-list", "list"]);
    assert_eq!(
        crates_in_state(&read_manifest(&mending), CrateState::Shipped),
        ["a 1.0.0", "b 1.0.0", "c 1.0.0", "d 1.0.0"]
    );
    import(&mirror, &mending).unwrap();
    assert_eq!(audit(&[]).ok().stdout, "OK -- 4 crates, 0 rustup artifacts\n");
    assert_consistent(&mirror);
}

#[test]
fn a_repair_list_without_a_history_creates_an_empty_one() {
    let near = ConnectedSide::with_crates(&CRATES);
    near.sandbox.write("list", repair_list_line(&packed_crate("a")));
    let mending = near.process(&["fetch", "--from-list", "list"]).envs([("FROSTMIRROR_MODE", "incremental")]).run();
    assert!(read_manifest(&mending.ok().path()).lineage.inputs.is_empty());
    near.write_depends("depends.toml", &[("a", "1.0.0")]);
    let full = near.run_fetch(&["--incremental"]).ok().stderr_has("is full").path();
    assert_eq!(crates_in_state(&read_manifest(&full), CrateState::Shipped), ["a 1.0.0"]);
}

#[test]
fn an_unavailable_repair_list_writes_no_bundle() {
    let near = ConnectedSide::with_crates(&CRATES);
    let refused = |text: &str, code: i32, says: &str| {
        near.sandbox.write("list", text);
        near.run_fetch(&["--from-list", "list"]).exits(code).stderr_has(says);
    };
    let good = repair_list_line(&packed_crate("a"));
    refused(&good.replace("\"crate\"", "\"toolchain\""), 3, "`toolchain`");
    refused("a 1.0.0\n", 3, "line 1");
    refused(&good.replace("\"a\"", "\"none\""), 3, "none 1.0.0");
    refused(&good.replace(&packed_crate("a").cksum, &packed_crate("b").cksum), 4, "a 1.0.0");
    near.run_fetch(&["--from-list", "absent"]).exits(3).stderr_has("absent");
    near.run_fetch(&["--from-list", "list", "--incremental"]).exits(2);
    near.sandbox.write("list", "");
    let nothing = near.run_fetch(&["--from-list", "list"]).ok().stderr_has("the list is empty");
    assert_eq!(nothing.stdout, "");
    assert!(!near.sandbox.path("output").exists());
}

#[test]
fn reuse_takes_files_with_a_matching_digest() {
    let near = ConnectedSide::with_crates(&CRATES);
    near.write_depends("depends.toml", &CRATES[..3]);
    let bundle = near.fetch(&[]);
    let mirror = near.sandbox.path("mirror");
    import(&mirror, &bundle).unwrap();
    let cache = near.sandbox.frostmirror_home().join("cache/crates");
    let path = |name: &str| near.upstream.download_path(name, "1.0.0");
    let again = |sources: &[&str]| {
        fs::remove_dir_all(&cache).unwrap();
        near.upstream.clear_log();
        let args: Vec<&str> = sources.iter().flat_map(|source| ["--reuse", source]).collect();
        let made = near.fetch(&args);
        near.sandbox.run(["verify".as_ref(), made.as_os_str()]).ok();
        let mut downloads = near.upstream.downloads();
        downloads.sort();
        downloads
    };
    near.write_depends("depends.toml", &CRATES);
    let bundle = bundle.to_str().unwrap();
    let before = all_files(&mirror);
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
    let inside = packed_crate("b").bytes;
    let position = bytes.windows(inside.len()).position(|window| window == inside).unwrap();
    bytes[position + inside.len() / 2] ^= 1;
    near.sandbox.write("damaged.pkg", bytes);
    assert_eq!(again(&["damaged.pkg"]), [path("b"), path("d")]);
    assert_eq!(again(&["damaged.pkg", "mirror"]), [path("d")]);
    near.run_fetch(&["--reuse", "absent"]).exits(3).stderr_has("absent");
    assert_eq!(all_files(&mirror), before);
}
