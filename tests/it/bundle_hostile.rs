//! Hostile bundles: each is refused by the name of what is wrong, by the streaming reader and by `verify` alike.

use std::error::Error as _;
use std::fs;
use std::io::Cursor;

use frostmirror::artifact::Kind;
use frostmirror::bundle::format::{CrateState, Encoding, Entry, MAX_LINE};
use frostmirror::bundle::open::{Bundle, Error, Passing, Streamed};
use frostmirror::bundle::verify::verify;
use frostmirror::digest::Sha256;
use frostmirror::event::Silent;
use tempfile::tempdir;

use crate::support::forge::{self, FakeCrate, Forged, assemble, brotli, entry, header, seal};

/// All that the streaming reader has to say; nothing where the bundle is good.
pub fn streamed(bytes: &[u8]) -> Vec<String> {
    told(Bundle::open(Cursor::new(bytes), "x.pkg").and_then(|bundle| bundle.stream(&mut Passing)))
}

/// All that `verify` has to say.
fn verified(bytes: &[u8]) -> Vec<String> {
    let folder = tempdir().expect("a folder");
    let path = folder.path().join("x.pkg");
    fs::write(&path, bytes).expect("a file");
    told(verify(&path, folder.path(), &Silent))
}

fn told(outcome: Result<Streamed, Error>) -> Vec<String> {
    match outcome {
        Ok(streamed) => streamed.problems.iter().map(ToString::to_string).collect(),
        Err(error) => vec![match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        }],
    }
}

/// Both readers refuse these bytes, each with a line that has all of `words`.
pub fn refused(bytes: &[u8], words: &[&str]) {
    for problems in [streamed(bytes), verified(bytes)] {
        let named = problems.iter().any(|line| words.iter().all(|word| line.contains(word)));
        assert!(named, "no line has {words:?} in {problems:#?}");
    }
}

/// A bundle small enough to try every byte of.
pub fn small() -> Forged {
    Forged::of(&[FakeCrate::new("a", "1.0.0", 60), FakeCrate::new("bb", "0.2.0", 40)])
}

/// Where the manifest and the payload begin.
pub fn regions(bytes: &[u8]) -> (usize, usize) {
    let length = u64::from_le_bytes(bytes[36..44].try_into().expect("eight"));
    (96, 96 + usize::try_from(length).expect("small"))
}

#[test]
fn every_flip_in_the_header_is_the_headers() {
    let good = small().bytes();
    assert_eq!(streamed(&good), [""; 0]);
    for place in 0..96 {
        for bit in [0, 3, 7] {
            let mut bytes = good.clone();
            bytes[place] ^= 1 << bit;
            let problems = streamed(&bytes);
            assert!(problems[0].contains("header"), "byte {place}: {problems:?}");
        }
        let mut bytes = good.clone();
        bytes[place] = !bytes[place];
        refused(&bytes, &["header"]);
    }
}

#[test]
fn every_flip_in_the_manifest_is_the_manifests() {
    let good = small().bytes();
    let (begin, end) = regions(&good);
    for place in begin..end {
        let mut bytes = good.clone();
        bytes[place] ^= 1 << (place % 8);
        let problems = streamed(&bytes);
        assert!(problems[0].contains("the manifest of `x.pkg` is damaged"), "byte {place}: {problems:?}");
    }
    let mut bytes = good;
    bytes[(begin + end) / 2] ^= 1;
    refused(&bytes, &["manifest", "is damaged"]);
}

#[test]
fn every_flip_in_the_payload_names_its_entry() {
    let forged = small();
    let good = forged.bytes();
    let (_, mut place) = regions(&good);
    for (block, stored) in forged.manifest.blocks.iter().zip(&forged.payload) {
        for _ in stored {
            let mut bytes = good.clone();
            bytes[place] ^= 1 << (place % 8);
            let problems = streamed(&bytes);
            let named = |entry: &Entry| problems.iter().any(|line| line.contains(entry.path.as_str()));
            assert!(block.entries.iter().any(named), "byte {place}: {problems:?}");
            let others = forged.manifest.entries().filter(|entry| !block.entries.contains(entry));
            assert!(!others.into_iter().any(named), "byte {place}: {problems:?}");
            if place % 16 == 0 {
                assert_eq!(verified(&bytes), problems);
            }
            place += 1;
        }
    }
}

#[test]
fn every_problem_is_told_not_only_the_first() {
    let forged = Forged::of(&forge::some_crates());
    let mut bytes = forged.bytes();
    let (_, begin) = regions(&bytes);
    let first = forged.payload[0].len() + forged.payload[1].len();
    bytes[begin] ^= 1;
    bytes[begin + first + 5] ^= 1;
    bytes.push(0);
    let problems = streamed(&bytes);
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert_eq!(verified(&bytes), problems);
}

#[test]
fn wherever_the_file_is_cut_the_place_is_named() {
    let forged = small();
    let good = forged.bytes();
    let (begin, payload) = regions(&good);
    let mut ends = Vec::new();
    for (block, stored) in forged.manifest.blocks.iter().zip(&forged.payload) {
        let last = ends.last().map_or(payload, |(_, end)| *end);
        ends.push((block, last + stored.len()));
    }
    for length in 0..good.len() {
        let problems = streamed(&good[..length]);
        let word = match length {
            _ if length < begin => "x.pkg",
            _ if length < payload => "manifest",
            _ => {
                let (block, _) = ends.iter().find(|(_, end)| length < *end).expect("a block");
                let named = |entry: &Entry| problems[0].contains(entry.path.as_str());
                assert!(block.entries.iter().any(named), "{length}: {problems:?}");
                "the file ends"
            }
        };
        assert!(problems[0].contains(word), "{length}: {problems:?}");
        assert!((4..96).contains(&length) == problems[0].contains("header") || length < 4, "{length}: {problems:?}");
        if length % 13 == 0 {
            assert_eq!(verified(&good[..length]).len(), problems.len());
        }
    }
}

#[test]
fn bytes_behind_the_last_entry_are_refused() {
    let good = small().bytes();
    for surplus in [&b"\0"[..], b"more and more", &good] {
        refused(&[&good, surplus].concat(), &["follow the last entry"]);
    }
}

#[test]
fn an_entry_that_the_manifest_lacks_is_not_taken() {
    let mut forged = small();
    forged.stored(entry("crates/evil-1.0.0.crate", Kind::Crate, b"evil"), b"evil");
    forged.manifest.blocks.pop();
    refused(&forged.bytes(), &["follow the last entry"]);

    // In the middle, it pushes what follows out of its place.
    let mut forged = small();
    forged.payload.insert(1, b"evil".to_vec());
    refused(&forged.bytes(), &["crates/bb-0.2.0.crate"]);
    refused(&forged.bytes(), &["index/1/a"]);
}

#[test]
fn paths_that_are_not_safe_are_refused_by_name() {
    let hostile = [
        "/etc/passwd",
        "../x",
        "crates/../../x",
        "crates/..",
        "crates//x",
        "./x",
        "C:/x",
        "crates\\\\x",
        "crates/x\\u0000",
        "",
        "crates/a.",
        "crates/a-1.0.0.crate/",
    ];
    for path in hostile {
        let bytes = small().bytes_with(|json| json.replace("crates/a-1.0.0.crate", path));
        refused(&bytes, &["manifest", "unsafe path"]);
        let shown = path.trim_end_matches("\\u0000");
        assert!(streamed(&bytes)[0].contains(shown), "{path}: {:?}", streamed(&bytes));
    }
    // Not UTF-8 at all: the manifest is no JSON then.
    let mut manifest = small().manifest;
    manifest.seal();
    let mut json = serde_json::to_vec(&manifest).expect("JSON");
    let place = json.windows(8).position(|part| part == b"crates/a").expect("the path");
    json[place + 7] = 0xff;
    refused(&assemble(json, &[]), &["manifest", "malformed"]);
}

#[test]
fn paths_of_no_kind_are_refused_by_name() {
    for path in
        ["crates/x", "manifest.json", ".frostmirror/format", "index/config.json", "crates/index/1/a", "dist/x", "z"]
    {
        let bytes = small().bytes_with(|json| json.replace("\"crates/bb-0.2.0.crate\"", &format!("\"{path}\"")));
        refused(&bytes, &["manifest", path]);
    }
}

#[test]
fn duplicates_and_collisions_are_refused_by_name() {
    let one = FakeCrate::new("a", "1.0.0", 60);
    let twice = |path: &str, kind: Kind, other: &str| {
        let mut forged = Forged::of(std::slice::from_ref(&one));
        let config = (forged.manifest.blocks.pop().expect("config"), forged.payload.pop().expect("config"));
        for path in [path, other] {
            forged.stored(entry(path, kind, b"x"), b"x");
        }
        forged.manifest.blocks.push(config.0);
        forged.payload.push(config.1);
        forged.bytes()
    };
    refused(&twice("dist/x", Kind::Dist, "dist/x"), &["manifest", "dist/x", "twice"]);
    refused(&twice("dist/X", Kind::Dist, "dist/x"), &["manifest", "dist/x", "only in case"]);
    refused(&twice("dist/\u{c4}", Kind::Dist, "dist/\u{e4}"), &["manifest", "dist/", "only in case"]);
    refused(&twice("dist/x", Kind::Dist, "dist/x/y"), &["manifest", "dist/x/y", "below a path that is a file"]);
    refused(&twice("dist/X", Kind::Dist, "dist/x/y"), &["manifest", "dist/x/y", "below a path that is a file"]);
    refused(&twice("dist/y", Kind::Dist, "dist/x"), &["manifest", "dist/x", "out of order"]);

    let mut forged = Forged::of(std::slice::from_ref(&one));
    forged.manifest.blocks.insert(1, forged.manifest.blocks[0].clone());
    forged.payload.insert(1, one.bytes.clone());
    refused(&forged.bytes(), &["manifest", "crates/a-1.0.0.crate", "twice"]);

    let both = [FakeCrate::new("A", "1.0.0", 6), one.clone()];
    refused(&Forged::of(&both).bytes(), &["manifest", "a-1.0.0", "different case"]);
}

#[test]
fn entries_out_of_order_are_refused_by_name() {
    let mut forged = small();
    forged.manifest.blocks.swap(0, 1);
    forged.payload.swap(0, 1);
    refused(&forged.bytes(), &["manifest", "crates/a-1.0.0.crate", "out of order"]);

    let mut forged = small();
    let last = forged.manifest.blocks.len() - 1;
    forged.manifest.blocks.swap(0, last);
    refused(&forged.bytes(), &["manifest", "out of order"]);
}

#[test]
fn sizes_that_lie_are_refused_by_name() {
    // Of a crate: the table of crates contradicts, or, where it lies too, the digest does.
    for (size, word) in [(59, "SHA-256"), (61, "SHA-256"), (u64::MAX, "overflow"), (i64::MAX as u64, "overflow")] {
        let mut forged = small();
        forged.manifest.blocks[0].entries[0].size = size;
        let contradicted = if word == "overflow" { word } else { "another digest or size" };
        refused(&forged.bytes(), &["manifest", contradicted]);
        forged.manifest.crates[0].size = size;
        match word {
            "overflow" => refused(&forged.bytes(), &["manifest", word]),
            _ => refused(&forged.bytes(), &["crates/a-1.0.0.crate", word]),
        }
    }
    // A size beyond the file: the entry is cut.
    let mut forged = small();
    forged.manifest.blocks[0].entries[0].size = 1 << 40;
    forged.manifest.crates[0].size = 1 << 40;
    refused(&forged.bytes(), &["crates/a-1.0.0.crate", "the file ends"]);
    // Of an encoded entry.
    for (size, words) in [(10, "SHA-256"), (10_000, "index/1/a"), (u64::MAX, "overflow"), (1 << 30, "too large")] {
        let mut forged = small();
        let place = forged.place(Kind::Index);
        forged.manifest.blocks[place].entries[0].size = size;
        refused(&forged.bytes(), &["index/1/a", words]);
    }
    // Of the stored bytes.
    for (size, words) in [(5, "index/1/a"), (1000, "index/1/a"), (u64::MAX, "too large"), (0, "index/1/a")] {
        let mut forged = small();
        let place = forged.place(Kind::Index);
        forged.manifest.blocks[place].stored.as_mut().expect("encoded").size = size;
        refused(&forged.bytes(), &["index/1/a", words]);
    }
    // Of the manifest, in the header.
    let good = small().bytes();
    let (_, end) = regions(&good);
    let (stored, sha) = (end as u64 - 96, Sha256::of(&good[96..end]));
    let plain = u64::from_le_bytes(good[44..52].try_into().expect("eight"));
    for (stored, plain, word) in [
        (stored, plain + 1, "fewer bytes than"),
        (stored, plain - 1, "more bytes than"),
        (stored, u64::MAX, "header"),
        (u64::MAX, plain, "header"),
        (1 << 26, plain, "the file ends"),
        (stored - 1, plain, "SHA-256"),
        (0, 0, "SHA-256"),
    ] {
        let bytes = [&header(1, "0.1.0", stored, plain, &sha)[..], &good[96..]].concat();
        refused(&bytes, &[word]);
    }
}

#[test]
fn surplus_inside_a_block_is_refused_by_name() {
    let mut forged = small();
    let place = forged.place(Kind::Index);
    let entries = forged.manifest.blocks[place].entries.clone();
    let longer = [&forged.payload[place][..], b"x"].concat();
    forged.encoded(entries, &longer);
    forged.manifest.blocks.swap_remove(place);
    forged.payload.swap_remove(place);
    refused(&forged_in_order(forged).bytes(), &["index/1/a", "damaged"]);

    let mut forged = small();
    let entries = forged.manifest.blocks[place].entries.clone();
    forged.encoded(entries, &brotli(format!("{}surplus", index_text(&small())).as_bytes()));
    forged.manifest.blocks.swap_remove(place);
    forged.payload.swap_remove(place);
    refused(&forged_in_order(forged).bytes(), &["index/1/a", "damaged"]);
}

/// `swap_remove` put the last block where the removed one was; that is its place.
fn forged_in_order(forged: Forged) -> Forged {
    assert!(forged.manifest.blocks.windows(2).all(|pair| pair[0].entries[0].kind <= pair[1].entries[0].kind));
    forged
}

fn index_text(forged: &Forged) -> String {
    let crates: Vec<FakeCrate> =
        [("a", "1.0.0", 60), ("bb", "0.2.0", 40)].map(|(n, v, s)| FakeCrate::new(n, v, s)).into();
    assert_eq!(crates.len(), forged.manifest.crates.len());
    forge::index_files(&crates).into_iter().map(|(_, text)| text).collect()
}

#[test]
fn index_lines_must_fit_the_crates() {
    let (a, b) = (FakeCrate::new("a", "1.0.0", 60), FakeCrate::new("bb", "0.2.0", 40));
    let line = |one: &FakeCrate| one.line() + "\n";
    let of = |files: &[(&str, String)]| small().with_index(files).bytes();
    let other = FakeCrate::new("a", "1.0.0", 61);
    refused(
        &of(&[("index/1/a", line(&other)), ("index/2/bb", line(&b))]),
        &["index/1/a", "line 1", "a 1.0.0", "checksum"],
    );
    let stranger = FakeCrate::new("a", "2.0.0", 1);
    let two = line(&a) + &line(&stranger);
    refused(&of(&[("index/1/a", two), ("index/2/bb", line(&b))]), &["index/1/a", "line 2", "a 2.0.0", "not a crate"]);
    refused(&of(&[("index/1/a", line(&a))]), &["bb 0.2.0", "no index line"]);
    refused(&of(&[("index/1/a", line(&a) + &line(&a)), ("index/2/bb", line(&b))]), &["index/1/a", "second line"]);
    refused(&of(&[("index/1/a", line(&a) + &line(&b))]), &["index/1/a", "bb 0.2.0", "another index file"]);
    refused(&of(&[("index/1/a", line(&a)), ("index/2/bb", b.line())]), &["index/2/bb", "line break"]);
    refused(
        &of(&[("index/1/a", line(&a) + "\n"), ("index/2/bb", line(&b))]),
        &["index/1/a", "line 2", "not an index line"],
    );
    refused(&of(&[("index/1/a", line(&a)), ("index/2/bb", b.line() + "\r\n")]), &["index/2/bb", "not an index line"]);
    refused(&of(&[("index/1/a", line(&a)), ("index/2/bb", "{}\n".to_owned())]), &["index/2/bb", "not an index line"]);
    let empty = small()
        .bytes_with(|json| json.replace(r#""path":"index/1/a","size":"#, r#""path":"index/1/a","size":0,"was":"#));
    refused(&empty, &["manifest", "index/1/a", "without a line"]);
}

/// Whoever takes index text holds a file of it in memory, however it is stored.
#[test]
fn an_index_file_larger_than_any_is_refused_by_name() {
    let mut forged = Forged::of(&[FakeCrate::new("a", "1.0.0", 60)]);
    let place = forged.place(Kind::Index);
    let text = "x\n".repeat(5 * 1024 * 1024);
    forged.stored(entry("index/1/a", Kind::Index, text.as_bytes()), text.as_bytes());
    let block = (forged.manifest.blocks.pop().expect("pushed"), forged.payload.pop().expect("pushed"));
    (forged.manifest.blocks[place], forged.payload[place]) = block;
    refused(&forged.bytes(), &["`index/1/a`", "is larger than an index file may be"]);
}

/// Their lines would share one index file, and cargo would take the ones for the others.
#[test]
fn names_that_differ_only_in_case_are_refused_by_name() {
    let forged = Forged::of(&[FakeCrate::new("Foo", "1.0.0", 60), FakeCrate::new("foo", "2.0.0", 60)]);
    refused(&forged.bytes(), &["foo 2.0.0", "in different case"]);
}

/// cargo compares a checksum as text with the lowercase one that it takes of the file.
#[test]
fn a_checksum_that_cargo_would_not_find_equal_is_refused_by_name() {
    let one = FakeCrate::new("a", "1.0.0", 60);
    let line = one.line().replace(&one.sha256().to_string(), &one.sha256().to_string().to_uppercase());
    let forged = Forged::of(&[one]).with_index(&[("index/1/a", format!("{line}\n"))]);
    refused(&forged.bytes(), &["index/1/a", "line 1", "is not an index line that cargo can read"]);
}

#[test]
fn a_line_longer_than_any_is_refused_by_name() {
    let (a, b) = (FakeCrate::new("a", "1.0.0", 60), FakeCrate::new("bb", "0.2.0", 40));
    // Text that does not shrink too well, so that it is the line's length that is refused.
    let noise: String =
        FakeCrate::new("noise", "1.0.0", MAX_LINE).bytes.iter().map(|byte| char::from(b'a' + byte % 26)).collect();
    let files = [("index/1/a", a.line() + "\n"), ("index/2/bb", format!("{}{noise}\n{}\n", b.line(), b.line()))];
    refused(&small().with_index(&files).bytes(), &["index/2/bb", "line 1", "longer than"]);
}

#[test]
fn the_table_of_crates_and_the_entries_are_one() {
    let bent = |bend: &dyn Fn(&mut Forged)| {
        let mut forged = small();
        bend(&mut forged);
        forged.bytes()
    };
    let state = |state: CrateState| bent(&|forged: &mut Forged| forged.manifest.crates[0].state = state);
    refused(&state(CrateState::Sent), &["manifest", "a 1.0.0", "relied on"]);
    refused(&state(CrateState::IndexOnly), &["manifest", "crates/a-1.0.0.crate", "no crate that the table"]);
    refused(&state(CrateState::Kept), &["manifest", "crates/a-1.0.0.crate", "no crate that the table"]);
    let table = |bend: &dyn Fn(&mut Forged)| bent(bend);
    refused(&table(&|f| f.manifest.crates[0].sha256 = Sha256::of(b"")), &["crates/a-1.0.0.crate", "another digest"]);
    refused(&table(&|f| drop(f.manifest.crates.remove(0))), &["manifest"]);
    refused(&table(&|f| f.manifest.crates.swap(0, 1)), &["manifest", "a 1.0.0", "out of order"]);
    refused(&table(&|f| f.manifest.lineage.inputs[0].crates = vec![1, 0]), &["manifest", "depends.toml", "positions"]);
    refused(&table(&|f| f.manifest.lineage.inputs[0].crates = vec![0, 2]), &["manifest", "depends.toml", "positions"]);
    refused(&table(&|f| f.manifest.blocks[0].entries.clear()), &["manifest", "block without entries"]);
    refused(&table(&|f| f.manifest.created = "2026-04-02".to_owned()), &["manifest", "created"]);
    refused(&table(&|f| f.manifest.index_read = "2026-04-02T21:30:00+02:00".to_owned()), &["manifest", "index_read"]);
    refused(&table(&|f| f.manifest.index_read = "9999-12-31T23:59:59Z".to_owned()), &["manifest", "index_read"]);
    refused(&table(&|f| f.manifest.lineage.id = "x".to_owned()), &["manifest", "lineage"]);
    refused(&table(&|f| f.manifest.format.0 = 2), &["manifest", "another format"]);
    refused(&table(&|f| f.manifest.blocks[0].encoding = Encoding::Brotli), &["crates/a-1.0.0.crate", "encoded"]);
    let crate_in_brotli = bent(&|f: &mut Forged| {
        let bytes = f.payload[0].clone();
        let entries = f.manifest.blocks[0].entries.clone();
        f.encoded(entries, &brotli(&bytes));
        f.manifest.blocks.swap_remove(0);
    });
    refused(&crate_in_brotli, &["manifest", "crates/a-1.0.0.crate", "is a crate"]);
}

#[test]
fn a_newer_format_says_what_reads_it() {
    let good = small().bytes();
    let (_, end) = regions(&good);
    let plain = u64::from_le_bytes(good[44..52].try_into().expect("eight"));
    let newer = header(2, "3.4.5", end as u64 - 96, plain, &Sha256::of(&good[96..end]));
    let bytes = [&newer[..], b"whatever a later format has here"].concat();
    refused(&bytes, &["cargo-frostmirror 3.4.5", "format 2", "up to 1"]);
    assert!(!streamed(&bytes)[0].contains("damaged"));
    refused(&[&header(0, "0.0.1", 1, 1, &Sha256::of(b""))[..], b"x"].concat(), &["format 0"]);

    let bytes = small().bytes_with(|json| json.replace(r#""encoding":"brotli""#, r#""encoding":"crate-delta""#));
    refused(&bytes, &["cargo-frostmirror 0.1.0", "crate-delta", "index/1/a"]);
    assert!(!streamed(&bytes)[0].contains("malformed"));
}

#[test]
fn an_id_that_does_not_follow_is_refused_and_unknown_keys_are_not() {
    let other_id = |json: String| json.replacen(&json[7..39], &"0".repeat(32), 1);
    let json = serde_json::to_string(&{
        let mut manifest = small().manifest;
        manifest.seal();
        manifest
    })
    .expect("JSON");
    let payload = small().payload.concat();
    refused(&assemble(other_id(json.clone()), &payload), &["manifest", "id"]);
    refused(&assemble(json.replacen("{\"id\"", "{ \"id\"", 1), &payload), &["manifest", "id"]);
    let novel = json.replacen(r#""tool":"#, r#""novel":{"deep":[1,{"x":null}]},"tool":"#, 1);
    assert_eq!(streamed(&assemble(seal(&novel), &payload)), [""; 0]);
    refused(&assemble(seal(&format!("{json}{{}}")), &payload), &["manifest", "trailing"]);
    refused(
        &assemble(seal(&json.replacen(r#""tool":"#, r#""kind":"full","tool":"#, 1)), &payload),
        &["manifest", "duplicate"],
    );
    refused(
        &assemble(seal(&json.replacen(r#""tool":"#, r#""tol":"#, 1)), &payload),
        &["manifest", "missing field `tool`"],
    );
    let deep = format!(r#""novel":{}{},"tool":"#, "[".repeat(5000), "]".repeat(5000));
    assert_eq!(streamed(&assemble(seal(&json.replacen(r#""tool":"#, &deep, 1)), &payload)), [""; 0]);
    let deep = deep.replace("novel", "targets");
    refused(&assemble(seal(&json.replacen(r#""tool":"#, &deep, 1)), &payload), &["manifest"]);
}

#[test]
fn what_is_no_bundle_is_told_apart() {
    refused(b"", &["x.pkg", "empty"]);
    for bytes in [&b"PK\x03\x04 a zip archive, perhaps"[..], b"x", &[0; 200], b"#!/bin/sh\nexit 0\n"] {
        let problems = streamed(bytes);
        assert_eq!(problems, ["`x.pkg` is not a bundle"]);
        assert!(verified(bytes)[0].ends_with("x.pkg` is not a bundle"), "{:?}", verified(bytes));
    }
}
