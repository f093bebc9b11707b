//! Import: what changes in a mirror, what stays, and what the user reads.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use frostmirror::bundle::format::CrateState;
use frostmirror::mirror::import::ImportOptions;
use frostmirror::mirror::index_link::{LinkState, link_state};
use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::summary::Counts;
use frostmirror::mirror::{index_meta, ledger};
use rustix::process::Signal;

use crate::bundle_builder::{BundleBuilder, all_files, assert_consistent, import, import_with, options, public_files};
use crate::support::crates::Crate;
use crate::support::sandbox::Sandbox;

fn json() -> Crate {
    Crate::new("json", "1.0.0")
}

fn serde() -> Crate {
    Crate::new("Serde", "1.0.100+b").dep("json", "^1")
}

#[test]
fn the_first_import_creates_the_whole_tree() {
    let sandbox = Sandbox::new();
    let bundle = BundleBuilder::new("a", 1).ship(json()).ship(serde()).write(&sandbox.path(""), "one.pkg");
    let mirror = sandbox.path("deep/mirror");
    let imported = import(&mirror, &bundle).unwrap();
    assert_eq!(
        (imported.crates, imported.crates_new, imported.index_changed, imported.already_imported),
        (2, 2, 2, false)
    );

    let (json, serde) = (json().pack(), serde().pack());
    let tree = all_files(&mirror);
    let paths: Vec<&str> = tree.keys().map(String::as_str).filter(|path| !path.ends_with('/')).collect();
    let record = format!(".frostmirror/ledger/00000001-{}.json", imported.id);
    let expected = [
        ".frostmirror/format",
        &record,
        ".frostmirror/lines/js/on/json",
        ".frostmirror/lines/se/rd/serde",
        ".frostmirror/reserve",
        "crates/Serde-1.0.100+b.crate",
        "crates/index",
        "crates/json-1.0.0.crate",
        "index/js/on/json",
        "index/se/rd/serde",
        "manifest.json",
    ];
    assert_eq!(paths, expected);
    assert_eq!(tree["crates/Serde-1.0.100+b.crate"], serde.bytes);
    assert_eq!(tree["index/se/rd/serde"], format!("{}\n", serde.line).into_bytes());
    assert_eq!(tree["crates/index"], b"../index");
    assert_eq!(fs::metadata(mirror.join("crates/json-1.0.0.crate")).unwrap().mode() & 0o444, 0o444);
    let bytes = (json.bytes.len() + serde.bytes.len()) as u64;
    assert_eq!(imported.counts, Counts { crates: 2, versions: 2, bytes, ..Counts::default() });
    assert_consistent(&mirror);

    let layout = Layout::new(&mirror);
    let head = ledger::read_summary(&layout).unwrap().unwrap();
    assert_eq!(head.counts, imported.counts);
    assert_eq!(head.lineages[0].record, ledger::record_names(&layout).unwrap()[0]);
    let record = ledger::read_record(&layout, &head.lineages[0].record).unwrap().unwrap();
    assert_eq!((record.file.as_str(), record.manifest.crates.len()), ("one.pkg", 2));
}

#[test]
fn status_shows_the_recorded_state() {
    let sandbox = Sandbox::new();
    sandbox.run(["status"]).ok().stdout_has("Crate count: 0\nTotal size: 0 bytes\nLast import: never\n");
    let bundle = BundleBuilder::new("a", 1).ship(json()).write(&sandbox.path(""), "one.pkg");
    let mirror = sandbox.path("mirror");
    import(&mirror, &bundle).unwrap();
    let size = json().pack().bytes.len();
    let text = format!(
        "Crate count: 1\nTotal size: {size} bytes\nLast import: 2026-09-21T14:30:00Z\nToolchains: none\nRustup artifacts: 0 (0 B)\nLineage {} (Cargo.lock): bundle number 1 of 2026-09-21T14:13:21Z\nMirror: {}\nIndex link: good\n",
        BundleBuilder::new("a", 1).lineage(),
        mirror.display()
    );
    let output = sandbox.run(["status", "--mirror", "mirror"]).ok();
    assert_eq!(output.stdout, text);
    let output = sandbox.run(["status", "--mirror", "mirror", "--message-format", "json"]).ok();
    let first: serde_json::Value = serde_json::from_str(output.stdout.lines().next().unwrap()).unwrap();
    assert_eq!((&first["crates"], &first["bytes"]), (&1.into(), &size.into()));
    // The head is lost: the newest record has a copy.
    fs::remove_file(mirror.join("manifest.json")).unwrap();
    let run = sandbox.run(["status", "--mirror", "mirror"]).exits(4).stdout_has(&text);
    run.stderr_has("manifest.json` is missing, although the mirror has records of imports");
    fs::remove_file(mirror.join("crates/index")).unwrap();
    fs::create_dir(mirror.join("crates/index")).unwrap();
    sandbox.run(["status", "--mirror", "mirror"]).exits(4).stdout_has("Index link: a copy, not a link");
}

#[test]
fn importing_a_bundle_twice_changes_nothing_and_says_so() {
    let sandbox = Sandbox::new();
    let bundle = BundleBuilder::new("a", 1).ship(json()).ship(serde()).write(&sandbox.path(""), "one.pkg");
    let mirror = sandbox.path("mirror");
    import(&mirror, &bundle).unwrap();
    let times = |tree: &Path| -> Vec<_> {
        let paths = all_files(tree).into_keys().filter(|path| !path.starts_with(".frostmirror/staging"));
        paths
            .filter(|path| path != ".frostmirror/")
            .map(|path| (fs::symlink_metadata(tree.join(&path)).unwrap().mtime_nsec(), path))
            .collect()
    };
    let before = (all_files(&mirror), times(&mirror));
    let run = sandbox.run(["import", "one.pkg", "--mirror", "mirror"]).ok();
    run.stderr_has("Verified 2 crates of one.pkg").stderr_has("one.pkg is already imported");
    assert_eq!((all_files(&mirror), times(&mirror)), before);

    // Another bundle with nothing new in it is on record all the same.
    let other = BundleBuilder::new("b", 1).ship(json()).write(&sandbox.path(""), "two.pkg");
    let imported = import(&mirror, &other).unwrap();
    assert_eq!((imported.already_imported, imported.crates_new, imported.index_changed), (false, 0, 0));
    assert_eq!(ledger::record_names(&Layout::new(&mirror)).unwrap().len(), 2);
    assert_eq!(ledger::read_summary(&Layout::new(&mirror)).unwrap().unwrap().lineages.len(), 2);
}

#[test]
fn two_histories_are_merged_and_the_newer_index_line_wins() {
    let sandbox = Sandbox::new();
    let old = BundleBuilder::new("a", 1).read_at(10).ship(json()).ship(Crate::new("json", "2.0.0"));
    let new = BundleBuilder::new("b", 1).read_at(20).ship(json().yanked()).ship(serde());
    let (old, new) = (old.write(&sandbox.path(""), "old.pkg"), new.write(&sandbox.path(""), "new.pkg"));
    let mut views = Vec::new();
    for (n, order) in [[&old, &new], [&new, &old]].iter().enumerate() {
        let mirror = sandbox.path(format!("mirror{n}"));
        for bundle in order {
            import(&mirror, bundle).unwrap();
            assert_consistent(&mirror);
        }
        let counts = ledger::read_summary(&Layout::new(&mirror)).unwrap().unwrap().counts;
        assert_eq!(counts, Counts::count_tree(&Layout::new(&mirror)).unwrap());
        assert_eq!((counts.crates, counts.versions), (2, 3));
        views.push(public_files(&mirror));
    }
    let expected = format!("{}\n{}\n", json().yanked().pack().line, Crate::new("json", "2.0.0").pack().line);
    assert_eq!(views[0]["index/js/on/json"], expected.into_bytes());
    assert_eq!(views[0], views[1]);
}

#[test]
fn a_crate_with_conflicting_content_is_refused_and_named() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    import(&mirror, &BundleBuilder::new("a", 1).ship(json()).write(&sandbox.path(""), "one.pkg")).unwrap();
    let before = all_files(&mirror);
    let other_bytes = json().file("src/more.rs", "// more");
    let other_deps = Crate::new("json", "1.0.0").dep("x", "^1");
    let other_deps = json().line(&other_deps.clone().cksum(&json().pack().cksum).pack().line);
    let other_case = Crate::new("JSON", "1.0.1");
    for (crate_, expected) in [
        (other_bytes, "json 1.0.0 is stored with the checksum"),
        (other_deps, "json 1.0.0 is false: its dependency `x` is not in the Cargo.toml of the crate"),
        (other_case, "a crate `JSON`, but the mirror has `json`"),
    ] {
        BundleBuilder::new("b", 2).ship(Crate::new("fine", "1.0.0")).ship(crate_).write(&sandbox.path(""), "two.pkg");
        sandbox.run(["import", "two.pkg", "--mirror", "mirror"]).exits(4).stderr_has(expected).stderr_has("two.pkg");
        assert_eq!(all_files(&mirror), before);
    }
}

#[test]
fn a_delta_needs_its_base_crates_with_matching_content() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    let make = || BundleBuilder::new("a", 2).parent("first.pkg").with_crate(json(), CrateState::Sent).ship(serde());
    let delta = make().with_crate(Crate::new("kept", "1.0.0"), CrateState::Kept).write(&sandbox.path(""), "delta.pkg");
    let refused = || sandbox.run(["import", "delta.pkg", "--mirror", "mirror"]).exits(4);
    refused().stderr_has("first.pkg").stderr_has("json 1.0.0");
    assert!(!mirror.join("crates").exists());
    import(&mirror, &BundleBuilder::new("b", 1).ship(json()).write(&sandbox.path(""), "other.pkg")).unwrap();
    // There, but rotten.
    let file = mirror.join("crates/json-1.0.0.crate");
    let good = fs::read(&file).unwrap();
    fs::write(&file, vec![0; good.len()]).unwrap();
    let before = all_files(&mirror);
    refused().stderr_has("json 1.0.0");
    assert_eq!(all_files(&mirror), before);
    fs::write(&file, good).unwrap();
    import(&mirror, &delta).unwrap();
    assert_consistent(&mirror);
    assert!(!mirror.join("index/ke/pt/kept").exists());
}

#[test]
fn an_index_only_crate_is_recorded_until_its_file_arrives() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    let filtered = BundleBuilder::new("a", 1).read_at(5).ship(serde()).with_crate(json(), CrateState::IndexOnly);
    let whole = BundleBuilder::new("b", 1).read_at(1).ship(json());
    let (filtered, whole) = (filtered.write(&sandbox.path(""), "one.pkg"), whole.write(&sandbox.path(""), "two.pkg"));
    import(&mirror, &filtered).unwrap();
    assert!(!mirror.join("crates/json-1.0.0.crate").exists());
    assert_consistent(&mirror);
    let index_only = || {
        let text = fs::read_to_string(mirror.join(".frostmirror/lines/js/on/json")).unwrap();
        index_meta::parse(&text)[0].index_only
    };
    assert!(index_only());
    import(&mirror, &whole).unwrap();
    assert!(!index_only());
    import(
        &mirror,
        &BundleBuilder::new("a", 2)
            .read_at(9)
            .with_crate(json(), CrateState::IndexOnly)
            .write(&sandbox.path(""), "three.pkg"),
    )
    .unwrap();
    assert!(!index_only());
    assert_consistent(&mirror);
}

#[test]
fn a_corrupt_stored_file_is_replaced_unless_rehashing_is_off() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    let large = || Crate::new("large", "1.0.0").with_extra_bytes(300_000);
    let bundle = BundleBuilder::new("a", 1).ship(json()).ship(large()).write(&sandbox.path(""), "one.pkg");
    import(&mirror, &bundle).unwrap();
    let good = all_files(&mirror);
    let file = mirror.join("crates/large-1.0.0.crate");
    let bytes = fs::read(&file).unwrap();
    assert!(bytes.len() > 200_000);
    for at in [0, 100_000, bytes.len() - 1] {
        let mut rotten = bytes.clone();
        rotten[at] ^= 1;
        fs::write(&file, &rotten).unwrap();
        let trusting = ImportOptions { verify_existing: false, ..options(&bundle) };
        assert!(import_with(&mirror, &bundle, &trusting).unwrap().already_imported);
        let imported = import(&mirror, &bundle).unwrap();
        assert_eq!((imported.crates_new, imported.crates_repaired, imported.already_imported), (0, 1, false));
        assert_eq!(all_files(&mirror), good);
    }
    fs::write(&file, b"short").unwrap();
    fs::remove_file(mirror.join("crates/json-1.0.0.crate")).unwrap();
    let imported = import(&mirror, &bundle).unwrap();
    assert_eq!((imported.crates_new, imported.crates_repaired), (1, 1));
    assert_eq!(
        public_files(&mirror).len(),
        good.keys().filter(|path| !path.starts_with(".f") && *path != "manifest.json").count()
    );
    assert_consistent(&mirror);
}

#[test]
fn config_json_is_written_only_with_a_base_url() {
    let sandbox = Sandbox::new();
    BundleBuilder::new("a", 1).ship(json()).write(&sandbox.path(""), "one.pkg");
    let config = sandbox.path("mirror/index/config.json");
    sandbox.run(["import", "one.pkg", "--mirror", "mirror"]).ok().stderr_lacks("base-url").stderr_lacks("config.json");
    assert!(!config.exists());
    let output = sandbox.run(["import", "one.pkg", "--mirror", "mirror", "--base-url", "http://h:1/m/"]).ok();
    assert!(!output.stderr.contains("--base-url"), "{}", output.stderr);
    let text = r#"{"dl":"http://h:1/m/crates/{crate}-{version}.crate","api":"http://h:1/m"}"#;
    assert_eq!(fs::read_to_string(&config).unwrap(), format!("{text}\n"));
    sandbox.run(["import", "one.pkg", "--mirror", "mirror"]).ok();
    assert_eq!(fs::read_to_string(&config).unwrap(), format!("{text}\n"));
    sandbox.run(["import", "one.pkg", "--mirror", "mirror", "--base-url", "h:1"]).exits(3).stderr_has("h:1");
}

#[test]
fn every_import_restores_the_index_link() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    let bundle = BundleBuilder::new("a", 1).ship(json()).write(&sandbox.path(""), "one.pkg");
    import(&mirror, &bundle).unwrap();
    let link = mirror.join("crates/index");
    fs::remove_file(&link).unwrap();
    fs::create_dir_all(link.join("js/on")).unwrap();
    fs::copy(mirror.join("index/js/on/json"), link.join("js/on/json")).unwrap();
    assert_eq!(link_state(&Layout::new(&mirror)), LinkState::NotALink);
    sandbox.run(["import", "one.pkg", "--mirror", "mirror"]).ok().stderr_has("the link to ../index is restored");
    assert_eq!(link_state(&Layout::new(&mirror)), LinkState::Good);
    assert!(!mirror.join(".frostmirror/aside").exists());
}

#[test]
fn a_folder_and_stdin_can_be_imported() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("in")).unwrap();
    // By their history, not by their names or times.
    BundleBuilder::new("a", 1).read_at(3).ship(json()).write(&sandbox.path("in"), "z.pkg");
    let newer =
        BundleBuilder::new("a", 2).read_at(2).parent("z.pkg").with_crate(json(), CrateState::Sent).ship(serde());
    newer.write(&sandbox.path("in"), "a.pkg");
    sandbox.write("in/note.txt", "not a bundle");
    sandbox.write("in/.c.pkg", "not copied to its end");
    let run = sandbox.run(["import", "in", "--mirror", "mirror"]).ok();
    let (first, second) = (run.stderr.find("of z.pkg"), run.stderr.find("of a.pkg"));
    assert!(first.is_some() && first < second, "{}", run.stderr);
    let bytes = fs::read(sandbox.path("in/z.pkg")).unwrap();
    let run = sandbox.process(["import", "-", "--mirror", "piped"]).stdin(&bytes).run().ok();
    run.stderr_has("Imported 1 crate ");
    assert_consistent(&sandbox.path("piped"));
    // Words are put in order too; `a.pkg` builds on `z.pkg`.
    let run = sandbox.run(["import", "in/a.pkg", "in/z.pkg", "--mirror", "words"]).ok();
    assert!(run.stderr.find("of z.pkg") < run.stderr.find("of a.pkg"), "{}", run.stderr);
    assert_consistent(&sandbox.path("words"));
    // What cannot be read twice stays where it was named.
    let piped = sandbox.process(["import", "in/a.pkg", "-", "--mirror", "late"]).stdin(&bytes).run();
    piped.exits(4).stderr_has("its base `z.pkg` is not imported");
    sandbox.process(["import", "-", "in/a.pkg", "--mirror", "late"]).stdin(&bytes).run().ok();
    // An argument that is not a bundle is reported before anything is changed.
    sandbox.run(["import", "in/z.pkg", "none.pkg", "--mirror", "unchanged"]).exits(3).stderr_has("none.pkg");
    assert!(!sandbox.path("unchanged").exists());
    fs::create_dir(sandbox.path("empty")).unwrap();
    sandbox.run(["import", "empty", "--mirror", "mirror"]).exits(3).stderr_has("empty` is empty");
    sandbox.write("stick/output/20260402-2130-crates.pkg", "");
    let above = sandbox.run(["import", "stick", "--mirror", "mirror"]).exits(3);
    above.stderr_has("no bundle (*.pkg) is in").stderr_has("stick/output, which has bundles in it");
    sandbox.run(["import", "none.pkg", "--mirror", "mirror"]).exits(3).stderr_has("none.pkg");
}

#[test]
fn an_interrupted_import_says_so() {
    let sandbox = Sandbox::new();
    let fifo = sandbox.path("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let running = sandbox.process(["import", "fifo", "--mirror", "mirror"]).start();
    // This is open as soon as the import reads.
    let writing = fs::File::options().write(true).open(&fifo).unwrap();
    running.signal(Signal::INT);
    let run = running.wait(Duration::from_secs(60)).exits(130).stderr_has("interrupted");
    run.stderr_has("hint: run the same command again");
    drop(writing);
}

#[test]
fn a_mirror_of_a_newer_layout_is_refused() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    import(&mirror, &BundleBuilder::new("a", 1).ship(json()).write(&sandbox.path(""), "first.pkg")).unwrap();
    fs::write(mirror.join(".frostmirror/format"), r#"{"layout":9,"tool":"4.5.6"}"#).unwrap();
    BundleBuilder::new("a", 1).ship(json()).write(&sandbox.path(""), "one.pkg");
    sandbox
        .run(["import", "one.pkg", "--mirror", "mirror"])
        .exits(4)
        .stderr_has("layout 9")
        .stderr_has("4.5.6 or later");
    sandbox.run(["status", "--mirror", "mirror"]).exits(4).stderr_has("layout 9");
}

#[test]
fn a_legacy_bundle_is_imported() {
    let sandbox = Sandbox::new();
    let bundle = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/bundles/frostmirror-1.0.0.pkg");
    let output = sandbox.run(["import", bundle, "--mirror", "mirror"]).ok();
    assert_consistent(&sandbox.path("mirror"));
    let head = ledger::read_summary(&Layout::new(sandbox.path("mirror"))).unwrap().unwrap();
    assert!(head.counts.versions > 0 && head.counts.crates > 0, "{}", output.stderr);
    sandbox.run(["import", bundle, "--mirror", "mirror"]).ok().stderr_has("is already imported");
}

#[test]
fn static_servers_are_mentioned_only_where_a_base_url_is_given() {
    let sandbox = Sandbox::new();
    BundleBuilder::new("a", 1).ship(json()).write(&sandbox.path(""), "one.pkg");
    BundleBuilder::new("a", 2).ship(json()).ship(serde()).write(&sandbox.path(""), "two.pkg");
    let run = |terms: &[&str]| sandbox.run(["import", "--mirror", "mirror"].iter().chain(terms)).ok();
    let lacks = |run: &crate::support::process::Run| {
        for word in ["config.json", "static"] {
            assert!(!run.stderr.contains(word) && !run.stdout.contains(word), "{}", run.describe());
        }
    };
    let config = sandbox.path("mirror/index/config.json");
    lacks(&run(&["one.pkg"]));
    assert!(!config.exists());
    let url = ["--base-url", "http://static.example/rust"];
    let wrote =
        format!("Wrote `{}`: a static server at http://static.example/rust can serve this mirror", config.display());
    run(&["one.pkg", url[0], url[1]]).stderr_has(&wrote);
    let text = fs::read_to_string(&config).unwrap();
    // The file is as it must be already: nothing was written, and nothing is said of it.
    lacks(&run(&["two.pkg", url[0], url[1]]));
    lacks(&run(&["two.pkg"]));
    assert_eq!(fs::read_to_string(&config).unwrap(), text);
    run(&["two.pkg", url[0], "http://other.example"]).stderr_has("Wrote ").stderr_has("http://other.example can");
}
