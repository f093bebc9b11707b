//! Good archives and forged ones.

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;
use crate::digest::BUFFER;

/// Type, path and content of an entry; paths as raw bytes, so that any can be forged.
type Forged<'a> = (EntryType, &'a [u8], &'a [u8], u32);

fn gzipped(entries: &[Forged<'_>]) -> Vec<u8> {
    let mut tar = Vec::new();
    for (kind, path, content, mode) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_size(content.len() as u64);
        header.set_mode(*mode);
        header.as_mut_bytes()[..path.len()].copy_from_slice(path);
        if matches!(kind, EntryType::Symlink | EntryType::Link) {
            header.set_link_name("/etc/passwd").expect("short");
        }
        header.set_cksum();
        tar.extend_from_slice(header.as_bytes());
        tar.extend_from_slice(content);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar.resize(tar.len() + 1024, 0);
    gzip(&tar)
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), Compression::fast());
    out.write_all(plain).expect("to memory");
    out.finish().expect("to memory")
}

fn file<'a>(path: &'a str, content: &'a str) -> Forged<'a> {
    (EntryType::Regular, path.as_bytes(), content.as_bytes(), 0o644)
}

fn run(bytes: &[u8]) -> (tempfile::TempDir, Result<Unpacked, Error>) {
    let folder = tempfile::tempdir().expect("temporary folder");
    let root = folder.path().join("a-1.0.0");
    fs::create_dir(&root).expect("folder");
    let id = CrateId::parse("a", "1.0.0").expect("valid");
    let result = unpack(bytes, bytes.len() as u64, &id, &root, &mut vec![0; BUFFER], &|| false);
    (folder, result)
}

fn why(entries: &[Forged<'_>]) -> String {
    let (folder, result) = run(&gzipped(entries));
    let outside = fs::read_dir(folder.path()).expect("list").count();
    assert_eq!(outside, 1, "something lies outside of the crate's folder");
    match result {
        Err(Error::Refused(why)) => match std::error::Error::source(&why) {
            Some(source) => source.to_string(),
            None => why.to_string(),
        },
        other => {
            panic!("{:?} was not refused: {other:?}", entries.last().map(|entry| entry.1.escape_ascii().to_string()))
        }
    }
}

#[test]
fn files_and_folders_come_out_as_they_went_in() {
    let long = format!("a-1.0.0/{}", "n".repeat(180));
    let global = (EntryType::XGlobalHeader, &b"pax_global_header"[..], &b"18 comment=abcdef\n"[..], 0o644);
    let pax = (EntryType::XHeader, &b"PaxHeaders/x"[..], "28 path=a-1.0.0/sp\u{e9}cial.rs\n".as_bytes(), 0o644);
    let (folder, result) = run(&gzipped(&[
        global,
        (EntryType::Directory, b"a-1.0.0/", b"", 0o755),
        file("a-1.0.0/Cargo.toml", "x"),
        (EntryType::Directory, b"a-1.0.0/src/empty", b"", 0o000),
        (EntryType::Regular, b"a-1.0.0/configure", b"#!/bin/sh\n", 0o4755),
        (EntryType::GNULongName, b"././@LongLink", format!("{long}\0").as_bytes(), 0o644),
        file("a-1.0.0/short", "long"),
        pax,
        file("a-1.0.0/ignored", "e"),
        file("a-1.0.0/src/.cargo-ok", "mark"),
        file("a-1.0.0/.cargo-checksum.json", "forged"),
        file("a-1.0.0/con/aux. ", "odd names are a matter of the system"),
        file("a-1.0.0/Con/other", "folders may differ in case"),
    ]));
    let unpacked = result.expect("unpacked");
    let root = folder.path().join("a-1.0.0");
    let names: Vec<&str> = unpacked.files.keys().map(String::as_str).collect();
    let expected = ["Cargo.toml", "Con/other", "con/aux. ", "configure", &long["a-1.0.0/".len()..], "sp\u{e9}cial.rs"];
    assert_eq!(names, expected);
    for (name, digest) in &unpacked.files {
        assert_eq!(Sha256::of_file(&root.join(name)).expect("read").0, *digest, "{name}");
    }
    assert!(root.join("src/empty").is_dir() && !root.join("src/.cargo-ok").exists() && !root.join(CHECKSUMS).exists());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |name: &str| fs::metadata(root.join(name)).expect("there").permissions().mode() & 0o4700;
        assert_eq!((mode("configure"), mode("Cargo.toml")), (0o700, 0o600));
    }
}

#[test]
fn what_is_hostile_is_refused() {
    let good = file("a-1.0.0/src/lib.rs", "");
    for path in [
        "/etc/passwd",
        "../x",
        "a-1.0.0/../x",
        "a-1.0.0/src/../../../x",
        "a-1.0.0/./x",
        "a-1.0.0//x",
        "./a-1.0.0/x",
        "x",
        "a-1.0.00/x",
        "a-1.0.0",
        "a-1.0.0/",
        "b-1.0.0/src/lib.rs",
        "a-1.0.0/x\\..\\..\\y",
        "a-1.0.0/C:x",
        "a-1.0.0/x:stream",
        "a-1.0.0/src/lib.rs",
        "a-1.0.0/src/LIB.rs",
        "a-1.0.0/SRC/lib.rs",
        "a-1.0.0/src",
        "a-1.0.0/Src",
        "a-1.0.0/src/lib.rs/x",
        "a-1.0.0/.Cargo-checksum.json",
    ] {
        why(&[good, file(path, "x")]);
        let long = format!("{path}\0");
        let hidden = (EntryType::GNULongName, &b"././@LongLink"[..], long.as_bytes(), 0o644);
        why(&[good, hidden, file("a-1.0.0/harmless", "x")]);
    }
    for kind in [b'1', b'2', b'3', b'4', b'5' + 1, b'7', b'S', b'V', b'K'].map(EntryType::new) {
        why(&[(kind, b"a-1.0.0/x", b"", 0o644)]);
        why(&[(kind, b"a-1.0.0/.cargo-ok", b"", 0o644)]);
    }
    assert!(why(&[(EntryType::Directory, b"../x", b"", 0o755)]).contains("own folder"));
    assert!(
        why(&[file("a-1.0.0/x", ""), (EntryType::Directory, b"a-1.0.0/x", b"", 0o755)]).contains("where a file is")
    );
    assert!(why(&[(EntryType::Regular, b"a-1.0.0/\xff", b"", 0o644)]).contains("UTF-8"));
    let sized = (EntryType::XHeader, &b"x"[..], &b"12 size=999\n"[..], 0o644);
    assert!(why(&[sized, file("a-1.0.0/x", "x")]).contains("once more"));
    let climbing = (EntryType::XHeader, &b"x"[..], &b"13 path=../x\n"[..], 0o644);
    assert!(why(&[climbing, file("a-1.0.0/x", "x")]).contains("own folder"));
}

#[test]
fn bombs_do_not_go_off() {
    let huge = vec![b'x'; 70_000];
    assert!(why(&[(EntryType::GNULongName, b"a-1.0.0/x", &huge, 0o644)]).contains("more paths"));
    let names: Vec<String> = (0..200_000).map(|n| format!("a-1.0.0/{n}/x")).collect();
    let budget = NAMES_BUDGET / PATH_OVERHEAD;
    let mut tree = Tree { names: 0, ..Tree::new(&CrateId::parse("a", "1.0.0").expect("valid"), Path::new("/")) };
    let taken = names.iter().take_while(|name| tree.below(name.as_bytes()).is_ok()).count();
    assert!(taken < budget, "{taken} names were taken");

    // A gigabyte of zeros, stated as one file.
    let mut header = tar::Header::new_gnu();
    header.set_path("a-1.0.0/zeros").expect("short");
    header.set_size(1 << 30);
    header.set_mode(0o644);
    header.set_cksum();
    let mut out = GzEncoder::new(Vec::new(), Compression::fast());
    out.write_all(header.as_bytes()).expect("to memory");
    let zeros = vec![0; 1 << 20];
    (0..1 << 10).for_each(|_| out.write_all(&zeros).expect("to memory"));
    let (_folder, result) = run(&out.finish().expect("to memory"));
    let Err(Error::Refused(Refused::Archive(source))) = result else { panic!("{result:?}") };
    assert!(source.to_string().contains("more than 536870912 bytes"), "{source}");
}

#[test]
fn what_is_no_archive_is_refused_and_who_stops_is_heard() {
    let good = gzipped(&[file("a-1.0.0/Cargo.toml", "x")]);
    for bytes in [&b""[..], b"nonsense", &good[..good.len() / 2], &gzip(&[7; 512])] {
        assert!(matches!(run(bytes).1, Err(Error::Refused(Refused::Archive(_)))), "{bytes:?}");
    }
    let folder = tempfile::tempdir().expect("temporary folder");
    let id = CrateId::parse("a", "1.0.0").expect("valid");
    let length = good.len() as u64;
    let stopped = unpack(&good[..], length, &id, folder.path(), &mut vec![0; BUFFER], &|| true);
    assert!(matches!(stopped, Err(Error::Stopped)));
}
