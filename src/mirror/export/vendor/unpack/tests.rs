//! Valid and forged archives.

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;
use crate::digest::BUFFER_SIZE;

/// Type, path, content and mode of an entry; paths are raw bytes, so that any can be forged.
type ForgedEntry<'a> = (EntryType, &'a [u8], &'a [u8], u32);

fn gzipped(entries: &[ForgedEntry<'_>]) -> Vec<u8> {
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

fn file<'a>(path: &'a str, content: &'a str) -> ForgedEntry<'a> {
    (EntryType::Regular, path.as_bytes(), content.as_bytes(), 0o644)
}

/// Paths of the files, and their content on disk.
fn contents(root: &Path, unpacked: &UnpackReport) -> Vec<(String, String)> {
    let read = |path: &String| (path.clone(), fs::read_to_string(root.join(path)).expect("a file of that name"));
    unpacked.files.keys().map(read).collect()
}

/// Converts literals for comparison with [`contents`].
fn texts(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
}

fn run(bytes: &[u8]) -> (tempfile::TempDir, Result<UnpackReport, Error>) {
    let folder = tempfile::tempdir().expect("temporary folder");
    let root = folder.path().join("a-1.0.0");
    fs::create_dir(&root).expect("folder");
    let id = CrateId::parse("a", "1.0.0").expect("valid");
    let result = unpack(bytes, bytes.len() as u64, &id, &root, &mut vec![0; BUFFER_SIZE], &|| false);
    (folder, result)
}

fn rejection_of(entries: &[ForgedEntry<'_>]) -> String {
    let (folder, result) = run(&gzipped(entries));
    let outside = fs::read_dir(folder.path()).expect("list").count();
    assert_eq!(outside, 1, "a file is outside of the crate's folder");
    match result {
        Err(Error::Rejected(why)) => match std::error::Error::source(&why) {
            Some(source) => source.to_string(),
            None => why.to_string(),
        },
        other => {
            panic!("{:?} was not refused: {other:?}", entries.last().map(|entry| entry.1.escape_ascii().to_string()))
        }
    }
}

#[test]
fn files_and_folders_are_unpacked_unchanged() {
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
        file("a-1.0.0/sub/.cargo-checksum.json", "only the crate's own is cargo's"),
        file("a-1.0.0/con/aux. ", "odd names are a matter of the system"),
        file("a-1.0.0/Con/other", "folders may differ in case"),
        file("a-1.0.0/./dot//x:y", "cargo reads paths as the system does"),
    ]));
    let unpacked = result.expect("unpacked");
    let root = folder.path().join("a-1.0.0");
    let names: Vec<&str> = unpacked.files.keys().map(String::as_str).collect();
    let expected = [
        "Cargo.toml",
        "Con/other",
        "con/aux. ",
        "configure",
        "dot/x:y",
        &long["a-1.0.0/".len()..],
        "sp\u{e9}cial.rs",
        "sub/.cargo-checksum.json",
    ];
    assert_eq!(names, expected);
    for (name, file) in &unpacked.files {
        let (digest, size) = Sha256::of_file(&root.join(name)).expect("read");
        assert_eq!((digest, size), (file.sha256, file.size), "{name}");
    }
    assert!(unpacked.case_conflicts.is_empty() && unpacked.replaced.is_empty());
    assert!(
        root.join("src/empty").is_dir() && !root.join("src/.cargo-ok").exists() && !root.join(CHECKSUM_FILE).exists()
    );
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |name: &str| fs::metadata(root.join(name)).expect("there").permissions().mode() & 0o4700;
        assert_eq!((mode("configure"), mode("Cargo.toml")), (0o700, 0o600));
    }
}

#[test]
fn hostile_entries_are_rejected() {
    let good = file("a-1.0.0/src/lib.rs", "");
    for path in [
        "/etc/passwd",
        "../x",
        "a-1.0.0/../x",
        "a-1.0.0/src/../../../x",
        "./a-1.0.0/x",
        "x",
        "a-1.0.00/x",
        "a-1.0.0",
        "b-1.0.0/src/lib.rs",
        "a-1.0.0/x\\..\\..\\y",
        "a-1.0.0/src",
        "a-1.0.0/./src/.",
        "a-1.0.0/src/lib.rs/x",
    ] {
        rejection_of(&[good, file(path, "x")]);
        let long = format!("{path}\0");
        let hidden = (EntryType::GNULongName, &b"././@LongLink"[..], long.as_bytes(), 0o644);
        rejection_of(&[good, hidden, file("a-1.0.0/harmless", "x")]);
    }
    for kind in [b'1', b'2', b'3', b'4', b'5' + 1, b'7', b'S', b'V', b'K'].map(EntryType::new) {
        rejection_of(&[(kind, b"a-1.0.0/x", b"", 0o644)]);
        rejection_of(&[(kind, b"a-1.0.0/.cargo-ok", b"", 0o644)]);
    }
    assert!(rejection_of(&[(EntryType::Directory, b"../x", b"", 0o755)]).contains("own folder"));
    assert!(
        rejection_of(&[file("a-1.0.0/x", ""), (EntryType::Directory, b"a-1.0.0/x", b"", 0o755)])
            .contains("but a file has that name")
    );
    assert!(rejection_of(&[(EntryType::Regular, b"a-1.0.0/\xff", b"", 0o644)]).contains("UTF-8"));
    let sized = (EntryType::XHeader, &b"x"[..], &b"12 size=999\n"[..], 0o644);
    assert!(rejection_of(&[sized, file("a-1.0.0/x", "x")]).contains("a second time"));
    let climbing = (EntryType::XHeader, &b"x"[..], &b"13 path=../x\n"[..], 0o644);
    assert!(rejection_of(&[climbing, file("a-1.0.0/x", "x")]).contains("own folder"));
}

#[test]
fn the_last_entry_of_a_repeated_path_wins() {
    let (folder, result) = run(&gzipped(&[
        file("a-1.0.0/Cargo.toml", "first and longer"),
        file("a-1.0.0/src/lib.rs", "lib"),
        file("a-1.0.0/Cargo.toml", "last"),
    ]));
    let unpacked = result.expect("unpacked");
    let expected = texts(&[("Cargo.toml", "last"), ("src/lib.rs", "lib")]);
    assert_eq!(contents(&folder.path().join("a-1.0.0"), &unpacked), expected);
    assert_eq!((unpacked.total_bytes(), unpacked.files["Cargo.toml"].sha256), (7, Sha256::of(b"last")));
    assert!(unpacked.case_conflicts.is_empty() && unpacked.replaced.is_empty());
}

#[test]
fn paths_that_differ_in_case_are_both_unpacked() {
    let (folder, result) = run(&gzipped(&[
        file("a-1.0.0/README.md", "one"),
        file("a-1.0.0/Src/lib.rs", "three"),
        file("a-1.0.0/readme.md", "two"),
        file("a-1.0.0/src/lib.rs", "four"),
        file("a-1.0.0/readme.md", "again"),
    ]));
    let unpacked = result.expect("unpacked");
    let expected =
        texts(&[("README.md", "one"), ("Src/lib.rs", "three"), ("readme.md", "again"), ("src/lib.rs", "four")]);
    assert_eq!(contents(&folder.path().join("a-1.0.0"), &unpacked), expected);
    assert_eq!(unpacked.case_conflicts, [["README.md", "readme.md"], ["Src/lib.rs", "src/lib.rs"]]);
    assert!(unpacked.replaced.is_empty());
}

/// Unpacks on a simulated file system that keeps only one spelling.
fn unpack_ignoring_case(root: &Path, entries: &[(&str, &str)]) -> Result<UnpackReport, Error> {
    let id = CrateId::parse("a", "1.0.0").expect("valid");
    let mut tree = Unpacker { spelling: |path| path.to_lowercase(), ..Unpacker::new(&id, root) };
    for (path, text) in entries {
        let path = format!("a-1.0.0/{path}");
        match path.strip_suffix('/') {
            Some(_) => tree.add_folder(path.as_bytes())?,
            None => tree.add_file(path.as_bytes(), false, &mut text.as_bytes(), &mut [0; 16], &|| false)?,
        }
    }
    Ok(tree.finish())
}

#[test]
fn on_a_case_insensitive_file_system_the_last_entry_wins_and_the_other_is_reported() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let entries = [("README.md", "one"), ("Src/lib.rs", "lib"), ("src/other.rs", "x"), ("readme.md", "two")];
    let unpacked = unpack_ignoring_case(folder.path(), &entries).expect("unpacked");
    let names: Vec<&str> = unpacked.files.keys().map(String::as_str).collect();
    assert_eq!(names, ["Src/lib.rs", "readme.md", "src/other.rs"]);
    assert_eq!(unpacked.files["readme.md"].sha256, Sha256::of(b"two"));
    assert_eq!(fs::read_to_string(folder.path().join("readme.md")).expect("there"), "two");
    let replaced = CaseReplacement { lost: "README.md".to_owned(), kept: "readme.md".to_owned() };
    assert_eq!((unpacked.replaced, unpacked.case_conflicts), (vec![replaced], Vec::<Vec<String>>::new()));

    let back_and_forth = [("A", "1"), ("a", "2"), ("A", "3"), ("A", "4")];
    let folder = tempfile::tempdir().expect("temporary folder");
    let unpacked = unpack_ignoring_case(folder.path(), &back_and_forth).expect("unpacked");
    assert_eq!(unpacked.files.keys().collect::<Vec<_>>(), ["A"]);
    assert_eq!(unpacked.files["A"].sha256, Sha256::of(b"4"));

    for clash in [[("src/", ""), ("Src", "x")], [("src", "x"), ("Src/lib.rs", "x")], [("src", "x"), ("SRC/", "")]] {
        let folder = tempfile::tempdir().expect("temporary folder");
        let refused = unpack_ignoring_case(folder.path(), &clash);
        assert!(matches!(refused, Err(Error::Rejected(Rejection::Path { .. }))), "{clash:?}: {refused:?}");
    }
}

#[test]
fn git_control_files_are_left_out() {
    let (folder, result) = run(&gzipped(&[
        file("a-1.0.0/.gitignore", "/target"),
        file("a-1.0.0/.gitattributes", "* text"),
        file("a-1.0.0/sub/.gitignore", "*.c"),
        file("a-1.0.0/sub/.gitattributes", "*.c eol=crlf"),
        file("a-1.0.0/sub/.git", "gitdir: /elsewhere"),
        file("a-1.0.0/.git/config", "[core]"),
        file("a-1.0.0/sub/.GIT/hooks/post-checkout", "#!/bin/sh"),
        (EntryType::Directory, b"a-1.0.0/git~1", b"", 0o755),
        file("a-1.0.0/sub/a.c", "kept"),
        file("a-1.0.0/.github/x", "kept"),
        file("a-1.0.0/a.orig", "kept"),
    ]));
    let unpacked = result.expect("unpacked");
    let root = folder.path().join("a-1.0.0");
    let kept = texts(&[(".github/x", "kept"), ("a.orig", "kept"), ("sub/a.c", "kept")]);
    assert_eq!(contents(&root, &unpacked), kept);
    assert!(!root.join(".git").exists() && !root.join("git~1").exists() && !root.join("sub/.GIT").exists());
}

#[test]
fn reserved_windows_names_are_rejected() {
    for name in ["con", "CON", "aux.rs", "nul.tar.gz", "com1", "LPT9.txt", "prn ", "conin$"] {
        assert_eq!(component_fault(name, true), Some("has a name that Windows reserves"), "{name}");
        assert_eq!(component_fault(name, false), None, "{name}");
    }
    for name in ["console", "com0", "com10", "lpt", "auxiliary.rs", ".con", "x.con"] {
        assert_eq!(component_fault(name, true), None, "{name}");
    }
    assert!(component_fault("a:b", true).is_some() && component_fault("a:b", false).is_none());
    assert!(component_fault("a\\b", false).is_some() && component_fault("..", false).is_some());
}

#[test]
fn decompression_bombs_are_rejected() {
    let huge = vec![b'x'; 70_000];
    assert!(rejection_of(&[(EntryType::GNULongName, b"a-1.0.0/x", &huge, 0o644)]).contains("memory limit"));
    let names: Vec<String> = (0..200_000).map(|n| format!("a-1.0.0/{n}/x")).collect();
    let budget = NAMES_BUDGET / PATH_OVERHEAD;
    let mut tree =
        Unpacker { name_bytes: 0, ..Unpacker::new(&CrateId::parse("a", "1.0.0").expect("valid"), Path::new("/")) };
    let taken = names.iter().take_while(|name| tree.path_in_crate(name.as_bytes()).is_ok()).count();
    assert!(taken < budget, "{taken} names were accepted");

    // A gigabyte of zeros in one file.
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
    let Err(Error::Rejected(Rejection::Archive(source))) = result else { panic!("{result:?}") };
    assert!(source.to_string().contains("more than 536870912 bytes"), "{source}");
}

#[test]
fn invalid_archives_are_rejected_and_stopping_is_honored() {
    let good = gzipped(&[file("a-1.0.0/Cargo.toml", "x")]);
    for bytes in [&b""[..], b"nonsense", &good[..good.len() / 2], &gzip(&[7; 512])] {
        assert!(matches!(run(bytes).1, Err(Error::Rejected(Rejection::Archive(_)))), "{bytes:?}");
    }
    let folder = tempfile::tempdir().expect("temporary folder");
    let id = CrateId::parse("a", "1.0.0").expect("valid");
    let length = good.len() as u64;
    let stopped = unpack(&good[..], length, &id, folder.path(), &mut vec![0; BUFFER_SIZE], &|| true);
    assert!(matches!(stopped, Err(Error::Stopped)));
}
