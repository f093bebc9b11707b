//! Crates that upstream published and nobody should unpack: each is refused, and nothing of it is left.

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

const MANIFEST: &str = "[package]\nname = \"evil\"\nversion = \"1.0.0\"\n";

/// `evil 1.0.0` with these entries after its manifest; paths as raw bytes.
fn evil(manifest: Option<&str>, entries: &[(EntryType, &str, &str)]) -> Packed {
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
fn refused(packed: Packed, said: &str) {
    let sandbox = Sandbox::new();
    let victim = sandbox.write("victim", "untouched");
    let bundle = Make::new("a", 1).ship(Crate::new("good", "1.0.0")).ship_packed(packed);
    import(&sandbox.path("mirror"), &bundle.write(&sandbox.path(""), "one.pkg")).unwrap();
    let clean = beside(&sandbox);
    let run = sandbox.run(words("vendor", "out")).exits(4);
    run.stderr_has("could not unpack evil 1.0.0").stderr_has(said).stderr_has("export local-registry");
    assert_eq!(beside(&sandbox), clean, "{said}");
    assert_eq!(fs::read_to_string(victim).unwrap(), "untouched");
    // As it is, it may be copied; cargo is on its own guard.
    sandbox.run(words("local-registry", "out")).ok();
}

#[test]
fn links_climbing_and_case() {
    use EntryType::{Link, Regular, Symlink};
    let through = [(Symlink, "evil-1.0.0/src", ""), (Regular, "evil-1.0.0/src/victim", "hit")];
    refused(evil(Some(MANIFEST), &through), "is a link");
    refused(evil(Some(MANIFEST), &[(Link, "evil-1.0.0/.cargo-ok", "")]), "is a link");
    refused(evil(Some(MANIFEST), &[(EntryType::Fifo, "evil-1.0.0/pipe", "")]), "neither a file nor a folder");
    let climbing = [(Regular, "evil-1.0.0/../../victim", "hit")];
    refused(evil(Some(MANIFEST), &climbing), "climbs");
    refused(evil(Some(MANIFEST), &[(Regular, "good-1.0.0/src/lib.rs", "hit")]), "not in the crate's own folder");
    refused(evil(Some(MANIFEST), &[(Regular, "/victim", "hit")]), "not in the crate's own folder");
    refused(evil(Some(MANIFEST), &[(Regular, "evil-1.0.0/cargo.toml", "other")]), "other capital letters");
}

#[test]
fn manifests_that_would_fool_cargo() {
    refused(evil(None, &[]), "no Cargo.toml");
    refused(evil(Some("[package"), &[]), "Cargo.toml cannot be used");
    let posing = MANIFEST.replace("evil", "serde");
    refused(evil(Some(&posing), &[]), "it is the manifest of `serde 1.0.0`");
    refused(evil(Some(&MANIFEST.replace("1.0.0", "1.0.1")), &[]), "it is the manifest of `evil 1.0.1`");
}

#[test]
fn what_is_no_archive_and_what_is_a_bomb() {
    refused(packed(b"not gzip at all".to_vec()), "archive cannot be read");
    let size = 600 << 20;
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o644);
    tar.append_data(&mut header, "evil-1.0.0/zeros", io::repeat(0).take(size)).unwrap();
    let bomb = packed(tar.into_inner().unwrap().finish().unwrap());
    assert!(bomb.bytes.len() < 16 << 20);
    refused(bomb, "unpacks to more than 536870912 bytes");
}
