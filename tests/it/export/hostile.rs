//! Crates that upstream published and nobody should unpack: each is left out by name, and the others are exported.

use std::fs;
use std::io::{self, Read};

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};
use tar::EntryType;

use super::{beside, words};
use crate::import_bundle::{Make, import};
use crate::support::crates::{Crate, Packed, hex};
use crate::support::sandbox::Sandbox;

pub(super) const MANIFEST: &str = "[package]\nname = \"evil\"\nversion = \"1.0.0\"\n";

/// `evil 1.0.0` with these entries after its manifest; paths as raw bytes.
pub(super) fn evil(manifest: Option<&str>, entries: &[(EntryType, &str, &str)]) -> Packed {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let manifest = manifest.map(|text| (EntryType::Regular, "evil-1.0.0/Cargo.toml", text));
    for (kind, path, content) in manifest.iter().chain(entries) {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        if matches!(kind, EntryType::Symlink | EntryType::Link) {
            header.set_link_name("../../../victim").unwrap();
        }
        header.set_cksum();
        tar.append(&header, content.as_bytes()).unwrap();
    }
    packed(tar.into_inner().unwrap().finish().unwrap())
}

/// `evil 1.0.0` of these bytes.
fn packed(bytes: Vec<u8>) -> Packed {
    let cksum = hex(&Sha256::digest(&bytes));
    let line = Crate::new("evil", "1.0.0").cksum(&cksum).pack().line;
    Packed { bytes, cksum, line, ..Crate::new("evil", "1.0.0").pack() }
}

/// A mirror of one good crate and this one, exported both ways.
fn left_out(packed: Packed, why: &str) {
    let sandbox = Sandbox::new();
    let victim = sandbox.write("victim", "untouched");
    let bundle = Make::new("a", 1).ship(Crate::new("good", "1.0.0")).ship_packed(packed);
    import(&sandbox.path("mirror"), &bundle.write(&sandbox.path(""), "one.pkg")).unwrap();
    let clean = beside(&sandbox);
    let run = sandbox.run(words("vendor", "out")).exits(4);
    let run = run
        .stderr_has("Exported 1 crate ")
        .stderr_has("evil 1.0.0: ")
        .stderr_has(why)
        .stderr_has("export local-registry");
    // What there is can be used.
    run.stdout_has("directory = \"out\"");
    let mut names = sandbox.snapshot("out").into_keys();
    assert_eq!(names.find(|name| name.starts_with("evil-1.0.0")), None, "{why}");
    assert!(sandbox.path("out/good-1.0.0/.cargo-checksum.json").is_file());
    fs::remove_dir_all(sandbox.path("out")).unwrap();
    assert_eq!(beside(&sandbox), clean, "{why}");
    assert_eq!(fs::read_to_string(victim).unwrap(), "untouched");
    let json = sandbox.run(words("vendor", "out").into_iter().chain(["--message-format", "json"])).exits(4);
    let lines = json.stdout.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let told = lines.into_iter().find(|line| line["reason"] == "exported").unwrap();
    assert_eq!((&told["left_out"][0]["name"], &told["left_out"][0]["version"]), (&"evil".into(), &"1.0.0".into()));
    assert!(told["left_out"][0]["reason"].as_str().unwrap().contains(why), "{told}");
    // As it is, it may be copied; cargo is on its own guard.
    sandbox.run(words("local-registry", "registry")).ok();
}

#[test]
fn links_and_climbing_paths() {
    use EntryType::{Link, Regular, Symlink};
    let through = [(Symlink, "evil-1.0.0/src", ""), (Regular, "evil-1.0.0/src/victim", "hit")];
    left_out(evil(Some(MANIFEST), &through), "is a link");
    left_out(evil(Some(MANIFEST), &[(Link, "evil-1.0.0/.cargo-ok", "")]), "is a link");
    left_out(evil(Some(MANIFEST), &[(EntryType::Fifo, "evil-1.0.0/pipe", "")]), "neither a file nor a folder");
    let climbing = [(Regular, "evil-1.0.0/../../victim", "hit")];
    left_out(evil(Some(MANIFEST), &climbing), "climbs");
    left_out(evil(Some(MANIFEST), &[(Regular, "good-1.0.0/src/lib.rs", "hit")]), "not in the crate's own folder");
    left_out(evil(Some(MANIFEST), &[(Regular, "/victim", "hit")]), "not in the crate's own folder");
    let file_then_folder = [(Regular, "evil-1.0.0/src", ""), (Regular, "evil-1.0.0/src/lib.rs", "")];
    left_out(evil(Some(MANIFEST), &file_then_folder), "needs a folder where a file is");
}

#[test]
fn manifests_that_would_fool_cargo() {
    left_out(evil(None, &[]), "no Cargo.toml");
    left_out(evil(Some("[package"), &[]), "Cargo.toml cannot be used");
    let posing = MANIFEST.replace("evil", "serde");
    left_out(evil(Some(&posing), &[]), "it is the manifest of `serde 1.0.0`");
    left_out(evil(Some(&MANIFEST.replace("1.0.0", "1.0.1")), &[]), "it is the manifest of `evil 1.0.1`");
}

#[test]
fn what_is_no_archive_and_what_is_a_bomb() {
    left_out(packed(b"not gzip at all".to_vec()), "archive cannot be read");
    let size = 600 << 20;
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o644);
    tar.append_data(&mut header, "evil-1.0.0/zeros", io::repeat(0).take(size)).unwrap();
    let bomb = packed(tar.into_inner().unwrap().finish().unwrap());
    assert!(bomb.bytes.len() < 16 << 20);
    left_out(bomb, "unpacks to more than 536870912 bytes");
}
