//! Published crates that are unsafe to unpack: the export names and skips each, and writes the others.

use std::fs;
use std::io::{self, Read};

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};
use tar::EntryType;

use super::{entries_beside_mirror, export_args};
use crate::bundle_builder::{BundleBuilder, import};
use crate::support::crates::{Crate, PackedCrate, hex};
use crate::support::sandbox::Sandbox;

pub(super) const MANIFEST: &str = "[package]\nname = \"evil\"\nversion = \"1.0.0\"\n";

/// `evil 1.0.0` with these entries after its manifest; paths as raw bytes.
pub(super) fn evil_crate(manifest: Option<&str>, entries: &[(EntryType, &str, &str)]) -> PackedCrate {
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
    pack_bytes(tar.into_inner().unwrap().finish().unwrap())
}

/// `evil 1.0.0` of these bytes.
fn pack_bytes(bytes: Vec<u8>) -> PackedCrate {
    let cksum = hex(&Sha256::digest(&bytes));
    let line = Crate::new("evil", "1.0.0").cksum(&cksum).pack().line;
    PackedCrate { bytes, cksum, line, ..Crate::new("evil", "1.0.0").pack() }
}

/// A mirror of one good crate and this one, exported both ways.
fn assert_left_out(packed: PackedCrate, why: &str) {
    let sandbox = Sandbox::new();
    let victim = sandbox.write("victim", "untouched");
    let bundle = BundleBuilder::new("a", 1).ship(Crate::new("good", "1.0.0")).ship_packed(packed);
    import(&sandbox.path("mirror"), &bundle.write(&sandbox.path(""), "one.pkg")).unwrap();
    let clean = entries_beside_mirror(&sandbox);
    let run = sandbox.run(export_args("vendor", "out")).exits(4);
    let run = run
        .stderr_has("Exported 1 crate ")
        .stderr_has("evil 1.0.0: ")
        .stderr_has(why)
        .stderr_has("export local-registry");
    // What there is can be used.
    run.stdout_has(&format!("directory = {:?}", sandbox.path("out")));
    let mut names = sandbox.read_tree("out").into_keys();
    assert_eq!(names.find(|name| name.starts_with("evil-1.0.0")), None, "{why}");
    assert!(sandbox.path("out/good-1.0.0/.cargo-checksum.json").is_file());
    fs::remove_dir_all(sandbox.path("out")).unwrap();
    assert_eq!(entries_beside_mirror(&sandbox), clean, "{why}");
    assert_eq!(fs::read_to_string(victim).unwrap(), "untouched");
    let json = sandbox.run(export_args("vendor", "out").into_iter().chain(["--message-format", "json"])).exits(4);
    let lines = json.stdout.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let output = lines.into_iter().find(|line| line["reason"] == "exported").unwrap();
    assert_eq!((&output["left_out"][0]["name"], &output["left_out"][0]["version"]), (&"evil".into(), &"1.0.0".into()));
    assert!(output["left_out"][0]["reason"].as_str().unwrap().contains(why), "{output}");
    // As it is, it may be copied; cargo is on its own guard.
    sandbox.run(export_args("local-registry", "registry")).ok();
}

#[test]
fn crates_with_links_or_escaping_paths_are_left_out() {
    use EntryType::{Link, Regular, Symlink};
    let through = [(Symlink, "evil-1.0.0/src", ""), (Regular, "evil-1.0.0/src/victim", "hit")];
    assert_left_out(evil_crate(Some(MANIFEST), &through), "is a link");
    assert_left_out(evil_crate(Some(MANIFEST), &[(Link, "evil-1.0.0/.cargo-ok", "")]), "is a link");
    assert_left_out(
        evil_crate(Some(MANIFEST), &[(EntryType::Fifo, "evil-1.0.0/pipe", "")]),
        "neither a file nor a folder",
    );
    let climbing = [(Regular, "evil-1.0.0/../../victim", "hit")];
    assert_left_out(evil_crate(Some(MANIFEST), &climbing), "leaves its folder");
    assert_left_out(
        evil_crate(Some(MANIFEST), &[(Regular, "good-1.0.0/src/lib.rs", "hit")]),
        "outside of the crate's own folder",
    );
    assert_left_out(evil_crate(Some(MANIFEST), &[(Regular, "/victim", "hit")]), "outside of the crate's own folder");
    let file_then_folder = [(Regular, "evil-1.0.0/src", ""), (Regular, "evil-1.0.0/src/lib.rs", "")];
    assert_left_out(evil_crate(Some(MANIFEST), &file_then_folder), "needs a folder, but a file has that name");
}

#[test]
fn crates_with_misleading_manifests_are_left_out() {
    assert_left_out(evil_crate(None, &[]), "no Cargo.toml");
    assert_left_out(evil_crate(Some("[package"), &[]), "Cargo.toml is invalid");
    let posing = MANIFEST.replace("evil", "serde");
    assert_left_out(evil_crate(Some(&posing), &[]), "it is the manifest of `serde 1.0.0`");
    assert_left_out(evil_crate(Some(&MANIFEST.replace("1.0.0", "1.0.1")), &[]), "it is the manifest of `evil 1.0.1`");
}

#[test]
fn invalid_archives_and_bombs_are_left_out() {
    assert_left_out(pack_bytes(b"not gzip at all".to_vec()), "archive cannot be read");
    let size = 600 << 20;
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o644);
    tar.append_data(&mut header, "evil-1.0.0/zeros", io::repeat(0).take(size)).unwrap();
    let bomb = pack_bytes(tar.into_inner().unwrap().finish().unwrap());
    assert!(bomb.bytes.len() < 16 << 20);
    assert_left_out(bomb, "unpacks to more than 536870912 bytes");
}
