//! Bundles of frostmirror 1.x: a real one, frozen, and forged ones that are bent.

use std::error::Error as _;
use std::fs;
use std::io::{self, Cursor, Read};

use frostmirror::bundle::format::{BundleKind, Entry, Manifest};
use frostmirror::bundle::open::{EntryVisitor, NullVisitor, open_any};
use frostmirror::bundle::verify::verify;
use frostmirror::digest::Sha256;
use frostmirror::event::NullSink;
use proptest::prelude::*;
use tempfile::tempdir;

use crate::support::forged_bundle::{FakeCrate, brotli};

const LEGACY_BUNDLE: &[u8] = include_bytes!("../../fixtures/bundles/frostmirror-1.0.0.pkg");

/// A section, as the format has it.
type Section = (String, Vec<u8>);

fn read_legacy(bytes: &[u8], visitor: &mut dyn EntryVisitor) -> Result<Manifest, Vec<String>> {
    let folder = tempdir().expect("a folder");
    let bundle = open_any(Box::new(Cursor::new(bytes)), "old.pkg", folder.path()).map_err(|error| {
        vec![match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        }]
    })?;
    let streamed = bundle.stream(visitor).expect("a file in memory");
    assert_eq!(fs::read_dir(folder.path()).expect("a list").count(), 0, "the plain form has no name");
    match streamed.problems.as_slice() {
        [] => Ok(streamed.manifest),
        problems => Err(problems.iter().map(ToString::to_string).collect()),
    }
}

fn assert_refused(bytes: &[u8], expected: &[&str]) {
    let problems = read_legacy(bytes, &mut NullVisitor).expect_err("a refusal");
    let named = problems.iter().any(|line| expected.iter().all(|word| line.contains(word)));
    assert!(named, "no line has {expected:?} in {problems:#?}");
}

/// The plain form of these sections.
fn plain_bytes(sections: &[Section]) -> Vec<u8> {
    let mut bytes = b"FMPKG\0\x01\0".to_vec();
    bytes.extend_from_slice(&u32::try_from(sections.len()).expect("few").to_le_bytes());
    let mut offset = 12 + sections.iter().map(|(path, _)| path.len() + 20).sum::<usize>();
    for (path, data) in sections {
        bytes.extend_from_slice(&u32::try_from(path.len()).expect("short").to_le_bytes());
        bytes.extend_from_slice(path.as_bytes());
        bytes.extend_from_slice(&(offset as u64).to_le_bytes());
        bytes.extend_from_slice(&(data.len() as u64).to_le_bytes());
        offset += data.len();
    }
    for (_, data) in sections {
        bytes.extend_from_slice(data);
    }
    bytes
}

/// The sections of a bundle of these crates, with whole index files: a line of another version stands before each.
fn sections(crates: &[FakeCrate]) -> Vec<Section> {
    sections_with(crates, &[])
}

/// A bundle of one crate and these files below dist/ and rustup/.
pub fn with_toolchain(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    brotli(&plain_bytes(&sections_with(&[FakeCrate::new("old", "1.0.0", 60)], files)))
}

fn sections_with(crates: &[FakeCrate], files: &[(&str, Vec<u8>)]) -> Vec<Section> {
    let mut all = Vec::new();
    let mut table = std::collections::BTreeMap::new();
    for one in crates {
        let (name, version) = (one.id.name.to_string(), one.id.version.to_string());
        all.push((format!("crates/{name}/{version}/download"), one.bytes.clone()));
        let older = FakeCrate::new(&name, "0.0.1", 1);
        let text = format!("{}\nnot a line\n{}\n", older.line(), one.line());
        all.push((format!("index/{}", one.id.name.index_path()), text.into_bytes()));
        let (digest, size) = (one.sha256(), one.bytes.len());
        let entry = format!(
            r#""{name}-{version}":{{"name":"{name}","version":"{version}","sha256":"{digest}","size":{size}}}"#
        );
        table.insert(format!("{name}-{version}"), entry);
    }
    all.push(("config.toml".to_owned(), b"[source]\n".to_vec()));
    let table = format!("{{{}}}", table.into_values().collect::<Vec<_>>().join(","));
    let head = r#"{"created":"2026-04-02T21:30:00.123456789+00:00","bundle_type":"full","targets":["x86_64-unknown-linux-gnu"],"toolchain":"stable","crates":"#;
    let (mut rustup, mut dist) = (Vec::new(), Vec::new());
    for (path, bytes) in files {
        let about = format!(r#""sha256":"{}","size":{}"#, Sha256::of(bytes), bytes.len());
        match path.strip_prefix("dist/") {
            Some(path) => dist.push(format!(r#"{{"path":"{path}",{about}}}"#)),
            None => {
                let (target, name) =
                    path.strip_prefix("rustup/dist/").and_then(|path| path.split_once('/')).expect("rustup");
                rustup.push(format!(r#"{{"target":"{target}","filename":"{name}",{about}}}"#));
            }
        }
        all.push(((*path).to_owned(), bytes.clone()));
    }
    let (rustup, dist) = (rustup.join(","), dist.join(","));
    let body = format!(r#"{head}{table},"rustup":[{rustup}],"dist":[{dist}]"#);
    let hash = Sha256::of(format!("{body}}}").as_bytes());
    all.insert(0, ("manifest.json".to_owned(), format!(r#"{body},"manifest_hash":"{hash}"}}"#).into_bytes()));
    all
}

fn two_sections() -> Vec<Section> {
    sections(&[FakeCrate::new("a", "1.0.0", 60), FakeCrate::new("bb", "0.2.0", 40)])
}

fn bundle_with_modified_sections(bend: impl FnOnce(&mut Vec<Section>)) -> Vec<u8> {
    let mut sections = two_sections();
    bend(&mut sections);
    brotli(&plain_bytes(&sections))
}

/// Collects paths and contents.
#[derive(Default)]
struct CollectingVisitor(Vec<(String, Vec<u8>)>);

impl EntryVisitor for CollectingVisitor {
    fn begin(&mut self, entry: &Entry) -> io::Result<()> {
        self.0.push((entry.path.to_string(), Vec::new()));
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.last_mut().expect("begun").1.extend_from_slice(bytes);
        Ok(())
    }

    fn end(&mut self, _: &Entry, _: bool) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_legacy_bundle_is_read_like_a_current_one() {
    let mut collected = CollectingVisitor::default();
    let manifest = read_legacy(LEGACY_BUNDLE, &mut collected).expect("it is good");
    let paths: Vec<&str> = collected.0.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(
        paths,
        ["crates/cfg-if-1.0.0.crate", "crates/itoa-1.0.11.crate", "index/cf/g-/cfg-if", "index/it/oa/itoa"]
    );
    assert_eq!(manifest.kind, BundleKind::Full);
    assert_eq!(manifest.created, "2026-11-21T09:30:34Z");
    let index = String::from_utf8(collected.0[3].1.clone()).expect("text");
    assert_eq!(index.lines().count(), 1, "pruned to the version in the bundle");
    assert!(index.contains("\"1.0.11\""), "{index}");
}

#[test]
fn verify_accepts_a_legacy_bundle_from_a_file_and_a_pipe() {
    let folder = tempdir().expect("a folder");
    let path = folder.path().join("old.pkg");
    fs::write(&path, LEGACY_BUNDLE).expect("a file");
    let verdict = verify(&path, folder.path(), &NullSink).expect("it reads");
    assert_eq!(verdict.problems, []);
    let (reader, mut writer) = io::pipe().expect("a pipe");
    let feeding = std::thread::spawn(move || io::copy(&mut Cursor::new(LEGACY_BUNDLE), &mut writer).expect("fed"));
    let bundle = open_any(Box::new(reader.take(u64::MAX)), "pipe", folder.path()).expect("it opens");
    assert_eq!(bundle.stream(&mut NullVisitor).expect("it streams").manifest.id, verdict.manifest.id);
    feeding.join().expect("fed");
}

#[test]
fn an_unmodified_forged_legacy_bundle_is_valid_and_reproducible() {
    let first = read_legacy(&bundle_with_modified_sections(|_| {}), &mut NullVisitor).expect("good");
    let again = read_legacy(&bundle_with_modified_sections(|sections| sections[1..].reverse()), &mut NullVisitor)
        .expect("good");
    assert_eq!(first, again);
    assert_eq!(first.created, "2026-04-02T21:30:00Z");
    assert_eq!(first.crates.len(), 2);
    assert_eq!(first.lineage.sequence, 1_775_165_400, "the second of its making");
}

#[test]
fn invalid_sections_are_refused_and_named() {
    assert_refused(&bundle_with_modified_sections(|s| s[1].1[5] ^= 1), &["crates/a-1.0.0.crate", "SHA-256"]);
    assert_refused(&bundle_with_modified_sections(|s| s[1].1.push(0)), &["crates/a/1.0.0/download", "different size"]);
    assert_refused(
        &bundle_with_modified_sections(|s| drop(s.remove(1))),
        &["crates/a/1.0.0/download", "does not contain it"],
    );
    assert_refused(&bundle_with_modified_sections(|s| drop(s.remove(2))), &["a 1.0.0", "no index line"]);
    assert_refused(
        &bundle_with_modified_sections(|s| s.push(("crates/x/1.0.0/download".to_owned(), vec![1]))),
        &["crates/x/1.0.0/download", "not listed in manifest.json"],
    );
    assert_refused(
        &bundle_with_modified_sections(|s| s.push(("crates/../../x".to_owned(), vec![1]))),
        &["crates/../../x", "unsafe path"],
    );
    assert_refused(
        &bundle_with_modified_sections(|s| s.push(("/tmp/x".to_owned(), vec![1]))),
        &["/tmp/x", "unsafe path"],
    );
    assert_refused(
        &bundle_with_modified_sections(|s| s.push(("evil".to_owned(), vec![1]))),
        &["evil", "not listed in manifest.json"],
    );
    assert_refused(&bundle_with_modified_sections(|s| s.push(s[0].clone())), &["manifest.json", "twice"]);
    assert_refused(&bundle_with_modified_sections(|s| drop(s.remove(0))), &["no manifest"]);
    assert_refused(
        &bundle_with_modified_sections(|s| s[0].1[20] ^= 1),
        &["manifest.json", "`manifest_hash` does not match"],
    );
    assert_refused(&bundle_with_modified_sections(|s| s[0].1.truncate(100)), &["manifest.json is malformed"]);
    assert_refused(&bundle_with_modified_sections(|s| s.push(s[2].clone())), &["index/1/a", "twice"]);
    let other = FakeCrate::new("a", "1.0.0", 61).line() + "\n";
    assert_refused(
        &bundle_with_modified_sections(|s| s[2].1 = other.clone().into_bytes()),
        &["index/1/a", "different checksum"],
    );
    assert_refused(&bundle_with_modified_sections(|s| s[2].0 = "index/2/aa".to_owned()), &["a 1.0.0", "no index line"]);
    let twice: &dyn Fn(&mut Vec<Section>) = &|s| s[2].1 = s[2].1.repeat(2);
    assert_refused(&bundle_with_modified_sections(twice), &["index/1/a", "second line"]);
    assert_refused(&bundle_with_modified_sections(|s| s[2].1 = vec![b' '; 3_000_000]), &["compression ratio"]);
}

#[test]
fn an_invalid_section_table_is_refused() {
    let good = plain_bytes(&two_sections());
    let at = 12 + 4 + "manifest.json".len();
    let table = |position: usize, value: u64| {
        let mut bytes = good.clone();
        bytes[position..position + 8].copy_from_slice(&value.to_le_bytes());
        brotli(&bytes)
    };
    let offset = u64::from_le_bytes(good[at..at + 8].try_into().expect("eight"));
    for value in [0, offset - 1, offset + 1, u64::MAX] {
        assert_refused(&table(at, value), &["manifest.json", "does not start where"]);
    }
    let length = u64::from_le_bytes(good[at + 8..at + 16].try_into().expect("eight"));
    for value in [0, length - 1, length + 1, u64::MAX, u64::MAX - offset] {
        assert_refused(&table(at + 8, value), &["does not start where"]);
    }
    let mut bytes = good.clone();
    bytes[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_refused(&brotli(&bytes), &["path that is too long"]);
    bytes[12..16].copy_from_slice(&13u32.to_le_bytes());
    bytes[16] = 0xff;
    assert_refused(&brotli(&bytes), &["not UTF-8"]);
    assert_refused(&brotli(&[&good[..], b"x"].concat()), &["bytes follow"]);
    assert_refused(&[&brotli(&good)[..], b"x"].concat(), &["bytes follow"]);
    assert_refused(&brotli(&good[..good.len() - 1]), &["ends before"]);
    assert_refused(&brotli(b"FMPKG\0\x02\0\0\0\0\0"), &["is not a bundle"]);
}

#[test]
fn truncation_at_any_byte_is_refused() {
    let stored = brotli(&plain_bytes(&two_sections()));
    for length in 0..stored.len() {
        assert_refused(&stored[..length], &["old.pkg"]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Text that is not passed on has no digest, so that a flip there shows nowhere; all that is passed on must hold.
    #[test]
    fn a_flipped_byte_never_yields_different_content(place in any::<prop::sample::Index>(), bit in 0u8..8) {
        let stored = bundle_with_modified_sections(|_| {});
        let mut good = CollectingVisitor::default();
        let expected = read_legacy(&stored, &mut good).expect("good");
        let mut bytes = stored.clone();
        bytes[place.index(stored.len())] ^= 1 << bit;
        let mut collected = CollectingVisitor::default();
        if let Ok(manifest) = read_legacy(&bytes, &mut collected) {
            prop_assert_eq!(manifest.crates, expected.crates);
            let crates = |all: &CollectingVisitor| all.0.iter().filter(|(path, _)| path.starts_with("crates/")).cloned().collect::<Vec<_>>();
            prop_assert_eq!(crates(&collected), crates(&good));
        }
    }

    #[test]
    fn arbitrary_plain_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), kept in 0usize..80) {
        let good = plain_bytes(&two_sections());
        let whole = [&good[..kept], &bytes].concat();
        prop_assert!(read_legacy(&brotli(&whole), &mut NullVisitor).is_err());
    }
}

#[test]
fn a_duplicate_section_is_refused_and_named() {
    let mut all = two_sections();
    let again = all.iter().find(|(path, _)| path == "crates/a/1.0.0/download").cloned().expect("a crate");
    all.push(again);
    assert_refused(&brotli(&plain_bytes(&all)), &["`crates/a/1.0.0/download` occurs twice"]);
}

#[test]
fn an_endless_index_line_is_refused_and_named() {
    let mut all = two_sections();
    let index = all.iter_mut().find(|(path, _)| path == "index/1/a").expect("an index file");
    index.1 = FakeCrate::new("a", "1.0.0", 60).line().into_bytes();
    index.1.push(b'\n');
    index.1 = index.1.repeat(60_000);
    // Enough that does not shrink, so that it is no bomb by its ratio.
    let noise = FakeCrate::new("noise", "1.0.0", 200_000).bytes;
    all.insert(0, ("config/noise".to_owned(), noise));
    assert_refused(&brotli(&plain_bytes(&all)), &["index/1/a", "exceeds the size limit of an index file"]);
}
