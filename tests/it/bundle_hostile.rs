//! Hostile bundles: each is refused by the name of what is wrong, by the streaming reader and by `verify` alike.

use std::error::Error as _;
use std::fs;
use std::io::Cursor;

use frostmirror::bundle::format::{CrateState, Encoding, Entry, MAX_LINE_LENGTH};
use frostmirror::bundle::open::{Bundle, Error, NullVisitor, StreamReport};
use frostmirror::bundle::verify::verify;
use frostmirror::digest::Sha256;
use frostmirror::event::NullSink;
use frostmirror::mirror_file::FileKind;
use tempfile::tempdir;

use crate::support::forged_bundle::{self, FakeCrate, ForgedBundle, assemble, brotli, entry, header, seal};

/// All that the streaming reader has to say; nothing where the bundle is good.
pub fn streaming_problems(bytes: &[u8]) -> Vec<String> {
    problems_of(Bundle::open(Cursor::new(bytes), "x.pkg").and_then(|bundle| bundle.stream(&mut NullVisitor)))
}

/// All that `verify` has to say.
fn verify_problems(bytes: &[u8]) -> Vec<String> {
    let folder = tempdir().expect("a folder");
    let path = folder.path().join("x.pkg");
    fs::write(&path, bytes).expect("a file");
    problems_of(verify(&path, folder.path(), &NullSink))
}

fn problems_of(outcome: Result<StreamReport, Error>) -> Vec<String> {
    match outcome {
        Ok(streamed) => streamed.problems.iter().map(ToString::to_string).collect(),
        Err(error) => vec![match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        }],
    }
}

/// Both readers refuse these bytes, each with a line that has all of `words`.
pub fn assert_refused(bytes: &[u8], expected: &[&str]) {
    for problems in [streaming_problems(bytes), verify_problems(bytes)] {
        let named = problems.iter().any(|line| expected.iter().all(|word| line.contains(word)));
        assert!(named, "no line has {expected:?} in {problems:#?}");
    }
}

/// A bundle small enough to try every byte of.
pub fn small_bundle() -> ForgedBundle {
    ForgedBundle::from_crates(&[FakeCrate::new("a", "1.0.0", 60), FakeCrate::new("bb", "0.2.0", 40)])
}

/// Where the manifest and the payload begin.
pub fn manifest_and_payload_offsets(bytes: &[u8]) -> (usize, usize) {
    let length = u64::from_le_bytes(bytes[36..44].try_into().expect("eight"));
    (96, 96 + usize::try_from(length).expect("small"))
}

#[test]
fn every_flipped_header_byte_is_a_header_error() {
    let good = small_bundle().bytes();
    assert_eq!(streaming_problems(&good), [""; 0]);
    for position in 0..96 {
        for bit in [0, 3, 7] {
            let mut bytes = good.clone();
            bytes[position] ^= 1 << bit;
            let problems = streaming_problems(&bytes);
            assert!(problems[0].contains("header"), "byte {position}: {problems:?}");
        }
        let mut bytes = good.clone();
        bytes[position] = !bytes[position];
        assert_refused(&bytes, &["header"]);
    }
}

#[test]
fn every_flipped_manifest_byte_is_a_manifest_error() {
    let good = small_bundle().bytes();
    let (begin, end) = manifest_and_payload_offsets(&good);
    for position in begin..end {
        let mut bytes = good.clone();
        bytes[position] ^= 1 << (position % 8);
        let problems = streaming_problems(&bytes);
        assert!(problems[0].contains("the manifest of `x.pkg` is damaged"), "byte {position}: {problems:?}");
    }
    let mut bytes = good;
    bytes[(begin + end) / 2] ^= 1;
    assert_refused(&bytes, &["manifest", "is damaged"]);
}

#[test]
fn every_flipped_payload_byte_names_its_entry() {
    let forged = small_bundle();
    let good = forged.bytes();
    let (_, mut position) = manifest_and_payload_offsets(&good);
    for (block, stored) in forged.manifest.blocks.iter().zip(&forged.payload) {
        for _ in stored {
            let mut bytes = good.clone();
            bytes[position] ^= 1 << (position % 8);
            let problems = streaming_problems(&bytes);
            let named = |entry: &Entry| problems.iter().any(|line| line.contains(entry.path.as_str()));
            assert!(block.entries.iter().any(named), "byte {position}: {problems:?}");
            let others = forged.manifest.entries().filter(|entry| !block.entries.contains(entry));
            assert!(!others.into_iter().any(named), "byte {position}: {problems:?}");
            if position % 16 == 0 {
                assert_eq!(verify_problems(&bytes), problems);
            }
            position += 1;
        }
    }
}

#[test]
fn all_problems_are_reported() {
    let forged = ForgedBundle::from_crates(&forged_bundle::sample_crates());
    let mut bytes = forged.bytes();
    let (_, begin) = manifest_and_payload_offsets(&bytes);
    let first = forged.payload[0].len() + forged.payload[1].len();
    bytes[begin] ^= 1;
    bytes[begin + first + 5] ^= 1;
    bytes.push(0);
    let problems = streaming_problems(&bytes);
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert_eq!(verify_problems(&bytes), problems);
}

#[test]
fn truncation_at_any_byte_names_the_position() {
    let forged = small_bundle();
    let good = forged.bytes();
    let (begin, payload) = manifest_and_payload_offsets(&good);
    let mut ends = Vec::new();
    for (block, stored) in forged.manifest.blocks.iter().zip(&forged.payload) {
        let last = ends.last().map_or(payload, |(_, end)| *end);
        ends.push((block, last + stored.len()));
    }
    for length in 0..good.len() {
        let problems = streaming_problems(&good[..length]);
        let word = match length {
            _ if length < begin => "x.pkg",
            _ if length < payload => "manifest",
            _ => {
                let (block, _) = ends.iter().find(|(_, end)| length < *end).expect("a block");
                let named = |entry: &Entry| problems[0].contains(entry.path.as_str());
                assert!(block.entries.iter().any(named), "{length}: {problems:?}");
                "the bundle ends"
            }
        };
        assert!(problems[0].contains(word), "{length}: {problems:?}");
        assert!((4..96).contains(&length) == problems[0].contains("header") || length < 4, "{length}: {problems:?}");
        if length % 13 == 0 {
            assert_eq!(verify_problems(&good[..length]).len(), problems.len());
        }
    }
}

#[test]
fn trailing_bytes_are_refused() {
    let good = small_bundle().bytes();
    for surplus in [&b"\0"[..], b"more and more", &good] {
        assert_refused(&[&good, surplus].concat(), &["follow the last entry"]);
    }
}

#[test]
fn an_entry_missing_from_the_manifest_is_refused() {
    let mut forged = small_bundle();
    forged.add_stored_block(entry("crates/evil-1.0.0.crate", FileKind::Crate, b"evil"), b"evil");
    forged.manifest.blocks.pop();
    assert_refused(&forged.bytes(), &["follow the last entry"]);

    // In the middle, it pushes what follows out of its place.
    let mut forged = small_bundle();
    forged.payload.insert(1, b"evil".to_vec());
    assert_refused(&forged.bytes(), &["crates/bb-0.2.0.crate"]);
    assert_refused(&forged.bytes(), &["index/1/a"]);
}

#[test]
fn unsafe_paths_are_refused_and_named() {
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
        let bytes = small_bundle().bytes_with(|json| json.replace("crates/a-1.0.0.crate", path));
        assert_refused(&bytes, &["manifest", "unsafe path"]);
        let shown = path.trim_end_matches("\\u0000");
        assert!(streaming_problems(&bytes)[0].contains(shown), "{path}: {:?}", streaming_problems(&bytes));
    }
    // Not UTF-8 at all: the manifest is no JSON then.
    let mut manifest = small_bundle().manifest;
    manifest.assign_id();
    let mut json = serde_json::to_vec(&manifest).expect("JSON");
    let position = json.windows(8).position(|part| part == b"crates/a").expect("the path");
    json[position + 7] = 0xff;
    assert_refused(&assemble(json, &[]), &["manifest", "malformed"]);
}

#[test]
fn paths_of_unknown_kind_are_refused_and_named() {
    for path in
        ["crates/x", "manifest.json", ".frostmirror/format", "index/config.json", "crates/index/1/a", "dist/x", "z"]
    {
        let bytes = small_bundle().bytes_with(|json| json.replace("\"crates/bb-0.2.0.crate\"", &format!("\"{path}\"")));
        assert_refused(&bytes, &["manifest", path]);
    }
}

#[test]
fn duplicate_and_colliding_paths_are_refused_and_named() {
    let one = FakeCrate::new("a", "1.0.0", 60);
    let twice = |path: &str, kind: FileKind, other: &str| {
        let mut forged = ForgedBundle::from_crates(std::slice::from_ref(&one));
        let config = (forged.manifest.blocks.pop().expect("config"), forged.payload.pop().expect("config"));
        for path in [path, other] {
            forged.add_stored_block(entry(path, kind, b"x"), b"x");
        }
        forged.manifest.blocks.push(config.0);
        forged.payload.push(config.1);
        forged.bytes()
    };
    assert_refused(&twice("dist/x", FileKind::Dist, "dist/x"), &["manifest", "dist/x", "twice"]);
    assert_refused(&twice("dist/X", FileKind::Dist, "dist/x"), &["manifest", "dist/x", "only in case"]);
    assert_refused(&twice("dist/\u{c4}", FileKind::Dist, "dist/\u{e4}"), &["manifest", "dist/", "only in case"]);
    assert_refused(
        &twice("dist/x", FileKind::Dist, "dist/x/y"),
        &["manifest", "dist/x/y", "below a path that is a file"],
    );
    assert_refused(
        &twice("dist/X", FileKind::Dist, "dist/x/y"),
        &["manifest", "dist/x/y", "below a path that is a file"],
    );
    assert_refused(&twice("dist/y", FileKind::Dist, "dist/x"), &["manifest", "dist/x", "out of order"]);

    let mut forged = ForgedBundle::from_crates(std::slice::from_ref(&one));
    forged.manifest.blocks.insert(1, forged.manifest.blocks[0].clone());
    forged.payload.insert(1, one.bytes.clone());
    assert_refused(&forged.bytes(), &["manifest", "crates/a-1.0.0.crate", "twice"]);

    let both = [FakeCrate::new("A", "1.0.0", 6), one.clone()];
    assert_refused(&ForgedBundle::from_crates(&both).bytes(), &["manifest", "a-1.0.0", "different case"]);
}

#[test]
fn unsorted_entries_are_refused_and_named() {
    let mut forged = small_bundle();
    forged.manifest.blocks.swap(0, 1);
    forged.payload.swap(0, 1);
    assert_refused(&forged.bytes(), &["manifest", "crates/a-1.0.0.crate", "out of order"]);

    let mut forged = small_bundle();
    let last = forged.manifest.blocks.len() - 1;
    forged.manifest.blocks.swap(0, last);
    assert_refused(&forged.bytes(), &["manifest", "out of order"]);
}

#[test]
fn wrong_sizes_are_refused_and_named() {
    // Of a crate: the table of crates contradicts, or, where it lies too, the digest does.
    for (size, word) in [(59, "SHA-256"), (61, "SHA-256"), (u64::MAX, "overflow"), (i64::MAX as u64, "overflow")] {
        let mut forged = small_bundle();
        forged.manifest.blocks[0].entries[0].size = size;
        let contradicted = if word == "overflow" { word } else { "differs in digest or size" };
        assert_refused(&forged.bytes(), &["manifest", contradicted]);
        forged.manifest.crates[0].size = size;
        match word {
            "overflow" => assert_refused(&forged.bytes(), &["manifest", word]),
            _ => assert_refused(&forged.bytes(), &["crates/a-1.0.0.crate", word]),
        }
    }
    // A size beyond the file: the entry is cut.
    let mut forged = small_bundle();
    forged.manifest.blocks[0].entries[0].size = 1 << 40;
    forged.manifest.crates[0].size = 1 << 40;
    assert_refused(&forged.bytes(), &["crates/a-1.0.0.crate", "the bundle ends"]);
    // Of an encoded entry.
    for (size, expected) in [(10, "SHA-256"), (10_000, "index/1/a"), (u64::MAX, "overflow"), (1 << 30, "too large")] {
        let mut forged = small_bundle();
        let position = forged.block_position(FileKind::Index);
        forged.manifest.blocks[position].entries[0].size = size;
        assert_refused(&forged.bytes(), &["index/1/a", expected]);
    }
    // Of the stored bytes.
    for (size, expected) in [(5, "index/1/a"), (1000, "index/1/a"), (u64::MAX, "too large"), (0, "index/1/a")] {
        let mut forged = small_bundle();
        let place = forged.block_position(FileKind::Index);
        forged.manifest.blocks[place].stored.as_mut().expect("encoded").size = size;
        assert_refused(&forged.bytes(), &["index/1/a", expected]);
    }
    // Of the manifest, in the header.
    let good = small_bundle().bytes();
    let (_, end) = manifest_and_payload_offsets(&good);
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
        assert_refused(&bytes, &[word]);
    }
}

#[test]
fn surplus_bytes_in_a_block_are_refused_and_named() {
    let mut forged = small_bundle();
    let position = forged.block_position(FileKind::Index);
    let entries = forged.manifest.blocks[position].entries.clone();
    let longer = [&forged.payload[position][..], b"x"].concat();
    forged.add_brotli_block(entries, &longer);
    forged.manifest.blocks.swap_remove(position);
    forged.payload.swap_remove(position);
    assert_refused(&restore_block_order(forged).bytes(), &["index/1/a", "damaged"]);

    let mut forged = small_bundle();
    let entries = forged.manifest.blocks[position].entries.clone();
    forged.add_brotli_block(entries, &brotli(format!("{}surplus", index_text(&small_bundle())).as_bytes()));
    forged.manifest.blocks.swap_remove(position);
    forged.payload.swap_remove(position);
    assert_refused(&restore_block_order(forged).bytes(), &["index/1/a", "damaged"]);
}

/// `swap_remove` put the last block where the removed one was; that is its place.
fn restore_block_order(forged: ForgedBundle) -> ForgedBundle {
    assert!(forged.manifest.blocks.windows(2).all(|pair| pair[0].entries[0].kind <= pair[1].entries[0].kind));
    forged
}

fn index_text(forged: &ForgedBundle) -> String {
    let crates: Vec<FakeCrate> =
        [("a", "1.0.0", 60), ("bb", "0.2.0", 40)].map(|(n, v, s)| FakeCrate::new(n, v, s)).into();
    assert_eq!(crates.len(), forged.manifest.crates.len());
    forged_bundle::index_files(&crates).into_iter().map(|(_, text)| text).collect()
}

#[test]
fn index_lines_must_match_the_crate_table() {
    let (a, b) = (FakeCrate::new("a", "1.0.0", 60), FakeCrate::new("bb", "0.2.0", 40));
    let line = |one: &FakeCrate| one.line() + "\n";
    let of = |files: &[(&str, String)]| small_bundle().with_index(files).bytes();
    let other = FakeCrate::new("a", "1.0.0", 61);
    assert_refused(
        &of(&[("index/1/a", line(&other)), ("index/2/bb", line(&b))]),
        &["index/1/a", "line 1", "a 1.0.0", "checksum"],
    );
    let unlisted_crate = FakeCrate::new("a", "2.0.0", 1);
    let two = line(&a) + &line(&unlisted_crate);
    assert_refused(
        &of(&[("index/1/a", two), ("index/2/bb", line(&b))]),
        &["index/1/a", "line 2", "a 2.0.0", "does not contain"],
    );
    assert_refused(&of(&[("index/1/a", line(&a))]), &["bb 0.2.0", "no index line"]);
    assert_refused(
        &of(&[("index/1/a", line(&a) + &line(&a)), ("index/2/bb", line(&b))]),
        &["index/1/a", "second line"],
    );
    assert_refused(&of(&[("index/1/a", line(&a) + &line(&b))]), &["index/1/a", "bb 0.2.0", "another index file"]);
    assert_refused(&of(&[("index/1/a", line(&a)), ("index/2/bb", b.line())]), &["index/2/bb", "line break"]);
    assert_refused(
        &of(&[("index/1/a", line(&a) + "\n"), ("index/2/bb", line(&b))]),
        &["index/1/a", "line 2", "not an index line"],
    );
    assert_refused(
        &of(&[("index/1/a", line(&a)), ("index/2/bb", b.line() + "\r\n")]),
        &["index/2/bb", "not an index line"],
    );
    assert_refused(
        &of(&[("index/1/a", line(&a)), ("index/2/bb", "{}\n".to_owned())]),
        &["index/2/bb", "not an index line"],
    );
    let empty = small_bundle()
        .bytes_with(|json| json.replace(r#""path":"index/1/a","size":"#, r#""path":"index/1/a","size":0,"was":"#));
    assert_refused(&empty, &["manifest", "index/1/a", "empty index file"]);
}

/// A reader of index text holds one whole file in memory, however it is stored.
#[test]
fn an_oversized_index_file_is_refused_and_named() {
    let mut forged = ForgedBundle::from_crates(&[FakeCrate::new("a", "1.0.0", 60)]);
    let position = forged.block_position(FileKind::Index);
    let text = "x\n".repeat(5 * 1024 * 1024);
    forged.add_stored_block(entry("index/1/a", FileKind::Index, text.as_bytes()), text.as_bytes());
    let block = (forged.manifest.blocks.pop().expect("pushed"), forged.payload.pop().expect("pushed"));
    (forged.manifest.blocks[position], forged.payload[position]) = block;
    assert_refused(&forged.bytes(), &["`index/1/a`", "exceeds the size limit of an index file"]);
}

/// Their lines would share one index file, and cargo would take the ones for the others.
#[test]
fn names_that_differ_only_in_case_are_refused_and_named() {
    let forged = ForgedBundle::from_crates(&[FakeCrate::new("Foo", "1.0.0", 60), FakeCrate::new("foo", "2.0.0", 60)]);
    assert_refused(&forged.bytes(), &["foo 2.0.0", "with different case"]);
}

/// cargo compares a checksum as text with the lowercase one that it takes of the file.
#[test]
fn an_uppercase_checksum_is_refused_and_named() {
    let one = FakeCrate::new("a", "1.0.0", 60);
    let line = one.line().replace(&one.sha256().to_string(), &one.sha256().to_string().to_uppercase());
    let forged = ForgedBundle::from_crates(&[one]).with_index(&[("index/1/a", format!("{line}\n"))]);
    assert_refused(&forged.bytes(), &["index/1/a", "line 1", "is not an index line that cargo can read"]);
}

#[test]
fn an_oversized_index_line_is_refused_and_named() {
    let (a, b) = (FakeCrate::new("a", "1.0.0", 60), FakeCrate::new("bb", "0.2.0", 40));
    // Text that does not shrink too well, so that it is the line's length that is refused.
    let noise: String = FakeCrate::new("noise", "1.0.0", MAX_LINE_LENGTH)
        .bytes
        .iter()
        .map(|byte| char::from(b'a' + byte % 26))
        .collect();
    let files = [("index/1/a", a.line() + "\n"), ("index/2/bb", format!("{}{noise}\n{}\n", b.line(), b.line()))];
    assert_refused(&small_bundle().with_index(&files).bytes(), &["index/2/bb", "line 1", "length limit"]);
}

#[test]
fn the_crate_table_must_match_the_entries() {
    let bent = |bend: &dyn Fn(&mut ForgedBundle)| {
        let mut forged = small_bundle();
        bend(&mut forged);
        forged.bytes()
    };
    let state = |state: CrateState| bent(&|forged: &mut ForgedBundle| forged.manifest.crates[0].state = state);
    assert_refused(&state(CrateState::Sent), &["manifest", "a 1.0.0", "sent before"]);
    assert_refused(&state(CrateState::IndexOnly), &["manifest", "crates/a-1.0.0.crate", "not listed as shipped"]);
    assert_refused(&state(CrateState::Kept), &["manifest", "crates/a-1.0.0.crate", "not listed as shipped"]);
    let table = |bend: &dyn Fn(&mut ForgedBundle)| bent(bend);
    assert_refused(
        &table(&|f| f.manifest.crates[0].sha256 = Sha256::of(b"")),
        &["crates/a-1.0.0.crate", "differs in digest"],
    );
    assert_refused(&table(&|f| drop(f.manifest.crates.remove(0))), &["manifest"]);
    assert_refused(&table(&|f| f.manifest.crates.swap(0, 1)), &["manifest", "a 1.0.0", "out of order"]);
    assert_refused(
        &table(&|f| f.manifest.lineage.inputs[0].crates = vec![1, 0]),
        &["manifest", "depends.toml", "row numbers"],
    );
    assert_refused(
        &table(&|f| f.manifest.lineage.inputs[0].crates = vec![0, 2]),
        &["manifest", "depends.toml", "row numbers"],
    );
    assert_refused(&table(&|f| f.manifest.blocks[0].entries.clear()), &["manifest", "block without entries"]);
    assert_refused(&table(&|f| f.manifest.created = "2026-04-02".to_owned()), &["manifest", "created"]);
    assert_refused(
        &table(&|f| f.manifest.index_read = "2026-04-02T21:30:00+02:00".to_owned()),
        &["manifest", "index_read"],
    );
    assert_refused(&table(&|f| f.manifest.index_read = "9999-12-31T23:59:59Z".to_owned()), &["manifest", "index_read"]);
    assert_refused(&table(&|f| f.manifest.lineage.id = "x".to_owned()), &["manifest", "lineage"]);
    assert_refused(&table(&|f| f.manifest.format.0 = 2), &["manifest", "different format"]);
    assert_refused(
        &table(&|f| f.manifest.blocks[0].encoding = Encoding::Brotli),
        &["crates/a-1.0.0.crate", "compressed"],
    );
    let crate_in_brotli = bent(&|f: &mut ForgedBundle| {
        let bytes = f.payload[0].clone();
        let entries = f.manifest.blocks[0].entries.clone();
        f.add_brotli_block(entries, &brotli(&bytes));
        f.manifest.blocks.swap_remove(0);
    });
    assert_refused(&crate_in_brotli, &["manifest", "crates/a-1.0.0.crate", "crates are never compressed"]);
}

#[test]
fn a_newer_format_names_the_version_that_reads_it() {
    let good = small_bundle().bytes();
    let (_, end) = manifest_and_payload_offsets(&good);
    let plain = u64::from_le_bytes(good[44..52].try_into().expect("eight"));
    let newer = header(2, "3.4.5", end as u64 - 96, plain, &Sha256::of(&good[96..end]));
    let bytes = [&newer[..], b"whatever a later format has here"].concat();
    assert_refused(&bytes, &["cargo-frostmirror 3.4.5", "format 2", "up to 1"]);
    assert!(!streaming_problems(&bytes)[0].contains("damaged"));
    assert_refused(&[&header(0, "0.0.1", 1, 1, &Sha256::of(b""))[..], b"x"].concat(), &["format 0"]);

    let bytes = small_bundle().bytes_with(|json| json.replace(r#""encoding":"brotli""#, r#""encoding":"crate-delta""#));
    assert_refused(&bytes, &["cargo-frostmirror 0.1.0", "crate-delta", "index/1/a"]);
    assert!(!streaming_problems(&bytes)[0].contains("malformed"));
}

#[test]
fn a_wrong_bundle_id_is_refused_and_unknown_keys_are_ignored() {
    let other_id = |json: String| json.replacen(&json[7..39], &"0".repeat(32), 1);
    let json = serde_json::to_string(&{
        let mut manifest = small_bundle().manifest;
        manifest.assign_id();
        manifest
    })
    .expect("JSON");
    let payload = small_bundle().payload.concat();
    assert_refused(&assemble(other_id(json.clone()), &payload), &["manifest", "id"]);
    assert_refused(&assemble(json.replacen("{\"id\"", "{ \"id\"", 1), &payload), &["manifest", "id"]);
    let novel = json.replacen(r#""tool":"#, r#""novel":{"deep":[1,{"x":null}]},"tool":"#, 1);
    assert_eq!(streaming_problems(&assemble(seal(&novel), &payload)), [""; 0]);
    assert_refused(&assemble(seal(&format!("{json}{{}}")), &payload), &["manifest", "trailing"]);
    assert_refused(
        &assemble(seal(&json.replacen(r#""tool":"#, r#""kind":"full","tool":"#, 1)), &payload),
        &["manifest", "duplicate"],
    );
    assert_refused(
        &assemble(seal(&json.replacen(r#""tool":"#, r#""tol":"#, 1)), &payload),
        &["manifest", "missing field `tool`"],
    );
    let deep = format!(r#""novel":{}{},"tool":"#, "[".repeat(5000), "]".repeat(5000));
    assert_eq!(streaming_problems(&assemble(seal(&json.replacen(r#""tool":"#, &deep, 1)), &payload)), [""; 0]);
    let deep = deep.replace("novel", "targets");
    assert_refused(&assemble(seal(&json.replacen(r#""tool":"#, &deep, 1)), &payload), &["manifest"]);
}

#[test]
fn a_file_that_is_not_a_bundle_is_recognized() {
    assert_refused(b"", &["x.pkg", "empty"]);
    for bytes in [&b"PK\x03\x04 a zip archive, perhaps"[..], b"x", &[0; 200], b"#!/bin/sh\nexit 0\n"] {
        let problems = streaming_problems(bytes);
        assert_eq!(problems, ["`x.pkg` is not a bundle"]);
        assert!(verify_problems(bytes)[0].ends_with("x.pkg` is not a bundle"), "{:?}", verify_problems(bytes));
    }
}
