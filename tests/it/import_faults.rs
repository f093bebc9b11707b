//! Import against hostile bundles, other processes and a disk that refuses: the mirror stays as it was.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use frostmirror::bundle::format::{CrateState, StoredBytes};
use frostmirror::digest::Sha256;
use frostmirror::event::NullSink;
use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::lock::{Holder, lock_for_adding};
use frostmirror::mirror_file::FileKind;
use rustix::process::Signal;

use crate::bundle_builder::{BundleBuilder, all_files, assert_consistent, import};
use crate::support::crates::Crate;
use crate::support::forged_bundle::{
    FakeCrate, ForgedBundle, brotli, entry, fix_header_checksum, index_files, sample_crates,
};
use crate::support::process::Process;
use crate::support::sandbox::{BINARY, Sandbox};
use crate::support::wait;

/// A mirror with one bundle in it, and another bundle to come.
fn mirror_and_second_bundle() -> (Sandbox, std::path::PathBuf, std::path::PathBuf) {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    let first = BundleBuilder::new("a", 1)
        .ship(Crate::new("json", "1.0.0"))
        .ship(Crate::new("serde", "1.0.0").dep("json", "^1"));
    import(&mirror, &first.write(&sandbox.path(""), "first.pkg")).unwrap();
    let second = BundleBuilder::new("a", 2)
        .ship(Crate::new("json", "1.0.0").yanked())
        .ship(Crate::new("json", "1.0.1"))
        .ship(Crate::new("serde", "1.0.1").dep("json", "^1.0.1"))
        .ship(Crate::new("fresh", "0.1.0").with_extra_bytes(100_000));
    let second = second.write(&sandbox.path(""), "second.pkg");
    (sandbox, mirror, second)
}

#[test]
fn a_flipped_bit_leaves_the_mirror_unchanged() {
    let (sandbox, mirror, second) = mirror_and_second_bundle();
    let before = all_files(&mirror);
    let good = fs::read(&second).unwrap();
    let damaged = sandbox.path("damaged.pkg");
    // Every byte of the header and of the first of what follows, then steps that hit every entry.
    for at in (0..400).chain((400..good.len()).step_by(997)).chain(good.len() - 40..good.len()) {
        let mut bytes = good.clone();
        bytes[at] ^= 0x10;
        fs::write(&damaged, bytes).unwrap();
        assert!(import(&mirror, &damaged).is_err(), "byte {at}");
    }
    assert_eq!(all_files(&mirror), before);
    import(&mirror, &second).unwrap();
}

#[test]
fn a_truncated_or_extended_bundle_leaves_the_mirror_unchanged() {
    let (sandbox, mirror, second) = mirror_and_second_bundle();
    let before = all_files(&mirror);
    let good = fs::read(&second).unwrap();
    let damaged = sandbox.path("damaged.pkg");
    for length in [0, 1, 8, 95, 96, 97, 300, good.len() / 2, good.len() - 1] {
        fs::write(&damaged, &good[..length]).unwrap();
        sandbox.run(["import", "damaged.pkg", "--mirror", "mirror"]).exits(4).stderr_has("damaged.pkg");
        assert_eq!(all_files(&mirror), before, "{length} bytes");
    }
    fs::write(&damaged, [&good[..], b"x"].concat()).unwrap();
    sandbox.run(["import", "damaged.pkg", "--mirror", "mirror"]).exits(4).stderr_has("bytes follow the last entry");
    assert_eq!(all_files(&mirror), before);
}

#[test]
fn a_refused_bundle_adds_no_crate_to_a_new_mirror() {
    let (sandbox, _, second) = mirror_and_second_bundle();
    let mut bytes = fs::read(&second).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&second, bytes).unwrap();
    let run = sandbox.run(["import", "second.pkg", "--mirror", "new"]).exits(4);
    run.stderr_has("the mirror is unchanged").stderr_has("index/");
    let left: Vec<_> =
        all_files(&sandbox.path("new")).into_keys().filter(|path| !path.starts_with(".frostmirror")).collect();
    assert_eq!(left, Vec::<String>::new());
}

#[test]
fn the_holder_of_the_mirror_lock_is_named_and_waited_for() {
    let (sandbox, mirror, _) = mirror_and_second_bundle();
    let me = Holder { pid: 4711, host: "elsewhere".into(), verb: "gc".into(), since: "2026-01-01T00:00:00Z".into() };
    let guard = lock_for_adding(&Layout::new(&mirror), Duration::ZERO, &me, &NullSink).unwrap();
    let began = Instant::now();
    let run = sandbox.run(["import", "second.pkg", "--mirror", "mirror", "--lock-timeout", "1"]).exits(6);
    assert!(began.elapsed() >= Duration::from_secs(1));
    run.stderr_has("Blocking").stderr_has("is locked by `gc` with pid 4711 on elsewhere since 2026-01-01T00:00:00Z");
    let waiting = sandbox.process(["import", "second.pkg", "--mirror", "mirror"]).start();
    wait::until_with("the import reports that it waits", || waiting.stderr(), || waiting.stderr().contains("Blocking"));
    drop(guard);
    waiting.wait(Duration::from_secs(60)).ok();
    assert_consistent(&mirror);
}

#[test]
fn a_killed_import_releases_the_mirror_lock() {
    // A process that is stopped while it imports holds the lock; of many tries one stops it early enough.
    for _ in 0..20 {
        let (sandbox, mirror, _) = mirror_and_second_bundle();
        let large = BundleBuilder::new("a", 2).ship(Crate::new("large", "0.1.0").with_extra_bytes(20_000_000));
        large.write(&sandbox.path(""), "large.pkg");
        let before = all_files(&mirror);
        let importing = sandbox.process(["import", "large.pkg", "--mirror", "mirror"]).start();
        let named = format!("`import` with pid {}", importing.pid());
        let holder = mirror.join(".frostmirror/holder");
        wait::until_with(
            "the import has locked the mirror",
            || importing.stderr(),
            || fs::read_to_string(&holder).is_ok_and(|text| text.contains(&format!(":{}", importing.pid()))),
        );
        importing.signal(Signal::STOP);
        let second = sandbox.run(["import", "second.pkg", "--mirror", "mirror", "--lock-timeout", "0"]);
        importing.signal(Signal::KILL);
        importing.wait(Duration::from_secs(60));
        let mut after = all_files(&mirror);
        after.retain(|path, _| !path.starts_with(".frostmirror/staging/") && path != ".frostmirror/holder");
        let was: BTreeMap<_, _> = before.into_iter().filter(|(path, _)| path != ".frostmirror/staging/").collect();
        if second.code != 6 || after != was {
            continue;
        }
        second.stderr_has(&named);
        sandbox.run(["import", "second.pkg", "--mirror", "mirror", "--lock-timeout", "0"]).ok();
        assert_eq!(fs::read_dir(mirror.join(".frostmirror/staging")).unwrap().count(), 0);
        assert_consistent(&mirror);
        return;
    }
    panic!("no import could be stopped while it held the lock");
}

#[test]
fn a_full_disk_leaves_the_mirror_unchanged() {
    let (sandbox, mirror, _) = mirror_and_second_bundle();
    let before = all_files(&mirror);
    // Files may grow to 16 KiB: the write of a larger crate fails as it does on a full disk.
    let script = format!("trap '' XFSZ; ulimit -f 32; exec '{BINARY}' import second.pkg --mirror mirror");
    let run = Process::new("sh", &sandbox.path("")).args(["-c", &script]).run().exits(7);
    run.stderr_has(".frostmirror/staging");
    assert_eq!(all_files(&mirror), before);
    sandbox.run(["import", "second.pkg", "--mirror", "mirror"]).ok();
}

#[test]
fn missing_space_is_detected_early_and_a_false_size_is_not_a_full_disk() {
    let (sandbox, mirror, _) = mirror_and_second_bundle();
    let before = all_files(&mirror);
    let huge = |forged: &mut ForgedBundle| {
        forged.manifest.blocks[0].entries[0].size = 1 << 60;
        forged.manifest.crates[0].size = 1 << 60;
    };
    let mut forged = ForgedBundle::from_crates(&sample_crates());
    huge(&mut forged);
    sandbox.write("huge.pkg", forged.bytes());
    // Of a pipe the length that would give the lie away is not known before it is kept, and it is not kept.
    let piped = sandbox.process(["import", "-", "--mirror", "mirror"]).stdin(&forged.bytes()).run().exits(7);
    piped.stderr_has("needs 11529215046").stderr_has("free some space");
    sandbox
        .run(["import", "huge.pkg", "--mirror", "mirror"])
        .exits(4)
        .stderr_has("the bundle ends before the end of this file");
    assert_eq!(all_files(&mirror), before);
}

/// Bundles with one thing wrong, all digests made to fit, and what is said of each.
fn forged_bundles() -> Vec<(&'static str, Vec<u8>)> {
    let good = || ForgedBundle::from_crates(&sample_crates());
    let path = |from: &'static str, to: &'static str| good().bytes_with(|json| json.replace(from, to));
    let mut extra = good();
    let evil = FakeCrate::new("evil", "1.0.0", 100);
    extra.add_stored_block(entry("crates/zzz-1.0.0.crate", FileKind::Crate, &evil.bytes), &evil.bytes);
    let mut wrong_bytes = good();
    wrong_bytes.payload[0][10] ^= 1;
    let mut bomb = good();
    let at = bomb.block_position(FileKind::Index);
    let packed = brotli(&vec![b' '; 64 << 20]);
    bomb.manifest.blocks[at].stored = Some(StoredBytes { size: packed.len() as u64, sha256: Sha256::of(&packed) });
    bomb.payload[at] = packed;
    let lines = |cksum: Sha256| {
        let crates = sample_crates();
        let line = crates[3].line().replace(&crates[3].sha256().to_string(), &cksum.to_string());
        let mut files: Vec<(String, String)> = index_files(&crates);
        files.iter_mut().find(|(path, _)| path == "index/fo/o-/foo-bar").unwrap().1 = format!("{line}\n");
        let files: Vec<(&str, String)> = files.iter().map(|(path, text)| (path.as_str(), text.clone())).collect();
        good().with_index(&files).bytes()
    };
    let mut surplus = good().bytes();
    surplus.push(0);
    let newer = {
        let mut bytes = good().bytes();
        let rest = bytes.split_off(96);
        bytes[8] = 9;
        bytes[12..17].copy_from_slice(b"7.8.9");
        [fix_header_checksum(bytes), rest].concat()
    };
    vec![
        ("../../../tmp/x", path("crates/a-1.0.0.crate", "../../../tmp/x")),
        ("/tmp/x", path("crates/a-1.0.0.crate", "/tmp/x")),
        ("crates/a-1.0.0.crate", path("crates/a-1.10.0.crate", "crates/a-1.0.0.crate")),
        ("crates/A-1.0.0.crate", path("crates/a-1.10.0.crate", "crates/A-1.0.0.crate")),
        ("crates/zzz-1.0.0.crate", extra.bytes()),
        ("crates/Foo-Bar-0.1.0+b.1.crate", wrong_bytes.bytes()),
        ("index/1/a", bomb.bytes()),
        ("index/fo/o-/foo-bar", lines(Sha256::of(b"other"))),
        ("bytes follow the last entry", surplus),
        ("7.8.9", newer),
    ]
}

#[test]
fn every_forged_bundle_is_refused_and_leaves_the_mirror_unchanged() {
    let (sandbox, mirror, _) = mirror_and_second_bundle();
    let before = all_files(&mirror);
    for (named, bytes) in forged_bundles() {
        sandbox.write("forged.pkg", &bytes);
        sandbox.run(["import", "forged.pkg", "--mirror", "mirror"]).exits(4).stderr_has(named);
        assert_eq!(all_files(&mirror), before, "{named}");
    }
    sandbox.write("good.pkg", ForgedBundle::from_crates(&sample_crates()).bytes());
    sandbox.run(["import", "good.pkg", "--mirror", "mirror"]).ok();
    assert_consistent(&mirror);
}

#[test]
fn an_unwritable_mirror_exits_with_7() {
    let (sandbox, mirror, _) = mirror_and_second_bundle();
    let open_to_all = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    open_to_all(sandbox.root());
    let before = all_files(&mirror);
    let mut command = Command::new(BINARY);
    command.args(["import", "second.pkg", "--mirror", "mirror"]).current_dir(sandbox.path("")).env_clear();
    if rustix::process::geteuid().is_root() {
        // The permissions of a file do not bind root.
        command.uid(65534).gid(65534);
    } else {
        fs::set_permissions(mirror.join(".frostmirror"), fs::Permissions::from_mode(0o555)).unwrap();
        fs::set_permissions(mirror.join(".frostmirror/lock"), fs::Permissions::from_mode(0o444)).unwrap();
    }
    let out = command.output().unwrap();
    let output = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(7), "{output}");
    assert!(
        output.contains(".frostmirror/lock") && output.contains("hint: check the permissions and the owner"),
        "{output}"
    );
    assert_eq!(all_files(&mirror), before);
}

#[test]
fn a_failed_commit_step_rolls_back_the_earlier_ones() {
    let (sandbox, mirror, _) = mirror_and_second_bundle();
    // `fresh` cannot have its index file: a file is where its folder belongs.
    fs::write(mirror.join("index/fr"), "in the way").unwrap();
    let before = all_files(&mirror);
    let run = sandbox.run(["import", "second.pkg", "--mirror", "mirror"]).exits(7);
    run.stderr_has("index/fr/es");
    assert_eq!(all_files(&mirror), before);
    fs::remove_file(mirror.join("index/fr")).unwrap();
    sandbox.run(["import", "second.pkg", "--mirror", "mirror"]).ok();
    assert_consistent(&mirror);
}

#[test]
fn restored_crates_are_not_counted_twice() {
    let (sandbox, mirror, _) = mirror_and_second_bundle();
    let status = |sandbox: &Sandbox| sandbox.run(["status", "--mirror", "mirror"]).ok().stdout.clone();
    let before = status(&sandbox);
    fs::remove_file(mirror.join("crates/json-1.0.0.crate")).unwrap();
    sandbox.run(["import", "first.pkg", "--mirror", "mirror"]).ok();
    let lines = |text: &str| text.lines().take(2).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(lines(&status(&sandbox)), lines(&before));
    fs::remove_file(mirror.join("index/js/on/json")).unwrap();
    fs::remove_file(mirror.join("crates/json-1.0.0.crate")).unwrap();
    sandbox.run(["import", "second.pkg", "--mirror", "mirror"]).ok();
    let counted = sandbox.run(["status", "--mirror", "mirror"]).ok();
    counted.stdout_has("Crate count: 5\n");
    assert_consistent(&mirror);
}

/// The author of a bundle chooses the names in it and of its file; the terminal must not get them raw.
#[test]
fn escape_sequences_of_a_bundle_never_reach_the_terminal() {
    let sandbox = Sandbox::new();
    let evil = "\u{1b}]0;owned\u{7}\u{1b}[2J.pkg";
    let good = BundleBuilder::new("a", 1).ship(Crate::new("json", "1.0.0")).write(&sandbox.path(""), "good.pkg");
    let needy = BundleBuilder::new("a", 2).parent(evil).with_crate(Crate::new("json", "1.0.0"), CrateState::Sent);
    let needy = needy.write(&sandbox.path(""), "needy.pkg");
    let mut bytes = fs::read(&good).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(sandbox.path(format!("bad{evil}")), bytes).unwrap();
    fs::copy(&good, sandbox.path(format!("good{evil}"))).unwrap();
    fs::copy(&needy, sandbox.path(format!("needy{evil}"))).unwrap();
    let names = ["needy.pkg".to_owned(), format!("needy{evil}"), format!("bad{evil}"), format!("good{evil}")];
    for name in &names {
        for args in [vec!["import", name, "--mirror", "m"], vec!["verify", name, name], vec!["inspect", name]] {
            let run = sandbox.run(["--color", "always"].into_iter().chain(args));
            let seen = format!("{}{}", run.stdout, run.stderr);
            assert!(!seen.contains("\u{1b}]") && !seen.contains("\u{1b}[2J") && !seen.contains('\u{7}'), "{seen:?}");
        }
    }
}

/// `serve` follows no link out of the mirror, so a crate behind one is not there for any client.
#[test]
fn a_crate_replaced_by_a_symlink_is_stored_again() {
    let (sandbox, mirror, _) = mirror_and_second_bundle();
    let status = || sandbox.run(["status", "--mirror", "mirror"]).ok().stdout.lines().take(2).collect::<String>();
    let (crates, before) = (mirror.join("crates"), status());
    let bytes = fs::read(crates.join("json-1.0.0.crate")).unwrap();
    fs::rename(crates.join("json-1.0.0.crate"), sandbox.path("elsewhere")).unwrap();
    std::os::unix::fs::symlink(sandbox.path("elsewhere"), crates.join("json-1.0.0.crate")).unwrap();
    fs::remove_file(crates.join("serde-1.0.0.crate")).unwrap();
    std::os::unix::fs::symlink("nowhere", crates.join("serde-1.0.0.crate")).unwrap();
    sandbox.run(["import", "first.pkg", "--mirror", "mirror"]).ok().stderr_has("Imported 2 crates");
    for name in ["json-1.0.0.crate", "serde-1.0.0.crate"] {
        assert!(crates.join(name).symlink_metadata().unwrap().is_file(), "{name}");
    }
    assert_eq!(fs::read(sandbox.path("elsewhere")).unwrap(), bytes);
    assert_eq!(status(), before);
    assert_consistent(&mirror);
}
