//! Lost records of imports are reported by the next import, and a rebuild names the bundles to import again.

use std::fs;
use std::path::{Path, PathBuf};

use frostmirror::bundle::format::CrateState;
use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::ledger;

use crate::bundle_builder::{BundleBuilder, all_files, import};
use crate::support::crates::Crate;
use crate::support::sandbox::Sandbox;

fn write_bundle(sandbox: &Sandbox, number: u64) -> PathBuf {
    let name = format!("crate{number}");
    let make = BundleBuilder::new("a", number).ship(Crate::new(&name, "1.0.0"));
    make.write(&sandbox.path(""), &format!("{number}.pkg"))
}

#[test]
fn a_rebuild_after_the_loss_of_all_records_and_another_import_succeeds() {
    for later in [2, 3] {
        let sandbox = Sandbox::new();
        let mirror = sandbox.path("mirror");
        import(&mirror, &write_bundle(&sandbox, 1)).unwrap();
        fs::remove_dir_all(mirror.join(".frostmirror")).unwrap();
        write_bundle(&sandbox, later);
        let run = sandbox.run(["import", &format!("{later}.pkg"), "--mirror", "mirror"]).ok();
        run.stderr_has("the ledger lacks 1 record of earlier imports: run `cargo frostmirror verify --mirror ")
            .stderr_has("/mirror --rebuild-state`");
        let run = sandbox.run(["verify", "--mirror", "mirror", "--rebuild-state"]).ok();
        assert!(run.stdout.starts_with("OK -- 2 crates"), "{}", run.describe());
        let run = if later == 3 {
            run.stderr_has("the record of bundle number 1 of lineage")
        } else {
            run.stderr_has("the record of the bundle with the id ").stderr_has("its number and its inputs are unknown")
        };
        run.stderr_has("gc --forget rebuilt --mirror");
        sandbox.run(["verify", "--mirror", "mirror"]).ok();
        let run = sandbox.run(["import", "1.pkg", "--mirror", "mirror"]).ok();
        run.stderr_lacks("the ledger lacks").stderr_lacks("already imported");
        sandbox.run(["gc", "--forget", "rebuilt", "--grace", "0", "--mirror", "mirror"]).ok();
        sandbox.run(["verify", "--mirror", "mirror"]).ok();
    }
}

#[test]
fn an_import_of_the_lost_bundle_restores_its_record() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    let bundles = [1, 2].map(|number| write_bundle(&sandbox, number));
    bundles.iter().for_each(|bundle| drop(import(&mirror, bundle).unwrap()));
    let layout = Layout::new(&mirror);
    let name = ledger::record_names(&layout).unwrap().pop().unwrap();
    fs::remove_file(layout.ledger().join(name)).unwrap();
    sandbox.run(["import", "2.pkg", "--mirror", "mirror"]).ok().stderr_lacks("the ledger lacks");
    sandbox.run(["gc", "--mirror", "mirror"]).ok();
    sandbox.run(["verify", "--mirror", "mirror"]).ok();
}

#[test]
fn imports_of_lost_bundles_restore_the_number_of_imports() {
    // The positions of the lost records, from 0.
    for lost in [&[0][..], &[1], &[1, 2], &[4], &[0, 3, 4], &[0, 1, 2, 3, 4]] {
        for order in [false, true] {
            let sandbox = Sandbox::new();
            let mirror = sandbox.path("mirror");
            let bundles: Vec<PathBuf> = (1..=5).map(|number| write_bundle(&sandbox, number)).collect();
            bundles.iter().for_each(|bundle| drop(import(&mirror, bundle).unwrap()));
            let layout = Layout::new(&mirror);
            let names = ledger::record_names(&layout).unwrap();
            lost.iter().for_each(|at| fs::remove_file(layout.ledger().join(&names[*at])).unwrap());
            sandbox.run(["verify", "--mirror", "mirror"]).exits(4);
            let mut again: Vec<String> = lost.iter().map(|at| format!("{}.pkg", at + 1)).collect();
            if order {
                again.reverse();
            }
            for (at, file) in again.iter().enumerate() {
                let run = sandbox.run(["import", file, "--mirror", "mirror"]).ok();
                let is_last = at + 1 == again.len();
                assert_eq!(run.stderr.contains("the ledger lacks"), !is_last, "{lost:?} {file}: {}", run.describe());
            }
            sandbox.run(["verify", "--mirror", "mirror"]).ok();
            sandbox.run(["gc", "--mirror", "mirror"]).ok();
            // A new bundle counts as one more.
            import(&mirror, &write_bundle(&sandbox, 6)).unwrap();
            sandbox.run(["verify", "--mirror", "mirror"]).ok();
            assert_eq!(ledger::read_summary(&layout).unwrap().unwrap().imports, 6, "{lost:?}");
        }
    }
}

#[test]
fn a_new_bundle_does_not_hide_a_lost_record() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    (1..=3).for_each(|number| drop(import(&mirror, &write_bundle(&sandbox, number)).unwrap()));
    let layout = Layout::new(&mirror);
    let names = ledger::record_names(&layout).unwrap();
    fs::remove_file(layout.ledger().join(&names[0])).unwrap();
    write_bundle(&sandbox, 4);
    sandbox.run(["import", "4.pkg", "--mirror", "mirror"]).ok().stderr_has("the ledger lacks 1 record");
    sandbox.run(["verify", "--mirror", "mirror"]).exits(4).stdout_has("manifest.json: states 4 imports");
}

#[test]
fn a_refused_delta_names_the_bundle_that_brought_the_lost_crate() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    let crates = [1, 2, 3].map(|number| Crate::new(&format!("crate{number}"), "1.0.0"));
    let mut parent: Option<String> = None;
    for number in 1..=3_u64 {
        let mut make = BundleBuilder::new("a", number);
        if let Some(parent) = &parent {
            make = make.based_on(parent);
        }
        for (at, one) in (1..).zip(&crates).take_while(|(at, _)| *at <= number) {
            make = make.with_crate(one.clone(), if at == number { CrateState::Shipped } else { CrateState::Sent });
        }
        let path = make.write(&sandbox.path(""), &format!("{number}.pkg"));
        parent = Some(import(&mirror, &path).unwrap().id);
    }
    let layout = Layout::new(&mirror);
    let names = ledger::record_names(&layout).unwrap();
    let id = |at: usize| names[at].trim_end_matches(".json").split_once('-').unwrap().1.to_owned();
    let delta = crates
        .iter()
        .fold(BundleBuilder::new("a", 4).based_on(&id(2)), |make, one| make.with_crate(one.clone(), CrateState::Sent));
    delta.ship(Crate::new("new", "1.0.0")).write(&sandbox.path(""), "4.pkg");
    // A crate of number 1, and the record of number 3, which does not have it.
    fs::remove_file(mirror.join("crates/crate1-1.0.0.crate")).unwrap();
    fs::remove_file(layout.ledger().join(&names[2])).unwrap();
    let import = |file: &str| sandbox.run(["import", file, "--mirror", "mirror"]);
    let run = import("4.pkg").exits(4);
    run.stderr_has(&format!("the mirror lost these files of bundle number 1 (`1.pkg`, id {})", id(0)))
        .stderr_has(&format!(
            "hint: import bundle number 1 (`1.pkg`, id {}) again; if you no longer have it, list",
            id(0)
        ))
        .stderr_has("--repair-list FILE`")
        .stderr_lacks("bundle number 3");
    // A crate of the lost record too: its bundle is named first, and then the other one.
    fs::remove_file(mirror.join("crates/crate3-1.0.0.crate")).unwrap();
    import("4.pkg")
        .exits(4)
        .stderr_has("bundle number 3 of")
        .stderr_has("The mirror lost the other files: import bundle number 1");
    import("3.pkg").exits(4).stderr_has("the mirror lost these files of bundle number 1");
    import("1.pkg").ok();
    import("3.pkg").ok();
    import("4.pkg").ok();
    sandbox.run(["verify", "--mirror", "mirror"]).ok();
}

#[test]
fn a_refused_delta_names_the_missing_bundles_and_the_base_of_a_new_fetch() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    let delta = |sent: &str, number: u64| {
        let make =
            BundleBuilder::new("a", number).parent("gone.pkg").with_crate(Crate::new(sent, "1.0.0"), CrateState::Sent);
        make.write(&sandbox.path(""), "delta.pkg");
        sandbox.run(["import", "delta.pkg", "--mirror", "mirror"]).exits(4)
    };
    delta("lost", 4)
        .stderr_has(
            "needs 1 file that the mirror lacks, first lost 1.0.0: bundles 1 to 3 of its history are not imported",
        )
        .stderr_has(
            "hint: import `gone.pkg` and the other bundles 1 to 3 first; if they are lost, ship everything again",
        )
        .stderr_has("`cargo frostmirror fetch --base none`");
    for number in [1, 2, 5, 7] {
        import(&mirror, &write_bundle(&sandbox, number)).unwrap();
    }
    let second = ledger::read_summary(&Layout::new(&mirror)).unwrap().unwrap();
    let second = second.contested.iter().find(|tip| tip.sequence == 2).unwrap().bundle.clone();
    let base = format!("`cargo frostmirror fetch --base {second}`, the id of number 2 (`2.pkg`)");
    delta("lost", 9)
        .stderr_has("bundles 3, 4, 6 and 8 of its history are not imported, among them its base `gone.pkg`")
        .stderr_has(&base);
    delta("lost", 4)
        .stderr_has("its base `gone.pkg` is not imported (bundle number 3 of its history)")
        .stderr_has(&base);
}

#[test]
fn a_damaged_delta_without_its_base_is_reported_as_damaged() {
    let sandbox = Sandbox::new();
    let make = BundleBuilder::new("a", 2).parent("gone.pkg").ship(Crate::new("new", "1.0.0"));
    let path = make.with_crate(Crate::new("lost", "1.0.0"), CrateState::Sent).write(&sandbox.path(""), "delta.pkg");
    let mut bytes = fs::read(&path).unwrap();
    for (what, length) in [("altered", bytes.len()), ("cut", bytes.len() - 10)] {
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&path, &bytes[..length]).unwrap();
        let run = sandbox.run(["import", "delta.pkg", "--mirror", "mirror"]).exits(4);
        assert!(!run.stderr.contains("hint: import `gone.pkg`"), "{what}: {}", run.describe());
        run.stderr_has("`delta.pkg`").stderr_has("hint: copy the bundle again");
    }
}

/// Changes the first line or the manifest of the record of this position, from 0, and returns the record's name.
fn alter_record(mirror: &Path, at: usize, alter: impl FnOnce(&mut [serde_json::Value; 2])) -> String {
    let layout = Layout::new(mirror);
    let name = ledger::record_names(&layout).unwrap().swap_remove(at);
    let path = layout.ledger().join(&name);
    let text = fs::read_to_string(&path).unwrap();
    let (line, manifest) = text.split_once('\n').unwrap();
    let mut parts = [line, manifest].map(|part| serde_json::from_str(part).unwrap());
    alter(&mut parts);
    let [line, manifest] = parts;
    fs::write(&path, format!("{line}\n{manifest}")).unwrap();
    name
}

/// Writes the record again with a digest of its own that fits.
fn forge_record(mirror: &Path, at: usize) -> String {
    let layout = Layout::new(mirror);
    let name = ledger::record_names(&layout).unwrap().swap_remove(at);
    let mut record = ledger::read_record(&layout, &name).unwrap().unwrap();
    record.manifest.crates.clear();
    fs::write(layout.ledger().join(&name), record.render().0).unwrap();
    name
}

/// Bundles number 1 to 3: each has the crates of the ones before.
fn mirror_of_three(sandbox: &Sandbox) -> PathBuf {
    let mirror = sandbox.path("mirror");
    for number in 1..=3 {
        let crates = (1..=number).map(|number| Crate::new(&format!("crate{number}"), "1.0.0"));
        let make = crates.fold(BundleBuilder::new("a", number), BundleBuilder::ship);
        import(&mirror, &make.write(&sandbox.path(""), &format!("{number}.pkg"))).unwrap();
    }
    mirror
}

#[test]
fn altered_records_are_named_and_nothing_is_removed() {
    type Damage = fn(&Path, usize) -> String;
    let without_a_crate: Damage = |mirror, at| {
        alter_record(mirror, at, |[_, manifest]| drop(manifest["crates"].as_array_mut().unwrap().pop().unwrap()))
    };
    let other_time: Damage = |mirror, at| alter_record(mirror, at, |[line, _]| line["imported"] = "2001-01-01".into());
    let no_digest: Damage = |mirror, at| {
        alter_record(mirror, at, |[line, _]| drop(line.as_object_mut().unwrap().remove("sha256").unwrap()))
    };
    let no_manifest: Damage = |mirror, at| {
        let name = alter_record(mirror, at, |_| ());
        let path = Layout::new(mirror).ledger().join(&name);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.split_once('\n').unwrap().0).unwrap();
        name
    };
    for (damage, is_sealed) in
        [(without_a_crate, false), (other_time, false), (no_digest, false), (no_manifest, false), (forge_record, true)]
    {
        for at in 0..3 {
            let sandbox = Sandbox::new();
            let mirror = mirror_of_three(&sandbox);
            let name = damage(&mirror, at);
            let fault = if is_sealed { "was replaced: " } else { "is damaged or was altered" };
            let run = sandbox.run(["verify", "--mirror", "mirror"]).exits(4);
            run.stdout_has(&format!(".frostmirror/ledger/{name}: {fault}")).stderr_has("--rebuild-state");
            let before = all_files(&mirror);
            for more in [&["--dry-run"][..], &["--grace", "0"]] {
                let run = sandbox.run(["gc", "--mirror", "mirror"].iter().chain(more)).exits(4);
                run.stderr_has(&format!("{name}` {fault}"))
                    .stderr_has("so it is unknown which files are needed")
                    .stderr_has("hint: import the bundle of that file again");
            }
            assert_eq!(all_files(&mirror), before);
            // The bundle again, as the hint says.
            let bundle = format!("{}.pkg", at + 1);
            let run = sandbox.run(["import", &bundle, "--mirror", "mirror"]).ok();
            run.stderr_has(&format!("the record `{name}` was damaged or altered"));
            assert!(mirror.join(".frostmirror/aside").join(&name).exists());
            sandbox.run(["verify", "--mirror", "mirror"]).ok();
            sandbox.run(["gc", "--grace", "0", "--mirror", "mirror"]).ok().stdout_has("Removed 0 crates");
            sandbox.run(["import", &bundle, "--mirror", "mirror"]).ok().stderr_has("already imported");
        }
    }
}

#[test]
fn a_rebuild_moves_altered_records_aside() {
    for at in 0..3 {
        let sandbox = Sandbox::new();
        let mirror = mirror_of_three(&sandbox);
        let name = forge_record(&mirror, at);
        sandbox.run(["verify", "--rebuild-state", "--mirror", "mirror"]).ok().stdout_has("OK -- 3 crates");
        assert!(mirror.join(".frostmirror/aside").join(&name).exists());
        sandbox.run(["verify", "--mirror", "mirror"]).ok();
        sandbox.run(["gc", "--grace", "0", "--mirror", "mirror"]).ok().stdout_has("Removed 0 crates");
        sandbox.run(["import", &format!("{}.pkg", at + 1), "--mirror", "mirror"]).ok();
        sandbox.run(["verify", "--mirror", "mirror"]).ok();
    }
}

#[test]
fn removed_and_inserted_records_are_reported() {
    for at in 0..3 {
        let sandbox = Sandbox::new();
        let mirror = mirror_of_three(&sandbox);
        let layout = Layout::new(&mirror);
        let name = ledger::record_names(&layout).unwrap().swap_remove(at);
        fs::remove_file(layout.ledger().join(&name)).unwrap();
        // With a count that hides it.
        let text = fs::read_to_string(layout.summary()).unwrap();
        fs::write(layout.summary(), text.replace("\"imports\": 3", "\"imports\": 2")).unwrap();
        let run = sandbox.run(["verify", "--mirror", "mirror"]).exits(4);
        run.stdout_has(&format!(".frostmirror/ledger/{name}: is missing, but "));
        sandbox.run(["gc", "--mirror", "mirror"]).exits(4).stderr_has(&name);
        sandbox.run(["verify", "--rebuild-state", "--mirror", "mirror"]).ok();
        sandbox.run(["verify", "--mirror", "mirror"]).ok();
        sandbox.run(["gc", "--grace", "0", "--mirror", "mirror"]).ok().stdout_has("Removed 0 crates");
    }
    let sandbox = Sandbox::new();
    let mirror = mirror_of_three(&sandbox);
    let layout = Layout::new(&mirror);
    let mut record = ledger::read_record(&layout, &ledger::record_names(&layout).unwrap()[1]).unwrap().unwrap();
    record.manifest.id = "0123456789abcdef0123456789abcdef".to_owned();
    record.manifest.lineage.sequence = 4;
    record.manifest.crates.clear();
    let name = "00000002-0123456789abcdef0123456789abcdef.json";
    fs::write(layout.ledger().join(name), record.render().0).unwrap();
    let run = sandbox.run(["verify", "--mirror", "mirror"]).exits(4);
    run.stdout_has("was added later: ");
    sandbox.run(["gc", "--mirror", "mirror"]).exits(4).stderr_has("was added later: ");
}

#[test]
fn the_second_run_reports_what_the_killed_import_stored() {
    let two = || BundleBuilder::new("a", 1).ship(Crate::new("one", "1.0.0")).ship(Crate::new("two", "1.0.0"));
    for (checkpoint, is_completed) in
        [("commit:1", false), ("commit:2", false), ("commit:3", true), ("commit:5", true), ("commit:9", true)]
    {
        for is_first in [true, false] {
            let sandbox = Sandbox::new();
            if !is_first {
                let before = BundleBuilder::new("b", 1).ship(Crate::new("before", "1.0.0"));
                import(&sandbox.path("mirror"), &before.write(&sandbox.path(""), "before.pkg")).unwrap();
            }
            two().write(&sandbox.path(""), "two.pkg");
            let args = ["import", "two.pkg", "--mirror", "mirror"];
            let died = sandbox.process(args).envs([("FROSTMIRROR_CRASH_AT", checkpoint)]).run();
            assert_eq!(died.code, 128 + 6, "{checkpoint}: {}", died.describe());
            let run = sandbox.run(args).ok();
            match is_completed {
                true => run
                    .stderr_has("Completed the import of 2 crates of two.pkg, which was interrupted")
                    .stderr_has("already imported"),
                false => run.stderr_has("Imported 2 crates ("),
            };
            let run = sandbox.run(args).ok().stderr_has("already imported");
            assert!(!run.stderr.contains("Completed"), "{}", run.describe());
            sandbox.run(["verify", "--mirror", "mirror"]).ok();
        }
    }
}

#[test]
fn a_refused_first_import_leaves_no_mirror() {
    let sandbox = Sandbox::new();
    let delta = BundleBuilder::new("a", 2).parent("gone.pkg").with_crate(Crate::new("lost", "1.0.0"), CrateState::Sent);
    delta.write(&sandbox.path(""), "delta.pkg");
    fs::create_dir(sandbox.path("empty")).unwrap();
    for mirror in ["new/folder/mirror", "empty"] {
        sandbox.run(["import", "delta.pkg", "--mirror", mirror]).exits(4);
    }
    assert!(!sandbox.path("new").exists());
    assert_eq!(fs::read_dir(sandbox.path("empty")).unwrap().count(), 0);
    // An existing mirror stays.
    import(&sandbox.path("mirror"), &write_bundle(&sandbox, 1)).unwrap();
    let before = all_files(&sandbox.path("mirror"));
    sandbox.run(["import", "delta.pkg", "--mirror", "mirror"]).exits(4);
    assert_eq!(all_files(&sandbox.path("mirror")), before);
}

#[test]
fn a_damaged_layout_version_is_written_again() {
    for text in ["", "rotten", "{\"layout\":"] {
        let sandbox = Sandbox::new();
        let mirror = sandbox.path("mirror");
        import(&mirror, &write_bundle(&sandbox, 1)).unwrap();
        let format = mirror.join(".frostmirror/format");
        fs::write(&format, text).unwrap();
        for args in [&["import", "1.pkg"][..], &["status"], &["gc"], &["verify"]] {
            let run = sandbox.run(args.iter().chain(&["--mirror", "mirror"])).exits(4);
            run.stderr_has("format` is damaged: it does not state the version of the mirror's layout")
                .stderr_has("hint: write the file again with `cargo frostmirror verify --mirror ")
                .stderr_has("/mirror --rebuild-state`");
        }
        sandbox.run(["verify", "--mirror", "mirror", "--rebuild-state"]).ok().stderr_has("Rebuilt the version");
        assert_eq!(fs::read_to_string(mirror.join(".frostmirror/aside/format")).unwrap(), text);
        sandbox.run(["verify", "--mirror", "mirror"]).ok();
        // A newer tool's is not touched.
        fs::write(&format, "{\"layout\":9,\"tool\":\"7.0.0\"}").unwrap();
        sandbox.run(["verify", "--mirror", "mirror", "--rebuild-state"]).exits(4).stderr_has("7.0.0");
    }
}

#[test]
fn an_unreadable_record_hides_no_warning_silently() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    for number in [2, 3] {
        import(&mirror, &write_bundle(&sandbox, number)).unwrap();
    }
    let layout = Layout::new(&mirror);
    let unreadable = layout.ledger().join(&ledger::record_names(&layout).unwrap()[0]);
    fs::remove_file(&unreadable).unwrap();
    fs::create_dir(&unreadable).unwrap();
    let name = unreadable.file_name().unwrap().to_str().unwrap();
    // Another bundle with the number of a record may be the one that cannot be read.
    write_bundle(&sandbox, 1);
    let run = sandbox.run(["import", "1.pkg", "--mirror", "mirror"]).ok();
    run.stderr_has("warning: not every warning about 1.pkg is known, because the ledger cannot be searched")
        .stderr_has(name);
    fs::remove_file(mirror.join("crates/crate2-1.0.0.crate")).unwrap();
    let run = sandbox.run(["verify", "--mirror", "mirror"]).exits(4);
    run.stderr_has("warning: the ledger cannot be searched for the bundles that contain these files").stderr_has(name);
}

#[test]
fn an_older_bundle_proves_nothing_while_a_record_is_lost() {
    let sandbox = Sandbox::new();
    let mirror = mirror_of_three(&sandbox);
    let layout = Layout::new(&mirror);
    let lost = ledger::record_names(&layout).unwrap().remove(0);
    fs::remove_file(layout.ledger().join(&lost)).unwrap();
    let forged = BundleBuilder::new("a", 2).previous(&"f".repeat(32)).ship(Crate::new("forged", "1.0.0"));
    forged.write(&sandbox.path(""), "forged.pkg");
    sandbox.run(["import", "forged.pkg", "--mirror", "mirror"]).ok().stderr_has("--reject");
    let summary = ledger::read_summary(&layout).unwrap().unwrap();
    assert_eq!((summary.lineages.len(), summary.contested.len(), summary.imports), (1, 1, 3));
    // The lost bundle itself is proven by the record after it.
    sandbox.run(["import", "1.pkg", "--mirror", "mirror"]).ok().stderr_lacks("--reject");
    let summary = ledger::read_summary(&layout).unwrap().unwrap();
    assert_eq!((summary.lineages.len(), summary.contested.len()), (1, 1));
}

#[test]
fn a_stray_file_in_the_ledger_is_moved_aside_and_is_no_loss() {
    for has_summary in [true, false] {
        let sandbox = Sandbox::new();
        let mirror = sandbox.path("mirror");
        import(&mirror, &write_bundle(&sandbox, 1)).unwrap();
        if !has_summary {
            fs::remove_file(mirror.join("manifest.json")).unwrap();
        }
        let stray = mirror.join(".frostmirror/ledger/00000010-zz.json");
        fs::write(&stray, "hi").unwrap();
        let names = ["notes.txt", "00000090-a.json~", "00000001-abcd.json.bak"];
        names.iter().for_each(|name| fs::write(mirror.join(".frostmirror/ledger").join(name), "hi").unwrap());
        if has_summary {
            let mut run = sandbox.run(["status", "--mirror", "mirror"]).ok();
            for name in names.iter().chain(&["00000010-zz.json"]) {
                run = run
                    .stderr_has(&format!("`.frostmirror/ledger/{name}` is no import record and does not belong there"));
            }
            let run = sandbox.run(["gc", "--dry-run", "-v", "--mirror", "mirror"]).ok();
            run.stdout_has("Unrecognized files (kept): 4 (").stderr_has("file .frostmirror/ledger/notes.txt");
            let run = sandbox.run(["verify", "--mirror", "mirror"]).exits(4);
            run.stdout_has(".frostmirror/ledger/00000010-zz.json: is no import record").stdout_lacks("damaged");
        }
        let run = sandbox.run(["verify", "--mirror", "mirror", "--rebuild-state"]).ok();
        run.stderr_has("`00000010-zz.json` in the ledger was moved to .frostmirror/aside: it is no import record")
            .stderr_has("`notes.txt` in the ledger was moved")
            .stderr_lacks("id zz")
            .stderr_lacks("damaged record");
        assert!(!stray.exists());
        let ledger = fs::read_dir(mirror.join(".frostmirror/ledger")).unwrap();
        let names: Vec<String> = ledger.map(|one| one.unwrap().file_name().into_string().unwrap()).collect();
        assert!(!names.iter().any(|name| name.contains("zz")), "{names:?}");
        let bundle = write_bundle(&sandbox, 2);
        import(&mirror, &bundle).unwrap();
        let names = ledger::record_names(&Layout::new(&mirror)).unwrap();
        assert!(names.iter().any(|name| name.starts_with("00000002-")), "{names:?}");
        sandbox.run(["verify", "--mirror", "mirror"]).ok();
        sandbox.run(["gc", "--mirror", "mirror"]).ok();
    }
}
