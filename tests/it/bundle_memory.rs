//! Bombs: what is small on the wire and large when it is unfolded ends in an error, and in little memory.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use frostmirror::digest::Sha256;
use frostmirror::mirror_file::FileKind;
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, open};
use tempfile::tempdir;

use crate::support::forged_bundle::{self, FakeCrate, ForgedBundle, assemble, brotli, entry, header, seal};
use crate::support::sandbox::BINARY;

/// Peak memory in KiB of a process that verified the bundle at `path`, and what it said of it.
fn verify_peak_memory(path: &Path) -> (u64, String) {
    peak_memory_of("verify", path)
}

/// The same for `verify` or `import`.
///
/// The process is given a FIFO as its second bundle: when it waits there, it is done with the first and still alive.
fn peak_memory_of(verb: &str, path: &Path) -> (u64, String) {
    let folder = tempdir().expect("a folder");
    let fifo = folder.path().join("fifo");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::from(0o600), 0).expect("a fifo");
    let mut child = Command::new(BINARY)
        .arg(verb)
        .args([path, &fifo])
        .env("TMPDIR", folder.path())
        .env("FROSTMIRROR_MIRROR", folder.path().join("mirror"))
        // Into a file: a pipe is read at the end only, and the first bundle's output may exceed its buffer.
        .stdout(File::create(folder.path().join("stdout")).expect("a file"))
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary");
    let started = Instant::now();
    let writer = loop {
        // Succeeds only when the other end is open.
        match open(&fifo, OFlags::WRONLY | OFlags::NONBLOCK, Mode::empty()) {
            Ok(writer) => break writer,
            Err(_) if started.elapsed() < Duration::from_secs(60) => std::thread::sleep(Duration::from_millis(5)),
            Err(error) => {
                child.kill().expect("it runs");
                panic!("the process never came to its second bundle: {error}");
            }
        }
    };
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).expect("its status");
    drop(writer);
    let output = child.wait_with_output().expect("it ends");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its peak");
    let peak = line.trim().trim_end_matches(" kB").parse().expect("a number");
    let stdout = fs::read(folder.path().join("stdout")).expect("what it said");
    let text = [stdout, output.stderr].map(|bytes| String::from_utf8(bytes).expect("text")).concat();
    (peak, text)
}

fn assert_bounded_memory(bytes: &[u8], expected: &str) {
    let folder = tempdir().expect("a folder");
    let small = forged_bundle::pack_to_path(&forged_bundle::sample_crates(), folder.path());
    let (baseline, output) = verify_peak_memory(&small);
    assert!(output.contains("OK -- 5 crates, 0 rustup artifacts"), "{output}");
    let path = folder.path().join("bomb.pkg");
    fs::write(&path, bytes).expect("a file");
    let (peak, output) = verify_peak_memory(&path);
    assert!(output.contains(expected), "{output}");
    assert!(peak < baseline + 64 * 1024, "{peak} KiB, where a small bundle takes {baseline} KiB");
}

/// `count` times `part`, compressed without ever being whole in memory.
fn compress_repeated(before: &[u8], part: &[u8], count: usize, after: &[u8]) -> (Vec<u8>, u64) {
    let mut encoder = brotli::CompressorWriter::new(Vec::new(), 65536, 3, 22);
    encoder.write_all(before).expect("memory");
    let block = part.repeat(65536 / part.len());
    let blocks = count.div_ceil(65536 / part.len());
    for _ in 0..blocks {
        encoder.write_all(&block).expect("memory");
    }
    encoder.write_all(after).expect("memory");
    let length = before.len() + blocks * block.len() + after.len();
    (encoder.into_inner(), length as u64)
}

#[test]
fn a_manifest_bomb_is_refused_by_its_header() {
    let (stored, plain) = compress_repeated(b"{", b"          ", 11_000_000, b"}");
    let head = header(1, "0.1.0", stored.len() as u64, plain, &Sha256::of(&stored));
    assert_bounded_memory(&[&head[..], &stored].concat(), "compression ratio is too high");
}

#[test]
fn decompression_stops_at_the_stated_manifest_length() {
    let (stored, _) = compress_repeated(b"{", b"          ", 11_000_000, b"}");
    let head = header(1, "0.1.0", stored.len() as u64, 5000, &Sha256::of(&stored));
    assert_bounded_memory(&[&head[..], &stored].concat(), "more bytes than the header states");
}

/// Manifests that keep within the ratio, by noise behind the bomb, and hold millions of small values.
#[test]
fn a_manifest_of_millions_of_values_is_refused_by_its_memory_cost() {
    let noise: String =
        FakeCrate::new("noise", "1.0.0", 6_000_000).bytes.iter().map(|byte| char::from(b'A' + byte % 32)).collect();
    let noise = noise.replace('\\', "/");
    for (key, value) in
        [("targets", &b"\"\","[..]), ("targets", b"\"a\","), ("blocks", b"{\"encoding\":\"stored\",\"entries\":[]},")]
    {
        let before = format!(r#"{{"id":"{}","{key}":["#, "0".repeat(32));
        let after = format!(r#"],"noise":"{noise}"}}"#);
        let (stored, plain) = compress_repeated(before.as_bytes(), value, 90_000_000 / value.len(), after.as_bytes());
        assert!(plain < stored.len() as u64 * 32, "{plain} of {}", stored.len());
        let head = header(1, "0.1.0", stored.len() as u64, plain, &Sha256::of(&stored));
        assert_bounded_memory(&[&head[..], &stored].concat(), "too large for the number of crates that it lists");
    }
}

#[test]
fn a_compressed_group_bomb_is_refused_and_named() {
    let crates = [FakeCrate::new("a", "1.0.0", 60)];
    // As much as a group may hold, in next to nothing.
    let text = " ".repeat(4 * 1024 * 1024);
    assert_bounded_memory(
        &ForgedBundle::from_crates(&crates).with_index(&[("index/1/a", text)]).bytes(),
        "`index/1/a` has a compression ratio that is too high for text",
    );
    // More than it states.
    let mut forged = ForgedBundle::from_crates(&crates);
    let position = forged.block_position(FileKind::Index);
    let (stored, _) = compress_repeated(b"", b" ", 300_000_000, b"");
    forged.add_brotli_block(vec![entry("index/1/a", FileKind::Index, crates[0].line().as_bytes())], &stored);
    let block = (forged.manifest.blocks.pop().expect("pushed"), forged.payload.pop().expect("pushed"));
    (forged.manifest.blocks[position], forged.payload[position]) = block;
    assert_bounded_memory(&forged.bytes(), "index/1/a");
}

#[test]
fn a_legacy_bundle_bomb_is_refused() {
    let path = b"crates/a/1.0.0/download";
    let mut table = b"FMPKG\0\x01\0\x01\0\0\0".to_vec();
    table.extend_from_slice(&23u32.to_le_bytes());
    table.extend_from_slice(path);
    table.extend_from_slice(&55u64.to_le_bytes());
    table.extend_from_slice(&(1u64 << 30).to_le_bytes());
    let (stored, _) = compress_repeated(&table, &[0], 300_000_000, b"");
    assert_bounded_memory(&stored, "compression ratio is too high for a bundle");
    // A table without end.
    let (stored, _) = compress_repeated(
        b"FMPKG\0\x01\0\xff\xff\xff\xff",
        b"\x01\0\0\0a\x00\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        3_000_000,
        b"",
    );
    assert_bounded_memory(&stored, "frostmirror 1.x");
}

#[test]
fn memory_stays_below_one_kilobyte_per_crate() {
    let folder = tempdir().expect("a folder");
    let small = forged_bundle::pack_to_path(&forged_bundle::sample_crates(), folder.path());
    let (baseline, _) = verify_peak_memory(&small);
    let crates: Vec<FakeCrate> = (0..3000).map(|n| FakeCrate::new(&format!("crate-{n}"), "1.0.0", 20)).collect();
    let many = forged_bundle::pack_to_path(&crates, folder.path());
    let (peak, output) = verify_peak_memory(&many);
    assert!(output.contains("OK -- 3000 crates"), "{output}");
    assert!(peak < baseline + 64 * 1024 + 3000, "{peak} KiB, where a small bundle takes {baseline} KiB");
    File::open(&many).expect("it is still there");
}

/// Fifteen thousand index files of a thousand bad lines each, in a bundle of little more than a megabyte.
#[test]
fn memory_for_reported_problems_is_bounded() {
    let mut forged = ForgedBundle::from_crates(&[FakeCrate::new("a", "1.0.0", 60)]);
    let config = (forged.manifest.blocks.pop().expect("a block"), forged.payload.pop().expect("its bytes"));
    for n in 0..12_000 {
        let text = format!("{n}\n").repeat(1000);
        forged.add_text_block(&[(format!("index/x/{n:05}"), text)], FileKind::Index);
    }
    forged.manifest.blocks.push(config.0);
    forged.payload.push(config.1);
    assert_bounded_memory(&forged.bytes(), "index/x/00000: line 1 is not an index line that cargo can read");
}

/// Index lines of thirty thousand dependencies each, and no name twice: what an import orders its files by must not
/// grow with what the bundle does not have.
#[test]
fn import_memory_does_not_grow_with_missing_dependencies() {
    let crates: Vec<FakeCrate> = (0..72).map(|n| FakeCrate::new(&format!("crate-{n:02}"), "1.0.0", 20)).collect();
    let mut forged = ForgedBundle::from_crates(&crates);
    let position = forged.block_position(FileKind::Index);
    let config = (forged.manifest.blocks.remove(position + 1), forged.payload.remove(position + 1));
    forged.manifest.blocks.truncate(position);
    forged.payload.truncate(position);
    let files: Vec<(String, String)> = crates
        .iter()
        .enumerate()
        .map(|(n, one)| {
            let deps = (0..34_000).map(|m| format!(r#"{{"name":"d{:x}","req":"*"}}"#, n * 34_000 + m));
            let deps = deps.collect::<Vec<_>>().join(",");
            let line = one.line().replace(r#""deps":[]"#, &format!(r#""deps":[{deps}]"#));
            (format!("index/{}", one.id.name.index_path()), line + "\n")
        })
        .collect();
    for three in files.chunks(3) {
        forged.add_text_block(three, FileKind::Index);
    }
    forged.manifest.blocks.push(config.0);
    forged.payload.push(config.1);
    let folder = tempdir().expect("a folder");
    let small = forged_bundle::pack_to_path(&forged_bundle::sample_crates(), folder.path());
    let (baseline, output) = peak_memory_of("import", &small);
    assert!(output.contains("Imported"), "{output}");
    let path = folder.path().join("names.pkg");
    fs::write(&path, forged.bytes()).expect("a file");
    let (peak, output) = peak_memory_of("import", &path);
    assert!(output.contains("Imported 72 crates"), "{output}");
    assert!(peak < baseline + 64 * 1024, "{peak} KiB, where a small bundle takes {baseline} KiB");
}

/// Twenty bytes that ask for a window of a gigabyte, in the place of a manifest and of a group.
#[test]
fn an_oversized_brotli_window_is_refused() {
    let window = [0x11, 0x1e, 0x03, 0, 0, 0, 0, 0];
    let head = header(1, "0.1.0", 8, 5000, &Sha256::of(&window));
    assert_bounded_memory(&[&head[..], &window].concat(), "not valid brotli");
    let json = seal(&format!(r#"{{"id":"{}"}}"#, "0".repeat(32)));
    assert_bounded_memory(&assemble(json, &brotli(b"")), "missing field");
}
