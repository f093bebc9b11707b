//! `verify --mirror`: every kind of damage is named, and what mends it mends it.

use std::fs;
use std::path::{Path, PathBuf};

use frostmirror::bundle::format::CrateState;
use frostmirror::digest::Sha256;
use frostmirror::event::NullSink;
use frostmirror::mirror::audit::audit;
use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::ledger;
use frostmirror::mirror::lock::lock_for_adding;
use frostmirror::mirror::summary::MirrorSummary;

use crate::bundle_builder::{BundleBuilder, all_files, import, public_files, test_holder};
use crate::support::crates::Crate;
use crate::support::process::Run;
use crate::support::sandbox::Sandbox;

const JSON: &str = "crates/json-1.0.0.crate";

fn json() -> Crate {
    Crate::new("json", "1.0.0")
}

fn newer_json() -> Crate {
    Crate::new("json", "1.1.0")
}

fn serde() -> Crate {
    Crate::new("Serde", "1.0.100+b").dep("json", "^1")
}

fn left_out() -> Crate {
    Crate::new("winapi", "0.3.9")
}

/// A machine with a mirror of two bundles of one history: four crates, one of them in the index only.
fn two_bundle_mirror() -> (Sandbox, PathBuf) {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    let first = BundleBuilder::new("a", 1).ship(json()).ship(serde()).write(&sandbox.path(""), "one.pkg");
    import(&mirror, &first).unwrap();
    let second = BundleBuilder::new("a", 2)
        .ship(newer_json())
        .with_crate(json(), CrateState::Sent)
        .with_crate(serde(), CrateState::Sent)
        .with_crate(left_out(), CrateState::IndexOnly)
        .parent("one.pkg")
        .write(&sandbox.path(""), "two.pkg");
    import(&mirror, &second).unwrap();
    (sandbox, mirror)
}

fn verify(sandbox: &Sandbox, more: &[&str]) -> Run {
    sandbox.run(["verify", "--mirror", "mirror"].iter().chain(more))
}

#[track_caller]
fn assert_clean(sandbox: &Sandbox) {
    assert_eq!(verify(sandbox, &[]).ok().stdout, "OK -- 3 crates, 0 rustup artifacts\n");
}

/// The problems told, and the crates listed to be fetched.
#[track_caller]
fn problems_and_repair_list(sandbox: &Sandbox) -> (Vec<String>, Vec<String>) {
    let run = verify(sandbox, &["--repair-list", "list.jsonl"]).exits(4);
    let listed = sandbox.read("list.jsonl");
    let names = listed.lines().map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["kind"], "crate");
        assert_eq!(line.as_object().unwrap().len(), 4);
        let (name, version) = (line["name"].as_str().unwrap(), line["version"].as_str().unwrap());
        let known = [json(), newer_json(), serde(), left_out()].map(Crate::pack);
        let one = known.iter().find(|one| one.name == name && one.version == version).unwrap();
        assert_eq!(line["sha256"], one.cksum, "{name} {version}");
        format!("{name} {version}")
    });
    (run.stdout.lines().map(str::to_owned).collect(), names.collect())
}

/// Imports a bundle of another history that ships everything; what a repair list brings, made by hand.
fn import_repair_bundle(sandbox: &Sandbox, crates: impl IntoIterator<Item = Crate>) {
    let make = crates.into_iter().fold(BundleBuilder::new("repair", 1).read_at(9), BundleBuilder::ship);
    let bundle = make.write(&sandbox.path(""), "repair.pkg");
    import(&sandbox.path("mirror"), &bundle).unwrap();
}

fn flip_byte(path: &Path) -> Sha256 {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, &bytes).unwrap();
    Sha256::of(&bytes)
}

#[test]
fn a_valid_mirror_prints_one_ok_line() {
    let (sandbox, mirror) = two_bundle_mirror();
    let before = all_files(&mirror);
    assert_clean(&sandbox);
    verify(&sandbox, &["--repair-list", "list.jsonl"]).ok();
    assert_eq!(sandbox.read("list.jsonl"), "");
    let run = verify(&sandbox, &["--message-format", "json"]).ok();
    let output: Vec<serde_json::Value> = run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let audited = output.iter().find(|line| line["reason"] == "audited").unwrap();
    assert_eq!((&audited["success"], &audited["crates"]), (&true.into(), &3.into()));
    assert!(output.iter().any(|line| line["reason"] == "begin" && line["phase"] == "verifying"));
    assert_eq!(all_files(&mirror), before);
}

#[test]
fn a_corrupt_crate_is_reported_listed_and_repaired() {
    let (sandbox, mirror) = two_bundle_mirror();
    let actual = flip_byte(&mirror.join(JSON));
    let cksum = json().pack().cksum;
    let (problem_text, listed) = problems_and_repair_list(&sandbox);
    assert_eq!(problem_text, [format!("{JSON}: its SHA-256 is {actual}, but {cksum} is recorded")]);
    assert_eq!(listed, ["json 1.0.0"]);
    verify(&sandbox, &[]).exits(4).stderr_has("--repair-list FILE");
    import_repair_bundle(&sandbox, [json()]);
    assert_clean(&sandbox);
}

#[test]
fn missing_and_truncated_crates_are_repaired_and_counted() {
    let (sandbox, mirror) = two_bundle_mirror();
    fs::remove_file(mirror.join(JSON)).unwrap();
    let path = mirror.join("crates/Serde-1.0.100+b.crate");
    fs::write(&path, b"short").unwrap();
    let (problem_text, listed) = problems_and_repair_list(&sandbox);
    assert!(problem_text[0].starts_with("crates/Serde-1.0.100+b.crate: its SHA-256 is "), "{problem_text:?}");
    assert_eq!(problem_text[1], format!("{JSON}: is missing, but index/js/on/json names it"));
    assert!(
        problem_text.iter().any(|reported| reported.starts_with("manifest.json: states 3 crates, but the disk has 2")),
        "{problem_text:?}"
    );
    assert_eq!(listed, ["Serde 1.0.100+b", "json 1.0.0"]);
    import_repair_bundle(&sandbox, [json(), serde()]);
    assert_clean(&sandbox);
}

#[test]
fn altered_and_missing_index_lines_are_repaired() {
    let (sandbox, mirror) = two_bundle_mirror();
    let index = mirror.join("index/js/on/json");
    let text = fs::read_to_string(&index).unwrap();
    // Another checksum in one line, and the crate's file made to fit it: the record knows better.
    fs::write(mirror.join(JSON), b"forged").unwrap();
    fs::write(&index, text.replace(&json().pack().cksum, &Sha256::of(b"forged").to_string())).unwrap();
    let (problem_text, listed) = problems_and_repair_list(&sandbox);
    assert!(
        problem_text.contains(&"index/js/on/json: line 1, for json 1.0.0, differs from the recorded line".to_owned()),
        "{problem_text:?}"
    );
    assert!(
        problem_text.iter().any(|reported| reported.starts_with(&format!("{JSON}: its SHA-256 is "))),
        "{problem_text:?}"
    );
    assert_eq!(listed, ["json 1.0.0"]);
    import_repair_bundle(&sandbox, [json()]);
    assert_clean(&sandbox);

    let lines: Vec<&str> = text.lines().collect();
    fs::write(&index, format!("{}\nnonsense\n", lines[1])).unwrap();
    let (reported, listed) = problems_and_repair_list(&sandbox);
    assert_eq!(
        reported,
        [
            "index/js/on/json: line 2 is not a valid index line",
            "index/js/on/json: the recorded line of json 1.0.0 is missing"
        ]
    );
    assert_eq!(listed, ["json 1.0.0"]);
    import_repair_bundle(&sandbox, [json()]);
    assert_clean(&sandbox);
}

#[test]
fn a_missing_index_file_is_repaired() {
    let (sandbox, mirror) = two_bundle_mirror();
    fs::remove_file(mirror.join("index/se/rd/serde")).unwrap();
    let (problem_text, listed) = problems_and_repair_list(&sandbox);
    assert!(
        problem_text.contains(&"index/se/rd/serde: the recorded line of Serde 1.0.100+b is missing".to_owned()),
        "{problem_text:?}"
    );
    assert_eq!(listed, ["Serde 1.0.100+b"]);
    import_repair_bundle(&sandbox, [serde()]);
    assert_clean(&sandbox);

    // Line, record and file: the ledger still knows.
    for gone in ["index/se/rd/serde", ".frostmirror/lines/se/rd/serde", "crates/Serde-1.0.100+b.crate"] {
        fs::remove_file(mirror.join(gone)).unwrap();
    }
    let (reported, listed) = problems_and_repair_list(&sandbox);
    assert!(
        reported[0]
            .starts_with("index/se/rd/serde: the line of Serde 1.0.100+b is missing, but bundle number 2 (`two.pkg`")
    );
    assert_eq!(listed, ["Serde 1.0.100+b"]);
    import_repair_bundle(&sandbox, [serde()]);
    verify(&sandbox, &["--rebuild-state"]).ok();
    assert_clean(&sandbox);
}

#[test]
fn only_unrecognized_files_are_reported() {
    let (sandbox, mirror) = two_bundle_mirror();
    let unrecognized = [
        "crates/notes.txt",
        "crates/other-1.0.0.crate",
        "dist/channel-rust-stable.toml",
        "index/js/on/jsoN",
        "index/js/json",
        "robots.txt",
    ];
    for path in unrecognized {
        fs::create_dir_all(mirror.join(path).parent().unwrap()).unwrap();
        fs::write(mirror.join(path), "x").unwrap();
    }
    fs::write(mirror.join("index/config.json"), "{}").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", mirror.join("crates/evil-1.0.0.crate")).unwrap();
    fs::write(mirror.join(".htaccess"), "x").unwrap();
    let (problem_text, listed) = problems_and_repair_list(&sandbox);
    let reported: Vec<&str> =
        problem_text.iter().map(String::as_str).filter(|reported| !reported.starts_with("manifest.json")).collect();
    assert_eq!(
        reported,
        [
            "crates/evil-1.0.0.crate: is not a regular file",
            "crates/notes.txt: nothing names it",
            "crates/other-1.0.0.crate: no index line names it",
            "dist/channel-rust-stable.toml: nothing names it",
            "index/config.json: is not a valid registry configuration",
            "index/js/json: nothing names it",
            "index/js/on/jsoN: nothing names it",
            "robots.txt: nothing names it",
        ]
    );
    assert!(listed.is_empty());
}

#[test]
fn damaged_records_are_reported_and_rebuilt() {
    for damage in ["cut head", "no head", "no lines", "cut lines", "wrong count", "no link", "link elsewhere"] {
        let (sandbox, mirror) = two_bundle_mirror();
        let before = all_files(&mirror);
        let head = mirror.join("manifest.json");
        let text = fs::read_to_string(&head).unwrap();
        let lines = mirror.join(".frostmirror/lines/js/on/json");
        let link = mirror.join("crates/index");
        let named = match damage {
            "cut head" => {
                fs::write(&head, &text[..20]).unwrap();
                "manifest.json: is damaged: it is not a valid summary of the mirror"
            }
            "no head" => {
                fs::remove_file(&head).unwrap();
                "manifest.json: is missing"
            }
            "wrong count" => {
                fs::write(&head, text.replace("\"versions\": 3", "\"versions\": 4")).unwrap();
                "manifest.json: states 4 crates, but the disk has 3"
            }
            "no lines" => {
                fs::remove_dir_all(mirror.join(".frostmirror/lines")).unwrap();
                ".frostmirror/lines/wi/na/winapi: has no record of the line of winapi 0.3.9"
            }
            "cut lines" => {
                let text = fs::read_to_string(&lines).unwrap();
                fs::write(&lines, &text[..text.len() - 4]).unwrap();
                ".frostmirror/lines/js/on/json: line 2 is not a valid record of an index line"
            }
            "no link" => {
                fs::remove_file(&link).unwrap();
                "crates/index: missing"
            }
            _ => {
                fs::remove_file(&link).unwrap();
                std::os::unix::fs::symlink("/etc", &link).unwrap();
                "crates/index: a link to /etc, not to ../index"
            }
        };
        let (problem_text, listed) = problems_and_repair_list(&sandbox);
        assert!(problem_text.contains(&named.to_owned()), "{damage}: {problem_text:?}");
        assert!(listed.is_empty(), "{damage}: {listed:?}");
        verify(&sandbox, &["--rebuild-state"]).ok().stdout_has("OK -- 3 crates");
        assert_clean(&sandbox);
        if !damage.contains("lines") {
            let mut after = all_files(&mirror);
            // Only manifest.json would show that a record is lost.
            let note = after.remove(".frostmirror/ledger/00000002-unnamed.lost");
            assert_eq!(note.is_some(), damage.contains(" head"), "{damage}");
            assert_eq!(after, before, "{damage}");
        }
        let records = fs::read_to_string(mirror.join(".frostmirror/lines/wi/na/winapi")).unwrap();
        assert!(records.ends_with("index-only\n"), "{damage}: {records}");
        // Rebuilt twice is rebuilt once.
        let once = all_files(&mirror);
        verify(&sandbox, &["--rebuild-state"]).ok().stderr_has("nothing was lost");
        assert_eq!(all_files(&mirror), once, "{damage}");
    }
}

/// The names of the crates that the newest record of each lineage keeps.
fn current_crates(mirror: &Path) -> (MirrorSummary, Vec<String>) {
    let layout = Layout::new(mirror);
    let head = ledger::read_summary(&layout).unwrap().unwrap();
    let mut names: Vec<String> = head
        .lineages
        .iter()
        .flat_map(|lineage| ledger::read_record(&layout, &lineage.record).unwrap().unwrap().manifest.crates)
        .map(|one| one.id().to_string())
        .collect();
    names.sort();
    (head, names)
}

const ALL: [&str; 4] = ["Serde 1.0.100+b", "json 1.0.0", "json 1.1.0", "winapi 0.3.9"];

#[test]
fn a_lost_ledger_record_leaves_no_crate_unreferenced() {
    for (number, cut) in [(0, false), (1, false), (0, true), (1, true)] {
        let (sandbox, mirror) = two_bundle_mirror();
        let name = ledger::record_names(&Layout::new(&mirror)).unwrap().swap_remove(number);
        let path = mirror.join(".frostmirror/ledger").join(&name);
        if cut {
            fs::write(&path, &fs::read(&path).unwrap()[..200]).unwrap();
        } else {
            fs::remove_file(&path).unwrap();
        }
        let (problem_text, listed) = problems_and_repair_list(&sandbox);
        assert!(
            problem_text.contains(&"manifest.json: states 2 imports, but the ledger has 1 valid record".to_owned()),
            "{problem_text:?}"
        );
        assert_eq!(
            problem_text.contains(&format!(".frostmirror/ledger/{name}: is damaged or was altered: its content does not have the digest that it states")),
            cut
        );
        assert!(listed.is_empty());
        verify(&sandbox, &["--rebuild-state"]).ok();
        assert_clean(&sandbox);
        let (head, names) = current_crates(&mirror);
        assert_eq!(names, ALL, "record {number}");
        let lineages: Vec<&str> = head.lineages.iter().map(|lineage| lineage.id.as_str()).collect();
        assert_eq!(lineages.contains(&"rebuilt"), number == 1, "{lineages:?}");
        assert_eq!(mirror.join(".frostmirror/aside").join(&name).exists(), cut);
        // Imports continue, also of the lineage whose record was lost.
        let third = BundleBuilder::new("a", 3).ship(Crate::new("late", "1.0.0")).write(&sandbox.path(""), "three.pkg");
        import(&mirror, &third).unwrap();
        verify(&sandbox, &[]).ok();
    }
}

#[test]
fn rebuilding_without_any_record_does_not_accept_corrupt_files() {
    let (sandbox, mirror) = two_bundle_mirror();
    fs::remove_dir_all(mirror.join(".frostmirror")).unwrap();
    fs::remove_file(mirror.join("manifest.json")).unwrap();
    flip_byte(&mirror.join(JSON));
    let run = verify(&sandbox, &["--rebuild-state", "--repair-list", "list.jsonl"]).exits(4);
    assert!(run.stdout.contains(&format!("{JSON}: its SHA-256 is ")), "{}", run.describe());
    // No record states that its file was left out.
    assert!(run.stdout.contains("crates/winapi-0.3.9.crate: is missing"), "{}", run.describe());
    assert!(run.stderr.contains("they are kept as lineage `rebuilt`"), "{}", run.describe());
    let list = sandbox.read("list.jsonl");
    assert_eq!(list.lines().count(), 2, "{list}");
    assert!(list.contains(&json().pack().cksum) && list.contains(&left_out().pack().cksum), "{list}");
    let records = fs::read_to_string(mirror.join(".frostmirror/lines/js/on/json")).unwrap();
    assert!(records.starts_with("1.1.0 ") && records.lines().count() == 1, "{records}");
    let (head, names) = current_crates(&mirror);
    assert_eq!(names, ALL);
    assert_eq!((head.imports, &head.last_import), (1, &None));
    sandbox
        .run(["status", "--mirror", "mirror"])
        .ok()
        .stdout_has("Crate count: 3\n")
        .stdout_has("Last import: unknown\n");

    import_repair_bundle(&sandbox, [json(), left_out()]);
    verify(&sandbox, &[]).ok().stdout_has("OK -- 4 crates");
    let (_, names) = current_crates(&mirror);
    for name in ALL {
        assert!(names.iter().any(|known| known == name), "{names:?}");
    }
}

#[test]
fn gc_keeps_the_rebuilt_lineage_until_it_is_forgotten() {
    let (sandbox, mirror) = two_bundle_mirror();
    let name = ledger::record_names(&Layout::new(&mirror)).unwrap().swap_remove(1);
    fs::remove_file(mirror.join(".frostmirror/ledger").join(&name)).unwrap();
    verify(&sandbox, &["--rebuild-state"]).ok();
    let served = public_files(&mirror);
    sandbox.run(["gc", "--mirror", "mirror", "--grace", "0s"]).ok();
    assert_eq!(public_files(&mirror), served);
    // The lineage's next bundle names what it needs; the rest becomes garbage once no lineage references it.
    sandbox.run(["gc", "--mirror", "mirror", "--grace", "1h", "--forget", "rebuilt"]).exits(4);
    assert_eq!(public_files(&mirror), served);
    let (head, _) = current_crates(&mirror);
    let rebuilt = head.lineages.iter().find(|lineage| lineage.id == "rebuilt").unwrap();
    let confirmed = format!("rebuilt@{}", rebuilt.bundle);
    sandbox.run(["gc", "--mirror", "mirror", "--grace", "1h", "--forget", &confirmed]).ok();
    assert!(!mirror.join("index/wi/na/winapi").exists());
    // Its line is gone, and the file waits for those who saw the line.
    assert!(mirror.join("crates/json-1.1.0.crate").exists());
    verify(&sandbox, &[]).ok();
    // A rebuilt summary does not restore forgotten lineages.
    fs::remove_file(mirror.join("manifest.json")).unwrap();
    verify(&sandbox, &["--rebuild-state"]).ok();
    assert_eq!(current_crates(&mirror).0.lineages.len(), 1);
    sandbox.run(["gc", "--mirror", "mirror", "--grace", "0s"]).ok();
    assert!(!mirror.join("crates/json-1.1.0.crate").exists());
    assert_eq!(verify(&sandbox, &[]).ok().stdout, "OK -- 2 crates, 0 rustup artifacts\n");
}

#[test]
fn problems_that_a_running_import_has_fixed_are_dropped_by_the_second_audit() {
    let (sandbox, mirror) = two_bundle_mirror();
    let layout = Layout::new(&mirror);
    // Caught in the middle: the file is there, its line is not yet.
    let late = Crate::new("late", "1.0.0").pack();
    fs::write(mirror.join("crates/late-1.0.0.crate"), &late.bytes).unwrap();
    let first = audit(&layout, &NullSink).unwrap();
    assert!(!first.problems.is_empty());
    let third = BundleBuilder::new("b", 1).ship(Crate::new("late", "1.0.0")).write(&sandbox.path(""), "three.pkg");
    fs::remove_file(mirror.join("crates/late-1.0.0.crate")).unwrap();
    import(&mirror, &third).unwrap();
    let guard = lock_for_adding(&layout, std::time::Duration::ZERO, &test_holder(), &NullSink).unwrap();
    let again = guard.audit_again(&first, &NullSink).unwrap();
    assert_eq!((again.crates, again.problems), (4, Vec::new()));
    drop(guard);

    // While another process holds the mirror, a sound one is audited all the same, and a rotten one is not judged.
    let guard = lock_for_adding(&layout, std::time::Duration::ZERO, &test_holder(), &NullSink).unwrap();
    verify(&sandbox, &["--lock-timeout", "0"]).ok();
    flip_byte(&mirror.join(JSON));
    verify(&sandbox, &["--lock-timeout", "0"])
        .exits(6)
        .stderr_has("the audit found 1 problem, which the process that has locked the mirror may have caused");
    drop(guard);
    verify(&sandbox, &["--lock-timeout", "0"]).exits(4);
}

#[test]
fn a_missing_mirror_is_an_input_error() {
    let sandbox = Sandbox::new();
    sandbox.run(["verify", "--mirror", "absent"]).exits(3).stderr_has("no mirror is at");
    assert!(!sandbox.path("absent").exists());
    fs::create_dir(sandbox.path("empty")).unwrap();
    sandbox.run(["verify", "--mirror", "empty"]).exits(3);
    sandbox.run(["verify", "--mirror", "empty", "--rebuild-state"]).exits(3);
    assert_eq!(fs::read_dir(sandbox.path("empty")).unwrap().count(), 0);
    sandbox.run(["verify", "x.pkg", "--mirror", "empty"]).exits(2);
    sandbox.run(["verify", "--rebuild-state"]).exits(2);
    sandbox.run(["verify", "x.pkg", "--repair-list", "list"]).exits(2);
}

#[test]
fn status_reads_the_records_and_not_the_file_tree() {
    let (sandbox, mirror) = two_bundle_mirror();
    let before = sandbox.run(["status", "--mirror", "mirror"]).ok().stdout;
    fs::remove_dir_all(mirror.join("crates")).unwrap();
    fs::remove_dir_all(mirror.join("index")).unwrap();
    let after = sandbox.run(["status", "--mirror", "mirror"]).ok().stdout;
    let numbers = |text: &str| text.lines().take(3).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(numbers(&before), numbers(&after));
    sandbox.run(["status", "--mirror", "absent"]).exits(3).stderr_has("no mirror is at");
    sandbox.run(["status", "--mirror", "one.pkg"]).exits(3).stderr_has("is not a folder");
}

#[test]
fn following_the_hint_removes_an_unrecognized_file() {
    let (sandbox, mirror) = two_bundle_mirror();
    let stray = mirror.join("crates/foo-1.0.0.crate");
    fs::write(&stray, "not ours").unwrap();
    // What must bring a file back counts the tree.
    fs::remove_file(mirror.join(JSON)).unwrap();
    sandbox.run(["import", "one.pkg", "--mirror", "mirror"]).ok();
    verify(&sandbox, &[]).exits(4).stdout_has("crates/foo-1.0.0.crate").stderr_has("remove them by hand");
    fs::remove_file(stray).unwrap();
    assert_clean(&sandbox);
}
