//! `verify` and `inspect` as they are used: what they print, and how they end.

use std::fs;

use crate::support::forged_bundle;
use crate::support::sandbox::Sandbox;

fn bundle(sandbox: &Sandbox, name: &str) -> Vec<u8> {
    let made = tempfile::tempdir().expect("a folder");
    let bytes = fs::read(forged_bundle::pack_to_path(&forged_bundle::sample_crates(), made.path())).expect("a bundle");
    fs::write(sandbox.path(name), &bytes).expect("a file");
    bytes
}

#[test]
fn a_valid_bundle_prints_one_ok_line() {
    let sandbox = Sandbox::new();
    bundle(&sandbox, "x.pkg");
    let run = sandbox.run(["verify", "x.pkg"]);
    assert_eq!((run.code, run.stdout.as_str()), (0, "OK -- 5 crates, 0 rustup artifacts\n"));
    let run = sandbox.run(["verify", "x.pkg", "--message-format", "json"]);
    let lines: Vec<serde_json::Value> =
        run.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let output = lines.iter().find(|line| line["reason"] == "verified").expect("an object for the bundle");
    assert_eq!((&output["success"], &output["crates"], &output["file"]), (&true.into(), &5.into(), &"x.pkg".into()));
    assert_eq!(lines.last().expect("the end")["reason"], "finished");
}

#[test]
fn each_problem_is_one_line_and_the_exit_code_is_4() {
    let sandbox = Sandbox::new();
    let mut bytes = bundle(&sandbox, "good.pkg");
    bytes.push(0);
    let crates = forged_bundle::sample_crates();
    let position = bytes.windows(100).position(|part| part == crates[1].bytes).expect("the crate's bytes");
    bytes[position + 50] ^= 0x40;
    fs::write(sandbox.path("bad.pkg"), &bytes).expect("a file");
    let run = sandbox.run(["verify", "good.pkg", "bad.pkg"]);
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!((run.code, lines.len()), (4, 3), "{}", run.stdout);
    assert_eq!(lines[0], "good.pkg: OK -- 5 crates, 0 rustup artifacts");
    assert!(lines[1].starts_with("bad.pkg: crates/a-1.10.0.crate: its SHA-256 is "), "{}", lines[1]);
    assert!(lines[2].contains("follow the last entry"), "{}", lines[2]);
    assert!(run.stderr.contains("1 of 2 bundles is damaged"), "{}", run.stderr);
    // A file that is not a bundle is reported beside the others, even with -q.
    sandbox.write("no.pkg", "no bundle");
    let run = sandbox.run(["verify", "-q", "no.pkg", "good.pkg"]).exits(4);
    assert!(run.stdout.starts_with("no.pkg: "), "{}", run.describe());
    run.stdout_has("\ngood.pkg: OK -- 5 crates");
}

#[test]
fn a_missing_file_or_a_folder_is_an_input_error() {
    let sandbox = Sandbox::new();
    for verb in ["verify", "inspect"] {
        let run = sandbox.run([verb, "absent.pkg"]);
        assert_eq!(run.code, 3);
        assert!(run.stderr.contains("absent.pkg"), "{}", run.stderr);
        let run = sandbox.run([verb, "."]);
        assert_eq!(run.code, 3);
        assert!(run.stderr.contains("is a folder, not a bundle"), "{}", run.stderr);
    }
    let run = sandbox.run(["verify"]);
    assert_eq!(run.code, 2);
}

#[test]
fn a_newer_bundle_names_the_version_that_reads_it() {
    let sandbox = Sandbox::new();
    let digest = frostmirror::digest::Sha256::of(b"");
    fs::write(sandbox.path("new.pkg"), forged_bundle::header(9, "7.0.0", 1, 1, &digest)).expect("a file");
    for verb in ["verify", "inspect"] {
        let run = sandbox.run([verb, "new.pkg"]);
        assert_eq!(run.code, 4);
        assert!(run.stderr.contains("hint: use cargo-frostmirror 7.0.0 or newer"), "{}", run.stderr);
    }
}

#[test]
fn inspect_reads_only_the_manifest() {
    let sandbox = Sandbox::new();
    let bytes = bundle(&sandbox, "x.pkg");
    let manifest = u64::from_le_bytes(bytes[36..44].try_into().expect("eight"));
    fs::write(sandbox.path("cut.pkg"), &bytes[..96 + usize::try_from(manifest).expect("small")]).expect("a file");
    let run = sandbox.run(["inspect", "cut.pkg"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    for line in [
        "Kind        full",
        "Created     2026-04-02T21:30:00Z",
        "Crates      5 (5 shipped)",
        "  Foo-Bar  0.1.0+b.1       500 B  no licence stated",
    ] {
        assert!(run.stdout.contains(line), "{line} in {}", run.stdout);
    }
    let run = sandbox.run(["inspect", "--format", "json", "cut.pkg"]);
    let json: serde_json::Value = serde_json::from_str(&run.stdout).expect("JSON");
    assert_eq!(json["crates"].as_array().expect("a table").len(), 5);
}

#[test]
fn hostile_bundle_texts_do_not_control_the_terminal() {
    let sandbox = Sandbox::new();
    let forged = forged_bundle::ForgedBundle::from_crates(&forged_bundle::sample_crates());
    let bytes = forged.bytes_with(|json| json.replacen(r#""kind":"full""#, r#""kind":"\u001b[2Jfull""#, 1));
    fs::write(sandbox.path("bad.pkg"), bytes).expect("a file");
    for verb in ["verify", "inspect"] {
        let run = sandbox.run([verb, "bad.pkg"]);
        assert_eq!(run.code, 4);
        assert!(run.stderr.contains("[2Jfull") && !run.stderr.contains('\u{1b}'), "{:?}", run.stderr);
    }
}
