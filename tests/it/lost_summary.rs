//! Mirrors that lost manifest.json, all records, or the newest record: no command hides the loss or removes what the
//! lost records needed.

use std::fs;
use std::path::{Path, PathBuf};

use frostmirror::bundle::format::CrateState;
use frostmirror::event::NullSink;
use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::ledger;
use frostmirror::mirror::live;

use crate::bundle_builder::{BundleBuilder, all_files, import, public_files, test_time};
use crate::live_store::{adding, fetched_crate};
use crate::support::crates::Crate;
use crate::support::sandbox::Sandbox;

/// A mirror of bundles of three histories, with one crate each.
fn mirror_of_three(sandbox: &Sandbox) -> PathBuf {
    let mirror = sandbox.path("mirror");
    for (at, history) in ["a", "b", "c"].into_iter().enumerate() {
        import(&mirror, &write_bundle(sandbox, history, at)).unwrap();
    }
    mirror
}

fn write_bundle(sandbox: &Sandbox, history: &str, at: usize) -> PathBuf {
    let make = BundleBuilder::new(history, 1).ship(Crate::new(&format!("crate{at}"), "1.0.0"));
    make.write(&sandbox.path(""), &format!("{at}.pkg"))
}

fn newest_record(mirror: &Path) -> PathBuf {
    let layout = Layout::new(mirror);
    layout.ledger().join(ledger::record_names(&layout).unwrap().pop().unwrap())
}

fn bundle_of(record: &Path) -> String {
    let stem = record.file_stem().unwrap().to_str().unwrap();
    stem.split_once('-').unwrap().1.to_owned()
}

/// All files without those that taking the lock writes.
fn files(mirror: &Path) -> Vec<(String, Vec<u8>)> {
    let ignored = [".frostmirror/holder", ".frostmirror/lock", ".frostmirror/reserve"];
    all_files(mirror)
        .into_iter()
        .filter(|(path, _)| !ignored.contains(&path.as_str()) && !path.starts_with(".frostmirror/live"))
        .collect()
}

#[test]
fn the_rebuilt_lineage_is_not_forgotten_before_the_bundles_are_imported_again() {
    let sandbox = Sandbox::new();
    let mirror = mirror_of_three(&sandbox);
    fs::remove_dir_all(mirror.join(".frostmirror/ledger")).unwrap();
    fs::remove_file(mirror.join("manifest.json")).unwrap();
    let run = sandbox.run(["verify", "--rebuild-state", "--mirror", "mirror"]).ok();
    run.stderr_has("Import every bundle that you still have again with `cargo frostmirror import FILE --mirror /")
        .stderr_has("after these imports, `cargo frostmirror gc --forget rebuilt --mirror /");
    let served = public_files(&mirror);
    let forget = ["gc", "--forget", "rebuilt", "--grace", "0", "--mirror", "mirror"];
    let refused = |reason: &str| {
        let run = sandbox.run(forget).exits(4);
        let run = run
            .stdout_has("To remove: ")
            .stderr_has("lineage `rebuilt` is not forgotten, so nothing is removed: ")
            .stderr_has(reason)
            .stderr_has("hint: first import every bundle that you still have again");
        assert_eq!(public_files(&mirror), served);
        run
    };
    let run = refused("no import since the rebuild restored one");
    let text = run.stderr.split_once("--forget rebuilt@").unwrap().1;
    let id = text.split_whitespace().next().unwrap().to_owned();
    let mut dry_run = forget.to_vec();
    dry_run.push("--dry-run");
    sandbox.run(&dry_run).ok().stdout_has("To remove: 3 index lines").stderr_has("this run would fail");
    sandbox.run(["import", "0.pkg", "--mirror", "mirror"]).ok();
    refused("no bundle on record names crate1-1.0.0.crate and 1 more, which it would remove");
    let confirmed = format!("rebuilt@{id}");
    let copy = sandbox.path("copy");
    sandbox.other_program("cp", ["-a", "mirror", "copy"]).run().ok();
    sandbox.run(["gc", "--forget", "rebuilt@ffffffff", "--mirror", "copy"]).exits(3).stderr_has(&id);
    sandbox.run(["gc", "--forget", &confirmed, "--mirror", "copy"]).ok().stdout_has("To remove: 2 index lines");
    assert!(!copy.join("index/cr/at/crate1").exists());
    sandbox.run(["import", "1.pkg", "--mirror", "mirror"]).ok();
    // One of three is not most of them, but no bundle on record names it.
    refused("no bundle on record names crate2-1.0.0.crate, which it would remove");
    sandbox.run(["import", "2.pkg", "--mirror", "mirror"]).ok();
    refused("a lost record may need what a later run would remove");
    sandbox.forget_rebuilt();
    sandbox.run(["verify", "--mirror", "mirror"]).ok().stdout_has("OK -- 3 crates");
    assert_eq!(public_files(&mirror), served);
}

#[test]
fn rebuilt_is_forgotten_without_a_confirmation_if_bundles_on_record_explain_what_goes() {
    for is_record_lost in [false, true] {
        let sandbox = Sandbox::new();
        let mirror = sandbox.path("mirror");
        let (old, new) = (|| Crate::new("old", "1.0.0"), || Crate::new("new", "1.0.0"));
        let write = |bundle: BundleBuilder, file: &str| bundle.write(&sandbox.path(""), file);
        import(&mirror, &write(BundleBuilder::new("a", 1).ship(old()).ship(new()), "one.pkg")).unwrap();
        import(
            &mirror,
            &write(BundleBuilder::new("a", 2).with_crate(new(), CrateState::Sent).parent("one.pkg"), "two.pkg"),
        )
        .unwrap();
        if is_record_lost {
            // This bundle needs the old crate again.
            let three = BundleBuilder::new("a", 3).with_crate(new(), CrateState::Sent).ship(old()).parent("two.pkg");
            import(&mirror, &write(three, "three.pkg")).unwrap();
            fs::remove_file(newest_record(&mirror)).unwrap();
        }
        fs::remove_file(mirror.join("manifest.json")).unwrap();
        let run = sandbox.run(["verify", "--rebuild-state", "--mirror", "mirror"]).ok();
        run.stderr_has("they are kept as lineage `rebuilt`");
        let run = sandbox.run(["gc", "--forget", "rebuilt", "--grace", "0", "--mirror", "mirror"]);
        run.exits(4).stderr_has("no import since the rebuild restored one").stderr_has("--forget rebuilt@");
        let left = if is_record_lost { 2 } else { 1 };
        if !is_record_lost {
            sandbox.forget_rebuilt().stdout_has("To remove: 1 index line\n");
        }
        let run = sandbox.run(["verify", "--mirror", "mirror"]).ok();
        run.stdout_has(if left == 1 { "OK -- 1 crate," } else { "OK -- 2 crates," });
        assert_eq!(mirror.join("crates/old-1.0.0.crate").exists(), is_record_lost);
    }
}

#[test]
fn the_rebuilt_lineage_is_kept_until_the_bundles_of_lost_records_return() {
    let sandbox = Sandbox::new();
    let mirror = mirror_of_three(&sandbox);
    let lost = newest_record(&mirror);
    fs::remove_file(&lost).unwrap();
    sandbox.run(["verify", "--rebuild-state", "--mirror", "mirror"]).ok();
    import(&mirror, &write_bundle(&sandbox, "d", 3)).unwrap();
    let forget = ["gc", "--forget", "rebuilt", "--mirror", "mirror"];
    sandbox
        .run(forget)
        .exits(4)
        .stderr_has(&format!("the bundle with the id {}, whose record is lost", bundle_of(&lost)));
    sandbox.run(["import", "2.pkg", "--mirror", "mirror"]).ok();
    sandbox.run(forget).ok();
    sandbox.run(["verify", "--mirror", "mirror"]).ok().stdout_has("OK -- 4 crates");
}

#[test]
fn no_command_hides_that_the_newest_record_is_lost() {
    for damage in ["missing", "damaged"] {
        let sandbox = Sandbox::new();
        let mirror = mirror_of_three(&sandbox);
        write_bundle(&sandbox, "d", 3);
        fs::remove_file(newest_record(&mirror)).unwrap();
        match damage {
            "missing" => fs::remove_file(mirror.join("manifest.json")).unwrap(),
            _ => fs::write(mirror.join("manifest.json"), "{").unwrap(),
        }
        let before = files(&mirror);
        let reason = format!("manifest.json` is {damage}, although the mirror has records of imports");
        let way_out = "hint: run `cargo frostmirror verify --mirror /";
        for args in [
            &["gc", "--mirror", "mirror"][..],
            &["gc", "--dry-run", "--mirror", "mirror"],
            &["import", "3.pkg", "--mirror", "mirror"],
            &["import", "0.pkg", "--mirror", "mirror"],
            &["import", "0.pkg", "3.pkg", "--mirror", "mirror"],
        ] {
            sandbox.run(args).exits(4).stderr_has(&reason).stderr_has(way_out).stderr_has("--rebuild-state`");
            assert_eq!(files(&mirror), before, "{args:?}");
        }
        let arrival = fetched_crate(&mirror, &Crate::new("live", "1.0.0").pack(), 50);
        let stored = adding(&mirror).store_live(vec![arrival], Vec::new(), Vec::new(), test_time(60), &NullSink);
        assert!(matches!(stored, Err(live::Error::SummaryLost(_))), "{stored:?}");
        assert_eq!(files(&mirror), before);

        let run = sandbox.run(["verify", "--mirror", "mirror"]).exits(4);
        run.stdout_has(
            "index/cr/at/crate2: line 1 is for crate2 1.0.0, which no record names; the record of its import",
        )
        .stdout_lacks("crate1 1.0.0");
        sandbox.run(["verify", "--rebuild-state", "--mirror", "mirror"]).ok().stdout_has("OK -- 3 crates");
        assert!(mirror.join("crates/crate2-1.0.0.crate").exists());
        // The same commands again.
        sandbox.run(["gc", "--mirror", "mirror"]).ok().stdout_has("To remove: 0 index lines");
        sandbox.run(["import", "3.pkg", "2.pkg", "--mirror", "mirror"]).ok();
        sandbox.forget_rebuilt();
        sandbox.run(["verify", "--mirror", "mirror"]).ok().stdout_has("OK -- 4 crates");
    }
}

#[test]
fn an_audit_without_records_names_every_line_and_missing_crate() {
    let sandbox = Sandbox::new();
    let mirror = mirror_of_three(&sandbox);
    // The remaining records still show what is current.
    fs::remove_file(mirror.join("manifest.json")).unwrap();
    for file in ["index/cr/at/crate0", ".frostmirror/lines/cr/at/crate0", "crates/crate0-1.0.0.crate"] {
        fs::remove_file(mirror.join(file)).unwrap();
    }
    let run = sandbox.run(["verify", "--repair-list", "list", "--mirror", "mirror"]).exits(4);
    run.stdout_has("manifest.json: is missing").stdout_has("the line of crate0 1.0.0 is missing, but bundle number ");
    assert!(sandbox.read("list").contains("crate0"));
    fs::remove_dir_all(mirror.join(".frostmirror/ledger")).unwrap();
    let run = sandbox.run(["verify", "--mirror", "mirror"]).exits(4);
    run.stdout_has("line 1 is for crate1 1.0.0, which no record")
        .stdout_has("line 1 is for crate2 1.0.0, which no record");
}

#[test]
fn a_rebuild_names_the_bundle_of_a_lost_record() {
    let sandbox = Sandbox::new();
    let mirror = mirror_of_three(&sandbox);
    // An older bundle of a history is not named in manifest.json as one of the newest, but its record is the newest.
    let bundles = [1, 2].map(|number| {
        let make = BundleBuilder::new("z", number).ship(Crate::new(&format!("z{number}"), "1.0.0"));
        make.write(&sandbox.path(""), &format!("z{number}.pkg"))
    });
    bundles.iter().rev().for_each(|bundle| drop(import(&mirror, bundle).unwrap()));
    let lost = newest_record(&mirror);
    fs::remove_file(&lost).unwrap();
    let id = bundle_of(&lost);
    sandbox.run(["verify", "--mirror", "mirror"]).exits(4).stdout_has(&id);
    let run = sandbox.run(["verify", "--rebuild-state", "--mirror", "mirror"]).ok();
    run.stderr_has(&format!("the record of the bundle with the id {id} is lost")).stderr_lacks("nothing names");
    sandbox.run(["import", "z1.pkg", "--mirror", "mirror"]).ok();
    sandbox.run(["verify", "--mirror", "mirror"]).ok();
}

#[test]
fn a_record_with_the_content_of_another_is_the_false_one() {
    for (false_record, copied, has_summary) in [(2, 1, true), (1, 0, true), (0, 2, true), (2, 1, false), (1, 2, false)]
    {
        let sandbox = Sandbox::new();
        let mirror = mirror_of_three(&sandbox);
        let layout = Layout::new(&mirror);
        let names = ledger::record_names(&layout).unwrap();
        fs::copy(layout.ledger().join(&names[copied]), layout.ledger().join(&names[false_record])).unwrap();
        if !has_summary {
            fs::remove_file(layout.summary()).unwrap();
        }
        let run = sandbox.run(["verify", "--mirror", "mirror"]).exits(4);
        let run = run.stdout_has(&format!("{}: is not genuine: it has the content of ", names[false_record]));
        for (at, name) in names.iter().enumerate().filter(|(at, _)| *at != false_record) {
            assert!(
                !run.stdout.contains(&format!("ledger/{name}: ")),
                "{false_record} {copied} {at}: {}",
                run.describe()
            );
        }
        if !has_summary {
            continue;
        }
        sandbox
            .run(["gc", "--mirror", "mirror"])
            .exits(4)
            .stderr_has(&format!("{}` is not genuine", names[false_record]));
        sandbox.run(["import", &format!("{false_record}.pkg"), "--mirror", "mirror"]).ok();
        assert!(layout.ledger().join(&names[copied]).exists());
        sandbox.run(["gc", "--mirror", "mirror"]).ok();
        sandbox.run(["verify", "--mirror", "mirror"]).ok();
    }
}

#[test]
fn the_report_of_an_import_states_what_it_changed() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    for number in [1, 2] {
        let make = BundleBuilder::new("a", number).ship(Crate::new(&format!("crate{number}"), "1.0.0"));
        import(&mirror, &make.write(&sandbox.path(""), &format!("{number}.pkg"))).unwrap();
    }
    let run = sandbox.run(["import", "1.pkg", "--mirror", "mirror"]).ok();
    run.stderr_has("nothing changed").stderr_lacks("its crates are added");
    fs::remove_file(mirror.join("index/cr/at/crate1")).unwrap();
    let run = sandbox.run(["import", "1.pkg", "--mirror", "mirror"]).ok();
    run.stderr_has("1.pkg: it changed 1 index file; its crates were already stored").stderr_lacks("0 crates");
    fs::remove_file(newest_record(&mirror)).unwrap();
    let run = sandbox.run(["import", "2.pkg", "--mirror", "mirror"]).ok();
    run.stderr_has("Imported the record of 2.pkg; its content was already stored");
}
