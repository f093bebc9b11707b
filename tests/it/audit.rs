//! `verify --mirror`: every kind of damage is named, and what mends it mends it.

use std::fs;
use std::path::{Path, PathBuf};

use frostmirror::bundle::format::CrateState;
use frostmirror::digest::Sha256;
use frostmirror::event::Silent;
use frostmirror::mirror::audit::audit;
use frostmirror::mirror::head::Head;
use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::ledger;
use frostmirror::mirror::lock::lock_for_adding;
use frostmirror::mirror::rebuild::CHECKPOINTS;

use crate::import_bundle::{Make, assert_sound, everything, import, me, view};
use crate::support::crates::Crate;
use crate::support::run::Run;
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
fn world() -> (Sandbox, PathBuf) {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    let first = Make::new("a", 1).ship(json()).ship(serde()).write(&sandbox.path(""), "one.pkg");
    import(&mirror, &first).unwrap();
    let second = Make::new("a", 2)
        .ship(newer_json())
        .with(json(), CrateState::Sent)
        .with(serde(), CrateState::Sent)
        .with(left_out(), CrateState::IndexOnly)
        .parent("one.pkg")
        .write(&sandbox.path(""), "two.pkg");
    import(&mirror, &second).unwrap();
    (sandbox, mirror)
}

fn verify(sandbox: &Sandbox, more: &[&str]) -> Run {
    sandbox.run(["verify", "--mirror", "mirror"].iter().chain(more))
}

#[track_caller]
fn clean(sandbox: &Sandbox) {
    assert_eq!(verify(sandbox, &[]).ok().stdout, "OK -- 3 crates, 0 rustup artifacts\n");
}

/// The problems told, and the crates listed to be fetched.
#[track_caller]
fn problems(sandbox: &Sandbox) -> (Vec<String>, Vec<String>) {
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
fn mend(sandbox: &Sandbox, crates: impl IntoIterator<Item = Crate>) {
    let make = crates.into_iter().fold(Make::new("repair", 1).read(9), Make::ship);
    let bundle = make.write(&sandbox.path(""), "repair.pkg");
    import(&sandbox.path("mirror"), &bundle).unwrap();
}

fn flip(path: &Path) -> Sha256 {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, &bytes).unwrap();
    Sha256::of(&bytes)
}

#[test]
fn a_sound_mirror_is_ok_in_one_line() {
    let (sandbox, mirror) = world();
    let before = everything(&mirror);
    clean(&sandbox);
    verify(&sandbox, &["--repair-list", "list.jsonl"]).ok();
    assert_eq!(sandbox.read("list.jsonl"), "");
    let run = verify(&sandbox, &["--message-format", "json"]).ok();
    let told: Vec<serde_json::Value> = run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let audited = told.iter().find(|line| line["reason"] == "audited").unwrap();
    assert_eq!((&audited["success"], &audited["crates"]), (&true.into(), &3.into()));
    assert!(told.iter().any(|line| line["reason"] == "begin" && line["phase"] == "verifying"));
    assert_eq!(everything(&mirror), before);
}

#[test]
fn rot_is_named_listed_and_mended() {
    let (sandbox, mirror) = world();
    let actual = flip(&mirror.join(JSON));
    let cksum = json().pack().cksum;
    let (told, listed) = problems(&sandbox);
    assert_eq!(told, [format!("{JSON}: its SHA-256 is {actual}, and the one on record is {cksum}")]);
    assert_eq!(listed, ["json 1.0.0"]);
    verify(&sandbox, &[]).exits(4).stderr_has("--repair-list FILE");
    mend(&sandbox, [json()]);
    clean(&sandbox);
}

#[test]
fn missing_and_shortened_crates_are_mended_with_their_numbers() {
    let (sandbox, mirror) = world();
    fs::remove_file(mirror.join(JSON)).unwrap();
    let path = mirror.join("crates/Serde-1.0.100+b.crate");
    fs::write(&path, b"short").unwrap();
    let (told, listed) = problems(&sandbox);
    assert!(told[0].starts_with("crates/Serde-1.0.100+b.crate: its SHA-256 is "), "{told:?}");
    assert_eq!(told[1], format!("{JSON}: is missing; a line of index/js/on/json names it"));
    assert!(told.iter().any(|told| told.starts_with("manifest.json: says 3 crates, and 2 are on disk")), "{told:?}");
    assert_eq!(listed, ["Serde 1.0.100+b", "json 1.0.0"]);
    mend(&sandbox, [json(), serde()]);
    clean(&sandbox);
}

#[test]
fn an_altered_and_a_lost_line_are_mended() {
    let (sandbox, mirror) = world();
    let index = mirror.join("index/js/on/json");
    let text = fs::read_to_string(&index).unwrap();
    // Another checksum in one line, and the crate's file made to fit it: the record knows better.
    fs::write(mirror.join(JSON), b"forged").unwrap();
    fs::write(&index, text.replace(&json().pack().cksum, &Sha256::of(b"forged").to_string())).unwrap();
    let (told, listed) = problems(&sandbox);
    assert!(told.contains(&"index/js/on/json: line 1, of json 1.0.0, is not the one on record".to_owned()), "{told:?}");
    assert!(told.iter().any(|told| told.starts_with(&format!("{JSON}: its SHA-256 is "))), "{told:?}");
    assert_eq!(listed, ["json 1.0.0"]);
    mend(&sandbox, [json()]);
    clean(&sandbox);

    let lines: Vec<&str> = text.lines().collect();
    fs::write(&index, format!("{}\nnonsense\n", lines[1])).unwrap();
    let (told, listed) = problems(&sandbox);
    assert_eq!(
        told,
        [
            "index/js/on/json: line 2 is no index line",
            "index/js/on/json: the line of json 1.0.0 is missing, which is on record"
        ]
    );
    assert_eq!(listed, ["json 1.0.0"]);
    mend(&sandbox, [json()]);
    clean(&sandbox);
}

#[test]
fn a_missing_index_file_is_mended() {
    let (sandbox, mirror) = world();
    fs::remove_file(mirror.join("index/se/rd/serde")).unwrap();
    let (told, listed) = problems(&sandbox);
    assert!(
        told.contains(&"index/se/rd/serde: the line of Serde 1.0.100+b is missing, which is on record".to_owned()),
        "{told:?}"
    );
    assert_eq!(listed, ["Serde 1.0.100+b"]);
    mend(&sandbox, [serde()]);
    clean(&sandbox);

    // Line, record and file: the ledger still knows.
    for gone in ["index/se/rd/serde", ".frostmirror/lines/se/rd/serde", "crates/Serde-1.0.100+b.crate"] {
        fs::remove_file(mirror.join(gone)).unwrap();
    }
    let (told, listed) = problems(&sandbox);
    assert!(told[0].starts_with("index/se/rd/serde: the line of Serde 1.0.100+b is missing, which the ledger's 0000"));
    assert_eq!(listed, ["Serde 1.0.100+b"]);
    mend(&sandbox, [serde()]);
    verify(&sandbox, &["--rebuild-state"]).ok();
    clean(&sandbox);
}

#[test]
fn what_does_not_belong_is_named_and_nothing_else_is() {
    let (sandbox, mirror) = world();
    let strangers = [
        "crates/notes.txt",
        "crates/other-1.0.0.crate",
        "dist/channel-rust-stable.toml",
        "index/js/on/jsoN",
        "index/js/json",
        "robots.txt",
    ];
    for path in strangers {
        fs::create_dir_all(mirror.join(path).parent().unwrap()).unwrap();
        fs::write(mirror.join(path), "x").unwrap();
    }
    fs::write(mirror.join("index/config.json"), "{}").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", mirror.join("crates/evil-1.0.0.crate")).unwrap();
    fs::write(mirror.join(".htaccess"), "x").unwrap();
    let (told, listed) = problems(&sandbox);
    let told: Vec<&str> = told.iter().map(String::as_str).filter(|told| !told.starts_with("manifest.json")).collect();
    assert_eq!(
        told,
        [
            "crates/evil-1.0.0.crate: is not a regular file",
            "crates/notes.txt: nothing names it",
            "crates/other-1.0.0.crate: no index line names it",
            "dist/channel-rust-stable.toml: nothing names it",
            "index/config.json: is not the configuration of a registry",
            "index/js/json: nothing names it",
            "index/js/on/jsoN: nothing names it",
            "robots.txt: nothing names it",
        ]
    );
    assert!(listed.is_empty());
}

#[test]
fn damaged_state_is_named_and_rebuilt() {
    for damage in ["cut head", "no head", "no lines", "cut lines", "wrong count", "no link", "link elsewhere"] {
        let (sandbox, mirror) = world();
        let before = everything(&mirror);
        let head = mirror.join("manifest.json");
        let text = fs::read_to_string(&head).unwrap();
        let lines = mirror.join(".frostmirror/lines/js/on/json");
        let link = mirror.join("crates/index");
        let named = match damage {
            "cut head" => {
                fs::write(&head, &text[..20]).unwrap();
                "manifest.json: is damaged"
            }
            "no head" => {
                fs::remove_file(&head).unwrap();
                "manifest.json: is missing"
            }
            "wrong count" => {
                fs::write(&head, text.replace("\"versions\": 3", "\"versions\": 4")).unwrap();
                "manifest.json: says 4 crates, and 3 are on disk"
            }
            "no lines" => {
                fs::remove_dir_all(mirror.join(".frostmirror/lines")).unwrap();
                ".frostmirror/lines/wi/na/winapi: has no record of the line of winapi 0.3.9"
            }
            "cut lines" => {
                let text = fs::read_to_string(&lines).unwrap();
                fs::write(&lines, &text[..text.len() - 4]).unwrap();
                ".frostmirror/lines/js/on/json: line 2 is no record of an index line"
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
        let (told, listed) = problems(&sandbox);
        assert!(told.contains(&named.to_owned()), "{damage}: {told:?}");
        assert!(listed.is_empty(), "{damage}: {listed:?}");
        verify(&sandbox, &["--rebuild-state"]).ok().stdout_has("OK -- 3 crates");
        clean(&sandbox);
        if !damage.contains("lines") {
            assert_eq!(everything(&mirror), before, "{damage}");
        }
        let records = fs::read_to_string(mirror.join(".frostmirror/lines/wi/na/winapi")).unwrap();
        assert!(records.ends_with("index-only\n"), "{damage}: {records}");
        // Rebuilt twice is rebuilt once.
        let once = everything(&mirror);
        verify(&sandbox, &["--rebuild-state"]).ok().stderr_has("nothing was lost");
        assert_eq!(everything(&mirror), once, "{damage}");
    }
}

/// The names of the crates that the newest record of each lineage keeps.
fn current(mirror: &Path) -> (Head, Vec<String>) {
    let layout = Layout::new(mirror);
    let head = ledger::head(&layout).unwrap().unwrap();
    let mut names: Vec<String> = head
        .lineages
        .iter()
        .flat_map(|lineage| ledger::read(&layout, &lineage.record).unwrap().unwrap().manifest.crates)
        .map(|one| one.id().to_string())
        .collect();
    names.sort();
    (head, names)
}

const ALL: [&str; 4] = ["Serde 1.0.100+b", "json 1.0.0", "json 1.1.0", "winapi 0.3.9"];

#[test]
fn a_lost_record_of_the_ledger_costs_no_crate_its_place() {
    for (number, cut) in [(0, false), (1, false), (0, true), (1, true)] {
        let (sandbox, mirror) = world();
        let name = ledger::names(&Layout::new(&mirror)).unwrap().swap_remove(number);
        let path = mirror.join(".frostmirror/ledger").join(&name);
        if cut {
            fs::write(&path, &fs::read(&path).unwrap()[..200]).unwrap();
        } else {
            fs::remove_file(&path).unwrap();
        }
        let (told, listed) = problems(&sandbox);
        assert!(told.contains(&"manifest.json: says 2 imports, and the ledger has 1 records".to_owned()), "{told:?}");
        assert_eq!(told.contains(&format!(".frostmirror/ledger/{name}: is no record of an import")), cut);
        assert!(listed.is_empty());
        verify(&sandbox, &["--rebuild-state"]).ok();
        clean(&sandbox);
        let (head, names) = current(&mirror);
        assert_eq!(names, ALL, "record {number}");
        let lineages: Vec<&str> = head.lineages.iter().map(|lineage| lineage.id.as_str()).collect();
        assert_eq!(lineages.contains(&"rebuilt"), number == 1, "{lineages:?}");
        assert_eq!(mirror.join(".frostmirror/aside").join(&name).exists(), cut);
        // Imports go on as ever, and so does the lineage whose record was lost.
        let third = Make::new("a", 3).ship(Crate::new("late", "1.0.0")).write(&sandbox.path(""), "three.pkg");
        import(&mirror, &third).unwrap();
        verify(&sandbox, &[]).ok();
    }
}

#[test]
fn a_mirror_without_any_state_is_rebuilt_and_rot_is_not_blessed() {
    let (sandbox, mirror) = world();
    fs::remove_dir_all(mirror.join(".frostmirror")).unwrap();
    fs::remove_file(mirror.join("manifest.json")).unwrap();
    flip(&mirror.join(JSON));
    let run = verify(&sandbox, &["--rebuild-state", "--repair-list", "list.jsonl"]).exits(4);
    assert!(run.stdout.contains(&format!("{JSON}: its SHA-256 is ")), "{}", run.told());
    // That its file was left out is known nowhere any more.
    assert!(run.stdout.contains("crates/winapi-0.3.9.crate: is missing"), "{}", run.told());
    assert!(run.stderr.contains("they are kept as lineage `rebuilt`"), "{}", run.told());
    let list = sandbox.read("list.jsonl");
    assert_eq!(list.lines().count(), 2, "{list}");
    assert!(list.contains(&json().pack().cksum) && list.contains(&left_out().pack().cksum), "{list}");
    let records = fs::read_to_string(mirror.join(".frostmirror/lines/js/on/json")).unwrap();
    assert!(records.starts_with("1.1.0 ") && records.lines().count() == 1, "{records}");
    let (head, names) = current(&mirror);
    assert_eq!(names, ALL);
    assert_eq!((head.imports, &head.last_import), (1, &None));
    sandbox
        .run(["status", "--mirror", "mirror"])
        .ok()
        .stdout_has("Crate count: 3\n")
        .stdout_has("Last import: unknown\n");

    mend(&sandbox, [json(), left_out()]);
    verify(&sandbox, &[]).ok().stdout_has("OK -- 4 crates");
    let (_, names) = current(&mirror);
    for name in ALL {
        assert!(names.iter().any(|known| known == name), "{names:?}");
    }
}

#[test]
fn a_collection_keeps_what_a_rebuild_found_until_it_is_let_go() {
    let (sandbox, mirror) = world();
    let name = ledger::names(&Layout::new(&mirror)).unwrap().swap_remove(1);
    fs::remove_file(mirror.join(".frostmirror/ledger").join(&name)).unwrap();
    verify(&sandbox, &["--rebuild-state"]).ok();
    let served = view(&mirror);
    sandbox.run(["gc", "--mirror", "mirror", "--grace", "0s"]).ok();
    assert_eq!(view(&mirror), served);
    // The lineage's next bundle names what it needs; the rest may go once nobody answers for it.
    sandbox.run(["gc", "--mirror", "mirror", "--grace", "1h", "--forget", "rebuilt"]).ok();
    assert!(!mirror.join("index/wi/na/winapi").exists());
    // Its line is gone, and the file waits for those who saw the line.
    assert!(mirror.join("crates/json-1.1.0.crate").exists());
    verify(&sandbox, &[]).ok();
    // What was let go does not come back with the head that is made anew.
    fs::remove_file(mirror.join("manifest.json")).unwrap();
    verify(&sandbox, &["--rebuild-state"]).ok();
    assert_eq!(current(&mirror).0.lineages.len(), 1);
    sandbox.run(["gc", "--mirror", "mirror", "--grace", "0s"]).ok();
    assert!(!mirror.join("crates/json-1.1.0.crate").exists());
    assert_eq!(verify(&sandbox, &[]).ok().stdout, "OK -- 2 crates, 0 rustup artifacts\n");
}

#[test]
fn killed_at_any_checkpoint_a_rebuild_is_completed_by_the_next() {
    for checkpoint in CHECKPOINTS {
        let (sandbox, mirror) = world();
        let served = view(&mirror);
        fs::remove_dir_all(mirror.join(".frostmirror/lines")).unwrap();
        fs::write(mirror.join("manifest.json"), "{").unwrap();
        let name = ledger::names(&Layout::new(&mirror)).unwrap().swap_remove(1);
        fs::write(mirror.join(".frostmirror/ledger").join(&name), "{").unwrap();
        let words = ["verify", "--mirror", "mirror", "--rebuild-state"];
        let died = sandbox.process(words).envs([("FROSTMIRROR_CRASH_AT", checkpoint)]).run();
        assert_eq!(died.code, 128 + 6, "{checkpoint}: {}", died.told());
        assert_eq!(view(&mirror), served, "{checkpoint}");

        // What only the lost record knew is gone for good: that winapi was left out.
        let run = sandbox.run(words).exits(4);
        assert_eq!(
            run.stdout.lines().collect::<Vec<_>>(),
            [
                ".frostmirror/lines/wi/na/winapi: has no record of the line of winapi 0.3.9",
                "crates/winapi-0.3.9.crate: is missing; a line of index/wi/na/winapi names it",
            ],
            "{checkpoint}"
        );
        assert_eq!(current(&mirror).1, ALL, "{checkpoint}");
        mend(&sandbox, [left_out()]);
        verify(&sandbox, &[]).ok().stdout_has("OK -- 4 crates");
        assert_sound(&mirror);
    }
}

#[test]
fn what_an_import_is_about_to_finish_is_no_damage() {
    let (sandbox, mirror) = world();
    let layout = Layout::new(&mirror);
    // Caught in the middle: the file is there, its line is not yet.
    let late = Crate::new("late", "1.0.0").pack();
    fs::write(mirror.join("crates/late-1.0.0.crate"), &late.bytes).unwrap();
    let first = audit(&layout, &Silent).unwrap();
    assert!(!first.problems.is_empty());
    let third = Make::new("b", 1).ship(Crate::new("late", "1.0.0")).write(&sandbox.path(""), "three.pkg");
    fs::remove_file(mirror.join("crates/late-1.0.0.crate")).unwrap();
    import(&mirror, &third).unwrap();
    let guard = lock_for_adding(&layout, std::time::Duration::ZERO, &me(), &Silent).unwrap();
    let again = guard.audit_again(&first, &Silent).unwrap();
    assert_eq!((again.crates, again.problems), (4, Vec::new()));
    drop(guard);

    // While another process holds the mirror, a sound one is audited all the same, and a rotten one is not judged.
    let guard = lock_for_adding(&layout, std::time::Duration::ZERO, &me(), &Silent).unwrap();
    verify(&sandbox, &["--lock-timeout", "0"]).ok();
    flip(&mirror.join(JSON));
    verify(&sandbox, &["--lock-timeout", "0"]).exits(6).stderr_has("1 thing looked wrong");
    drop(guard);
    verify(&sandbox, &["--lock-timeout", "0"]).exits(4);
}

#[test]
fn where_no_mirror_is_the_input_is_at_fault() {
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
fn status_reads_what_is_recorded_and_not_the_tree() {
    let (sandbox, mirror) = world();
    let before = sandbox.run(["status", "--mirror", "mirror"]).ok().stdout;
    fs::remove_dir_all(mirror.join("crates")).unwrap();
    fs::remove_dir_all(mirror.join("index")).unwrap();
    let after = sandbox.run(["status", "--mirror", "mirror"]).ok().stdout;
    let numbers = |text: &str| text.lines().take(3).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(numbers(&before), numbers(&after));
    sandbox.run(["status", "--mirror", "absent"]).ok().stdout_has("Crate count: 0\n").stderr_has("no mirror is at");
    sandbox.run(["status", "--mirror", "one.pkg"]).exits(3).stderr_has("is not a folder");
}

#[test]
fn a_stranger_that_was_counted_goes_as_the_hint_says() {
    let (sandbox, mirror) = world();
    let stray = mirror.join("crates/foo-1.0.0.crate");
    fs::write(&stray, "not ours").unwrap();
    // What must bring a file back counts the tree.
    fs::remove_file(mirror.join(JSON)).unwrap();
    sandbox.run(["import", "one.pkg", "--mirror", "mirror"]).ok();
    verify(&sandbox, &[]).exits(4).stdout_has("crates/foo-1.0.0.crate").stderr_has("with `--rebuild-state` after it");
    fs::remove_file(stray).unwrap();
    verify(&sandbox, &[]).exits(4).stdout_has("manifest.json: says 4 crates").stderr_has("--rebuild-state");
    verify(&sandbox, &["--rebuild-state"]).ok();
    clean(&sandbox);
}
